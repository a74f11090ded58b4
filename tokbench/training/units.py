"""K-means units: frames of continuous features drawn from a corpus of any size, then their centroids.

The recipe of GSLM and of HuBERT (fairseq, ``cluster_kmeans.py`` and ``learn_kmeans.py``), with scikit-learn's
mini-batch k-means. One utterance's frames are held at a time beside those that were drawn.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from sklearn.cluster import MiniBatchKMeans

from tokbench.codecs.card import Card, WeightsSource
from tokbench.codecs.frame_features import FrameFeatures
from tokbench.codecs.registry import CodecReference, load, one
from tokbench.codecs.weights import weights_files
from tokbench.corpora.base import Corpus, joined_licences
from tokbench.errors import CorpusError, SpecError
from tokbench.paths import write_bytes
from tokbench.specs.base import file_sha256, write_toml
from tokbench.specs.unit_kmeans import MiniBatch, UnitKmeansSpec
from tokbench.training.kmeans import reservoir
from tokbench.training.learner import Origin

__all__ = ["CENTROIDS_FILE", "fit_centroids", "train_units"]

CENTROIDS_FOLDER, CENTROIDS_FILE = "centroids", "centroids.safetensors"
SPEC_FILE = "spec.toml"

Progress = Callable[[str, float], None]


def train_units(spec: UnitKmeansSpec, origin: Origin, out: Path, *, on_progress: Progress) -> None:
    """Write into ``out`` the tokenizer that ``spec`` declares, and the spec.

    The features' own weights stay where they are, if they are found by their name: the card names them as a part.
    Those of a folder are brought along. Raises :class:`SpecError` for features that cannot be clustered, and
    :class:`CorpusError` for a corpus that is too small.
    """
    reference = one(f"{spec.features}:{spec.setting}")
    features = load(reference)
    if not isinstance(features, FrameFeatures):
        problem = f"features: {spec.features} has no frames to cluster; log-mel, for one, has"
        raise SpecError(spec.name, [problem])
    frames = _frames(features, origin.corpus, on_progress)
    centroids = fit_centroids(frames, spec.num_units, spec.scales[origin.scale], seed=origin.seed)
    on_progress("clustering frames", 1.0)
    file = out / CENTROIDS_FOLDER / CENTROIDS_FILE
    write_bytes(file, save({"centroids": torch.from_numpy(centroids)}))
    write_toml(out / SPEC_FILE, spec)
    rate_hz = features.info.sample_rate_hz / features.encoder.hop_length
    card = _card(spec, reference.card, features, name=out.resolve().name, sha256=file_sha256(file), rate_hz=rate_hz)
    card["num_parameters"] = (features.info.num_parameters or 0) + centroids.size
    card["notes"] = _notes(spec, origin)
    card["licence"] = _licence(reference.card, origin.corpus)
    card["trained_on"] = list(dict.fromkeys([*reference.card.trained_on, *origin.corpus.names]))
    if reference.folder is not None:
        _bring_model(reference, reference.folder, out)
    # The card comes last: a folder without one is not a tokenizer.
    write_toml(out / "card.toml", card)


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


def _bring_model(reference: CodecReference, folder: Path, out: Path) -> None:
    source = reference.card.weights
    if source is not None:
        for file in weights_files(source, reference.setting, folder):
            write_bytes(out / source.folder / file.relative_to(folder), file.read_bytes())


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
        "kind": "semantic tokenizer",
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


def _notes(spec: UnitKmeansSpec, origin: Origin) -> str:
    return (
        f"{spec.num_units} centroids of {spec.features}:{spec.setting}. Scale {origin.scale}, seed {origin.seed}, "
        f"trained on {len(origin.corpus)} utterances of {origin.corpus.reference}."
    )


def _licence(source: Card, corpus: Corpus) -> str:
    own = corpus.licence or "unknown"
    return own if source.weights is None else joined_licences(source.licence, own)
