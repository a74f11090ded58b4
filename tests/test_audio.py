"""Audio: reading what is broken, resampling, channels."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tokbench.audio import Audio, AudioSize, Features
from tokbench.errors import (
    AudioFileError,
    ChannelsError,
    EmptyAudioError,
    NonFiniteAudioError,
    NonFiniteFeaturesError,
)


def sine(rate_hz: int, *, frequency_hz: float = 440.0, seconds: float = 0.5) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency_hz * np.arange(round(seconds * rate_hz)) / rate_hz)


@pytest.mark.parametrize("rate_hz", [8000, 11025, 16000, 22050, 44100, 96000, 192000])
def test_every_common_rate_is_read_and_resampled_to_the_same_sound(tmp_path: Path, rate_hz: int) -> None:
    soundfile.write(tmp_path / "tone.wav", sine(rate_hz), rate_hz, subtype="FLOAT")
    audio = Audio.read(tmp_path / "tone.wav").resample(16000)
    assert audio.sample_rate_hz == 16000
    assert audio.num_samples == pytest.approx(8000, abs=1)
    middle = slice(1000, 7000)  # the resampling filter rings at the ends
    np.testing.assert_allclose(audio.mono()[middle], sine(16000)[middle], atol=2e-3)


def test_resampling_removes_what_lies_above_the_new_nyquist_frequency() -> None:
    audio = Audio.from_numpy(sine(48000, frequency_hz=10000.0), 48000)
    assert np.abs(audio.resample(16000).mono()[1000:-1000]).max() < 1e-3


def test_resampling_one_sample_keeps_one_sample() -> None:
    audio = Audio.from_numpy(np.ones(1, dtype=np.float32), 48000)
    assert audio.resample(16000).num_samples == 1


def test_resampling_to_the_same_rate_changes_nothing() -> None:
    audio = Audio.from_numpy(sine(16000), 16000)
    assert audio.resample(16000) is audio


@pytest.mark.parametrize("num_channels", [2, 6])
def test_many_channels_are_mixed_to_their_mean(num_channels: int) -> None:
    samples = np.random.default_rng(0).standard_normal((num_channels, 100)).astype(np.float32)
    np.testing.assert_allclose(Audio.from_numpy(samples, 16000).mono(), samples.mean(axis=0), rtol=1e-5, atol=1e-6)


def test_mono_is_repeated_where_a_codec_wants_stereo() -> None:
    stereo = Audio.from_numpy(sine(16000), 16000).to_channels(2)
    assert torch.equal(stereo.samples[0], stereo.samples[1])


def test_six_channels_do_not_become_two() -> None:
    with pytest.raises(ChannelsError, match="expects 2 channel"):
        Audio.from_numpy(np.zeros((6, 10)), 16000).to_channels(2)


def test_a_segment_is_read_alone(tmp_path: Path) -> None:
    samples = np.arange(16000) / 32768
    soundfile.write(tmp_path / "ramp.wav", samples, 16000, subtype="PCM_16")
    segment = Audio.read(tmp_path / "ramp.wav", start_s=0.25, duration_s=0.5)
    np.testing.assert_array_equal(segment.mono(), samples[4000:12000].astype(np.float32))


@pytest.mark.parametrize(
    ("start_s", "duration_s", "asked"),
    [(0.5, 5.0, "0.5 to 5.5 s"), (0.9, 0.2, "0.9 to 1.1 s"), (2.0, 1.0, "2 to 3 s"), (2.0, None, "2 s and what")],
)
def test_a_segment_beyond_the_end_of_its_file_is_refused(
    tmp_path: Path, start_s: float, duration_s: float | None, asked: str
) -> None:
    soundfile.write(tmp_path / "tone.wav", sine(16000, seconds=1.0), 16000)
    with pytest.raises(AudioFileError, match=rf"tone\.wav: .*asks for {asked}.* of a file of 1 s"):
        Audio.read(tmp_path / "tone.wav", start_s=start_s, duration_s=duration_s)


def test_a_segment_may_be_rounded_up(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "tone.wav", sine(16000, seconds=0.4951), 16000)
    assert Audio.read(tmp_path / "tone.wav", start_s=0.0, duration_s=0.5).num_samples == 7922


def test_writing_and_reading_16_bit_audio_is_lossless(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(-32768, 32768, size=(2, 1000)) / 32768
    for ending in ("flac", "wav"):
        Audio.from_numpy(samples, 16000).write(tmp_path / f"copy.{ending}")
        np.testing.assert_array_equal(Audio.read(tmp_path / f"copy.{ending}").samples.numpy(), samples)


def test_clipped_audio_is_accepted(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "loud.wav", np.full(100, 3.0), 16000, subtype="FLOAT")
    assert Audio.read(tmp_path / "loud.wav").mono().max() == 3.0


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(AudioFileError, match=r"gone\.wav: not readable as audio \(no such file\)"):
        Audio.read(tmp_path / "gone.wav")


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    with pytest.raises(AudioFileError, match=r"empty\.wav: .*the file is empty"):
        Audio.read(tmp_path / "empty.wav")


def test_a_folder_is_no_audio(tmp_path: Path) -> None:
    with pytest.raises(AudioFileError, match="not a file"):
        Audio.read(tmp_path)


def test_a_file_without_samples_is_named(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "nothing.wav", np.zeros(0), 16000)
    with pytest.raises(EmptyAudioError, match=r"nothing\.wav has 0 samples"):
        Audio.read(tmp_path / "nothing.wav")


def test_text_with_an_audio_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.wav").write_text("Dear listener, ")
    with pytest.raises(AudioFileError, match=r"letter\.wav: not readable as audio"):
        Audio.read(tmp_path / "letter.wav")


def test_a_truncated_flac_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.flac"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 32000), 16000)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(AudioFileError, match=r"cut\.flac: not readable as audio"):
        Audio.read(path)


def test_a_truncated_wav_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.wav"
    soundfile.write(path, np.zeros(16000), 16000)
    data = path.read_bytes()
    assert AudioSize.of(path).num_samples == 16000
    path.write_bytes(data[: len(data) // 2])
    for read in (Audio.read, AudioSize.of):
        with pytest.raises(AudioFileError, match=r"cut\.wav: .*truncated: \d+ of 32000 bytes"):
            read(path)
    for unknown in (b"\xff\xff\xff\xff", b"\0\0\0\0"):  # as those who write into a pipe say
        path.write_bytes(data.replace(b"data" + struct.pack("<I", 32000), b"data" + unknown))
        if unknown[0]:
            assert Audio.read(path).num_samples == 16000


def test_a_flac_that_does_not_say_how_long_it_is_is_refused(tmp_path: Path) -> None:
    """As one from a pipe: the last 36 bits before the checksum of its samples are 0."""
    path = tmp_path / "piped.flac"
    soundfile.write(path, np.zeros(32000), 16000)
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    path.write_bytes(bytes(data))
    for read in (Audio.read, AudioSize.of):
        with pytest.raises(AudioFileError, match=r"piped\.flac: .*its header does not say how long it is"):
            read(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_counted(tmp_path: Path, value: float) -> None:
    samples = np.zeros(100)
    samples[[3, 50]] = value
    soundfile.write(tmp_path / "bad.wav", samples, 16000, subtype="FLOAT")
    with pytest.raises(NonFiniteAudioError, match=r"bad\.wav has 2 NaN or infinite values in 100 samples"):
        Audio.read(tmp_path / "bad.wav")


def test_samples_of_another_type_are_refused() -> None:
    with pytest.raises(TypeError, match=r"must be float32 \[C, T\]"):
        Audio(torch.zeros(1, 10, dtype=torch.float64), 16000)


def test_the_hash_tells_rate_and_samples_apart() -> None:
    one = Audio.from_numpy(np.zeros(10), 16000)
    assert one.sha256 == Audio.from_numpy(np.zeros(10), 16000).sha256
    assert one.sha256 != Audio.from_numpy(np.zeros(10), 8000).sha256
    assert one.sha256 != Audio.from_numpy(np.zeros(11), 16000).sha256


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_features_are_finite(value: float) -> None:
    values = torch.ones(5, 3)
    values[2, 1] = value
    with pytest.raises(NonFiniteFeaturesError, match="1 of 5 frames of features have NaN or infinite values"):
        Features(values, frame_rate_hz=50.0)
    Features(torch.full((4, 2), 3e38), frame_rate_hz=50.0)  # finite, though their sum is not
    Features(torch.zeros(0, 3), frame_rate_hz=50.0)
