"""A contrast between codes in a middle layer, and their prediction in the last: w2v-BERT.

Chung et al. 2021 (arXiv:2108.06209, section 3), with the quantizer and the contrast of wav2vec 2.0 (Baevski et al.
2020, arXiv:2006.11477, sections 2 and 3.2): a frame chooses a code of each codebook by Gumbel noise, its hidden
context must tell that code from those of other masked frames, and the layers above must name it.

Axes: ``B`` batch, ``F`` frames, ``N`` masked frames, ``D`` features, ``G`` groups, ``V`` codebook size.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, gumbel_softmax, normalize

from tokbench.models.speech_encoder import Encoded
from tokbench.specs.speech_encoder import Contrastive, SpeechEncoderSpec
from tokbench.training.learner import Progress
from tokbench.training.masked_units import EncoderObjective, Guesses

__all__ = ["Chosen", "ContrastiveObjective", "GumbelQuantizer", "contrast", "distractors"]


@dataclass(frozen=True)
class Chosen:
    """Codes of frames."""

    vectors: Tensor
    """[N, D], through which gradients pass to the choice."""
    codes: Tensor
    """int64 [N, G], the likeliest codes, without the noise of the choice."""
    unused: Tensor
    """How far the mean probabilities of codes are from equal, 0 .. 1."""


class GumbelQuantizer(nn.Module):
    """A code of each of ``num_groups`` codebooks, drawn by its probability while it trains, else the likeliest."""

    def __init__(self, num_features: int, *, num_groups: int, codebook_size: int, dimension: int) -> None:
        super().__init__()
        self.scores = nn.Linear(num_features, num_groups * codebook_size)
        self.codebooks = nn.Parameter(torch.empty(num_groups, codebook_size, dimension // num_groups).uniform_())
        nn.init.normal_(self.scores.weight)
        nn.init.zeros_(self.scores.bias)

    def forward(self, frames: Tensor, temperature: float) -> Chosen:
        """Choose codes of ``frames`` [N, D]."""
        scores = self.scores(frames).unflatten(1, self.codebooks.shape[:2]).float()
        codes = scores.argmax(dim=2)
        if self.training:
            choice = gumbel_softmax(scores, tau=temperature, hard=True, dim=2)
        else:
            choice = nn.functional.one_hot(codes, scores.shape[2]).to(scores.dtype)
        vectors = torch.einsum("ngv,gvd->ngd", choice, self.codebooks.float()).flatten(1)
        mean = scores.softmax(dim=2).mean(dim=0)
        perplexity = torch.exp(-torch.xlogy(mean, mean).sum(dim=1))
        return Chosen(vectors, codes, 1 - perplexity.mean() / scores.shape[2])


class ContrastiveObjective(EncoderObjective):
    """Both losses over masked frames, and the one that keeps codes in use."""

    def __init__(self, spec: SpeechEncoderSpec, objective: Contrastive) -> None:
        super().__init__()
        self.objective, self.layer = objective, objective.layer
        self.quantizer = GumbelQuantizer(
            spec.network.num_local,
            num_groups=objective.num_groups,
            codebook_size=objective.codebook_size,
            dimension=objective.code_dimension,
        )
        self.of_context = nn.Linear(spec.network.width, objective.comparison_dimension)
        self.of_codes = nn.Linear(objective.code_dimension, objective.comparison_dimension)
        self.prediction = nn.Linear(spec.network.width, objective.num_groups * objective.codebook_size)
        self.guesses = Guesses(objective.codebook_size, name="masked_accuracy")

    def losses(
        self, samples: Tensor, encoded: Encoded, *, mask: Tensor, is_audible: Tensor, progress: Progress
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Return L_c + gamma · L_m, where L_c counts the unused codes too (sections 3.3 and 3.4).

        ``mask`` is bool [B, F], true where frames are hidden; the loss is a scalar, beside what is told of it.
        """
        del samples, is_audible
        objective = self.objective
        middle = encoded.last if encoded.middle is None else encoded.middle
        chosen = self.quantizer(encoded.normalized[mask], self._gumbel_temperature(progress))
        others = distractors(mask.sum(dim=1), objective.num_distractors)
        compared = self.of_codes(chosen.vectors)
        is_same = (chosen.codes[others] == chosen.codes[:, None]).all(dim=2)
        scores = contrast(self.of_context(middle[mask]), compared, others, is_same) / objective.temperature
        guesses = self.prediction(encoded.last[mask]).unflatten(1, (objective.num_groups, -1)).float()
        losses = {
            "contrast": cross_entropy(scores.float(), scores.new_zeros(len(scores), dtype=torch.int64)),
            "unused_codes": chosen.unused,
            "prediction": cross_entropy(guesses.flatten(0, 1), chosen.codes.flatten()),
        }
        if self.training:
            self.guesses.add(guesses[:, 0], chosen.codes[:, 0])
        total = (
            losses["contrast"]
            + objective.diversity * losses["unused_codes"]
            + objective.prediction * losses["prediction"]
        )
        return total, losses

    def _gumbel_temperature(self, progress: Progress) -> float:
        first, last = self.objective.first_gumbel_temperature, self.objective.last_gumbel_temperature
        return float(first * (last / first) ** progress.share)

    def health(self) -> Mapping[str, float]:
        """Return the share of masked frames whose first code is guessed, and that of codes which never are."""
        return self.guesses.take(self.objective.codebook_size)


def distractors(counts: Tensor, num: int) -> Tensor:
    """Return int64 [N, ``num``]: for each masked frame, others of the same example, drawn with replacement.

    ``counts`` int64 [B] says how many there are of each example, one after the other; the only one of an example
    gets itself.
    """
    first = (counts.cumsum(dim=0) - counts).repeat_interleave(counts)
    total = counts.repeat_interleave(counts)
    own = torch.arange(len(first), device=counts.device) - first
    drawn = (torch.rand(len(first), num, device=counts.device) * (total - 1)[:, None]).floor().long()
    drawn = (drawn + (drawn >= own[:, None])).clamp_max((total - 1)[:, None])
    return first[:, None] + drawn


def contrast(context: Tensor, codes: Tensor, others: Tensor, is_same: Tensor) -> Tensor:
    """Return [N, 1 + M]: the cosine of ``context`` [N, D] with its own of ``codes`` [N, D], and with M ``others``.

    Others that ``is_same``, bool [N, M], says to be the same code are left out, at minus infinity.
    """
    # All pairs at once are one product of matrices, and N numbers a frame where gathered codes would be M · D.
    # Cosines are divided by small numbers, for which bfloat16 is too coarse.
    with torch.autocast(context.device.type, enabled=False):
        cosines = normalize(context.float(), dim=1) @ normalize(codes.float(), dim=1).T
    wrong = cosines.gather(1, others).masked_fill(is_same, -torch.inf)
    return torch.cat([cosines.diagonal()[:, None], wrong], dim=1)
