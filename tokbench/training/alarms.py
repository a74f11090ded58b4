"""Early warning: what goes wrong in training, seen in its curves and said in plain words.

Each alarm is raised once. The thresholds are ours, chosen so that none of the shipped specs raises one on speech.
"""

import math
import statistics
from collections.abc import Callable, Iterator, Mapping

from tokbench.errors import TrainingError

__all__ = ["Alarms", "DivergenceError", "check_finite"]

Row = Mapping[str, float]

DEAD_SHARE, DEAD_ROWS = 0.9, 10
"""Codes of a codebook that go unused, in so many rows in succession."""
WON_SHARE, CEILING_SHARE, WON_ROWS = 0.05, 0.95, 20
"""The discriminators' loss in parts of its first value, and the generator's in parts of its largest."""
EXPLODING_FACTOR, CALM_ROWS = 100.0, 20
"""A gradient norm, in medians of the rows before."""
FALL, FALL_ROWS, FALL_FROM = 0.01, 10, 0.1
"""By how much a loss falls at least, in parts of its first rows; means over so many rows; looked at from a tenth
of the run on."""
_CONTEST = frozenset({"adversarial", "feature", "discriminator", "commitment", "codebook", "entropy"})
"""Losses that may rise while a codec becomes better."""
_BOOKKEEPING = ("step", "audio_s", "elapsed_s", "learning_rate.", "gradient_norm.", "health.", "validation.")


class DivergenceError(TrainingError):
    """A loss or a gradient that is no number."""

    def __init__(self, name: str, step: int) -> None:
        super().__init__(
            f"training diverged: {name} is not finite at step {step}. The last checkpoint is kept. Begin again "
            "with a lower learning rate (--set training.optimizer.learning_rate=… --restart), a longer warm-up "
            "(training.optimizer.warmup), or a bound on gradients (training.optimizer.clip_norm=1)."
        )


def check_finite(row: Row) -> None:
    """Raise :class:`DivergenceError` for the first value of ``row`` that is NaN or infinite."""
    for name, value in row.items():
        if not math.isfinite(value):
            raise DivergenceError(name, int(row["step"]))


class Alarms:
    """Looks at rows of the curves of a run of ``num_steps``."""

    def __init__(self, num_steps: int) -> None:
        self._num_steps = num_steps
        self._rows: list[Row] = []
        self._raised: dict[str, str] = {}
        self._checks: Mapping[str, Callable[[], Iterator[str]]] = {
            "dead codes": self._dead_codes,
            "discriminators": self._discriminators_win,
            "gradients": self._gradients_explode,
            "losses": self._nothing_falls,
        }

    @property
    def sentences(self) -> tuple[str, ...]:
        """All that was raised."""
        return tuple(self._raised.values())

    def see(self, row: Row) -> list[str]:
        """Return what there is to say after ``row`` that was not said before."""
        self._rows.append(row)
        new = []
        for name, check in self._checks.items():
            if name not in self._raised and (sentence := next(check(), None)):
                self._raised[name] = f"Step {int(row['step'])}: {sentence}"
                new.append(self._raised[name])
        return new

    def _last(self, name: str, count: int) -> list[float]:
        """Return the values of ``name`` in the last ``count`` rows, or nothing if one does without it."""
        values = [row[name] for row in self._rows[-count:] if name in row]
        return values if len(values) == count else []

    def _dead_codes(self) -> Iterator[str]:
        shares = self._last("health.dead_codes", DEAD_ROWS)
        if shares and min(shares) > DEAD_SHARE:
            yield (
                f"{shares[-1]:.0%} of the codes of a codebook are dead. Fewer or smaller codebooks, codes begun by "
                "k-means, or dead ones drawn anew would use them."
            )

    def _discriminators_win(self) -> Iterator[str]:
        theirs, ours = self._last("discriminator", WON_ROWS), self._last("adversarial", WON_ROWS)
        if not theirs or not ours:
            return
        first = next(row["discriminator"] for row in self._rows if "discriminator" in row)
        most = max(row["adversarial"] for row in self._rows if "adversarial" in row)
        if max(theirs) < WON_SHARE * first and min(ours) > CEILING_SHARE * most:
            yield (
                "the discriminators win: their loss is near 0, and the codec learns nothing more from them. Lower "
                "their learning rate, or let them step less often (losses.adversarial.update_probability)."
            )

    def _gradients_explode(self) -> Iterator[str]:
        for name, norm in self._rows[-1].items():
            before = [row[name] for row in self._rows[-CALM_ROWS - 1 : -1] if name in row]
            if not name.startswith("gradient_norm.") or len(before) < CALM_ROWS:
                continue
            if norm > EXPLODING_FACTOR * (usual := statistics.median(before)):
                yield (
                    f"the gradients of the {name.partition('.')[2]} explode: a norm of {norm:.3g} after "
                    f"{usual:.3g}. Lower the learning rate, or bound them (clip_norm)."
                )

    def _nothing_falls(self) -> Iterator[str]:
        if len(self._rows) < 2 * FALL_ROWS or self._rows[-1]["step"] < FALL_FROM * self._num_steps:
            return
        names = [name for name in self._rows[0] if name not in _CONTEST and not name.startswith(_BOOKKEEPING)]
        if names and not any(map(self._falls, names)):
            yield (
                f"no loss has fallen since the beginning ({', '.join(names)}). Raise or lower the learning rate, "
                "and listen to the corpus: is there speech in it?"
            )

    def _falls(self, name: str) -> bool:
        last, first = self._last(name, FALL_ROWS), [row[name] for row in self._rows[:FALL_ROWS] if name in row]
        if not last or not first:
            return True
        return statistics.fmean(last) < statistics.fmean(first) - FALL * abs(statistics.fmean(first))
