"""What happens inside a worker process: load a codec once, measure one utterance after the other.

A worker uses one thread, whatever the machine has: numbers then do not depend on the number of workers, and two
workers are twice as fast as one (a BLAS that takes every core for itself undoes that).
"""

import hashlib
import multiprocessing
import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.util import Finalize
from typing import TYPE_CHECKING, TypeVar

from tokbench.allocator import keep_freed_memory
from tokbench.codecs.registry import CodecReference, fingerprint, load
from tokbench.records import CodecSummary
from tokbench.run.plan import CellSpec
from tokbench.runners.base import Bench, Failure, Leaving, Measurement, Runner, attempt, reason_of
from tokbench.runners.registry import make_runner

if TYPE_CHECKING:
    from tokbench.corpora.base import Utterance

__all__ = [
    "THREAD_VARIABLES",
    "Loaded",
    "audio_sha256",
    "describe",
    "describe_card",
    "learn",
    "measure_together",
    "prepare_process",
]

Result = TypeVar("Result")

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
"""Read by the numerical libraries when they are imported, so they are set before a worker starts."""
GPU_LOST = 87
"""Exit code of a worker whose GPU reported an error after which no computation succeeds."""


@dataclass(frozen=True)
class Loaded:
    """What only a loaded codec knows; nothing in it makes the parent import torch."""

    codec: CodecSummary
    fingerprint: str
    can_decode: bool
    has_codes: bool
    resampler: str


@dataclass(frozen=True)
class _Session:
    spec: CellSpec
    runner: Runner
    bench: Bench


_session: _Session | None = None
"""The codec that this process has loaded; one at a time, so that memory does not grow with the plan."""


def prepare_process(settings: Mapping[str, str]) -> None:
    """Take over the parent's ``settings`` (environment variables), leave Ctrl-C to it, and use one thread."""
    import torch  # noqa: PLC0415  (workers need it, the parent does not)

    os.environ.update(settings)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    Finalize(None, signal.signal, args=(signal.SIGTERM, signal.SIG_IGN), exitpriority=100)
    torch.set_num_threads(1)
    keep_freed_memory()
    if (parent := multiprocessing.parent_process()) is not None:
        threading.Thread(target=_leave_with, args=(parent.sentinel,), daemon=True).start()


def _leave_with(sentinel: int) -> None:
    """Leave once the process of ``sentinel`` is gone, killed perhaps: nobody is left to hear what is found here.

    What learns hears it as it hears Ctrl-C, and saves its step first.
    """
    wait([sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


def _leave(*_: object) -> None:
    """End in good order when the pool ends this process: libraries hold semaphores that they must give back."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Leaving(0)


def _open_session(spec: CellSpec) -> _Session:
    from tokbench.store import CodeStore  # noqa: PLC0415  (imports torch)

    global _session  # noqa: PLW0603  (the cache of this process)
    if _session is None or _session.spec != spec:
        _session = None
        tokenizer = load(spec.codec, device=spec.device, weights=spec.weights)
        bench = Bench(
            tokenizer,
            fingerprint(spec.codec, weights=spec.weights),
            CodeStore(device=spec.device),
            reference=spec.codec.text,
            seed=spec.seed,
            device=spec.device,
        )
        _session = _Session(spec, make_runner(spec.task), bench)
    return _session


def describe(spec: CellSpec) -> Loaded | Failure:
    """Load the codec of a cell and say what it is, or why it cannot be loaded."""
    return _or_end(lambda: _describe(spec))


def _describe(spec: CellSpec) -> Loaded:
    from tokbench.audio import RESAMPLER  # noqa: PLC0415  (imports torch)
    from tokbench.codecs.base import Codec, ContinuousTokenizer  # noqa: PLC0415

    bench = _open_session(spec).bench
    info, codec = bench.tokenizer.info, bench.tokenizer if isinstance(bench.tokenizer, Codec) else None
    facts = {
        "licence": info.licence,
        "source": info.source,
        "trained_on": info.trained_on,
        "streams": tuple(str(stream) for stream in info.streams),
        "sample_rate_hz": info.sample_rate_hz,
        "num_channels": info.num_channels,
        "bitrate_bps": info.bitrate_bps,
        "causal": info.causal,
        "latency_s": info.latency_s,
        "num_parameters": info.num_parameters,
        "num_separable_codebooks": None if codec is None else codec.num_separable_codebooks,
        "fingerprint": bench.fingerprint,
    }
    summary = describe_card(spec.codec).model_copy(update=facts)
    has_codes = not isinstance(bench.tokenizer, ContinuousTokenizer)
    return Loaded(summary, bench.fingerprint, codec is not None, has_codes, RESAMPLER)


def describe_card(reference: CodecReference) -> CodecSummary:
    """Return what is known of a codec before it is loaded."""
    card = reference.card
    return CodecSummary(
        name=card.name,
        title=card.title,
        setting=reference.setting,
        licence=card.licence,
        source=card.source,
        trained_on=card.trained_on,
    )


def learn(spec: CellSpec) -> Failure | None:
    """Let the runner of a cell learn from its codec, or say why that failed."""
    return _or_end(lambda: _learn(spec))


def _learn(spec: CellSpec) -> None:
    session = _open_session(spec)
    session.runner.learn(session.bench)


def measure(spec: CellSpec, utterance: "Utterance", *, with_examples: bool) -> Measurement | Failure:
    """Measure one utterance, or say why that failed."""
    return _or_end(lambda: _measure(spec, utterance, with_examples=with_examples))


def measure_together(
    spec: CellSpec, utterances: "Sequence[Utterance]", wanted: Mapping[int, bool]
) -> list[Measurement | Failure]:
    """Measure those of ``utterances`` that are wanted, by their place, each with examples or not.

    What can be done for all of them at once is done for all, whichever are wanted: the numbers do not depend on
    where an earlier run ended.
    """
    if len(utterances) > 1:
        _or_end(lambda: _work_ahead(spec, utterances))
    return [measure(spec, utterances[place], with_examples=examples) for place, examples in wanted.items()]


def _work_ahead(spec: CellSpec, utterances: "Sequence[Utterance]") -> None:
    session = _open_session(spec)
    session.runner.work_ahead(session.bench, utterances)


def audio_sha256(utterance: "Utterance") -> str | Failure:
    """Return the hash of the audio of ``utterance``, or say why it cannot be read."""
    return attempt(lambda: utterance.read().sha256)


def _or_end(function: Callable[[], Result]) -> Result | Failure:
    """Attempt ``function``, and end this process for another one if the GPU is of no more use to it."""
    import torch  # noqa: PLC0415  (as above)

    try:
        return attempt(function)
    except torch.AcceleratorError as error:
        sys.stderr.write(f"{reason_of(error)}\n")
        os._exit(GPU_LOST)  # Python's own way out would ask the GPU to tidy up


def _measure(spec: CellSpec, utterance: "Utterance", *, with_examples: bool) -> Measurement:
    import numpy as np  # noqa: PLC0415  (as above)
    import torch  # noqa: PLC0415

    session = _open_session(spec)
    # A codec that draws random numbers draws the same ones for an utterance, whichever worker it falls to.
    seed = int.from_bytes(hashlib.sha256(f"{spec.seed} {utterance.id}".encode()).digest()[:4], "little")
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  (what a third party's codec may use)
    torch.manual_seed(seed)
    return session.runner.measure(session.bench, utterance, with_examples=with_examples)
