"""What a study's report says, section by section."""

from datetime import UTC, datetime

import optuna

from hms_search.search.data_config import SYNTHETIC
from hms_search.search.first_aim import first_aim
from hms_search.search.report import StudyReport, TrialRow, find_study, report_of
from hms_search.search.report_page.again import again_section
from hms_search.search.report_page.comparison import (
    NONE,
    Comparison,
    compare_trials,
    comparison_section,
    levels_table,
    measured,
    verdict_in_words,
)
from hms_search.search.report_page.curve_plots import Curve, curve_plots
from hms_search.search.report_page.facts import ENDED, StudyFacts
from hms_search.search.report_page.front import front_section
from hms_search.search.report_page.importance import importance_plot, importances
from hms_search.search.report_page.page import Block, Page, Plots, Section, Table, Words
from hms_search.search.report_page.plots import history_plot, parallel_plot, slice_plots
from hms_search.search.report_page.rounds import round_in_words, rounds_section
from hms_search.search.report_page.trials import all_trials_section, cost_section, failed_section, pruned_section
from hms_search.search.study_attributes import CONFIG_KEY, CONTRACT_KEY
from hms_search.tracking import RunReader
from hms_search.training.tasks import HMS

_FEW_TRIALS = 20


def study_page(storage: optuna.storages.BaseStorage, name: str, reader: RunReader | None) -> Page:
    """Return the report of a study; ``reader`` reads its MLflow runs, None leaves out what only they know.

    Raises StudyError where there is no such study, or one that hms-search did not make.
    """
    study = find_study(storage, name)
    report = report_of(study)
    facts = StudyFacts(first_aim(study), report, study.user_attrs[CONFIG_KEY], study.get_trials(deepcopy=False), reader)
    comparison = compare_trials(report, reader)
    sections = [
        _summary(facts, comparison),
        comparison_section(report, comparison),
        *([front_section(report)] if report.wanted.aims else []),
        again_section(report),
        *([rounds_section(report)] if len(report.rounds) > 1 else []),
        _about(facts),
        _history(facts),
        _parameters(facts),
        _curves(facts),
        pruned_section(facts),
        failed_section(facts),
        cost_section(facts),
        all_trials_section(facts),
    ]
    return Page(f"Study {name}", sections)


def _summary(study: StudyFacts, comparison: Comparison) -> Section:
    blocks: list[Block] = []
    if study.config["data"]["root"] == SYNTHETIC:
        blocks.append(Words("The recordings are SYNTHETIC: the scores say nothing about real EEG.", warning=True))
    leaking = {"random": "random slices", "files": "of files"}.get(study.config["folds"]["name"])
    if leaking:
        text = f"The folds are {leaking}: patients may be on both sides, and the scores flatter the models."
        blocks.append(Words(text, warning=True))
    blocks.append(Words(verdict_in_words(study.report, comparison)))
    if study.report.both_levels:
        blocks.append(levels_table(study.report))
    counts = study.report.outcomes
    ended = ", ".join(f"{counts[outcome]} {outcome}" for outcome in ENDED)
    done = sum(counts[outcome] for outcome in ENDED)
    others = "".join(f", {count} {outcome}" for outcome, count in sorted(counts.items()) if outcome not in ENDED)
    carried = _carried(study.report)
    blocks.append(Words(f"{done} of {study.report.total} trials have ended: {ended}{others}{carried}."))
    if len(study.report.rounds) > 1:
        blocks.append(Words(f"{round_in_words(study.report)}: see Rounds."))
    differing = _differing_versions(study)
    if differing:
        blocks.append(Words(f"Best and baseline ran with different versions: {differing}.", warning=True))
    return Section("Summary", blocks)


def _carried(report: StudyReport) -> str:
    """Return how many trials of other studies are among a study's, and of which, to go on a sentence; or nothing."""
    origins = [row.carried_from[0] for row in report.rows if row.carried_from]
    return f"; {len(origins)} more were carried over from {', '.join(dict.fromkeys(origins))}" if origins else ""


def _differing_versions(study: StudyFacts) -> str:
    best, baseline = study.report.best, study.report.baseline
    if best is None or baseline is None:
        return ""
    tags = [study.trial_tags(row) for row in (best, baseline)]
    names = [name for name in tags[0] if name.startswith("version_") or name == "git_commit"]
    return "; ".join(
        f"{name.removeprefix('version_')} {tags[0][name]} and {tags[1][name]}"
        for name in names
        if name in tags[1] and tags[0][name] != tags[1][name]
    )


def _about(study: StudyFacts) -> Section:
    config, contract = study.config, study.study.user_attrs.get(CONTRACT_KEY, {})
    tags = study.study_tags()
    folds, data = config["folds"], config["data"]
    ended = max((trial.datetime_complete for trial in study.trials if trial.datetime_complete), default=None)
    synthetic = f"synthetic, {data['synthetic']['patients']} patients, seed {data['synthetic']['seed']}"
    used = f"folds {', '.join(map(str, study.folds))} of {folds['n_folds']}"
    rows = {
        "study": study.report.name,
        "description": config["description"],
        "search space": f"{config['space']['name']}, {len(config['space']['parameters'])} parameters",
        "objective": f"mean over folds of the {measured(study.report)}",
        "aims and constraints": "; ".join(study.report.wanted.words),
        "folds": f"{folds['name']}, seed {folds['seed']}; {used}; {study.epochs} epochs each, {study.schedule}",
        "recordings": synthetic if data["root"] == SYNTHETIC else str(data["root"]),
        "sampling": data["sampling"]["name"] if study.report.task is HMS else "",
        "sampler and pruner": f"{config['sampler']['name']}, {config['pruner']['name']}",
        "seed": str(config["seed"]),
        **{f"fingerprint of the {part}": contract.get(part, NONE) for part in ("space", "data", "folds")},
        "first trial began (UTC)": _time(study.report.started),
        "last trial ended (UTC)": _time(ended),
        "report made (UTC)": _time(datetime.now(UTC)),
        "code (git commit)": tags.get("git_commit", "not recorded"),
        "versions": ", ".join(
            f"{tag.removeprefix('version_')} {version}" for tag, version in sorted(tags.items()) if "version_" in tag
        )
        or "not recorded",
    }
    table = Table("What the study ran on.", ["", "value"], [row for row in rows.items() if row[1]])
    return Section("The study", [table])


def _history(study: StudyFacts) -> Section:
    if study.report.best is None:
        return Section("Optimisation history", [Words("No trial has completed.")])
    baseline = study.report.baseline
    rows, said = study.drawn(study.with_outcome("complete"))
    plot = history_plot(rows, study.report.task, baseline=baseline.value if baseline else None)
    return Section("Optimisation history", [Plots([plot], wide=True), *said])


def _parameters(study: StudyFacts) -> Section:
    rows = study.with_outcome("complete")
    completed = len(rows)
    if completed < 2:
        return Section("Parameters", [Words(f"Too few trials have completed to tell: {completed}.")])
    baseline = study.report.own_baseline.number if study.report.own_baseline else None
    blocks: list[Block] = []
    if completed < _FEW_TRIALS:
        text = f"Only {completed} trials have completed: what follows shows where they lay, hardly what matters."
        blocks.append(Words(text))
    by_method, remarks = importances(study.study)
    if by_method:
        blocks.append(Plots([importance_plot(by_method)], wide=True))
        blocks.append(Words("fANOVA asks what explains the value over the whole space, PED-ANOVA what sets the best "
                            "tenth of the trials apart; where they disagree, trust neither."))  # fmt: skip
    blocks += [Words(remark) for remark in remarks]
    excerpt, said = study.excerpt(rows)
    blocks.append(Plots([parallel_plot(excerpt, study.report.task, baseline=baseline)], wide=True))
    blocks.append(Plots(slice_plots(excerpt, study.report.task)))
    return Section("Parameters", [*blocks, *said])


def _curves(study: StudyFacts) -> Section:
    best, baseline = (row.number if row else None for row in (study.report.best, study.report.own_baseline))
    rows, said = study.drawn(study.report.rows)
    curves = [curve for row in rows for curve in _curves_of(study, row, row.number in (best, baseline))]
    plots = curve_plots(curves, study.report.task, best=best, baseline=baseline)
    return Section("Learning curves", [Plots(plots), *said] if plots else [Words("No epoch has been validated.")])


def _curves_of(study: StudyFacts, row: TrialRow, with_training: bool) -> list[Curve]:
    values = study.trials[row.number].intermediate_values
    last, steps = max(values, default=-1), study.steps
    curves = []
    for position, fold in enumerate(study.folds):
        own = {epoch + 1: values[at] for epoch in range(steps.epochs) if (at := steps.at(position, epoch)) in values}
        if own:
            cut_short = len(own) < steps.epochs or steps.place(last).position == position
            stopped = cut_short and last + 1 < len(steps) and row.outcome != "running"
            training = study.training_loss(row, fold) if with_training else {}
            curves.append(Curve(row.number, fold, own, stopped, training))
    return curves


def _time(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if moment else NONE  # Optuna's are local
