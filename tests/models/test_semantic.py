"""Semantic units beside codes: the three formulas of FunCodec, written out."""

import pytest
import torch
from torch.nn import functional

from tokbench.models.semantic import SemanticUnits
from tokbench.specs.semantic import Semantic

B, D, F = 2, 6, 10


def build(combination: str) -> SemanticUnits:
    torch.manual_seed(0)
    return SemanticUnits(Semantic(combination=combination, units=("x",), num_units=5), D)


@pytest.mark.parametrize("combination", ["concat", "add", "residual"])
def test_combinations_are_those_of_the_paper(combination: str) -> None:
    """Section 2.4, with rounding in the place of the quantizer Q."""
    semantic, units = build(combination), torch.randint(5, (B, F))
    acoustic = torch.randn(B, D, F)
    vectors = torch.stack([semantic.embedding.weight[row].T for row in units])
    actual = semantic.combined(semantic.removed(acoustic, units).round(), units)
    if combination == "concat":
        both = torch.cat([acoustic.round(), vectors], dim=1)
        expected = functional.conv1d(both, semantic.both.weight, semantic.both.bias, padding=1)
    else:
        expected = {
            "add": acoustic.round() + vectors,
            "residual": (acoustic - vectors).round() + vectors,
        }[combination]
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("combination", ["concat", "add", "residual"])
def test_units_learn_through_what_is_decoded(combination: str) -> None:
    """Where what was removed is added again, gradients cancel: only commitment teaches them."""
    semantic, units = build(combination), torch.randint(4, (B, F))
    inner = semantic.removed(torch.randn(B, D, F), units)
    quantized = inner + (inner.round() - inner).detach()
    semantic.combined(quantized, units).square().sum().backward()
    gradient = semantic.embedding.weight.grad
    assert gradient is not None
    assert (gradient[:4].abs().max() > 1e-3) == (combination != "residual")
    assert not gradient[4].any()


def test_units_beyond_the_last_frame_are_left_out() -> None:
    semantic, units = build("residual"), torch.randint(5, (B, F + 1))
    acoustic = torch.randn(B, D, F)
    assert semantic.combined(acoustic, units).shape == acoustic.shape
    torch.testing.assert_close(semantic.removed(acoustic, units), semantic.removed(acoustic, units[:, :F]))


def test_a_codec_with_units_wants_them() -> None:
    with pytest.raises(ValueError, match="is given semantic units"):
        build("add").combined(torch.zeros(B, D, F), None)
    with pytest.raises(ValueError, match="num_units is known when"):
        SemanticUnits(Semantic(combination="add", units=("x",)), D)
