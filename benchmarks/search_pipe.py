"""A peer's end of the pipe to :mod:`search_peers`; nothing but the standard library, for any interpreter."""

import json
import sys


def task() -> dict[str, object]:
    """Return what is to be searched: ``space``, ``total`` and ``seed``."""
    return json.loads(sys.stdin.readline())


def loss_after(params: dict[str, object], step: int) -> float | None:
    """Return the loss of a configuration after an epoch, None where it diverged; end when the budget is spent."""
    plain = {name: value.item() if hasattr(value, "item") else value for name, value in params.items()}
    print(json.dumps({"params": plain, "step": step}), flush=True)
    answer = sys.stdin.readline()
    if not answer:
        sys.exit()
    return json.loads(answer)
