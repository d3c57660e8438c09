"""What the run of a trial keeps: where it ran, its epochs as metrics, its out-of-fold predictions as a file."""

import torch

from hms_search.data.folds import FoldPlan
from hms_search.data.oof import OOF_FILE, oof_bytes, out_of_fold
from hms_search.data.seizure_types import SeizureTypes
from hms_search.data.store import Store
from hms_search.experiment import ExperimentResult
from hms_search.models.device import device_of
from hms_search.training.results import Epoch
from hms_search.training.tasks import HMS, Task


def machine(device: str) -> dict[str, str]:
    """Return what a result depends on besides versions: the device and, on a CPU, the number of threads."""
    found = device_of(device)
    name = torch.cuda.get_device_name(found) if found.type == "cuda" else found.type
    return {"device": name, "threads": str(torch.get_num_threads())}


def predictions(name: str, store: Store | SeizureTypes, plan: FoldPlan, result: ExperimentResult) -> dict[str, bytes]:
    """Return the file of a result's out-of-fold predictions, for paired comparisons."""
    rows = result.rows
    samples, folds = store.samples.iloc[rows], plan.assignment[rows]
    return {
        OOF_FILE: oof_bytes(out_of_fold(name, samples, folds, store.targets[rows], result.probabilities, store.task))
    }


def epoch_metrics(epoch: Epoch, task: Task = HMS) -> dict[str, float]:
    """Return an epoch's metrics under a few fixed names with the fold as suffix."""
    values = {"train_loss": epoch.train_loss, "lr": epoch.lr, "seconds": epoch.seconds}
    values |= {key: epoch.metrics[key] for key in task.shown if key in epoch.metrics}
    return {f"{name}/fold{epoch.fold}": value for name, value in values.items()}
