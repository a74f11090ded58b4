"""What is written step by step, by what is kept of the steps before, is what all of it read anew would give."""

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch
from tiny.lms import LOCAL, NETWORK, drawn_example, predictions, shaken, tiny_lm
from torch import Tensor

from tokbench.lm import generation
from tokbench.lm.decoding import _Beam, write
from tokbench.lm.examples import Example
from tokbench.lm.filling import fill
from tokbench.lm.generation import Generation, Task
from tokbench.lm.layouts import ABSENT, frame_table, with_end
from tokbench.lm.masks import num_masked
from tokbench.lm.network import StageNetwork, lay_out_for_steps_
from tokbench.lm.objectives import level_piece
from tokbench.lm.sampling import guided
from tokbench.lm.sentences import ContextError, Sentences, collate
from tokbench.lm.vocabulary import MASKED
from tokbench.lm.writers import Order
from tokbench.specs.lm import Part, Sampling

GREEDY = Sampling(temperature=(0.0,))
NUM_FRAMES = 6
AUTOREGRESSIVE = [
    ("gslm", "lm"),
    ("pgslm", "lm"),
    ("valle", "ar"),
    ("audiolm", "coarse"),
    ("audiopalm", "decoder"),
    ("musicgen", "lm"),
    ("musicgen-stereo", "lm"),
    ("uniaudio", "lm"),
    ("valle-x", "ar"),
    ("s2st-units", "units"),
    ("speechprompt", "lm"),
    ("twist", "lm"),
]
"""Every kind of position, of reading, of layout and of network is among them, but for towers."""


def network_of(name: str, stage: str) -> StageNetwork:
    torch.manual_seed(0)
    return shaken(StageNetwork(tiny_lm(name), stage))


def examples_of(network: StageNetwork, number: int = 2, *, form: str = "", seconds: float = 0.12) -> list[Example]:
    """Return examples whose inputs differ in length, of the first form if none is named."""
    form, spec = form or next(iter(network.writing.stage.forms)), network.writing.spec
    return [drawn_example(spec, form, seed=seed, seconds=seconds * (3 + 2 * seed) / 3) for seed in range(number)]


def output_of(network: StageNetwork, example: Example) -> tuple[str, Part]:
    (name,) = network.writing.form(example.form).outputs
    return name, network.writing.stage.part(name)


def generators(number: int = 2) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(number)]


def asked(
    network: StageNetwork, examples: list[Example], num_frames: int, num_begun: int = 0
) -> list[dict[str, Order]]:
    orders = []
    for example in examples:
        name, part = output_of(network, example)
        codes = example.streams[part.stream][part.first : part.end, :num_begun]
        orders.append({name: Order(codes, num_frames, is_known=True)})
    return orders


def rewritten(network: StageNetwork, example: Example, num_begun: int, scale: float = 1.0) -> Tensor:
    """Write the likeliest code of each cell, one after another, with one pass over everything for each."""
    _, part = output_of(network, example)
    rows = network.writing.vocabulary.num_rows(part)
    # What is not written yet may be anything: it is not looked at.
    codes = torch.zeros(rows, NUM_FRAMES, dtype=torch.int64)
    codes[:, :num_begun] = example.streams[part.stream][part.first : part.end, :num_begun]
    table = (with_end if part.ended else frame_table)(part.layout, rows, NUM_FRAMES)
    table[table == NUM_FRAMES] = ABSENT
    for step, row in itertools.product(range(table.shape[1]), range(rows)):
        frame = int(table[row, step])
        if frame >= num_begun:
            stream = torch.cat([torch.zeros(part.first, NUM_FRAMES, dtype=torch.int64), codes])
            known = Example({**example.streams, part.stream: stream}, example.form)
            # As in training, what says that all is over stands beside the last codes of those that come later.
            logits = predictions(network, known, is_ended=True)[row, frame]
            if scale != 1:
                without = predictions(network, emptied(network, known), is_ended=True)
                logits = guided(logits, without[row, frame], scale)
            codes[row, frame] = int(logits.argmax())
    return codes


def emptied(network: StageNetwork, example: Example) -> Example:
    parts = [network.writing.stage.part(name) for name in network.writing.form(example.form).inputs]
    streams = {part.stream: example.streams[part.stream] for part in parts}
    nothing = {name: each[:0] if each.is_floating_point() else each[:, :0] for name, each in streams.items()}
    return Example({**example.streams, **nothing}, example.form)


@pytest.mark.parametrize("num_begun", [0, 2])
@pytest.mark.parametrize(("name", "stage"), AUTOREGRESSIVE)
def test_writing_is_recomputing_everything_at_each_code(name: str, stage: str, num_begun: int) -> None:
    network = network_of(name, stage)
    (output,) = {output_of(network, example)[0] for example in examples_of(network)}
    part = network.writing.stage.part(output)
    examples = examples_of(network)
    if part.deduplicated or name == "speechprompt":
        num_begun = 0  # what is begun would be shorter than here
        network.writing.stage.parts[output] = part.model_copy(update={"deduplicated": False})
    orders = asked(network, examples, NUM_FRAMES, num_begun)
    written = write(network, examples, orders, sampling=GREEDY, generators=generators())
    for example, found in zip(examples, written, strict=True):
        assert torch.equal(found.streams[output], rewritten(network, example, num_begun))
        assert found.is_ended[output]


@pytest.mark.parametrize(("name", "is_tied"), [("gslm", True), ("uniaudio", False)])
def test_weights_that_are_laid_out_for_steps_are_the_same_numbers(name: str, *, is_tied: bool) -> None:
    network = network_of(name, "lm")
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    assert (network.outputs.weight is network.embedding.weight) == is_tied
    lay_out_for_steps_(network)
    after = network.state_dict()
    assert list(after) == list(before)
    assert all(tensor.equal(before[key]) for key, tensor in after.items())
    assert (network.outputs.weight is network.embedding.weight) == is_tied
    for key, layer in network.named_modules():
        if isinstance(layer, torch.nn.Linear):
            is_table = is_tied and layer is network.outputs
            assert layer.weight.stride(0 if not is_table else 1) == 1, key
        elif isinstance(layer, torch.nn.Embedding):
            assert layer.weight.is_contiguous(), key


def test_a_local_network_is_where_each_example_is() -> None:
    """Examples that have begun more or less are at different codebooks of a step, where these are delayed."""
    torch.manual_seed(0)
    spec = tiny_lm("musicgen", {"network": {**NETWORK, "local": LOCAL}})
    network = shaken(StageNetwork(spec, "lm"))
    examples = examples_of(network, 3)
    orders = [asked(network, [example], NUM_FRAMES, index)[0] for index, example in enumerate(examples)]
    written = write(network, examples, orders, sampling=GREEDY, generators=generators(3))
    for index, (example, found) in enumerate(zip(examples, written, strict=True)):
        assert torch.equal(found.streams["codes"], rewritten(network, example, index))


@pytest.mark.parametrize("name", ["dgslm", *dict(AUTOREGRESSIVE)])
@torch.no_grad()
def test_reading_in_pieces_is_reading_the_whole(name: str) -> None:
    network = network_of(name, dict(AUTOREGRESSIVE).get(name, "lm"))
    writing, (example, _) = network.writing, examples_of(network)
    output, part = output_of(network, example)
    piece = writing.next_piece(output, part, writing.codes(part, example), example, is_ended=False)
    inputs = list(writing.inputs(example, writing.form(example.form)))
    whole = collate(writing, [writing.sentence(example.form, inputs, [piece])])
    expected = network(whole).values
    first = whole.symbols.shape[1] - piece.symbols.shape[1] + 1
    past = network.begin(1, whole.symbols.shape[1])
    found = [network(between(whole, 0, first), past).values]
    found += [network(between(whole, step, step + 1), past).values for step in range(first, whole.symbols.shape[1])]
    torch.testing.assert_close(torch.cat(found, dim=-2), expected, atol=2e-5, rtol=1e-4)


def between(sentences: Sentences, first: int, end: int) -> Sentences:
    return replace(
        sentences,
        symbols=sentences.symbols[:, first:end],
        targets=sentences.targets[:, first:end],
        positions=sentences.positions[:, first:end],
        is_there=sentences.is_there[:, first:end],
        insets=sentences.insets if first == 0 else {},
    )


@pytest.mark.parametrize("positions", ["sinusoidal", "learned", "rotary", "relative"])
@pytest.mark.parametrize(
    ("name", "form"), [("musicgen", "mg"), ("musicgen", "mg-melody"), ("audiogen", "ttso"), ("valle", "tts")]
)
def test_guided_writing_is_guided_recomputing(name: str, form: str, positions: str) -> None:
    """Also where what is left empty stands in the sequence, which is then shorter."""
    spec = tiny_lm(name, {"network": {**NETWORK, "positions": positions}})
    torch.manual_seed(0)
    network = shaken(StageNetwork(spec, next(iter(spec.stages))))
    examples = examples_of(network, form=form, seconds=1.2)
    output, _ = output_of(network, examples[0])
    orders, sampling = asked(network, examples, NUM_FRAMES), Sampling(temperature=(0.0,), guidance=3.0)
    written = write(network, examples, orders, sampling=sampling, generators=generators())
    plain = write(network, examples, orders, sampling=GREEDY, generators=generators())
    for example, found, other in zip(examples, written, plain, strict=True):
        assert torch.equal(found.streams[output], rewritten(network, example, 0, scale=3.0))
        assert not torch.equal(found.streams[output], other.streams[output])


def test_what_is_drawn_is_the_same_alone_and_beside_others() -> None:
    network = network_of("uniaudio", "lm")
    examples, sampling = examples_of(network, 3), Sampling(top_k=5)
    orders = asked(network, examples, NUM_FRAMES)
    together = write(network, examples, orders, sampling=sampling, generators=generators(3))
    for index in range(3):
        (alone,) = write(
            network, [examples[index]], [orders[index]], sampling=sampling, generators=[generators(3)[index]]
        )
        assert torch.equal(alone.streams["acoustic"], together[index].streams["acoustic"])


@pytest.mark.parametrize("guidance", [1.0, 2.0])
@pytest.mark.parametrize("positions", ["sinusoidal", "learned", "rotary", "relative"])
def test_what_fits_does_not_depend_on_what_is_beside_it(positions: str, guidance: float) -> None:
    """A prompt leaves as many steps as alone; the first that fills the context does not stop the others."""
    network = narrow_network("speechx", positions=positions)
    examples, sampling = examples_of(network, 3, form="tts", seconds=0.06), Sampling(guidance=guidance)
    nothing = torch.zeros(1, 0, dtype=torch.int64)
    orders = [{"first": Order(nothing, 99, is_known=False, num_least=98)} for _ in examples]
    together = write(network, examples, orders, sampling=sampling, generators=generators(3))
    lengths = [found.streams["first"].shape[1] for found in together]
    assert lengths == sorted(set(lengths), reverse=True), "longer prompts leave less"
    for index, found in enumerate(together):
        (alone,) = write(
            network, [examples[index]], [orders[index]], sampling=sampling, generators=[generators(3)[index]]
        )
        assert torch.equal(found.streams["first"], alone.streams["first"])
        assert not found.is_ended["first"]


def narrow_network(name: str, **network: Any) -> StageNetwork:
    """Return the network of the first stage, with a context of 40 steps."""
    spec = tiny_lm(name, {"network": {**NETWORK, "context": 40, "restarted": False, **network}})
    torch.manual_seed(0)
    return shaken(StageNetwork(spec, next(iter(spec.stages))))


def test_a_known_length_that_fits_is_written_beside_a_longer_prompt() -> None:
    network = narrow_network("speechx")
    examples = examples_of(network, 3, form="tts", seconds=0.06)
    nothing, lengths = torch.zeros(1, 0, dtype=torch.int64), (18, 5, 5)
    orders = [{"first": Order(nothing, length, is_known=True)} for length in lengths]
    together = write(network, examples, orders, sampling=GREEDY, generators=generators(3))
    assert [found.streams["first"].shape[1] for found in together] == [*lengths]
    assert all(found.is_ended["first"] for found in together)


def test_a_beam_fills_the_context_as_what_is_drawn_does() -> None:
    network = narrow_network("speechx")
    (example,) = examples_of(network, 1, form="tts", seconds=0.06)
    orders = [{"first": Order(torch.zeros(1, 0, dtype=torch.int64), 99, is_known=False, num_least=98)}]
    drawn, beam = (
        write(network, [example], orders, sampling=sampling, generators=generators(1))[0]
        for sampling in (Sampling(), Sampling(beam=3))
    )
    assert drawn.streams["first"].shape == beam.streams["first"].shape
    assert not beam.is_ended["first"]


def test_an_output_that_is_cut_by_the_context_has_not_ended() -> None:
    """Of two outputs, the first may take so much that the second, whose length is known, is not complete."""
    network = narrow_network("viola")
    example = drawn_example(network.writing.spec, "s2tt", seed=0, seconds=0.06)
    nothing = torch.zeros(1, 0, dtype=torch.int64)
    known = Order(nothing, 10, is_known=True)
    orders = [
        {"source_told": Order(nothing, length, is_known=False, num_least=length), "told": known}
        for length in (4, 24)
    ]
    short, long = write(network, [example] * 2, orders, sampling=GREEDY, generators=generators(2))
    assert [found.streams["source_told"].shape[1] for found in (short, long)] == [4, 24]
    assert [found.streams["told"].shape[1] for found in (short, long)] == [10, 8]
    assert [found.is_ended["told"] for found in (short, long)] == [True, False]


@pytest.mark.parametrize("name", ["delay", "flatten"])
def test_an_end_that_is_drawn_ends_all_codebooks_at_one_frame(name: str) -> None:
    network = network_of("musicgen", "lm") if name == "delay" else network_of("audiolm", "coarse")
    examples = examples_of(network, 6)
    output, part = output_of(network, examples[0])
    rows = network.writing.vocabulary.num_rows(part)
    orders = [{output: Order(torch.zeros(rows, 0, dtype=torch.int64), 12, is_known=False)} for _ in examples]
    written = write(network, examples, orders, sampling=Sampling(temperature=(2.0,)), generators=generators(6))
    lengths = [found.streams[output].shape[1] for found in written]
    assert all(bool((found.streams[output] >= 0).all()) for found in written)
    ended = [found.is_ended[output] for found in written]
    assert any(ended)
    assert all(length < 12 if is_ended else length == 12 for length, is_ended in zip(lengths, ended, strict=True))


@pytest.mark.parametrize("num_begun", [0, 2])
@pytest.mark.parametrize("name", ["delay", "flatten"])
def test_no_end_is_drawn_before_the_least_number_of_frames(name: str, num_begun: int) -> None:
    network = network_of("musicgen", "lm") if name == "delay" else network_of("audiolm", "coarse")
    examples = examples_of(network, 48)
    output, part = output_of(network, examples[0])
    rows = network.writing.vocabulary.num_rows(part)
    begun = torch.zeros(rows, num_begun, dtype=torch.int64)
    lengths = {}
    for least in (0, num_begun + 1):
        orders = [{output: Order(begun, 12, is_known=False, num_least=least)} for _ in examples]
        written = write(network, examples, orders, sampling=Sampling(temperature=(2.0,)), generators=generators(48))
        lengths[least] = [found.streams[output].shape[1] for found in written]
    # Where they may end at once, one of them does.
    assert min(lengths[0]) == num_begun
    assert min(lengths[num_begun + 1]) > num_begun


@pytest.mark.parametrize("at_once", [2, 32])
def test_chunks_are_written_each_from_its_own_part_of_what_is_read(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not of what earlier stages made beside it: runs of units are fewer than frames."""
    network = network_of("audiolm", "fine")
    spec, stage = network.writing.spec, network.writing.stage
    chunk_s = stage.chunk_s
    assert chunk_s is not None
    length = round(chunk_s * 50)
    nothing = torch.zeros(network.writing.vocabulary.num_rows(stage.part("fine")), 0, dtype=torch.int64)
    tasks = []
    for seed, num_chunks in enumerate((2.4, 0.8, 1.0)):
        drawn = drawn_example(spec, "sc", seed=seed, seconds=num_chunks * chunk_s).streams["acoustic"]
        task = Task("sc", {}, {}, None, torch.Generator().manual_seed(0))
        task.made |= {
            "semantic": torch.zeros(1, 3, dtype=torch.int64),
            "acoustic": drawn[: stage.part("coarse").end],
        }
        tasks.append(task)
    all_pieces = [task.made["acoustic"].split(length, dim=1) for task in tasks]
    assert [len(pieces) for pieces in all_pieces] == [3, 1, 1]
    monkeypatch.setattr(generation, "_CHUNKS_AT_ONCE", at_once)
    Generation(network, GREEDY).run(tasks)
    for task, pieces in zip(tasks, all_pieces, strict=True):
        alone = []
        for piece in pieces:
            order = {"fine": Order(nothing, piece.shape[1], is_known=True)}
            example = Example({"acoustic": piece}, "sc")
            (written,) = write(network, [example], [order], sampling=GREEDY, generators=generators(1))
            alone.append(torch.cat([piece, written.streams["fine"]]))
        assert torch.equal(task.made["acoustic"], torch.cat(alone, dim=1))


def test_without_a_whole_frame_before_there_is_nothing_to_add() -> None:
    network = network_of("audiolm", "fine")
    stage = network.writing.stage
    task = Task("sc", {}, {}, None, torch.Generator().manual_seed(0))
    task.made |= {
        "semantic": torch.zeros(1, 3, dtype=torch.int64),
        "acoustic": torch.zeros(stage.part("coarse").end or 0, 0, dtype=torch.int64),
    }
    Generation(network, GREEDY).run([task])
    assert task.made["acoustic"].shape == (6, 0)


def test_a_prompt_beyond_the_context_is_told() -> None:
    network = network_of("valle", "ar")
    (example,) = examples_of(network, 1)
    with pytest.raises(ContextError, match=r"the request takes \d+ steps of valle, whose context is 256"):
        write(network, [example], asked(network, [example], 300), sampling=GREEDY, generators=generators(1))


def test_what_is_attended_to_beside_the_sequence_is_not_cut_either() -> None:
    network = narrow_network("s2st-units")
    (short, long) = (examples_of(network, 1, seconds=seconds)[0] for seconds in (0.06, 9.0))
    output, _ = output_of(network, short)
    num_rows = network.writing.vocabulary.num_rows(network.writing.stage.part(output))
    orders = [{output: Order(torch.zeros(num_rows, 0, dtype=torch.int64), 2, is_known=True)}]
    assert write(network, [short], orders, sampling=GREEDY, generators=generators(1))
    with pytest.raises(ContextError, match=r"the request takes \d+ steps of .*, whose context is 40"):
        write(network, [long], orders, sampling=GREEDY, generators=generators(1))


def test_a_beam_as_wide_as_all_there_is_finds_the_likeliest_sequence() -> None:
    """Against all sequences of three symbols, each scored by one pass."""
    network = network_of("gslm", "lm")
    network.writing.stage.parts["runs"] = Part(stream="units")
    example = examples_of(network, 1)[0]
    size = network.writing.spec.stream("units").sizes[0]
    sampling = Sampling(beam=size**2)
    (found,) = write(network, [example], asked(network, [example], 3), sampling=sampling, generators=generators(1))

    def score(codes: tuple[int, ...]) -> float:
        logits = predictions(network, Example({"units": torch.tensor([codes])}, example.form))
        return sum(float(logits[0, frame].log_softmax(dim=0)[code]) for frame, code in enumerate(codes))

    best = found.streams["runs"][0].tolist()
    generator = torch.Generator().manual_seed(0)
    others = torch.randint(size, (300, 3), generator=generator).tolist()
    others += [[*best[:place], code, *best[place + 1 :]] for place in range(3) for code in range(size)]
    assert len(best) == 3
    assert score(tuple(best)) >= max(score(tuple(other)) for other in others) - 1e-4


def spoken_of_few_codes(seed: int) -> tuple[StageNetwork, Example]:
    """Return VioLA's first stage, to whose every step the vector of a language is added, over three codes."""
    spec = tiny_lm("viola")
    acoustic = spec.streams["acoustic"].model_copy(update={"codebook_size": 3})
    spec = spec.model_copy(update={"streams": {**spec.streams, "acoustic": acoustic}})
    torch.manual_seed(seed)
    network = shaken(StageNetwork(spec, "ar"))
    with torch.no_grad():
        network.embedding.weight *= 5  # against what positions add: what is read decides
    example = drawn_example(network.writing.spec, "tts", seed=seed)
    return network, Example({**example.streams, "language": torch.tensor([[seed % 2]])}, "tts")


def costs_of_all(network: StageNetwork, example: Example, num_frames: int, *, is_ended: bool) -> dict[tuple, float]:
    """Return the mean log probability of the symbols of each sequence of three codes, each scored by a pass."""
    scores = {}
    for codes in itertools.product(range(3), repeat=num_frames):
        # What comes after an end may be anything: it is not looked at.
        grid = torch.tensor([[*codes, 0]] * 6)
        found = predictions(network, Example({**example.streams, "acoustic": grid}, "tts"), with_end=True)
        wanted = [*(code + 1 for code in codes), *([0] if is_ended else [])]
        chances = [found[0, frame].log_softmax(dim=0)[place] for frame, place in enumerate(wanted)]
        scores[codes] = float(torch.stack(chances).mean())
    return scores


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("is_known", "num_least"), [(True, 0), (False, 0), (False, 1), (False, 3)])
def test_no_sequence_is_likelier_than_what_a_wide_beam_finds(seed: int, num_least: int, *, is_known: bool) -> None:
    """Against all that there are, among them what is found by taking the likeliest symbol at each step."""
    network, example = spoken_of_few_codes(seed)
    orders = [{"first": Order(torch.zeros(1, 0, dtype=torch.int64), 4, is_known=is_known, num_least=num_least)}]
    (beam,) = write(network, [example], orders, sampling=Sampling(beam=81), generators=generators(1))
    (greedy,) = write(network, [example], orders, sampling=GREEDY, generators=generators(1))
    lengths = [4] if is_known else range(num_least, 4)
    scores: dict[tuple, float] = {}
    for length in lengths:
        scores |= costs_of_all(network, example, length, is_ended=not is_known)
    found = tuple(beam.streams["first"][0].tolist())
    assert beam.is_ended["first"]
    assert found == max(scores, key=lambda codes: scores[codes])
    if greedy.is_ended["first"]:
        assert scores[found] >= scores[tuple(greedy.streams["first"][0].tolist())]


@pytest.mark.parametrize("width", [1, 2, 4])
def test_a_beam_goes_on_with_what_is_nearly_certain_though_others_have_ended(width: int) -> None:
    """A right answer of seven symbols, and an end, symbol 0, that is the next likeliest at each step before."""
    answer = [3, 1, 2, 2, 3, 1, 1]
    beam = _Beam(width, has_end=True)
    chances = torch.full((len(answer) + 1, 4), 0.01)
    for step, right in enumerate([*answer, 0]):
        chances[step, right], chances[step, 0] = 0.95, 0.95 if right == 0 else 0.03
    for step in range(len(answer) + 1):
        if beam.is_done:
            break
        beam.grow(chances[step].log().expand(len(beam._alive), 4))
    assert beam.best() == (answer, True)


def test_levels_are_filled_in_as_a_loop_does() -> None:
    network = network_of("valle", "nar")
    examples, writing = examples_of(network), network.writing
    ((name, part),) = writing.stage.outputs.items()
    codes = [example.streams["acoustic"].clone() for example in examples]
    begun = [2, 0]
    for each, num_begun in zip(codes, begun, strict=True):
        each[1:, num_begun:] = ABSENT
    found = fill(network, examples, codes, num_begun=begun, sampling=GREEDY, generators=generators())
    for example, expected, num_begun, filled in zip(examples, codes, begun, found, strict=True):
        known = expected.clone()
        for level in range(1, len(known)):
            piece = level_piece(writing, name, part, known, example, level, num_begun)
            inputs = list(writing.inputs(example, writing.form("tts")))
            hidden = network(collate(writing, [writing.sentence("tts", inputs, [piece])]), level=level)
            logits = network.logits(hidden.values[0, -known.shape[1] :], writing.vocabulary.blocks(part)[level])
            known[level, num_begun:] = logits.argmax(dim=1)[num_begun:]
        assert torch.equal(filled, known)


@torch.no_grad()
def test_masked_codes_are_decided_as_a_loop_does() -> None:
    """Level by level, the surest first, as many as the schedule leaves unmasked, each pass with what is decided."""
    network = network_of("soundstorm", "parallel")
    example, writing = examples_of(network, 1)[0], network.writing
    ((name, part),) = writing.stage.outputs.items()
    size = example.streams["acoustic"].shape
    sampling = Sampling(temperature=(0.0,), iterations=(4, 1))
    begun, codes = 2, torch.full(size, ABSENT)
    codes[:, :begun] = example.streams["acoustic"][:, :begun]
    (found,) = fill(network, [example], [codes], num_begun=[begun], sampling=sampling, generators=generators(1))
    known = codes.clone()
    known[:, begun:] = MASKED
    for level in range(size[0]):
        for iteration in range(1, (4 if level == 0 else 1) + 1):
            piece = writing.frames_piece(name, part, known, torch.full_like(known, ABSENT), example)
            values = network(collate(writing, [writing.sentence("sc", [], [piece])])).values[0, -size[1] :]
            chances = network.logits(values, writing.vocabulary.blocks(part)[level]).softmax(dim=1)
            left = num_masked(iteration, 4 if level == 0 else 1, size[1] - begun)
            open_frames = [frame for frame in range(size[1]) if known[level, frame] == MASKED]
            surest = sorted(open_frames, key=lambda frame: -float(chances[frame].max()))
            for frame in surest[: len(open_frames) - left]:
                known[level, frame] = int(chances[frame].argmax())
    assert torch.equal(found, known)
    assert bool((found >= 0).all())


def test_short_examples_are_decided_before_the_last_pass() -> None:
    """Of few frames the schedule leaves none masked early; they are as alone what they are beside others."""
    network = network_of("soundstorm", "parallel")
    num_rows, sampling = len(examples_of(network, 1)[0].streams["acoustic"]), Sampling(iterations=(16, 1))
    lengths = [1, 5, 10, 24]

    def filled(some: list[int]) -> list[Tensor]:
        units = [torch.zeros(1, -(-length // 2), dtype=torch.int64) for length in some]
        examples = [Example({"semantic": each}, "sc") for each in units]
        codes = [torch.full((num_rows, length), ABSENT) for length in some]
        return fill(
            network, examples, codes, num_begun=[0] * len(some), sampling=sampling, generators=generators(len(some))
        )

    together = filled(lengths)
    assert [found.shape[1] for found in together] == lengths
    assert all(bool((found >= 0).all()) for found in together)
    assert torch.equal(filled(lengths[:1])[0], together[0])


def test_a_voice_keeps_a_code_for_as_long_as_was_drawn() -> None:
    network = network_of("dgslm", "lm")
    orders = [{"voices": Order(torch.zeros(4, 0, dtype=torch.int64), 40, is_known=True)}]
    (found,) = write(network, [Example({}, "sc")], orders, sampling=Sampling(), generators=generators(1))
    codes = found.streams["voices"]
    for units, durations in codes.chunk(2):
        starts = [frame for frame in range(40) if frame == 0 or units[frame] != units[frame - 1]]
        assert [frame for frame in range(40) if durations[frame] != ABSENT] in (starts, starts[:-1])
        for start, following in itertools.pairwise(starts):
            assert following - start == int(durations[start]) + 1
