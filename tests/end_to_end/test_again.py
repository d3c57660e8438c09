"""The best trials and the baseline run again: killed in between, shown wherever a study is, and heeded by promote."""

import os
import signal
from pathlib import Path

import mlflow
import optuna
from command_line import CommandLine, wait_for

from hms_search.search.repeated import NOISE_KEY, RECHECK_KEY, Again, again_of
from hms_search.search.storage import existing_storage

RUN = ("run", "small.yaml", "--data", "recordings", "--set", "space.base.training.optimiser.lr=1.0e-4")


def repetitions(folder: Path) -> list[mlflow.entities.Run]:
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlruns' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], "tags.kind = 'repetition'"))


def kept(folder: Path, key: str) -> Again:
    with existing_storage(f"sqlite:///{folder / 'mlruns' / 'optuna.db'}") as storage:
        study = optuna.load_study(study_name="small", storage=storage)
        assert len(study.trials) == 4  # what is run again is no trial
        found = again_of(study, key)
    assert found is not None
    return found


def test_a_gain_is_tried_under_other_seeds_and_on_other_folds(hms_search: CommandLine) -> None:
    hms_search(*RUN, "--trials", "4")
    folder, noise = hms_search.folder, ("noise", "small", "--seeds", "2")
    process = hms_search.start(*noise)
    wait_for(lambda: len(list((folder / "mlruns").glob("repeats/small/*/oof.parquet"))) >= 2, timeout_s=120)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    before = {run.info.run_id for run in repetitions(folder) if run.info.status == "FINISHED"}
    output = hms_search(*noise)
    runs = repetitions(folder)
    assert "KL divergence under 2 other seeds, on the same folds; interval: 95 % over seeds and patients" in output
    assert before <= {run.info.run_id for run in runs}
    assert sum(run.info.status == "FINISHED" for run in runs) in (3, 4)  # one may have been killed after its files
    assert {run.info.status for run in runs} <= {"FINISHED", "KILLED"}
    assert not list((folder / "mlruns" / "unfinished").iterdir())
    assert hms_search(*noise)
    assert len(repetitions(folder)) == len(runs)

    found = kept(folder, NOISE_KEY)
    (best,) = found.trials
    values = {float(run.data.metrics["value"]) for run in runs if "value" in run.data.metrics}
    assert values <= {value for one in (found.baseline, best) for value in one.values if value is not None}
    assert best.gain is not None
    assert best.gain.low <= best.gain.mean <= best.gain.high
    shown = hms_search("show", "small")
    assert f"trial {best.trial}: its gain of {best.gain.mean:.4f}" in shown
    assert ("the gain is within the noise of the seed" in hms_search("doctor", "small")) == (best.gain.low <= 0)

    promoted = hms_search("promote", "small", "--folds", "2", "--epochs", "1", "--recheck")
    assert "looks better than it is" not in promoted
    rechecked = kept(folder, RECHECK_KEY)
    first = max(rechecked.trials, key=lambda one: one.gain.mean if one.gain is not None else -9.0)
    assert len(rechecked.trials) == 3
    assert f"training small-trial{first.trial}" in promoted or f"small-trial{first.trial}-" in promoted
    assert f"best when run again: trial {first.trial}, of 3" in hms_search("show", "small")
    hms_search("report", "small")
    page = (folder / "mlruns" / "reports" / "small.md").read_text()
    assert "## Run again" in page
    assert "on the same folds" in page  # eight patients can be cut into two such folds in one way only
    assert "nothing but the seed differs" in promoted
