"""Judges of voices: weights in the official formats, embeddings as the originals make them, one at a time."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tokbench.audio import Audio
from tokbench.errors import UndefinedMetricError, UnknownNameError, UsageError, WeightsError
from tokbench.judges.base import MissingJudgeError, SpeakerEncoder
from tokbench.judges.registry import find_recognizer, find_speaker_encoder
from tokbench.judges.speakers import Ecapa, Resemblyzer, WavlmSv

CHANNELS = [16, 16, 16, 48]


def ecapa(folder: Path) -> None:
    """Write a small ECAPA-TDNN with random weights and settled statistics, as SpeechBrain saves it."""
    from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN  # noqa: PLC0415  (takes seconds to import)

    torch.manual_seed(0)
    network = ECAPA_TDNN(
        80,
        channels=CHANNELS,
        kernel_sizes=[5, 3, 3, 1],
        dilations=[1, 2, 3, 1],
        groups=[1] * 4,
        attention_channels=8,
        se_channels=8,
        lin_neurons=12,
    )
    folder.mkdir(parents=True)
    torch.save(network.state_dict(), folder / "embedding_model.ckpt")


def wavlm(folder: Path) -> None:
    """Write a small WavLM with an x-vector head, as transformers saves it."""
    from transformers import Wav2Vec2FeatureExtractor, WavLMConfig, WavLMForXVector  # noqa: PLC0415  (as above)

    torch.manual_seed(0)
    config = WavLMConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=(16, 16),
        conv_kernel=(10, 8),
        conv_stride=(20, 16),
        num_feat_extract_layers=2,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
        tdnn_dim=(16, 16, 24),
        tdnn_kernel=(5, 3, 1),
        tdnn_dilation=(1, 2, 1),
        xvector_output_dim=12,
    )
    WavLMForXVector(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)


NOTHING: Callable[[Path], None] = lambda _: None  # noqa: E731
JUDGES = {
    "resemblyzer": (NOTHING, "."),
    "ecapa": (ecapa, "spkrec-ecapa-voxceleb"),
    "wavlm-sv": (wavlm, "wavlm-base-plus-sv"),
}


@pytest.fixture(params=list(JUDGES))
def judge(request: pytest.FixtureRequest, tokbench_home: Path) -> SpeakerEncoder:
    write, folder = JUDGES[request.param]
    write(tokbench_home / "weights" / folder)
    return find_speaker_encoder(request.param)


@pytest.fixture
def voices(voice_16khz: np.ndarray, rng: np.random.Generator) -> list[Audio]:
    """Return a voice, a shorter and deeper one, and noise, at several rates."""
    deep = np.interp(np.arange(0, 20000, 0.7), np.arange(len(voice_16khz)), voice_16khz)
    noise = 0.1 * rng.standard_normal(24000)
    return [
        Audio.from_numpy(samples, rate) for samples, rate in ((voice_16khz, 16000), (deep, 16000), (noise, 24000))
    ]


def test_an_embedding_does_not_depend_on_what_else_is_heard(judge: SpeakerEncoder, voices: list[Audio]) -> None:
    together = judge.embed(voices)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-6)
    np.testing.assert_array_equal(together[::-1], judge.embed(voices[::-1]))
    for audio, embedding in zip(voices, together, strict=True):
        np.testing.assert_array_equal(judge.embed([audio])[0], embedding)
    assert (together @ together.T)[~np.eye(3, dtype=bool)].max() < 0.9999


def test_a_judge_says_who_it_is_and_is_one_for_a_process(judge: SpeakerEncoder) -> None:
    assert judge.missing() is None
    assert judge.label == f"{judge.name} {judge.version} ({judge.fingerprint[:12]})"
    assert find_speaker_encoder(judge.name) is judge


def test_silence_has_no_voice(judge: SpeakerEncoder) -> None:
    with pytest.raises(UndefinedMetricError, match=f"{judge.name} hears no voice"):
        judge.embed([Audio(torch.zeros(1, 16000), 16000)])


def test_resemblyzer_is_the_original(voices: list[Audio]) -> None:
    from resemblyzer import VoiceEncoder, preprocess_wav  # noqa: PLC0415  (imports librosa)

    expected = VoiceEncoder("cpu", verbose=False).embed_utterance(preprocess_wav(voices[0].mono()))
    np.testing.assert_allclose(Resemblyzer().embed(voices[:1])[0], expected, atol=1e-6)


def test_a_voice_needs_some_time(judge: SpeakerEncoder, voices: list[Audio]) -> None:
    samples = voices[0].samples
    enough = round(judge.shortest_s * 16000)
    assert np.isfinite(judge.embed([Audio(samples[:, 4000 : 4000 + enough], 16000)])).all()
    with pytest.raises(UndefinedMetricError, match=f"{judge.name} needs {judge.shortest_s} s of audio"):
        judge.embed([Audio(samples[:, 4000 : 4000 + enough - 1], 16000)])


@pytest.mark.filterwarnings("ignore:std")  # what the limit spares
def test_the_limit_of_wavlm_is_that_of_the_kernels_that_were_published() -> None:
    from transformers import Wav2Vec2FeatureExtractor, WavLMConfig, WavLMForXVector  # noqa: PLC0415  (as above)

    # Kernels and strides are those of wavlm-base-plus-sv, and all widths are smaller.
    sizes = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "conv_dim": (16,) * 7,
        "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 2,
        "tdnn_dim": (16, 16, 16, 16, 24),
        "xvector_output_dim": 12,
    }
    torch.manual_seed(0)
    judge = WavlmSv()
    modules = Wav2Vec2FeatureExtractor(do_normalize=False), WavLMForXVector(WavLMConfig(**sizes)).eval()
    judge.__dict__["_modules"] = modules
    noise = np.random.default_rng(0).standard_normal(round(judge.shortest_s * 16000)).astype(np.float32)
    assert np.isfinite(judge._embed(noise)).all()
    assert not np.isfinite(judge._embed(noise[:5199])).all()


@pytest.mark.parametrize("number", [np.nan, np.inf, 0.0])
def test_an_embedding_that_is_none_is_told(number: float) -> None:
    class Broken(SpeakerEncoder):
        packages = {"numpy": "numpy"}  # noqa: RUF012  (as its base has it)
        name = "broken"
        files = (Path(__file__),)

        def _embed(self, samples: np.ndarray) -> np.ndarray:
            return np.full(4, number if len(samples) == 100 else 1.0)

    with pytest.raises(UndefinedMetricError, match="broken has no embedding of the recording"):
        Broken().embed([Audio(torch.ones(1, 200), 16000), Audio(torch.ones(1, 100), 16000)])


HYPERPARAMETERS = """
compute_features: !new:speechbrain.lobes.features.Fbank
    n_mels: 80
mean_var_norm: !new:speechbrain.processing.features.InputNormalization
    norm_type: sentence
    std_norm: False
embedding_model: !new:speechbrain.lobes.models.ECAPA_TDNN.ECAPA_TDNN
    input_size: 80
    channels: [16, 16, 16, 48]
    kernel_sizes: [5, 3, 3, 1]
    dilations: [1, 2, 3, 1]
    groups: [1, 1, 1, 1]
    attention_channels: 8
    se_channels: 8
    lin_neurons: 12
classifier: !new:speechbrain.lobes.models.ECAPA_TDNN.Classifier
    input_size: 12
    out_neurons: 2
modules:
    compute_features: !ref <compute_features>
    mean_var_norm: !ref <mean_var_norm>
    embedding_model: !ref <embedding_model>
    classifier: !ref <classifier>
label_encoder: !new:speechbrain.dataio.encoder.CategoricalEncoder
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
    loadables:
        embedding_model: !ref <embedding_model>
    paths:
        embedding_model: FOLDER/embedding_model.ckpt
"""


@pytest.mark.filterwarnings("ignore")  # the original's own
def test_ecapa_is_what_speechbrain_makes_of_the_same_folder(
    tokbench_home: Path, voices: list[Audio], tmp_path: Path
) -> None:
    from speechbrain.inference.speaker import EncoderClassifier  # noqa: PLC0415  (as above)

    folder = tokbench_home / "weights" / "spkrec-ecapa-voxceleb"
    ecapa(folder)
    (folder / "hyperparams.yaml").write_text(HYPERPARAMETERS.replace("FOLDER", str(folder)))
    original = EncoderClassifier.from_hparams(source=str(folder), savedir=str(tmp_path / "saved"))
    expected = original.encode_batch(torch.from_numpy(voices[0].mono())[None])[0, 0].numpy()
    np.testing.assert_allclose(Ecapa().embed(voices[:1])[0], expected / np.linalg.norm(expected), atol=1e-5)


def test_wavlm_without_all_of_its_tensors_is_refused(tokbench_home: Path, voices: list[Audio]) -> None:
    from safetensors.torch import load_file, save_file  # noqa: PLC0415  (as above)

    folder = tokbench_home / "weights" / "wavlm-base-plus-sv"
    wavlm(folder)
    tensors = load_file(folder / "model.safetensors")
    del tensors["projector.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"found none for projector\.weight"):
        WavlmSv().embed(voices[:1])


@pytest.mark.parametrize("name", ["ecapa", "wavlm-sv"])
def test_a_judge_without_weights_says_what_to_put_where(name: str, voices: list[Audio]) -> None:
    judge = find_speaker_encoder(name)
    sentence = judge.missing()
    assert sentence is not None
    assert f"no weights for the judge {name}. Put " in sentence
    with pytest.raises(MissingJudgeError, match="on the Hugging Face hub into"):
        judge.embed(voices)


def test_a_judge_is_what_it_is_asked_for() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'resemblyzer'"):
        find_speaker_encoder("resemblizer")
    with pytest.raises(UsageError, match="pocketsphinx does not know voices"):
        find_speaker_encoder("pocketsphinx")
    with pytest.raises(UsageError, match="ecapa does not write down what was said"):
        find_recognizer("ecapa")
    with pytest.raises(UsageError, match="there is no 'large'"):
        find_speaker_encoder("ecapa:large")
