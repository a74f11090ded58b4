"""Commands that turn files into codes and back."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tokbench.run.files import Coded, FileJob

__all__ = ["decode", "encode"]

Jobs = Annotated[int | None, typer.Option(min=1, help="Worker processes. By default one per core (on a GPU: one).")]
Weights = Annotated[Path | None, typer.Option(help="Folder with the codec's weights.")]
Device = Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")]


def encode(
    files: Annotated[list[Path], typer.Argument(help="Audio files.")],
    codec: Annotated[str, typer.Option(help="NAME[:SETTING], file.py:Class, or a folder.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the codes. By default beside each file.")] = None,
    device: Device = "cpu",
    jobs: Jobs = None,
    weights: Weights = None,
    entropy: Annotated[  # noqa: FBT002  (an option of the command line)
        bool,
        typer.Option("--entropy", help="Write FILE.tokb, a bitstream, entropy coded where the codec has a model."),
    ] = False,
) -> None:
    """Encode audio files to codes on disk: FILE.safetensors, which `tokbench decode` reads."""
    from tokbench.cli.device import check_device
    from tokbench.cli.terminal import print_table
    from tokbench.codecs.registry import one
    from tokbench.run.files import FileJob

    check_device(device)
    reference = one(codec)
    work = [FileJob(file, out or file.parent, reference, codec, device, weights, entropy=entropy) for file in files]
    _check_outputs(work, ".tokb" if entropy else ".safetensors")
    done = _process(work, jobs, device)
    columns = ["codes", "seconds", "codebooks x frames", "tokens", "bit/s"]
    rows = [
        [str(item.path), f"{item.duration_s:.3f}", item.shapes, str(item.num_tokens), f"{item.bitrate_bps:.0f}"]
        for item in done
    ]
    if entropy:
        columns += ["coded bit/s", "coder"]
        rows = [[*row, f"{item.coded_bitrate_bps:.0f}", item.coder] for row, item in zip(rows, done, strict=True)]
    print_table(rows, columns=columns, numeric=("seconds", "tokens", "bit/s", "coded bit/s"))
    _leave(len(files) - len(done))


def decode(
    files: Annotated[list[Path], typer.Argument(help="Codes that `tokbench encode` wrote.")],
    codec: Annotated[
        str | None, typer.Option(help="The codec, where it is not the one that the file names.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the audio. By default beside each file.")] = None,
    device: Device = "cpu",
    jobs: Jobs = None,
    weights: Weights = None,
) -> None:
    """Decode codes on disk to audio: FILE.decoded.wav."""
    from tokbench.cli.device import check_device
    from tokbench.cli.terminal import print_table
    from tokbench.codecs.registry import one
    from tokbench.run.files import FileJob

    check_device(device)
    names = [codec or _named_in(file) for file in files]
    references = {name: one(name) for name in names}
    work = [
        FileJob(file, out or file.parent, references[name], name, device, weights, decodes=True)
        for file, name in zip(files, names, strict=True)
    ]
    _check_outputs(work, ".decoded.wav")
    done = _process(work, jobs, device)
    rows = [(str(item.path), f"{item.duration_s:.3f}", str(item.sample_rate_hz)) for item in done]
    print_table(rows, columns=("audio", "seconds", "Hz"), numeric=("seconds", "Hz"))
    _leave(len(files) - len(done))


def _check_outputs(work: "list[FileJob]", ending: str) -> None:
    """Raise :class:`UsageError` where two files would be written to one place."""
    from tokbench.errors import UsageError

    sources: dict[Path, Path] = {}
    for job in work:
        path = job.folder / f"{job.file.stem}{ending}"
        before = sources.setdefault(path.resolve(), job.file)
        if before is not job.file:
            clash = f"{before} and {job.file} would both be written to {path}; give one of them another name, or"
            msg = f"{clash} process them one after the other, into different folders (--out)"
            raise UsageError(f"{job.file} is named twice" if before == job.file else msg)


def _process(work: "list[FileJob]", jobs: int | None, device: str) -> "list[Coded]":
    """Carry out the work; return what succeeded in the order of ``work``, and say why the rest did not."""
    from tokbench.cli.progress import file_progress
    from tokbench.cli.terminal import stderr
    from tokbench.run.executor import default_num_workers
    from tokbench.run.files import process
    from tokbench.runners.base import Failure

    num_workers = min(jobs or default_num_workers(device), len(work))
    outcomes = {}
    with file_progress(len(work)) as advance:
        for index, outcome in process(work, num_workers=num_workers):
            advance()
            if isinstance(outcome, Failure):
                file = str(work[index].file)
                reason = outcome.reason if file in outcome.reason else f"{file}: {outcome.reason}"
                stderr().print(f"Error: {reason}", style="red", markup=False)
            else:
                outcomes[index] = outcome
    return [outcomes[index] for index in sorted(outcomes)]


def _leave(num_failed: int) -> None:
    if num_failed:
        raise typer.Exit(1)


def _named_in(file: Path) -> str:
    """Return the codec that a file names; only one that is registered, since a file must not choose code to run."""
    from tokbench.codecs.registry import is_code, list_cards, list_plugins
    from tokbench.errors import UsageError
    from tokbench.run.files import codec_of_file

    codec = codec_of_file(file)
    # A reference to a file of code may begin with a name that is registered.
    if is_code(codec) or codec.partition(":")[0] not in (*list_cards(), *list_plugins()):
        msg = f"{file} was made by {codec}, which is not a registered codec; name it with --codec"
        raise UsageError(msg)
    return codec
