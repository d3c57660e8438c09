"""EEG beside the spectrogram, its representation baked: from `data prepare` to predictions."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import CommandLine

STUDY = """\
name: both
space:
  name: both
  base:
    pipeline:
      source: both
      join: beside
      resize: [32, 48]
      eeg: {clip_uv: 1024, representation: {name: chain_mel}, denoise: db8}
      spectrogram:
        planes: {name: regions}
        gap_fill: mean
        clip_log: {low: -4, high: 8}
        scale: 2
        width: 256
        margin: 14
        resize: null
    augmentations: [{name: xy_masking}]
    model: {name: timm, backbone: test_resnet}
    training: {epochs: 1, batch_size: 8}
  parameters:
    pipeline.eeg.normalise: {type: categorical, choices: {none: {name: none}, datawide: {name: datawide}}}
    training.optimiser.lr: {type: float, low: 1.0e-4, high: 1.0e-2, log: true}
data: {sampling: {name: eeg_middle}, baked: true}
folds: {name: grouped, n_folds: 2}
trials: 2
pruner: {name: none}
device: cpu
"""


@pytest.mark.slow
def test_a_search_over_both_sources_reads_baked_images_and_its_model_predicts_from_recordings(
    hms_search: CommandLine, recordings: Path
) -> None:
    folder = hms_search.folder
    (folder / "both.yaml").write_text(STUDY)
    output = hms_search("data", "prepare", "recordings", "--bake", "both.yaml")
    assert "images [1, 512, 256] of chain_mel on montage deotte" in output
    baked = list((folder / "mlruns" / "stores").glob("*/baked/*.npy"))
    assert len(baked) == 1
    written = baked[0].stat().st_mtime_ns
    hms_search("run", "both.yaml", "--data", "recordings")
    promoted = hms_search("promote", "both", "--folds", "2", "--epochs", "1", "--trial", "0")
    name = promoted.split("predict ")[1].split()[0]
    assert baked[0].stat().st_mtime_ns == written
    hms_search("predict", name, "--data", "recordings", "-o", "ours.csv", "--tta", "flips")
    ours = pd.read_csv(folder / "ours.csv")
    assert np.ptp(ours.iloc[:, 1:].to_numpy(), axis=0).max() > 0


def test_a_search_of_what_is_baked_is_refused_before_the_first_trial(hms_search: CommandLine) -> None:
    varied = "pipeline.eeg.montage: {type: categorical, choices: {a: {name: deotte}, b: {name: radboud}}}"
    text = STUDY.replace("pipeline.eeg.normalise: {type: categorical, choices: {none: {name: none}, ", "REPLACED")
    text = text.replace("REPLACEDdatawide: {name: datawide}}}", varied)
    (hms_search.folder / "varied.yaml").write_text(text)
    output = hms_search("run", "varied.yaml", "--data", "recordings", code=2)
    assert "data.baked needs one representation for all trials, the space varies pipeline.eeg.montage" in output
