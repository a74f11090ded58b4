"""A speech encoder while it learns: the networks of transformers, some of whose frames are hidden from the blocks.

Axes: ``B`` batch, ``T`` samples, ``F`` frames, ``D`` features.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import HubertConfig, HubertModel, PreTrainedModel, Wav2Vec2BertConfig, Wav2Vec2BertModel

from tokbench.models.ssl import MelEncoder, WaveEncoder
from tokbench.specs.speech_encoder import Conformer, Masking, SpeechEncoderSpec, Transformer

__all__ = ["Encoded", "TrainableSpeechEncoder", "audible_frames", "span_mask"]


@dataclass(frozen=True)
class Encoded:
    """What comes out of a speech encoder."""

    local: Tensor
    """[B, F, D'], what is masked, before it is projected: features of the convolutions, or log-mel frames."""
    normalized: Tensor
    """[B, F, D'], the same after layer normalization."""
    middle: Tensor | None
    """[B, F, D] of the layer that was asked for."""
    last: Tensor
    """[B, F, D] of the last layer."""


class TrainableSpeechEncoder(nn.Module):
    """The network of a spec, as far as ``num_layers`` if it is given."""

    def __init__(self, spec: SpeechEncoderSpec, *, num_layers: int | None = None) -> None:
        super().__init__()
        depth = spec.network.num_layers if num_layers is None else num_layers
        self.encoder = _build(spec.network, depth, spec.sample_rate_hz)
        self.hop_length, self.num_features = self.encoder.hop_length, self.encoder.num_features

    @property
    def network(self) -> PreTrainedModel:
        """The model of transformers."""
        model: Any = self.encoder.model
        network: PreTrainedModel = model
        return network

    def num_frames(self, num_samples: int) -> int:
        """Return how many frames there are of ``num_samples``, a multiple of the hop."""
        return max(-(-num_samples // self.hop_length) - 1, 1)

    def forward(
        self,
        samples: Tensor,
        *,
        mask: Tensor | None = None,
        is_audible: Tensor | None = None,
        layer: int | None = None,
    ) -> Encoded:
        """Encode ``samples`` [B, 1, T] without the frames in ``mask`` and attend to ``is_audible``, bool [B, F]."""
        network: Any = self.network
        local = self._local(samples, is_audible)
        projected = network.feature_projection(local)
        hidden: Tensor = projected[0] if isinstance(projected, tuple) else projected
        if mask is not None:
            hidden = torch.where(mask[..., None], network.masked_spec_embed.to(hidden.dtype), hidden)
        with _output_of(network.encoder.layers, layer) as outputs:
            last: Tensor = network.encoder(hidden, attention_mask=is_audible).last_hidden_state
        normalized = network.feature_projection.layer_norm(local)
        return Encoded(local, normalized, outputs[0] if outputs else None, last)

    def _local(self, samples: Tensor, is_audible: Tensor | None) -> Tensor:
        if isinstance(self.encoder, MelEncoder):
            lengths = None if is_audible is None else is_audible.sum(dim=1) * self.hop_length
            return self.encoder.inputs(samples, lengths)
        network: Any = self.network
        local: Tensor = network.feature_extractor(self.encoder.inputs(samples)).transpose(1, 2)
        return local

    def features(self, samples: Tensor) -> Tensor:
        """Return [B, F, D] of the last layer of ``samples`` [B, 1, T], nothing being hidden."""
        return self.encoder.features(samples)


def audible_frames(samples: Tensor, hop_length: int, num_frames: int) -> Tensor:
    """Return bool [B, F]: whether a frame starts before the zeros at the end of ``samples`` [B, 1, T].

    Crops of short utterances are completed by zeros, from which there is nothing to learn. The first frame of a
    crop counts always.
    """
    is_sound = samples[:, 0] != 0
    positions = torch.arange(1, samples.shape[2] + 1, device=samples.device)
    lengths = (is_sound * positions).amax(dim=1)
    starts = torch.arange(num_frames, device=samples.device) * hop_length
    audible: Tensor = starts < lengths.clamp_min(1)[:, None]
    return audible


def span_mask(is_audible: Tensor, masking: Masking) -> Tensor:
    """Return bool [B, F]: the frames in spans that start at a share of the frames of ``is_audible`` [B, F].

    Of each example with N frames, p·N starts are drawn without replacement, the number rounded up or down at
    random, and at least one (wav2vec 2.0, section 3.1; HuBERT, section III-A). Spans may overlap, and end with the
    example.
    """
    num_audible = is_audible.sum(dim=1)
    expected = masking.probability * num_audible
    num_starts = (expected + torch.rand_like(expected)).floor().clamp_min(1)
    allowed = (num_audible - masking.span + 1).clamp_min(1)
    places = torch.arange(is_audible.shape[1], device=is_audible.device)
    scores = torch.rand(is_audible.shape, device=is_audible.device)
    scores = scores.masked_fill(places >= allowed[:, None], torch.inf)
    ranks = scores.argsort(dim=1).argsort(dim=1)
    is_start = (ranks < num_starts[:, None]) & scores.isfinite()
    reach = nn.functional.pad(is_start.float(), (masking.span - 1, 0))
    covered = nn.functional.max_pool1d(reach[:, None], masking.span, stride=1)[:, 0]
    return covered.bool() & is_audible


@contextmanager
def _output_of(layers: nn.ModuleList, layer: int | None) -> Iterator[list[Tensor]]:
    """Keep what the block numbered ``layer``, from 1 on, puts out meanwhile."""
    outputs: list[Tensor] = []
    if layer is None:
        yield outputs
        return

    def keep(_block: nn.Module, _inputs: Any, output: Any) -> None:
        outputs.append(output[0] if isinstance(output, tuple) else output)

    handle = layers[layer - 1].register_forward_hook(keep)
    try:
        yield outputs
    finally:
        handle.remove()


def _build(network: Transformer | Conformer, num_layers: int, sample_rate_hz: int) -> WaveEncoder | MelEncoder:
    shared: dict[str, Any] = {
        "hidden_size": network.width,
        "num_hidden_layers": num_layers,
        "num_attention_heads": network.num_heads,
        "intermediate_size": network.feed_forward,
        "hidden_dropout": network.dropout,
        "attention_dropout": network.dropout,
        "activation_dropout": 0.0,
        "feat_proj_dropout": network.dropout,
        "layerdrop": network.layer_dropout,
    }
    if isinstance(network, Conformer):
        conformer = Wav2Vec2BertConfig(
            **shared,
            feature_projection_input_dim=network.num_local,
            conv_depthwise_kernel_size=network.kernel_size,
            conformer_conv_dropout=network.dropout,
            position_embeddings_type="relative_key" if network.has_distances else None,
        )
        return MelEncoder(
            Wav2Vec2BertModel(conformer),
            num_mels=network.num_mels,
            stride=network.stride,
            sample_rate_hz=sample_rate_hz,
        )
    transformer = HubertConfig(
        **shared,
        conv_dim=network.channels,
        conv_kernel=network.kernel_sizes,
        conv_stride=network.strides,
        num_conv_pos_embeddings=network.position_kernel_size,
        num_conv_pos_embedding_groups=network.position_groups,
    )
    return WaveEncoder(HubertModel(transformer), normalize=False)
