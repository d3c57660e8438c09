"""Explaining what model folders and ensembles say of recordings."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from small_models import PRIOR, write_ensemble, write_model

from hms_search.eeg.both_pipeline import BothPipeline, FittedBothPipeline
from hms_search.eeg.eeg_pipeline import EegPipeline, FittedEegPipeline
from hms_search.eeg.pipeline import InputPipeline, SpectrogramPipeline
from hms_search.eeg.pipelines import FittedPipeline
from hms_search.eeg.shapes import Kind
from hms_search.ensemble.blends import FittedBlend, MeanBlend
from hms_search.errors import ConfigError, DataError
from hms_search.explain import grad_cam
from hms_search.inference.model_folder import ModelCard, NetworkFile, write_card
from hms_search.inference.predictor import Predictor, Recording
from hms_search.models import (
    AttentionSpectrogram,
    EegCnn,
    Model,
    Multimodal,
    StftImage,
    TimmImage,
    WaveNet,
    save_weights,
)
from hms_search.models.wave_blocks import Improved

TINY = TimmImage(backbone="test_resnet")
FFT: Mapping[str, object] = {
    "montage": {"name": "tuh20"},
    "representation": {"name": "fft_image"},
    "layout": {"name": "channels"},
}
SIGNALS: Mapping[str, object] = {
    "montage": {"name": "wavenet8"},
    "representation": {"name": "waveform", "every": 20},
    "scale_uv": 32,
}
THREE = Multimodal(
    wavenet=WaveNet(blocks=Improved(count=2, channels=4, layers=3), group=4, image=TINY),
    stft_image=StftImage(image=TINY),
    attention_spectrogram=AttentionSpectrogram(image=TINY, hidden=8),
)


def recording(seed: int = 0) -> dict[Kind, np.ndarray]:
    rng = np.random.default_rng(seed)
    power, eeg = rng.normal(0, 2, (300, 400)), rng.normal(0, 40, (10_000, 20))
    power[100:150, 20:60] += 6
    return {"spectrogram": power.astype(np.float16), "eeg": eeg.astype(np.float16)}


def fitted_eeg(changes: Mapping[str, object]) -> FittedEegPipeline:
    return EegPipeline.model_validate(changes).fit([])


def fitted_both(changes: Mapping[str, object], **joined: object) -> FittedBothPipeline:
    eeg, spectrogram = fitted_eeg(changes), InputPipeline(config=SpectrogramPipeline.model_validate(joined))
    config = BothPipeline(eeg=eeg.config, spectrogram=spectrogram.config)
    return FittedBothPipeline(config=config, eeg=eeg, spectrogram=spectrogram)


def opened(folder: Path, model: Model, pipeline: FittedPipeline) -> Predictor:
    folder.mkdir()
    file = NetworkFile(file="network.safetensors", model=model, pipeline=pipeline, fold=0, seed=0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_weights(model.build(pipeline.config.shape), folder / file.file)
    write_card(folder, ModelCard(name="one", kind="model", prior=PRIOR, scores={}, origin={}, networks=(file,)))
    return Predictor.open(folder, device="cpu")


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor.open(write_model(tmp_path_factory.mktemp("model") / "small", resize=[96, 128]), device="cpu")


@pytest.fixture(scope="module")
def of_fft(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return opened(tmp_path_factory.mktemp("fft") / "model", EegCnn(), fitted_eeg(FFT))


@pytest.fixture(scope="module")
def of_three(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    planes = {"planes": {"name": "differences"}, "layout": {"name": "channels"}, "resize": [64, 48]}
    return opened(tmp_path_factory.mktemp("three") / "model", THREE, fitted_both(SIGNALS, **planes))


def test_an_explanation_has_the_size_of_the_input_and_says_what_it_is_of(predictor: Predictor) -> None:
    explanation = grad_cam(predictor, recording(), class_index=2, member=1)
    assert explanation.map.shape == (96, 128)
    assert explanation.map.min() >= 0
    assert explanation.map.max() == 1
    assert (explanation.class_index, explanation.class_name) == (2, "gpd")
    assert explanation.network == "small, networks/seed0-fold1.safetensors"
    pipeline = list(predictor.pipelines)[1]
    power = torch.from_numpy(recording()["spectrogram"])[None]
    np.testing.assert_array_equal(explanation.image, pipeline.inputs({"spectrogram": power})[0].numpy())
    expected = predictor.predict([recording()]).members[1, 0, 2]
    assert explanation.probability == pytest.approx(expected, abs=1e-6)


def test_another_class_network_or_recording_is_explained_otherwise(predictor: Predictor, of_fft: Predictor) -> None:
    maps = [grad_cam(of_fft, recording(), class_index=i).map for i in range(6)]
    maps += [grad_cam(of_fft, recording(1), class_index=0).map]
    assert len({each.tobytes() for each in maps}) == len(maps)
    one, other = (grad_cam(predictor, recording(), class_index=0, member=i).map for i in (0, 1))
    assert not np.allclose(one, other)


def test_explaining_twice_gives_the_same_and_changes_no_prediction(of_fft: Predictor) -> None:
    before, state = of_fft.predict([recording()]).probabilities, torch.random.get_rng_state()
    one, again = (grad_cam(of_fft, recording(), class_index=1).map for _ in range(2))
    np.testing.assert_array_equal(one, again)
    np.testing.assert_array_equal(of_fft.predict([recording()]).probabilities, before)
    assert torch.equal(state, torch.random.get_rng_state())


def test_a_member_of_an_ensemble_is_explained_by_its_first_network(predictor: Predictor, tmp_path: Path) -> None:
    for name, seed in (("first", 5), ("second", 0)):
        write_model(tmp_path / "members" / name, name=name, seed=seed, resize=[96, 128])
    write_ensemble(tmp_path, FittedBlend(MeanBlend()), members=("first", "second"))
    ensemble = Predictor.open(tmp_path, device="cpu")
    found = grad_cam(ensemble, recording(), class_index=3, member=1)
    assert found.network.startswith("second, ")
    np.testing.assert_allclose(found.map, grad_cam(predictor, recording(), class_index=3).map, rtol=0, atol=1e-6)
    shutil.rmtree(tmp_path / "members")


def test_a_network_of_two_images_explains_the_one_that_is_asked_for(of_three: Predictor) -> None:
    eeg = grad_cam(of_three, recording(), class_index=0)
    assert eeg.map.shape == (8, 500)
    assert eeg.panels[0].kind == "eeg"
    spectrogram = grad_cam(of_three, recording(), class_index=0, kind="spectrogram")
    assert spectrogram.map.shape == (64, 48)
    assert spectrogram.image.shape == (10, 64, 48)
    assert spectrogram.panels[0].kind == "spectrogram"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"class_index": 6}, "class_index to be one of 0 to 5, found 6"),
        ({"class_index": -1}, "found -1"),
        ({"class_index": 0, "member": 2}, "member to be one of 0 to 1, found 2"),
        ({"class_index": 0, "kind": "eeg"}, "model small looks at spectrogram, found kind 'eeg'"),
    ],
)
def test_what_cannot_be_explained_is_named(predictor: Predictor, wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        grad_cam(predictor, recording(), **wrong)  # type: ignore[arg-type]


def test_a_recording_the_predictor_refuses_is_not_explained(predictor: Predictor) -> None:
    without: Recording = {"eeg": recording()["eeg"]}
    with pytest.raises(DataError, match="looks at the spectrogram"):
        grad_cam(predictor, without, class_index=0)
