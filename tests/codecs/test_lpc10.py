"""LPC-10e: 54 bits, of which the last keeps the frames in step, and a pitch that survives."""

import numpy as np
import pytest

from tokbench.audio import Audio
from tokbench.codecs.bits import bits_of_frames
from tokbench.codecs.lpc10 import Lpc10
from tokbench.errors import MissingLibraryError


@pytest.fixture
def codec() -> Lpc10:
    try:
        return Lpc10()
    except MissingLibraryError as error:
        pytest.skip(str(error))


def pulses(pitch_hz: float, duration_s: float = 2.0) -> Audio:
    """Return a voice of one pitch: pulses through a resonance at 500 Hz."""
    time_s = np.arange(round(8000 * duration_s)) / 8000
    source = (np.diff(np.floor(time_s * pitch_hz), prepend=0) > 0).astype(float)
    decay = np.exp(-time_s[:200] * 300) * np.sin(2 * np.pi * 500 * time_s[:200])
    return Audio.from_numpy(0.4 * np.convolve(source, decay)[: len(time_s)], 8000)


@pytest.mark.parametrize("pitch_hz", [80.0, 125.0, 200.0, 250.0])
def test_the_pitch_of_a_steady_voice_survives(pitch_hz: float, codec: Lpc10) -> None:
    decoded = codec.decode(codec.encode(pulses(pitch_hz))).samples[0].numpy()[4000:12000]
    correlation = np.correlate(decoded, decoded, "full")[len(decoded) - 1 :]
    shortest, longest = 8000 // 400, 8000 // 50
    period = shortest + int(np.argmax(correlation[shortest:longest]))
    multiple = max(round(period * pitch_hz / 8000), 1)
    # Pitch is coded in steps of 1 to 4 samples between 51 and 400 Hz.
    assert 8000 * multiple / period == pytest.approx(pitch_hz, rel=0.05)


def test_noise_is_not_voiced(codec: Lpc10, rng: np.random.Generator) -> None:
    noise = Audio.from_numpy(0.1 * rng.standard_normal(16000), 8000)
    decoded = codec.decode(codec.encode(noise)).samples[0].numpy()[4000:12000]
    correlation = np.correlate(decoded, decoded, "full")[len(decoded) - 1 :]
    assert correlation[20:160].max() < 0.5 * correlation[0]


def test_a_frame_has_54_bits_and_the_last_of_them_alternates(codec: Lpc10) -> None:
    codes = codec.encode(pulses(100.0))
    assert codes.bitrate_bps == pytest.approx(2400)
    frames = bits_of_frames([stream.indices for stream in codes.streams], 54)
    bits = np.stack([np.unpackbits(np.frombuffer(frame, np.uint8), count=54) for frame in frames])
    # The synchronisation bit (FED-STD-1015): 0 and 1 in turn.
    assert set(np.diff(bits[:, 53].astype(int)).tolist()) == {-1, 1}


def test_a_missing_library_is_named_with_its_debian_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokbench.codecs.libraries.find_library", lambda _: None)
    with pytest.raises(
        MissingLibraryError, match=r"lpc10 needs libspandsp of the system\. On Debian: apt install libs"
    ):
        Lpc10()
