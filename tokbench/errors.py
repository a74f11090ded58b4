"""The errors a user can meet: each class owns its sentence, which says what to do next.

Two families matter to the command line. A :class:`UsageError` means that the request itself is wrong (exit
code 2); any other :class:`TokbenchError` means that one piece of work failed (its cell is recorded as failed).
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Self

__all__ = [
    "AudioFileError",
    "BitrateOrderError",
    "BitstreamError",
    "ChannelsError",
    "CodeRangeError",
    "CodesFileError",
    "CodesShapeError",
    "CorpusError",
    "DecodedLengthError",
    "EmptyAudioError",
    "FrameRateError",
    "MissingPackageError",
    "NonFiniteAudioError",
    "NonFiniteFeaturesError",
    "NotApplicableError",
    "NotSupportedError",
    "NothingToLoadError",
    "RecordError",
    "SampleRateError",
    "SpecError",
    "TokbenchError",
    "TrainingError",
    "UndefinedMetricError",
    "UnknownNameError",
    "UsageError",
    "WeightsError",
    "WeightsNotFoundError",
]


class TokbenchError(Exception):
    """Anything that tokbench raises on purpose."""

    def __reduce__(self) -> tuple[object, ...]:
        """Survive the way from a worker process, whatever arguments the subclass takes."""
        return (_restore, (type(self), str(self)))


def _restore(cls: type[TokbenchError], message: str) -> TokbenchError:
    error = cls.__new__(cls)
    Exception.__init__(error, message)
    return error


class UsageError(TokbenchError):
    """The request cannot be carried out as it was written."""


class UnknownNameError(UsageError):
    """A name that no registry knows; ``command`` lists those that are known, if there is one that does."""

    def __init__(self, noun: str, name: str, known: Iterable[str], *, command: str) -> None:
        names = sorted(known)
        close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        told = f"{len(names)} known; see `{command}`" if command else f"known: {', '.join(names)}"
        super().__init__(f"no {noun} named {name!r}.{hint} ({told})")


class SpecError(UsageError):
    """A declaration (card, task, spec, leaderboard) with all of its problems at once."""

    def __init__(self, path: Path | str, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(f"{path}: {'; '.join(problems)}")


class CorpusError(UsageError):
    """A corpus that cannot be read as it was asked for."""


class MissingPackageError(TokbenchError):
    """A codec, metric or judge needs a package that is not installed."""

    def __init__(self, what: str, packages: Sequence[str]) -> None:
        super().__init__(f"{what} needs {', '.join(packages)}. Install with: pip install {' '.join(packages)}")


class MissingLibraryError(TokbenchError):
    """A codec needs a shared library that the system does not have."""

    def __init__(self, what: str, libraries: Mapping[str, str]) -> None:
        names = " and ".join(f"lib{name}" for name in libraries)
        packages = " ".join(libraries.values())
        super().__init__(f"{what} needs {names} of the system. On Debian: apt install {packages}")


class WeightsNotFoundError(TokbenchError):
    """The weights of a published model are in none of the places where they are looked for."""

    def __init__(
        self, codec: str, *, folder: Path, origin: str, files: Sequence[str], others: Sequence[str] = ()
    ) -> None:
        source = f" from {origin}" if origin else ""
        found = f" ({folder} holds {', '.join(others)}.)" if others else ""
        self.wanted = f"{', '.join(files)}{source} into {folder}"
        """What to download from where, and where to put it, without a sentence around it."""
        super().__init__(
            f"no weights for {codec}. Download {', '.join(files)}{source}, put them in {folder}, "
            f"or pass --weights DIR.{found}"
        )


class NothingToLoadError(TokbenchError):
    """Of several models of which one would do, none is there."""

    def __init__(self, names: Sequence[str], reasons: Sequence[str]) -> None:
        super().__init__(f"none of {', '.join(names)} is there ({'; '.join(reasons)})")


class WeightsError(TokbenchError):
    """A weights file that is not what its card says."""

    def __init__(self, path: Path, *, expected: str, found: str, advice: str = "Download the file again.") -> None:
        super().__init__(f"{path}: expected {expected}, found {found}. {advice}")


class AudioFileError(TokbenchError):
    """A file that cannot be read as audio."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: not readable as audio ({reason})")


class EmptyAudioError(TokbenchError):
    """Audio without a single sample."""

    def __init__(self, where: str = "audio") -> None:
        super().__init__(f"{where} has 0 samples")


class NonFiniteAudioError(TokbenchError):
    """Audio with NaN or infinite samples."""

    def __init__(self, where: str, *, num_bad: int, num_samples: int) -> None:
        super().__init__(f"{where} has {num_bad} NaN or infinite values in {num_samples} samples")


class NonFiniteFeaturesError(TokbenchError):
    """Features with NaN or infinite values."""

    def __init__(self, *, num_bad: int, num_frames: int) -> None:
        super().__init__(f"{num_bad} of {num_frames} frames of features have NaN or infinite values")


class SampleRateError(TokbenchError):
    """Audio at another rate than the codec's."""

    def __init__(self, codec: str, *, expected_hz: int, actual_hz: int) -> None:
        super().__init__(
            f"{codec} expects audio at {expected_hz} Hz but got {actual_hz} Hz. "
            f"Resample with Audio.resample({expected_hz})."
        )


class ChannelsError(TokbenchError):
    """Audio with another number of channels than the codec's."""

    def __init__(self, codec: str, *, expected: int, actual: int) -> None:
        super().__init__(
            f"{codec} expects {expected} channel(s) but got {actual}. Convert with Audio.to_channels({expected})."
        )


class CodesShapeError(TokbenchError):
    """Codes whose number of streams, codebooks or dimensions is not what the codec advertises."""

    def __init__(self, codec: str, *, expected: str, actual: str) -> None:
        super().__init__(f"{codec} advertises codes {expected} but returned {actual}")


class CodeRangeError(TokbenchError):
    """A code outside of its codebook."""

    def __init__(self, codec: str, *, codebook_size: int, low: int, high: int) -> None:
        super().__init__(f"{codec} returned codes from {low} to {high}, outside of 0 .. {codebook_size - 1}")


class CodesFileError(TokbenchError):
    """A file that holds no codes."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: not a file of codes that `tokbench encode` wrote ({reason})")


class BitstreamError(TokbenchError):
    """Bytes that hold no codes, or not by the model that is there to read them."""


class FrameRateError(TokbenchError):
    """A number of frames that contradicts the advertised frame rate."""

    def __init__(self, codec: str, *, advertised_hz: float, num_frames: int, duration_s: float) -> None:
        super().__init__(
            f"{codec} advertises {advertised_hz:g} frames per second but returned {num_frames} frames "
            f"for {duration_s:.4f} s"
        )


class DecodedLengthError(TokbenchError):
    """Decoded audio that is more than one frame shorter than what was encoded."""

    def __init__(self, codec: str, *, expected_samples: int, actual_samples: int) -> None:
        super().__init__(f"{codec} decoded {actual_samples} samples where {expected_samples} were encoded")


class BitrateOrderError(TokbenchError):
    """Settings whose bitrates do not rise in the order in which the card lists them."""

    def __init__(self, codec: str, listing: str) -> None:
        super().__init__(f"the settings of {codec} are not in the order of their bitrates: {listing}")


class NotSupportedError(TokbenchError):
    """Something optional that this tokenizer does not offer."""

    def __init__(self, codec: str, what: str) -> None:
        super().__init__(f"{codec} does not offer {what}")


class NotApplicableError(TokbenchError):
    """The reference alone makes a metric meaningless; the utterance counts for no codec."""


class UndefinedMetricError(TokbenchError):
    """What the codec made of the reference leaves the metric without a value: a failure, never a number."""


class TrainingError(TokbenchError):
    """A run of training that cannot go on, or not from where it stands."""


class RecordError(TokbenchError):
    """A result file that cannot be read or written."""

    @classmethod
    def in_use(cls, path: Path) -> Self:
        """Build the error for a cell that another process is measuring."""
        return cls(
            f"{path.parent}: another run is measuring {path.name.partition('.journal')[0]}. Wait until it is done, "
            "or choose another --results DIR."
        )

    @classmethod
    def not_writable(cls, path: Path, error: OSError) -> Self:
        """Build the error for a results folder that refuses a write."""
        return cls(
            f"cannot write {path}: {error.strerror or error}. Free some space or choose another --results DIR."
        )
