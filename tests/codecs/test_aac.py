"""AAC: the packets are those of an ADTS file, and the decoder needs nothing else."""

import io

import av
import numpy as np
import pytest

from tokbench.audio import Audio
from tokbench.codecs.aac import Aac
from tokbench.codecs.bits import split_packets

ADTS_HEADER_BYTES = 7


def adts(packet: bytes) -> bytes:
    """Return ``packet`` with the header of ISO/IEC 13818-7, 6.2: AAC-LC, 16 kHz (index 8), mono."""
    size = len(packet) + ADTS_HEADER_BYTES
    bits = f"{0xFFF:012b}" + "0" + "00" + "1" + f"{1:02b}" + f"{8:04b}" + "0" + f"{1:03b}" + "0000"
    bits += f"{size:013b}" + f"{0x7FF:011b}" + "00"
    return int(bits, 2).to_bytes(ADTS_HEADER_BYTES) + packet


@pytest.mark.parametrize("bitrate_bps", [12000, 32000, 64000])
def test_an_adts_file_of_the_codes_plays_the_same(bitrate_bps: int, voice_16khz: np.ndarray) -> None:
    codec = Aac(bitrate_bps=bitrate_bps)
    audio = Audio.from_numpy(voice_16khz, 16000)
    codes = codec.encode(audio)
    packets = split_packets([stream.indices for stream in codes.streams])
    with av.open(io.BytesIO(b"".join(map(adts, packets))), "r", format="aac") as container:
        theirs = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)[0]
    ours = codec.decode(codes).samples[0].numpy()
    np.testing.assert_array_equal(ours, theirs[1024:][: audio.num_samples])


def test_the_measured_bitrate_follows_what_is_asked_for(voice_16khz: np.ndarray) -> None:
    audio = Audio.from_numpy(np.tile(voice_16khz, 3), 16000)
    rates = [Aac(bitrate_bps=rate).encode(audio).bitrate_bps for rate in (12000, 16000, 24000, 32000, 48000, 64000)]
    assert rates == sorted(rates)
    assert Aac(bitrate_bps=32000).info.bitrate_bps is None


def test_silence_costs_less_than_a_voice(voice_16khz: np.ndarray) -> None:
    codec = Aac(bitrate_bps=32000)
    silence = codec.encode(Audio.from_numpy(np.zeros(32000), 16000))
    assert silence.num_bits < 0.2 * codec.encode(Audio.from_numpy(voice_16khz, 16000)).num_bits
