import re

import pytest

from tokbench.corpora.reference import CorpusReference, corpus_name, may_share
from tokbench.errors import CorpusError, UnknownNameError


@pytest.mark.parametrize(
    ("text", "kind", "location", "filters"),
    [
        ("synth", "synth", "", {}),
        ("synth?split=train", "synth", "", {"split": ("train",)}),
        ("folder:a b/c", "folder", "a b/c", {}),
        ("manifest:m.csv?x=1&y=a|b c", "manifest", "m.csv", {"x": ("1",), "y": ("a", "b c")}),
        ("manifest:m.csv?text=R%26B", "manifest", "m.csv", {"text": ("R&B",)}),
        ("folder:what?/recordings=all/x", "folder", "what?/recordings=all/x", {}),
        ("manifest:C:/m.csv?x=1", "manifest", "C:/m.csv", {"x": ("1",)}),
    ],
)
def test_a_reference_is_kind_location_and_filters(
    text: str, kind: str, location: str, filters: dict[str, tuple[str, ...]]
) -> None:
    reference = CorpusReference.parse(text)
    assert (reference.kind, reference.location, reference.filters) == (kind, location, filters)


@pytest.mark.parametrize("query", ["split", "split=", "=train", "split=train&"])
def test_a_query_that_is_no_filter_is_refused(query: str) -> None:
    with pytest.raises(CorpusError, match="expected column=value after the question mark"):
        CorpusReference.parse(f"synth?{query}")


def test_a_column_given_twice_is_refused_with_the_right_spelling() -> None:
    with pytest.raises(CorpusError, match=re.escape("write split=one|other for several values")):
        CorpusReference.parse("synth?split=train&split=test")


def test_an_option_that_a_kind_does_not_have_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="no option of folder named 'split'"):
        CorpusReference.parse("folder:x?split=train").require_only(())


def test_a_kind_that_needs_a_path_says_so() -> None:
    with pytest.raises(CorpusError, match="manifest: needs a path, such as manifest:some/where"):
        CorpusReference.parse("manifest").path()


@pytest.mark.parametrize(
    ("stem", "filters", "name"),
    [
        ("speech", {}, "speech"),
        ("speech", {"corpus": ("librispeech",), "split": ("test", "dev")}, "speech-librispeech-test+dev"),
        ("my speech/..", {"label": ("<b>a/b</b>",)}, "my_speech_-_b_a_b_b_"),
        ("..", {}, "_"),
        ("話し声", {}, "話し声"),
    ],
)
def test_a_name_is_safe_as_a_folder(stem: str, filters: dict[str, tuple[str, ...]], name: str) -> None:
    assert corpus_name(stem, filters) == name


@pytest.mark.parametrize(
    ("learnt", "scored", "shared"),
    [
        ("librispeech", "librispeech-test-clean", True),
        ("librispeech-train-clean-100", "librispeech-test-clean", False),
        ("librispeech-train", "librispeech", True),
        ("libri", "librispeech", False),
        ("speech-train-librispeech+mandarin-syllables+digits", "speech-mandarin-syllables", True),
        ("speech-train-librispeech+mandarin-syllables+digits", "speech-mandarin-syllables-test", False),
        ("speech-train-librispeech+mandarin-syllables+digits", "speech-keywords", False),
        ("speech-train", "speech-keywords", True),
        ("synth.v1-train", "synth.v1", False),
        ("synth.v1-train", "synth.v1-train+test", False),
        ("synth.v1-train", "synth.v1-train", True),
        ("synth.v1-train", "synth-words.v1-digit-train+test", False),
        ("synth-words.v1-train", "synth-words.v1-digit", False),
        ("synth-words.v1-train+test", "synth-words.v1-digit", True),
        ("synth-words.v1-train-large", "synth-words.v1-digit", False),
        ("synth-words.v1-train-large", "synth-words.v1-digit-train+test", False),
        ("synth-words.v1-train-large", "synth-words.v1-digit-train", True),
        ("synth-events.v2-train-large", "synth-events.v2-edit-test-large", False),
        ("synth-events.v2-edit-test-large", "synth-events.v2-edit", True),
    ],
)
def test_what_was_learnt_from_is_known_in_what_is_scored(learnt: str, scored: str, *, shared: bool) -> None:
    assert may_share(learnt, scored) is shared
