"""The decoder of WavTokenizer against loops; the whole is compared with the published one in tests/codecs."""

import math

import pytest
import torch

from tokbench.models.vocos_backbone import (
    AdaptiveLayerNorm,
    FrameAttention,
    InverseStftHead,
    VocosBackbone,
    VocosConfig,
)

TINY = VocosConfig(input_channels=5, dim=64, intermediate_dim=12, num_layers=2, adanorm_num_embeddings=3)


@torch.inference_mode()
def test_attention_weighs_every_frame_by_its_likeness() -> None:
    torch.manual_seed(0)
    layer, values = FrameAttention(32), torch.randn(1, 32, 6)
    normed = layer.norm(values)
    query, key, value = (part(normed)[0].T for part in (layer.q, layer.k, layer.v))
    mixed = []
    for frame in range(6):
        likeness = [math.exp(float(query[frame] @ key[other]) / math.sqrt(32)) for other in range(6)]
        mixed.append(sum(weight * value[other] for other, weight in enumerate(likeness)) / sum(likeness))
    expected = values + layer.proj_out(torch.stack(mixed).T[None])
    torch.testing.assert_close(layer(values), expected)


@torch.inference_mode()
def test_a_condition_has_its_own_scale_and_shift() -> None:
    layer = AdaptiveLayerNorm(2, 3)
    layer.scale.weight[1], layer.shift.weight[1] = 2.0, 5.0
    values = torch.tensor([[[1.0, 2.0, 6.0]]])
    normed = (values - 3) / math.sqrt(14 / 3 + 1e-6)
    torch.testing.assert_close(layer(values), normed)
    torch.testing.assert_close(layer(values, condition=1), 2 * normed + 5)


@torch.inference_mode()
def test_the_head_adds_up_windowed_frames() -> None:
    torch.manual_seed(0)
    n_fft, hop_length, num_frames = 16, 4, 5
    head, features = InverseStftHead(3, n_fft=n_fft, hop_length=hop_length), torch.randn(1, num_frames, 3)
    outputs = head.out(features)[0]
    total, weight = [0.0] * (num_frames * hop_length + n_fft), [0.0] * (num_frames * hop_length + n_fft)
    window = [0.5 - 0.5 * math.cos(2 * math.pi * index / n_fft) for index in range(n_fft)]
    for frame, output in enumerate(outputs):
        magnitude, phase = output[:9].exp(), output[9:]
        for index in range(n_fft):
            # The inverse DFT: the upper half of the spectrum mirrors the lower, so all but its edges count twice.
            terms = [
                (1 if band in {0, 8} else 2)
                * float(magnitude[band])
                * (
                    math.cos(float(phase[band])) * math.cos(2 * math.pi * band * index / n_fft)
                    - (
                        0
                        if band in {0, 8}
                        else math.sin(float(phase[band])) * math.sin(2 * math.pi * band * index / n_fft)
                    )
                )
                for band in range(9)
            ]
            total[frame * hop_length + index] += window[index] * sum(terms) / n_fft
            weight[frame * hop_length + index] += window[index] ** 2
    cut = (n_fft - hop_length) // 2
    expected = [total[cut + i] / weight[cut + i] for i in range(num_frames * hop_length)]
    torch.testing.assert_close(head(features)[0], torch.tensor(expected), atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_magnitudes_are_clipped() -> None:
    head = InverseStftHead(1, n_fft=16, hop_length=4)
    head.out.weight.zero_()
    head.out.bias.zero_()
    head.out.bias[:9] = 50.0
    assert bool(torch.isfinite(head(torch.zeros(1, 3, 1))).all())
    assert float(head(torch.zeros(1, 3, 1)).abs().max()) < 1e3


@pytest.mark.parametrize("num_frames", [1, 7])
def test_frames_stay_as_many_as_they_are(num_frames: int) -> None:
    backbone = VocosBackbone(TINY)
    features = backbone(torch.randn(2, 5, num_frames))
    assert features.shape == (2, num_frames, 64)
    features.square().sum().backward()
    unused = {name for name, parameter in backbone.named_parameters() if parameter.grad is None}
    assert unused == set()


@torch.inference_mode()
def test_asking_some_at_a_time_gives_what_asking_at_once_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    layer, values = FrameAttention(32), torch.randn(1, 32, 10)
    expected = layer(values)
    monkeypatch.setattr("tokbench.models.vocos_backbone._QUERIES_AT_A_TIME", 3)
    torch.testing.assert_close(layer(values), expected)


@torch.inference_mode()
def test_what_follows_attention_reaches_as_far_as_it_says() -> None:
    torch.manual_seed(0)
    backbone, head = VocosBackbone(TINY).double(), InverseStftHead(64, n_fft=16, hop_length=4).double()
    values = torch.randn(1, 64, 41, dtype=torch.float64)
    samples = head(backbone.refine(values))[0]
    reach = backbone.reach + head.reach
    for distance, changes in ((reach, True), (reach + 1, False)):
        changed = values.clone()
        changed[..., 20 + distance] = torch.randn(64)
        own = head(backbone.refine(changed))[0, 80:84]
        assert torch.equal(own, samples[80:84]) is not changes
