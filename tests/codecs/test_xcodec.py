"""X-Codec, against the model of transformers called directly, with small random weights."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from same_codes import expect_same_codes, holding
from tiny import higgs_audio, xcodec
from transformers import DacFeatureExtractor, PreTrainedModel

from tokbench.audio import Audio
from tokbench.codecs.base import Codec
from tokbench.codecs.higgs_audio import HiggsAudio
from tokbench.codecs.registry import expand, load, one
from tokbench.codecs.xcodec import Xcodec
from tokbench.errors import WeightsError
from tokbench.testing import run_checks

BANDWIDTHS_KBPS = {"0.5kbps": 0.5, "1kbps": 1, "1.5kbps": 1.5, "2kbps": 2, "4kbps": 4}
CARDS = {
    "xcodec-hubert-librispeech": (lambda: xcodec.model("hubert"), 16000, tuple(BANDWIDTHS_KBPS)),
    "xcodec-wavlm-mls": (lambda: xcodec.model("wavlm"), 16000, tuple(BANDWIDTHS_KBPS)),
    "higgs-audio-v2": (higgs_audio.model, 24000, ("0.5kbps", "1kbps", "1.5kbps", "2kbps")),
}


class Model:
    """A saved model of transformers with the card that describes it."""

    def __init__(self, name: str, folder: Path) -> None:
        make, self.sample_rate_hz, self.settings = CARDS[name]
        self.name, self.folder = name, folder
        self.original: PreTrainedModel = make()
        self.original.save_pretrained(folder)

    def codec(self, setting: str) -> Codec:
        loaded = load(one(f"{self.name}:{setting}"), weights=self.folder)
        assert isinstance(loaded, Codec)
        return loaded

    def prepared(self, samples: torch.Tensor) -> torch.Tensor:
        """Return [1, 1, T] as the published feature extractor makes it."""
        hop_length = self.original.config.hop_length
        extractor = DacFeatureExtractor(sampling_rate=self.sample_rate_hz, hop_length=hop_length)
        made = extractor(samples[0].numpy(), sampling_rate=self.sample_rate_hz, return_tensors="pt")
        values = made["input_values"]
        assert isinstance(values, torch.Tensor)
        return values


@pytest.fixture(scope="module", params=CARDS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture
def voice(model: Model, voice_16khz: np.ndarray) -> Audio:
    return Audio.from_numpy(voice_16khz, 16000).resample(model.sample_rate_hz)


@pytest.mark.parametrize("num_samples", [24000, 12345, 960, 1])
def test_codes_and_audio_equal_those_of_the_original(model: Model, voice: Audio, num_samples: int) -> None:
    audio = Audio(voice.samples[:, :num_samples], model.sample_rate_hz)
    for setting in model.settings:
        codec = model.codec(setting)
        codes = codec.encode(audio)
        with torch.inference_mode():
            expected = model.original.encode(model.prepared(audio.samples), bandwidth=BANDWIDTHS_KBPS[setting])
            decoded = model.original.decode(expected.audio_codes).audio_values[0][:, :num_samples]
        expect_same_codes(codes.streams[0].indices, expected.audio_codes[0])
        assert codes.bitrate_bps == 1000 * BANDWIDTHS_KBPS[setting]
        loudest = float(decoded.abs().max())
        torch.testing.assert_close(
            codec.decode(holding(codes, expected.audio_codes[0])).samples, decoded, atol=1e-5 * loudest, rtol=0
        )


def test_a_batch_has_the_codes_of_each(model: Model, voice: Audio) -> None:
    codec = model.codec("2kbps")
    audios = [Audio(voice.samples[:, :length], model.sample_rate_hz) for length in (9000, 4001, 16000)]
    for audio, codes in zip(audios, codec.encode_batch(audios), strict=True):
        expected = model.original.encode(model.prepared(audio.samples), bandwidth=2).audio_codes[0]
        expect_same_codes(codes.streams[0].indices, expected)


def test_codes_are_not_all_the_same(model: Model, voice: Audio) -> None:
    """The comparison with the original would mean little if the random model had one code."""
    indices = model.codec("2kbps").encode(voice).streams[0].indices
    assert all(len(row.unique()) > 10 for row in indices)


def test_latents_are_what_the_quantizer_gets(model: Model, voice: Audio) -> None:
    latents = model.codec("2kbps").latents(voice).values
    kept: list[torch.Tensor] = []
    handle = model.original.fc.register_forward_hook(lambda _module, _inputs, output: kept.append(output[0]))
    with torch.inference_mode():
        model.original.encode(model.prepared(voice.samples))
    handle.remove()
    torch.testing.assert_close(latents, kept[0])


def test_quantized_is_the_sum_of_the_chosen_codebooks(model: Model, voice: Audio) -> None:
    codec = model.codec("2kbps")
    codes = codec.encode(voice)
    layers = model.original.quantizer.quantizers
    for codebooks in (slice(None), slice(0, 1), slice(1, 3)):
        rows = list(zip(layers, codes.streams[0].indices, strict=False))[codebooks]
        with torch.inference_mode():
            tables = [getattr(layer, "project_out", torch.nn.Identity())(layer.codebook.embed) for layer, _ in rows]
        for frame in range(3):
            expected = sum(table[row[frame]] for table, (_, row) in zip(tables, rows, strict=True))
            torch.testing.assert_close(codec.quantized(codes, codebooks).values[frame], expected)


def test_every_setting_has_the_bitrate_of_its_name(model: Model) -> None:
    for reference in expand(f"{model.name}:all"):
        info = load(reference, weights=model.folder).info
        assert info.bitrate_bps == 1000 * BANDWIDTHS_KBPS[info.setting]
        assert info.causal is False


def test_the_convolutions_give_in_pieces_what_they_give_whole(model: Model, voice: Audio) -> None:
    audio = Audio(voice.samples.repeat(1, 2), model.sample_rate_hz)
    whole, pieces = model.codec("2kbps"), model.codec("2kbps")
    pieces.chunk_s = 0.3
    torch.testing.assert_close(pieces.latents(audio).values, whole.latents(audio).values, atol=1e-5, rtol=0)
    codes = whole.encode(audio)
    expected = whole.decode(codes).samples
    atol = 1e-5 * float(expected.abs().max())
    torch.testing.assert_close(pieces.decode(codes).samples, expected, atol=atol, rtol=0)


def test_it_conforms_on_long_audio(model: Model) -> None:
    results = run_checks(f"{model.name}:2kbps", weights=model.folder, long_input_s=35.0)
    assert [result for result in results if result.status != "passed"] == []


def test_more_codebooks_than_the_model_has_are_refused(model: Model) -> None:
    adapter = HiggsAudio if model.name.startswith("higgs") else Xcodec
    with pytest.raises(WeightsError, match=r"config\.json: expected 9 codebooks .* found 8"):
        adapter(num_codebooks=9, weights=model.folder)


def test_a_model_of_another_kind_is_refused(model: Model) -> None:
    other = Xcodec if model.name.startswith("higgs") else HiggsAudio
    with pytest.raises(WeightsError, match=r"config\.json: expected the configuration of a model of type '\w+'"):
        other(num_codebooks=8, weights=model.folder)


def test_a_truncated_file_is_named(model: Model, tmp_path: Path) -> None:
    for path in model.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes()[:-100])
    config = json.loads((model.folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match=r"model\.safetensors: expected the tensors of .*Model"):
        load(one(model.name), weights=tmp_path)
