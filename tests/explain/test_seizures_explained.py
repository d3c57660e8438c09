"""Explaining networks that tell seizures apart, on one that learnt to find something whose place is known."""

import numpy as np
import pytest
import torch
from small_models import SEIZURE_PRIOR

from hms_search.data.labels import SEIZURE_TYPES
from hms_search.eeg.fft_pipeline import FftPipeline, FittedFftPipeline
from hms_search.errors import ConfigError
from hms_search.explain import Panel, deletion_test, grad_cam
from hms_search.inference.model_folder import ModelCard, NetworkFile, write_card
from hms_search.inference.predictor import Predictor
from hms_search.models import EegCnn, save_weights

PIPELINE = FittedFftPipeline(config=FftPipeline())
FOCAL, ABSENCE = SEIZURE_TYPES.index("FNSZ"), SEIZURE_TYPES.index("ABSZ")
HIGH, WIDE = 6, 8
"""Of the pattern: a tenth of the image."""


def seizure(seed: int, *, focal: bool) -> tuple[np.ndarray, tuple[slice, slice]]:
    """Noise, with or without more power of some derivations in some band; and where."""
    rng = np.random.default_rng(seed)
    samples = rng.normal(1, 0.4, (int(rng.integers(3, 20)), 20, 24)).astype(np.float32)
    row, column = int(rng.integers(20 - HIGH)), int(rng.integers(24 - WIDE))
    place = slice(row, row + HIGH), slice(column, column + WIDE)
    samples[:, *place] += 1.0 * focal
    return samples, place


@pytest.fixture(scope="module")
def finder(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """A network that learnt to tell seizures with the pattern from those without."""
    folder, model = tmp_path_factory.mktemp("finder"), EegCnn(channels=(8, 16))
    samples = [torch.from_numpy(seizure(seed, focal=bool(seed % 2))[0]) for seed in range(128)]
    images = torch.cat([PIPELINE.forward(each[None]) for each in samples])
    target = torch.tensor([FOCAL if seed % 2 else ABSENCE for seed in range(128)])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = model.build(PIPELINE.config.shape, classes=8).train()
        optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
        for step in range(120):
            rows = torch.arange(32) + 32 * (step % 4)
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(network(images[rows]), target[rows]).backward()
            optimiser.step()
    file = NetworkFile(file="network.safetensors", model=model, pipeline=PIPELINE, fold=0, seed=0)
    save_weights(network, folder / file.file)
    card = ModelCard(
        name="finder", kind="model", task="seizure_types", prior=SEIZURE_PRIOR, scores={}, origin={}, networks=(file,)
    )
    write_card(folder, card)
    predictor = Predictor.open(folder, device="cpu")
    unseen = [seizure(seed, focal=bool(seed % 2))[0] for seed in range(1000, 1020)]
    likeliest = predictor.predict(unseen).probabilities.argmax(axis=1)
    assert (likeliest == [FOCAL if seed % 2 else ABSENCE for seed in range(1000, 1020)]).mean() > 0.9, "untrained"
    return predictor


def test_the_axes_are_the_derivations_and_their_frequencies(finder: Predictor) -> None:
    explanation = grad_cam(finder, {"fft": seizure(2001, focal=True)[0]}, class_index=FOCAL)
    assert explanation.class_name == "FNSZ"
    assert explanation.map.shape == (20, 24)
    panel: Panel = explanation.panels[0]
    assert (panel.kind, panel.rows.label, panel.columns.label) == ("fft", "derivation", "frequency")
    rows = {round(place - 0.5): name for place, name in panel.rows.ticks}
    assert [rows[row] for row in range(4, 8)] == ["Fp2-F8", "F8-T4", "T4-T6", "T6-O2"]
    assert dict(panel.columns.ticks)[19.5] == "20 Hz"
    assert [name for _, name in panel.channels] == ["mean", "p25", "p75"]


def test_the_map_lies_on_what_was_learnt_and_deleting_it_matters_most(finder: Predictor) -> None:
    rng, shares, passed = np.random.default_rng(0), [], []
    for seed in range(3000, 3012):
        samples, place = seizure(seed, focal=True)
        places = grad_cam(finder, {"fft": samples}, class_index=FOCAL).map
        shares.append(places[place].sum() / places.sum())
        passed.append(deletion_test(finder, {"fft": samples}, rng, class_index=FOCAL).passed)
    assert np.mean(shares) > 4 / 10, "the pattern covers a tenth of the image"
    assert sum(passed) >= 11


def test_a_ninth_class_is_refused(finder: Predictor) -> None:
    with pytest.raises(ConfigError, match="one of 0 to 7, found 8"):
        grad_cam(finder, {"fft": seizure(1, focal=True)[0]}, class_index=8)
