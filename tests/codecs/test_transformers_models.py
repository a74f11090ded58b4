"""Loading a model of transformers: whatever is not exactly the model is refused, with file and difference."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import EncodecConfig, EncodecModel

from tokbench.codecs.transformers_models import load_pretrained, load_pretrained_config
from tokbench.errors import WeightsError

CONFIG = {"num_filters": 2, "hidden_size": 4, "codebook_dim": 4, "codebook_size": 16, "num_lstm_layers": 1}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    EncodecModel(EncodecConfig(**CONFIG)).save_pretrained(tmp_path)
    return tmp_path


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def reconfigure(folder: Path, **values: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def test_the_outputs_are_those_of_the_saved_model(folder: Path) -> None:
    expected = EncodecModel.from_pretrained(folder).eval()
    loaded = load_pretrained(EncodecModel, folder)
    audio = torch.randn(1, 1, 1000)
    with torch.inference_mode():
        torch.testing.assert_close(loaded.encoder(audio), expected.encoder(audio), atol=0, rtol=0)
    assert not loaded.training
    assert not any("parametrizations" in name for name in loaded.state_dict())


def test_half_precision_files_are_read_to_float32(folder: Path) -> None:
    rewrite(folder, lambda tensors: tensors.update({name: t.bfloat16() for name, t in tensors.items()}))
    assert {parameter.dtype for parameter in load_pretrained(EncodecModel, folder).parameters()} == {torch.float32}


def test_a_missing_tensor_is_not_drawn_at_random(folder: Path) -> None:
    rewrite(folder, lambda tensors: tensors.pop("encoder.layers.0.conv.bias"))
    with pytest.raises(WeightsError, match=r"model\.safetensors: .* found none for encoder\.layers\.0\.conv\.bias"):
        load_pretrained(EncodecModel, folder)


def test_an_unknown_tensor_is_named_unless_it_may_be_there(folder: Path) -> None:
    rewrite(folder, lambda tensors: tensors.update({"head.weight": torch.zeros(2)}))
    with pytest.raises(WeightsError, match=r"model\.safetensors: .* found also head\.weight"):
        load_pretrained(EncodecModel, folder)
    load_pretrained(EncodecModel, folder, ignored=("head.",))


def test_a_renamed_tensor_is_named(folder: Path) -> None:
    rewrite(folder, lambda tensors: tensors.update({"encoder.a.bias": tensors.pop("encoder.layers.0.conv.bias")}))
    with pytest.raises(WeightsError, match=r"found none for encoder\.layers\.0\.conv\.bias"):
        load_pretrained(EncodecModel, folder)


def test_a_truncated_file_is_named(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"model\.safetensors: expected the tensors of the EncodecModel"):
        load_pretrained(EncodecModel, folder)


def test_pickled_weights_are_not_read(folder: Path) -> None:
    file = folder / "model.safetensors"
    torch.save(load_file(file), folder / "pytorch_model.bin")
    file.unlink()
    with pytest.raises(WeightsError, match=r"model\.safetensors: expected the tensors"):
        load_pretrained(EncodecModel, folder)


def test_weights_of_another_shape_are_refused(folder: Path) -> None:
    reconfigure(folder, num_filters=4)
    with pytest.raises(WeightsError, match=r"model\.safetensors: expected the tensors"):
        load_pretrained(EncodecModel, folder)


def test_the_configuration_of_another_family_is_refused(folder: Path) -> None:
    reconfigure(folder, model_type="dac")
    with pytest.raises(WeightsError, match=r"config\.json: .* type 'encodec', found one of type 'dac'"):
        load_pretrained(EncodecModel, folder)


@pytest.mark.parametrize("content", ["", "<html>", "[]", "{}", '{"model_type": "encodec", "num_filters": "x"}'])
def test_a_file_that_is_no_configuration_is_refused(folder: Path, content: str) -> None:
    (folder / "config.json").write_text(content)
    with pytest.raises(
        WeightsError, match=r"config\.json: expected the configuration of a model of type 'encodec'"
    ):
        load_pretrained_config(EncodecModel, folder)


def test_the_configuration_is_returned(folder: Path) -> None:
    assert load_pretrained_config(EncodecModel, folder).hidden_size == 4
