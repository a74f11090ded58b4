"""A part of a network that is convolutions alone, run on overlapping pieces of a long signal.

:class:`tokbench.codecs.base.Context` does so for a codec whose every part reaches a finite way. Where one part
looks at the whole utterance, the others can still be run so, and their memory is bounded.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from tokbench.codecs.base import _pieces

__all__ = ["in_overlapping_pieces"]


def in_overlapping_pieces(
    run: Callable[[Tensor], Tensor],
    inputs: Tensor,
    *,
    reach: tuple[int, int],
    piece_frames: int,
    steps_in: int = 1,
    steps_out: int = 1,
) -> Tensor:
    """Return ``run(inputs)`` [..., F · steps_out] of ``inputs`` [..., F · steps_in], made piece by piece.

    ``reach`` are the frames before and after its own on which a frame of the output depends. Each piece of
    ``piece_frames`` frames is extended by them, and what the extension adds is dropped, except at a true end.
    """
    before, after = reach
    num_frames = -(-inputs.shape[-1] // steps_in)
    kept = []
    for piece in _pieces(num_frames, piece_frames, before=before, after=after):
        seen = inputs[..., piece.start * steps_in : piece.stop * steps_in]
        kept.append(run(seen)[..., piece.kept(steps_out)])
    return torch.cat(kept, dim=-1)
