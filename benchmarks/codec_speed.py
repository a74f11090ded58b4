# ruff: noqa: PLC0415, SLF001  (each side imports its own packages, in its own process, and looks inside)
"""Encoding and decoding against the codecs' own packages, with the same random weights at the published size.

``measure_codecs()`` belongs to ``benchmarks/run.py``; ``python benchmarks/codec_speed.py encodec 6`` looks
at one codec on six utterances. Each side runs in processes of its own: the original as its package is used, one
utterance after the other with the threads that torch takes, tokbench as ``tokbench run --jobs 2`` works, two
processes with one thread each. Their codes are compared.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

NUM_UTTERANCES = 64
SHORTEST_S, LONGEST_S = 2.0, 15.0
NUM_JOBS = 2
NUM_LATENCY_REPEATS = 3
LATENCY_UTTERANCE_S = 5.0


@dataclass(frozen=True)
class Family:
    """A codec that has a package of its own."""

    setting: str
    sample_rate_hz: int
    make: Callable[[Path], None]
    """Saves a model of the published size with random weights, as its publisher does."""
    open_original: Callable[[Path], tuple[Callable[[Any], Any], Callable[[Any], Any]]]
    """Returns encode, float32 [1, T] -> int64 [K, F], and decode, the other way, of the package."""


def _draw(tables: list[Any], latents: Any) -> None:
    """Fill codebooks that would be zeros with vectors as wide as ``latents`` [F, D]."""
    import torch

    for index, table in enumerate(tables):
        table.copy_(latents.std(dim=0) * torch.randn(table.shape) / (1 + index))


def _centred(encoder: Any, sample_rate_hz: int) -> Any:
    """Make the latents of a SEANet centre on zero, as those of trained ones do, and return some of them [F, D].

    Distances to codes far from zero would be lost in rounding.
    """
    latents = encoder(_noise(sample_rate_hz)[None])[0].T
    encoder.model[-1].conv.conv.bias.sub_(latents.mean(dim=0))
    return latents


def _encodec() -> Any:
    import encodec

    return encodec.EncodecModel.encodec_model_24khz(pretrained=False).eval()


def _make_encodec(folder: Path) -> None:
    import torch

    model = _encodec()
    _draw([layer._codebook.embed for layer in model.quantizer.vq.layers], _centred(model.encoder, 24000))
    torch.save(model.state_dict(), folder / "encodec_24khz-d7cc33bc.th")


def _open_encodec(folder: Path) -> Any:
    import torch

    model = _encodec()
    model.load_state_dict(torch.load(folder / "encodec_24khz-d7cc33bc.th", weights_only=True))
    model.set_target_bandwidth(6.0)
    return (
        lambda samples: model.encode(samples[None])[0][0][0],
        lambda codes: model.decode([(codes[None], None)])[0],
    )


def _make_dac(folder: Path) -> None:
    import dac

    model = dac.DAC(encoder_rates=[2, 4, 5, 8], decoder_rates=[8, 5, 4, 2], n_codebooks=12, sample_rate=16000)
    model.save(folder / "weights_16khz_8kbps_0.0.5.pth", package=False)


def _open_dac(folder: Path) -> Any:
    import dac

    model = dac.DAC.load(folder / "weights_16khz_8kbps_0.0.5.pth").eval()
    return (
        lambda samples: model.encode(model.preprocess(samples[None], 16000))[1][0],
        lambda codes: model.decode(model.quantizer.from_codes(codes[None])[0])[0],
    )


SPEECHTOKENIZER = {
    "n_filters": 64,
    "strides": [8, 5, 4, 2],
    "dimension": 1024,
    "semantic_dimension": 768,
    "bidirectional": True,
    "dilation_base": 2,
    "residual_kernel_size": 3,
    "n_residual_layers": 1,
    "lstm_layers": 2,
    "activation": "ELU",
    "codebook_size": 1024,
    "n_q": 8,
    "sample_rate": 16000,
}
"""``config.json`` of the publisher, as far as the network needs it."""


def _make_speechtokenizer(folder: Path) -> None:
    import torch
    from speechtokenizer import SpeechTokenizer

    model = SpeechTokenizer(SPEECHTOKENIZER).eval()
    codebooks = [layer._codebook for layer in model.quantizer.vq.layers]
    _draw([codebook.embed for codebook in codebooks], _centred(model.encoder, 16000))
    for codebook in codebooks:
        codebook.inited.fill_(1)
    (folder / "config.json").write_text(json.dumps(SPEECHTOKENIZER))
    torch.save(model.state_dict(), folder / "SpeechTokenizer.pt")


def _open_speechtokenizer(folder: Path) -> Any:
    from speechtokenizer import SpeechTokenizer

    model = SpeechTokenizer.load_from_checkpoint(folder / "config.json", folder / "SpeechTokenizer.pt").eval()
    return lambda samples: model.encode(samples[None])[:, 0], lambda codes: model.decode(codes[:, None])[0]


def _make_mimi(folder: Path) -> None:
    from transformers import MimiConfig, MimiModel

    model = MimiModel(MimiConfig(frame_rate=12.5)).eval()
    latents = model.encoder(_noise(24000)[None]).latents
    quantizer = model.quantizer
    for half in (quantizer.semantic_residual_vector_quantizer, quantizer.acoustic_residual_vector_quantizer):
        _draw([layer.codebook.embed_sum for layer in half.layers], half.input_proj(latents)[0].T)
    model.save_pretrained(folder)


def _open_mimi(folder: Path) -> Any:
    from transformers import MimiModel

    model = MimiModel.from_pretrained(folder).eval()
    return (
        lambda samples: model.encode(samples[None], num_quantizers=8).audio_codes[0],
        lambda codes: model.decode(codes[None]).audio_values[0],
    )


FAMILIES: Mapping[str, Family] = {
    "encodec": Family("6kbps", 24000, _make_encodec, _open_encodec),
    "dac-16khz": Family("12x1024", 16000, _make_dac, _open_dac),
    "speechtokenizer": Family("8x1024", 16000, _make_speechtokenizer, _open_speechtokenizer),
    "mimi": Family("8x2048", 24000, _make_mimi, _open_mimi),
}


def _noise(num_samples: int, seed: int = 0) -> Any:
    import torch

    return 0.1 * torch.randn(1, num_samples, generator=torch.Generator().manual_seed(seed))


def _utterances(sample_rate_hz: int, num_utterances: int) -> Iterator[Any]:
    """Yield as much audio, in total, whatever the rate; noise takes as long as speech."""
    for seed, duration_s in enumerate(np.random.default_rng(0).uniform(SHORTEST_S, LONGEST_S, num_utterances)):
        yield _noise(round(duration_s * sample_rate_hz), seed)


@contextmanager
def _without_gradients() -> Iterator[None]:
    import torch

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        yield


# The two sides, each in a process of its own


def run_original(name: str, folder: Path, num_utterances: int) -> dict[str, float]:
    """Time the package on every utterance, one after the other, and save its codes."""
    family, times = FAMILIES[name], {"encode_s": 0.0, "decode_s": 0.0}
    with _without_gradients():
        encode, decode = family.open_original(folder)
        decode(encode(_noise(family.sample_rate_hz)))
        for index, samples in enumerate(_utterances(family.sample_rate_hz, num_utterances)):
            start = time.perf_counter()
            codes = encode(samples)
            middle = time.perf_counter()
            decode(codes)
            times["encode_s"] += middle - start
            times["decode_s"] += time.perf_counter() - middle
            np.save(folder / f"original-{index}.npy", codes.numpy())
        latency = _latency(encode, decode, _noise(round(LATENCY_UTTERANCE_S * family.sample_rate_hz)))
    return {**times, **latency}


def _latency(encode: Callable[[Any], Any], decode: Callable[[Any], Any], samples: Any) -> dict[str, float]:
    """Return the best of several times of one utterance."""
    best = {"encode_one_s": float("inf"), "decode_one_s": float("inf")}
    for _ in range(NUM_LATENCY_REPEATS):
        start = time.perf_counter()
        codes = encode(samples)
        middle = time.perf_counter()
        decode(codes)
        end = time.perf_counter()
        best = {
            "encode_one_s": min(best["encode_one_s"], middle - start),
            "decode_one_s": min(best["decode_one_s"], end - middle),
        }
    return best


def run_tokbench_once(name: str, folder: Path) -> dict[str, float]:
    """Time a single utterance, with the threads that torch takes, in a process as `tokbench encode` prepares it."""
    from tokbench.allocator import keep_freed_memory

    keep_freed_memory()
    codec, audio = _codec(name, folder), _audio(name, round(LATENCY_UTTERANCE_S * FAMILIES[name].sample_rate_hz))
    codec.decode(codec.encode(audio))
    return _latency(codec.encode, codec.decode, audio)


def _audio(name: str, num_samples: int, seed: int = 0) -> Any:
    from tokbench.audio import Audio

    return Audio(_noise(num_samples, seed), FAMILIES[name].sample_rate_hz)


def _codec(name: str, folder: Path) -> Any:
    from tokbench.codecs.registry import load, one

    return load(one(f"{name}:{FAMILIES[name].setting}"), weights=folder)


_loaded: Any = None
"""The codec of a worker process."""


def _start_worker(name: str, folder: Path) -> None:
    from tokbench.run.worker import prepare_process

    global _loaded  # noqa: PLW0603  (the codec of this process)
    prepare_process({})
    _loaded = _codec(name, folder)
    _loaded.decode(_loaded.encode(_audio(name, FAMILIES[name].sample_rate_hz)))


def _ready(seconds: float) -> None:
    time.sleep(seconds)


def _encode(item: tuple[str, int, int]) -> Any:
    name, num_samples, seed = item
    return _loaded.encode(_audio(name, num_samples, seed))


def _decode(codes: Any) -> int:
    return int(_loaded.decode(codes).num_samples)


def run_tokbench(name: str, folder: Path, num_utterances: int) -> dict[str, float]:
    """Time two workers with one thread each, start apart, and compare their codes with those of the original."""
    lengths = [samples.shape[1] for samples in _utterances(FAMILIES[name].sample_rate_hz, num_utterances)]
    items = [(name, length, seed) for seed, length in enumerate(lengths)]
    with ProcessPoolExecutor(NUM_JOBS, get_context("spawn"), _start_worker, (name, folder)) as pool:
        list(pool.map(_ready, [1.0] * NUM_JOBS))  # both have started
        start = time.perf_counter()
        codes = list(pool.map(_encode, items))
        middle = time.perf_counter()
        list(pool.map(_decode, codes))
        end = time.perf_counter()
    same = [
        np.concatenate([stream.indices.numpy() for stream in found.streams])
        == np.load(folder / f"original-{index}.npy")
        for index, found in enumerate(codes)
    ]
    share = float(np.concatenate([equal.ravel() for equal in same]).mean())
    return {"encode_s": middle - start, "decode_s": end - middle, "equal_codes": share}


# All of it


def _in_process(side: str, name: str, folder: Path, num_utterances: int) -> dict[str, float]:
    threads = {"OMP_NUM_THREADS": "1"} if side == "tokbench" else {}
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"} | threads
    command = [sys.executable, "-W", "ignore", __file__, side, name, str(folder), str(num_utterances)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def measure_codec(name: str, num_utterances: int = NUM_UTTERANCES) -> dict[str, Any]:
    """Return audio seconds per second of both sides, and how many times as fast tokbench is."""
    import torch

    family = FAMILIES[name]
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        with _without_gradients():
            family.make(folder)
        original, ours, one = (
            _in_process(side, name, folder, num_utterances) for side in ("original", "tokbench", "latency")
        )
    audio_s = sum(samples.shape[1] for samples in _utterances(family.sample_rate_hz, num_utterances))
    audio_s /= family.sample_rate_hz
    rows: dict[str, Any] = {"num_utterances": num_utterances, "audio_s": round(audio_s)}
    for step in ("encode", "decode"):
        rows[f"original_{step}_audio_s_per_s"] = round(audio_s / original[f"{step}_s"], 2)
        rows[f"tokbench_{step}_audio_s_per_s"] = round(audio_s / ours[f"{step}_s"], 2)
        rows[f"{step}_speed_up"] = round(original[f"{step}_s"] / ours[f"{step}_s"], 2)
        rows[f"{step}_one_utterance_speed_up"] = round(original[f"{step}_one_s"] / one[f"{step}_one_s"], 2)
    rows["share_of_equal_codes"] = round(ours["equal_codes"], 6)
    return rows


def measure_codecs(num_utterances: int = NUM_UTTERANCES) -> dict[str, Any]:
    """Measure a corpus with two workers, and one utterance, against the original packages."""
    return {name: measure_codec(name, num_utterances) for name in FAMILIES}


def main() -> None:
    """Measure one codec, or be one of the sides."""
    sides: dict[str, Callable[..., dict[str, float]]] = {
        "original": run_original,
        "tokbench": run_tokbench,
        "latency": lambda name, folder, _: run_tokbench_once(name, folder),
    }
    first, *rest = sys.argv[1:]
    if first in sides:
        print(json.dumps(sides[first](rest[0], Path(rest[1]), int(rest[2]))))
    else:
        print(json.dumps(measure_codec(first, int(rest[0]) if rest else NUM_UTTERANCES), indent=1))


if __name__ == "__main__":
    main()
