"""Codec 2: the bits and samples of pycodec2 and of the command line, and the same samples every time."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tokbench.audio import Audio
from tokbench.codecs.bits import bits_of_frames
from tokbench.codecs.codec2 import Codec2

C2ENC = shutil.which("c2enc") or ""
MODES = {"700C": 700, "1200": 1200, "1300": 1300, "1400": 1400, "1600": 1600, "2400": 2400, "3200": 3200}

PYCODEC2 = """
import sys
import numpy as np
import pycodec2
coder = pycodec2.Codec2(int(sys.argv[1]))
pcm = np.fromfile("in.raw", np.int16)
frames = pcm.reshape(-1, coder.samples_per_frame())
packets = [coder.encode(frame) for frame in frames]
open("out.bits", "wb").write(b"".join(packets))
coder = pycodec2.Codec2(int(sys.argv[1]))
np.concatenate([coder.decode(packet) for packet in packets]).tofile("out.raw")
"""


@pytest.fixture
def voice(voice_16khz: np.ndarray) -> Audio:
    return Audio.from_numpy(voice_16khz, 16000).resample(8000)


def write_input(folder: Path, codec: Codec2, audio: Audio) -> None:
    """Save the 16-bit samples that the codec sees: the audio, the delay, and silence up to a whole frame."""
    pcm = np.rint(audio.samples[0].numpy() * 32768).astype(np.int16)
    padded = np.pad(pcm, (0, codec._delay))
    np.pad(padded, (0, -len(padded) % codec._frame_length)).tofile(folder / "in.raw")


def frames_of(codec: Codec2, audio: Audio) -> bytes:
    codes = codec.encode(audio)
    return b"".join(bits_of_frames([stream.indices for stream in codes.streams], codec._num_bits))


@pytest.mark.parametrize(("mode", "bitrate_bps"), MODES.items())
def test_bits_and_samples_are_those_of_pycodec2_in_a_new_process(
    mode: str, bitrate_bps: int, voice: Audio, tmp_path: Path
) -> None:
    codec = Codec2(mode=mode)
    assert codec.info.bitrate_bps == pytest.approx(bitrate_bps)
    write_input(tmp_path, codec, voice)
    subprocess.run([sys.executable, "-c", PYCODEC2, str(bitrate_bps)], cwd=tmp_path, check=True)
    assert frames_of(codec, voice) == (tmp_path / "out.bits").read_bytes()
    theirs = np.fromfile(tmp_path / "out.raw", np.int16).astype(np.float32)[codec._delay :] / 32768
    ours = codec.decode(codec.encode(voice)).samples[0].numpy()
    np.testing.assert_array_equal(ours, theirs[: len(ours)])


@pytest.mark.skipif(not C2ENC, reason="the Debian package codec2 is not installed")
@pytest.mark.parametrize("mode", MODES)
def test_bits_are_those_of_the_command_line(mode: str, voice: Audio, tmp_path: Path) -> None:
    codec = Codec2(mode=mode)
    write_input(tmp_path, codec, voice)
    subprocess.run([C2ENC, mode, "in.raw", "out.bits"], cwd=tmp_path, check=True, capture_output=True)
    ours = np.frombuffer(frames_of(codec, voice), np.uint8)
    theirs = np.frombuffer((tmp_path / "out.bits").read_bytes(), np.uint8)
    # Two releases, built by two compilers: a quantizer may fall the other way once in a while.
    assert len(ours) == len(theirs)
    assert np.mean(ours == theirs) > 0.999


@pytest.mark.parametrize("mode", MODES)
def test_noise_decodes_to_the_same_samples_every_time(mode: str, rng: np.random.Generator) -> None:
    """Unvoiced frames take their phases from a generator that a process has one of."""
    codec = Codec2(mode=mode)
    codes = codec.encode(Audio.from_numpy(0.2 * rng.standard_normal(8000), 8000))
    first = codec.decode(codes).samples
    assert float(first.abs().max()) > 0.05
    assert torch.equal(codec.decode(codes).samples, first)
    assert torch.equal(Codec2(mode=mode).decode(codes).samples, first)


def test_a_codec_that_is_used_often_leaves_nothing_open(voice: Audio) -> None:
    codec = Codec2(mode="3200")
    codes = codec.encode(voice)

    def num_mapped() -> int:
        maps = Path("/proc/self/maps").read_text()
        return sum("libcodec2" in line for line in maps.splitlines())

    if not Path("/proc/self/maps").exists():
        pytest.skip("this system does not list what a process has loaded")
    before = num_mapped()
    for _ in range(20):
        codec.decode(codes)
    assert num_mapped() == before
