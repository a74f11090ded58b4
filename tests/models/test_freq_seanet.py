"""The layers of FreqCodec against loops; the whole is compared with the published one in tests/codecs."""

import math

import pytest
import torch
from torch import Tensor

from tokbench.models.freq_seanet import (
    FreqSeanetDecoder,
    FreqSeanetEncoder,
    PaddedConv2d,
    TrimmedConvTranspose2d,
)
from tokbench.models.freqcodec import FreqCodecDecoder, FreqCodecEncoder
from tokbench.models.phase_spectrogram import Phase, PhaseSpectrogram
from tokbench.specs.networks import FreqSeanet

TINY = FreqSeanet(
    kind="freq-seanet",
    num_filters=4,
    frequency_strides=(2, 4),
    num_lstm_layers=1,
    group_ratio=1,
    transposed_group_ratio=1,
)
NUM_FREQUENCIES = 9


def mirrored(index: int, size: int) -> int:
    index %= 2 * (size - 1)
    return min(index, 2 * (size - 1) - index)


@torch.inference_mode()
def test_a_convolution_equals_its_definition() -> None:
    torch.manual_seed(0)
    layer = PaddedConv2d(1, 1, (8, 4), stride=(4, 2))
    values = torch.randn(12, 7)
    weight, bias = layer.conv.weight[0, 0], float(layer.conv.bias[0])
    # Two frequencies are padded on either side. One frame is, and one more before, which makes seven frames eight.
    expected = [
        [
            sum(
                float(weight[i, j] * values[mirrored(4 * row + i - 2, 12), mirrored(2 * column + j - 2, 7)])
                for i in range(8)
                for j in range(4)
            )
            + bias
            for column in range(4)
        ]
        for row in range(3)
    ]
    torch.testing.assert_close(layer(values[None, None])[0, 0], torch.tensor(expected))


@torch.inference_mode()
def test_a_transposed_convolution_spreads_each_value() -> None:
    torch.manual_seed(0)
    layer = TrimmedConvTranspose2d(1, 1, (4, 1), more_frequencies=1)
    values = torch.randn(3, 5)
    weight, bias = layer.conv.weight[0, 0], float(layer.conv.bias[0])
    full = torch.full((16, 6), bias)
    for row in range(3):
        for column in range(5):
            full[4 * row : 4 * row + 8, column : column + 2] += values[row, column] * weight
    torch.testing.assert_close(layer(values[None, None])[0, 0], full[2:15, 1:6])


@torch.inference_mode()
def test_groups_keep_channels_apart() -> None:
    torch.manual_seed(0)
    layer, values = PaddedConv2d(4, 4, (3, 3), groups=2), torch.randn(1, 4, 5, 6)
    changed = values.clone()
    changed[:, 2:] = 0
    assert torch.equal(layer(changed)[:, :2], layer(values)[:, :2])
    assert not torch.allclose(layer(changed)[:, 2:], layer(values)[:, 2:])


@pytest.mark.parametrize("num_frames", [1, 2, 9, 10])
def test_frequencies_are_folded_into_frames_and_out_again(num_frames: int) -> None:
    latents = FreqSeanetEncoder(TINY, dimension=6, strides=(2, 1))(torch.randn(2, 3, NUM_FREQUENCIES, num_frames))
    assert latents.shape == (2, 6, math.ceil(num_frames / 2))
    spectrogram = FreqSeanetDecoder(TINY, dimension=6, strides=(1, 2))(latents)
    assert spectrogram.shape == (2, 3, NUM_FREQUENCIES, 2 * math.ceil(num_frames / 2))


def noise(num_samples: int) -> Tensor:
    torch.manual_seed(0)
    return torch.randn(1, num_samples)


def test_a_spectrogram_is_log_magnitude_and_phase() -> None:
    samples = noise(2000)
    channels = PhaseSpectrogram(n_fft=64, hop_length=16)(samples)
    assert channels.shape == (1, 3, 33, 1 + 2000 // 16)
    window = [0.5 - 0.5 * math.cos(2 * math.pi * index / 64) for index in range(64)]
    frame, band = 40, 5
    part = samples[0, frame * 16 - 32 : frame * 16 + 32].tolist()
    real, imaginary = (
        sum(w * x * f(-2 * math.pi * band * i / 64) for i, (w, x) in enumerate(zip(window, part, strict=True)))
        for f in (math.cos, math.sin)
    )
    magnitude = math.hypot(real, imaginary)
    expected = [math.log(magnitude), real / magnitude, imaginary / magnitude]
    torch.testing.assert_close(channels[0, :, band, frame], torch.tensor(expected), atol=1e-4, rtol=1e-4)


def test_an_angle_is_that_of_the_point() -> None:
    samples = noise(2000)
    magnitude, real, imaginary = PhaseSpectrogram(n_fft=64, hop_length=16)(samples).unbind(dim=1)
    logs, angle = PhaseSpectrogram(n_fft=64, hop_length=16, phase="angle")(samples).unbind(dim=1)
    assert torch.equal(logs, magnitude)
    torch.testing.assert_close(angle.cos(), real)
    torch.testing.assert_close(angle.sin(), imaginary)


@pytest.mark.parametrize("phase", ["point", "angle"])
def test_the_inverse_undoes_the_spectrogram(phase: Phase) -> None:
    samples, transform = noise(1600), PhaseSpectrogram(n_fft=64, hop_length=16, phase=phase)
    log_magnitude, *others = transform(samples).unbind(dim=1)
    magnitude = log_magnitude.exp()
    before_softplus = magnitude + torch.log(-torch.expm1(-magnitude))
    if phase == "angle":
        others = [(others[0] / math.pi).asin()]
    inverted = transform.inverse(torch.stack([before_softplus, *others], dim=1))
    torch.testing.assert_close(inverted, samples, atol=1e-4, rtol=1e-3)


def test_the_frame_on_the_end_is_not_needed() -> None:
    """The last hop comes back from the frame before it alone, as from all frames."""
    samples, transform = noise(1600), PhaseSpectrogram(n_fft=64, hop_length=16)
    logs, real, imaginary = transform(samples).unbind(dim=1)
    before_softplus = logs.exp() + torch.log(-torch.expm1(-logs.exp()))
    channels = torch.stack([before_softplus, real, imaginary], dim=1)
    inverted = transform.inverse(channels[..., :-1], 1600)
    torch.testing.assert_close(inverted, samples, atol=1e-3, rtol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("phase", ["point", "angle"])
def test_whole_frames_come_back_as_so_many_samples(phase: Phase) -> None:
    torch.manual_seed(0)
    network, strides = TINY.model_copy(update={"phase": phase}), (4, 2, 1)
    encoder = FreqCodecEncoder(network, dimension=6, strides=strides)
    decoder = FreqCodecDecoder(network, dimension=6, strides=strides[::-1])
    for num_samples in (1, 8, 80, 83):
        latents = encoder(noise(num_samples)[:, None])
        assert latents.shape == (1, 6, -(-num_samples // 8))
        assert decoder(latents).shape == (1, 1, 8 * latents.shape[-1])


@torch.no_grad()
def test_between_its_ends_a_latent_is_that_of_the_published_frames() -> None:
    """Of as many samples as the published crops have: whole frames, less one hop of the spectrogram."""
    torch.manual_seed(0)
    network = TINY.model_copy(update={"norm": "none"})
    encoder = FreqCodecEncoder(network, dimension=6, strides=(4, 2, 1))
    samples = noise(796)
    published = encoder.network(encoder.spectrogram(samples))
    torch.testing.assert_close(encoder(samples[:, None])[..., :80], published[..., :80])


def test_silence_and_single_samples_have_a_spectrogram() -> None:
    transform = PhaseSpectrogram(n_fft=64, hop_length=16)
    for samples in (torch.zeros(1, 500), noise(1)):
        assert bool(torch.isfinite(transform(samples)).all())
