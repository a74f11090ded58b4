"""From a spec and a corpus to a folder that is a codec: ``card.toml``, ``spec.toml`` and weights."""

import hashlib
import importlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokbench.corpora.base import Corpus
from tokbench.errors import UnknownNameError
from tokbench.specs.augmentation import Augmentation
from tokbench.specs.codec import CodecSpec, KmeansSpec, find_spec
from tokbench.specs.scales import ScaledSpec
from tokbench.specs.unit_kmeans import UnitKmeansSpec
from tokbench.training.crops import Batches, Crops, default_num_workers
from tokbench.training.data import crop_length, open_crops
from tokbench.training.folder import RunFolder
from tokbench.training.learner import Learner, Origin
from tokbench.training.loop import seed_all
from tokbench.training.processes import Processes
from tokbench.training.run import Run
from tokbench.training.spectrogram_kmeans import train_spectrogram_kmeans
from tokbench.training.units import train_units
from tokbench.training.utterances import Utterances, open_utterances
from tokbench.training.validation import Validation
from tokbench.training.watcher import Watcher

__all__ = ["Options", "identity", "train"]

_LEARNERS: Mapping[str, str] = {
    "neural-codec": "tokbench.training.codec:CodecLearner",
    "speech-encoder": "tokbench.training.speech_encoder:SpeechEncoderLearner",
    "spin": "tokbench.training.spin:SpinLearner",
    "text-encoder": "tokbench.training.text_encoder:TextEncoderLearner",
    "unit-vocoder": "tokbench.training.unit_vocoder:UnitVocoderLearner",
}
"""What learns a spec of each kind that is trained by gradients, as ``module:Class``."""


@dataclass(frozen=True)
class Options:
    """How a spec is trained, beside what it says itself."""

    changes: Mapping[str, Any] = field(default_factory=dict)
    """Laid over the spec, table by table."""
    device: str = "cpu"
    """``cpu``, ``cuda`` or ``cuda:N``."""
    num_workers: int | None = None
    """Processes that read audio; by default half of the cores."""
    restart: bool = False
    """Whether to begin again where the folder holds a run."""
    keep_checkpoint: bool = False
    """Whether the last checkpoint stays beside the finished codec."""
    waits: bool = False
    """Whether to wait for a process that trains the same in the same folder, rather than to refuse."""


def train(
    spec_name: str,
    corpus: Corpus,
    out: Path,
    *,
    scale: str = "tiny",
    seed: int = 0,
    options: Options = Options(),
    watcher: Watcher = Watcher(),  # noqa: B008  (without a state)
) -> Path:
    """Train what ``spec_name``, a shipped spec or a TOML file, declares, and return ``out``, then a codec.

    The same spec, corpus, scale and seed write the same bytes. A run by steps that was interrupted goes on from its
    last checkpoint, and what is finished is not trained again.

    Raises :class:`UnknownNameError` or :class:`tokbench.errors.SpecError` for the spec,
    :class:`tokbench.errors.CorpusError` for a corpus that is too small,
    :class:`tokbench.training.folder.RunExistsError` for a folder that holds another run, and
    :class:`tokbench.training.alarms.DivergenceError`.
    """
    spec = _at_scale(find_spec(spec_name, scale, changes=options.changes)[0], scale)
    origin, processes = Origin(corpus, scale, seed), Processes.start(options.device)
    folder = RunFolder(out, identity(spec, origin, processes.count), is_first=processes.is_first)
    processes.wait()
    if folder.is_finished and not options.restart:
        watcher.say("finished already")
        return out
    with folder.claimed(restart=options.restart, waits=options.waits):
        processes.wait()
        if folder.is_finished:
            return out
        if isinstance(spec, ScaledSpec):
            _train_by_steps(spec, origin, folder, processes, options, watcher)
        elif processes.is_first:
            _cluster(spec, origin, out, watcher)
        folder.finish()
        if processes.is_first and not options.keep_checkpoint:
            folder.checkpoint.unlink(missing_ok=True)
    return out


def _at_scale(spec: CodecSpec, scale: str) -> CodecSpec:
    """Return ``spec``, if it holds all of its scales, with none but ``scale``; raises :class:`UnknownNameError`."""
    if isinstance(spec, ScaledSpec):
        return spec
    if scale not in spec.scales:
        raise UnknownNameError(f"scale of {spec.name}", scale, spec.scales, command="tokbench list specs")
    return spec.model_copy(update={"scales": {scale: spec.scales[scale]}})


def _cluster(spec: KmeansSpec, origin: Origin, out: Path, watcher: Watcher) -> None:
    if isinstance(spec, UnitKmeansSpec):
        train_units(spec, origin, out, on_progress=watcher.stage)
    else:
        train_spectrogram_kmeans(spec, origin, out, on_progress=watcher.stage)


def _train_by_steps(
    spec: ScaledSpec, origin: Origin, folder: RunFolder, processes: Processes, options: Options, watcher: Watcher
) -> None:
    learnt_from, held_out = open_utterances(origin.corpus).split(spec.training.num_held_out)
    for number, learner in enumerate(_learners(spec, folder.path, origin.seed)):
        if number < folder.num_finished:
            continue
        augmentation = Augmentation() if number else spec.augmentation
        crops = open_crops(learnt_from, learner, augmentation, seed=origin.seed)
        Run(
            folder=folder,
            learner=learner,
            batches=_batches(crops, learner, processes, options),
            validation=_validation(held_out, learner, folder) if processes.is_first else None,
            processes=processes,
            origin=origin,
            watcher=watcher if processes.is_first else Watcher(),
        ).complete()


def identity(spec: CodecSpec, origin: Origin, num_processes: int) -> Mapping[str, str]:
    """Return what makes two runs the same."""
    other_scales = {"scales"} if isinstance(spec, ScaledSpec) else None
    declared = json.dumps(spec.model_dump(mode="json", exclude=other_scales), sort_keys=True)
    return {
        "spec": hashlib.sha256(declared.encode()).hexdigest(),
        "corpus": f"{origin.corpus.name} {origin.corpus.sha256}",
        "seed": str(origin.seed),
        "number of processes": str(num_processes),
    }


def _learners(spec: ScaledSpec, out: Path, seed: int) -> Iterator[Learner]:
    """Yield what is trained, one after the other, each begun from the same seed."""
    seed_all(seed)
    module, _, name = _LEARNERS[spec.kind].partition(":")
    build: Callable[[ScaledSpec], Learner] = getattr(importlib.import_module(module), name)
    first = build(spec)
    yield first
    successors = iter(first.successors(out))
    while True:
        seed_all(seed)  # before its networks are built, whatever has been drawn since
        successor = next(successors, None)
        if successor is None:
            return
        yield successor


def _batches(crops: Crops, learner: Learner, processes: Processes, options: Options) -> Batches:
    num_workers = default_num_workers(processes.count) if options.num_workers is None else options.num_workers
    return Batches(
        crops,
        learner.settings.batch_size,
        process=processes.index,
        num_processes=processes.count,
        num_workers=num_workers,
        is_pinned=processes.device.type == "cuda",
    )


def _validation(utterances: Utterances, learner: Learner, folder: RunFolder) -> Validation:
    return Validation(
        utterances,
        sample_rate_hz=learner.sample_rate_hz,
        num_samples=crop_length(learner.settings.validation_s, learner),
        hop_length=learner.hop_length,
        folder=folder.log / "audio",
    )
