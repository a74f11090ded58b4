"""Judges that write down what was said: PocketSphinx, whose models come with its package, and Whisper."""

import importlib.util
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tokbench.errors import UsageError
from tokbench.judges.base import Recognizer
from tokbench.paths import weights_dir

__all__ = ["PocketSphinx", "VocabularyError", "Whisper", "words_of"]

_INT16_MAX = 32767
_PADDING_S = 0.25
_WORD = re.compile(r"[^\s()|]+")
"""Of a text that may have others in brackets."""
_WHISPER_CODES = {"cmn": "zh", "nb": "no", "fil": "tl"}
"""Languages that Whisper calls otherwise: by a macrolanguage, or by an older name."""
_WHISPER_LATE = frozenset({"yue"})
"""Languages that not all multilingual models of Whisper know: Cantonese came with large-v3."""
_CHINESE = frozenset({"zh", "cmn", "yue"})
_HANZI = re.compile(r"[\u3400-\u9fff]")
"""A Chinese character: the unified ideographs of Unicode, and their extension A."""


class VocabularyError(UsageError):
    """A list of texts that a recognizer cannot be held to."""


class PocketSphinx(Recognizer):
    """The recognizer of CMU Sphinx for US English, with its own acoustic and language models.

    Each recording is normalized by its own cepstral mean (``cmn = batch``) and has a front end of its own: with the
    running mean that is the default, and with a front end that heard something else before, answers differ.

    Where there is a vocabulary it hears one of those texts, or nothing; ``(a | b)`` in a text stands for one of
    several, so that a few lines make many sentences. A quarter of a second of silence is put
    before and after: recordings of single words are often cut so tightly that their first phone has no room.
    """

    packages: ClassVar[Mapping[str, str]] = {"pocketsphinx": "pocketsphinx"}

    def __init__(
        self,
        argument: str = "",
        *,
        vocabulary: Sequence[str] = (),
        pronunciations: Sequence[tuple[str, str]] = (),
    ) -> None:
        if argument:
            raise UsageError(f"pocketsphinx has one model only, there is no {argument!r}")
        self.name = "pocketsphinx"
        self.vocabulary = tuple(vocabulary)
        self.pronunciations = tuple(pronunciations)
        """Phones (of CMUdict) by word, for words that the dictionary lacks."""

    @property
    def files(self) -> Sequence[Path]:
        """The acoustic model, the dictionary, and the language model where there is no vocabulary."""
        folder = _package_folder("pocketsphinx") / "model" / "en-us"
        acoustic = ("feat.params", "mdef", "means", "noisedict", "sendump", "transition_matrices", "variances")
        language = () if self.vocabulary else (folder / "en-us.lm.bin",)
        return (*(folder / "en-us" / name for name in acoustic), folder / "cmudict-en-us.dict", *language)

    def knows(self, language: str) -> bool:
        """Say whether ``language`` is English, or not known."""
        return language.partition("-")[0] in {"", "en"}

    def _transcribe(self, samples: np.ndarray, language: str) -> str:  # noqa: ARG002
        decoder = self._decoder
        if self.vocabulary:
            samples = np.pad(samples, round(_PADDING_S * self.sample_rate_hz))
        decoder.reinit_feat()
        decoder.start_utt()
        decoder.process_raw((samples * _INT16_MAX).round().astype("<i2").tobytes(), full_utt=True)
        decoder.end_utt()
        found = decoder.hyp()
        return found.hypstr if found is not None else ""

    @cached_property
    def _decoder(self) -> Any:
        from pocketsphinx import Config, Decoder  # noqa: PLC0415  (loaded at first use)

        if not self.vocabulary:
            return Decoder(Config(cmn="batch", loglevel="FATAL"))
        decoder = Decoder(Config(cmn="batch", loglevel="FATAL", lm=None))
        for word, phones in self.pronunciations:
            decoder.add_word(word, phones)
        unknown = sorted(word for word in words_of(self.vocabulary) if decoder.lookup_word(word) is None)
        if unknown:
            raise VocabularyError(f"{self.name} cannot pronounce {', '.join(unknown)}: its dictionary lacks them")
        decoder.add_jsgf_string("vocabulary", _grammar(self.vocabulary))
        decoder.activate_search("vocabulary")
        return decoder


def words_of(vocabulary: Sequence[str]) -> set[str]:
    """Return the words of texts that may have others in brackets.

    >>> sorted(words_of(["yes", "(not | right) now"]))
    ['not', 'now', 'right', 'yes']
    """
    return {word for text in vocabulary for word in _WORD.findall(text)}


def _grammar(texts: Sequence[str]) -> str:
    """Return a grammar of one of ``texts``, in the Java Speech Grammar Format.

    >>> _grammar(["yes", "(not | right) now"])
    '#JSGF V1.0; grammar vocabulary; public <text> = yes | (not | right) now;'
    """
    return f"#JSGF V1.0; grammar vocabulary; public <text> = {' | '.join(texts)};"


class Whisper(Recognizer):
    """A model of OpenAI's Whisper (Radford et al. 2022, arXiv:2212.04356), decoded greedily.

    Its fall-back to random draws where a text looks wrong is off, and so is what it makes of its own earlier text:
    the answer is the most probable one of each 30 s, the same each time.
    """

    packages: ClassVar[Mapping[str, str]] = {"whisper": "openai-whisper"}
    writes_digits = True
    origin = "OpenAI's Whisper (the addresses are in whisper/__init__.py)"

    def __init__(self, argument: str = "", **options: object) -> None:
        if not argument:
            raise UsageError("which whisper? Write its size, such as whisper:base, or the path of a .pt file")
        if options:
            raise VocabularyError("whisper cannot be held to a vocabulary; pocketsphinx can")
        is_path = argument.endswith(".pt")
        self.path = Path(argument) if is_path else weights_dir() / "whisper" / f"{argument}.pt"
        self.name = f"whisper:{self.path.stem}"

    @property
    def files(self) -> Sequence[Path]:
        """The one file of the model."""
        return (self.path,)

    def knows(self, language: str) -> bool:
        """Say whether the model may be asked for ``language``: one whose name ends in ``.en`` knows English.

        Of Cantonese the model is asked, which is loaded for that; raises what :meth:`require` raises.
        """
        code = _whisper_code(language)
        if self.path.stem.endswith(".en"):
            return code in {"", "en"}
        from whisper.tokenizer import LANGUAGES  # noqa: PLC0415  (loaded at first use)

        # Without a language, it finds out by itself.
        return code in {"", *LANGUAGES} and (code not in _WHISPER_LATE or code in self._languages)

    def spells_like(self, text: str, language: str) -> bool:
        """Say whether ``text`` may be compared with what it writes: of Chinese, a text in characters.

        >>> Whisper("base").spells_like("ni3 hao3", "cmn"), Whisper("base").spells_like("你好", "cmn")
        (False, True)
        """
        return language.partition("-")[0] not in _CHINESE or not text or _HANZI.search(text) is not None

    def _transcribe(self, samples: np.ndarray, language: str) -> str:
        import whisper  # noqa: PLC0415  (loaded at first use)

        code = _whisper_code(language)
        found: dict[str, Any] = whisper.transcribe(
            self._model,
            samples,
            temperature=0.0,
            condition_on_previous_text=False,
            language=code if code in self._languages else None,
            fp16=False,
            verbose=None,
        )
        text: str = found["text"]
        return text.strip()

    @property
    def _languages(self) -> Sequence[str]:
        """Codes of the languages that the model has a token for."""
        from whisper.tokenizer import LANGUAGES  # noqa: PLC0415  (as above)

        return tuple(LANGUAGES)[: self._model.num_languages]

    @cached_property
    def _model(self) -> Any:
        import whisper  # noqa: PLC0415  (as above)

        self.require()
        return whisper.load_model(str(self.path), device="cpu").eval()


def _whisper_code(language: str) -> str:
    """Return what Whisper calls ``language``.

    >>> _whisper_code("cmn"), _whisper_code("en-us")
    ('zh', 'en')
    """
    code = language.partition("-")[0]
    return _WHISPER_CODES.get(code, code)


def _package_folder(name: str) -> Path:
    package = importlib.util.find_spec(name)
    return Path(package.submodule_search_locations[0]) if package and package.submodule_search_locations else Path()
