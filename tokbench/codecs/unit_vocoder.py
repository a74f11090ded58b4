"""Units and a unit vocoder: speech to discrete units and back, in the vocoder's own voice.

The resynthesis of GSLM and of textless speech-to-speech translation (Lakhotia et al. 2021, arXiv:2102.01192; Lee et
al. 2022, arXiv:2107.05604). Who spoke, and with what melody, is in no unit: what comes back says the same words.
Units keep their durations; the duration predictors that come with some vocoders are for units without.
"""

import dataclasses
import json
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from tokbench.codecs.base import Codec
from tokbench.codecs.checkpoints import first_line, fold_weight_norms, load_strictly, read_tensors
from tokbench.codecs.ssl_units import SslUnits
from tokbench.errors import WeightsError
from tokbench.models.unit_hifigan import UnitHifiGan, UnitHifiGanConfig
from tokbench.specs.base import problems

__all__ = ["SslResynthesis", "load_vocoder"]

_DURATIONS = "dur_predictor."
_NUM_SPEAKERS, _NUM_STYLES = 200, 100
"""Rows of the embeddings where ``config.json`` does not say, in textlesslib and in speech-resynthesis."""


class SslResynthesis(SslUnits, Codec):
    """Units of a speech encoder, as :class:`SslUnits` makes them, and the vocoder in the folder ``vocoder``.

    ``speaker`` and ``style`` are indices, for a vocoder that was trained on several. Raises :class:`WeightsError`
    for files that do not fit.
    """

    def __init__(  # noqa: PLR0913  (each is a key of the card)
        self,
        *,
        layer: int,
        centroids_file: str,
        vocoder_file: str,
        config_file: str,
        model: Path,
        centroids: Path,
        vocoder: Path,
        normalize: bool | None = None,
        speaker: int = 0,
        style: int = 0,
    ) -> None:
        super().__init__(
            layer=layer, centroids_file=centroids_file, model=model, centroids=centroids, normalize=normalize
        )
        config = vocoder / config_file
        self.vocoder = load_vocoder(vocoder / vocoder_file, config)
        self._voice = {"speaker": speaker, "style": style}
        num_units = self.info.streams[0].codebook_size
        found = (self.vocoder.dict.num_embeddings, self.vocoder.hop_length)
        if found != (num_units, self.encoder.hop_length):
            expected = f"{num_units} units of {self.encoder.hop_length} samples"
            raise WeightsError(config, expected=expected, found=f"{found[0]} units of {found[1]}")
        extra = sum(parameter.numel() for parameter in self.vocoder.parameters())
        self.info = dataclasses.replace(self.info, num_parameters=self.info.num_parameters + extra)

    def _decode(self, streams: list[Tensor]) -> Tensor:
        samples: Tensor = self.vocoder(streams[0][0], **self._voice)
        return samples


def load_vocoder(path: Path, config_path: Path) -> UnitHifiGan:
    """Return the generator in the checkpoint ``path``, of the shape that ``config_path`` describes."""
    network = _network(config_path)
    tensors = fold_weight_norms(read_tensors(path, "generator"))
    rename = network.config.own_name
    own = {rename(name): tensor for name, tensor in tensors.items() if not name.startswith(_DURATIONS)}
    loaded: UnitHifiGan = load_strictly(network, own, path)
    return loaded


def _network(path: Path) -> UnitHifiGan:
    expected = "the configuration of a HiFi-GAN over units, without F0 and with resblock 1"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values.get("f0") or str(values.get("resblock")) != "1":
            found = f"f0 {values.get('f0')!r}, resblock {values.get('resblock')!r}"
            raise WeightsError(path, expected=expected, found=found)
        speakers = values.get("num_speakers", _NUM_SPEAKERS) if values.get("multispkr") else 0
        styles = values.get("num_styles", _NUM_STYLES) if values.get("multistyle") else 0
        counted = {**values, "num_speakers": speakers, "num_styles": styles}
        return UnitHifiGan(TypeAdapter(UnitHifiGanConfig).validate_python(counted))
    except ValidationError as error:
        raise WeightsError(path, expected=expected, found="; ".join(problems(error))) from error
    except (OSError, ValueError, AttributeError, RuntimeError) as error:
        raise WeightsError(path, expected=expected, found=first_line(error)) from error
