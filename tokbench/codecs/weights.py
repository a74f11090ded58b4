"""Finding the weights of a published model: a named folder, the usual folder, the package, the hub."""

import os
from pathlib import Path

from tokbench.codecs.card import WeightsSource
from tokbench.errors import WeightsError, WeightsNotFoundError
from tokbench.paths import weights_dir
from tokbench.specs.base import file_sha256

__all__ = ["locate_weights"]

_PACKAGED = Path(__file__).parent / "weights_data"


def locate_weights(
    codec: str, source: WeightsSource, *, override: Path | None = None, download: bool = True
) -> Path:
    """Return the folder with the files of ``source``, checked against the hashes that the card gives.

    Looked for in ``override`` alone where it is given; else in ``$TOKBENCH_HOME/weights/<folder>``, inside the
    package, and on the hub, unless ``HF_HUB_OFFLINE`` is set. Raises :class:`WeightsNotFoundError` that says
    what to download and where to put it, or :class:`WeightsError` for a file that is not the published one.
    """
    usual = weights_dir() / source.folder
    candidates = [override] if override is not None else [usual, _PACKAGED / source.folder]
    for folder in candidates:
        if all((folder / name).is_file() for name in source.files):
            _check_files(folder, source)
            return folder
    if download and override is None and not os.environ.get("HF_HUB_OFFLINE"):
        downloaded = _download(source)
        if downloaded is not None:
            _check_files(downloaded, source)
            return downloaded
    raise WeightsNotFoundError(codec, folder=override or usual, hub=source.hub, files=sorted(source.files))


def _check_files(folder: Path, source: WeightsSource) -> None:
    for name, expected in source.files.items():
        if expected and (found := file_sha256(folder / name)) != expected:
            raise WeightsError(folder / name, expected=f"SHA-256 {expected}", found=found)


def _download(source: WeightsSource) -> Path | None:
    """Ask the hub; None where it cannot be reached or does not have the files."""
    if source.hub is None:
        return None
    try:
        from huggingface_hub import snapshot_download  # noqa: PLC0415  (an optional way)
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError  # noqa: PLC0415
    except ImportError:
        return None
    try:
        folder = snapshot_download(source.hub, revision=source.revision, allow_patterns=sorted(source.files))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError):
        return None
    return Path(folder)
