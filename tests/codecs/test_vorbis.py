"""Vorbis: what an Ogg file around the packets decodes to, by libvorbis itself."""

import io

import numpy as np
import pytest
import soundfile
import torch

from tokbench.audio import Audio
from tokbench.codecs.vorbis import Vorbis, _packets

QUALITIES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@pytest.mark.parametrize("quality", QUALITIES)
def test_libvorbis_decodes_its_file_to_the_same_samples(quality: float, voice_16khz: np.ndarray) -> None:
    codec = Vorbis(quality=quality)
    file = io.BytesIO()
    soundfile.write(file, voice_16khz, 16000, format="OGG", subtype="VORBIS", compression_level=1 - quality)
    theirs, _ = soundfile.read(io.BytesIO(file.getvalue()), dtype="float32")
    audio = Audio.from_numpy(voice_16khz, 16000)
    codes = codec.encode(audio)
    ours = codec.decode(codes).samples[0].numpy()
    np.testing.assert_allclose(ours[: len(theirs)], theirs[: len(ours)], atol=1e-4)
    # The packets, with a lacing value each or more, are smaller than the file by its pages and headers.
    assert codes.num_bits / 8 < len(file.getvalue()) - 3000


@pytest.mark.parametrize("quality", QUALITIES)
def test_the_headers_do_not_depend_on_the_audio(quality: float, voice_16khz: np.ndarray) -> None:
    of_voice, _ = _packets(torch.from_numpy(voice_16khz)[None], quality)
    of_silence, _ = _packets(torch.zeros(1, 1), quality)
    assert of_voice == of_silence
    assert b"vorbis" in of_voice


def test_bitrate_and_closeness_rise_with_the_quality(voice_16khz: np.ndarray) -> None:
    audio = Audio.from_numpy(voice_16khz, 16000)
    rates_bps, errors = [], []
    for quality in QUALITIES:
        codec = Vorbis(quality=quality)
        codes = codec.encode(audio)
        rates_bps.append(codes.bitrate_bps)
        errors.append(float((codec.decode(codes).samples - audio.samples).square().mean()))
    assert rates_bps == sorted(rates_bps)
    assert errors == sorted(errors, reverse=True)
