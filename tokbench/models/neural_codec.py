"""A codec as its spec declares it: an encoder, a quantizer, a decoder.

Axes: ``B`` batch, ``T`` samples, ``K`` codebooks, ``F`` frames, ``D`` features.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tokbench.models.film import Film
from tokbench.models.loudness import loudness
from tokbench.models.networks import build_decoder, build_encoder, build_vocoder
from tokbench.models.quantizers import Quantized, build_quantizer
from tokbench.models.semantic import SemanticUnits
from tokbench.models.standardized import Standardized
from tokbench.specs.neural_codec import NeuralCodecSpec

__all__ = ["CodecOutput", "NeuralCodec"]


@dataclass(frozen=True)
class CodecOutput:
    """What comes out of a codec while it trains."""

    samples: Tensor
    """[B, 1, T], what was decoded."""
    latents: Tensor
    """[B, D, F], before quantization."""
    quantized: Quantized | None
    """None where the latents passed as they are."""


class NeuralCodec(nn.Module):
    """The networks of a spec: while they are trained or, if it ``is_finished``, as they are used afterwards."""

    vocoder: Standardized | None
    """What will take the decoder's place; it is the decoder in a finished codec."""

    def __init__(self, spec: NeuralCodecSpec, *, is_finished: bool = False) -> None:
        super().__init__()
        self.spec = spec
        self.decodes_by_vocoder = False
        """Whether it already does."""
        self.is_denoising = False
        """What a codec with that switch does where it is not told."""
        self.encoder = build_encoder(spec)
        self.quantizer = build_quantizer(spec.quantizer, spec.dimension)
        vocoder = build_vocoder(spec, spec.vocoder) if spec.vocoder is not None else None
        self.vocoder = None if is_finished else vocoder
        self.decoder = vocoder if is_finished and vocoder is not None else build_decoder(spec)
        self.film = Film(spec.dimension) if spec.denoising != "none" else None
        self.semantic = SemanticUnits(spec.semantic, spec.dimension) if spec.semantic is not None else None

    def forward(
        self,
        samples: Tensor,
        *,
        is_quantized: bool = True,
        is_denoised: Tensor | None = None,
        units: Tensor | None = None,
    ) -> CodecOutput:
        """Encode and decode ``samples`` [B, 1, T], as many as come back; T is a multiple of the hop.

        Bool ``is_denoised`` [B] says of which the noise is to be left behind, by a codec with that switch; int64
        ``units`` [B, F] are what a codec with semantic units is given.
        """
        latents = self.latents(samples, is_denoised)
        inner = self._without(latents, units)
        quantized = self.quantizer(inner) if is_quantized else None
        outer = self._with(inner if quantized is None else quantized.latents, units)
        decoded = self.samples(outer, is_denoised)
        if self.spec.loudness_normalized:
            decoded = decoded * loudness(samples)
        return CodecOutput(decoded[..., : samples.shape[-1]], latents, quantized)

    def _without(self, latents: Tensor, units: Tensor | None) -> Tensor:
        """Return what is quantized of ``latents`` [B, D, F]."""
        return latents if self.semantic is None else self.semantic.removed(latents, units)

    def _with(self, latents: Tensor, units: Tensor | None) -> Tensor:
        """Return what is decoded of quantized ``latents`` [B, D, F]."""
        return latents if self.semantic is None else self.semantic.combined(latents, units)

    def latents(self, samples: Tensor, is_denoised: Tensor | None = None) -> Tensor:
        """Return what is quantized, [B, D, F] of ``samples`` [B, 1, T]."""
        inputs = samples / loudness(samples) if self.spec.loudness_normalized else samples
        return self._modulated(self.encoder(inputs * self.spec.level), is_denoised, "encoder")

    def samples(self, latents: Tensor, is_denoised: Tensor | None = None) -> Tensor:
        """Return samples [B, 1, F · hop] of quantized ``latents`` [B, D, F].

        Where the loudness is sent, they are still to be multiplied by it.
        """
        decoder = self.vocoder if self.decodes_by_vocoder and self.vocoder is not None else self.decoder
        samples: Tensor = decoder(self._modulated(latents, is_denoised, "decoder"))
        return samples / self.spec.level

    def _modulated(self, latents: Tensor, is_denoised: Tensor | None, side: str) -> Tensor:
        if self.film is None or self.spec.denoising != side:
            return latents
        if is_denoised is None:
            is_denoised = torch.full((len(latents),), self.is_denoising, device=latents.device)
        modulated: Tensor = self.film(latents, is_denoised)
        return modulated

    def encode(
        self,
        samples: Tensor,
        num_codebooks: int | None = None,
        *,
        is_denoised: Tensor | None = None,
        units: Tensor | None = None,
    ) -> Tensor:
        """Return int64 codes [B, K, F] of ``samples`` [B, 1, T], those beside ``units`` [B, F] if there are any."""
        return self.quantizer.encode(self._without(self.latents(samples, is_denoised), units), num_codebooks)

    def decode(
        self,
        codes: Tensor,
        codebooks: slice = slice(None),
        *,
        is_denoised: Tensor | None = None,
        units: Tensor | None = None,
    ) -> Tensor:
        """Return what :meth:`samples` does, of the chosen of int64 ``codes`` [B, K, F] and any ``units`` [B, F]."""
        return self.samples(self._with(self.quantizer.decode(codes, codebooks), units), is_denoised)

    @torch.no_grad()
    def begin_vocoder(self, batches: Iterable[tuple[Tensor, Tensor | None]]) -> None:
        """Measure what the vocoder is to see, of ``batches`` of samples [B, 1, T] with any units [B, F]."""
        if self.vocoder is None:
            return
        was_training = self.training
        self.eval()
        self.vocoder.measure(
            self._with(self.quantizer.decode(self.encode(samples, units=units)), units)
            for samples, units in batches
        )
        self.train(was_training)

    def training_only(self) -> set[str]:
        """Return the names in the state dict that a finished codec does without."""
        unneeded = {f"quantizer.{name}" for name in self.quantizer.training_only()}
        if self.vocoder is not None:
            unneeded |= {f"decoder.{name}" for name in self.decoder.state_dict()}
        return unneeded

    def finished_state(self) -> dict[str, Tensor]:
        """Return the tensors of the finished codec, by their names in it."""
        unneeded = self.training_only()
        return {
            name.replace("vocoder.", "decoder.", 1) if name.startswith("vocoder.") else name: tensor
            for name, tensor in self.state_dict().items()
            if name not in unneeded
        }
