"""What runs are called in another store: MLflow gives a run that is copied an id of its own."""

import re
from collections.abc import Callable, Mapping
from typing import Any

LOCAL = "local-"
"""What the id of a run begins with that MLflow does not know yet; its key follows."""
_ID = re.compile(rf"\b(?:{LOCAL})?[0-9a-f]{{32}}\b")


def is_run_id(text: str) -> bool:
    """Say whether a text is written as MLflow writes a run's id."""
    return _ID.fullmatch(text) is not None and not text.startswith(LOCAL)


def renamed(content: Any, ids: Mapping[str, str]) -> Any:
    """Return a JSON document in which every run goes by its other name; those that are not in ``ids`` keep theirs."""
    return _replaced(content, lambda found: ids.get(found, found))


def unnamed(content: Any) -> Any:
    """Return a JSON document without the names of runs: what it says in any store."""
    return _replaced(content, lambda _: "run")


def _replaced(content: Any, other: Callable[[str], str]) -> Any:
    if isinstance(content, str):
        return _ID.sub(lambda found: other(found.group()), content)
    if isinstance(content, Mapping):
        return {_replaced(key, other): _replaced(value, other) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_replaced(value, other) for value in content]
    return content
