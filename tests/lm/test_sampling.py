"""How symbols are chosen, against loops and against transformers."""

import pytest
import torch
from transformers import TopKLogitsWarper, TopPLogitsWarper

from tokbench.lm.sampling import chosen, drawn, guided, probabilities
from tokbench.specs.lm import Sampling


def logits(seed: int = 0) -> torch.Tensor:
    return 3 * torch.randn(5, 12, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("top_p", [0.1, 0.5, 0.9, 0.999])
def test_top_p_is_that_of_transformers(top_p: float) -> None:
    expected = TopPLogitsWarper(top_p)(torch.empty(5, 0), logits()).softmax(dim=-1)
    torch.testing.assert_close(probabilities(logits(), Sampling(top_p=top_p)), expected)


@pytest.mark.parametrize("top_k", [1, 3, 12, 40])
def test_top_k_is_that_of_transformers(top_k: int) -> None:
    expected = TopKLogitsWarper(top_k)(torch.empty(5, 0), logits()).softmax(dim=-1)
    torch.testing.assert_close(probabilities(logits(), Sampling(top_k=top_k)), expected)


def test_top_p_keeps_as_few_as_have_so_much_together() -> None:
    found = probabilities(torch.tensor([0.5, 0.3, 0.15, 0.05]).log(), Sampling(top_p=0.8))
    torch.testing.assert_close(found, torch.tensor([0.625, 0.375, 0.0, 0.0]))
    found = probabilities(torch.tensor([0.5, 0.3, 0.15, 0.05]).log(), Sampling(top_p=0.81))
    assert int((found > 0).sum()) == 3


def test_temperature_divides_logits_and_each_codebook_has_its_own() -> None:
    sampling = Sampling(temperature=(0.5, 0.0))
    torch.testing.assert_close(probabilities(logits(), sampling, 0), (logits() / 0.5).softmax(dim=-1))
    assert torch.equal(probabilities(logits(), sampling, 1).argmax(dim=-1), logits().argmax(dim=-1))
    assert torch.equal(probabilities(logits(), sampling, 7), probabilities(logits(), sampling, 1))


def test_guidance_goes_on_from_the_prediction_without_inputs() -> None:
    one, other = logits(1), logits(2)
    torch.testing.assert_close(guided(one, other, 1.0), one)
    torch.testing.assert_close(guided(one, other, 0.0), other)
    torch.testing.assert_close(guided(one, other, 3.0), 3 * one - 2 * other)


def test_symbols_come_as_often_as_they_are_probable() -> None:
    chances = torch.tensor([0.5, 0.0, 0.3, 0.2])
    generator = torch.Generator().manual_seed(0)
    found = drawn(chances.expand(20_000, -1), [generator] * 20_000)
    shares = torch.bincount(found, minlength=4) / len(found)
    assert float((shares - chances).abs().max()) < 0.012
    assert float(shares[1]) == 0.0


def test_what_is_drawn_does_not_depend_on_the_batch() -> None:
    chances = logits().softmax(dim=-1)
    together = drawn(chances, [torch.Generator().manual_seed(seed) for seed in range(5)])
    alone = [int(drawn(chances[row : row + 1], [torch.Generator().manual_seed(row)])) for row in range(5)]
    assert together.tolist() == alone


def test_the_likeliest_is_chosen_at_temperature_0_and_else_there_is_a_draw() -> None:
    def generators() -> list[torch.Generator]:
        return [torch.Generator().manual_seed(seed) for seed in range(5)]

    sampling = Sampling(temperature=(0.0, 2.0), top_k=4)
    assert torch.equal(chosen(logits(), sampling, 0, generators()), logits().argmax(dim=1))
    expected = drawn(probabilities(logits(), sampling, 1), generators())
    assert torch.equal(chosen(logits(), sampling, 1, generators()), expected)
    assert not torch.equal(expected, logits().argmax(dim=1))
