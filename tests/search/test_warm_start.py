from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial

from hms_search.errors import ConfigError, DataError, StudyError
from hms_search.search.carrying import carried
from hms_search.search.contract import contract_of, open_study
from hms_search.search.ledger import Ledger, Surroundings
from hms_search.search.outcomes import CARRIED_KEY, PARAMS_KEY, RETRY_KEY, SAME_KEY
from hms_search.search.overview import Overview
from hms_search.search.racing import Ground
from hms_search.search.space import SearchSpace
from hms_search.search.study import StudyConfig, read_study
from hms_search.search.warm_start import MOST_OF_A_STUDY, known_configurations
from hms_search.tracking import MemoryTracker

STUDY = """\
name: warm
space:
  name: warm
  base:
    pipeline: {source: spectrogram, normalise: {name: instance}, resize: [32, 48]}
    model: {name: timm, backbone: test_resnet, weights: none, dropout: 0.0}
    training: {epochs: 2, batch_size: 8, optimiser: {name: adamw, lr: 1.0e-3}}
  parameters:
    model.dropout: {type: float, low: 0.0, high: 0.5}
    training.batch_size: {type: int, low: 4, high: 16}
    pipeline.normalise: {type: categorical, choices: {instance: {name: instance}, datawide: {name: datawide}}}
data: {root: synthetic, sampling: {name: eeg_middle}}
device: cpu
"""


SCHEDULER = "training.scheduler"
WARMUP = "{type: float, low: 0, high: 1}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "warm.yaml"
    path.write_text(STUDY)
    return path


@pytest.fixture
def space(file: Path) -> SearchSpace:
    return read_study(file).space


@pytest.fixture
def storage() -> optuna.storages.InMemoryStorage:
    return optuna.storages.InMemoryStorage()


def earlier(storage: optuna.storages.InMemoryStorage, space: SearchSpace, dropouts: list[float]) -> None:
    """Run a study in which more dropout is better."""
    study = optuna.create_study(study_name="earlier", storage=storage)
    for dropout in dropouts:
        params = {"model.dropout": dropout, "training.batch_size": 8, "pipeline.normalise": "datawide"}
        study.enqueue_trial(params)
        trial = study.ask({path: parameter.distribution for path, parameter in space.parameters.items()})
        study.tell(trial, 1.0 - dropout)


def twin_of(book: Ledger, trial: optuna.Trial) -> FrozenTrial | None:
    record = Overview(book.study)
    record.read()
    return record.twin(trial.params)


def ledger(config: StudyConfig, storage: optuna.storages.InMemoryStorage, tmp_path: Path) -> Ledger:
    study = open_study(config, contract_of(config, data="d" * 12, folds="f" * 12), storage)
    return Ledger(config, study, Surroundings(MemoryTracker(), "study", {}, tmp_path, tmp_path, Ground((), ())))


def test_the_best_configurations_of_a_study_come_first_and_each_once(
    space: SearchSpace, storage: optuna.storages.InMemoryStorage
) -> None:
    earlier(storage, space, [0.1, 0.4, 0.2, 0.4, 0.3, 0.05, 0.15, 0.25])
    known = known_configurations(("earlier",), space, storage)
    assert [one.params["model.dropout"] for one in known] == [0.4, 0.3, 0.25, 0.2, 0.15]
    assert [one.origin for one in known] == ["earlier#1", "earlier#4", "earlier#7", "earlier#2", "earlier#6"]
    assert len(known) == MOST_OF_A_STUDY


def test_configurations_outside_the_space_are_left_out_and_a_study_without_any_is_refused(
    file: Path, space: SearchSpace, storage: optuna.storages.InMemoryStorage
) -> None:
    earlier(storage, space, [0.45, 0.3])
    narrow = read_study(file, ("space.parameters.model.dropout.high=0.4",)).space
    assert [one.params["model.dropout"] for one in known_configurations(("earlier",), narrow, storage)] == [0.3]
    nowhere = read_study(file, ("space.parameters.model.dropout.high=0.2",)).space
    with pytest.raises(StudyError, match="none of the 2 completed trials of study 'earlier' lies in space warm"):
        known_configurations(("earlier",), nowhere, storage)


def test_a_file_has_a_column_per_parameter_and_the_base_says_the_rest(
    tmp_path: Path, space: SearchSpace, storage: optuna.storages.InMemoryStorage
) -> None:
    table = tmp_path / "good.csv"
    table.write_text("training.batch_size,pipeline.normalise\n12,datawide\n8,instance\n4,instance\n")
    known = known_configurations((str(table),), space, storage)
    assert [dict(one.params) for one in known] == [
        {"model.dropout": 0.0, "training.batch_size": 12, "pipeline.normalise": "datawide"},
        {"model.dropout": 0.0, "training.batch_size": 4, "pipeline.normalise": "instance"},
    ]  # the second line is the baseline, which is tried anyway
    assert [one.origin for one in known] == [f"{table}:2", f"{table}:4"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("lr\n1\n", ":1: expected columns among model.dropout, .*found lr"),
        ("", ":1: expected columns among .*found none"),
        ("model.dropout\n0.9\n", ":2: model.dropout: expected a number from 0.0 to 0.5, found '0.9'"),
        ("training.batch_size\n4.5\n", ":2: training.batch_size: expected a whole number from 4 to 16.*, found '4.5'"),
        ("pipeline.normalise\nnone\n", ":2: pipeline.normalise: expected one of instance, datawide, found 'none'"),
        ("model.dropout,training.batch_size\n0.1\n", ":2: expected 2 values, found another number"),
        ("model.dropout,model.dropout\n0.1,0.2\n", ":1: expected each column once, found model.dropout again"),
        ("model.dropout\n", ":2: expected a row per configuration, found none"),
        ("model.dropout\n0.1\nü\n", "expected text in UTF-8, found byte 0xfc"),
    ],
)
def test_a_wrong_file_is_one_clear_line(
    tmp_path: Path, space: SearchSpace, storage: optuna.storages.InMemoryStorage, content: str, said: str
) -> None:
    table = tmp_path / "bad.csv"
    table.write_text(content, encoding="latin-1")
    with pytest.raises(ConfigError, match=said):
        known_configurations((str(table),), space, storage)


def test_a_source_that_does_not_exist_is_named(space: SearchSpace, storage: optuna.storages.InMemoryStorage) -> None:
    with pytest.raises(StudyError, match="no study 'nothing'; there are none"):
        known_configurations(("nothing",), space, storage)
    with pytest.raises(DataError, match=r"no file nothing\.csv"):
        known_configurations(("nothing.csv",), space, storage)


def test_a_file_in_a_study_is_found_beside_it_and_one_on_the_command_line_where_one_stands(file: Path) -> None:
    file.write_text(STUDY + "warm_start: [earlier, good.csv]\n")
    assert read_study(file).warm_start == ("earlier", str(file.parent / "good.csv"))
    assert read_study(file, ("warm_start=[mine.csv]",)).warm_start == ("mine.csv",)


def test_a_study_begins_with_its_baseline_and_then_what_is_known(
    file: Path, space: SearchSpace, storage: optuna.storages.InMemoryStorage, tmp_path: Path
) -> None:
    earlier(storage, space, [0.1, 0.4])
    config = read_study(file, ("warm_start=[earlier]",))
    for _ in range(2):  # a session that died while it queued them goes on where it was
        ledger(config, storage, tmp_path).begin()
    queued = ledger(config, storage, tmp_path)
    asked = [queued.study.ask() for _ in range(3)]
    dropouts = [trial.suggest_float("model.dropout", 0.0, 0.5) for trial in asked]
    assert dropouts == [0.0, 0.4, 0.1]
    assert [trial.user_attrs.get("warm_start") for trial in asked] == [None, "earlier#1", "earlier#0"]
    queued.begin()
    assert len(queued.study.trials) == 3


def test_a_configuration_that_was_trained_is_answered_from_the_record(
    file: Path, storage: optuna.storages.InMemoryStorage, tmp_path: Path
) -> None:
    config = read_study(file)
    book = ledger(config, storage, tmp_path)
    params = {"model.dropout": 0.2, "training.batch_size": 8, "pipeline.normalise": "datawide"}
    for _ in range(2):
        book.study.enqueue_trial(params)
    first, second = book.study.ask(), book.study.ask()
    config.space.suggest(first)
    config.space.suggest(second)
    assert twin_of(book, first) is None
    first.report(0.9, 0)
    first.report(0.7, 1)
    for name, value in {"folds": [0.7, 0.7], "kl_high": 0.6, "mlflow_run_id": "r1", "seconds": 8.0}.items():
        first.set_user_attr(name, value)
    book.study.tell(first, 0.7)
    twin = twin_of(book, second)
    assert twin is not None
    ended = book.answer(second, twin)
    assert (ended.outcome, ended.value, ended.run_id) == ("complete", 0.7, "r1")
    kept = book.study.trials[1]
    assert kept.value == 0.7
    assert kept.intermediate_values == {0: 0.9, 1: 0.7}
    assert kept.user_attrs[SAME_KEY] == 0
    assert (kept.user_attrs["seconds"], kept.user_attrs["kl_high"]) == (0.0, 0.6)


def test_a_configuration_that_was_pruned_is_pruned_again_and_an_interrupted_one_is_run(
    file: Path, storage: optuna.storages.InMemoryStorage, tmp_path: Path
) -> None:
    config = read_study(file)
    book = ledger(config, storage, tmp_path)
    params = {"model.dropout": 0.2, "training.batch_size": 8, "pipeline.normalise": "datawide"}
    for _ in range(3):
        book.study.enqueue_trial(params)
    trials = [book.study.ask() for _ in range(3)]
    for trial in trials:
        config.space.suggest(trial)
    book.study.tell(trials[0], state=optuna.trial.TrialState.FAIL)
    assert twin_of(book, trials[1]) is None
    trials[1].report(0.9, 0)
    book.study.tell(trials[1], state=optuna.trial.TrialState.PRUNED)
    twin = twin_of(book, trials[2])
    assert twin is not None
    ended = book.answer(trials[2], twin)
    assert (ended.outcome, ended.value) == ("pruned", None)
    assert book.study.trials[2].state == optuna.trial.TrialState.PRUNED


def test_a_table_as_excel_and_pandas_write_it_is_read(
    tmp_path: Path, space: SearchSpace, storage: optuna.storages.InMemoryStorage
) -> None:
    table = tmp_path / "good.csv"
    table.write_bytes("model.dropout,training.batch_size\r\n0.2,12.0\r\n".encode("utf-8-sig"))
    (known,) = known_configurations((str(table),), space, storage)
    assert (known.params["model.dropout"], known.params["training.batch_size"]) == (0.2, 12)
    assert isinstance(known.params["training.batch_size"], int)


def test_a_value_beside_the_grid_is_refused(file: Path, storage: optuna.storages.InMemoryStorage) -> None:
    space = read_study(file, ("space.parameters.model.dropout={type: float, low: 0, high: 0.5, step: 0.1}",)).space
    table = file.parent / "grid.csv"
    table.write_text("model.dropout\n0.3\n")
    (known,) = known_configurations((str(table),), space, storage)
    assert known.params["model.dropout"] == 0.3
    table.write_text("model.dropout\n0.15\n")
    with pytest.raises(ConfigError, match=r"expected a number from 0\.0 to 0\.5 in steps of 0\.1, found '0\.15'"):
        known_configurations((str(table),), space, storage)


def test_what_a_study_had_fixed_is_taken_over_with_its_trials(
    file: Path, space: SearchSpace, storage: optuna.storages.InMemoryStorage
) -> None:
    source = read_study(file, ("space.base.model.dropout=0.42", "name=fixed"))
    parameters = {path: one for path, one in source.space.parameters.items() if path != "model.dropout"}
    source = source.model_copy(update={"space": source.space.model_copy(update={"parameters": parameters})})
    study = open_study(source, contract_of(source, data="d" * 12, folds="f" * 12), storage)
    study.enqueue_trial({"training.batch_size": 12, "pipeline.normalise": "datawide"})
    trial = study.ask({path: one.distribution for path, one in parameters.items()})
    study.tell(trial, 0.5)
    (known,) = known_configurations(("fixed",), space, storage)
    assert known.params == {"model.dropout": 0.42, "training.batch_size": 12, "pipeline.normalise": "datawide"}


def test_what_a_study_had_fixed_is_the_choice_that_it_becomes(
    file: Path, storage: optuna.storages.InMemoryStorage
) -> None:
    path, choices = "training.scheduler", "{plain: {name: cosine}, warm: {name: cosine, warmup_epochs: 1}}"
    both = read_study(file, (f"space.parameters.{path}={{type: categorical, choices: {choices}}}",)).space
    source = read_study(file, ("name=fixed", f"space.base.{path}={{name: cosine, warmup_epochs: 1}}"))
    study = open_study(source, contract_of(source, data="d" * 12, folds="f" * 12), storage)
    study.enqueue_trial(source.space.baseline())
    study.tell(study.ask(source.space.distributions), 0.5)
    (known,) = known_configurations(("fixed",), both, storage)
    assert known.params[path] == "warm"


def test_configurations_at_a_step_are_tried_once_whatever_the_arithmetic_of_floats(
    file: Path, storage: optuna.storages.InMemoryStorage, tmp_path: Path
) -> None:
    tenths = "space.parameters.model.dropout={type: float, low: 0.1, high: 0.4, step: 0.1}"
    config = read_study(file, (tenths, "space.base.model.dropout=0.3"))
    earlier(storage, config.space, [0.1 + 2 * 0.1, 0.2, 0.1 + 0.1])
    known = known_configurations(("earlier",), config.space, storage)
    assert [one.params["model.dropout"] for one in known] == [0.3, 0.2]
    book, params = ledger(config, storage, tmp_path), config.space.baseline()
    for dropout in (0.3, 0.1 + 2 * 0.1):
        book.study.enqueue_trial({**params, "model.dropout": dropout})
    first, second = book.study.ask(), book.study.ask()
    config.space.suggest(first)
    config.space.suggest(second)
    assert first.params != second.params
    book.study.tell(first, 0.7)
    twin = twin_of(book, second)
    assert twin is not None
    assert twin.number == first.number


def test_a_carried_trial_that_ran_beside_its_step_is_a_twin(
    file: Path, storage: optuna.storages.InMemoryStorage, tmp_path: Path
) -> None:
    config = read_study(file, ("space.parameters.model.dropout={type: float, low: 0.0, high: 0.4, step: 0.1}",))
    book, params = ledger(config, storage, tmp_path), config.space.baseline()
    made = optuna.trial.create_trial(
        value=0.6,
        params={**params, "model.dropout": 0.3},
        distributions=config.space.distributions,
        user_attrs={CARRIED_KEY: "a#1", PARAMS_KEY: {**params, "model.dropout": 0.1 + 2 * 0.1}, "outcome": "complete"},
    )
    book.study.add_trial(made)
    book.study.enqueue_trial({**params, "model.dropout": 0.3})
    asked = book.study.ask()
    config.space.suggest(asked)
    assert twin_of(book, asked) is not None


def test_a_trial_of_a_round_before_is_a_twin_unless_other_values_were_frozen_since(
    file: Path, storage: optuna.storages.InMemoryStorage, tmp_path: Path
) -> None:
    config = read_study(file)
    book, params = (
        ledger(config, storage, tmp_path),
        {"model.dropout": 0.2, "training.batch_size": 8, "pipeline.normalise": "datawide"},
    )
    distributions = {path: one.distribution for path, one in config.space.parameters.items()}
    for origin, ran in (("a#0", {**params, "model.dropout": 0.3}), ("a#1", {**params, "training.optimiser.lr": 1e-3})):
        shown = {path: ran[path] for path in distributions}
        attributes = {CARRIED_KEY: origin, PARAMS_KEY: ran, "outcome": "complete", "kl_high": 0.5}
        book.study.add_trial(
            optuna.trial.create_trial(value=0.6, params=shown, distributions=distributions, user_attrs=attributes)
        )
    for one in ({**params, "model.dropout": 0.3}, params):
        book.study.enqueue_trial(one)
    known, unknown = book.study.ask(), book.study.ask()
    config.space.suggest(known)
    config.space.suggest(unknown)
    twin = twin_of(book, known)
    assert twin is not None
    assert twin_of(book, unknown) is None
    book.answer(known, twin)
    kept = book.study.trials[known.number].user_attrs
    assert (kept[SAME_KEY], kept["kl_high"]) == (0, 0.5)
    assert not kept.keys() & {CARRIED_KEY, PARAMS_KEY}  # it was asked for here, and counts here


def tried(config: StudyConfig, storage: optuna.storages.InMemoryStorage, *params: dict[str, Any]) -> optuna.Study:
    """Run trials of a study with these parameters, the base's where there are none, each better than the one before."""
    study = open_study(config, contract_of(config, data="d" * 12, folds="f" * 12), storage)
    for some in params:
        study.enqueue_trial({**config.space.baseline(), **some})
        trial = study.ask()
        config.space.suggest(trial)
        study.tell(trial, 1 / (1 + trial.number))
    return study


def with_choices(file: Path, name: str, path: str, choices: str) -> StudyConfig:
    return read_study(file, (f"name={name}", f"space.parameters.{path}={{type: categorical, choices: {choices}}}"))


def test_a_choice_is_known_by_what_it_becomes_whatever_its_name(
    file: Path, storage: optuna.storages.InMemoryStorage
) -> None:
    tried(with_choices(file, "old", SCHEDULER, "{a: {name: cosine}, b: {name: one_cycle}}"), storage, {SCHEDULER: "b"})
    for choices, name in (
        ("{a: {name: one_cycle}, b: {name: cosine}}", "a"),
        ("{cos: {name: cosine}, once: {name: one_cycle, pct_start: 0.3}}", "once"),
    ):
        space = with_choices(file, "new", SCHEDULER, choices).space
        (known,) = known_configurations(("old",), space, storage)
        assert space.suggest(optuna.trial.FixedTrial(dict(known.params))).training.scheduler.name == "one_cycle"
        assert known.params[SCHEDULER] == name
    others = with_choices(file, "new", SCHEDULER, "{cos: {name: cosine}, step: {name: step}}").space
    with pytest.raises(StudyError, match="none of the 1 completed trials of study 'old' lies in space warm"):
        known_configurations(("old",), others, storage)


def test_what_lies_in_a_component_is_that_of_the_one_that_was_chosen(
    file: Path, storage: optuna.storages.InMemoryStorage
) -> None:
    choices = "{warm: {name: cosine, warmup_epochs: 1}, once: {name: one_cycle}, plain: {name: cosine}}"
    tried(with_choices(file, "old", SCHEDULER, choices), storage, {SCHEDULER: "warm"}, {SCHEDULER: "once"})
    path = f"{SCHEDULER}.warmup_epochs"
    inside = read_study(file, (f"space.base.{SCHEDULER}={{name: cosine}}", f"space.parameters.{path}={WARMUP}")).space
    (known,) = known_configurations(("old",), inside, storage)
    assert (known.params[path], known.origin) == (1.0, "old#0")


def test_a_carried_trial_is_started_with_as_it_ran(file: Path, storage: optuna.storages.InMemoryStorage) -> None:
    choices = "{a: {name: cosine}, b: {name: one_cycle}}"
    first = with_choices(file, "first", SCHEDULER, choices)
    before = tried(first, storage, {SCHEDULER: "b", "model.dropout": 0.4})
    second = read_study(file, ("name=second",))  # the scheduler is frozen
    study = open_study(second, contract_of(second, data="d" * 12, folds="f" * 12), storage)
    study.add_trials(carried(before.trials, second.space, study="first"))
    space = with_choices(file, "new", SCHEDULER, "{a: {name: one_cycle}, b: {name: cosine}}").space
    (known,) = known_configurations(("second",), space, storage)
    assert (known.params[SCHEDULER], known.params["model.dropout"], known.origin) == ("a", 0.4, "second#0")


def test_a_trial_that_exceeds_a_constraint_comes_last(file: Path, storage: optuna.storages.InMemoryStorage) -> None:
    limited = ("constraints=[{metric: parameters, at_most: 1e6}]", "sampler={name: tpe}")
    source = read_study(file, ("name=old", *limited))
    study = tried(source, storage, {"model.dropout": 0.1}, {"model.dropout": 0.2})
    study.enqueue_trial({**source.space.baseline(), "model.dropout": 0.3})
    trial = study.ask(source.space.distributions)
    trial.set_constraint("parameters", 0.5)
    study.tell(trial, 0.01)
    known = known_configurations(("old",), source.space, storage)
    assert [one.origin for one in known] == ["old#1", "old#0", "old#2"]


def test_of_equally_good_trials_the_one_whose_first_attempt_was_earlier_comes_first(
    space: SearchSpace, storage: optuna.storages.InMemoryStorage
) -> None:
    study = optuna.create_study(study_name="earlier", storage=storage)
    for dropout, value, attributes in ((0.1, None, {}), (0.2, 0.5, {}), (0.1, 0.5, {RETRY_KEY: 0})):
        study.enqueue_trial({**space.baseline(), "model.dropout": dropout}, user_attrs=attributes)
        trial = study.ask(space.distributions)
        study.tell(trial, value, optuna.trial.TrialState.FAIL if value is None else None)
    known = known_configurations(("earlier",), space, storage)
    assert [one.origin for one in known] == ["earlier#2", "earlier#1"]


def test_blanks_beside_the_commas_of_a_file_are_passed_over(
    tmp_path: Path, space: SearchSpace, storage: optuna.storages.InMemoryStorage
) -> None:
    table = tmp_path / "good.csv"
    table.write_text("model.dropout , pipeline.normalise\n 0.2, datawide \n")
    (known,) = known_configurations((str(table),), space, storage)
    assert (known.params["model.dropout"], known.params["pipeline.normalise"]) == (0.2, "datawide")


def origins(book: Ledger) -> list[str]:
    return [one.user_attrs["warm_start"] for one in book.study.trials if "warm_start" in one.user_attrs]


def test_a_source_that_is_named_later_is_asked_and_each_source_once(
    file: Path, space: SearchSpace, storage: optuna.storages.InMemoryStorage, tmp_path: Path
) -> None:
    table = tmp_path / "good.csv"
    table.write_text("model.dropout\n0.2\n")
    config = read_study(file, (f"warm_start=[{table}]", "trials=4"))
    book = ledger(config, storage, tmp_path)
    book.begin()
    for _ in range(2):
        trial = book.study.ask()
        config.space.suggest(trial)
        book.study.tell(trial, 0.5)
    table.unlink()
    earlier(storage, space, [0.1])
    later = read_study(file, (f"warm_start=[{table}, earlier]", "trials=4"))
    ledger(later, storage, tmp_path).begin()
    assert origins(book) == [f"{table}:2", "earlier#0"]
    ledger(later, storage, tmp_path).begin()
    assert len(book.study.trials) == 3


def test_what_a_source_gets_after_it_was_asked_is_left_and_a_study_without_trials_to_start_asks_none(
    file: Path, space: SearchSpace, storage: optuna.storages.InMemoryStorage, tmp_path: Path
) -> None:
    source = with_choices(file, "old", SCHEDULER, "{plain: {name: cosine}}")
    tried(source, storage, {"model.dropout": 0.1})
    config = read_study(file, ("trials=1", "warm_start=[old]"))
    book = ledger(config.model_copy(update={"warm_start": ()}), storage, tmp_path)
    book.begin()
    trial = book.study.ask()
    config.space.suggest(trial)
    book.study.tell(trial, 0.5)
    ledger(config, storage, tmp_path).begin()
    assert origins(book) == []
    more = config.model_copy(update={"trials": 9})
    for _ in range(2):
        ledger(more, storage, tmp_path).begin()
        assert origins(book) == ["old#0"]
        tried(source, storage, {"model.dropout": 0.3})


class Killed(Exception):
    """Stands for kill -9."""


def test_a_session_killed_as_it_queued_a_later_source_leaves_none_of_it_out(
    file: Path,
    storage: optuna.storages.InMemoryStorage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = read_study(file)
    book = ledger(config, storage, tmp_path)
    book.begin()
    trial = book.study.ask()
    config.space.suggest(trial)
    book.study.tell(trial, 0.5)
    tried(read_study(file, ("name=old",)), storage, {"model.dropout": 0.1}, {"model.dropout": 0.2})
    warm = read_study(file, ("warm_start=[old]",))
    queue = optuna.Study.enqueue_trial

    def once(study: optuna.Study, params: dict[str, Any], **given: Any) -> None:
        if origins(book):
            raise Killed
        queue(study, params, **given)

    with monkeypatch.context() as patched:
        patched.setattr(optuna.Study, "enqueue_trial", once)
        with pytest.raises(Killed):
            ledger(warm, storage, tmp_path).begin()
    ledger(warm, storage, tmp_path).begin()
    assert origins(book) == ["old#1", "old#0"]


def test_a_study_that_kept_no_sources_has_asked_those_that_its_trials_come_from(
    file: Path, space: SearchSpace, storage: optuna.storages.InMemoryStorage, tmp_path: Path
) -> None:
    config = read_study(file, ("warm_start=[earlier, good.csv]",))
    book = ledger(config, storage, tmp_path)
    for origin in ("earlier#3", "good.csv:2"):  # as an earlier version queued them
        book.study.enqueue_trial(space.baseline(), user_attrs={"warm_start": origin})
    trial = book.study.ask()
    config.space.suggest(trial)
    book.study.tell(trial, 0.5)
    book.begin()  # neither is there any more
    assert len(book.study.trials) == 2


def sessions_died_with(book: Ledger, *, reached: Iterator[int]) -> FrozenTrial:
    """Let one session after the other die with the same trial after so many epochs; return it when it is not queued."""
    while any(trial.state == optuna.trial.TrialState.WAITING for trial in book.study.trials):
        trial = book.study.ask()
        for step in range(next(reached)):
            trial.report(0.9, step)
        book.run_again(book.study.trials[trial.number])
    return book.study.trials[-1]


def test_a_trial_that_ends_every_session_in_the_same_epoch_is_failed_and_one_that_gets_further_goes_on(
    file: Path, storage: optuna.storages.InMemoryStorage, tmp_path: Path
) -> None:
    book = ledger(read_study(file), storage, tmp_path)
    book.study.enqueue_trial({"model.dropout": 0.2}, user_attrs={"baseline": True})
    last = sessions_died_with(book, reached=chain(range(20), repeat(20)))
    assert len(book.study.trials) == 20 + 11
    assert last.user_attrs["outcome"] == "failed"
    assert last.user_attrs["reason"] == "11 sessions in turn died in its epoch 21"
    assert {trial.user_attrs["outcome"] for trial in book.study.trials[:-1]} == {"interrupted"}
    assert last.user_attrs["baseline"]
