"""Where a number comes from: versions, commit, device, seed."""

import functools
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tokbench

__all__ = ["commit", "machine", "package_versions", "program", "provenance"]

_PACKAGES = (
    "av",
    "numpy",
    "onnxruntime",
    "pesq",
    "pystoi",
    "pyworld",
    "scikit-learn",
    "scipy",
    "soundfile",
    "soxr",
    "speechmos",
    "torch",
    "torchaudio",
    "transformers",
    "visqol-python",
)
"""Packages whose version can move the score of any codec."""


@functools.cache
def package_versions(more: tuple[str, ...] = ()) -> Mapping[str, str]:
    """Return the installed version of each package that can move a score, and of ``more`` that a codec needs."""
    versions = {}
    for name in sorted({*_PACKAGES, *more}):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


@functools.cache
def commit() -> str | None:
    """Return the commit of the source checkout, ``+changes`` where it was edited; None for an installed package."""
    root = Path(__file__).parent.parent
    if not (root / ".git").exists():
        return None
    head = _git(root, "rev-parse", "HEAD")
    if head is None:
        return None
    return f"{head}+changes" if _git(root, "status", "--porcelain", "--", "tokbench", "tasks") else head


def program() -> str:
    """Return the version of tokbench, and its commit where that is known."""
    return f"{tokbench.__version__} {commit()}"


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603
            ["git", "-C", str(root), *arguments],  # noqa: S607
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def provenance(
    *, device: str, seed: int, limit: int | None, resampler: str, requires: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return what a record says of its making; equal for equal code, packages and options."""
    return {
        "tokbench": tokbench.__version__,
        "commit": commit(),
        "python": platform.python_version(),
        "packages": dict(package_versions(requires)),
        "device": device,
        "seed": seed,
        "limit": limit,
        "resampler": resampler,
    }


def machine() -> dict[str, Any]:
    """Return what the times of a run depend on."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "num_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
