"""A run that people can rely on: one learner trained, watched, saved as it goes, and exported."""

import contextlib
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from tokbench.errors import TrainingError
from tokbench.training.alarms import Alarms, check_finite
from tokbench.training.best import Best
from tokbench.training.checkpoint import Standing, below, read_checkpoint, write_checkpoint
from tokbench.training.curves import Curves, Row, Window
from tokbench.training.folder import CURVES_FILE, RunFolder
from tokbench.training.interruption import Interruption
from tokbench.training.learner import Learner, Origin, Supply
from tokbench.training.loop import Loop
from tokbench.training.processes import Processes
from tokbench.training.validation import Checked
from tokbench.training.watcher import Watcher

__all__ = ["Run"]

_WINDOW, _BEST = "window", "best"
_HELD_OUT = "validation."
"""How the names of the losses on what is held out begin."""


@dataclass(frozen=True)
class Run:
    """One learner's way through a corpus, and the folder in which it is kept."""

    folder: RunFolder
    learner: Learner[Any]
    batches: Supply[Any]
    validation: Checked | None
    processes: Processes
    origin: Origin
    watcher: Watcher

    def complete(self) -> None:
        """Train from where the folder stands to the end, and export.

        Raises :class:`KeyboardInterrupt` after Ctrl-C or SIGTERM, once the step is saved, and
        :class:`tokbench.training.alarms.DivergenceError`.
        """
        with Interruption() as interruption, _deterministic(self.learner, self.processes):
            _Course(self, interruption).complete()


class _Course:
    """The run while it runs."""

    def __init__(self, run: Run, interruption: Interruption) -> None:
        self.run, self.interruption = run, interruption
        self.settings, self.processes, self.folder = run.learner.settings, run.processes, run.folder
        self.loop = Loop(run.learner, run.batches, run.processes, seed=run.origin.seed)
        self.best = Best()
        self.window, standing = self._resumed()
        self.began_s = time.monotonic() - standing.elapsed_s
        self.alarms = Alarms(self.settings.num_steps)
        self.curves: Curves | None = None
        if run.processes.is_first:
            number = run.folder.num_finished
            name = f"{number + 1}-{CURVES_FILE}" if number else CURVES_FILE
            events = run.folder.log / "tensorboard" / str(number + 1)
            self.curves = Curves(run.folder.path / name, events, step=standing.step)
            for row in self.curves.rows:
                self.alarms.see(row)
        self.crop_s = run.batches.batch_size * run.batches.num_processes * self.settings.crop_s

    def _resumed(self) -> tuple[Window, Standing]:
        if not self.folder.checkpoint.is_file():
            return Window(), Standing()
        tensors, standing = read_checkpoint(self.folder.checkpoint)
        if standing.learner != self.folder.num_finished:
            return Window(), Standing()
        try:
            self.loop.load(tensors, standing.step)
        except (RuntimeError, ValueError, KeyError, IndexError) as error:
            # PyTorch's first line names the module, the second the first tensor that does not fit.
            detail = " ".join(str(error).splitlines()[1:2]).strip() or str(error)
            msg = f"{self.folder.checkpoint} is of another spec ({detail}). Begin again with --restart."
            raise TrainingError(msg) from error
        self.best.load(below(_BEST, tensors))
        self.run.watcher.say(f"going on after step {standing.step} of {self.settings.num_steps}")
        sums = below(_WINDOW, tensors)
        return Window({name: value.to(self.processes.device) for name, value in sums.items()}), standing

    def complete(self) -> None:
        try:
            for scalars in self.loop:
                self.window.add(scalars)
                self._after_step()
        finally:
            if self.curves is not None:
                self.curves.close()
        self._export()

    def _after_step(self) -> None:
        step, settings = self.loop.step, self.settings
        is_last = step == settings.num_steps
        is_validated = is_last or step % settings.validate_every_steps == 0
        self.run.watcher.step(step, settings.num_steps)
        if is_validated or step % settings.log_every_steps == 0:
            self._log(is_validated=is_validated)
        is_stopped = self.processes.any(value=self.interruption.is_requested)
        if is_last or is_stopped or step % settings.checkpoint_every_steps == 0:
            self._save()
        if is_stopped:
            raise KeyboardInterrupt

    def _log(self, *, is_validated: bool) -> None:
        step = self.loop.step
        row: dict[str, float] = {
            "step": step,
            "audio_s": step * self.crop_s,
            "elapsed_s": round(time.monotonic() - self.began_s, 3),
            **self.window.means(),
            **{f"health.{name}": value for name, value in self.run.learner.health().items()},
        }
        try:
            check_finite(row)
            if is_validated and self.curves is not None and self.run.validation is not None:
                row |= self._validate(self.run.validation, self.curves)
        finally:
            self._tell(row)

    def _validate(self, validation: Checked, curves: Curves) -> Row:
        with self.loop.averaged() as learner:
            losses = validation(learner, self.processes.device)
            if self.settings.keep == "best":
                named = {name.removeprefix(_HELD_OUT): value for name, value in losses.items()}
                self.best.see(learner.averaged(), learner.judged(named), self.loop.step)
            validation.listen(learner, self.processes.device, curves, self.loop.step)
        return losses

    def _tell(self, row: Row) -> None:
        if self.curves is None:
            return
        self.curves.append(row)
        self.run.watcher.row(row, self.settings.num_steps)
        for sentence in self.alarms.see(row):
            self.folder.note(sentence)
            self.run.watcher.warn(sentence)

    def _save(self) -> None:
        window = self.window.state()
        check_finite({"step": self.loop.step, **{name: float(total[0]) for name, total in window.items()}})
        if self.processes.is_first:
            tensors = self.loop.state() | {f"{_WINDOW}.{name}": total for name, total in window.items()}
            tensors |= {f"{_BEST}.{name}": tensor for name, tensor in self.best.state().items()}
            elapsed_s = time.monotonic() - self.began_s
            standing = Standing(self.folder.num_finished, self.loop.step, elapsed_s)
            write_checkpoint(self.folder.checkpoint, tensors, standing)

    def _export(self) -> None:
        if self.processes.is_first:
            origin = self.run.origin
            with self.loop.averaged() as learner:
                self.best.put(learner.averaged())
                learner.export(
                    self.folder.path,
                    Origin(origin.corpus, origin.scale, origin.seed, (*origin.remarks, *self.alarms.sentences)),
                )
        self.folder.finish_one(
            {
                "num_steps": self.loop.step,
                **({"best_after_steps": self.best.steps} if self.best.steps else {}),
                "audio_s": self.loop.step * self.crop_s,
                "elapsed_s": round(time.monotonic() - self.began_s, 1),
                "device": str(self.processes.device),
                "num_processes": self.processes.count,
                "num_parameters": sum(each.numel() for each in self.run.learner.parameters()),
                "torch": torch.__version__,
            }
        )
        self.processes.wait()


@contextlib.contextmanager
def _deterministic(learner: Learner[Any], processes: Processes) -> Iterator[None]:
    """Let a GPU add in the same order each time, where it can: what cannot says nothing here."""
    if processes.device.type == "cpu" or not learner.settings.deterministic:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    try:
        with warnings.catch_warnings(), torch.backends.cudnn.flags(benchmark=False, deterministic=True):
            warnings.filterwarnings("ignore", message=".*deterministic", category=UserWarning)
            yield
    finally:
        torch.use_deterministic_algorithms(before)
