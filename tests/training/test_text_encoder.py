"""The text encoder: what it is asked to guess, its loss by transformers, and that it is read like BERT."""

from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, BertModel, ByT5Tokenizer

from tokbench.corpora.base import Corpus
from tokbench.specs.codec import find_spec
from tokbench.specs.text_encoder import TextEncoderSpec, heads_divide
from tokbench.training.crops import Batch
from tokbench.training.learner import Origin, Progress
from tokbench.training.teachers import TextReader
from tokbench.training.text_encoder import TextEncoderLearner, masked_words

TEXTS = ("zero one two three", "eins zwei drei", "一二三", "")
MASK = 259


@pytest.fixture
def learner() -> TextEncoderLearner:
    spec, _ = find_spec("text-encoder", "tiny", changes={"width": 32, "num_layers": 2, "feed_forward": 64})
    assert isinstance(spec, TextEncoderSpec)
    torch.manual_seed(0)
    return TextEncoderLearner(spec)


def batch(texts: tuple[str, ...]) -> Batch:
    samples = torch.zeros(len(texts), 1, 800)
    return Batch(samples, samples, texts, ("",) * len(texts), (False,) * len(texts))


def test_whole_words_are_chosen_as_often_as_they_are_to_be() -> None:
    torch.manual_seed(0)
    tokens = ByT5Tokenizer()(["ab cde f " * 60] * 50, return_tensors="pt").input_ids
    inputs, labels = masked_words(tokens, 0.15)
    is_chosen = labels != -100
    is_byte = tokens >= 3
    assert is_chosen[is_byte].float().mean().item() == pytest.approx(0.15, abs=0.01)
    assert not is_chosen[~is_byte].any()
    assert torch.equal(labels[is_chosen], tokens[is_chosen])
    assert torch.equal(inputs[~is_chosen], tokens[~is_chosen])
    words = (tokens == 3 + ord(" ")).cumsum(dim=1)
    for row, chosen in zip(words[:5], is_chosen[:5], strict=True):
        for word in range(100):
            assert chosen[row == word].float().mean().item() in {0.0, 1.0}
    shares = [(inputs == MASK)[is_chosen], (inputs == tokens)[is_chosen]]
    assert shares[0].float().mean().item() == pytest.approx(0.8, abs=0.02)
    assert shares[1].float().mean().item() == pytest.approx(0.1, abs=0.02)


def test_the_loss_is_that_of_transformers(learner: TextEncoderLearner) -> None:
    learner.eval()
    tokens = ByT5Tokenizer()(list(TEXTS), padding=True, return_tensors="pt")
    torch.manual_seed(3)
    inputs, labels = masked_words(tokens.input_ids, learner.spec.masked_share)
    assert (labels != -100).sum() > 5
    expected = learner.model(input_ids=inputs, attention_mask=tokens.attention_mask, labels=labels).loss
    torch.manual_seed(3)
    torch.testing.assert_close(learner.validate(batch(TEXTS))["masked"], expected)


def test_without_texts_there_is_nothing_to_learn(learner: TextEncoderLearner) -> None:
    (turn,) = learner.turns(batch(("", "")), Progress(0, 10))
    turn.total.backward()
    assert turn.total.item() == 0
    assert all(not p.grad.any() for p in learner.model.parameters() if p.grad is not None)


def test_it_learns(learner: TextEncoderLearner) -> None:
    optimizer = torch.optim.Adam(learner.optimizers()["model"][1], 3e-3)
    losses = []
    for step in range(60):
        (turn,) = learner.turns(batch(("abababab cdcdcdcd " * 4,) * 8), Progress(step, 60))
        optimizer.zero_grad()
        turn.total.backward()
        optimizer.step()
        losses.append(turn.total.item())
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])


def test_what_is_saved_is_read_like_bert(learner: TextEncoderLearner, corpus: Corpus, tmp_path: Path) -> None:
    learner.eval().export(tmp_path / "text-encoder", Origin(corpus, "tiny", 0))
    reader = TextReader.load(str(tmp_path / "text-encoder"))
    features = reader(TEXTS, 24, torch.device("cpu"))
    assert features.shape == (4, 24, 32)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "text-encoder")
    inputs = tokenizer(list(TEXTS), padding="max_length", max_length=24, truncation=True, return_tensors="pt")
    encoder: BertModel = learner.model.bert
    with torch.no_grad():
        states = encoder(**inputs, output_hidden_states=True).hidden_states
    # Saved in half precision.
    torch.testing.assert_close(features, torch.stack(states).mean(dim=0), atol=5e-3, rtol=5e-3)
    assert (features[0] - features[1]).abs().max() > 0.1


def test_heads_that_do_not_divide_the_width_are_a_contradiction() -> None:
    assert heads_divide(128, 4) is None
    assert heads_divide(128, 3) == "num_heads: expected a divisor of width (128), found 3"
