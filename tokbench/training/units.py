"""K-means units: frames of continuous features drawn from a corpus of any size, then their centroids.

The recipe of GSLM and of HuBERT (fairseq, ``cluster_kmeans.py`` and ``learn_kmeans.py``), with scikit-learn's
mini-batch k-means. One utterance's frames are held at a time beside those that were drawn.
"""

import json
import math
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from sklearn.cluster import MiniBatchKMeans

from tokbench.codecs.card import Card, WeightsSource
from tokbench.codecs.frame_features import FrameFeatures
from tokbench.codecs.registry import load, one
from tokbench.corpora.base import Corpus
from tokbench.errors import CorpusError, SpecError
from tokbench.paths import write_bytes
from tokbench.specs.base import file_sha256
from tokbench.specs.unit_kmeans import MiniBatch, UnitKmeansSpec
from tokbench.training.kmeans import reservoir

__all__ = ["CENTROIDS_FILE", "fit_centroids", "train_units"]

CENTROIDS_FOLDER, CENTROIDS_FILE = "centroids", "centroids.safetensors"
SPEC_FILE = "spec.toml"

Progress = Callable[[str, float], None]


def train_units(
    spec: UnitKmeansSpec, path: Path, corpus: Corpus, out: Path, *, scale: str, seed: int, on_progress: Progress
) -> None:
    """Write into ``out`` the tokenizer that ``spec``, read from ``path``, declares.

    The features' own weights stay where they are: the card names them as a part. Raises :class:`SpecError` for
    features that cannot be clustered, and :class:`CorpusError` for a corpus that is too small.
    """
    reference = one(f"{spec.features}:{spec.setting}")
    features = load(reference)
    if not isinstance(features, FrameFeatures):
        problem = f"features: {spec.features} has no frames to cluster; log-mel, for one, has"
        raise SpecError(path, [problem])
    frames = _frames(features, corpus, on_progress)
    centroids = fit_centroids(frames, spec.num_units, spec.scales[scale], seed=seed)
    on_progress("clustering frames", 1.0)
    file = out / CENTROIDS_FOLDER / CENTROIDS_FILE
    write_bytes(file, save({"centroids": torch.from_numpy(centroids)}))
    if path.resolve() != (out / SPEC_FILE).resolve():
        shutil.copyfile(path, out / SPEC_FILE)
    rate_hz = features.info.sample_rate_hz / features.encoder.hop_length
    card = _card(spec, reference.card, features, name=out.resolve().name, sha256=file_sha256(file), rate_hz=rate_hz)
    card["notes"] = _notes(spec, corpus, scale, seed)
    card["licence"] = _licence(reference.card, corpus)
    card["trained_on"] = [*reference.card.trained_on, corpus.name]
    # The card comes last: a folder without one is not a tokenizer.
    write_bytes(out / "card.toml", _toml(card).encode())


def fit_centroids(blocks: Iterable[np.ndarray], num_units: int, options: MiniBatch, *, seed: int) -> np.ndarray:
    """Return float32 [V, D], the centroids of frames drawn from ``blocks`` [n, D].

    The same blocks, options and seed give the same bytes on one machine. Raises :class:`CorpusError` for fewer
    frames than centroids.
    """
    frames = reservoir(blocks, options.max_frames, seed=seed)
    if len(frames) < num_units:
        msg = f"{num_units} centroids need as many frames; the corpus has {len(frames)}"
        raise CorpusError(msg)
    fitted = MiniBatchKMeans(
        num_units,
        init="k-means++",
        batch_size=options.batch_frames,
        max_iter=options.max_passes,
        n_init=options.num_starts,
        max_no_improvement=options.max_no_improvement,
        reassignment_ratio=options.reassignment_ratio,
        tol=0.0,
        random_state=seed,
    ).fit(frames)
    return np.ascontiguousarray(fitted.cluster_centers_, np.float32)


def _frames(features: FrameFeatures, corpus: Corpus, on_progress: Progress) -> Iterator[np.ndarray]:
    for done, utterance in enumerate(corpus, start=1):
        audio = utterance.read().resample(features.info.sample_rate_hz).to_channels(1)
        yield features.latents(audio).values.numpy()
        on_progress("reading audio", done / len(corpus))


def _card(
    spec: UnitKmeansSpec, source: Card, features: FrameFeatures, *, name: str, sha256: str, rate_hz: float
) -> dict[str, Any]:
    setting = f"{spec.setting}-km{spec.num_units}"
    parts = {"centroids": {"folder": CENTROIDS_FOLDER, "files": {CENTROIDS_FILE: sha256}}}
    if source.weights is not None:
        parts["model"] = _stated(source.weights)
    return {
        "name": name,
        "title": f"{source.title.removesuffix(', continuous')}, k-means units",
        "adapter": features.units_adapter,
        "source": f"tokbench train {spec.name}; {source.source}",
        "default_setting": setting,
        "sample_rate_hz": features.info.sample_rate_hz,
        "causal": False,
        "latency_s": features.info.latency_s,
        "streaming": False,
        "requires": list(source.requires),
        "arguments": {
            **source.arguments,
            **source.settings[spec.setting],
            "centroids_file": CENTROIDS_FILE,
        },
        "bitrate_bps": {setting: rate_hz * math.log2(spec.num_units)},
        "settings": {setting: {}, f"{setting}-dedup": {"deduplicate": True}},
        "parts": parts,
    }


def _stated(source: WeightsSource) -> dict[str, Any]:
    return source.model_dump(mode="json", exclude_defaults=True)


def _notes(spec: UnitKmeansSpec, corpus: Corpus, scale: str, seed: int) -> str:
    return (
        f"{spec.num_units} centroids of {spec.features}:{spec.setting}. Scale {scale}, seed {seed}, trained on "
        f"{len(corpus)} utterances of {corpus.reference}."
    )


def _licence(source: Card, corpus: Corpus) -> str:
    own = corpus.licence or "unknown"
    return own if source.weights is None or source.licence == own else f"{source.licence} AND {own}"


def _toml(values: Mapping[str, Any]) -> str:
    """Return plain values, the tables among them last and one level deep, as TOML."""
    plain = {key: value for key, value in values.items() if not isinstance(value, Mapping)}
    tables = {key: value for key, value in values.items() if isinstance(value, Mapping)}
    lines = [f"{key} = {_value(value)}" for key, value in plain.items()]
    for name, table in tables.items():
        lines += ["", f"[{name}]", *(f"{_key(key)} = {_value(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def _key(key: str) -> str:
    return key if re.fullmatch(r"[\w-]+", key, re.ASCII) else json.dumps(key)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        items = ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items())
        return f"{{ {items} }}" if items else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    if value == math.inf:
        return "inf"
    # JSON's strings, numbers and truth values are among TOML's.
    return json.dumps(value, ensure_ascii=False)
