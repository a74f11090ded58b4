"""Asking language models: what a trained one makes of an item, and what stands beside it as floor and ceiling."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tokbench.audio import Audio
from tokbench.codecs.base import Codec
from tokbench.corpora.base import Utterance
from tokbench.errors import NotApplicableError
from tokbench.lm.items import Content, Item
from tokbench.lm.language_model import LANGUAGES, Generated, LanguageModel, Request, Scores
from tokbench.lm.streams import joined, sides
from tokbench.runners.base import Bench, Failure, attempt
from tokbench.runners.lm_scores import (
    ALL,
    CEILING,
    INPUT,
    ORIGINAL,
    SHUFFLED,
    SWAPPED,
    UNTRAINED,
    Listeners,
    Output,
)
from tokbench.runners.perturbations import generator_for
from tokbench.specs.lm import LmSpec
from tokbench.specs.lm_streams import CodeSource, FeatureSource, LabelSource, TextSource
from tokbench.specs.lm_task import LmArguments
from tokbench.training.recognizer import labels_of

__all__ = ["Examination", "resynthesized", "written_content"]

_LONGEST_UNTRAINED = 2.0
"""Times the reference, where an untrained model is stopped that is to say itself where it ends: it hardly ever
does, and more would take its time and tell nothing new."""
_SOURCE = "source"
"""Content that an output is made from."""


@dataclass(frozen=True)
class Examination:
    """The models of one tokenizer, and what they are asked."""

    arguments: LmArguments
    bench: Bench
    folder: Path
    """Of the trained model."""
    is_aloud: bool
    """Whether audio is what comes out, and not text."""
    first: "Examination | None" = None
    """That of the first seed, where this is of another one: its tokenizers are loaded already."""
    _ahead: dict[tuple[str, str], Generated] = field(init=False, default_factory=dict)
    """What was generated for several utterances at once, by group and utterance."""

    @cached_property
    def trained(self) -> LanguageModel:
        """The model that has learnt."""
        model = LanguageModel(self.folder, device=self.bench.device, trusts_code=True)  # it was trained here
        return model if self.first is None else _sharing(model, self.first.trained)

    @cached_property
    def untrained(self) -> LanguageModel:
        """The same model before it learnt."""
        model = LanguageModel.floor(self.folder, seed=self.bench.seed, device=self.bench.device, trusts_code=True)
        return _sharing(model, self.trained)

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Streams that go in."""
        return self.trained.spec.forms[self.arguments.form].inputs

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """Streams that come out."""
        return self.trained.spec.forms[self.arguments.form].outputs

    @property
    def facts(self) -> Mapping[str, float]:
        """Size and budget of the trained model, by the name of the metric."""
        card = self.trained.card
        return {
            "lm_num_parameters": float(card.num_parameters),
            "lm_num_steps": float(card.num_steps),
            "lm_num_tokens": float(card.num_tokens),
            "lm_audio_s": card.audio_s,
        }

    # How likely something is.

    def bits(self, utterance: Utterance, item: Item) -> Iterator[tuple[str, str, np.ndarray | Failure]]:
        """Yield group, metric, and bits with what they are to be divided by."""
        phones = attempt(lambda: float(len(labels_of(utterance, "phones"))))
        for group, found in self._likelihoods(item):
            if isinstance(found, Failure):
                yield from ((group, name, found) for name in _DIVISORS)
                continue
            bits = sum(part.bits for part in found.streams.values())
            symbols = float(sum(part.num_symbols for part in found.streams.values()))
            divisors = dict(zip(_DIVISORS, (found.duration_s, phones, symbols, symbols), strict=True))
            for name, divisor in divisors.items():
                yield group, name, divisor if isinstance(divisor, Failure) else np.array([bits, divisor])

    def _likelihoods(self, item: Item) -> Iterator[tuple[str, Scores | Failure]]:
        yield ALL, attempt(lambda: self.trained.score([item])[0])
        yield UNTRAINED, attempt(lambda: self.untrained.score([item])[0])
        yield SHUFFLED, attempt(lambda: self.trained.score([self._mixed(item)])[0])

    def _mixed(self, item: Item) -> Item:
        return Item(item.id, {**item.contents, **self._shuffled(item, self.outputs)}, item.form)

    def preferences(self, item: Item, wrong: Item) -> Iterator[tuple[str, np.ndarray | Failure]]:
        """Yield, by group, 1 where ``item`` is likelier than ``wrong`` by the symbol; a half if it is as likely."""
        for group, model in ((ALL, self.trained), (UNTRAINED, self.untrained)):
            found = attempt(lambda model=model: model.score([item, wrong]))  # type: ignore[misc]
            yield group, found if isinstance(found, Failure) else _preference(*found)

    # What comes out.

    def work_ahead(self, asked: Sequence[tuple[Utterance, Item]]) -> None:
        """Generate at once what is to be heard, or read, of each of ``asked`` later.

        It comes out as it would for one alone, but for rounding. Where any of them cannot be generated, nothing is
        there, and each is asked for on its own.
        """
        self._ahead.clear()
        for group in self._groups:
            found = attempt(lambda group=group: self._all_of(group, asked))  # type: ignore[misc]
            if not isinstance(found, Failure):
                self._ahead.update(found)

    def _all_of(self, group: str, asked: Sequence[tuple[Utterance, Item]]) -> dict[tuple[str, str], Generated]:
        requests = [self._request(group, self.blank(utterance, item), item) for utterance, item in asked]
        names = [(group, utterance.id) for utterance, _ in asked]
        return dict(zip(names, self._generated(group, requests), strict=True))

    @property
    def _groups(self) -> tuple[str, ...]:
        """Those that a model generates something for."""
        has_codes = not self.is_aloud and self._is_timed(self.inputs)
        return (ALL, UNTRAINED, SHUFFLED) if has_codes else (ALL, UNTRAINED)

    def _request(self, group: str, blank: Output, item: Item) -> Request:
        """Return what is asked for."""
        asked = self.arguments
        given = self._mixed_inputs(item) if group == SHUFFLED else self._given(item)
        if not self.is_aloud:
            return Request(given, asked.form, seed=0)
        begun: dict[str, Content] = {}
        if asked.begun_s is not None and isinstance(audio := item.contents.get("audio"), Audio):
            begun["audio"] = _cut(audio, asked.begun_s)[0]
        duration_s = self._asked_s(blank)
        is_stopped = group == UNTRAINED and duration_s is None and blank.reference is not None
        longest_s = _LONGEST_UNTRAINED * blank.wanted.duration_s if is_stopped else math.inf
        return Request(given, asked.form, begun, duration_s=duration_s, longest_s=longest_s, seed=_seed(item))

    def _generated(self, group: str, requests: Sequence[Request]) -> list[Generated]:
        model = self.untrained if group == UNTRAINED else self.trained
        return model.generate(requests, sampling=self.arguments.sampling)

    def _made(self, group: str, blank: Output, item: Item) -> Generated:
        """Return what came of an utterance, which may be there already."""
        if (made := self._ahead.pop((group, blank.utterance.id), None)) is not None:
            return made
        (found,) = self._generated(group, [self._request(group, blank, item)])
        return found

    def texts(self, utterance: Utterance, item: Item) -> Iterator[tuple[str, Output | Failure]]:
        """Yield, by group, what the models write."""
        blank = self.blank(utterance, item)
        for group in self._groups:
            yield group, attempt(lambda group=group: self._written(group, blank, item))  # type: ignore[misc]

    def readings(
        self, utterance: Utterance, item: Item, listeners: Listeners
    ) -> Iterator[tuple[str, Output | Failure]]:
        """Yield, by group, what ``listeners`` are to write down, if they can.

        Where captions are compared, the original is the one of the item, and the ceiling of what others agree with.
        """
        blank = self.blank(utterance, item)
        if listeners.cider is not None:
            yield ORIGINAL, replace(blank, text=blank.reference_text)
        elif listeners.can_write and blank.reference is not None:
            reference = blank.reference
            if isinstance(self.bench.tokenizer, Codec):
                yield CEILING, attempt(lambda: replace(blank, audio=self._resynthesized(reference)))
            yield ORIGINAL, replace(blank, audio=reference)

    def sounds(
        self, utterance: Utterance, item: Item, partner: tuple[Utterance, Item]
    ) -> Iterator[tuple[str, Output | Failure]]:
        """Yield, by group, what the models let be heard; that of the trained one as the answer to ``partner``, too.

        ``partner`` is another item, of which other things were asked.
        """
        blank = self._voiced(self.blank(utterance, item))
        heard = attempt(lambda: self._heard(ALL, blank, item))
        yield ALL, heard
        if isinstance(heard, Failure):
            yield SWAPPED, heard
        else:
            yield SWAPPED, attempt(lambda: replace(self._voiced(self.blank(*partner)), audio=heard.audio))
        yield UNTRAINED, attempt(lambda: self._heard(UNTRAINED, blank, item))

    def recordings(self, utterance: Utterance, item: Item) -> Iterator[tuple[str, Output | Failure]]:
        """Yield, by group, the reference, what the tokenizer makes of it, and what was to be made into it."""
        blank = self.blank(utterance, item)
        if (reference := blank.reference) is not None:
            yield CEILING, attempt(lambda: replace(self._voiced(blank), audio=self._resynthesized(reference)))
            yield ORIGINAL, replace(blank, audio=reference)
        if isinstance(source := self._given(item).get(_SOURCE), Audio):
            yield INPUT, replace(blank, audio=source)

    def blank(self, utterance: Utterance, item: Item) -> Output:
        """Return what is known of an output before there is one."""
        contents = item.contents
        reference, voice = contents.get("audio"), contents.get("prompt")
        if isinstance(reference, Audio) and self.arguments.begun_s is not None:
            reference = _cut(reference, self.arguments.begun_s)[1]
        return Output(
            utterance,
            str(contents.get("language", "")),
            reference_text=str(contents.get(self._text, "")),
            asked=self._asked(item),
            reference=reference if isinstance(reference, Audio) else None,
            voice=voice if isinstance(voice, Audio) else None,
        )

    def _asked(self, item: Item) -> str:
        given = {name: content for name, content in self._given(item).items() if name not in LANGUAGES}
        return "; ".join(content for content in given.values() if isinstance(content, str))

    @cached_property
    def _text(self) -> str:
        return written_content(self.trained.spec, self.arguments.form)

    def _given(self, item: Item) -> dict[str, Content]:
        return self.trained.given(self.arguments.form, item.contents)

    def _mixed_inputs(self, item: Item) -> dict[str, Content]:
        return {**self._given(item), **self._shuffled(item, self.inputs)}

    def _written(self, group: str, blank: Output, item: Item) -> Output:
        return replace(blank, text=self._made(group, blank, item).text[self._text])

    def _heard(self, group: str, blank: Output, item: Item) -> Output:
        return replace(blank, audio=self.trained.audio(self._made(group, blank, item)))

    def _asked_s(self, blank: Output) -> float | None:
        """Return the length that is asked for; None where the model is to say where it ends."""
        is_told = self.arguments.length == "reference" and blank.reference is not None
        return blank.wanted.duration_s if is_told else None

    def _is_timed(self, names: Sequence[str]) -> bool:
        return any(isinstance(self.trained.spec.stream(name), CodeSource | FeatureSource) for name in names)

    def _shuffled(self, item: Item, names: Sequence[str]) -> dict[str, Tensor]:
        """Return the streams of codes and features among ``names``, their frames in a random order."""
        timed = [name for name in names if self._is_timed((name,))]
        made = self.trained.streams.made(item.contents, timed)
        return {
            name: values[_order(item, len(values))]
            if isinstance(self.trained.spec.stream(name), FeatureSource)
            else values[:, _order(item, values.shape[1])]
            for name, values in made.items()
        }

    def _voiced(self, blank: Output) -> Output:
        """Return ``blank`` with its voice as the tokenizer makes it, where somebody listens who knows voices.

        A codec changes all voices alike, often more than they differ: what comes out of it is compared with the
        voice as it comes out of it, and only recordings with recordings.
        """
        voice = blank.voice or blank.reference
        if not self.arguments.speaker or voice is None:
            return blank
        return replace(blank, voice=self._resynthesized(voice))

    def _resynthesized(self, audio: Audio) -> Audio:
        """Return what the tokenizer makes of ``audio``, side by side where the model reads or writes two sides."""
        return joined([resynthesized(self.bench, side) for side in sides(audio, self._num_channels)])

    @cached_property
    def _num_channels(self) -> int:
        """Channels that are tokenized on their own."""
        sources = [self.trained.spec.stream(name) for name in (*self.inputs, *self.outputs)]
        return max((source.channels for source in sources if isinstance(source, CodeSource)), default=1)


def resynthesized(bench: Bench, audio: Audio) -> Audio:
    """Return what the codec of ``bench`` makes of ``audio``."""
    return bench.decode(bench.encode(audio).codes)[0]


def _sharing(model: LanguageModel, other: LanguageModel) -> LanguageModel:
    """Return ``model`` with the tokenizers of ``other``, if both were trained with the same ones."""
    if model.spec == other.spec:
        model.streams = other.streams
    return model


def written_content(spec: LmSpec, form: str) -> str:
    """Return the content that ``form`` writes, or else what is said in the audio.

    Of several texts that is the last: those before are steps on the way, such as what is said in a language that is
    to be translated.
    """
    sources = [spec.stream(name) for name in spec.forms[form].outputs]
    return next((each.of for each in reversed(sources) if isinstance(each, TextSource | LabelSource)), "text")


_DIVISORS = ("lm_bits_per_second", "lm_bits_per_phone", "lm_bits_per_token", "lm_perplexity")
"""Metrics of likelihood: by seconds, phones, symbols and symbols."""


def _preference(right: Scores, wrong: Scores) -> np.ndarray:
    costs = [
        found.nats / max(sum(part.num_symbols for part in found.streams.values()), 1) for found in (right, wrong)
    ]
    return np.array([0.5 if costs[0] == costs[1] else float(costs[0] < costs[1]), 1.0])


def _cut(audio: Audio, seconds: float) -> tuple[Audio, Audio]:
    """Return what comes before ``seconds`` and what comes after; raises :class:`NotApplicableError` for nothing."""
    place = round(seconds * audio.sample_rate_hz)
    if place >= audio.num_samples:
        raise NotApplicableError(f"there is nothing after the first {seconds:g} s")
    before, after = audio.samples[:, :place].contiguous(), audio.samples[:, place:].contiguous()
    return Audio(before, audio.sample_rate_hz), Audio(after, audio.sample_rate_hz)


def _seed(item: Item) -> int:
    return int(generator_for(item.id, "is generated").integers(2**31))


def _order(item: Item, num_frames: int) -> Tensor:
    return torch.from_numpy(generator_for(item.id, "is shuffled").permutation(num_frames))
