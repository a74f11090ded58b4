"""X-Codec 2 and NeuCodec, against the models of transformers called directly, with small random weights."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import neucodec, xcodec2
from transformers import NeuCodecFeatureExtractor, Xcodec2FeatureExtractor

from tokbench.audio import Audio
from tokbench.codecs.base import Codec
from tokbench.codecs.neucodec import NeuCodec
from tokbench.codecs.registry import load, one
from tokbench.codecs.xcodec2 import Xcodec2
from tokbench.errors import WeightsError
from tokbench.testing import run_checks

HOP_HEARD = 320
CARDS = {
    "xcodec2": (xcodec2.model, Xcodec2FeatureExtractor, 16000),
    "neucodec": (neucodec.model, NeuCodecFeatureExtractor, 24000),
}


class Model:
    """A saved model of transformers with the card that describes it."""

    def __init__(self, name: str, folder: Path) -> None:
        make, extractor, self.sample_rate_hz = CARDS[name]
        self.name, self.folder, self.extractor = name, folder, extractor()
        self.original: Any = make()
        self.original.save_pretrained(folder)

    def codec(self) -> Codec:
        loaded = load(one(self.name), weights=self.folder)
        assert isinstance(loaded, Codec)
        return loaded

    def encode(self, audio: Audio) -> torch.Tensor:
        """Return the original's codes [1, F]."""
        num_heard = audio.num_samples * 16000 // self.sample_rate_hz
        heard = audio.resample(16000).samples[0, :num_heard]
        inputs = self.extractor(heard, sampling_rate=16000, return_tensors="pt")
        with torch.inference_mode():
            codes = self.original.encode(**inputs).audio_codes[0]
        assert isinstance(codes, torch.Tensor)
        return codes

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the original's audio [1, T] of its codes."""
        with torch.inference_mode():
            audio = self.original.decode(audio_codes=codes[None]).audio_values[0]
        assert isinstance(audio, torch.Tensor)
        return audio


@pytest.fixture(scope="module", params=CARDS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture
def voice(model: Model, voice_16khz: np.ndarray) -> Audio:
    return Audio.from_numpy(voice_16khz, 16000).resample(model.sample_rate_hz)


@pytest.mark.parametrize("num_samples", [30000, 12345, 963])
def test_codes_and_audio_equal_those_of_the_original(model: Model, voice: Audio, num_samples: int) -> None:
    audio = Audio(voice.samples[:, :num_samples], model.sample_rate_hz)
    codec = model.codec()
    codes, expected = codec.encode(audio), model.encode(audio)
    assert torch.equal(codes.streams[0].indices, expected)
    assert codes.bitrate_bps == 800
    decoded = model.decode(expected)[:, :num_samples]
    actual = codec.decode(codes).samples
    atol = 1e-5 * float(decoded.abs().max())
    torch.testing.assert_close(actual[:, : decoded.shape[1]], decoded, atol=atol, rtol=0)
    # NeuCodec has no code for a last frame that is not whole.
    assert num_samples - decoded.shape[1] < HOP_HEARD * model.sample_rate_hz // 16000
    assert float(actual[:, decoded.shape[1] :].abs().sum()) == 0


def test_a_batch_has_the_codes_of_each(model: Model, voice: Audio) -> None:
    audios = [Audio(voice.samples[:, :length], model.sample_rate_hz) for length in (9000, 4001, 16000)]
    for audio, codes in zip(audios, model.codec().encode_batch(audios), strict=True):
        assert torch.equal(codes.streams[0].indices, model.encode(audio))


def test_audio_shorter_than_a_frame_has_one_code(model: Model) -> None:
    codec = model.codec()
    for num_samples in (1, 100, 319):
        audio = Audio(0.1 * torch.ones(1, num_samples), model.sample_rate_hz)
        codes = codec.encode(audio)
        assert codes.streams[0].indices.shape == (1, 1)
        assert codec.decode(codes).num_samples == num_samples


def test_codes_are_not_all_the_same(model: Model, voice: Audio) -> None:
    """The comparison with the original would mean little if the random model had one code."""
    assert len(model.codec().encode(voice).streams[0].indices.unique()) > 50


def test_latents_are_what_the_quantizer_gets(model: Model, voice: Audio) -> None:
    kept: list[torch.Tensor] = []
    handle = model.original.quantizer.register_forward_pre_hook(lambda _module, inputs: kept.append(inputs[0][0]))
    model.encode(voice)
    handle.remove()
    torch.testing.assert_close(model.codec().latents(voice).values, kept[0])


def test_quantized_is_made_of_the_levels_of_the_code(model: Model, voice: Audio) -> None:
    codec = model.codec()
    codes = codec.encode(voice)
    quantized = codec.quantized(codes).values
    weight, bias = (value.detach() for value in model.original.quantizer.project_out.parameters())
    for frame in range(0, 100, 9):
        code = int(codes.streams[0].indices[0, frame])
        levels = [(code // 4**digit) % 4 for digit in range(8)]
        expected = weight @ torch.tensor([(level - 2) / 2 for level in levels]) + bias
        torch.testing.assert_close(quantized[frame], expected)


def test_it_conforms_on_long_audio(model: Model) -> None:
    results = run_checks(model.name, weights=model.folder, long_input_s=35.0)
    assert [result for result in results if result.status != "passed"] == []


def test_a_model_of_the_other_kind_is_refused(model: Model) -> None:
    other = NeuCodec if model.name == "xcodec2" else Xcodec2
    with pytest.raises(WeightsError, match=r"config\.json: expected the configuration of a model of type '\w+'"):
        other(weights=model.folder)


def test_weights_of_another_shape_are_refused(model: Model, tmp_path: Path) -> None:
    for path in model.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    file = tmp_path / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "intermediate_size": 24}))
    with pytest.raises(WeightsError, match=r"model\.safetensors: expected the tensors of .*Model"):
        load(one(model.name), weights=tmp_path)
