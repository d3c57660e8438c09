"""The sections about single trials: pruned, failed, what each cost, and all of them."""

from collections.abc import Sequence

from hms_search.search.report import TrialRow
from hms_search.search.report_page.comparison import NONE, interval, parameter
from hms_search.search.report_page.excerpt import listed
from hms_search.search.report_page.facts import ENDED, StudyFacts
from hms_search.search.report_page.page import Block, Plots, Section, Table, Words
from hms_search.search.report_page.plots import timeline_plot


def pruned_section(study: StudyFacts) -> Section:
    """Return where each trial that was pruned here was stopped, what that saved, and a warning where all were."""
    own = [row for row in study.report.rows if row.carried_from is None]
    pruned = [row for row in own if row.outcome == "pruned"]
    spared = [Words(f"{study.report.spared}.")] if study.report.spared else []
    if not pruned:
        return Section("Pruned trials", [Words("No trial was pruned."), *spared])
    searched = [row for row in own if row.outcome in ENDED and not row.baseline]
    saved = sum(len(study.steps) - study.epochs_run(row) for row in pruned)
    share = len(pruned) / max(1, len(searched))
    text = f"{len(pruned)} of {len(searched)} trials besides the baseline ({share:.0%}) were pruned"
    blocks: list[Block] = [Words(f"{text}, which saved {saved} epochs."), *spared]
    if len(pruned) == len(searched):
        pruner = study.config["pruner"]["name"]
        why = f"the pruner ({pruner}) is probably too eager for this space, and the search has found nothing"
        blocks.append(Words(f"Every trial but the baseline was pruned: {why}.", warning=True))
    rows = []
    chosen, said = listed(pruned, study.report.name, last=True)
    for row in chosen:
        values = study.trials[row.number].intermediate_values
        step = max(values, default=None)
        if step is not None:
            position, epoch = study.steps.place(step)
            where = [str(study.folds[position]), str(epoch + 1)]
            share = len(values) / len(study.steps)
            rows.append([str(row.number), *where, f"{values[step]:.4f}", str(len(values)), f"{share:.0%}"])
    there = f"{study.report.task.symbol} there{study.report.task.unit}"
    columns = ["trial", "stopped in fold", "after epoch", there, "epochs run", "share of a whole trial"]
    return Section("Pruned trials", [*blocks, Table(f"Where each pruned trial was stopped.{said}", columns, rows)])


def failed_section(study: StudyFacts) -> Section:
    """Return why each failed trial failed."""
    failed = study.with_outcome("failed")
    if not failed:
        return Section("Failed trials", [Words("No trial failed.")])
    chosen, said = listed(failed, study.report.name, last=True)
    rows = [[str(row.number), str(study.epochs_run(row)), row.reason or "not recorded"] for row in chosen]
    table = Table(f"Why each failed trial failed.{said}", ["trial", "epochs run", "reason"], rows)
    return Section("Failed trials", [table])


def cost_section(study: StudyFacts) -> Section:
    """Return the time and the epochs spent, by outcome, and when each trial ran."""
    rows, epochs_in_all = [], sum(study.trained.values())
    for outcome in [*ENDED, "interrupted", "running"]:
        chosen = study.with_outcome(outcome)
        if chosen:
            rows.append(_cost_row(study, outcome, chosen, epochs_in_all))
    if not rows:
        return Section("Cost", [Words("No trial has been started.")])
    rows.append(_cost_row(study, "all", study.report.rows, epochs_in_all))
    columns = ["outcome", "trials", "epochs", "share of epochs", "time in all (min)", "time per trial (s)"]
    free = "" if len(study.trained) == len(study.trials) else "; those carried over or answered from the record cost 0"
    caption = f"What the trials cost, by how they ended; time of one worker each{free}."
    blocks: list[Block] = [Table(caption, columns, rows)]
    if any(trial.datetime_complete for trial in study.trials):
        excerpt, said = study.excerpt(study.report.rows)
        blocks += [Plots([timeline_plot(excerpt)], wide=True), *said]
    return Section("Cost", blocks)


def _cost_row(study: StudyFacts, outcome: str, rows: Sequence[TrialRow], epochs_in_all: int) -> list[str]:
    seconds = [row.seconds for row in rows if row.seconds is not None and row.number in study.trained]
    epochs = sum(study.trained.get(row.number, 0) for row in rows)
    share = f"{epochs / epochs_in_all:.0%}" if epochs_in_all else NONE
    times = [f"{sum(seconds) / 60:.1f}", f"{sum(seconds) / len(seconds):.1f}"] if seconds else [NONE, NONE]
    return [outcome, str(len(rows)), str(epochs), share, *times]


def _label(row: TrialRow) -> str:
    """Return a trial's number, and what it is: the baseline, or one of another study, with its number there."""
    origin = f"{row.carried_from[0]} {row.carried_from[1]}" if row.carried_from else ""
    said = ", ".join(filter(None, ("baseline" if row.baseline else "", origin)))
    return f"{row.number} ({said})" if said else str(row.number)


def all_trials_section(study: StudyFacts) -> Section:
    """Return every trial with its scores and parameters."""
    if not study.report.rows:
        return Section("All trials", [Words("No trial has been started.")])
    paths = list(dict.fromkeys(path for row in study.report.rows for path in row.params))
    rows = []
    task = study.report.task
    strata = {"KL on HIGH": "kl_high", "KL on LOW": "kl_low"}
    beside = strata if len(task.strata) > 1 else study.report.both_levels
    chosen, said = listed(study.report.best_first, study.report.name)
    for row in chosen:
        metrics = [f"{row.metrics[name]:.4f}" if name in row.metrics else NONE for name in beside.values()]
        rows.append(
            [
                _label(row),
                row.outcome,
                f"{row.value:.4f}" if row.value is not None else NONE,
                interval(*row.interval) if row.interval else NONE,
                *metrics,
                " ".join(f"{value:.4f}" for value in row.folds) or NONE,
                f"{row.seconds:.1f}" if row.seconds is not None else NONE,
                *(parameter(row.params.get(path)) for path in paths),
            ]
        )
    value = f"{task.symbol}{task.unit}"
    columns = ["trial", "outcome", value, "95 % interval", *beside, f"{task.symbol} by fold", "time (s)"]
    return Section("All trials", [Table(f"All trials, best first.{said}", [*columns, *paths], rows)])
