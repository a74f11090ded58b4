"""EnCodec, against the model of transformers called directly, with small random weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import EncodecConfig, EncodecModel

from tokbench.audio import Audio
from tokbench.codecs.encodec import Encodec
from tokbench.codecs.registry import expand, load, one
from tokbench.errors import WeightsError, WeightsNotFoundError
from tokbench.testing import run_checks

BANDWIDTHS_KBPS = {"1.5kbps": 1.5, "3kbps": 3.0, "6kbps": 6.0, "12kbps": 12.0, "24kbps": 24.0}


@pytest.fixture(scope="module")
@torch.inference_mode()
def original() -> EncodecModel:
    """Return the published 24 kHz configuration with few filters; codebooks are zeros until they are drawn."""
    torch.manual_seed(0)
    config = EncodecConfig(num_filters=4, hidden_size=16, codebook_dim=16, num_lstm_layers=1)
    model = EncodecModel(config).eval()
    levels = torch.logspace(-3, 0, 48000)
    latents = model.encoder(levels * torch.randn(1, 1, 48000))[0].T
    for index, layer in enumerate(model.quantizer.layers):
        table = latents.std(dim=0) * torch.randn(1024, 16) / (1 + index)
        layer.codebook.embed.copy_(table + (latents.mean(dim=0) if index == 0 else 0))
    return model


@pytest.fixture(scope="module")
def folder(original: EncodecModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encodec")
    original.save_pretrained(path)
    return path


@pytest.fixture
def voice(voice_16khz: np.ndarray) -> Audio:
    return Audio.from_numpy(voice_16khz, 16000).resample(24000)


@pytest.mark.parametrize("setting", BANDWIDTHS_KBPS)
@pytest.mark.parametrize("num_samples", [24000, 12345, 320, 1])
def test_codes_and_audio_equal_those_of_the_original(
    setting: str, num_samples: int, original: EncodecModel, folder: Path, voice: Audio
) -> None:
    audio = Audio(voice.samples[:, :num_samples], 24000)
    codec = load(one(f"encodec:{setting}"), weights=folder)
    codes = codec.encode(audio)
    with torch.inference_mode():
        expected = original.encode(audio.samples[None], bandwidth=BANDWIDTHS_KBPS[setting])
        decoded = original.decode(expected.audio_codes, expected.audio_scales).audio_values[0]
    assert torch.equal(codes.streams[0].indices, expected.audio_codes[0, 0])
    assert codes.bitrate_bps == 1000 * BANDWIDTHS_KBPS[setting]
    torch.testing.assert_close(codec.decode(codes).samples, decoded[:, :num_samples], atol=1e-5, rtol=0)


def test_codes_are_not_all_the_same(folder: Path, voice: Audio) -> None:
    """The comparison with the original would mean little if the random model had one code."""
    indices = load(one("encodec"), weights=folder).encode(voice).streams[0].indices
    assert all(len(row.unique()) > 10 for row in indices)


def test_quantized_is_the_sum_of_the_chosen_codebooks(original: EncodecModel, folder: Path, voice: Audio) -> None:
    codec = load(one("encodec:3kbps"), weights=folder)
    codes = codec.encode(voice)
    indices = codes.streams[0].indices
    tables = [layer.codebook.embed for layer in original.quantizer.layers]
    for codebooks in (slice(None), slice(0, 1), slice(1, 3)):
        rows = list(zip(tables, indices, strict=False))[codebooks]
        expected = [[sum(float(t[i[f], d]) for t, i in rows) for d in range(3)] for f in range(5)]
        actual = codec.quantized(codes, codebooks).values[:5, :3]
        np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_latents_are_what_the_quantizer_gets(original: EncodecModel, folder: Path, voice: Audio) -> None:
    latents = load(one("encodec"), weights=folder).latents(voice)
    with torch.inference_mode():
        expected = original.encoder(voice.samples[None])[0].T
    torch.testing.assert_close(latents.values, expected)
    assert latents.frame_rate_hz == pytest.approx(75)


def test_every_setting_has_the_bitrate_of_its_name(folder: Path) -> None:
    for reference in expand("encodec:all"):
        info = load(reference, weights=folder).info
        assert info.bitrate_bps == 1000 * BANDWIDTHS_KBPS[info.setting]
        assert info.causal is True
        assert "audioset" in info.trained_on


def test_it_conforms(folder: Path) -> None:
    results = run_checks("encodec:6kbps", weights=folder, long_input_s=35.0)
    assert [result for result in results if result.status != "passed"] == []


def test_missing_weights_are_asked_for_in_one_sentence(tokbench_home: Path) -> None:
    wanted = r"no weights for encodec\. Download config\.json, model\.safetensors from facebook/encodec_24khz"
    with pytest.raises(WeightsNotFoundError, match=wanted) as caught:
        load(one("encodec"))
    assert str(tokbench_home / "weights" / "encodec_24khz") in str(caught.value)


def copied(folder: Path, to: Path) -> Path:
    for path in folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    return to


def test_a_truncated_file_is_named(folder: Path, tmp_path: Path) -> None:
    file = copied(folder, tmp_path) / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(WeightsError, match=r"model\.safetensors: expected the tensors of .* found .*[Ii]ncomplete"):
        Encodec(num_codebooks=8, weights=tmp_path)


def test_an_error_page_in_the_place_of_weights_is_named(folder: Path, tmp_path: Path) -> None:
    (copied(folder, tmp_path) / "model.safetensors").write_text("<html>not found</html>")
    with pytest.raises(WeightsError, match=r"model\.safetensors: expected the tensors of"):
        Encodec(num_codebooks=8, weights=tmp_path)


def test_weights_of_another_shape_are_refused(folder: Path, tmp_path: Path) -> None:
    EncodecConfig(num_filters=8, hidden_size=16, codebook_dim=16, num_lstm_layers=1).save_pretrained(
        copied(folder, tmp_path)
    )
    with pytest.raises(WeightsError, match=r"model\.safetensors: expected the tensors of"):
        Encodec(num_codebooks=8, weights=tmp_path)


def test_tensors_that_are_missing_are_not_drawn_at_random(
    original: EncodecModel, folder: Path, tmp_path: Path
) -> None:
    deeper = EncodecConfig(num_filters=4, hidden_size=16, codebook_dim=16, num_lstm_layers=2)
    deeper.save_pretrained(copied(folder, tmp_path))
    assert original.config.num_lstm_layers == 1
    with pytest.raises(WeightsError, match=r"found none for decoder\.layers\..*lstm"):
        Encodec(num_codebooks=8, weights=tmp_path)


def test_a_chunked_model_is_refused(folder: Path, tmp_path: Path) -> None:
    config = EncodecConfig(
        num_filters=4, hidden_size=16, codebook_dim=16, num_lstm_layers=1, chunk_length_s=1.0, overlap=0.01
    )
    config.save_pretrained(copied(folder, tmp_path))
    with pytest.raises(WeightsError, match="expected chunk_length_s null and normalize false, found a chunked"):
        Encodec(num_codebooks=8, weights=tmp_path)


def test_more_codebooks_than_the_model_has_are_refused(folder: Path) -> None:
    with pytest.raises(WeightsError, match=r"config\.json: expected 64 codebooks .* found 32"):
        Encodec(num_codebooks=64, weights=folder)
