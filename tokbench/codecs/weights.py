"""Finding the weights of a published model: a named folder, the usual folder, the package, the hub."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from tokbench.codecs.card import Card, WeightsSource
from tokbench.errors import WeightsError, WeightsNotFoundError
from tokbench.paths import weights_dir
from tokbench.specs.base import file_sha256

__all__ = ["locate_sources", "locate_weights", "weights_files"]

_PACKAGED = Path(__file__).parent / "weights_data"


def locate_sources(
    card: Card, setting: str, *, override: Path | None = None, download: bool = True, verify: bool = True
) -> dict[str, Path]:
    """Return the folder of everything that a setting of ``card`` is made of, by the name of the adapter's argument.

    A part is looked for in ``override/<its folder>`` first and then where it usually is, so that a folder given
    for the codec itself need not repeat what others share. The folder of a codec that comes with the package is
    given so. Without ``verify`` files are taken by their names.
    Raises what :func:`locate_weights` raises.
    """
    folders = {}
    for name, source in card.sources.items():
        place = override
        if name != "weights":
            nested = (override or _PACKAGED / card.name) / source.folder
            place = nested if nested.is_dir() else None
        folders[name] = locate_weights(
            card.name, source, setting=setting, override=place, download=download, verify=verify
        )
    return folders


def locate_weights(
    codec: str,
    source: WeightsSource,
    *,
    setting: str = "",
    override: Path | None = None,
    download: bool = True,
    verify: bool = True,
) -> Path:
    """Return the folder with the files of ``source``, checked against the hashes that the card gives.

    Looked for in ``override``, or the folder of the source's name in it, alone where it is given; else in
    ``$TOKBENCH_HOME/weights/<folder>``, inside the package, and on the hub, unless ``HF_HUB_OFFLINE`` is set.
    Raises :class:`WeightsNotFoundError` that says what to download and where to put it, or :class:`WeightsError`
    for a file that is not the published one.
    """
    usual = weights_dir() / source.folder
    if override is not None:
        candidates = [override, override / source.folder]
    else:
        candidates = [usual, _PACKAGED / source.folder]
    choices = source.choices(setting)
    for folder in candidates:
        for files in choices:
            if _holds(folder, files):
                return _checked(folder, files) if verify else folder
    if download and override is None and not os.environ.get("HF_HUB_OFFLINE"):
        downloaded = _download(source, choices[0])
        if downloaded is not None and _holds(downloaded, choices[0]):
            return _checked(downloaded, choices[0])
    raise WeightsNotFoundError(
        codec,
        folder=override or usual,
        origin=f"{source.hub} on the Hugging Face hub" if source.hub else source.page,
        files=sorted(choices[0]),
        others=_others(override or usual),
    )


def weights_files(source: WeightsSource, setting: str, folder: Path) -> Iterator[Path]:
    """Yield the files of ``source`` for ``setting`` that lie in ``folder``."""
    names = {name for files in source.choices(setting) for name in files}
    yield from (folder / name for name in sorted(names) if (folder / name).is_file())


def _holds(folder: Path, files: Mapping[str, str]) -> bool:
    return all((folder / name).is_file() for name in files)


def _checked(folder: Path, files: Mapping[str, str]) -> Path:
    for name, expected in files.items():
        if expected and (found := file_sha256(folder / name)) != expected:
            raise WeightsError(folder / name, expected=f"SHA-256 {expected}", found=found)
    return folder


def _others(folder: Path, limit: int = 3) -> list[str]:
    """Return what lies in the place of the weights: most often the right file under another name."""
    if not folder.is_dir():
        return []
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return names[:limit]


def _download(source: WeightsSource, files: Mapping[str, str]) -> Path | None:
    """Ask the hub; None where it cannot be reached or does not have the files."""
    if source.hub is None:
        return None
    try:
        from huggingface_hub import snapshot_download  # noqa: PLC0415  (an optional way)
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError  # noqa: PLC0415
    except ImportError:
        return None
    try:
        folder = snapshot_download(source.hub, revision=source.revision, allow_patterns=sorted(files))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError):
        return None
    return Path(folder)
