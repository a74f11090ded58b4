"""Pocket TTS and VibeVoice, against the models of transformers called directly, with small random weights."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import pocket_tts, vibevoice
from transformers import EncodecFeatureExtractor, VibeVoiceAcousticTokenizerFeatureExtractor

from tokbench.audio import Audio
from tokbench.codecs.base import ContinuousTokenizer
from tokbench.codecs.pocket_tts import PocketTts
from tokbench.codecs.registry import load, one
from tokbench.errors import NotSupportedError, WeightsError
from tokbench.testing import run_checks

RATE_HZ = 24000


def pocket_inputs(samples: np.ndarray, hop_length: int) -> Any:
    padded = np.pad(samples, (0, -len(samples) % hop_length))
    return EncodecFeatureExtractor(sampling_rate=RATE_HZ)(padded, sampling_rate=RATE_HZ, return_tensors="pt")


def vibevoice_inputs(samples: np.ndarray, hop_length: int) -> Any:
    return VibeVoiceAcousticTokenizerFeatureExtractor()(
        samples, sampling_rate=RATE_HZ, pad_to_multiple_of=hop_length
    )


CARDS: dict[str, tuple[Callable[[], Any], Callable[[np.ndarray, int], Any], dict[str, bool], int, int]] = {
    "pocket-tts": (pocket_tts.model, pocket_inputs, {}, 1920, 32),
    "vibevoice-acoustic": (vibevoice.model, vibevoice_inputs, {"sample": False}, 3200, 64),
}


class Model:
    """A saved model of transformers with the card that describes it."""

    def __init__(self, name: str, folder: Path) -> None:
        make, self.inputs, self.options, self.hop_length, self.num_features = CARDS[name]
        self.name, self.folder, self.original = name, folder, make()
        self.original.save_pretrained(folder)

    def tokenizer(self) -> ContinuousTokenizer:
        loaded = load(one(self.name), weights=self.folder)
        assert isinstance(loaded, ContinuousTokenizer)
        return loaded

    def latents(self, audio: Audio) -> torch.Tensor:
        """Return the original's latents [F, D]."""
        inputs = self.inputs(audio.samples[0].numpy(), self.hop_length)
        with torch.inference_mode():
            latents = self.original.encode(inputs["input_values"], **self.options).latents[0]
        assert isinstance(latents, torch.Tensor)
        return latents


@pytest.fixture(scope="module", params=CARDS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture
def voice(voice_16khz: np.ndarray) -> Audio:
    return Audio.from_numpy(voice_16khz, 16000).resample(RATE_HZ)


@pytest.mark.parametrize("num_samples", [48000, 12345, 3200, 1])
def test_latents_equal_those_of_the_original(model: Model, voice: Audio, num_samples: int) -> None:
    audio = Audio(voice.samples[:, :num_samples], RATE_HZ)
    latents = model.tokenizer().latents(audio)
    assert latents.values.shape == (-(-num_samples // model.hop_length), model.num_features)
    torch.testing.assert_close(latents.values, model.latents(audio), atol=1e-5, rtol=0)


def test_latents_are_not_all_the_same(model: Model, voice: Audio) -> None:
    """The comparison with the original would mean little if the random model did not hear."""
    assert float(model.tokenizer().latents(voice).values.std(dim=0).min()) > 0.01


def test_latents_in_pieces_are_those_of_the_whole(model: Model, voice: Audio) -> None:
    audio = Audio(voice.samples.repeat(1, 7)[:, :-100], RATE_HZ)
    pieces = model.tokenizer()
    pieces.chunk_s = 1.0
    torch.testing.assert_close(pieces.latents(audio).values, model.latents(audio), atol=2e-5, rtol=0)


def test_the_context_is_as_long_as_it_must_be(model: Model) -> None:
    """A change of audio is heard as far away as the context says, within two frames, and no further."""
    tokenizer = copy.copy(model.tokenizer())
    tokenizer.model = copy.deepcopy(tokenizer.model).double()  # what comes from the farthest frames is small
    assert tokenizer.context is not None
    before = tokenizer.context.encode_before
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(1, (before + 6) * model.hop_length, generator=generator, dtype=torch.float64) - 0.5
    changed = torch.cat([-noise[:, : 3 * model.hop_length], noise[:, 3 * model.hop_length :]], dim=1)
    with torch.inference_mode():
        differs = (tokenizer._latents(noise) != tokenizer._latents(changed)).any(dim=1).nonzero()[:, 0]
    assert before <= int(differs.max()) <= before + 2
    assert int(differs.min()) == 0


def test_no_latent_depends_on_later_audio(model: Model) -> None:
    """That holds for the network; the loudness that VibeVoice sets is that of the whole."""
    tokenizer = model.tokenizer()
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(1, 12 * model.hop_length, generator=generator) - 0.5
    changed = torch.cat([noise[:, : 6 * model.hop_length], -noise[:, 6 * model.hop_length :]], dim=1)
    with torch.inference_mode():
        first, second = tokenizer._latents(noise), tokenizer._latents(changed)
    torch.testing.assert_close(first[:6], second[:6], atol=1e-6, rtol=0)
    assert not torch.allclose(first[6], second[6], atol=1e-2)


def test_there_are_no_codes(model: Model, voice: Audio) -> None:
    tokenizer = model.tokenizer()
    assert tokenizer.info.bitrate_bps is None
    with pytest.raises(NotSupportedError, match="codes"):
        tokenizer.encode(voice)


def test_it_conforms_on_long_audio(model: Model) -> None:
    results = run_checks(model.name, weights=model.folder, long_input_s=35.0)
    assert [result for result in results if result.status == "failed"] == []


def test_a_truncated_file_is_named(model: Model, tmp_path: Path) -> None:
    for path in model.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(WeightsError, match=r"model\.safetensors: expected the tensors of .*Model"):
        load(one(model.name), weights=tmp_path)


def test_a_decoder_alone_is_refused(tmp_path: Path) -> None:
    model = pocket_tts.model()
    model.encoder = None
    model.save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "encoder_config": None}))
    with pytest.raises(
        WeightsError, match=r"config\.json: expected a model with an encoder, found a decoder alone"
    ):
        PocketTts(weights=tmp_path)
