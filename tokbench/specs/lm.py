"""The spec of a language model of codes: the whole difference between two that are trained on the same data."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from tokbench.errors import SpecError
from tokbench.specs.base import StrictModel, problems
from tokbench.specs.layouts import Layout, Parallel
from tokbench.specs.lm_networks import Blocks, LmNetwork
from tokbench.specs.lm_streams import CodeSource, LabelSource, Source
from tokbench.specs.scales import ScaledSpec, overlaid
from tokbench.specs.training import Optimizer

__all__ = [
    "Encoder",
    "Form",
    "Levels",
    "LmSpec",
    "Masked",
    "Next",
    "Part",
    "Prompts",
    "Regression",
    "Sampling",
    "Stage",
    "network_of",
    "source_of",
    "unguided",
]


class Encoder(StrictModel):
    """A network of its own for a part, which sees all of it, before it meets the rest."""

    num_layers: int = Field(gt=0)
    num_heads: int | None = Field(default=None, gt=0)
    """This and the following are by default those of the stage's network."""
    dimension: int | None = Field(default=None, gt=0)
    feedforward_dimension: int | None = Field(default=None, gt=0)
    convolution: int | None = Field(default=None, gt=0)
    """As in the network."""

    def blocks(self, network: LmNetwork) -> Blocks:
        """Return all of its sizes."""
        known = {name: getattr(network, name) for name in Blocks.model_fields}
        own = {name: value for name, value in self.model_dump().items() if value is not None}
        return Blocks.model_validate(known | {"convolution": None} | own)


class Part(StrictModel):
    """A stream, or some of its codebooks, in its place in a sequence."""

    stream: str
    first: int = Field(default=0, ge=0)
    """First codebook."""
    end: int | None = Field(default=None, gt=0)
    """Codebook before which it stops; by default, it does so after the last."""
    layout: Layout = Parallel()
    deduplicated: bool = False
    """Whether frames with the same codes as the one before are left out."""
    by: Literal["sequence", "cross-attention"] = "sequence"
    """How an input is read: before the outputs, or beside them in every layer."""
    plus: tuple[str, ...] = ()
    """Parts or streams of which the vectors are added: a label's everywhere, or to a frame those of its time."""
    dropped: float = Field(default=0.0, ge=0, lt=1)
    """Probability of an input to be left empty in training, which guidance needs; one draw is for all inputs."""
    encoder: Encoder | None = None
    """Of an input."""
    longest_s: float | None = Field(default=None, gt=0)
    """Seconds that are taken of an input, somewhere in training and from its beginning later (enrolment)."""
    of_any_piece: bool = False
    """Whether an input that tells of a recording tells of any piece of it: what it goes with may then be cut."""
    ended: bool = True
    """Whether the end of an output is learnt; if not, its length has to be given, or follows from other streams."""
    weights: tuple[Annotated[float, Field(ge=0)], ...] = Field(default=(1.0,), min_length=1)
    """Of the losses of an output's codebooks; the last number goes for all that follow."""
    edges: bool = False
    """Whether an output is learnt only where its first codebook changes (dGSLM), and goes on unchanged else."""


class Form(StrictModel):
    """A way of putting parts together, such as for a task.

    Names are those of parts, or of streams that are taken as they are.
    """

    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = Field(min_length=1)


class Next(StrictModel):
    """Each step is predicted from those before it."""

    kind: Literal["next"] = "next"
    reads: Literal["causal", "prefix"] = "prefix"
    """Whether inputs, too, are read from left to right, or each of them in both directions."""


class Levels(StrictModel):
    """Each codebook is predicted, for all frames at once, from those before it (VALL-E's second stage)."""

    kind: Literal["levels"]
    num_given: int = Field(default=1, gt=0)
    """First codebooks, which are there before."""
    prompt_s: float = Field(default=3.0, ge=0)
    """Longest beginning of which all codebooks are shown in training, as those of an acoustic prompt will be."""
    always_first: bool = False
    """Whether a step of training is about the first codebook that is not given and another one (USLM), and not
    about any one of them."""


class Masked(StrictModel):
    """Codes are filled in codebook by codebook, the surest first (SoundStorm)."""

    kind: Literal["masked"]
    num_given: int = Field(default=0, ge=0)
    """First codebooks, which are there before."""


class Regression(StrictModel):
    """Features of each frame are predicted at once (LauraGPT's one-step vocoder)."""

    kind: Literal["regression"]
    l1: float = Field(default=1.0, ge=0)
    """Weight of the mean absolute error."""
    l2: float = Field(default=1.0, ge=0)
    """Weight of the mean square error."""


Objective = Annotated[Next | Levels | Masked | Regression, Field(discriminator="kind")]


class Sampling(StrictModel):
    """How symbols are chosen."""

    temperature: tuple[Annotated[float, Field(ge=0)], ...] = Field(default=(1.0,), min_length=1)
    """Of each codebook, the last number for all that follow; at 0 the likeliest symbol is taken."""
    top_k: int | None = Field(default=None, gt=0)
    """Likeliest symbols that are in the draw."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Probability that the likeliest symbols in the draw have together, at least."""
    guidance: float = Field(default=1.0, ge=0)
    """Above 1, how much further from the prediction without inputs to go than with them."""
    beam: int = Field(default=1, gt=0)
    """Beginnings that are kept side by side; above 1 nothing is drawn."""
    iterations: tuple[Annotated[int, Field(gt=0)], ...] = Field(default=(16, 1), min_length=1)
    """Passes over each codebook of what is masked; the last number goes for all that follow."""
    choice_temperature: float = Field(default=0.0, ge=0)
    """Of the noise on the confidence by which masked frames are decided; it falls to 0 with the last pass."""
    max_s: float = Field(default=20.0, gt=0)
    """Longest output in seconds, where the model says when it ends."""
    max_symbols: int = Field(default=400, gt=0)
    """The same for text and for what has no rate."""


class Prompts(StrictModel):
    """Vectors that are learnt in front of the keys and values of each layer of a network that stays as it is."""

    length: int = Field(gt=0)


class Stage(StrictModel):
    """One network, what it learns, and how it is asked."""

    parts: Mapping[str, Part] = {}
    """Streams that are not taken as they are, by the names that forms use."""
    forms: Mapping[str, Form] = Field(min_length=1)
    objective: Objective = Next()
    network: Mapping[str, Any] = {}
    """In what it differs from the spec's ``[network]``."""
    sampling: Sampling = Sampling()
    crop_s: float | None = Field(default=None, gt=0)
    """Longest piece it learns from, where no text that goes with it tells of the whole; by default
    ``training.crop_s``."""
    chunk_s: float | None = Field(default=None, gt=0)
    """Seconds that it generates at a time, each piece on its own (the last stage of AudioLM); by default, all."""
    optimizer: Optimizer | None = None
    """By default ``training.optimizer``."""
    prompts: Prompts | None = None
    """Learnt in the place of all else."""

    def part(self, name: str) -> Part:
        """Return the part that a form calls ``name``."""
        return self.parts.get(name) or Part(stream=name)

    @property
    def inputs(self) -> Mapping[str, Part]:
        """All parts that go in, by name."""
        names = [name for form in self.forms.values() for name in form.inputs]
        return {name: self.part(name) for name in dict.fromkeys(names)}

    @property
    def outputs(self) -> Mapping[str, Part]:
        """All parts that come out, by name."""
        names = [name for form in self.forms.values() for name in form.outputs]
        return {name: self.part(name) for name in dict.fromkeys(names)}

    @property
    def used(self) -> Mapping[str, Part]:
        """All parts by name, inputs first."""
        return {**self.inputs, **self.outputs}


class LmSpec(ScaledSpec):
    """Streams, and the stages that turn some of them into others."""

    kind: Literal["language-model"]
    """How it is built and trained."""
    sample_rate_hz: int = Field(default=16000, gt=0)
    """Of audio that no tokenizer asks for at another rate."""
    streams: Mapping[str, Source] = Field(min_length=1)
    codec: tuple[str, ...] = ()
    """Streams whose tokenizer ``--codec`` replaces."""
    network: LmNetwork
    """Of every stage, if it does not say in what it differs."""
    stages: Mapping[str, Stage] = Field(min_length=1)
    """In the order in which they generate."""
    start_from: str | None = None
    """Folder of a trained language model whose weights this one begins with, where they are of the same name and
    shape (TWIST begins with a model of text)."""

    def network_of(self, stage: str) -> LmNetwork:
        """Return the network of a stage."""
        return network_of(self.network, self.stages[stage])

    def sampling_of(self, stage: str, changes: Mapping[str, Any]) -> Sampling:
        """Return how symbols are chosen in ``stage``.

        ``changes`` are for all stages, or for those whose names its tables have. Raises :class:`SpecError` for what
        cannot be.
        """
        shared = {key: value for key, value in changes.items() if key not in self.stages}
        own = changes.get(stage, {})
        if not isinstance(own, Mapping):
            raise SpecError(f"sampling of {stage}", [f"expected a table, found {own!r}"])
        changed = overlaid(self.stages[stage].sampling.model_dump(), overlaid(shared, own))
        try:
            sampling = Sampling.model_validate(changed)
        except ValidationError as error:
            raise SpecError(f"sampling of {stage}", problems(error)) from error
        if problem := unguided(self.stages[stage].objective, sampling):
            raise SpecError(f"sampling of {stage}", [problem])
        return sampling

    def stream(self, name: str) -> Source:
        """Return the source of the stream called ``name``, complete where it is like another."""
        return source_of(self.streams, name)

    @property
    def forms(self) -> Mapping[str, Form]:
        """What goes into the whole and what comes out, as names of streams, by the name of the form."""
        names = dict.fromkeys(name for stage in self.stages.values() for name in stage.forms)
        return {name: self._form(name) for name in names}

    def _form(self, name: str) -> Form:
        inputs: dict[str, None] = {}
        outputs: dict[str, None] = {}
        for stage in self.stages.values():
            if (form := stage.forms.get(name)) is None:
                continue
            for part in map(stage.part, form.inputs):
                used = [part.stream, *(stage.part(each).stream for each in part.plus)]
                inputs |= dict.fromkeys(each for each in used if each not in outputs)
            for part in map(stage.part, form.outputs):
                used = [stage.part(each).stream for each in part.plus]
                inputs |= dict.fromkeys(each for each in used if each not in outputs)
                outputs[part.stream] = None
        return Form(inputs=tuple(inputs), outputs=tuple(outputs))


def unguided(objective: Objective, sampling: Sampling) -> str | None:
    """Return that ``sampling`` asks for a beam and for guidance, where a step is found after another."""
    if not isinstance(objective, Next) or sampling.beam == 1 or sampling.guidance == 1:
        return None
    return f"a beam goes without guidance, found beam {sampling.beam} and guidance {sampling.guidance:g}"


def source_of(streams: Mapping[str, Source], name: str) -> Source:
    """Return the source called ``name``, with the keys of the one that it is like."""
    source = streams[name]
    like = getattr(source, "like", None)
    if like is None:
        return source
    other = streams[like]
    if isinstance(source, LabelSource) and isinstance(other, CodeSource):
        return source.model_copy(update={"num_codes": other.sizes[0]})
    return other.model_copy(update={"of": source.of, "like": like})


def network_of(network: LmNetwork, stage: Stage) -> LmNetwork:
    """Return ``network`` with what ``stage`` changes; raises pydantic's error for what cannot be."""
    return LmNetwork.model_validate(overlaid(network.model_dump(), stage.network))
