"""What trials that were run again are worth, in words and as the rows of a table, for whoever shows it."""

import math
from collections.abc import Sequence

from hms_search.search.repeated import Again, Gain, Repeated
from hms_search.training.tasks import Task

COLUMNS = ("trial", "in the search", "again", "sd", "gain in the search", "gain again", "95 % interval", "optimism", "")


def again_rows(found: Again) -> list[tuple[str, ...]]:
    """Return a row per trial under :data:`COLUMNS`, the baseline last."""
    return [_row(str(one.trial), one) for one in found.trials] + [_row("baseline", found.baseline)]


def again_in_words(found: Again, task: Task) -> str:
    """Return what was run again, and how to read the table."""
    times = f"{len(found.seeds)} other seed{'s' if len(found.seeds) > 1 else ''}"
    where = "each with folds of its own" if found.other_folds else "on the same folds"
    over = next((one.gain.over for one in found.trials if one.gain is not None and not one.gain.is_endless), None)
    interval = "" if over is None else f"; interval: 95 % over {over}"
    return (
        f"{task.measure} under {times}, {where}{interval}; sd: between repetitions; optimism: by how much the gain "
        "over the baseline was larger in the search, which chose by it"
    )


def verdicts(found: Again, best: int | None) -> list[str]:
    """Return what may be said of the trials' gains, one sentence each; ``best`` is the study's best trial now."""
    said = [_verdict(one) for one in found.trials]
    if len(found.trials) > 1 and (first := honest_best(found.trials)) is not None:
        said.append(f"best when run again: trial {first.trial}, of {len(found.trials)}")
    if best is not None and found.of(best) is None and best != found.baseline.trial:
        said.append(f"trial {best} is the best now and was not among them: run it again")
    return said


def honest_best(trials: Sequence[Repeated]) -> Repeated | None:
    """Return the trial with the greatest gain when run again; None where none is known."""
    known = [one for one in trials if one.gain is not None]
    return max(known, key=lambda one: one.gain.mean if one.gain is not None else -math.inf, default=None)


def _verdict(one: Repeated) -> str:
    if one.gain is None:
        failed = sum(value is None for value in one.values)
        why = f"{failed} of {len(one.values)} repetitions failed: {one.reason}" if failed else "the baseline failed"
        return f"trial {one.trial}: its gain is not known, {why}"
    if one.gain.is_endless:
        few = "one repetition: run it again more often" if one.gain.over == "seeds" else "one patient"
        gain = f"its gain of {one.gain.mean:.4f} over the baseline"
        return f"trial {one.trial}: whether {gain} is more than chance is not known from {few}"
    verb = "survives" if one.verdict == "survives" else "is within the noise"
    return f"trial {one.trial}: its gain of {one.gain.mean:.4f} {_interval(one.gain)} over the baseline {verb}"


def _row(name: str, one: Repeated) -> tuple[str, ...]:
    shown = (name, f"{one.recorded:.4f}", _number(one.mean), _number(one.spread))
    if one.gain is None:
        return (*shown, "", "", "", "", "")
    gain = one.gain
    interval = "" if gain.is_endless else _interval(gain)
    return (*shown, f"{gain.recorded:.4f}", f"{gain.mean:.4f}", interval, f"{gain.optimism:+.4f}", one.verdict)


def _interval(gain: Gain) -> str:
    return f"[{gain.low:.4f}, {gain.high:.4f}]"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
