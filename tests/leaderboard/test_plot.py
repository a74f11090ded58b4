import hashlib
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from leaderboard.builder import Results, add_published, bitrate, board

from tokbench.leaderboard.plot import Picture, pictures
from tokbench.leaderboard.spec import find_leaderboard
from tokbench.leaderboard.table import read_tables

SVG = "{http://www.w3.org/2000/svg}"


def drawn(results: Results, **fields: Any) -> list[Picture]:
    [table] = read_tables(board(**fields), results.folder)
    return pictures(table)


def add(results: Results, codec: str, setting: str, rate_bps: float, quality: float) -> None:
    results.add(codec, setting, {"pesq_wb": [quality - 0.1, quality + 0.1] * 2, "mel_distance_dac": [1.0] * 4})
    results.add(codec, setting, task="tokens.v1", summaries=[bitrate(rate_bps)])


def points(picture: Picture) -> dict[str, tuple[float, float]]:
    """Return where each point stands, in pixels, by its description."""
    found = {}
    for path in ET.fromstring(picture.svg).iter(f"{SVG}path"):  # noqa: S314  (made by the test itself)
        if path.get("aria-roledescription") == "point":
            match = re.fullmatch(r"translate\((.*),(.*)\)", path.get("transform", ""))
            assert match
            found[path.get("aria-label", "")] = (float(match[1]), float(match[2]))
    return found


def test_points_stand_on_a_logarithmic_scale(results: Results) -> None:
    for setting, rate_bps in {"1": 1000, "2": 2000, "4": 4000}.items():
        add(results, "opus", setting, rate_bps, 2.0 + rate_bps / 4000)
    [picture] = drawn(results)
    (x1, y1), (x2, y2), (x4, y4) = points(picture).values()
    assert x2 - x1 == pytest.approx(x4 - x2, abs=0.01)
    assert (y1 - y2) * 2 == pytest.approx(y2 - y4, abs=0.01)


def test_a_point_is_described_in_words(results: Results) -> None:
    add(results, "opus", "12kbps", 12000, 3.0)
    [picture] = drawn(results)
    assert list(points(picture)) == ["opus 12kbps: 3.00 (2.90 to 3.10) at 12.0 kbit/s"]
    assert (picture.heading, picture.better, picture.x_heading) == (
        "PESQ wide band",
        "higher",
        "bitrate nominal bps (kbit/s)",
    )


def test_an_interval_is_drawn_from_its_low_to_its_high_end(results: Results) -> None:
    add(results, "opus", "12kbps", 12000, 3.0)
    add(results, "mulaw", "8bit", 64000, 4.0)
    [picture] = drawn(results)
    by_name = {name.split()[0]: place for name, place in points(picture).items()}
    pixels_per_unit = by_name["opus"][1] - by_name["mulaw"][1]
    bars = re.findall(
        r'<line transform="translate\(([\d.]+),([\d.]+)\)" x2="0" y2="([-\d.]+)" stroke="var', picture.svg
    )
    assert [float(x) for x, _, _ in bars] == pytest.approx([by_name["mulaw"][0], by_name["opus"][0]])
    assert [abs(float(height)) for _, _, height in bars] == pytest.approx([0.2 * pixels_per_unit] * 2, rel=1e-3)


def test_anchors_are_lines_and_not_points(results: Results) -> None:
    add(results, "opus", "12kbps", 12000, 3.0)
    add(results, "mulaw", "8bit", 64000, 4.0)
    add(results, "identity", "pcm", 256000, 4.6)
    [picture] = drawn(results)
    assert len(points(picture)) == 2
    assert "identity pcm: 4.60" in picture.svg
    assert 'stroke-dasharray="2,3"' in picture.svg
    assert picture.hidden == ()


def test_an_anchor_far_from_everything_does_not_flatten_the_picture(results: Results) -> None:
    add(results, "opus", "12kbps", 12000, 3.0)
    add(results, "mulaw", "8bit", 64000, 4.0)
    add(results, "noise", "white", 0, -50.0)
    [picture] = drawn(results)
    assert picture.hidden == ("noise:white",)
    assert "noise" not in picture.svg


def test_rows_without_a_bitrate_or_a_value_are_named(results: Results) -> None:
    add(results, "opus", "12kbps", 12000, 3.0)
    results.add("unmeasured", "1", {"pesq_wb": [3.0] * 4})
    results.add("failed", "1", {"pesq_wb": [3.0, None, 3.0, 3.0]})
    results.add("failed", "1", task="tokens.v1", summaries=[bitrate(1000)])
    [picture] = drawn(results)
    assert set(picture.hidden) == {"unmeasured:1", "failed:1"}


def test_a_codec_keeps_its_colour_from_picture_to_picture(results: Results) -> None:
    add(results, "opus", "12kbps", 12000, 3.0)
    results.add("absent", "1", {"pesq_wb": [None] * 4, "mel_distance_dac": [2.0] * 4})
    results.add("absent", "1", task="tokens.v1", summaries=[bitrate(1000)])
    both = drawn(results, plot={"y": ["pesq_wb", "mel_distance_dac"]})
    colours = [re.search(r'aria-label="opus[^>]*fill="(var\(--codec-\d\))"', picture.svg) for picture in both]
    assert [match and match[1] for match in colours] == ["var(--codec-1)"] * 2


def names(picture: Picture) -> dict[str, tuple[float, float, float]]:
    """Return where the name of each codec stands, a letter taken for 7 pixels: left, right, height."""
    found = {}
    place = r'text-anchor="(start|end)" transform="translate\(([-\d.]+),([-\d.]+)\)"'
    for anchor, x, y, text in re.findall(rf'<text {place}[^>]*fill="var\(--codec-\d\)">([^<]*)<', picture.svg):
        left = float(x) - 7 * len(text) * (anchor == "end")
        found[text] = (left, left + 7 * len(text), float(y))
    return found


@pytest.mark.parametrize("spread", [0.0, 0.001, 0.01, 0.1])
def test_names_cover_neither_one_another_nor_a_point(
    results: Results, rng: np.random.Generator, spread: float
) -> None:
    for index in range(20):
        for setting, rate_bps in enumerate(rng.choice([500, 1000, 2000, 4000], 2, replace=False)):
            add(results, f"codec-{index}", f"{setting}", rate_bps, 3.0 + spread * float(rng.normal()))
    [picture] = drawn(results)
    boxes = names(picture)
    assert len(boxes) >= 14
    for (left, right, y), (other_left, other_right, other_y) in combinations(boxes.values(), 2):
        assert right <= other_left or other_right <= left or abs(y - other_y) > 12
    for x, point_y in points(picture).values():
        for left, right, y in boxes.values():
            assert not (left < x < right and abs(y - 4 - point_y) < 9)  # of letters 12 pixels high


def test_a_name_stands_before_the_first_point_where_there_is_no_room_after_the_last(results: Results) -> None:
    for setting, rate_bps in {"1": 1000, "2": 8000}.items():
        add(results, "first", setting, rate_bps, 3.0)
    for index in range(11):
        add(results, f"in-the-way-{index}", "1", 9000, 3.0 + 0.1 * (index - 5))
    [picture] = drawn(results)
    own = {name.split()[1]: x for name, (x, _) in points(picture).items() if name.startswith("first")}
    assert names(picture)["first"][1] == pytest.approx(own["1:"] - 9, abs=0.1)


def test_a_name_without_room_is_told_beside_the_picture_and_covers_nothing(results: Results) -> None:
    for index in range(60):
        add(results, f"codec-{index:02d}", "1", 12000, 3.0 + 0.001 * index)
    [picture] = drawn(results)
    named = names(picture)
    assert sorted([*named, *(key.codec for key in picture.keys)]) == [f"codec-{index:02d}" for index in range(60)]
    assert len(named) > 15
    colours = {key.codec: f"var(--codec-{key.colour})" for key in picture.keys}
    assert colours["codec-25"] == "var(--codec-1)"
    assert {key.shape for key in picture.keys} == set("●■◆▲")


def test_a_name_far_from_its_point_has_a_line_to_it(results: Results) -> None:
    for index in range(8):
        add(results, f"codec-{index}", "1", 12000, 3.0 + 0.0001 * index)
    [picture] = drawn(results)
    thin = r'x2="([-\d.]+)" y2="([-\d.]+)" stroke="var\(--codec-\d\)" stroke-width="0.7"'
    lines = [(float(x), float(y)) for x, y in re.findall(thin, picture.svg)]
    assert [(round(x), round(abs(y))) for x, y in lines] == [(7, 26), (-7, 26)] * 2


def test_no_point_makes_no_picture(results: Results) -> None:
    results.add("opus", "12kbps", {"pesq_wb": [3.0] * 4})
    assert drawn(results) == []
    assert drawn(results, plot=None) == []


def test_a_picture_runs_nothing_and_fetches_nothing(results: Results) -> None:
    add(results, '<script>alert("x")</script> \'q" 音', "]]>", 12000, 3.0)
    [picture] = drawn(results)
    tags = {element.tag.removeprefix(SVG) for element in ET.fromstring(picture.svg).iter()}  # noqa: S314
    assert tags <= {"svg", "g", "path", "line", "text"}
    assert "<script" not in picture.svg
    assert "href" not in picture.svg
    assert "&lt;script&gt;" in picture.svg


def test_two_processes_draw_the_same_bytes_whatever_fonts_the_machine_has(results: Results, tmp_path: Path) -> None:
    add_published(results)
    program = (
        "import sys, hashlib, pathlib;"
        "from tokbench.leaderboard.plot import pictures;"
        "from tokbench.leaderboard.spec import find_leaderboard;"
        "from tokbench.leaderboard.table import read_tables;"
        "[table] = read_tables(find_leaderboard('reconstruction'), pathlib.Path(sys.argv[1]));"
        "print(hashlib.sha256(''.join(p.svg for p in pictures(table)).encode()).hexdigest())"
    )
    empty = tmp_path / "fonts.conf"
    empty.write_text('<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig></fontconfig>')
    environment = {"FONTCONFIG_FILE": str(empty), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    arguments = [sys.executable, "-c", program, str(results.folder)]
    done = subprocess.run(arguments, check=True, capture_output=True, text=True, env=environment)
    [table] = read_tables(find_leaderboard("reconstruction"), results.folder)
    here = hashlib.sha256("".join(picture.svg for picture in pictures(table)).encode()).hexdigest()
    assert done.stdout.strip() == here


def test_text_of_any_width_leaves_everything_else_where_it_was(results: Results) -> None:
    add(results, "a", "1", 12000, 3.0)
    add(results, "b", "1", 1000, 2.0)
    [picture] = drawn(results)
    narrow = list(points(picture).values())
    for codec in ("a", "b"):
        for task in ("reconstruction.v1", "tokens.v1"):
            path = results.files(codec, "1", task).record
            path.write_text(path.read_text().replace(f'"name": "{codec}"', f'"name": "{codec}{"音W" * 30}"'))
    for task in ("reconstruction.v1", "tokens.v1"):
        for codec in ("a", "b"):
            folder = results.files(codec, "1", task).record.parent
            folder.rename(folder.with_name(codec + "音W" * 30))
    [picture] = drawn(results)
    assert list(points(picture).values()) == narrow
    assert f"{'a' + '音W' * 12}…" in picture.svg
