from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
import torch

from hms_search.augment import RecordingAugmentation, Recordings, augment_recordings
from hms_search.augment.flips import LeftRightFlip
from hms_search.eeg.histogram import log_power
from hms_search.eeg.pipeline import SpectrogramPipeline

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def real(shared_data: Path) -> Recordings:
    """Four recordings of 50 s, some with electrodes that have come off, and two of which only the middle 10 s exist."""
    table = pd.read_csv(shared_data / "iiic" / "train.csv")
    long, short = (table[(table["eeg_seconds"] == seconds)]["eeg_id"] for seconds in (50, 10))
    windows = []
    for eeg_id in (*long[:4], *short[:2]):
        eeg = pd.read_parquet(shared_data / "iiic" / "train_eegs" / f"{eeg_id}.parquet").to_numpy(np.float32)
        edge = (10_000 - len(eeg)) // 2
        windows.append(np.pad(eeg, ((edge, edge), (0, 0)), constant_values=np.nan))
    return Recordings(torch.from_numpy(np.stack(windows)), None, torch.full((6, 6), 1 / 6), torch.ones(6))


ON_EEG = [member for member in get_args(RecordingAugmentation) if "eeg" in member().acts_on]
MIXING = ("crop_cat", "eeg_mixup")  # a gap may come from the partner


@pytest.mark.parametrize("member", ON_EEG)
def test_a_real_recording_stays_as_loud_as_it_was(member: Any, real: Recordings) -> None:
    after = member(p=1).forward(real, torch.Generator().manual_seed(0)).eeg
    assert after is not None
    assert real.eeg is not None
    assert after.nan_to_num().abs().max() <= 1.1 * real.eeg.nan_to_num().abs().max()


@pytest.mark.parametrize("member", [member for member in ON_EEG if member().name not in MIXING])
def test_a_real_recording_misses_no_more_than_it_did(member: Any, real: Recordings) -> None:
    after = member(p=1).forward(real, torch.Generator().manual_seed(0)).eeg
    assert after is not None
    assert real.eeg is not None
    missing, before = (eeg.isnan().sum(dim=(1, 2)) for eeg in (after, real.eeg))
    assert (missing <= before).all()


def test_the_flip_exchanges_left_and_right_in_the_image_of_a_real_ten_minute_spectrogram(shared_data: Path) -> None:
    file = pd.read_parquet(shared_data / "iiic" / "train_spectrograms" / "800000029.parquet")
    recorded = torch.from_numpy(log_power(file.drop(columns="time").to_numpy()))[None]
    batch = Recordings(None, recorded, torch.full((1, 6), 1 / 6), torch.ones(1))
    flipped = augment_recordings(batch, [LeftRightFlip(p=1)], torch.Generator()).log_power
    assert flipped is not None
    pipeline = SpectrogramPipeline(resize=None).fit(np.zeros(0, dtype=np.int64))
    seen, mirrored = pipeline.forward(recorded), pipeline.forward(flipped)
    regions = [seen[:, :, start : start + 100] for start in (100, 0, 300, 200)]  # RL, LL, RP, LP
    torch.testing.assert_close(mirrored, torch.cat(regions, dim=2))
    assert (mirrored - seen).abs().mean() > 0.1
