"""What all classical codecs have in common: outputs in time with inputs, and a fresh start for each utterance."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from tokbench.audio import Audio
from tokbench.codecs.base import Codec
from tokbench.codecs.registry import CodecReference, expand, list_cards, load
from tokbench.errors import MissingLibraryError, MissingPackageError

NAMES = [name for name, card in list_cards().items() if card.kind == "classical codec" and not card.sources]
VOCODERS = ("codec2", "lpc", "lpc10")
"""What they decode has another waveform than what they encoded."""
PARTLY_VOCODERS = ("speex:3.95kbps", "speex-nb:2.15kbps")
"""Settings that draw the excitation, or most of it, at random."""


def loaded(reference: CodecReference) -> Codec:
    try:
        codec = load(reference)
    except (MissingLibraryError, MissingPackageError) as error:
        pytest.skip(str(error))
    assert isinstance(codec, Codec)
    return codec


def references(*, of_waveforms: bool) -> list[CodecReference]:
    found = [reference for name in NAMES for reference in expand(f"{name}:all")]
    is_vocoder = {
        reference.label: reference.card.name in VOCODERS or reference.label in PARTLY_VOCODERS
        for reference in found
    }
    return [reference for reference in found if is_vocoder[reference.label] != of_waveforms]


def voice(codec: Codec, samples_16khz: np.ndarray) -> Audio:
    return Audio.from_numpy(samples_16khz, 16000).resample(codec.info.sample_rate_hz)


def lag(original: np.ndarray, decoded: np.ndarray, sample_rate_hz: int) -> int:
    """Return the samples by which ``decoded`` is late, from the phases between 500 Hz and 3 kHz alone.

    High-pass filters in front of speech coders turn the phases below.
    """
    size = 2 * max(len(original), len(decoded))
    cross = np.fft.rfft(decoded, size) * np.conj(np.fft.rfft(original, size))
    frequencies_hz = np.fft.rfftfreq(size, 1 / sample_rate_hz)
    in_band = (frequencies_hz > 500) & (frequencies_hz < 3000)
    correlation = np.fft.irfft(cross * in_band, size)
    index = int(np.argmax(correlation))
    return index if index < size // 2 else index - size


@pytest.mark.parametrize("reference", references(of_waveforms=True), ids=lambda reference: reference.label)
def test_the_output_is_in_time_with_the_input(reference: CodecReference, voice_16khz: np.ndarray) -> None:
    codec = loaded(reference)
    audio = voice(codec, voice_16khz)
    decoded = codec.decode(codec.encode(audio))
    assert decoded.num_samples == audio.num_samples
    # Resamplers inside of Opus and AMR-WB leave parts of a sample, which may round to one.
    assert abs(lag(audio.samples[0].numpy(), decoded.samples[0].numpy(), audio.sample_rate_hz)) <= 1


@pytest.mark.speech
@pytest.mark.parametrize("reference", references(of_waveforms=False), ids=lambda reference: reference.label)
def test_the_envelope_of_a_vocoder_is_in_time_with_speech(reference: CodecReference, speech_dir: Path) -> None:
    with (speech_dir / "manifest.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if (row["corpus"], row["split"]) == ("librispeech", "test")]
    codec = loaded(reference)
    rate_hz = codec.info.sample_rate_hz
    lags_s = []
    for row in rows[:30:10]:
        audio = Audio.read(speech_dir / row["path"]).resample(rate_hz)
        decoded = codec.decode(codec.encode(audio))
        envelopes = [_envelope(signal.samples[0].numpy(), rate_hz // 50) for signal in (audio, decoded)]
        size = 2 * len(envelopes[0])
        spectra = [np.fft.rfft(envelope, size) for envelope in envelopes]
        correlation = np.fft.irfft(spectra[1] * np.conj(spectra[0]), size)
        index = int(np.argmax(correlation))
        lags_s.append((index if index < size // 2 else index - size) / rate_hz)
    # Less than a third of a frame of any of them.
    assert abs(float(np.median(lags_s))) < 0.006


def _envelope(samples: np.ndarray, width: int) -> np.ndarray:
    envelope = np.convolve(np.abs(samples), np.hanning(width), "same")
    return envelope - envelope.mean()


@pytest.mark.parametrize("name", NAMES)
def test_silence_stays_silent(name: str) -> None:
    codec = loaded(expand(name)[0])
    silence = Audio.from_numpy(np.zeros(codec.info.sample_rate_hz), codec.info.sample_rate_hz)
    decoded = codec.decode(codec.encode(silence)).samples
    # Some fill it with noise of a few steps of 16 bits.
    assert float(decoded.square().mean().sqrt()) < 20 / 32768


@pytest.mark.parametrize("name", NAMES)
def test_no_decoder_remembers_what_it_decoded_before(name: str, voice_16khz: np.ndarray) -> None:
    codec = loaded(expand(name)[0])
    audio = voice(codec, voice_16khz)
    codes = codec.encode(audio)
    first = codec.decode(codes).samples
    codec.decode(codec.encode(Audio(audio.samples.flip(1).contiguous(), audio.sample_rate_hz)))
    assert torch.equal(codec.decode(codes).samples, first)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in VOCODERS])
def test_a_loud_tone_does_not_wrap_around(name: str) -> None:
    codec = loaded(expand(name)[0])
    rate_hz = codec.info.sample_rate_hz
    tone = 0.95 * np.sin(2 * np.pi * 300 * np.arange(rate_hz) / rate_hz)
    decoded = codec.decode(codec.encode(Audio.from_numpy(tone, rate_hz))).samples[0].numpy()
    # What overshoots full scale and wraps around jumps by almost 2.
    assert np.abs(np.diff(decoded)).max() < 1
    assert np.sqrt(np.mean(decoded**2)) > 0.2
