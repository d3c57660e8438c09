"""One pass over batches: learning from them, or predicting them."""

import math

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hms_search.data.batches import Batches
from hms_search.errors import TrainingError
from hms_search.training.accumulation import n_steps, parts
from hms_search.training.learner import Learner
from hms_search.training.losses import divergence
from hms_search.training.precision import Precision

DIVERGED = 10
"""A mean loss above so many times the loss of calling all classes equally likely is no longer training."""

_BATCHES_BETWEEN_CHECKS = 20
_REMEDY = "lower training.optimiser.lr, or set training.gradient_clip or training.scheduler.warmup_epochs"


def train_epoch(learner: Learner, batches: Batches, epoch: int) -> tuple[float, float]:
    """Return the mean training loss over the rows of an epoch, and the learning rate of its last step.

    The loss of a row is its KL times its weight, against the target it is trained on, which may be smoothed or
    predicted; of a network with several heads it is the weighted sum of theirs. It is taken while the network changes,
    at the row's own batch. The loss of a step is the sum over its rows, divided by their number. Raises TrainingError
    where it diverges.
    """
    learner.model.train()
    total = torch.zeros((), dtype=torch.float64, device=batches.device)
    seen, lr = 0, math.nan
    portion = batches.draw.portion(epoch)
    steps = n_steps(batches, portion, learner.accumulate)
    for number, part in enumerate(parts(batches, portion, learner.accumulate)):
        batch = part.batch
        if part.first:
            lr = learner.schedule.set(epoch, part.step, steps)
        with learner.precision.autocast:
            output = learner.model(batch.x)
        loss = (batch.weight * divergence(output, batch.target)).mean()
        if part.first:  # only now, so that the backward pass takes what it frees: a fifth of a small network's step
            learner.optimiser.zero_grad(set_to_none=True)
        learner.precision.backward(part.share * loss)
        if part.last:
            learner.precision.step(learner.optimiser, learner.model.parameters(), gradient_clip=learner.gradient_clip)
            learner.average.step_taken()
        total += loss.detach() * len(batch.rows)
        seen += len(batch.rows)
        if number % _BATCHES_BETWEEN_CHECKS == 0:  # each look at the value makes a GPU wait
            _check_finite(total, epoch, lr)
    _check_finite(total, epoch, lr)
    mean = float(total) / seen
    most = DIVERGED * math.log(portion.targets.shape[1])
    if mean > most:
        raise TrainingError(
            f"training diverged in epoch {epoch + 1} at lr {lr:.3g}: expected a mean loss below {most:.1f}, "
            f"found {mean:.3g}; {_REMEDY}"
        )
    return mean, lr


def predict(
    model: nn.Module, batches: Batches, precision: Precision
) -> tuple[Int[np.ndarray, " rows"], Float[np.ndarray, "rows classes"]]:
    """Return the rows of the batches and their class probabilities, float64.

    Raises TrainingError where one is not finite.
    """
    model.eval()
    rows, logits = [], []
    with torch.inference_mode():
        for batch in batches:
            with precision.autocast:
                logits.append(model(batch.x))
            rows.append(batch.rows)
        probabilities = torch.cat(logits).double().softmax(dim=1).cpu().numpy()
    if not np.isfinite(probabilities).all():
        bad = int((~np.isfinite(probabilities)).any(axis=1).sum())
        raise TrainingError(f"predictions must be finite, found NaN in {bad} of {len(probabilities)} rows; {_REMEDY}")
    return np.concatenate(rows), probabilities


def _check_finite(total: Tensor, epoch: int, lr: float) -> None:
    if not math.isfinite(float(total)):
        raise TrainingError(f"training diverged in epoch {epoch + 1} at lr {lr:.3g}: the loss is NaN; {_REMEDY}")
