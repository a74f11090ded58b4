"""The balancer of losses: what each contributes to the gradient is its share of the weights, whatever its scale.

Source: Défossez et al. 2022, "EnCodec", arXiv:2210.13438, sec. 3.4, eq. 4, and ``encodec/balancer.py``.

Axes: ``B`` batch, ``T`` samples.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tokbench.models.processes import sum_over_processes_
from tokbench.specs import losses as specs

__all__ = ["GradientBalancer"]

_EPSILON = 1e-12
"""Added to a norm that divides: ``epsilon`` in ``encodec/balancer.py``."""


class GradientBalancer(nn.Module):
    """Balances the losses called ``weights``, of which some may begin late."""

    sums: Tensor
    counts: Tensor

    def __init__(self, spec: specs.Balancer, weights: Mapping[str, float]) -> None:
        super().__init__()
        self.spec, self.weights = spec, dict(weights)
        # Moving averages of norms are sums over counts, so that the first few are not drawn to 0.
        self.register_buffer("sums", torch.zeros(len(weights)))
        self.register_buffer("counts", torch.zeros(len(weights)))

    def forward(self, losses: Mapping[str, Tensor], audio: Tensor) -> Tensor:
        """Return a scalar whose gradient at ``audio`` [B, 1, T] is the balanced one.

        Each of the scalars ``losses`` depends on the networks through ``audio`` alone. The gradient g_i of loss i
        becomes R · λ_i / Σ λ · g_i / <||g_i||>, with the moving average of the norms of examples.
        """
        gradients = {
            name: torch.autograd.grad(loss, audio, retain_graph=True)[0].float() for name, loss in losses.items()
        }
        norms = self._averaged(
            {name: gradient.flatten(1).norm(dim=1).mean() for name, gradient in gradients.items()}
        )
        total_weight = sum(self.weights[name] for name in losses)
        balanced = torch.zeros_like(audio, dtype=torch.float32)
        for name, gradient in gradients.items():
            share = self.spec.total_norm * self.weights[name] / total_weight
            balanced += share / (_EPSILON + norms[name]) * gradient
        # The gradient of a product with a constant is the constant.
        return (audio * balanced).sum()

    def _averaged(self, norms: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the moving averages of ``norms``, which are first averaged over processes."""
        order = list(self.weights)
        present = torch.tensor([order.index(name) for name in norms], device=self.sums.device)
        # The last counts the processes.
        found = sum_over_processes_(torch.stack([*norms.values(), norms[next(iter(norms))].new_ones(())]).detach())
        decay = self.spec.decay
        self.sums[present] = decay * self.sums[present] + found[:-1] / found[-1]
        self.counts[present] = decay * self.counts[present] + 1
        averages = self.sums[present] / self.counts[present]
        return dict(zip(norms, averages.unbind(), strict=True))
