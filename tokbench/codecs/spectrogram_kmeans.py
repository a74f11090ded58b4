"""Spectrogram k-means: residual vector quantization of log-mel frames, decoded by phase estimation.

The simplest codec that is trained: no network, no adversary, seconds on a CPU. The codebooks are k-means
centroids, each of what the ones before it left over; the decoder adds centroids, inverts the mel filterbank by
its pseudo-inverse and estimates the phase (Griffin and Lim 1984; with momentum, Perraudin et al. 2013).
"""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchaudio import functional as F  # noqa: N812  (torchaudio's own convention)

from tokbench.codecs.base import ResidualCodec, TokenizerInfo
from tokbench.codes import StreamInfo
from tokbench.errors import WeightsError
from tokbench.specs.base import read_toml
from tokbench.specs.spectrogram_kmeans import LogMel, SpectrogramKmeansSpec

__all__ = ["SPEC_FILE", "WEIGHTS_FILE", "LogMelFrames", "ResidualCodebooks", "SpectrogramKmeans"]

SPEC_FILE = "spec.toml"
WEIGHTS_FILE = "weights.safetensors"

_MOMENTUM = 0.99


class LogMelFrames(nn.Module):
    """Natural logarithms of mel magnitudes, frame ``i`` centred on sample ``i * hop_length``; and the way back."""

    window: Tensor
    filters: Tensor
    inverse: Tensor

    def __init__(self, spec: LogMel) -> None:
        super().__init__()
        self.spec = spec
        num_bins = spec.window_length // 2 + 1
        filters = F.melscale_fbanks(num_bins, 0.0, spec.sample_rate_hz / 2, spec.num_mels, spec.sample_rate_hz)
        self.register_buffer("window", torch.hann_window(spec.window_length), persistent=False)
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("inverse", torch.linalg.pinv(filters), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """Return [F, D] of ``samples`` [1, T], with ``F = ceil(T / hop_length)``."""
        num_frames = -(-samples.shape[1] // self.spec.hop_length)
        spectrum = torch.stft(
            samples[0],
            self.spec.window_length,
            self.spec.hop_length,
            window=self.window,
            pad_mode="constant",
            return_complex=True,
        )
        magnitudes = spectrum[:, :num_frames].abs().T @ self.filters
        return magnitudes.clamp_min(self.spec.floor).log()

    def invert(self, frames: Tensor, *, iterations: int) -> Tensor:
        """Return samples [1, F * hop_length] whose log-mel frames are close to ``frames`` [F, D]."""
        hop = self.spec.hop_length
        # The STFT reflects half a window at either end: of silence, and not of what little there may be of audio.
        margin = self.spec.window_length // (2 * hop) + 1
        mel = nn.functional.pad(frames.exp(), (0, 0, margin, margin + 1))
        magnitudes = (mel @ self.inverse).clamp_min(0.0)
        samples: Tensor = F.griffinlim(
            magnitudes.T,
            self.window,
            self.spec.window_length,
            hop,
            self.spec.window_length,
            power=1.0,
            n_iter=iterations,
            momentum=_MOMENTUM,
            length=(len(mel) - 1) * hop,
            rand_init=False,
        )
        return samples[None, margin * hop : (margin + len(frames)) * hop]


class ResidualCodebooks(nn.Module):
    """Centroids [K, V, D], chosen greedily: each codebook takes the nearest to what is left over."""

    centroids: Tensor

    def __init__(self, centroids: Tensor) -> None:
        super().__init__()
        self.register_buffer("centroids", centroids)

    def forward(self, frames: Tensor) -> Tensor:
        """Return int64 [K, F] for ``frames`` [F, D]."""
        residual, codes = frames, []
        for centroids in self.centroids:
            codes.append(torch.cdist(residual, centroids).argmin(dim=1))
            residual = residual - centroids[codes[-1]]
        return torch.stack(codes)

    def decode(self, codes: Tensor, codebooks: slice = slice(None)) -> Tensor:
        """Return [F, D], the sum of the chosen codebooks' centroids for int64 ``codes`` [K, F]."""
        chosen = zip(self.centroids[: len(codes)][codebooks], codes[codebooks], strict=True)
        return torch.stack([centroids[indices] for centroids, indices in chosen]).sum(dim=0)


class SpectrogramKmeans(ResidualCodec):
    """The first ``num_codebooks`` of what ``tokbench train`` wrote into the folder ``weights``.

    Raises :class:`WeightsError` for a file that does not hold the codebooks of the spec beside it.
    """

    def __init__(self, *, num_codebooks: int, weights: Path) -> None:
        spec = read_toml(weights / SPEC_FILE, SpectrogramKmeansSpec)
        centroids = _read_centroids(weights / WEIGHTS_FILE, spec)[:num_codebooks]
        self.frames = LogMelFrames(spec.log_mel)
        self.codebooks = ResidualCodebooks(centroids)
        self._iterations = spec.griffin_lim_iterations
        frame_rate_hz = spec.log_mel.sample_rate_hz / spec.log_mel.hop_length
        self.info = TokenizerInfo(
            sample_rate_hz=spec.log_mel.sample_rate_hz,
            streams=(StreamInfo(num_codebooks, spec.codebook_size, frame_rate_hz),),
            causal=True,
            num_parameters=centroids.numel(),
        )

    def _encode(self, samples: Tensor) -> list[Tensor]:
        return [self.codebooks(self.frames(samples))]

    def _decode_chosen(self, streams: list[Tensor], codebooks: slice) -> Tensor:
        return self.frames.invert(self.codebooks.decode(streams[0], codebooks), iterations=self._iterations)

    def _latents(self, samples: Tensor) -> Tensor:
        latents: Tensor = self.frames(samples)
        return latents

    def _quantized(self, streams: list[Tensor], codebooks: slice) -> Tensor:
        return self.codebooks.decode(streams[0], codebooks)


def _read_centroids(path: Path, spec: SpectrogramKmeansSpec) -> Tensor:
    """Return float32 [K, V, D]; the file holds them as int8 with one step size per codebook."""
    shape = (spec.num_codebooks, spec.codebook_size, spec.log_mel.num_mels)
    expected = f"int8 centroids {list(shape)} with steps [{spec.num_codebooks}]"
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(path, expected=expected, found=str(error)) from error
    found = {name: tuple(tensor.shape) for name, tensor in sorted(tensors.items())}
    if found != {"centroids": shape, "steps": shape[:1]}:
        raise WeightsError(path, expected=expected, found=str(found or "nothing"))
    return tensors["centroids"].to(torch.float32) * tensors["steps"][:, None, None]
