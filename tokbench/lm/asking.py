"""From what a person asks a language model for to a request: which content is meant, and what is missing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokbench.audio import Audio
from tokbench.errors import NotSupportedError, TokbenchError, UsageError
from tokbench.lm.generation import takes_length
from tokbench.lm.items import Content, notes_of
from tokbench.lm.language_model import LANGUAGES, LanguageModel, Request
from tokbench.specs.lm import LmSpec
from tokbench.specs.lm_streams import CodeSource, FeatureSource, LabelSource, NoteSource, Source, TextSource
from tokbench.specs.scales import overlaid

__all__ = ["AUDIO", "SilentError", "Wish", "requested", "require_audible", "sampling_of", "written_contents"]

AUDIO = "audio"
_TEXT, _PROMPT, _SOURCE = "text", "prompt", "source"


class SilentError(TokbenchError):
    """Audio that would come out as codes that nothing decodes."""

    def __init__(self, reason: NotSupportedError) -> None:
        advice = "Train it on codes that are decoded as they are, such as those of --codec unit-vocoder-tiny:100"
        super().__init__(f"{reason}. {advice}")


@dataclass(frozen=True)
class Wish:
    """What a person says; each part is empty, or None, where nothing was said."""

    form: str = ""
    text: str = ""
    """To be spoken or drawn a sound of; what is written goes on from it where no text goes in."""
    prompt: Path | None = None
    """Recording of a voice; audio goes on from it where none goes in as a prompt."""
    prompt_text: str = ""
    """What is said in a prompt that is continued."""
    source: Path | None = None
    """Recording to be made into something else, or to be understood."""
    others: Mapping[str, str] = field(default_factory=dict)
    """Further contents by name: text, files of audio, notes as ``60:25 62:50``."""
    duration_s: float | None = None
    """Of the audio to come, where it comes in frames."""


def requested(model: LanguageModel, wish: Wish) -> Request:
    """Return the request that is meant, complete.

    Raises :class:`UsageError` for what the form does not take, and for what it needs and was not given;
    :class:`SilentError` where audio would come out as codes that nothing decodes;
    :class:`tokbench.errors.AudioFileError` for a file that is no audio.
    """
    desk = _Desk(model, model.form_name(wish.form))
    contents = {name: desk.other(name, value) for name, value in wish.others.items()}
    begun: dict[str, Content] = {}
    if wish.source is not None:
        name = desk.source
        contents[name] = Audio.read(wish.source)
    if wish.prompt is not None:
        is_begun = desk.is_continued
        (begun if is_begun else contents)[AUDIO if is_begun else _PROMPT] = Audio.read(wish.prompt)
    if wish.prompt_text and (AUDIO not in begun or desk.text is None):
        raise desk.refusal("--prompt-text", "no prompt that it goes on from, with a text")
    if wish.text and desk.text is not None:
        contents[desk.text] = f"{wish.prompt_text} {wish.text}".strip()
    elif wish.text:
        begun[desk.begun_text] = wish.text
    desk.require(contents)
    if wish.duration_s is not None and not takes_length(model.spec, desk.form):
        raise desk.refusal("--seconds", "no length: the model says where what it writes ends")
    require_audible(model, desk.form)
    return Request(contents, desk.form, begun=begun, duration_s=wish.duration_s)


def require_audible(model: LanguageModel, form: str) -> None:
    """Raise :class:`SilentError` where audio of ``form`` would come out as codes that nothing decodes."""
    if AUDIO in written_contents(model.spec, form):
        try:
            model.heard_stream(model.spec.forms[form].outputs)
        except NotSupportedError as error:
            raise SilentError(error) from error


def written_contents(spec: LmSpec, form: str) -> set[str]:
    """Return the contents that come out of ``form``."""
    return {spec.stream(name).of for name in spec.forms[form].outputs}


class _Desk:
    """What goes into a form, and what comes out."""

    def __init__(self, model: LanguageModel, form: str) -> None:
        self._model, self.form = model, form
        declared = model.spec.forms[form]
        self.taken = _by_content(model.spec, declared.inputs)
        self.written = _by_content(model.spec, declared.outputs)
        self._texts = [name for name, source in self.taken.items() if isinstance(source, TextSource)]

    @property
    def text(self) -> str | None:
        """The content that a text without a name is; None where no text goes in."""
        if self._texts and self._sole_text is None:
            raise self.refusal("--text", f"several texts ({', '.join(self._texts)}): name them by --with NAME=TEXT")
        return self._sole_text

    @property
    def _sole_text(self) -> str | None:
        if len(self._texts) == 1:
            return self._texts[0]
        return _TEXT if _TEXT in self._texts else None

    @property
    def begun_text(self) -> str:
        """The content that goes on from a text."""
        for name, source in self.written.items():
            if isinstance(source, TextSource):
                return name
        raise self.refusal("--text", self._listing)

    @property
    def source(self) -> str:
        """The content that is made into something else, or understood."""
        for name in (_SOURCE, AUDIO):
            if _is_audio(self.taken.get(name)):
                return name
        raise self.refusal("--source", self._listing)

    @property
    def is_continued(self) -> bool:
        """Whether audio goes on from a prompt, and it does not go in beside it."""
        if _is_audio(self.taken.get(_PROMPT)):
            return False
        if AUDIO not in self.written or any(map(_is_audio, self.taken.values())):
            raise self.refusal("--prompt", self._listing)
        return True

    def other(self, name: str, value: str) -> Content:
        """Return the content ``name``, as it was typed."""
        option = f"--with {name}"
        source = self.taken.get(name)
        if source is None and name not in LANGUAGES:
            raise self.refusal(option, self._listing)
        if _is_audio(source):
            return Audio.read(Path(value))
        if isinstance(source, NoteSource):
            try:
                return notes_of(value)
            except ValueError as error:
                msg = f"{option}: expected notes as PITCH:FIFTIETHS, such as '60:25 62:50', found {value!r}"
                raise UsageError(msg) from error
        if isinstance(source, FeatureSource):
            raise self.refusal(option, "features there, which cannot be typed")
        return value

    def require(self, contents: Mapping[str, Content]) -> None:
        """Raise :class:`UsageError` for a content that the form cannot do without, and that is not there."""
        for name in self._model.needs(self.form):
            if name not in contents:
                msg = f"{self._model.spec.name} needs {self._wanted(name)} for {self.form}"
                raise UsageError(msg)

    def _wanted(self, name: str) -> str:
        """Say what the content ``name`` is, and how to give it."""
        source = self.taken[name]
        if isinstance(source, LabelSource):
            return f"a {name} (--with {name}=…, one of {', '.join(source.symbols) or 'those of its training'})"
        if isinstance(source, TextSource):
            return f"a {name} ({'--text …' if name == self._sole_text else f'--with {name}=…'})"
        if name == _PROMPT:
            return "a prompt (--prompt FILE)"
        if name in {_SOURCE, AUDIO} and self.source == name:
            return "a recording (--source FILE)"
        return f"{name} (--with {name}={'FILE' if _is_audio(source) else '…'})"

    @property
    def _listing(self) -> str:
        return ", ".join(self.taken) or "nothing"

    def refusal(self, option: str, taken: str) -> UsageError:
        """Return the error for an option that makes no sense here."""
        return UsageError(f"{option}: the form {self.form!r} of {self._model.spec.name} takes {taken}")


def _by_content(spec: LmSpec, streams: tuple[str, ...]) -> dict[str, Source]:
    """Return a stream of each content; where several are made of one, all are of a kind."""
    return {spec.stream(name).of: spec.stream(name) for name in streams}


def _is_audio(source: Source | None) -> bool:
    """Say whether a stream is made of a recording."""
    return isinstance(source, CodeSource) or (isinstance(source, FeatureSource) and source.features != "given")


def sampling_of(spec: LmSpec, form: str, asked: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return how symbols are to be chosen by stage: as ``asked``, then with ``changes``, in all or by stage.

    What is asked goes for the stages of ``form`` that draw. One that always takes the likeliest symbol, as VALL-E's
    second one does, stays as it is unless there is no other, or ``changes`` name it. Guidance goes for the stages
    that learnt to do without some of their inputs, or else for those that draw.
    """
    stages = {name: stage for name, stage in spec.stages.items() if form in stage.forms}
    drawing = [name for name, stage in stages.items() if any(stage.sampling.temperature)] or [*stages]
    guided = [
        name for name, stage in stages.items() if any(stage.part(each).dropped for each in stage.forms[form].inputs)
    ]
    goes_for = {key: guided or drawing if key == "guidance" else drawing for key in asked}
    found = {name: {key: value for key, value in asked.items() if name in goes_for[key]} for name in stages}
    return overlaid({name: table for name, table in found.items() if table}, dict(changes))
