"""The deletion test, on a network that was trained to find something whose place is known."""

from pathlib import Path

import numpy as np
import pytest
import torch

from hms_search.eeg.pipeline import InputPipeline, SpectrogramPipeline
from hms_search.explain import Deletion, deletion_test, grad_cam
from hms_search.explain.deletion import without
from hms_search.inference.model_folder import ModelCard, NetworkFile, write_card
from hms_search.inference.predictor import Predictor
from hms_search.models import EegCnn, Model, save_weights

PATTERN, NOTHING = 0, 5
HIGH, WIDE = 100, 75
"""Of the pattern in the recording: a sixteenth of its 400 frequencies by 300 times."""
# Not normalised: else the pattern would darken all of the noise, and the network could look there.
PIPELINE = InputPipeline(config=SpectrogramPipeline.model_validate({"normalise": {"name": "none"}, "resize": [64, 48]}))


def recording(seed: int, *, pattern: bool) -> tuple[np.ndarray, tuple[int, int]]:
    """Noise, with or without more power somewhere; and where that begins, in time and frequency."""
    rng = np.random.default_rng(seed)
    power = rng.normal(0, 1, (300, 400))
    time, freq = int(rng.integers(300 - WIDE)), int(rng.integers(400 - HIGH))
    if pattern:
        power[time : time + WIDE, freq : freq + HIGH] += 1.5
    return power.astype(np.float16), (time, freq)


def trained(folder: Path, model: Model, *, steps: int) -> Predictor:
    torch.manual_seed(0)
    network = model.build(PIPELINE.config.shape).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    power = np.stack([recording(seed, pattern=bool(seed % 2))[0] for seed in range(96)])
    images = PIPELINE.forward(torch.from_numpy(power))
    target = torch.tensor([PATTERN if seed % 2 else NOTHING for seed in range(96)])
    for step in range(steps):
        rows = torch.arange(32) + 32 * (step % 3)
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(images[rows]), target[rows]).backward()
        optimiser.step()
    file = NetworkFile(file="network.safetensors", model=model, pipeline=PIPELINE, fold=0, seed=0)
    save_weights(network, folder / file.file)
    write_card(folder, ModelCard(name="t", kind="model", prior=(1 / 6,) * 6, scores={}, origin={}, networks=(file,)))
    return Predictor.open(folder, device="cpu")


@pytest.fixture(scope="module")
def finder(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """A network that learnt to tell recordings with the pattern from those without."""
    predictor = trained(tmp_path_factory.mktemp("finder"), EegCnn(channels=(8, 16, 32)), steps=150)
    unseen = [recording(seed, pattern=bool(seed % 2))[0] for seed in range(1000, 1040)]
    found = predictor.predict(unseen).probabilities[:, PATTERN] > 0.5
    assert (found == [bool(seed % 2) for seed in range(1000, 1040)]).mean() > 0.9, "the test needs a trained network"
    return predictor


SEEDS = range(2000, 2012)


def deletions(predictor: Predictor) -> list[Deletion]:
    seen = [{"spectrogram": recording(seed, pattern=True)[0]} for seed in SEEDS]
    rng = np.random.default_rng(0)
    return [deletion_test(predictor, each, rng, class_index=PATTERN) for each in seen]


def test_the_highlighted_tenth_matters_more_than_a_random_tenth(finder: Predictor) -> None:
    tests = deletions(finder)
    assert sum(test.passed for test in tests) >= len(tests) - 1
    highlighted = np.mean([test.highlighted for test in tests])
    assert highlighted > 2 * np.mean([test.moved.mean() for test in tests])
    assert highlighted > 2 * np.mean([test.scattered.mean() for test in tests])


def test_the_map_lies_on_what_was_learnt(finder: Predictor) -> None:
    shares = []
    for seed in SEEDS:
        power, (time, freq) = recording(seed, pattern=True)
        places = grad_cam(finder, {"spectrogram": power}, class_index=PATTERN).map
        rows = slice(round(freq * 64 / 400), round((freq + HIGH) * 64 / 400))
        columns = slice(round(time * 48 / 300), round((time + WIDE) * 48 / 300))
        shares.append(places[rows, columns].sum() / places.sum())
    assert np.mean(shares) > 4 / 16, "the pattern covers a sixteenth of the image"


def test_the_same_seed_draws_the_same_parts_and_another_others(finder: Predictor) -> None:
    power = {"spectrogram": recording(1, pattern=True)[0]}
    generators = [np.random.default_rng(seed) for seed in (1, 1, 2)]
    one, again, other = (deletion_test(finder, power, rng, class_index=PATTERN) for rng in generators)
    np.testing.assert_array_equal(one.moved, again.moved)
    np.testing.assert_array_equal(one.scattered, again.scattered)
    assert one.highlighted == again.highlighted == pytest.approx(other.highlighted)
    assert not np.array_equal(one.scattered, other.scattered)


def test_removed_places_become_the_mean_of_their_channel() -> None:
    image = torch.arange(24.0).reshape(1, 2, 3, 4)
    part = np.zeros((3, 4), bool)
    part[1, 2:] = True
    found = without(image, part)
    torch.testing.assert_close(found[0, :, 1, 2:], torch.tensor([[5.5, 5.5], [17.5, 17.5]]))
    torch.testing.assert_close(found[..., ~torch.from_numpy(part)], image[..., ~torch.from_numpy(part)])
