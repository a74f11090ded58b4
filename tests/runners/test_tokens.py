"""Token statistics of a codec with known codes."""

import dataclasses
import functools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import soundfile
import torch

from tokbench.codecs.base import Codec, TokenizerInfo
from tokbench.codecs.bitstream import Bitstream
from tokbench.codecs.entropy import EntropyCoder
from tokbench.codes import StreamInfo
from tokbench.corpora.base import Utterance
from tokbench.models.code_lm import CodeLm
from tokbench.runners.base import Bench, Measurement
from tokbench.runners.tokens import NUM_GROUPS, Counts, TokensRunner
from tokbench.specs.entropy_coding import EntropyCoding
from tokbench.specs.task import find_task
from tokbench.store import CodeStore

RATE_HZ, HOP = 8000, 160


class TwoStreams(Codec):
    """Loudness of frames in two codebooks, and of every second frame in a third."""

    info = TokenizerInfo(
        sample_rate_hz=RATE_HZ,
        streams=(StreamInfo(2, 16, RATE_HZ / HOP), StreamInfo(1, 5, RATE_HZ / HOP / 2)),
        name="two-streams",
    )

    def _encode(self, samples: torch.Tensor) -> list[torch.Tensor]:
        num_frames = samples.shape[1] // (2 * HOP) * 2
        loudness = samples[0, : num_frames * HOP].reshape(num_frames, HOP).abs().mean(dim=1)
        coarse = (loudness * 15.99).long().clamp(0, 15)
        fine = (loudness * 160).long() % 16
        return [torch.stack([coarse, fine]), (coarse[None, ::2] // 4)]

    def _decode(self, streams: list[torch.Tensor]) -> torch.Tensor:
        return (streams[0][:1] / 16).repeat_interleave(HOP, dim=1)


@pytest.fixture
def utterances(tmp_path: Path, rng: np.random.Generator) -> list[Utterance]:
    found = []
    for index in range(45):
        envelope = np.repeat(rng.uniform(0, 1, 20 + 2 * (index % 7)), HOP)
        soundfile.write(tmp_path / f"{index}.wav", envelope * rng.uniform(-1, 1, len(envelope)), RATE_HZ)
        found.append(Utterance(id=str(index), path=tmp_path / f"{index}.wav"))
    return found


@pytest.fixture
def runner() -> TokensRunner:
    return TokensRunner(find_task("tokens")[0])


@pytest.fixture
def measurements(runner: TokensRunner, utterances: list[Utterance]) -> list[Measurement]:
    bench = Bench(TwoStreams(), "fingerprint", None)
    return [runner.measure(bench, utterance, with_examples=False) for utterance in utterances]


def all_codes(utterances: list[Utterance]) -> list[list[int]]:
    """Return the codes of each codebook over the corpus, one after the other."""
    codebooks: list[list[int]] = [[], [], []]
    for utterance in utterances:
        first, second = TwoStreams().encode(utterance.read()).streams
        for held, row in zip(codebooks, [*first.indices, *second.indices], strict=True):
            held.extend(row.tolist())
    return codebooks


def test_statistics_are_those_of_the_pooled_codes(
    runner: TokensRunner, utterances: list[Utterance], measurements: list[Measurement]
) -> None:
    summaries = {(item.name, item.group): item for item in runner.summarise(m.payload for m in measurements)}
    seconds = sum(utterance.read().duration_s for utterance in utterances)
    rate_bps = 0.0
    for number, (codes, size) in enumerate(zip(all_codes(utterances), (16, 16, 5), strict=True), start=1):
        counts = Counter(codes)
        entropy = scipy.stats.entropy([count / len(codes) for count in counts.values()], base=2)
        rate_bps += entropy * len(codes) / seconds
        group = f"codebook {number}"
        assert summaries["codebook_perplexity", group].value == pytest.approx(2**entropy)
        assert summaries["normalized_entropy", group].value == pytest.approx(entropy / np.log2(size))
        assert summaries["codebook_usage", group].value == pytest.approx(len(counts) / size)
    assert summaries["bitrate_entropy_bps", "all"].value == pytest.approx(rate_bps)
    huffman = summaries["bitrate_huffman_bps", "all"].value
    assert huffman is not None
    assert rate_bps <= huffman <= rate_bps + sum(len(codes) for codes in all_codes(utterances)) / seconds


def test_the_interval_of_the_entropy_is_that_of_leaving_out_groups(
    runner: TokensRunner, utterances: list[Utterance], measurements: list[Measurement]
) -> None:
    summaries = {(item.name, item.group): item for item in runner.summarise(m.payload for m in measurements)}
    replicates = []
    for left_out in range(NUM_GROUPS):
        kept = [item for index, item in enumerate(utterances) if index % NUM_GROUPS != left_out]
        counts = np.bincount(all_codes(kept)[0], minlength=16)
        replicates.append(scipy.stats.entropy(counts, base=2) / np.log2(16))
    variance = (NUM_GROUPS - 1) / NUM_GROUPS * sum((r - np.mean(replicates)) ** 2 for r in replicates)
    found = summaries["normalized_entropy", "codebook 1"]
    assert found.value is not None
    assert found.high == pytest.approx(min(found.value + 1.96 * np.sqrt(variance), 1.0), rel=1e-4)


def test_nominal_rate_and_tokens_are_those_of_the_streams(measurements: list[Measurement]) -> None:
    for measurement in measurements:
        assert measurement.scores["bitrate_nominal_bps"].value() == pytest.approx(2 * 4 * 50 + np.log2(5) * 25)
        assert measurement.scores["tokens_per_second"].value() == pytest.approx(125)


def test_costs_are_measured(measurements: list[Measurement]) -> None:
    for measurement in measurements:
        assert measurement.costs["encode_rtf"].total > 0
        assert measurement.costs["decode_rtf"].total > 0
        assert measurement.costs["peak_memory_bytes"].total > 50e6


def test_a_failed_utterance_leaves_the_numbers_missing(
    runner: TokensRunner, measurements: list[Measurement]
) -> None:
    payloads = [m.payload for m in measurements]
    payloads[7] = None
    for summary in runner.summarise(payloads):
        assert (summary.value, summary.num_ok, summary.num_total) == (None, 44, 45)


def test_without_any_codes_every_number_is_missing(runner: TokensRunner) -> None:
    summaries = runner.summarise([None, None])
    assert {summary.name for summary in summaries} == set(runner.corpus_metrics)
    assert all(summary.value is None and summary.num_total == 2 for summary in summaries)


def test_counts_survive_packing(measurements: list[Measurement]) -> None:
    payload = measurements[0].payload
    assert payload is not None
    counts = Counts.unpack(payload)
    assert [stream.shape for stream in counts.streams] == [(2, 16), (1, 5)]
    assert [int(book.sum()) for book in counts.codebooks] == [20, 20, 10]


def test_the_cache_serves_a_second_runner(
    runner: TokensRunner, utterances: list[Utterance], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = CodeStore(tmp_path / "cache")
    first = runner.measure(Bench(TwoStreams(), "f", store), utterances[0], with_examples=False)

    def refuse(*_: object) -> list[torch.Tensor]:
        pytest.fail("encoded again")

    monkeypatch.setattr(TwoStreams, "_encode", refuse)
    second = runner.measure(Bench(TwoStreams(), "f", store), utterances[0], with_examples=False)
    assert first.payload == second.payload
    assert first.costs["encode_rtf"] == second.costs["encode_rtf"]


# Codes that a model predicts


class Predicted(TwoStreams):
    """The first two codebooks, with a model of their codes."""

    info = dataclasses.replace(TwoStreams.info, streams=TwoStreams.info.streams[:1])

    @functools.cached_property
    def entropy_coder(self) -> EntropyCoder:
        torch.manual_seed(0)
        training = {"num_steps": 1, "batch_size": 1, "crop_s": 1.0, "optimizer": {"learning_rate": 1e-3}}
        spec = EntropyCoding.model_validate({"num_layers": 1, "num_heads": 2, "dimension": 8, "training": training})
        return EntropyCoder(CodeLm(spec, num_codebooks=2, codebook_size=16, frame_rate_hz=50.0))

    def _encode(self, samples: torch.Tensor) -> list[torch.Tensor]:
        return super()._encode(samples)[:1]


def test_entropy_coding_is_measured_in_what_is_written(utterances: list[Utterance]) -> None:
    codec = Predicted()
    bench, runner = Bench(codec, "fingerprint", None), TokensRunner(find_task("entropy-coding")[0])
    measurement = runner.measure(bench, utterances[0], with_examples=False)
    codes = codec.encode(utterances[0].read())
    stream = Bitstream.pack("predicted", codes, codec.entropy_coder)
    coded = measurement.scores["bitrate_coded_bps"].value()
    assert coded == stream.bitrate_bps == 8 * len(stream.payload) / codes.duration_s
    ideal = measurement.scores["bitrate_lm_bps"].value()
    assert ideal is not None
    assert ideal * codes.duration_s - 8 <= 8 * len(stream.payload) <= 1.01 * ideal * codes.duration_s + 8
    assert measurement.failures == {}


def test_without_a_model_entropy_coding_has_a_reason_and_no_number(utterances: list[Utterance]) -> None:
    bench, runner = Bench(TwoStreams(), "fingerprint", None), TokensRunner(find_task("entropy-coding")[0])
    measurement = runner.measure(bench, utterances[0], with_examples=False)
    assert not {"bitrate_lm_bps", "bitrate_coded_bps"} & measurement.scores.keys()
    assert measurement.failures.keys() == {"bitrate_lm_bps", "bitrate_coded_bps"}
    assert "two-streams has no model" in measurement.failures["bitrate_lm_bps"].reason


def test_the_plain_task_asks_for_no_model(measurements: list[Measurement]) -> None:
    assert all(measurement.failures == {} for measurement in measurements)
