"""Which part of a corpus may be learnt from."""

from importlib import import_module
from pathlib import Path

import pytest
from tiny.whistled import write_whistled

from tokbench.corpora.laid_out import LaidOutCorpus
from tokbench.corpora.registry import list_corpora, open_corpus
from tokbench.corpora.training_part import require_apart, training_part
from tokbench.errors import CorpusError


def published_corpora() -> list[type[LaidOutCorpus]]:
    openers = (listing.opener.partition(":") for listing in list_corpora().values())
    found = (getattr(import_module(module), name.partition(".")[0]) for module, _, name in openers)
    return [opener for opener in found if isinstance(opener, type) and issubclass(opener, LaidOutCorpus)]


@pytest.mark.parametrize(
    ("measured", "learnt"),
    [
        ("synth", "synth?split=train"),
        ("synth?split=demo&language=de|fr", "synth?language=de|fr&split=train"),
        ("synth-commands?kind=digits", "synth-commands?kind=digits&split=train"),
        ("synth-words?kind=digit", "synth-words?kind=digit&split=train"),
        ("synth-events?kind=edit&split=test-large", "synth-events?kind=edit&split=train-large"),
        ("librispeech", "librispeech?split=train-clean-100"),
        ("fsdd:/data", "fsdd:/data?split=train"),
        ("librispeech:/data?split=dev-other", "librispeech:/data?split=train-clean-100"),
        ("manifest:a b.csv?split=test&word=a%26b", "manifest:a b.csv?word=a%26b&split=train"),
    ],
)
def test_the_rest_of_a_reference_stays(measured: str, learnt: str) -> None:
    assert training_part(measured) == learnt


@pytest.mark.parametrize("reference", ["manifest:a.csv", "manifest:a.csv?language=en"])
def test_without_a_part_nothing_is_left_to_learn_from(reference: str) -> None:
    with pytest.raises(CorpusError, match="ask for a part, such as split=test"):
        training_part(reference)


@pytest.mark.parametrize("reference", ["folder:a", "folder:a?split=test", "vctk:a", "vctk:a?split=all"])
def test_where_there_is_no_training_part_the_way_to_one_is_told(reference: str) -> None:
    with pytest.raises(CorpusError, match=r"nothing to learn from in it: .* ask for manifest:FILE\?split=test"):
        training_part(reference)


@pytest.mark.parametrize("corpus", published_corpora(), ids=lambda corpus: corpus.kind)
def test_a_published_corpus_has_the_training_part_that_is_asked_for(corpus: type[LaidOutCorpus]) -> None:
    try:
        reference = training_part(f"{corpus.kind}:a")
    except CorpusError:
        assert not any("train" in split for split in corpus.splits)
    else:
        assert reference.rpartition("=")[2] in corpus.splits


@pytest.mark.parametrize(
    "reference",
    [
        "synth?split=train",
        "manifest:a.csv?split=train|test",
        "synth-words?split=train-large",
        "synth-words?split=test|train-large",
        "synth-events?split=train-large|test-large",
        "synth-events?split=train|test-large",
    ],
)
def test_what_is_learnt_from_is_not_measured(reference: str) -> None:
    with pytest.raises(CorpusError, match="learnt from"):
        training_part(reference)


def test_an_utterance_in_both_is_found(tmp_path: Path) -> None:
    manifest = write_whistled(tmp_path, number=8)
    whole, train, test = (open_corpus(f"manifest:{manifest}{part}") for part in ("", "?split=train", "?split=test"))
    require_apart(train, test)
    with pytest.raises(CorpusError, match="u3 of manifest:"):
        require_apart(test, whole)
