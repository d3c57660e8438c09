"""The report's page: every kind of study makes one, and it says what is the case."""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from hms_search.compare import paired_differences
from hms_search.data.oof import OutOfFold, oof_bytes, out_of_fold
from hms_search.errors import StudyError
from hms_search.search.contract import contract_of, open_study
from hms_search.search.history import StudyHistory
from hms_search.search.lineage import FIRST_KEY, LINEAGE_KEY, Change, lineage_rows
from hms_search.search.report import find_report, report_of
from hms_search.search.report_page import Page, study_page
from hms_search.search.report_page.excerpt import DRAWN, LISTED, Excerpt, drawn
from hms_search.search.study import read_study
from hms_search.tracking import MlflowTracker, RunReader
from hms_search.training.metrics import kl_terms

QUICKSTART = Path(__file__).parents[2] / "studies" / "quickstart.yaml"
SECTIONS = (
    "Summary",
    "Best against baseline",
    "Run again",
    "The study",
    "Optimisation history",
    "Parameters",
    "Learning curves",
    "Pruned trials",
    "Failed trials",
    "Cost",
    "All trials",
)
SPACE: dict[str, BaseDistribution] = {
    "training.optimiser.lr": FloatDistribution(1e-4, 1e-2, log=True),
    "model.dropout": FloatDistribution(0, 0.5),
    "training.scheduler": CategoricalDistribution(["cosine", "one_cycle"]),
    "training.scheduler.max_lr": FloatDistribution(0, 1),
}


def trial(
    number: int,
    outcome: str = "complete",
    *,
    value: float = 0.5,
    params: Mapping[str, Any] | None = None,
    curve: Sequence[float] | None = None,
    **attributes: Any,
) -> FrozenTrial:
    """A trial of two folds of four epochs; the curve defaults to a whole one."""
    params = {"training.optimiser.lr": 1e-3 * (1 + number % 7)} if params is None else params
    steps = [value] * 8 if curve is None else curve
    states = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "running": TrialState.RUNNING}
    made = create_trial(
        state=states.get(outcome, TrialState.FAIL),
        value=value if outcome == "complete" else None,
        params=dict(params),
        distributions={path: SPACE[path] for path in params},
        intermediate_values=dict(enumerate(steps)),
        user_attrs={
            "outcome": outcome,
            "seconds": 10.0 + number,
            "baseline": number == 0,
            **({"folds": [value, value], "kl_interval_low": value - 0.1, "kl_interval_high": value + 0.1}),
            **attributes,
        },
    )
    made.number = number
    return made


def conditional(number: int) -> FrozenTrial:
    """A trial of a space in which a choice brings a parameter of its own."""
    rng = np.random.default_rng(number)
    cosine = bool(number % 2)
    params = {
        "training.optimiser.lr": float(10 ** rng.uniform(-4, -2)),
        "model.dropout": float(rng.uniform(0, 0.5)),
        "training.scheduler": "cosine" if cosine else "one_cycle",
        **({} if cosine else {"training.scheduler.max_lr": float(rng.random())}),
    }
    return trial(number, value=float(rng.normal(0.6, 0.05)), params=params)


def page_of(trials: Sequence[FrozenTrial], *settings: str, reader: RunReader | None = None) -> Page:
    config = read_study(QUICKSTART, settings)
    storage = optuna.storages.InMemoryStorage()
    study = open_study(config, contract_of(config, data="d" * 12, folds="f" * 12), storage)
    study.add_trials(trials)
    return study_page(storage, config.name, reader)


class Reading(HTMLParser):
    """What a page loads, the texts of its headings, and its words."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.headings: list[str] = []
        self.words = ""
        self._open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open.append(tag)
        found = dict(attrs)
        self.loads += [
            str(found[name]) for name in ("src", "href") if name in found and not str(found[name]).startswith("#")
        ]

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "h2":
            self.headings.append(data)
        if self._open and self._open[-1] not in ("script", "style"):
            self.words += data


BASELINE = trial(0, value=0.6)
EVERY_ONE_PRUNED = [BASELINE, *(trial(n, "pruned", curve=[0.9] * (1 + n % 6)) for n in range(1, 12))]
FAILED = [
    trial(0, "failed", curve=[], reason="no | memory <b>left</b>"),
    trial(1, "failed", curve=[0.9], reason="diverged"),
]
SPARED = [BASELINE, trial(1, value=0.4, spared_at=2), trial(2, value=0.7, spared_at=1), trial(3, "pruned", curve=[0.9])]
UNFINISHED = [BASELINE, trial(1, "interrupted", curve=[0.8] * 3), trial(2, "running", curve=[0.7])]
DIVERGED = [BASELINE, trial(1, "failed", curve=[math.nan, math.inf]), trial(2, value=0.55, curve=[1e9, *[0.5] * 7])]


@pytest.mark.parametrize(
    ("trials", "words"),
    [
        ([], ["No trial has completed", "No trial has been started", "0 of 20 trials have ended"]),
        ([BASELINE], ["it is the baseline itself", "Too few trials have completed to tell: 1"]),
        (EVERY_ONE_PRUNED, ["11 of 11 trials besides the baseline (100%)", "Every trial but the baseline was pruned"]),
        (SPARED, ["2 trials that would have been stopped were finished", "straight): 1 ended better than all"]),
        (FAILED, ["No trial has completed", "no | memory <b>left</b>", "2 failed"]),
        (UNFINISHED, ["1 of 20 trials have ended", "1 interrupted, 1 running"]),
        (DIVERGED, ["The best trial is 2", "1 failed"]),
        ([trial(n, value=0.5 + 0.01 * n) for n in range(3)], ["Importances need at least 4 completed trials"]),
        ([trial(n, value=0.5 + 0.01 * n) for n in range(9)], ["Only 9 trials have completed"]),
        ([trial(n) for n in range(9)], ["fANOVA says nothing about these trials"]),
        ([trial(n, params={}, value=1 - 0.01 * n) for n in range(9)], ["The best trial is 8"]),
        ([conditional(n) for n in range(40)], ["fANOVA leaves out parameters", "training.scheduler.max_lr"]),
    ],
    ids=[
        "none", "one", "all pruned", "spared", "all failed", "unfinished", "diverged", "three", "one parameter",
        "equal values", "no parameter", "forty conditional",
    ],
)  # fmt: skip
def test_every_kind_of_study_makes_a_whole_page(trials: list[FrozenTrial], words: list[str]) -> None:
    page = page_of(trials)
    html, markdown = Reading(page.html()), page.markdown()
    assert html.loads == []
    assert tuple(html.headings) == SECTIONS
    assert re.findall(r"^## (.*)$", markdown, flags=re.MULTILINE) == list(SECTIONS)
    for expected in words:
        assert expected in html.words
        assert expected.replace("|", "\\|") in markdown
    assert "nan" not in markdown.lower().split()


def test_the_page_shows_one_plot_per_fold_and_parameter_and_the_markdown_names_each() -> None:
    page = page_of([conditional(n) for n in range(12)])
    captions = re.findall(r"^- Plot: (.*)$", page.markdown(), flags=re.MULTILINE)
    assert sum(caption.startswith("Fold ") for caption in captions) == 2
    assert sum(caption.startswith("KL over ") for caption in captions) == len(SPACE)
    assert page.html().count("Plotly.newPlot(") >= len(captions)


def test_what_is_synthetic_or_leaks_is_said_first() -> None:
    assert "SYNTHETIC" in page_of([BASELINE]).markdown().splitlines()[4]
    markdown = page_of([BASELINE], "data.root=/recordings", "folds={name: random, n_folds: 2}").markdown()
    assert "SYNTHETIC" not in markdown
    assert "flatter" in markdown.splitlines()[4]


def test_pruned_trials_are_listed_with_the_fold_and_epoch_where_they_were_stopped() -> None:
    trials = [BASELINE, trial(1, value=0.5), trial(2, "pruned", curve=[0.9, 0.8]), trial(3, "pruned", curve=[0.9] * 7)]
    markdown = page_of(trials).markdown()
    assert "2 of 3 trials besides the baseline (67%) were pruned, which saved 7 epochs" in markdown
    assert "| 2 | 0 | 2 | 0.8000 | 2 | 25% |" in markdown
    assert "| 3 | 1 | 3 | 0.9000 | 7 | 88% |" in markdown
    assert "| pruned | 2 | 9 | 36% | 0.4 | 12.5 |" in markdown
    assert "| all | 4 | 25 | 100% | 0.8 | 11.5 |" in markdown


def test_the_cost_is_of_the_epochs_that_were_trained() -> None:
    trials = [
        BASELINE,
        trial(1, "interrupted", curve=[0.6] * 6),
        trial(2, value=0.4, retry_of=1),
        trial(3, value=0.4, same_as=2, seconds=0.0),
        trial(4, value=0.45, carried_from="quickstart_0#5"),
    ]
    config = read_study(QUICKSTART)
    assert StudyHistory(config, tuple(trials)).spent[0] == 16
    markdown = page_of(trials).markdown()
    assert "| complete | 4 | 10 | 62% | 0.4 | 11.0 |" in markdown  # the baseline's, and what was left of trial 1
    assert "| interrupted | 1 | 6 | 38% | 0.2 | 11.0 |" in markdown
    assert "| all | 5 | 16 | 100% | 0.6 | 11.0 |" in markdown


def test_what_was_answered_from_the_record_is_listed_but_not_chosen_from() -> None:
    trials = [BASELINE, trial(1, value=0.4), trial(2, value=0.4, same_as=1), trial(3, value=0.4, same_as=1)]
    markdown = page_of(trials).markdown()
    assert "The best of 2 completed trials looks better than it is" in markdown
    assert "| 3 | complete | 0.4000 |" in markdown


def test_epochs_of_folds_that_take_turns_are_shown_under_their_own_fold() -> None:
    curve = [0.81, 0.71, 0.82, 0.72, 0.83, 0.73, 0.84]
    page = page_of([BASELINE, trial(1, "pruned", curve=curve)], "schedule={name: interleaved}")
    assert "| 1 | 0 | 4 | 0.8400 | 7 | 88% |" in page.markdown()
    assert "4 epochs each, interleaved" in page.markdown()
    assert "[0.81,0.82,0.83,0.84,null]" in page.html()
    assert "[0.71,0.72,0.73,null]" in page.html()


def predictions(name: str, seed: int, *, hit: float) -> OutOfFold:
    """Predictions of 150 recordings that give the right class the probability ``hit`` or so."""
    rng = np.random.default_rng(9)
    classes = rng.integers(0, 6, 150)
    targets = np.eye(6)[classes]
    chance = np.random.default_rng(seed).uniform(hit - 0.1, hit + 0.1, 150)[:, None]
    samples = pd.DataFrame({"sample_id": np.arange(150), "patient_id": rng.integers(0, 30, 150)})
    samples["stratum"] = np.where(rng.random(150) < 0.4, "high", "low")
    folds = samples["patient_id"].to_numpy() % 2
    return out_of_fold(name, samples, folds, targets, targets * chance + (1 - targets) * (1 - chance) / 5)


Tracked = Callable[..., tuple[list[FrozenTrial], RunReader]]


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Tracked:
    """Baseline and best trial whose runs keep the given predictions, and the reader of the runs."""
    folder = tmp_path_factory.mktemp("tracking")
    uri = f"sqlite:///{folder}/mlflow.db"
    tracker = MlflowTracker(uri, folder / "artifacts", study="quickstart")

    def track(*kept: OutOfFold | None, torch: Sequence[str] = ("2.15", "2.15")) -> tuple[list[FrozenTrial], RunReader]:
        parent = tracker.start_study(tags={"git_commit": "abc", "version_torch": "2.15"}, texts={})
        trials = []
        for number, oof in enumerate(kept):
            tags = {"version_torch": torch[number]}
            run = tracker.start_run(f"trial {number}", parent_id=parent, params={}, tags=tags, texts={})
            run.log({"train_loss/fold0": 0.4}, step=0)
            run.finish("complete", metrics={}, files={"oof.parquet": oof_bytes(oof)} if oof else {})
            trials.append(trial(number, value=0.6 - 0.1 * number, mlflow_run_id=run.id))
        return trials, RunReader(uri)

    return track


def test_the_tables_hold_both_rows_and_the_paired_difference_by_stratum(tracked: Tracked) -> None:
    baseline, best = predictions("trial 0", 0, hit=0.5), predictions("trial 1", 1, hit=0.6)
    trials, reader = tracked(baseline, best)
    markdown = page_of(trials, reader=reader).markdown()
    losses = [kl_terms(one.targets, one.probabilities).sum(axis=1) for one in (best, baseline)]
    expected = paired_differences(losses[0], losses[1], best.patients, best.high)
    rows = {cells[0]: cells[1:] for line in markdown.splitlines() if len(cells := line.strip("| ").split(" | ")) > 5}
    assert rows["Optimised (trial 1)"][-2:] == [f"{expected['all'].mean:+.4f}", "better"]
    assert rows["Original (trial 0)"][:2] == ["0.001", "0.6000"]
    for name, stratum in (("all recordings", "all"), ("HIGH (10 votes or more)", "high")):
        one = expected[stratum]  # type: ignore[index]
        assert rows[name][:2] == [str(one.rows), str(one.patients)]
        assert rows[name][4:] == [f"{one.mean:+.4f}", f"[{one.low:+.4f}, {one.high:+.4f}]", "> 0.999", "better"]
    assert "LOW (fewer than 10 votes)" in rows
    assert "The best of 2 completed trials looks better than it is" in markdown
    assert "| code (git commit) | abc |" in markdown


def test_a_difference_that_may_be_chance_is_called_not_distinguishable(tracked: Tracked) -> None:
    trials, reader = tracked(predictions("trial 0", 0, hit=0.6), predictions("trial 1", 1, hit=0.6))
    assert "it is not distinguishable from the baseline" in page_of(trials, reader=reader).markdown()


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        ((None, None), "keeps no file 'oof.parquet'"),
        ((predictions("a", 0, hit=0.5), None), "keeps no file 'oof.parquet'"),
    ],
)
def test_missing_predictions_are_said_in_words(
    tracked: Tracked, kept: tuple[OutOfFold | None, ...], words: str
) -> None:
    trials, reader = tracked(*kept)
    markdown = page_of(trials, reader=reader).markdown()
    assert words in markdown
    assert "| Optimised (trial 1) |" in markdown
    assert "Table 2" not in markdown
    assert "MLflow runs, which keep the out-of-fold predictions, cannot be read" in page_of(trials).markdown()


def test_other_versions_behind_best_and_baseline_are_a_warning(tracked: Tracked) -> None:
    oof = predictions("trial", 0, hit=0.5)
    trials, reader = tracked(oof, oof, torch=("2.14", "2.15"))
    assert "different versions: torch 2.15 and 2.14" in page_of(trials, reader=reader).markdown()
    trials, reader = tracked(oof, oof)
    assert "different versions" not in page_of(trials, reader=reader).markdown()


def test_an_unknown_study_and_one_made_elsewhere_are_refused() -> None:
    storage = optuna.storages.InMemoryStorage()
    optuna.create_study(storage=storage, study_name="theirs")
    with pytest.raises(StudyError, match="no study 'ours'; there are: theirs"):
        study_page(storage, "ours", None)
    with pytest.raises(StudyError, match="was not made by hms-search"):
        study_page(storage, "theirs", None)


FIRST_CHANGES = (
    Change("model.dropout", "frozen", "0 to 0.5", "0.31415926", "its importance is within the noise", trials=12),
    Change("training.optimiser.lr", "narrowed", "0.0001 to 0.01, log", "0.001 to 0.01, log", "the best lie", trials=12),
)
LATER_CHANGES = (Change("training.optimiser.lr", "widened", "0.001 to 0.01, log", "0.001 to 0.1, log", "lies on", 20),)


def rounds_of(*later: Sequence[FrozenTrial]) -> optuna.storages.BaseStorage:
    """A search in rounds: a first one whose baseline lies outside of the later ones, which have these trials."""
    storage = optuna.storages.InMemoryStorage()
    first = [trial(n, value=0.6 - 0.01 * n, params={"model.dropout": 0.1 * n}) for n in range(3)]
    for number, trials in enumerate((first, *later), start=1):
        name = "quickstart" if number == 1 else f"quickstart.round{number}"
        config = read_study(QUICKSTART, (f"name={name}",))
        study = open_study(config, contract_of(config, data="d" * 12, folds="f" * 12), storage)
        if number > 1:
            study.set_user_attr(FIRST_KEY, "quickstart")
            changes = FIRST_CHANGES if number == 2 else LATER_CHANGES
            study.set_user_attr(LINEAGE_KEY, [asdict(change) for change in changes])
        study.add_trials(trials)
    return storage


def carried(number: int, origin: str, outcome: str = "complete", **given: Any) -> FrozenTrial:
    """A trial of a later round that was run in an earlier one, with a dropout of its own."""
    made = trial(number, outcome, carried_from=origin, baseline=False, **given)
    made.user_attrs["params"] = {**made.params, "model.dropout": 0.2}
    return made


def test_the_page_of_each_round_says_in_the_words_of_show_why_every_bound_moved() -> None:
    storage = rounds_of([carried(0, "quickstart#2")], [trial(0, value=0.4)])
    for name, number in (("quickstart", 1), ("quickstart.round2", 2), ("quickstart.round3", 3)):
        page = study_page(storage, name, None)
        html, markdown = Reading(page.html()), page.markdown()
        assert html.headings == [*SECTIONS[:3], "Rounds", *SECTIONS[3:]]
        assert f"This is round {number} of 3 of the search quickstart: see Rounds" in markdown
        for row in lineage_rows((*FIRST_CHANGES, *LATER_CHANGES)):
            assert f"| {' | '.join(row)} |" in markdown
            assert all(cell in html.words for cell in row)
        assert "study quickstart.round2" in markdown
        assert "the space follows from the round before; 2 of 2 parameters moved, by what 12 trials say" in markdown
    assert "| model.dropout | frozen | 0 to 0.5 | 0.3142 | its importance is within the noise |" in markdown
    assert "Round 3, study quickstart.round3 (this one)" in markdown


def test_a_baseline_outside_of_a_later_rounds_space_is_the_first_rounds() -> None:
    storage = rounds_of([carried(0, "quickstart#2", value=0.3), trial(1, value=0.4)])
    report = find_report(storage, "quickstart.round2")
    assert report.baseline is not None
    assert (report.baseline.value, report.own_baseline) == (0.6, None)
    assert report.trial_name(report.baseline) == "trial 0 of quickstart"
    assert "baseline_trial" not in report.metrics()
    markdown = study_page(storage, "quickstart.round2", None).markdown()
    assert "the baseline's is 0.6000" in markdown
    assert "not completed" not in markdown
    assert "| Optimised (trial 0) | 0.2 | 0.001 | 0.3000 |" in markdown  # it was run before its dropout was frozen
    assert "| Original (trial 0 of quickstart) | 0 | – | 0.6000 |" in markdown


def test_a_rounds_own_trials_are_told_with_what_was_frozen_before_it() -> None:
    storage = rounds_of([trial(0, value=0.4, baseline=False)], [carried(0, "quickstart.round2#0"), trial(1, value=0.3)])
    for name in ("quickstart.round2", "quickstart.round3"):
        assert "| 0.3142 | 0.00" in study_page(storage, name, None).markdown().split("| Optimised (")[1].split("\n")[0]


def test_what_was_pruned_in_an_earlier_round_is_not_told_again() -> None:
    later = [
        carried(0, "quickstart#1", "pruned", curve=[0.9]),
        carried(1, "quickstart#2", value=0.3, spared_at=2),
        trial(2, "pruned", curve=[0.9] * 3),
        trial(3, value=0.2, spared_at=1),
        trial(4, value=0.4),
    ]
    markdown = study_page(rounds_of(later), "quickstart.round2", None).markdown()
    assert "2 complete, 1 pruned, 0 failed; 2 more were carried over from quickstart." in markdown
    assert "1 of 3 trials besides the baseline (33%) were pruned, which saved 5 epochs." in markdown
    assert "1 trial that would have been stopped was finished all the same (floor, audit or straight): 1" in markdown
    assert "| 0 | 0 | 1 | 0.9000 |" not in markdown
    assert "| 1 (quickstart 2) | complete |" in markdown


EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"


class Scripts(HTMLParser):
    """What a browser would run of a page: its scripts, and handlers of its elements."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.n_scripts, self.handlers = 0, 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.n_scripts += tag == "script"
        self.handlers += sum(name.startswith("on") for name, _ in attrs)


def test_nothing_that_a_study_says_of_itself_becomes_a_script() -> None:
    def page(choice: str, text: str) -> str:
        space = {**SPACE, "training.scheduler": CategoricalDistribution(["cosine", choice])}
        trials = [trial(n, value=0.5 + 0.01 * (n % 5)) for n in range(9)]
        for made in trials:
            params = {"training.optimiser.lr": 1e-3, "training.scheduler": "cosine" if made.number % 2 else choice}
            made.distributions = {path: space[path] for path in params}
            made.params = params
        failed = trial(9, "failed", curve=[], reason=text)
        return page_of([*trials, failed], f"description={json.dumps(text)}").html()

    plain, evil = Scripts(page("one_cycle", "plain")), page(EVIL, EVIL)
    assert (Scripts(evil).n_scripts, Scripts(evil).handlers) == (plain.n_scripts, plain.handlers)
    assert EVIL in Reading(evil).words


def many(count: int) -> list[FrozenTrial]:
    """A large study: the baseline first, every third trial pruned, values that slowly fall."""
    rng = np.random.default_rng(0)
    values = 1 - np.arange(count) / (10 * count) + rng.normal(0, 0.02, count)
    return [
        trial(n, "pruned", curve=[0.9] * (1 + n % 5))
        if n % 3 == 1
        else trial(n, value=float(values[n]), params={"model.dropout": float(rng.uniform(0, 0.5))})
        for n in range(count)
    ]


def test_the_page_of_a_large_study_is_short_and_says_what_it_leaves_out() -> None:
    trials = many(900)
    page = page_of(trials)
    markdown, html = page.markdown(), page.html()
    tables = re.findall(r"(?:^\|.*\n)+", markdown, flags=re.MULTILINE)
    assert max(table.count("\n") for table in tables) == LISTED + 2  # its head and rule
    assert len(html) - len(page_of(many(DRAWN)).html()) < 100_000
    for said in (
        "The first 100 of 900; all are in trials.csv of the study's MLflow run, and shown by: hms-search show quickst",
        "The last 100 of 300; all are in trials.csv",
        f"Drawn are {DRAWN} of 600 trials: the best 100, the baseline, each that was the best so far",
        f"Drawn are {DRAWN} of 900 trials",
        "fANOVA is of 150 of the 600 completed trials, drawn at random",
    ):
        assert said in markdown
    assert "Drawn are" not in page_of(many(DRAWN)).markdown()


def test_the_best_the_baseline_and_each_best_so_far_are_always_drawn() -> None:
    storage = optuna.storages.InMemoryStorage()
    config = read_study(QUICKSTART)
    study = open_study(config, contract_of(config, data="d", folds="f"), storage)
    study.add_trials(many(900))
    report = report_of(study)
    completed = [row for row in report.rows if row.outcome == "complete"]
    chosen = drawn(report, completed)
    numbers = [row.number for row in chosen]
    assert len(chosen) == DRAWN
    assert numbers == sorted(numbers)
    assert {row.number for row in report.best_first[:100]} <= set(numbers)
    best = math.inf
    for row in completed:
        assert row.value is not None
        if row.value < best:
            best = row.value
            assert row.number in numbers
    assert max(np.diff(numbers)) < 30  # all the study is in sight
    assert [t.number for t in Excerpt(study, numbers[::2]).get_trials(deepcopy=False)] == numbers[::2]
    assert Excerpt(study, numbers[:1]).trials[0] == study.trials[numbers[0]]
