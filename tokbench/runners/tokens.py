"""Token statistics: what the codes cost, and how well the codebooks are used.

Conventions: a codebook is numbered from 1 over all streams. Statistics of a codebook come from the counts of its
codes over the whole corpus; the row ``all`` adds rates over codebooks and averages everything else.

Measures: nominal bitrate ``sum(K · log2 V · f)``; measured bitrates with an ideal first-order entropy coder and
with a static Huffman code per codebook; where the codec has a model of its codes, their cross-entropy by it and the
bytes that an arithmetic coder writes with it, and otherwise neither; usage, perplexity and
imbalance of each codebook. Cost: real-time factors, and the peak resident memory of the process (on a GPU: peak
memory allocated there).

Intervals of corpus statistics: delete-a-group jackknife over :data:`NUM_GROUPS` interleaved groups of utterances,
which needs constant memory however large the corpus is.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tokbench.metrics import tokens as token_metrics
from tokbench.metrics.base import Metric, Score
from tokbench.records import MetricSummary
from tokbench.runners.base import Bench, Failure, Measurement, Runner, attempt
from tokbench.runners.memory import peak_memory
from tokbench.runners.payload import open_arrays, pack_arrays
from tokbench.stats import jackknife_interval

if TYPE_CHECKING:
    from tokbench.codecs.base import Tokenizer
    from tokbench.codes import Codes
    from tokbench.corpora.base import Utterance

__all__ = ["NUM_GROUPS", "TokensRunner"]

NUM_GROUPS = 20


class TokensRunner(Runner):
    """Counts codes, and times the codec that makes them."""

    needs_decoder: ClassVar[bool] = False
    coding_metrics: ClassVar[frozenset[str]] = frozenset({"bitrate_lm_bps", "bitrate_coded_bps"})
    """Those that need a model of the codes; they are measured where the task asks for them."""
    utterance_metrics = ("bitrate_nominal_bps", "tokens_per_second", *coding_metrics)
    cost_metrics = ("encode_rtf", "decode_rtf", "peak_memory_bytes", "num_parameters")
    interval_method = "percentile bootstrap; delete-a-group jackknife of statistics of the corpus"
    corpus_metrics = (
        "bitrate_entropy_bps",
        "bitrate_huffman_bps",
        "codebook_usage",
        "codebook_perplexity",
        "normalized_entropy",
        "mass_rarest_20pct",
        "mass_commonest_20pct",
    )
    facts = {"num_tokens": "integer", "num_bits": "number"}  # noqa: RUF012  (a constant, typed in the base)

    def measure(self, bench: Bench, utterance: "Utterance", *, with_examples: bool) -> Measurement:  # noqa: ARG002
        """Encode, decode for the clock, count."""
        audio = utterance.read()
        with peak_memory(str(bench.tokenizer.device)) as peak:
            stored = bench.encode(audio)
            decoded = attempt(lambda: bench.decode(stored.codes))
        codes = stored.codes
        costs = {
            "encode_rtf": Score(stored.encode_s, codes.duration_s),
            "num_parameters": Score(bench.tokenizer.info.num_parameters),
        }
        if not isinstance(decoded, Failure):
            costs["decode_rtf"] = Score(decoded[1], codes.duration_s)
        if peak.num_bytes is not None:
            costs["peak_memory_bytes"] = Score(peak.num_bytes)
        scores, failures = self._coded(bench.tokenizer, codes)
        return Measurement(
            scores={
                "bitrate_nominal_bps": Score(codes.bitrate_bps * codes.duration_s, codes.duration_s),
                "tokens_per_second": Score(codes.num_tokens, codes.duration_s),
                **scores,
            },
            failures=failures,
            facts={"num_tokens": codes.num_tokens, "num_bits": codes.num_bits},
            costs=costs,
            payload=_pack(codes),
            audio_sha256=audio.sha256,
            duration_s=audio.duration_s,
        )

    def _coded(self, tokenizer: "Tokenizer", codes: "Codes") -> tuple[dict[str, Score], dict[str, Failure]]:
        """Return what the codes cost when they are entropy coded, or why that is not known."""
        wanted = self.coding_metrics & self.metrics.keys()
        coder = tokenizer.entropy_coder if wanted else None
        if coder is None:
            reason = f"{tokenizer.info.name} has no model by which its codes could be entropy coded"
            return {}, dict.fromkeys(sorted(wanted), Failure(reason))
        (stream,) = codes.streams
        num_bits = {
            "bitrate_lm_bps": coder.cross_entropy_bits(stream.indices),
            "bitrate_coded_bps": 8 * len(coder.encode(stream.indices)),
        }
        return {name: Score(num_bits[name], codes.duration_s) for name in sorted(wanted)}, {}

    def summarise(self, payloads: Iterable[bytes | None]) -> list[MetricSummary]:
        """Return entropy, Huffman and usage statistics, over all codebooks and for each."""
        groups: list[Counts | None] = [None] * NUM_GROUPS
        num_ok, num_total = 0, 0
        for index, payload in enumerate(payloads):
            num_total += 1
            if payload is not None:
                num_ok += 1
                counts = Counts.unpack(payload)
                held = groups[index % NUM_GROUPS]
                groups[index % NUM_GROUPS] = counts if held is None else held + counts
        present = [group for group in groups if group is not None]
        if not present:
            return self._missing(num_total)
        return self._summaries(present, num_ok=num_ok, num_total=num_total)

    def _corpus_metrics(self) -> list[Metric]:
        return [metric for name, metric in self.metrics.items() if name in self.corpus_metrics]

    def _missing(self, num_total: int) -> list[MetricSummary]:
        return [metric.summary(value=None, num_ok=0, num_total=num_total) for metric in self._corpus_metrics()]

    def _summaries(self, groups: "list[Counts]", *, num_ok: int, num_total: int) -> list[MetricSummary]:
        whole = groups[0]
        for group in groups[1:]:
            whole = whole + group
        left_out = [whole - group for group in groups] if len(groups) > 1 else []
        summaries = []
        for metric in self._corpus_metrics():
            values = _statistic(metric.name, whole)
            replicates = [_statistic(metric.name, counts) for counts in left_out]
            for name, value in values.items():
                leave_one_out = np.array([replicate[name] for replicate in replicates])
                is_complete = num_ok == num_total
                summaries.append(
                    metric.summary(
                        value=value if is_complete else None,
                        interval=jackknife_interval(value, leave_one_out) if is_complete else None,
                        num_ok=num_ok,
                        num_total=num_total,
                        group=name,
                    )
                )
        return summaries


@dataclass(frozen=True)
class Counts:
    """How often each code of each codebook occurred, and in how much audio."""

    streams: tuple[np.ndarray, ...]
    """int64 [K, V] per stream."""
    duration_s: float

    def __add__(self, other: "Counts") -> "Counts":
        streams = tuple(mine + theirs for mine, theirs in zip(self.streams, other.streams, strict=True))
        return Counts(streams, self.duration_s + other.duration_s)

    def __sub__(self, other: "Counts") -> "Counts":
        streams = tuple(mine - theirs for mine, theirs in zip(self.streams, other.streams, strict=True))
        return Counts(streams, self.duration_s - other.duration_s)

    @property
    def codebooks(self) -> list[np.ndarray]:
        """Counts [V] of each codebook, over all streams."""
        return [row for stream in self.streams for row in stream]

    @classmethod
    def unpack(cls, payload: bytes) -> "Counts":
        """Read what :func:`_pack` wrote; arrays only, nothing is executed."""
        with open_arrays(payload) as file:
            streams = []
            for index in range(int(file["num_streams"])):
                dense = np.zeros(tuple(file[f"shape{index}"]), dtype=np.int64)
                dense.reshape(-1)[file[f"cell{index}"]] = file[f"count{index}"]
                streams.append(dense)
            return cls(tuple(streams), float(file["duration_s"]))


def _pack(codes: "Codes") -> bytes:
    """Return the counts of ``codes`` as compressed arrays: only the cells that occur."""
    arrays: dict[str, np.ndarray] = {
        "num_streams": np.int64(len(codes.streams)),  # type: ignore[dict-item]
        "duration_s": np.float64(codes.duration_s),  # type: ignore[dict-item]
    }
    for index, stream in enumerate(codes.streams):
        offsets = np.arange(stream.num_codebooks)[:, None] * stream.codebook_size
        cells, counts = np.unique(stream.indices.numpy() + offsets, return_counts=True)
        arrays[f"shape{index}"] = np.array([stream.num_codebooks, stream.codebook_size])
        arrays[f"cell{index}"], arrays[f"count{index}"] = cells, counts
    return pack_arrays(**arrays)


def _statistic(name: str, counts: Counts) -> Mapping[str, float]:
    """Return the value of one statistic for ``all`` and for each codebook."""
    per_codebook = [_STATISTICS[name](codebook, counts.duration_s) for codebook in counts.codebooks]
    total = sum(per_codebook) if name in _RATES else float(np.mean(per_codebook))
    numbered = {f"codebook {index}": value for index, value in enumerate(per_codebook, start=1)}
    return {"all": total, **numbered} if len(numbered) > 1 else {"all": total}


_RATES = ("bitrate_entropy_bps", "bitrate_huffman_bps")
_STATISTICS: Mapping[str, Callable[[np.ndarray, float], float]] = {
    "bitrate_entropy_bps": lambda c, seconds: token_metrics.entropy_bits(c) * c.sum() / seconds,
    "bitrate_huffman_bps": lambda c, seconds: token_metrics.huffman_bits(c) * c.sum() / seconds,
    "codebook_usage": lambda c, _: token_metrics.usage(c),
    "codebook_perplexity": lambda c, _: token_metrics.perplexity(c),
    "normalized_entropy": lambda c, _: token_metrics.normalized_entropy(c),
    "mass_rarest_20pct": lambda c, _: token_metrics.mass_of_rarest(c),
    "mass_commonest_20pct": lambda c, _: token_metrics.mass_of_commonest(c),
}
"""Statistics of the counts [V] of one codebook and the seconds of audio."""
