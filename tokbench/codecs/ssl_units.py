"""K-means units of one layer of a speech encoder; see :mod:`tokbench.codecs.ssl_features` for the models."""

import math
from pathlib import Path

from tokbench.codecs.centroids import read_centroids
from tokbench.codecs.kmeans_units import KmeansUnits
from tokbench.codecs.speech_encoders import Layer, load_speech_encoder

__all__ = ["SslUnits"]


class SslUnits(KmeansUnits):
    """The file ``centroids_file`` of the folder ``centroids``, on ``layer`` of the encoder in the folder ``model``.

    ``normalize`` overrides what the model's ``preprocessor_config.json`` says of the waveform, and ``margin`` adds
    zeros at its ends: centroids belong to features that were made in one way. Raises
    :class:`tokbench.errors.WeightsError` for files that do not fit.
    """

    def __init__(
        self,
        *,
        layer: Layer,
        centroids_file: str,
        model: Path,
        centroids: Path,
        deduplicate: bool = False,
        normalize: bool | None = None,
        margin: int = 0,
    ) -> None:
        encoder, sample_rate_hz = load_speech_encoder(model, layer=layer, normalize=normalize, margin=margin)
        self._prepare(
            encoder,
            read_centroids(centroids / centroids_file, num_features=encoder.num_features),
            deduplicate=deduplicate,
            sample_rate_hz=sample_rate_hz,
            latency_s=math.inf,  # every frame attends to the whole utterance
        )
