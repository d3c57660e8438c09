from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torchvision.transforms import v2

from hms_search.eeg.histogram import count_log_power, log_power
from hms_search.eeg.pipeline import InputPipeline, SpectrogramPipeline

NO_COUNTS = np.zeros(0, dtype=np.int64)


def pipeline(**options: object) -> InputPipeline:
    return SpectrogramPipeline.model_validate({"resize": None, **options}).fit(NO_COUNTS)


def recordings(n: int = 3, n_times: int = 30, seed: int = 0) -> torch.Tensor:
    """Log power with gaps and zeros in the first recording."""
    x = torch.from_numpy(np.random.default_rng(seed).normal(1, 4, (n, n_times, 400)).astype(np.float32))
    x[0, :7] = torch.nan
    x[0, 7:9] = -torch.inf
    return x


@pytest.mark.data
def test_the_steps_equal_the_reference_arrays_of_a_real_recording(shared_data: Path) -> None:
    expected = np.load(shared_data / "iiic" / "check_values.npz")
    file = pd.read_parquet(shared_data / "iiic" / "train_spectrograms" / "800000025.parquet")
    stored = torch.from_numpy(log_power(file.drop(columns="time").to_numpy()))[None]
    steps = dict(SpectrogramPipeline().fit(NO_COUNTS).steps(stored))
    np.testing.assert_allclose(steps["clip"][0, 0].T, expected["baseline_log"], atol=1e-4)
    np.testing.assert_allclose(steps["normalise"][0, 0].T, expected["baseline_instance"], atol=1e-4)
    np.testing.assert_allclose(steps["resize"][0, 0], expected["baseline_512_antialias"], atol=1e-4)


@pytest.mark.data
def test_storing_log_power_as_float16_costs_less_than_0_004(shared_data: Path) -> None:
    expected = np.load(shared_data / "iiic" / "check_values.npz")
    file = pd.read_parquet(shared_data / "iiic" / "train_spectrograms" / "800000025.parquet")
    stored = torch.from_numpy(log_power(file.drop(columns="time").to_numpy()).astype(np.float16))[None]
    steps = dict(SpectrogramPipeline().fit(NO_COUNTS).steps(stored))
    np.testing.assert_allclose(steps["clip"][0, 0].T, expected["baseline_log"], atol=0.004)
    np.testing.assert_allclose(steps["resize"][0, 0], expected["baseline_512_antialias"], atol=0.004)


def test_log_power_of_zero_is_minus_infinity_and_of_a_gap_a_gap() -> None:
    np.testing.assert_array_equal(log_power(np.array([0.0, -1.0, 1.0, np.nan])), [-np.inf, -np.inf, 0.0, np.nan])


def test_the_last_step_is_the_image_of_forward_and_the_first_the_power() -> None:
    fitted = pipeline(resize=[64, 32])
    steps = list(fitted.steps(recordings()))
    assert [name for name, _ in steps] == ["power", "log", "gap fill", "clip", "normalise", "resize"]
    torch.testing.assert_close(steps[-1][1], fitted.forward(recordings()), rtol=0, atol=0)
    torch.testing.assert_close(steps[0][1].log(), recordings(), equal_nan=True)


def test_the_image_has_frequencies_in_file_order_as_rows_and_times_as_columns() -> None:
    x = torch.arange(400.0).repeat(30, 1)[None] / 100
    image = pipeline(normalise={"name": "none"}).forward(x)
    assert image.shape == (1, 1, 400, 30)
    torch.testing.assert_close(image[0, 0, :, 0], x[0, 0])


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("size", [[512, 512], [128, 256], [17, 9]])
def test_the_resize_equals_torchvisions(size: list[int], antialias: bool) -> None:
    x = recordings()[1:]
    plain = pipeline(normalise={"name": "none"}).forward(x)
    expected = v2.functional.resize(plain, size, antialias=antialias)
    resized = pipeline(normalise={"name": "none"}, resize=size, antialias=antialias).forward(x)
    torch.testing.assert_close(resized, expected)


def test_a_gap_at_the_floor_equals_a_power_of_minus_one_clipped() -> None:
    image = pipeline(normalise={"name": "none"}, clip_log={"low": -3, "high": 2}).forward(recordings())
    assert image.min() == -3
    assert image.max() == 2
    assert (image[0, 0, :, :9] == -3).all()


@pytest.mark.parametrize("normalise", ["instance", "robust", "none"])
def test_a_gap_filled_with_the_mean_leaves_the_other_values_as_if_it_were_not_there(normalise: str) -> None:
    fitted = pipeline(normalise={"name": normalise}, gap_fill="mean")
    x = recordings()[:1]
    image = fitted.forward(x)
    without = fitted.forward(x[:, 7:])
    torch.testing.assert_close(image[..., 7:], without)
    torch.testing.assert_close(image[..., :7], without.mean().expand(1, 1, 400, 7))


@given(low=st.floats(-10, 0), width=st.floats(1, 12), gap_fill=st.sampled_from(["floor", "mean"]))
@settings(max_examples=25, deadline=None)
def test_datawide_statistics_standardise_the_training_rows(low: float, width: float, gap_fill: str) -> None:
    x = recordings(n=4)
    counts = np.sum([count_log_power(recording.numpy()) for recording in x], axis=0, dtype=np.int64)
    config = {"gap_fill": gap_fill, "normalise": {"name": "datawide"}, "clip_log": {"low": low, "high": low + width}}
    fitted = SpectrogramPipeline.model_validate({"resize": None, **config}).fit(counts)
    clipped = np.clip(x.double().numpy(), low, low + width)
    if gap_fill == "floor":
        clipped[np.isnan(clipped)] = low
    assert fitted.mean == pytest.approx(np.nanmean(clipped), abs=5e-3)
    assert fitted.std == pytest.approx(np.nanstd(clipped), abs=5e-3)
    direct = (clipped - np.nanmean(clipped)) / np.nanstd(clipped)
    image = fitted.forward(x)
    filled = ~np.isnan(direct)
    np.testing.assert_allclose(image[:, 0].numpy().swapaxes(1, 2)[filled], direct[filled], atol=0.05)


def test_a_fitted_pipeline_survives_json() -> None:
    counts = count_log_power(recordings()[1].numpy())
    fitted = SpectrogramPipeline.model_validate({"normalise": {"name": "datawide"}, "resize": [32, 32]}).fit(counts)
    restored = InputPipeline.model_validate_json(fitted.model_dump_json())
    assert restored == fitted
    torch.testing.assert_close(restored.forward(recordings()), fitted.forward(recordings()), rtol=0, atol=0)


def test_a_recording_looks_the_same_alone_and_in_a_batch() -> None:
    fitted = pipeline(normalise={"name": "robust"}, gap_fill="mean", resize=[64, 64])
    together = fitted.forward(recordings())
    alone = torch.cat([fitted.forward(recording[None]) for recording in recordings()])
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clip_log": {"low": 3, "high": 3}}, "low must be below high"),
        ({"clip_log": {"high": 99}}, "less than or equal to 24"),
        ({"resize": [0, 5]}, "two positive numbers"),
        ({"normalise": {"name": "zscore"}}, "'instance', 'datawide', 'robust', 'none'"),
        ({"clip": {}}, "Extra inputs"),
    ],
)
def test_a_wrong_option_is_refused_with_what_is_allowed(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SpectrogramPipeline.model_validate(options)
