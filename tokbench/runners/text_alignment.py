"""Text alignment: how much tokens tell of what is said, and how well a recognizer reads it from them.

Conventions: those of :mod:`tokbench.runners.probe_asr`, whose networks these are. Each gives the likelihood of the
text of every recording of the test, or of as many as the task says, for the tokens of each of them. Texts that need
more frames than ``min_rate_hz`` of them in a second of the audio, which every tokenizer has, cannot be read.

Measures: mutual information of tokens and text as SLMTokBench estimates it, by recording and by character of its
text, and a lower bound of it (:mod:`tokbench.metrics.text_information`); the errors of the networks. ``all`` is
that of all codebooks together, ``codebook 1`` of the first, ``codebooks 1-2`` of the first two.

Intervals: a bootstrap over the speakers (or utterances) of the test and over seeds.

Source: SLMTokBench, in SpeechTokenizer (Zhang et al. 2023, arXiv:2308.16692).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from tokbench.errors import UndefinedMetricError
from tokbench.runners.probe_asr import ProbeAsrArguments, ProbeAsrRunner, Taught, tested_of
from tokbench.runners.probe_ceiling import LATENTS, Estimate, Estimates
from tokbench.runners.probe_items import Collected

if TYPE_CHECKING:
    from tokbench.metrics.text_information import Likelihoods

__all__ = ["TextAlignmentArguments", "TextAlignmentRunner"]

NATS, PER_CHARACTER, BOUND = (
    "text_alignment_nats",
    "text_alignment_nats_per_character",
    "text_alignment_bound_nats",
)
_TOO_LONG = "a text is too long for its recording: min_rate_hz must be higher"


class TextAlignmentArguments(ProbeAsrArguments):
    """The ``[arguments]`` of a task on text alignment."""

    units: Literal["characters"] = "characters"
    """What is written down."""
    max_texts: int = Field(default=256, gt=1)
    """Texts of a test that every recording of it is compared with at most, drawn once."""


class TextAlignmentRunner(ProbeAsrRunner):
    """Asks recognizers of tokens how likely they find the texts of other recordings."""

    reads: ClassVar[type[ProbeAsrArguments]] = TextAlignmentArguments
    further = (NATS, PER_CHARACTER, BOUND)
    corpus_metrics = (
        *(name + end for name in further for end in ("", f"_{LATENTS}")),
        *(name for name in ProbeAsrRunner.corpus_metrics if "per" not in name),
    )
    arguments: TextAlignmentArguments

    def estimates(self, view: str, collected: Collected) -> Estimates:
        """Return what the tokens tell of the texts, and how much is wrong in what is read of them."""
        from tokbench.metrics.text_information import bound, contrast, estimate  # noqa: PLC0415  (as the base does)

        taught = list(self.taught(view, collected))
        likelihoods = self._likelihoods(taught, collected)
        numbers = {
            NATS: estimate(contrast, likelihoods),
            PER_CHARACTER: estimate(partial(contrast, per_character=True), likelihoods),
            BOUND: estimate(bound, likelihoods),
        }
        found = {name: Estimate(*number) for name, number in numbers.items()}
        return Estimates({**found, **self.errors(taught, collected)}, tested_of(taught))

    def _likelihoods(self, taught: Sequence[Taught], collected: Collected) -> "Likelihoods":
        """Return the likelihoods of texts of the tests; recordings of two tests are no pairs."""
        from tokbench.metrics.text_information import Likelihoods  # noqa: PLC0415  (as above)

        blocks = [self._block(one, collected.durations_s[one.index]) for one in taught]
        num_seeds, num_recordings = len(taught[0].networks), sum(len(block.own[0]) for block in blocks)
        others = np.full((num_seeds, num_recordings, sum(len(block.columns) for block in blocks)), np.nan)
        columns, row, column = [], 0, 0
        for block in blocks:
            _, height, width = block.others.shape
            others[:, row : row + height, column : column + width] = block.others
            columns.append(block.columns + row)
            row, column = row + height, column + width
        index = tested_of(taught)
        return Likelihoods(
            np.concatenate([block.own for block in blocks], axis=1),
            others,
            np.concatenate(columns),
            [collected.columns[self.task.interval_by][item] for item in index],
            np.array([len(text) for one in taught for text in one.test.labels]),
        )

    def _block(self, taught: Taught, durations_s: np.ndarray) -> "_Block":
        """Return the likelihoods of one test, whose recordings last ``durations_s`` [N]."""
        from tokbench.training.ctc import log_likelihoods, num_frames_needed  # noqa: PLC0415  (imports torch)

        test = taught.test
        columns = np.arange(len(test))
        if len(columns) > self.arguments.max_texts:
            drawn = np.random.default_rng(0).choice(columns, self.arguments.max_texts, replace=False)
            columns = np.sort(drawn)
        needed = np.array([num_frames_needed(text) for text in test.labels])
        # By the audio, so that the same pairs are left out whatever a tokenizer makes of the end of a recording.
        num_frames = np.floor(durations_s * self.arguments.recipe.min_rate_hz)
        if (needed > num_frames).any():
            raise UndefinedMetricError(_TOO_LONG)
        is_readable = needed[columns] <= num_frames[:, None]
        own, others = [], []
        for network in taught.networks:
            own.append(
                np.array(
                    [
                        log_likelihoods(network, [item], [text])[0, 0]
                        for item, text in zip(test.sequences, test.labels, strict=True)
                    ]
                )
            )
            found = log_likelihoods(network, test.sequences, [test.labels[column] for column in columns.tolist()])
            others.append(np.where(is_readable, found, -np.inf))
        # A tokenizer that leaves out the end of a recording may have fewer frames than its audio.
        if not np.isfinite(own).all():
            raise UndefinedMetricError(_TOO_LONG)
        return _Block(np.stack(own), np.stack(others), columns)


@dataclass(frozen=True)
class _Block:
    own: np.ndarray
    """float64 [S, N]."""
    others: np.ndarray
    """float64 [S, N, M]."""
    columns: np.ndarray
    """int64 [M], which of the N."""
