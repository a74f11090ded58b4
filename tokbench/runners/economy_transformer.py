"""Economy under a Transformer: what the codes cost a small one, on speech that it has not seen.

Conventions: the model is trained on the codes of the first half of the utterances, in the order of the corpus, and
measured on the rest, as the n-gram of :mod:`tokbench.runners.economy` is. Otherwise than the n-gram it sees all
codebooks of the frames before, and predicts all codes of a frame at once, as if they were independent given
the past.

Measures: bits per code, perplexity and bits per second (``all``: the mean over codebooks, and of rates the sum).

Intervals: a bootstrap over the held-out utterances or their speakers, the model as it is.

Source: the network is that of EnCodec's entropy coding (Défossez et al. 2022, arXiv:2210.13438, section 3.3), in
small; perplexity by codebook as in AudioCodecBench (Wang et al. 2025), without its division by the codebook size.
"""

from collections.abc import Iterator

import numpy as np

from tokbench.runners.economy import CodeSequence, CodesRunner, Number, halves
from tokbench.specs.entropy_coding import CodePrediction
from tokbench.specs.task import Task

__all__ = ["TransformerRunner"]

BITS, PERPLEXITY, RATE = "transformer_bits", "transformer_perplexity", "bitrate_transformer_bps"


class TransformerRunner(CodesRunner):
    """Trains a Transformer on half of the codes, and asks it of the others."""

    corpus_metrics = (BITS, PERPLEXITY, RATE)

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.arguments = task.checked_arguments(CodePrediction)

    def numbers(self, kept: list[CodeSequence]) -> Iterator[Number]:
        """Yield what the second half costs by a model of the first; nothing where that is no two utterances."""
        from tokbench.training.code_prediction import transformer_bits  # noqa: PLC0415  (imports torch)

        training, others = halves(kept)
        if len(training) < _FEWEST:
            return
        found = transformer_bits(
            [item.indices for item in training],
            [item.indices for item in others],
            codebook_size=kept[0].codebook_size,
            frame_rate_hz=kept[0].frame_rate_hz,
            recipe=self.arguments,
        )
        bits = np.stack([item.sum(axis=1) for item in found])
        yield from self.costs((BITS, PERPLEXITY, RATE), bits, others)


_FEWEST = 2
"""One is trained on, and one is held out."""
