"""The allocator: freed memory stays in the process, to be used again."""

import subprocess
import sys

import pytest

CHURN = """
import resource, sys
import torch
torch.set_num_threads(1)
if sys.argv[1] == "keep":
    from tokbench.allocator import keep_freed_memory
    assert keep_freed_memory()

def churn():
    for _ in range(20):
        torch.ones(16 * 2**20)  # 64 MiB

churn()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
churn()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

RETURN = """
from pathlib import Path
import torch
torch.set_num_threads(1)
from tokbench.allocator import keep_freed_memory
assert keep_freed_memory()

def resident_mib():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

def use():
    blocks = [torch.ones(16 * 2**20) for _ in range(16)]  # 1 GiB

before = resident_mib()
kept = []
for _ in range(8):
    use()
    kept.append(resident_mib() - before)
print(*kept)
"""


def output(script: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="glibc alone")
def test_what_was_freed_is_used_again_without_asking_the_kernel() -> None:
    faults = {mode: int(output(CHURN, mode)) for mode in ("keep", "leave")}
    assert faults["keep"] < faults["leave"] / 10


@pytest.mark.skipif(sys.platform != "linux", reason="glibc alone")
def test_what_is_kept_does_not_grow() -> None:
    # A small block that happens to lie at the end of the heap holds back all that is below it: what was in use once
    # may stay, with some gaps between the pieces. Eight rounds that each kept their own would be 8 GiB.
    assert max(map(float, output(RETURN).split())) < 2 * 1024
