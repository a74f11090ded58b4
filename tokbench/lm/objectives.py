"""What a stage learns from examples: sentences with their targets, and the mean loss over them.

Axes: ``K`` codebooks, ``F`` frames, ``D`` features.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tokbench.lm.examples import Example, frame_rate_hz
from tokbench.lm.layouts import ABSENT
from tokbench.lm.masks import draw_hidings
from tokbench.lm.network import StageNetwork
from tokbench.lm.sentences import Piece, Sentence, Sentences, Writing, collate
from tokbench.lm.vocabulary import MASKED, Block
from tokbench.specs.lm import Form, Levels, Masked, Next, Part, Regression

__all__ = ["Costs", "Losses", "costs", "level_piece", "losses", "teacher_forced"]


_LEARNT = "an example to learn from"


@dataclass(frozen=True)
class Costs:
    """What the symbols of a codebook cost."""

    block: Block
    nats: Tensor
    """[N], minus the log probability of each."""
    rows: Tensor
    """int64 [N], the sentence of each in its batch."""
    steps: Tensor
    """int64 [N], the step of each in its sentence."""
    part: str = ""
    """The output that they are of, where that is known: several may have their symbols from one codebook."""


def costs(network: StageNetwork, sentences: Sentences, *, level: int = 0) -> Iterator[Costs]:
    """Yield the costs of all targets, codebook by codebook; what is no target costs nothing."""
    hidden = network(sentences, level=level)
    for block, is_of_block, features in hidden.features_of(network.blocks, sentences.targets):
        nats = network.nats(features, sentences.targets[is_of_block], block)
        places = is_of_block.nonzero()
        yield Costs(block, nats, places[:, 0], places[:, 1])


@dataclass(frozen=True)
class Losses:
    """What a batch costs."""

    total: Tensor
    """Scalar: the mean of the losses by their weights. A batch without any target costs 0."""
    shown: Mapping[str, Tensor]
    """What a curve shows, by name."""
    num_predicted: int
    """Symbols, or features of frames, of which it is the mean."""


def losses(network: StageNetwork, examples: Sequence[Example]) -> Losses:
    """Return what ``examples`` cost ``network``: codes nats, features errors.

    Of levels and of masked codebooks those that a step is about, or, out of training mode, all of them; of levels
    nothing is shown then before, as nothing is where they are generated. Raises
    :class:`tokbench.lm.sentences.ContextError` for what is longer than the context.
    """
    writing, objective = network.writing, network.objective
    if isinstance(objective, Regression):
        regressed = [_regressed(writing, example, is_dropping=network.training) for example in examples]
        return _errors(network, _together(network, regressed, _LEARNT), objective)
    if isinstance(objective, Levels):
        levels = _drawn_levels(network, objective) if network.training else _levels(network, objective)
        found = [each for level in levels for each in _level_costs(network, examples, objective, level)]
    else:
        passes = [_written(network, example) for example in examples]
        found = [each for written in zip(*passes, strict=True) for each in _costs_of(network, written)]
    num = sum(len(each.nats) for each in found)
    if not num:
        return Losses(network.embedding.weight.sum() * 0, {}, 0)
    total = torch.stack([each.block.weight * each.nats.sum() for each in found]).sum() / num
    nats = torch.cat([each.nats.detach() for each in found]).mean()
    return Losses(total, {"bits_per_code": nats / math.log(2)}, num)


def teacher_forced(network: StageNetwork, examples: Sequence[Example]) -> list[list[Costs]]:
    """Return, for each network pass that the likelihood of ``examples`` needs, the costs of their codes.

    Raises :class:`tokbench.lm.sentences.ContextError` for what is longer than the context: cut, it would seem
    likelier than it is. Of a masked objective and of features there is no likelihood: see
    :meth:`tokbench.lm.language_model.LanguageModel.score`.
    """
    writing, objective = network.writing, network.objective
    if isinstance(objective, Levels):
        prompts = [0] * len(examples)
        levels = _levels(network, objective)
        passes = {level: _level_sentences(network, examples, level, prompts=prompts) for level in levels}
    else:
        passes = {0: [_next(writing, example, is_dropping=False) for example in examples]}
    found = []
    for level, sentences in passes.items():
        together = _together(network, sentences, "what is to be scored")
        owners = [_owners(writing, sentence) for sentence in sentences]
        found.append([part for each in costs(network, together, level=level) for part in _by_part(each, owners)])
    return found


def _owners(writing: Writing, sentence: Sentence) -> list[str]:
    """Return the part that each step is of, the first of none."""
    own, _ = writing.split(sentence)
    return ["", *(piece.part for piece in own.pieces for _ in range(piece.symbols.shape[1]))]


def _by_part(costs_of_block: Costs, owners: Sequence[Sequence[str]]) -> Iterator[Costs]:
    places = zip(costs_of_block.rows.tolist(), costs_of_block.steps.tolist(), strict=True)
    parts = [owners[row][step] for row, step in places]
    for part in dict.fromkeys(parts):
        chosen = torch.tensor([each == part for each in parts], device=costs_of_block.nats.device)
        nats, rows, steps = (
            each[chosen] for each in (costs_of_block.nats, costs_of_block.rows, costs_of_block.steps)
        )
        yield Costs(costs_of_block.block, nats, rows, steps, part)


def _together(network: StageNetwork, sentences: Sequence[Sentence], what: str) -> Sentences:
    return collate(network.writing, sentences, what=what).to(network.embedding.weight.device)


def _written(network: StageNetwork, example: Example) -> list[Sentence]:
    """Return what is learnt of ``example``, or, out of training mode, judged: one sentence or several."""
    writing, is_training = network.writing, network.training
    if isinstance(network.objective, Next):
        return [_next(writing, example, is_dropping=is_training)]
    if is_training:
        return [_masked(writing, example, is_dropping=True)]
    (part,) = writing.stage.outputs.values()
    codebooks = range(_num_given(writing), writing.vocabulary.num_rows(part))
    return [_masked(writing, example, is_dropping=False, codebook=codebook) for codebook in codebooks]


def _costs_of(network: StageNetwork, sentences: Sequence[Sentence]) -> Iterator[Costs]:
    return costs(network, _together(network, sentences, _LEARNT))


def _inputs(writing: Writing, example: Example, *, is_dropping: bool) -> tuple[str, Form, list[Piece]]:
    """Return the form of ``example`` and its inputs, some of them left empty by chance."""
    name = writing.form_name(example)
    form = writing.form(name)
    dropped = _drawn_inputs(writing, form) if is_dropping else []
    return name, form, list(writing.inputs(example, form, dropped))


def _drawn_inputs(writing: Writing, form: Form) -> list[str]:
    """Return the inputs of ``form`` that are left empty: by one draw for all, as guidance does without all at once.

    Drawn one by one, those of one content would hardly ever be empty together (AudioGen's text goes in twice). In
    audiocraft, one draw even is for a whole batch (``ClassifierFreeGuidanceDropout``, commit 896ec7c).
    """
    chances = {each: writing.stage.part(each).dropped for each in form.inputs}
    if not any(chances.values()):
        return []
    number = float(torch.rand(()))
    return [each for each, chance in chances.items() if number < chance]


def _next(writing: Writing, example: Example, *, is_dropping: bool) -> Sentence:
    name, form, inputs = _inputs(writing, example, is_dropping=is_dropping)
    outputs = []
    for index, output in enumerate(form.outputs):
        part = writing.stage.part(output)
        # What others follow has ended, even in a piece of something longer.
        is_ended = example.is_ended or index < len(form.outputs) - 1
        outputs.append(writing.next_piece(output, part, writing.codes(part, example), example, is_ended=is_ended))
    return writing.sentence(name, inputs, outputs)


def _output(writing: Writing, form: Form, example: Example) -> tuple[str, Part, Tensor]:
    (output,) = form.outputs
    part = writing.stage.part(output)
    return output, part, writing.codes(part, example)


def _num_given(writing: Writing) -> int:
    objective = writing.stage.objective
    return objective.num_given if isinstance(objective, Masked) else 0


def _masked(writing: Writing, example: Example, *, is_dropping: bool, codebook: int | None = None) -> Sentence:
    name, form, inputs = _inputs(writing, example, is_dropping=is_dropping)
    output, part, codes = _output(writing, form, example)
    hidings = draw_hidings(*codes.shape, num_given=_num_given(writing), codebook=codebook)
    shown = codes.masked_fill(hidings.are_hidden, MASKED)
    wanted = codes.masked_fill(~hidings.are_wanted, ABSENT)
    return writing.sentence(name, inputs, [writing.frames_piece(output, part, shown, wanted, example)])


def _levels(network: StageNetwork, objective: Levels) -> Sequence[int]:
    """Return the codebooks that are predicted."""
    return range(objective.num_given, network.num_levels)


def _drawn_levels(network: StageNetwork, objective: Levels) -> Sequence[int]:
    """Return the codebooks that a step is about."""
    num_levels, first = network.num_levels, objective.num_given
    if not objective.always_first or num_levels == first + 1:
        return [first + int(torch.randint(num_levels - first, ()))]
    return [first, first + 1 + int(torch.randint(num_levels - first - 1, ()))]


def _level_costs(
    network: StageNetwork, examples: Sequence[Example], objective: Levels, level: int
) -> Iterator[Costs]:
    writing = network.writing
    prompts = [_drawn_prompt(writing, example, objective) if network.training else 0 for example in examples]
    sentences = _level_sentences(network, examples, level, prompts=prompts)
    return costs(network, _together(network, sentences, _LEARNT), level=level)


def _drawn_prompt(writing: Writing, example: Example, objective: Levels) -> int:
    """Return the frames of a beginning that is shown whole, at most half of all."""
    _, part, codes = _output(writing, writing.form(writing.form_name(example)), example)
    rate_hz = frame_rate_hz(writing.spec.stream(part.stream)) or 0.0
    return int(torch.randint(min(int(objective.prompt_s * rate_hz), codes.shape[1] // 2) + 1, ()))


def _level_sentences(
    network: StageNetwork, examples: Sequence[Example], level: int, *, prompts: Sequence[int]
) -> list[Sentence]:
    writing, sentences = network.writing, []
    for example, prompt in zip(examples, prompts, strict=True):
        name, form, inputs = _inputs(writing, example, is_dropping=network.training)
        output, part, codes = _output(writing, form, example)
        sentences.append(
            writing.sentence(name, inputs, [level_piece(writing, output, part, codes, example, level, prompt)])
        )
    return sentences


def level_piece(
    writing: Writing, output: str, part: Part, codes: Tensor, example: Example, level: int, prompt: int
) -> Piece:
    """Return ``codes`` without those from ``level`` on after ``prompt`` frames, where those of it are wanted."""
    shown, wanted = codes.clone(), torch.full_like(codes, ABSENT)
    shown[level:, prompt:] = ABSENT
    wanted[level, prompt:] = codes[level, prompt:]
    return writing.frames_piece(output, part, shown, wanted, example)


def _regressed(writing: Writing, example: Example, *, is_dropping: bool) -> Sentence:
    name, form, inputs = _inputs(writing, example, is_dropping=is_dropping)
    output, part, values = _output(writing, form, example)
    return writing.sentence(name, inputs, [writing.wanted_piece(output, part, example, values)])


def _errors(network: StageNetwork, sentences: Sentences, objective: Regression) -> Losses:
    """Return the mean errors over frames and features: LauraGPT (arXiv:2310.04673, section 3.3)."""
    (predictor,) = network.predictors.values()
    if sentences.wanted is None or sentences.wanted_steps is None:
        return Losses(network.embedding.weight.sum() * 0, {}, 0)
    hidden = network(sentences).values.flatten(0, 1)[sentences.wanted_steps]
    differences = (predictor(hidden) - sentences.wanted).float()
    l1, l2 = differences.abs().mean(), differences.square().mean()
    shown = {"l1": l1.detach(), "l2": l2.detach()}
    return Losses(objective.l1 * l1 + objective.l2 * l2, shown, len(differences))
