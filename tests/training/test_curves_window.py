"""Means of scalars over steps, wherever they were computed."""

import torch

from tokbench.training.curves import Window


def test_a_scalar_that_is_on_no_gpu_joins_the_sum_of_one_that_is() -> None:
    held = Window({"norm": torch.zeros(2, dtype=torch.float64, device="meta")})
    held.add({"norm": torch.tensor(1.0)})
    assert held.state()["norm"].device.type == "meta"


def test_means_are_over_the_steps_that_had_a_scalar() -> None:
    window = Window()
    window.add({"a": torch.tensor(1.0), "b": torch.tensor(5.0)})
    window.add({"a": torch.tensor(3.0)})
    assert window.means() == {"a": 2.0, "b": 5.0}
    assert window.state() == {}
