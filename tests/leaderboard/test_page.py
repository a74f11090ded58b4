import base64
import hashlib
import html
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from leaderboard.builder import Results, add_published, bitrate, board, summary_of

from tokbench.leaderboard.page import Page, render
from tokbench.leaderboard.spec import find_leaderboard
from tokbench.leaderboard.table import read_tables
from tokbench.records import file_safe

NASTY = '<script>alert("x")</script> \'q" 音'
QUALITY = {"pesq_wb": [3.0, 3.5, 2.5, 3.0], "mel_distance_dac": [1.0, 1.0, 1.0, 1.0]}


class Outline(HTMLParser):
    """Collects what a browser would make of the page: elements, attributes, and the text of each table cell."""

    def __init__(self, page: Page) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.feed(page.html.decode())
        self.rows = [[cell.strip("\n ") for cell in row] for row in self.rows]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self.rows.append([])

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data

    def values(self, tag: str, attribute: str) -> list[str]:
        """Return the values of an attribute of every element ``tag`` that has it."""
        return [value for name, attrs in self.elements if name == tag and (value := attrs.get(attribute))]


def page_of(results: Results, **fields: Any) -> Page:
    shown = board(**fields)
    return render(shown, read_tables(shown, results.folder))


def test_a_number_stands_with_its_interval_and_its_rank(results: Results) -> None:
    results.add("opus", "12kbps", QUALITY)
    rows = Outline(page_of(results)).rows
    row = next(row for row in rows if row[1:2] == ["opus 12kbps"])
    assert row[:4] == ["1", "opus 12kbps", "3.002.65 – 3.35", "1.000"]  # noqa: RUF001  (an en dash)


def test_the_best_and_what_is_tied_with_it_are_marked(results: Results) -> None:
    results.add("best", "1", {"pesq_wb": [3.0, 3.5, 2.5, 3.0]})
    results.add("tied", "1", {"pesq_wb": [3.1, 3.3, 2.4, 3.0]})
    results.add("worse", "1", {"pesq_wb": [2.0, 2.5, 1.5, 2.0]})
    marked = re.findall(r'<td[^>]*><b class="best">([\d.]+)</b>', page_of(results).html.decode())
    assert marked == ["3.00", "2.95"]


def test_one_that_stands_alone_or_beside_an_anchor_is_not_marked(results: Results) -> None:
    results.add("opus", "12kbps", QUALITY)
    assert '<td data-value="3"><b' not in page_of(results).html.decode()
    results.add("identity", "pcm", QUALITY)
    assert '<b class="best">3' not in page_of(results).html.decode()
    results.add("mulaw", "8bit", {"pesq_wb": [2.0] * 4})
    assert '<b class="best">3' in page_of(results).html.decode()


def test_ranks_stand_above_the_picture_and_the_table(results: Results) -> None:
    for codec, value in {"opus": 3.0, "mulaw": 2.0}.items():
        results.add(codec, "1", {"pesq_wb": [value] * 4})
        results.add(codec, "1", task="tokens.v1", summaries=[bitrate(12000)])
    questions = [{"heading": "sound", "columns": ["pesq_wb"]}]
    page = page_of(results, ranking={"edges_bps": [8000, 16000], "questions": questions})
    text = page.html.decode()
    assert text.index("Ranks at the same bitrate") < text.index("<svg") < text.index('<table class="board">')
    rows = Outline(page).rows
    assert rows.index(["#", "codec", "joint rank", "sound"]) < rows.index(["1", "opus 1", "1.0", "1.0"])
    assert '<th scope="col" class="codec">codec</th>' in text  # over the names: at the left, as they are


def test_the_sections_of_a_page_are_linked_at_its_top(results: Results) -> None:
    results.add("opus", "12kbps", QUALITY)
    assert "On this page" not in page_of(results).html.decode()
    results.corpus = "another"
    results.add("opus", "12kbps", {"pesq_wb": [3.0] * 4})
    text = page_of(results).html.decode()
    contents = text[text.index('<nav class="contents"') : text.index("<main>")]
    linked = re.findall(r'<a href="#([^"]*)">([^<]*)</a>', contents)
    assert linked == [("corpus-1", "synth"), ("corpus-2", "another")]
    assert re.findall(r'id="(corpus-\d)">\s*<h2>([^<]*)</h2>', text) == linked


def test_a_corpus_is_called_as_it_is_asked_for_where_that_can_be_read(results: Results) -> None:
    results.add("opus", "12kbps", QUALITY)
    path = results.files("opus", "12kbps").record
    before = path.read_text()
    for reference, title in {
        "synth-words?kind=digit&split=test": "synth-words?kind=digit&amp;split=test",
        "synth": "synth",
        "manifest:speech/manifest.csv?corpus=librispeech": "synth",
    }.items():
        path.write_text(before.replace('"reference": "synth"', f'"reference": "{reference}"'))
        text = page_of(results).html.decode()
        assert f"<h2>{title}</h2>" in text
        assert ('<p class="facts">synth, 4 utterances' in text) == (title != "synth")


def test_other_pages_are_linked_and_this_one_is_marked(results: Results) -> None:
    results.add("opus", "12kbps", QUALITY)
    shown = board()
    tables = read_tables(shown, results.folder)
    page = render(shown, tables, {NASTY: NASTY, "small": "Small", "tokens": "Tokens"})
    addresses = Outline(page).values("a", "href")[:3]
    assert addresses[1:] == ["small.html", "tokens.html"]
    assert not set("<>\"' ") & set(addresses[0])
    text = page.html.decode()
    assert '<a href="small.html" aria-current="page">Small</a>' in text
    assert text.count("aria-current=") == 1
    assert text.count("<script") == 1
    assert 'class="pages"' not in render(shown, tables, {"small": "Small"}).html.decode()


def test_a_missing_number_is_a_dash_with_a_note(results: Results) -> None:
    results.add("opus", "12kbps", {**QUALITY, "pesq_wb": [3.0, None, 3.0, 3.0]})
    page = page_of(results).html.decode()
    reason = "1 of 4 failed: the codec crashed (1)"
    assert re.search(rf'title="{re.escape(reason)}">—<sup>1</sup><small>3 of 4</small>', page)
    assert f"<li>{reason}</li>" in page


def test_directions_and_units_stand_in_the_heading(results: Results) -> None:
    results.add("opus", "12kbps", QUALITY)
    results.add("opus", "12kbps", task="tokens.v1", summaries=[bitrate(12000)])
    headings = next(row for row in Outline(page_of(results)).rows if row[:1] == ["#"])
    assert headings == ["#", "codec", "PESQ wide band\xa0↑", "mel\xa0↓", "bitrate nominal bpskbit/s"]


def test_a_codec_that_saw_the_corpus_is_flagged(results: Results) -> None:
    results.add("neural", "1", QUALITY, trained_on=("synth",))
    results.add("classical", "1", QUALITY)
    page = page_of(results).html.decode()
    assert page.count("saw this corpus in training") == 1
    assert 'title="trained on synth"' in page


def test_every_name_is_escaped(results: Results) -> None:
    results.corpus = NASTY
    results.utterances = [NASTY, "b", "c", "d"]
    results.speakers = [NASTY] * 4
    texts = {"title": NASTY, "judge": NASTY, "source": NASTY, "reasons": {NASTY: 1}}
    summary = summary_of("pesq_wb", [1.0], value=None, low=None, high=None, **texts)
    results.overrides = {"provenance": {NASTY: NASTY}, "reason": NASTY}
    results.add(NASTY, NASTY, {"mel_distance_dac": [1.0] * 4}, summaries=[summary], title=NASTY, licence=NASTY)
    results.add(NASTY, NASTY, task="tokens.v1", summaries=[bitrate(12000)])
    results.add_examples(NASTY, NASTY)
    page = page_of(results, title=NASTY, question=NASTY, reading=NASTY)
    outline, text = Outline(page), page.html.decode()
    assert [tag for tag, _ in outline.elements].count("script") == 1
    assert text.count("<script") == 1
    assert all("alert" not in name for _, attrs in outline.elements for name in attrs)
    assert any(row[1:2] == [f"{NASTY} {NASTY}"] for row in outline.rows)
    assert NASTY in outline.values("th", "title")
    assert any(NASTY in label for label in outline.values("audio", "aria-label"))


def test_the_page_lets_no_script_run_but_its_own(results: Results) -> None:
    results.add("opus", "12kbps", QUALITY)
    page = page_of(results).html.decode()
    script = page.split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}';" in page


def test_nothing_is_fetched_from_elsewhere(results: Results) -> None:
    results.add("opus", "12kbps", QUALITY)
    results.add_examples("opus", "12kbps")
    outline = Outline(page_of(results))
    addresses = [*outline.values("img", "src"), *outline.values("audio", "src"), *outline.values("link", "href")]
    assert len(addresses) == 5
    assert all(address.startswith("data:") for address in addresses)
    assert not outline.values("script", "src")


def test_a_sound_in_the_page_is_the_file_bit_for_bit(results: Results) -> None:
    results.add("opus", "12kbps", QUALITY)
    results.add_examples("opus", "12kbps")
    files = results.files("opus", "12kbps")
    sounds = Outline(page_of(results)).values("audio", "src")
    decoded = [base64.b64decode(sound.removeprefix("data:audio/flac;base64,")) for sound in sounds]
    assert decoded == [(folder / "utt 0.flac").read_bytes() for folder in (files.originals, files.examples)]


def test_sounds_are_those_of_the_first_utterances_in_the_order_of_the_corpus(results: Results) -> None:
    results.utterances = ["zulu", "alpha", "mike", "kilo"]
    results.add("opus", "12kbps", QUALITY)
    results.add_examples("opus", "12kbps", num=3)
    labels = Outline(page_of(results, num_examples=2)).values("audio", "aria-label")
    assert labels == ["original , zulu", "opus 12kbps, zulu", "original , alpha", "opus 12kbps, alpha"]


def test_each_sound_has_the_score_of_its_own_utterance(results: Results) -> None:
    results.add("opus", "12kbps", QUALITY)
    results.add_examples("opus", "12kbps", num=2)
    scores = re.findall(r'class="score">([^<]*)<', page_of(results).html.decode())
    assert scores == ["PESQ wide band 3.00", "PESQ wide band 3.50"]


def test_a_codec_without_sounds_is_left_out_of_the_listening(results: Results) -> None:
    results.add("opus", "12kbps", QUALITY)
    results.add("mute", "1", QUALITY)
    results.add_examples("opus", "12kbps")
    assert len(Outline(page_of(results)).values("audio", "src")) == 2


def test_a_codec_that_was_skipped_has_neither_sounds_nor_utterances(results: Results) -> None:
    results.add("opus", "12kbps", QUALITY)
    results.add_examples("opus", "12kbps")
    results.overrides = {"status": "skipped", "reason": "units only encodes"}
    results.add("units", "1")
    results.files("units", "1").utterances.unlink()
    page = page_of(results)
    assert len(Outline(page).values("audio", "src")) == 2
    assert "units only encodes" in page.html.decode()


def test_sounds_that_do_not_fit_lie_beside_the_page(results: Results) -> None:
    add_published(results, num_examples=3)
    shown = find_leaderboard("reconstruction").model_copy(update={"num_examples": 3})
    page = render(shown, read_tables(shown, results.folder))
    assert len(page.html) < 2_000_000
    sources = Outline(page).values("audio", "src") + Outline(page).values("img", "src")
    linked = {source for source in sources if not source.startswith("data:")}
    assert linked == {f"reconstruction.audio/{media.name}" for media in page.media}
    assert any(source.startswith("data:audio/flac") for source in sources)
    assert len(sources) == 3 * (15 + 2 + 1) * 2


def test_a_page_stays_below_two_megabytes_with_three_utterances_of_twelve_codecs(results: Results) -> None:
    for index in range(12):
        results.add(f"codec {index}", "1", QUALITY)
        results.add_examples(f"codec {index}", "1", seconds=3.0, num=3, noise=0.01 * index)
    page = page_of(results)
    assert 1_000_000 < len(page.html) < 2_000_000


def test_a_sound_that_came_back_unchanged_is_counted_twice(results: Results) -> None:
    for index in range(12):
        results.add(f"codec {index}", "1", QUALITY)
        results.add_examples(f"codec {index}", "1", seconds=6.0, num=3, noise=0.05)  # as the originals
    assert len(page_of(results).html) < 2_000_000


def test_each_codebook_can_be_unfolded(results: Results) -> None:
    columns = [{"metric": "codebook_usage"}]
    groups = [{"heading": "Use", "task": "tokens.v1", "columns": columns}]
    parts = [summary_of("codebook_usage", [0.5])]
    parts += [summary_of("codebook_usage", [value], group=f"codebook {k}") for k, value in ((1, 0.25), (2, 0.75))]
    results.add("opus", "1", task="tokens.v1", summaries=parts)
    rows = Outline(page_of(results, groups=groups, sort_by="codebook_usage", plot=None)).rows
    assert ["codebook 1", "0.250"] in rows
    assert ["codebook 2", "0.750"] in rows


def test_the_page_says_what_was_run_on_what(results: Results) -> None:
    results.add("opus", "12kbps", {"pesq_wb": [3.0] * 4}, trained_on=("vctk",), num_parameters=14_850_000)
    text = html.unescape(page_of(results).html.decode())
    for fact in (
        "c0ffee",
        "numpy 2.3.0, torch 2.11.0",
        "soxr VHQ",
        "CC-BY-4.0",
        "definition of pesq_wb",
        "14,850,000",
    ):
        assert fact in text


def test_records_made_in_different_ways_are_told_apart(results: Results) -> None:
    results.add("opus", "12kbps", QUALITY)
    results.overrides = {"provenance": {"commit": "beef"}}
    results.add("mulaw", "8bit", QUALITY)
    text = page_of(results).html.decode()
    assert "of opus:12kbps" in text
    assert "of mulaw:8bit" in text


def test_costs_come_with_their_machine(results: Results) -> None:
    groups = [{"heading": "Cost", "task": "tokens.v1", "columns": [{"metric": "encode_rtf"}]}]
    results.add("opus", "1", task="tokens.v1")
    results.add_cost("opus", "1", encode_rtf=0.1)
    page = page_of(results, groups=groups, sort_by="encode_rtf", plot=None).html.decode()
    assert "Example CPU" in page
    results.add("opus", "1", QUALITY)
    assert "Example CPU" not in page_of(results).html.decode()


@pytest.mark.parametrize(
    ("seconds", "text"), [(12.5, "12.5 seconds"), (600.0, "10.0 minutes"), (36000.0, "10.0 hours")]
)
def test_the_length_of_a_corpus_is_in_the_unit_that_suits_it(results: Results, seconds: float, text: str) -> None:
    results.add("opus", "12kbps", QUALITY)
    path = results.files("opus", "12kbps").record
    path.write_text(path.read_text().replace('"duration_s": 12.5', f'"duration_s": {seconds}'))
    assert text in page_of(results).html.decode()


def test_a_safe_file_name_still_finds_its_sound(results: Results) -> None:
    results.utterances = ["a/b: c?", "b", "c", "d"]
    results.add("opus", "12kbps", QUALITY)
    results.add_examples("opus", "12kbps")
    assert (results.files("opus", "12kbps").examples / f"{file_safe('a/b: c?')}.flac").is_file()
    assert "a/b: c?" in page_of(results).html.decode()


def test_a_task_that_was_run_on_some_codecs_is_one_note(results: Results) -> None:
    for index in range(5):
        results.add(f"codec {index}", "1", QUALITY)
    results.add("codec 0", "1", task="tokens.v1", summaries=[bitrate(1000)])
    page = page_of(results).html.decode()
    assert page.count("<li>tokens.v1 was not run on this codec</li>") == 1
    assert 'title="not run: tokbench run --codec &#39;codec 1:1&#39; --task tokens.v1 --corpus synth"' in page


def test_a_task_that_was_run_on_no_codec_has_no_columns(results: Results) -> None:
    results.add("opus", "12kbps", QUALITY)
    page = page_of(results)
    headings = next(row for row in Outline(page).rows if row[:1] == ["#"])
    assert headings == ["#", "codec", "PESQ wide band\xa0↑", "mel\xa0↓"]
    assert "left out: tokens.v1. To run one: <code>tokbench run --codec NAME --task TASK --corpus synth</code>" in (
        page.html.decode()
    )


def test_tasks_with_not_much_in_common_have_tables_and_sounds_of_their_own(results: Results) -> None:
    columns = [{"metric": "mel_distance_dac", "name": "edited"}]
    groups = [
        {"heading": "Speech from text", "task": "lm-tts.v1", "columns": [{"metric": "pesq_wb"}]},
        {"heading": "Sounds edited", "task": "lm-aued.v1", "columns": columns},
    ]
    for codec, quality in (("opus", 1.0), ("mulaw", 2.0)):
        scores = {"pesq_wb": [quality] * 4}
        results.add(codec, "1", scores, task="lm-tts.v1", asked=["say <seven>", "b", "c", "d"])
        results.add(codec, "1", {"mel_distance_dac": [quality] * 4}, task="lm-aued.v1")
        results.add_examples(codec, "1", task="lm-tts.v1")
    fields = {"groups": groups, "plot": None, "table_per_group": True}
    page = page_of(results, **fields)
    outline, text = Outline(page), page.html.decode()
    ranked = [row[:2] for row in outline.rows if row[:1] in (["1"], ["2"])]
    assert ranked == [["1", "mulaw 1"], ["2", "opus 1"], ["1", "opus 1"], ["2", "mulaw 1"]]
    assert "<h2>Speech from text</h2>" in text
    labels = ["At a glance", "Speech from text on synth", "Sounds edited on synth"]
    assert outline.values("div", "aria-label") == labels
    assert [name for name, _ in outline.elements].count("audio") == 3
    assert "“say &lt;seven&gt;”" in text
    shown = board(**fields)
    wide = [table.wide() for table in read_tables(shown, results.folder)]
    assert [frame["task"].unique().tolist() for frame in wide] == [["lm-tts.v1"], ["lm-aued.v1"]]
