"""Trials read as plain rows are the trials that Optuna reads."""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import optuna
import pytest
import sqlalchemy
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial

from hms_search.errors import ConfigError
from hms_search.search.patient_storage import (
    parameters_together,
    set_intermediate_values,
    set_study_system_attrs,
    set_system_attrs,
    set_user_attrs,
    told_together,
    undisturbed,
)
from hms_search.search.row_storage import RowStorage
from hms_search.search.storage import open_storage

PARAMS = {"lr": 1e-3, "layers": 6, "norm": None, "flip": True}
DISTRIBUTIONS = {
    "lr": FloatDistribution(1e-4, 1e-1, log=True),
    "layers": IntDistribution(2, 8, step=2),
    "norm": CategoricalDistribution([None, "instance", 3]),
    "flip": CategoricalDistribution([True, False]),
}


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'optuna.db'}"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest) -> str:
    """A database of either kind."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@contextmanager
def both(url: str) -> Iterator[tuple[RowStorage, RDBStorage]]:
    """Our storage and Optuna's on the same database."""
    address = url.replace("postgresql://", "postgresql+psycopg://")
    ours, optunas = RowStorage(address), RDBStorage(address)
    try:
        yield ours, optunas
    finally:
        for storage in (ours, optunas):
            storage.remove_session()
            storage.engine.dispose()


def fill(storage: RDBStorage, name: str) -> optuna.Study:
    """Make a study with a trial of every state, with every kind of value, parameter and attribute."""
    study = optuna.create_study(study_name=name, storage=storage, directions=["minimize", "maximize"])
    study.set_user_attr("config", {"a": [1, 2]})
    study._storage.set_study_system_attr(study._study_id, "dashboard:1:note_ver", 1)
    for state, values in (
        (TrialState.COMPLETE, [0.5, math.inf]),
        (TrialState.COMPLETE, [-math.inf, 2.0]),
        (TrialState.PRUNED, None),
        (TrialState.FAIL, None),
    ):
        made = create_trial(
            state=state, values=values, params=PARAMS, distributions=DISTRIBUTIONS, user_attrs={"b": 1, "a": "ä"}
        )
        made.set_constraint("memory", 0.25)
        study.add_trial(made)
    running = study.ask(DISTRIBUTIONS)
    for step, value in ((1, 0.25), (0, math.inf), (2, -math.inf)):
        study._storage.set_trial_intermediate_value(running._trial_id, step, value)
    running.set_user_attr("folds", [1.5, None])
    study.enqueue_trial({"lr": 0.01}, user_attrs={"baseline": True})
    return study


def test_all_that_optuna_keeps_is_read_as_optuna_reads_it(url: str) -> None:
    with both(url) as (ours, optunas):
        studies = [fill(optunas, "one"), fill(optunas, "two"), optuna.create_study(study_name="3", storage=optunas)]
        for study in studies:
            number = study._study_id
            assert ours.get_all_trials(number) == optunas.get_all_trials(number)
            assert ours.get_study_system_attrs(number) == optunas.get_study_system_attrs(number)
            for trial in optunas.get_all_trials(number):
                mine = ours.get_trial(trial._trial_id)
                assert mine == trial
                assert mine.constraints == trial.constraints
                assert list(mine.params) == list(trial.params)
        ids = [trial._trial_id for trial in optunas.get_all_trials(studies[1]._study_id)]
        for states, named, after in (
            ((TrialState.COMPLETE,), set(), -1),
            (None, {ids[0], ids[2], ids[-1]}, ids[3]),
            ((TrialState.FAIL, TrialState.RUNNING), {ids[0], ids[3]}, ids[3]),
            (None, set(), ids[-1]),
        ):
            arguments = (studies[1]._study_id, states, named, after)
            assert ours._get_trials(*arguments) == optunas._get_trials(*arguments)
        mine, theirs = ours.get_all_studies(), optunas.get_all_studies()
        assert [vars(one) for one in mine] == [vars(one) for one in theirs]


def test_a_value_that_is_no_number_is_read_as_such(sqlite_url: str) -> None:
    with both(sqlite_url) as (ours, _):
        study = optuna.create_study(storage=ours)
        trial = study.ask()
        trial.report(math.nan, 0)
        trial.report(0.5, 1)
        (found,) = ours.get_all_trials(study._study_id)
    assert math.isnan(found.intermediate_values[0])
    assert found.intermediate_values[1] == 0.5


def test_many_trials_that_still_run_are_found_in_one_statement(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hms_search.search.row_storage._MOST_NAMED", 2)
    with both(sqlite_url) as (ours, optunas):
        study = fill(optunas, "one")
        ids = [trial._trial_id for trial in optunas.get_all_trials(study._study_id)]
        arguments = (study._study_id, None, {ids[1], ids[2], ids[4]}, ids[4])
        assert ours._get_trials(*arguments) == optunas._get_trials(*arguments)


def test_what_is_not_there_is_an_error_as_of_optuna(sqlite_url: str) -> None:
    with both(sqlite_url) as (ours, _):
        for read in (ours.get_trial, ours.get_all_trials, ours.get_study_system_attrs):
            with pytest.raises(KeyError):
                read(7)


def test_a_database_is_opened_for_reading_by_rows(sqlite_url: str) -> None:
    storage = open_storage(sqlite_url)
    assert isinstance(storage, RowStorage)
    storage.engine.dispose()


def test_what_is_written_at_once_is_what_optuna_writes(url: str) -> None:
    with both(url) as (ours, optunas):
        studies = [optuna.create_study(storage=storage) for storage in (ours, optunas)]
        for storage, study in zip((ours, optunas), studies, strict=True):
            study_id = study._study_id
            trial_id = storage.create_new_trial(study_id)
            for value in ({"a": [1, None]}, "again", math.pi):
                storage.set_trial_user_attr(trial_id, "one", value)
                storage.set_trial_system_attr(trial_id, "two", value)
                storage.set_study_system_attr(study_id, "dashboard:note", value)
            storage.set_trial_user_attr(trial_id, "other", True)
            several = {"folds": [0.5, None], "one": "ä", "reason": ""}
            if isinstance(storage, RowStorage):
                storage.set_user_attrs([(trial_id, key, value) for key, value in several.items()])
                storage.set_user_attrs([])
            else:
                for key, value in several.items():
                    storage.set_trial_user_attr(trial_id, key, value)
            for step, value in ((0, 0.5), (3, math.inf), (1, -math.inf), (0, 0.25), (3, 1e-300)):
                storage.set_trial_intermediate_value(trial_id, step, value)
        found, expected = (optunas.get_all_trials(study._study_id)[0] for study in studies)
        for part in ("user_attrs", "system_attrs", "intermediate_values"):
            assert getattr(found, part) == getattr(expected, part)
        if url.startswith("sqlite"):  # a server promises no order of rows that none is asked for
            assert list(found.user_attrs) == list(expected.user_attrs)
        notes, others = (optunas.get_study_system_attrs(study._study_id) for study in studies)
        assert notes == others


def test_trials_are_asked_and_told_as_optuna_does(url: str) -> None:
    """Trials asked and told through either storage are the same, but for the moments of it."""
    with both(url) as (ours, optunas):
        found = []
        for storage in (ours, optunas):
            sampler = optuna.samplers.RandomSampler(seed=0)
            study = optuna.create_study(storage=storage, sampler=sampler, directions=["minimize", "maximize"])
            for values, state in (([0.5, math.inf], None), ([-math.inf, 2.0], None), (None, TrialState.FAIL)):
                study.tell(study.ask(DISTRIBUTIONS), values, state=state)
            found.append(optunas.get_all_trials(study._study_id))
        for mine, theirs in zip(*found, strict=True):
            for part in ("number", "state", "values", "params", "distributions"):
                assert getattr(mine, part) == getattr(theirs, part)
            assert list(mine.params) == list(theirs.params)
            assert mine.datetime_complete is not None
            assert theirs.datetime_complete is not None
            assert abs((mine.datetime_complete - theirs.datetime_complete).total_seconds()) < 60
            assert mine.datetime_start is not None
            assert mine.datetime_start <= mine.datetime_complete


@contextmanager
def counted(storage: RowStorage) -> Iterator[list[str]]:
    """The statements that a storage asks of its database."""
    found: list[str] = []

    def count(connection: object, cursor: object, statement: str, *rest: object) -> None:
        found.append(statement)

    sqlalchemy.event.listen(storage.engine, "before_cursor_execute", count)
    try:
        yield found
    finally:
        sqlalchemy.event.remove(storage.engine, "before_cursor_execute", count)


def test_trials_are_read_once_while_nobody_else_writes(url: str) -> None:
    """Within ``undisturbed`` others' words are not looked for, and one's own are."""
    with both(url) as (ours, optunas):
        mine = optuna.create_study(study_name="shared", storage=ours)
        theirs = optuna.load_study(study_name="shared", storage=optunas)
        first, second = (mine.ask(DISTRIBUTIONS) for _ in range(2))
        with undisturbed(mine._storage):
            assert len(mine.get_trials()) == 2
            theirs.tell(first.number, 0.5)
            with counted(ours) as statements:
                assert [trial.state for trial in mine.get_trials()] == [TrialState.RUNNING] * 2
            assert not statements
            third = mine.ask()
            assert third.number == 2
            assert len(mine.get_trials()) == 3
            mine.tell(second, 0.25)
            found = mine.get_trials()
            assert [trial.state for trial in found] == [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.RUNNING]
            third.set_user_attr("folds", [0.5])
            assert mine.get_trials()[2].user_attrs == {"folds": [0.5]}
        theirs.tell(third.number, state=TrialState.FAIL)
        assert mine.get_trials()[2].state == TrialState.FAIL


def test_a_trial_is_begun_by_one_statement_and_known_until_it_is_written(url: str) -> None:
    with both(url) as (ours, optunas):
        study = optuna.create_study(study_name="begun", storage=ours)
        queued = optuna.load_study(study_name="begun", storage=optunas)
        queued.enqueue_trial({"lr": 0.01})
        with undisturbed(study._storage):
            study.get_trials()
            waiting = study.ask()
            study.get_trials()
            with counted(ours) as statements:
                first, second = study.ask(), study.ask()
            assert len([one for one in statements if one.startswith("INSERT")]) == 2
            assert not [one for one in statements if "trial_params" in one]
            first.set_user_attr("folds", [0.5])
            assert study._storage.get_trial(first._trial_id).user_attrs == {"folds": [0.5]}
        assert [waiting.number, first.number, second.number] == [0, 1, 2]
        assert ours.get_all_trials(study._study_id) == optunas.get_all_trials(study._study_id)
        with pytest.raises(KeyError):
            ours.create_new_trial(study._study_id + 1000)


def test_trials_that_are_begun_at_the_same_time_have_numbers_of_their_own(url: str) -> None:
    """Each thread has a storage of its own, on a server every other one Optuna's, as other programs have."""
    with both(url) as (ours, optunas):
        study = optuna.create_study(study_name="numbers", storage=optunas)
        others = optuna.create_study(study_name="others", storage=ours)
        ours.create_new_trial(others._study_id)

        def begin(place: int) -> list[int]:
            with both(url) as storages:
                storage = storages[place % 2 if "postgresql" in url else 0]
                return [storage._create_new_trial(study._study_id).number for _ in range(20)]

        with ThreadPoolExecutor(4) as pool:
            numbers = [number for found in pool.map(begin, range(4)) for number in found]
        assert sorted(numbers) == list(range(80))
        assert [trial.number for trial in optunas.get_all_trials(study._study_id)] == list(range(80))


def test_parameters_are_written_together(url: str) -> None:
    """The parameters of a trial are written by one statement, those of a refused one, too."""
    with both(url) as (ours, optunas):
        study = optuna.create_study(study_name="together", storage=ours, sampler=optuna.samplers.RandomSampler(seed=0))
        study.ask(DISTRIBUTIONS)  # of the first one Optuna keeps the distributions
        trial, ended = study.ask(), study.ask()

        def refused() -> None:
            with parameters_together(study._storage):
                for name, distribution in DISTRIBUTIONS.items():
                    trial._suggest(name, distribution)
                assert not statements
                raise ConfigError("these do not go together")

        def overtaken() -> None:
            with parameters_together(study._storage):
                ended._suggest("lr", DISTRIBUTIONS["lr"])
                optunas.set_trial_state_values(ended._trial_id, TrialState.FAIL)

        with counted(ours) as statements, pytest.raises(ConfigError):
            refused()
        assert len(statements) == 1
        assert optunas.get_trial(trial._trial_id).params == trial.params
        assert trial.params.keys() == DISTRIBUTIONS.keys()
        with pytest.raises(UpdateFinishedTrialError):
            overtaken()
        assert optunas.get_trial(ended._trial_id).params == {}
        after = study.ask(DISTRIBUTIONS)
        assert optunas.get_trial(after._trial_id).params == after.params


@pytest.mark.parametrize("count", [1, 6])
def test_trials_that_end_together_are_told_by_four_statements_as_optuna_tells_each(url: str, count: int) -> None:
    ends = [("complete", [0.5]), ("pruned", None), ("fail", None), ("complete", [math.inf]), ("pruned", None)]
    with both(url) as (ours, optunas):
        found = []
        for storage in (ours, optunas):
            study = optuna.create_study(storage=storage)
            trials = [study.ask(DISTRIBUTIONS) for _ in range(count)]
            for trial in trials:
                trial.report(0.25 * trial.number, 1)
            with counted(ours) as statements, told_together(study._storage, [one._trial_id for one in trials]):
                for trial, (state, values) in zip(trials, [*ends, ends[0]], strict=False):
                    study.tell(trial, values, state=TrialState[state.upper()])
            assert storage is optunas or len(statements) == 4
            found.append(optunas.get_all_trials(study._study_id))
        for mine, theirs in zip(*found, strict=True):
            assert (mine.state, mine.values) == (theirs.state, theirs.values)
            assert mine.datetime_complete is not None
            assert ours.get_trial(mine._trial_id) == mine


def test_of_trials_that_end_together_one_may_have_ended_before(url: str) -> None:
    with both(url) as (ours, optunas):
        study = optuna.create_study(storage=ours)
        first, taken, last = trials = [study.ask(DISTRIBUTIONS) for _ in range(3)]

        def tell() -> None:
            with told_together(study._storage, [one._trial_id for one in trials]):
                optunas.set_trial_state_values(taken._trial_id, TrialState.FAIL)
                for trial in trials:
                    study.tell(trial, 1.0 + trial.number)

        with pytest.raises(UpdateFinishedTrialError):
            tell()
        assert [trial.state.name for trial in study.trials] == ["COMPLETE", "FAIL", "RUNNING"]
        assert optunas.get_trial(taken._trial_id).values is None
        study.tell(last, 3.0)
        assert study.trials[last.number].value == 3.0
        ours.begin_telling([first._trial_id])  # the server's answer to what it had done was lost
        ours._told = [(first._trial_id, TrialState.COMPLETE, [1.0])]
        ours.write_told(again=True)
        with pytest.raises(UpdateFinishedTrialError):
            ours.write_told(again=False)
        ours.end_telling()
        assert study.trials[first.number].value == 1.0


def test_nothing_is_written_to_a_trial_that_ended_or_is_not_there(url: str) -> None:
    with both(url) as (ours, _):
        study = optuna.create_study(storage=ours)
        trial_id, running = (ours.create_new_trial(study._study_id) for _ in range(2))
        ours.set_trial_intermediate_value(trial_id, 0, math.nan)
        ours.set_trial_state_values(trial_id, TrialState.PRUNED)
        before = ours.get_trial(trial_id)
        for missing, error in ((trial_id, UpdateFinishedTrialError), (trial_id + 1000, KeyError)):
            for write in (
                lambda number: ours.set_trial_user_attr(number, "a", 1),
                lambda number: ours.set_trial_system_attr(number, "a", 1),
                lambda number: ours.set_system_attrs([(running, "a", 1), (number, "a", 1)]),
                lambda number: ours.set_trial_intermediate_value(number, 0, 1.0),
                lambda number: ours.set_intermediate_values([(running, 0, 1.0), (number, 0, 1.0)]),
                lambda number: ours.set_user_attrs([(number, "a", 1), (number, "b", 2)]),
                lambda number: ours._set_trial_param(number, "lr", 0.1, DISTRIBUTIONS["lr"], DISTRIBUTIONS["lr"]),
                lambda number: ours.set_trial_state_values(number, TrialState.COMPLETE, [1.0]),
                lambda number: ours.set_trial_state_values(number, TrialState.FAIL),
            ):
                with pytest.raises(error):
                    write(missing)
        flip, norm = DISTRIBUTIONS["flip"], DISTRIBUTIONS["norm"]
        with pytest.raises(ValueError, match="CategoricalDistribution does not support dynamic value space"):
            ours._set_trial_param(ours.create_new_trial(study._study_id), "flip", 1.0, flip, norm)
        with pytest.raises(KeyError):
            ours.set_study_system_attr(study._study_id + 1000, "a", 1)
        after = ours.get_trial(trial_id)
        assert math.isnan(after.intermediate_values.pop(0))
        before.intermediate_values.pop(0)
        assert after == before


def test_a_storage_that_is_no_database_is_written_one_by_one() -> None:
    study = optuna.create_study(storage=optuna.storages.InMemoryStorage())
    with undisturbed(study._storage), parameters_together(study._storage):
        trial = study.ask(DISTRIBUTIONS)
    set_user_attrs(study._storage, [(trial._trial_id, "a", 1), (trial._trial_id, "b", [2])])
    set_system_attrs(study._storage, [(trial._trial_id, "e", "f")])
    set_intermediate_values(study._storage, [(trial._trial_id, 3, 0.5)])
    set_study_system_attrs(study._storage, study._study_id, {"c": "d"})
    (found,) = study.get_trials()
    assert found.system_attrs == {"e": "f"}
    assert found.intermediate_values == {3: 0.5}
    assert found.user_attrs == {"a": 1, "b": [2]}
    assert found.params == trial.params
    assert study._storage.get_study_system_attrs(study._study_id) == {"c": "d"}
