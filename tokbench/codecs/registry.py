"""The registry: names to cards, without importing a codec before it is used.

A codec is called for by one of four references, each optionally with ``:SETTING`` (``:all`` for every one):

- the name of a shipped card: ``opus``, ``opus:12kbps``;
- a name that an installed package registered under the entry-point group ``tokbench.codecs``: a class, or a
  package that holds a ``card.toml``;
- a class in a file: ``path/to/file.py:MyCodec``, described by a ``card.toml`` beside the file if there is one;
- a folder that holds a ``card.toml`` and weights, such as ``tokbench train`` writes: ``./NAME`` where a codec has
  that name.
"""

import dataclasses
import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import json
import re
import sys
from collections.abc import Mapping
from ctypes.util import find_library
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokbench.codecs.card import Card, read_card
from tokbench.errors import (
    MissingLibraryError,
    MissingPackageError,
    SpecError,
    TokbenchError,
    UnknownNameError,
    UsageError,
)
from tokbench.specs.base import StrictModel, file_sha256, read_toml
from tokbench.user_code import USER_MODULE, files_of, import_file

if TYPE_CHECKING:
    from tokbench.codecs.base import Tokenizer

__all__ = [
    "CodecReference",
    "expand",
    "fingerprint",
    "is_code",
    "list_cards",
    "list_plugins",
    "load",
    "missing_packages",
    "name_of_folder",
    "one",
    "require_installed",
]

CARDS = Path(__file__).parent / "cards"
TRAINED = Path(__file__).parent / "weights_data"
ENTRY_POINTS = "tokbench.codecs"
ALL_SETTINGS = "all"
CARD_FILE = "card.toml"
_OWN_ADAPTER = re.compile(r"tokbench\.codecs\.\w+:\w+")
_DECIDING = ("tokbench.codecs.", "tokbench.models.")
"""Modules whose source decides which codes an adapter that imports them makes."""

_CODE = ".py:"
"""Between the file and the class of a reference to code."""

SAME_CODES = Path(__file__).with_name("same_codes.toml")


class SameFile(StrictModel):
    """Two texts of a source file that make the same codes."""

    path: str
    """Within the package, with ``/``."""
    before: str
    """SHA-256 of the text that the fingerprints count."""
    now: str
    """SHA-256 of the text that stands there."""
    why: str
    """What was changed."""


class SameCodes(StrictModel):
    """The content of ``same_codes.toml``."""

    file: tuple[SameFile, ...]


@dataclass(frozen=True)
class CodecReference:
    """One setting of one codec: all that a worker process needs to load it."""

    card: Card
    setting: str
    folder: Path | None = None
    """Folder of the card, for a codec that is not shipped: its weights, and perhaps its adapter, lie in it."""

    @property
    def label(self) -> str:
        """``name:setting``."""
        return f"{self.card.name}:{self.setting}"

    @property
    def text(self) -> str:
        """What asks for it again, on this machine."""
        if is_code(self.card.adapter):
            return f"{self.adapter}:{self.setting}"
        is_named = self.folder is None or self.card.name in list_plugins()
        return f"{self.card.name if is_named else self.folder}:{self.setting}"

    @property
    def adapter(self) -> str:
        """``module:Class`` or ``file.py:Class``; a file is looked for beside the card."""
        if self.folder is None or not is_code(self.card.adapter):
            return self.card.adapter
        return str(self.folder / self.card.adapter)

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of the adapter, weights apart."""
        return {**self.card.arguments, **self.card.settings[self.setting]}


def is_code(reference: str) -> bool:
    """Say whether a reference, or an adapter, is a class in a file: code that runs where it is loaded.

    >>> is_code("my_codec.py:MyCodec"), is_code("opus:12kbps")
    (True, False)
    """
    return _CODE in reference


@functools.cache
def list_cards() -> Mapping[str, Card]:
    """Return every shipped card by name, sorted; those of codecs trained by tokbench lie beside their weights."""
    paths = {path.stem: path for path in CARDS.glob("*.toml")}
    paths |= {path.parent.name: path for path in TRAINED.glob(f"*/{CARD_FILE}")}
    return {name: _read_named_card(path, name) for name, path in sorted(paths.items())}


def _read_named_card(path: Path, name: str) -> Card:
    card = read_card(path)
    if card.name != name:
        raise SpecError(path, [f"name: expected {name!r}, found {card.name!r}"])
    return card


def list_plugins() -> dict[str, importlib.metadata.EntryPoint]:
    """Return the codecs that installed packages register, by name. Nothing of theirs is imported.

    Raises :class:`UsageError` if two packages, or a package and a shipped card, claim one name.
    """
    plugins: dict[str, importlib.metadata.EntryPoint] = {}
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        if point.name in plugins or point.name in list_cards():
            msg = f"the codec name {point.name!r} is registered twice; uninstall one of the packages"
            raise UsageError(msg)
        plugins[point.name] = point
    return dict(sorted(plugins.items()))


def expand(text: str) -> list[CodecReference]:
    """Return the settings that one ``--codec`` item asks for.

    Raises :class:`UnknownNameError` for a name or setting that does not exist, and :class:`UsageError` for a name
    that is a folder's as well, and for a folder in which training is not finished.
    """
    card, folder, setting = _find(text)
    if setting == ALL_SETTINGS:
        return [CodecReference(card, name, folder) for name in card.settings]
    setting = setting or card.default_setting
    if setting not in card.settings:
        command = "" if is_code(text) else f"tokbench show {card.name}"
        raise UnknownNameError(f"setting of {card.name}", setting, card.settings, command=command)
    return [CodecReference(card, setting, folder)]


def name_of_folder(folder: Path) -> str:
    """Return what asks for the codec in ``folder``, which must not be mistaken for one that is installed.

    >>> name_of_folder(Path("hubert-tiny")), name_of_folder(Path("trained/mine"))
    ('./hubert-tiny', 'trained/mine')
    """
    text = str(folder)
    return f"./{text}" if text in list_cards() or text in list_plugins() else text


def one(text: str) -> CodecReference:
    """Return the single setting that ``text`` asks for; raises :class:`UsageError` for several."""
    references = expand(text)
    if len(references) > 1:
        msg = f"{text}: one setting is needed here, such as {references[0].label}"
        raise UsageError(msg)
    return references[0]


def _find(text: str) -> tuple[Card, Path | None, str]:
    if is_code(text):
        head, _, tail = text.partition(_CODE)
        class_name, _, setting = tail.partition(":")
        return *_find_file(Path(f"{head}.py"), class_name), setting
    if text.endswith(".py"):
        msg = f"{text}: name the class as well, such as {text}:MyCodec"
        raise UsageError(msg)
    name, _, setting = text.partition(":")
    cards, plugins, folder = list_cards(), list_plugins(), Path(name).resolve()
    has_card = (folder / CARD_FILE).is_file()
    if name in cards or name in plugins:
        card, own = (cards[name], None) if name in cards else _find_plugin(plugins[name])
        if has_card and folder not in {own, TRAINED / name}:
            msg = (
                f"{name} is an installed codec, and a folder here as well: write ./{name} for the folder, or "
                "rename the folder"
            )
            raise UsageError(msg)
        return card, own, setting
    if has_card:
        return _card_of_folder(folder, name), folder, setting
    if _is_unfinished(folder):
        msg = (
            f"{name}: what is trained in this folder is not finished. The same `tokbench train` command (--out "
            f"{name}) goes on where it stopped"
        )
        raise UsageError(msg)
    raise UnknownNameError("codec", name, [*cards, *plugins], command="tokbench list codecs")


def _is_unfinished(folder: Path) -> bool:
    """Say whether ``tokbench train`` began in ``folder`` and did not end there."""
    try:
        return not json.loads((folder / "log" / "run.json").read_text(encoding="utf-8"))["is_finished"]
    except (OSError, ValueError, TypeError, KeyError):
        return False


def _find_file(file: Path, class_name: str) -> tuple[Card, Path | None]:
    """Return the card beside ``file`` where it is about this class; else one made of the class."""
    folder = file.resolve().parent
    if (folder / CARD_FILE).is_file():
        card = read_card(folder / CARD_FILE)
        if card.adapter == f"{file.name}:{class_name}":
            return card, folder
    return _card_of_class(f"{file}:{class_name}"), None


def _card_of_folder(folder: Path, name: str) -> Card:
    """Read the card of a folder of weights, which is data and may not choose code to run."""
    card = read_card(folder / CARD_FILE)
    if not _OWN_ADAPTER.fullmatch(card.adapter):
        msg = (
            f"{folder / CARD_FILE}: adapter: {card.adapter} is code that the folder brings along. If you trust it, "
            f"name it: {name}/{card.adapter}"
        )
        raise UsageError(msg)
    return card


def _find_plugin(point: importlib.metadata.EntryPoint) -> tuple[Card, Path | None]:
    if point.attr:
        return _card_of_class(point.value, name=point.name), None
    found = importlib.util.find_spec(point.module)
    if found is None or found.origin is None:
        msg = f"the codec {point.name!r} is registered by {point.module!r}, which is not a package"
        raise UsageError(msg)
    folder = Path(found.origin).parent
    return _read_named_card(folder / CARD_FILE, point.name), folder


def _card_of_class(adapter: str, name: str = "") -> Card:
    """Describe a class that comes without a card by a card made of its attributes."""
    cls = _adapter_class(adapter)
    settings = cls.settings or {"default": {}}
    info = getattr(cls, "info", None)
    return Card(
        name=name or getattr(info, "name", "") or cls.__name__.lower(),
        title=(cls.__doc__ or cls.__name__).strip().splitlines()[0].rstrip("."),
        adapter=adapter,
        licence=getattr(info, "licence", "") or "unknown",
        source=getattr(info, "source", "") or adapter,
        default_setting=next(iter(settings)),
        settings=settings,
        trained_on=getattr(info, "trained_on", ()),
    )


def _adapter_class(adapter: str) -> type["Tokenizer"]:
    from tokbench.codecs.base import Tokenizer  # noqa: PLC0415  (listing must not import torch)

    module_name, _, class_name = adapter.rpartition(":")
    try:
        is_file = module_name.endswith(".py")
        module = import_file(module_name) if is_file else importlib.import_module(module_name)
    except (ImportError, SyntaxError) as error:
        msg = f"{module_name}: cannot be imported ({error})"
        raise UsageError(msg) from error
    except TokbenchError:
        raise
    except (Exception, SystemExit) as error:  # a user's file may raise anything, and must not end what asks for it
        msg = f"{module_name}: cannot be imported ({type(error).__name__}: {error})"
        raise UsageError(msg) from error
    cls = getattr(module, class_name, None)
    if not (inspect.isclass(cls) and issubclass(cls, Tokenizer)):
        found = "nothing" if cls is None else repr(cls)
        msg = f"{module_name}: expected a subclass of Tokenizer called {class_name!r}, found {found}"
        raise UsageError(msg)
    return cls


def missing_packages(card: Card) -> list[str]:
    """Return what pip has to install before this card can be loaded; nothing is imported to find out."""
    missing = []
    for requirement in card.requires:
        import_name, _, package = requirement.rpartition("=")
        if importlib.util.find_spec(import_name or package) is None:
            missing.append(package)
    return missing


def require_installed(card: Card) -> None:
    """Raise the error that says what to install if a package or a library of ``card`` is missing."""
    if missing := missing_packages(card):
        raise MissingPackageError(card.name, missing)
    absent = {name: package for name, package in card.libraries.items() if find_library(name) is None}
    if absent:
        raise MissingLibraryError(card.name, absent)


def load(reference: CodecReference, *, device: str = "cpu", weights: Path | None = None) -> "Tokenizer":
    """Return the tokenizer of ``reference`` on ``device``.

    ``weights`` is a folder that takes the place of the usual ones, for a shipped card. Raises
    :class:`MissingPackageError`, :class:`MissingLibraryError` or :class:`tokbench.errors.WeightsNotFoundError` with
    the sentence that says what to install or download, and :class:`tokbench.errors.WeightsError` for a file that
    is not what it should be.
    """
    card = reference.card
    require_installed(card)
    arguments = reference.arguments
    arguments.update(_folders(reference, weights))
    tokenizer = _adapter_class(reference.adapter)(**arguments)
    info = tokenizer.info
    tokenizer.info = dataclasses.replace(
        info,
        name=card.name,
        setting=reference.setting,
        causal=card.causal if info.causal is None else info.causal,
        latency_s=info.latency_s or card.latency_s or 0.0,
        licence=info.licence or card.licence,
        source=info.source or card.source,
        trained_on=info.trained_on or card.trained_on,
    )
    if device.startswith("cuda"):
        # Products of ten bits make other codes than those of a processor, or of an older GPU.
        import torch  # noqa: PLC0415  (listing must not import it)

        torch.backends.cudnn.allow_tf32 = False
    return tokenizer.to(device)


def _folders(reference: CodecReference, override: Path | None) -> dict[str, Path]:
    from tokbench.codecs.weights import locate_sources  # noqa: PLC0415  (listing must stay light)

    return locate_sources(reference.card, reference.setting, override=reference.folder or override)


def fingerprint(reference: CodecReference, *, weights: Path | None = None) -> str:
    """Return a hash of everything that decides the codes: source of adapter and networks, packages, weights.

    Of a user's file, also what it imports from its folder and the files there that it names; see
    :func:`tokbench.user_code.files_of`. A file of ``same_codes.toml`` counts as the text that it had before.
    """
    from tokbench.codecs.weights import weights_files  # noqa: PLC0415  (listing must stay light)

    card = reference.card
    digest = hashlib.sha256(repr((card.name, reference.setting, sorted(reference.arguments.items()))).encode())
    if is_code(reference.adapter):  # a user's file may hold several codecs of one name
        digest.update(reference.adapter.rpartition(":")[2].encode())
    same = {each.now: each.before for each in read_toml(SAME_CODES, SameCodes).file}
    for file in sorted(_source_files(_adapter_class(reference.adapter).__module__)):
        sha256 = file_sha256(Path(file))
        digest.update(same.get(sha256, sha256).encode())
    for package in card.packages:
        digest.update(f"{package} {importlib.metadata.version(package)}".encode())
    for argument, folder in sorted(_folders(reference, weights).items()):
        for path in weights_files(card.sources[argument], reference.setting, folder):
            digest.update(f"{argument} {path.relative_to(folder).as_posix()} {file_sha256(path)}".encode())
    return digest.hexdigest()


def _source_files(module_name: str) -> set[str]:
    """Return the file of a module and those that it takes names from: adapters, networks, what lies beside it."""
    pending, files = [module_name], set()
    while pending:
        module = sys.modules[pending.pop()]
        files.add(inspect.getfile(module))
        for value in vars(module).values():
            origin = str(value.__name__ if inspect.ismodule(value) else getattr(value, "__module__", ""))
            if _decides(origin, module_name) and inspect.getfile(sys.modules[origin]) not in files:
                pending.append(origin)
    if module_name.startswith(USER_MODULE):
        files.update(map(str, files_of(Path(inspect.getfile(sys.modules[module_name])))))
    return files


def _decides(origin: str, adapter: str) -> bool:
    """Say whether the module ``origin`` is of the adapters and networks here, or comes with that of ``adapter``."""
    package = origin.partition(".")[0]
    if package == "tokbench":
        return origin.startswith(_DECIDING)
    file = getattr(sys.modules.get(origin), "__file__", None)
    if file is None:
        return False
    if not adapter.startswith(USER_MODULE):
        return package == adapter.partition(".")[0]
    folder, path = Path(inspect.getfile(sys.modules[adapter])).parent, Path(file).resolve()
    # An environment may lie below the folder of a user's file.
    return path.is_relative_to(folder) and "site-packages" not in path.parts
