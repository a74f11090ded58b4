"""Checks across the keys of the spec of a language model."""

from collections.abc import Iterator, Mapping

from pydantic import ValidationError

from tokbench.specs.base import problems
from tokbench.specs.layouts import Parallel
from tokbench.specs.lm import Part, Stage, network_of, source_of, unguided
from tokbench.specs.lm_networks import LmNetwork
from tokbench.specs.lm_streams import CodeSource, FeatureSource, LabelSource, Source

__all__ = ["CONTRADICTIONS"]


def streams_are_known(streams: Mapping[str, Source], codec: tuple[str, ...]) -> str | None:
    """Report streams that are like none, or like one of another kind, and such as ``--codec`` cannot be for."""
    return "; ".join(_wrong_streams(streams, codec)) or None


def _wrong_streams(streams: Mapping[str, Source], codec: tuple[str, ...]) -> Iterator[str]:
    for name, source in streams.items():
        like = getattr(source, "like", None)
        if like is None:
            continue
        other = streams.get(like)
        kinds = {"labels", "codes"} if source.kind == "labels" else {source.kind}
        if other is None or other.kind not in kinds or getattr(other, "like", None) is not None:
            yield f"streams.{name}.like: expected another stream of {source.kind} that is itself, found {like!r}"
    for name in codec:
        if not isinstance(streams.get(name), CodeSource | FeatureSource):
            yield f"codec: expected names of streams of codes or features, found {name!r}"
    for name, source in streams.items():
        if isinstance(source, CodeSource) and source.edges and not source.durations:
            yield f"streams.{name}.edges: there are no durations"
        if isinstance(source, CodeSource) and source.durations and source.num_codebooks > 1:
            yield f"streams.{name}.durations: expected one codebook, found {source.num_codebooks}"


def parts_are_known(streams: Mapping[str, Source], stages: Mapping[str, Stage]) -> str | None:
    """Report names that are of no stream or part."""
    return "; ".join(sentence for name in stages for sentence in _unknown(name, stages[name], streams)) or None


def _unknown(name: str, stage: Stage, streams: Mapping[str, Source]) -> Iterator[str]:
    for part_name, part in stage.parts.items():
        if part.stream not in streams:
            yield f"stages.{name}.parts.{part_name}.stream: no stream named {part.stream!r}"
        for plus in part.plus:
            if plus not in streams and plus not in stage.parts:
                yield f"stages.{name}.parts.{part_name}.plus: no part or stream named {plus!r}"
    for form_name, form in stage.forms.items():
        for part_name in (*form.inputs, *form.outputs):
            if part_name not in stage.parts and part_name not in streams:
                yield f"stages.{name}.forms.{form_name}: no part or stream named {part_name!r}"


def objectives_are_possible(streams: Mapping[str, Source], stages: Mapping[str, Stage]) -> str | None:
    """Report forms that an objective cannot learn."""
    if parts_are_known(streams, stages):
        return None
    return "; ".join(sentence for name in stages for sentence in _unlearnable(name, stages[name], streams)) or None


def _unlearnable(name: str, stage: Stage, streams: Mapping[str, Source]) -> Iterator[str]:
    kind, outputs = stage.objective.kind, stage.outputs
    if kind != "next" and len(outputs) > 1:
        yield f"stages.{name}.forms: expected one output of the objective {kind!r}, found {', '.join(outputs)}"
    for output, part in outputs.items():
        added = {each: streams[stage.part(each).stream] for each in part.plus}
        yield from _wrong_output(f"stages.{name}.parts.{output}", part, kind, streams[part.stream], added)
    for part_name, part in stage.used.items():
        for plus in part.plus:
            if isinstance(streams[stage.part(plus).stream], FeatureSource):
                yield f"stages.{name}.parts.{part_name}.plus: expected symbols, {plus!r} is features"


def _wrong_output(where: str, part: Part, kind: str, source: Source, added: Mapping[str, Source]) -> Iterator[str]:
    is_continuous = isinstance(source, FeatureSource)
    if is_continuous != (kind == "regression"):
        yield f"{where}: the objective {kind!r} does not predict {'features' if is_continuous else 'symbols'}"
    if part.dropped or part.encoder or part.by != "sequence":
        yield f"{where}: an output has no dropped, encoder or by"
    if kind != "next" and not isinstance(part.layout, Parallel):
        yield f"{where}.layout: the objective {kind!r} goes by frames, 'parallel', found {part.layout.kind!r}"
    for plus, other in added.items():
        if kind == "next" and not isinstance(other, LabelSource):
            yield f"{where}.plus: the objective 'next' has no frames to add {plus!r} to, only labels are added"


def networks_are_possible(network: LmNetwork, stages: Mapping[str, Stage]) -> str | None:
    """Report networks that cannot be built, or not for the objective."""
    return "; ".join(sentence for name in stages for sentence in _impossible(name, stages[name], network)) or None


def _impossible(name: str, stage: Stage, network: LmNetwork) -> Iterator[str]:
    where = f"stages.{name}.network"
    try:
        own = network_of(network, stage)
    except ValidationError as error:
        yield from (f"{where}.{problem}" for problem in problems(error))
        return
    encoders = {
        f"stages.{name}.parts.{part}.encoder": found.encoder.blocks(own)
        for part, found in stage.parts.items()
        if found.encoder
    }
    local = {f"{where}.local": own.local} if own.local else {}
    for key, blocks in {where: own, **local, **encoders}.items():
        if blocks.dimension % (2 * blocks.num_heads):
            yield f"{key}.num_heads: expected a divisor of half of {blocks.dimension}, found {blocks.num_heads}"
    if stage.objective.kind == "next" and own.convolution:
        yield f"{where}.convolution: it looks ahead, at what the objective 'next' predicts"
    if stage.objective.kind != "next" and (own.local or own.towers > 1):
        yield f"{where}: local networks and towers are for the objective 'next', found {stage.objective.kind!r}"
    if own.towers > 1 and (
        stage.inputs or len(stage.outputs) > 1 or any(part.plus for part in stage.used.values())
    ):
        yield f"{where}.towers: two towers have one output between them, and no inputs"
    yield from _impossible_locally(where, stage, own)
    if own.cross_layers > own.num_layers or (own.cross_layers and own.towers == 1):
        yield f"{where}.cross_layers: expected at most {own.num_layers} beside two towers, found {own.cross_layers}"


def _impossible_locally(where: str, stage: Stage, own: LmNetwork) -> Iterator[str]:
    if own.local and own.local.convolution:
        yield f"{where}.local.convolution: it looks ahead, at the codebooks that are predicted"
    if own.local and (own.towers > 1 or any(part.edges for part in stage.used.values())):
        yield f"{where}.local: it goes through a step in the order of codebooks, without towers and edges"


def towers_have_channels(
    network: LmNetwork, streams: Mapping[str, Source], codec: tuple[str, ...], stages: Mapping[str, Stage]
) -> str | None:
    """Report outputs that towers cannot share: each is for all codes of a channel, by the same symbols."""
    if streams_are_known(streams, codec) or parts_are_known(streams, stages):
        return None
    found = []
    for name, stage in stages.items():
        num_towers = stage.network.get("towers", network.towers)
        for part in stage.outputs.values() if num_towers != 1 else ():
            source = source_of(streams, part.stream)
            num_channels = source.channels if isinstance(source, CodeSource) else 1
            if num_channels != num_towers or part.first or part.end:
                share = "some" if part.first or part.end else "all"
                told = f"found {share} of {part.stream!r}, whose channels are {num_channels}"
                found.append(f"stages.{name}.network.towers: each tower is for all codes of a channel, {told}")
    return "; ".join(found) or None


def stages_can_generate(stages: Mapping[str, Stage]) -> str | None:
    """Report stages that learn, but could not be asked for what they have learnt."""
    return "; ".join(sentence for name in stages for sentence in _unaskable(name, stages[name])) or None


def _unaskable(name: str, stage: Stage) -> Iterator[str]:
    if problem := unguided(stage.objective, stage.sampling):
        yield f"stages.{name}.sampling: {problem}"
    is_searched = stage.objective.kind == "next" and stage.sampling.beam > 1
    keys = {"chunk_s": stage.chunk_s is not None, "sampling.beam": is_searched}
    several = {form: own.outputs for form, own in stage.forms.items() if len(own.outputs) > 1}
    for key in (key for key, is_asked in keys.items() if is_asked):
        for form, outputs in several.items():
            yield f"stages.{name}.{key}: expected forms of one output, found {', '.join(outputs)} of {form}"


def inputs_are_beside_all_forms(stages: Mapping[str, Stage]) -> str | None:
    """Report stages that attend to something beside the sequence in some of their forms only."""
    found = []
    for name, stage in stages.items():
        beside = {
            form: any(stage.part(part).by == "cross-attention" for part in own.inputs)
            for form, own in stage.forms.items()
        }
        if len(set(beside.values())) > 1:
            without = ", ".join(form for form, is_beside in beside.items() if not is_beside)
            found.append(f"stages.{name}.forms: all need an input by cross-attention, or none; {without} has none")
    return "; ".join(found) or None


CONTRADICTIONS = (
    streams_are_known,
    parts_are_known,
    objectives_are_possible,
    networks_are_possible,
    towers_have_channels,
    stages_can_generate,
    inputs_are_beside_all_forms,
)
"""Checks across keys: each is run if the keys that its parameters name are valid; returns a sentence or None."""
