"""A codec of one line and a language model of its codes, both made in a moment."""

from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from tokbench.corpora.registry import open_corpus
from tokbench.lm.items import CorpusMaterial
from tokbench.training.lm import train_lm
from tokbench.training.train import Options

CODEC = '''
import torch
from tokbench.codecs.base import Codec, TokenizerInfo
from tokbench.codes import StreamInfo

class Level(Codec):
    """The level of each 20 ms, in 8 steps."""

    info = TokenizerInfo(sample_rate_hz=8000, streams=(StreamInfo(1, 8, 50),), name="level")

    def _encode(self, samples):
        padded = torch.nn.functional.pad(samples, (0, -samples.shape[1] % 160))
        return [(padded.reshape(1, -1, 160).abs().mean(dim=2) * 16).long().clamp(0, 7)]

    def _decode(self, streams):
        return (streams[0] / 16).repeat_interleave(160, dim=1)
'''
SPEC = """
name = "little"
kind = "language-model"
title = "Little"
source = "a test"
codec = ["codes"]
scale = "tiny"
streams.letters = { kind = "text", unit = "bytes" }
streams.codes = { kind = "codes", tokenizers = ["mulaw"] }
network = { num_layers = 1, num_heads = 2, dimension = 32, feedforward_dimension = 32, context = 256 }

[stages.all.forms]
asr = { inputs = ["codes"], outputs = ["letters"] }
tts = { inputs = ["letters"], outputs = ["codes"] }
sc = { outputs = ["codes"] }

[training]
num_steps = 30
batch_size = 4
crop_s = 1.0
num_held_out = 1
precision = "float32"
log_every_steps = 30
validate_every_steps = 30
checkpoint_every_steps = 30
optimizer = { learning_rate = 1e-2 }
"""


def write_little(folder: Path) -> Path:
    """Write codec, spec and fourteen ramps, up and down in turn, of which two are to test; return the manifest."""
    (folder / "level.py").write_text(CODEC)
    (folder / "little.toml").write_text(SPEC)
    generator, lines = np.random.default_rng(0), ["path,split,text,wrong_path,language"]
    for number in range(14):
        text = ("up", "down")[number % 2]
        ramp = np.linspace(0, 0.45, 3200)[:: 1 if text == "up" else -1] + 0.01 * generator.random(3200)
        soundfile.write(folder / f"{number}.wav", ramp, 8000)
        soundfile.write(folder / f"{number}w.wav", generator.permutation(ramp.reshape(20, 160)).ravel(), 8000)
        split = "test" if number >= 12 else "train"
        lines.append(f"{number}.wav,{split},{text},{number}w.wav,en")
    path = folder / "manifest.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def train_little(folder: Path, name: str = "lm", codec: str = "", **changes: Any) -> Path:
    """Write it all into ``folder``, and return that of a model trained on the first twelve ramps."""
    corpus = open_corpus(f"manifest:{write_little(folder)}?split=train")
    return train_lm(
        str(folder / "little.toml"),
        CorpusMaterial(corpus),
        folder / name,
        codec=codec or f"{folder / 'level.py'}:Level",
        options=Options(changes),
    )
