"""The card of a codec that was trained: what it is, measured on what was written."""

import math
from pathlib import Path
from typing import Any

import torch

from tokbench.codecs.card import Card, WeightsSource
from tokbench.codecs.trained import SPEC_FILE, WEIGHTS_FILE, load_network
from tokbench.models.neural_codec import NeuralCodec
from tokbench.specs.base import file_sha256
from tokbench.specs.neural_codec import NeuralCodecSpec
from tokbench.specs.quantizers import Continuous, Rvq
from tokbench.training.learner import Origin

__all__ = ["codec_card", "look_ahead", "offered"]

_ADAPTER = "tokbench.codecs.trained:TrainedCodec"
_SEMANTIC_ADAPTER = "tokbench.codecs.semantic:SemanticCodec"
_PROBED_FRAMES = (64, 256)
"""Frames of the noise in which the look-ahead is sought: more where all of the first were needed."""


def codec_card(folder: Path, origin: Origin, *, heard_before: tuple[str, ...], notes: tuple[str, ...]) -> Card:
    """Return the card of the trained networks in ``folder``, which are loaded for that.

    ``heard_before`` are corpora that other models heard which taught it; ``notes`` are sentences about them.
    """
    network = load_network(folder)
    spec, sizes = network.spec, network.quantizer.codebook_sizes
    settings = _settings(spec, sizes)
    beside = math.log2(spec.semantic.num_units or 1) if spec.semantic is not None else 0.0
    latency_s = math.inf if spec.semantic is not None else look_ahead(network) / spec.sample_rate_hz
    training = spec.training
    run = f"Scale {origin.scale}, seed {origin.seed}, {training.num_steps} steps of {training.batch_size} crops."
    return Card(
        name=(name := folder.resolve().name),
        title=spec.title,
        kind="continuous tokenizer" if isinstance(spec.quantizer, Continuous) else "neural codec",
        adapter=_ADAPTER if spec.semantic is None else _SEMANTIC_ADAPTER,
        licence=origin.corpus.licence or "unknown",
        source=f"tokbench train {spec.name} --scale {origin.scale}; {spec.source}",
        default_setting=list(settings)[-1],
        settings=settings,
        # Beside a loudness, which is sent once, there is no rate that holds for audio of any length.
        bitrate_bps={}
        if spec.loudness_normalized
        else {
            setting: spec.frame_rate_hz * (beside + sum(map(math.log2, sizes[: arguments["num_codebooks"]])))
            for setting, arguments in settings.items()
        },
        sample_rate_hz=spec.sample_rate_hz,
        causal=latency_s == 0,
        latency_s=round(latency_s, 6),
        streaming=False,
        num_parameters=sum(parameter.numel() for parameter in network.parameters()),
        trained_on=tuple(dict.fromkeys([*heard_before, *origin.corpus.names])),
        weights=WeightsSource(
            folder=name, files={file: file_sha256(folder / file) for file in (SPEC_FILE, WEIGHTS_FILE)}
        ),
        notes=" ".join([run, *notes, *origin.remarks]),
    )


def _settings(spec: NeuralCodecSpec, sizes: tuple[int, ...]) -> dict[str, dict[str, Any]]:
    """Return each setting's arguments: with a switch for noise, two for each number of codebooks."""
    settings: dict[str, dict[str, Any]] = {}
    for count in offered(spec, len(sizes)):
        name, arguments = f"{count}x{sizes[0]}", {"num_codebooks": count}
        if spec.denoising != "none" and spec.semantic is None:
            settings[f"{name}-denoised"] = {**arguments, "is_denoised": True}
        settings[name] = {**arguments}
    return settings


def offered(spec: NeuralCodecSpec, num_codebooks: int) -> tuple[int, ...]:
    """Return the numbers of codebooks that a card offers, rising.

    Those of the spec; else every power of two, times the groups, and all. Continuous latents are all or nothing.
    """
    if isinstance(spec.quantizer, Continuous):
        return (num_codebooks,)
    groups = spec.quantizer.num_groups if isinstance(spec.quantizer, Rvq) else 1
    powers = [groups * 2**exponent for exponent in range((num_codebooks // groups).bit_length())]
    return spec.settings or tuple(sorted({*powers, num_codebooks}))


def look_ahead(network: NeuralCodec) -> float:
    """Return how many samples beyond its own last one a frame depends on; ``inf`` if on all that there are.

    Found by the gradient of one frame in the middle of noise, in double precision, in which even what an LSTM
    remembers from afar is not 0.
    """
    precise = network.double()
    try:
        for num_frames in _PROBED_FRAMES:
            last = _last_sample(precise, num_frames)
            if last < num_frames * network.spec.hop_length - 1:
                return max(last + 1 - (num_frames // 2 + 1) * network.spec.hop_length, 0)
    finally:
        network.float()
    return math.inf


def _last_sample(network: NeuralCodec, num_frames: int) -> int:
    noise = torch.randn(1, 1, num_frames * network.spec.hop_length, generator=torch.Generator().manual_seed(0))
    samples = noise.double().requires_grad_()
    frame = network.latents(samples)[..., num_frames // 2]
    (gradient,) = torch.autograd.grad(frame.square().sum(), samples)
    return int(gradient.flatten().nonzero().max())
