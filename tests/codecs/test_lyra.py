"""Lyra v2 on its published files: a fresh start for each utterance, known qualities, errors that name a file."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from pesq import pesq
from tiny.lyra import OFFICIAL

from tokbench.audio import Audio
from tokbench.codecs.lyra import Lyra
from tokbench.codecs.registry import list_cards, load, one
from tokbench.errors import WeightsError

FILES = ("soundstream_encoder.tflite", "quantizer.tflite", "lyragan.tflite")

pytestmark = pytest.mark.skipif(
    not all((OFFICIAL / name).is_file() for name in FILES), reason="Lyra's files are not here"
)

# PESQ wide-band of the two clips that Google publishes beside the model, measured once by a loop of calls to the
# interpreter: number of codebooks, then one value per clip.
QUALITIES = {16: (2.451, 2.521), 30: (3.354, 2.895), 46: (3.442, 3.216)}

DECODE_ALONE = """
import sys, numpy as np, torch
from pathlib import Path
from tokbench.codecs.lyra import Lyra
codes = torch.from_numpy(np.load("codes.npy"))
np.save("audio.npy", Lyra(num_codebooks=len(codes), weights=Path(sys.argv[1]))._decode([codes]).numpy())
"""


def clip(index: int) -> Audio:
    return Audio.read(OFFICIAL / f"sample{index}_16kHz.wav")


def test_the_files_are_those_that_the_card_names() -> None:
    card = list_cards()["lyra"]
    codec = load(one("lyra:6kbps"), weights=OFFICIAL)
    assert codec.info.bitrate_bps == 6000
    assert card.weights is not None
    assert set(card.weights.files) == set(FILES)


@pytest.mark.parametrize(("num_codebooks", "qualities"), QUALITIES.items())
def test_the_published_clips_have_a_known_quality(num_codebooks: int, qualities: tuple[float, float]) -> None:
    codec = Lyra(num_codebooks=num_codebooks, weights=OFFICIAL)
    for index, expected in enumerate(qualities, start=1):
        audio = clip(index)
        codes = codec.encode(audio)
        assert codes.bitrate_bps == 200 * num_codebooks
        decoded = codec.decode(codes).samples[0].clamp(-1, 1).numpy()
        # Kernels differ between processors in the last bits, and so do a few codes.
        assert pesq(16000, audio.mono(), decoded, "wb") == pytest.approx(expected, abs=0.1)


def test_fewer_codebooks_are_the_first_of_more() -> None:
    audio = clip(1)
    few, many = (
        Lyra(num_codebooks=number, weights=OFFICIAL).encode(audio).streams[0].indices for number in (16, 46)
    )
    assert torch.equal(many[:16], few)


def test_an_utterance_does_not_depend_on_the_one_before() -> None:
    codec = Lyra(num_codebooks=16, weights=OFFICIAL)
    first = codec.encode(clip(1))
    decoded = codec.decode(first).samples
    codec.decode(codec.encode(clip(2)))
    assert torch.equal(codec.encode(clip(1)).streams[0].indices, first.streams[0].indices)
    assert torch.equal(codec.decode(first).samples, decoded)


def test_another_process_decodes_the_same_samples(tmp_path: Path) -> None:
    codec = Lyra(num_codebooks=30, weights=OFFICIAL)
    codes = codec.encode(clip(2)).streams[0].indices
    np.save(tmp_path / "codes.npy", codes.numpy())
    subprocess.run([sys.executable, "-c", DECODE_ALONE, str(OFFICIAL.resolve())], cwd=tmp_path, check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "audio.npy"), codec._decode([codes]).numpy())


def test_the_embedding_is_the_sum_of_the_codebooks_and_comes_closer_with_each() -> None:
    codec = Lyra(num_codebooks=46, weights=OFFICIAL)
    codes = codec.encode(clip(1))
    whole = codec.quantized(codes).values
    parts = codec.quantized(codes, slice(0, 10)).values + codec.quantized(codes, slice(10, None)).values
    torch.testing.assert_close(whole, parts, atol=1e-4, rtol=1e-4)
    latents = codec.latents(clip(1)).values
    errors = [
        float((codec.quantized(codes, slice(0, n)).values - latents).square().mean()) for n in (4, 16, 30, 46)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.1 * float(latents.square().mean())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).write_bytes((OFFICIAL / name).read_bytes())
    return tmp_path


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", ["truncated", "text", "empty"])
def test_a_damaged_file_is_named(name: str, content: str, folder: Path) -> None:
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(
        {"truncated": whole[: len(whole) // 2], "text": b"404: not found", "empty": b""}[content]
    )
    with pytest.raises(WeightsError, match=rf"{name}.*TensorFlow Lite model"):
        Lyra(num_codebooks=16, weights=folder)


def test_files_under_each_others_names_are_noticed(folder: Path) -> None:
    (folder / "lyragan.tflite").rename(folder / "other.tflite")
    (folder / "soundstream_encoder.tflite").rename(folder / "lyragan.tflite")
    (folder / "other.tflite").rename(folder / "soundstream_encoder.tflite")
    with pytest.raises(
        WeightsError, match=r"soundstream_encoder.tflite.*Lyra's, with \(\(1, 320\), \(1, 1, 64\)\)"
    ):
        Lyra(num_codebooks=16, weights=folder)


def test_a_model_of_another_version_is_refused_by_its_hash(folder: Path) -> None:
    content = bytearray((folder / "lyragan.tflite").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "lyragan.tflite").write_bytes(content)
    with pytest.raises(WeightsError, match=r"lyragan.tflite.*50e7839c"):
        load(one("lyra"), weights=folder)
