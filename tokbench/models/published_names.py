"""The tensors of published codecs under the names that they have here, so that training can start from them.

Read are the state dicts of the packages encodec 0.1.1, descript-audio-codec 1.0.0 and speechtokenizer 1.0.1, and,
for Mimi, of transformers.

Axes: ``D`` features, ``E`` features of a code, ``V`` codebook size.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
from torch import Tensor

from tokbench.models.neural_codec import NeuralCodec
from tokbench.models.seanet import rename_published

__all__ = ["DESIGNS", "load_published"]

Named = Iterator[tuple[str, Tensor]]

_LENGTH, _DIRECTION = "parametrizations.weight.original0", "parametrizations.weight.original1"
_UNITS_PER_RATE = 3
"""Residual units of DAC between two strided convolutions."""
_RATE_LAYERS = _UNITS_PER_RATE + 2
"""With an activation and a strided convolution."""
_LEAST_USE = 1e-5
"""Under which Mimi takes no code's use to be."""


def load_published(codec: NeuralCodec, tensors: Mapping[str, Tensor], design: str) -> None:
    """Give ``codec`` the ``tensors`` of a published model of ``design``, one of :data:`DESIGNS`, of its sizes.

    Weights that are normalized there and not here, or here and not there, are made into the other.

    Raises :class:`RuntimeError` for tensors that are not exactly those of the codec.
    """
    wanted = codec.state_dict()
    found = dict(DESIGNS[design](tensors))
    renamed = dict(_normalized_as(wanted, found))
    codec.load_state_dict({**_unpublished(codec, found), **renamed})


def _unpublished(codec: NeuralCodec, found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what the codebooks of ``codec`` learn on from, where only the codes were ``found``."""
    own = codec.state_dict()
    needed = {f"quantizer.{name}": own[f"quantizer.{name}"] for name in codec.quantizer.training_only()}
    for name, tensor in needed.items():
        stem, _, what = name.rpartition(".")
        if what in {"is_fitted", "counts"}:
            needed[name] = torch.ones_like(tensor)
        elif what == "sums":
            needed[name] = found[f"{stem}.embed"]
    return needed


def _normalized_as(wanted: Iterable[str], tensors: Mapping[str, Tensor]) -> Named:
    """Yield ``tensors``, each weight in parts, length and direction, or as a whole, as it is ``wanted``."""
    names = set(wanted)
    for name, tensor in tensors.items():
        stem = name.removesuffix("weight").removesuffix(_LENGTH).removesuffix(_DIRECTION)
        if name == f"{stem}weight" and f"{stem}{_LENGTH}" in names:
            yield f"{stem}{_LENGTH}", torch.linalg.vector_norm(tensor.flatten(1), dim=1).view(_lengths(tensor))
            yield f"{stem}{_DIRECTION}", tensor
        elif name == f"{stem}{_DIRECTION}" and f"{stem}weight" in names:
            yield f"{stem}weight", torch._weight_norm(tensor, tensors[f"{stem}{_LENGTH}"], 0)  # noqa: SLF001
        elif name != f"{stem}{_LENGTH}" or name in names:
            yield name, tensor


def _lengths(tensor: Tensor) -> tuple[int, ...]:
    return (len(tensor), *[1] * (tensor.ndim - 1))


def _parametrized(name: str) -> str:
    """Return the name that a part of a normalized weight has in PyTorch's newer form."""
    if name.endswith(".weight_g"):
        return name.removesuffix("weight_g") + _LENGTH
    return name.removesuffix("weight_v") + _DIRECTION if name.endswith(".weight_v") else name


_CODEBOOK = re.compile(r"quantizer\.vq\.layers\.(\d+)\._codebook\.(\w+)")
_OF_CODEBOOKS = {"embed": "embed", "embed_avg": "sums", "cluster_size": "counts", "inited": "is_fitted"}


def _encodec(tensors: Mapping[str, Tensor]) -> Named:
    for name, tensor in rename_published(tensors).items():
        if match := _CODEBOOK.fullmatch(name):
            is_flag = match[2] == "inited"
            yield f"quantizer.layers.{match[1]}.{_OF_CODEBOOKS[match[2]]}", tensor[0] if is_flag else tensor
        else:
            yield _parametrized(name), tensor


def _speechtokenizer(tensors: Mapping[str, Tensor]) -> Named:
    # `transform` is what distillation compares with HuBERT: it has no part in coding.
    return _encodec({name: tensor for name, tensor in tensors.items() if not name.startswith("transform.")})


_DAC_LAYER = re.compile(r"(encoder\.block|decoder\.model)\.(\d+)(?:\.block\.(\d+))?(?:\.block\.(\d))?\.(\w+)")
_DAC_QUANTIZER = re.compile(r"quantizer\.quantizers\.(\d+)\.(in|out)_proj\.(\w+)")
_DAC_CODEBOOK = re.compile(r"quantizer\.quantizers\.(\d+)\.codebook\.weight")


def _dac(tensors: Mapping[str, Tensor]) -> Named:
    matches = [match for name in tensors if (match := _DAC_LAYER.fullmatch(name))]
    num_rates = max(int(match[2]) for match in matches if match[3])
    for name, tensor in tensors.items():
        if match := _DAC_LAYER.fullmatch(name):
            yield _parametrized(_dac_layer(match, num_rates)), tensor
        elif match := _DAC_QUANTIZER.fullmatch(name):
            # A convolution of kernel 1 there is a linear layer here.
            linear = tensor if match[3] == "bias" else tensor[..., 0]
            yield _parametrized(f"quantizer.layers.{match[1]}.project_{match[2]}.{match[3]}"), linear
        elif match := _DAC_CODEBOOK.fullmatch(name):
            yield f"quantizer.layers.{match[1]}.codebook.embed", tensor
        else:
            yield name, tensor


def _dac_layer(match: re.Match[str], num_rates: int) -> str:
    """Return the name of a layer, which here is in no block for its rate, but follows those of the rate before."""
    outer, inner, within, leaf = int(match[2]), match[3], match[4], match[5]
    if inner is not None:
        index = 1 + (outer - 1) * _RATE_LAYERS + int(inner)
    else:
        index = outer + num_rates * (_RATE_LAYERS - 1) if outer else 0
    half = match[1].partition(".")[0]
    unit = f".block.{within}" if within is not None else ""
    return f"{half}.model.{index}{unit}{'' if leaf == 'alpha' else '.conv'}.{leaf}"


_MIMI_NAMES = (
    (re.compile(r"^(encoder|decoder)\.\1_seanet\.layers\."), r"\1.network.model."),
    (re.compile(r"^(encoder|decoder)\.\1_transformer\.layers\."), r"\1.transformer.layers."),
    (re.compile(r"\.input_layernorm\."), ".attention_norm."),
    (re.compile(r"\.post_attention_layernorm\."), ".feedforward_norm."),
    (re.compile(r"\.self_attn_layer_scale\.scale$"), ".attention_scale"),
    (re.compile(r"\.mlp_layer_scale\.scale$"), ".feedforward_scale"),
    (re.compile(r"\.self_attn\.o_proj\."), ".output."),
    (re.compile(r"\.mlp\.fc1\."), ".widen."),
    (re.compile(r"\.mlp\.fc2\."), ".narrow."),
    (re.compile(r"^encoder\.downsample\."), "encoder.resampling."),
    (re.compile(r"^decoder\.upsample\."), "decoder.resampling."),
)
_MIMI_CODEBOOK = re.compile(
    r"quantizer\.(semantic|acoustic)_residual_vector_quantizer\.layers\.(\d+)\.codebook\.(\w+)"
)
_MIMI_PROJECTION = re.compile(r"quantizer\.(semantic|acoustic)_residual_vector_quantizer\.(in|out)put_proj\.weight")
_QUERY = ".self_attn.q_proj.weight"


def _mimi(tensors: Mapping[str, Tensor]) -> Named:
    num_semantic = 1 + max(int(match[2]) for match in _matches(_MIMI_CODEBOOK, tensors) if match[1] == "semantic")
    for name, tensor in tensors.items():
        if match := _MIMI_CODEBOOK.fullmatch(name):
            index = int(match[2]) + (num_semantic if match[1] == "acoustic" else 0)
            yield from _mimi_codebook(f"quantizer.layers.{index}", match[3], tensor, tensors, name)
        elif match := _MIMI_PROJECTION.fullmatch(name):
            yield f"quantizer.project_{match[2]}.{int(match[1] == 'acoustic')}.weight", tensor[..., 0]
        elif name.endswith(_QUERY):
            stem = name.removesuffix(_QUERY)
            parts = [tensors[f"{stem}.self_attn.{part}_proj.weight"] for part in "qkv"]
            yield _replaced(f"{stem}.inputs.weight"), torch.cat(parts)
        elif not name.endswith((".k_proj.weight", ".v_proj.weight")):
            yield _replaced(name), tensor


def _mimi_codebook(to: str, what: str, tensor: Tensor, tensors: Mapping[str, Tensor], name: str) -> Named:
    if what == "initialized":
        yield f"{to}.is_fitted", tensor[0]
    elif what == "cluster_usage":
        yield f"{to}.counts", tensor
    elif what == "embed_sum":
        uses = tensors[name.removesuffix(what) + "cluster_usage"].clamp_min(_LEAST_USE)
        yield f"{to}.sums", tensor
        yield f"{to}.embed", tensor / uses[:, None]


def _matches(pattern: re.Pattern[str], names: Iterable[str]) -> Iterator[re.Match[str]]:
    return (match for name in names if (match := pattern.fullmatch(name)))


def _replaced(name: str) -> str:
    for pattern, replacement in _MIMI_NAMES:
        name = pattern.sub(replacement, name)
    return name


DESIGNS: Mapping[str, Callable[[Mapping[str, Tensor]], Named]] = {
    "dac": _dac,
    "encodec": _encodec,
    "mimi": _mimi,
    "speechtokenizer": _speechtokenizer,
}
"""Of each published design, what yields its tensors under the names of a :class:`NeuralCodec`."""
