"""Optuna marks some long-standing samplers and pruners as experimental; we use them knowingly."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from optuna.exceptions import ExperimentalWarning


@contextmanager
def knowingly() -> Iterator[None]:
    """Silence the notice that an interface may change in a later Optuna; our range of versions is fixed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield
