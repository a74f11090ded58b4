"""A whistled language: every letter is a pitch, so that minutes of training are not needed to hear it."""

import csv
from pathlib import Path

import numpy as np
import soundfile
import torch

from tokbench.codecs.base import Tokenizer, TokenizerInfo
from tokbench.codes import StreamInfo
from tokbench.specs.ctc import CtcRecipe

__all__ = ["HOP", "PITCH_HZ", "QUICK", "Pitch", "whistled", "write_whistled"]

RATE_HZ, HOP = 16000, 320
PITCH_HZ = {"a": 400.0, "b": 900.0, "c": 1800.0, "d": 3500.0, " ": 0.0}
WORDS = ("abc", "dab", "cad", "bad", "cab", "acd")
QUICK = CtcRecipe(
    width=16, num_layers=1, kernel=3, num_masks=0, dropout=0.0, learning_rates=(3e-2,), max_epochs=20, num_seeds=2
)


def whistled(text: str, seed: int = 0) -> np.ndarray:
    """Return ``text`` as samples float32 [T] at 16 kHz: letters of about 80 ms, softer at both ends, amid noise."""
    generator = np.random.default_rng(seed)
    pieces = []
    for letter in text:
        num_samples = int(RATE_HZ * generator.uniform(0.07, 0.1))
        envelope = np.sin(np.pi * np.arange(num_samples) / num_samples)
        tone = np.sin(2 * np.pi * PITCH_HZ[letter] * np.arange(num_samples) / RATE_HZ)
        pieces.append(0.3 * envelope * tone)
    samples = np.concatenate(pieces)
    return (samples + 0.003 * generator.standard_normal(len(samples))).astype(np.float32)


def write_whistled(folder: Path, *, number: int = 30, speakers: int = 3, aligned: bool = False) -> Path:
    """Write a corpus whose every fourth utterance is of the test, and return its manifest.

    Where it is ``aligned``, its phones are the letters in capitals, and their times those of equal parts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(5)
    with (folder / "manifest.csv").open("w", newline="") as file, (folder / "times.csv").open("w") as times:
        rows = csv.writer(file)
        rows.writerow(["id", "path", "split", "speaker", "language", "text"])
        times.write("id,tier,start_s,end_s,label\n")
        for place in range(number):
            text = " ".join(generator.choice(WORDS, generator.integers(1, 4)))
            samples = whistled(text, seed=place)
            soundfile.write(folder / f"{place}.wav", samples, RATE_HZ, subtype="FLOAT")
            split = "test" if place % 4 == 3 else "train"
            rows.writerow([f"u{place}", f"{place}.wav", split, f"s{place % speakers}", "en", text])
            letters = text.replace(" ", "").upper()
            edges = np.linspace(0, len(samples) / RATE_HZ, len(letters) + 1)
            for letter, start_s, end_s in zip(letters, edges, edges[1:], strict=False):
                times.write(f"u{place},phone,{start_s:.6f},{end_s:.6f},{letter}\n")
    if aligned:
        (folder / "times.csv").rename(folder / "alignments.csv")
    return folder / "manifest.csv"


class Pitch(Tokenizer):
    """Tells by one of two codes which pitch is strongest in 20 ms, and by the other nothing: it is always 0."""

    def __init__(self, *, told_by: int = 0) -> None:
        self._told_by = told_by
        self.info = TokenizerInfo(sample_rate_hz=RATE_HZ, streams=(StreamInfo(2, 5, RATE_HZ / HOP),), name="pitch")

    def _latents(self, samples: torch.Tensor) -> torch.Tensor:
        frames = samples[0, : samples.shape[1] // HOP * HOP].reshape(-1, HOP)
        spectrum = torch.fft.rfft(frames).abs()
        bins = [round(pitch_hz * HOP / RATE_HZ) for pitch_hz in sorted(PITCH_HZ.values()) if pitch_hz]
        strength = torch.stack([spectrum[:, place - 1 : place + 2].sum(dim=1) for place in bins], dim=1)
        return torch.cat([torch.full((len(frames), 1), 3.0), strength], dim=1).log()

    def _encode(self, samples: torch.Tensor) -> list[torch.Tensor]:
        found = self._latents(samples).argmax(dim=1)
        codes = [torch.zeros_like(found)] * 2
        codes[self._told_by] = found
        return [torch.stack(codes)]

    def _quantized(self, streams: list[torch.Tensor], codebooks: slice) -> torch.Tensor:
        chosen = streams[0][codebooks]
        return torch.nn.functional.one_hot(chosen, 5).transpose(0, 1).reshape(chosen.shape[1], -1).float()
