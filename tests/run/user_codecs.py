"""Codecs as a user would hand them over: one that works, and one for each way of not working."""

import dataclasses
import os
import signal
import sys
import time
from pathlib import Path

import torch

from tokbench.codecs.base import Codec, Tokenizer, TokenizerInfo
from tokbench.codes import StreamInfo

RATE_HZ = 16000
BAD_LENGTH = 16001
"""Utterances of this many samples are the ones that the broken codecs break on."""


class Good(Codec):
    """Uniform quantization to 8 bits."""

    info = TokenizerInfo(sample_rate_hz=RATE_HZ, streams=(StreamInfo(1, 256, RATE_HZ),), name="good")

    def _encode(self, samples: torch.Tensor) -> list[torch.Tensor]:
        return [((samples.clamp(-1, 1) + 1) * 127.5).round().long()]

    def _decode(self, streams: list[torch.Tensor]) -> torch.Tensor:
        return streams[0] / 127.5 - 1


class OnBadLength(Good):
    def _encode(self, samples: torch.Tensor) -> list[torch.Tensor]:
        codes = super()._encode(samples)
        return self._break(codes) if samples.shape[1] == BAD_LENGTH else codes

    def _break(self, codes: list[torch.Tensor]) -> list[torch.Tensor]:
        return codes


class Raises(OnBadLength):
    def _break(self, codes: list[torch.Tensor]) -> list[torch.Tensor]:
        msg = "the tables are wrong"
        raise ValueError(msg)


class Exits(OnBadLength):
    def _break(self, codes: list[torch.Tensor]) -> list[torch.Tensor]:
        sys.exit(3)


class Hangs(OnBadLength):
    def _break(self, codes: list[torch.Tensor]) -> list[torch.Tensor]:
        time.sleep(600)
        return codes


class Dies(OnBadLength):
    def _break(self, codes: list[torch.Tensor]) -> list[torch.Tensor]:
        os._exit(7)


class LosesTheGpu(OnBadLength):
    """As a kernel does that reads outside of its memory; nothing else can be computed then, here not either."""

    is_lost = False

    def _encode(self, samples: torch.Tensor) -> list[torch.Tensor]:
        if self.is_lost:
            self._break([])
        return super()._encode(samples)

    def _break(self, codes: list[torch.Tensor]) -> list[torch.Tensor]:
        self.is_lost = True
        msg = "CUDA error: an illegal memory access was encountered"
        raise torch.AcceleratorError(msg)


class IsTold(OnBadLength):
    def _break(self, codes: list[torch.Tensor]) -> list[torch.Tensor]:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(600)
        return codes


class WrongShape(OnBadLength):
    def _break(self, codes: list[torch.Tensor]) -> list[torch.Tensor]:
        return [codes[0].repeat(3, 1)]


class OutOfRange(OnBadLength):
    def _break(self, codes: list[torch.Tensor]) -> list[torch.Tensor]:
        return [codes[0] + 1000]


class NotANumber(Good):
    def _decode(self, streams: list[torch.Tensor]) -> torch.Tensor:
        decoded = super()._decode(streams)
        return decoded / 0 * 0 if decoded.shape[1] == BAD_LENGTH else decoded


class CannotLoad(Good):
    def __init__(self) -> None:
        msg = "no licence file"
        raise RuntimeError(msg)


class OnlyEncodes(Tokenizer):
    """Signs of samples."""

    info = TokenizerInfo(sample_rate_hz=RATE_HZ, streams=(StreamInfo(1, 2, RATE_HZ),), name="signs")

    def _encode(self, samples: torch.Tensor) -> list[torch.Tensor]:
        return [(samples > 0).long()]


class Counting(Good):
    """Leaves a mark for every utterance that it encodes."""

    def _encode(self, samples: torch.Tensor) -> list[torch.Tensor]:
        with Path(os.environ["TOKBENCH_TEST_MARKS"]).open("a") as file:
            file.write("x")
        return super()._encode(samples)


class Slow(Counting):
    """Takes its time, so that it can be interrupted."""

    def _encode(self, samples: torch.Tensor) -> list[torch.Tensor]:
        time.sleep(0.4)
        return super()._encode(samples)


class Busy(Counting):
    """Works for ten minutes."""

    def _encode(self, samples: torch.Tensor) -> list[torch.Tensor]:
        codes = super()._encode(samples)
        end_s = time.monotonic() + 600
        while time.monotonic() < end_s:
            pass
        return codes


class Random(Good):
    """Draws random numbers without a seed of its own."""

    info = dataclasses.replace(Good.info, name="random")

    def _encode(self, samples: torch.Tensor) -> list[torch.Tensor]:
        return [torch.randint(0, 256, samples.shape)]


class Hopeless(Good):
    """Called as the good one, and fails at everything."""

    def _encode(self, samples: torch.Tensor) -> list[torch.Tensor]:
        msg = "no utterance is good enough"
        raise ValueError(msg)


class OtherMulaw(Good):
    """Called as a codec that comes with tokbench, in a setting of the same name."""

    settings = {"8bit": {}}  # noqa: RUF012  (a constant, typed in the base)
    info = TokenizerInfo(sample_rate_hz=RATE_HZ, streams=(StreamInfo(1, 256, RATE_HZ),), name="mulaw")
