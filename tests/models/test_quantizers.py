"""Quantizers: their codes against loops, where gradients pass, dropout, and the health of the codes."""

import math
from typing import Any

import pytest
import torch
from oracles.quantization import grouped_residual
from torch import Tensor

from tokbench.models import residual_vq
from tokbench.models.quantization.codebooks import LearntCodebook
from tokbench.models.quantization.residual import ResidualVq
from tokbench.models.quantizers import Quantized, TrainableQuantizer, build_quantizer
from tokbench.specs.quantizers import Continuous, Fsq, Quantizer, Rvq

DIMENSION = 8


def rvq(**changes: Any) -> Rvq:
    return Rvq.model_validate({"num_codebooks": 4, "codebook_size": 16, "dead_below": 0.0} | changes)


FORMS: dict[str, Quantizer] = {
    "plain": rvq(),
    "every layer": rvq(straight_through="every-layer"),
    "first layer": rvq(straight_through="first-layer"),
    "gradient": rvq(learning="gradient", kmeans_init=False, random_init="uniform"),
    "groups": rvq(num_groups=2),
    "split": rvq(num_split=1, projection="shared", code_dimension=6),
    "groups on both sides": rvq(num_groups=2, num_split=2, projection="shared", code_dimension=6),
    "factorized": rvq(
        projection="per-codebook",
        code_dimension=3,
        normalized=True,
        learning="gradient",
        straight_through="first-layer",
    ),
    "factorized groups": rvq(
        num_groups=2, projection="per-codebook", code_dimension=3, straight_through="every-layer", losses_over="sum"
    ),
    "rounded": Fsq(kind="fsq", levels=(5, 4, 3)),
    "rounded again": Fsq(kind="fsq", levels=(3, 3), num_codebooks=3),
    "rounded as it is": Fsq(kind="fsq", levels=(5, 4, 3, 2, 2, 3, 4, 5), num_codebooks=2),
    "continuous": Continuous(kind="none"),
}


def latents(seed: int = 0, *, batch: int = 3, num_frames: int = 20) -> Tensor:
    return torch.randn(batch, DIMENSION, num_frames, generator=torch.Generator().manual_seed(seed))


def trained(spec: Quantizer) -> TrainableQuantizer:
    """Return a quantizer that has seen two batches."""
    torch.manual_seed(0)
    quantizer = build_quantizer(spec, DIMENSION)
    for seed in (1, 2):
        quantizer(latents(seed))
    return quantizer


def codebooks(quantizer: TrainableQuantizer) -> list[LearntCodebook]:
    return [module for module in quantizer.modules() if isinstance(module, LearntCodebook)]


@pytest.mark.parametrize("form", FORMS)
def test_training_encoding_and_decoding_agree(form: str) -> None:
    quantizer = trained(FORMS[form]).eval()
    values = latents()
    output: Quantized = quantizer(values)
    codes = quantizer.encode(values)
    assert codes.dtype == torch.int64
    assert codes.shape == (3, len(quantizer.codebook_sizes), 20)
    assert torch.equal(output.codes, codes)
    for codebook, size in enumerate(quantizer.codebook_sizes):
        assert 0 <= int(codes[:, codebook].min()) <= int(codes[:, codebook].max()) < size
    decoded = quantizer.decode(codes)
    close = {"atol": 2e-3, "rtol": 1e-3} if form == "continuous" else {"atol": 1e-5, "rtol": 1e-5}
    torch.testing.assert_close(decoded, output.latents, **close)
    for number in (1, len(quantizer.codebook_sizes) - 1 or 1):
        assert torch.equal(quantizer.encode(values, number), codes[:, :number])


@pytest.mark.parametrize("form", [form for form in FORMS if form != "continuous"])
def test_layers_and_chosen_codebooks_add_up(form: str) -> None:
    quantizer = trained(FORMS[form]).eval()
    output: Quantized = quantizer(latents())
    torch.testing.assert_close(sum(output.layers), output.latents, atol=1e-5, rtol=1e-5)
    for index, layer in enumerate(output.layers):
        alone = quantizer.decode(output.codes, slice(index, index + 1))
        torch.testing.assert_close(alone, layer, atol=1e-5, rtol=1e-5)
    number = len(output.layers)
    if number > 1:
        parts = quantizer.decode(output.codes, slice(1)) + quantizer.decode(output.codes, slice(1, None))
        torch.testing.assert_close(parts, output.latents, atol=1e-5, rtol=1e-5)
        fewer = quantizer.decode(output.codes[:, : number - 1])
        torch.testing.assert_close(fewer, sum(output.layers[:-1]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("groups", "split"), [(1, 0), (2, 0), (4, 0), (1, 1), (2, 2)])
def test_codes_against_loops(groups: int, split: int) -> None:
    quantizer = trained(rvq(num_groups=groups, num_split=split)).eval()
    values = latents(batch=1)
    codes = quantizer.encode(values)
    decoded = quantizer.decode(codes)
    tables = [codebook.embed.tolist() for codebook in codebooks(quantizer)]
    for frame in range(values.shape[2]):
        vector = values[0, :, frame].tolist()
        expected, total = grouped_residual(vector, tables, num_groups=groups, num_split=split)
        assert codes[0, :, frame].tolist() == expected
        torch.testing.assert_close(decoded[0, :, frame], torch.tensor(total), atol=1e-5, rtol=0)


def test_a_group_is_quantized_as_it_would_be_alone() -> None:
    both, alone = trained(rvq(num_groups=2)), build_quantizer(rvq(num_codebooks=2), DIMENSION // 2).eval()
    both.eval()
    for group in range(2):
        own = codebooks(both)[group::2]
        for codebook, source in zip(codebooks(alone), own, strict=True):
            codebook.embed.copy_(source.embed)
        part = latents()[:, 4 * group : 4 * group + 4]
        assert torch.equal(alone.encode(part), both.encode(latents())[:, group::2])


def commitment_gradients(spec: Rvq) -> list[float]:
    """Return the norm of the gradient, at the latents, of each codebook's commitment."""
    quantizer = trained(spec).eval()
    assert isinstance(quantizer, ResidualVq)
    values = latents().requires_grad_()
    norms = []
    for index in range(4):
        use = quantizer._drawn_use(values)
        coded = list(quantizer._coded(quantizer._chained(values), use))
        loss = coded[index].commitment.mean()
        norms.append(float(torch.autograd.grad(loss, values)[0].norm()))
    return norms


@pytest.mark.parametrize(("variant", "slope"), [("sum", 1.0), ("every-layer", 4.0), ("first-layer", 1.0)])
def test_the_gradient_passes_straight_through(variant: str, slope: float) -> None:
    quantizer = trained(rvq(straight_through=variant))
    values = latents().requires_grad_()
    (gradient,) = torch.autograd.grad(quantizer(values).latents.sum(), values)
    assert torch.equal(gradient, torch.full_like(gradient, slope))


@pytest.mark.parametrize(
    ("variant", "arrives"),
    [("sum", [True] * 4), ("every-layer", [True] * 4), ("first-layer", [True] + [False] * 3)],
)
def test_which_commitments_reach_the_encoder(variant: str, arrives: list[bool]) -> None:
    norms = commitment_gradients(rvq(straight_through=variant))
    assert [norm > 0 for norm in norms] == arrives
    # d mean((z - e)²) / dz = 2 (z - e) / N, and the first residual is the latents themselves.
    quantizer, values = trained(rvq(straight_through=variant)).eval(), latents()
    first = 2 * (values - quantizer.decode(quantizer.encode(values), slice(1))) / values.numel()
    assert norms[0] == pytest.approx(float(first.norm()), rel=1e-5)


def test_through_projections_every_commitment_reaches_the_encoder() -> None:
    assert all(norm > 0 for norm in commitment_gradients(FORMS["factorized"]))


@pytest.mark.parametrize("form", [form for form in FORMS if form != "continuous"])
def test_a_loss_on_a_layer_reaches_the_latents_and_every_parameter_learns(form: str) -> None:
    quantizer = trained(FORMS[form])
    values = latents().requires_grad_()
    output: Quantized = quantizer(values)
    (gradient,) = torch.autograd.grad(output.layers[0].square().sum(), values, retain_graph=True)
    assert float(gradient.norm()) > 0
    torch.autograd.backward(sum(output.losses.values(), start=output.latents.square().sum()))
    assert values.grad is not None
    assert all(parameter.grad is not None for parameter in quantizer.parameters())


def test_codes_that_average_have_no_loss_of_their_own() -> None:
    assert set(trained(FORMS["plain"])(latents()).losses) == {"commitment"}
    with torch.no_grad():
        assert set(trained(FORMS["gradient"])(latents()).losses) == {"commitment", "codebook"}
    assert set(trained(FORMS["rounded"])(latents()).losses) == set()


@pytest.mark.parametrize("straight_through", ["sum", "every-layer", "first-layer"])
def test_an_example_that_does_without_a_codebook_gets_nothing_of_it(straight_through: str) -> None:
    quantizer = trained(rvq(dropout=1.0, straight_through=straight_through))
    values = latents(batch=40).requires_grad_()
    output: Quantized = quantizer(values)
    used = output.codes[:, :, 0] >= 0
    numbers = used.sum(dim=1)
    assert set(numbers.tolist()) == {1, 2, 3, 4}
    assert torch.equal(used, torch.arange(4) < numbers[:, None])
    assert torch.equal(used[..., None].expand_as(output.codes), output.codes >= 0)
    for index, layer in enumerate(output.layers):
        assert torch.equal(layer.ne(0).flatten(1).any(dim=1), used[:, index])
    (gradient,) = torch.autograd.grad(output.latents.sum(), values, retain_graph=True)
    slopes = numbers if straight_through == "every-layer" else torch.ones(40)
    assert torch.equal(gradient[:, 0, 0], slopes.float())
    torch.testing.assert_close(sum(output.layers), output.latents, atol=1e-5, rtol=1e-5)


def test_an_unused_codebook_neither_learns_nor_costs() -> None:
    quantizer = trained(rvq(dropout=1.0, dropout_choices=(2,), learning="gradient"))
    before = [codebook.counts.clone() for codebook in codebooks(quantizer)]
    output: Quantized = quantizer(latents())
    moved = [
        not torch.allclose(codebook.counts, old * 0.99)
        for codebook, old in zip(codebooks(quantizer), before, strict=True)
    ]
    assert moved == [True, True, False, False]
    gradients = torch.autograd.grad(
        output.losses["codebook"], [codebook.embed for codebook in codebooks(quantizer)], allow_unused=True
    )
    assert [gradient is not None and float(gradient.norm()) > 0 for gradient in gradients] == [
        True,
        True,
        False,
        False,
    ]


def test_losses_are_averaged_over_who_uses_a_codebook_or_added_up() -> None:
    losses = {}
    for over in ("mean", "sum"):
        quantizer = trained(rvq(dropout=0.5, losses_over=over, learning="gradient", kmeans_init=False))
        values = latents(batch=12)
        torch.manual_seed(3)
        output: Quantized = quantizer(values)
        losses[over] = output.losses["commitment"]
    used = (output.codes[:, :, 0] >= 0).float()
    rest, each = values, []
    for layer in output.layers:
        each.append((rest - layer).square().mean(dim=(1, 2)))
        rest = rest - layer
    table = torch.stack(each, dim=1)
    torch.testing.assert_close(losses["mean"], (table * used).sum() / used.sum())
    torch.testing.assert_close(losses["sum"], (table * used).mean(dim=0).sum())


def test_a_batch_shares_its_number_of_codebooks() -> None:
    quantizer = trained(rvq(dropout=1.0, dropout_by="batch", dropout_choices=(1, 3)))
    seen = set()
    for seed in range(20):
        codes = quantizer(latents(seed)).codes
        used = (codes >= 0).any(dim=2)
        assert torch.equal(used, used[:1].expand_as(used))
        seen.add(int(used[0].sum()))
    assert seen == {1, 3}


def test_dropout_spares_its_share_of_the_examples() -> None:
    quantizer = trained(rvq(dropout=0.25, dropout_choices=(1,)))
    codes = quantizer(latents(batch=400, num_frames=1)).codes
    dropped = int((codes[:, 1] < 0).sum())
    assert abs(dropped - 100) < 4 * math.sqrt(400 * 0.25 * 0.75)


@pytest.mark.parametrize(("form", "numbers"), [("groups", {2, 4}), ("split", {1, 2, 3, 4})])
def test_without_choices_whole_layers_are_drawn(form: str, numbers: set[int]) -> None:
    spec = FORMS[form].model_copy(update={"dropout": 1.0})
    codes = trained(spec)(latents(batch=60)).codes
    assert set((codes[:, :, 0] >= 0).sum(dim=1).tolist()) == numbers


def test_nothing_is_dropped_or_moved_outside_of_training() -> None:
    quantizer = trained(rvq(dropout=1.0)).eval()
    before = {name: tensor.clone() for name, tensor in quantizer.state_dict().items()}
    codes = quantizer(latents()).codes
    assert int(codes.min()) >= 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in quantizer.state_dict().items())


def test_usage_is_since_it_was_last_asked() -> None:
    quantizer = trained(rvq(num_codebooks=2))
    quantizer.usage()
    values = latents()
    codes = quantizer(values).codes
    expected = [len(codes[:, index].unique()) / 16 for index in range(2)]
    shares = codes[:, 0].flatten().bincount(minlength=16) / codes[:, 0].numel()
    entropy = -sum(p * math.log(p) for p in shares.tolist() if p > 0)
    assert float(quantizer.perplexity()[0]) == pytest.approx(math.exp(entropy), rel=1e-5)
    assert quantizer.usage().tolist() == pytest.approx(expected)
    assert quantizer.usage().tolist() == [0.0, 0.0]


def test_usage_of_what_has_no_codebooks_is_empty() -> None:
    assert trained(FORMS["continuous"]).usage().shape == (0,)
    assert trained(FORMS["rounded again"]).usage().shape == (3,)


def test_every_code_of_a_rounding_quantizer_decodes_to_itself() -> None:
    quantizer = build_quantizer(Fsq(kind="fsq", levels=(5, 4, 3)), 3)
    codes = torch.arange(60)[None, None]
    decoded = quantizer.decode(codes)
    grid = {-1.0, -0.5, 0.0, 0.5, 1.0}
    assert {round(value, 6) for value in decoded[0, 0].tolist()} == grid
    assert len(set(map(tuple, decoded[0].T.tolist()))) == 60
    # What bounds a value to a level: c · tanh(z / c) with c = 1 + 1 / (n - 1).
    bounds = torch.tensor([1 + 1 / 4, 1 + 1 / 3, 1 + 1 / 2])[:, None]
    assert torch.equal(quantizer.encode(torch.atanh(decoded / bounds) * bounds), codes)


def test_continuous_latents_are_sent_as_half_precision_numbers() -> None:
    quantizer = build_quantizer(Continuous(kind="none"), 4)
    values = torch.tensor([[1.0, -2.0, 0.1, 1e9], [0.0, -0.0, 6e-8, -1e9]]).T[None]
    codes = quantizer.encode(values)
    # IEEE 754 binary16: a sign, 5 bits of exponent with bias 15, 10 bits of fraction.
    assert codes[0, :, 0].tolist() == [0x3C00, 0xC000, 0x2E66, 0x7BFF]
    assert codes[0, :, 1].tolist() == [0x0000, 0x8000, 0x0001, 0xFBFF]
    assert quantizer.decode(codes)[0, :2, 0].tolist() == [1.0, -2.0]
    assert quantizer.decode(codes, slice(1, 2))[0, :, 0].tolist() == [0.0, -2.0, 0.0, 0.0]
    assert quantizer.decode(torch.tensor([[[0x7E00], [0x7C00], [0xFC00]]]))[0, :, 0].tolist() == [
        0,
        65504,
        -65504,
        0,
    ]


def test_half_precision_ends_at_the_quantizer() -> None:
    quantizer = trained(FORMS["split"])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = quantizer(latents().bfloat16())
    assert output.latents.dtype == torch.float32
    assert all(loss.dtype == torch.float32 for loss in output.losses.values())


def test_long_audio_is_compared_with_the_codes_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    quantizer, values = trained(FORMS["factorized groups"]).eval(), latents(num_frames=50)
    codes = quantizer.encode(values)
    monkeypatch.setattr(residual_vq, "BLOCK_SIZE", 7)
    assert torch.equal(quantizer.encode(values), codes)
