"""G.711, IMA ADPCM, G.726 and G.722 against libsndfile and libspandsp."""

import ctypes
import io
import struct
from ctypes.util import find_library

import numpy as np
import pytest
import soundfile
import torch

from tokbench.audio import Audio
from tokbench.codecs.base import Codec
from tokbench.codecs.waveform import G711, G722, G726, ImaAdpcm


@pytest.fixture
def voice(voice_16khz: np.ndarray) -> Audio:
    return Audio.from_numpy(voice_16khz, 16000)


def codes_of(codec: Codec, audio: Audio) -> np.ndarray:
    codes: np.ndarray = codec.encode(audio).streams[0].indices[0].numpy()
    return codes


def decoded(codec: Codec, codes: np.ndarray) -> np.ndarray:
    samples: np.ndarray = codec._decode([torch.from_numpy(codes.astype(np.int64))[None]])[0].numpy()
    return samples


def snr_db(original: np.ndarray, other: np.ndarray) -> float:
    num_samples = min(len(original), len(other))
    original, other = original[:num_samples], other[:num_samples]
    return float(10 * np.log10(np.sum(original**2) / np.sum((other - original) ** 2)))


@pytest.mark.parametrize(("law", "subtype"), [("mulaw", "ULAW"), ("alaw", "ALAW")])
def test_g711_decodes_every_code_like_libsndfile(law: str, subtype: str) -> None:
    every_code = bytes(range(256))
    expected, _ = soundfile.read(
        io.BytesIO(every_code), samplerate=8000, channels=1, format="RAW", subtype=subtype, dtype="float32"
    )
    np.testing.assert_array_equal(decoded(G711(law=law), np.arange(256)), expected)


@pytest.mark.parametrize(("law", "subtype"), [("mulaw", "ULAW"), ("alaw", "ALAW")])
def test_g711_takes_the_level_of_libsndfile_or_its_neighbour(law: str, subtype: str) -> None:
    every_sample = np.arange(-32768, 32768, dtype=np.float32) / 32768
    file = io.BytesIO()
    soundfile.write(file, every_sample, 8000, format="RAW", subtype=subtype)
    theirs = np.frombuffer(file.getvalue(), np.uint8)
    codec = G711(law=law)
    ours = codes_of(codec, Audio.from_numpy(every_sample, 8000))
    # The two round 16 bits to the 13 or 14 of the standard in other ways: on the edges of steps they may differ.
    assert np.mean(ours != theirs) < 0.03
    levels = np.unique(decoded(codec, np.arange(256)))
    ranks = [np.searchsorted(levels, decoded(codec, codes)) for codes in (ours, theirs)]
    assert np.abs(ranks[0] - ranks[1]).max() <= 1


@pytest.mark.parametrize("law", ["mulaw", "alaw"])
def test_g711_has_the_step_of_the_standard_in_every_segment(law: str) -> None:
    levels = np.sort(decoded(G711(law=law), np.arange(256)))
    steps = np.unique(np.round(np.diff(levels[levels > 0]) * 32768).astype(int))
    # 16 levels a segment, each segment twice as coarse as the one before; between two segments the mean of theirs.
    finest = {"mulaw": 8, "alaw": 16}[law]
    within = {finest * 2**k for k in range(8 if law == "mulaw" else 7)}
    between = {finest * 3 * 2**k // 2 for k in range(7)}
    assert set(steps.tolist()) <= within | between
    assert within <= set(steps.tolist())


@pytest.mark.parametrize("rate_hz", [8000, 16000])
def test_ima_adpcm_decodes_like_a_wav_file(rate_hz: int, voice: Audio) -> None:
    codec = ImaAdpcm(sample_rate_hz=rate_hz)
    codes = codes_of(codec, voice.resample(rate_hz))[:16000]
    # A WAV file of one block: the first sample and the step index, both 0, and the codes, the lower half first.
    block = struct.pack("<hBB", 0, 0, 0) + bytes((codes[0::2] | codes[1::2] << 4).astype(np.uint8))
    header = struct.pack("<HHIIHHHH", 0x11, 1, rate_hz, rate_hz // 2, len(block), 4, 2, len(codes) + 1)
    chunks = (
        (b"fmt ", header),
        (b"fact", struct.pack("<I", len(codes) + 1)),
        (b"data", block),
    )
    body = b"WAVE" + b"".join(name + struct.pack("<I", len(content)) + content for name, content in chunks)
    theirs, _ = soundfile.read(io.BytesIO(b"RIFF" + struct.pack("<I", len(body)) + body), dtype="float32")
    np.testing.assert_array_equal(decoded(codec, codes), theirs[1:])


@pytest.mark.parametrize(("bits", "subtype"), [(3, "G723_24"), (4, "G721_32"), (5, "G723_40")])
def test_g726_keeps_as_much_of_a_voice_as_libsndfile(bits: int, subtype: str, voice: Audio) -> None:
    audio = voice.resample(8000)
    original = audio.samples[0].numpy()
    file = io.BytesIO()
    soundfile.write(file, original, 8000, format="AU", subtype=subtype)
    theirs, _ = soundfile.read(io.BytesIO(file.getvalue()), dtype="float32")
    codec = G726(bits=bits)
    ours = codec.decode(codec.encode(audio)).samples[0].numpy()
    # Implementations of G.726 differ in the last bits of their predictors, and then go ways of their own.
    assert -1 < snr_db(original, ours) - snr_db(original, theirs) < 4


def test_g726_gains_with_every_bit(voice: Audio) -> None:
    audio = voice.resample(8000)
    ratios = []
    for bits in (2, 3, 4, 5):
        codec = G726(bits=bits)
        ratios.append(snr_db(audio.samples[0].numpy(), codec.decode(codec.encode(audio)).samples[0].numpy()))
    # A bit halves the step, which is worth 6 dB where a step is small; the coarsest predictors gain unevenly.
    assert np.diff(ratios).min() > 2
    assert 12 < ratios[-1] - ratios[0] < 20


class Spandsp:
    """The G.722 coder of libspandsp, an implementation of its own."""

    def __init__(self) -> None:
        name = find_library("spandsp")
        if name is None:
            pytest.skip("libspandsp2 is not installed")
        self.library = ctypes.CDLL(name)
        self.library.g722_encode_init.restype = ctypes.c_void_p
        self.library.g722_decode_init.restype = ctypes.c_void_p

    def encode(self, samples: np.ndarray) -> np.ndarray:
        state = ctypes.c_void_p(self.library.g722_encode_init(None, 64000, 0))
        codes = np.zeros(len(samples) // 2, np.uint8)
        pointers = (ctypes.c_void_p(array.ctypes.data) for array in (codes, samples))
        self.library.g722_encode(state, *pointers, len(samples))
        return codes

    def decode(self, codes: np.ndarray, bits: int) -> np.ndarray:
        state = ctypes.c_void_p(self.library.g722_decode_init(None, 8000 * bits, 0))
        samples = np.zeros(2 * len(codes), np.int16)
        content = codes.astype(np.uint8)
        pointers = (ctypes.c_void_p(array.ctypes.data) for array in (samples, content))
        self.library.g722_decode(state, *pointers, len(content))
        return samples.astype(np.float32) / 32768


def test_g722_encodes_like_libspandsp(voice: Audio) -> None:
    pcm = np.rint(voice.samples[0].numpy() * 32768).astype(np.int16)
    theirs = Spandsp().encode(pcm)
    np.testing.assert_array_equal(codes_of(G722(bits=8), voice)[: len(theirs)], theirs)


@pytest.mark.parametrize("bits", [6, 7, 8])
def test_g722_decodes_like_libspandsp(bits: int, voice: Audio) -> None:
    codec = G722(bits=bits)
    codes = codes_of(codec, voice)
    # The filter banks delay by 22 samples, which the codec drops.
    np.testing.assert_array_equal(decoded(codec, codes), Spandsp().decode(codes, bits)[22:])


def test_g722_at_48_kbps_is_the_beginning_of_every_code_at_64_kbps(voice: Audio) -> None:
    full, short = (codes_of(G722(bits=bits), voice) for bits in (8, 6))
    np.testing.assert_array_equal(full >> 2, short)
