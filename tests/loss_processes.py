"""What tests of losses let several processes do: in a module of its own, which a process can import."""

import os
from pathlib import Path

import torch
from torch import distributed

from tokbench.specs.losses import Balancer
from tokbench.training.balancer import GradientBalancer

NUM_PROCESSES = 2
WEIGHTS = {"steep": 1.0, "flat": 3.0}


def balanced(rank: int, folder: str) -> tuple[list[float], list[float]]:
    """Return, of one process of several, the gradients 1 + rank and 4 after they were balanced by one balancer."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    name = Path(folder, "rendezvous").as_uri()
    distributed.init_process_group("gloo", init_method=name, rank=rank, world_size=NUM_PROCESSES)
    balancer = GradientBalancer(Balancer(decay=0.5), WEIGHTS)
    audio = torch.zeros(1, 1, 1, requires_grad=True)
    found = []
    for factor in (1.0, 3.0):
        losses = {"steep": factor * (1 + rank) * audio.sum(), "flat": 4 * audio.sum()}
        (gradient,) = torch.autograd.grad(balancer(losses, audio), audio)
        found.append(float(gradient))
    distributed.destroy_process_group()
    return found, balancer.sums.tolist()
