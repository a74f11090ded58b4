"""A results folder made of real files, small enough to work out by hand or as large as a published one."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.optimize
import scipy.stats
import soundfile
from PIL import Image

from tokbench.leaderboard.spec import Leaderboard
from tokbench.paths import write_bytes
from tokbench.records import (
    CodecSummary,
    CorpusSummary,
    Cost,
    IntervalMethod,
    MetricSummary,
    Record,
    RecordFiles,
    TaskSummary,
    component_names,
    file_safe,
    write_json,
)

BETTER = {
    "visqol": "higher",
    "pesq_wb": "higher",
    "stoi": "higher",
    "si_sdr_db": "higher",
    "mel_distance_dac": "lower",
    "f0_rmse_cents": "lower",
}
UNITS = {
    "si_sdr_db": "dB",
    "f0_rmse_cents": "cents",
    "bitrate_nominal_bps": "bit/s",
    "bitrate_entropy_bps": "bit/s",
}
TITLES = {"visqol": "ViSQOL", "pesq_wb": "PESQ wide band", "stoi": "STOI", "si_sdr_db": "SI-SDR"}
POOLING = {"f0_rmse_cents": "rms"}

Scores = Mapping[str, Sequence[float | tuple[float, float] | None]]


def half_of_independent(first: float, second: float, num_units: int) -> float:
    """Return the difference of two values, of intervals so wide to either side, at which Welch's p is 0.05."""
    errors = [half / scipy.stats.norm.ppf(0.975) * (num_units / (num_units - 1)) ** 0.5 for half in (first, second)]
    mine, theirs = (error * num_units**0.5 for error in errors)

    def excess(gap: float) -> float:
        found = scipy.stats.ttest_ind_from_stats(gap, mine, num_units, 0.0, theirs, num_units, equal_var=False)
        return float(found.pvalue) - 0.05

    return float(scipy.optimize.brentq(excess, 1e-6, 100.0))


@dataclass
class Results:
    """Writes records that look like those of a run."""

    folder: Path
    corpus: str = "synth"
    num_utterances: int = 4
    utterances: Sequence[str] = ()
    speakers: Sequence[str] = ()
    audio: Sequence[str | None] = ()
    interval_by: str = "utterance"
    overrides: dict[str, Any] = field(default_factory=dict)

    def names(self) -> list[str]:
        return list(self.utterances) or [f"utt {index}" for index in range(self.num_utterances)]

    def files(self, codec: str, setting: str, task: str = "reconstruction.v1") -> RecordFiles:
        return RecordFiles(self.folder, task=task, corpus=self.corpus, codec=codec, setting=setting)

    def add(
        self,
        codec: str,
        setting: str,
        scores: Scores | None = None,
        *,
        task: str = "reconstruction.v1",
        summaries: Sequence[MetricSummary] = (),
        asked: Sequence[str] = (),
        seeds: Mapping[str, Sequence[np.ndarray]] | None = None,
        **codec_facts: Any,
    ) -> Record:
        """Write the record and the Parquet file of one cell; a score of None is a failed utterance.

        ``seeds`` holds, for metrics of models that were trained from several, the values of each of them.
        """
        scores = scores or {}
        metrics = [summary_of(name, values) for name, values in scores.items()]
        record = self._record(codec, setting, task, (*metrics, *summaries), codec_facts)
        files = self.files(codec, setting, task)
        write_json(files.record, record)
        table = self._table({name: values for name, values in scores.items() if name not in (seeds or {})})
        for name, values in (seeds or {}).items():
            for place, found in enumerate(values):
                total, weight = component_names(name, place)
                table[total], table[weight] = found, np.where(np.isnan(found), np.nan, 1.0)
        if asked:
            table["asked"] = list(asked)
        if self.audio:
            table["audio_sha256"] = list(self.audio)
        table.to_parquet(files.utterances)
        return record

    def _record(
        self, codec: str, setting: str, task: str, metrics: tuple[MetricSummary, ...], codec_facts: dict[str, Any]
    ) -> Record:
        facts = {"title": codec.title(), "licence": "MIT", "source": "a paper", "trained_on": (), **codec_facts}
        fields: dict[str, Any] = {
            "task": TaskSummary(id=task, kind=task.partition(".")[0], question="How close?", sha256=sha256(task)),
            "corpus": CorpusSummary(
                name=self.corpus,
                reference=self.corpus.partition(".v")[0],
                num_utterances=len(self.names()),
                duration_s=12.5,
                sha256=sha256(self.corpus),
                licence="CC-BY-4.0",
            ),
            "codec": CodecSummary(name=codec, setting=setting, fingerprint=sha256(codec + setting), **facts),
            "status": "ok" if all(metric.value is not None for metric in metrics) else "partial",
            "metrics": metrics,
            "interval": IntervalMethod(level=0.95, method="bootstrap", by=self.interval_by, num_resamples=1000),
            "provenance": {
                "tokbench": "0.1.0",
                "commit": "c0ffee",
                "python": "3.11.2",
                "packages": {"numpy": "2.3.0", "torch": "2.11.0"},
                "device": "cpu",
                "seed": 0,
                "limit": None,
                "resampler": "soxr VHQ",
            },
            "key": sha256(f"{task}{codec}{setting}"),
        }
        return Record(**{**fields, **self.overrides})

    def _table(self, scores: Scores) -> pd.DataFrame:
        names = self.names()
        table = pd.DataFrame({"index": range(len(names)), "utterance": names})
        table["speaker"] = list(self.speakers) or ["anna"] * len(names)
        table["language"] = "en"
        for name, values in scores.items():
            table[f"{name}.total"] = [None if value is None else pair(value)[0] for value in values]
            table[f"{name}.weight"] = [None if value is None else pair(value)[1] for value in values]
        return table

    def add_cost(self, codec: str, setting: str, task: str = "tokens.v1", **values: float) -> None:
        """Write the cost file of a cell."""
        cost = Cost(
            metrics=tuple(summary_of(name, [value] * 3) for name, value in values.items()),
            machine={"system": "Linux 6.1", "processor": "Example CPU", "num_cores": 2},
            started_utc="2025-01-01T00:00:00Z",
            wall_s=12.5,
            num_jobs=1,
        )
        write_json(self.files(codec, setting, task).cost, cost)

    def add_examples(
        self,
        codec: str,
        setting: str,
        *,
        task: str = "reconstruction.v1",
        seconds: float = 1.0,
        num: int = 1,
        noise: float = 0.1,
    ) -> None:
        """Write audio and spectrograms of the first utterances, and the originals beside them."""
        files = self.files(codec, setting, task)
        for index, name in enumerate(self.names()[:num]):
            write_example(files.originals / file_safe(name), seconds=seconds, seed=index, noise=0.05)
            write_example(files.examples / file_safe(name), seconds=seconds, seed=index, noise=noise)


def pair(value: float | tuple[float, float]) -> tuple[float, float]:
    return value if isinstance(value, tuple) else (value, 1.0)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def summary_of(name: str, values: Sequence[float | tuple[float, float] | None], **fields: Any) -> MetricSummary:
    """Pool the values of some utterances as a record does; the interval is two standard errors wide."""
    present = [pair(value) for value in values if value is not None]
    failed = len(values) - len(present)
    pooled = sum(total for total, _ in present) / sum(weight for _, weight in present) if present else 0.0
    is_rms = POOLING.get(name) == "rms"
    value = pooled**0.5 if is_rms else pooled
    error = 2 * float(np.std([total / weight for total, weight in present if weight] or [0.0])) / len(values) ** 0.5
    error /= 2 * value if is_rms else 1.0
    defaults: dict[str, Any] = {
        "name": name,
        "title": TITLES.get(name, name.replace("_", " ")),
        "unit": UNITS.get(name, ""),
        "better": BETTER.get(name),
        "bounds": (None, None),
        "source": f"definition of {name}",
        "pooling": POOLING.get(name, "mean"),
        "value": None if failed else value,
        "low": None if failed else value - error,
        "high": None if failed else value + error,
        "num_ok": len(present),
        "num_total": len(values),
        "reasons": {"the codec crashed": failed} if failed else {},
    }
    return MetricSummary(**{**defaults, **fields})


def write_example(stem: Path, *, seconds: float, seed: int, noise: float) -> None:
    """Write ``<stem>.flac``, a gliding tone in noise at 16 kHz, and ``<stem>.png``."""
    generator = np.random.default_rng(seed)
    time_s = np.arange(int(16000 * seconds)) / 16000
    samples = 0.2 * np.sin(2 * np.pi * (200 + 50 * seed + 100 * time_s) * time_s)
    samples += noise * 0.2 * generator.standard_normal(len(time_s))
    flac, png = io.BytesIO(), io.BytesIO()
    soundfile.write(flac, samples, 16000, format="FLAC", subtype="PCM_16")
    spectrum = np.abs(np.fft.rfft(samples[: len(samples) // 256 * 256].reshape(-1, 256))).T[::-1]
    picture = np.clip(40 * np.log10(spectrum + 1e-2) + 80, 0, 255).astype(np.uint8)
    Image.fromarray(picture).resize((320, 96)).save(png, format="PNG")
    write_bytes(stem.with_name(f"{stem.name}.flac"), flac.getvalue())
    write_bytes(stem.with_name(f"{stem.name}.png"), png.getvalue())


def board(**fields: Any) -> Leaderboard:
    """Return a small leaderboard over two tasks."""
    defaults: dict[str, Any] = {
        "name": "small",
        "title": "Small",
        "question": "Which is best?",
        "reading": "Higher is better.",
        "sort_by": "pesq_wb",
        "groups": [
            {
                "heading": "Quality",
                "task": "reconstruction.v1",
                "columns": [{"metric": "pesq_wb"}, {"metric": "mel_distance_dac", "heading": "mel"}],
            },
            {"heading": "Cost", "task": "tokens.v1", "columns": [{"metric": "bitrate_nominal_bps"}]},
        ],
        "plot": {"y": ["pesq_wb"]},
    }
    return Leaderboard.model_validate({**defaults, **fields})


def bitrate(value_bps: float) -> MetricSummary:
    """Return the nominal bitrate that a run of the tokens task would report."""
    return summary_of("bitrate_nominal_bps", [value_bps] * 4)


CODECS = {
    "opus": (("6kbps", 6000), ("12kbps", 12000), ("24kbps", 24000), ("64kbps", 64000)),
    "encodec-24khz": (("1.5kbps", 1500), ("3kbps", 3000), ("6kbps", 6000), ("12kbps", 12000)),
    "mulaw": (("4bit", 64000), ("8bit", 128000)),
    "spectrogram-kmeans": (("256", 400), ("1024", 500)),
    "speechtokenizer": (("1", 500), ("4", 2000), ("8", 4000)),
    "identity": (("pcm", 256000),),
    "noise": (("white", 0),),
}


EFFICIENCY = {"opus": 2.3, "encodec-24khz": 1.7, "mulaw": 2.6, "speechtokenizer": 1.5, "spectrogram-kmeans": 2.1}
"""Decimal logarithm of the bitrate at which quality would be 0."""


def add_published(results: Results, *, num_examples: int = 0, seconds: float = 3.0) -> None:
    """Write a results folder as a released one would be: 17 settings, three tasks, costs and sounds."""
    results.num_utterances = 40
    for codec, settings in CODECS.items():
        for setting, rate_bps in settings:
            usual = float(np.clip((np.log10(rate_bps + 1) - EFFICIENCY.get(codec, 2.0)) / 3.2, 0.05, 0.95))
            quality = {"identity": 1.0, "noise": 0.0}.get(codec, usual)
            _add_published_setting(results, codec, setting, rate_bps, quality)
            if num_examples:
                noise = 2 * (1 - quality)
                results.add_examples(codec, setting, seconds=seconds, num=num_examples, noise=noise)


def _add_published_setting(results: Results, codec: str, setting: str, rate_bps: float, quality: float) -> None:
    generator = np.random.default_rng(len(codec) + int(rate_bps))
    hard = np.random.default_rng(7).normal(0, 0.1, results.num_utterances)

    def around(low: float, high: float) -> list[float | tuple[float, float] | None]:
        spread = (high - low) * (hard + generator.normal(0, 0.02, results.num_utterances))
        return [float(value) for value in low + (high - low) * quality + spread]

    scores = {
        "visqol": around(1.2, 4.9),
        "pesq_wb": around(1.0, 4.6),
        "pesq_nb": around(1.0, 4.5),
        "stoi": around(0.2, 1.0),
        "estoi": around(0.1, 1.0),
        "mel_distance_dac": around(3.0, 0.1),
        "mel_distance_codec_superb": around(2.0, 0.1),
        "stft_distance": around(4.0, 0.2),
        "log_spectral_distance_db": around(20.0, 0.5),
        "mcd_db": around(15.0, 0.1),
        "si_sdr_db": around(-30.0, 30.0),
        "snr_db": around(-3.0, 30.0),
        "f0_rmse_cents": [(abs(value), 1.0) for value in around(1e4, 10.0)],
        "f0_correlation": around(0.0, 1.0),
        "vde": around(0.5, 0.0),
        "gpe": around(0.4, 0.0),
        "ffe": around(0.6, 0.0),
    }
    quality_scores = {
        "dnsmos_overall": around(1.0, 4.0),
        "dnsmos_signal": around(1.0, 4.2),
        "dnsmos_background": around(1.0, 4.2),
        "dnsmos_p808": around(1.5, 4.0),
    }
    if codec == "spectrogram-kmeans":
        scores["visqol"][3] = None
    facts = {
        "streams": ("8 x 1024 at 75 Hz",),
        "sample_rate_hz": 24000,
        "num_parameters": 14_850_000,
        "trained_on": ("synth",) if "kmeans" in codec else (),
        "bitrate_bps": float(rate_bps),
    }
    results.add(codec, setting, scores, **facts)
    results.add(codec, setting, quality_scores, task="quality.v1", **facts)
    tokens = {"bitrate_nominal_bps": rate_bps, "tokens_per_second": rate_bps / 10}
    whole = {
        "bitrate_entropy_bps": rate_bps * 0.9,
        "bitrate_huffman_bps": rate_bps * 0.92,
        "codebook_usage": 0.9,
        "codebook_perplexity": 512.0,
        "normalized_entropy": 0.9,
        "mass_rarest_20pct": 0.02,
        "mass_commonest_20pct": 0.5,
    }
    groups = ["all"] if rate_bps < 1000 else ["all", *(f"codebook {index}" for index in range(1, 5))]
    summaries = [summary_of(name, [value] * 3, group=group) for name, value in whole.items() for group in groups]
    per_utterance = {name: [float(value)] * results.num_utterances for name, value in tokens.items()}
    results.add(codec, setting, per_utterance, task="tokens.v1", summaries=summaries, **facts)
    speed = {"encode_rtf": 0.01 + rate_bps / 1e6, "decode_rtf": 0.02, "peak_memory_bytes": 5e8}
    results.add_cost(codec, setting, **speed)
