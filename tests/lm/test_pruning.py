"""Models without what there is nothing to do for: every form is the same, and nothing else is left."""

import pytest
import torch

from tokbench.errors import UsageError
from tokbench.lm.language_model import build_networks
from tokbench.lm.pruning import narrowed_to
from tokbench.specs.codec import find_spec, list_lms
from tokbench.specs.lm import LmSpec


@pytest.mark.parametrize("name", list_lms())
def test_every_form_stays_what_it_is_and_its_streams_are_all_that_is_left(name: str) -> None:
    spec, _ = find_spec(name, "tiny")
    assert isinstance(spec, LmSpec)
    for form, whole in spec.forms.items():
        left = narrowed_to(spec, [form])
        assert left.forms == {form: whole}
        owners = {getattr(spec.streams[each], "like", None) for each in (*whole.inputs, *whole.outputs)} - {None}
        assert left.streams.keys() == {*whole.inputs, *whole.outputs, *owners}
        assert set(left.codec) == set(spec.codec) & left.streams.keys()
        assert narrowed_to(left, [form]) == left
    assert narrowed_to(spec, list(spec.forms)).forms == spec.forms


def test_a_narrowed_model_is_smaller_and_a_form_that_there_is_not_is_told() -> None:
    spec, _ = find_spec("audiopalm", "tiny")
    assert isinstance(spec, LmSpec)
    with torch.device("meta"):
        sizes = [
            sum(parameter.numel() for parameter in build_networks(each).parameters())
            for each in (spec, narrowed_to(spec, ["tts", "asr"]), narrowed_to(spec, ["asr"]))
        ]
    assert sizes[0] > sizes[1] > 1.5 * sizes[2]
    with pytest.raises(UsageError, match="audiopalm has no form 'svs', but asr, tts, mt, s2tt, s2st"):
        narrowed_to(spec, ["svs"])
