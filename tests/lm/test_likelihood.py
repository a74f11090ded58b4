"""What is learnt from and what a sequence costs: in nats, and in the bytes of an arithmetic coder."""

import math
from collections import Counter
from collections.abc import Collection, Iterator

import numpy as np
import pytest
import torch
from tiny.lms import drawn_example, predictions, shaken, tiny_lm

from tokbench.lm.examples import Example, edges
from tokbench.lm.layouts import ABSENT
from tokbench.lm.masks import draw_hidings
from tokbench.lm.network import StageNetwork
from tokbench.lm.objectives import losses, teacher_forced
from tokbench.lm.sentences import ContextError, Piece, collate
from tokbench.models.arithmetic_coder import ArithmeticDecoder, ArithmeticEncoder, cumulative_widths
from tokbench.specs.lm import Form, Levels


def network_of(name: str, stage: str) -> StageNetwork:
    torch.manual_seed(0)
    return shaken(StageNetwork(tiny_lm(name), stage))


def nats_of(network: StageNetwork, example: Example) -> float:
    with torch.no_grad():
        return sum(
            float(each.nats.double().sum()) for costs in teacher_forced(network, [example]) for each in costs
        )


@pytest.mark.parametrize(("name", "stage"), [("musicgen", "lm"), ("audiolm", "coarse"), ("uniaudio", "lm")])
def test_likelihood_is_the_length_of_the_coded_message(name: str, stage: str) -> None:
    """Codes, written by an arithmetic coder with what is predicted of each, need so many bits, and come back."""
    network = network_of(name, stage)
    form = next(iter(network.writing.stage.forms))
    example = drawn_example(network.writing.spec, form, seed=0, seconds=1.0)
    example = Example(example.streams, form, is_ended=False)
    (output,) = network.writing.form(form).outputs
    part = network.writing.stage.part(output)
    codes = network.writing.codes(part, example)
    blocks = network.writing.vocabulary.blocks(part)
    widths, symbols = [], []
    for (row, frame), logits in predictions(network, example, with_end=True).items():
        widths.append(cumulative_widths(logits.double().softmax(dim=0).numpy()))
        symbols.append(int(codes[row, frame]) + blocks[row].has_end)
    encoder = ArithmeticEncoder()
    for cumulative, symbol in zip(widths, symbols, strict=True):
        encoder.push(int(cumulative[symbol]), int(cumulative[symbol + 1]))
    message = encoder.finish()
    decoder = ArithmeticDecoder(message)
    assert [decoder.pull(cumulative) for cumulative in widths] == symbols
    num_bits = nats_of(network, example) / math.log(2)
    assert num_bits - 8 <= 8 * len(message) <= 1.001 * num_bits + 8


def test_a_local_network_goes_once_through_a_step_for_all_its_codebooks() -> None:
    network = network_of("uniaudio", "lm")
    form = next(iter(network.writing.stage.forms))
    example = drawn_example(network.writing.spec, form, seed=0, seconds=0.5)
    num_steps = []
    assert network.local is not None
    network.local.register_forward_hook(lambda _, asked, __: num_steps.append(len(asked[0])))
    assert losses(network, [example]).num_predicted > 0
    (output,) = network.writing.form(form).outputs
    codes = network.writing.codes(network.writing.stage.part(output), example)
    assert len(codes) > 1
    assert num_steps == [codes.shape[1] + 1]  # and the end


@pytest.mark.parametrize("name", ["valle", "musicgen", "viola", "dgslm"])
def test_nothing_is_learnt_from_beginnings_and_inputs(name: str) -> None:
    """As many symbols cost something as the outputs have codes, and an end."""
    network = network_of(name, next(iter(tiny_lm(name).stages)))
    for form_name, form in network.writing.stage.forms.items():
        example = drawn_example(network.writing.spec, form_name, seed=1)
        expected = 0
        for part in map(network.writing.stage.part, form.outputs):
            codes = network.writing.codes(part, example)
            expected += int((codes != ABSENT).sum()) + part.ended
            if part.edges:  # of each channel its new codes, and their durations
                expected = sum(2 * int(edges(channel[:1]).sum()) for channel in codes.chunk(2))
        assert losses(network, [example]).num_predicted == expected


def test_the_mean_is_over_all_codes_of_a_batch() -> None:
    network = network_of("musicgen", "lm")
    spec = network.writing.spec
    examples = [drawn_example(spec, "mg", seed=seed, seconds=0.1 * (seed + 1)) for seed in range(3)]
    torch.manual_seed(0)
    network.writing.stage.parts["about"] = network.writing.stage.part("about").model_copy(update={"dropped": 0.0})
    together = losses(network, examples)
    alone = [losses(network, [example]) for example in examples]
    expected = sum(each.num_predicted * float(each.total.detach()) for each in alone) / together.num_predicted
    assert float(together.total.detach()) == pytest.approx(expected, rel=1e-4)
    assert float(together.shown["bits_per_code"]) == pytest.approx(expected / math.log(2), rel=1e-4)


def test_inputs_are_left_empty_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """As guidance leaves them; one that is so more often is so on its own as well, and never the other alone."""
    network = network_of("musicgen", "lm").train()
    writing, parts = network.writing, network.writing.stage.parts
    example = drawn_example(writing.spec, "mg-melody", seed=0, seconds=1.0)
    seen: list[tuple[str, ...]] = []
    inputs = writing.inputs

    def noted(example: Example, form: Form, empty: Collection[str] = ()) -> Iterator[Piece]:
        seen.append(tuple(empty))
        return inputs(example, form, empty)

    monkeypatch.setattr(writing, "inputs", noted)
    for tune, expected in ((0.3, {(): 0.7, ("about", "tune"): 0.3}), (0.6, {(): 0.4, ("about", "tune"): 0.3})):
        parts["tune"] = parts["tune"].model_copy(update={"dropped": tune})
        seen.clear()
        torch.manual_seed(0)
        for _ in range(400):
            losses(network, [example])
        shares = {empty: count / 400 for empty, count in Counter(seen).items()}
        wanted = expected if tune == 0.3 else {**expected, ("tune",): 0.3}
        assert shares == pytest.approx(wanted, abs=0.07)
    # Which weights are the best is decided by examples as they are.
    seen.clear()
    for _ in range(50):
        losses(network.eval(), [example])
    assert set(seen) == {()}


def test_the_loss_of_levels_is_over_what_comes_after_the_prompt() -> None:
    """The denominator counts only frames without a prompt."""
    network = network_of("valle", "nar").train()
    example = drawn_example(network.writing.spec, "tts", seed=0)
    num_frames = example.streams["acoustic"].shape[1]
    counts = set()
    for seed in range(60):
        torch.manual_seed(seed)
        counts.add(losses(network, [example]).num_predicted)
    assert counts == set(range(num_frames - num_frames // 2, num_frames + 1))


@pytest.mark.parametrize("name", ["valle", "uslm"])
def test_what_is_held_out_costs_all_levels(name: str) -> None:
    """Which of them a step of training is about is chance; what decides on the best weights is none."""
    network = network_of(name, "nar")
    writing = network.writing
    writing.stage = writing.stage.model_copy(update={"objective": Levels(kind="levels", prompt_s=0.0)})
    network.objective = writing.stage.objective
    form = next(iter(writing.stage.forms))
    examples = [drawn_example(writing.spec, form, seed=seed) for seed in range(2)]
    costs = torch.cat([each.nats.detach() for level in teacher_forced(network, examples) for each in level])
    for seed in range(8):
        torch.manual_seed(seed)
        found = losses(network, examples)
        assert found.num_predicted == len(costs)
        assert float(found.total.detach()) == pytest.approx(float(costs.mean()), rel=1e-5)


@pytest.mark.parametrize(("name", "stage"), [("soundstorm", "parallel"), ("audiopalm", "parallel")])
def test_what_is_held_out_costs_all_masked_codebooks(name: str, stage: str) -> None:
    network = network_of(name, stage)
    writing = network.writing
    form = next(iter(writing.stage.forms))
    example = drawn_example(writing.spec, form, seed=0, seconds=1.0)
    (part,) = (writing.stage.part(each) for each in writing.form(form).outputs)
    blocks = writing.vocabulary.blocks(part)
    torch.manual_seed(0)
    hidings = [draw_hidings(len(blocks), 50, codebook=row) for row in range(len(blocks))]
    torch.manual_seed(0)
    found = losses(network, [example])
    assert found.num_predicted == sum(int(each.are_wanted.sum()) for each in hidings)
    assert all(bool(each.are_wanted[row].any()) for row, each in enumerate(hidings))


@pytest.mark.parametrize(("name", "stage"), [("audiolm", "coarse"), ("valle", "nar"), ("musicgen", "lm")])
def test_what_is_longer_than_the_context_is_neither_scored_nor_learnt(name: str, stage: str) -> None:
    """Cut, it would lose its end: what is to be learnt, where that comes after what is given."""
    network = network_of(name, stage)
    form = next(iter(network.writing.stage.forms))
    long = drawn_example(network.writing.spec, form, seed=0, seconds=6.0)
    with pytest.raises(ContextError, match=rf"to be scored takes \d+ steps of {name}, whose context is 256"):
        teacher_forced(network, [long])
    with pytest.raises(ContextError, match=rf"to learn from takes \d+ steps of {name}, whose context is 256"):
        losses(network, [long])


def test_an_input_that_is_attended_to_is_not_cut_either_where_something_is_scored() -> None:
    network = network_of("musicgen", "lm")
    example = drawn_example(network.writing.spec, "mg", seed=0)
    streams = {**example.streams, "description": torch.zeros(1, 300, dtype=torch.int64)}
    with pytest.raises(ContextError, match="what is to be scored takes 302 steps of musicgen"):
        teacher_forced(network, [Example(streams, "mg")])


def test_weights_are_those_of_codebooks() -> None:
    """pGSLM: each of unit, duration and pitch has its own."""
    network = network_of("pgslm", "lm")
    example = drawn_example(network.writing.spec, "sc", seed=0, seconds=0.3)
    (each,) = teacher_forced(network, [example])
    weights, nats = [1.0, 0.5, 0.5], [float(costs.nats.detach().sum()) for costs in each]
    found = losses(network, [example])
    expected = float(np.dot(weights, nats)) / found.num_predicted
    assert float(found.total.detach()) == pytest.approx(expected, rel=1e-5)


def test_a_joint_vocabulary_lets_all_symbols_compete() -> None:
    """Over all symbols of AudioPaLM, probabilities add up to 1; over those of its units, to less."""
    network = network_of("audiopalm", "decoder")
    example = drawn_example(network.writing.spec, "tts", seed=0)
    found = predictions(network, example)
    sums = torch.stack([logits.exp().sum() for logits in found.values()])
    assert bool((sums < 0.999).all())
    writing = network.writing
    part = writing.stage.part("units")
    piece = writing.next_piece("units", part, example.streams["units"], example, is_ended=False)
    inputs = list(writing.inputs(example, writing.form("tts")))
    with torch.no_grad():
        hidden = network(collate(writing, [writing.sentence("tts", inputs, [piece])])).values[0, -2]
    everything = torch.nn.functional.linear(hidden, network.outputs.weight[1:]).log_softmax(dim=0)
    (block,) = writing.vocabulary.blocks(part)
    last = example.streams["units"].shape[1] - 1
    torch.testing.assert_close(found[0, last], everything[block.first - 1 : block.stop - 1], atol=1e-5, rtol=1e-4)
