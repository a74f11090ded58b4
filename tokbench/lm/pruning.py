"""A spec without what the tokenizers at hand leave nothing to do for.

The same spec is trained on tokenizers with many codebooks and with one, where later codebooks, and the stages that
predict them, do not exist.
"""

from tokbench.errors import UsageError
from tokbench.specs.lm import Form, Levels, LmSpec, Masked, Part, Stage
from tokbench.specs.lm_streams import FeatureSource

__all__ = ["pruned"]


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
