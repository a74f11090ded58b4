"""How the model learns by which a finished codec's codes are entropy coded (EnCodec, section 3.3)."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from tokbench.codecs.card import read_card
from tokbench.codecs.checkpoints import write_halves
from tokbench.codecs.registry import CARD_FILE
from tokbench.codecs.trained import ENTROPY_FILE, load_network
from tokbench.errors import SpecError
from tokbench.models.code_lm import MAX_OFFSET, build_code_lm, previous_codes
from tokbench.specs.base import file_sha256, write_toml
from tokbench.specs.training import Optimizer
from tokbench.training.crops import Batch
from tokbench.training.learner import Draw, Learner, Origin, Progress, Turn

__all__ = ["EntropyLearner"]

NUM_COUNTED = 40
"""Batches of which codes are counted before the first step."""
IGNORED = -100
"""Stands for a code that nothing is to be learnt from."""


class EntropyLearner(Learner):
    """A model of the codes that the codec in ``folder`` makes, of as many codebooks as each of its settings has.

    The codec is the one that was exported, so that the codes are those that will be coded. Raises
    :class:`SpecError` for a codec without ``[entropy_coding]``.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.codec = load_network(folder).requires_grad_(requires_grad=False)
        spec = self.codec.spec
        if spec.entropy_coding is None:
            raise SpecError(folder, ["entropy_coding: missing"])
        self.spec, self.settings = spec, spec.entropy_coding.training
        self.sample_rate_hz, self.hop_length = spec.sample_rate_hz, spec.hop_length
        self.model = build_code_lm(spec.entropy_coding, self.codec.quantizer, frame_rate_hz=spec.frame_rate_hz)
        self._choices = _choices(spec.settings, self.model.num_codebooks)

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001, FBT002  (the signature that PyTorch gives it)
        """Set the mode of the model; the codec's codebooks must not move."""
        super().train(mode)
        self.codec.eval()
        return self

    def optimizers(self) -> Mapping[str, tuple[Optimizer, list[nn.Parameter]]]:
        """Return that of the model."""
        return {"model": (self.settings.optimizer, list(self.model.parameters()))}

    @torch.no_grad()
    def prepare(self, progress: Progress, draw: Draw) -> None:
        """Count codes before the first step, for the model to begin with their frequencies."""
        if progress.step:
            return
        counts = torch.zeros(self.model.num_codebooks, self.model.codebook_size, dtype=torch.int64)
        for number in range(NUM_COUNTED):
            batch = draw(number)
            codes = self._codes(batch, self.model.num_codebooks)
            heard = self._are_heard(batch, codes.shape[-1])
            chosen = codes.transpose(0, 1)[:, heard].cpu()
            counts.scatter_add_(1, chosen, torch.ones_like(chosen))
        self.model.know_frequencies_(counts.to(next(self.model.parameters()).device))

    def turns(self, batch: Batch, progress: Progress) -> Iterator[Turn]:
        """Yield the model's turn, on the codes of one setting, drawn for all of the batch."""
        del progress
        num_codebooks = self._choices[int(torch.randint(len(self._choices), ()))]
        offset = torch.randint(MAX_OFFSET, (len(batch.inputs),), device=batch.inputs.device)
        codes = self._codes(batch, num_codebooks)
        nats = self._cross_entropy(codes, offset, self._are_heard(batch, codes.shape[-1]))
        yield Turn("model", nats, {"bits_per_code": nats.detach() / torch.log(nats.new_tensor(2.0))})

    @torch.no_grad()
    def validate(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the bits per code of all codebooks, from the first frame on."""
        offset = torch.zeros(len(batch.inputs), dtype=torch.int64, device=batch.inputs.device)
        codes = self._codes(batch, self.model.num_codebooks)
        nats = self._cross_entropy(codes, offset, self._are_heard(batch, codes.shape[-1]))
        return {"bits_per_code": nats / torch.log(nats.new_tensor(2.0))}

    @torch.no_grad()
    def _codes(self, batch: Batch, num_codebooks: int) -> Tensor:
        with torch.autocast(batch.inputs.device.type, enabled=False):  # those that are sent
            return self.codec.encode(batch.inputs, num_codebooks)

    def _are_heard(self, batch: Batch, num_frames: int) -> Tensor:
        """Return bool [B, F]: false for frames of the zeros by which an utterance fills its crop.

        They cost next to nothing to predict, and a corpus of short utterances has more of them than of speech.
        """
        places = torch.arange(1, batch.inputs.shape[-1] + 1, device=batch.inputs.device)
        lengths = (batch.inputs.ne(0) * places).amax(dim=(1, 2))
        return torch.arange(num_frames, device=lengths.device) * self.hop_length < lengths[:, None]

    def _cross_entropy(self, codes: Tensor, offset: Tensor, heard: Tensor) -> Tensor:
        logits: Tensor = self.model(previous_codes(codes), offset=offset)
        targets = codes.masked_fill(~heard[:, None], IGNORED)
        return nn.functional.cross_entropy(logits.flatten(0, 2).float(), targets.flatten(), ignore_index=IGNORED)

    def averaged(self) -> nn.Module:
        """Return the model."""
        return self.model

    def export(self, folder: Path, origin: Origin) -> None:
        """Write the model's tensors in half precision beside the codec's, and name them in its card."""
        del origin
        write_halves(folder / ENTROPY_FILE, self.model.state_dict())
        card = read_card(folder / CARD_FILE).model_dump(mode="json", exclude_none=True)
        card["weights"]["files"][ENTROPY_FILE] = file_sha256(folder / ENTROPY_FILE)
        write_toml(folder / CARD_FILE, card)


def _choices(settings: tuple[int, ...], num_codebooks: int) -> list[int]:
    """Return the numbers of codebooks of the codec's settings: all powers of two, where it lists none, and all."""
    powers = [2**exponent for exponent in range(num_codebooks.bit_length()) if 2**exponent < num_codebooks]
    return list(settings) or [*powers, num_codebooks]
