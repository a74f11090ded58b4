"""The balancer against its formula, in plain numbers."""

import math
import multiprocessing
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
import torch
from loss_processes import NUM_PROCESSES, balanced
from torch import Tensor, nn

from tokbench.specs.losses import Balancer
from tokbench.training.balancer import GradientBalancer


class Reference:
    """EnCodec, section 3.4, eq. 4, one loss after the other."""

    def __init__(self, weights: Mapping[str, float], decay: float, total_norm: float) -> None:
        self.weights, self.decay, self.total_norm = weights, decay, total_norm
        self.sums: dict[str, float] = {}
        self.counts: dict[str, float] = {}

    def __call__(self, gradients: Mapping[str, list[list[float]]]) -> list[list[float]]:
        first = next(iter(gradients.values()))
        balanced = [[0.0] * len(row) for row in first]
        weight_of_all = sum(self.weights[name] for name in gradients)
        for name, rows in gradients.items():
            norm = sum(math.sqrt(sum(value**2 for value in row)) for row in rows) / len(rows)
            self.sums[name] = self.decay * self.sums.get(name, 0.0) + norm
            self.counts[name] = self.decay * self.counts.get(name, 0.0) + 1
            average = self.sums[name] / self.counts[name]
            factor = self.total_norm * self.weights[name] / weight_of_all / average
            for index, row in enumerate(rows):
                for place, value in enumerate(row):
                    balanced[index][place] += factor * value
        return balanced


def losses_of(audio: Tensor, wanted: Tensor) -> dict[str, Tensor]:
    return {"small": (audio - wanted).abs().mean(), "large": 50 * (audio - wanted).square().sum()}


def test_gradients_are_those_of_the_formula_while_a_loss_begins_late() -> None:
    torch.manual_seed(0)
    weights = {"small": 1.0, "large": 3.0, "late": 0.5}
    balancer = GradientBalancer(Balancer(decay=0.9, total_norm=2.0), weights)
    reference = Reference(weights, 0.9, 2.0)
    for step in range(4):
        audio, wanted = torch.randn(3, 1, 20, requires_grad=True), torch.randn(3, 1, 20)
        losses = losses_of(audio, wanted)
        if step >= 2:
            losses["late"] = (audio * wanted).mean()
        gradients = {
            name: torch.autograd.grad(loss, audio, retain_graph=True)[0].squeeze(1).tolist()
            for name, loss in losses.items()
        }
        (found,) = torch.autograd.grad(balancer(losses, audio), audio)
        torch.testing.assert_close(found.squeeze(1), torch.tensor(reference(gradients)), atol=1e-6, rtol=1e-4)


def test_opposite_losses_of_equal_weight_cancel_whatever_their_scale() -> None:
    audio = torch.zeros(1, 1, 1, requires_grad=True)
    losses = {"up": (audio - 1).abs().sum(), "down": 100 * (audio + 1).abs().sum()}
    (gradient,) = torch.autograd.grad(GradientBalancer(Balancer(), {"up": 1, "down": 1})(losses, audio), audio)
    assert gradient.item() == pytest.approx(0.0, abs=1e-6)


def test_a_lone_loss_has_the_norm_that_is_declared() -> None:
    audio = torch.randn(1, 1, 30, requires_grad=True)
    balancer = GradientBalancer(Balancer(total_norm=5.0), {"one": 0.1, "other": 7.0})
    (gradient,) = torch.autograd.grad(balancer({"one": audio.pow(3).sum()}, audio), audio)
    assert float(gradient.norm()) == pytest.approx(5.0, rel=1e-5)


def test_gradients_reach_the_network_beside_those_of_other_losses() -> None:
    torch.manual_seed(0)
    network = nn.Linear(4, 4)
    inputs, wanted = torch.randn(2, 1, 4), torch.randn(2, 1, 4)
    balancer = GradientBalancer(Balancer(), {"small": 1.0, "large": 1.0})
    audio = network(inputs)
    penalty = network.weight.square().sum()
    total = balancer(losses_of(audio, wanted), audio) + penalty
    total.backward()
    at_audio = torch.autograd.grad(
        GradientBalancer(Balancer(), balancer.weights)(losses_of(audio, wanted), audio), audio, retain_graph=True
    )[0]
    expected = torch.einsum("bco,bci->oi", at_audio, inputs) + 2 * network.weight.detach()
    assert network.weight.grad is not None
    torch.testing.assert_close(network.weight.grad, expected)


def test_averages_are_saved_and_resumed() -> None:
    torch.manual_seed(0)
    weights = {"small": 1.0, "large": 1.0}
    first, second = (GradientBalancer(Balancer(decay=0.5), weights) for _ in range(2))
    audio, wanted = torch.randn(1, 1, 8, requires_grad=True), torch.randn(1, 1, 8)
    first(losses_of(audio, wanted), audio)
    second.load_state_dict(first.state_dict())
    later = 3 * audio
    gradients = [
        torch.autograd.grad(each(losses_of(later, wanted), later), later, retain_graph=True)[0]
        for each in (first, second)
    ]
    torch.testing.assert_close(*gradients, atol=0, rtol=0)


def test_processes_share_the_norms_and_not_the_gradients(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(NUM_PROCESSES, mp_context=context) as pool:
        found = list(pool.map(balanced, range(NUM_PROCESSES), [str(tmp_path)] * NUM_PROCESSES))
    # Mean norms of 1 and 2 are 1.5, and 4.5 in the second step: its average is (0.5 · 1.5 + 4.5) / 1.5 = 3.5.
    for rank, (gradients, sums) in enumerate(found):
        assert sums == pytest.approx([0.5 * 1.5 + 4.5, 0.5 * 4 + 4])
        assert gradients == pytest.approx(
            [0.25 * (1 + rank) / 1.5 + 0.75, 0.25 * 3 * (1 + rank) / 3.5 + 0.75], rel=1e-5
        )
