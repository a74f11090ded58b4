"""Lyra v2 (Google 2022): a small SoundStream for telephones, run from the published TensorFlow Lite files.

Three files: ``soundstream_encoder`` makes 64 features of 20 ms of audio, ``quantizer`` makes indices of features
and features of indices, ``lyragan`` makes audio of features. Encoder and decoder carry what they have heard in
variables that cannot be reset to their first state: each utterance gets interpreters of its own.

Encoder and decoder run on the XNNPACK kernels and the quantizer does not, as in Google's own code; other kernels
round differently, which moves a few codes and PESQ by up to 0.2.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from torch import Tensor

from tokbench.codecs.base import ResidualCodec, TokenizerInfo
from tokbench.codes import StreamInfo
from tokbench.errors import WeightsError

__all__ = ["Lyra"]

_SAMPLE_RATE_HZ = 16000
_FRAME_LENGTH = 320
_NUM_FEATURES = 64
_NUM_CODEBOOKS = 46
_CODEBOOK_SIZE = 16
_UNUSED = -1
"""Index of a codebook that was not transmitted; its embedding is zero."""
_SHAPES = {
    "soundstream_encoder": ((1, _FRAME_LENGTH), (1, 1, _NUM_FEATURES)),
    "lyragan": ((1, 1, _NUM_FEATURES), (1, _FRAME_LENGTH)),
}
"""Input and output of the files that are networks."""
_SIGNATURES = {
    "decode": {"inputs": ["encoding_indices"], "outputs": ["output_0"]},
    "encode": {"inputs": ["input_frames", "num_quantizers"], "outputs": ["output_0", "output_1"]},
}
"""Functions of the quantizer."""


class Lyra(ResidualCodec):
    """The published model, of whose 46 codebooks ``num_codebooks`` are used: 16, 30 or 46 in Google's code.

    Raises :class:`WeightsError` for files that are not this model.
    """

    def __init__(self, *, num_codebooks: int, weights: Path) -> None:
        self._num_codebooks = num_codebooks
        self._models = {name: weights / f"{name}.tflite" for name in (*_SHAPES, "quantizer")}
        self._content = {name: path.read_bytes() for name, path in self._models.items()}
        for name, shapes in _SHAPES.items():
            self._check(name, expected=shapes, found=_shapes(self._interpreter(name)))
        quantizer = self._interpreter("quantizer")
        self._check("quantizer", expected=_SIGNATURES, found=quantizer.get_signature_list())
        self.info = TokenizerInfo(
            sample_rate_hz=_SAMPLE_RATE_HZ,
            streams=(StreamInfo(num_codebooks, _CODEBOOK_SIZE, _SAMPLE_RATE_HZ / _FRAME_LENGTH),),
            causal=True,
        )

    def _encode(self, samples: Tensor) -> list[Tensor]:
        encode = self._interpreter("quantizer").get_signature_runner("encode")
        number = np.int32(self._num_codebooks)
        frames = [
            encode(input_frames=frame, num_quantizers=number)["output_0"][: self._num_codebooks, 0, 0]
            for frame in self._features(samples)
        ]
        return [torch.from_numpy(np.stack(frames, axis=1).astype(np.int64))]

    def _decode_chosen(self, streams: list[Tensor], codebooks: slice) -> Tensor:
        run = _Network(self._interpreter("lyragan"))
        features = self._dequantized(streams[0], codebooks)
        return torch.from_numpy(np.concatenate([run(frame) for frame in features], axis=1))

    def _latents(self, samples: Tensor) -> Tensor:
        return torch.from_numpy(np.concatenate(self._features(samples))[:, 0])

    def _quantized(self, streams: list[Tensor], codebooks: slice) -> Tensor:
        return torch.from_numpy(np.concatenate(self._dequantized(streams[0], codebooks))[:, 0])

    def _features(self, samples: Tensor) -> list[np.ndarray]:
        """Return float32 [1, 1, D] per frame of ``samples`` [1, T]."""
        run = _Network(self._interpreter("soundstream_encoder"))
        padded = torch.nn.functional.pad(samples, (0, -samples.shape[1] % _FRAME_LENGTH)).cpu().numpy()
        return [run(frame[None]) for frame in padded.reshape(-1, _FRAME_LENGTH)]

    def _dequantized(self, codes: Tensor, codebooks: slice) -> list[np.ndarray]:
        """Return float32 [1, 1, D] per frame of the chosen codebooks of int64 ``codes`` [K, F]."""
        indices = np.full(codes.shape, _UNUSED)
        indices[codebooks] = codes[codebooks].cpu().numpy()
        decode = self._interpreter("quantizer").get_signature_runner("decode")
        full = np.full((_NUM_CODEBOOKS, 1, 1), _UNUSED, np.int32)
        frames = []
        for frame in indices.T:
            full[: len(frame), 0, 0] = frame
            frames.append(decode(encoding_indices=full)["output_0"].copy())
        return frames

    def _interpreter(self, name: str) -> Any:
        kernels = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES if name == "quantizer" else OpResolverType.AUTO
        try:
            return Interpreter(
                model_content=self._content[name], num_threads=1, experimental_op_resolver_type=kernels
            )
        except ValueError as error:
            raise WeightsError(self._models[name], expected="a TensorFlow Lite model", found=str(error)) from error

    def _check(self, name: str, *, expected: object, found: object) -> None:
        if found != expected:
            raise WeightsError(self._models[name], expected=f"Lyra's, with {expected}", found=f"{found}")


class _Network:
    """One run of a network over an utterance, frame by frame."""

    def __init__(self, interpreter: Any) -> None:
        self._interpreter = interpreter
        interpreter.allocate_tensors()
        (self._input,) = (detail["index"] for detail in interpreter.get_input_details())
        (self._output,) = (detail["index"] for detail in interpreter.get_output_details())

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        self._interpreter.set_tensor(self._input, frame)
        self._interpreter.invoke()
        output: np.ndarray = self._interpreter.get_tensor(self._output)
        return output


def _shapes(interpreter: Any) -> tuple[tuple[int, ...], ...]:
    details = [*interpreter.get_input_details(), *interpreter.get_output_details()]
    return tuple(tuple(int(size) for size in detail["shape"]) for detail in details)
