"""A trained language model: what it generates, and how likely it takes things to be.

Axes: ``K`` codebooks, ``F`` frames, ``D`` features.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from tokbench.audio import Audio
from tokbench.codecs.checkpoints import load_strictly, read_tensors
from tokbench.codecs.registry import is_code
from tokbench.errors import NotSupportedError, SpecError, TokbenchError, UsageError, WeightsError
from tokbench.lm.crops import chunked, shortened
from tokbench.lm.examples import Example, deduplicated, stretched
from tokbench.lm.generation import Generation, Task
from tokbench.lm.items import Content, Item, checked_length
from tokbench.lm.network import COMPUTATION, StageNetwork, lay_out_for_steps_
from tokbench.lm.objectives import teacher_forced
from tokbench.lm.streams import ContentError, Streams, Tool, load_tools
from tokbench.specs.base import file_sha256, read_toml
from tokbench.specs.lm import Levels, LmSpec, Next, Part
from tokbench.specs.lm_card import LmCard
from tokbench.specs.lm_streams import FeatureSource, LabelSource, Source, TextSource

__all__ = [
    "CARD_FILE",
    "LANGUAGES",
    "SPEC_FILE",
    "WEIGHTS_FILE",
    "Generated",
    "LanguageModel",
    "NothingGeneratedError",
    "Request",
    "Scores",
    "StreamScore",
    "read_card",
]

CARD_FILE, SPEC_FILE, WEIGHTS_FILE = "lm.toml", "spec.toml", "weights.safetensors"
LANGUAGES = ("language", "source_language")
"""Contents by which texts are pronounced, whatever else they are for."""
_AT_ONCE = 16
"""Requests that are worked on side by side, each with memory for all that it has read."""


class NothingGeneratedError(TokbenchError):
    """An output that was empty."""

    def __init__(self) -> None:
        super().__init__("the model ended before it generated anything")


@dataclass(frozen=True)
class Request:
    """What a language model is asked for."""

    contents: Mapping[str, Content]
    """What is given, by content."""
    form: str = ""
    """What is asked for; the only form of the spec if empty."""
    begun: Mapping[str, Content] = field(default_factory=dict)
    """Beginnings of outputs that are to be continued, by content."""
    duration_s: float | None = None
    """Of the audio that is to be generated, what is begun apart; None where the model says when it ends, as it
    always does of runs of units (:func:`tokbench.lm.generation.takes_length`)."""
    longest_s: float = math.inf
    """Where the model says when it ends, how long it may go on, if that is less than ``max_s`` of its sampling."""
    seed: int | None = None
    """Of what is drawn for it; None for one by the seed and the place among the requests."""


@dataclass(frozen=True)
class Generated:
    """What came of a request."""

    streams: Mapping[str, Tensor]
    """Outputs, with what was begun: symbols int64 [K, F], features float32 [F, D].

    A unit that comes out without repetitions lasts as long as it did in training on average."""
    num_begun: Mapping[str, int]
    """Frames of each that were given."""
    text: Mapping[str, str]
    """Outputs that are text or labels, by content, without what was begun."""
    is_ended: Mapping[str, bool]
    """Whether each ended by itself, or has the length that was asked for."""

    def num_new(self, stream: str) -> int:
        """Return the frames of ``stream`` that were not given."""
        values = self.streams[stream]
        return values.shape[0 if values.is_floating_point() else 1] - self.num_begun[stream]


@dataclass(frozen=True)
class StreamScore:
    """How unlikely the symbols of a stream are."""

    nats: float
    """Minus their log probability."""
    num_symbols: int
    """Codes, and ends of outputs."""

    @property
    def bits(self) -> float:
        """The same in bits."""
        return self.nats / float(torch.log(torch.tensor(2.0, dtype=torch.float64)))


@dataclass(frozen=True)
class Scores:
    """How unlikely an item is."""

    streams: Mapping[str, StreamScore]
    duration_s: float
    """Of its audio; 0 for none."""

    @property
    def nats(self) -> float:
        """Minus the log probability of all that is predicted."""
        return sum(score.nats for score in self.streams.values())


def read_card(folder: Path) -> LmCard:
    """Return the card of the language model in ``folder``; raises :class:`SpecError` where there is none."""
    if not (folder / CARD_FILE).is_file():
        raise SpecError(folder, [f"holds no trained language model: there is no {CARD_FILE}"])
    return read_toml(folder / CARD_FILE, LmCard)


class LanguageModel:
    """What ``tokbench train`` made of the spec of a language model, in ``folder``.

    Tokenizers are loaded when they are needed, unless ``tools`` brings those of some streams. A folder is data: the
    code of a file that it names is run only if ``trusts_code``. Raises :class:`SpecError` for a folder that holds
    no language model, :class:`WeightsError` for weights of another, and :class:`UsageError` for code that is not
    trusted.
    """

    def __init__(
        self,
        folder: Path,
        *,
        device: str = "cpu",
        tools: Mapping[str, Tool] | None = None,
        trusts_code: bool = False,
    ) -> None:
        self.folder, self.device = folder, device
        self.card = read_card(folder)
        for name, sha256 in self.card.files.items():
            found = file_sha256(folder / name) if (folder / name).is_file() else ""
            if found != sha256:
                raise WeightsError(
                    folder / name,
                    expected=f"SHA-256 {sha256[:12]} of {CARD_FILE}",
                    found=f"another file, of {found[:12]}" if found else "no file",
                    advice="The files of a language model are those of one run.",
                )
        if self.card.computation != COMPUTATION:
            raise WeightsError(
                folder / CARD_FILE,
                expected=f"computation {COMPUTATION}, which networks do now",
                found=f"{self.card.computation}: these weights would predict something else than in training",
                advice="Train the language model again, or use the version of tokbench that trained it.",
            )
        self.spec = read_toml(folder / SPEC_FILE, LmSpec)
        if tools is None and not trusts_code:
            self._refuse_code()
        networks, file = build_networks(self.spec), folder / WEIGHTS_FILE
        tensors = {name: tensor.float() for name, tensor in read_tensors(file).items()}
        load_strictly(networks, tensors, file)
        self.networks = _to_be_asked(networks, device)
        self._tools = tools

    def _refuse_code(self) -> None:
        for name, source in self.spec.streams.items():
            for reference in getattr(source, "tokenizers", ()):
                if is_code(reference):
                    msg = (
                        f"{self.folder / SPEC_FILE}: streams.{name}: {reference} is code that would be run. "
                        "If you trust it, add --trust-code"
                    )
                    raise UsageError(msg)

    @classmethod
    def floor(cls, folder: Path, *, seed: int = 0, device: str = "cpu", trusts_code: bool = False) -> Self:
        """Return the model in ``folder`` with weights that were never trained: what nothing learnt would do."""
        model = cls(folder, device=device, trusts_code=trusts_code)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model.networks = _to_be_asked(build_networks(model.spec), device)
        return model

    def network(self, stage: str) -> StageNetwork:
        """Return the network of a stage."""
        network = self.networks[stage]
        if not isinstance(network, StageNetwork):
            raise TypeError(stage)
        return network

    @cached_property
    def streams(self) -> Streams:
        """How contents become streams."""
        tools = self._tools
        if tools is None:
            tools, _ = load_tools(self.spec, device=self.device)
        for name, tool in tools.items():
            expected = getattr(self.spec.streams[name], "tokenizer_sha256", None)
            if expected and tool.sha256 != expected:
                raise WeightsError(
                    Path(tool.reference),
                    expected=f"the tokenizer of {name} that {self.folder} was trained with",
                    found="one with other weights or settings",
                    advice="Train the language model again, or bring that tokenizer back.",
                )
        return Streams(self.spec, tools)

    def form_name(self, form: str) -> str:
        """Return ``form``, or the only one there is; raises :class:`UsageError` for one that there is not."""
        known = list(self.spec.forms)
        if not form and len(known) == 1:
            return known[0]
        if form not in known:
            asked = repr(form) if form else "no form"
            msg = f"{self.spec.name} was asked for {asked}; it has {', '.join(known)}"
            raise UsageError(msg)
        return form

    def given(self, form: str, contents: Mapping[str, Content]) -> dict[str, Content]:
        """Return those of ``contents`` that may be seen to do ``form``: none that only comes out of it."""
        seen, written = self._contents(self.spec.forms[form].inputs), self._contents(self.spec.forms[form].outputs)
        hidden = [name for name in written if name not in seen]
        names = [name for name in (*seen, *LANGUAGES) if name not in hidden]
        return {name: contents[name] for name in names if name in contents}

    def needs(self, form: str) -> tuple[str, ...]:
        """Return the contents without which ``form`` cannot be done."""
        return self._contents([each for each in self.spec.forms[form].inputs if not self._may_lack(form, each)])

    def _contents(self, streams: Iterable[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.spec.stream(name).of for name in streams))

    def generate(
        self,
        requests: Sequence[Request],
        *,
        seed: int = 0,
        sampling: Mapping[str, Any] | None = None,
        on_progress: Callable[[str, float], None] | None = None,
    ) -> list[Generated]:
        """Return what comes of each request: the same whatever else is asked for at the same time.

        ``sampling`` changes how symbols are chosen, in all stages, or in those whose names its tables have;
        ``on_progress`` hears the name of the stage at work and the share of it that is done, 0 .. 1. Raises
        :class:`UsageError` for a form that there is not, :class:`ContentError` where something is missing, and
        :class:`tokbench.lm.sentences.ContextError` for a prompt that is too long.
        """
        chosen = {name: self.spec.sampling_of(name, sampling or {}) for name in self.spec.stages}
        tasks = [self._task(request, seed, index) for index, request in enumerate(requests)]
        for form in dict.fromkeys(task.form for task in tasks):
            same = [task for task in tasks if task.form == form]
            groups = [same[first : first + _AT_ONCE] for first in range(0, len(same), _AT_ONCE)]
            for name, stage in self.spec.stages.items():
                for number, group in enumerate(groups) if form in stage.forms else ():
                    on_share = _Share(name, number, len(groups), on_progress)
                    Generation(self.network(name), chosen[name], on_share).run(group)
                    on_share(1.0)
        return [self._generated(task) for task in tasks]

    def _task(self, request: Request, seed: int, index: int) -> Task:
        name = self.form_name(request.form)
        form = self.spec.forms[name]
        streams = self.streams.made(request.contents, form.inputs)
        for missing in (each for each in form.inputs if each not in streams):
            if not self._may_lack(name, missing):
                needed = self.spec.stream(missing).of
                raise ContentError(f"the form {name!r} of {self.spec.name} needs the content {needed!r}")
            streams[missing] = _nothing(self.spec.stream(missing))
        begun = self.streams.made(request.begun, form.outputs)
        in_runs = [each for each in begun if self._run_frames(name, each) is not None]
        begun |= {each: deduplicated(begun[each]) for each in in_runs}
        own = f"{seed} {index}" if request.seed is None else f"{request.seed} 0"
        digest = hashlib.sha256(own.encode()).digest()
        return Task(
            form=name,
            streams=self._shortened(name, streams),
            begun=begun,
            duration_s=checked_length(request.duration_s),
            longest_s=request.longest_s,
            generator=torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1),
        )

    def _may_lack(self, form: str, stream: str) -> bool:
        """Say whether an input is sometimes left empty in training, wherever it goes in."""
        own = [part for part in self._parts(form, "inputs") if part.stream == stream]
        return bool(own) and all(part.dropped > 0 for part in own)

    def _run_frames(self, form: str, stream: str) -> Tensor | None:
        """Return how long symbols go on of an output that comes without repetitions; None of another one."""
        for name, stage in self.spec.stages.items():
            if form in stage.forms and stream in (network := self.network(name)).in_runs:
                return network.run_frames(stream)
        return None

    def _parts(self, form: str, side: Literal["inputs", "outputs"]) -> list[Part]:
        """Return the parts that go into ``form``, or come out of it, in all stages."""
        stages = [stage for stage in self.spec.stages.values() if form in stage.forms]
        return [stage.part(name) for stage in stages for name in getattr(stage.forms[form], side)]

    def _shortened(self, form: str, streams: Mapping[str, Tensor]) -> dict[str, Tensor]:
        short = dict(streams)
        for stage in self.spec.stages.values():
            if form in stage.forms:
                for part in map(stage.part, stage.forms[form].inputs):
                    if part.stream in streams:
                        short[part.stream] = shortened(self.spec, part, short[part.stream])
        return short

    def _generated(self, task: Task) -> Generated:
        outputs = self.spec.forms[task.form].outputs
        streams = {name: task.made[name] for name in outputs}
        num_begun = {name: task.num_begun(name) for name in outputs}
        for name in outputs:
            if (frames := self._run_frames(task.form, name)) is not None:
                streams[name], ends = stretched(streams[name], frames.cpu())
                num_begun[name] = int(ends[num_begun[name] - 1]) if num_begun[name] else 0
        text = {
            self.spec.stream(name).of: self.streams.text(name, streams[name][:, num_begun[name] :])
            for name in outputs
            if isinstance(self.spec.stream(name), TextSource | LabelSource)
        }
        return Generated(streams, num_begun, text, {name: task.is_ended.get(name, True) for name in outputs})

    def audio(self, generated: Generated, content: str = "audio", *, whole: bool = False) -> Audio:
        """Return what was generated, decoded; without what was begun of it unless ``whole``.

        Raises :class:`NothingGeneratedError` where nothing new came out, and as :meth:`heard_stream`.
        """
        name = self.heard_stream(list(generated.streams), content)
        if not generated.num_new(name):
            raise NothingGeneratedError
        codes, num_begun = generated.streams[name], generated.num_begun[name]
        audio = self.streams.audio(name, codes)
        if whole or not num_begun:
            return audio
        begun = codes[:num_begun] if codes.is_floating_point() else codes[:, :num_begun]
        begun_s = self.streams.seconds(name, begun)
        if begun_s is None:
            return audio
        first = min(round(begun_s * audio.sample_rate_hz), audio.num_samples - 1)
        return Audio(audio.samples[:, first:].contiguous(), audio.sample_rate_hz)

    def heard_stream(self, outputs: Sequence[str], content: str = "audio") -> str:
        """Return the one of ``outputs`` that is decoded to hear ``content``: the last that can be.

        Raises :class:`NotSupportedError` where there is none, or where it is not all that its codec decodes.
        """
        names = [name for name in outputs if self.spec.stream(name).of == content]
        for name in reversed(names):
            if self.streams.can_decode(name):
                self.streams.require_whole(name)
                return name
        listing = ", ".join(names) or "nothing"
        raise NotSupportedError(self.spec.name, f"decoding of what it generates of {content!r} ({listing})")

    @torch.inference_mode()
    def score(self, items: Sequence[Item]) -> list[Scores]:
        """Return how unlikely each item is.

        Raises :class:`ContentError` for an item that is no example of its form,
        :class:`tokbench.lm.sentences.ContextError` for one that is longer than the context of a stage, and
        :class:`NotSupportedError` for a form of which a stage has no likelihood.
        """
        return [self._scores(item) for item in items]

    def _scores(self, item: Item) -> Scores:
        form = self.form_name(item.form)
        stages, needed = self._likely_stages(form), self.spec.forms[form]
        made = self.streams.made(item.contents, (*needed.inputs, *needed.outputs))
        for name in (*needed.inputs, *needed.outputs):
            if name not in made:
                raise ContentError(
                    f"{item.id}: the content {self.spec.stream(name).of!r} is needed to score {form!r}"
                )
        example = Example(self._shortened(form, made), form)
        found: dict[str, StreamScore] = {}
        for name in stages:
            for stream, score in self._stage_scores(self.network(name), example).items():
                old = found.get(stream, StreamScore(0.0, 0))
                found[stream] = StreamScore(old.nats + score.nats, old.num_symbols + score.num_symbols)
        audio = item.contents.get("audio")
        return Scores(found, audio.duration_s if isinstance(audio, Audio) else 0.0)

    def _likely_stages(self, form: str) -> list[str]:
        """Return the stages of ``form``; raises :class:`NotSupportedError` where one has no likelihood."""
        stages = {name: stage.objective for name, stage in self.spec.stages.items() if form in stage.forms}
        for name, objective in stages.items():
            if not isinstance(objective, Next | Levels):
                what = f"a likelihood of {form!r}: the objective {objective.kind!r} of its stage {name!r} has none"
                raise NotSupportedError(self.spec.name, what)
        return list(stages)

    @staticmethod
    def _stage_scores(network: StageNetwork, example: Example) -> dict[str, StreamScore]:
        writing, found = network.writing, dict[str, StreamScore]()
        (first, *_) = writing.form(example.form).outputs
        part = writing.stage.part(first)
        num_frames = writing.codes(part, example).shape[1]
        for _, piece in chunked(writing, example, num_frames):
            for costs in (each for costs_of_pass in teacher_forced(network, [piece]) for each in costs_of_pass):
                stream = writing.stage.part(costs.part).stream
                old = found.get(stream, StreamScore(0.0, 0))
                nats = float(costs.nats.double().sum())
                found[stream] = StreamScore(old.nats + nats, old.num_symbols + len(costs.nats))
        return found


@dataclass(frozen=True)
class _Share:
    """Tells of the share of a stage, some of whose requests are at work."""

    stage: str
    group: int
    num_groups: int
    on_progress: Callable[[str, float], None] | None

    def __call__(self, share: float) -> None:
        if self.on_progress is not None:
            self.on_progress(self.stage, (self.group + share) / self.num_groups)


def build_networks(spec: LmSpec) -> nn.ModuleDict:
    """Return the networks of all stages by name, with first weights."""
    return nn.ModuleDict({name: StageNetwork(spec, name) for name in spec.stages})


def _to_be_asked(networks: nn.ModuleDict, device: str) -> nn.ModuleDict:
    if torch.device(device).type == "cpu":
        lay_out_for_steps_(networks)
    return networks.eval().to(device)


def _nothing(source: Source) -> Tensor:
    if isinstance(source, FeatureSource):
        return torch.zeros(0, source.dimension)
    return torch.zeros(len(source.sizes), 0, dtype=torch.int64)
