import numpy as np
import torch

from hms_search.data.hms import POWERS
from hms_search.eeg.mirror import mirrored


def test_mirroring_twice_is_the_identity_whatever_the_values() -> None:
    x = torch.from_numpy(np.random.default_rng(0).normal(0, 2, (3, 7, 400)).astype(np.float16))
    x[0, 0, :3] = torch.tensor([torch.nan, torch.inf, -torch.inf])
    torch.testing.assert_close(mirrored(mirrored(x)), x, rtol=0, atol=0, equal_nan=True)
    assert not torch.equal(mirrored(x[1:]), x[1:])


def test_each_column_takes_the_place_of_its_mirror_image_at_the_same_frequency() -> None:
    columns = torch.arange(400, dtype=torch.float32).expand(1, 2, 400)
    other_side = {"LL": "RL", "RL": "LL", "LP": "RP", "RP": "LP"}
    for place, column in enumerate(mirrored(columns)[0, 1].int().tolist()):
        region, frequency = POWERS[place].split("_")
        assert POWERS[column] == f"{other_side[region]}_{frequency}"
