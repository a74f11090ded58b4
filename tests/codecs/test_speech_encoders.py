"""Speech encoders against transformers called directly, and the number of their frames."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import speech_encoders as tiny
from transformers import AutoFeatureExtractor, AutoModel, PreTrainedModel

from tokbench.codecs.card import Card, WeightsSource
from tokbench.codecs.registry import list_cards, load, one
from tokbench.codecs.speech_encoders import load_speech_encoder
from tokbench.codecs.ssl_features import SslFeatures
from tokbench.errors import WeightsError

FEATURES = {name: card for name, card in list_cards().items() if card.adapter.endswith(":SslFeatures")}
NUM_LAYERS = 3


def saved(card: Card, home: Path) -> tuple[PreTrainedModel, Path]:
    """Save a model of three layers for ``card`` and return it with its folder."""
    assert card.weights is not None
    return tiny.save(card.weights, home, num_layers=NUM_LAYERS), home / card.weights.folder


@pytest.fixture(scope="module")
def hubert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(FEATURES["hubert-base-features"], tmp_path_factory.mktemp("weights"))[1]


@torch.inference_mode()
def hidden_states(model: PreTrainedModel, folder: Path, samples: np.ndarray) -> list[np.ndarray]:
    """Return [F, D] of each layer, as a user of transformers gets them, without masked frames."""
    inputs = AutoFeatureExtractor.from_pretrained(folder)(samples, sampling_rate=16000, return_tensors="pt")
    states = model(**inputs, output_hidden_states=True).hidden_states
    num_frames = int(inputs["attention_mask"].sum()) if "input_features" in inputs else states[0].shape[1]
    return [state[0, :num_frames].numpy() for state in states]


def described(folder: Path, model_type: str) -> None:
    """Say in the folder which feature extractor it is about, as a release does."""
    file = folder / "preprocessor_config.json"
    kind = "SeamlessM4TFeatureExtractor" if model_type == "wav2vec2-bert" else "Wav2Vec2FeatureExtractor"
    file.write_text(json.dumps({**json.loads(file.read_text()), "feature_extractor_type": kind}))


@pytest.mark.parametrize("name", FEATURES)
def test_layers_equal_the_hidden_states_of_transformers(name: str, tmp_path: Path, voice_16khz: np.ndarray) -> None:
    model, folder = saved(FEATURES[name], tmp_path)
    described(folder, model.config.model_type)
    expected = hidden_states(model, folder, voice_16khz)
    assert len(expected) == NUM_LAYERS + 1
    for layer, states in enumerate(expected):
        encoder, rate_hz = load_speech_encoder(folder, layer=layer)
        assert rate_hz == 16000
        with torch.inference_mode():
            actual = encoder(torch.from_numpy(voice_16khz)[None])
        np.testing.assert_allclose(actual.numpy(), states, atol=5e-5, rtol=1e-4)
        assert states.std() > 0.02
    # Each layer is another one: the comparison could tell them apart.
    assert all(np.abs(a - b).max() > 0.01 for a, b in itertools.pairwise(expected))


@pytest.mark.parametrize("name", ["hubert-base-features", "wavlm-large-features", "w2v-bert-2-features"])
def test_the_mean_is_that_of_all_hidden_states(name: str, tmp_path: Path, voice_16khz: np.ndarray) -> None:
    model, folder = saved(FEATURES[name], tmp_path)
    described(folder, model.config.model_type)
    expected = np.mean(hidden_states(model, folder, voice_16khz), axis=0)
    encoder, _ = load_speech_encoder(folder, layer="mean")
    with torch.inference_mode():
        actual = encoder(torch.from_numpy(voice_16khz)[None]).numpy()
    np.testing.assert_allclose(actual, expected, atol=5e-5, rtol=1e-4)


def test_a_batch_is_what_each_example_is_alone(hubert: Path, voice_16khz: np.ndarray) -> None:
    """With other means and variances, which are each example's own."""
    encoder, _ = load_speech_encoder(hubert, layer=2)
    voice = torch.from_numpy(voice_16khz)[:8000]
    batch = torch.stack([voice, 0.1 * voice.flip(0) + 0.3])[:, None]
    with torch.inference_mode():
        together = encoder.features(batch)
        alone = torch.stack([encoder(samples) for samples in batch])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
    assert (together[0] - together[1]).abs().max() > 0.1


def test_a_released_checkpoint_is_what_transformers_loads_from_it(tmp_path: Path, voice_16khz: np.ndarray) -> None:
    """Old names, a prefix and a head are understood as transformers understands them."""
    _, folder = saved(FEATURES["wav2vec2-base-features"], tmp_path)
    assert [path.name for path in sorted(folder.iterdir())][-1] == "pytorch_model.bin"
    described(folder, "wav2vec2")
    reference = AutoModel.from_pretrained(folder, use_safetensors=False).eval()
    expected = hidden_states(reference, folder, voice_16khz)[2]
    encoder, _ = load_speech_encoder(folder, layer=2)
    with torch.inference_mode():
        actual = encoder(torch.from_numpy(voice_16khz)[None]).numpy()
    np.testing.assert_allclose(actual, expected, atol=5e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["hubert-base-features", "mhubert-25hz-features", "w2v-bert-2-features"])
def test_every_length_has_a_frame_per_hop_or_one_less(name: str, tmp_path: Path) -> None:
    _, folder = saved(FEATURES[name], tmp_path)
    encoder, _ = load_speech_encoder(folder, layer=1)
    hop = encoder.hop_length
    assert hop == (640 if name == "mhubert-25hz-features" else 320)
    lengths = [1, 79, hop, 400, 5 * hop, 5 * hop + 1, 5 * hop + 79, 5 * hop + 80, 6 * hop - 1, 6 * hop, 16000]
    for num_samples in lengths:
        with torch.inference_mode():
            frames = encoder(0.1 * torch.randn(1, num_samples))
        hops = num_samples / hop
        assert max(hops - 1, 1) <= len(frames) <= max(hops, 1), num_samples
        assert bool(torch.isfinite(frames).all())


def test_only_audio_that_would_lose_a_frame_is_padded(hubert: Path) -> None:
    """A second has 49 frames as everywhere else; of 16001 samples, transformers' 49 would be one too few."""
    encoder, _ = load_speech_encoder(hubert, layer=1)
    samples = 0.1 * torch.randn(1, 16400)
    with torch.inference_mode():
        assert [len(encoder(samples[:, :length])) for length in (16000, 16001, 16080, 16320)] == [49, 50, 50, 50]
        whole = encoder(samples[:, :16079])
        zeros = torch.nn.functional.pad(samples[:, :16079], (0, 1))
    assert encoder.normalize
    variance, mean = torch.var_mean(samples[:, :16079], correction=0)
    encoder.normalize = False
    with torch.inference_mode():
        padded = (zeros - mean) / torch.sqrt(variance + 1e-7)
        padded[:, -1] = 0
        torch.testing.assert_close(whole, encoder(padded))


def test_a_margin_moves_the_frames(hubert: Path, voice_16khz: np.ndarray) -> None:
    """Half of what the receptive field exceeds the hop by, at either end, gives a frame for each whole hop."""
    samples = torch.from_numpy(voice_16khz)[None]
    plain, _ = load_speech_encoder(hubert, layer=1, normalize=False)
    moved, _ = load_speech_encoder(hubert, layer=1, normalize=False, margin=40)
    with torch.inference_mode():
        torch.testing.assert_close(moved(samples), plain(torch.nn.functional.pad(samples, (40, 40))))
        lengths = {length: len(moved(samples[:, :length])) for length in (1, 319, 320, 639, 640, 16000, 16319)}
    assert lengths == {1: 1, 319: 1, 320: 1, 639: 1, 640: 2, 16000: 50, 16319: 50}


def test_a_card_may_overrule_the_preprocessor(hubert: Path, voice_16khz: np.ndarray) -> None:
    samples = torch.from_numpy(voice_16khz)[None]
    frames = {}
    for normalize in (None, True, False):
        encoder, _ = load_speech_encoder(hubert, layer=2, normalize=normalize)
        with torch.inference_mode():
            frames[normalize] = encoder(0.01 * samples)
    torch.testing.assert_close(frames[None], frames[True])
    assert (frames[None] - frames[False]).abs().max() > 0.01


def test_blocks_beyond_the_layer_are_dropped(hubert: Path) -> None:
    sizes = [SslFeatures(layer=layer, weights=hubert).info.num_parameters for layer in range(NUM_LAYERS + 1)]
    steps = np.diff(sizes)
    assert steps.min() == steps.max() > 0


def test_the_registry_loads_a_layer_by_its_name(tokbench_home: Path) -> None:
    card = FEATURES["hubert-base-features"]
    assert card.weights is not None
    tiny.save(card.weights, tokbench_home / "weights", num_layers=12)
    tokenizer = load(one("hubert-base-features:l6"))
    assert isinstance(tokenizer, SslFeatures)
    assert len(tokenizer.encoder.model.encoder.layers) == 6
    assert tokenizer.info.latency_s == float("inf")


def copied(folder: Path, to: Path) -> Path:
    for path in folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    return to


def test_a_layer_that_the_model_does_not_have_is_named(hubert: Path) -> None:
    with pytest.raises(WeightsError, match=r"config\.json: expected at least 4 layers .* found 3"):
        load_speech_encoder(hubert, layer=4)


def test_a_truncated_file_is_named(hubert: Path, tmp_path: Path) -> None:
    file = copied(hubert, tmp_path) / "pytorch_model.bin"
    file.write_bytes(file.read_bytes()[:-2000])
    with pytest.raises(WeightsError, match=r"pytorch_model\.bin: expected a PyTorch checkpoint"):
        load_speech_encoder(tmp_path, layer=1)


def test_weights_of_another_model_are_named(hubert: Path, tmp_path: Path) -> None:
    config = copied(hubert, tmp_path) / "config.json"
    config.write_text(config.read_text().replace('"intermediate_size": 16', '"intermediate_size": 24'))
    with pytest.raises(WeightsError, match=r"expected the tensors of HubertModel, found .*of shape"):
        load_speech_encoder(tmp_path, layer=1)


def test_missing_and_unknown_tensors_are_named(hubert: Path, tmp_path: Path) -> None:
    file = copied(hubert, tmp_path) / "pytorch_model.bin"
    tensors = torch.load(file, weights_only=True)
    tensors["mystery.weight"] = tensors.pop("feature_projection.projection.bias")
    torch.save(tensors, file)
    with pytest.raises(WeightsError, match=r"no feature_projection\.projection\.bias; an unknown mystery\.weight"):
        load_speech_encoder(tmp_path, layer=1)


@pytest.mark.parametrize(
    ("file", "text", "problem"),
    [
        (
            "config.json",
            '{"model_type": "bert"}',
            r"config\.json: expected .* hubert or wavlm .* found one of type 'bert'",
        ),
        ("config.json", "<html>", r"config\.json: expected the configuration"),
        ("preprocessor_config.json", "[]", r"preprocessor_config\.json: expected .* found a list"),
        ("preprocessor_config.json", "{}", r"preprocessor_config\.json: expected .* found sampling_rate None"),
    ],
)
def test_wrong_configurations_are_named(file: str, text: str, problem: str, hubert: Path, tmp_path: Path) -> None:
    (copied(hubert, tmp_path) / file).write_text(text)
    with pytest.raises(WeightsError, match=problem):
        load_speech_encoder(tmp_path, layer=1)


def test_every_source_that_is_shared_is_the_same_in_each_card() -> None:
    """Cards of one model name one folder: what is downloaded for one of them is there for all."""
    sources: dict[str, WeightsSource] = {}
    for card in list_cards().values():
        if card.adapter.startswith("tokbench.codecs.ssl_"):
            source = card.weights or card.parts["model"]
            assert sources.setdefault(source.folder, source) == source, card.name
    assert len(sources) == len(FEATURES)
