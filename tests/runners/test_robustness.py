"""Robustness tasks, with tokenizers whose answer is known."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tokbench.audio import Audio
from tokbench.codecs.base import Codec, Tokenizer, TokenizerInfo
from tokbench.codes import StreamInfo
from tokbench.corpora.base import Utterance
from tokbench.errors import NotApplicableError, NotSupportedError, SpecError
from tokbench.leaderboard.spec import find_leaderboard
from tokbench.records import MetricSummary
from tokbench.runners import perturbations
from tokbench.runners.base import Bench, Runner
from tokbench.runners.comparing import ComparingRunner
from tokbench.runners.registry import make_runner
from tokbench.runners.robustness import RobustnessRunner
from tokbench.specs.task import Task, find_task

RATE_HZ, HOP = 16000, 160
Found = dict[tuple[str, str], MetricSummary]


class Level(Codec):
    """Tells how loud 10 ms are: 20 steps of 3 dB in two codebooks, by fives and what is left of them."""

    def __init__(self, name: str = "level") -> None:
        self.info = TokenizerInfo(sample_rate_hz=RATE_HZ, streams=(StreamInfo(2, 5, RATE_HZ / HOP),), name=name)

    def _encode(self, samples: torch.Tensor) -> list[torch.Tensor]:
        frames = samples[0, : samples.shape[1] // HOP * HOP].reshape(-1, HOP)
        level_db = 20 * torch.log10(frames.abs().amax(dim=1) + 1e-9)
        steps = ((level_db + 60) / 3).long().clamp(0, 19)
        return [torch.stack([steps // 5, steps % 5])]

    def _decode(self, streams: list[torch.Tensor]) -> torch.Tensor:
        steps = 5 * streams[0][:1] + streams[0][1:]
        peaks = 10 ** ((3 * (steps + 0.5) - 60) / 20)
        return peaks.repeat_interleave(HOP, dim=1)


class Louder(Level):
    """Decodes everything 3 dB too loud."""

    def _decode(self, streams: list[torch.Tensor]) -> torch.Tensor:
        return super()._decode(streams) * 10 ** (3 / 20)


class Afraid(Level):
    """Fails on what is loud."""

    def _encode(self, samples: torch.Tensor) -> list[torch.Tensor]:
        if samples.abs().max() > 1.5:
            message = "too loud"
            raise RuntimeError(message)
        return super()._encode(samples)


class Irregular(Level):
    """Codes at no constant rate."""

    def __init__(self) -> None:
        self.info = TokenizerInfo(sample_rate_hz=RATE_HZ, streams=(StreamInfo(2, 5, None),), name="irregular")


def made(kind: str = "robustness", *, interval_by: str = "utterance", **arguments: object) -> Runner:
    names = {"robustness": ("token_agreement", "unit_edit_distance"), "reencoding": ("reencoding_agreement",)}[kind]
    fields = {"name": "t", "version": 1, "kind": kind, "question": "?", "metrics": names, "arguments": arguments}
    return make_runner(Task.model_validate({**fields, "interval_by": interval_by}))


@pytest.fixture
def utterances(tmp_path: Path) -> list[Utterance]:
    """Return utterances of two speakers, stairs of loudness under a buzz of 125 Hz."""
    found, generator = [], np.random.default_rng(0)
    for number in range(5):
        steps = np.repeat(generator.integers(6, 14, 30 + 4 * number), generator.integers(1, 4, 30 + 4 * number))
        envelope = np.repeat(10 ** ((3 * (steps + 0.5) - 60) / 20), HOP)
        buzz = np.where(np.arange(len(envelope)) % 128 == 0, 1.0, 0.2)
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, envelope * buzz, RATE_HZ, subtype="FLOAT")
        found.append(Utterance(id=path.stem, path=path, speaker=f"s{number % 2}"))
    return found


def summarised(runner: Runner, tokenizer: Tokenizer, utterances: list[Utterance]) -> Found:
    bench = Bench(tokenizer, "f", None)
    payloads = [runner.measure(bench, item, with_examples=False).payload for item in utterances]
    return {(found.name, found.group): found for found in runner.summarise(payloads)}


def test_a_shift_by_frames_changes_nothing_once_it_is_undone(utterances: list[Utterance]) -> None:
    found = summarised(made(shift_frames=[1, 3], kept_share=[0.5]), Level(), utterances)
    for group in ("shift 1 frame", "shift 3 frames", "middle 50 % alone"):
        assert found["token_agreement", group].value == 1.0
        assert found["unit_edit_distance", group].value == 0.0
        assert found["token_agreement", f"{group}, codebook 1"].value == 1.0


def test_half_a_frame_counts_as_none(utterances: list[Utterance]) -> None:
    runner = made(shift_frames=[0.5], shift_s=[0.005], shift_samples=[80])
    found = summarised(runner, Level(), utterances)
    values = {found["token_agreement", group].value for group in runner.names}  # type: ignore[attr-defined]
    (value,) = values
    codes = [Level().encode(item.read()).streams[0].indices for item in utterances]
    # With half of the frame before in each frame, its peak is the louder of the two; the clicks come every 8 ms.
    assert value is not None
    assert 0.2 < value < 1.0
    assert sum(code.shape[1] for code in codes) > 100


def test_a_gain_of_one_step_changes_what_a_step_changes(utterances: list[Utterance]) -> None:
    found = summarised(made(gain_db=[3]), Level(), utterances)
    codes = torch.cat([Level().encode(item.read()).streams[0].indices for item in utterances], dim=1)
    steps = 5 * codes[0] + codes[1]
    carried = float(((steps + 1) // 5 == steps // 5).float().mean())
    assert found["token_agreement", "codebook 1"].value == pytest.approx(carried)
    assert found["token_agreement", "codebook 2"].value == 0.0
    assert found["token_agreement", "gain +3 dB"].value == pytest.approx(carried / 2)
    assert found["token_agreement", "gain +3 dB, codebook 1"].value == pytest.approx(carried)


def test_all_is_the_mean_over_what_happened(utterances: list[Utterance]) -> None:
    runner = made(gain_db=[3, 6], white_noise_snr_db=[30, 10], rt60_s=[0.2], tempo=[1.25], shift_samples=[1])
    bench = Bench(Level(), "f", None)
    measured = [runner.measure(bench, item, with_examples=False) for item in utterances]
    found = {(item.name, item.group): item for item in runner.summarise(item.payload for item in measured)}
    for name in runner.metrics:
        scores = [item.scores[name] for item in measured]
        overall = sum(score.total for score in scores) / sum(score.weight for score in scores)
        values = [found[name, group].value for group in runner.names]  # type: ignore[attr-defined]
        assert overall == pytest.approx(np.mean(values))
        assert len(values) == 7
    agreement = [found["token_agreement", f"codebook {number}"].value for number in (1, 2)]
    assert np.mean(agreement) == pytest.approx(  # codebooks have as many codes each
        np.mean([found["token_agreement", group].value for group in runner.names])  # type: ignore[attr-defined]
    )


def test_more_noise_leaves_fewer_codes(utterances: list[Utterance]) -> None:
    found = summarised(made(white_noise_snr_db=[30, 10, -10], pink_noise_snr_db=[30, -10]), Level(), utterances)
    shares = [found["token_agreement", f"white noise {level} dB"].value for level in (30, 10, -10)]
    assert shares == sorted(shares, reverse=True)  # type: ignore[type-var]
    assert found["token_agreement", "pink noise 30 dB"].value > found["token_agreement", "pink noise -10 dB"].value  # type: ignore[operator]


def test_another_tempo_is_compared_in_proportion(utterances: list[Utterance]) -> None:
    class Ramp(Level):
        """Codes that say where in the utterance a frame is, by fifths."""

        def _encode(self, samples: torch.Tensor) -> list[torch.Tensor]:
            num_frames = samples.shape[1] // HOP
            place = torch.arange(num_frames) * 5 // num_frames
            return [torch.stack([place, place])]

    found = summarised(made(tempo=[0.5, 2]), Ramp(), utterances)
    for group in ("tempo 0.5", "tempo 2"):
        assert found["token_agreement", group].value == pytest.approx(1.0, abs=0.04)
        assert found["unit_edit_distance", group].value == 0.0


class Count(Tokenizer):
    """Codes that are the number of their frame, of which the last may be begun alone."""

    info = TokenizerInfo(sample_rate_hz=RATE_HZ, streams=(StreamInfo(1, 64, RATE_HZ / HOP),), name="count")

    def _encode(self, samples: torch.Tensor) -> list[torch.Tensor]:
        return [torch.arange(-(-samples.shape[1] // HOP))[None]]


def test_another_tempo_is_compared_in_time_and_not_by_numbers_of_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_samples, num_changed = 6440, 6560  # 40.25 frames and 41: 41 codes of either
    soundfile.write(tmp_path / "a.wav", np.full(num_samples, 0.1), RATE_HZ)
    slower = Audio.from_numpy(np.full(num_changed, 0.1), RATE_HZ)
    monkeypatch.setattr(perturbations, "at_tempo", lambda *_, **__: slower)
    found = summarised(made(tempo=[0.98]), Count(), [Utterance(id="a", path=tmp_path / "a.wav")])
    centres = [(frame + 0.5) * HOP * num_changed / num_samples for frame in range(41)]
    places = [min(int(centre / HOP), 40) for centre in centres]
    expected = sum(place == frame for frame, place in enumerate(places)) / 41
    assert expected < 0.7
    assert found["token_agreement", "tempo 0.98"].value == pytest.approx(expected)


def test_intervals_are_those_of_speakers(utterances: list[Utterance]) -> None:
    by_utterance, by_speaker = (
        summarised(made(gain_db=[3], interval_by=unit), Level(), utterances)["token_agreement", "gain +3 dB"]
        for unit in ("utterance", "speaker")
    )
    assert by_utterance.value == by_speaker.value
    assert (by_utterance.low, by_utterance.high) != (by_speaker.low, by_speaker.high)
    one = summarised(made(gain_db=[3], interval_by="speaker"), Level(), utterances[:1])
    assert one["token_agreement", "gain +3 dB"].low is None


def test_what_fails_costs_its_own_group_and_the_mean(utterances: list[Utterance]) -> None:
    runner, bench = made(gain_db=[0, 40]), Bench(Afraid(), "f", None)
    measured = [runner.measure(bench, item, with_examples=False) for item in utterances]
    (reason,) = {item.failures["token_agreement"].reason for item in measured}
    assert reason.startswith("RuntimeError: too loud (test_robustness.py:")
    found = {(item.name, item.group): item for item in runner.summarise(item.payload for item in measured)}
    assert found["token_agreement", "gain +0 dB"].value == 1.0
    failed = found["token_agreement", "gain +40 dB"]
    assert (failed.value, failed.num_ok, failed.num_total) == (None, 0, 5)
    assert failed.reasons == {reason: 5}
    assert found["token_agreement", "codebook 1"].value is None


def test_what_does_not_apply_counts_for_nobody(tmp_path: Path, utterances: list[Utterance]) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros(RATE_HZ), RATE_HZ)
    silence = Utterance(id="silence", path=tmp_path / "silence.wav", speaker="s0")
    runner = made(white_noise_snr_db=[0], gain_db=[3])
    found = summarised(runner, Level(), [*utterances, silence])
    noisy = found["token_agreement", "white noise 0 dB"]
    assert (noisy.num_ok, noisy.num_total, noisy.num_not_applicable) == (5, 5, 1)
    assert noisy.value == summarised(runner, Level(), utterances)["token_agreement", "white noise 0 dB"].value
    assert found["token_agreement", "gain +3 dB"].num_total == 6
    nothing = summarised(made(white_noise_snr_db=[0]), Level(), [silence])["token_agreement", "white noise 0 dB"]
    assert (nothing.value, nothing.num_total, nothing.num_not_applicable) == (None, 0, 1)


def test_a_missing_utterance_leaves_no_number(utterances: list[Utterance]) -> None:
    runner = made(gain_db=[3])
    payload = runner.measure(Bench(Level(), "f", None), utterances[0], with_examples=False).payload
    for summary in [*runner.summarise([payload, None]), *runner.summarise([None, None])]:
        assert (summary.value, summary.num_total) == (None, 2)


def test_the_same_is_drawn_again(utterances: list[Utterance]) -> None:
    runner, bench = made(white_noise_snr_db=[5], rt60_s=[0.3], pitch_semitones=[2], tempo=[0.9]), Level()
    first, second = (
        runner.measure(Bench(bench, "f", None), utterances[2], with_examples=False).payload for _ in range(2)
    )
    assert first == second


def test_codes_that_are_coded_again_without_loss_stay(utterances: list[Utterance]) -> None:
    found = summarised(made("reencoding", generations=[1, 3]), Level(), utterances)
    assert found["reencoding_agreement", "generation 1"].value == 1.0
    assert found["reencoding_agreement", "generation 3"].value == 1.0


def test_what_drifts_is_told_by_generation(utterances: list[Utterance]) -> None:
    found = summarised(made("reencoding", generations=[1, 2, 5]), Louder(), utterances)
    codes = torch.cat([Level().encode(item.read()).streams[0].indices for item in utterances], dim=1)
    steps = 5 * codes[0] + codes[1]
    for number in (1, 2, 5):
        same = torch.stack([(steps + number) // 5 == codes[0], (steps + number) % 5 == codes[1]])
        assert found["reencoding_agreement", f"generation {number}"].value == pytest.approx(
            float(same.float().mean())
        )


def test_a_task_for_codecs_needs_a_decoder() -> None:
    assert made("reencoding").needs_decoder
    assert not made(gain_db=[1]).needs_decoder


def test_codes_of_no_constant_rate_are_told(utterances: list[Utterance]) -> None:
    with pytest.raises(NotSupportedError, match="irregular does not offer codes of one size"):
        made(gain_db=[1]).measure(Bench(Irregular(), "f", None), utterances[0], with_examples=False)


def test_arguments_are_checked() -> None:
    with pytest.raises(SpecError, match=r"arguments.loudness"):
        made(loudness=[1])
    with pytest.raises(SpecError, match="no perturbation is named"):
        made()
    with pytest.raises(SpecError, match=r"arguments.generations"):
        made("reencoding", generations=[])


def test_the_shipped_task_names_what_happens() -> None:
    runner = make_runner(find_task("robustness")[0])
    assert isinstance(runner, RobustnessRunner)
    assert {"white noise 0 dB", "shift 2 ms", "opus:12kbps", "pitch -2 semitones"} <= set(runner.names)


def pitch_hz(audio: Audio) -> float:
    """Return the pitch by the largest peak of the autocorrelation between 100 and 400 Hz."""
    samples = audio.mono().astype(np.float64)
    whole = np.correlate(samples[:8000], samples[:8000], "full")[7999:]
    shortest, longest = audio.sample_rate_hz // 400, audio.sample_rate_hz // 100
    return audio.sample_rate_hz / (shortest + int(whole[shortest:longest].argmax()))


@pytest.fixture
def voice() -> Audio:
    """Return a second and a half of a buzz of 125 Hz with two formants."""
    pulses = np.zeros(24000)
    pulses[::128] = 1.0
    response = sum(
        np.exp(-np.arange(200) / 40) * np.sin(2 * np.pi * f * np.arange(200) / RATE_HZ) for f in (500, 1500)
    )
    return Audio.from_numpy(0.2 * np.convolve(pulses, response)[:24000], RATE_HZ)


def test_noise_has_the_level_that_was_asked_for(voice: Audio) -> None:
    for exponent in (0.0, 1.0):
        noisy = perturbations.in_noise(voice, 10.0, exponent, np.random.default_rng(0))
        noise = noisy.mono().astype(np.float64) - voice.mono()
        assert 10 * np.log10(np.square(voice.mono()).sum() / np.square(noise).sum()) == pytest.approx(10, abs=1e-3)


def test_a_pitch_is_raised_and_nothing_else(voice: Audio) -> None:
    higher = perturbations.at_pitch(voice, 4.0, np.random.default_rng(0))
    assert pitch_hz(higher) / pitch_hz(voice) == pytest.approx(2 ** (4 / 12), rel=0.02)
    assert higher.num_samples == voice.num_samples


def test_a_tempo_leaves_the_pitch(voice: Audio) -> None:
    faster = perturbations.at_tempo(voice, 1.25, np.random.default_rng(0))
    assert faster.duration_s == pytest.approx(voice.duration_s / 1.25, rel=0.02)
    assert pitch_hz(faster) == pytest.approx(pitch_hz(voice), rel=0.02)


def test_a_room_goes_on_after_the_sound(voice: Audio) -> None:
    click = Audio.from_numpy(np.eye(1, 16000)[0], RATE_HZ)
    heard = np.square(perturbations.in_a_room(click, 0.5, np.random.default_rng(0)).mono().astype(np.float64))
    assert heard[0] == pytest.approx(heard[1:].sum(), rel=1e-3)  # as much direct sound as reverberation
    left = 10 * np.log10(np.cumsum(heard[::-1])[::-1])  # Schroeder's integral
    slope_db_s = np.polyfit(np.arange(800, 4800) / RATE_HZ, left[800:4800], 1)[0]
    assert slope_db_s == pytest.approx(-60 / 0.5, rel=0.1)
    assert perturbations.in_a_room(voice, 0.5, np.random.default_rng(0)).num_samples == voice.num_samples


def test_a_gain_is_what_it_says(voice: Audio) -> None:
    assert perturbations.at_gain(voice, 20.0).mono() == pytest.approx(10 * voice.mono(), rel=1e-6)


def test_a_codec_may_come_before(voice: Audio) -> None:
    coded = perturbations.through_codecs(voice, "mulaw:8bit")
    assert coded.duration_s == pytest.approx(voice.duration_s)
    error = coded.resample(RATE_HZ).mono() - voice.mono()
    assert 0 < np.square(error).sum() < 0.1 * np.square(voice.mono()).sum()


def test_codecs_may_come_in_turn(voice: Audio) -> None:
    in_turn = perturbations.through_codecs(voice, "gsm > mulaw:4bit")
    step_by_step = perturbations.through_codecs(perturbations.through_codecs(voice, "gsm"), "mulaw:4bit")
    assert in_turn.sha256 == step_by_step.sha256
    assert in_turn.sha256 != perturbations.through_codecs(voice, "mulaw:4bit").sha256


def hiss(num_samples: int) -> Audio:
    return Audio.from_numpy(0.1 * np.random.default_rng(0).standard_normal(num_samples), RATE_HZ)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda: perturbations.at_pitch(hiss(100), 2.0, np.random.default_rng(0)), "no pitch"),
        (lambda: perturbations.at_tempo(hiss(100), 2.0, np.random.default_rng(0)), "needs 0.04 s"),
        (
            lambda: perturbations.in_noise(Audio.from_numpy(np.zeros(9), 8), 1, 0, np.random.default_rng(0)),
            "silence",
        ),
    ],
    ids=["pitch", "tempo", "noise"],
)
def test_what_cannot_be_done_to_audio_is_told(change: Callable[[], Audio], reason: str) -> None:
    with pytest.raises(NotApplicableError, match=reason):
        change()


@pytest.mark.parametrize("name", ["robustness", "economy"])
def test_a_leaderboard_shows_what_its_tasks_measure(name: str) -> None:
    board = find_leaderboard(name)
    for key, column in board.columns.items():
        task = find_task(board.task_of[key])[0]
        assert column.metric in task.metrics
        runner = make_runner(task)
        if isinstance(runner, ComparingRunner):
            assert column.group in {"all", *runner.names}
