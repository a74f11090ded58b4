"""Commands that turn files into codes and back."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["decode", "encode"]


def encode(
    files: Annotated[list[Path], typer.Argument(help="Audio files.")],
    codec: Annotated[str, typer.Option(help="NAME[:SETTING], file.py:Class, or a folder.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the codes. By default beside each file.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    weights: Annotated[Path | None, typer.Option(help="Folder with the codec's weights.")] = None,
) -> None:
    """Encode audio files to codes on disk: FILE.safetensors, which `tokbench decode` reads."""
    from tokbench.audio import Audio
    from tokbench.cli.terminal import print_table
    from tokbench.codecs.registry import load, one
    from tokbench.store import CodesFile

    reference = one(codec)
    tokenizer = load(reference, device=device, weights=weights)
    rows = []
    for file in files:
        info = tokenizer.info
        audio = Audio.read(file).to_channels(info.num_channels).resample(info.sample_rate_hz)
        codes = tokenizer.encode(audio)
        path = (out or file.parent) / f"{file.stem}.safetensors"
        CodesFile(codec, codes).write(path)
        shapes = " + ".join(f"{s.num_codebooks} x {s.num_frames}" for s in codes.streams)
        rows.append(
            (str(path), f"{codes.duration_s:.3f}", shapes, f"{codes.num_tokens}", f"{codes.bitrate_bps:.0f}")
        )
    columns = ("codes", "seconds", "codebooks x frames", "tokens", "bit/s")
    print_table(rows, columns=columns, numeric=("seconds", "tokens", "bit/s"))


def decode(
    files: Annotated[list[Path], typer.Argument(help="Codes that `tokbench encode` wrote.")],
    codec: Annotated[
        str | None, typer.Option(help="The codec, where it is not the one that the file names.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the audio. By default beside each file.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    weights: Annotated[Path | None, typer.Option(help="Folder with the codec's weights.")] = None,
) -> None:
    """Decode codes on disk to audio: FILE.decoded.wav."""
    from tokbench.cli.terminal import print_table
    from tokbench.codecs.base import Codec
    from tokbench.codecs.registry import load, one
    from tokbench.errors import NotSupportedError
    from tokbench.store import CodesFile

    rows = []
    for file in files:
        stored = CodesFile.read(file)
        tokenizer = load(one(codec or _named_in(file, stored.codec)), device=device, weights=weights)
        if not isinstance(tokenizer, Codec):
            raise NotSupportedError(tokenizer.info.name, "decoding")
        audio = tokenizer.decode(stored.codes)
        path = (out or file.parent) / f"{file.stem}.decoded.wav"
        audio.write(path)
        rows.append((str(path), f"{audio.duration_s:.3f}", str(audio.sample_rate_hz)))
    print_table(rows, columns=("audio", "seconds", "Hz"), numeric=("seconds", "Hz"))


def _named_in(file: Path, codec: str) -> str:
    """Return the codec that a file names; only one that is registered, since a file must not choose code to run."""
    from tokbench.codecs.registry import list_cards, list_plugins
    from tokbench.errors import UsageError

    if codec.partition(":")[0] not in (*list_cards(), *list_plugins()):
        msg = f"{file} was made by {codec}, which is not a registered codec; name it with --codec"
        raise UsageError(msg)
    return codec
