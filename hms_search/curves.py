"""The learning-curve picture of a trial."""

from collections.abc import Sequence
from io import BytesIO

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hms_search.training.results import Epoch
from hms_search.training.tasks import HMS, Task

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Okabe and Ito's palette, which colour-blind readers tell apart."""


def learning_curve(epochs: Sequence[Epoch], *, title: str, task: Task = HMS) -> bytes:
    """Return a PNG with one colour per fold: training loss dashed, the validated value solid, over the epochs.

    Values that are not finite leave a gap.
    """
    figure = Figure(figsize=(6.4, 4.0), dpi=100, layout="tight")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for index, fold in enumerate(dict.fromkeys(epoch.fold for epoch in epochs)):
        curve = [epoch for epoch in epochs if epoch.fold == fold]
        number = [epoch.epoch + 1 for epoch in curve]
        colour = _COLOURS[index % len(_COLOURS)]
        axes.plot(number, [epoch.value for epoch in curve], "o-", color=colour, label=f"fold {fold}, validation")
        axes.plot(number, [epoch.train_loss for epoch in curve], "o--", color=colour, label=f"fold {fold}, training",
                  markerfacecolor="white", alpha=0.8)  # fmt: skip
    axes.set_title(title)
    axes.set_xlabel("epoch")
    axes.set_ylabel(f"{task.measure}{task.unit}" if task is HMS else f"{task.measure}; training: loss (nats)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    picture = BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()
