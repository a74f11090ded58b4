"""Judges that know voices: Resemblyzer, whose weights come with its package, ECAPA-TDNN and WavLM.

Axes: ``T`` samples, ``F`` frames, ``D`` features.
"""

import importlib.util
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tokbench.errors import UndefinedMetricError, UsageError, WeightsError
from tokbench.judges.base import SpeakerEncoder
from tokbench.paths import weights_dir

__all__ = ["Ecapa", "Resemblyzer", "WavlmSv"]

_NUM_MELS = 80


class Resemblyzer(SpeakerEncoder):
    """The encoder of Wan et al. 2018 (Generalized end-to-end loss for speaker verification), by Resemble AI.

    Its own pre-processing: quiet recordings are made louder, long pauses are cut out.
    """

    shortest_s = 0.24
    """The window over which it smooths its detection of voice: 8 frames of 30 ms (its hparams.py)."""
    packages: ClassVar[Mapping[str, str]] = {
        "resemblyzer": "resemblyzer",
        "webrtcvad": "webrtcvad",
        "librosa": "librosa",
    }

    def __init__(self, argument: str = "") -> None:
        _refuse("resemblyzer", argument)
        self.name = "resemblyzer"

    @property
    def files(self) -> Sequence[Path]:
        """The weights inside the package."""
        package = importlib.util.find_spec("resemblyzer")
        places = package.submodule_search_locations if package else None
        return (Path(places[0] if places else "") / "pretrained.pt",)

    def _embed(self, samples: np.ndarray) -> np.ndarray:
        from resemblyzer import preprocess_wav  # noqa: PLC0415  (loaded at first use)

        _refuse_silence(self.name, samples)
        voiced = preprocess_wav(samples)
        if len(voiced) == 0:
            raise UndefinedMetricError(f"{self.name} hears no voice in the recording")
        embedding: np.ndarray = self._encoder.embed_utterance(voiced)
        return embedding

    @cached_property
    def _encoder(self) -> Any:
        from resemblyzer import VoiceEncoder  # noqa: PLC0415  (as above)

        return VoiceEncoder("cpu", verbose=False)


class Ecapa(SpeakerEncoder):
    """ECAPA-TDNN (Desplanques et al. 2020, arXiv:2005.07143) of SpeechBrain, trained on VoxCeleb.

    Built from the sizes of its tensors. Features as in its ``hyperparams.yaml``: 80 log mel bands, less their mean
    over the recording.
    """

    shortest_s = 0.04
    """Five frames, of 10 ms from 0 on: one more than the 4 that its widest dilation mirrors at either end."""
    packages: ClassVar[Mapping[str, str]] = {"speechbrain": "speechbrain"}
    origin = "speechbrain/spkrec-ecapa-voxceleb on the Hugging Face hub"

    def __init__(self, argument: str = "") -> None:
        _refuse("ecapa", argument)
        self.name = "ecapa"
        self.folder = weights_dir() / "spkrec-ecapa-voxceleb"

    @property
    def files(self) -> Sequence[Path]:
        """The one file of the network."""
        return (self.folder / "embedding_model.ckpt",)

    def _embed(self, samples: np.ndarray) -> np.ndarray:
        import torch  # noqa: PLC0415  (loaded at first use)

        _refuse_silence(self.name, samples)
        features, normalize, network = self._modules
        with torch.inference_mode():
            frames = features(torch.from_numpy(samples)[None])
            lengths = torch.ones(1)
            embedding: np.ndarray = network(normalize(frames, lengths), lengths)[0, 0].numpy()
        return embedding

    @cached_property
    def _modules(self) -> tuple[Any, Any, Any]:
        import torch  # noqa: PLC0415  (as above)
        from speechbrain.lobes.features import Fbank  # noqa: PLC0415
        from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN  # noqa: PLC0415
        from speechbrain.processing.features import InputNormalization  # noqa: PLC0415

        state = torch.load(self.files[0], map_location="cpu", weights_only=True)
        sizes = {name: tensor.shape for name, tensor in state.items()}
        num_blocks = 1 + max(int(found[1]) for name in sizes if (found := re.match(r"blocks\.(\d+)\.", name)))
        width = sizes["blocks.0.conv.conv.weight"][0]
        last = sizes["mfa.conv.conv.weight"][0]
        network = ECAPA_TDNN(
            _NUM_MELS,
            channels=[*[width] * num_blocks, last],
            kernel_sizes=[5, *[3] * (num_blocks - 1), 1],
            dilations=[*range(1, num_blocks + 1), 1],
            groups=[1] * (num_blocks + 1),
            attention_channels=sizes["asp.tdnn.conv.conv.weight"][0],
            se_channels=sizes["blocks.1.se_block.conv1.conv.weight"][0],
            lin_neurons=sizes["fc.conv.weight"][0],
        )
        network.load_state_dict(state)
        normalize = InputNormalization(norm_type="sentence", std_norm=False)
        return Fbank(n_mels=_NUM_MELS).eval(), normalize.eval(), network.eval()


class WavlmSv(SpeakerEncoder):
    """WavLM with an x-vector head (Chen et al. 2021, arXiv:2110.13900), in the format of transformers."""

    shortest_s = 0.33
    """A deviation needs two frames behind the x-vector's kernels, which take 14 of the encoder's away: 16 of those
    are 5200 samples, rounded up."""
    packages: ClassVar[Mapping[str, str]] = {"transformers": "transformers"}
    origin = "microsoft/wavlm-base-plus-sv on the Hugging Face hub"

    def __init__(self, argument: str = "") -> None:
        _refuse("wavlm-sv", argument)
        self.name = "wavlm-sv"
        self.folder = weights_dir() / "wavlm-base-plus-sv"

    @property
    def files(self) -> Sequence[Path]:
        """Configurations, and the weights in either of both formats, safetensors where it is there."""
        new, old = (self.folder / name for name in ("model.safetensors", "pytorch_model.bin"))
        configurations = (self.folder / name for name in ("config.json", "preprocessor_config.json"))
        return (*configurations, old if old.is_file() and not new.is_file() else new)

    def _embed(self, samples: np.ndarray) -> np.ndarray:
        import torch  # noqa: PLC0415  (loaded at first use)

        _refuse_silence(self.name, samples)
        extractor, network = self._modules
        inputs = extractor(samples, sampling_rate=self.sample_rate_hz, return_tensors="pt")
        with torch.inference_mode():
            embedding: np.ndarray = network(**inputs).embeddings[0].numpy()
        return embedding

    @cached_property
    def _modules(self) -> tuple[Any, Any]:
        from transformers import AutoFeatureExtractor, WavLMForXVector  # noqa: PLC0415  (as above)

        # Without types of their own.
        extractors: Any = AutoFeatureExtractor
        networks: Any = WavLMForXVector
        extractor = extractors.from_pretrained(self.folder, local_files_only=True)
        network, report = networks.from_pretrained(self.folder, local_files_only=True, output_loading_info=True)
        if lost := sorted(report["missing_keys"]):
            # transformers draws them at random: an embedding all the same, of nobody.
            expected = "every tensor of the WavLMForXVector in config.json"
            raise WeightsError(self.files[-1], expected=expected, found=f"none for {lost[0]}")
        return extractor, network.eval()


def _refuse(name: str, argument: str) -> None:
    if argument:
        raise UsageError(f"{name} has one model only, there is no {argument!r}")


def _refuse_silence(name: str, samples: np.ndarray) -> None:
    if not samples.any():
        raise UndefinedMetricError(f"{name} hears no voice in silence")
