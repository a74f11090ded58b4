"""The committed records of the classical codecs and Lyra: in each family, more bits are better speech."""

from pathlib import Path

import pytest

from tokbench.codecs.registry import list_cards
from tokbench.records import Record, read_records

RESULTS = Path(__file__).parent.parent / "results"
CORPUS = "speech-librispeech-test"
FAMILIES = (
    "codec2",
    "speex-nb",
    "speex",
    "amr-nb",
    "amr-wb",
    "mp3",
    "aac",
    "vorbis",
    "g726",
    "g722",
    "ima-adpcm",
    "lyra",
)
"""Families with more than one bitrate."""
SINGLE = ("lpc", "lpc10", "g723.1", "gsm", "g711")
RECORDS = {
    (record.task.id, record.codec.name, record.codec.setting): record
    for _, record in read_records(RESULTS)
    if record.corpus.name == CORPUS
}


def value(record: Record, name: str) -> float:
    summary = record.metric(name)
    assert summary is not None
    assert summary.value is not None
    return summary.value


def of(task: str, codec: str) -> list[Record]:
    """Return the records of a codec in the order of its card."""
    keys = ((task, codec, setting) for setting in list_cards()[codec].settings)
    return [RECORDS[key] for key in keys if key in RECORDS]


def quality(codec: str, metric: str) -> list[float]:
    return [value(record, metric) for record in of("reconstruction.v1", codec)]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("metric", ["pesq_wb", "pesq_nb", "stoi", "estoi", "visqol"])
def test_quality_rises_with_the_bitrate_of_a_family(family: str, metric: str) -> None:
    values = quality(family, metric)
    assert len(values) >= 2
    assert values == sorted(values)


@pytest.mark.parametrize("family", FAMILIES)
def test_bitrates_rise_in_the_order_of_the_card(family: str) -> None:
    rates = [value(record, "bitrate_nominal_bps") for record in of("tokens.v1", family)]
    assert len(rates) == len(quality(family, "stoi"))
    assert rates == sorted(rates)


@pytest.mark.parametrize("codec", [*FAMILIES, *SINGLE])
def test_the_measured_bitrate_is_that_of_the_card(codec: str) -> None:
    card = list_cards()[codec]
    for record in of("tokens.v1", codec):
        measured = value(record, "bitrate_nominal_bps")
        if record.codec.setting in card.bitrate_bps:
            assert measured == pytest.approx(card.bitrate_bps[record.codec.setting])
        # Classical packets leave little to a second entropy coder.
        assert value(record, "bitrate_entropy_bps") <= 1.02 * measured


@pytest.mark.parametrize("codec", SINGLE)
def test_codecs_of_one_bitrate_are_in_the_results(codec: str) -> None:
    assert quality(codec, "stoi")


@pytest.mark.parametrize("metric", ["pesq_wb", "visqol"])
@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (("lyra", "3.2kbps"), ("codec2", "3200bps")),
        (("lyra", "6kbps"), ("opus", "6kbps")),
        (("opus", "12kbps"), ("speex", "12.8kbps")),
        (("opus", "12kbps"), ("mp3", "16kbps")),
        (("amr-wb", "12.65kbps"), ("amr-nb", "12.2kbps")),
        (("speex", "12.8kbps"), ("gsm", "13kbps")),
    ],
)
def test_a_newer_codec_sounds_better_at_no_more_bits(
    better: tuple[str, str], worse: tuple[str, str], metric: str
) -> None:
    first, second = (RECORDS["reconstruction.v1", *label] for label in (better, worse))
    assert value(first, metric) > value(second, metric)


def test_only_codecs_that_keep_the_waveform_have_a_signal_to_distortion_ratio() -> None:
    for codec in ("codec2", "lpc", "lpc10"):
        assert max(quality(codec, "si_sdr_db")) < -15
    for codec in ("gsm", "g711", "g722", "g726", "mp3", "aac", "vorbis"):
        assert min(quality(codec, "si_sdr_db")) > 5
