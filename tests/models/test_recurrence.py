"""Recurrent layers without packing: the outputs of packed ones, and items that do not know each other."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from tokbench.models.recurrence import Recurrence, turned


@pytest.mark.parametrize("is_both", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_outputs_are_those_of_packed_layers(num_layers: int, *, is_both: bool) -> None:
    torch.manual_seed(0)
    made = Recurrence(3, 4, num_layers=num_layers, is_both=is_both).eval()
    packed = nn.LSTM(3, 4, num_layers, batch_first=True, bidirectional=is_both)
    state = {}
    for number, layer in enumerate(made.layers):
        for suffix, lstm in zip(("", "_reverse"), layer, strict=False):
            for name, tensor in lstm.state_dict().items():
                state[name.replace("_l0", f"_l{number}{suffix}")] = tensor
    packed.load_state_dict(state)
    features, lengths = torch.randn(3, 9, 3), torch.tensor([9, 4, 1])
    found = made(features, lengths)
    expected, _ = pad_packed_sequence(
        packed(pack_padded_sequence(features, lengths, batch_first=True))[0], batch_first=True
    )
    for item, other, length in zip(found, expected, lengths.tolist(), strict=True):
        torch.testing.assert_close(item[:length], other[:length])


def test_each_item_is_turned_by_itself() -> None:
    items = torch.tensor([[[1.0], [2.0], [3.0]], [[4.0], [5.0], [9.0]]])
    found = turned(items, torch.tensor([3, 2]))
    assert found[0, :, 0].tolist() == [3, 2, 1]
    assert found[1, :2, 0].tolist() == [5, 4]


def test_what_follows_after_an_item_reaches_neither_its_outputs_nor_its_gradients() -> None:
    torch.manual_seed(0)
    made = Recurrence(2, 3)
    features = torch.randn(1, 6, 2)
    filled = features.clone()
    filled[0, 4:] = 100.0
    sums = []
    for item in (features, filled):
        made.zero_grad()
        total = made(item, torch.tensor([4]))[:, :4].sum()
        total.backward()
        sums.append([total.detach(), *(parameter.grad.clone() for parameter in made.parameters())])
    for one, other in zip(*sums, strict=True):
        torch.testing.assert_close(one, other)
