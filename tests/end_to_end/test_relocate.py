"""A trained study moved to servers amid its search, killed on the way, run on and promoted there, and moved back."""

import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import mlflow
import optuna
import pytest
from command_line import CommandLine, interrupt, wait_for
from optuna.trial import FrozenTrial, TrialState
from postgres_server import postgres_server

from hms_search.search.places import Places
from hms_search.search.storage import existing_storage
from hms_search.servers import free_port
from hms_search.tracking.server import mlflow_server

EPOCHS = 3
RUN = ("run", "small.yaml", "--data", "recordings", "--trials", "3", "--set", f"space.base.training.epochs={EPOCHS}")
PROMOTE = ("promote", "small", "--folds", "2", "--epochs", "1")
SECRET = "s3cret"


@pytest.fixture
def there(hms_search: CommandLine) -> Iterator[Places]:
    """A database server and an MLflow server."""
    folder, host, port = hms_search.folder / "server", "127.0.0.1", free_port("127.0.0.1", 0, "MLflow")
    folder.mkdir()
    with postgres_server() as database:
        url = database.url.replace("hms@", f"hms:{SECRET}@")
        with mlflow_server(f"sqlite:///{folder}/mlflow.db", folder / "files", host=host, port=port):
            yield Places(storage_url=url, tracking=f"http://{host}:{port}")


def trials(places: Places) -> list[FrozenTrial]:
    with existing_storage(places.storage) as storage:
        return optuna.load_study(study_name="small", storage=storage).trials


def states(places: Places) -> list[str]:
    return [trial.state.name for trial in trials(places)]


def runs(places: Places) -> list[mlflow.entities.Run]:
    client = mlflow.MlflowClient(places.tracking_uri)
    experiment = client.get_experiment_by_name("small")
    return [] if experiment is None else list(client.search_runs([experiment.experiment_id]))


def read(hms_search: CommandLine, *where: str) -> list[str]:
    """What the commands that read a study say of it, but for what lies on the disk and the time."""
    shown = [hms_search("ls", *where[:2]), hms_search("show", "small", *where[:2]).partition("on disk:")[0]]
    hms_search("report", "small", *where)
    page = (hms_search.folder / "mlruns/reports/small.md").read_text()
    return [line for line in "".join([*shown, page]).splitlines() if "report made" not in line]


def search_until_the_second_trial(hms_search: CommandLine) -> None:
    process = hms_search.start(*RUN)
    wait_for(lambda: steps(hms_search.folder) >= 2 * EPOCHS + 2, timeout_s=200)
    interrupt(process)
    process.communicate(timeout=120)


def steps(folder: Path) -> int:
    """How many epochs the study knows; only reads, so that it cannot meddle with a database being made."""
    try:
        with closing(sqlite3.connect(f"file:{folder / 'mlruns' / 'optuna.db'}?mode=ro", uri=True)) as database:
            return int(database.execute("select count(*) from trial_intermediate_values").fetchone()[0])
    except sqlite3.OperationalError:  # not there yet
        return 0


def kill_on_the_way(hms_search: CommandLine, there: Places, command: tuple[str, ...]) -> str:
    """Kill a migration as soon as the servers have some of it; return what it printed."""
    process = hms_search.start(*command)
    wait_for(lambda: len(runs(there)) > 0, timeout_s=120)
    os.killpg(process.pid, signal.SIGKILL)
    return process.communicate()[0]


@pytest.mark.slow
@pytest.mark.postgres
def test_a_study_moves_to_servers_and_back_while_its_search_goes_on(hms_search: CommandLine, there: Places) -> None:
    here = Places(root=hms_search.folder / "mlruns")
    where = ("--storage", there.storage, "--tracking-uri", there.tracking_uri)
    to_servers = ("migrate", "small", "--to-storage", there.storage, "--to-tracking-uri", there.tracking_uri)
    search_until_the_second_trial(hms_search)
    assert states(here) == ["COMPLETE", "FAIL", "WAITING"]
    before = read(hms_search)

    printed = kill_on_the_way(hms_search, there, to_servers)
    for command in (("show", "small", *where[:2]), (*RUN, *where)):
        assert "only partly copied" in hms_search(*command, code=2)
    printed += hms_search(*to_servers)
    assert "small: copied 3 trials, 3 runs, " in printed
    assert "nothing to copy, all of its 3 trials are there" in hms_search(*to_servers)
    assert read(hms_search, *where) == before
    assert len(runs(there)) == len(runs(here)) == 3

    assert list((here.root / "trials/small").glob("trial1-*/*")), "nothing to go on from"
    printed += hms_search(*RUN, *where)
    assert states(there) == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    on = trials(there)
    done = len(on[1].intermediate_values)
    assert list(on[2].intermediate_values.values())[:done] == list(on[1].intermediate_values.values())
    pictures = [name for trial in on for name in trial.system_attrs if name.startswith("artifacts:")]
    assert len(pictures) == 4
    assert all((here.root / "dashboard" / name.removeprefix("artifacts:")).is_file() for name in pictures)
    printed += hms_search(*PROMOTE, *where)
    assert "version 1 of 'hms'" in printed
    assert "gone on since they were the same" in hms_search(*to_servers, code=2)

    after = read(hms_search, *where)
    printed += hms_search("migrate", "small", *where)
    assert read(hms_search) == after
    assert [(one.values, one.datetime_complete) for one in trials(here)] == [
        (one.values, one.datetime_complete) for one in on
    ]
    assert {run.info.status for run in [*runs(here), *runs(there)]} == {"FINISHED", "KILLED"}
    again = hms_search(*PROMOTE)
    assert "training" not in again
    assert "version 1 of 'hms'" in again
    assert len(runs(here)) == len(runs(there))
    assert hms_search("models") == hms_search("models", *where[2:])
    assert "nothing to copy" in hms_search("migrate", "small", *where)
    assert SECRET not in printed + again
    assert TrialState.RUNNING not in {trial.state for trial in [*trials(here), *on]}
