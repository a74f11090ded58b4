import hashlib
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path
from typing import Any

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


def test_names_of_codecs_do_not_cover_one_another(results: Results) -> None:
    for index in range(4):
        add(results, f"codec-{index}", "1", 12000, 3.0 + 0.001 * index)
    [picture] = drawn(results)
    heights = [float(y) for y in re.findall(r'translate\([\d.]+,([\d.]+)\)"[^>]*>codec-\d</text>', picture.svg)]
    assert len(heights) == 4
    heights.sort()
    assert min(b - a for a, b in pairwise(heights)) > 12


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
    assert f"{'a' + '音W' * 9}…" in picture.svg
