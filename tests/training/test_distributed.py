"""Two processes, as torchrun starts them, against one with the whole batch."""

import socket
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny.toy_run import ToyRun
from torch import nn

from tokbench.corpora.base import Corpus
from tokbench.training import processes
from tokbench.training.processes import Processes


def run(corpus: Path, out: Path, *, num_processes: int, batch_size: int) -> None:
    """Train in processes that find in their environment what torchrun sets."""
    changes = {"num_steps": 3, "batch_size": batch_size, "log_every_steps": 1, "validate_every_steps": 3}
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(num_processes)}
    started = [
        ToyRun(
            corpus,
            out,
            changes,
            dropout=0.0,
            num_workers=0,
            environment={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} if num_processes > 1 else None,
        ).start()
        for rank in range(num_processes)
    ]
    assert [(end.code, end.error) for end in (process.end() for process in started)] == [(0, "")] * num_processes


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def test_two_processes_learn_what_one_learns_of_both_their_crops(corpus: Corpus, tmp_path: Path) -> None:
    audio = tmp_path / "audio"
    audio.mkdir()
    for utterance in corpus:
        utterance.path.rename(audio / utterance.path.name)
    run(audio, tmp_path / "two", num_processes=2, batch_size=2)
    run(audio, tmp_path / "one", num_processes=1, batch_size=4)
    first, second = (load_file(tmp_path / f"two.rank{rank}") for rank in range(2))
    alone = load_file(tmp_path / "one.rank0")
    for name in alone:
        if name == "mean":  # a buffer that the toy does not average: each process has its own
            continue
        assert first[name].equal(second[name]), name
        torch.testing.assert_close(first[name], alone[name], rtol=1e-4, atol=1e-5)
    assert (tmp_path / "two" / "card.toml").is_file()


def test_one_process_has_nothing_to_share() -> None:
    alone = Processes.start("cpu")
    assert (alone.index, alone.count, alone.is_first) == (0, 1, True)
    assert alone.any(value=True)
    assert not alone.any(value=False)
    layer = nn.Linear(2, 2)
    alone.average_gradients(layer.parameters())
    assert layer.weight.grad is None


@pytest.mark.parametrize("num_numbers", [1, 7, 10**6])
def test_gradients_are_averaged_bucket_by_bucket(num_numbers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # The other process has the same gradients, but none for the last parameter; nobody has one for the first.
    monkeypatch.setattr(processes, "_BUCKET_NUMBERS", num_numbers)
    parameters = [nn.Parameter(torch.zeros(size)) for size in (3, 2, 4)]
    parameters[1].grad = torch.tensor([1.0, 2.0])
    parameters[2].grad = torch.full((4,), 3.0)
    seen = []

    def reduce(flat: torch.Tensor) -> None:
        seen.append(len(flat))
        flat *= 2

    monkeypatch.setattr(processes.distributed, "all_reduce", reduce)
    Processes(torch.device("cpu"), 0, 2).average_gradients(parameters)
    assert parameters[0].grad is None
    torch.testing.assert_close(parameters[1].grad, torch.tensor([1.0, 2.0]))
    torch.testing.assert_close(parameters[2].grad, torch.full((4,), 3.0))
    assert seen == ([12] if num_numbers > 9 else [7, 5] if num_numbers == 7 else [4, 3, 5])
