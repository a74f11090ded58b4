"""The model of codes against the one of the encodec package, with the same weights."""

import functools
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from encodec.model import LMModel

from tokbench.models.code_lm import CodeLm, CodeVectors, Tables, previous_codes
from tokbench.specs.entropy_coding import EntropyCoding

TRAINING = {"num_steps": 1, "batch_size": 1, "crop_s": 1.0, "optimizer": {"learning_rate": 1e-3}}
SIZES = {"num_layers": 2, "num_heads": 4, "dimension": 24, "feedforward_dimension": 96}
CONTEXT = 7


def spec(**changes: Any) -> EntropyCoding:
    return EntropyCoding.model_validate({"training": TRAINING, **SIZES, **changes})


def model(**changes: Any) -> CodeLm:
    return CodeLm(
        spec(context_s=CONTEXT / 50), num_codebooks=3, codebook_size=11, frame_rate_hz=50.0, **changes
    ).eval()


def draw_codes(num_frames: int, *, num_codebooks: int = 3) -> torch.Tensor:
    return torch.randint(11, (2, num_codebooks, num_frames), generator=torch.Generator().manual_seed(0))


def converted(original: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the original's tensors by our names."""
    names = {
        "self_attn.in_proj_": "projections.",
        "self_attn.out_proj": "output",
        "linear1": "expansion",
        "linear2": "contraction",
        "norm1": "attention_norm",
        "norm2": "feedforward_norm",
        "transformer.layers": "layers",
        "transformer.norm_in": "input_norm",
    }
    tensors = {}
    for name, tensor in original.items():
        own = functools.reduce(lambda text, pair: text.replace(*pair), names.items(), name)
        tensors[own] = tensor
    tables = sorted(name for name in tensors if name.startswith("emb."))
    heads = sorted(name for name in tensors if name.startswith("linears."))
    inputs = torch.cat([tensors.pop(name) for name in tables])
    outputs = {
        kind: torch.cat([tensors.pop(name) for name in heads if name.endswith(kind)]) for kind in ("weight", "bias")
    }
    return tensors | {
        "vocabulary.inputs.weight": inputs,
        "vocabulary.outputs.weight": outputs["weight"],
        "vocabulary.outputs.bias": outputs["bias"],
    }


@pytest.fixture
def original() -> LMModel:
    return LMModel(n_q=3, card=11, dim=24, num_heads=4, num_layers=2, past_context=CONTEXT).eval()


@torch.inference_mode()
@pytest.mark.parametrize("num_codebooks", [1, 3])
def test_probabilities_equal_the_originals_beyond_the_context(original: LMModel, num_codebooks: int) -> None:
    ours = model()
    ours.load_state_dict(converted(original.state_dict()))
    codes = draw_codes(3 * CONTEXT, num_codebooks=num_codebooks)
    previous = previous_codes(codes)
    expected, _, _ = original(previous + 1)
    torch.testing.assert_close(ours(previous).softmax(dim=-1).permute(0, 3, 1, 2), expected, atol=1e-6, rtol=1e-5)


@torch.inference_mode()
def test_probabilities_equal_the_originals_frame_by_frame(original: LMModel) -> None:
    ours = model()
    ours.load_state_dict(converted(original.state_dict()))
    past, states, offset = ours.begin(2), None, 0
    for frame in previous_codes(draw_codes(3 * CONTEXT)).split(1, dim=2):
        expected, states, offset = original(frame + 1, states, offset)
        actual = ours(frame, past).softmax(dim=-1).permute(0, 3, 1, 2)
        torch.testing.assert_close(actual, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("num_codebooks", "millions"), [(32, 15.56), (16, 8.99)])
def test_the_published_sizes_have_the_published_number_of_parameters(num_codebooks: int, millions: float) -> None:
    published = EntropyCoding.model_validate({"training": TRAINING})
    with torch.device("meta"):
        ours = CodeLm(published, num_codebooks=num_codebooks, codebook_size=1024, frame_rate_hz=75.0)
        original = LMModel(n_q=num_codebooks, card=1024, dim=200, num_layers=5)
    num_parameters = sum(parameter.numel() for parameter in ours.parameters())
    assert num_parameters == sum(parameter.numel() for parameter in original.parameters())
    assert round(num_parameters / 1e6, 2) == millions
    assert ours.context == 262


@torch.inference_mode()
@pytest.mark.parametrize("lengths", [[1] * 30, [4, 9, 1, 16], [30]])
@pytest.mark.parametrize("vectors", [None, torch.randn(3, 11, 5, generator=torch.Generator().manual_seed(1))])
def test_parts_equal_the_whole(lengths: list[int], vectors: torch.Tensor | None) -> None:
    ours = model(vectors=vectors).double()
    previous = previous_codes(draw_codes(30))
    if isinstance(ours.vocabulary, CodeVectors):
        torch.nn.init.normal_(ours.vocabulary.outputs)
    past = ours.begin(2)
    parts = [ours(part, past) for part in previous.split(lengths, dim=2)]
    torch.testing.assert_close(torch.cat(parts, dim=2), ours(previous))


@torch.inference_mode()
def test_a_frame_depends_on_the_context_and_on_nothing_else() -> None:
    ours = CodeLm(spec(num_layers=1, context_s=CONTEXT / 50), num_codebooks=3, codebook_size=11, frame_rate_hz=50.0)
    previous = previous_codes(draw_codes(20))
    changed = previous.clone()
    changed[:, :, 5] = (changed[:, :, 5] + 1) % 11
    differs = (ours(previous) != ours(changed)).flatten(0, 1).any(dim=-1).any(dim=0)
    assert differs.nonzero()[:, 0].tolist() == list(range(5, 5 + CONTEXT + 1))


def test_an_offset_is_a_later_place() -> None:
    ours = model()
    previous = previous_codes(draw_codes(4))
    with torch.inference_mode():
        both = ours(previous, offset=torch.tensor([0, 100]))
        torch.testing.assert_close(both[0], ours(previous)[0])
        torch.testing.assert_close(both[1], ours(previous, offset=100)[1])
        assert not torch.allclose(both[1], ours(previous)[1])


def test_code_vectors_need_no_weights_per_code_but_a_bias() -> None:
    vectors = torch.randn(3, 11, 5)
    ours = model(vectors=vectors)
    names = dict(ours.vocabulary.named_parameters())
    assert {name: tuple(values.shape) for name, values in names.items()} == {
        "inputs": (3, 5, 24),
        "start": (24,),
        "outputs": (3, 24, 5),
        "biases": (3, 11),
    }
    assert "vocabulary.vectors" not in ours.state_dict()


@pytest.mark.parametrize("vectors", [None, torch.randn(3, 11, 5, generator=torch.Generator().manual_seed(1))])
def test_before_it_learns_it_may_know_how_common_codes_are(vectors: torch.Tensor | None) -> None:
    ours, counts = model(vectors=vectors), torch.randint(0, 50, (3, 11), generator=torch.Generator().manual_seed(2))
    if isinstance(ours.vocabulary, Tables):
        torch.nn.init.zeros_(ours.vocabulary.outputs.weight)
    ours.know_frequencies_(counts)
    with torch.inference_mode():
        probabilities = ours(previous_codes(draw_codes(4))).softmax(dim=-1)
    for codebook in range(3):
        expected = (counts[codebook] + 1.0) / (counts[codebook].sum() + 11)
        torch.testing.assert_close(probabilities[1, codebook, 3], expected)


def test_equal_vectors_are_equally_probable() -> None:
    """And others are not, once something has been learnt; before, all codes are."""
    vectors = torch.randn(3, 11, 5)
    vectors[1, 4] = vectors[1, 9]
    ours, previous = model(vectors=vectors), previous_codes(draw_codes(6))
    with torch.no_grad():
        assert float(ours(previous).abs().max()) == 0
        torch.nn.init.normal_(ours.vocabulary.outputs)
        logits = ours(previous)
    torch.testing.assert_close(logits[:, 1, :, 4], logits[:, 1, :, 9])
    assert not torch.allclose(logits[:, 1, :, 4], logits[:, 1, :, 5])


def test_heads_that_do_not_divide_the_dimension_are_refused() -> None:
    with pytest.raises(ValueError, match=r"dimension \(24\) is not even and a multiple of num_heads \(5\)"):
        spec(num_heads=5)
