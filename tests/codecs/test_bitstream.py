"""Bitstreams: codes come back bit for bit, in the bytes that the model says."""

import struct
import zlib
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tokbench.codecs.bitstream import Bitstream
from tokbench.codecs.entropy import EntropyCoder
from tokbench.codes import Codes, CodeStream
from tokbench.errors import BitstreamError
from tokbench.models.arithmetic_coder import cumulative_widths
from tokbench.models.code_lm import CodeLm, previous_codes
from tokbench.specs.entropy_coding import EntropyCoding

SPEC = EntropyCoding.model_validate(
    {
        "num_layers": 2,
        "num_heads": 2,
        "dimension": 16,
        "feedforward_dimension": 32,
        "context_s": 0.5,
        "training": {"num_steps": 1, "batch_size": 1, "crop_s": 1.0, "optimizer": {"learning_rate": 1e-3}},
    }
)


def coder(seed: int = 0, *, codebook_size: int = 9, num_codebooks: int = 3) -> EntropyCoder:
    torch.manual_seed(seed)
    model = CodeLm(SPEC, num_codebooks=num_codebooks, codebook_size=codebook_size, frame_rate_hz=50.0)
    for parameter in model.vocabulary.parameters():
        parameter.data.mul_(6)  # far from uniform
    return EntropyCoder(model)


def draw(num_frames: int, *, num_codebooks: int = 3, codebook_size: int = 9, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(codebook_size, (num_codebooks, num_frames), generator=generator)


def codes_of(*streams: tuple[torch.Tensor, int, float | None], num_samples: int = 16000) -> Codes:
    return Codes(tuple(CodeStream(*stream) for stream in streams), num_samples, 16000)


def indices(codes: Codes) -> list[list[list[int]]]:
    return [stream.indices.tolist() for stream in codes.streams]


@pytest.mark.parametrize("num_frames", [0, 1, 70])
@pytest.mark.parametrize("num_codebooks", [1, 3])
def test_entropy_coded_codes_come_back(num_frames: int, num_codebooks: int) -> None:
    codes = codes_of((draw(num_frames, num_codebooks=num_codebooks), 9, 50.0))
    stream = Bitstream.from_bytes(Bitstream.pack("mini:3x9", codes, coder()).to_bytes())
    assert (stream.codec, stream.coder) == ("mini:3x9", "lm")
    assert indices(stream.unpack(coder())) == indices(codes)


def test_codes_that_the_model_expects_are_few_bytes() -> None:
    """Drawn from the model, as the codes are for which it was made."""
    expected = coder()
    drawn, past = torch.full((3, 1), -1), expected._model.begin()
    frames = []
    for step in range(200):
        logits = expected._model(drawn[None], past)[0, :, 0]
        generator = torch.Generator().manual_seed(step)
        drawn = torch.multinomial(logits.softmax(dim=-1), 1, generator=generator)
        frames.append(drawn)
    codes = torch.cat(frames, dim=1)
    num_bits = expected.cross_entropy_bits(codes)
    packed = Bitstream.pack("mini", codes_of((codes, 9, 50.0), num_samples=64000), expected)
    assert num_bits - 8 <= 8 * len(packed.payload) <= 1.01 * num_bits + 8
    assert num_bits < 0.7 * 200 * 3 * 3.17
    assert packed.bitrate_bps == 8 * len(packed.payload) / 4.0


def test_the_cross_entropy_is_that_of_one_pass_over_all_frames() -> None:
    """Longer than a piece, so that the state goes from one to the next."""
    model, codes = coder(), draw(1100)
    previous = torch.cat([torch.full((3, 1), -1), codes[:, :-1]], dim=1)
    with torch.inference_mode():
        logits = model._model(previous[None])[0]
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), codes.flatten(), reduction="sum")
    assert model.cross_entropy_bits(codes) == pytest.approx(float(expected) / 0.6931471805599453)


def test_large_codebooks_and_unequal_ones_come_back() -> None:
    model = coder(codebook_size=65536, num_codebooks=1)
    codes = codes_of((draw(3, num_codebooks=1, codebook_size=65536), 65536, 50.0))
    assert indices(Bitstream.pack("mini", codes, model).unpack(model)) == indices(codes)


def test_another_model_is_refused() -> None:
    packed = Bitstream.pack("mini", codes_of((draw(5), 9, 50.0)), coder())
    with pytest.raises(BitstreamError, match=r"mini coded it by the model \w{12}; the codec here has \w{12}"):
        packed.unpack(coder(seed=1))
    with pytest.raises(BitstreamError, match="the codec here has none"):
        packed.unpack()


def test_a_model_that_computes_otherwise_is_noticed() -> None:
    """As if on a machine that rounds in another way: the same weights, and other probabilities."""
    packed, other = Bitstream.pack("mini", codes_of((draw(60), 9, 50.0)), coder()), coder()
    assert other.fingerprint == coder().fingerprint
    with torch.no_grad():
        for parameter in other._model.parameters():
            parameter.mul_(1.01)
    with pytest.raises(BitstreamError, match=r"not those that were written|stand for no code"):
        packed.unpack(other)


def test_sums_in_another_order_give_the_same_widths() -> None:
    """All frames at once, as against one by one: in double precision alone are the differences rounded away."""
    model, previous = coder(codebook_size=512)._model, previous_codes(draw(200, codebook_size=512)[None])

    def num_different() -> int:
        past = model.begin()
        one_by_one = torch.cat([model(frame, past) for frame in torch.split(previous, 1, dim=2)], dim=2)
        both = [logits.softmax(dim=-1).double().numpy() for logits in (model(previous), one_by_one)]
        return int((cumulative_widths(both[0]) != cumulative_widths(both[1])).any(axis=-1).sum())

    with torch.inference_mode():
        assert num_different() == 0
        model.float()
        assert num_different() > 300


streams = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.integers(0, 20),
        st.sampled_from([1, 2, 3, 100, 1024, 65536]),
        st.sampled_from([50.0, None]),
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=80, deadline=None)
@given(streams, st.integers(0, 9))
def test_codes_of_fixed_width_come_back(shapes: list[tuple[int, int, int, float | None]], seed: int) -> None:
    codes = codes_of(
        *[
            (draw(num_frames, num_codebooks=num_codebooks, codebook_size=size, seed=seed), size, rate_hz)
            for num_codebooks, num_frames, size, rate_hz in shapes
        ]
    )
    packed = Bitstream.from_bytes(Bitstream.pack("mini", codes).to_bytes())
    restored = packed.unpack()
    assert packed.coder == "fixed-width"
    assert indices(restored) == indices(codes)
    assert [(s.codebook_size, s.frame_rate_hz) for s in restored.streams] == [(v, f) for _, _, v, f in shapes]
    num_bits = sum(k * f * (v - 1).bit_length() for k, f, v, _ in shapes)
    assert len(packed.payload) == -(-num_bits // 8)


def test_the_bits_of_fixed_width_lie_frame_by_frame() -> None:
    codes = codes_of((torch.tensor([[1, 2], [5, 6]]), 8, 50.0), (torch.tensor([[1]]), 2, None))
    assert Bitstream.pack("mini", codes).payload == bytes([0b00110101, 0b01101000])


def test_several_streams_are_not_entropy_coded() -> None:
    codes = codes_of((draw(5), 9, 50.0), (draw(5), 9, 50.0))
    assert Bitstream.pack("mini", codes, coder()).coder == "fixed-width"


def test_a_file_is_as_it_is_described(tmp_path: Path) -> None:
    codes = codes_of((torch.tensor([[1, 2]]), 8, 50.0))
    Bitstream.pack("mini:1x8", codes).write(tmp_path / "x.tokb")
    data = (tmp_path / "x.tokb").read_bytes()
    magic, version, length = struct.unpack_from("<4sBI", data)
    assert (magic, version) == (b"TOKB", 1)
    checksum = zlib.crc32(struct.pack("<2q", 1, 2))
    assert data[9 : 9 + length].decode() == (
        '{"codec":"mini:1x8","num_samples":16000,"sample_rate_hz":16000,"streams":[{"num_codebooks":1,'
        '"codebook_size":8,"num_frames":2,"frame_rate_hz":50.0}],"coder":"fixed-width","model_sha256":"",'
        f'"crc32":{checksum}}}'
    )
    assert data[9 + length :] == bytes([0b00101000])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no bitstream"),
        (b"RIFFxxxxxxxxx", "no bitstream"),
        (b"TOKB\x02\x00\x00\x00\x00", "version 2, where 1 is known"),
        (b"TOKB\x01\x02\x00\x00\x00{}", "codec: missing"),
        (b"TOKB\x01\x02\x00\x00\x00{", "cannot be read"),
    ],
)
def test_other_bytes_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(BitstreamError, match=message):
        Bitstream.from_bytes(data)


def test_cut_and_changed_bytes_are_noticed() -> None:
    whole = Bitstream.pack("mini", codes_of((draw(50), 9, 50.0))).to_bytes()
    with pytest.raises(BitstreamError, match="more were written"):
        Bitstream.from_bytes(whole[:-5]).unpack()
    with pytest.raises(BitstreamError, match="not those that were written"):
        Bitstream.from_bytes(whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:]).unpack()
