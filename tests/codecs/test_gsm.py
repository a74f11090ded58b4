"""GSM 06.10: libsndfile's coder against FFmpeg's decoder, bit for bit."""

import io

import numpy as np
import soundfile

from tokbench.audio import Audio
from tokbench.codecs.bits import bits_of_frames
from tokbench.codecs.ffmpeg import decode_packets
from tokbench.codecs.gsm import Gsm


def test_ffmpeg_decodes_the_codes_to_the_same_samples(voice_16khz: np.ndarray) -> None:
    codec = Gsm()
    audio = Audio.from_numpy(voice_16khz, 16000).resample(8000)
    codes = codec.encode(audio)
    # 33 bytes: the signature 1101, then 260 bits.
    frames = [
        (0xD << 260 | int.from_bytes(frame) >> 4).to_bytes(33)
        for frame in bits_of_frames([stream.indices for stream in codes.streams], 260)
    ]
    theirs = decode_packets("gsm", frames, sample_rate_hz=8000)[0]
    np.testing.assert_array_equal(codec.decode(codes).samples[0].numpy(), theirs[: audio.num_samples])
    file = io.BytesIO()
    pcm = np.rint(audio.samples[0].numpy() * 32768).astype(np.int16)
    soundfile.write(file, pcm, 8000, format="RAW", subtype="GSM610")
    assert b"".join(frames) == file.getvalue()


def test_a_frame_has_260_bits() -> None:
    assert Gsm().info.bitrate_bps == 13000
