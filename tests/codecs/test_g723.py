"""G.723.1: of 192 bits three say nothing, and the others are all that the decoder gets."""

import numpy as np
import pytest
import torch

from tokbench.audio import Audio
from tokbench.codecs.bits import bits_of_frames
from tokbench.codecs.ffmpeg import decode_packets
from tokbench.codecs.g723 import G7231


def test_the_codes_are_the_packets_without_three_bits_that_are_always_zero(
    voice_16khz: np.ndarray, rng: np.random.Generator
) -> None:
    codec = G7231()
    noise = 0.5 * rng.uniform(-1, 1, 16000)
    for audio in (
        Audio.from_numpy(voice_16khz, 16000).resample(8000),
        Audio.from_numpy(noise, 8000),
        Audio.from_numpy(np.zeros(8000), 8000),
    ):
        padded = torch.nn.functional.pad(audio.samples, (0, 60))
        packets = np.frombuffer(b"".join(codec._encoder.packets(padded)), np.uint8).reshape(-1, 24)
        bits = np.unpackbits(packets, axis=1, bitorder="little")
        assert not bits[:, [0, 1, 96]].any()
        codes = codec.encode(audio)
        sent = bits_of_frames([stream.indices for stream in codes.streams], 189)
        kept = np.stack([np.unpackbits(np.frombuffer(frame, np.uint8), count=189) for frame in sent])
        np.testing.assert_array_equal(kept, np.delete(bits, [0, 1, 96], axis=1))
        theirs = decode_packets("g723_1", map(bytes, packets), sample_rate_hz=8000)[0]
        np.testing.assert_array_equal(codec.decode(codes).samples[0].numpy(), theirs[60:][: audio.num_samples])


def test_a_frame_of_30_ms_has_189_bits() -> None:
    assert G7231().info.bitrate_bps == pytest.approx(6300)
