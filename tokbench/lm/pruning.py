"""A spec without what there is nothing to do for: by the tokenizers at hand, or by the forms that are wanted.

The same spec is trained on tokenizers with many codebooks and with one, where later codebooks, and the stages that
predict them, do not exist; and it is trained for all of its forms, or for some of them.
"""

from collections.abc import Collection

from tokbench.errors import UsageError
from tokbench.specs.lm import Form, Levels, LmSpec, Masked, Part, Stage
from tokbench.specs.lm_streams import FeatureSource

__all__ = ["narrowed_to", "pruned"]


def narrowed_to(spec: LmSpec, forms: Collection[str]) -> LmSpec:
    """Return ``spec`` with ``forms`` alone, and the stages, parts and streams that they need.

    A model that is asked for one of many tasks is then no larger, and needs no more tokenizers, than that takes.
    Raises :class:`UsageError` for a form that there is not.
    """
    for name in forms:
        if name not in spec.forms:
            msg = f"{spec.name} has no form {name!r}, but {', '.join(spec.forms)}"
            raise UsageError(msg)
    stages = {
        name: stage.model_copy(update={"forms": {each: stage.forms[each] for each in stage.forms if each in forms}})
        for name, stage in spec.stages.items()
        if any(each in forms for each in stage.forms)
    }
    needed = {each for stage in stages.values() for each in _streams(stage)}
    needed |= {like for name in needed if (like := getattr(spec.streams[name], "like", None))}
    return spec.model_copy(
        update={
            "stages": {name: _without_idle_parts(stage) for name, stage in stages.items()},
            "streams": {name: source for name, source in spec.streams.items() if name in needed},
            "codec": tuple(name for name in spec.codec if name in needed),
        }
    )


def _streams(stage: Stage) -> set[str]:
    parts = stage.used.values()
    return {part.stream for part in parts} | {stage.part(each).stream for part in parts for each in part.plus}


def _without_idle_parts(stage: Stage) -> Stage:
    names = {*stage.used, *(each for part in stage.used.values() for each in part.plus)}
    return stage.model_copy(update={"parts": {name: part for name, part in stage.parts.items() if name in names}})


def pruned(spec: LmSpec) -> LmSpec:
    """Return ``spec`` without parts that have no codebook, and without forms and stages that have no output.

    Raises :class:`UsageError` where nothing is left.
    """
    stages = {name: _stage(spec, stage) for name, stage in spec.stages.items()}
    left = {name: stage for name, stage in stages.items() if stage is not None}
    if not left:
        msg = f"{spec.name}: its streams have none of the codebooks that its stages are about"
        raise UsageError(msg)
    return spec.model_copy(update={"stages": left})


def _stage(spec: LmSpec, stage: Stage) -> Stage | None:
    forms = {}
    for name, form in stage.forms.items():
        inputs = tuple(each for each in form.inputs if _is_there(spec, stage.part(each)))
        outputs = tuple(each for each in form.outputs if _is_predicted(spec, stage, stage.part(each)))
        if outputs:
            forms[name] = Form(inputs=inputs, outputs=outputs)
    return stage.model_copy(update={"forms": forms}) if forms else None


def _num_codebooks(spec: LmSpec, part: Part) -> int:
    source = spec.stream(part.stream)
    if isinstance(source, FeatureSource):
        return 1
    return len(range(len(source.sizes))[part.first : part.end])


def _is_there(spec: LmSpec, part: Part) -> bool:
    return _num_codebooks(spec, part) > 0


def _is_predicted(spec: LmSpec, stage: Stage, part: Part) -> bool:
    objective = stage.objective
    num_given = objective.num_given if isinstance(objective, Levels | Masked) else 0
    return _num_codebooks(spec, part) > num_given
