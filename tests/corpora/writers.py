"""What the functions that the fixtures return look like."""

from pathlib import Path
from typing import Protocol


class WriteWav(Protocol):
    def __call__(self, path: Path, num_samples: int = 1600) -> Path: ...


class WriteManifest(Protocol):
    def __call__(self, text: str, *, name: str = "manifest.csv", encoding: str = "utf-8") -> Path: ...
