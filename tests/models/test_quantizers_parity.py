"""Quantizers beside the originals, with the same weights."""

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from encodec.quantization.core_vq import ResidualVectorQuantization
from speechtokenizer.quantization.vq import ResidualVectorQuantizer
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from transformers import MimiConfig
from transformers.models.mimi.modeling_mimi import MimiSplitResidualVectorQuantizer
from vector_quantize_pytorch import FSQ, ResidualFSQ

from tokbench.models.hificodec import GroupResidualQuantizer
from tokbench.models.quantization.codebooks import EmaCodebook, LearntCodebook
from tokbench.models.quantizers import Quantized, TrainableQuantizer, build_quantizer
from tokbench.specs.quantizers import Fsq, Rvq

DIMENSION, SIZE, NUM = 12, 32, 4


def rvq(**changes: Any) -> Rvq:
    defaults = {"num_codebooks": NUM, "codebook_size": SIZE, "dead_below": 0.0, "straight_through": "first-layer"}
    return Rvq.model_validate(defaults | changes)


def latents(seed: int = 0, *, batch: int = 3, num_frames: int = 30) -> Tensor:
    return torch.randn(batch, DIMENSION, num_frames, generator=torch.Generator().manual_seed(seed))


def codebooks(quantizer: nn.Module) -> list[LearntCodebook]:
    return [module for module in quantizer.modules() if isinstance(module, LearntCodebook)]


def encodec(*, kmeans_init: bool) -> ResidualVectorQuantization:
    return ResidualVectorQuantization(
        num_quantizers=NUM,
        dim=DIMENSION,
        codebook_size=SIZE,
        kmeans_init=kmeans_init,
        kmeans_iters=50,
        threshold_ema_dead_code=0,
    )


def pair_with_encodec() -> tuple[ResidualVectorQuantization, TrainableQuantizer]:
    """Return EnCodec's quantizer and ours in the same state, in the middle of training."""
    torch.manual_seed(0)
    theirs, ours = encodec(kmeans_init=False), build_quantizer(rvq(kmeans_init=False), DIMENSION)
    for layer, codebook in zip(theirs.layers, codebooks(ours), strict=True):
        inner = layer._codebook
        inner.cluster_size.uniform_(1, 5)
        inner.embed_avg.copy_(inner.embed * inner.cluster_size[:, None])
        assert isinstance(codebook, EmaCodebook)
        codebook.embed.copy_(inner.embed)
        codebook.sums.copy_(inner.embed_avg)
        codebook.counts.copy_(inner.cluster_size)
    return theirs, ours


def test_steps_of_averages_are_those_of_encodec() -> None:
    theirs, ours = pair_with_encodec()
    for step in range(3):
        values = latents(step)
        inputs = [values.clone().requires_grad_() for _ in range(2)]
        summed, codes, commitments = theirs(inputs[0])
        output: Quantized = ours(inputs[1])
        assert torch.equal(output.codes, codes.transpose(0, 1))
        torch.testing.assert_close(output.latents, summed, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(output.losses["commitment"], commitments.mean())
        torch.autograd.backward(summed.square().mean() + commitments.mean())
        torch.autograd.backward(output.latents.square().mean() + output.losses["commitment"])
        assert inputs[0].grad is not None
        torch.testing.assert_close(inputs[1].grad, inputs[0].grad)
    for layer, codebook in zip(theirs.layers, codebooks(ours), strict=True):
        torch.testing.assert_close(codebook.embed, layer._codebook.embed, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(codebook.counts, layer._codebook.cluster_size)


def test_clusters_are_those_of_encodec() -> None:
    theirs, ours = encodec(kmeans_init=True), build_quantizer(rvq(), DIMENSION)
    torch.manual_seed(1)
    summed, codes, commitments = theirs(latents())
    torch.manual_seed(1)
    output: Quantized = ours(latents())
    assert torch.equal(output.codes, codes.transpose(0, 1))
    torch.testing.assert_close(output.latents, summed, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(output.losses["commitment"], commitments.mean())


def test_clusters_keep_their_place_where_those_of_encodec_shrink() -> None:
    """EnCodec takes the means for the sums: after the first step, a code is its mean divided by its uses."""
    theirs, ours = encodec(kmeans_init=True), build_quantizer(rvq(), DIMENSION)
    values = latents(batch=10)
    torch.manual_seed(1)
    theirs(values)
    torch.manual_seed(1)
    chosen = ours(values).codes[:, 0].flatten()
    frames = values.transpose(1, 2).flatten(0, 1)
    means = torch.stack([frames[chosen == code].mean(dim=0) for code in range(SIZE)])
    torch.testing.assert_close(codebooks(ours)[0].embed, means, atol=0.01, rtol=0.01)
    assert float((theirs.layers[0]._codebook.embed.norm(dim=1) / means.norm(dim=1)).median()) < 0.3


def test_dropping_codebooks_of_a_batch_is_encodecs() -> None:
    theirs, ours = pair_with_encodec()
    ours = build_quantizer(rvq(dropout=1.0, dropout_by="batch", dropout_choices=(2,), kmeans_init=False), DIMENSION)
    for layer, codebook in zip(theirs.layers, codebooks(ours), strict=True):
        codebook.embed.copy_(layer._codebook.embed)
    summed, codes, commitments = theirs(latents(), n_q=2)
    output: Quantized = ours(latents())
    assert torch.equal(output.codes[:, :2], codes.transpose(0, 1))
    assert torch.equal(output.codes[:, 2:], torch.full((3, 2, 30), -1))
    torch.testing.assert_close(output.latents, summed, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(output.losses["commitment"], commitments.mean())


def test_speechtokenizer() -> None:
    torch.manual_seed(0)
    theirs = ResidualVectorQuantizer(DIMENSION, NUM, SIZE, kmeans_init=False, threshold_ema_dead_code=0).eval()
    ours = build_quantizer(rvq(), DIMENSION).eval()
    for layer, codebook in zip(theirs.vq.layers, codebooks(ours), strict=True):
        codebook.embed.copy_(layer._codebook.embed)
    values = latents()
    codes = theirs.encode(values)
    assert torch.equal(ours.encode(values), codes.transpose(0, 1))
    torch.testing.assert_close(ours.decode(codes.transpose(0, 1)), theirs.decode(codes))
    torch.testing.assert_close(ours.decode(codes.transpose(0, 1), slice(1, None)), theirs.decode(codes[1:], st=1))
    _, _, _, (first,) = theirs(values, layers=[0])
    torch.testing.assert_close(ours(values).layers[0], first)


@pytest.fixture
def without_warnings() -> Iterator[None]:
    """Let the original use PyTorch's first weight normalization."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.usefixtures("without_warnings")
@pytest.mark.parametrize("dropout", [0.0, 1.0])
def test_dac(dropout: float) -> None:
    from dac.nn.quantize import ResidualVectorQuantize  # noqa: PLC0415  (its import warns)

    torch.manual_seed(0)
    theirs = ResidualVectorQuantize(DIMENSION, NUM, SIZE, codebook_dim=3, quantizer_dropout=dropout)
    spec = rvq(
        projection="per-codebook",
        code_dimension=3,
        normalized=True,
        learning="gradient",
        kmeans_init=False,
        dropout=dropout,
        losses_over="sum",
    )
    ours = build_quantizer(spec, DIMENSION)
    weights = from_dac(theirs.state_dict())
    missing, unexpected = ours.load_state_dict(weights, strict=False)
    assert (set(missing), unexpected) == (ours.training_only(), [])
    inputs = [latents(batch=6).requires_grad_() for _ in range(2)]
    torch.manual_seed(2)
    summed, codes, _, commitment, codebook = theirs(inputs[0])
    torch.manual_seed(2)
    output: Quantized = ours(inputs[1])
    used = output.codes >= 0
    assert bool(used.all()) == (dropout == 0)
    assert torch.equal(output.codes[used], codes[used])
    torch.testing.assert_close(output.latents, summed, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(output.losses["commitment"], commitment)
    torch.testing.assert_close(output.losses["codebook"], codebook)
    torch.autograd.backward(summed.square().mean() + 0.25 * commitment + codebook)
    torch.autograd.backward(
        output.latents.square().mean() + 0.25 * output.losses["commitment"] + output.losses["codebook"]
    )
    assert inputs[0].grad is not None
    torch.testing.assert_close(inputs[1].grad, inputs[0].grad)
    gradients = from_dac({name: parameter.grad for name, parameter in theirs.named_parameters()})
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name])
    theirs.eval()
    ours.eval()
    codes = ours.encode(latents())
    torch.testing.assert_close(ours.decode(codes), theirs.from_codes(codes)[0])
    assert torch.equal(ours.encode(latents(), 2), theirs(latents(), n_quantizers=2)[1])


def from_dac(tensors: dict[str, Any]) -> dict[str, Tensor]:
    """Return DAC's tensors as they are called here; its maps are convolutions of kernel 1."""
    renamed = {}
    for name, tensor in tensors.items():
        _, index, part, *rest = name.split(".")
        stem = f"layers.{index}."
        if part == "codebook":
            renamed[f"{stem}codebook.embed"] = tensor
            continue
        part = {"in_proj": "project_in", "out_proj": "project_out"}[part]
        what = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
        renamed[f"{stem}{part}.{what.get(rest[0], rest[0])}"] = tensor.squeeze(-1) if tensor.ndim > 1 else tensor
    return renamed


@pytest.mark.parametrize("number", [1, 3, NUM])
def test_mimi(number: int) -> None:
    torch.manual_seed(0)
    config = MimiConfig(
        codebook_size=SIZE,
        codebook_dim=6,
        vector_quantization_hidden_dimension=6,
        hidden_size=DIMENSION,
        num_quantizers=NUM,
        num_semantic_quantizers=1,
    )
    theirs = MimiSplitResidualVectorQuantizer(config).eval()
    spec = rvq(num_split=1, projection="shared", code_dimension=6, straight_through="sum")
    ours = build_quantizer(spec, DIMENSION).eval()
    sides = (theirs.semantic_residual_vector_quantizer, theirs.acoustic_residual_vector_quantizer)
    layers = [layer.codebook for side in sides for layer in side.layers]
    weights = {}
    for index, layer in enumerate(layers):
        layer.embed_sum.normal_(std=0.3)
        layer.cluster_usage.uniform_(0.5, 2)
        weights[f"layers.{index}.embed"] = layer.embed
    for index, side in enumerate(sides):
        weights[f"project_in.{index}.weight"] = side.input_proj.weight.squeeze(-1)
        weights[f"project_out.{index}.weight"] = side.output_proj.weight.squeeze(-1)
    missing, unexpected = ours.load_state_dict(weights, strict=False)
    assert (set(missing), unexpected) == (ours.training_only(), [])
    codes = theirs.encode(latents(), number).transpose(0, 1)
    assert torch.equal(ours.encode(latents(), number), codes)
    torch.testing.assert_close(ours.decode(codes), theirs.decode(codes), atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_hificodec_published_and_trained_are_the_same() -> None:
    torch.manual_seed(0)
    published = GroupResidualQuantizer(dimension=DIMENSION, codebook_size=SIZE)
    ours = build_quantizer(rvq(num_groups=2), DIMENSION).eval()
    for source, codebook in zip(published.layers, codebooks(ours), strict=True):
        nn.init.normal_(source.weight)
        codebook.embed.copy_(source.weight)
    codes = ours.encode(latents())
    assert torch.equal(codes, published.encode(latents()))
    for chosen in (slice(None), slice(1), slice(1, 3)):
        torch.testing.assert_close(ours.decode(codes, chosen), published.decode(codes, chosen))


def test_losses_of_hificodec() -> None:
    """Mean over layers of codebook + 0.25 · commitment, each a mean over both groups."""
    spec = rvq(num_groups=2, learning="gradient", kmeans_init=False, random_init="uniform")
    ours = build_quantizer(spec, DIMENSION)
    tables = [codebook.embed.detach().clone().requires_grad_() for codebook in codebooks(ours)]
    assert all(bool((table.abs() <= 1 / SIZE).all()) for table in tables)
    inputs = [latents().requires_grad_() for _ in range(2)]
    rest, losses = inputs[0].transpose(1, 2), []
    for layer in range(2):
        parts = []
        for group, part in enumerate(rest.chunk(2, dim=-1)):
            table = tables[2 * layer + group]
            parts.append(table[torch.cdist(part, table).argmin(dim=-1)])
        found = torch.cat(parts, dim=-1)
        losses.append(mse_loss(found, rest.detach()) + 0.25 * mse_loss(rest, found.detach()))
        rest = rest - (rest + (found - rest).detach())
    expected = torch.stack(losses).mean()
    output: Quantized = ours(inputs[1])
    loss = output.losses["codebook"] + 0.25 * output.losses["commitment"]
    torch.testing.assert_close(loss, expected)
    wanted = torch.autograd.grad(expected, [inputs[0], *tables])
    found_gradients = torch.autograd.grad(loss, [inputs[1], *(codebook.embed for codebook in codebooks(ours))])
    torch.testing.assert_close(found_gradients, wanted)


@pytest.mark.parametrize("levels", [(5, 4, 3), (8, 5, 5, 5), (2, 2, 2, 2, 3)])
@pytest.mark.parametrize("number", [1, 3])
def test_rounding_is_that_of_vector_quantize_pytorch(levels: tuple[int, ...], number: int) -> None:
    torch.manual_seed(0)
    theirs = ResidualFSQ(levels=list(levels), num_quantizers=number, dim=DIMENSION).eval()
    ours = build_quantizer(Fsq(kind="fsq", levels=levels, num_codebooks=number), DIMENSION).eval()
    for linear in (theirs.project_in, theirs.project_out):
        nn.init.zeros_(linear.bias)
    weights = {f"{name}.weight": getattr(theirs, name).weight for name in ("project_in", "project_out")}
    missing, unexpected = ours.load_state_dict(weights, strict=False)
    assert (set(missing), unexpected) == (ours.training_only(), [])
    inputs = [(3 * latents()).requires_grad_() for _ in range(2)]
    values, codes = theirs(inputs[0].transpose(1, 2))
    output: Quantized = ours(inputs[1])
    assert torch.equal(output.codes, codes.transpose(1, 2).long())
    torch.testing.assert_close(output.latents, values.transpose(1, 2), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(ours.decode(output.codes), values.transpose(1, 2), atol=1e-6, rtol=1e-5)


def test_one_rounding_is_finite_scalar_quantization() -> None:
    levels = [5, 4, 3, 7]
    theirs = FSQ(levels, preserve_symmetry=True, bound_hard_clamp=True)
    ours = build_quantizer(Fsq(kind="fsq", levels=tuple(levels)), 4)
    bounds = torch.tensor([1 + 1 / (level - 1) for level in levels])[:, None]
    values = 2 * torch.randn(2, 4, 50, generator=torch.Generator().manual_seed(0))
    quantized, codes = theirs((torch.tanh(values / bounds) * bounds).transpose(1, 2))
    assert torch.equal(ours.encode(values)[:, 0], codes.long())
    torch.testing.assert_close(ours.decode(ours.encode(values)), quantized.transpose(1, 2))
