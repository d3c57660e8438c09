"""The best trial of a study beside its baseline: the table of the Radboud report, and the difference in pairs."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hms_search.compare import Difference, losses_of, paired_differences
from hms_search.data.oof import OOF_FILE, OutOfFold, read_oof
from hms_search.errors import DataError, TrackingError
from hms_search.search.report import OPTIMISTIC, StudyReport, TrialRow
from hms_search.search.report_page.page import Block, Section, Table, Words
from hms_search.tracking import RunReader
from hms_search.training.metrics import Stratum, in_stratum
from hms_search.training.tasks import HMS

STRATA: Mapping[Stratum, str] = {
    "all": "all recordings",
    "high": "HIGH (10 votes or more)",
    "low": "LOW (fewer than 10 votes)",
}
NONE = "–"


@dataclass(frozen=True)
class Comparison:
    """Best against baseline by stratum: the KL of each and their difference; or why there is none."""

    differences: Mapping[Stratum, Difference]
    scores: Mapping[Stratum, tuple[float, float]]
    missing: str = ""


def compare_trials(report: StudyReport, reader: RunReader | None) -> Comparison:
    """Return the best trial against the baseline, from the out-of-fold predictions that their runs keep."""
    best, baseline = report.best, report.baseline
    if best is None or baseline is None:
        return Comparison({}, {}, "the baseline has not completed" if best else "no trial has completed")
    if best is baseline:
        return Comparison({}, {}, "the baseline itself is the best trial")
    if report.task is not HMS:
        return Comparison({}, {}, "trials of this task are compared when they are promoted, on folds of patients")
    if reader is None:
        return Comparison({}, {}, "the study's MLflow runs, which keep the out-of-fold predictions, cannot be read")
    try:
        candidate, reference = _oof(best, reader), _oof(baseline, reader)
        _check_same_rows(candidate, reference)
    except (TrackingError, DataError) as error:
        return Comparison({}, {}, str(error))
    mine, theirs = losses_of(candidate), losses_of(reference)
    differences = paired_differences(mine, theirs, candidate.patients, candidate.high)
    rows = {stratum: in_stratum(candidate.high, stratum) for stratum in differences}
    scores = {name: (float(mine[chosen].mean()), float(theirs[chosen].mean())) for name, chosen in rows.items()}
    return Comparison(differences, scores)


def comparison_section(report: StudyReport, comparison: Comparison) -> Section:
    """Return the table of the best and the baseline's parameters, their difference by stratum, and how to read it."""
    if report.best is None:
        return Section("Best against baseline", [Words("No trial has completed: there is nothing to compare.")])
    blocks: list[Block] = [_parameters_table(report, comparison)]
    if comparison.differences:
        blocks += [_differences_table(comparison), Words(_HOW_TO_READ)]
    else:
        blocks.append(Words(f"No paired comparison: {comparison.missing}."))
    n_candidates = len(report.candidates)
    if report.recheck is None and n_candidates > 1 and report.best is not report.baseline:
        too = f"{report.task.symbol} is too {'low' if report.task.direction == 'minimize' else 'high'}"
        believe = _PROMOTE if report.task is HMS else _PROMOTE_BY_PATIENT
        blocks.append(Words(_OPTIMISM.format(n=n_candidates, folds=report.n_folds, too=too) + believe))
    return Section("Best against baseline", blocks)


def verdict_in_words(report: StudyReport, comparison: Comparison) -> str:
    """Return what may be said of the best trial, in one sentence."""
    best, baseline = report.best, report.baseline
    if best is None:
        return "No trial has completed: there is no best trial."
    nats = " nats" if report.task is HMS else ""
    found = f"{OPTIMISTIC.capitalize()}. " if report.optimistic else ""
    found += f"The best trial is {best.number} with a {report.task.measure} of {best.value:.4f}{nats}"
    if best is baseline:
        return f"{found}: it is the baseline itself, the search found nothing better."
    if baseline is None:
        return f"{found}; the baseline has not completed."
    found += f", the baseline's is {baseline.value:.4f}"
    difference = comparison.differences.get(report.objective)
    if difference is None:
        return f"{found}. Whether that is more than chance is not known: {comparison.missing}."
    says = {
        "better": "better than the baseline beyond chance",
        "worse": "worse than the baseline beyond chance",
        "not distinguishable": "not distinguishable from the baseline",
    }[difference.verdict]
    ends = interval(difference.low, difference.high, signed=True)
    measured = f"{_signed(difference.mean)} nats, 95 % interval {ends}"
    choice = f"that it is the best of {len(report.candidates)} is not allowed for"
    return f"{found}. On the same recordings it is {says}: {measured}; {choice}."


def levels_table(report: StudyReport) -> Table:
    """Return the values of best and baseline on folds of files and on folds of patients, side by side."""
    rows = []
    for title, row in (("best", report.best), ("baseline", report.baseline)):
        found = row.metrics if row is not None else {}
        values = [f"{found[name]:.4f}" if name in found else NONE for name in report.both_levels.values()]
        rows.append([f"{title}{'' if row is None else f' ({report.trial_name(row)})'}", *values])
    caption = (
        f"The same configurations on {report.n_folds} folds of files and on as many of patients, mean over folds. "
        f"Trials are chosen by {report.level}. Files of a patient on both sides flatter: what new patients may expect "
        "is the score by patient."
    )
    return Table(caption, ["", *report.both_levels], rows)


def measured(report: StudyReport) -> str:
    """Return what a study's value is, with its unit and the rows or folds it is of."""
    where = f"folds by {report.level}" if report.task.levels else STRATA[report.objective]
    return f"{report.task.measure}{report.task.unit} on {where}"


def parameter(value: object) -> str:
    """Return a parameter's value as a table shows it."""
    return f"{value:.4g}" if isinstance(value, float) else NONE if value is None else str(value)


def interval(low: float, high: float, *, signed: bool = False) -> str:
    """Return an interval as a table shows it."""
    return f"[{_signed(low)}, {_signed(high)}]" if signed else f"[{low:.4f}, {high:.4f}]"


_HOW_TO_READ = (
    "Difference: mean over recordings of (Optimised - Original), negative where the optimised model is better. Its "
    "interval comes from a bootstrap over patients, because the recordings of one patient resemble each other, widened "
    "where patients are few or unequal. It is called better only where the whole interval is below zero. The KL of "
    "Table 2 is the mean over all out-of-fold recordings, that of Table 1 the study's own value, the mean over folds."
)
_OPTIMISM = (
    "The best of {n} completed trials looks better than it is: it was chosen on the {folds} folds that it is scored "
    "on, so its {too} by an amount that grows with the number of trials, and the interval does not know of "
    "that choice."
)
_PROMOTE = " Run the best again on other folds (hms-search recheck) before you believe it."
_PROMOTE_BY_PATIENT = " Promote it (hms-search promote): the gate compares it with the baseline on folds of patients."


def _parameters_table(report: StudyReport, comparison: Comparison) -> Table:
    best, baseline = report.best, report.baseline
    paths = list(dict.fromkeys(path for row in (baseline, best) if row is not None for path in report.all_params(row)))
    difference = comparison.differences.get(report.objective)
    unit = report.task.unit
    compared = [NONE, NONE] if difference is None else [_signed(difference.mean), difference.verdict]
    rows = []
    for title, row, cells in (("Optimised", best, compared), ("Original", baseline, [NONE] * 2)):
        if row is None:
            rows.append([f"{title} (not completed)", *[NONE] * (len(paths) + 4)])
            continue
        score = [f"{row.value:.4f}", interval(*row.interval) if row.interval else NONE]
        values = [parameter(report.all_params(row).get(path)) for path in paths]
        rows.append([f"{title} ({report.trial_name(row)})", *values, *score, *cells])
    return Table(
        f"Table 1: Hyperparameter values and {measured(report)}, mean over "
        f"{report.n_folds} folds. The top row shows the best values that were found, the bottom row the original ones.",
        ["", *paths, f"{report.task.symbol}{unit}", "95 % interval", f"difference{unit}", "verdict"],
        rows,
    )


def _differences_table(comparison: Comparison) -> Table:
    rows = []
    for stratum, one in comparison.differences.items():
        mine, theirs = comparison.scores[stratum]
        ends = interval(one.low, one.high, signed=True)
        counts = [str(one.rows), str(one.patients)]
        numbers = [f"{mine:.4f}", f"{theirs:.4f}", _signed(one.mean), ends, _probability(one.probability_better)]
        rows.append([STRATA[stratum], *counts, *numbers, one.verdict])
    return Table(
        "Table 2: Optimised against Original on the same recordings, by stratum.",
        ["stratum", "recordings", "patients", "Optimised KL (nats)", "Original KL (nats)", "difference (nats)",
         "95 % interval", "P(better)", "verdict"],
        rows,
    )  # fmt: skip


def _oof(row: TrialRow, reader: RunReader) -> OutOfFold:
    if not row.run_id:
        raise TrackingError(f"trial {row.number} ran without tracking, so its out-of-fold predictions were not kept")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / OOF_FILE
        path.write_bytes(reader.file(row.run_id, OOF_FILE))
        return read_oof(path, name=f"trial {row.number}")


def _check_same_rows(candidate: OutOfFold, reference: OutOfFold) -> None:
    if not np.array_equal(candidate.samples["sample_id"], reference.samples["sample_id"]):
        raise DataError(
            f"{candidate.name} and {reference.name} have predicted different recordings ({len(candidate)} and "
            f"{len(reference)}), which cannot be compared in pairs"
        )


def _probability(value: float) -> str:
    """Return a share of 2000 draws: what never happened among them may still happen."""
    return "> 0.999" if value > 0.999 else "< 0.001" if value < 0.001 else f"{value:.3f}"


def _signed(value: float) -> str:
    return f"{value:+.4f}"
