"""All symbols that a stage reads and predicts, in one numbering.

Symbol 0 is nothing: its vector is zero. Then come the codebooks of all streams, one after another, so that a
symbol is a code plus the offset of its codebook (AudioLM, section III-B); a codebook that tells where an output
ends has the symbol for that just before its first. Last come what stands in the place of a masked code, what begins
each part, and what stands for each form.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from tokbench.specs.lm import LmSpec, Next, Part
from tokbench.specs.lm_streams import FeatureSource

Name = TypeVar("Name", bound=Hashable)

__all__ = ["ENDED", "MASKED", "NOTHING", "Block", "Vocabulary"]

NOTHING = 0
"""Symbol without a vector."""
ENDED, MASKED = -2, -3
"""In the place of a code: what says that the codes have ended, and what hides one."""


@dataclass(frozen=True)
class Block:
    """The symbols of a codebook."""

    first: int
    """Symbol of code 0."""
    size: int
    """Codes."""
    has_end: bool
    """Whether the symbol before the first says that the codes have ended."""
    weight: float = 1.0
    """Of its losses."""

    @property
    def start(self) -> int:
        """First symbol among which a prediction is made; that is the end, where there is one."""
        return self.first - self.has_end

    @property
    def stop(self) -> int:
        """Symbol after the last."""
        return self.first + self.size

    def symbol(self, code: int) -> int:
        """Return that of ``code``, or of the end; an absent one is nothing."""
        if code == ENDED:
            return self.first - 1
        return NOTHING if code < 0 else self.first + code


class Vocabulary:
    """The symbols of the stage of ``spec`` that is called ``stage_name``."""

    def __init__(self, spec: LmSpec, stage_name: str) -> None:
        self._spec, stage = spec, spec.stages[stage_name]
        self._blocks: dict[tuple[str, int, int | None], tuple[Block, ...]] = {}
        """Of the codebooks of a stream from one to before another: those of a part, asked for at every step."""
        self._towers = spec.network_of(stage_name).towers
        self._ended = {
            self._key(part, 0)
            for part in stage.outputs.values()
            if part.ended and isinstance(stage.objective, Next)
        }
        self._weights: dict[tuple[str, int], float] = {}
        for part in stage.outputs.values():
            for row in range(self.num_rows(part)):
                weight = part.weights[min(row, len(part.weights) - 1)]
                self._weights.setdefault(self._key(part, row), weight)
        parts = [*stage.used.values(), *(stage.part(name) for part in stage.used.values() for name in part.plus)]
        self.codebooks = dict(self._lay_out(parts))
        """The symbols of each codebook, by its stream and its number."""
        self.size = max((block.stop for block in self.codebooks.values()), default=NOTHING + 1)
        self._masks = self._numbered(self.codebooks if stage.objective.kind == "masked" else ())
        self.starts = self._numbered(stage.used)
        self.form_symbols = self._numbered(stage.forms)

    def _lay_out(self, parts: list[Part]) -> Iterator[tuple[tuple[str, int], Block]]:
        place = NOTHING + 1
        for key, size in self._codebooks(parts).items():
            has_end = key in self._ended
            yield key, Block(place + has_end, size, has_end, self._weights.get(key, 1.0))
            place += has_end + size

    def _codebooks(self, parts: list[Part]) -> Mapping[tuple[str, int], int]:
        """Return the sizes of all codebooks that ``parts`` use, in the order of streams."""
        sizes = {
            self._key(part, row): self._sizes(part)[part.first + row]
            for part in parts
            for row in range(self.num_rows(part))
        }
        order = list(self._spec.streams)
        return {key: sizes[key] for key in sorted(sizes, key=lambda key: (order.index(key[0]), key[1]))}

    def _numbered(self, names: Iterable[Name]) -> dict[Name, int]:
        numbered = {name: self.size + index for index, name in enumerate(dict.fromkeys(names))}
        self.size += len(numbered)
        return numbered

    def _sizes(self, part: Part) -> tuple[int, ...]:
        source = self._spec.stream(part.stream)
        return () if isinstance(source, FeatureSource) else source.sizes

    def _key(self, part: Part, row: int) -> tuple[str, int]:
        """Return the stream and the codebook of which ``row`` of ``part`` is; towers share theirs."""
        source = self._spec.stream(part.stream)
        owner = getattr(source, "like", None) or part.stream
        return owner, (part.first + row) % (len(self._sizes(part)) // self._towers)

    def num_rows(self, part: Part) -> int:
        """Return the codebooks of ``part``; none of features."""
        total = len(self._sizes(part))
        return max(min(part.end or total, total) - part.first, 0)

    def blocks(self, part: Part) -> tuple[Block, ...]:
        """Return the symbols of each codebook of ``part``."""
        key = part.stream, part.first, part.end
        if key not in self._blocks:
            rows = range(self.num_rows(part))
            self._blocks[key] = tuple(self.codebooks[self._key(part, row)] for row in rows)
        return self._blocks[key]

    def symbols(self, part: Part, codes: Tensor) -> Tensor:
        """Return int64 [K, F] of ``codes`` int64 [K, F], in which absent, ended and masked ones may stand."""
        firsts = torch.tensor([[block.first] for block in self.blocks(part)], dtype=torch.int64)
        if bool((codes >= 0).all()):
            return codes + firsts
        symbols = (codes + firsts).where(codes >= 0, torch.full_like(codes, NOTHING))
        symbols = symbols.where(codes != ENDED, firsts - 1)
        if self._masks:
            keys = [self._key(part, row) for row in range(len(codes))]
            masks = torch.tensor([self._masks[key] for key in keys], dtype=torch.int64)[:, None]
            symbols = symbols.where(codes != MASKED, masks)
        return symbols

    def start(self, part_name: str) -> int:
        """Return the symbol that begins a part."""
        return self.starts[part_name]

    def form(self, form_name: str) -> int:
        """Return the symbol of a form."""
        return self.form_symbols[form_name]

    def shared(self, other: "Vocabulary") -> list[tuple[int, int]]:
        """Return the symbols that stand for the same here and in ``other``, as pairs.

        What begins a part or a form of another name counts as the same as the first one there.
        """
        pairs = [(NOTHING, NOTHING)]
        for key, block in self.codebooks.items():
            theirs = other.codebooks.get(key)
            if theirs is not None and theirs.size == block.size:
                pairs += list(zip(range(block.first, block.stop), range(theirs.first, theirs.stop), strict=True))
                if block.has_end and theirs.has_end:
                    pairs.append((block.start, theirs.start))
        for own, known in ((self.starts, other.starts), (self.form_symbols, other.form_symbols)):
            pairs += [(symbol, known.get(name, min(known.values()))) for name, symbol in own.items()]
        return pairs
