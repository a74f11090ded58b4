"""AMR in both bands: modes and bits of 3GPP, and FFmpeg's own decoders beside OpenCORE's."""

import numpy as np
import pytest

from tokbench.audio import Audio
from tokbench.codecs.amr import AmrNb, AmrWb
from tokbench.codecs.bits import bits_of_frames
from tokbench.codecs.ffmpeg import decode_packets
from tokbench.errors import MissingLibraryError

NARROW = {0: 4750, 1: 5150, 2: 5900, 3: 6700, 4: 7400, 5: 7950, 6: 10200, 7: 12200}
WIDE = {0: 6600, 1: 8850, 2: 12650, 3: 14250, 4: 15850, 5: 18250, 6: 19850, 7: 23050, 8: 23850}


def wide(mode: int) -> AmrWb:
    try:
        return AmrWb(mode=mode)
    except MissingLibraryError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(("mode", "bitrate_bps"), NARROW.items())
def test_a_narrow_band_mode_has_its_bitrate(mode: int, bitrate_bps: int) -> None:
    assert AmrNb(mode=mode).info.bitrate_bps == pytest.approx(bitrate_bps)


@pytest.mark.parametrize(("mode", "bitrate_bps"), WIDE.items())
def test_a_wide_band_mode_has_its_bitrate(mode: int, bitrate_bps: int) -> None:
    assert wide(mode).info.bitrate_bps == pytest.approx(bitrate_bps)


def of_native_decoder(codec: AmrNb | AmrWb, name: str, audio: Audio) -> tuple[np.ndarray, np.ndarray]:
    """Decode the same codes by OpenCORE and by FFmpeg."""
    codes = codec.encode(audio)
    frames = bits_of_frames([stream.indices for stream in codes.streams], codec._num_bits)
    packets = [bytes([codec._mode << 3 | 4]) + frame for frame in frames]
    theirs = decode_packets(name, packets, sample_rate_hz=audio.sample_rate_hz)[0]
    start = codec._DELAY
    return codec.decode(codes).samples[0].numpy(), theirs[start : start + audio.num_samples]


@pytest.mark.parametrize("mode", NARROW)
def test_ffmpegs_own_decoder_hears_the_same_in_the_narrow_band(mode: int, voice_16khz: np.ndarray) -> None:
    audio = Audio.from_numpy(voice_16khz, 16000).resample(8000)
    ours, theirs = of_native_decoder(AmrNb(mode=mode), "amrnb", audio)
    # The one computes with integers and the other with floats, and their post-filters differ a little.
    assert np.corrcoef(ours, theirs)[0, 1] > 0.95


@pytest.mark.parametrize("mode", WIDE)
def test_ffmpegs_own_decoder_hears_the_same_in_the_wide_band(mode: int, voice_16khz: np.ndarray) -> None:
    ours, theirs = of_native_decoder(wide(mode), "amrwb", Audio.from_numpy(voice_16khz, 16000))
    assert np.corrcoef(ours, theirs)[0, 1] > 0.95


def test_every_speech_bit_is_transmitted_and_nothing_else(voice_16khz: np.ndarray) -> None:
    codec = AmrNb(mode=7)
    audio = Audio.from_numpy(voice_16khz, 16000).resample(8000)
    packets = list(codec._encoder.packets(audio.samples))
    assert {packet[0] for packet in packets[:-1]} == {0x3C}
    assert {packet[-1] & 0x0F for packet in packets} == {0}
    codes = codec.encode(audio)
    sent = bits_of_frames([stream.indices for stream in codes.streams], 244)
    assert [packet[1:] for packet in packets[:99]] == list(sent)[:99]


def test_a_missing_library_is_named_with_its_debian_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokbench.codecs.libraries.find_library", lambda _: None)
    with pytest.raises(
        MissingLibraryError, match=r"libvo-amrwbenc of the system\. On Debian: apt install libvo-amrwbenc0"
    ):
        AmrWb(mode=0)
