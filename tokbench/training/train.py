"""From a spec and a corpus to a folder that is a codec: ``card.toml``, ``spec.toml`` and weights."""

import json
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from tokbench.codecs.spectrogram_kmeans import SPEC_FILE, WEIGHTS_FILE, LogMelFrames
from tokbench.corpora.base import Corpus
from tokbench.errors import UnknownNameError
from tokbench.paths import write_bytes
from tokbench.specs.base import file_sha256
from tokbench.specs.codec import find_spec
from tokbench.specs.spectrogram_kmeans import KmeansScale, SpectrogramKmeansSpec
from tokbench.specs.unit_kmeans import UnitKmeansSpec
from tokbench.training.kmeans import fit_codebooks, reservoir
from tokbench.training.units import train_units

__all__ = ["train"]

Progress = Callable[[str, float], None]
"""Told the stage and the share of it that is done, 0 .. 1."""


def train(
    spec_name: str,
    corpus: Corpus,
    out: Path,
    *,
    scale: str = "tiny",
    seed: int = 0,
    on_progress: Progress = lambda _stage, _share: None,
) -> Path:
    """Train what ``spec_name``, a shipped spec or a TOML file, declares, and return ``out``, then a codec.

    The same spec, corpus, scale and seed write the same bytes. Raises :class:`UnknownNameError` or
    :class:`tokbench.errors.SpecError` for the spec, and :class:`tokbench.errors.CorpusError` for a corpus that is
    too small.
    """
    spec, path = find_spec(spec_name)
    if scale not in spec.scales:
        raise UnknownNameError(f"scale of {spec.name}", scale, spec.scales, command="tokbench list specs")
    if isinstance(spec, UnitKmeansSpec):
        train_units(spec, path, corpus, out, scale=scale, seed=seed, on_progress=on_progress)
        return out
    weights = _train_kmeans(spec, corpus, spec.scales[scale], seed, on_progress)
    write_bytes(out / WEIGHTS_FILE, weights)
    if path.resolve() != (out / SPEC_FILE).resolve():
        shutil.copyfile(path, out / SPEC_FILE)
    # The card comes last: a folder without one is not a codec.
    write_bytes(out / "card.toml", _card(spec, corpus, scale, seed, out).encode())
    return out


def _train_kmeans(
    spec: SpectrogramKmeansSpec, corpus: Corpus, scale: KmeansScale, seed: int, on_progress: Progress
) -> bytes:
    frames = reservoir(_frames(spec, corpus, on_progress), scale.max_frames, seed=seed)
    centroids, steps = fit_codebooks(
        frames,
        num_codebooks=spec.num_codebooks,
        codebook_size=spec.codebook_size,
        scale=scale,
        seed=seed,
        on_codebook=lambda done: on_progress("clustering frames", done / spec.num_codebooks),
    )
    return save({"centroids": torch.from_numpy(centroids), "steps": torch.from_numpy(steps)})


def _frames(spec: SpectrogramKmeansSpec, corpus: Corpus, on_progress: Progress) -> Iterator[np.ndarray]:
    log_mel = LogMelFrames(spec.log_mel)
    for done, utterance in enumerate(corpus, start=1):
        audio = utterance.read().resample(spec.log_mel.sample_rate_hz).to_channels(1)
        yield log_mel(audio.samples).numpy()
        on_progress("reading audio", done / len(corpus))


def _card(spec: SpectrogramKmeansSpec, corpus: Corpus, scale: str, seed: int, out: Path) -> str:
    name = out.resolve().name
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
        f"Griffin-Lim. Scale {scale}, seed {seed}, trained on {len(corpus)} utterances of {corpus.reference}."
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
trained_on = [{_quoted(corpus.name)}]
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
