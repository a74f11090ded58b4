"""What tests of quantizers let several processes do: in a module of its own, which a process can import."""

import os
from pathlib import Path

import torch
from torch import Tensor, distributed

from tokbench.models.quantizers import build_quantizer
from tokbench.specs.quantizers import Rvq

NUM_PROCESSES = 2


def batch(rank: int, step: int) -> Tensor:
    """Return latents [2, 4, 10], others for each process and step."""
    return torch.randn(2, 4, 10, generator=torch.Generator().manual_seed(100 * rank + step))


def learn(rank: int, folder: str, spec: Rvq, num_steps: int) -> tuple[dict[str, Tensor], list[int]]:
    """Return, of one process of several, its quantizer's state and how many codebooks each step used."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    name = Path(folder, "rendezvous").as_uri()
    distributed.init_process_group("gloo", init_method=name, rank=rank, world_size=NUM_PROCESSES)
    torch.manual_seed(0)
    quantizer = build_quantizer(spec, 4)
    torch.manual_seed(rank)  # what is drawn in one process is not what is drawn in another
    used = [int((quantizer(batch(rank, step)).codes[0, :, 0] >= 0).sum()) for step in range(num_steps)]
    distributed.destroy_process_group()
    return quantizer.state_dict(), used
