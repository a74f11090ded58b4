"""SEANet's layers against loops; whole models are compared with the published ones in tests/codecs."""

import math

import pytest
import torch

from tokbench.models.convolutions import PaddedConv1d, Style, TrimmedConvTranspose1d, reflect_pad
from tokbench.models.residual_vq import ResidualQuantizer
from tokbench.models.seanet import SeanetDecoder, SeanetEncoder, Snake, rename_published
from tokbench.models.seanet_codec import SeanetCodec
from tokbench.specs.networks import Padding, Seanet

TINY = Seanet(num_filters=2, dilations=(1, 2))


def halves(network: Seanet) -> tuple[SeanetEncoder, SeanetDecoder]:
    encoder = SeanetEncoder(network, dimension=6, strides=(2, 3))
    return encoder, SeanetDecoder(network, dimension=6, strides=(3, 2))


def mirrored(values: list[float], index: int) -> float:
    """Return the value at ``index`` of a signal that is reflected about its ends."""
    period = 2 * (len(values) - 1)
    index %= period
    return values[min(index, period - index)]


@pytest.mark.parametrize(("left", "right"), [(0, 0), (3, 2), (6, 6)])
def test_padding_reflects(left: int, right: int) -> None:
    values = [float(value) for value in range(1, 8)]
    padded = reflect_pad(torch.tensor(values)[None], left, right)[0].tolist()
    assert padded == [mirrored(values, index) for index in range(-left, 7 + right)]


def test_a_signal_that_is_too_short_to_be_reflected_is_extended_by_zeros() -> None:
    assert reflect_pad(torch.tensor([[5.0]]), 2, 2).tolist() == [[0, 0, 5, 0, 0]]
    assert reflect_pad(torch.tensor([[5.0, 6.0]]), 3, 0).tolist() == [[0, 0, 6, 5, 6]]


OUTSIDE = {
    "reflect": mirrored,
    "replicate": lambda values, index: values[min(max(index, 0), len(values) - 1)],
    "zeros": lambda values, index: values[index] if 0 <= index < len(values) else 0.0,
}


@pytest.mark.parametrize("padding", OUTSIDE)
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("num_samples", [20, 21])
@pytest.mark.parametrize(
    ("kernel_size", "stride", "dilation"), [(7, 1, 1), (3, 1, 4), (4, 1, 1), (6, 3, 1), (4, 2, 1), (10, 5, 1)]
)
def test_a_convolution_equals_its_definition(
    kernel_size: int, stride: int, dilation: int, num_samples: int, *, causal: bool, padding: Padding
) -> None:
    torch.manual_seed(0)
    style = Style(causal=causal, padding=padding)
    layer = PaddedConv1d(1, 1, kernel_size, stride=stride, dilation=dilation, style=style)
    values, weights = torch.randn(num_samples), layer.conv.weight[0, 0].tolist()
    outside = (kernel_size - 1) * dilation + 1 - stride
    left = outside if causal else math.ceil(outside / 2)
    expected = [
        sum(
            weight * OUTSIDE[padding](values.tolist(), frame * stride + tap * dilation - left)
            for tap, weight in enumerate(weights)
        )
        + layer.conv.bias[0].item()
        for frame in range(math.ceil(num_samples / stride))
    ]
    torch.testing.assert_close(layer(values[None, None])[0, 0], torch.tensor(expected))


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("stride", [2, 5])
def test_a_transposed_convolution_spreads_each_frame(stride: int, *, causal: bool) -> None:
    torch.manual_seed(0)
    layer = TrimmedConvTranspose1d(1, 1, 2 * stride, stride=stride, style=Style(causal=causal))
    values, weights = torch.randn(4), layer.conv.weight[0, 0].tolist()
    full = [layer.conv.bias[0].item()] * (5 * stride)
    for frame in range(4):
        for tap, weight in enumerate(weights):
            full[frame * stride + tap] += weight * float(values[frame])
    left = 0 if causal else math.ceil(stride / 2)
    expected = torch.tensor(full[left : left + 4 * stride])
    torch.testing.assert_close(layer(values[None, None])[0, 0], expected)


def test_snake_is_its_formula() -> None:
    snake = Snake(2)
    snake.alpha.data[0, 1] = 3.0
    values = torch.tensor([[[0.5, -1.0], [0.5, -1.0]]])
    expected = [[x + math.sin(a * x) ** 2 / a for x in (0.5, -1.0)] for a in (1.0, 3.0)]
    torch.testing.assert_close(snake(values), torch.tensor([expected]))


def test_the_gradient_of_snake_is_that_of_its_formula() -> None:
    torch.manual_seed(0)
    snake = Snake(3).double()
    snake.alpha.data.uniform_(0.5, 2.0)
    values = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda inputs, _: snake(inputs), (values, snake.alpha))


@pytest.mark.parametrize("num_samples", [1, 5, 6, 7, 60])
def test_frames_are_a_hop_each(num_samples: int) -> None:
    encoder, decoder = halves(TINY)
    latents = encoder(torch.randn(2, 1, num_samples))
    num_frames = math.ceil(num_samples / 6)
    assert latents.shape == (2, 6, num_frames)
    assert decoder(latents).shape == (2, 1, 6 * num_frames)


def test_a_causal_network_does_not_look_ahead() -> None:
    torch.manual_seed(0)
    network = Seanet(num_filters=2, causal=True)
    codec = SeanetCodec(network, dimension=6, strides=(2, 3), num_codebooks=2, codebook_size=8).eval()
    samples = torch.randn(1, 1, 120)
    changed = samples.clone()
    changed[..., 60:] = 0
    with torch.inference_mode():
        before, after = codec.encoder(samples), codec.encoder(changed)
        torch.testing.assert_close(before[..., :10], after[..., :10])
        assert not torch.allclose(before[..., 10:], after[..., 10:])
        torch.testing.assert_close(codec.decoder(before)[..., :60], codec.decoder(after)[..., :60])


def test_every_parameter_gets_a_gradient() -> None:
    torch.manual_seed(0)
    encoder, decoder = halves(Seanet(num_filters=2, activation="snake", bidirectional=True))
    decoder(encoder(torch.randn(2, 1, 60))).pow(2).sum().backward()
    for network in (encoder, decoder):
        assert all(parameter.grad is not None for parameter in network.parameters())


def test_published_names_are_unwrapped() -> None:
    names = ("e.model.0.conv.conv.weight", "e.model.0.conv.norm.bias", "d.model.3.convtr.convtr.bias", "x.conv.y")
    renamed = rename_published({name: torch.zeros(1) for name in names})
    assert list(renamed) == ["e.model.0.conv.weight", "e.model.0.norm.bias", "d.model.3.conv.bias", "x.conv.y"]


def test_residual_quantization_equals_a_loop() -> None:
    torch.manual_seed(0)
    quantizer = ResidualQuantizer(num_codebooks=3, codebook_size=7, dimension=4)
    tables = [torch.randn(7, 4) / (1 + index) for index in range(3)]
    for layer, table in zip(quantizer.layers, tables, strict=True):
        layer.embed.copy_(table)
    latents = torch.randn(2, 4, 5)
    codes = quantizer.encode(latents)
    for batch in range(2):
        for frame in range(5):
            residual = latents[batch, :, frame]
            for index, table in enumerate(tables):
                best = min(range(7), key=lambda code: float((residual - table[code]).square().sum()))
                assert int(codes[batch, index, frame]) == best
                residual = residual - table[best]
            left = latents[batch, :, frame] - quantizer.decode(codes)[batch, :, frame]
            torch.testing.assert_close(left, residual)


def test_fewer_codebooks_are_the_first_ones() -> None:
    torch.manual_seed(0)
    quantizer = ResidualQuantizer(num_codebooks=3, codebook_size=7, dimension=4)
    for layer in quantizer.layers:
        layer.embed.copy_(torch.randn(7, 4))
    latents = torch.randn(1, 4, 5)
    codes = quantizer.encode(latents)
    assert torch.equal(quantizer.encode(latents, 2), codes[:, :2])
    parts = sum(quantizer.decode(codes, slice(index, index + 1)) for index in range(3))
    torch.testing.assert_close(quantizer.decode(codes), parts)
