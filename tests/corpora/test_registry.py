import subprocess
import sys
from importlib import import_module

import pytest
from corpora.writers import WriteManifest

from tokbench.corpora.reference import LARGE_SPLITS
from tokbench.corpora.registry import CorpusListing, list_corpora, open_corpus
from tokbench.errors import CorpusError, MissingPackageError, UnknownNameError


def test_a_misspelt_corpus_is_answered_with_the_right_spelling() -> None:
    with pytest.raises(UnknownNameError, match=r"no corpus named 'sinth'\. Did you mean 'synth'"):
        open_corpus("sinth?split=test")


def test_a_bare_path_is_answered_with_the_kind_to_put_before_it(write_manifest: WriteManifest) -> None:
    path = write_manifest("path\na.wav\n")
    with pytest.raises(CorpusError, match="is a path; ask for manifest:/"):
        open_corpus(str(path))
    with pytest.raises(CorpusError, match="is a path; ask for folder:/"):
        open_corpus(str(path.parent))


def test_every_kind_of_path_opens(write_manifest: WriteManifest) -> None:
    path = write_manifest("path,corpus\na.wav,x\nb.wav,y\n")
    assert len(open_corpus(f"folder:{path.parent}")) == 3
    assert [utterance.id for utterance in open_corpus(f"manifest:{path}?corpus=y")] == ["b"]


def test_every_listing_tells_how_to_ask_for_it() -> None:
    for name, listing in list_corpora().items():
        assert listing.spelling.startswith(name)
        assert listing.description
        assert listing.licence


def test_what_is_made_here_tells_of_its_large_splits() -> None:
    for name, listing in list_corpora().items():
        module, _, _ = listing.opener.partition(":")
        recipe = getattr(import_module(module), "RECIPE", None)
        told = [split for split in LARGE_SPLITS if f"{name}?split={split}" in listing.spelling.split(", ")]
        assert told == list(recipe.large if recipe else [])


def test_what_is_not_there_tells_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list_corpora()["synth"].is_available
    assert "download=true" in list_corpora()["librispeech"].missing
    absent = CorpusListing(
        name="x", spelling="x", description="", licence="", opener="", requires=("no_such_thing",)
    )
    assert absent.missing == "pip install no-such-thing"
    monkeypatch.setattr("tokbench.corpora.registry._LISTINGS", (absent,))
    with pytest.raises(MissingPackageError, match=r"x needs no-such-thing\. Install with: pip install"):
        open_corpus("x")


def test_listing_imports_neither_torch_nor_numpy() -> None:
    code = (
        "import sys; from tokbench.corpora.registry import list_corpora; "
        "[listing.missing for listing in list_corpora().values()]; "
        "print(sorted({'torch', 'numpy', 'pandas', 'soundfile'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
