"""A worker that trains nothing: what the coordinator would say to one, and hear, in the process of the test."""

from multiprocessing import Pipe

from hms_search.search.trial import Job, TrialEnded, Verdict
from hms_search.search.workers import Message, WorkerDied
from hms_search.tracking import MemoryTracker


class Pretended:
    """A worker at the end of a pipe, which says ``_end.send(...)`` whatever a test's ``submit`` lets it say."""

    def __init__(self, slot: int, tracker: MemoryTracker) -> None:
        self.slot, self.tracker = slot, tracker
        self.job: Job | None = None
        self.connection, self._end = Pipe()

    @property
    def idle(self) -> bool:
        return self.job is None

    def answer(self, verdict: Verdict) -> None:
        raise AssertionError(verdict)

    def receive(self) -> Message:
        found: Message = self.connection.recv()
        if isinstance(found, TrialEnded):
            self.job = None
        return found

    def kill(self) -> WorkerDied | None:
        return None

    def leave(self) -> None:
        """It waits for nothing."""

    def close(self) -> None:
        self.connection.close()
