"""Mimi, against the model of transformers called directly, with small random weights."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from same_codes import expect_same_codes, holding
from tiny.mimi import CONFIG, model
from torch import Tensor
from transformers import MimiConfig, MimiModel

from tokbench.audio import Audio
from tokbench.codecs.mimi import Mimi
from tokbench.codecs.registry import list_cards, load, one
from tokbench.errors import WeightsError, WeightsNotFoundError

SETTINGS = list(list_cards()["mimi"].settings)

pytestmark = pytest.mark.usefixtures("two_threads")


@pytest.fixture(scope="module")
def original() -> MimiModel:
    return model(MimiConfig(**CONFIG))


@pytest.fixture(scope="module")
def folder(original: MimiModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mimi")
    original.save_pretrained(path)
    return path


def sound(duration_s: float, seed: int = 0) -> Audio:
    """Return noise that swells and fades."""
    time_s = np.arange(max(round(duration_s * 24000), 1)) / 24000
    noise = np.random.default_rng(seed).standard_normal(len(time_s))
    return Audio.from_numpy(0.3 * np.abs(np.sin(1.7 * time_s + 0.3)) * noise, 24000)


@torch.inference_mode()
def by_transformers(network: MimiModel, audio: Audio, num_codebooks: int) -> tuple[Tensor, Tensor]:
    """Return codes [K, F] and samples [C, T]."""
    indices = network.encode(audio.samples[None], num_quantizers=num_codebooks).audio_codes
    return indices[0], network.decode(indices).audio_values[0, :, : audio.num_samples]


@pytest.mark.parametrize("setting", SETTINGS)
def test_codes_and_audio_equal_those_of_the_original(setting: str, original: MimiModel, folder: Path) -> None:
    codec = load(one(f"mimi:{setting}"), weights=folder)
    for duration_s in (0.00004, 0.013, 0.5, 2.3):
        audio = sound(duration_s)
        codes = codec.encode(audio)
        indices, samples = by_transformers(original, audio, int(setting.partition("x")[0]))
        expect_same_codes(torch.cat([stream.indices for stream in codes.streams]), indices)
        torch.testing.assert_close(codec.decode(holding(codes, indices)).samples, samples, atol=1e-5, rtol=0)


def test_a_batch_gives_what_the_original_gives_one_by_one(original: MimiModel, folder: Path) -> None:
    codec = load(one("mimi"), weights=folder)
    audios = [sound(duration_s, seed=seed) for seed, duration_s in enumerate((1.0, 0.37, 1.8))]
    for audio, codes in zip(audios, codec.encode_batch(audios), strict=True):
        joined = torch.cat([stream.indices for stream in codes.streams])
        expect_same_codes(joined, by_transformers(original, audio, 8)[0])


def test_codes_are_not_all_the_same(folder: Path) -> None:
    """The comparison with the original would mean little if the random model had one code."""
    streams = load(one("mimi"), weights=folder).encode(sound(8.0)).streams
    assert all(len(row.unique()) > 10 for stream in streams for row in stream.indices)


def test_the_semantic_codebook_is_a_stream_of_its_own(folder: Path) -> None:
    streams = {
        setting: load(one(f"mimi:{setting}"), weights=folder).info.streams for setting in ("1x2048", "8x2048")
    }
    assert [(stream.name, stream.num_codebooks) for stream in streams["1x2048"]] == [("semantic", 1)]
    assert [(stream.name, stream.num_codebooks) for stream in streams["8x2048"]] == [
        ("semantic", 1),
        ("acoustic", 7),
    ]


# Long audio


def test_pieces_give_what_the_whole_gives(folder: Path) -> None:
    """Up to rounding: attention over other lengths sums in another order."""
    whole = load(one("mimi"), weights=folder)
    pieces = copy.copy(whole)
    whole.chunk_s, pieces.chunk_s = 1000.0, 0.7
    audio = sound(25.03)
    expected = whole.latents(audio).values
    torch.testing.assert_close(pieces.latents(audio).values, expected, atol=1e-5, rtol=1e-4)
    codes = whole.encode(audio)
    same = [
        ours.indices == theirs.indices
        for ours, theirs in zip(pieces.encode(audio).streams, codes.streams, strict=True)
    ]
    assert float(torch.cat(same).float().mean()) > 0.999
    torch.testing.assert_close(pieces.decode(codes).samples, whole.decode(codes).samples, atol=1e-5, rtol=0)


def test_a_piece_depends_on_what_was_before_it(folder: Path) -> None:
    """Else the test above would not show that anything is handed on."""
    codec = load(one("mimi"), weights=folder)
    codec.chunk_s = 0.7
    audio = sound(3.0)
    changed = audio.samples.clone()
    changed[:, :12000] = 0
    difference = codec.latents(audio).values - codec.latents(Audio(changed, 24000)).values
    assert float(difference[20:].abs().max()) > 1e-4


def test_neither_convolutions_nor_attention_see_more_than_a_piece_and_its_past(folder: Path) -> None:
    """What bounds the memory for an hour: the longest input of any layer."""
    codec = load(one("mimi"), weights=folder)
    convolved, attended = 0, 0

    def watch(_: object, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal convolved
        convolved = max(convolved, inputs[0].shape[-1], output.shape[-1])

    def watch_attention(_: object, __: object, keywords: dict, ___: object) -> None:
        nonlocal attended
        mask = keywords.get("attention_mask")
        attended = max(attended, 0 if mask is None else mask.shape[-1])

    for name, layer in codec.model.named_modules():
        if isinstance(layer, torch.nn.Conv1d | torch.nn.ConvTranspose1d):
            layer.register_forward_hook(watch)
        elif name.endswith("self_attn"):
            layer.register_forward_hook(watch_attention, with_kwargs=True)
    codec.decode(codec.encode(sound(60.0)))
    assert convolved < 10 * 24000
    assert 0 < attended < 25 * 10 + 250


# What goes into and out of the quantizers


@torch.inference_mode()
def test_quantized_is_the_sum_of_the_chosen_codebooks(original: MimiModel, folder: Path) -> None:
    codec = load(one("mimi:4x2048"), weights=folder)
    codes = codec.encode(sound(0.8))
    quantizer = original.quantizer
    semantic, acoustic = quantizer.semantic_residual_vector_quantizer, quantizer.acoustic_residual_vector_quantizer
    rows = torch.cat([stream.indices for stream in codes.streams])
    layers = [semantic.layers[0], *acoustic.layers[:3]]
    projections = [semantic.output_proj.weight, *[acoustic.output_proj.weight] * 3]
    each = [
        layer.codebook.embed[row] @ projection[:, :, 0].T
        for layer, row, projection in zip(layers, rows, projections, strict=True)
    ]
    for codebooks in (slice(None), slice(0, 1), slice(1, 3), slice(1, None)):
        expected = torch.stack(each[codebooks]).sum(dim=0)
        torch.testing.assert_close(codec.quantized(codes, codebooks).values, expected, atol=1e-5, rtol=1e-5)


def test_latents_are_what_the_quantizers_get(original: MimiModel, folder: Path) -> None:
    audio = sound(1.3)
    with torch.inference_mode():
        expected = original.encoder(audio.samples[None]).latents[0].T
    torch.testing.assert_close(load(one("mimi"), weights=folder).latents(audio).values, expected, atol=1e-6, rtol=0)


def test_moving_it_computes_its_codebooks_again(folder: Path) -> None:
    codec = load(one("mimi"), weights=folder)
    codes = codec.encode(sound(0.3))
    assert torch.equal(codec.to("cpu").encode(sound(0.3)).streams[1].indices, codes.streams[1].indices)
    codec.to("meta")
    embed = codec.model.quantizer.acoustic_residual_vector_quantizer.layers[0].codebook.embed
    assert embed.device.type == "meta"


# The card


def test_the_number_of_parameters_is_that_of_the_published_model() -> None:
    with torch.device("meta"):
        network = MimiModel(MimiConfig())
    assert sum(parameter.numel() for parameter in network.parameters()) == list_cards()["mimi"].num_parameters


# Files that are not what they should be


def copied(folder: Path, to: Path) -> Path:
    for path in folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    return to


@pytest.mark.usefixtures("tokbench_home")
def test_missing_weights_are_asked_for_in_one_sentence() -> None:
    with pytest.raises(WeightsNotFoundError, match=r"Download config\.json, model\.safetensors from kyutai/mimi"):
        load(one("mimi"))


@pytest.mark.parametrize("name", ["downsample.conv.weight", "decoder.layers.0.conv.bias"])
def test_a_missing_tensor_is_named(name: str, folder: Path, tmp_path: Path) -> None:
    file = copied(folder, tmp_path) / "model.safetensors"
    tensors = load_file(file)
    del tensors[name]
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"model\.safetensors: .* found none for "):
        Mimi(num_codebooks=8, weights=tmp_path)


def test_an_unknown_tensor_is_named(folder: Path, tmp_path: Path) -> None:
    file = copied(folder, tmp_path) / "model.safetensors"
    save_file({**load_file(file), "extra.weight": torch.zeros(1)}, file, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"model\.safetensors: .* found also extra\.weight"):
        Mimi(num_codebooks=8, weights=tmp_path)


def test_weights_of_another_shape_are_refused(folder: Path, tmp_path: Path) -> None:
    file = copied(folder, tmp_path) / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "num_filters": 4}))
    with pytest.raises(WeightsError, match=r"model\.safetensors: expected the tensors of the MimiModel"):
        Mimi(num_codebooks=8, weights=tmp_path)


def test_more_codebooks_than_the_model_has_are_refused(folder: Path) -> None:
    with pytest.raises(WeightsError, match=r"config\.json: expected 33 codebooks .* found 32"):
        Mimi(num_codebooks=33, weights=folder)
