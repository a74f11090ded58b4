"""What a stage learns from at a time fits its context; what it generates in chunks is scored in chunks."""

from typing import Any

import pytest
import torch
from tiny.lms import NETWORK, drawn_example, shaken, tiny_lm

from tokbench.lm import objectives
from tokbench.lm.crops import cropped, kept_whole
from tokbench.lm.examples import Example
from tokbench.lm.language_model import LanguageModel, build_networks
from tokbench.lm.network import StageNetwork
from tokbench.lm.objectives import losses, teacher_forced
from tokbench.lm.sentences import Sentence, Sentences, Writing, collate
from tokbench.specs.codec import list_lms
from tokbench.specs.lm import LmSpec


@pytest.mark.parametrize("name", list_lms())
@pytest.mark.parametrize("is_ended", [True, False])
def test_steps_are_counted_as_they_are_written(
    name: str, monkeypatch: pytest.MonkeyPatch, *, is_ended: bool
) -> None:
    seen: list[int] = []

    def noted(writing: Writing, sentences: list[Sentence], *, what: str) -> Sentences:
        seen.extend(part.num_steps for each in sentences for part in writing.split(each) if part is not None)
        return collate(writing, sentences, what=what)

    monkeypatch.setattr(objectives, "collate", noted)
    spec = tiny_lm(name)
    for stage_name, stage in spec.stages.items():
        network = StageNetwork(spec, stage_name).eval()
        for form in stage.forms:
            example = drawn_example(spec, form, seed=0)
            example = Example(example.streams, form, is_ended=is_ended)
            seen.clear()
            losses(network, [example])
            assert network.writing.num_steps(example) == max(seen)


def spec_of(name: str, layout: str = "", *, rate_hz: float | None = None, context: int = 64) -> LmSpec:
    part: dict[str, Any] = {"deduplicated": False, "layout": {"kind": layout}} if layout else {}
    stages = {"stages": {"lm": {"parts": {"runs": part}}}} if layout else {}
    spec = tiny_lm(name, {"network": {**NETWORK, "context": context}, **stages})
    if not layout:
        return spec
    units = spec.streams["units"].model_copy(update={"frame_rate_hz": rate_hz, "num_codebooks": 4})
    return spec.model_copy(update={"streams": {"units": units}})


@pytest.mark.parametrize(
    ("spec", "stream"),
    [
        (spec_of("pgslm"), "units"),
        (spec_of("text-lm"), "text"),
        *((spec_of("gslm", layout), "units") for layout in ("parallel", "delay", "flatten")),
        *((spec_of("gslm", layout, rate_hz=50.0), "units") for layout in ("parallel", "delay", "flatten")),
    ],
)
@pytest.mark.parametrize("num_frames", [61, 62, 63, 200])
def test_pieces_fit_the_context_and_are_of_everywhere(spec: LmSpec, stream: str, num_frames: int) -> None:
    (stage,) = spec.stages
    (form,) = spec.stages[stage].forms
    network = StageNetwork(spec, stage)
    sizes = spec.stream(stream).sizes
    codes = torch.stack([torch.arange(num_frames) % size for size in sizes])
    example = Example({stream: codes}, form, duration_s=float(num_frames))
    ends, lengths = set(), set()
    for seed in range(60):
        torch.manual_seed(seed)
        piece = cropped(network.writing, form, example)
        assert network.writing.num_steps(piece) <= 64
        lengths.add(piece.streams[stream].shape[1])
        ends.add(piece.is_ended)
        losses(network, [piece])  # which raises what does not fit
    longer = torch.stack([torch.arange(max(lengths) + 4) % size for size in sizes])
    if max(lengths) < num_frames:
        assert (
            network.writing.num_steps(Example({stream: longer}, form)) > 64
        )  # it is hardly shorter than it must be
        assert False in ends
    if num_frames == max(lengths):
        assert ends == {True}


def test_what_has_a_text_is_kept_whole() -> None:
    spec = tiny_lm("valle")
    lengths = {name: torch.tensor([5, 700]).numpy() for name in spec.streams}
    assert kept_whole(Writing(spec, "ar"), "tts", lengths).tolist() == [True, True]
    spec = tiny_lm("audiolm")
    same = {"semantic": torch.tensor([25, 50]).numpy(), "acoustic": torch.tensor([50, 50]).numpy()}
    assert kept_whole(Writing(spec, "coarse"), "sc", same).tolist() == [False, True]  # a second is missing
    assert kept_whole(Writing(spec, "semantic"), "sc", same).tolist() == [False, False]


def test_what_is_written_in_chunks_is_scored_in_chunks() -> None:
    spec = tiny_lm("audiolm", {"stages": {"fine": {"chunk_s": 0.08, "crop_s": 0.08}}})
    torch.manual_seed(0)
    network = shaken(StageNetwork(spec, "fine"))
    example = drawn_example(spec, "sc", seed=0, seconds=0.32)
    acoustic = example.streams["acoustic"]

    def nats(codes: torch.Tensor) -> float:
        piece = Example({**example.streams, "acoustic": codes}, "sc")
        with torch.no_grad():
            return sum(
                float(each.nats.double().sum()) for found in teacher_forced(network, [piece]) for each in found
            )

    with torch.no_grad():
        (score,) = LanguageModel._stage_scores(network, example).values()
    by_chunk = sum(nats(acoustic[:, start : start + 4]) for start in range(0, 16, 4))
    assert score.nats == pytest.approx(by_chunk, rel=1e-5)
    assert abs(score.nats - nats(acoustic)) > 0.01


@pytest.mark.parametrize(("name", "stage"), [("valle-x", "translate"), ("viola", "ar"), ("audiopalm", "decoder")])
def test_outputs_of_one_vocabulary_are_scored_apart(name: str, stage: str) -> None:
    spec = tiny_lm(name)
    form = {"valle-x": "s2st", "viola": "s2tt", "audiopalm": "s2st"}[name]
    network = build_networks(spec)[stage].eval()
    assert isinstance(network, StageNetwork)
    writing = network.writing
    example = drawn_example(spec, form, seed=0)
    outputs = [writing.stage.part(each) for each in writing.form(form).outputs]
    with torch.no_grad():
        found = LanguageModel._stage_scores(network, example)
    assert list(found) == [part.stream for part in outputs]
    for part in outputs:
        num = writing.codes(part, example).numel()
        assert found[part.stream].num_symbols - num in {0, 1}  # and the end, where there is one
