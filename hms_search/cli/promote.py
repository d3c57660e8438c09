"""``hms-search promote``: train final models and say how they stand."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from hms_search.cli.progress import StepProgress
from hms_search.compare import Difference
from hms_search.errors import ConfigError
from hms_search.inference.model_folder import ModelCard
from hms_search.inference.submission import OUTPUT
from hms_search.promotion.gate import Gate
from hms_search.promotion.promote import Promoted, PromotionRequest, promote
from hms_search.promotion.register import Standing
from hms_search.promotion.system import SystemRequest, rebuild
from hms_search.promotion.train import objective_of, seed_values
from hms_search.search.events import Event, Notice
from hms_search.search.places import Places
from hms_search.training.metrics import Stratum
from hms_search.training.tasks import TASKS, Task

_STRATA: dict[Stratum, str] = {"all": "all", "high": "HIGH", "low": "LOW"}


def promote_command(request: PromotionRequest, places: Places) -> None:
    """Promote, and print scores, gates and what is champion now."""
    console = Console(highlight=False, emoji=False)
    with StepProgress(console) as progress:
        promoted = promote(request, places, notify=lambda event: print_notice(event, console), progress=progress)
    _print_scores(f"study {request.study}", [one.model.card for one in promoted], console)
    for one in promoted:
        print_gate(one.gate, console)
    for one in promoted:
        print_standing(one.model.card.name, one.standing, console)
    _say_next(promoted, console)


def system_command(request: SystemRequest, places: Places) -> None:
    """Rebuild a system, and print its members' and its own scores, its gate, and what is champion now."""
    console = Console(highlight=False, emoji=False)
    with StepProgress(console) as progress:
        rebuilt = rebuild(request, places, notify=lambda event: print_notice(event, console), progress=progress)
    cards = [one.card for one in (*rebuilt.members, rebuilt.ensemble.model)]
    _print_scores(f"system {rebuilt.system.name}", cards, console)
    print_gate(rebuilt.ensemble.standing.gate, console)
    card = rebuilt.ensemble.model.card
    print_standing(card.name, rebuilt.ensemble.standing, console)
    console.print(f"to use it: {use_of(card)}", markup=False, soft_wrap=True)


def promoted_study(name: str | None) -> str:
    """Return the study's name; raises ConfigError where neither study nor system was named."""
    if name is None:
        raise ConfigError("nothing to promote: give a study's name (see hms-search ls), or --system NAME")
    return name


def scores_table(cards: Sequence[ModelCard]) -> Table:
    """Return a row per model of one task: its scores, and the spread of its seeds where there are several."""
    table = Table()
    spreads = [_spread(seed_values(card)) for card in cards]
    for name in ("model", *score_headings(TASKS[cards[0].task])):
        table.add_column(name, justify="left" if name == "model" else "right", no_wrap=True)
    if any(spreads):
        table.add_column("of each seed", justify="right")
    for card, spread in zip(cards, spreads, strict=True):
        table.add_row(card.name, *model_scores(card), *([spread] if any(spreads) else []))
    return table


def score_headings(task: Task) -> tuple[str, ...]:
    """Return what :func:`model_scores` are."""
    if task.levels:
        return (*task.levels, "all", "interval")
    return (*_STRATA.values(), "interval")


def model_scores(card: ModelCard) -> tuple[str, ...]:
    """Return the value on each stratum, or on folds of files and of patients and of all files by patient; its interval.

    The interval is on the objective's stratum, which is named unless it is all votes.
    """
    task, objective = TASKS[card.task], objective_of([card])
    names = [*task.levels.values(), *(task.metric.format(stratum=stratum) for stratum in task.strata)]
    values = [f"{card.scores[name]:.3f}" if name in card.scores else "" for name in names]
    low, high = (card.scores[end] for end in task.interval)
    of = "" if objective == "all" else f" {_STRATA[objective]}"
    return (*values, f"[{low:.3f}, {high:.3f}]{of}")


def how_to_read(task: Task) -> str:
    """Return what scores of a task's models are, in one line."""
    better = "lower" if task.direction == "minimize" else "higher"
    levels = ""
    if task.levels:
        levels = (
            "; file, patient: mean over folds of these; all: all rows together, on folds of patients, which decides"
        )
    return f"{task.measure}, {better} is better{levels}; interval: 95 % bootstrap over patients"


def print_gate(gate: Gate, console: Console) -> None:
    """Print a candidate's difference to each reference on each stratum, and the verdict."""
    decides = "folds of patients" if gate.task.levels else f"{_STRATA[gate.objective]} votes"
    console.print(f"gate of {gate.candidate} (decides: {decides})", markup=False)
    if not gate.comparisons:
        console.print("  nothing to compare with: it is the reference itself, and there is no champion", markup=False)
    for comparison in gate.comparisons:
        console.print(
            f"  against {comparison.role} {comparison.reference}: {gate.verdict(comparison)}",
            markup=False,
            soft_wrap=True,
        )
        for difference in comparison.differences.values():
            console.print(f"    {_difference(difference, gate.task)}", markup=False, soft_wrap=True)


def print_standing(name: str, standing: Standing, console: Console) -> None:
    """Print which version a model is and whether it is the champion, and why not."""
    if standing.version is None:
        console.print(f"{name}: not registered, there is no tracking store", markup=False)
        return
    version = f"{name}: version {standing.version.version} of {standing.version.name!r}"
    if standing.champion:
        forced = " by --force, recorded" if standing.gate.forced else ""
        console.print(f"{version}, champion{forced}", style="green", markup=False)
    else:
        side = "below" if standing.gate.task.direction == "minimize" else "above"
        why = f"the gate stays shut: not every interval lies {side} zero; --force overrides it and is recorded"
        console.print(f"{version}, not champion: {why}", style="yellow", markup=False, soft_wrap=True)


def use_of(card: ModelCard) -> str:
    """Return the command that predicts with a model."""
    return f"hms-search predict {card.name} --data ROOT -o {OUTPUT[card.task]}"


def print_notice(event: Event, console: Console) -> None:
    """Print an event that is a notice."""
    if isinstance(event, Notice):
        text = ("warning: " if event.warning else "") + event.text
        console.print(text, style="yellow", markup=False, soft_wrap=not console.is_terminal)


def _print_scores(of: str, cards: Sequence[ModelCard], console: Console) -> None:
    text = f"out-of-fold scores of {of}, {how_to_read(TASKS[cards[0].task])}"
    console.print(text, soft_wrap=not console.is_terminal)
    console.print(scores_table(cards))


def _difference(difference: Difference, task: Task) -> str:
    interval = f"[{difference.low:+.4f}, {difference.high:+.4f}]"
    count = f"{difference.rows} recordings of {difference.patients} patients"
    return (
        f"{_STRATA[difference.stratum]:<4} {task.symbol} {difference.mean:+.4f} {interval}, P(better) "
        f"{difference.probability_better:.3f}: {difference.verdict} ({count})"
    )


def _spread(values: Sequence[float]) -> str:
    if len(values) < 2:
        return ""
    return f"{min(values):.4f} to {max(values):.4f} ({len(values)})"


def _say_next(promoted: Sequence[Promoted], console: Console) -> None:
    best = promoted[0].model.card
    console.print(f"to use the best one: {use_of(best)}", markup=False, soft_wrap=True)
    if len(promoted) > 1:
        names = " ".join(one.model.card.name for one in promoted)
        console.print(f"to blend them: hms-search ensemble NAME --members {names}", markup=False, soft_wrap=True)
