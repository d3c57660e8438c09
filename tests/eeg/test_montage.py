from typing import Literal, get_args

import pytest
import torch

from hms_search.eeg.electrodes import ELECTRODES
from hms_search.eeg.montage import (
    Average,
    Bipolar,
    Electrodes,
    Montage,
    derive,
    mirrored_electrodes,
)

SIZES = {
    "deotte": 16,
    "radboud": 16,
    "double_banana": 18,
    "double_banana_16": 16,
    "interleaved16": 16,
    "place15": 24,
    "place15_early": 8,
    "wavenet8": 8,
    "tuh20": 20,
    "transverse": 18,
}
BIPOLAR = [Bipolar.model_validate({"name": name}) for name in get_args(Bipolar.model_fields["name"].annotation)]
MONTAGES: list[Montage] = [*BIPOLAR, Average(), Electrodes(), Electrodes(ekg=True)]
KINDS: list[Literal["left_right", "front_back"]] = ["left_right", "front_back"]


@pytest.fixture
def eeg() -> torch.Tensor:
    return 100 * torch.randn(2, 50, 20, generator=torch.Generator().manual_seed(0))


def named(montage: Montage) -> str:
    return f"{montage.name}-{len(montage.derivations)}"


def test_every_bipolar_montage_has_its_number_of_derivations() -> None:
    assert {montage.name: len(montage.derivations) for montage in BIPOLAR} == SIZES


@pytest.mark.parametrize("montage", MONTAGES, ids=named)
def test_no_derivation_of_a_montage_stands_in_it_twice(montage: Montage) -> None:
    size = len(set(montage.derivations))
    assert size == len(montage.derivations)
    assert montage.matrix().unique(dim=0).shape == (size, 20)


@pytest.mark.parametrize("montage", BIPOLAR, ids=named)
def test_a_bipolar_derivation_is_the_first_electrode_minus_the_second(montage: Bipolar, eeg: torch.Tensor) -> None:
    signals = derive(eeg, montage.matrix())
    for number, derivation in enumerate(montage.derivations):
        first, second = (ELECTRODES.index(electrode) for electrode in derivation.split("-"))
        torch.testing.assert_close(signals[:, number], eeg[..., first] - eeg[..., second], rtol=0, atol=0)


def test_the_average_reference_takes_the_mean_of_the_scalp_away_and_leaves_the_ekg_out(eeg: torch.Tensor) -> None:
    expected = eeg[..., :19] - eeg[..., :19].mean(dim=-1, keepdim=True)
    torch.testing.assert_close(derive(eeg, Average().matrix()), expected.mT, rtol=1e-5, atol=1e-4)
    eeg[..., 19] = 1e6
    torch.testing.assert_close(derive(eeg, Average().matrix()), expected.mT, rtol=1e-5, atol=1e-4)


def test_electrodes_stay_as_they_are(eeg: torch.Tensor) -> None:
    torch.testing.assert_close(derive(eeg, Electrodes().matrix()), eeg[..., :19].mT, rtol=0, atol=0)
    torch.testing.assert_close(derive(eeg, Electrodes(ekg=True).matrix()), eeg.mT, rtol=0, atol=0)


@pytest.mark.parametrize("montage", BIPOLAR, ids=named)
def test_what_all_electrodes_share_is_in_no_difference(montage: Bipolar, eeg: torch.Tensor) -> None:
    shared = torch.randn(2, 50, 1, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(derive(eeg + shared, montage.matrix()), derive(eeg, montage.matrix()))


def test_the_chains_of_deotte_are_named_by_anatomy() -> None:
    montage = Bipolar(name="deotte")
    chains = [[montage.derivations[number] for number in chain] for chain in montage.chains]
    assert chains == [
        ["Fp1-F7", "F7-T3", "T3-T5", "T5-O1"],  # left lateral, his LL
        ["Fp1-F3", "F3-C3", "C3-P3", "P3-O1"],  # left parasagittal, his LP
        ["Fp2-F8", "F8-T4", "T4-T6", "T6-O2"],  # right lateral, his "RP"
        ["Fp2-F4", "F4-C4", "C4-P4", "P4-O2"],  # right parasagittal, his "RR"
    ]


def test_radboud_takes_the_same_chains_from_left_to_right() -> None:
    radboud, deotte = Bipolar(name="radboud").derivations, Bipolar(name="deotte").derivations
    assert radboud == (*deotte[:8], *deotte[12:], *deotte[8:12])


def test_the_24_differences_of_the_15th_place_are_in_the_order_of_its_code() -> None:
    assert Bipolar(name="place15").derivations == (
        *("O1-T5", "T5-T3", "T3-F7", "F7-Fp1", "O2-T6", "T6-T4", "T4-F8", "F8-Fp2"),
        *("O1-P3", "P3-C3", "C3-F3", "F3-Fp1", "O2-P4", "P4-C4", "C4-F4", "F4-Fp2"),
        *("Fz-F7", "Fz-F8", "Cz-T3", "Cz-T4", "Pz-T5", "Pz-T6", "P3-P4", "F3-F4"),
    )


@pytest.mark.parametrize(
    ("name", "chains"),
    [
        ("deotte", [4, 4, 4, 4]),
        ("radboud", [4, 4, 4, 4]),
        ("double_banana", [4, 4, 4, 4, 2]),
        ("double_banana_16", [4, 4, 4, 4]),
        ("interleaved16", [4, 4, 4, 4]),
        ("place15", [4, 4, 4, 4]),
        ("place15_early", [2, 2, 2, 2]),
        ("wavenet8", [2, 2, 2, 2]),
        ("tuh20", [4, 4, 4, 4, 4]),
        ("transverse", [3, 4, 4, 4, 3]),
    ],
)
def test_along_a_chain_the_differences_sum_to_its_ends(name: str, chains: list[int], eeg: torch.Tensor) -> None:
    montage = Bipolar.model_validate({"name": name})
    assert [len(chain) for chain in montage.chains] == chains
    signals = derive(eeg, montage.matrix())
    for chain in montage.chains:
        first = ELECTRODES.index(montage.derivations[chain[0]].split("-")[0])
        last = ELECTRODES.index(montage.derivations[chain[-1]].split("-")[1])
        torch.testing.assert_close(
            signals[:, list(chain)].sum(dim=1), eeg[..., first] - eeg[..., last], rtol=0, atol=1e-3
        )


def test_the_neighbours_of_interleaved_chains_are_two_places_apart() -> None:
    assert Bipolar(name="interleaved16").chains == ((0, 2, 4, 6), (1, 3, 5, 7), (8, 10, 12, 14), (9, 11, 13, 15))


def test_what_belongs_to_no_chain_is_in_none() -> None:
    assert {number for chain in Bipolar(name="place15").chains for number in chain} == set(range(16))
    assert Average().chains == Electrodes().chains == ()


@pytest.mark.parametrize("kind", KINDS)
def test_mirroring_the_electrodes_twice_is_the_identity(kind: Literal["left_right", "front_back"]) -> None:
    places = mirrored_electrodes(kind)
    assert sorted(places) == list(range(20))
    assert tuple(places[place] for place in places) == tuple(range(20))


def test_the_mirror_images_swap_the_electrodes_of_the_15th_place() -> None:
    left_right, front_back = (
        {electrode: ELECTRODES[place] for electrode, place in zip(ELECTRODES, mirrored_electrodes(kind), strict=True)}
        for kind in KINDS
    )
    assert [name for name, other in left_right.items() if name == other] == ["Fz", "Cz", "Pz", "EKG"]
    assert [name for name, other in front_back.items() if name == other] == ["C3", "T3", "Cz", "C4", "T4", "EKG"]
    left_to_right = {"Fp1": "Fp2", "F3": "F4", "C3": "C4", "P3": "P4", "F7": "F8", "T3": "T4", "T5": "T6", "O1": "O2"}
    assert left_to_right.items() <= left_right.items()
    front_to_back = {"Fp1": "O1", "Fp2": "O2", "F3": "P3", "F4": "P4", "F7": "T5", "F8": "T6", "Fz": "Pz"}
    assert front_to_back.items() <= front_back.items()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("montage", MONTAGES, ids=named)
def test_a_mirrored_recording_has_the_same_derivations_in_other_places_and_with_other_signs(
    montage: Montage, kind: Literal["left_right", "front_back"], eeg: torch.Tensor
) -> None:
    matrix = montage.matrix()
    places, signs = [], []
    for weights in matrix[:, list(mirrored_electrodes(kind))]:
        same, opposite = (((matrix - sign * weights).abs() < 1e-6).all(dim=1) for sign in (1, -1))
        places.append(int((same | opposite).nonzero()))
        signs.append(1.0 if same.any() else -1.0)
    assert sorted(places) == list(range(len(matrix)))
    mirrored = derive(eeg[..., list(mirrored_electrodes(kind))], matrix)
    torch.testing.assert_close(mirrored, torch.tensor(signs)[:, None] * derive(eeg, matrix)[:, places])


def test_the_left_right_mirror_image_of_the_15th_place_swaps_its_chains_and_turns_the_two_bridges_over(
    eeg: torch.Tensor,
) -> None:
    matrix = Bipolar(name="place15").matrix()
    signals, mirrored = derive(eeg, matrix), derive(eeg[..., list(mirrored_electrodes("left_right"))], matrix)
    torch.testing.assert_close(mirrored[:, :4], signals[:, 4:8], rtol=0, atol=0)
    torch.testing.assert_close(mirrored[:, 22:], -signals[:, 22:], rtol=0, atol=0)


def test_a_montage_says_which_ones_there_are_where_the_name_is_unknown() -> None:
    with pytest.raises(ValueError, match=r"'deotte', .*'double_banana'"):
        Bipolar.model_validate({"name": "banana"})
