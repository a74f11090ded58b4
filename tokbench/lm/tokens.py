"""The streams of a material, made once and kept in mapped shards.

Axes: ``K`` codebooks, ``F`` frames, ``D`` features.
"""

import contextlib
import hashlib
import json
import shutil
import sys
import tempfile
from array import array
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tokbench.audio import Audio
from tokbench.errors import CorpusError
from tokbench.lm.examples import Example
from tokbench.lm.items import Content, Item, Material
from tokbench.lm.streams import ContentError, Streams, Tool
from tokbench.paths import cache_dir, write_bytes
from tokbench.shards import Column, ShardError, Shards, ShardWriter
from tokbench.specs.lm import LmSpec
from tokbench.specs.lm_streams import FeatureSource, LabelSource, TextSource
from tokbench.store import CodeStore

__all__ = ["Tokens", "open_tokens", "token_folder"]

_VERSION = 1
"""Changes with what is written."""
_SYMBOLS_FILE = "symbols.json"
_LACKING_FILE = "lacking.json"
_NUM_REASONS = 3
"""That are kept of items that are no examples: each may name its own text."""

Progress = Callable[[str, float], None]


def token_folder(spec: LmSpec, material: Material, tools: Mapping[str, Tool]) -> Path:
    """Return the folder in which the streams of ``spec`` are kept, of ``material``, as ``tools`` make them here."""
    streams = {name: source.model_dump(mode="json") for name, source in spec.streams.items()}
    forms = {name: form.model_dump(mode="json") for name, form in spec.forms.items()}
    makers = {name: [tool.fingerprint, tool.tokenizer.device.type] for name, tool in tools.items()}
    material_facts = [spec.sample_rate_hz, material.sha256, torch.__version__]
    facts = json.dumps([_VERSION, streams, forms, makers, *material_facts], sort_keys=True)
    return cache_dir() / "tokens" / hashlib.sha256(facts.encode()).hexdigest()[:32]


def open_tokens(
    spec: LmSpec, material: Material, tools: Mapping[str, Tool], *, on_progress: Progress | None = None
) -> "Tokens":
    """Return the tokens of ``material``, which are made if they are not there.

    Raises :class:`CorpusError` for a material of which no item is an example of a form of ``spec``, and
    :class:`tokbench.shards.ShardError` for tokens that are not as they were written.
    """
    folder = token_folder(spec, material, tools)
    if not Shards.is_complete(folder):
        _make(spec, material, tools, folder, on_progress)
    return Tokens(spec, folder)


def _make(
    spec: LmSpec, material: Material, tools: Mapping[str, Tool], folder: Path, on_progress: Progress | None
) -> None:
    device = next((tool.tokenizer.device.type for tool in tools.values()), "cpu")
    streams = Streams(spec, tools, CodeStore(device=device), is_learning=True)
    # Another process may be making the same: what is complete first stays.
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    columns = {name: _column(spec, name) for name in spec.streams}
    lacking, num_written = _Lacking(), 0
    try:
        with ShardWriter(temporary, columns) as writer:
            for done, item in enumerate(material, start=1):
                made, problems = _made(spec, streams, item)
                if _forms_of(spec, set(made), item.form):
                    num_written += 1
                    writer.append(
                        {name: _array(values) for name, values in made.items()},
                        {
                            "id": item.id,
                            "form": item.form,
                            "group": item.group or item.id,
                            "duration_s": _duration_s(spec, item.contents),
                        },
                    )
                else:
                    lacking.add(problems[0] if problems else _lacked(spec, set(made), item.form))
                if on_progress is not None:
                    on_progress("making tokens", done / max(len(material), 1))
            if not num_written:
                needed = "; ".join(
                    f"{name} needs {', '.join(form.inputs + form.outputs)}" for name, form in spec.forms.items()
                )
                found = "; ".join(lacking.reasons) or "nothing"
                msg = f"{material.name}: no item is an example for {spec.name} ({needed}); they have {found}"
                raise CorpusError(msg)
            symbols = {
                name: source.symbols
                for name, source in streams.spec.streams.items()
                if isinstance(source, TextSource | LabelSource)
            }
            write_bytes(temporary / _SYMBOLS_FILE, json.dumps(symbols).encode())
            write_bytes(temporary / _LACKING_FILE, json.dumps(asdict(lacking)).encode())
        _move(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@dataclass
class _Lacking:
    """Items that are an example of no form."""

    num_items: int = 0
    reasons: list[str] = field(default_factory=list)
    """The first of them."""

    def add(self, reason: str) -> None:
        self.num_items += 1
        if len(self.reasons) < _NUM_REASONS and reason not in self.reasons:
            self.reasons.append(reason)


def _made(spec: LmSpec, streams: Streams, item: Item) -> tuple[dict[str, Tensor], list[str]]:
    """Return the streams of ``spec`` that can be made of ``item``, and why others cannot."""
    made: dict[str, Tensor] = {}
    problems: list[str] = []
    if item.form and item.form not in spec.forms:
        return {}, [f"a form {item.form!r}, which {spec.name} does not have"]
    for name in spec.streams:
        try:
            found = streams.made(item.contents, [name])
        except ContentError as error:
            problems.append(str(error))
            continue
        made |= {each: values for each, values in found.items() if values.numel()}
        problems += [f"nothing in {each}" for each, values in found.items() if not values.numel()]
    return made, problems


def _lacked(spec: LmSpec, streams: set[str], form: str) -> str:
    """Return the contents that what has ``streams`` lacks to be an example of the form it is nearest to."""
    asked = [spec.forms[form]] if form else [*spec.forms.values()]
    lacking = [[name for name in (*each.inputs, *each.outputs) if name not in streams] for each in asked]
    return f"no {' and no '.join(dict.fromkeys(spec.stream(name).of for name in min(lacking, key=len)))}"


def _move(temporary: Path, folder: Path) -> None:
    """Move a complete folder to its place, unless another process was first: what that reads is not removed."""
    with contextlib.suppress(OSError):
        temporary.rename(folder)
    if not Shards.is_complete(folder):
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)


def _remark(folder: Path, num_examples: int) -> str:
    try:
        lacking = _Lacking(**json.loads((folder / _LACKING_FILE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, TypeError) as error:
        raise ShardError(folder, f"{_LACKING_FILE} cannot be read ({error})") from error
    if not lacking.num_items:
        return ""
    num_all = lacking.num_items + num_examples
    return (
        f"{lacking.num_items} of {num_all} items are no examples, and are left out: {'; '.join(lacking.reasons)}."
    )


def _column(spec: LmSpec, name: str) -> Column:
    source = spec.stream(name)
    if isinstance(source, FeatureSource):
        return Column("float16", source.dimension)
    # Of phones and labels it is not known yet how many there are.
    is_small = max(source.sizes) <= np.iinfo(np.int16).max
    return Column("int16" if is_small else "int32", len(source.sizes))


def _array(values: Tensor) -> np.ndarray:
    """Return [F, K] of int64 [K, F], or [F, D] of float32 [F, D]."""
    array: np.ndarray = (values if values.is_floating_point() else values.T).numpy()
    return array


def _duration_s(spec: LmSpec, contents: Mapping[str, Content]) -> float:
    """Return how long the audio is that ``spec`` makes codes or features of: what is said, or what is heard."""
    read = {source.of for source in spec.streams.values()}
    durations_s = {
        name: content.duration_s
        for name, content in contents.items()
        if name in read and isinstance(content, Audio)
    }
    return durations_s.get("audio", max(durations_s.values(), default=0.0))


def _forms_of(spec: LmSpec, streams: set[str], form: str) -> list[str]:
    """Return the forms that what has ``streams`` is an example of."""
    asked = [form] if form else list(spec.forms)
    return [name for name in asked if {*spec.forms[name].inputs, *spec.forms[name].outputs} <= streams]


class Tokens:
    """The examples in a folder, by their number."""

    def __init__(self, spec: LmSpec, folder: Path) -> None:
        self._shards = Shards(folder)
        if len(self._shards) == 0:
            raise ShardError(folder, "there are no sequences in it")
        try:
            symbols = json.loads((folder / _SYMBOLS_FILE).read_text(encoding="utf-8"))
            sources = {
                name: source.model_copy(update={"symbols": tuple(symbols[name])} if name in symbols else {})
                for name, source in spec.streams.items()
            }
        except (OSError, ValueError, TypeError) as error:
            raise ShardError(folder, f"{_SYMBOLS_FILE} cannot be read ({error})") from error
        self.spec = spec.model_copy(update={"streams": sources})
        """The spec, with all symbols that are known."""
        self.remark = _remark(folder, len(self._shards))
        """A sentence about items that are no examples; empty where there are none."""
        self.ids: list[str] = []
        self.groups: list[str] = []
        """What is said by whom in each (:attr:`tokbench.lm.items.Item.group`)."""
        self._asked: list[str] = []
        durations_s = array("d")
        for note in self._shards.notes():
            self.ids.append(str(note["id"]))
            # Many are alike, and kept once.
            self.groups.append(sys.intern(str(note["group"])))
            self._asked.append(sys.intern(str(note["form"])))
            durations_s.append(note["duration_s"])
        self.durations_s = np.array(durations_s)
        """float64 [N], of the audio of each; 0 for none."""
        self._left_out: dict[int, set[str]] = {}
        for name in self._shards.columns:
            if len(empty := np.flatnonzero(self._shards.lengths(name) == 0)):
                raise ShardError(folder, f"{name} of {self.ids[empty[0]]} is empty")

    def __len__(self) -> int:
        return len(self._shards)

    def lengths(self, name: str) -> np.ndarray:
        """Return int64 [N], the frames of each of the stream ``name``; -1 where there is none."""
        return self._shards.lengths(name)

    def forms(self, index: int) -> list[str]:
        """Return the forms that an example is one of, but for those that it is left out of."""
        there = {name for name in self._shards.columns if self._shards.length(name, index) is not None}
        left_out = self._left_out.get(index, ())
        return [name for name in _forms_of(self.spec, there, self._asked[index]) if name not in left_out]

    def leave_out(self, index: int, form: str) -> None:
        """Let an example be none of ``form``."""
        self._left_out.setdefault(index, set()).add(form)

    @property
    def unused(self) -> list[int]:
        """Examples that are left out of all that they were of."""
        return [index for index in self._left_out if not self.forms(index)]

    def example(self, index: int, form: str = "") -> Example:
        """Return an example of ``form``.

        Raises :class:`ShardError` for codes that its streams cannot have.
        """
        streams = {}
        wanted = self.spec.forms[form] if form else None
        for name in self._shards.columns:
            if wanted is not None and name not in {*wanted.inputs, *wanted.outputs}:
                continue
            if self._shards.length(name, index) is not None:
                streams[name] = self._checked(name, index, torch.from_numpy(self._shards.read(name, index)))
        return Example(streams, form, duration_s=float(self.durations_s[index]))

    def _checked(self, name: str, index: int, values: Tensor) -> Tensor:
        source = self.spec.stream(name)
        if isinstance(source, FeatureSource):
            if not bool(values.isfinite().all()):
                raise ShardError(
                    self._shards.folder, f"{name} of {self.ids[index]} has numbers that are not finite"
                )
            return values.float()
        codes = values.T.long()
        sizes = torch.tensor(source.sizes)
        if bool((codes < -1).any()) or bool((codes >= sizes[:, None]).any()):
            problem = f"{name} of {self.ids[index]} has codes outside of {list(source.sizes)}"
            raise ShardError(self._shards.folder, problem)
        return codes.contiguous()
