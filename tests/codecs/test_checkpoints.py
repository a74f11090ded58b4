"""Reading checkpoints: tensors come back, and nothing that a file contains is executed."""

import argparse
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tokbench.codecs.checkpoints import (
    Inert,
    fold_weight_norm,
    fold_weight_norms,
    load_strictly,
    read_checkpoint,
    read_tensors,
)
from tokbench.errors import WeightsError


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


class Progress(dict):
    """A dict of a class that the reader does not have."""


@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_survive_beside_objects_of_the_training_code(tmp_path: Path, *, zipped: bool) -> None:
    weight = torch.arange(6.0).reshape(2, 3)
    content = {
        "state_dict": {"weight": weight, "half": weight.half(), "step": torch.tensor(3), "note": "text"},
        "arguments": argparse.Namespace(width=3),
        "progress": Progress(epoch=np.float64(1.5)),
        "path": Path("x"),
    }
    torch.save(content, tmp_path / "model.ckpt", _use_new_zipfile_serialization=zipped)
    tensors = read_tensors(tmp_path / "model.ckpt", "state_dict")
    assert sorted(tensors) == ["half", "step", "weight"]
    assert torch.equal(tensors["weight"], weight)
    assert tensors["half"].dtype == torch.float16
    assert isinstance(read_checkpoint(tmp_path / "model.ckpt")["arguments"], Inert)


@pytest.mark.parametrize("zipped", [True, False])
def test_nothing_in_a_checkpoint_is_executed(tmp_path: Path, *, zipped: bool) -> None:
    made = tmp_path / "made by the checkpoint"
    content = {"state_dict": {"weight": torch.ones(1)}, "trap": Trap(made)}
    torch.save(content, tmp_path / "model.pt", _use_new_zipfile_serialization=zipped)
    assert list(read_tensors(tmp_path / "model.pt", "state_dict")) == ["weight"]
    assert not made.exists()
    torch.load(tmp_path / "model.pt", weights_only=False)  # the trap does work
    assert made.exists()


def test_nothing_in_a_bare_pickle_is_executed(tmp_path: Path) -> None:
    made = tmp_path / "made by the pickle"
    (tmp_path / "model.pt").write_bytes(pickle.dumps(Trap(made)))
    with pytest.raises(WeightsError, match=r"model\.pt: expected"):
        read_tensors(tmp_path / "model.pt", "state_dict")
    assert not made.exists()


def test_a_program_is_not_run(tmp_path: Path) -> None:
    """Torch would, of an archive of TorchScript, whatever is asked of a pickle."""
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), tmp_path / "model.pt")
    with pytest.raises(WeightsError, match="found a program in TorchScript"):
        read_checkpoint(tmp_path / "model.pt")


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    torch.save({"model": {"generator": {"w": torch.ones(1)}}, "epoch": 3}, tmp_path / "x.pth")
    assert list(read_tensors(tmp_path / "x.pth", "model", "generator")) == ["w"]
    with pytest.raises(
        WeightsError, match=r"expected tensors under the key 'model\.encoder', found the keys generator"
    ):
        read_tensors(tmp_path / "x.pth", "model", "encoder")
    with pytest.raises(WeightsError, match="expected tensors by name, found the keys model, epoch"):
        read_tensors(tmp_path / "x.pth")


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"", "unreadable"), (b"<html>404</html>", "unreadable"), (b"PK\x03\x04" * 9, "unreadable")],
)
def test_what_is_no_checkpoint_is_said_to_be_none(content: bytes, found: str, tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(WeightsError, match=rf"model\.pt: expected a PyTorch checkpoint, found an {found}"):
        read_tensors(tmp_path / "model.pt")


def test_a_truncated_checkpoint_is_said_to_be_none(tmp_path: Path) -> None:
    file = tmp_path / "model.pt"
    torch.save({"weight": torch.randn(1000)}, file)
    file.write_bytes(file.read_bytes()[:-500])
    with pytest.raises(WeightsError, match=r"model\.pt: expected a PyTorch checkpoint"):
        read_tensors(file)


def test_a_truncated_safetensors_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"\x10")
    with pytest.raises(WeightsError, match=r"model\.safetensors: expected a safetensors file"):
        read_tensors(tmp_path / "model.safetensors")


def test_loading_is_strict_and_says_what_differs(tmp_path: Path) -> None:
    layer, path = nn.Linear(3, 2), tmp_path / "file.pt"
    good = {"weight": torch.ones(2, 3), "bias": torch.zeros(2)}
    assert torch.equal(load_strictly(layer, good, path).weight, torch.ones(2, 3))
    assert not layer.training
    bad = {"weight": torch.ones(3, 2), "more": torch.zeros(2)}
    expected = (
        r"file\.pt: expected the tensors of Linear, found no bias; an unknown more; "
        r"weight of shape \[3, 2\] instead of \[2, 3\]"
    )
    with pytest.raises(WeightsError, match=expected):
        load_strictly(layer, bad, path)


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated")
@pytest.mark.parametrize("normalise", [nn.utils.weight_norm, nn.utils.parametrizations.weight_norm])
@pytest.mark.parametrize("make", [nn.Conv1d, nn.ConvTranspose1d])
@torch.no_grad()
def test_folded_weight_norm_computes_the_same(normalise: Any, make: type[nn.Conv1d]) -> None:
    torch.manual_seed(0)
    stack = nn.Sequential(normalise(make(4, 6, 3)), nn.ELU(), normalise(make(6, 2, 5)))
    for parameter in stack.parameters():
        parameter.add_(torch.rand_like(parameter))
    signal = torch.randn(1, 4, 40)
    expected = stack(signal)
    plain = nn.Sequential(make(4, 6, 3), nn.ELU(), make(6, 2, 5))
    load_strictly(plain, fold_weight_norms(stack.state_dict()), Path("stack.pt"))
    torch.testing.assert_close(plain(signal), expected)
    torch.testing.assert_close(fold_weight_norm(stack)(signal), expected)
    assert set(stack.state_dict()) == set(plain.state_dict())


def test_a_folded_weight_has_the_norms_of_the_first_axis() -> None:
    v, g = torch.randn(2, 3, 4), torch.rand(2, 1, 1)
    folded = fold_weight_norms({"0.weight_g": g, "0.weight_v": v, "0.bias": torch.zeros(2)})
    for row in range(2):
        norm = sum(float(value) ** 2 for value in v[row].flatten()) ** 0.5
        torch.testing.assert_close(folded["0.weight"][row], v[row] * float(g[row]) / norm)
