"""Training and decoding of a language model of codes here against a plain loop with PyTorch's own layers.

``measure_lm()`` belongs to ``benchmarks/run.py``; ``python benchmarks/lm_speed.py`` measures it alone. Both sides
have as many layers, heads and features, one vocabulary for each codebook, the same codes in the same layout, batch
and optimizer. The plain loop is what is written first: ``nn.TransformerEncoder`` under a causal mask, which in
decoding reads everything anew for each step. Codebooks are late by a step each, or come one by one out of a second,
local network for each frame. One thread; both take turns, so that both have the same machine; times are medians of
processor time.
"""

import json
import statistics
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from tokbench.lm.decoding import write
from tokbench.lm.examples import Example
from tokbench.lm.network import lay_out_for_steps_
from tokbench.lm.writers import Order
from tokbench.models.code_lm import sinusoids
from tokbench.specs.codec import find_spec
from tokbench.specs.lm import LmSpec, Sampling
from tokbench.training.learner import Progress
from tokbench.training.lm import LmLearner
from tokbench.training.lm_data import TokenBatch

CODEBOOK_SIZE, FRAME_RATE_HZ = 1024, 50.0
BATCH_SIZE, CROP_FRAMES = 8, 150
NUM_FRAMES = 500
"""Ten seconds, which both decode; ours then also decodes twice as much."""
NUM_LOCAL_CODEBOOKS = 8
NUM_FIRST_STEPS, NUM_STEPS, NUM_DECODINGS = 2, 9, 3
LEARNING_RATE = 1e-4
SIZES = {
    "3 layers of 128": {"num_layers": 3, "num_heads": 4, "dimension": 128, "feedforward_dimension": 512},
    "6 layers of 256": {"num_layers": 6, "num_heads": 4, "dimension": 256, "feedforward_dimension": 1024},
}
LOCAL_SIZE = {"num_layers": 2, "num_heads": 4, "dimension": 64, "feedforward_dimension": 256}
"""Of the local network, where there is one (UniAudio, Yang et al. 2023, arXiv:2310.00704, section 2.3)."""
GREEDY = Sampling(temperature=(0.0,))


class Measured(Protocol):
    """A model that is trained and decoded from."""

    num_parameters: int

    def step(self, codes: Tensor) -> None:
        """Learn from ``codes`` int64 [B, K, F]."""

    def decode(self, num_codebooks: int, num_frames: int) -> None:
        """Write ``num_frames`` frames from nothing."""


class Ours:
    """The model of a spec, of ``num_codebooks`` codebooks; ``size`` is what its network differs in."""

    def __init__(self, size: dict[str, Any], num_codebooks: int, *, is_local: bool = False) -> None:
        fixed = {"activation": "gelu", "dropout": 0.0}
        network: dict[str, Any] = {**fixed, "positions": "sinusoidal", "tied": False, **size}
        if is_local:
            network["local"] = {**LOCAL_SIZE, **fixed}
        codes = {"num_codebooks": num_codebooks, "codebook_size": CODEBOOK_SIZE, "frame_rate_hz": FRAME_RATE_HZ}
        layout = {"kind": "parallel" if is_local else "delay"}
        part = {"deduplicated": False, "layout": layout, "ended": False}
        changes = {
            "streams": {"units": codes},
            "network": {**network, "context": 2048},
            "stages": {"lm": {"parts": {"runs": part}}},
            "training": {"crop_s": CROP_FRAMES / FRAME_RATE_HZ},
        }
        spec, _ = find_spec("gslm", "tiny", changes=changes)
        assert isinstance(spec, LmSpec)
        self.learner = LmLearner(spec).train()
        self.optimizer = torch.optim.AdamW(self.learner.parameters(), LEARNING_RATE)
        self.num_parameters = sum(parameter.numel() for parameter in self.learner.parameters())

    def step(self, codes: Tensor) -> None:
        """Learn from ``codes`` int64 [B, K, F]."""
        batch = TokenBatch(tuple(Example({"units": each}, "sc") for each in codes))
        for turn in self.learner.turns(batch, Progress(50, 100)):
            self.optimizer.zero_grad()
            turn.total.backward()
            self.optimizer.step()

    def decode(self, num_codebooks: int, num_frames: int) -> None:
        """Write ``num_frames`` frames from nothing."""
        order = Order(torch.zeros(num_codebooks, 0, dtype=torch.int64), num_frames, is_known=True)
        network = self.learner.network("lm").eval()
        lay_out_for_steps_(network)  # as in a model that is loaded
        generators = [torch.Generator().manual_seed(0)]
        write(network, [Example({}, "sc")], [{"runs": order}], sampling=GREEDY, generators=generators)
        network.train()


def _layers(size: dict[str, int]) -> nn.TransformerEncoder:
    dimension = size["dimension"]
    layer = nn.TransformerEncoderLayer(
        dimension,
        size["num_heads"],
        size["feedforward_dimension"],
        dropout=0.0,
        activation="gelu",
        batch_first=True,
        norm_first=True,
    )
    return nn.TransformerEncoder(layer, size["num_layers"], nn.LayerNorm(dimension), enable_nested_tensor=False)


def _causal(layers: nn.TransformerEncoder, values: Tensor) -> Tensor:
    """Return [B, S, D] of ``values`` [B, S, D], each of which sees those before it."""
    placed = values + sinusoids(torch.arange(values.shape[1]), values)
    mask = nn.Transformer.generate_square_subsequent_mask(values.shape[1])
    output: Tensor = layers(placed, mask=mask, is_causal=True)
    return output


class Plain(nn.Module):
    """The same from PyTorch's own layers, its codebooks late by a step each."""

    def __init__(self, size: dict[str, int], num_codebooks: int, *, width: int = 0) -> None:
        super().__init__()
        dimension = size["dimension"]
        self.num_codebooks = num_codebooks
        self.layers = _layers(size)
        self.embeddings = nn.ModuleList(nn.Embedding(CODEBOOK_SIZE + 1, dimension) for _ in range(num_codebooks))
        self.heads = nn.ModuleList(
            nn.Linear(width or dimension, CODEBOOK_SIZE, bias=False) for _ in range(num_codebooks)
        )

    def delayed(self, codes: Tensor) -> Tensor:
        """Return int64 [B, K, F + K - 1], each codebook a step later than the one before."""
        last = self.num_codebooks - 1
        rows = [pad(codes[:, k], (k, last - k), value=CODEBOOK_SIZE) for k in range(self.num_codebooks)]
        return torch.stack(rows, dim=1)

    def forward(self, codes: Tensor) -> Tensor:
        """Return [B, S, D] of ``codes`` int64 [B, K, S]."""
        values = torch.stack([table(codes[:, k]) for k, table in enumerate(self.embeddings)]).sum(dim=0)
        return _causal(self.layers, values)

    def loss(self, codes: Tensor) -> Tensor:
        """Return what ``codes`` int64 [B, K, F] cost."""
        columns = self.delayed(codes)
        hidden = self(pad(columns[..., :-1], (1, 0), value=CODEBOOK_SIZE))
        total = torch.zeros(())
        for k, head in enumerate(self.heads):
            logits = head(hidden[:, k : k + codes.shape[2]])
            total = total + cross_entropy(logits.flatten(0, 1), codes[:, k].flatten())
        return total

    @cached_property
    def num_parameters(self) -> int:
        """How many numbers are learnt."""
        return sum(parameter.numel() for parameter in self.parameters())

    @cached_property
    def optimizer(self) -> torch.optim.Optimizer:
        """That of all parameters."""
        return torch.optim.AdamW(self.parameters(), LEARNING_RATE)

    def step(self, codes: Tensor) -> None:
        """Learn from ``codes`` int64 [B, K, F]."""
        total = self.loss(codes)
        self.optimizer.zero_grad()
        total.backward()
        self.optimizer.step()

    @torch.inference_mode()
    def decode(self, num_codebooks: int, num_frames: int) -> None:
        """Write ``num_frames`` frames from nothing."""
        self.eval()
        columns = torch.full((1, num_codebooks, 1), CODEBOOK_SIZE)
        for step in range(num_frames + num_codebooks - 1):
            hidden = self(columns)[:, -1]
            column = torch.full((1, num_codebooks, 1), CODEBOOK_SIZE)
            for k in range(max(step - num_frames + 1, 0), min(step + 1, num_codebooks)):
                column[:, k, 0] = self.heads[k](hidden).argmax(dim=-1)
            columns = torch.cat([columns, column], dim=2)


class PlainLocal(Plain):
    """The same, its codebooks one by one out of a local network."""

    def __init__(self, size: dict[str, int], num_codebooks: int) -> None:
        width = LOCAL_SIZE["dimension"]
        super().__init__(size, num_codebooks, width=width)
        self.local = _layers(LOCAL_SIZE)
        self.input = nn.Linear(size["dimension"], width)
        self.own_embeddings = nn.ModuleList(nn.Embedding(CODEBOOK_SIZE, width) for _ in range(num_codebooks))

    def within(self, hidden: Tensor, codes: Tensor) -> Tensor:
        """Return [N, K + 1, D], of frames [N, D] and the ``codes`` int64 [N, K] that are known of each."""
        first = self.input(hidden)
        before = [self.own_embeddings[k](codes[:, k]) for k in range(codes.shape[1])]
        return _causal(self.local, first[:, None] + torch.stack([torch.zeros_like(first), *before], dim=1))

    def loss(self, codes: Tensor) -> Tensor:
        """Return what ``codes`` int64 [B, K, F] cost."""
        hidden = self(pad(codes[..., :-1], (1, 0), value=CODEBOOK_SIZE)).flatten(0, 1)
        frames = codes.transpose(1, 2).flatten(0, 1)
        made = self.within(hidden, frames[:, :-1])
        costs = [cross_entropy(head(made[:, k]), frames[:, k]) for k, head in enumerate(self.heads)]
        return torch.stack(costs).sum()

    @torch.inference_mode()
    def decode(self, num_codebooks: int, num_frames: int) -> None:
        """Write ``num_frames`` frames from nothing."""
        self.eval()
        columns = torch.full((1, num_codebooks, 1), CODEBOOK_SIZE)
        for _ in range(num_frames):
            hidden = self(columns)[:, -1]
            column = torch.empty(1, 0, dtype=torch.int64)
            for head in self.heads:
                code = head(self.within(hidden, column)[:, -1]).argmax(dim=-1)
                column = torch.cat([column, code[:, None]], dim=1)
            columns = torch.cat([columns, column[..., None]], dim=2)


def measure_lm() -> dict[str, Any]:
    """Return tokens per second of both, how many times as fast ours is, and how its cost grows with length."""
    torch.set_num_threads(1)
    rows = {}
    for name, size in SIZES.items():
        for num_codebooks in (1, 4):
            torch.manual_seed(0)
            label = f"{name}, {num_codebooks} codebook{'s' * (num_codebooks > 1)}"
            rows[label] = compared(Ours(size, num_codebooks), Plain(size, num_codebooks), "plain", num_codebooks)
    name, size = next(iter(SIZES.items()))
    label = f"{name} and 2 local ones of 64, {NUM_LOCAL_CODEBOOKS} codebooks"
    local = Ours(size, NUM_LOCAL_CODEBOOKS, is_local=True)
    rows[label] = compared(local, PlainLocal(size, NUM_LOCAL_CODEBOOKS), "plain", NUM_LOCAL_CODEBOOKS)
    return rows


def compared(ours: Ours, other: Measured, name: str, num_codebooks: int) -> dict[str, float]:
    """Return what learning and writing ten seconds cost both; the facts of the other are called by ``name``."""
    codes = torch.randint(CODEBOOK_SIZE, (BATCH_SIZE, num_codebooks, CROP_FRAMES))
    own_s, other_s = _medians(lambda: ours.step(codes), lambda: other.step(codes), NUM_FIRST_STEPS, NUM_STEPS)
    tokens = codes.numel()
    facts: dict[str, float] = {
        "num_parameters_tokbench": ours.num_parameters,
        f"num_parameters_{name}": other.num_parameters,
        "training_tokens_per_s": round(tokens / own_s),
        f"{name}_training_tokens_per_s": round(tokens / other_s),
        "training_speed_up": round(other_s / own_s, 2),
    }

    def decode(num_frames: int) -> None:
        ours.decode(num_codebooks, num_frames)

    own_s, other_s = _medians(
        lambda: decode(NUM_FRAMES), lambda: other.decode(num_codebooks, NUM_FRAMES), 0, NUM_DECODINGS
    )
    facts |= {
        "decoding_tokens_per_s": round(NUM_FRAMES * num_codebooks / own_s),
        f"{name}_decoding_tokens_per_s": round(NUM_FRAMES * num_codebooks / other_s),
        "decoding_speed_up": round(other_s / own_s, 2),
    }
    once_s, twice_s = _medians(lambda: decode(NUM_FRAMES), lambda: decode(2 * NUM_FRAMES), 0, NUM_DECODINGS)
    return facts | {"cost_of_twice_the_length": round(twice_s / once_s, 2)}


def _medians(
    first: Callable[[], None], second: Callable[[], None], num_first: int, num_times: int
) -> tuple[float, float]:
    """Return the median seconds of processor time of both, which take turns."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(num_first + num_times):
        for function, kept in zip((first, second), times, strict=True):
            start = time.process_time()
            function()
            kept.append(time.process_time() - start)
    return statistics.median(times[0][num_first:]), statistics.median(times[1][num_first:])


if __name__ == "__main__":
    print(json.dumps(measure_lm(), indent=1))
