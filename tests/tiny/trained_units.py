"""Units of MFCCs, fitted on a few seconds: a unit tokenizer that needs no weights of others."""

from pathlib import Path

from tokbench.corpora.base import Corpus
from tokbench.specs.codec import read_spec
from tokbench.specs.unit_kmeans import UnitKmeansSpec
from tokbench.training.learner import Origin
from tokbench.training.units import train_units

__all__ = ["NUM_UNITS", "write"]

NUM_UNITS = 12

_SPEC = f"""
name = "mini"
kind = "unit-kmeans"
features = "mfcc"
setting = "13x100hz"
num_units = {NUM_UNITS}

[scales.tiny]
max_frames = 400
batch_frames = 100
max_passes = 5
num_starts = 1
max_no_improvement = 10
reassignment_ratio = 0.0
"""


def write(folder: Path, corpus: Corpus) -> str:
    """Train the tokenizer into ``folder`` and return by what it is loaded."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "mini.toml"
    path.write_text(_SPEC)
    spec = read_spec(path)
    assert isinstance(spec, UnitKmeansSpec)
    train_units(spec, Origin(corpus, "tiny", 0), folder, on_progress=lambda _stage, _share: None)
    return str(folder)
