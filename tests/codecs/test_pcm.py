"""Identity, noise and mu-law, against other libraries and analytic values."""

import numpy as np
import pytest
import torch
from torchaudio.functional import mu_law_decoding, mu_law_encoding

from tokbench.audio import Audio
from tokbench.codecs.base import Codec
from tokbench.codecs.registry import load, one


def codec_of(text: str) -> Codec:
    codec = load(one(text))
    assert isinstance(codec, Codec)
    return codec


@pytest.mark.parametrize("rate_hz", [16000, 24000, 48000])
def test_identity_returns_every_16_bit_sample_exactly(rate_hz: int) -> None:
    every_sample = np.arange(-32768, 32768, dtype=np.float32) / 32768
    codec = codec_of(f"identity:{rate_hz // 1000}khz")
    codes = codec.encode(Audio.from_numpy(every_sample, rate_hz))
    assert torch.equal(codes.streams[0].indices[0], torch.arange(65536))
    np.testing.assert_array_equal(codec.decode(codes).samples[0].numpy(), every_sample)
    assert codes.bitrate_bps == 16 * rate_hz


def test_identity_rounds_to_the_nearest_16_bit_sample_and_clips_at_full_scale() -> None:
    codec = codec_of("identity")
    samples = np.array([0.4 / 32768, -0.6 / 32768, 1.0, 1.7, -1.0, -2.5], np.float32)
    decoded = codec.decode(codec.encode(Audio.from_numpy(samples, 16000)))
    np.testing.assert_array_equal(decoded.samples[0].numpy() * 32768, [0, -1, 32767, 32767, -32768, -32768])


def test_noise_transmits_no_bits_and_answers_every_input_alike(voice_16khz: np.ndarray) -> None:
    codec = codec_of("noise")
    codes = codec.encode(Audio.from_numpy(voice_16khz, 16000))
    assert codes.bitrate_bps == 0
    assert codes.num_bits == 0
    decoded = codec.decode(codes).samples
    silence = codec.decode(codec.encode(Audio.from_numpy(np.zeros_like(voice_16khz), 16000)))
    assert torch.equal(decoded, silence.samples)


def test_noise_is_white_and_at_the_level_of_speech() -> None:
    codec = codec_of("noise")
    noise = codec.decode(codec.encode(Audio.from_numpy(np.zeros(160000), 16000))).samples[0].numpy()
    assert 20 * np.log10(np.sqrt(np.mean(noise**2))) == pytest.approx(-26, abs=0.1)
    power = np.abs(np.fft.rfft(noise)) ** 2
    octaves = [power[10 * low : 20 * low].mean() for low in (500, 1000, 2000, 4000)]
    np.testing.assert_allclose(octaves / np.mean(octaves), 1, atol=0.05)


def test_mulaw_at_8_bits_equals_torchaudio(rng: np.random.Generator) -> None:
    codec = codec_of("mulaw:8bit")
    samples = np.concatenate([rng.uniform(-1, 1, 50000), [0, 1, -1]]).astype(np.float32)
    codes = codec.encode(Audio.from_numpy(samples, 16000))
    expected = mu_law_encoding(torch.from_numpy(samples), 256)
    assert torch.equal(codes.streams[0].indices[0], expected)
    torch.testing.assert_close(codec.decode(codes).samples[0], mu_law_decoding(expected, 256))


@pytest.mark.parametrize("bits", [4, 6, 8])
def test_mulaw_takes_the_level_that_is_nearest_after_compression(bits: int, rng: np.random.Generator) -> None:
    samples = rng.uniform(-1, 1, 500)
    # Every level, from the characteristic's inverse; then a search through all of them.
    levels = np.linspace(-1, 1, 2**bits)
    amplitudes = np.sign(levels) * (256 ** np.abs(levels) - 1) / 255
    codec = codec_of(f"mulaw:{bits}bit")
    codes = codec.encode(Audio.from_numpy(samples, 16000))
    for sample, code in zip(samples, codes.streams[0].indices[0].tolist(), strict=True):
        compressed = np.copysign(np.log(1 + 255 * abs(sample)) / np.log(256), sample)
        assert abs(levels[code] - compressed) <= np.abs(levels - compressed).min() + 1e-6
    decoded = codec.decode(codes).samples[0].numpy()
    np.testing.assert_allclose(decoded, amplitudes[codes.streams[0].indices[0].numpy()], atol=1e-6)


def test_mulaw_clips_what_overshoots_full_scale() -> None:
    codec = codec_of("mulaw:6bit")
    decoded = codec.decode(codec.encode(Audio.from_numpy(np.array([3.0, -3.0]), 16000)))
    np.testing.assert_allclose(decoded.samples[0].numpy(), [1, -1], rtol=1e-6)
