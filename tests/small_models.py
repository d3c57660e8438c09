"""Model folders of tiny networks with random weights, for what needs a model but no training."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import torch

from hms_search.eeg.pipeline import InputPipeline, SpectrogramPipeline
from hms_search.eeg.pipelines import FittedPipeline
from hms_search.ensemble.blends import FittedBlend
from hms_search.inference.model_folder import ModelCard, NetworkFile, save_blend, write_card
from hms_search.models import TimmImage, save_weights

PRIOR = (0.05, 0.18, 0.12, 0.08, 0.09, 0.48)
SMALL: Mapping[str, object] = {"normalise": {"name": "instance"}, "resize": [32, 48]}


def fitted(number: int, **changes: object) -> InputPipeline:
    """A pipeline with data-wide statistics of its own."""
    config = SpectrogramPipeline.model_validate({**SMALL, **changes})
    return InputPipeline(config=config, mean=-1.0 - number / 4, std=2.0, count=1000)


def write_model(
    folder: Path,
    *,
    name: str = "small",
    networks: int = 2,
    seed: int = 0,
    backbone: str = "test_resnet",
    pipeline: FittedPipeline | None = None,
    **changes: object,
) -> Path:
    """Write a model folder of random networks; ``changes`` are fields of the spectrogram pipeline, unless given one."""
    (folder / "networks").mkdir(parents=True)
    model, files = TimmImage(backbone=backbone), []
    for fold in range(networks):
        file = NetworkFile(
            file=f"networks/seed0-fold{fold}.safetensors",
            model=model,
            pipeline=pipeline or fitted(fold, **changes),
            fold=fold,
            seed=0,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1000 * seed + fold)
            network = model.build(file.pipeline.config.shape)
        with torch.no_grad():
            network.get_classifier().weight.mul_(30)  # random networks say nearly the same of every recording
        save_weights(network, folder / file.file)
        files.append(file)
    scores = {"kl_all": 0.71, "kl_interval_low": 0.65, "kl_interval_high": 0.77}
    card = ModelCard(
        name=name,
        kind="model",
        prior=PRIOR,
        scores=scores,
        origin={"objective": "all", "recordings": "synthetic"},
        networks=tuple(files),
    )
    write_card(folder, card)
    return folder


def write_ensemble(
    folder: Path,
    blend: FittedBlend,
    *,
    members: Sequence[str],
    name: str = "blended",
    scores: Mapping[str, float] = MappingProxyType({}),
) -> Path:
    """Write an ensemble whose members' folders are there already."""
    save_blend(folder, blend)
    card = ModelCard(
        name=name,
        kind="ensemble",
        prior=PRIOR,
        scores=dict(scores),
        origin={},
        members=tuple(members),
        blend=blend.config,
    )
    write_card(folder, card)
    return folder
