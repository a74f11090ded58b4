"""The registry: four ways to call for a codec, and a sentence for each way to get it wrong."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tokbench import user_code
from tokbench.audio import Audio
from tokbench.codecs import registry
from tokbench.codecs.base import Codec
from tokbench.codecs.card import WeightsSource
from tokbench.codecs.registry import (
    SAME_CODES,
    SameCodes,
    SameFile,
    expand,
    fingerprint,
    list_cards,
    list_plugins,
    load,
    missing_packages,
    one,
)
from tokbench.codecs.weights import locate_weights
from tokbench.errors import (
    MissingPackageError,
    SpecError,
    UnknownNameError,
    UsageError,
    WeightsError,
    WeightsNotFoundError,
)
from tokbench.specs.base import file_sha256, read_toml, write_toml

PACKAGE = Path(registry.__file__).parent.parent
PLUGIN = Path(__file__).parent.parent / "plugin_package"

USER_CODEC = '''
import torch
from tokbench.codecs.base import Codec, TokenizerInfo
from tokbench.codes import StreamInfo

class Sign(Codec):
    """One bit per sample."""

    settings = {"quiet": {"level": 0.1}, "loud": {"level": 0.5}}

    def __init__(self, *, level):
        self._level = level
        self.info = TokenizerInfo(sample_rate_hz=8000, streams=(StreamInfo(1, 2, 8000),))

    def _encode(self, samples):
        return [(samples > 0).long()]

    def _decode(self, streams):
        return (streams[0] * 2.0 - 1) * self._level

class NoCodec:
    pass
'''

CARD = """
name = "sign"
title = "Sign"
adapter = "my_codec.py:Sign"
licence = "Apache-2.0"
source = "an example"
default_setting = "quiet"

[settings]
quiet = { level = 0.1 }
loud = { level = 0.5 }
"""


@pytest.fixture
def codec_file(tmp_path: Path) -> Path:
    path = tmp_path / "my codec.py"
    path.write_text(USER_CODEC)
    return path


@pytest.fixture
def card_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "sign codec"
    folder.mkdir()
    (folder / "my_codec.py").write_text(USER_CODEC)
    (folder / "card.toml").write_text(CARD)
    return folder


def run_python(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_shipped_card_is_well_formed_and_its_bitrates_rise() -> None:
    assert {"identity", "noise", "mulaw", "opus", "spectrogram-kmeans", "encodec"} <= set(list_cards())
    for card in list_cards().values():
        rates = [card.bitrate_bps[setting] for setting in card.settings if setting in card.bitrate_bps]
        assert rates == sorted(rates), card.name


def test_a_name_alone_means_the_default_setting() -> None:
    assert [reference.label for reference in expand("opus")] == ["opus:12kbps"]
    assert one("opus:24kbps").arguments == {"bitrate_bps": 24000}
    assert [reference.setting for reference in expand("mulaw:all")] == ["4bit", "6bit", "8bit"]
    with pytest.raises(UsageError, match="mulaw:all: one setting is needed here, such as mulaw:4bit"):
        one("mulaw:all")


def test_what_is_loaded_carries_the_facts_of_its_card() -> None:
    info = load(one("opus:8kbps")).info
    assert (info.name, info.setting, info.licence) == ("opus", "8kbps", "BSD-3-Clause")
    assert "RFC 6716" in info.source


def test_a_folder_with_the_name_of_a_codec_has_to_be_written_as_one(
    card_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(registry.TRAINED / "mfcc-km100", card_folder.parent / "opus")
    monkeypatch.chdir(card_folder.parent)
    for reference in ("opus", "opus:24kbps", "opus:all"):
        with pytest.raises(UsageError, match=r"opus is an installed codec, .*: write \./opus for the folder"):
            expand(reference)
    assert one("./opus").folder == card_folder.parent / "opus"
    monkeypatch.chdir(registry.TRAINED)
    assert one("mfcc-km100").folder is None


def test_a_folder_whose_training_has_not_finished_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "trained" / "ss" / "log" / "run.json"
    file.parent.mkdir(parents=True)
    file.write_text('{"is_finished": false}')
    with pytest.raises(UsageError, match=r"trained/ss: .* not finished\. The same `tokbench train`"):
        expand("trained/ss")
    for text in ('{"is_finished": true}', "{"):
        file.write_text(text)
        with pytest.raises(UnknownNameError, match="no codec named 'trained/ss'"):
            expand("trained/ss")


def test_an_unknown_name_and_an_unknown_setting_suggest_the_nearest() -> None:
    with pytest.raises(
        UnknownNameError, match=r"no codec named 'opsu'\. Did you mean 'opus'\? .*tokbench list codecs"
    ):
        expand("opsu")
    with pytest.raises(UnknownNameError, match=r"no setting of opus named '12kbp'\. Did you mean '12kbps'\?"):
        expand("opus:12kbp")


def test_a_class_in_a_file_is_a_codec(codec_file: Path) -> None:
    references = expand(f"{codec_file}:Sign:all")
    assert [reference.label for reference in references] == ["sign:quiet", "sign:loud"]
    codec = load(one(f"{codec_file}:Sign:loud"))
    assert isinstance(codec, Codec)
    decoded = codec.decode(codec.encode(Audio.from_numpy(np.array([0.3, -0.2]), 8000)))
    assert decoded.samples[0].tolist() == [0.5, -0.5]
    assert codec.info.licence == "unknown"


def test_its_text_asks_for_the_same_codec_again(codec_file: Path, card_folder: Path) -> None:
    found = [reference for name in list_cards() for reference in expand(name)]
    found += [one(f"{codec_file}:Sign:loud"), one(f"{card_folder}/my_codec.py:Sign:loud")]
    for reference in found:
        assert one(reference.text) == reference


def test_the_fingerprint_of_a_file_follows_what_lies_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sign_tables.py").write_text("LEVELS = {'quiet': {'level': 0.1}}\ndef levels(): return LEVELS\n")
    text = USER_CODEC.replace("import torch\n", "import torch\nfrom sign_tables import levels\n", 1)
    (tmp_path / "signs.py").write_text(text)
    expect_followed(tmp_path / "sign_tables.py", f"{tmp_path / 'signs.py'}:Sign:quiet", tmp_path, monkeypatch)


def test_the_fingerprint_of_a_plugin_follows_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "signing"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "network.py").write_text("class Network: pass\n")
    text = USER_CODEC.replace("import torch\n", "import torch\nfrom signing.network import Network\n", 1)
    (package / "codec.py").write_text(text)
    points = [importlib.metadata.EntryPoint("signing", "signing.codec:Sign", registry.ENTRY_POINTS)]
    monkeypatch.setattr(registry, "list_plugins", lambda: {point.name: point for point in points})
    expect_followed(package / "network.py", "signing:quiet", tmp_path, monkeypatch)


def expect_followed(file: Path, reference: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(folder))
    before = fingerprint(one(reference))
    file.write_text(file.read_text() + "# changed\n")
    assert fingerprint(one(reference)) != before


def test_texts_that_make_the_same_codes_share_a_fingerprint(
    codec_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, text = file_sha256(codec_file), codec_file.read_text(encoding="utf-8")
    of_before = fingerprint(one(f"{codec_file}:Sign:quiet"))
    codec_file.write_text(f"{text}\n# the same codes\n", encoding="utf-8")
    assert fingerprint(one(f"{codec_file}:Sign:quiet")) != of_before
    same = SameFile(path="codec.py", before=before, now=file_sha256(codec_file), why="a comment")
    known = read_toml(SAME_CODES, SameCodes).file
    write_toml(tmp_path / "same.toml", SameCodes(file=(*known, same)))
    monkeypatch.setattr("tokbench.codecs.registry.SAME_CODES", tmp_path / "same.toml")
    assert fingerprint(one(f"{codec_file}:Sign:quiet")) == of_before
    codec_file.write_text(f"{text}\n# other codes\n", encoding="utf-8")
    assert fingerprint(one(f"{codec_file}:Sign:quiet")) != of_before


def test_the_list_of_same_codes_is_of_the_files_that_stand_there() -> None:
    for same in read_toml(SAME_CODES, SameCodes).file:
        file = PACKAGE / same.path
        assert file_sha256(file) == same.now, f"{same.path} changed: say whether it makes the same codes"
        assert same.before != same.now


def test_the_fingerprint_changes_with_the_file_and_with_the_setting(codec_file: Path) -> None:
    before = fingerprint(one(f"{codec_file}:Sign:quiet"))
    assert fingerprint(one(f"{codec_file}:Sign:quiet")) == before
    assert fingerprint(one(f"{codec_file}:Sign:loud")) != before
    codec_file.write_text(USER_CODEC + "# changed\n")
    assert fingerprint(one(f"{codec_file}:Sign:quiet")) != before


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        ("{file}", r"my codec\.py: name the class as well, such as .*my codec\.py:MyCodec"),
        ("{file}:NoCodec", r"expected a subclass of Tokenizer called 'NoCodec', found <class"),
        ("{file}:Absent", r"expected a subclass of Tokenizer called 'Absent', found nothing"),
        ("nowhere.py:Codec", r"nowhere\.py: no such file"),
        ("{file}:Sign:huge", r"no setting of sign named 'huge'"),
    ],
)
def test_a_wrong_reference_to_a_file_says_what_is_wrong(reference: str, problem: str, codec_file: Path) -> None:
    with pytest.raises(UsageError, match=problem):
        expand(reference.format(file=codec_file))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("import no_such_package_at_all", "cannot be imported .*no_such_package_at_all"),
        ("def broken(:", r"cannot be imported \(invalid syntax"),
        ("1 / 0", r"cannot be imported \(ZeroDivisionError: division by zero\)"),
        ("import sys\nsys.exit(3)", r"cannot be imported \(SystemExit: 3\)"),
    ],
)
def test_a_file_that_cannot_be_imported_says_why(content: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(content)
    with pytest.raises(UsageError, match=problem):
        expand(f"{tmp_path / 'broken.py'}:Codec")


def test_a_file_with_a_card_beside_it_has_the_settings_of_the_card(card_folder: Path) -> None:
    file = f"{card_folder}/my_codec.py:Sign"
    codec = load(one(f"{file}:loud"))
    assert (codec.info.name, codec.info.setting, codec.info.licence) == ("sign", "loud", "Apache-2.0")
    assert fingerprint(one(f"{file}:loud")) != fingerprint(one(file))


@pytest.mark.parametrize(
    "adapter",
    [
        "my_codec.py:Sign",
        "os:system",
        "some_package.codec:Codec",
        "tokbench.x.py:Evil",
        "tokbench.codecs.x.py:Evil",
    ],
)
def test_a_folder_may_not_choose_code_to_run(card_folder: Path, adapter: str) -> None:
    (card_folder / "card.toml").write_text(CARD.replace("my_codec.py:Sign", adapter))
    with pytest.raises(UsageError, match=f"adapter: {adapter} is code that the folder brings along"):
        expand(str(card_folder))


@pytest.mark.parametrize(
    "weights",
    ['folder = "../sign"', 'folder = "sign"\nfiles = { "../level.txt" = "" }', 'folder = "/sign"'],
)
def test_a_card_may_not_lead_out_of_its_folder(card_folder: Path, weights: str) -> None:
    (card_folder / "card.toml").write_text(CARD + f"[weights]\n{weights}\n")
    with pytest.raises(SpecError, match="leads out of the folder of the weights"):
        expand(f"{card_folder}/my_codec.py:Sign")


def test_weights_beside_a_card_are_checked_and_handed_over(card_folder: Path) -> None:
    files = '[weights]\nfolder = "sign"\nfiles = { "level.txt" = "" }\n'
    (card_folder / "card.toml").write_text(CARD + files)
    with pytest.raises(
        WeightsNotFoundError, match=r"no weights for sign\. Download level\.txt, put them in .*sign codec"
    ):
        load(one(f"{card_folder}/my_codec.py:Sign"))
    (card_folder / "level.txt").write_text("0.5")
    source = USER_CODEC.replace("def __init__(self, *, level):", "def __init__(self, *, level, weights):")
    (card_folder / "my_codec.py").write_text(
        source.replace("= level", "= float((weights / 'level.txt').read_text())")
    )
    user_code._imported.cache_clear()
    assert vars(load(one(f"{card_folder}/my_codec.py:Sign")))["_level"] == 0.5


def test_a_malformed_card_names_the_file_and_every_key(card_folder: Path) -> None:
    card = CARD.replace('title = "Sign"', "title = 5\ncolour = 1").replace('"quiet"\n\n', '"soft"\n\n')
    (card_folder / "card.toml").write_text(card)
    expected = r"card\.toml: title: input should be a valid string, found 5; colour: unknown key"
    with pytest.raises(SpecError, match=expected):
        expand(str(card_folder))
    (card_folder / "card.toml").write_text(card.replace("title = 5\ncolour = 1", 'title = "Sign"'))
    with pytest.raises(SpecError, match=r"default_setting 'soft' is not among the settings \(quiet, loud\)"):
        expand(str(card_folder))
    (card_folder / "card.toml").write_text("name = ")
    with pytest.raises(SpecError, match=r"card\.toml: not TOML: "):
        expand(str(card_folder))


def test_a_shipped_card_must_be_called_as_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other.toml").write_text(CARD)
    monkeypatch.setattr(registry, "CARDS", tmp_path)
    list_cards.cache_clear()
    with pytest.raises(SpecError, match=r"other\.toml: name: expected 'other', found 'sign'"):
        list_cards()
    list_cards.cache_clear()


def test_a_missing_package_is_named_with_the_command_that_installs_it(card_folder: Path) -> None:
    (card_folder / "card.toml").write_text('requires = ["numpy", "no_such_module=no-such-package"]\n' + CARD)
    reference = one(f"{card_folder}/my_codec.py:Sign")
    assert missing_packages(reference.card) == ["no-such-package"]
    with pytest.raises(
        MissingPackageError, match=r"sign needs no-such-package\. Install with: pip install no-such-pack"
    ):
        load(reference)


@pytest.mark.parametrize("names", [("twice", "twice"), ("opus",)])
def test_a_name_that_is_registered_twice_is_refused(
    names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    points = [
        importlib.metadata.EntryPoint(name, f"package_{index}:Codec", registry.ENTRY_POINTS)
        for index, name in enumerate(names)
    ]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: points)
    with pytest.raises(UsageError, match=f"the codec name '{names[0]}' is registered twice"):
        list_plugins()


def test_listing_imports_neither_torch_nor_a_codec() -> None:
    heavy = run_python(
        "import sys, tokbench.codecs.registry as r\n"
        "r.list_cards(); r.list_plugins(); r.expand('opus:all'); r.expand('encodec')\n"
        "print([m for m in ('torch', 'av', 'transformers', 'tokbench.codecs.base') if m in sys.modules])"
    )
    assert heavy.strip() == "[]"


@pytest.fixture(scope="module")
def site_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the example package, without a network, into a folder of its own."""
    folder = tmp_path_factory.mktemp("site-packages")
    options = ["--quiet", "--no-build-isolation", "--no-deps", "--no-index", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(folder), str(PLUGIN)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def test_an_installed_package_registers_its_codecs(site_packages: Path) -> None:
    output = run_python(
        "import sys\n"
        "from tokbench.codecs.registry import expand, list_plugins, load, one\n"
        "print(*list_plugins())\n"
        "print(*(r.label for r in expand('linear:all')), 'torch' in sys.modules)\n"
        "print(load(one('linear-8bit')).info.bitrate_bps, load(one('linear:4bit')).info.bitrate_bps)\n"
        "from tokbench.testing import run_checks\n"
        "print({result.status for result in run_checks('linear:all', long_input_s=2)})\n",
        PYTHONPATH=str(site_packages),
    )
    assert output.splitlines() == [
        "linear linear-8bit",
        "linear:4bit linear:8bit False",
        "128000.0 64000.0",
        "{'passed'}",
    ]


def test_a_card_in_a_package_must_have_the_registered_name(site_packages: Path) -> None:
    output = run_python(
        "import importlib.metadata\n"
        "from tokbench.codecs import registry\n"
        "point = importlib.metadata.EntryPoint('other', 'tokbench_example_plugin', registry.ENTRY_POINTS)\n"
        "try: registry._find_plugin(point)\n"
        "except registry.SpecError as error: print(error)\n",
        PYTHONPATH=str(site_packages),
    )
    assert output.strip().endswith("card.toml: name: expected 'other', found 'linear'")


SOURCE = WeightsSource(folder="some", files={"a.bin": "", "b.bin": ""}, hub="owner/some")


def put(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(name.encode())
    return folder


def test_weights_are_found_in_the_home_folder_and_in_the_folder_that_is_given(
    tokbench_home: Path, tmp_path: Path
) -> None:
    usual = put(tokbench_home / "weights" / "some", "a.bin", "b.bin")
    given = put(tmp_path / "given", "a.bin", "b.bin")
    assert locate_weights("x", SOURCE) == usual
    assert locate_weights("x", SOURCE, override=given) == given


def test_a_folder_that_lacks_a_file_is_not_enough(tokbench_home: Path) -> None:
    put(tokbench_home / "weights" / "some", "a.bin")
    with pytest.raises(
        WeightsNotFoundError, match=r"Download a\.bin, b\.bin from owner/some on the Hugging Face hub"
    ):
        locate_weights("x", SOURCE)


def test_a_file_that_is_not_the_published_one_is_refused(tmp_path: Path) -> None:
    source = WeightsSource(folder="some", files={"a.bin": "0" * 64})
    with pytest.raises(WeightsError, match=r"a\.bin: expected SHA-256 0{64}, found [0-9a-f]{64}"):
        locate_weights("x", source, override=put(tmp_path, "a.bin"))
