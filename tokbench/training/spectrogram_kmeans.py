"""Residual k-means of log-mel frames: a codec that is trained in seconds."""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from tokbench.codecs.spectrogram_kmeans import SPEC_FILE, WEIGHTS_FILE, LogMelFrames
from tokbench.corpora.base import Corpus
from tokbench.paths import write_bytes
from tokbench.specs.base import file_sha256, write_toml
from tokbench.specs.spectrogram_kmeans import SpectrogramKmeansSpec
from tokbench.training.kmeans import fit_codebooks, reservoir
from tokbench.training.learner import Origin

__all__ = ["train_spectrogram_kmeans"]

OnProgress = Callable[[str, float], None]


def train_spectrogram_kmeans(
    spec: SpectrogramKmeansSpec, origin: Origin, out: Path, *, on_progress: OnProgress
) -> None:
    """Write into ``out`` the codec that ``spec`` declares, and the spec.

    Raises :class:`tokbench.errors.CorpusError` for a corpus that is too small.
    """
    write_bytes(out / WEIGHTS_FILE, _train_kmeans(spec, origin, on_progress))
    write_toml(out / SPEC_FILE, spec)
    # The card comes last: a folder without one is not a codec.
    write_bytes(out / "card.toml", _card(spec, origin, out).encode())


def _train_kmeans(spec: SpectrogramKmeansSpec, origin: Origin, on_progress: OnProgress) -> bytes:
    scale = spec.scales[origin.scale]
    frames = reservoir(_frames(spec, origin.corpus, on_progress), scale.max_frames, seed=origin.seed)
    centroids, steps = fit_codebooks(
        frames,
        num_codebooks=spec.num_codebooks,
        codebook_size=spec.codebook_size,
        scale=scale,
        seed=origin.seed,
        on_codebook=lambda done: on_progress("clustering frames", done / spec.num_codebooks),
    )
    return save({"centroids": torch.from_numpy(centroids), "steps": torch.from_numpy(steps)})


def _frames(spec: SpectrogramKmeansSpec, corpus: Corpus, on_progress: OnProgress) -> Iterator[np.ndarray]:
    log_mel = LogMelFrames(spec.log_mel)
    for done, utterance in enumerate(corpus, start=1):
        audio = utterance.read().resample(spec.log_mel.sample_rate_hz).to_channels(1)
        yield log_mel(audio.samples).numpy()
        on_progress("reading audio", done / len(corpus))


def _card(spec: SpectrogramKmeansSpec, origin: Origin, out: Path) -> str:
    name, corpus = out.resolve().name, origin.corpus
    log_mel = spec.log_mel
    frame_rate_hz = log_mel.sample_rate_hz / log_mel.hop_length
    settings = "\n".join(
        f"{num_codebooks}x{spec.codebook_size} = {{ num_codebooks = {num_codebooks} }}"
        for num_codebooks in spec.settings
    )
    rates = "\n".join(
        f"{num_codebooks}x{spec.codebook_size} = {num_codebooks * math.log2(spec.codebook_size) * frame_rate_hz:g}"
        for num_codebooks in spec.settings
    )
    # A frame is centred on its first sample: half a window lies beyond, of which a hop is the frame's own.
    look_ahead = max(log_mel.window_length // 2 - log_mel.hop_length, 0)
    notes = (
        f"{spec.num_codebooks} codebooks of {log_mel.num_mels} log-mel bands at {frame_rate_hz:g} Hz, decoded by "
        f"Griffin-Lim. Scale {origin.scale}, seed {origin.seed}, trained on {len(corpus)} utterances of "
        f"{corpus.reference}."
    )
    hashes = "\n".join(f'"{file}" = "{file_sha256(out / file)}"' for file in (SPEC_FILE, WEIGHTS_FILE))
    return f"""\
name = {_quoted(name)}
title = "Spectrogram k-means, Griffin-Lim"
kind = "classical codec"
adapter = "tokbench.codecs.spectrogram_kmeans:SpectrogramKmeans"
licence = {_quoted(corpus.licence or "unknown")}
source = "tokbench train {spec.name}"
default_setting = "{spec.settings[len(spec.settings) // 2]}x{spec.codebook_size}"
sample_rate_hz = {log_mel.sample_rate_hz}
causal = true
latency_s = {look_ahead / log_mel.sample_rate_hz:g}
streaming = false
num_parameters = {spec.num_codebooks * spec.codebook_size * log_mel.num_mels}
trained_on = [{", ".join(map(_quoted, corpus.names))}]
requires = ["torchaudio"]
notes = {_quoted(notes)}

[weights]
folder = {_quoted(name)}

[weights.files]
{hashes}

[settings]
{settings}

[bitrate_bps]
{rates}
"""


def _quoted(text: str) -> str:
    """Return a TOML basic string; JSON's escapes are among TOML's."""
    return json.dumps(text, ensure_ascii=False)
