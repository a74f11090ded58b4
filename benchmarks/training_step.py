"""A training step here against one with the modules of the package that published the codec, at equal size.

``measure_training_step()`` belongs to ``benchmarks/run.py``; ``python benchmarks/training_step.py`` measures it
alone. Both sides have the same layers, quantizer, discriminators, losses (the waveform's distance, the quantizer's,
and with discriminators the hinge or least squares, and their features), batch and optimizer, one thread, and take
turns, so that both have the same machine; times are medians of processor time.
"""

import json
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss

from tokbench.allocator import keep_freed_memory
from tokbench.specs.codec import find_spec
from tokbench.specs.neural_codec import NeuralCodecSpec
from tokbench.training.codec import CodecLearner
from tokbench.training.crops import Batch
from tokbench.training.learner import Progress
from tokbench.training.loop import seed_all

NUM_FIRST_STEPS, NUM_STEPS = 2, 9
LEARNING_RATE = 1e-4
Step = Callable[[Tensor], None]


def ours(name: str, changes: Mapping[str, Any], *, is_contest: bool) -> tuple[Step, int]:
    """Return a step of ``name`` as it is trained here, and its number of parameters, discriminators included."""
    plain = {
        "losses": {
            "reconstruction": [{"kind": "wave", "weight": 1.0}],
            "adversarial": {"update_probability": 1.0},
            **({"balancer": False} if name == "encodec" else {}),
        },
        **({"entropy_coding": False} if name == "encodec" else {}),
        "settings": [],
        **({} if is_contest else {"discriminators": []}),
    }
    spec, _ = find_spec(name, changes={**plain, **changes})
    assert isinstance(spec, NeuralCodecSpec)
    learner = CodecLearner(spec).train()
    optimizers = {
        part: torch.optim.AdamW(parameters, LEARNING_RATE) for part, (_, parameters) in learner.optimizers().items()
    }

    def step(samples: Tensor) -> None:
        batch = Batch(samples, samples, ("",) * len(samples), ("",) * len(samples), (False,) * len(samples), ())
        for turn in learner.turns(batch, Progress(50, 100)):
            optimizers[turn.optimizer].zero_grad()
            turn.total.backward()
            optimizers[turn.optimizer].step()

    return step, sum(parameter.numel() for parameter in learner.parameters())


class Originals(nn.Module):
    """A codec's modules as published, and what a step asks of them."""

    def decoded(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Return decoded samples [B, 1, T] and the weighted losses of the quantizer."""
        raise NotImplementedError

    def judged(self, samples: Tensor) -> Iterator[tuple[Tensor, list[Tensor]]]:
        """Yield the logits and the features of each discriminator."""
        raise NotImplementedError


class EncodecOriginals(Originals):
    """Modules of the package encodec."""

    def __init__(self, num_filters: int, num_codebooks: int) -> None:
        from encodec.modules import SEANetDecoder, SEANetEncoder  # noqa: PLC0415  (an oracle's package)
        from encodec.msstftd import MultiScaleSTFTDiscriminator  # noqa: PLC0415
        from encodec.quantization import ResidualVectorQuantizer  # noqa: PLC0415

        super().__init__()
        sizes = {"dimension": 128, "n_filters": num_filters, "causal": True, "norm": "weight_norm"}
        self.encoder, self.decoder = SEANetEncoder(**sizes), SEANetDecoder(**sizes)
        self.quantizer = ResidualVectorQuantizer(dimension=128, n_q=num_codebooks, bins=1024)
        windows = [2048, 1024, 512, 256, 128]  # of the paper; the package's default has three of them
        hops = [window // 4 for window in windows]
        self.discriminator = MultiScaleSTFTDiscriminator(
            filters=32, n_ffts=windows, hop_lengths=hops, win_lengths=windows
        )

    def decoded(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Return decoded samples [B, 1, T] and the weighted losses of the quantizer."""
        result = self.quantizer(self.encoder(samples), 75)
        return self.decoder(result.quantized)[..., : samples.shape[-1]], result.penalty

    def judged(self, samples: Tensor) -> Iterator[tuple[Tensor, list[Tensor]]]:
        """Yield the logits and the features of each discriminator."""
        yield from zip(*self.discriminator(samples), strict=True)


class DacOriginals(Originals):
    """Modules of descript-audio-codec."""

    def __init__(self, encoder_filters: int, decoder_filters: int) -> None:
        from dac import DAC  # noqa: PLC0415  (an oracle's package)
        from dac.model import Discriminator  # noqa: PLC0415

        super().__init__()
        self.codec = DAC(
            encoder_dim=encoder_filters, latent_dim=256, decoder_dim=16 * decoder_filters, quantizer_dropout=0.5
        )
        self.discriminator = Discriminator()

    def decoded(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Return decoded samples [B, 1, T] and the weighted losses of the quantizer."""
        result = self.codec(samples, 44100)
        return result["audio"], 0.25 * result["vq/commitment_loss"] + result["vq/codebook_loss"]

    def judged(self, samples: Tensor) -> Iterator[tuple[Tensor, list[Tensor]]]:
        """Yield the logits and the features of each discriminator."""
        for *features, logits in self.discriminator(samples):
            yield logits, features


def theirs(modules: Originals, form: str, *, is_contest: bool) -> tuple[Step, int]:
    """Return the same step with published ``modules``, written as their training code has it."""
    if not is_contest:
        del modules.discriminator
    modules.train()
    others = list(modules.discriminator.parameters()) if is_contest else []
    own = [parameter for parameter in modules.parameters() if not any(parameter is other for other in others)]
    optimizer = torch.optim.AdamW(own, LEARNING_RATE)
    contest = torch.optim.AdamW(others, LEARNING_RATE) if others else None

    def away(logits: Tensor, target: int) -> Tensor:
        if form == "hinge":
            return (1 - target * logits).relu().mean()
        return (max(target, 0) - logits).square().mean()

    def step(samples: Tensor) -> None:
        decoded, quantizer = modules.decoded(samples)
        total = l1_loss(decoded, samples) + quantizer
        if contest is not None:
            contest.zero_grad()
            real, fake = modules.judged(samples), modules.judged(decoded.detach())
            losses = [away(r, 1) + away(f, -1) for (r, _), (f, _) in zip(real, fake, strict=True)]
            torch.stack(losses).sum().backward()
            contest.step()
            with torch.no_grad():
                real = list(modules.judged(samples))
            for (_, wanted), (logits, found) in zip(real, modules.judged(decoded), strict=True):
                total = total + away(logits, 1)
                total = total + sum(l1_loss(a, b) for a, b in zip(found, wanted, strict=True))
        optimizer.zero_grad()
        total.backward()
        optimizer.step()

    return step, sum(parameter.numel() for parameter in modules.parameters())


def measure_training_step() -> dict[str, Any]:
    """Return times of a step, and how many times as fast ours is, without and with discriminators."""
    torch.set_num_threads(1)
    keep_freed_memory()
    encodec = {
        "encoder": {"num_filters": 16},
        "decoder": {"num_filters": 16},
        "quantizer": {"num_codebooks": 8, "dropout": 0.0, "dropout_choices": []},
    }
    dac = {"dimension": 256, "encoder": {"num_filters": 32}, "decoder": {"num_filters": 48}}
    rows = {}
    for is_contest in (False, True):
        suffix = ", with discriminators" if is_contest else ""
        rows[f"encodec, 16 filters{suffix}"] = _ratio(
            ours("encodec", encodec, is_contest=is_contest),
            theirs(EncodecOriginals(16, 8), "hinge", is_contest=is_contest),
            torch.Size([2, 1, 24000]),
        )
        rows[f"dac, 32 and 48 filters{suffix}"] = _ratio(
            ours("dac", dac, is_contest=is_contest),
            theirs(DacOriginals(32, 48), "least-squares", is_contest=is_contest),
            torch.Size([1, 1, 512 * 32]),
        )
    return rows


def _ratio(first: tuple[Step, int], second: tuple[Step, int], shape: torch.Size) -> dict[str, float]:
    """Let both take turns on noise of ``shape`` [B, 1, T]."""
    (own, own_size), (other, other_size) = first, second
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(NUM_FIRST_STEPS + NUM_STEPS):
        seed_all(number)
        samples = 0.1 * torch.randn(shape)
        for step, kept in zip((own, other), times, strict=True):
            start = time.process_time()
            step(samples)
            kept.append(time.process_time() - start)
    own_s, other_s = (statistics.median(kept[NUM_FIRST_STEPS:]) for kept in times)
    return {
        "num_parameters_tokbench": own_size,
        "num_parameters_original": other_size,
        "tokbench_s": round(own_s, 3),
        "original_s": round(other_s, 3),
        "speed_up": round(other_s / own_s, 2),
    }


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the packages use the older weight_norm
        print(json.dumps(measure_training_step(), indent=1))
