"""Teachers in the formats of the official models, against transformers called as the papers' code calls it."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from safetensors.torch import save_file
from tiny import speech_encoders
from tiny import trained_units as units
from torch.nn.functional import cross_entropy
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertForPreTraining,
    BertModel,
    Wav2Vec2Config,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
)

from tokbench.audio import Audio
from tokbench.codecs.frozen import FrozenFeatures, FrozenUnits, first_of
from tokbench.codecs.registry import list_cards, load, one
from tokbench.corpora.base import Corpus
from tokbench.errors import NothingToLoadError, UsageError, WeightsError, WeightsNotFoundError
from tokbench.models.neural_codec import CodecOutput
from tokbench.specs.distillation import Distillation
from tokbench.training.crops import Batch
from tokbench.training.distillation import Distillers, feature_losses
from tokbench.training.teachers import TextReader, Transcriber

WORDS = ["zero", "one", "two", "three", "##s", "a", "yes"]
LETTERS = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ'"]


def save_bert(folder: Path, *, num_layers: int = 3, max_positions: int = 64) -> Path:
    """Save a small random BERT as ``bert-base-uncased`` is released."""
    torch.manual_seed(0)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    sizes = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
    config = BertConfig(
        vocab_size=len(vocabulary), num_hidden_layers=num_layers, max_position_embeddings=max_positions, **sizes
    )
    BertModel(config).eval().save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True, "model_max_length": 512}))
    return folder


def save_recogniser(folder: Path) -> Path:
    """Save a small random wav2vec 2.0 with a head as ``wav2vec2-base-960h`` is released."""
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=[8] * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        vocab_size=len(LETTERS),
        mask_time_prob=0.0,
    )
    model = Wav2Vec2ForCTC(config).eval()
    with torch.no_grad():
        model.lm_head.weight.mul_(50)  # so that frames differ in their letters
    model.save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps({letter: index for index, letter in enumerate(LETTERS)}))
    tokenizer = {"tokenizer_class": "Wav2Vec2CTCTokenizer", "do_lower_case": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    extractor = {"do_normalize": True, "feature_size": 1, "padding_value": 0.0, "sampling_rate": 16000}
    (folder / "preprocessor_config.json").write_text(json.dumps(extractor))
    return folder


@torch.no_grad()
def published_features(folder: Path, transcription: str, num_frames: int) -> torch.Tensor:
    """Return [F, D] as DM-Codec's ``extract_rep.py`` makes them with ``--llm_model_layer avg``."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    inputs = tokenizer(
        transcription, return_tensors="pt", truncation=True, padding="max_length", max_length=num_frames
    )
    return torch.stack(model(**inputs, output_hidden_states=True).hidden_states).mean(dim=0)[0]


def test_a_reader_is_bert_as_dm_codec_asks_it(tmp_path: Path) -> None:
    folder = save_bert(tmp_path)
    texts = ("Zero one threes", "", "yes " * 100)
    actual = TextReader.load(str(folder))(texts, 30, torch.device("cpu"))
    assert actual.shape == (3, 30, 16)
    for features, text in zip(actual, texts, strict=True):
        torch.testing.assert_close(features, published_features(folder, text, 30), atol=1e-5, rtol=1e-4)
    # Another text is other features, also where it has ended: padding attends to it.
    assert (actual[0] - actual[1]).abs().amin(dim=1).max() > 0
    assert (actual[0, 20:] - actual[1, 20:]).abs().max() > 1e-4


def test_a_crop_of_more_frames_than_positions_is_read_as_far_as_they_go(tmp_path: Path) -> None:
    reader = TextReader.load(str(save_bert(tmp_path, max_positions=24)))
    assert reader(("one",), 100, torch.device("cpu")).shape == (1, 24, 16)


def test_a_reader_without_some_of_its_tensors_is_refused(tmp_path: Path) -> None:
    folder = save_bert(tmp_path)
    tensors = {k: v for k, v in BertModel.from_pretrained(folder).state_dict().items() if "layer.1" not in k}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"found none for encoder\.layer\.1"):
        TextReader.load(str(folder))


def test_a_reader_is_loaded_from_the_names_of_the_release(tmp_path: Path) -> None:
    """Of 2018, with a prefix, heads, and other names of what normalisations learn."""
    folder = save_bert(tmp_path)
    expected = TextReader.load(str(folder))(("one two",), 12, torch.device("cpu"))
    model = BertForPreTraining(BertConfig.from_pretrained(folder))
    model.bert.load_state_dict(BertModel.from_pretrained(folder).state_dict())
    tensors = {
        name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"): tensor.clone()
        for name, tensor in model.state_dict().items()
    }
    assert "cls.seq_relationship.bias" in tensors
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    torch.testing.assert_close(TextReader.load(str(folder))(("one two",), 12, torch.device("cpu")), expected)


def test_an_official_reader_is_looked_for_with_the_weights(tokbench_home: Path) -> None:
    with pytest.raises(WeightsNotFoundError, match="google-bert/bert-base-uncased"):
        TextReader.load("bert-base-uncased")
    save_bert(tokbench_home / "weights" / "bert-base-uncased")
    assert TextReader.load("bert-base-uncased").num_features == 16


def test_a_transcriber_is_wav2vec2_as_dm_codec_asks_it(tmp_path: Path, voice_16khz: np.ndarray) -> None:
    folder = save_recogniser(tmp_path)
    waves = [voice_16khz[:16000], voice_16khz[8000:24000]]
    extractor = Wav2Vec2FeatureExtractor.from_pretrained(folder)
    model = Wav2Vec2ForCTC.from_pretrained(folder).eval()
    expected = []
    for wave in waves:
        with torch.no_grad():
            logits = model(extractor(wave, sampling_rate=16000, return_tensors="pt").input_values).logits
        expected += Wav2Vec2CTCTokenizer.from_pretrained(folder).batch_decode(logits.argmax(dim=-1))
    samples = torch.from_numpy(np.stack(waves))[:, None]
    actual = Transcriber.load(str(folder))(samples, 16000)
    assert list(actual) == expected
    assert len(set(actual)) == 2
    assert min(map(len, actual)) > 3


def batch(*, texts: tuple[str, str], is_whole: tuple[bool, bool]) -> Batch:
    samples = 0.1 * torch.randn(2, 1, 9600, generator=torch.Generator().manual_seed(1))
    return Batch(samples, samples, texts=texts, speakers=("", ""), is_whole=is_whole)


def codec(**tables: dict[str, object]) -> SimpleNamespace:
    built = {name: TypeAdapter(Distillation).validate_python(table) for name, table in tables.items()}
    return SimpleNamespace(name="x", distillation=built, dimension=8, sample_rate_hz=16000, frame_rate_hz=50.0)


def test_what_has_no_text_teaches_nothing(tmp_path: Path) -> None:
    folder = str(save_bert(tmp_path))
    table = {"kind": "text", "teachers": ["nobody", folder], "transcribers": ["no-one"], "weight": 1.0}
    teacher = Distillers(codec(language=table))["language"]
    assert teacher.teacher_names == (f"{folder} reading the texts of the corpus",)
    assert teacher.resolved() == {"teachers": (folder,), "transcribers": ()}
    latents = torch.randn(2, 8, 30)
    output = CodecOutput(latents, latents, None)
    student = teacher.projection(latents.transpose(1, 2))
    both = [
        feature_losses(row[None], published_features(Path(folder), text, 30)[None], "d-axis")[0]
        for row, text in zip(student, ("one", "two"), strict=True)
    ]
    loss = teacher(output, batch(texts=("one", "two"), is_whole=(True, True)))
    torch.testing.assert_close(loss, torch.stack(both).mean())
    torch.testing.assert_close(teacher(output, batch(texts=("one", "two"), is_whole=(True, False))), both[0])
    torch.testing.assert_close(teacher(output, batch(texts=("", "two"), is_whole=(True, True))), both[1])
    assert teacher.health() == {"share_with_text": pytest.approx(4 / 6)}
    nothing = teacher(output, batch(texts=("", "two"), is_whole=(True, False)))
    nothing.backward()
    assert nothing.item() == 0
    assert teacher.health() == {"share_with_text": 0.0}


def test_with_a_transcriber_every_crop_teaches(tmp_path: Path) -> None:
    reader, recogniser = save_bert(tmp_path / "bert"), save_recogniser(tmp_path / "stt")
    table = {"kind": "text", "teachers": [str(reader)], "transcribers": [str(recogniser)], "weight": 1.0}
    teacher = Distillers(codec(language=table))["language"]
    latents = torch.randn(2, 8, 30)
    examples = batch(texts=("", ""), is_whole=(False, False))
    loss = teacher(CodecOutput(latents, latents, None), examples)
    texts = Transcriber.load(str(recogniser))(examples.samples, 16000)
    targets = torch.stack([published_features(reader, text, 30) for text in texts])
    student = teacher.projection(latents.transpose(1, 2))
    torch.testing.assert_close(loss, feature_losses(student, targets, "d-axis").mean())
    assert teacher.health() == {"share_with_text": 1.0}
    assert teacher.teacher_names == (f"{reader} reading {recogniser}",)


@pytest.fixture
def trained_units(corpus: Corpus, tmp_path: Path) -> str:
    return units.write(tmp_path / "units", corpus)


def test_features_of_a_batch_are_those_of_the_tokenizer(tokbench_home: Path) -> None:
    card = list_cards()["hubert-base-features"]
    assert card.weights is not None
    speech_encoders.save(card.weights, tokbench_home / "weights", num_layers=12)
    teacher = FrozenFeatures.load("hubert-base-features:mean")
    samples = 0.1 * torch.randn(2, 1, 8000)
    tokenizer = load(one("hubert-base-features:mean"))
    for features, example in zip(teacher(samples, 16000), samples, strict=True):
        expected = tokenizer.latents(Audio(example, 16000)).values
        torch.testing.assert_close(features, expected, atol=1e-4, rtol=1e-3)
    assert teacher.name == "hubert-base-features:mean"
    assert teacher.frame_rate_hz == 50
    assert teacher.trained_on == ("librispeech",)


def test_units_are_learnt_by_cross_entropy(trained_units: str) -> None:
    """The pseudo-labels of SpeechTokenizer, frame by frame."""
    table = {"kind": "units", "teachers": [trained_units], "weight": 1.0}
    teacher = Distillers(codec(units=table))["units"]
    latents = torch.randn(2, 8, 30)
    examples = batch(texts=("", ""), is_whole=(False, False))
    tokenizer = load(one(trained_units))
    total, count = torch.zeros(()), 0
    logits = teacher.projection(latents.transpose(1, 2))
    for example, row in zip(examples.samples, logits, strict=True):
        # 100 Hz for 50 Hz: every other unit, from the second.
        labels = tokenizer.encode(Audio(example, 16000)).streams[0].indices[0][1::2]
        for label, frame in zip(labels, row, strict=True):
            total, count = total - frame.log_softmax(dim=0)[label], count + 1
    loss = teacher(CodecOutput(latents, latents, None), examples)
    torch.testing.assert_close(loss, total / count)
    assert count == 60
    assert float(cross_entropy(torch.zeros(1, 4), torch.zeros(1, dtype=torch.int64))) == pytest.approx(np.log(4))


def test_units_of_any_tokenizer_are_those_of_its_encode(trained_units: str) -> None:
    frozen = FrozenUnits.load(trained_units)
    samples = 0.1 * torch.randn(2, 1, 8000)
    fast = frozen(samples, 16000)
    assert fast.shape == (2, 50)
    frozen.tokenizer = SlowUnits(frozen.tokenizer)
    torch.testing.assert_close(frozen(samples, 16000), fast)


class SlowUnits:
    """A unit tokenizer of which nothing is known but that it encodes."""

    def __init__(self, tokenizer: object) -> None:
        self.info, self.device, self.encode = tokenizer.info, tokenizer.device, tokenizer.encode


def test_what_is_no_teacher_is_named() -> None:
    with pytest.raises(UsageError, match="opus:12kbps: expected continuous features"):
        FrozenFeatures.load("opus:12kbps")
    with pytest.raises(UsageError, match="mfcc: expected one codebook at a constant rate"):
        FrozenUnits.load("mfcc")
    with pytest.raises(NothingToLoadError, match="no codec named 'nobody'"):
        first_of(["nobody"], FrozenFeatures.load)
