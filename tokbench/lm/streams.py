"""From contents to the streams of a spec, and back.

Axes: ``K`` codebooks, ``F`` frames, ``D`` features, ``C`` channels, ``T`` samples.
"""

import dataclasses
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from tokbench.audio import Audio, Features
from tokbench.codecs.base import Codec, Tokenizer
from tokbench.codecs.frozen import files_sha256, first_of
from tokbench.codecs.registry import fingerprint, load, one
from tokbench.codes import Codes, CodeStream, StreamInfo
from tokbench.corpora.pronunciation import pronounce
from tokbench.corpora.scripts import foreign_letters
from tokbench.errors import NotApplicableError, NotSupportedError, TokbenchError, UsageError
from tokbench.lm.examples import edges, frame_rate_hz
from tokbench.lm.items import Content
from tokbench.lm.layouts import ABSENT
from tokbench.lm.requantizing import code_vectors, nearest_codes
from tokbench.models.f0 import track_f0
from tokbench.specs.layouts import Delay
from tokbench.specs.lm import LmSpec, Next, Part
from tokbench.specs.lm_streams import CodeSource, FeatureSource, LabelSource, NoteSource, Source, TextSource
from tokbench.store import CodeStore, StoredCodes

__all__ = ["ContentError", "Streams", "Tool", "joined", "load_tools", "require_searchable", "sides"]

PITCH_RANGE = math.log(2)
"""Of log F0 around its mean that bins divide: an octave on either side."""
F0_PERIOD_MS = 10.0
_SOURCE_TEXT = "source_text"
"""Content that is said in the ``source_language``, where an item tells one."""
_DELAY = Delay(kind="delay")
"""The layout of a part that says no delays."""


class ContentError(TokbenchError):
    """A content of which a stream cannot be made."""


@dataclasses.dataclass(frozen=True)
class Tool:
    """A tokenizer with what decides its codes."""

    tokenizer: Tokenizer
    reference: str
    """By which it is loaded again."""
    fingerprint: str
    """Hash of everything that decides its codes, by which they are kept."""
    sha256: str
    """Hash over its settings and weights, by which it is known again."""


def load_tools(spec: LmSpec, codec: str | None = None, *, device: str = "cpu") -> tuple[dict[str, Tool], LmSpec]:
    """Return the tokenizer of each stream that has one, and ``spec`` with what they are.

    ``codec`` takes the place of the tokenizers of the streams that the spec says. Raises
    :class:`tokbench.errors.NothingToLoadError` where none of several is there, and :class:`UsageError` for one
    whose streams have different rates.
    """
    tools: dict[str, Tool] = {}
    sources = dict(spec.streams)
    shelf = _Shelf(device)
    for name, source in spec.streams.items():
        if not isinstance(source, CodeSource | FeatureSource) or getattr(source, "like", None):
            continue
        wanted = (codec,) if codec is not None and name in spec.codec else source.tokenizers
        if wanted:
            tools[name] = first_of(wanted, shelf.load)
            sources[name] = _informed(name, source, tools[name])
    return tools, _laid_out(spec.model_copy(update={"streams": sources}))


def require_searchable(spec: LmSpec, codec: str | None = None) -> None:
    """Raise :class:`UsageError` where a stage of ``spec`` would look for codes of several codebooks by a beam.

    Raises as :func:`load_tools` where there is any beam, as tokenizers tell how many codebooks there are.
    """
    stages = [
        stage for stage, own in spec.stages.items() if isinstance(own.objective, Next) and own.sampling.beam > 1
    ]
    tools, known = load_tools(spec, codec) if stages else ({}, spec)
    for stage in stages:
        for name, part in known.stages[stage].outputs.items():
            source = known.stream(part.stream)
            num_codebooks = 0 if isinstance(source, FeatureSource) else len(source.sizes[part.first : part.end])
            if num_codebooks > 1:
                tool = tools.get(getattr(source, "like", None) or part.stream)
                has = f"{name!r} has {num_codebooks}{f' of {tool.reference}' if tool else ''}"
                advice = f"add --set stages.{stage}.sampling.beam=1{_or_one_codebook(tool)}"
                raise UsageError(f"stages.{stage}: a beam looks for codes of one codebook, and {has}: {advice}")


def _or_one_codebook(tool: Tool | None) -> str:
    """Return the advice to take the setting of a tokenizer that has one codebook, where there is one."""
    if tool is None:
        return ""
    reference = one(tool.reference)
    for setting, arguments in reference.card.settings.items():
        if arguments.get("num_codebooks") == 1 and setting != reference.setting:
            single = dataclasses.replace(reference, setting=setting).text
            return f", or take a tokenizer of one codebook, such as {single}"
    return ", or take a tokenizer of one codebook"


def _laid_out(spec: LmSpec) -> LmSpec:
    """Return ``spec`` with the delays that it leaves out, where codebooks are those of several channels.

    Each channel begins anew, so that codebooks of the same number are equally late, however many there are: the
    ``stereo`` of MusicGen, whose delays are 0 0 1 1 2 2 … for codebooks of both sides by turns.
    """
    stages = {}
    for name, stage in spec.stages.items():
        parts = {each: _delayed(part, spec.stream(part.stream)) for each, part in stage.parts.items()}
        stages[name] = stage.model_copy(update={"parts": parts})
    return spec.model_copy(update={"stages": stages})


def _delayed(part: Part, source: Source) -> Part:
    is_whole = part.first == 0 and part.end is None
    if not is_whole or not isinstance(source, CodeSource) or source.channels == 1 or part.layout != _DELAY:
        return part
    own = range(len(source.sizes) // source.channels)
    return part.model_copy(update={"layout": Delay(kind="delay", delays=(*own,) * source.channels)})


class _Shelf:
    """Tokenizers, each loaded once."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._tools: dict[str, Tool] = {}

    def load(self, reference: str) -> Tool:
        if reference not in self._tools:
            found = one(reference)
            name = found.text
            self._tools[reference] = Tool(
                load(found, device=self._device), name, fingerprint(found), files_sha256(found)
            )
        return self._tools[reference]


def _informed(name: str, source: CodeSource | FeatureSource, tool: Tool) -> Source:
    known = {"tokenizers": (tool.reference,), "tokenizer_sha256": tool.sha256}
    if isinstance(source, FeatureSource):
        found = _features(source, tool, _noise(tool.tokenizer.info.sample_rate_hz))
        sizes = {"dimension": found.values.shape[1], "frame_rate_hz": found.frame_rate_hz}
        return source.model_copy(update={**known, **sizes})
    infos = _chosen(name, source, tool)
    num_codebooks = len(range(sum(info.num_codebooks for info in infos))[source.first : source.end])
    if not num_codebooks:
        msg = f"streams.{name}: {tool.reference} has no codebook {source.first}"
        raise UsageError(msg)
    if source.durations and num_codebooks > 1:
        msg = f"streams.{name}: durations are of one codebook, and {tool.reference} has {num_codebooks}"
        raise UsageError(msg)
    sizes = {"num_codebooks": num_codebooks, "codebook_size": infos[0].codebook_size}
    return source.model_copy(update={**known, **sizes, "frame_rate_hz": infos[0].frame_rate_hz})


def _chosen(name: str, source: CodeSource, tool: Tool) -> list[StreamInfo]:
    """Return the streams of the tokenizer that are meant, which have one rate and one size."""
    found = [info for info in tool.tokenizer.info.streams if not source.stream or info.name == source.stream]
    listing = " and ".join(map(str, tool.tokenizer.info.streams)) or "no codes"
    if not found:
        msg = f"streams.{name}: {tool.reference} has no stream named {source.stream!r}, but {listing}"
        raise UsageError(msg)
    if len({(info.frame_rate_hz, info.codebook_size) for info in found}) > 1:
        msg = (
            f"streams.{name}: the streams of {tool.reference} differ in rate or size ({listing}); say which by "
            f"--set streams.{name}.stream=NAME"
        )
        raise UsageError(msg)
    return found


def _noise(sample_rate_hz: int) -> Audio:
    generator = np.random.default_rng(0)
    return Audio.from_numpy(0.01 * generator.standard_normal(sample_rate_hz).astype(np.float32), sample_rate_hz)


def _features(source: FeatureSource, tool: Tool, audio: Audio) -> Features:
    """Return those of ``audio``, as many frames put together as ``source`` says, the last of them repeated."""
    tokenizer = tool.tokenizer
    received = audio.resample(tokenizer.info.sample_rate_hz).to_channels(tokenizer.info.num_channels)
    is_quantized = source.features == "quantized"
    found = tokenizer.quantized(tokenizer.encode(received)) if is_quantized else tokenizer.latents(received)
    missing = -len(found.values) % source.stacked
    padded = torch.cat([found.values, found.values[-1:].expand(missing, -1)])
    stacked = padded.reshape(-1, source.stacked * padded.shape[1])
    return Features(stacked, frame_rate_hz=found.frame_rate_hz / source.stacked)


class Streams:
    """The streams of ``spec``, made by ``tools``; ``store`` keeps codes that were made before.

    Phones and labels that the spec does not list are learnt as they come, if ``is_learning``; :attr:`spec` lists
    them then.
    """

    def __init__(
        self,
        spec: LmSpec,
        tools: Mapping[str, Tool],
        store: CodeStore | None = None,
        *,
        is_learning: bool = False,
    ) -> None:
        self._spec, self._tools, self._store = spec, tools, store
        self._symbols = {
            name: {symbol: number for number, symbol in enumerate(source.symbols)}
            for name, source in spec.streams.items()
            if isinstance(source, TextSource | LabelSource) and self._owner(name) == name
        }
        self._learnt = {name for name, symbols in self._symbols.items() if is_learning and not symbols}

    def _owner(self, name: str) -> str:
        """Return the stream whose phones or labels those of ``name`` are; labels that are codes are their own."""
        like = getattr(self._spec.streams[name], "like", None)
        return like if like and self._spec.streams[like].kind == self._spec.streams[name].kind else name

    @property
    def spec(self) -> LmSpec:
        """The spec, with all symbols that are known."""
        known = {name: {"symbols": tuple(symbols)} for name, symbols in self._symbols.items() if symbols}
        streams = {
            name: source.model_copy(update=known.get(name, {})) for name, source in self._spec.streams.items()
        }
        return self._spec.model_copy(update={"streams": streams})

    def _numbers(self, name: str, symbols: Iterable[str]) -> list[int]:
        """Return the numbers of those of ``symbols`` that are known, or learnt now."""
        owner = self._owner(name)
        known = self._symbols[owner]
        if owner in self._learnt:
            for symbol in symbols:
                known.setdefault(symbol, len(known))
        return [known[symbol] for symbol in symbols if symbol in known]

    def tool(self, stream: str) -> Tool:
        """Return the tokenizer of ``stream``; raises :class:`NotSupportedError` where there is none."""
        owner = getattr(self._spec.streams[stream], "like", None) or stream
        if owner not in self._tools:
            raise NotSupportedError(self._spec.name, f"a tokenizer of the stream {stream!r}")
        return self._tools[owner]

    def made(self, contents: Mapping[str, Content], names: Iterable[str] | None = None) -> dict[str, Tensor]:
        """Return each stream whose content is there: int64 [K, F] or float32 [F, D]."""
        found = {}
        for name in self._spec.streams if names is None else names:
            source = self._spec.stream(name)
            if name in contents and isinstance(contents[name], Tensor):
                found[name] = _checked(name, source, contents[name])
            elif source.of in contents:
                found[name] = self._made(name, source, contents)
        return found

    def _made(self, name: str, source: Source, contents: Mapping[str, Content]) -> Tensor:
        content = contents[source.of]
        match source:
            case TextSource() | LabelSource():
                if not isinstance(content, str):
                    raise ContentError(f"{source.of}: expected text for the stream {name!r}")
                if isinstance(source, LabelSource):
                    return self._label(name, source, content)
                return self._text(name, source, content, _language(source, contents))
            case NoteSource():
                return _checked(name, source, content)
            case FeatureSource(features="given"):
                return _checked(name, source, content)
            case _:
                if not isinstance(content, Audio):
                    raise ContentError(f"{source.of}: expected audio for the stream {name!r}")
                if isinstance(source, FeatureSource):
                    return _features(source, self.tool(name), content).values
                return self._codes(name, source, content)

    def _text(self, name: str, source: TextSource, text: str, language: str) -> Tensor:
        is_bytes = source.unit == "bytes"
        symbols = list(text.encode()) if is_bytes else self._numbers(name, phones_of(text, language))
        if not symbols:
            raise ContentError(f"{source.of}: no symbol of the stream {name!r} is in the text {text!r}")
        return torch.tensor([symbols])

    def _label(self, name: str, source: LabelSource, label: str) -> Tensor:
        numbers = self._numbers(name, (label,))
        if not numbers:
            known = ", ".join(source.symbols[:10]) or "none"
            raise ContentError(f"{source.of}: no label {label!r} in the stream {name!r}, only {known}")
        if source.num_codes and numbers[0] >= source.num_codes:
            raise ContentError(
                f"{source.of}: there are more labels than the {source.num_codes} codes of {source.like}"
            )
        return torch.tensor([numbers])

    def _codes(self, name: str, source: CodeSource, audio: Audio) -> Tensor:
        return torch.cat([self._channel(name, source, side) for side in sides(audio, source.channels)])

    def _channel(self, name: str, source: CodeSource, audio: Audio) -> Tensor:
        tool = self.tool(name)
        info = tool.tokenizer.info
        received = audio.resample(info.sample_rate_hz).to_channels(info.num_channels)
        codes = self._encoded(tool, received)
        chosen = [
            stream.indices
            for stream, known in zip(codes.streams, info.streams, strict=True)
            if not source.stream or known.name == source.stream
        ]
        units = torch.cat(chosen)[source.first : source.end]
        if not source.durations:
            return units
        rows = [units, _durations(units, source.durations)]
        if source.pitches:
            rows.append(_pitches(units, audio, source.pitches))
        timed = torch.cat(rows)
        return timed if source.edges else timed[:, edges(units)]

    def _encoded(self, tool: Tool, audio: Audio) -> Codes:
        stored = self._store.get(tool.fingerprint, audio.sha256) if self._store else None
        if stored is not None:
            return stored.codes
        start = time.perf_counter()
        codes = tool.tokenizer.encode(audio)
        if self._store:
            self._store.put(tool.fingerprint, audio.sha256, StoredCodes(codes, time.perf_counter() - start))
        return codes

    def text(self, name: str, symbols: Tensor) -> str:
        """Return the text, or the label, of ``symbols`` int64 [1, F]; what is no UTF-8 is replaced."""
        source, numbers = self.spec.stream(name), symbols[0].tolist()
        if isinstance(source, TextSource) and source.unit == "bytes":
            return bytes(numbers).decode(errors="replace")
        if isinstance(source, TextSource | LabelSource):
            # Of codes that stand for labels, others may have been written.
            known = [source.symbols[number] for number in numbers if number < len(source.symbols)]
            return " ".join(known)
        raise NotSupportedError(self._spec.name, f"text of the stream {name!r}")

    def can_decode(self, name: str) -> bool:
        """Say whether the stream ``name`` is of a tokenizer that decodes."""
        source = self._spec.stream(name)
        is_decodable = isinstance(source, CodeSource) or (
            isinstance(source, FeatureSource) and source.features == "quantized"
        )
        return is_decodable and isinstance(self.tool(name).tokenizer, Codec)

    def require_whole(self, name: str) -> None:
        """Raise :class:`NotSupportedError` where the codes of ``name`` are not all that their codec decodes."""
        source, tool = self._spec.stream(name), self.tool(name)
        if isinstance(source, CodeSource) and isinstance(tool.tokenizer, Codec):
            _require_whole(tool.tokenizer, source.num_codebooks)

    def audio(self, name: str, codes: Tensor) -> Audio:
        """Return the audio of ``codes`` int64 [K, F], decoded channel by channel, or of a sum of codes [F, D].

        Raises :class:`NotSupportedError` for codes that are not all that a codec decodes.
        """
        source, tool = self._spec.stream(name), self.tool(name)
        if isinstance(source, FeatureSource) and isinstance(tool.tokenizer, Codec) and self.can_decode(name):
            stacked = codes.reshape(len(codes) * source.stacked, -1)
            return _spoken(tool.tokenizer, nearest_codes(stacked, code_vectors(tool.tokenizer)))
        if not isinstance(source, CodeSource) or not isinstance(tool.tokenizer, Codec):
            raise NotSupportedError(tool.reference, f"decoding, which the stream {name!r} needs")
        return joined([self._decoded(source, tool.tokenizer, side) for side in codes.chunk(source.channels)])

    def seconds(self, name: str, codes: Tensor) -> float | None:
        """Return how long ``codes`` of the stream ``name`` last; None of a stream without a rate.

        They are int64 [K, F], or features float32 [F, D].
        """
        source = self._spec.stream(name)
        rate_hz, num_frames = frame_rate_hz(source), codes.shape[0 if codes.is_floating_point() else 1]
        if isinstance(source, CodeSource) and source.durations and not source.edges:
            info = self.tool(name).tokenizer.info
            rate_hz = info.streams[0].frame_rate_hz
            num_frames = int((codes[source.num_codebooks] + 1).sum())
        return None if rate_hz is None else num_frames / rate_hz

    def _decoded(self, source: CodeSource, codec: Codec, codes: Tensor) -> Audio:
        units = codes[: source.num_codebooks]
        if source.durations and not source.edges:
            units = units.repeat_interleave(codes[source.num_codebooks] + 1, dim=1)
        return _spoken(codec, units)


def sides(audio: Audio, num_channels: int) -> list[Audio]:
    """Return the channels of ``audio`` one by one, as a tokenizer hears them; for one, ``audio`` as it is."""
    if num_channels == 1:
        return [audio]
    channels = audio.to_channels(num_channels).samples
    return [Audio(channel[None].contiguous(), audio.sample_rate_hz) for channel in channels]


def joined(audios: Sequence[Audio]) -> Audio:
    """Return the channels ``audios`` as one [C, T], as long as the shortest; for one, what it is."""
    if len(audios) == 1:
        return audios[0]
    # Of each channel, a codec for stereo makes two.
    num_samples, mono = min(audio.num_samples for audio in audios), [audio.to_channels(1) for audio in audios]
    return Audio(torch.cat([audio.samples[:, :num_samples] for audio in mono]), audios[0].sample_rate_hz)


def _spoken(codec: Codec, units: Tensor) -> Audio:
    """Return what ``codec`` decodes of ``units`` int64 [K, F], if they are all it needs."""
    _require_whole(codec, len(units))
    info = codec.info
    (stream,) = info.streams
    rate_hz = stream.frame_rate_hz or units.shape[1]
    num_samples = max(round(units.shape[1] / rate_hz * info.sample_rate_hz), 1)
    made = CodeStream(units.contiguous(), stream.codebook_size, stream.frame_rate_hz)
    return codec.decode(Codes((made,), num_samples, info.sample_rate_hz))


def _require_whole(codec: Codec, num_codebooks: int) -> None:
    info = codec.info
    if len(info.streams) > 1 or info.streams[0].num_codebooks != num_codebooks:
        raise NotSupportedError(
            info.name, f"decoding of {num_codebooks} codebooks alone, without what else it sends"
        )


@lru_cache(maxsize=65536)
def phones_of(text: str, language: str) -> tuple[str, ...]:
    """Return the phones of ``text``.

    Raises :class:`ContentError` where there are none, and where there is something that espeak-ng cannot say: it
    would say what that is, such as "exclamation" or "Chinese letter".
    """
    try:
        phones = pronounce(text, language)
    except NotApplicableError as error:
        raise ContentError(str(error)) from error
    if not any(map(str.isalnum, text)):
        raise ContentError(f"there is no letter and no digit to pronounce in the text {text!r}")
    if foreign := foreign_letters(text, language):
        raise ContentError(f"letters that {language} is not written in cannot be pronounced: {' '.join(foreign)}")
    return phones


def _language(source: TextSource, contents: Mapping[str, Content]) -> str:
    """Return the language that a text is spoken in: what is to be translated may have one of its own."""
    language = contents.get("language", source.language)
    return str(contents.get("source_language", language) if source.of == _SOURCE_TEXT else language)


def _checked(name: str, source: Source, content: Content) -> Tensor:
    """Return a tensor that was given as it is, if it can be what ``source`` says."""
    if not isinstance(content, Tensor) or content.ndim != 2:  # noqa: PLR2004
        raise ContentError(f"{source.of}: expected a tensor with two axes for the stream {name!r}")
    if isinstance(source, FeatureSource):
        if content.shape[1] != source.dimension:
            raise ContentError(f"{name}: expected {source.dimension} features, found {content.shape[1]}")
        return content.float()
    sizes = torch.tensor(source.sizes)
    if len(content) != len(sizes):
        raise ContentError(f"{name}: expected {len(sizes)} codebooks, found {len(content)}")
    if content.numel() and (bool((content < ABSENT).any()) or bool((content >= sizes[:, None]).any())):
        highest = content.amax(dim=1).tolist()
        raise ContentError(f"{name}: expected codes below {list(source.sizes)}, found up to {highest}")
    return content.long()


def _durations(units: Tensor, most: int) -> Tensor:
    """Return int64 [1, F]: where a unit begins, for how many frames it stays, less one; else -1."""
    is_new = edges(units)
    starts = is_new.nonzero()[:, 0]
    lengths = torch.diff(torch.cat([starts, torch.tensor([units.shape[1]])]))
    durations = torch.full((1, units.shape[1]), ABSENT)
    durations[0, starts] = lengths.clamp_max(most) - 1
    return durations


def _pitches(units: Tensor, audio: Audio, num_bins: int) -> Tensor:
    """Return int64 [1, F]: where a unit begins, the bin of its mean log F0 over that of all; 0 for no voice."""
    f0_hz, _ = track_f0(audio.mono(), audio.sample_rate_hz, frame_period_ms=F0_PERIOD_MS)
    voiced = f0_hz > 0
    middle = float(np.log(f0_hz[voiced]).mean()) if voiced.any() else 0.0
    starts = edges(units).nonzero()[:, 0].tolist()
    pitches = torch.full((1, units.shape[1]), ABSENT)
    for start, end in zip(starts, [*starts[1:], units.shape[1]], strict=True):
        first, last = (round(place / units.shape[1] * len(f0_hz)) for place in (start, end))
        inside = f0_hz[first : max(last, first + 1)]
        inside = inside[inside > 0]
        share = 0.0
        if len(inside):
            above = float(np.log(inside).mean()) - middle
            share = min(max((above + PITCH_RANGE) / (2 * PITCH_RANGE), 0.0), 1.0)
        pitches[0, start] = 1 + min(int(share * (num_bins - 1)), num_bins - 2) if len(inside) else 0
    return pitches
