"""Signals as the input of a network: an image of one channel, a row of it for each signal."""

from hms_search.eeg.shapes import ImageShape, InputShape


def signals_of(model: str, shape: InputShape) -> tuple[int, int]:
    """Return how many signals a network gets, and their samples; raises ValueError where its input is none."""
    if isinstance(shape, ImageShape) and shape.channels == 1 and shape.size is not None:
        return shape.size
    found = str(shape) if isinstance(shape, ImageShape) else f"{' and '.join(shape)} apart"
    raise ValueError(
        f"model {model} takes EEG signals [1, signal, time], found {found}; write pipeline.representation: "
        "{name: waveform} and pipeline.layout: {name: stack}"
    )
