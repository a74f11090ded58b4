"""SpeechTokenizer, against the publisher's package with the same random weights."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from same_codes import expect_same_codes, holding
from speechtokenizer import SpeechTokenizer as Original
from tiny.speechtokenizer import CONFIG, published

from tokbench.audio import Audio
from tokbench.codecs.checkpoints import fold_weight_norms
from tokbench.codecs.registry import list_cards, load, one
from tokbench.codecs.speechtokenizer import SpeechTokenizer, rename
from tokbench.errors import WeightsError
from tokbench.models.seanet_codec import SeanetCodec
from tokbench.specs.networks import Seanet

CONFIG_FILE, CHECKPOINT = "speechtokenizer_hubert_avg/config.json", "speechtokenizer_hubert_avg/SpeechTokenizer.pt"
WIDE = {"n_filters": 64, "dimension": 1024, "semantic_dimension": 768}
"""Sizes of the published models, https://huggingface.co/fnlp/SpeechTokenizer."""
CARDS = {"speechtokenizer": "ELU", "speechtokenizer-snake": "Snake"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights")
    for name in CARDS:
        tiny.write(list_cards()[name], path)
    return path


def original(name: str) -> Any:
    return published({**CONFIG, "activation": CARDS[name]})


def codec(name: str, setting: str, home: Path) -> SpeechTokenizer:
    loaded = load(one(f"{name}:{setting}"), weights=home)
    assert isinstance(loaded, SpeechTokenizer)
    return loaded


@pytest.fixture
def voice(voice_16khz: np.ndarray) -> Audio:
    return Audio.from_numpy(voice_16khz, 16000)


@pytest.mark.parametrize("name", CARDS)
@pytest.mark.parametrize("num_samples", [32000, 12345, 320, 1])
def test_codes_and_audio_equal_those_of_the_original(name: str, num_samples: int, home: Path, voice: Audio) -> None:
    audio = Audio(voice.samples[:, :num_samples], 16000)
    with torch.inference_mode():
        expected = original(name).encode(audio.samples[None])[:, 0]
        for num_codebooks in range(1, 9):
            ours = codec(name, f"{num_codebooks}x1024", home)
            codes = ours.encode(audio)
            expect_same_codes(codes.streams[0].indices, expected[:num_codebooks])
            assert codes.bitrate_bps == 500 * num_codebooks
            decoded = original(name).decode(expected[:num_codebooks, None])[0, :, :num_samples]
            theirs = holding(codes, expected[:num_codebooks])
            torch.testing.assert_close(ours.decode(theirs).samples, decoded, atol=1e-5, rtol=0)


def test_a_batch_equals_that_of_the_original(home: Path, voice: Audio) -> None:
    audios = [Audio(voice.samples[:, start : start + 8000], 16000) for start in (0, 5000, 20000)]
    with torch.inference_mode():
        expected = original("speechtokenizer").encode(torch.stack([audio.samples for audio in audios]))
    actual = [codes.streams[0].indices for codes in codec("speechtokenizer", "8x1024", home).encode_batch(audios)]
    expect_same_codes(torch.stack(actual, dim=1).movedim(0, 1), expected.movedim(0, 1))


def test_codes_are_not_all_the_same(home: Path, voice: Audio) -> None:
    """The comparison with the original would mean little if the random model had one code."""
    indices = codec("speechtokenizer", "8x1024", home).encode(voice).streams[0].indices
    assert all(len(row.unique()) > 10 for row in indices)


def test_latents_and_quantized_are_those_of_the_original(home: Path, voice: Audio) -> None:
    ours, theirs = codec("speechtokenizer", "4x1024", home), original("speechtokenizer")
    codes = ours.encode(voice)
    with torch.inference_mode():
        torch.testing.assert_close(ours.latents(voice).values, theirs.encoder(voice.samples[None])[0].T)
        layers = theirs.forward_feature(voice.samples[None], layers=[1, 2])
    expected = sum(layer[0].T for layer in layers)
    torch.testing.assert_close(ours.quantized(codes, slice(1, 3)).values, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", CARDS)
def test_the_published_sizes_have_the_published_tensors(name: str) -> None:
    """Names and shapes alone: on the meta device nothing is computed."""
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        theirs = Original({**CONFIG, **WIDE, "activation": CARDS[name]})
        network = Seanet(num_filters=64, bidirectional=True, activation="snake" if "snake" in name else "elu")
        sizes = {"dimension": 1024, "strides": (2, 4, 5, 8), "num_codebooks": 8, "codebook_size": 1024}
        ours = SeanetCodec(network, **sizes)
    tensors = rename(fold_weight_norms(theirs.state_dict()))
    assert {key: value.shape for key, value in tensors.items()} == {
        key: value.shape for key, value in ours.state_dict().items()
    }
    assert list_cards()[name].num_parameters == sum(parameter.numel() for parameter in theirs.parameters())


def test_a_folder_with_the_bare_files_will_do(home: Path, tmp_path: Path, voice: Audio) -> None:
    for name in (CONFIG_FILE, CHECKPOINT):
        (tmp_path / Path(name).name).write_bytes((home / "speechtokenizer" / name).read_bytes())
    expected = codec("speechtokenizer", "2x1024", home).encode(voice)
    actual = codec("speechtokenizer", "2x1024", tmp_path).encode(voice)
    assert torch.equal(actual.streams[0].indices, expected.streams[0].indices)


def broken(home: Path, to: Path, config: dict[str, Any]) -> Path:
    """Copy the weights with some values of the configuration changed; None takes one away."""
    values = {key: value for key, value in {**CONFIG, **config}.items() if value is not None}
    (to / "config.json").write_text(json.dumps(values))
    (to / "SpeechTokenizer.pt").write_bytes((home / "speechtokenizer" / CHECKPOINT).read_bytes())
    return to


def make(weights: Path, num_codebooks: int = 8) -> SpeechTokenizer:
    return SpeechTokenizer(num_codebooks=num_codebooks, weights=weights, config=CONFIG_FILE, checkpoint=CHECKPOINT)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"strides": None}, r"config\.json: expected a value of strides, found none"),
        ({"strides": "8542"}, r"config\.json: expected strides as a list of integers, found '8542'"),
        ({"n_filters": "2"}, r"config\.json: expected n_filters of type int, found '2'"),
        ({"n_filters": True}, r"config\.json: expected n_filters of type int, found True"),
        ({"activation": "ReLU"}, r"config\.json: expected activation ELU or Snake, found ReLU"),
        ({"n_filters": 4}, r"SpeechTokenizer\.pt: expected the tensors of SeanetCodec, found .*instead of"),
        ({"n_q": 9}, r"SpeechTokenizer\.pt: expected the tensors of SeanetCodec, found no quantizer\.layers\.8"),
        ({"n_q": 7}, r"SpeechTokenizer\.pt: .*found an unknown quantizer\.layers\.7\.embed"),
        ({"activation": "Snake"}, r"SpeechTokenizer\.pt: .*found no decoder\.model\.10\.block\.0\.alpha"),
    ],
)
def test_a_configuration_that_does_not_fit_is_named(
    config: dict[str, Any], message: str, home: Path, tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match=message):
        make(broken(home, tmp_path, config))


def test_a_truncated_file_is_named(home: Path, tmp_path: Path) -> None:
    file = broken(home, tmp_path, {}) / "SpeechTokenizer.pt"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(WeightsError, match=r"SpeechTokenizer\.pt: expected a PyTorch checkpoint, found"):
        make(tmp_path)


def test_a_configuration_that_is_no_json_is_named(home: Path, tmp_path: Path) -> None:
    (broken(home, tmp_path, {}) / "config.json").write_text("<html>")
    with pytest.raises(WeightsError, match=r"config\.json: expected a JSON file, found Expecting value"):
        make(tmp_path)


def test_more_codebooks_than_the_model_has_are_refused(home: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"config\.json: expected 9 codebooks \(n_q\), found 8"):
        make(broken(home, tmp_path, {}), num_codebooks=9)


def test_long_audio_in_pieces_has_the_codes_and_samples_of_the_whole(home: Path, voice: Audio) -> None:
    whole, pieces = (codec("speechtokenizer", "4x1024", home) for _ in range(2))
    pieces.chunk_s = 0.4
    codes = whole.encode(voice)
    expect_same_codes(pieces.encode(voice).streams[0].indices, codes.streams[0].indices)
    torch.testing.assert_close(pieces.decode(codes).samples, whole.decode(codes).samples, atol=1e-6, rtol=1e-5)
