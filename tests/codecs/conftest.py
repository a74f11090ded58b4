"""One thread per test process, as in tokbench's workers: a second one only waits for the first."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)
