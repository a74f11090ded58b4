"""The registry of corpora: from a reference to a corpus, importing only what that kind of corpus needs.

``synth``, ``synth?language=cmn``, ``synth-music``, ``folder:DIR``, ``manifest:FILE?column=value&column=one|other``,
``librispeech:ROOT?split=test-clean``.
"""

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from tokbench.corpora.base import Corpus
from tokbench.corpora.reference import LARGE_SPLITS, CorpusReference
from tokbench.errors import CorpusError, MissingPackageError, UnknownNameError
from tokbench.paths import corpora_dir

__all__ = ["CorpusListing", "list_corpora", "open_corpus"]


@dataclass(frozen=True, kw_only=True)
class CorpusListing:
    """A kind of corpus, described without opening it."""

    name: str
    spelling: str
    """How to ask for it."""
    description: str
    licence: str
    opener: str
    """``module:callable`` of a :class:`CorpusReference`."""
    requires: tuple[str, ...] = ()
    """Packages by import name."""
    folder: str = ""
    """Folder below ``$TOKBENCH_HOME/corpora`` without which it has to be downloaded."""
    large: tuple[str, ...] = ()
    """Its large splits."""
    can_download: bool = False
    """Whether tokbench downloads it when it is asked to."""

    @property
    def missing(self) -> str:
        """What has to be done before it can be used; empty where nothing has."""
        packages = [name for name in self.requires if importlib.util.find_spec(name) is None]
        if packages:
            return f"pip install {' '.join(packages).replace('_', '-')}"
        if self.folder and not (corpora_dir() / self.folder).is_dir():
            where = f"put {self.folder} in {corpora_dir()}, or name its ROOT"
            return f"{where}, or add &download=true" if self.can_download else where
        return ""

    @property
    def is_available(self) -> bool:
        """Whether it can be opened now."""
        return not self.missing


def _made_here(
    name: str, description: str, *, example: str, needs_speech: bool = True, large: tuple[str, ...] = ()
) -> CorpusListing:
    """Return the listing of a corpus that is made when it is asked for; ``large`` names its large splits."""
    queries = (*(f"split={split}" for split in ("train", *large)), example)
    return CorpusListing(
        name=name,
        spelling=", ".join([name, *(f"{name}?{query}" for query in queries)]),
        description=description,
        licence="Apache-2.0",
        opener=f"tokbench.corpora.{name.replace('-', '_')}:RECIPE.open",
        requires=("espeakng_loader",) if needs_speech else (),
        large=large,
    )


def _published(
    name: str, description: str, *, licence: str, opener: str, folder: str, splits: str = "train|test"
) -> CorpusListing:
    """Return the listing of a data set that has to be put where it is looked for."""
    return CorpusListing(
        name=name,
        spelling=f"{name}, {name}:ROOT?split={splits}",
        description=description,
        licence=licence,
        opener=f"tokbench.corpora.{opener}",
        folder=folder,
    )


_LISTINGS = (
    CorpusListing(
        name="synth",
        spelling="synth, synth?split=train, synth?split=demo, synth?language=cmn|yue",
        description="Speech made by espeak-ng: 7 languages, 14 speakers, exact phone and word times, lexical tones",
        licence="Apache-2.0",
        opener="tokbench.corpora.synth:open_synth",
        requires=("espeakng_loader",),
    ),
    _made_here(
        "synth-commands",
        "Commands with intents, strings of digits, manners of speaking, questions and answers",
        example="kind=command|digits|manner|question",
        large=LARGE_SPLITS,
    ),
    _made_here(
        "synth-words",
        "Digits and keywords, each a recording",
        example="kind=digit|keyword",
        large=("train-large",),
    ),
    _made_here(
        "synth-sentences",
        "Stories of a small world, and pairs of words, sentences and stories of which one is wrong",
        example="kind=word|agreement|story",
    ),
    _made_here(
        "synth-parallel",
        "The same sentences in English, German, French and Spanish, in the same voice",
        example="language=de&target_language=en-us",
        large=("train-large",),
    ),
    _made_here(
        "synth-mixtures",
        "Noisy, reverberant and mixed speech with the clean one, edits, and the same by another voice",
        example="kind=noise|room|talkers|edit|voice",
        large=("train-large",),
    ),
    _made_here("synth-dialogue", "Two people talking, each in a channel", example="split=train|test"),
    _made_here("synth-singing", "Syllables sung on notes, with the score", example="gender=f"),
    _made_here(
        "synth-events",
        "Sound events of eight kinds with captions, mixtures, and edits with their results",
        example="kind=single|mixture|edit",
        large=LARGE_SPLITS,
        needs_speech=False,
    ),
    _made_here(
        "synth-music",
        "Melodies with scores and captions on four instruments, and two instruments in stereo",
        example="kind=melody|stereo",
        large=("train-large",),
        needs_speech=False,
    ),
    CorpusListing(
        name="folder",
        spelling="folder:DIR",
        description="Every audio file below a folder; the folder of a file is its speaker",
        licence="yours",
        opener="tokbench.corpora.folder:open_folder",
    ),
    CorpusListing(
        name="manifest",
        spelling="manifest:FILE, manifest:FILE?column=value&column=one|other",
        description="The rows of a CSV file with a column 'path', and any labels",
        licence="yours",
        opener="tokbench.corpora.manifest:open_manifest",
    ),
    CorpusListing(
        name="librispeech",
        spelling="librispeech?split=test-clean, librispeech:ROOT?split=test-clean|test-other",
        description="Read English audio books with transcripts and speakers (openslr.org/12)",
        licence="CC BY 4.0",
        opener="tokbench.corpora.librispeech:open_librispeech",
        folder="LibriSpeech",
        can_download=True,
    ),
    _published(
        "libritts",
        "Read English audio books at 24 kHz, with normalized texts (Zen et al. 2019)",
        splits="test-clean|test-other",
        licence="CC BY 4.0",
        opener="read_speech:LibriTtsCorpus",
        folder="LibriTTS",
    ),
    _published(
        "vctk",
        "Sentences by 110 speakers of English at 48 kHz, with their accents (Yamagishi et al. 2019)",
        splits="all",
        licence="CC BY 4.0",
        opener="read_speech:VctkCorpus",
        folder="VCTK-Corpus-0.92",
    ),
    _published(
        "aishell",
        "Read Mandarin by 400 speakers (AISHELL-1, Bu et al. 2017)",
        licence="Apache-2.0",
        opener="read_speech:AishellCorpus",
        folder="data_aishell",
    ),
    _published(
        "thchs-30",
        "Read Mandarin with syllables and tones (Wang, Zhang 2015)",
        licence="Apache-2.0",
        opener="read_speech:Thchs30Corpus",
        folder="data_thchs30",
    ),
    _published(
        "speech-commands",
        "Single words, among them ten commands (Warden 2018)",
        licence="CC BY 4.0",
        opener="words:SpeechCommandsCorpus",
        folder="speech_commands_v0.02",
    ),
    _published(
        "fsdd",
        "The Free Spoken Digit Dataset",
        licence="CC BY-SA 4.0",
        opener="words:SpokenDigitsCorpus",
        folder="free-spoken-digit-dataset",
    ),
    _published(
        "fluent-speech-commands",
        "Commands with intents: action, object and location (Lugosch et al. 2019)",
        licence="Fluent Speech Commands Public License",
        opener="fluent_speech_commands:FluentSpeechCommandsCorpus",
        folder="fluent_speech_commands_dataset",
    ),
    _published(
        "esc50",
        "Environmental sounds of 50 kinds (Piczak 2015)",
        licence="CC BY-NC 3.0",
        opener="esc50:Esc50Corpus",
        folder="ESC-50-master",
    ),
    _published(
        "maestro",
        "Piano music, whole pieces as they were played (Hawthorne et al. 2019)",
        licence="CC BY-NC-SA 4.0",
        opener="maestro:MaestroCorpus",
        folder="maestro-v3.0.0",
    ),
)


def list_corpora() -> Mapping[str, CorpusListing]:
    """Return every kind of corpus by name; nothing is opened."""
    return {listing.name: listing for listing in _LISTINGS}


def open_corpus(reference: str) -> Corpus:
    """Return the corpus that ``reference`` asks for.

    Raises :class:`UnknownNameError` for an unknown kind and :class:`CorpusError` for a corpus that cannot be read.
    """
    parsed = CorpusReference.parse(reference)
    listing = list_corpora().get(parsed.kind)
    if listing is None:
        raise _unknown(reference, parsed)
    if listing.requires and not listing.is_available:
        raise MissingPackageError(listing.name, [name.replace("_", "-") for name in listing.requires])
    module, _, function = listing.opener.partition(":")
    opener: Callable[[CorpusReference], Corpus] = attrgetter(function)(importlib.import_module(module))
    return opener(parsed)


def _unknown(reference: str, parsed: CorpusReference) -> CorpusError | UnknownNameError:
    path = Path(f"{parsed.kind}:{parsed.location}" if parsed.location else parsed.kind).expanduser()
    if path.exists():
        kind = "folder" if path.is_dir() else "manifest"
        return CorpusError(f"{reference} is a path; ask for {kind}:{reference}")
    return UnknownNameError("corpus", parsed.kind, list_corpora(), command="tokbench list corpora")
