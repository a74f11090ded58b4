"""EnCodec (Défossez et al. 2022, arXiv:2210.13438), as transformers implements it: a SEANet with residual VQ."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import EncodecModel
from transformers.utils import logging as transformers_logging

from tokbench.codecs.base import Codec, TokenizerInfo
from tokbench.codes import StreamInfo
from tokbench.errors import WeightsError

__all__ = ["Encodec"]

# What a load reports is checked below; bars and tables of its own would cross those of the command line.
transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]


class Encodec(Codec):
    """A model without chunks and without loudness normalization, such as the published one for 24 kHz.

    ``weights`` is a folder with ``config.json`` and ``model.safetensors``. Raises :class:`WeightsError` for files
    that are no such model.
    """

    def __init__(self, *, num_codebooks: int, weights: Path) -> None:
        self.model = _load(weights)
        config = self.model.config
        if num_codebooks > config.num_quantizers:
            expected = f"{num_codebooks} codebooks (num_quantizers)"
            raise WeightsError(weights / "config.json", expected=expected, found=f"{config.num_quantizers}")
        self._num_codebooks = num_codebooks
        frame_rate_hz = config.sampling_rate / config.hop_length
        self.info = TokenizerInfo(
            sample_rate_hz=config.sampling_rate,
            num_channels=config.audio_channels,
            streams=(StreamInfo(num_codebooks, config.codebook_size, frame_rate_hz),),
            causal=config.use_causal_conv,
            num_parameters=sum(parameter.numel() for parameter in self.model.parameters()),
        )

    def _encode(self, samples: Tensor) -> list[Tensor]:
        residual = self.model.encoder(samples[None])
        codes = []
        for layer in self.model.quantizer.layers[: self._num_codebooks]:
            codes.append(layer.encode(residual))
            residual = residual - layer.decode(codes[-1])
        return [torch.cat(codes)]

    def _decode(self, streams: list[Tensor]) -> Tensor:
        embeddings = self._quantized(streams, slice(None))
        audio: Tensor = self.model.decoder(embeddings.T[None])[0]
        return audio

    def _latents(self, samples: Tensor) -> Tensor:
        latents: Tensor = self.model.encoder(samples[None])[0].T
        return latents

    def _quantized(self, streams: list[Tensor], codebooks: slice) -> Tensor:
        layers = self.model.quantizer.layers[: self._num_codebooks]
        chosen = zip(layers[codebooks], streams[0][codebooks], strict=True)
        embedded = [layer.decode(indices[None])[0].T for layer, indices in chosen]
        return torch.stack(embedded).sum(dim=0)


def _load(folder: Path) -> Any:
    file = folder / "model.safetensors"
    expected = "the tensors of the EncodecModel that config.json beside it describes"
    try:
        loaded: Any = EncodecModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise WeightsError(file, expected=expected, found=str(error).splitlines()[0]) from error
    model, report = loaded
    # Tensors that are missing would be drawn at random.
    if missing := sorted(report["missing_keys"]):
        raise WeightsError(file, expected=expected, found=f"none for {', '.join(missing[:3])}")
    if model.config.chunk_length_s is not None or model.config.normalize:
        raise WeightsError(
            folder / "config.json", expected="chunk_length_s null and normalize false", found="a chunked model"
        )
    return model.eval()
