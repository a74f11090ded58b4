"""How a symbol is chosen by what is thought of each.

Axes: ``V`` symbols.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from tokbench.specs.lm import Sampling

__all__ = ["chosen", "drawn", "guided", "probabilities", "temperature"]


def temperature(sampling: Sampling, row: int) -> float:
    """Return that of the codebook ``row``."""
    return sampling.temperature[min(row, len(sampling.temperature) - 1)]


def guided(with_inputs: Tensor, without: Tensor, scale: float) -> Tensor:
    """Return logits [..., V] beyond those ``with_inputs``, away from those ``without`` (Ho and Salimans 2022).

    At a ``scale`` of 1 they are those with inputs; MusicGen's is 3.
    """
    return without + scale * (with_inputs - without)


def probabilities(logits: Tensor, sampling: Sampling, row: int = 0) -> Tensor:
    """Return [..., V], the probability of each symbol to be drawn, of ``logits`` [..., V].

    Of the likeliest symbols there remain ``top_k``, and of those as few as have ``top_p`` together (Holtzman et al.
    2020, arXiv:1904.09751). Ties are broken by the order of symbols.
    """
    heat = temperature(sampling, row)
    if heat == 0:
        best = logits.argmax(dim=-1, keepdim=True)
        return torch.zeros_like(logits).scatter_(-1, best, 1.0)
    heated = logits.double() / heat
    if sampling.top_k is not None and sampling.top_k < heated.shape[-1]:
        heated = heated.masked_fill(~_among_first(heated, sampling.top_k), -torch.inf)
    chances = heated.softmax(dim=-1)
    if sampling.top_p < 1:
        _, order = heated.sort(dim=-1, descending=True, stable=True)
        ordered = chances.gather(-1, order)
        is_over = ordered.cumsum(dim=-1) - ordered >= sampling.top_p
        chances = chances.masked_fill(torch.zeros_like(is_over).scatter_(-1, order, is_over), 0.0)
        chances = chances / chances.sum(dim=-1, keepdim=True)
    return chances.to(logits.dtype)


def _among_first(values: Tensor, number: int) -> Tensor:
    """Return bool [..., V], which of ``values`` [..., V] are the ``number`` largest; of equal ones, the first.

    A full sort would take most of the time in which codes are written.
    """
    least = values.topk(number, dim=-1).values[..., -1:]
    above, equal = values > least, values == least
    return above | (equal & (equal.cumsum(dim=-1) <= number - above.sum(dim=-1, keepdim=True)))


def drawn(chances: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """Return int64 [N], a symbol by each row of probabilities [N, V], each by a generator of its own.

    What is drawn for one so does not depend on what else is in the batch.
    """
    uniform = torch.stack([torch.rand((), generator=generator, dtype=torch.float64) for generator in generators])
    sums = chances.double().cumsum(dim=-1)
    # Scaled to the sum, which rounding leaves near 1: a symbol without probability is never drawn.
    places = uniform.to(sums.device)[:, None] * sums[:, -1:]
    return torch.searchsorted(sums, places, right=True)[:, 0].clamp_max(chances.shape[-1] - 1)


def chosen(logits: Tensor, sampling: Sampling, row: int, generators: Sequence[torch.Generator]) -> Tensor:
    """Return int64 [N], a symbol of the codebook ``row`` by each of ``logits`` [N, V]: drawn, or the likeliest."""
    if temperature(sampling, row) == 0:
        return logits.argmax(dim=-1)
    return drawn(probabilities(logits, sampling, row), generators)
