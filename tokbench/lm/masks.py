"""What is hidden of codes that are filled in in parallel, in training and while they are decided.

Borsos et al. 2023 (SoundStorm, arXiv:2305.09636, sections 3.2 and 3.3), with the schedule of MaskGIT (Chang et al.
2022, arXiv:2202.04200).

Axes: ``K`` codebooks, ``F`` frames.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Hidings", "draw_hidings", "num_masked"]


@dataclass(frozen=True)
class Hidings:
    """What is hidden of an example, and what is to be found."""

    are_hidden: Tensor
    """bool [K, F]."""
    are_wanted: Tensor
    """bool [K, F], some of those: all of one codebook."""


def draw_hidings(
    num_codebooks: int, num_frames: int, *, num_given: int = 0, codebook: int | None = None
) -> Hidings:
    """Draw what is hidden of codes whose first ``num_given`` codebooks are there.

    Up to a frame, nothing is: that is the prompt, of a length drawn from 0 to F - 1. After it, the codes of
    ``codebook``, by default a drawn one, are each hidden with one probability, cos(u) of u drawn from 0 to π / 2,
    those of all later codebooks always, those of earlier ones never. Only the hidden ones of that codebook are
    wanted: at least one is.
    """
    prompt = int(torch.randint(num_frames, ()))
    if codebook is None:
        codebook = num_given + int(torch.randint(num_codebooks - num_given, ()))
    probability = math.cos(float(torch.rand(())) * math.pi / 2)
    drawn = torch.rand(num_frames) < probability
    drawn[:prompt] = False
    if not drawn.any():
        drawn[prompt + int(torch.randint(num_frames - prompt, ()))] = True
    are_hidden = torch.zeros(num_codebooks, num_frames, dtype=torch.bool)
    are_hidden[codebook] = drawn
    are_hidden[codebook + 1 :, prompt:] = True
    are_wanted = torch.zeros_like(are_hidden)
    are_wanted[codebook] = drawn
    return Hidings(are_hidden, are_wanted)


def num_masked(iteration: int, num_iterations: int, num_frames: int) -> int:
    """Return how many of ``num_frames`` are still masked after ``iteration``, from 1 on: none after the last.

    >>> [num_masked(iteration, 4, 100) for iteration in range(1, 5)]
    [92, 70, 38, 0]
    """
    # Rounded down: the cosine of the last iteration is 6e-17, and nothing may be left masked.
    return math.floor(math.cos(math.pi * iteration / (2 * num_iterations)) * num_frames)
