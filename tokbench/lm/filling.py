"""What is not written from left to right: levels one after another, masked codes by confidence, features at once.

Axes: ``B`` batch, ``K`` codebooks, ``F`` frames, ``V`` symbols.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tokbench.errors import TokbenchError
from tokbench.lm.decoding import droppable
from tokbench.lm.examples import Example
from tokbench.lm.layouts import ABSENT
from tokbench.lm.masks import num_masked
from tokbench.lm.network import StageNetwork
from tokbench.lm.objectives import level_piece
from tokbench.lm.sampling import chosen, guided
from tokbench.lm.sentences import Piece, Sentence, collate
from tokbench.lm.vocabulary import MASKED
from tokbench.specs.lm import Levels, Masked, Sampling

__all__ = ["fill", "regress"]

_TINY = 1e-20


@torch.inference_mode()
def fill(
    network: StageNetwork,
    examples: Sequence[Example],
    codes: Sequence[Tensor],
    *,
    num_begun: Sequence[int],
    sampling: Sampling,
    generators: Sequence[torch.Generator],
    on_share: Callable[[float], None] | None = None,
) -> list[Tensor]:
    """Return ``codes`` int64 [K, F] with what is absent in them filled in.

    The first ``num_begun`` frames of each are complete, and so are the first codebooks that the objective takes as
    given. ``on_share`` hears the share of the codebooks that are. Raises
    :class:`tokbench.lm.sentences.ContextError` for more frames than fit.
    """
    filler = _Filler(network, examples, [each.clone() for each in codes], num_begun, sampling, generators)
    if isinstance(network.objective, Levels | Masked):
        for level in range(network.objective.num_given, len(filler.blocks)):
            filler.fill_level(network.objective, level)
            if on_share is not None:
                on_share((level + 1) / len(filler.blocks))
    return filler.codes


class _Filler:
    def __init__(
        self,
        network: StageNetwork,
        examples: Sequence[Example],
        codes: list[Tensor],
        num_begun: Sequence[int],
        sampling: Sampling,
        generators: Sequence[torch.Generator],
    ) -> None:
        self.network, self.writing = network, network.writing
        self.examples, self.codes, self.num_begun = examples, codes, num_begun
        self.sampling, self.generators = sampling, generators
        ((self.output, self.part),) = self.writing.stage.outputs.items()
        self.blocks = self.writing.vocabulary.blocks(self.part)

    def fill_level(self, objective: Levels | Masked, level: int) -> None:
        """Fill in a codebook, those before which are known."""
        if isinstance(objective, Masked):
            self._fill_masked(objective, level)
            return
        pieces = [
            level_piece(self.writing, self.output, self.part, codes, example, level, begun)
            for codes, example, begun in zip(self.codes, self.examples, self.num_begun, strict=True)
        ]
        wanted = [self._after(codes, begun) for codes, begun in zip(self.codes, self.num_begun, strict=True)]
        for index, logits in enumerate(self._logits(pieces, wanted, level)):
            found = chosen(logits, self.sampling, level, [self.generators[index]] * len(logits))
            self.codes[index][level, wanted[index]] = found

    @staticmethod
    def _after(codes: Tensor, begun: int) -> Tensor:
        return torch.arange(codes.shape[1]) >= begun

    def _fill_masked(self, objective: Masked, level: int) -> None:
        """Do it in as many passes as there are iterations for it."""
        iterations = self.sampling.iterations
        for codes, begun in zip(self.codes, self.num_begun, strict=True):
            codes[level:, begun:] = MASKED
        num_iterations = iterations[min(level - objective.num_given, len(iterations) - 1)]
        for iteration in range(1, num_iterations + 1):
            if any(bool((codes[level] == MASKED).any()) for codes in self.codes):
                self._decide(level, iteration, num_iterations)

    def _decide(self, level: int, iteration: int, num_iterations: int) -> None:
        """Draw all codes of ``level`` that are masked, and keep the surest ones."""
        masked = [codes[level] == MASKED for codes in self.codes]
        pieces = [
            self.writing.frames_piece(self.output, self.part, codes, torch.full_like(codes, ABSENT), example)
            for codes, example in zip(self.codes, self.examples, strict=True)
        ]
        for index, logits in enumerate(self._logits(pieces, masked, level)):
            if not len(logits):  # of a short one all is decided before the last pass
                continue
            generator = self.generators[index]
            found = chosen(logits, self.sampling, level, [generator] * len(logits))
            sureness = logits.log_softmax(dim=1).gather(1, found[:, None])[:, 0]
            heat = self.sampling.choice_temperature * (1 - iteration / num_iterations)
            if heat:
                uniform = torch.rand(len(sureness), generator=generator).clamp_min(_TINY)
                sureness = sureness - heat * (-uniform.log()).clamp_min(_TINY).log()
            left = num_masked(iteration, num_iterations, self.codes[index].shape[1] - self.num_begun[index])
            kept = sureness.argsort(descending=True, stable=True)[: max(len(found) - left, 0)]
            places = masked[index].nonzero()[:, 0][kept]
            self.codes[index][level, places] = found[kept]

    def _logits(self, pieces: Sequence[Piece], frames: Sequence[Tensor], level: int) -> list[Tensor]:
        """Return [N, V] for each example, of the codes of ``level`` in the frames that bool [F] chooses."""
        batch = [self._sentence(piece, example) for piece, example in zip(pieces, self.examples, strict=True)]
        logits = self._asked(batch, frames, level)
        if self.sampling.guidance != 1:
            nulls = [
                self._sentence(piece, example, is_null=True)
                for piece, example in zip(pieces, self.examples, strict=True)
            ]
            without = self._asked(nulls, frames, level)
            pairs = zip(logits, without, strict=True)
            logits = [guided(with_inputs, null, self.sampling.guidance) for with_inputs, null in pairs]
        return logits

    def _sentence(self, piece: Piece, example: Example, *, is_null: bool = False) -> Sentence:
        return _around(self.network, piece, example, is_null=is_null)

    def _asked(self, sentences: Sequence[Sentence], frames: Sequence[Tensor], level: int) -> list[Tensor]:
        device = self.network.embedding.weight.device
        batch = collate(self.writing, sentences).to(device)
        is_leveled = isinstance(self.network.objective, Levels)
        hidden = self.network(batch, level=level if is_leveled else 0)
        found = []
        for index, (sentence, wanted) in enumerate(zip(sentences, frames, strict=True)):
            first = self.writing.split(sentence)[0].num_steps - len(wanted)
            steps = hidden.values[index, first : first + len(wanted)][wanted.to(device)]
            found.append(
                self.network.logits(steps, self.blocks[level])[:, -self.blocks[level].size :].float().cpu()
            )
        return found


def _around(network: StageNetwork, piece: Piece, example: Example, *, is_null: bool = False) -> Sentence:
    """Return the sentence of ``example`` with its output."""
    writing, name = network.writing, network.writing.form_name(example)
    empty = droppable(writing, name) if is_null else ()
    return writing.sentence(name, list(writing.inputs(example, writing.form(name), empty)), [piece])


@torch.inference_mode()
def regress(network: StageNetwork, examples: Sequence[Example], num_frames: Sequence[int]) -> list[Tensor]:
    """Return the features float32 [F, D] that are predicted of each example."""
    writing = network.writing
    ((output, part),) = writing.stage.outputs.items()
    dimension = network.feature_dimension(part.stream)
    found = []
    for example, num in zip(examples, num_frames, strict=True):
        piece = writing.wanted_piece(output, part, example, torch.zeros(num, dimension))
        batch = collate(writing, [_around(network, piece, example)]).to(network.embedding.weight.device)
        if batch.wanted_steps is None:
            raise TokbenchError("there are no frames to predict")
        values = network(batch).values.flatten(0, 1)[batch.wanted_steps]
        found.append(network.predictors[output](values).float().cpu())
    return found
