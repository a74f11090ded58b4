"""Distillation: its losses against the packages that published them, slow loops and analytic cases."""

import math
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from speechtokenizer.trainer import loss as published
from torch import Tensor
from torch.nn import functional

from tokbench.codecs.registry import load, one
from tokbench.errors import SpecError
from tokbench.models.frame_rates import averaging, nearest_frames, num_within
from tokbench.models.neural_codec import CodecOutput
from tokbench.models.quantizers import Quantized
from tokbench.specs.distillation import Distillation, student_has_codebooks
from tokbench.training.crops import Batch
from tokbench.training.distillation import Distiller, Distillers, feature_losses

RATE_HZ, HOP, DIMENSION = 16000, 320, 8


@pytest.fixture
def pair() -> tuple[Tensor, Tensor]:
    """Return student and teacher [B, F, D]."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 20, 12, generator=generator), torch.randn(3, 20, 12, generator=generator)


def test_the_d_axis_is_that_of_the_speechtokenizer_package(pair: tuple[Tensor, Tensor]) -> None:
    student, teacher = pair
    student.requires_grad_()
    expected = published.d_axis_distill_loss(student, teacher)
    (wanted,) = torch.autograd.grad(expected, student)
    actual = feature_losses(student, teacher, "d-axis").mean()
    (gradient,) = torch.autograd.grad(actual, student)
    torch.testing.assert_close(actual, expected)
    torch.testing.assert_close(gradient, wanted)


def test_the_t_axis_is_that_of_the_speechtokenizer_package(
    pair: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which asks PyTorch for a loss under a name that it does not have, and so cannot run as it is."""
    monkeypatch.setattr(torch.functional, "l1_loss", functional.l1_loss, raising=False)
    expected = published.t_axis_distill_loss(*pair, lambda_sim=1)
    torch.testing.assert_close(feature_losses(*pair, "t-axis", distance_weight=1.0).mean(), expected)
    assert feature_losses(*pair, "t-axis").mean() < expected


def test_the_d_axis_is_the_formula_of_the_paper(pair: tuple[Tensor, Tensor]) -> None:
    """Example by example and feature by feature, with NumPy."""
    student, teacher = (values.double().numpy() for values in pair)
    expected = []
    for one_student, one_teacher in zip(student, teacher, strict=True):
        total = 0.0
        for x, y in zip(one_student.T, one_teacher.T, strict=True):
            cosine = x @ y / (np.linalg.norm(x) * np.linalg.norm(y))
            total += math.log(1 / (1 + math.exp(-cosine)))
        expected.append(-total / student.shape[2])
    np.testing.assert_allclose(feature_losses(*pair, "d-axis").numpy(), expected, rtol=1e-5)


def test_forms_where_the_cosine_is_known(pair: tuple[Tensor, Tensor]) -> None:
    _, teacher = pair
    opposite = -2.0 * teacher
    for form, alike, unlike in (
        ("d-axis", math.log(1 + math.exp(-1)), math.log(1 + math.e)),
        ("t-axis", math.log(1 + math.exp(-1)), math.log(1 + math.e)),
        ("cosine", 0.0, 2.0),
    ):
        torch.testing.assert_close(feature_losses(3 * teacher, teacher, form), torch.full((3,), alike))
        torch.testing.assert_close(feature_losses(opposite, teacher, form), torch.full((3,), unlike))


def test_the_axes_are_not_the_same() -> None:
    """A student scaled frame by frame keeps each frame's direction, but not each feature's course in time."""
    teacher = torch.rand(1, 6, 4) + 0.5
    student = teacher * torch.tensor([1.0, 5, 1, 5, 1, 5])[None, :, None]
    assert float(feature_losses(student, teacher, "cosine")) == pytest.approx(0, abs=1e-6)
    assert float(feature_losses(student, teacher, "d-axis")) > math.log(1 + math.exp(-1)) + 0.01


@pytest.mark.parametrize(
    ("from_hz", "to_hz"), [(50.0, 12.5), (50.0, 50.0), (100.0, 50.0), (50.0, 75.0), (50.0, 33.3)]
)
def test_frames_are_matched_in_time(from_hz: float, to_hz: float) -> None:
    """Against a loop over the frames' centres."""
    num_from = 40
    centres = [(i + 0.5) / from_hz for i in range(num_from)]
    wanted = [(j + 0.5) / to_hz for j in range(200) if (j + 0.5) / to_hz < num_from / from_hz - 1e-9]
    assert num_within(num_from, from_hz, to_hz) == len(wanted)
    nearest = nearest_frames(len(wanted), from_hz, to_hz)
    for index, time in zip(nearest.tolist(), wanted, strict=True):
        assert abs(centres[index] - time) == pytest.approx(min(abs(c - time) for c in centres))
    weights = averaging(len(wanted), num_from, from_hz, to_hz)
    for row, time in zip(weights.tolist(), wanted, strict=True):
        near = [i for i, c in enumerate(centres) if abs(c - time) < 1 / to_hz - 1e-9]
        near = near or [min(range(num_from), key=lambda i: abs(centres[i] - time))]
        assert [i for i, weight in enumerate(row) if weight] == near or to_hz > from_hz
        assert sum(row) == pytest.approx(1)


def test_mimi_averages_eight_frames_every_four() -> None:
    """Moshi pools WavLM's frames so, where all of the window is there."""
    features = torch.randn(1, 5, 40)
    pooled = functional.avg_pool1d(features, kernel_size=8, stride=4, padding=2, count_include_pad=False)
    torch.testing.assert_close(features @ averaging(10, 40, 50.0, 12.5).T, pooled)


def codec(**tables: dict[str, object]) -> SimpleNamespace:
    """Return what a distiller asks of a codec's spec."""
    built = {name: TypeAdapter(Distillation).validate_python(table) for name, table in tables.items()}
    return SimpleNamespace(
        name="x", distillation=built, dimension=DIMENSION, sample_rate_hz=RATE_HZ, frame_rate_hz=RATE_HZ / HOP
    )


def batch(num_frames: int, *, texts: Sequence[str] = ("", ""), is_whole: Sequence[bool] = (False, False)) -> Batch:
    samples = 0.1 * torch.randn(2, 1, num_frames * HOP, generator=torch.Generator().manual_seed(1))
    return Batch(samples, samples, texts=tuple(texts), speakers=("", ""), is_whole=tuple(is_whole))


def output(num_frames: int, num_codebooks: int = 3) -> CodecOutput:
    torch.manual_seed(2)
    latents = torch.randn(2, DIMENSION, num_frames)
    layers = tuple(torch.randn(2, DIMENSION, num_frames, requires_grad=True) for _ in range(num_codebooks))
    codes = torch.zeros(2, num_codebooks, num_frames, dtype=torch.int64)
    return CodecOutput(latents, latents, Quantized(torch.stack(layers).sum(dim=0), codes, layers, {}))


SPEECH = {"kind": "speech", "teachers": ["mfcc:13x100hz"], "weight": 1.0}


def distiller(**table: object) -> Distiller:
    return Distillers(codec(semantic={**SPEECH, **table}))["semantic"]


def test_features_are_those_of_the_tokenizer_at_the_codecs_rate() -> None:
    """The whole of it by hand: MFCCs at 100 Hz, of which 50 Hz frames take every other."""
    teacher, codec_output, examples = distiller(), output(20), batch(20)
    tokenizer = load(one("mfcc:13x100hz"))
    with torch.no_grad():
        target = torch.stack([tokenizer.encoder(samples) for samples in examples.samples])[:, 1::2]
    assert codec_output.quantized is not None
    student = teacher.projection(codec_output.quantized.layers[0].transpose(1, 2))
    expected = published.d_axis_distill_loss(student, target)
    torch.testing.assert_close(teacher(codec_output, examples), expected)
    assert teacher.teacher_names == ("mfcc:13x100hz",)


@pytest.mark.parametrize("codebooks", [1, 2, 3])
def test_the_student_is_the_sum_of_the_first_codebooks(codebooks: int) -> None:
    codec_output = output(20)
    distiller(codebooks=codebooks)(codec_output, batch(20)).backward()
    assert codec_output.quantized is not None
    is_taught = [layer.grad is not None and bool(layer.grad.any()) for layer in codec_output.quantized.layers]
    assert is_taught == [index < codebooks for index in range(3)]


def test_latents_are_the_student_until_they_are_quantized() -> None:
    quantized = output(20)
    latents = quantized.latents.clone().requires_grad_()
    distiller()(CodecOutput(quantized.samples, latents, None), batch(20)).backward()
    assert latents.grad is not None
    assert latents.grad.abs().sum() > 0


def test_a_teacher_at_another_sample_rate_hears_resampled_audio() -> None:
    spec = codec(semantic=SPEECH)
    spec.sample_rate_hz, spec.frame_rate_hz = 24000, 24000 / HOP
    teacher = Distillers(spec)["semantic"]
    loss = teacher(output(30), batch(30))
    assert torch.isfinite(loss)
    # 0.4 s: 30 frames of the codec, 40 of the teacher.
    assert teacher._matched(torch.zeros(2, 40, 13), 30).shape == (2, 30, 13)


def test_nothing_of_the_teacher_is_trained_or_saved() -> None:
    teacher = distiller()
    assert set(teacher.state_dict()) == {"projection.weight", "projection.bias"}
    assert len(list(teacher.parameters())) == 2


def test_the_teacher_is_the_first_that_is_there() -> None:
    chosen = distiller(teachers=["hubert-base-features:mean", "no-such-thing", "log-mel", "mfcc"])
    assert chosen.teacher_names == ("log-mel:80x100hz",)
    assert chosen.resolved() == {"teachers": ("log-mel:80x100hz",)}


def test_without_any_teacher_all_tables_are_named() -> None:
    absent = {**SPEECH, "teachers": ["hubert-base-features:l9", "nobody"]}
    with pytest.raises(SpecError, match=r"distillation\.a\.teachers: none of .*nobody.*distillation\.b\.teachers"):
        Distillers(codec(a=absent, b=absent))


def test_a_table_of_no_weight_asks_for_no_teacher() -> None:
    assert Distillers(codec(a={**SPEECH, "teachers": ["nobody"], "weight": 0.0})).all() == {}


def test_a_student_of_more_codebooks_than_there_are_is_a_contradiction() -> None:
    tables = codec(semantic={**SPEECH, "codebooks": 9}).distillation
    assert student_has_codebooks(tables, SimpleNamespace(num_codebooks=8)) == (
        "distillation.semantic.codebooks: expected at most 8, found 9"
    )
    assert student_has_codebooks(tables, SimpleNamespace(num_codebooks=9)) is None
