"""Discriminators against the packages that they were published with, on the same weights."""

import re
from collections.abc import Callable, Iterable

import dac.model.discriminator as dac
import encodec.msstftd
import pytest
import speechtokenizer.discriminators as hifi_gan
import torch
from torch import Tensor, nn

from tokbench.models.discriminators.base import DiscriminatorSet, Judgement, conditioned
from tokbench.models.discriminators.build import build_discriminator
from tokbench.specs.discriminators import (
    ComplexStft,
    Discriminator,
    MultiBandStft,
    MultiPeriod,
    MultiResolutionSpectrogram,
    MultiScale,
    MultiScaleStft,
)

# The originals are of the time before parametrizations.
pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")

EVERY_KIND: list[Discriminator] = [
    MultiScale(kind="msd", num_filters=8),
    MultiScale(kind="msd", form="melgan", num_filters=4, spectral_norm=False),
    MultiPeriod(kind="mpd", num_filters=2),
    MultiScaleStft(kind="ms-stftd", num_filters=4),
    MultiBandStft(kind="mrd", num_filters=4),
    MultiResolutionSpectrogram(kind="mrsd", num_filters=4),
    ComplexStft(kind="stftd", num_filters=2),
]


def num_parameters(spec: Discriminator) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build_discriminator(spec).parameters())


@pytest.fixture
def samples() -> Tensor:
    return 0.1 * torch.randn(2, 1, 6001, generator=torch.Generator().manual_seed(0))


Rename = Callable[[str], str]


def rename(*rules: tuple[str, str]) -> Rename:
    def renamed(name: str) -> str:
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        return name

    return renamed


NORMS = (
    (r"weight_g$", "parametrizations.weight.original0"),
    (r"weight_v$", "parametrizations.weight.original1"),
    (r"weight_orig$", "parametrizations.weight.original"),
    (r"weight_u$", "parametrizations.weight.0._u"),
    (r"weight_v_spectral$", "parametrizations.weight.0._v"),
)
ENCODEC = rename(
    (r"^discriminators", "members"),
    (r"conv_post\.conv\.", "last."),
    (r"convs\.(\d)\.conv\.", r"layers.\1."),
    *NORMS,
)
HIFI_GAN = rename((r"^discriminators", "members"), (r"conv_post\.", "last."), (r"convs\.", "layers."), *NORMS)
DAC = rename(
    (r"^discriminators", "members"),
    (r"conv_post\.", "last."),
    (r"band_convs\.(\d)\.(\d)\.0\.", r"stacks.\1.\2."),
    (r"convs\.(\d)\.0\.", r"layers.\1."),
    *NORMS,
)


def with_weights_of(original: nn.Module, spec: Discriminator, renamed: Rename) -> DiscriminatorSet:
    """Return the discriminator of ``spec`` with every tensor of ``original``, both in evaluation mode."""
    tensors = {
        # Spectral normalization has a weight_v too.
        name
        + "_spectral" * (name.endswith("weight_v") and name.replace("_v", "_u") in original.state_dict()): tensor
        for name, tensor in original.eval().state_dict().items()
    }
    ours = build_discriminator(spec).eval()
    kept = {renamed(name): tensor for name, tensor in tensors.items() if "spec_transform" not in name}
    ours.load_state_dict(kept)
    return ours


def assert_same(ours: Iterable[Judgement], logits: Iterable[Tensor], features: Iterable[list[Tensor]]) -> None:
    for judgement, wanted_logits, wanted_features in zip(ours, logits, features, strict=True):
        torch.testing.assert_close(judgement.logits.flatten(), wanted_logits.flatten(), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(judgement.features, wanted_features, atol=1e-5, rtol=1e-4)


def test_ms_stftd_is_that_of_encodec(samples: Tensor) -> None:
    torch.manual_seed(0)
    lengths = [512, 256, 128]
    original = encodec.msstftd.MultiScaleSTFTDiscriminator(
        4, n_ffts=lengths, win_lengths=lengths, hop_lengths=[length // 4 for length in lengths]
    )
    spec = MultiScaleStft(kind="ms-stftd", num_filters=4, window_lengths=tuple(lengths))
    assert_same(with_weights_of(original, spec, ENCODEC)(samples), *original(samples))


def test_mpd_is_that_of_hifi_gan(samples: Tensor) -> None:
    torch.manual_seed(0)
    original = hifi_gan.MultiPeriodDiscriminator()
    original.discriminators = original.discriminators[2:4]
    ours = with_weights_of(original, MultiPeriod(kind="mpd", periods=(5, 7)), HIFI_GAN)
    short = samples[:1, :, :1200]
    logits, _, features, _ = original(short, short)
    assert_same(ours(short), logits, [maps[:-1] for maps in features])


def test_msd_is_that_of_hifi_gan(samples: Tensor) -> None:
    torch.manual_seed(0)
    original = hifi_gan.MultiScaleDiscriminator()
    original.discriminators = original.discriminators[:2]
    original.meanpools = original.meanpools[:1]
    ours = with_weights_of(original, MultiScale(kind="msd", num_scales=2), HIFI_GAN)
    short = samples[:1, :, :1200]
    logits, _, features, _ = original(short, short)
    assert_same(ours(short), logits, [maps[:-1] for maps in features])


def test_mpd_and_mrd_are_those_of_dac(samples: Tensor) -> None:
    torch.manual_seed(0)
    period = dac.Discriminator(periods=[3], fft_sizes=[])
    bands = dac.Discriminator(periods=[], fft_sizes=[512, 256])
    specs = (
        MultiPeriod(kind="mpd", periods=(3,), always_padded=True, conditioned=True),
        MultiBandStft(kind="mrd", window_lengths=(512, 256), conditioned=True),
    )
    whole_periods = samples[:1, :, :1200] + 0.3
    for original, spec in zip((period, bands), specs, strict=True):
        outputs = original(whole_periods)
        ours = with_weights_of(original, spec, DAC)(whole_periods)
        assert_same(ours, [maps[-1] for maps in outputs], [maps[:-1] for maps in outputs])


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (MultiPeriod(kind="mpd"), 41_100_000),
        (MultiPeriod(kind="mpd", periods=(2,)), 8_220_000),
        (MultiScale(kind="msd"), 29_600_000),
        (MultiScaleStft(kind="ms-stftd"), 472_000),
        (MultiScaleStft(kind="ms-stftd", window_lengths=(2048, 1024, 512)), 283_000),
    ],
)
def test_parameters_are_as_many_as_measured_in_the_originals(spec: Discriminator, expected: int) -> None:
    assert num_parameters(spec) == pytest.approx(expected, rel=2e-3)


def test_the_discriminators_of_dac_have_42_million_parameters_together() -> None:
    together = num_parameters(MultiPeriod(kind="mpd")) + num_parameters(MultiBandStft(kind="mrd"))
    assert together == pytest.approx(42_500_000, rel=2e-3)


def test_the_waveforms_of_soundstream_multiply_channels_by_4_up_to_1024_in_groups_of_4_channels() -> None:
    spec = MultiScale(kind="msd", form="melgan", num_filters=16, spectral_norm=False)
    with torch.device("meta"):
        scale = build_discriminator(spec).members[0]
    layers = [layer for layer in scale.layers if isinstance(layer, nn.Conv1d)]
    assert [layer.out_channels for layer in layers] == [16, 64, 256, 1024, 1024, 1024]
    assert [layer.in_channels // layer.groups for layer in layers[1:5]] == [4, 4, 4, 4]
    assert [layer.stride[0] for layer in layers] == [1, 4, 4, 4, 4, 1]


def test_the_complex_stft_of_soundstream_has_the_shapes_of_the_paper() -> None:
    spec = ComplexStft(kind="stftd", num_filters=2)
    (judgement,) = build_discriminator(spec)(torch.randn(2, 1, 4096))
    # T / H frames and W / 2 bins; the last block leaves T / (8 H) and W / 2 / 64; the last layer spans all bins.
    assert judgement.features[0].shape == (2, 2, 16, 512)
    assert judgement.features[-1].shape == (2, 32, 2, 8)
    assert judgement.logits.shape == (2, 1, 2, 1)


def test_audiodecs_spectrograms_have_the_shapes_that_its_code_gives() -> None:
    # 6000 samples padded by 600 on both ends, and centred: 1 + 7200 // 240 frames of 1025 bins, halved three times.
    spec = MultiResolutionSpectrogram(
        kind="mrsd", num_filters=4, fft_sizes=(2048,), window_lengths=(1200,), hop_lengths=(240,)
    )
    (judgement,) = build_discriminator(spec)(torch.randn(1, 1, 6000))
    assert [tuple(maps.shape) for maps in judgement.features] == [
        (1, 4, 31, num_bins) for num_bins in (1025, 513, 257, 129, 129)
    ]
    assert judgement.logits.shape == (1, 1, 31, 129)


def test_logits_are_pooled_over_4_by_4_of_them(samples: Tensor) -> None:
    torch.manual_seed(0)
    plain, pooled = (
        build_discriminator(
            MultiScaleStft(kind="ms-stftd", num_filters=2, window_lengths=(256,), pooled_logits=is_pooled)
        )
        for is_pooled in (False, True)
    )
    pooled.load_state_dict(plain.state_dict())
    logits, averages = plain(samples)[0].logits, pooled(samples)[0].logits
    torch.testing.assert_close(averages[0, 0, 0, 0], logits[0, 0, :3, :3].mean())
    torch.testing.assert_close(averages[0, 0, 1, 2], logits[0, 0, 1:5, 3:7].mean())


@pytest.mark.parametrize("spec", EVERY_KIND, ids=lambda spec: spec.kind)
def test_every_discriminator_judges_each_example_alone_and_passes_gradients(spec: Discriminator) -> None:
    torch.manual_seed(0)
    network = build_discriminator(spec).eval()
    samples = (0.1 * torch.randn(2, 1, 4800)).requires_grad_()
    together, alone = network(samples), network(samples[1:])
    for both, one in zip(together, alone, strict=True):
        torch.testing.assert_close(both.logits[1:], one.logits, atol=1e-5, rtol=1e-4)
        assert all(maps.shape[0] == 2 for maps in both.features)
    sum(judgement.logits.mean() for judgement in together).backward()
    assert samples.grad is not None
    assert samples.grad.isfinite().all()
    assert samples.grad.ne(0).float().mean() > 0.9
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("spec", EVERY_KIND, ids=lambda spec: spec.kind)
def test_silence_has_finite_gradients(spec: Discriminator) -> None:
    samples = torch.zeros(1, 1, 4800, requires_grad=True)
    network = build_discriminator(spec.model_copy(update={"conditioned": True}))
    sum(judgement.logits.mean() for judgement in network(samples)).backward()
    assert samples.grad is not None
    assert samples.grad.isfinite().all()


def test_conditioning_takes_the_mean_and_sets_the_peak() -> None:
    heard = conditioned(torch.tensor([[[1.0, 3.0, 2.0]], [[0.0, 0.0, 0.0]]]))
    torch.testing.assert_close(heard, torch.tensor([[[-0.8, 0.8, 0.0]], [[0.0, 0.0, 0.0]]]))
