"""What language models read and write: streams of symbols or of features, each made of one content of an item."""

from typing import Annotated, Literal

from pydantic import Field

from tokbench.specs.base import StrictModel

__all__ = ["CodeSource", "FeatureSource", "LabelSource", "NoteSource", "Source", "Symbols", "TextSource"]

NUM_BYTES = 256
NUM_PITCHES = 129
"""Of MIDI, and one for a rest."""
NUM_NOTE_LENGTHS = 256
"""In fiftieths of a second."""


class CodeSource(StrictModel):
    """Codes of a tokenizer."""

    kind: Literal["codes"]
    of: str = "audio"
    """Content that is tokenized."""
    like: str | None = None
    """Stream of codes whose tokenizer and symbols these are, too: all keys but ``of`` are its own."""
    tokenizers: tuple[str, ...] = ()
    """References in the order of preference: the first that can be loaded is taken; training leaves only that."""
    tokenizer_sha256: str | None = None
    """Fingerprint of the tokenizer; filled in by training."""
    stream: str = ""
    """Name of the tokenizer's stream that is meant; by default all of them, which must have one rate."""
    first: int = Field(default=0, ge=0)
    """First codebook that is taken."""
    end: int | None = Field(default=None, gt=0)
    """Codebook before which to stop."""
    num_codebooks: int = Field(default=1, gt=0)
    """Of the published design; training fills in those of its tokenizer, as it does in the next two."""
    codebook_size: int = Field(default=1024, gt=0)
    frame_rate_hz: float | None = Field(default=None, gt=0)
    channels: int = Field(default=1, ge=1, le=2)
    """Above 1, each channel of the audio is tokenized on its own: codebooks of the left one come first, and where a
    layout tells no delays, those of each channel are late by 0, 1, 2 …"""
    durations: int = Field(default=0, ge=0)
    """If not 0, codes of one codebook that repeat are one, with a second codebook for how often: once, twice, and
    so on up to this number or more (pGSLM)."""
    edges: bool = False
    """Whether codes that repeat stay, and a duration stands only where a new one begins (dGSLM)."""
    pitches: int = Field(default=0, ge=0)
    """If not 0, a further codebook for the mean log F0 while a code lasts, less that of all the audio, in bins."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """Symbols of each codebook, over all channels."""
        own = [self.codebook_size] * self.num_codebooks + [size for size in (self.durations, self.pitches) if size]
        return tuple(own) * self.channels

    @property
    def is_aligned(self) -> bool:
        """Whether its frames are evenly spaced in time."""
        return self.frame_rate_hz is not None and (not self.durations or self.edges)


class TextSource(StrictModel):
    """Text: bytes, or what is to be spoken."""

    kind: Literal["text"]
    of: str = "text"
    like: str | None = None
    """Stream of text whose symbols these are, too."""
    unit: Literal["bytes", "phones"] = "bytes"
    """``phones`` are those that espeak-ng speaks, in IPA."""
    language: str = "en-us"
    """Of the phones, for an item that tells none; an item's ``source_language`` is that of its ``source_text``."""
    symbols: tuple[str, ...] = ()
    """Phones that there are; filled in by training."""
    num_symbols: int = Field(default=128, gt=0)
    """Phones of the published design, while they are not filled in."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """Symbols."""
        return (NUM_BYTES if self.unit == "bytes" else len(self.symbols) or self.num_symbols,)


class LabelSource(StrictModel):
    """One of several labels, such as a language."""

    kind: Literal["labels"]
    of: str
    like: str | None = None
    """Stream of labels whose symbols these are, too; or one of codes, of which the first stand for the labels
    (SpeechPrompt's verbalizer)."""
    symbols: tuple[str, ...] = ()
    """Labels that there are; filled in by training where none are listed."""
    num_symbols: int = Field(default=1, gt=0)
    """Labels of the published design, while they are not filled in."""
    num_codes: int = Field(default=0, ge=0)
    """Codes among which they are, where they are like codes; filled in from their stream."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """Symbols."""
        return (self.num_codes or len(self.symbols) or self.num_symbols,)


class NoteSource(StrictModel):
    """Notes of a melody: pitch and length."""

    kind: Literal["notes"]
    of: str = "notes"

    @property
    def sizes(self) -> tuple[int, ...]:
        """Pitches and lengths."""
        return (NUM_PITCHES, NUM_NOTE_LENGTHS)


class FeatureSource(StrictModel):
    """Continuous features."""

    kind: Literal["features"]
    of: str = "audio"
    features: Literal["given", "latents", "quantized"] = "latents"
    """Those of a tokenizer, before its quantizer (log-mel bands are latents, too) or after it; or the content
    itself, float32 [F, D]."""
    tokenizers: tuple[str, ...] = ()
    """As for codes."""
    tokenizer_sha256: str | None = None
    """Fingerprint of the tokenizer; filled in by training."""
    dimension: int = Field(gt=0)
    """Of a frame, once it is made of several; of a tokenizer's frames, training fills it in."""
    frame_rate_hz: float | None = Field(default=None, gt=0)
    """The same."""
    stacked: int = Field(default=1, gt=0)
    """Frames of the tokenizer that are put side by side to make one."""


Symbols = CodeSource | TextSource | LabelSource | NoteSource
Source = Annotated[Symbols | FeatureSource, Field(discriminator="kind")]
