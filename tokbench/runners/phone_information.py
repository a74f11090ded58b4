"""Phone information: what the code of a frame tells of the phone that is said, without any training.

Conventions: a frame belongs to the phone in which its centre lies; frames in none, such as those of pauses, are
left out. Each codebook is looked at alone; ``all`` is the mean over codebooks. Phones of different languages with
the same label are the same.

Measures: phone-normalized mutual information, as it is and less what chance makes of it, phone purity and cluster
purity, over the frames of the whole corpus.

Source: Hsu et al. 2021, HuBERT (arXiv 2106.07447), section IV.

Intervals: a delete-a-group jackknife over interleaved groups of utterances.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tokbench.metrics import information
from tokbench.records import MetricSummary
from tokbench.runners.base import Bench, Failure, Measurement, Runner, attempt
from tokbench.runners.payload import open_arrays, pack_arrays
from tokbench.runners.single_stream import FrameCodes, frame_codes
from tokbench.stats import jackknife_interval

if TYPE_CHECKING:
    from tokbench.corpora.base import Utterance
    from tokbench.corpora.intervals import Interval, Tier

__all__ = ["NUM_GROUPS", "PhoneInformationRunner", "phones_of_frames"]

NUM_GROUPS = 20
"""Groups of utterances that are left out in turn."""
_STATISTICS: Mapping[str, Callable[[np.ndarray], float]] = {
    "pnmi": information.phone_normalized_mutual_information,
    "pnmi_adjusted": information.adjusted_information,
    "phone_purity": information.phone_purity,
    "cluster_purity": information.cluster_purity,
}
"""Of how often phones and codes meet [P, V]."""


class PhoneInformationRunner(Runner):
    """Counts which codes meet which phones."""

    needs_decoder: ClassVar[bool] = False
    corpus_metrics = tuple(_STATISTICS)
    interval_method = "delete-a-group jackknife"
    facts = {"num_phone_frames": "integer"}  # noqa: RUF012  (a constant, typed in the base)

    @property
    def tier(self) -> "Tier | None":
        """Phones."""
        return "phone"

    def measure(self, bench: Bench, utterance: "Utterance", *, with_examples: bool) -> Measurement:  # noqa: ARG002
        """Return the codes of the frames within phones, and the phones."""
        audio = utterance.read()
        frames = frame_codes(bench.tokenizer.info, bench.encode(audio).codes)
        phones = phones_of_frames(utterance.intervals, frames)
        is_phone = phones != ""
        indices = frames.indices[:, is_phone].astype(np.int32)
        return Measurement(
            facts={"num_phone_frames": int(is_phone.sum())},
            payload=pack_arrays(phones=phones[is_phone], indices=indices),
            audio_sha256=audio.sha256,
            duration_s=audio.duration_s,
        )

    def summarise(self, payloads: Iterable[bytes | None]) -> list[MetricSummary]:
        """Return what codes tell, over all codebooks and for each."""
        found = [None if payload is None else _unpack(payload) for payload in payloads]
        kept = [item for item in found if item is not None]
        num_ok, num_total = len(kept), len(found)
        summaries = []
        for name, metric in self.metrics.items():
            outcome = attempt(lambda name=name: _statistic(kept, name))  # type: ignore[misc]
            if isinstance(outcome, Failure) or num_ok < num_total:
                reasons = {outcome.reason: num_ok} if isinstance(outcome, Failure) and kept else {}
                summaries.append(metric.summary(value=None, num_ok=num_ok, num_total=num_total, reasons=reasons))
                continue
            for group, (value, interval) in outcome.items():
                summaries.append(
                    metric.summary(value=value, interval=interval, num_ok=num_ok, num_total=num_total, group=group)
                )
        return summaries


def phones_of_frames(intervals: "Iterable[Interval]", frames: FrameCodes) -> np.ndarray:
    """Return the label of the interval that the centre of each frame lies in, str [F], or nothing."""
    phones = np.full(frames.num_frames, "", dtype=object)
    centres_s = (np.arange(frames.num_frames) + 0.5) / frames.frame_rate_hz
    for interval in intervals:
        first, last = np.searchsorted(centres_s, [interval.start_s, interval.end_s])
        phones[first:last] = interval.label
    return phones.astype(np.str_)


def _unpack(payload: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Return the phones [F] and the codes [K, F]; arrays only, nothing is executed."""
    with open_arrays(payload) as file:
        return file["phones"], file["indices"].astype(np.int64)


Numbers = dict[str, tuple[float, tuple[float, float] | None]]
"""Value and interval by group."""


def _statistic(kept: list[tuple[np.ndarray, np.ndarray]], name: str) -> Numbers:
    """Return one statistic, over all codebooks and of each, from the phones and codes of every utterance."""
    phones, of_frame = np.unique(np.concatenate([labels for labels, _ in kept]), return_inverse=True)
    indices = np.concatenate([codes for _, codes in kept], axis=1)
    group_of_frame = np.repeat(np.arange(len(kept)) % NUM_GROUPS, [len(labels) for labels, _ in kept])
    groups = np.unique(group_of_frame)
    function, num_codebooks = _STATISTICS[name], len(indices)
    values = np.zeros(num_codebooks)
    left_out = np.zeros((len(groups) if len(groups) > 1 else 0, num_codebooks))
    for codebook, codes in enumerate(indices):
        used, columns = np.unique(codes, return_inverse=True)
        shape = (len(phones), len(used))
        values[codebook] = function(_joint(of_frame, columns, shape))
        for place in range(len(left_out)):
            is_kept = group_of_frame != groups[place]
            joint = _joint(of_frame[is_kept], columns[is_kept], shape)
            found = attempt(lambda joint=joint: function(joint))  # type: ignore[misc]
            left_out[place, codebook] = np.nan if isinstance(found, Failure) else found
    columns_of = {"all": (float(values.mean()), left_out.mean(axis=1))}
    for codebook in range(num_codebooks if num_codebooks > 1 else 0):
        columns_of[f"codebook {codebook + 1}"] = (float(values[codebook]), left_out[:, codebook])
    return {group: (value, _interval(value, replicates)) for group, (value, replicates) in columns_of.items()}


def _interval(value: float, replicates: np.ndarray) -> tuple[float, float] | None:
    """Return the interval of ``value``; None where it hangs on one group, without which there is no value."""
    return jackknife_interval(value, replicates) if np.isfinite(replicates).all() else None


def _joint(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return how often each row and column meet, int64 ``shape``."""
    return np.bincount(rows * shape[1] + columns, minlength=shape[0] * shape[1]).reshape(shape)
