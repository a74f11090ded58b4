"""Token economy: what the codes cost a model that predicts them, on speech that it has not seen.

Conventions: models are made from the codes of the first half of the utterances, in the order of the corpus, and
measured on the rest. Only the codes of one codebook are looked at at a time; each codebook has a model of its own.

Measures: what byte-pair encoding (BPE) saves of the sequence of the first codebook, and its bits per second at
fixed length, with vocabularies of so many times V (``all``: the largest); bits per code, perplexity and bits per
second by an interpolated n-gram (``all``: the mean over codebooks, and of rates the sum); the Gini coefficient of
the use of codes over the whole corpus (``all``: the mean over codebooks).

Intervals: of what is measured on held-out utterances, a bootstrap over these or their speakers, the models as they
are; of the Gini coefficient, a delete-a-group jackknife over interleaved groups of utterances.
"""

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeVar

import numpy as np
from pydantic import Field

from tokbench.metrics import economy
from tokbench.records import MetricSummary
from tokbench.runners.base import Bench, Measurement, Runner
from tokbench.runners.payload import open_arrays, pack_arrays
from tokbench.runners.single_stream import frame_codes
from tokbench.specs.base import StrictModel
from tokbench.specs.task import Task
from tokbench.stats import bootstrap_interval, jackknife_interval

if TYPE_CHECKING:
    from tokbench.corpora.base import Utterance

__all__ = [
    "NUM_GROUPS",
    "CodeSequence",
    "CodesRunner",
    "EconomyArguments",
    "EconomyRunner",
    "Number",
    "halves",
    "numbered",
]

Item = TypeVar("Item")

NUM_GROUPS = 20
"""Groups of utterances that are left out in turn."""
SAVED, BPE_RATE = "bpe_length_saved", "bitrate_bpe_bps"
BITS, PERPLEXITY, NGRAM_RATE = "ngram_bits", "ngram_perplexity", "bitrate_ngram_bps"
GINI = "code_gini"


class EconomyArguments(StrictModel):
    """The ``[arguments]`` of an economy task."""

    vocabularies: tuple[int, ...] = Field(default=(2, 4, 8), min_length=1)
    """Sizes of the vocabularies of BPE, as multiples of V; from small to large."""
    ngram_order: int = Field(default=3, ge=1, le=8)
    """Codes that the n-gram looks at, the predicted one included."""


@dataclass(frozen=True)
class CodeSequence:
    """The codes of an utterance."""

    indices: np.ndarray
    """int64 [K, F]."""
    codebook_size: int
    frame_rate_hz: float
    duration_s: float
    speaker: str

    def pack(self) -> bytes:
        """Return everything as compressed arrays."""
        return pack_arrays(
            indices=self.indices.astype(np.int32),
            codebook_size=np.array(self.codebook_size),
            frame_rate_hz=np.array(self.frame_rate_hz),
            duration_s=np.array(self.duration_s),
            speaker=np.array(self.speaker),
        )

    @classmethod
    def unpack(cls, payload: bytes) -> "CodeSequence":
        """Read what :meth:`pack` wrote; arrays only, nothing is executed."""
        with open_arrays(payload) as file:
            return cls(
                file["indices"].astype(np.int64),
                int(file["codebook_size"]),
                float(file["frame_rate_hz"]),
                float(file["duration_s"]),
                str(file["speaker"]),
            )


@dataclass(frozen=True)
class Number:
    """A value for one group, with its interval."""

    metric: str
    group: str
    value: float
    interval: tuple[float, float] | None


class CodesRunner(Runner):
    """Looks at the codes of all utterances at once."""

    needs_decoder: ClassVar[bool] = False

    @abstractmethod
    def numbers(self, kept: list[CodeSequence]) -> Iterator[Number]:
        """Yield what is found of the codes of all utterances, in the order of the corpus."""

    def measure(self, bench: Bench, utterance: "Utterance", *, with_examples: bool) -> Measurement:  # noqa: ARG002
        """Return the codes."""
        audio = utterance.read()
        codes = bench.encode(audio).codes
        frames = frame_codes(bench.tokenizer.info, codes)
        packed = CodeSequence(
            frames.indices, frames.codebook_size, frames.frame_rate_hz, codes.duration_s, utterance.speaker
        )
        return Measurement(payload=packed.pack(), audio_sha256=audio.sha256, duration_s=audio.duration_s)

    def summarise(self, payloads: Iterable[bytes | None]) -> list[MetricSummary]:
        """Return what is found of the codes of the whole corpus."""
        found = [None if payload is None else CodeSequence.unpack(payload) for payload in payloads]
        kept = [item for item in found if item is not None]
        num_ok, num_total = len(kept), len(found)
        numbers: list[Number] = []
        if kept and len(kept) == len(found):
            numbers = list(self.numbers(kept))
        summaries = []
        for name in self.task.metrics:
            of_metric = [number for number in numbers if number.metric == name]
            metric = self.metrics[name]
            summaries += [
                metric.summary(
                    value=item.value, interval=item.interval, num_ok=num_ok, num_total=num_total, group=item.group
                )
                for item in of_metric
            ]
            if not of_metric:
                reasons = {_TOO_FEW: num_ok} if num_ok == num_total else {}
                summaries.append(metric.summary(value=None, num_ok=num_ok, num_total=num_total, reasons=reasons))
        return summaries

    def ratio(
        self, metric: str, group: str, total: np.ndarray, weight: np.ndarray, others: list[CodeSequence]
    ) -> Number:
        """Return the ratio of the sums of ``total`` and ``weight``, one of each for each of ``others``."""
        speakers = [item.speaker for item in others] if self.task.interval_by == "speaker" else None
        columns = (part.astype(np.float64)[:, None] for part in (total, weight))
        low, high = bootstrap_interval(*columns, rms=[False], groups=speakers)[0]
        interval = (float(low), float(high)) if np.isfinite(low) else None
        return Number(metric, group, float(total.sum() / weight.sum()), interval)

    def costs(self, names: tuple[str, str, str], bits: np.ndarray, others: list[CodeSequence]) -> Iterator[Number]:
        """Yield bits per code, perplexity and bitrate, by ``names``, of ``bits`` [N, K] of ``others``."""
        of_code, perplexity, bitrate = names
        num_frames = np.array([item.indices.shape[1] for item in others])
        seconds = np.array([item.duration_s for item in others])
        for group, total in {"all": bits.mean(axis=1), **numbered(list(bits.T))}.items():
            found = self.ratio(of_code, group, total, num_frames, others)
            yield found
            low, high = found.interval or (np.nan, np.nan)
            interval = (float(2**low), float(2**high)) if found.interval else None
            yield Number(perplexity, group, float(2**found.value), interval)
            yield self.ratio(bitrate, group, bits.sum(axis=1) if group == "all" else total, seconds, others)


class EconomyRunner(CodesRunner):
    """Compresses codes by what is known of others."""

    corpus_metrics = (SAVED, BPE_RATE, BITS, PERPLEXITY, NGRAM_RATE, GINI)
    interval_method = "percentile bootstrap; delete-a-group jackknife of the Gini coefficient"

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.arguments = task.checked_arguments(EconomyArguments)

    def numbers(self, kept: list[CodeSequence]) -> Iterator[Number]:
        """Yield what the second half costs by models of the first, and how evenly codes are used."""
        yield from self._by_merges(kept)
        yield from self._by_ngrams(kept)
        yield from self._use(kept)

    def _by_merges(self, kept: list[CodeSequence]) -> Iterator[Number]:
        training, others = halves(kept)
        if not training or not {SAVED, BPE_RATE} & self.metrics.keys():
            return
        before = np.array([item.indices.shape[1] for item in others])
        seconds = np.array([item.duration_s for item in others])
        sequences, held_out = ([item.indices[0] for item in part] for part in (training, others))
        size = kept[0].codebook_size
        for multiple in self.arguments.vocabularies:
            merges = economy.learn_merges(sequences, held_out, (multiple - 1) * size)
            after = np.array([merges.length(codes) for codes in held_out])
            bits = after * np.log2(size + merges.num_merges)
            is_largest = multiple == self.arguments.vocabularies[-1]
            for group in [f"vocabulary {multiple}x", *(["all"] if is_largest else [])]:
                yield self.ratio(SAVED, group, before - after, before, others)
                yield self.ratio(BPE_RATE, group, bits, seconds, others)

    def _by_ngrams(self, kept: list[CodeSequence]) -> Iterator[Number]:
        training, others = halves(kept)
        if not training or not {BITS, PERPLEXITY, NGRAM_RATE} & self.metrics.keys():
            return
        num_codebooks = len(kept[0].indices)
        bits = np.zeros((len(others), num_codebooks))
        for codebook in range(num_codebooks):
            of_codes = economy.ngram_bits(
                [item.indices[codebook] for item in training],
                [item.indices[codebook] for item in others],
                codebook_size=kept[0].codebook_size,
                order=self.arguments.ngram_order,
            )
            bits[:, codebook] = [item.sum() for item in of_codes]
        yield from self.costs((BITS, PERPLEXITY, NGRAM_RATE), bits, others)

    def _use(self, kept: list[CodeSequence]) -> Iterator[Number]:
        if GINI not in self.metrics:
            return
        num_codebooks, size = len(kept[0].indices), kept[0].codebook_size
        counts = np.zeros((min(NUM_GROUPS, len(kept)), num_codebooks, size), np.int64)
        for index, item in enumerate(kept):
            for codebook, codes in enumerate(item.indices):
                counts[index % NUM_GROUPS, codebook] += np.bincount(codes, minlength=size)
        whole = counts.sum(axis=0)
        values = np.array([economy.gini(row) for row in whole])
        left_out = np.array([[economy.gini(row) for row in whole - group] for group in counts if len(counts) > 1])
        left_out = left_out.reshape(-1, num_codebooks)
        columns = {"all": (values.mean(), left_out.mean(axis=1))}
        columns |= numbered(list(zip(values, left_out.T, strict=True)))
        for group, (value, replicates) in columns.items():
            yield Number(GINI, group, float(value), jackknife_interval(float(value), replicates))


_TOO_FEW = "there are too few utterances to be measured by a model of others"


def halves(kept: list[CodeSequence]) -> tuple[list[CodeSequence], list[CodeSequence]]:
    """Return the first half, the smaller one of an odd number, and the rest."""
    middle = len(kept) // 2
    return kept[:middle], kept[middle:]


def numbered(items: list[Item]) -> dict[str, Item]:
    """Return ``items`` by the name of their codebook; nothing where there is only one."""
    return {f"codebook {index}": item for index, item in enumerate(items, start=1)} if len(items) > 1 else {}
