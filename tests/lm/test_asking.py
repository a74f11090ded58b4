"""What a person asks for goes to the stages that it is meant for."""

from tokbench.lm.asking import sampling_of
from tokbench.specs.codec import find_spec
from tokbench.specs.lm import LmSpec


def spec(name: str) -> LmSpec:
    found, _ = find_spec(name, "tiny")
    assert isinstance(found, LmSpec)
    return found


def test_a_stage_that_takes_the_likeliest_is_left_alone_unless_it_is_named() -> None:
    asked = {"temperature": (0.7,), "top_k": 5}
    assert sampling_of(spec("valle"), "tts", asked, {}) == {"ar": asked}
    changed = sampling_of(spec("valle"), "tts", asked, {"nar": {"temperature": [0.2]}, "max_s": 3})
    assert changed == {"ar": asked, "nar": {"temperature": [0.2]}, "max_s": 3}
    assert sampling_of(spec("audiolm"), "sc", asked, {}) == dict.fromkeys(("semantic", "coarse", "fine"), asked)
    assert sampling_of(spec("valle"), "tts", {}, {}) == {}


def test_where_nothing_is_drawn_all_stages_of_the_form_are_meant() -> None:
    changes = {"stages": {"ar": {"sampling": {"temperature": [0.0]}}}}
    found, _ = find_spec("valle", "tiny", changes=changes)
    assert isinstance(found, LmSpec)
    assert sampling_of(found, "tts", {"top_k": 2}, {}) == {"ar": {"top_k": 2}, "nar": {"top_k": 2}}


def test_guidance_is_for_stages_that_learnt_to_do_without_their_inputs() -> None:
    asked = {"guidance": 3.0, "top_k": 9}
    assert sampling_of(spec("musicgen"), "mg", asked, {}) == {"lm": asked}
    assert sampling_of(spec("valle"), "tts", asked, {}) == {"ar": asked}
