"""MP3: the codes in a row are a file, which another decoder plays."""

import io

import numpy as np
import pytest
import soundfile

from tokbench.audio import Audio
from tokbench.codecs.bits import bits_of_frames
from tokbench.codecs.mp3 import Mp3

BITRATES_BPS = (8000, 16000, 24000, 32000, 40000, 48000, 64000)


@pytest.mark.parametrize("bitrate_bps", BITRATES_BPS)
def test_the_codes_are_a_file_that_libsndfile_plays(bitrate_bps: int, voice_16khz: np.ndarray) -> None:
    codec = Mp3(bitrate_bps=bitrate_bps)
    audio = Audio.from_numpy(voice_16khz, 16000)
    codes = codec.encode(audio)
    file = b"".join(bits_of_frames([stream.indices for stream in codes.streams], codec._num_bits))
    theirs, rate_hz = soundfile.read(io.BytesIO(file), dtype="float32")
    assert rate_hz == 16000
    ours = codec.decode(codes).samples[0].numpy()
    # libsndfile's mpg123 drops the decoder's own delay of 529 samples, which leaves LAME's 576.
    starts = {lag: float(np.abs(theirs[lag : lag + 30000] - ours[:30000]).max()) for lag in (576, 1105)}
    assert min(starts.values()) < 1e-4


@pytest.mark.parametrize("bitrate_bps", BITRATES_BPS)
def test_every_frame_has_the_size_of_the_nominal_bitrate(bitrate_bps: int, rng: np.random.Generator) -> None:
    codec = Mp3(bitrate_bps=bitrate_bps)
    assert codec.info.bitrate_bps == pytest.approx(bitrate_bps)
    noise = np.concatenate([np.zeros(16000), rng.uniform(-1, 1, 16000), np.zeros(16000)])
    for frame in codec._encoder.packets(Audio.from_numpy(noise, 16000).samples):
        assert len(frame) == bitrate_bps * 576 // 16000 // 8
        # The synchronisation word of MPEG-2 Layer III without a checksum.
        assert frame[:2] == b"\xff\xf3"
