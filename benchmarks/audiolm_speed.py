"""AudioLM's first stage here against that of audiolm-pytorch, of as many parameters.

That package is looked for in a folder of its own, made by ``pip install --no-deps --target FOLDER audiolm-pytorch
beartype einops einx ema-pytorch encodec frozendict gateloop-transformer hyper-connections local-attention
pytorch-warmup rotary-embedding-torch sentencepiece torch-einops-utils vector-quantize-pytorch``:
``AUDIOLM_PYTORCH=FOLDER python benchmarks/run.py audiolm``. It also imports fairseq, which does not run with Python
3.11, and wandb; neither does anything in what is measured, and both are empty modules here. Both sides have
relative positions, gated maps and the same codes, and neither has what the other lacks: theirs goes without its
four residual streams, values of the first layer and masked inputs. All heads share their keys there; ours has
narrower maps instead. Times are taken as in ``lm_speed.py``.
"""

import importlib
import json
import os
import sys
import types
from typing import Any

import accelerate  # noqa: F401  # asks about modules that are empty below, and so comes before them
import torch
import transformers
from lm_speed import CODEBOOK_SIZE, LEARNING_RATE, Ours, compared
from torch import Tensor

FOLDER = "AUDIOLM_PYTORCH"
SIZES = {"3 layers of 128": (3, 128), "6 layers of 256": (6, 256)}
NUM_HEADS = 4


class Theirs:
    """The semantic stage of audiolm-pytorch."""

    def __init__(self, num_layers: int, dimension: int) -> None:
        package = importlib.import_module("audiolm_pytorch.audiolm_pytorch")
        # Asked for though no text is read, and else fetched.
        configs = importlib.import_module("audiolm_pytorch.t5").T5_CONFIGS
        configs["none"] = {"config": transformers.T5Config(d_model=dimension)}
        transformer = package.SemanticTransformer(
            dim=dimension,
            depth=num_layers,
            heads=NUM_HEADS,
            dim_head=dimension // NUM_HEADS,
            num_semantic_tokens=CODEBOOK_SIZE,
            t5_name="none",
            num_residual_streams=1,
            add_value_residual=False,
        )
        self.network = package.SemanticTransformerWrapper(
            transformer=transformer, unique_consecutive=False, mask_prob=0.0
        )
        self.optimizer = torch.optim.AdamW(self.network.parameters(), LEARNING_RATE)
        self.num_parameters = sum(parameter.numel() for parameter in self.network.parameters())

    def step(self, codes: Tensor) -> None:
        """Learn from ``codes`` int64 [B, 1, F]."""
        self.network.train()
        total = self.network(semantic_token_ids=codes[:, 0], return_loss=True)
        self.optimizer.zero_grad()
        total.backward()
        self.optimizer.step()

    def decode(self, num_codebooks: int, num_frames: int) -> None:
        """Write ``num_frames`` units from nothing, with the past kept."""
        with torch.no_grad():  # never the end
            self.network.transformer.to_logits.bias[self.network.eos_id] = -1e9
        units = self.network.generate(max_length=num_frames, batch_size=1)
        assert units.shape == (num_codebooks, num_frames)


def measure_audiolm() -> dict[str, Any]:
    """Return tokens per second of both, how many times as fast ours is, and how its cost grows with length."""
    folder = os.environ.get(FOLDER)
    if folder is None:
        sys.exit(f"set {FOLDER} to the folder with audiolm-pytorch ({__name__}.py tells how it is made)")
    sys.path.append(folder)  # last: torch and transformers are those of this environment
    for name in ("fairseq", "wandb"):
        sys.modules[name] = types.ModuleType(name)
    torch.set_num_threads(1)
    rows = {}
    for name, (num_layers, dimension) in SIZES.items():
        torch.manual_seed(0)
        width = 13 * dimension // 6  # theirs is 8 / 3; keys and values for one head alone make up for the rest
        network = {
            "num_layers": num_layers,
            "num_heads": NUM_HEADS,
            "dimension": dimension,
            "feedforward_dimension": width,
            "activation": "gated",
            "positions": "relative",
        }
        rows[name] = compared(Ours(network, 1), Theirs(num_layers, dimension), "audiolm_pytorch", 1)
    return rows


if __name__ == "__main__":
    print(json.dumps(measure_audiolm(), indent=1))
