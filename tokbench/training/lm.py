"""How language models of codes learn: all stages of a spec at once, each by its own objective."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tokbench.codecs.checkpoints import write_halves
from tokbench.corpora.base import Corpus, Utterance
from tokbench.errors import UsageError
from tokbench.lm.crops import cropped
from tokbench.lm.examples import Example, deduplicated, run_lengths
from tokbench.lm.items import InAnyForm, Material
from tokbench.lm.language_model import CARD_FILE, SPEC_FILE, WEIGHTS_FILE, LanguageModel, build_networks
from tokbench.lm.network import COMPUTATION, StageNetwork
from tokbench.lm.objectives import losses
from tokbench.lm.pruning import narrowed_to, pruned
from tokbench.lm.streams import load_tools
from tokbench.lm.tokens import open_tokens
from tokbench.lm.transfer import begin_with, other_network
from tokbench.models.processes import sum_over_processes_
from tokbench.specs.base import file_sha256, write_toml
from tokbench.specs.codec import find_spec, list_lms
from tokbench.specs.lm import LmSpec
from tokbench.specs.lm_card import LmCard
from tokbench.specs.training import Optimizer
from tokbench.training.folder import RunFolder
from tokbench.training.learner import Learner, Origin, Progress, Turn
from tokbench.training.lm_data import (
    NUM_PREDICTED,
    DrawnTokens,
    TokenBatch,
    TokenBatches,
    TokenValidation,
    leave_out_long,
    split,
)
from tokbench.training.loop import seed_all
from tokbench.training.processes import Processes
from tokbench.training.run import Run
from tokbench.training.train import Options, identity
from tokbench.training.watcher import Watcher

__all__ = ["LmLearner", "run_counts", "train_lm"]

START_FOLDER = "start"
"""Of the model that another one begins with, in its own folder."""


class LmLearner(Learner[TokenBatch]):
    """The networks of all stages of ``spec``, which begin with the weights of the model in ``start``, if any.

    Where a stage learns prompts, everything else of it stays as it is.
    """

    num_tokens: Tensor
    audio_s: Tensor

    def __init__(self, spec: LmSpec, start: Path | None = None) -> None:
        super().__init__()
        self.spec, self.settings = spec, spec.training
        self.sample_rate_hz, self.hop_length = spec.sample_rate_hz, 1
        self.networks = build_networks(spec)
        if start is not None:
            _begin_with(self, LanguageModel(start, trusts_code=True))  # its tokenizers are not loaded
        self.register_buffer("num_tokens", torch.zeros((), dtype=torch.float64))
        self.register_buffer("audio_s", torch.zeros((), dtype=torch.float64))
        for stream, frames in self._run_frames():
            self.register_buffer(_counts_of(stream), torch.zeros(2, len(frames), dtype=torch.float64))

    def _run_frames(self) -> Iterator[tuple[str, Tensor]]:
        """Yield where it is kept how long symbols go on of streams that come out without repetitions."""
        for network in map(self.network, self.spec.stages):
            for stream in network.in_runs:
                yield stream, network.run_frames(stream)

    def network(self, stage: str) -> StageNetwork:
        """Return the network of a stage."""
        network = self.networks[stage]
        if not isinstance(network, StageNetwork):
            raise TypeError(stage)
        return network

    def optimizers(self) -> Mapping[str, tuple[Optimizer, list[nn.Parameter]]]:
        """Return that of each stage."""
        return {
            name: (stage.optimizer or self.settings.optimizer, self._learning(name))
            for name, stage in self.spec.stages.items()
        }

    def _learning(self, stage: str) -> list[nn.Parameter]:
        parameters = dict(self.network(stage).named_parameters())
        if self.spec.stages[stage].prompts is None:
            return list(parameters.values())
        return [parameter for name, parameter in parameters.items() if name.endswith(".prompts")]

    def turns(self, batch: TokenBatch, progress: Progress) -> Iterator[Turn]:
        """Yield the turn of each stage, whether or not it has something to learn from ``batch``.

        Another process may have, and they average gradients together: all take the same turns.
        """
        del progress
        pieces = {name: self._pieces(name, batch) for name in self.spec.stages}
        num_tokens = 0
        for name, each in pieces.items():
            if each:
                found = losses(self.network(name), each)
                num_tokens += found.num_predicted
                yield Turn(name, found.total, {f"{name}.{key}": value for key, value in found.shown.items()})
            else:
                yield Turn(name, _nothing_learnt())
        # Stages may learn from pieces of different lengths: the audio that was heard is that of the longest.
        audio_s = max(sum(piece.duration_s for piece in each) for each in pieces.values())
        learnt = torch.tensor([num_tokens, audio_s], dtype=torch.float64, device=self.num_tokens.device)
        new_tokens, new_audio_s = sum_over_processes_(learnt)
        self.num_tokens += new_tokens
        self.audio_s += new_audio_s
        for stream, frames in dict(self._run_frames()).items():
            counts = self.get_buffer(_counts_of(stream))
            counts += sum_over_processes_(run_counts(batch.examples, stream, len(frames)).to(counts.device))

    def _pieces(self, stage: str, batch: TokenBatch) -> list[Example]:
        """Return pieces of the examples that are of a form of ``stage``."""
        writing = self.network(stage).writing
        return [cropped(writing, each.form, each) for each in batch.examples if each.form in writing.stage.forms]

    def averaged(self) -> nn.Module:
        """Return the networks."""
        return self.networks

    @torch.no_grad()
    def validate(self, batch: TokenBatch) -> Mapping[str, Tensor]:
        """Return what the curves show, of examples that are held out, and of how many symbols it is the mean."""
        shown: dict[str, Tensor] = {}
        for name in self.spec.stages:
            if pieces := self._pieces(name, batch):
                found = losses(self.network(name), pieces)
                shown |= {f"{name}.{key}": value for key, value in found.shown.items()}
                shown[f"{name}.{NUM_PREDICTED}"] = torch.tensor(float(found.num_predicted))
        return shown

    def judged(self, losses: Mapping[str, float]) -> Mapping[str, float]:
        """Return what held-out examples cost each stage."""
        costs = {
            name: [value for key, value in losses.items() if key.startswith(f"{name}.")]
            for name in self.spec.stages
        }
        return {name: sum(each) for name, each in costs.items() if each}

    def export(self, folder: Path, origin: Origin) -> None:
        """Write the weights in half precision, the spec, and last what says that it is a language model."""
        for stream, frames in self._run_frames():
            num_frames, num_runs = self.get_buffer(_counts_of(stream))
            usual = num_frames.sum() / num_runs.sum().clamp_min(1)
            frames.copy_(torch.where(num_runs > 0, num_frames / num_runs, usual).clamp_min(1))
        write_halves(folder / WEIGHTS_FILE, self.networks.state_dict())
        write_toml(folder / SPEC_FILE, self.spec)
        card = LmCard(
            name=folder.resolve().name,
            title=self.spec.title,
            source=f"tokbench train {self.spec.name} --scale {origin.scale}; {self.spec.source}",
            licence=origin.corpus.licence or "unknown",
            trained_on=origin.corpus.names,
            scale=origin.scale,
            seed=origin.seed,
            num_parameters=sum(parameter.numel() for parameter in self.networks.parameters()),
            num_steps=self.settings.num_steps,
            num_tokens=int(self.num_tokens),
            audio_s=round(float(self.audio_s), 3),
            computation=COMPUTATION,
            files={name: file_sha256(folder / name) for name in (SPEC_FILE, WEIGHTS_FILE)},
            remarks=origin.remarks,
        )
        write_toml(folder / CARD_FILE, card)


def _counts_of(stream: str) -> str:
    """Return the name of the buffer with frames and runs of each symbol of ``stream``."""
    return f"run_counts_{stream}"


def run_counts(examples: Iterable[Example], stream: str, num_symbols: int) -> Tensor:
    """Return the frames, and the runs, of each symbol of the first codebook, float64 [2, V]."""
    counts = torch.zeros(2, num_symbols, dtype=torch.float64)
    for codes in (example.streams[stream].cpu() for example in examples if stream in example.streams):
        symbols, frames = deduplicated(codes)[0], run_lengths(codes)
        counts.index_add_(1, symbols, torch.stack([frames, torch.ones_like(frames)]).double())
    return counts


def _nothing_learnt() -> Tensor:
    """Return a loss of no parameter, which leaves all as they are: for a gradient of 0, momentum would go on."""
    return torch.zeros((), requires_grad=True)


def _begin_with(learner: LmLearner, other: LanguageModel) -> None:
    """Take the weights of the stage of the same name, or of the only stage that there is.

    Raises :class:`UsageError` for a model that has neither, or other networks, or streams of another tokenizer.
    """
    _expect_same_tokenizers(learner.spec, other)
    known = list(other.spec.stages)
    pairs = {
        name: name if name in known else known[0]
        for name in learner.spec.stages
        if name in known or len(known) == 1
    }
    if not pairs:
        msg = f"{other.folder}: {learner.spec.name} has none of its stages, {', '.join(known)}, to begin with"
        raise UsageError(msg)
    for name, theirs in pairs.items():
        own, given = learner.network(name), other.network(theirs)
        if difference := other_network(own, given):
            msg = (
                f"{other.folder}: the stage {name} of {learner.spec.name} cannot begin with it: {difference}. "
                "Give both the same network"
            )
            raise UsageError(msg)
        begin_with(own, given)


def _expect_same_tokenizers(spec: LmSpec, other: LanguageModel) -> None:
    """Raise :class:`UsageError` where a code of a stream means another thing in ``other``."""
    for name, source in other.spec.streams.items():
        own = spec.streams.get(name)
        hashes = {getattr(each, "tokenizer_sha256", None) for each in (own, source)} - {None}
        if len(hashes) > 1:
            found, expected = (getattr(each, "tokenizers", ("?",))[0] for each in (source, own))
            msg = f"{other.folder}: its stream {name!r} is of {found}, and that of {spec.name} of {expected}"
            raise UsageError(msg)


class _Facts(Corpus):
    """What a run says of the ``material`` it learns from: it reads tokens, and no utterances."""

    def __init__(self, material: Material) -> None:
        self.name, self.reference, self.licence = material.name, material.reference, material.licence
        self._material = material

    def __iter__(self) -> Iterator[Utterance]:
        return iter(())

    def __len__(self) -> int:
        return len(self._material)

    @property
    def names(self) -> tuple[str, ...]:
        """Those of the material."""
        return self._material.names

    @property
    def sha256(self) -> str:
        """Hash of the material."""
        return self._material.sha256


def train_lm(  # noqa: PLR0913  (what a long job needs to know)
    spec_name: str,
    material: Material,
    out: Path,
    *,
    codec: str | None = None,
    scale: str = "tiny",
    seed: int = 0,
    forms: Collection[str] = (),
    options: Options = Options(),  # noqa: B008  (frozen)
    watcher: Watcher = Watcher(),  # noqa: B008  (without a state)
) -> Path:
    """Train what ``spec_name``, a shipped spec or a TOML file, declares, and return ``out``, then a language model.

    ``codec`` takes the place of the spec's own tokenizer; of its forms, ``forms`` alone are learnt where any are
    named, by a model that is no larger than they need. Tokens are made once, and kept. The same spec, material,
    codec, scale and seed write the same bytes on one machine; a run that was interrupted goes on, and what is
    finished is not trained again.

    Raises :class:`tokbench.errors.UsageError` for what cannot be trained, before it begins;
    :class:`tokbench.errors.CorpusError` for a material without an example; and :class:`tokbench.shards.ShardError`
    for tokens that are not as they were written.
    """
    declared, _ = find_spec(spec_name, scale, changes=options.changes)
    if not isinstance(declared, LmSpec):
        msg = f"{spec_name} is the spec of a {declared.kind}, and not of a language model"
        raise UsageError(msg)
    if forms:
        declared = narrowed_to(declared, forms)
    processes = Processes.start(options.device)
    tools, spec = load_tools(declared, codec, device=options.device)
    spec = pruned(spec)
    origin = Origin(_Facts(material), scale, seed)
    facts = {**identity(spec, origin, processes.count), "computation of networks": str(COMPUTATION)}
    folder = RunFolder(out, facts, is_first=processes.is_first)
    processes.wait()
    if folder.is_finished and not options.restart:
        watcher.say("finished already")
        return out
    with folder.claimed(restart=options.restart, waits=options.waits):
        if folder.is_finished:
            return out
        start = _start(spec, material, out, codec=codec, origin=origin, options=options, watcher=watcher)
        tokens = open_tokens(spec, material, tools, on_progress=watcher.stage)
        remarks = tuple(filter(None, (tokens.remark, leave_out_long(tokens))))
        for remark in remarks:
            watcher.say(remark)
        processes.wait()
        seed_all(seed)
        learner = LmLearner(tokens.spec, start)
        learnt_from, held_out = split(tokens, spec.training.num_held_out)
        drawn = DrawnTokens(tokens, learnt_from, seed=seed, draw=spec.training.draw)
        batch_size = spec.training.batch_size
        if folder.num_finished == 0:
            Run(
                folder=folder,
                learner=learner,
                batches=TokenBatches(drawn, batch_size, processes.index, processes.count),
                validation=TokenValidation(tokens, held_out, batch_size) if processes.is_first else None,
                processes=processes,
                origin=replace(origin, remarks=(*origin.remarks, *remarks)),
                watcher=watcher if processes.is_first else Watcher(),
            ).complete()
        folder.finish()
        if processes.is_first and not options.keep_checkpoint:
            folder.checkpoint.unlink(missing_ok=True)
    return out


def _start(
    spec: LmSpec,
    material: Material,
    out: Path,
    *,
    codec: str | None,
    origin: Origin,
    options: Options,
    watcher: Watcher,
) -> Path | None:
    """Return the folder of the model that ``spec`` starts from, which is trained first if it is a shipped spec."""
    if spec.start_from is None or spec.start_from not in list_lms():
        return None if spec.start_from is None else Path(spec.start_from)
    shared = _of_both(spec.start_from, origin.scale, options.changes)
    return train_lm(
        spec.start_from,
        InAnyForm(material),
        out / START_FOLDER,
        codec=codec,
        scale=origin.scale,
        seed=origin.seed,
        options=Options(shared, options.device, restart=options.restart),
        watcher=watcher.of(spec.start_from),
    )


def _of_both(start_from: str, scale: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ``changes`` of a spec that the one it starts from shares: of its network and of their streams."""
    known, _ = find_spec(start_from, scale)
    streams = known.streams if isinstance(known, LmSpec) else {}
    shared = {name: change for name, change in changes.get("streams", {}).items() if name in streams}
    network = {"network": changes["network"]} if "network" in changes else {}
    return network | ({"streams": shared} if shared else {})
