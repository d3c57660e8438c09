"""Model folders of tiny networks with random weights, for what needs a model but no training."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import torch
from torch import nn

from hms_search.data.labels import CLASSES_OF, TaskName
from hms_search.eeg.fft_pipeline import FftPipeline, FittedFftPipeline
from hms_search.eeg.pipeline import InputPipeline, SpectrogramPipeline
from hms_search.eeg.pipelines import FittedPipeline
from hms_search.ensemble.blends import FittedBlend
from hms_search.inference.model_folder import ModelCard, NetworkFile, save_blend, write_card
from hms_search.models import EegCnn, Model, TimmImage, save_weights

PRIOR = (0.05, 0.18, 0.12, 0.08, 0.09, 0.48)
SEIZURE_PRIOR = (0.05, 0.16, 0.48, 0.2, 0.03, 0.03, 0.03, 0.02)
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
    model = TimmImage(backbone=backbone)
    pipelines = [pipeline or fitted(fold, **changes) for fold in range(networks)]
    card = ModelCard(
        name=name,
        kind="model",
        prior=PRIOR,
        scores={"kl_all": 0.71, "kl_interval_low": 0.65, "kl_interval_high": 0.77},
        origin={"objective": "all", "recordings": "synthetic"},
        networks=_write_networks(folder, model, pipelines, task="hms", seed=seed),
    )
    write_card(folder, card)
    return folder


def write_seizure_model(folder: Path, *, name: str = "seizures", seed: int = 0, **changes: object) -> Path:
    """Write a folder of two random networks that tell seizures apart; ``changes`` are fields of the pipeline."""
    pipelines = [FittedFftPipeline(config=FftPipeline.model_validate(changes))] * 2
    scores = {"weighted_f1": 0.68, "weighted_f1_by_file": 0.68, "weighted_f1_by_patient": 0.26, "accuracy": 0.7}
    card = ModelCard(
        name=name,
        kind="model",
        task="seizure_types",
        prior=SEIZURE_PRIOR,
        scores={**scores, "weighted_f1_interval_low": 0.2, "weighted_f1_interval_high": 0.3},
        origin={"objective": "all", "recordings": "synthetic"},
        networks=_write_networks(folder, EegCnn(channels=(4, 8, 16)), pipelines, task="seizure_types", seed=seed),
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


def _write_networks(
    folder: Path, model: Model, pipelines: Sequence[FittedPipeline], *, task: TaskName, seed: int
) -> tuple[NetworkFile, ...]:
    (folder / "networks").mkdir(parents=True)
    files = []
    for fold, pipeline in enumerate(pipelines):
        file = f"networks/seed0-fold{fold}.safetensors"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1000 * seed + fold)
            network = model.build(pipeline.config.shape, classes=len(CLASSES_OF[task]))
        last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
        with torch.no_grad():
            last.weight.mul_(30)  # random networks say nearly the same of every recording
        save_weights(network, folder / file)
        files.append(NetworkFile(file=file, model=model, pipeline=pipeline, fold=fold, seed=0))
    return tuple(files)
