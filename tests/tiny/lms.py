"""Shipped language models made very small, and examples for them that need no tokenizer."""

from typing import Any

import torch
from torch import Tensor

from tokbench.lm.examples import Example, edges
from tokbench.lm.layouts import ABSENT, frame_table
from tokbench.lm.layouts import with_end as with_end_table
from tokbench.lm.network import StageNetwork
from tokbench.lm.pruning import pruned
from tokbench.lm.sentences import collate
from tokbench.specs.codec import find_spec
from tokbench.specs.lm import LmSpec
from tokbench.specs.lm_streams import CodeSource, FeatureSource, LabelSource, NoteSource, Source

CODEBOOK_SIZE = 12
NETWORK = {"num_layers": 1, "num_heads": 2, "dimension": 32, "feedforward_dimension": 64, "context": 256}
LOCAL = {**{key: value for key, value in NETWORK.items() if key != "context"}}


def tiny_lm(name: str, changes: dict[str, Any] | None = None) -> LmSpec:
    """Return the shipped spec ``name`` with a network of one layer and codes of few symbols."""
    declared, _ = find_spec(name, "tiny")
    assert isinstance(declared, LmSpec)
    network: dict[str, Any] = dict(NETWORK)
    if declared.network.local is not None:
        network["local"] = LOCAL
    if declared.network.towers > 1:
        network["cross_layers"] = 1
    stages: dict[str, Any] = {}
    for stage_name, stage in declared.stages.items():
        own = {key: value for key, value in NETWORK.items() if key in stage.network}
        encoders = {
            part_name: {"encoder": {"num_layers": 1, "num_heads": 2, "dimension": 32, "feedforward_dimension": 64}}
            for part_name, part in stage.parts.items()
            if part.encoder is not None
        }
        stages[stage_name] = {"network": own, "parts": encoders}
    found, _ = find_spec(name, "tiny", changes={"network": network, "stages": stages, **(changes or {})})
    assert isinstance(found, LmSpec)
    return pruned(found.model_copy(update={"streams": {key: _small(each) for key, each in found.streams.items()}}))


def _small(source: Source) -> Source:
    if isinstance(source, CodeSource):
        known: dict[str, Any] = {"codebook_size": CODEBOOK_SIZE, "num_codebooks": min(source.num_codebooks, 6)}
        known |= {key: 4 for key in ("durations", "pitches") if getattr(source, key)}
        return source.model_copy(update=known)
    if isinstance(source, FeatureSource):
        return source.model_copy(update={"dimension": 6})
    if isinstance(source, LabelSource):
        return source.model_copy(update={"symbols": ("a", "b")})
    return source


def drawn_example(spec: LmSpec, form: str, *, seed: int, seconds: float = 0.16) -> Example:
    """Return streams drawn at random, those with a rate as long as each other."""
    generator = torch.Generator().manual_seed(seed)
    names = {*spec.forms[form].inputs, *spec.forms[form].outputs}
    return Example(
        {name: _drawn(spec.stream(name), seconds, generator) for name in spec.streams if name in names}, form
    )


def _drawn(source: Source, seconds: float, generator: torch.Generator) -> Tensor:
    rate_hz = getattr(source, "frame_rate_hz", None)
    num_frames = round(seconds * rate_hz) if rate_hz else 5
    if isinstance(source, FeatureSource):
        return torch.randn(num_frames, source.dimension, generator=generator)
    if isinstance(source, LabelSource):
        return torch.randint(2, (1, 1), generator=generator)
    sizes = (30, 30) if isinstance(source, NoteSource) else source.sizes
    codes = torch.stack([torch.randint(min(size, 120), (num_frames,), generator=generator) for size in sizes])
    if isinstance(source, CodeSource) and source.edges:
        for channel in codes.chunk(source.channels):
            channel[1, ~edges(channel[:1])] = -1
    return codes


@torch.no_grad()
def predictions(
    network: StageNetwork, example: Example, *, with_end: bool = False, is_ended: bool = False
) -> dict[tuple[int, int], Tensor]:
    """Return the logits of each code of the one output, by its codebook and frame, in one pass over everything.

    With ``with_end`` those of the first codebook begin with that of the end, if there is one; if ``is_ended``, what
    says that all is over is read as well, where the part has it.
    """
    writing = network.writing
    form = writing.form(example.form)
    (name,) = form.outputs
    part = writing.stage.part(name)
    codes = writing.codes(part, example)
    piece = writing.next_piece(name, part, codes, example, is_ended=is_ended)
    sentences = collate(writing, [writing.sentence(example.form, list(writing.inputs(example, form)), [piece])])
    values = network(sentences).values
    table = (with_end_table if is_ended and part.ended else frame_table)(part.layout, *codes.shape)
    table[table == codes.shape[1]] = ABSENT
    start = sentences.symbols.shape[1] - piece.symbols.shape[1]
    found = {}
    for row, block in enumerate(writing.vocabulary.blocks(part)):
        for step in (table[row] != ABSENT).nonzero()[:, 0].tolist():
            place = 0, start + step
            features = values[place] if values.ndim == 3 else values[row // network.rows_per_tower][place]
            if network.local is not None:
                features = network.local(features[None], sentences.targets[place][None])[0, row]
            logits = network.logits(features[None], block)
            found[row, int(table[row, step])] = logits[0, 0 if with_end else block.first - block.start :]
    return found


def shaken(network: StageNetwork) -> StageNetwork:
    """Return ``network`` with weights so large that whatever it reads matters, out of training mode."""
    for parameter in network.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return network.eval()
