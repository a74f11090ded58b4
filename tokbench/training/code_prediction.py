"""What codes cost a small Transformer that was trained on other utterances.

The network is that of entropy coding (:mod:`tokbench.models.code_lm`): it gets all codes of the frames before, and
predicts those of a frame as if they were independent given the past. Every eighth utterance for training is not
trained on and decides which weights are taken. Everything runs on one thread of the CPU from a fixed seed, so that
the same codes have the same cost on any machine with the same packages.

Axes: ``B`` crops, ``K`` codebooks, ``F`` frames, ``V`` codebook size.
"""

import copy
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from tokbench.models.code_lm import CodeLm
from tokbench.specs.entropy_coding import CodePrediction
from tokbench.training.frozen import one_thread

__all__ = ["transformer_bits"]

_HELD_OUT = 8
"""Every so many utterances for training one is held out, the last one of them."""
_WARM_UP = 0.05
"""Share of the steps over which the learning rate rises."""
_IGNORED = -100
"""Stands for a frame that a crop does not have."""
_NO_CODE = -1
_FRAMES_AT_ONCE = 1024


def transformer_bits(
    training: Sequence[np.ndarray],
    others: Sequence[np.ndarray],
    *,
    codebook_size: int,
    frame_rate_hz: float,
    recipe: CodePrediction,
) -> list[np.ndarray]:
    """Return the bits of each code of ``others`` by a model of ``training``, float64 [K, F] per utterance.

    Both are sequences of codes int64 [K, F]. Raises :class:`ValueError` for fewer than two utterances to train on:
    one is held out.
    """
    kept, held_out = _parts([torch.from_numpy(codes) for codes in training])
    if not kept or not held_out:
        msg = f"a model needs two utterances to be trained on, and there are {len(training)}"
        raise ValueError(msg)
    with one_thread():
        torch.manual_seed(0)
        model = CodeLm(
            recipe,
            num_codebooks=len(kept[0]),
            codebook_size=codebook_size,
            frame_rate_hz=min(frame_rate_hz, recipe.max_context_frames / recipe.context_s),
        )
        model.know_frequencies_(_counts(kept, codebook_size))
        _fit(model, kept, held_out, recipe)
        return [(_nats(model, torch.from_numpy(codes)) / math.log(2)).numpy() for codes in others]


def _parts(training: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Return the utterances that are trained on, and those that are held out."""
    held_out = {place for place in range(len(training)) if place % _HELD_OUT == min(len(training), _HELD_OUT) - 1}
    kept = [codes for place, codes in enumerate(training) if place not in held_out]
    return kept, [training[place] for place in sorted(held_out)]


def _counts(utterances: Sequence[Tensor], codebook_size: int) -> Tensor:
    """Return how often each code occurs in each codebook, int64 [K, V]."""
    codes = torch.cat(list(utterances), dim=1)
    return torch.stack([torch.bincount(row, minlength=codebook_size) for row in codes])


def _fit(model: CodeLm, kept: Sequence[Tensor], held_out: Sequence[Tensor], recipe: CodePrediction) -> None:
    """Train ``model``, and leave it with the weights that the utterances held out are most probable by."""
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, foreach=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step / recipe.num_steps))
    lengths = torch.tensor([codes.shape[1] for codes in kept], dtype=torch.float64)
    lowest, best, num_worse = _mean_nats(model, held_out), copy.deepcopy(model.state_dict()), 0
    for step in range(1, recipe.num_steps + 1):
        model.train()
        previous, targets, offset = _drawn(kept, lengths, recipe)
        optimizer.zero_grad()
        logits = model(previous, offset=offset)
        loss = cross_entropy(logits.flatten(0, 2), targets.flatten(), ignore_index=_IGNORED)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if step % recipe.validate_every_steps and step < recipe.num_steps:
            continue
        found = _mean_nats(model, held_out)
        num_worse = 0 if found < lowest else num_worse + 1
        if found < lowest:
            lowest, best = found, copy.deepcopy(model.state_dict())
        if num_worse >= recipe.patience:
            break
    model.load_state_dict(best)


def _rate(share: float) -> float:
    """Return what the learning rate is multiplied with after a share of the steps."""
    if share < _WARM_UP:
        return (share + 1e-3) / (_WARM_UP + 1e-3)
    return (1 + math.cos(math.pi * (share - _WARM_UP) / (1 - _WARM_UP))) / 2


def _drawn(kept: Sequence[Tensor], lengths: Tensor, recipe: CodePrediction) -> tuple[Tensor, Tensor, Tensor]:
    """Return crops: the codes before [B, K, F], those to be predicted [B, K, F], and the place of the first [B]."""
    chosen = torch.multinomial(lengths, recipe.batch_size, replacement=True).tolist()
    num_frames = min(recipe.crop_frames, int(lengths.max()))
    shape = (recipe.batch_size, len(kept[0]), num_frames)
    previous, targets = torch.full(shape, _NO_CODE), torch.full(shape, _IGNORED)
    offset = torch.zeros(recipe.batch_size, dtype=torch.int64)
    for place, number in enumerate(chosen):
        codes = kept[number]
        first = int(torch.randint(max(codes.shape[1] - num_frames, 0) + 1, ()))
        crop = codes[:, first : first + num_frames]
        targets[place, :, : crop.shape[1]] = crop
        before = codes[:, max(first - 1, 0) : first + crop.shape[1] - 1]
        previous[place, :, crop.shape[1] - before.shape[1] : crop.shape[1]] = before
        offset[place] = first
    return previous, targets, offset


def _mean_nats(model: CodeLm, utterances: Sequence[Tensor]) -> float:
    nats = [_nats(model, codes) for codes in utterances]
    return float(sum(item.sum() for item in nats) / sum(item.numel() for item in nats))


@torch.no_grad()
def _nats(model: CodeLm, codes: Tensor) -> Tensor:
    """Return float64 [K, F], less the logarithm of the probability of each code int64 [K, F]."""
    model.eval()
    past, found = model.begin(), []
    previous = torch.nn.functional.pad(codes[:, :-1], (1, 0), value=_NO_CODE)
    pieces = (torch.split(part, _FRAMES_AT_ONCE, dim=1) for part in (previous, codes))
    for before, piece in zip(*pieces, strict=True):
        logits = model(before[None], past)[0].double().log_softmax(dim=-1)
        found.append(-logits.gather(-1, piece[..., None])[..., 0])
    return torch.cat(found, dim=1)
