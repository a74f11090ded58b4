"""The toy learner trained in processes of their own, which can be halted, signalled and killed at a known step.

They are forked from a server that has imported what they need: each starts at once.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tiny.toy_learner import RATE_HZ, ToyLearner, settings
from tokbench.corpora.registry import open_corpus
from tokbench.errors import TokbenchError
from tokbench.training.crops import Batches, Crops
from tokbench.training.data import crop_length
from tokbench.training.folder import RunFolder
from tokbench.training.learner import Origin
from tokbench.training.loop import seed_all
from tokbench.training.processes import Processes
from tokbench.training.run import Run
from tokbench.training.utterances import Utterances
from tokbench.training.validation import Validation
from tokbench.training.watcher import Watcher

__all__ = ["Ended", "ToyRun", "ToyRunProcess"]

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
    # What is heavy in this module (which the server does not find), and what is imported only where it is used: by
    # torch's optimizers, by the table of utterances, by the curves.
    ["tokbench.training.run", "tokbench.corpora.registry", "torch._dynamo", "pandas", "torch.utils.tensorboard"]
)


@dataclass(frozen=True)
class ToyRun:
    """What is trained, and where it stops to be told to go on."""

    corpus: Path
    out: Path
    changes: Mapping[str, Any]
    dropout: float = 0.2
    num_workers: int = 1
    halts_after: int | None = None
    """Step after which it waits."""
    environment: Mapping[str, str] | None = None
    """What torchrun would set."""

    def start(self) -> "ToyRunProcess":
        """Begin it."""
        ours, theirs = _SERVER.Pipe()
        process = _SERVER.Process(target=_run, args=(self, theirs))
        process.start()
        theirs.close()
        return ToyRunProcess(process, ours)


@dataclass(frozen=True)
class Ended:
    """How a process came to its end."""

    code: int | None
    steps: list[int]
    """That it made since it was last heard."""
    error: str


@dataclass(frozen=True)
class ToyRunProcess:
    """A run that is going on."""

    process: ForkServerProcess
    connection: Connection

    def wait_for(self, step: int) -> None:
        """Return once ``step`` is made."""
        while self.connection.recv() != step:
            pass

    def send(self, number: signal.Signals) -> None:
        """Send a signal, and then let it go on if it waits."""
        assert self.process.pid is not None
        os.kill(self.process.pid, number)
        if number != signal.SIGKILL:
            self.connection.send("go on")

    def end(self) -> Ended:
        """Wait for the end."""
        self.process.join(60)
        told: list[Any] = []
        while self.connection.poll():
            try:
                told.append(self.connection.recv())
            except EOFError:
                break
        errors = [item for item in told if isinstance(item, str)]
        return Ended(self.process.exitcode, [item for item in told if isinstance(item, int)], " ".join(errors))


class _Telling(Watcher):
    def __init__(self, connection: Connection, halts_after: int | None) -> None:
        self._connection, self._halts_after = connection, halts_after

    def step(self, step: int, num_steps: int) -> None:
        del num_steps
        self._connection.send(step)
        if step == self._halts_after:
            self._connection.recv()


def _run(toy: ToyRun, connection: Connection) -> None:
    os.environ.update(toy.environment or {})
    multiprocessing.set_start_method("fork", force=True)  # of what reads audio: as in a process that was not forked
    try:
        _train(toy, _Telling(connection, toy.halts_after))
    except (KeyboardInterrupt, TokbenchError) as error:
        connection.send(f"{type(error).__name__}: {error}")
        sys.exit(1)


def _train(toy: ToyRun, watcher: Watcher) -> None:
    torch.set_num_threads(1)
    processes = Processes.start()
    corpus = open_corpus(f"folder:{toy.corpus}")
    seed_all(1)
    learner = ToyLearner(settings(**toy.changes), dropout=toy.dropout)
    learnt_from, held_out = Utterances.of(corpus).split(1)
    num_samples = crop_length(learner.settings.crop_s, learner)
    crops = Crops(learnt_from, sample_rate_hz=RATE_HZ, num_samples=num_samples, seed=1)
    folder = RunFolder(toy.out, {"seed": "1"}, is_first=processes.is_first)
    batches = Batches(
        crops,
        learner.settings.batch_size,
        process=processes.index,
        num_processes=processes.count,
        num_workers=toy.num_workers,
    )
    validation = Validation(
        held_out, sample_rate_hz=RATE_HZ, num_samples=4000, hop_length=80, folder=folder.log / "audio"
    )
    with folder.claimed(restart=False):
        processes.wait()
        Run(folder, learner, batches, validation, processes, Origin(corpus, "tiny", 1), watcher).complete()
    save_file(dict(learner.state_dict()), f"{toy.out}.rank{processes.index}")
