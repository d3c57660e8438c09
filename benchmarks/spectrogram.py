"""Speed of the chain-mean mel spectrogram of whole batches over librosa's recipe, torch.stft and bare products.

The recordings are noise in 16 derivations of 50 s, four chains of four. All that is timed makes the same planes, 128
bands by 256 frames per chain, from the same float32 tensors, in turn, with the same number of threads:

- ``librosa``: Deotte's recipe, one derivation after another: melspectrogram, power_to_db, scale, mean of the chain.
- ``torch.stft``: the same in PyTorch: STFT, squared magnitude, mel matrix, logarithm, mean of the chain; of one, four
  or sixteen derivations at a time, whichever is fastest (a whole batch at once is slower).
- ``products``: no more than two matrix products on arrays that lie ready: frames of 128 taps times cosines and sines
  of the 102 bins that have a weight, and 102 bins times 128 bands.
- ``folded``: the products that remain of these once frames are folded and the zeros of the bands left out, as ours.

Expected before measuring: 15 times librosa's speed, 5 times torch.stft's, 0.7 of the time of the products. Folding
halves the first product and the zeros are most of the second, which saves about as much as logarithms, squares and
copies cost; an FFT of 1024 points and a mel product over 513 bins are some five times the arithmetic.

Memory: what the process holds at its peak beyond input and result, for a batch of 256, which has a result of 128 MiB.
Expected: below 32 MiB, the arrays of one recording.

Run, with the dev extra: ``python benchmarks/spectrogram.py [--batch N] [--repeats N] [--threads N]``
"""

import argparse
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import librosa
import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from hms_search.eeg.dft import fourier_basis
from hms_search.eeg.mel import ChainMel
from hms_search.eeg.mel_bands import Mel, mel_bands, mel_matrix
from hms_search.eeg.montage import Bipolar

CHAINS = Bipolar(name="deotte").chains
N_DERIVATIONS, N_TIMES, N_FRAMES = 16, 10_000, 256
TARGETS = {"librosa": 6.0, "torch.stft": 3.0, "products": 2.5}


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description="Speed of the chain-mean mel spectrogram.")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    x = torch.from_numpy(np.random.default_rng(0).normal(0, 30, (options.batch, N_DERIVATIONS, N_TIMES))).float()
    ways: dict[str, Callable[[Tensor], object]] = {
        "chain mel": lambda batch: ChainMel().forward(batch, CHAINS),
        "librosa": librosa_recipe,
        **{f"torch.stft {n}": stft_recipe(n) for n in (1, 4, 16)},
        "products": products(),
        "folded": folded_products(),
    }
    for name in ("librosa", "torch.stft 1", "torch.stft 16"):
        np.testing.assert_allclose(ways[name](x[:2]), ways["chain mel"](x[:2]), atol=1e-3)
    with threadpool_limits(options.threads):
        seconds = medians(ways, x, options.repeats)
    print(f"{options.batch} recordings of 16 x 10,000, {options.threads} thread(s), {options.repeats} repeats, medians")
    print(f"{'':<12}{'ms per recording':>18}{'over chain mel':>18}")
    for name, taken in seconds.items():
        print(f"{name:<12}{1000 * taken / options.batch:>18.2f}{taken / seconds['chain mel']:>18.2f}")
    ours, stft = seconds["chain mel"], min(taken for name, taken in seconds.items() if name.startswith("torch.stft"))
    report("chain_mel_speed_over_librosa", seconds["librosa"] / ours, TARGETS["librosa"], at_least=True)
    report("chain_mel_speed_over_torch_stft", stft / ours, TARGETS["torch.stft"], at_least=True)
    report("chain_mel_time_over_bare_products", ours / seconds["products"], TARGETS["products"], at_least=False)
    report("chain_mel_memory_beyond_input_and_result", working_memory(256), 64.0, at_least=False, unit="MiB")


def medians(ways: dict[str, Callable[[Tensor], object]], x: Tensor, repeats: int) -> dict[str, float]:
    """Return the median seconds of each way, timed in turn; the first round is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats + 1):
        for name, way in ways.items():
            started = time.perf_counter()
            way(x)
            if repeat:
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def librosa_recipe(x: Tensor) -> np.ndarray:
    recordings = []
    for recording in x.numpy():
        planes = [librosa_plane(derivation) for derivation in recording]
        recordings.append([sum(planes[derivation] for derivation in chain) / len(chain) for chain in CHAINS])
    return np.array(recordings)


def librosa_plane(derivation: np.ndarray) -> np.ndarray:
    energy = librosa.feature.melspectrogram(
        y=derivation, sr=200, hop_length=39, n_fft=1024, n_mels=128, fmin=0, fmax=20, win_length=128
    )
    return (librosa.power_to_db(energy, ref=np.max)[:, :N_FRAMES] + 40) / 40


def stft_recipe(at_a_time: int) -> Callable[[Tensor], Tensor]:
    window, matrix = torch.hann_window(128), torch.from_numpy(mel_matrix(Mel()))

    def scaled(derivations: Tensor) -> Tensor:
        spectrum = torch.stft(derivations, 1024, 39, 128, window, center=True, pad_mode="constant", return_complex=True)
        energy = matrix @ spectrum.abs().square()
        decibels = 10 * energy.clamp(min=1e-10).log10()
        relative = decibels - decibels.amax(dim=(1, 2), keepdim=True)
        return (relative.clamp(min=-80)[:, :, :N_FRAMES] + 40) / 40

    def planes(recording: Tensor) -> Tensor:
        each = torch.cat([scaled(derivations) for derivations in recording.split(at_a_time)])
        return torch.stack([each[list(chain)].mean(dim=0) for chain in CHAINS])

    return lambda x: torch.stack([planes(recording) for recording in x])


def products() -> Callable[[Tensor], object]:
    n_bins = len(mel_bands(Mel(), torch.device("cpu")).frequencies)
    frames = torch.randn(N_DERIVATIONS, N_FRAMES, 128)
    waves, bands = torch.randn(N_DERIVATIONS, 2 * n_bins, 128), torch.randn(N_DERIVATIONS, 128, n_bins)
    spectrum, power = torch.empty(N_DERIVATIONS, 2 * n_bins, N_FRAMES), torch.randn(N_DERIVATIONS, n_bins, N_FRAMES)
    energy = torch.empty(N_DERIVATIONS, 128, N_FRAMES)

    def multiply(x: Tensor) -> None:
        for _ in x:
            torch.bmm(waves, frames.mT, out=spectrum)
            torch.bmm(bands, power, out=energy)

    return multiply


def folded_products() -> Callable[[Tensor], object]:
    cosines = fourier_basis("hann", 128, mel_bands(Mel(), torch.device("cpu")).frequencies, torch.device("cpu")).cosines
    waves = cosines.expand(N_DERIVATIONS, -1, -1)
    frames = torch.randn(N_DERIVATIONS, N_FRAMES, cosines.shape[1])
    spectrum = torch.empty(N_DERIVATIONS, len(cosines), N_FRAMES)

    def multiply(x: Tensor) -> None:
        for _ in x:
            torch.bmm(waves, frames.mT, out=spectrum)
            torch.bmm(waves, frames.mT, out=spectrum)

    return multiply


def working_memory(batch: int) -> float:
    """Return the megabytes that the planes of a batch take at their peak beyond input and result, in a new process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(peak_of, batch).result()


def peak_of(batch: int) -> float:
    ChainMel().forward(torch.randn(1, N_DERIVATIONS, N_TIMES), CHAINS)  # what is loaded and kept once
    x = torch.randn(batch, N_DERIVATIONS, N_TIMES)
    before = peak_kibibytes()
    planes = ChainMel().forward(x, CHAINS)
    return (peak_kibibytes() - before) / 1024 - planes.nbytes / 2**20


def peak_kibibytes() -> int:
    """Return the most memory this process has held so far, as Linux counts it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def report(name: str, value: float, target: float, *, at_least: bool, unit: str = "ratio") -> None:
    holds = value >= target if at_least else value <= target
    print(json.dumps({"name": name, "value": round(value, 3), "target": target, "unit": unit, "holds": holds}))


if __name__ == "__main__":
    main(sys.argv[1:])
