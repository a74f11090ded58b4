"""Opus: packets as codes, time alignment, constant bitrate, and the same bytes that another muxer reads."""

import csv
import io
import resource
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from pesq import pesq

from tokbench.audio import Audio
from tokbench.codecs.opus import Opus

BITRATES_BPS = [6000, 8000, 12000, 16000, 24000, 32000]


@pytest.fixture
def voice(voice_16khz: np.ndarray) -> Audio:
    return Audio.from_numpy(voice_16khz, 16000)


def recorded(speech_dir: Path, num_utterances: int) -> list[Audio]:
    with (speech_dir / "manifest.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if (row["corpus"], row["split"]) == ("librispeech", "test")]
    return [Audio.read(speech_dir / row["path"]) for row in rows[:: len(rows) // num_utterances]][:num_utterances]


@pytest.mark.parametrize("bitrate_bps", BITRATES_BPS)
@pytest.mark.parametrize("num_samples", [1, 215, 216, 217, 320, 16000, 31999])
def test_every_packet_has_the_size_of_the_nominal_bitrate(bitrate_bps: int, num_samples: int, voice: Audio) -> None:
    codec = Opus(bitrate_bps=bitrate_bps)
    codes = codec.encode(Audio(voice.samples[:, :num_samples], 16000))
    # 104 samples of look-ahead have to be flushed.
    assert codes.streams[0].indices.shape == (bitrate_bps // 400, -(-(num_samples + 104) // 320))
    assert codes.bitrate_bps == bitrate_bps
    assert codec.decode(codes).num_samples == num_samples


@pytest.mark.parametrize("bitrate_bps", BITRATES_BPS)
def test_silence_and_noise_take_packets_of_the_same_size(bitrate_bps: int, rng: np.random.Generator) -> None:
    codec = Opus(bitrate_bps=bitrate_bps)
    noise = np.clip(rng.standard_normal(32000), -1, 1)
    for samples in (np.zeros(32000), noise, np.concatenate([np.zeros(16000), noise, np.zeros(16000)])):
        codes = codec.encode(Audio.from_numpy(samples, 16000))
        assert codes.streams[0].num_codebooks == bitrate_bps // 400


def test_silence_stays_silent() -> None:
    codec = Opus(bitrate_bps=12000)
    decoded = codec.decode(codec.encode(Audio.from_numpy(np.zeros(16000), 16000)))
    assert decoded.samples.abs().max() < 1e-4


@pytest.mark.speech
@pytest.mark.parametrize("bitrate_bps", [12000, 32000])
def test_the_output_is_aligned_with_recorded_speech_to_the_sample(bitrate_bps: int, speech_dir: Path) -> None:
    codec = Opus(bitrate_bps=bitrate_bps)
    for audio in recorded(speech_dir, 3):
        decoded = codec.decode(codec.encode(audio)).samples[0].numpy()
        original = audio.samples[0].numpy()
        size = 2 * len(original)
        spectrum = np.fft.rfft(decoded, size) * np.conj(np.fft.rfft(original, size))
        # The resamplers inside of Opus leave two thirds of a sample, which may round to one.
        assert int(np.argmax(np.fft.irfft(spectrum, size))) in (0, size - 1)


@pytest.mark.speech
def test_quality_rises_with_the_bitrate_on_recorded_speech(speech_dir: Path) -> None:
    audios = recorded(speech_dir, 2)
    means = []
    for bitrate_bps in BITRATES_BPS:
        codec = Opus(bitrate_bps=bitrate_bps)
        decoded = [codec.decode(codec.encode(audio)) for audio in audios]
        means.append(np.mean([pesq(16000, a.mono(), d.mono(), "wb") for a, d in zip(audios, decoded, strict=True)]))
    assert means == sorted(means)
    assert means[-1] > means[0] + 1.5


def test_the_packets_are_those_of_an_ogg_file(voice: Audio) -> None:
    """FFmpeg's own muxer, with the encoder's own header, holds the same packets as the codes do."""
    codes = Opus(bitrate_bps=16000).encode(voice)
    file = io.BytesIO()
    with av.open(file, "w", format="ogg") as container:
        options = {"vbr": "off", "application": "audio", "frame_duration": "20", "compression_level": "10"}
        stream = container.add_stream("libopus", rate=16000, layout="mono", options=options)
        stream.bit_rate = 16000
        stream.format = "flt"
        frame = av.AudioFrame.from_ndarray(voice.samples.numpy(), format="flt", layout="mono")
        frame.sample_rate = 16000
        fifo = av.AudioFifo()
        fifo.write(frame)
        while (piece := fifo.read(320, partial=True)) is not None:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    with av.open(io.BytesIO(file.getvalue())) as container:
        packets = [bytes(packet) for packet in container.demux(audio=0) if packet.size]
    ours = [bytes(column) for column in codes.streams[0].indices.T.to(torch.uint8).numpy()]
    assert ours == packets[: len(ours)]


def test_an_utterance_has_the_same_codes_whatever_came_before(voice: Audio, rng: np.random.Generator) -> None:
    codec = Opus(bitrate_bps=8000)
    first = codec.encode(voice).streams[0].indices
    codec.decode(codec.encode(Audio.from_numpy(0.3 * rng.standard_normal(8000), 16000)))
    assert torch.equal(codec.encode(voice).streams[0].indices, first)


def test_memory_does_not_grow_with_the_number_of_utterances(voice: Audio) -> None:
    codec = Opus(bitrate_bps=12000)
    short = Audio(voice.samples[:, :1600], 16000)

    def peak_bytes_after(num_utterances: int) -> int:
        for _ in range(num_utterances):
            codec.decode(codec.encode(short))
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    before = peak_bytes_after(100)
    # An encoder or a decoder that is not freed holds 20 kB or more.
    assert peak_bytes_after(600) - before < 6_000_000
