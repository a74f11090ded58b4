"""Speech from units, melody and voice: the networks of Polyak et al. 2021, arXiv:2104.00355.

The melody is the F0 contour, coded by a VQ-VAE of the shape of Jukebox's (Dhariwal et al. 2020, arXiv:2005.00341);
the units, the codes of the melody and the voice are embedded, put side by side and turned to audio by a HiFi-GAN.
There, voices are a table of the speakers of the training. Here, so that anybody's speech can be coded, they are
statistics of the audio itself, of which each feature is rounded (as in Mentzer et al. 2023, arXiv:2309.15505).

Axes: ``B`` batch, ``T`` samples, ``F`` units, ``P`` codes of the melody, ``K`` codes of the voice, ``D`` features.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu
from torchaudio.functional import melscale_fbanks

from tokbench.models.f0 import track_f0
from tokbench.models.frame_rates import nearest_frames
from tokbench.models.hifigan import HifiGanGenerator
from tokbench.models.quantization.fsq import FiniteScalar
from tokbench.models.quantizers import build_quantizer
from tokbench.specs.quantizers import Fsq
from tokbench.specs.unit_vocoder import Melody, UnitVocoderSpec, Voice

__all__ = ["Contours", "MelodyDecoder", "UnitVocoder", "pitch_contours"]

UNVOICED = -4.0
"""What stands in a contour for a frame without F0: below what any voice does."""
PITCH_UNIT = 0.25
"""Unit of a contour, in parts of the natural logarithm of F0: about what the pitch of a speaker varies by."""
PITCH_REFERENCE = math.log(150.0)
"""Level 0, between the pitches of men and of women, in Hz."""
SHORTEST_S = 0.1
"""To which audio is extended by silence, for the tracker's sake."""


class Contours:
    """F0 of a batch."""

    def __init__(self, frames: Tensor, levels: Tensor) -> None:
        self.frames = frames
        """[B, 1, 16 · P]: deviations from the level of the voiced frames, :data:`UNVOICED` elsewhere."""
        self.levels = levels
        """[B, 1]: mean over the voiced frames of log F0, 0 where there are none."""


def pitch_contours(samples: Tensor, sample_rate_hz: int, melody: Melody) -> Contours:
    """Return the contours of ``samples`` [B, 1, T], tracked on the processor, where ``samples`` lie."""
    period = sample_rate_hz * melody.frame_period_ms / 1000
    block = 2**melody.num_halvings
    num_frames = -(-math.ceil(samples.shape[-1] / period) // block) * block
    frames, levels = [], []
    for signal in samples[:, 0].detach().cpu().float().numpy():
        missing = max(math.ceil(SHORTEST_S * sample_rate_hz) - len(signal), 0)
        f0_hz, _ = track_f0(np.pad(signal, (0, missing)), sample_rate_hz, frame_period_ms=melody.frame_period_ms)
        contour, level = _contour(f0_hz[: math.ceil(len(signal) / period)])
        frames.append(np.pad(contour, (0, num_frames - len(contour)), constant_values=UNVOICED))
        levels.append(level)
    stacked = torch.from_numpy(np.stack(frames)).float()[:, None]
    return Contours(stacked.to(samples.device), torch.tensor(levels, device=samples.device)[:, None])


def _contour(f0_hz: np.ndarray) -> tuple[np.ndarray, float]:
    voiced = f0_hz > 0
    contour = np.full(len(f0_hz), UNVOICED)
    if not voiced.any():
        return contour, 0.0
    logs = np.log(f0_hz[voiced])
    contour[voiced] = (logs - logs.mean()) / PITCH_UNIT
    return contour, float((logs.mean() - PITCH_REFERENCE) / PITCH_UNIT)


class DilatedUnit(nn.Module):
    """A dilated convolution over three steps and one over one, and a way around both: [B, D, T] -> [B, D, T]."""

    def __init__(self, num_channels: int, dilation: int) -> None:
        super().__init__()
        self.dilated = nn.Conv1d(num_channels, num_channels, 3, padding=dilation, dilation=dilation)
        self.plain = nn.Conv1d(num_channels, num_channels, 1)

    def forward(self, values: Tensor) -> Tensor:
        """Return [B, D, T] of [B, D, T]."""
        added: Tensor = self.plain(relu(self.dilated(relu(values))))
        return values + added


class MelodyEncoder(nn.Sequential):
    """Contours [B, 1, 16 · P] -> [B, D, P]."""

    def __init__(self, spec: Melody) -> None:
        layers: list[nn.Module] = []
        for index in range(spec.num_halvings):
            layers.append(nn.Conv1d(spec.num_filters if index else 1, spec.num_filters, 4, stride=2, padding=1))
            layers += [DilatedUnit(spec.num_filters, dilation) for dilation in spec.dilations]
        super().__init__(*layers, nn.Conv1d(spec.num_filters, spec.dimension, 3, padding=1))


class MelodyDecoder(nn.Sequential):
    """[B, D, P] -> contours [B, 1, 16 · P]: what the melody's codes are learnt by, and no part of the vocoder."""

    def __init__(self, spec: Melody) -> None:
        layers: list[nn.Module] = [nn.Conv1d(spec.dimension, spec.num_filters, 3, padding=1)]
        for index in range(spec.num_halvings):
            layers += [DilatedUnit(spec.num_filters, dilation) for dilation in spec.dilations]
            is_last = index == spec.num_halvings - 1
            width = spec.dimension if is_last else spec.num_filters
            layers.append(nn.ConvTranspose1d(spec.num_filters, width, 4, stride=2, padding=1))
        super().__init__(*layers, nn.Conv1d(spec.dimension, 1, 3, padding=1))


class VoiceEncoder(nn.Module):
    """Audio [B, 1, T] and levels of its pitch [B, 1] -> K · L features [B, K · L] that are to be rounded.

    Convolutions over a log-mel spectrogram (25 ms, every 10 ms), then mean and standard deviation over time.
    """

    window: Tensor
    bank: Tensor

    def __init__(self, spec: Voice, sample_rate_hz: int) -> None:
        super().__init__()
        length = round(0.025 * sample_rate_hz)
        self.fft_size, self.hop_length = 2 ** math.ceil(math.log2(length)), round(0.01 * sample_rate_hz)
        bank = melscale_fbanks(self.fft_size // 2 + 1, 0.0, sample_rate_hz / 2, spec.num_mels, sample_rate_hz)
        self.register_buffer("window", torch.hann_window(length), persistent=False)
        self.register_buffer("bank", bank.T.contiguous(), persistent=False)
        self.layers = nn.Sequential(
            nn.Conv1d(spec.num_mels, spec.num_filters, 5, padding=2),
            nn.ReLU(),
            nn.Conv1d(spec.num_filters, spec.num_filters, 3, padding=1),
            nn.ReLU(),
        )
        self.features = nn.Linear(2 * spec.num_filters + 1, spec.num_codebooks * len(spec.levels))

    def forward(self, samples: Tensor, levels: Tensor) -> Tensor:
        """Return [B, K · L]."""
        filled = pad(samples[:, 0], (0, max(self.fft_size - samples.shape[-1], 0)))
        spectrum = torch.stft(
            filled,
            self.fft_size,
            self.hop_length,
            len(self.window),
            window=self.window,
            pad_mode="constant",
            return_complex=True,
        )
        logs = (self.bank @ spectrum.abs().square()).clamp_min(1e-10).log()
        values = self.layers(logs)
        spread = values.var(dim=2, correction=0).add(1e-6).sqrt()
        features: Tensor = self.features(torch.cat([values.mean(dim=2), spread, levels], dim=1))
        return features


class UnitVocoder(nn.Module):
    """The encoders of melody and voice, the embeddings, and the generator."""

    def __init__(self, spec: UnitVocoderSpec) -> None:
        super().__init__()
        if spec.num_units is None:
            msg = "num_units is known when the tokenizer of the units is loaded, and not before"
            raise ValueError(msg)
        self.spec = spec
        levels, num_features = spec.voice.levels, spec.voice.num_codebooks * len(spec.voice.levels)
        self.melody_encoder = MelodyEncoder(spec.melody)
        self.melody_quantizer = build_quantizer(spec.melody.quantizer, spec.melody.dimension)
        self.voice_encoder = VoiceEncoder(spec.voice, spec.sample_rate_hz)
        self.voice_quantizer = FiniteScalar(Fsq(kind="fsq", levels=levels), len(levels))
        self.units = nn.Embedding(spec.num_units, spec.dimension)
        self.melody = nn.Embedding(spec.melody.quantizer.codebook_size, spec.dimension)
        self.voice = nn.Linear(num_features, spec.dimension)
        self.generator = HifiGanGenerator(spec.generator, dimension=3 * spec.dimension, strides=spec.strides)

    def forward(self, units: Tensor, melody: Tensor, voice: Tensor) -> Tensor:
        """Return samples [B, 1, F · hop] of int64 ``units`` [B, F], ``melody`` [B, P] and ``voice`` [B, D]."""
        num_units = units.shape[1]
        places = nearest_frames(num_units, 1 / self.spec.melody_length, 1 / self.spec.unit_length)
        frames = melody[:, places.clamp_max(melody.shape[1] - 1).to(melody.device)]
        voices = voice[:, None].expand(-1, num_units, -1)
        beside = torch.cat([self.units(units), self.melody(frames), voices], dim=2)
        samples: Tensor = self.generator(beside.transpose(1, 2))
        return samples

    def melody_codes(self, contours: Contours) -> Tensor:
        """Return int64 [B, P], in full precision wherever it is called: they are those that are sent."""
        with torch.autocast(contours.frames.device.type, enabled=False):
            return self.melody_quantizer.encode(self.melody_encoder(contours.frames.float()))[:, 0]

    def rounded_voice(self, samples: Tensor, contours: Contours) -> Tensor:
        """Return the embedding [B, D] of the voice in ``samples`` [B, 1, T]; the gradient passes the rounding."""
        return self._voice(self.voice_quantizer(self._voice_features(samples, contours)).latents)

    def voice_codes(self, samples: Tensor, contours: Contours) -> Tensor:
        """Return int64 [B, K] of the voice in ``samples`` [B, 1, T]."""
        return self.voice_quantizer.encode(self._voice_features(samples, contours))[:, 0]

    def decoded_voice(self, codes: Tensor) -> Tensor:
        """Return the embedding [B, D] of the voice with int64 ``codes`` [B, K]."""
        return self._voice(self.voice_quantizer.decode(codes[:, None]))

    def _voice_features(self, samples: Tensor, contours: Contours) -> Tensor:
        """Return [B, L, K]: the codes of a voice are to the quantizer what the frames of a signal are."""
        features: Tensor = self.voice_encoder(samples, contours.levels)
        return features.reshape(len(features), len(self.spec.voice.levels), -1)

    def _voice(self, rounded: Tensor) -> Tensor:
        embedded: Tensor = self.voice(rounded.flatten(1))
        return embedded

    def training_only(self) -> set[str]:
        """Return the names in the state dict that only training needs: they are saved, and not exported."""
        return {f"melody_quantizer.{name}" for name in self.melody_quantizer.training_only()}
