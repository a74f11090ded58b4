"""SoundStorm's masks and schedule, against a loop over what its paper says."""

import math
import random

import pytest
import torch

from tokbench.lm.masks import draw_hidings, num_masked


def hidden_by_a_loop(
    num_codebooks: int, num_frames: int, *, prompt: int, codebook: int, drawn: list[bool]
) -> tuple[list[list[bool]], list[list[bool]]]:
    """Go through codes one by one: prompt kept, earlier levels kept, this level as drawn, later ones hidden."""
    hidden = [[False] * num_frames for _ in range(num_codebooks)]
    wanted = [[False] * num_frames for _ in range(num_codebooks)]
    for level in range(num_codebooks):
        for frame in range(num_frames):
            if frame < prompt:
                continue
            if level == codebook:
                hidden[level][frame] = wanted[level][frame] = drawn[frame]
            elif level > codebook:
                hidden[level][frame] = True
    return hidden, wanted


@pytest.mark.parametrize("num_given", [0, 2])
def test_what_is_hidden_is_what_a_loop_hides(num_given: int) -> None:
    for seed in range(60):
        torch.manual_seed(seed)
        found = draw_hidings(4, 9, num_given=num_given)
        (codebook,) = found.are_wanted.any(dim=1).nonzero()[:, 0].tolist()
        assert codebook >= num_given
        drawn = found.are_wanted[codebook].tolist()
        # The prompt is told by the level below, which is hidden from its end on; beside the last, nothing tells it.
        prompt = found.are_hidden[codebook + 1].tolist().index(True) if codebook < 3 else 0
        hidden, wanted = hidden_by_a_loop(4, 9, prompt=prompt, codebook=codebook, drawn=drawn)
        assert found.are_hidden.tolist() == hidden
        assert found.are_wanted.tolist() == wanted
        assert any(drawn)


def test_codes_are_hidden_as_often_as_the_paper_says() -> None:
    """Against a loop with another source of chance: the share that is hidden, from the first hidden one on."""
    torch.manual_seed(0)
    shares = []
    for _ in range(3000):
        found = draw_hidings(1, 40)
        first = found.are_wanted[0].tolist().index(True)
        shares.append(float(found.are_wanted[0, first:].float().mean()))
    generator = random.Random(0)
    expected = []
    for _ in range(3000):
        prompt, probability = generator.randrange(40), math.cos(generator.random() * math.pi / 2)
        row = [frame >= prompt and generator.random() < probability for frame in range(40)]
        if not any(row):
            row[generator.randrange(prompt, 40)] = True
        first = row.index(True)
        expected.append(sum(row[first:]) / (40 - first))
    assert sum(shares) / 3000 == pytest.approx(sum(expected) / 3000, abs=0.015)


@pytest.mark.parametrize("num_iterations", [1, 2, 7, 16, 31])
@pytest.mark.parametrize("num_frames", [1, 5, 100])
def test_masked_frames_follow_the_cosine_and_none_is_left(num_iterations: int, num_frames: int) -> None:
    counts = [num_masked(iteration, num_iterations, num_frames) for iteration in range(1, num_iterations + 1)]
    assert counts[-1] == 0
    assert counts == sorted(counts, reverse=True)
    for iteration, count in enumerate(counts, start=1):
        exact = num_frames * math.cos(math.pi * iteration / (2 * num_iterations))
        assert exact - 1 < count <= exact + 1e-9
