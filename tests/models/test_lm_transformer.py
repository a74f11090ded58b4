"""The Transformer of language models, against those of transformers and against loops."""

import math

import pytest
import torch
from torch import Tensor
from transformers import OPTConfig, OPTModel
from transformers.models.t5.modeling_t5 import T5Attention

from tokbench.models.code_lm import sinusoids
from tokbench.models.lm_transformer import LmTransformer, Memory, Reading, RelativeBias, Stack
from tokbench.specs.lm_networks import Blocks, LmNetwork

SIZES = {"num_layers": 2, "num_heads": 4, "dimension": 32, "feedforward_dimension": 64}


def network(**keys: object) -> LmNetwork:
    return LmNetwork.model_validate({**SIZES, "context": 40, **keys})


def reading(batch_size: int, num_steps: int, **keys: object) -> Reading:
    positions = torch.arange(num_steps).expand(batch_size, -1)
    return Reading(positions, torch.ones(batch_size, num_steps, dtype=torch.bool), **keys)  # type: ignore[arg-type]


@pytest.mark.parametrize("is_both_ways", [True, False])
def test_buckets_of_distances_are_those_of_t5(*, is_both_ways: bool) -> None:
    distances = torch.arange(-300, 301)
    expected = T5Attention._relative_position_bucket(distances, bidirectional=is_both_ways, num_buckets=32)
    bias = RelativeBias(2, is_both_ways=is_both_ways)
    assert torch.equal(bias.buckets(distances), expected)
    with torch.no_grad():
        found = bias(torch.tensor([[300], [0]]), torch.stack([torch.arange(601), torch.arange(-300, 301)]))
        assert torch.equal(found[:, :, 0], bias.biases(expected).T.expand(2, -1, -1))
        one = bias(torch.zeros(3, 1, dtype=torch.int64), distances.expand(3, -1))
    assert torch.equal(one, found[:1]), "positions that all rows share are looked up once"


@torch.no_grad()
def test_it_is_opt_with_the_weights_of_opt() -> None:
    torch.manual_seed(0)
    config = OPTConfig(
        vocab_size=50,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        ffn_dim=64,
        word_embed_proj_dim=32,
        max_position_embeddings=40,
        dropout=0.0,
    )
    opt = OPTModel(config).eval()
    for parameter in opt.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    own = LmTransformer(network(activation="relu", positions="learned")).eval()
    tensors = opt.decoder.state_dict()
    assert own.places is not None
    own.places.weight.copy_(tensors["embed_positions.weight"][2:])  # OPT leaves out the first two
    for index, layer in enumerate(own.stack.layers):
        theirs = {
            name.removeprefix(f"layers.{index}."): tensor
            for name, tensor in tensors.items()
            if name.startswith(f"layers.{index}.")
        }
        for kind in ("weight", "bias"):
            inputs = [theirs[f"self_attn.{name}_proj.{kind}"] for name in "qkv"]
            getattr(layer.attention.inputs, kind).copy_(torch.cat(inputs))
            getattr(layer.attention.output, kind).copy_(theirs[f"self_attn.out_proj.{kind}"])
            getattr(layer.attention_norm.norm, kind).copy_(theirs[f"self_attn_layer_norm.{kind}"])
            getattr(layer.feedforward_norm.norm, kind).copy_(theirs[f"final_layer_norm.{kind}"])
            getattr(layer.feedforward.widen, kind).copy_(theirs[f"fc1.{kind}"])
            getattr(layer.feedforward.narrow, kind).copy_(theirs[f"fc2.{kind}"])
    for kind in ("weight", "bias"):
        getattr(own.stack.norm.norm, kind).copy_(tensors[f"final_layer_norm.{kind}"])
    symbols = torch.randint(50, (3, 11))
    expected = opt(symbols).last_hidden_state
    found = own(opt.decoder.embed_tokens(symbols), reading(3, 11))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_level_scales_and_shifts_what_is_normalized() -> None:
    """a · LN(h) + b with the a and b of the level (VALL-E), for each feature of each step by hand."""
    torch.manual_seed(0)
    stack = Stack(Blocks.model_validate({**SIZES, "num_layers": 1}), num_levels=3)
    norm = stack.norm
    for parameter in norm.parameters():
        torch.nn.init.normal_(parameter)
    values = torch.randn(1, 2, 32)
    for level in range(3):
        found = norm(values, level)
        scale, shift = list(norm.parameters())
        for step in range(2):
            row = values[0, step].tolist()
            mean = sum(row) / 32
            deviation = math.sqrt(sum((value - mean) ** 2 for value in row) / 32 + 1e-6)
            for feature in range(32):
                expected = float(scale[level, feature]) * (row[feature] - mean) / deviation + float(
                    shift[level, feature]
                )
                assert float(found[0, step, feature]) == pytest.approx(expected, abs=1e-4)


@torch.no_grad()
def test_prompts_are_keys_and_values_that_all_steps_see() -> None:
    """One layer of attention by hand: softmax over the prompts and the steps up to one's own."""
    torch.manual_seed(0)
    own = LmTransformer(network(num_layers=1, positions="sinusoidal"), num_prompts=3).eval()
    (layer,) = own.stack.layers
    values = torch.randn(1, 5, 32)
    placed = own._placed(values, torch.arange(5)[None], 1)
    normed = layer.attention_norm(placed, 0)[0]
    queries, keys, vectors = layer.attention.inputs(normed).chunk(3, dim=1)
    assert layer.prompts is not None
    keys, vectors = torch.cat([layer.prompts[0], keys]), torch.cat([layer.prompts[1], vectors])
    mixed = torch.zeros(5, 32)
    for head in range(4):
        part = slice(8 * head, 8 * head + 8)
        for step in range(5):
            seen = 3 + step + 1
            scores = torch.stack([queries[step, part] @ keys[key, part] for key in range(seen)]) / math.sqrt(8)
            mixed[step, part] = scores.softmax(dim=0) @ vectors[:seen, part]
    attended = placed[0] + layer.attention.output(mixed)
    expected = own.stack.norm(attended + layer.feedforward(layer.feedforward_norm(attended, 0)), 0)
    torch.testing.assert_close(own(values, reading(1, 5))[0], expected, atol=1e-5, rtol=1e-4)


CASES = {
    "causal": {},
    "both ways": {"is_both_ways": True},
    "prefix": {"num_open": torch.tensor([3, 2])},
}


@pytest.mark.parametrize("positions", ["rotary", "sinusoidal", "learned", "relative"])
@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_what_fills_a_batch_changes_nothing(name: str, positions: str) -> None:
    torch.manual_seed(0)
    keys, is_both_ways = CASES[name], name == "both ways"
    spec = network(positions=positions, convolution=3 if is_both_ways else None)
    own = LmTransformer(spec, is_both_ways=is_both_ways, has_memory=True).eval()
    values, memory = torch.randn(2, 7, 32), torch.randn(2, 4, 32)
    lengths, sizes = torch.tensor([7, 5]), torch.tensor([2, 4])
    is_there, is_kept = torch.arange(7) < lengths[:, None], torch.arange(4) < sizes[:, None]
    both = Reading(torch.arange(7).expand(2, -1), is_there, memory=Memory(memory, is_kept), **keys)  # type: ignore[arg-type]
    together = own(values, both)
    for row, (length, size) in enumerate(zip(lengths.tolist(), sizes.tolist(), strict=True)):
        one = {key: value[row : row + 1] if isinstance(value, Tensor) else value for key, value in keys.items()}
        own_memory = Memory(memory[row : row + 1, :size], torch.ones(1, size, dtype=torch.bool))
        alone = own(values[row : row + 1, :length], reading(1, length, memory=own_memory, **one))
        torch.testing.assert_close(together[row, :length], alone[0], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_towers_with_the_same_input_are_the_same_and_hear_each_other() -> None:
    torch.manual_seed(0)
    own = LmTransformer(network(towers=2, cross_layers=1)).eval()
    values = torch.randn(2, 6, 32)  # one example, two towers
    first, second = own(values, reading(1, 6))
    swapped = own(values.flip(0), reading(1, 6))
    torch.testing.assert_close(swapped, torch.stack([second, first]))
    other = values.clone()
    other[1, 3] += 1
    changed = (own(other, reading(1, 6))[0] != first).any(dim=1)
    assert changed.tolist() == [False] * 3 + [True] * 3


def test_positions_in_half_precision_are_the_exact_ones_rounded() -> None:
    """There is no whole number above 256 in bfloat16 that is not a multiple of 2, or of more."""
    places = torch.arange(400)
    exact = sinusoids(places, torch.zeros(16))
    found = sinusoids(places, torch.zeros(16, dtype=torch.bfloat16))
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, exact.bfloat16())
