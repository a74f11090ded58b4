"""How codes learn: clusters, moving averages, codes that are replaced, and several processes that agree."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import torch
from oracles import quantization as oracle
from quantizer_processes import NUM_PROCESSES, batch, learn
from torch import Tensor

from tokbench.models.quantization.codebooks import EmaCodebook, GradientCodebook
from tokbench.models.quantization.kmeans import draw_frames, kmeans
from tokbench.models.quantizers import build_quantizer
from tokbench.specs.quantizers import Rvq


def rvq(**changes: Any) -> Rvq:
    defaults = {"num_codebooks": 3, "codebook_size": 8, "dead_below": 0.0, "kmeans_iterations": 10}
    return Rvq.model_validate(defaults | changes)


def frames(number: int, *, dimension: int = 4, seed: int = 0) -> Tensor:
    return torch.randn(number, dimension, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("number", [60, 9, 5])
def test_clusters_against_loops(number: int) -> None:
    values = frames(number)
    torch.manual_seed(7)
    first = draw_frames(values, 8)
    torch.manual_seed(7)
    means, sizes = kmeans(values, 8, num_iterations=10)
    expected, counts = oracle.kmeans(values.tolist(), first.tolist(), 10)
    torch.testing.assert_close(means, torch.tensor(expected), atol=1e-6, rtol=1e-5)
    assert sizes.tolist() == counts


def test_clusters_begin_at_distinct_frames_if_there_are_enough() -> None:
    torch.manual_seed(0)
    assert len(draw_frames(frames(8), 8).unique(dim=0)) == 8
    assert draw_frames(frames(3), 8).shape == (8, 4)


def test_clusters_far_apart_are_found() -> None:
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    values = centres.repeat(20, 1) + 0.1 * frames(60, dimension=2)
    torch.manual_seed(3)
    means, sizes = kmeans(values, 3, num_iterations=50)
    assert sorted(sizes.tolist()) == [20, 20, 20]
    assert float(torch.cdist(means, centres).min(dim=0).values.max()) < 0.1


def test_the_first_batch_is_clustered_codebook_by_codebook() -> None:
    quantizer = build_quantizer(rvq(), 4)
    values = frames(30).T[None]
    torch.manual_seed(5)
    codes = quantizer(values).codes
    torch.manual_seed(5)
    rest = values[0].T
    for index in range(3):
        first = draw_frames(rest, 8).tolist()
        means, _ = oracle.kmeans(rest.tolist(), first, 10)
        members = [oracle.nearest(frame, means) for frame in rest.tolist()]
        assert codes[0, index].tolist() == members
        rest = rest - torch.tensor([means[member] for member in members])


@pytest.mark.parametrize("learning", ["ema", "gradient"])
def test_clusters_are_made_once(learning: str) -> None:
    quantizer = build_quantizer(rvq(learning=learning), 4)
    quantizer(frames(30).T[None])
    again = build_quantizer(rvq(learning=learning), 4)
    again.load_state_dict(quantizer.state_dict())
    state = torch.get_rng_state()
    for fitted in (quantizer, again):
        fitted(frames(30, seed=1).T[None])
    assert torch.equal(torch.get_rng_state(), state)


def test_averages_against_loops() -> None:
    codebook = EmaCodebook(rvq(kmeans_init=False, ema_decay=0.8), 4)
    counts, sums = [1.0] * 8, codebook.embed.tolist()
    for step in range(4):
        values = frames(11, seed=step)
        table = codebook.embed.tolist()
        coded = codebook.code(values[None], None)
        members = [oracle.nearest(frame, table) for frame in values.tolist()]
        assert coded.codes[0].tolist() == members
        assert torch.equal(coded.vectors[0], torch.tensor([table[member] for member in members]))
        counts, sums, codes = oracle.moving_average(counts, sums, values.tolist(), members, decay=0.8)
        torch.testing.assert_close(codebook.counts, torch.tensor(counts))
        torch.testing.assert_close(codebook.sums, torch.tensor(sums))
        torch.testing.assert_close(codebook.embed, torch.tensor(codes))


def test_averages_are_of_the_examples_that_use_a_codebook() -> None:
    some, alone = (EmaCodebook(rvq(kmeans_init=False), 4) for _ in range(2))
    alone.load_state_dict(some.state_dict())
    values = frames(12).view(3, 4, 4)
    some.code(values, torch.tensor([True, False, True]))
    alone.code(values[[0, 2]], None)
    for name, tensor in some.state_dict().items():
        torch.testing.assert_close(tensor, alone.state_dict()[name])
    assert torch.equal(some.uses, alone.uses)


def test_an_average_settles_at_the_mean_of_what_it_codes() -> None:
    codebook = EmaCodebook(rvq(codebook_size=2, ema_decay=0.5), 2)
    values = torch.tensor([[[-1.0, 0.0], [-3.0, 0.0], [5.0, 1.0], [5.0, 3.0]]])
    torch.manual_seed(0)
    for _ in range(40):
        codebook.code(values, None)
    found = codebook.embed[codebook.embed[:, 0].argsort()]
    torch.testing.assert_close(found, torch.tensor([[-2.0, 0.0], [5.0, 2.0]]), atol=1e-4, rtol=1e-4)


def dying(kind: type[EmaCodebook] | type[GradientCodebook]) -> EmaCodebook | GradientCodebook:
    """Return a codebook of which codes 2 and 5 are far from everything, and have hardly been used."""
    codebook = kind(rvq(kmeans_init=False, dead_below=0.1), 4)
    with torch.no_grad():
        codebook.embed[[2, 5]] = 100.0
        codebook.counts.fill_(5.0)
        codebook.counts[[2, 5]] = 0.1
        if isinstance(codebook, EmaCodebook):
            codebook.sums.copy_(codebook.embed * codebook.counts[:, None])
    return codebook


@pytest.mark.parametrize("kind", [EmaCodebook, GradientCodebook])
def test_dead_codes_become_frames_of_the_batch_and_stay(kind: type[EmaCodebook]) -> None:
    codebook, values = dying(kind), frames(40)
    before = codebook.embed.detach().clone()
    torch.manual_seed(2)
    codebook.code(values[None], None)
    torch.manual_seed(2)
    drawn = draw_frames(values, 8)
    for dead in (2, 5):
        assert torch.equal(codebook.embed[dead], drawn[dead])
    after = codebook.embed.detach().clone()
    assert all(float((after[code] - before[code]).norm()) < 1 for code in (0, 1, 3, 4, 6, 7))
    # They are used in the next batch, and no longer dead; nothing has put them back.
    codebook.code(values[None], None)
    assert float((codebook.embed.detach() - after).norm(dim=1).max()) < 0.2


def test_dead_codes_stay_dead_if_the_spec_says_so() -> None:
    codebook = dying(EmaCodebook)
    codebook.spec = codebook.spec.model_copy(update={"dead_below": 0.0})
    torch.manual_seed(2)
    state = torch.get_rng_state()
    codebook.code(frames(40)[None], None)
    torch.testing.assert_close(codebook.embed[[2, 5]], torch.full((2, 4), 100.0), atol=0.01, rtol=0)
    assert torch.equal(torch.get_rng_state(), state)


def test_fewer_frames_than_codes_fill_all_codebooks_in_time() -> None:
    quantizer = build_quantizer(rvq(codebook_size=64, dead_below=0.1), 4)
    torch.manual_seed(0)
    errors = []
    for step in range(60):
        values = frames(20, seed=step).T[None]
        errors.append(float((quantizer(values).latents - values).square().mean()))
    quantizer.usage()
    for step in range(60, 80):
        quantizer(frames(20, seed=step).T[None])
    assert float(quantizer.perplexity().min()) > 16
    assert sum(errors[-10:]) / 10 < 0.15


def test_a_run_is_reproducible() -> None:
    spec = rvq(dead_below=0.5, dropout=0.5)

    def run() -> dict[str, Tensor]:
        torch.manual_seed(4)
        quantizer = build_quantizer(spec, 4)
        for step in range(4):
            quantizer(frames(24, seed=step).view(2, 12, 4).transpose(1, 2))
        return quantizer.state_dict()

    first, second = run(), run()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_statistics_are_saved_and_not_exported() -> None:
    assert build_quantizer(rvq(), 4).training_only() == {
        f"layers.{index}.{what}" for index in range(3) for what in ("counts", "sums", "uses", "is_fitted")
    }
    factorized = rvq(
        learning="gradient", projection="per-codebook", code_dimension=2, straight_through="first-layer"
    )
    quantizer = build_quantizer(factorized, 4)
    assert quantizer.training_only() == {
        f"layers.{index}.codebook.{what}" for index in range(3) for what in ("counts", "uses", "is_fitted")
    }
    assert quantizer.training_only() < set(quantizer.state_dict())


def in_processes(folder: Path, spec: Rvq, num_steps: int) -> list[tuple[dict[str, Tensor], list[int]]]:
    with ProcessPoolExecutor(NUM_PROCESSES, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(learn, rank, str(folder), spec, num_steps) for rank in range(NUM_PROCESSES)]
        return [job.result(timeout=120) for job in jobs]


def test_averages_are_those_of_all_processes(tmp_path: Path) -> None:
    spec = rvq(kmeans_init=False, dropout=1.0, dropout_by="batch", dropout_choices=(3,))
    (first, _), (second, _) = in_processes(tmp_path, spec, 3)
    torch.manual_seed(0)
    alone = build_quantizer(spec, 4)
    for step in range(3):
        alone(torch.cat([batch(rank, step) for rank in range(NUM_PROCESSES)]))
    for name, tensor in alone.state_dict().items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], tensor)


def test_what_is_drawn_is_the_same_in_all_processes(tmp_path: Path) -> None:
    spec = rvq(codebook_size=16, dead_below=0.9, dropout=0.9, dropout_by="batch")
    (first, used), (second, also_used) = in_processes(tmp_path, spec, 6)
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    assert used == also_used
    assert len(set(used)) > 1
