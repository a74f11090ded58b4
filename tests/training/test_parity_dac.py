"""DAC as it is trained here, against descript-audio-codec with the same weights, in double precision.

With an odd stride its transposed convolutions make a frame one sample short, and what follows sees a zero there:
with the strides of the models for 16 and 24 kHz the last samples differ, as many as its decoder reaches.
"""

import warnings
from typing import Any

import pytest
import torch
from audiotools import AudioSignal
from dac import DAC
from dac.nn.loss import GANLoss, MelSpectrogramLoss
from published_codecs import loaded, loud, narrow
from torch import Tensor

from tokbench.specs.discriminators import MultiBandStft, MultiPeriod
from tokbench.training.adversarial import Adversary
from tokbench.training.losses import ReconstructionLosses

NARROW = {
    "dimension": 32,
    "encoder": {"num_filters": 4},
    "quantizer": {"num_codebooks": 3, "codebook_size": 32, "dropout": 0.0},
    "decoder": {"num_filters": 6},
    "settings": [],
}


def built(*rates: int) -> Any:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # it uses the older weight_norm
        return DAC(
            encoder_dim=4,
            encoder_rates=list(rates),
            latent_dim=32,
            decoder_dim=96,
            decoder_rates=list(rates[::-1]),
            n_codebooks=3,
            codebook_size=32,
        )


def original(*rates: int) -> Any:
    model = built(*rates)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("alpha"):
                parameter.uniform_(0.5, 2.0)
            elif name.endswith("weight_g") and not name.startswith("quantizer."):
                parameter.mul_(1.5)  # or each layer would make signals fainter
    return model.double()


@pytest.mark.parametrize("norm", ["weight", "none"])
@torch.inference_mode()
def test_latents_codes_and_audio_are_those_of_the_original(norm: str) -> None:
    theirs = original(2, 4, 8, 8).eval()
    halves = {half: {**NARROW[half], "norm": norm} for half in ("encoder", "decoder")}
    codec = loaded("dac", {**NARROW, **halves}, theirs.state_dict())
    samples = loud(512 * 12).double()
    latents = theirs.encoder(samples)
    quantized, codes, *_ = theirs.quantizer(latents)
    torch.testing.assert_close(codec.encoder(samples), latents, atol=1e-9, rtol=0)
    assert torch.equal(codec.encode(samples), codes)
    torch.testing.assert_close(codec.decode(codes), theirs.decode(quantized), atol=1e-9, rtol=0)


@torch.inference_mode()
def test_an_odd_stride_changes_only_the_last_samples() -> None:
    theirs = original(2, 4, 5, 8).eval()
    codec = loaded("dac", {**NARROW, "strides": [2, 4, 5, 8]}, theirs.state_dict())
    samples = loud(320 * 40).double()
    latents = theirs.encoder(samples)
    torch.testing.assert_close(codec.encoder(samples), latents, atol=1e-9, rtol=0)
    ours, other = codec.decoder(latents), theirs.decode(latents)
    assert ours.shape[-1] == 320 * 40
    assert ours.shape[-1] - other.shape[-1] == 8  # one sample where frames of 8 follow
    same = 320 * 30
    torch.testing.assert_close(ours[..., :same], other[..., :same], atol=1e-9, rtol=0)


def test_a_step_of_training_is_that_of_the_original() -> None:
    theirs = original(2, 4, 8, 8).train()
    codec = loaded("dac", NARROW, theirs.state_dict()).train()
    samples = loud(512 * 12).double()
    result, output = theirs(samples), codec(samples)
    torch.testing.assert_close(output.samples, result["audio"], atol=1e-9, rtol=0)
    losses = output.quantized.losses
    torch.testing.assert_close(losses["commitment"], result["vq/commitment_loss"])
    torch.testing.assert_close(losses["codebook"], result["vq/codebook_loss"])
    (output.samples.square().mean() + 0.25 * losses["commitment"] + losses["codebook"]).backward()
    total = result["audio"].square().mean() + 0.25 * result["vq/commitment_loss"] + result["vq/codebook_loss"]
    total.backward()
    first, other = codec.encoder.model[0].conv, theirs.encoder.block[0]
    lengths = first.parametrizations.weight.original0
    torch.testing.assert_close(lengths.grad, other.weight_g.grad, atol=1e-9, rtol=1e-6)
    book, table = codec.quantizer.layers[1].codebook.embed, theirs.quantizer.quantizers[1].codebook.weight
    torch.testing.assert_close(book.grad, table.grad, atol=1e-9, rtol=1e-6)
    snake, activation = codec.decoder.model[-3], theirs.decoder.model[-3]
    torch.testing.assert_close(snake.alpha.grad, activation.alpha.grad, atol=1e-9, rtol=1e-6)


def test_convolutions_begin_as_those_of_the_original_do_once_they_are_used() -> None:
    """The deviation of 0.02 that its code draws is gone at the first use: the normalization makes weights anew."""
    theirs = built(2, 4)
    layer = theirs.encoder.block[1].block[0].block[1]
    assert layer.weight.std().item() == pytest.approx(0.02, rel=0.2)
    theirs(loud(64))
    fan_in = layer.weight[0].numel()
    assert layer.weight.std().item() == pytest.approx((3 * fan_in) ** -0.5, rel=0.1)
    assert not layer.bias.any()


def test_the_losses_of_the_spec_are_those_of_the_original() -> None:
    """By the values of its conf/base.yml, on the judgements of the same discriminators."""
    torch.manual_seed(0)
    losses = narrow("dac", {}).losses
    decoded, wanted = loud(12288), loud(12288)
    audio, recorded = AudioSignal(decoded, 44100), AudioSignal(wanted, 44100)
    mel = MelSpectrogramLoss(
        n_mels=[5, 10, 20, 40, 80, 160, 320],
        window_lengths=[32, 64, 128, 256, 512, 1024, 2048],
        mel_fmin=[0] * 7,
        mel_fmax=[None] * 7,
        pow=1.0,
        clamp_eps=1e-5,
        mag_weight=0.0,
    )
    ours = ReconstructionLosses(losses.reconstruction, 44100)
    assert ours.weights == {"mel": 15.0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it keeps one spectrum per signal, and says that it changes
        expected = mel(audio, recorded)
    torch.testing.assert_close(ours(decoded, wanted)["mel"], expected, atol=0, rtol=1e-4)
    sets = (
        MultiPeriod(kind="mpd", conditioned=True, always_padded=True, num_filters=4, periods=(3, 5)),
        MultiBandStft(kind="mrd", conditioned=True, num_filters=4, window_lengths=(512,)),
    )
    adversary = Adversary(sets, losses.adversarial)

    def judged(samples: Tensor) -> list[list[Tensor]]:
        return [[*judgement.features, judgement.logits] for judgement in adversary.judge(samples)]

    original = GANLoss(judged)
    by_codec, by_features = original.generator_loss(audio, recorded)
    lessons = adversary.lessons(wanted, decoded)
    assert adversary.weights == {"adversarial": 1.0, "feature": 2.0}
    torch.testing.assert_close(lessons["adversarial"], by_codec)
    torch.testing.assert_close(lessons["feature"], by_features)
    torch.testing.assert_close(adversary.own_loss(wanted, decoded), original.discriminator_loss(audio, recorded))
