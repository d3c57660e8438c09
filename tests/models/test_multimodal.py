import pytest
import torch
from torch import nn

from hms_search.eeg.shapes import ImageShape, InputShape
from hms_search.models import AttentionSpectrogram, Multimodal, StftImage, TimmImage, WaveNet, architecture
from hms_search.models.heads import Heads
from hms_search.models.wave_blocks import Improved

TINY = TimmImage(backbone="test_resnet")
SMALL = Multimodal(
    wavenet=WaveNet(blocks=Improved(count=2, channels=4, layers=3), group=2, image=TINY),
    stft_image=StftImage(image=TINY),
    attention_spectrogram=AttentionSpectrogram(image=TINY, hidden=8),
)
SHAPE: InputShape = {"eeg": ImageShape(1, (4, 400)), "spectrogram": ImageShape(3, (32, 40))}


def inputs(batch: int = 2) -> dict[str, torch.Tensor]:
    return {"eeg": torch.randn(batch, 1, 4, 400), "spectrogram": torch.randn(batch, 3, 32, 40)}


def test_training_returns_four_heads_and_their_weights_and_evaluation_the_main_one() -> None:
    network = SMALL.build(SHAPE)
    heads = network.train()(inputs())
    assert isinstance(heads, Heads)
    assert [logits.shape for logits in (heads.main, *heads.auxiliary)] == [(2, 6)] * 4
    assert heads.weights == (0.79, 0.06, 0.06, 0.09)
    assert network.eval()(inputs()).shape == (2, 6)


def test_the_main_classifier_sees_the_features_of_three_branches_each_trainable_alone() -> None:
    network, x = SMALL.build(SHAPE).eval(), inputs()
    alone = [
        (SMALL.attention_spectrogram, SHAPE["spectrogram"], x["spectrogram"]),
        (SMALL.stft_image, SHAPE["eeg"], x["eeg"]),
        (SMALL.wavenet, SHAPE["eeg"], x["eeg"]),
    ]
    features = []
    for branch, (model, shape, image) in zip(network.branches, alone, strict=True):
        single = model.build(shape).eval()
        single.load_state_dict(branch.state_dict())
        features.append(single.features(image))
    torch.testing.assert_close(network.features(x), torch.cat(features, dim=1))
    torch.testing.assert_close(network(x), network.classifier(torch.cat(features, dim=1)))


def test_an_auxiliary_head_is_the_branchs_own_classifier_on_the_features_the_main_one_sees() -> None:
    network = SMALL.build(SHAPE).train()
    for module in network.modules():  # dropout and the branches' attention alone keep their chance
        module.train(isinstance(module, nn.Dropout) or module is network)
    seen: list[torch.Tensor] = []
    network.classifier.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    heads = network(inputs())
    parts = seen[0].split([branch.num_features for branch in network.branches], dim=1)
    for branch, part, logits in zip(network.branches, parts, heads.auxiliary, strict=True):
        torch.testing.assert_close(branch.classifier(part), logits)


def test_one_kind_of_recording_alone_is_refused() -> None:
    SMALL.check(SHAPE)
    with pytest.raises(ValueError, match=r"takes EEG and spectrogram apart, found one image; write pipeline: .*apart"):
        SMALL.check(ImageShape(1, (4, 400)))
    with pytest.raises(ValueError, match="found eeg;"):
        SMALL.check({"eeg": ImageShape(1, (4, 400))})
    with pytest.raises(ValueError, match="model wavenet takes a multiple of 2 signals"):
        SMALL.check({**SHAPE, "eeg": ImageShape(1, (3, 400))})


def test_the_architecture_has_no_pretrained_weights_anywhere() -> None:
    trained = TINY.model_copy(update={"weights": "some.safetensors"})
    model = Multimodal(
        wavenet=SMALL.wavenet.model_copy(update={"image": trained}),
        stft_image=SMALL.stft_image.model_copy(update={"image": trained}),
        attention_spectrogram=SMALL.attention_spectrogram.model_copy(update={"image": trained}),
    )
    assert architecture(model) == SMALL
