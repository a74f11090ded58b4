"""How long a training step waits for its audio.

``measure_training_data()`` belongs to ``benchmarks/run.py``; ``python benchmarks/training_data.py`` measures it
alone. The step is that of the tiny EnCodec at its fastest: without discriminators, and before the quantizer is put
in. It has one thread, as each of several runs side by side has that ``tokbench train --jobs`` starts.
"""

import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from tokbench.allocator import keep_freed_memory
from tokbench.corpora.registry import open_corpus
from tokbench.specs.augmentation import Augmentation, Reverberation
from tokbench.specs.codec import find_spec
from tokbench.specs.neural_codec import NeuralCodecSpec
from tokbench.training.codec import CodecLearner
from tokbench.training.crops import Batch, Batches, default_num_workers
from tokbench.training.data import open_crops
from tokbench.training.loop import Loop, seed_all
from tokbench.training.processes import Processes
from tokbench.training.utterances import open_utterances

NUM_UTTERANCES, UTTERANCE_S = 64, 10.0
NUM_FIRST_STEPS, NUM_STEPS = 10, 40
"""Steps before the clock runs, in which workers start and memory is found; and those that are measured."""


@dataclass(frozen=True)
class TimedBatches(Batches):
    """Batches that note how long each was waited for."""

    waits_s: list[float] = field(default_factory=list)

    def steps(self, first: int, end: int) -> Iterator[Batch]:
        """Yield the batches of the steps from ``first`` to before ``end``."""
        source = super().steps(first, end)
        asked_s = time.perf_counter()
        for batch in source:
            self.waits_s.append(time.perf_counter() - asked_s)
            yield batch
            asked_s = time.perf_counter()


def measure_training_data() -> dict[str, Any]:
    """Share of a step that is spent waiting, for audio that is read ahead as ``tokbench train`` does by default."""
    plain, room = Augmentation(), Augmentation(reverberation=Reverberation(probability=0.2, rt60_s=(0.3, 1.3)))
    cases: Mapping[str, tuple[int, Augmentation]] = {
        "16 kHz": (16000, plain),
        "44.1 kHz, resampled": (44100, plain),
        "16 kHz, a fifth of it in drawn rooms": (16000, room),
    }
    keep_freed_memory()
    torch.set_num_threads(1)
    measured = {name: _measure(rate_hz, augmentation) for name, (rate_hz, augmentation) in cases.items()}
    return {
        "num_steps": NUM_STEPS,
        "num_readers": default_num_workers(),
        "step_s": round(measured["16 kHz"]["step_s"], 3),
        "share_waiting": {name: round(times["wait_s"] / times["step_s"], 4) for name, times in measured.items()},
    }


def _measure(rate_hz: int, augmentation: Augmentation) -> dict[str, float]:
    """Return the mean seconds of a step, and of those the seconds of waiting."""
    spec, _ = find_spec("encodec", "tiny", changes={"training": {"quantized_from": 0.9, "adversarial_from": 0.9}})
    if not isinstance(spec, NeuralCodecSpec):
        raise TypeError(spec)
    seed_all(0)
    learner = CodecLearner(spec)
    with tempfile.TemporaryDirectory() as folder:
        _write_noise(Path(folder), rate_hz)
        utterances = open_utterances(open_corpus(f"folder:{folder}"))
        crops = open_crops(utterances, learner, augmentation, seed=0)
        batches = TimedBatches(crops, spec.training.batch_size, num_workers=default_num_workers())
        loop = iter(Loop(learner, batches, Processes.start(), seed=0))
        for _ in range(NUM_FIRST_STEPS):
            next(loop)
        start_s = time.perf_counter()
        for _ in range(NUM_STEPS):
            next(loop)
        total_s = time.perf_counter() - start_s
    return {"step_s": total_s / NUM_STEPS, "wait_s": sum(batches.waits_s[NUM_FIRST_STEPS:]) / NUM_STEPS}


def _write_noise(folder: Path, rate_hz: int) -> None:
    generator = np.random.default_rng(0)
    for index in range(NUM_UTTERANCES):
        noise = 0.1 * generator.standard_normal(round(UTTERANCE_S * rate_hz))
        soundfile.write(folder / f"{index:03d}.flac", noise, rate_hz)


if __name__ == "__main__":
    print(json.dumps(measure_training_data(), indent=1))
