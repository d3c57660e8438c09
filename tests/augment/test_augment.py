"""What every augmentation must do, whichever it is."""

from collections.abc import Collection
from dataclasses import astuple, replace
from typing import Any, get_args

import pytest
import torch
from augment.conftest import MakeImages, MakeRecordings
from pydantic import TypeAdapter

from hms_search.augment import (
    Augmentation,
    ImageAugmentation,
    Images,
    RecordingAugmentation,
    Recordings,
    augment_images,
    augment_recordings,
)

ON_RECORDINGS = [member() for member in get_args(RecordingAugmentation)]
ON_IMAGES = [member() for member in get_args(ImageAugmentation)]
MIXING = {"crop_cat", "mixup", "eeg_mixup"}


def named(members: list[Any], *, but: Collection[str] = ()) -> list[object]:
    return [pytest.param(member, id=member.name) for member in members if member.name not in but]


ALL = named([*ON_RECORDINGS, *ON_IMAGES])
Batch = Recordings | Images


@pytest.fixture
def batch_for(recordings: MakeRecordings, images: MakeImages) -> Any:
    def make(member: Any, n: int = 6) -> Batch:
        return images(n) if isinstance(member, ImageAugmentation) else recordings(n)

    return make


def with_p(member: Any, p: float) -> Any:
    """The augmentation with another probability."""
    return type(member).model_validate({**member.to_dict(), "p": p})


def applied(member: Any, batch: Batch, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    if isinstance(batch, Images):
        return augment_images(batch, [member], generator)
    return augment_recordings(batch, [member], generator)


def tensors(batch: Batch) -> dict[str, torch.Tensor]:
    return {name: value for name, value in vars(batch).items() if value is not None}


def acted_on(before: Batch, after: Batch) -> torch.Tensor:
    """Which samples changed."""
    changed = [
        (old != tensors(after)[name]).flatten(1).any(dim=1) for name, old in tensors(before).items() if old.ndim > 1
    ]
    return torch.stack(changed).any(dim=0)


@pytest.mark.parametrize("member", ALL)
def test_probability_0_is_the_identity_to_the_bit(member: Any, batch_for: Any) -> None:
    batch = batch_for(member)
    after = applied(with_p(member, 0), batch)
    for name, old in tensors(batch).items():
        torch.testing.assert_close(tensors(after)[name], old, rtol=0, atol=0)


@pytest.mark.parametrize("member", named([*ON_RECORDINGS, *ON_IMAGES], but=["frequency_dropout"]))  # may draw 0 bins
def test_probability_1_acts_on_every_sample_and_one_half_on_half_of_them(member: Any, batch_for: Any) -> None:
    batch = batch_for(member)
    assert acted_on(batch, applied(with_p(member, 1), batch)).all()
    acted = torch.stack([acted_on(batch, applied(with_p(member, 0.5), batch, seed)) for seed in range(30)])
    assert 0.35 < acted.float().mean() < 0.65
    assert acted.float().mean(dim=0).min() > 0.1  # any sample may be drawn


@pytest.mark.parametrize("member", ALL)
def test_the_same_seed_gives_the_same_batch_and_another_seed_another(member: Any, batch_for: Any) -> None:
    batch, always = batch_for(member, 16), with_p(member, 0.7)
    first, again, other = (tensors(applied(always, batch, seed)) for seed in (1, 1, 2))
    for name in first:
        torch.testing.assert_close(again[name], first[name], rtol=0, atol=0)
    assert any(not torch.equal(other[name], first[name]) for name in first)


@pytest.mark.parametrize("member", ALL)
def test_shapes_types_and_finiteness_are_kept_and_the_input_is_not_written_to(member: Any, batch_for: Any) -> None:
    batch = batch_for(member)
    before = {name: value.clone() for name, value in tensors(batch).items()}
    after = tensors(applied(with_p(member, 1), batch))
    for name, old in before.items():
        assert (after[name].shape, after[name].dtype, after[name].device) == (old.shape, old.dtype, old.device)
        assert after[name].isfinite().all()
        torch.testing.assert_close(tensors(batch)[name], old, rtol=0, atol=0)


@pytest.mark.parametrize("member", named(ON_RECORDINGS))
def test_half_precision_recordings_stay_finite_and_of_that_type(member: Any, recordings: MakeRecordings) -> None:
    batch = recordings()
    assert batch.eeg is not None
    assert batch.log_power is not None
    largest = torch.finfo(torch.float16).max
    half = replace(batch, eeg=batch.eeg.sign().half() * largest, log_power=batch.log_power.half())
    after = applied(with_p(member, 1), half)
    assert isinstance(after, Recordings)
    for changed in (after.eeg, after.log_power):
        assert changed is not None
        assert changed.dtype == torch.float16
        assert changed.isfinite().all()


@pytest.mark.parametrize("member", named(ON_RECORDINGS, but=MIXING))
def test_missing_samples_do_not_spread_to_other_electrodes(member: Any, recordings: MakeRecordings) -> None:
    batch = recordings()
    assert batch.eeg is not None
    batch.eeg[:, :, 3] = torch.nan
    after = applied(with_p(member, 1), batch)
    assert isinstance(after, Recordings)
    assert after.eeg is not None
    missing = after.eeg.isnan()
    assert (missing.any(dim=1).sum(dim=1) <= 1).all()  # the same electrode, its mirror image, or none
    assert missing.sum() <= batch.eeg.isnan().sum()


@pytest.mark.parametrize("member", ALL)
def test_what_a_sample_becomes_depends_on_no_other_sample_but_in_mixing(member: Any, batch_for: Any) -> None:
    batch = batch_for(member)
    first = {name: value.clone() for name, value in tensors(applied(with_p(member, 0.7), batch)).items()}
    for value in tensors(batch).values():
        value[2] = value[2].flip(0) / 2
    again = tensors(applied(with_p(member, 0.7), batch))
    others = torch.tensor([0, 1, 3, 4, 5])
    alone = all(torch.equal(first[name][others], again[name][others]) for name in first)
    assert alone or member.name in MIXING


@pytest.mark.parametrize("member", ALL)
def test_labels_and_weights_change_in_mixing_only_and_stay_distributions(member: Any, batch_for: Any) -> None:
    batch = batch_for(member)
    after = applied(with_p(member, 1), batch)
    torch.testing.assert_close(after.target.sum(dim=1), torch.ones(6))
    assert (after.target >= 0).all()
    assert batch.weight.min() - 1e-6 <= after.weight.min()
    assert after.weight.max() <= batch.weight.max() + 1e-6
    follows = not torch.equal(after.target, batch.target) and not torch.equal(after.weight, batch.weight)
    assert follows == (member.name in MIXING)


@pytest.mark.parametrize("member", ALL)
def test_a_batch_of_one_works(member: Any, batch_for: Any) -> None:
    batch = batch_for(member, 1)
    after = applied(with_p(member, 1), batch)
    assert acted_on(batch, after).all() or member.name in {*MIXING, "frequency_dropout"}
    if member.name in MIXING:
        assert not acted_on(batch, after).any()


@pytest.mark.parametrize("member", named(ON_RECORDINGS))
def test_an_augmentation_changes_what_it_says_and_nothing_else(member: Any, recordings: MakeRecordings) -> None:
    batch = recordings()
    after = applied(with_p(member, 1), batch)
    changed = {name for name in ("eeg", "log_power") if not torch.equal(getattr(after, name), getattr(batch, name))}
    assert changed == set(member.acts_on)
    for what in member.acts_on:
        alone = replace(batch, **{other: None for other in ("eeg", "log_power") if other != what})
        torch.testing.assert_close(getattr(applied(with_p(member, 1), alone), what), getattr(after, what))


def test_an_augmentation_that_can_change_nothing_is_refused_unless_it_is_off(recordings: MakeRecordings) -> None:
    batch = replace(recordings(), eeg=None)
    flip = TypeAdapter(Augmentation).validate_python({"name": "front_back_flip"})
    with pytest.raises(ValueError, match="front_back_flip acts on eeg, found only log_power; remove it"):
        applied(flip, batch)
    assert applied(with_p(flip, 0), batch).log_power is batch.log_power


def test_augmentations_act_in_order_each_at_its_place(recordings: MakeRecordings, images: MakeImages) -> None:
    both = TypeAdapter(tuple[Augmentation, ...]).validate_python(
        [{"name": "time_reversal", "p": 1}, {"name": "xy_masking", "p": 1}, {"name": "left_right_flip", "p": 1}]
    )
    generator = torch.Generator()
    batch, seen = recordings(), images()
    after = augment_recordings(batch, both, generator.manual_seed(0))
    reversal, masking, flip = both
    one_by_one = flip.forward(reversal.forward(batch, generator), generator)
    for value, expected in zip(astuple(after), astuple(one_by_one), strict=True):
        torch.testing.assert_close(value, expected, rtol=0, atol=0)
    masked = masking.forward(seen, generator.manual_seed(1)).x
    torch.testing.assert_close(augment_images(seen, both, generator.manual_seed(1)).x, masked, rtol=0, atol=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("member", named([*ON_RECORDINGS, *ON_IMAGES], but=["edge_noise"]))  # drawn on the device
def test_a_batch_on_a_gpu_with_a_generator_on_the_cpu_becomes_what_it_does_on_the_cpu(
    member: Any, batch_for: Any
) -> None:
    batch = batch_for(member)
    on_gpu = replace(batch, **{name: value.cuda() for name, value in tensors(batch).items()})
    after, expected = tensors(applied(member, on_gpu)), tensors(applied(member, batch))
    for name in expected:
        assert after[name].is_cuda
        torch.testing.assert_close(after[name].cpu(), expected[name], rtol=1e-4, atol=1e-3)
