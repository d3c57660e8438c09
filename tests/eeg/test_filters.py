from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import signal

from hms_search.eeg.filter_design import sections_of
from hms_search.eeg.filters import (
    BandPass,
    BandStop,
    Filter,
    LowPass,
    Notch,
    Phase,
    apply_filter,
    impulse_response,
    padding,
)
from hms_search.eeg.gaps import clip_uv, fill_gaps
from hms_search.eeg.montage import Bipolar, derive

FILTERS: list[Filter] = [
    BandPass(),
    BandPass(low_hz=1.6, high_hz=30, order=1),
    BandPass(low_hz=0.5, high_hz=40, order=5),
    BandPass(low_hz=0.05, high_hz=99, order=8),
    LowPass(),
    LowPass(high_hz=20, order=3),
    LowPass(high_hz=0.1, order=1),
    BandStop(),
    Notch(),
    Notch(hz=50, q=200),
]
PHASES: list[Phase] = ["causal", "zero"]


def named(value: object) -> str:
    return value if isinstance(value, str) else repr(value).replace(" ", "")


def by_scipy(x: np.ndarray, wanted: Filter, phase: Phase) -> np.ndarray:
    sections = np.array(sections_of(wanted))
    filtered = signal.sosfilt if phase == "causal" else signal.sosfiltfilt
    return filtered(sections, x.astype(np.float64))


def awkward_signals(n_times: int) -> torch.Tensor:
    time = torch.arange(n_times) / 200
    noise = 30 * torch.randn(n_times, generator=torch.Generator().manual_seed(0))
    steps = torch.where(time % 7 < 3, 10_000.0, -10_000.0)
    spike = torch.zeros(n_times)
    spike[n_times // 3] = 65_504
    saturated = torch.full((n_times,), 65_504.0)
    return torch.stack([noise, noise + steps, spike, saturated, torch.zeros(n_times), 10_000 * time / 50])


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("wanted", FILTERS, ids=named)
@pytest.mark.parametrize("n_times", [10_000, 2_001])
def test_a_filter_equals_scipys_on_steps_spikes_ramps_and_saturated_signals(
    wanted: Filter, phase: Phase, n_times: int
) -> None:
    x = awkward_signals(n_times)
    expected = by_scipy(x.numpy(), wanted, phase)
    filtered = apply_filter(x, sections_of(wanted), phase).numpy()
    assert filtered.dtype == np.float32
    scale = x.abs().amax(dim=1, keepdim=True).numpy()
    assert (np.abs(filtered - expected) <= 1e-5 * scale).all()


@pytest.mark.parametrize("wanted", [LowPass(), BandPass(), Notch()], ids=named)
def test_a_causal_filter_equals_lfilter_of_the_transfer_function(wanted: Filter) -> None:
    x = awkward_signals(10_000)
    numerator, denominator = signal.sos2tf(np.array(sections_of(wanted)))
    expected = signal.lfilter(numerator, denominator, x.numpy().astype(np.float64))
    filtered = apply_filter(x, sections_of(wanted), "causal").numpy()
    assert np.abs(filtered - expected).max() < 1e-5 * 65_504


def gain_at(hz: float, wanted: Filter, phase: Phase) -> float:
    """The gain in dB of a tone, in the middle of 250 s, where no edge is near."""
    time = torch.arange(50_000, dtype=torch.float64) / 200
    filtered = apply_filter(torch.sin(2 * torch.pi * hz * time).float(), sections_of(wanted), phase)
    middle = slice(20_000, 30_000)
    wave = torch.exp(-2j * torch.pi * hz * time[middle])
    return float(20 * torch.log10((filtered[middle] * wave).mean().abs() / 0.5 + 1e-12))


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize(
    ("wanted", "passed_hz", "bounds_hz", "stopped_hz"),
    [
        (BandPass(low_hz=0.5, high_hz=20, order=2), [3.2, 5], [0.5, 20], [0.02, 90]),
        (BandPass(low_hz=4, high_hz=30, order=4), [10.0, 12], [4, 30], [0.4, 90]),
        (LowPass(high_hz=50, order=4), [1, 10], [50], [90]),
        (LowPass(high_hz=20, order=2), [0.1, 1], [20], [90]),
        (BandStop(low_hz=59, high_hz=61, order=5), [1, 50, 70], [59, 61], [60]),
        (Notch(hz=60, q=30), [1, 30, 90], [58.995, 60.995], [60]),
        (Notch(hz=50, q=30), [1, 25, 90], [49.167, 50.833], [50]),
    ],
    ids=named,
)
def test_a_filter_has_its_promised_gain_within_at_and_beyond_its_bounds(
    wanted: Filter, phase: Phase, passed_hz: list[float], bounds_hz: list[float], stopped_hz: list[float]
) -> None:
    passes = 1 if phase == "causal" else 2
    assert all(abs(gain_at(hz, wanted, phase)) < 0.1 * passes for hz in passed_hz)
    for hz in bounds_hz:
        assert gain_at(hz, wanted, phase) == pytest.approx(-3.0103 * passes, abs=0.05)
    assert all(gain_at(hz, wanted, phase) < -30 * passes for hz in stopped_hz)


def test_a_zero_phase_filter_delays_nothing_and_a_causal_one_never_looks_ahead() -> None:
    pulse = torch.exp(-(((torch.arange(2_000) - 1_000) / 20.0) ** 2))
    zero_phase, causal = (apply_filter(pulse, sections_of(LowPass(high_hz=10)), phase) for phase in ("zero", "causal"))
    torch.testing.assert_close(zero_phase, zero_phase.roll(-1).flip(0), atol=1e-5, rtol=0)
    assert causal.argmax() > 1_000
    later = pulse.clone()
    later[1_500:] = 100.0
    torch.testing.assert_close(
        apply_filter(later, sections_of(BandPass()), "causal")[:1_500],
        apply_filter(pulse, sections_of(BandPass()), "causal")[:1_500],
        atol=1e-4,
        rtol=0,
    )


def test_filters_are_linear_and_treat_every_signal_of_a_batch_alike() -> None:
    x = torch.randn(7, 3, 2_000, generator=torch.Generator().manual_seed(1))
    sections = sections_of(BandPass())
    for phase in PHASES:
        filtered = apply_filter(x, sections, phase)
        assert filtered.shape == x.shape
        torch.testing.assert_close(apply_filter(x[4, 1], sections, phase), filtered[4, 1], atol=1e-6, rtol=0)
        torch.testing.assert_close(apply_filter(-3 * x, sections, phase), -3 * filtered, atol=1e-5, rtol=0)
        every_other = apply_filter(x[..., ::2], sections, phase)
        torch.testing.assert_close(every_other, apply_filter(x[..., ::2].contiguous(), sections, phase))


def test_a_batch_that_is_filtered_in_parts_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(5, 20, 1_000, generator=torch.Generator().manual_seed(2))
    whole = apply_filter(x, sections_of(Notch()), "zero")
    monkeypatch.setattr("hms_search.eeg.filters._SAMPLES_AT_ONCE", {"cpu": 3_500})
    torch.testing.assert_close(apply_filter(x, sections_of(Notch()), "zero"), whole, atol=1e-6, rtol=0)


def test_causal_filters_one_after_the_other_are_their_sections_together() -> None:
    x = awkward_signals(10_000)
    notch, band = sections_of(Notch()), sections_of(BandPass())
    in_turn = apply_filter(apply_filter(x, notch, "causal"), band, "causal")
    torch.testing.assert_close(apply_filter(x, notch + band, "causal"), in_turn, atol=0.1, rtol=0)


def test_filters_of_a_montage_are_the_montage_of_the_filtered_electrodes() -> None:
    eeg = 100 * torch.randn(2, 2_000, 20, generator=torch.Generator().manual_seed(3))
    matrix, sections = Bipolar(name="place15").matrix(), sections_of(LowPass())
    after = apply_filter(derive(eeg, matrix), sections, "causal")
    before = derive(apply_filter(eeg.mT, sections, "causal").mT, matrix)
    torch.testing.assert_close(after, before, atol=1e-3, rtol=0)


@pytest.mark.parametrize("wanted", FILTERS, ids=named)
def test_the_padding_is_the_one_scipy_uses_by_default(wanted: Filter) -> None:
    sections = np.array(sections_of(wanted))
    longest = padding(sections_of(wanted))
    signal.sosfiltfilt(sections, np.zeros(longest + 1))
    with pytest.raises(ValueError, match="padlen"):
        signal.sosfiltfilt(sections, np.zeros(longest))


def test_the_impulse_response_is_what_scipy_makes_of_an_impulse() -> None:
    impulse = np.eye(1, 500)[0]
    sections = sections_of(BandPass(order=3))
    np.testing.assert_allclose(impulse_response(sections, 500), signal.sosfilt(np.array(sections), impulse), atol=1e-12)


def test_a_signal_too_short_for_the_padding_is_refused() -> None:
    with pytest.raises(ValueError, match="needs over 15 samples, found 15"):
        apply_filter(torch.zeros(1, 15), sections_of(BandPass()), "zero")
    assert apply_filter(torch.zeros(1, 15), sections_of(BandPass()), "causal").shape == (1, 15)


@pytest.mark.parametrize("kind", [BandPass, BandStop])
@pytest.mark.parametrize(("low_hz", "high_hz"), [(20, 0.5), (0, 20), (0.5, 100), (20, 20), (-1, 20)])
def test_bounds_that_are_no_band_below_nyquist_are_refused(
    kind: type[BandPass | BandStop], low_hz: float, high_hz: float
) -> None:
    message = rf"0 < low_hz < high_hz < 100 .*found low_hz {low_hz:g} and high_hz {high_hz:g}"
    with pytest.raises(ValueError, match=message):
        kind(low_hz=low_hz, high_hz=high_hz)


@pytest.mark.parametrize("high_hz", [0, -3, 100, 250])
def test_a_low_pass_beyond_nyquist_is_refused(high_hz: float) -> None:
    with pytest.raises(ValueError, match=f"between 0 and 100 .half the sampling rate., found {high_hz}"):
        LowPass(high_hz=high_hz)


@pytest.mark.data
@pytest.mark.parametrize(
    ("reference", "wanted", "phase"),
    [
        ("bandpass_0.5_20_order2_causal", BandPass(), "causal"),
        ("bandpass_0.5_20_order2_zero_phase", BandPass(), "zero"),
        ("notch_60_q30_causal", Notch(), "causal"),
    ],
)
def test_a_real_derivation_filters_to_the_reference(
    reference: str, wanted: Filter, phase: Phase, shared_data: Path
) -> None:
    with np.load(shared_data / "iiic" / "check_values.npz") as arrays:
        x, expected = arrays["wavelet_input"], arrays[reference]
    filtered = apply_filter(torch.from_numpy(x), sections_of(wanted), phase)
    np.testing.assert_allclose(filtered, expected, atol=1e-4 * np.abs(expected).max(), rtol=0)


def real_recording(shared_data: Path, eeg_id: int) -> torch.Tensor:
    table = pd.read_parquet(shared_data / "iiic" / "train_eegs" / f"{eeg_id}.parquet")
    start = (len(table) - 10_000) // 2
    return torch.from_numpy(table.to_numpy(np.float32)[None, start : start + 10_000].copy())


@pytest.mark.data
def test_a_real_recordings_24_differences_are_those_of_the_15th_place(shared_data: Path) -> None:
    with np.load(shared_data / "iiic" / "check_values.npz") as arrays:
        expected = arrays["place15_differences"]
    eeg = clip_uv(fill_gaps(real_recording(shared_data, 900000001), "zero"), 1024.0) / 32
    filtered = apply_filter(eeg.mT, sections_of(LowPass()), "causal").mT
    differences = derive(filtered, Bipolar(name="place15").matrix())[0, :, ::5]
    np.testing.assert_allclose(differences, expected, atol=1e-4 * np.abs(expected).max(), rtol=0)


@pytest.mark.data
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("wanted", [BandPass(), LowPass(), BandStop(), Notch()], ids=named)
def test_a_real_recording_is_filtered_as_by_scipy(wanted: Filter, phase: Phase, shared_data: Path) -> None:
    x = fill_gaps(real_recording(shared_data, 900000001), "mean")[0].mT
    expected = by_scipy(x.numpy(), wanted, phase)
    scale = x.abs().amax(dim=1, keepdim=True).numpy()
    assert (np.abs(apply_filter(x, sections_of(wanted), phase).numpy() - expected) <= 1e-5 * scale).all()


@pytest.mark.parametrize("phase", PHASES)
def test_a_filter_first_used_without_gradients_carries_them_later(phase: Phase) -> None:
    sections = sections_of(BandPass(low_hz=0.7, high_hz=11))
    with torch.inference_mode():
        apply_filter(torch.zeros(1, 500), sections, phase)
    x = torch.randn(2, 500, generator=torch.Generator().manual_seed(4)).requires_grad_()
    apply_filter(x, sections, phase).square().sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
