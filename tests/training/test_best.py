"""The weights that did best on what is held out."""

import torch
from torch import nn

from tokbench.training.best import Best


def network() -> nn.ModuleDict:
    return nn.ModuleDict({"first": nn.Linear(1, 1), "second": nn.Linear(1, 1), "third": nn.Linear(1, 1)})


def fill(networks: nn.ModuleDict, value: float) -> None:
    for tensor in networks.state_dict().values():
        tensor.fill_(value)


def values(networks: nn.ModuleDict) -> dict[str, float]:
    return {name: float(each.weight.detach()) for name, each in networks.items() if isinstance(each, nn.Linear)}


def test_every_part_is_kept_as_it_was_at_its_best() -> None:
    networks, best = network(), Best()
    for step, (first, second) in enumerate(((3.0, 1.0), (1.0, 2.0), (1.0, float("nan")), (2.0, 1.5))):
        fill(networks, step)
        best.see(networks, {"first": first, "second": second}, step)
    assert best.steps == {"first": 1, "second": 0}
    best.put(networks)
    assert values(networks) == {"first": 1.0, "second": 0.0, "third": 3.0}


def test_what_was_never_judged_stays_as_it_is() -> None:
    networks, best = network(), Best()
    fill(networks, 5.0)
    best.see(networks, {}, 1)
    best.put(networks)
    assert values(networks) == dict.fromkeys(("first", "second", "third"), 5.0)
    assert not best.state()


def test_a_state_is_all_of_it() -> None:
    networks, best, resumed = network(), Best(), Best()
    fill(networks, 1.0)
    best.see(networks, {"first": 0.1, "second": 0.3}, 7)
    resumed.load({name: tensor.clone() for name, tensor in best.state().items()})
    fill(networks, 2.0)
    for each in (best, resumed):
        each.see(networks, {"first": 0.2, "second": 0.2}, 8)
        assert each.steps == {"first": 7, "second": 8}
        each.put(networks)
        assert values(networks) == {"first": 1.0, "second": 2.0, "third": 2.0}
        fill(networks, 2.0)
    assert all(torch.equal(tensor, resumed.state()[name]) for name, tensor in best.state().items())
