"""What is predicted depends on what it may: a symbol is changed, and it is looked where the predictions change."""

from typing import Any

import pytest
import torch
from tiny.lms import predictions, shaken, tiny_lm
from torch import Tensor

from tokbench.lm.examples import Example
from tokbench.lm.layouts import ABSENT, frame_table
from tokbench.lm.network import StageNetwork
from tokbench.lm.objectives import level_piece
from tokbench.lm.sentences import collate
from tokbench.specs.lm import LmSpec

NUM_CODEBOOKS, NUM_FRAMES = 3, 5
LAYOUTS: dict[str, dict[str, Any]] = {
    "parallel": {"kind": "parallel"},
    "delay": {"kind": "delay"},
    "partial delay": {"kind": "delay", "delays": [0, 1]},
    "flatten": {"kind": "flatten"},
    "grouped": {"kind": "flatten", "group": 2},
    "coarse first": {"kind": "coarse-first"},
}


def network_of(
    layout: dict[str, Any],
    *,
    reads: str = "causal",
    changes: dict[str, Any] | None = None,
    text: dict[str, Any] | None = None,
) -> StageNetwork:
    """Return a network for codes after a text, whose vectors are large enough for any to matter."""
    base = {
        "name": "probe",
        "kind": "language-model",
        "title": "Probe",
        "source": "a test",
        "training": {"num_steps": 1, "batch_size": 1, "crop_s": 1.0, "optimizer": {"learning_rate": 1e-3}},
        "network": {
            "num_layers": 2,
            "num_heads": 2,
            "dimension": 16,
            "feedforward_dimension": 32,
            "context": 100,
            **(changes or {}),
        },
        "streams": {
            "text": {"kind": "text"},
            "acoustic": {
                "kind": "codes",
                "num_codebooks": NUM_CODEBOOKS,
                "codebook_size": 9,
                "frame_rate_hz": 50.0,
            },
        },
        "stages": {
            "lm": {
                "objective": {"kind": "next", "reads": reads},
                "parts": {
                    "codes": {"stream": "acoustic", "layout": layout, "ended": False},
                    **({"text": {"stream": "text", **text}} if text else {}),
                },
                "forms": {"tts": {"inputs": ["text"], "outputs": ["codes"]}},
            }
        },
    }
    torch.manual_seed(0)
    return shaken(StageNetwork(LmSpec.model_validate(base), "lm"))


def of(network: StageNetwork, codes: Tensor, text: Tensor) -> dict[tuple[int, int], Tensor]:
    return predictions(network, Example({"acoustic": codes, "text": text}, "tts"))


@pytest.mark.parametrize("is_local", [False, True])
@pytest.mark.parametrize("name", LAYOUTS)
def test_a_code_is_predicted_from_the_steps_before_it(name: str, *, is_local: bool) -> None:
    """And, by a local network, from the codebooks before it in its own step: from all that, and nothing else."""
    local = {"num_layers": 1, "num_heads": 2, "dimension": 16, "feedforward_dimension": 32}
    network = network_of(LAYOUTS[name], changes={"local": local} if is_local else None)
    (part,) = network.writing.stage.outputs.values()
    table = frame_table(part.layout, NUM_CODEBOOKS, NUM_FRAMES)
    place = {
        (row, int(table[row, step])): (step, row if is_local else 0)
        for row in range(NUM_CODEBOOKS)
        for step in range(table.shape[1])
        if table[row, step] != ABSENT
    }
    torch.manual_seed(1)
    codes, text = torch.randint(8, (NUM_CODEBOOKS, NUM_FRAMES)), torch.randint(97, 120, (1, 4))
    before = of(network, codes, text)
    for changed, own in place.items():
        other = codes.clone()
        other[changed] += 1
        after = of(network, other, text)
        for cell, order in place.items():
            may_change = order > own
            assert torch.equal(before[cell], after[cell]) != may_change, (changed, cell)
    assert all(not torch.equal(before[cell], each) for cell, each in of(network, codes, text + 1).items())


@pytest.mark.parametrize("reads", ["causal", "prefix"])
@torch.no_grad()
def test_inputs_are_seen_whole_by_each_other_only_if_they_are_read_so(reads: str) -> None:
    network = network_of(LAYOUTS["delay"], reads=reads)
    writing = network.writing
    codes = torch.zeros(NUM_CODEBOOKS, NUM_FRAMES, dtype=torch.int64)
    (name, part), texts = next(iter(writing.stage.outputs.items())), torch.tensor([[97, 98, 99], [97, 98, 100]])
    hidden = []
    for text in texts:
        example = Example({"text": text[None], "acoustic": codes}, "tts")
        inputs = list(writing.inputs(example, writing.form("tts")))
        output = writing.next_piece(name, part, codes, example, is_ended=False)
        hidden.append(network(collate(writing, [writing.sentence("tts", inputs, [output])])).values[0])
    same = (hidden[0] == hidden[1]).all(dim=1).tolist()
    # The form, the beginning of the text, and two letters are before the one that differs.
    assert same == ([reads == "causal"] * 4 + [False] * (len(same) - 4))


@torch.no_grad()
def test_of_what_is_attended_to_the_beginning_alone_is_no_more_than_a_place_holder() -> None:
    """What is the same in every memory is heard where nothing else is, as where guidance leaves out a text."""
    network = network_of(LAYOUTS["delay"], text={"by": "cross-attention"})
    start = network.writing.vocabulary.start("text")
    codes = torch.zeros(NUM_CODEBOOKS, NUM_FRAMES, dtype=torch.int64)
    texts = torch.tensor([[97, 98]]), torch.zeros(1, 0, dtype=torch.int64)
    before = [of(network, codes, text) for text in texts]
    network.embedding.weight[start] += 1
    after = [of(network, codes, text) for text in texts]
    for cell, logits in before[0].items():
        assert torch.equal(logits, after[0][cell])
        assert not torch.equal(before[1][cell], after[1][cell])
        assert not torch.equal(logits, before[1][cell])


@pytest.mark.parametrize(("positions", "factor"), [("sinusoidal", 4.0), ("rotary", 1.0)])
@torch.no_grad()
def test_what_is_read_is_as_long_as_the_sinusoids_that_are_added_to_it(positions: str, factor: float) -> None:
    """The root of 16 features, and nothing where queries and keys are turned."""
    network, found = network_of(LAYOUTS["delay"], changes={"positions": positions}), {}
    network.embedding.register_forward_hook(lambda _module, _given, vectors: found.update(vectors=vectors))
    network.transformer.register_forward_pre_hook(lambda _module, given: found.update(read=given[0]))
    of(network, torch.zeros(NUM_CODEBOOKS, NUM_FRAMES, dtype=torch.int64), torch.tensor([[97, 98, 99]]))
    assert torch.allclose(found["read"], factor * found["vectors"].sum(dim=2))


@torch.no_grad()
def test_a_level_is_predicted_from_those_below_it_and_from_the_prompt() -> None:
    spec = tiny_lm("valle")
    torch.manual_seed(0)
    network = shaken(StageNetwork(spec, "nar"))
    writing, level, prompt = network.writing, 2, 2
    ((name, part),) = writing.stage.outputs.items()
    num_codebooks = writing.vocabulary.num_rows(part)
    codes = torch.randint(10, (num_codebooks, NUM_FRAMES))
    phones = torch.randint(20, (1, 4))

    def last(changed: Tensor) -> Tensor:
        example = Example({"acoustic": changed, "phones": phones}, "tts")
        piece = level_piece(writing, name, part, changed, example, level, prompt)
        inputs = list(writing.inputs(example, writing.form("tts")))
        return network(collate(writing, [writing.sentence("tts", inputs, [piece])]), level=level).values[0, -1]

    before = last(codes)
    for row in range(num_codebooks):
        for frame in range(NUM_FRAMES):
            other = codes.clone()
            other[row, frame] += 1
            may_change = frame < prompt or row < level
            assert torch.equal(before, last(other)) != may_change, (row, frame)
