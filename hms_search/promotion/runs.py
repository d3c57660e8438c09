"""The MLflow run of a training outside the search: it ends with the training, whatever ends that."""

from collections.abc import Iterator
from contextlib import contextmanager

from hms_search.tracking import Run


@contextmanager
def ended_if_broken(run: Run) -> Iterator[None]:
    """End a run as interrupted by Ctrl-C, as failed by anything else that is raised in the context."""
    try:
        yield
    except BaseException as error:  # Ctrl-C too: the run must not stay open
        stopped = isinstance(error, KeyboardInterrupt)
        run.finish("interrupted" if stopped else "failed", reason=str(error), metrics={}, files={})
        raise
