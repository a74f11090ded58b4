"""Log-mel frames and MFCCs against loops that follow Kaldi's definitions, in double precision."""

import math

import numpy as np
import pytest
import torch

from tokbench.audio import Audio
from tokbench.codecs.registry import list_cards, load, one
from tokbench.codecs.spectral_features import LogMel, Mfcc

RATE_HZ, WINDOW, FFT = 16000, 400, 512
SETTINGS = [f"{name}:{setting}" for name in ("log-mel", "mfcc") for setting in list_cards()[name].settings]


def mel(frequency_hz: float) -> float:
    return 1127 * math.log(1 + frequency_hz / 700)


def filterbank(num_bands: int) -> np.ndarray:
    """Return [bands, bins]: triangles of equal width on the mel scale, from 20 Hz to half of the rate."""
    low, high = mel(20), mel(RATE_HZ / 2)
    width = (high - low) / (num_bands + 1)
    weights = np.zeros((num_bands, FFT // 2 + 1))
    for band in range(num_bands):
        left, centre, right = (low + (band + i) * width for i in range(3))
        for index in range(FFT // 2):
            position = mel(index * RATE_HZ / FFT)
            if left < position < right:
                rising = position <= centre
                weights[band, index] = (
                    (position - left) / (centre - left) if rising else (right - position) / (right - centre)
                )
    return weights


def log_mel(samples: np.ndarray, hop: int, num_bands: int) -> np.ndarray:
    """Return [F, D], a frame at a time."""
    mirrored = np.concatenate([samples[::-1], samples, samples[::-1]]).astype(np.float64)
    window = np.hanning(WINDOW) ** 0.85
    frames = []
    for index in range((len(samples) + hop // 2) // hop):
        start = len(samples) + index * hop + hop // 2 - WINDOW // 2
        frame = mirrored[start : start + WINDOW]
        frame = frame - frame.mean()
        emphasised = frame - 0.97 * np.concatenate([frame[:1], frame[:-1]])
        power = np.abs(np.fft.rfft(emphasised * window, FFT)) ** 2
        frames.append(np.log(np.maximum(filterbank(num_bands) @ power, np.finfo(np.float32).eps)))
    return np.array(frames)


def mfcc(samples: np.ndarray, hop: int, num_bands: int, num_cepstra: int) -> np.ndarray:
    """Return [F, D]: the orthonormal DCT of the log-mel frames, liftered."""
    bands = log_mel(samples, hop, num_bands)
    cepstra = np.zeros((len(bands), num_cepstra))
    for k in range(num_cepstra):
        scale = math.sqrt((1 if k == 0 else 2) / num_bands)
        lifter = 1 + 22 / 2 * math.sin(math.pi * k / 22)
        cosines = [math.cos(math.pi * k * (n + 0.5) / num_bands) for n in range(num_bands)]
        cepstra[:, k] = lifter * scale * (bands @ np.array(cosines))
    return cepstra


def difference(frames: np.ndarray) -> np.ndarray:
    """Return the slope of a line through five frames around each, the ends repeated."""
    last = len(frames) - 1
    slopes = np.zeros_like(frames)
    for index in range(len(frames)):
        for n in (1, 2):
            slopes[index] += n * (frames[min(index + n, last)] - frames[max(index - n, 0)])
    return slopes / (2 * (1 + 4))


@pytest.fixture
def voice(voice_16khz: np.ndarray) -> Audio:
    return Audio.from_numpy(voice_16khz[3000:11111], RATE_HZ)


@pytest.mark.parametrize(
    ("setting", "hop", "bands"), [("80x100hz", 160, 80), ("40x100hz", 160, 40), ("80x50hz", 320, 80)]
)
def test_log_mel_equals_the_definition(setting: str, hop: int, bands: int, voice: Audio) -> None:
    frames = load(one(f"log-mel:{setting}")).latents(voice)
    expected = log_mel(voice.samples[0].numpy(), hop, bands)
    assert frames.values.shape == expected.shape
    np.testing.assert_allclose(frames.values.numpy(), expected, atol=5e-3)


def test_mfcc_equals_the_definition(voice: Audio) -> None:
    expected = mfcc(voice.samples[0].numpy(), 160, 23, 13)
    plain = load(one("mfcc:13x100hz")).latents(voice).values
    np.testing.assert_allclose(plain.numpy(), expected, atol=1e-2)
    full = load(one("mfcc:39x100hz")).latents(voice).values.numpy()
    first = difference(expected)
    np.testing.assert_allclose(full, np.hstack([expected, first, difference(first)]), atol=1e-2)
    assert np.abs(first).max() > 0.5


def test_the_level_moves_c0_alone(voice: Audio) -> None:
    # Well above the floor of the logarithm.
    loud, quiet = (Audio(gain * voice.samples, RATE_HZ) for gain in (80, 20))
    tokenizer = Mfcc(num_cepstra=13, num_mels=23, deltas=False, hop_ms=10.0)
    change = tokenizer.latents(loud).values - tokenizer.latents(quiet).values
    # Four times the amplitude is 2 ln 4 in each band, and the DCT puts a constant into C0 alone.
    expected = torch.full((len(change),), 2 * math.log(4) * math.sqrt(23))
    torch.testing.assert_close(change[:, 0], expected, rtol=1e-3, atol=0)
    assert change[:, 1:].abs().max() < 0.01


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("num_samples", [1, 79, 80, 399, 400, 401, 16000, 16079, 16080])
def test_every_length_has_a_frame_for_each_hop(setting: str, num_samples: int, rng: np.random.Generator) -> None:
    tokenizer = load(one(setting))
    audio = Audio.from_numpy(0.1 * rng.standard_normal(num_samples), RATE_HZ)
    hop = 320 if "50hz" in setting else 160
    # Half a hop is rounded up.
    assert len(tokenizer.latents(audio).values) == max(math.floor(num_samples / hop + 0.5), 1)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("num_samples", [40000, 40079, 40081, 39999, 32001])
def test_long_audio_in_pieces_has_the_frames_of_the_whole(
    setting: str, num_samples: int, rng: np.random.Generator
) -> None:
    tokenizer = load(one(setting))
    audio = Audio.from_numpy(0.1 * rng.standard_normal(num_samples), RATE_HZ)
    whole = tokenizer.latents(audio).values
    for chunk_s in (0.5, 0.33, 0.02):
        tokenizer.chunk_s = chunk_s
        torch.testing.assert_close(tokenizer.latents(audio).values, whole, atol=1e-5, rtol=1e-5)


def test_a_shorter_context_would_be_noticed(rng: np.random.Generator) -> None:
    tokenizer = load(one("mfcc:39x100hz"))
    assert tokenizer.context is not None
    audio = Audio.from_numpy(0.1 * rng.standard_normal(32000), RATE_HZ)
    whole = tokenizer.latents(audio).values
    tokenizer.chunk_s = 0.3
    tokenizer.context = type(tokenizer.context)(encode_before=3, encode_after=3)
    assert (tokenizer.latents(audio).values - whole).abs().max() > 1e-3


def test_cards_state_the_look_ahead() -> None:
    for setting, expected_s in (("80x100hz", 0.0075), ("80x50hz", 0.0025)):
        assert load(one(f"log-mel:{setting}")).info.latency_s == pytest.approx(expected_s)
    assert LogMel(num_mels=40, hop_ms=10.0).info.latency_s == list_cards()["log-mel"].latency_s
    assert load(one("mfcc")).info.latency_s == list_cards()["mfcc"].latency_s
