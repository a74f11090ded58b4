"""Streaming: whether codes are the same when the rest of the utterance has not been heard yet.

A tokenizer that claims to be causal can be run on audio that is still coming in: the codes of a frame are due as
soon as its end and the look-ahead have been heard, and nothing that follows may change them. The utterance is cut
after a share of its frames and encoded; the codes that are due by then are compared with those of the whole.
Tokenizers that claim nothing of the kind are skipped.

Conventions: the utterance is mixed to mono and is at the tokenizer's rate. A frame is due when its end and
``latency_s`` lie within what was heard.

Measures: the share of codes that are equal. Groups are named after what was heard, ``first 25 %``; ``codebook 1``
and ``all`` are as in :mod:`tokbench.runners.comparing`: of one codebook, and of all of them.

Intervals: a percentile bootstrap over utterances or speakers, as the task says.
"""

import math
from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from tokbench.errors import NotApplicableError
from tokbench.records import CodecSummary
from tokbench.runners.base import Failure, attempt
from tokbench.runners.comparing import ComparingRunner, Comparison, Scene
from tokbench.specs.base import StrictModel
from tokbench.specs.task import Task

__all__ = ["StreamingArguments", "StreamingRunner"]

_ROUNDING = 1e-6


class StreamingArguments(StrictModel):
    """The ``[arguments]`` of a streaming task."""

    heard_share: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(default=(0.25, 0.5, 0.75), min_length=1)
    """Shares of the frames after which the utterance is cut."""


class StreamingRunner(ComparingRunner):
    """Encodes the beginning of an utterance, and compares it with the beginning of what the whole is encoded to."""

    utterance_metrics = ("streaming_agreement",)

    def __init__(self, task: Task) -> None:
        self.arguments = task.checked_arguments(StreamingArguments)
        super().__init__(task)

    def declines(self, codec: CodecSummary) -> str | None:
        """Return that the codec claims nothing that could be looked at."""
        if codec.causal and math.isfinite(codec.latency_s or 0.0):
            return None
        return f"{codec.name} does not claim to be causal: its codes may depend on all of the audio"

    def _names(self) -> list[str]:
        return [f"first {100 * share:g} %" for share in self.arguments.heard_share]

    def _compare(self, scene: Scene) -> Iterator[Comparison | Failure]:
        for share in self.arguments.heard_share:
            yield attempt(lambda share=share: _cut(scene, share))  # type: ignore[misc]


def _cut(scene: Scene, share: float) -> Comparison:
    """Encode the first ``share`` of the frames; raises :class:`NotApplicableError` where none is due by then."""
    from tokbench.audio import Audio  # noqa: PLC0415  (the planner knows runners without torch)

    audio, original = scene.prepared, scene.original
    heard = round(round(original.num_frames * share) * audio.sample_rate_hz / original.frame_rate_hz)
    latency_s = scene.bench.tokenizer.info.latency_s
    due = math.floor((heard / audio.sample_rate_hz - latency_s) * original.frame_rate_hz + _ROUNDING)
    due = min(due, original.num_frames)
    if due < 1 or heard >= audio.num_samples:
        msg = f"of {original.num_frames} frames none is due after {share:g} of them"
        raise NotApplicableError(msg)
    early = scene.encode(Audio(audio.samples[:, :heard].contiguous(), audio.sample_rate_hz))
    return Comparison(original.indices[:, :due], early.indices[:, :due])
