"""Units that ``tokbench train`` made of a speech encoder: a folder with the encoder, its heads and a card."""

import math
from pathlib import Path

from tokbench.codecs.checkpoints import load_strictly, read_tensors
from tokbench.codecs.kmeans_units import KmeansUnits
from tokbench.codecs.speech_encoders import load_speech_encoder
from tokbench.errors import WeightsError
from tokbench.models.spin import CodeHead, ProjectedEncoder

__all__ = ["HEADS_FILE", "SpinUnits"]

HEADS_FILE = "heads.safetensors"


class SpinUnits(KmeansUnits):
    """Codes of one of the codebooks in the folder ``weights``, on ``layer`` of the encoder in it.

    Raises :class:`tokbench.errors.WeightsError` for files that do not fit.
    """

    def __init__(self, *, layer: int, codebook: str, weights: Path, deduplicate: bool = False) -> None:
        encoder, sample_rate_hz = load_speech_encoder(weights, layer=layer)
        file = weights / HEADS_FILE
        prefix = f"{codebook}."
        tensors = {
            name.removeprefix(prefix): tensor.float()
            for name, tensor in read_tensors(file).items()
            if name.startswith(prefix)
        }
        if "codebook" not in tensors:
            raise WeightsError(file, expected=f"a codebook called {codebook!r}", found="none of that name")
        size, dimension = tensors["codebook"].shape
        head = load_strictly(CodeHead(encoder.num_features, size, dimension=dimension), tensors, file)
        head.normalize_()
        self._prepare(
            ProjectedEncoder(encoder, head),
            head.codebook.detach(),
            deduplicate=deduplicate,
            sample_rate_hz=sample_rate_hz,
            latency_s=math.inf,  # every frame attends to the whole utterance
        )
