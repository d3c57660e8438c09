"""Where each trial of a study stands: run here, run by another session, waiting to go on, or left by one that died.

What the others' trials reached is told to the policy, so that all sessions decide on the same record.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping

from optuna.trial import FrozenTrial, TrialState

from hms_search.search.events import Event, Notice
from hms_search.search.ledger import Ledger
from hms_search.search.outcomes import PAUSED_KEY, SAME_KEY, is_evidence
from hms_search.search.overview import Overview
from hms_search.search.peers import Peers, home_of, owner_of
from hms_search.search.policy import Policy

_KNOWN = -1
"""In place of the number of a trial's steps: the policy has been told of its end."""


class Standing:
    """Follows the trials that are not run here; :meth:`catch_up` is called exclusively."""

    def __init__(self, ledger: Ledger, policy: Policy, peers: Peers, *, notify: Callable[[Event], None]) -> None:
        self._ledger, self._policy, self._peers, self._notify = ledger, policy, peers, notify
        self.record = Overview(ledger.study)
        self.elsewhere: set[int] = set()
        """The numbers of the trials that other sessions run."""
        self.paused: dict[int, FrozenTrial] = {}
        """The trials that wait, by number."""
        self.away: set[int] = set()
        """Of those, the ones whose checkpoint another session has that lives."""
        self._followed: Counter[int] = Counter()

    def catch_up(self, running: Collection[int]) -> None:
        """Take in what became of all trials but those ``running`` here; queue again what nobody runs any more."""
        while self._read(running):  # what was queued again changes what there is
            pass

    def reached(self, number: int) -> None:
        """Take in that the policy was told of a step of a trial that is run here."""
        self._followed[number] += 1

    def ended(self, number: int) -> None:
        """Take in that the policy was told of the end of a trial that was run here."""
        self._followed[number] = _KNOWN

    def _read(self, running: Collection[int]) -> bool:
        """Read the trials; return whether some were queued again."""
        homes = self._peers.homes
        for found in (self.elsewhere, self.away, self.paused):
            found.clear()
        strays = []
        for trial in self.record.read():
            if trial.number in running:
                continue
            self._follow(trial)
            if trial.state == TrialState.RUNNING and not self._is_sorted(trial, homes):
                strays.append(trial)
        for trial in strays:
            again = self._ledger.run_again(trial)
            then = "it is run again" if again else "it has failed, as every session dies with it"
            self._notify(Notice(f"trial {trial.number} was left running by a session that died; {then}"))
        return bool(strays)

    def _is_sorted(self, trial: FrozenTrial, homes: Mapping[str, str]) -> bool:
        """Find out whether a trial is run elsewhere or waits; if neither, it was left by a session that died."""
        owner, mine = owner_of(trial), self._peers.session
        if owner in homes and owner != mine:
            self.elsewhere.add(trial.number)
        elif PAUSED_KEY in trial.user_attrs:
            if owner and not self._ledger.take_up(trial):
                return False
            self.paused[trial.number] = trial
            if home_of(trial) != homes[mine] and home_of(trial) in homes.values():
                self.away.add(trial.number)
        else:
            return False
        return True

    def _follow(self, trial: FrozenTrial) -> None:
        """Let the policy take in what it does not know of a trial."""
        known = self._followed[trial.number]
        if trial.state.is_finished():
            del self._followed[trial.number]
        if known == _KNOWN or SAME_KEY in trial.user_attrs:
            return
        if is_evidence(trial) or trial.state == TrialState.RUNNING:
            self._policy.replay(trial, known)
        elif known:
            self._policy.trial_ended(trial.number, "interrupted")
        if trial.state == TrialState.RUNNING:
            self._followed[trial.number] = len(trial.intermediate_values)
