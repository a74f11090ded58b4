"""Economy and phone information, with a tokenizer whose codes are known."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from sklearn.metrics import mutual_info_score

from tokbench.codecs.base import Tokenizer, TokenizerInfo
from tokbench.codes import StreamInfo
from tokbench.corpora.base import Utterance
from tokbench.corpora.intervals import Interval
from tokbench.errors import NotSupportedError, SpecError
from tokbench.metrics.economy import gini, learn_merges, ngram_bits
from tokbench.records import MetricSummary
from tokbench.runners.base import Bench, Runner
from tokbench.runners.economy import NUM_GROUPS
from tokbench.runners.phone_information import PhoneInformationRunner, phones_of_frames
from tokbench.runners.registry import make_runner
from tokbench.runners.single_stream import FrameCodes
from tokbench.specs.task import Task, find_task
from tokbench.training.code_prediction import transformer_bits

RATE_HZ, HOP, SIZE = 8000, 80, 8
Found = dict[tuple[str, str], MetricSummary]


class Written(Tokenizer):
    """Reads its codes from the samples: the first two of each frame are those of two codebooks."""

    def __init__(self, num_streams: int = 1) -> None:
        self.info = TokenizerInfo(
            sample_rate_hz=RATE_HZ,
            streams=tuple(StreamInfo(2, SIZE * (1 + n), RATE_HZ / HOP) for n in range(num_streams)),
            name="written",
        )

    def _encode(self, samples: torch.Tensor) -> list[torch.Tensor]:
        frames = samples[0].reshape(-1, HOP)[:, :2].T
        return [(frames * SIZE).round().long().clamp(0, SIZE - 1)] * len(self.info.streams)


def write(path: Path, codes: np.ndarray, **fields: object) -> Utterance:
    samples = np.zeros((codes.shape[1], HOP))
    samples[:, :2] = codes.T / SIZE
    soundfile.write(path, samples.ravel(), RATE_HZ, subtype="FLOAT")
    return Utterance(id=path.stem, path=path, **fields)  # type: ignore[arg-type]


@pytest.fixture
def codes() -> list[np.ndarray]:
    """Return a walk of steps by one and a noise, [2, F] for each of seven utterances."""
    generator = np.random.default_rng(0)
    walks = [np.cumsum(generator.choice([0, 1], 60 + 10 * n)) % SIZE for n in range(7)]
    return [np.stack([walk, generator.integers(0, SIZE, len(walk))]) for walk in walks]


@pytest.fixture
def utterances(tmp_path: Path, codes: list[np.ndarray]) -> list[Utterance]:
    return [write(tmp_path / f"{n}.wav", item, speaker=f"s{n % 3}") for n, item in enumerate(codes)]


def economy(*, interval_by: str = "utterance", **arguments: object) -> Runner:
    shipped = find_task("economy")[0].model_dump()
    return make_runner(Task.model_validate({**shipped, "arguments": arguments, "interval_by": interval_by}))


def summarised(runner: Runner, utterances: list[Utterance]) -> Found:
    bench = Bench(Written(), "f", None)
    payloads = [runner.measure(bench, item, with_examples=False).payload for item in utterances]
    return {(item.name, item.group): item for item in runner.summarise(payloads)}


def test_bits_are_those_of_the_second_half_by_the_first(
    codes: list[np.ndarray], utterances: list[Utterance]
) -> None:
    found = summarised(economy(ngram_order=2), utterances)
    training, others = codes[:3], codes[3:]
    num_frames = sum(item.shape[1] for item in others)
    seconds = num_frames * HOP / RATE_HZ
    total = 0.0
    for index in range(2):
        first, second = ([item[index] for item in part] for part in (training, others))
        bits = sum(float(b.sum()) for b in ngram_bits(first, second, codebook_size=SIZE, order=2))
        total += bits
        group = f"codebook {index + 1}"
        assert found["ngram_bits", group].value == pytest.approx(bits / num_frames)
        assert found["ngram_perplexity", group].value == pytest.approx(2 ** (bits / num_frames))
        assert found["bitrate_ngram_bps", group].value == pytest.approx(bits / seconds)
    assert found["ngram_bits", "all"].value == pytest.approx(total / 2 / num_frames)
    assert found["bitrate_ngram_bps", "all"].value == pytest.approx(total / seconds)


def test_a_walk_is_cheaper_than_noise(utterances: list[Utterance]) -> None:
    found = summarised(economy(), utterances)
    walk, noise = (found["ngram_bits", f"codebook {number}"] for number in (1, 2))
    assert walk.high < 2  # type: ignore[operator]
    assert noise.low > 3  # type: ignore[operator]
    assert found["code_gini", "codebook 1"].value < 0.3  # type: ignore[operator]


def test_merges_are_those_of_the_first_half(codes: list[np.ndarray], utterances: list[Utterance]) -> None:
    found = summarised(economy(vocabularies=[2, 3]), utterances)
    training, others = ([item[0] for item in part] for part in (codes[:3], codes[3:]))
    for multiple in (2, 3):
        merges = learn_merges(training, others, (multiple - 1) * SIZE)
        before, after = sum(map(len, others)), sum(merges.length(item) for item in others)
        group = f"vocabulary {multiple}x"
        assert found["bpe_length_saved", group].value == pytest.approx(1 - after / before)
        rate_bps = after * np.log2(SIZE + merges.num_merges) / (before * HOP / RATE_HZ)
        assert found["bitrate_bpe_bps", group].value == pytest.approx(rate_bps)
    assert found["bpe_length_saved", "all"].value == found["bpe_length_saved", "vocabulary 3x"].value
    assert found["bpe_length_saved", "all"].value > found["bpe_length_saved", "vocabulary 2x"].value  # type: ignore[operator]


def test_the_gini_coefficient_is_that_of_all_codes(codes: list[np.ndarray], utterances: list[Utterance]) -> None:
    found = summarised(economy(), utterances)
    whole = np.concatenate(codes, axis=1)
    values = [gini(np.bincount(row, minlength=SIZE)) for row in whole]
    assert found["code_gini", "codebook 2"].value == pytest.approx(values[1])
    overall = found["code_gini", "all"]
    assert overall.value == pytest.approx(np.mean(values))
    replicates = []
    for left_out in range(min(NUM_GROUPS, len(codes))):
        kept = np.concatenate([item for n, item in enumerate(codes) if n != left_out], axis=1)
        replicates.append(np.mean([gini(np.bincount(row, minlength=SIZE)) for row in kept]))
    error = np.sqrt((len(codes) - 1) * np.var(replicates))
    assert overall.high == pytest.approx(overall.value + 1.96 * error, rel=1e-3)  # type: ignore[operator]


def transformer(**arguments: object) -> Runner:
    shipped = find_task("economy-transformer")[0].model_dump()
    quick = {"num_layers": 1, "num_heads": 2, "dimension": 16, "feedforward_dimension": 32, "num_steps": 30}
    return make_runner(Task.model_validate({**shipped, "arguments": {**quick, **arguments}}))


def test_bits_of_a_transformer_are_those_of_the_second_half_by_the_first(
    codes: list[np.ndarray], utterances: list[Utterance]
) -> None:
    made = transformer()
    found = summarised(made, utterances)
    expected = transformer_bits(
        codes[:3],
        codes[3:],
        codebook_size=SIZE,
        frame_rate_hz=RATE_HZ / HOP,
        recipe=made.arguments,  # type: ignore[attr-defined]
    )
    num_frames = sum(item.shape[1] for item in codes[3:])
    total = np.sum([item.sum(axis=1) for item in expected], axis=0)
    for index in range(2):
        group = f"codebook {index + 1}"
        assert found["transformer_bits", group].value == pytest.approx(total[index] / num_frames)
        assert found["transformer_perplexity", group].value == pytest.approx(2 ** (total[index] / num_frames))
        assert found["bitrate_transformer_bps", group].value == pytest.approx(
            total[index] / (num_frames * HOP / RATE_HZ)
        )
    assert found["transformer_bits", "all"].value == pytest.approx(total.mean() / num_frames)
    assert found["bitrate_transformer_bps", "all"].value == pytest.approx(
        total.sum() / (num_frames * HOP / RATE_HZ)
    )
    overall = found["transformer_perplexity", "all"]
    assert overall.low < overall.value < overall.high  # type: ignore[operator]


def test_a_transformer_needs_two_utterances_to_learn_from(utterances: list[Utterance]) -> None:
    (found, *_) = summarised(transformer(), utterances[:3]).values()
    assert (found.value, found.num_ok) == (None, 3)
    assert "too few utterances" in next(iter(found.reasons))
    with pytest.raises(SpecError, match=r"arguments.dimension|dimension \(17\)"):
        transformer(dimension=17)


def test_intervals_are_those_of_speakers(utterances: list[Utterance]) -> None:
    one, other = (
        summarised(economy(interval_by=by), utterances)["ngram_bits", "all"] for by in ("utterance", "speaker")
    )
    assert one.value == other.value
    assert one.low != other.low


def test_one_utterance_has_no_model_of_others(utterances: list[Utterance]) -> None:
    found = summarised(economy(), utterances[:1])
    bits = found["ngram_bits", "all"]
    assert (bits.value, bits.num_ok) == (None, 1)
    assert "model of others" in next(iter(bits.reasons))
    assert found["code_gini", "all"].value is not None
    assert found["code_gini", "all"].low is None


@pytest.mark.parametrize("name", ["economy", "economy-transformer", "phone-information"])
def test_what_failed_leaves_no_number(name: str, utterances: list[Utterance]) -> None:
    runner = make_runner(find_task(name)[0])
    payload = runner.measure(Bench(Written(), "f", None), utterances[0], with_examples=False).payload
    for payloads, num_ok in (([payload, None], 1), ([None, None], 0)):
        for summary in runner.summarise(payloads):
            assert (summary.value, summary.num_ok, summary.num_total) == (None, num_ok, 2)


@pytest.mark.parametrize("name", ["economy", "economy-transformer", "phone-information"])
def test_several_streams_are_told(name: str, utterances: list[Utterance]) -> None:
    bench = Bench(Written(num_streams=2), "f", None)
    with pytest.raises(NotSupportedError, match="written does not offer codes of one size"):
        make_runner(find_task(name)[0]).measure(bench, utterances[0], with_examples=False)


def test_arguments_are_checked() -> None:
    with pytest.raises(SpecError, match=r"arguments.ngram_order"):
        economy(ngram_order=0)


def test_a_frame_belongs_to_the_phone_at_its_centre() -> None:
    frames = FrameCodes(np.zeros((1, 6), np.int64), SIZE, frame_rate_hz=100.0)
    intervals = (Interval(0.0, 0.012, "a"), Interval(0.012, 0.03, "b"), Interval(0.041, 0.09, "c"))
    assert phones_of_frames(intervals, frames).tolist() == ["a", "b", "b", "", "c", "c"]
    assert phones_of_frames((), frames).tolist() == [""] * 6


@pytest.fixture
def spoken(tmp_path: Path) -> list[Utterance]:
    """Return utterances whose first codebook is the phone and whose second is noise, with pauses."""
    generator, made = np.random.default_rng(0), []
    for number in range(6):
        phones = generator.integers(0, 4, 30)
        indices = np.stack([np.repeat(phones, 5), generator.integers(0, SIZE, 150)])
        intervals = tuple(
            Interval(0.05 * n, 0.05 * (n + 1), "pbtd"[phone]) for n, phone in enumerate(phones) if n % 7
        )
        indices[0].reshape(30, 5)[::7] = 7
        made.append(write(tmp_path / f"{number}.wav", indices, intervals=intervals))
    return made


def test_codes_that_are_phones_tell_all(spoken: list[Utterance]) -> None:
    runner = make_runner(find_task("phone-information")[0])
    assert runner.tier == "phone"
    found = summarised(runner, spoken)
    for name in ("pnmi", "pnmi_adjusted", "phone_purity", "cluster_purity"):
        assert found[name, "codebook 1"].value == pytest.approx(1.0)
        assert found[name, "codebook 2"].value < 0.4  # type: ignore[operator]
        overall = np.mean([found[name, f"codebook {number}"].value for number in (1, 2)])  # type: ignore[misc]
        assert found[name, "all"].value == pytest.approx(overall)


def test_information_is_that_of_scikit_learn(spoken: list[Utterance]) -> None:
    phones, codes = [], []
    for item in spoken:
        stream = Written().encode(item.read()).streams[0].indices[1].numpy()
        for frame, code in enumerate(stream.tolist()):
            centre_s = (frame + 0.5) * HOP / RATE_HZ
            labels = [i.label for i in item.intervals if i.start_s <= centre_s < i.end_s]
            phones += labels
            codes += [code] * len(labels)
    entropy = mutual_info_score(phones, phones)
    found = summarised(make_runner(find_task("phone-information")[0]), spoken)["pnmi", "codebook 2"]
    assert found.value == pytest.approx(mutual_info_score(phones, codes) / entropy)
    assert found.low < found.value < found.high  # type: ignore[operator]


def test_without_phones_there_is_nothing_to_tell(utterances: list[Utterance]) -> None:
    runner = make_runner(find_task("phone-information")[0])
    assert isinstance(runner, PhoneInformationRunner)
    (pnmi, *_) = summarised(runner, utterances).values()
    assert (pnmi.value, pnmi.num_ok) == (None, 7)
    assert "no frame" in next(iter(pnmi.reasons))
