"""BigCodec: the published tensors load, the codes and the audio are those of the authors' code."""

from pathlib import Path

import pytest
import torch
from tiny.bigcodec import checkpoint
from tiny.listings import listed, num_parameters

from tokbench.audio import Audio
from tokbench.codecs.bigcodec import BigCodec, renamed
from tokbench.codecs.checkpoints import fold_weight_norms, load_strictly
from tokbench.codecs.registry import list_cards
from tokbench.errors import WeightsError
from tokbench.models.bigcodec import BigCodecDecoder, BigCodecEncoder, FactorizedQuantizer


def saved(tensors: object, folder: Path) -> Path:
    torch.save(tensors, folder / "bigcodec.pt")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(checkpoint(), tmp_path_factory.mktemp("bigcodec"))


def sweep(num_samples: int) -> Audio:
    time = torch.arange(num_samples, dtype=torch.float64)
    samples = 0.3 * torch.sin(2e-6 * time * time + 0.05 * time) * torch.cos(0.001 * time)
    return Audio(samples.float()[None], 16000)


def test_the_published_tensors_load_strictly() -> None:
    with torch.device("meta"):
        networks = {
            "encoder": BigCodecEncoder(),
            "quantizer": FactorizedQuantizer(),
            "decoder": BigCodecDecoder(),
        }
        values = {name: torch.empty(shape) for name, shape in listed("bigcodec").items()}
        folded = {renamed(name): tensor for name, tensor in fold_weight_norms(values).items()}
        for role, network in networks.items():
            own = {
                name.removeprefix(f"{role}."): tensor
                for name, tensor in folded.items()
                if name.startswith(f"{role}.") and not name.endswith(".filter")
            }
            load_strictly(network, own, Path(role))


def test_the_parameters_are_as_many_as_published() -> None:
    """159 M in the paper; exactly by the authors' classes."""
    assert num_parameters(listed("bigcodec"), (".filter",)) == 159_436_290
    assert list_cards()["bigcodec"].num_parameters == 159_436_290


def test_codes_and_audio_are_those_of_the_original(folder: Path) -> None:
    """Pinned from the authors' classes, with small sizes and the same tensors, for the same sweep."""
    codec = BigCodec(weights=folder)
    encoded = codec.encode(sweep(16000))
    expected = [4611, 1641, 3294, 1054, 827, 3297, 1044, 413, 3701, 6176, 3188, 1743]
    assert encoded.streams[0].indices[0, :12].tolist() == expected
    decoded = codec.decode(encoded).samples[0, 2000:2005]
    samples = torch.tensor([-0.078262, 0.364013, 0.132684, 0.281439, -0.004735])
    torch.testing.assert_close(decoded, samples, atol=1e-4, rtol=0)
    latents = torch.tensor([0.301758, 0.932444, -4.635288, 0.287451])
    torch.testing.assert_close(codec.latents(sweep(16000)).values[3, :4], latents, atol=2e-4, rtol=0)


def test_codes_are_not_all_the_same(folder: Path) -> None:
    assert len(BigCodec(weights=folder).encode(sweep(16000)).streams[0].indices.unique()) > 30


@pytest.mark.parametrize(("num_samples", "num_frames"), [(1, 1), (199, 1), (200, 2), (201, 2), (399, 2), (400, 3)])
def test_audio_is_extended_to_the_next_frame(num_samples: int, num_frames: int, folder: Path) -> None:
    codes = BigCodec(weights=folder).encode(sweep(num_samples))
    assert codes.streams[0].num_frames == num_frames


def test_the_card_states_how_far_it_looks_ahead(folder: Path) -> None:
    info = BigCodec(weights=folder).info
    assert info.latency_s == list_cards()["bigcodec"].latency_s == 0.336
    assert info.bitrate_bps == 1040
    assert info.causal is False


def test_quantized_is_what_the_decoder_gets(folder: Path) -> None:
    codec = BigCodec(weights=folder)
    codes = codec.encode(sweep(1000))
    tensors = fold_weight_norms(checkpoint()["generator"])
    prefix = "quantizer.layers.0."
    table = tensors[f"{prefix}_codebook.weight"][codes.streams[0].indices[0]]
    expected = table @ tensors[f"{prefix}out_proj.weight"].T + tensors[f"{prefix}out_proj.bias"]
    torch.testing.assert_close(codec.quantized(codes).values, expected)
    assert not codec.quantized(codes, slice(1, 2)).values.any()


def test_wrong_files_are_named(tmp_path: Path) -> None:
    tensors = checkpoint()
    saved({"state_dict": tensors["CodecEnc"]}, tmp_path)
    with pytest.raises(
        WeightsError, match=r"bigcodec\.pt: expected tensors under the key 'CodecEnc', found the keys"
    ):
        BigCodec(weights=tmp_path)
    encoder = {name: tensor for name, tensor in tensors["CodecEnc"].items() if name != "block.8.bias"}
    saved({**tensors, "CodecEnc": encoder}, tmp_path)
    with pytest.raises(WeightsError, match=r"the tensors of BigCodecEncoder, found no output_conv\.bias"):
        BigCodec(weights=tmp_path)
    saved({**tensors, "generator": {**tensors["generator"], "speakers": torch.zeros(3)}}, tmp_path)
    with pytest.raises(WeightsError, match="expected the tensors of BigCodec, found an unknown generator"):
        BigCodec(weights=tmp_path)
    first = {name: tensor for name, tensor in tensors["CodecEnc"].items() if not name.startswith("block.0.")}
    saved({**tensors, "CodecEnc": first}, tmp_path)
    with pytest.raises(WeightsError, match=r"expected a tensor input_conv\.weight, found none"):
        BigCodec(weights=tmp_path)
    file = saved(tensors, tmp_path) / "bigcodec.pt"
    file.write_bytes(file.read_bytes()[:-5000])
    with pytest.raises(
        WeightsError, match=r"bigcodec\.pt: expected a PyTorch checkpoint, found an unreadable file"
    ):
        BigCodec(weights=tmp_path)
