"""The configuration of a FunCodec, as it is published. What is not supported is refused, not ignored."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tokbench.codecs.configs import ModelConfig
from tokbench.errors import WeightsError
from tokbench.specs.networks import FreqSeanet, Norm, Seanet

__all__ = ["FunCodecConfig", "read_config"]

_NORMS: Mapping[str, Norm] = {"time_group_norm": "time-group", "weight_norm": "none", "none": "none"}
"""What is left of a normalization when its weights are folded."""
_RATIOS = ((4, 1), (4, 1), (4, 2), (4, 1))
"""Strides over frequency and time that the published code has where none are given."""
_FIXED = {
    "activation": "ELU",
    "pad_mode": "reflect",
    "true_skip": False,
    "compress": 2,
    "res_seq": True,
    "double_filters": True,
    "half_filters": True,
    "add_snake_activation": False,
    "final_activation": None,
    "trim_right_ratio": 1.0,
    "norm_params": {},
    "activation_params": {"alpha": 1.0},
    "last_out_padding": [[0, 1], [0, 0]],
}
"""Values of the published code that every released model leaves as they are."""
_READ = {
    "norm", "causal", "dimension", "n_filters", "n_residual_layers", "ratios", "kernel_size", "last_kernel_size",
    "residual_kernel_size", "dilation_base", "seq_model", "seq_layer_num", "channels", "conv_group_ratio",
    "tr_conv_group_ratio",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class FunCodecConfig:
    """What a model is made of."""

    sample_rate_hz: int
    encoder: Seanet | FreqSeanet
    decoder: Seanet | FreqSeanet
    dimension: int
    """Features of a frame."""
    strides: tuple[int, ...]
    """In the order of the encoder: first that of the spectrogram, where the networks work on one."""
    num_codebooks: int
    codebook_size: int

    @property
    def hop_length(self) -> int:
        """Samples per frame."""
        return math.prod(self.strides)


def read_config(config: ModelConfig) -> FunCodecConfig:
    """Return what ``config`` describes; raises :class:`WeightsError` for what is not supported."""
    is_2d = config.value("model", str) == "freq_codec"
    for name, wanted in _expected(is_2d=is_2d).items():
        config.expect(*((name, *wanted) if isinstance(wanted, tuple) else (name, wanted)))
    strides = _freq_strides(config) if is_2d else config.integers("encoder_conf.ratios", (8, 5, 4, 2))[::-1]
    config.expect("quantizer_conf.encoder_hop_length", math.prod(strides), 320)
    return FunCodecConfig(
        sample_rate_hz=config.value("model_conf.target_sample_hz", int),
        encoder=_read_freq_seanet(config, "encoder") if is_2d else _read_seanet(config, "encoder"),
        decoder=_read_freq_seanet(config, "decoder") if is_2d else _read_seanet(config, "decoder"),
        dimension=config.value("encoder_conf.dimension", int, 128),
        strides=strides,
        num_codebooks=config.value("quantizer_conf.num_quantizers", int),
        codebook_size=config.value("quantizer_conf.codebook_size", int),
    )


def _expected(*, is_2d: bool) -> dict[str, Any]:
    """Return the only values that are supported, with the published default where it is another."""
    suffix = "_2d" if is_2d else ""
    domain = ["mag_phase", "mag_phase"] if is_2d else "time"
    return {
        "model": "freq_codec" if is_2d else "encodec",
        "input_size": 3 if is_2d else 1,
        "encoder": f"encodec_seanet_encoder{suffix}",
        "decoder": f"encodec_seanet_decoder{suffix}",
        "quantizer": "costume_quantizer",
        "quantizer_conf.codec_dim": None,
        "quantizer_conf.codec_range": None,
        "quantizer_conf.q0_ds_ratio": (1, 1),
        "quantizer_conf.use_ddp": (True, True),
        "model_conf.audio_normalize": (True, not is_2d),
        "model_conf.segment_dur": (None, 1.0),
        "model_conf.bypass_quantizer": (False, False),
        "model_conf.codec_domain": (domain, "time"),
    }


def _read_seanet(config: ModelConfig, part: str) -> Seanet:
    conf = f"{part}_conf"
    _refuse_others(config, conf)
    config.expect(f"{conf}.channels", 1, 1)
    config.expect(f"{conf}.ratios", config.raw("encoder_conf.ratios", [8, 5, 4, 2]), [8, 5, 4, 2])
    return Seanet(
        num_filters=config.value(f"{conf}.n_filters", int, 32),
        dilations=_dilations(config, conf),
        kernel_size=config.value(f"{conf}.kernel_size", int, 7),
        last_kernel_size=config.value(f"{conf}.last_kernel_size", int, 7),
        residual_kernel_size=config.value(f"{conf}.residual_kernel_size", int, 3),
        norm=_norm(config, conf),
        causal=config.value(f"{conf}.causal", bool, default=False),
        num_lstm_layers=_num_lstm_layers(config, conf),
    )


def _read_freq_seanet(config: ModelConfig, part: str) -> FreqSeanet:
    conf = f"{part}_conf"
    _refuse_others(config, conf)
    config.expect(f"{conf}.causal", wanted=False, default=False)
    network = FreqSeanet(
        kind="freq-seanet",
        frequency_strides=tuple(frequency for frequency, _ in _ratios(config, conf)),
        num_filters=config.value(f"{conf}.n_filters", int, 32),
        dilations=_dilations(config, conf),
        kernel_size=config.value(f"{conf}.kernel_size", int, 7),
        last_kernel_size=config.value(f"{conf}.last_kernel_size", int, 7),
        residual_kernel_size=config.value(f"{conf}.residual_kernel_size", int, 3),
        norm=_norm(config, conf),
        num_lstm_layers=_num_lstm_layers(config, conf),
        group_ratio=_ratio(config, f"{conf}.conv_group_ratio"),
        transposed_group_ratio=_ratio(config, f"{conf}.tr_conv_group_ratio"),
    )
    config.expect("model_conf.domain_conf.n_fft", network.window_length, 512)
    if part == "decoder":
        config.expect(f"{conf}.channels", network.num_channels, 1)
    return network


def _refuse_others(config: ModelConfig, conf: str) -> None:
    found = config.raw(conf, {})
    for name, value in (found or {}).items():
        if name == "norm_params" and value == {"num_groups": 1}:
            continue
        if name in _FIXED:
            config.expect(f"{conf}.{name}", _FIXED[name])
        elif name not in _READ:
            raise WeightsError(config.file, expected=f"nothing called {conf}.{name}", found=repr(value))


def _dilations(config: ModelConfig, conf: str) -> tuple[int, ...]:
    base = config.value(f"{conf}.dilation_base", int, 2)
    return tuple(base**power for power in range(config.value(f"{conf}.n_residual_layers", int, 1)))


def _norm(config: ModelConfig, conf: str) -> Norm:
    name = config.value(f"{conf}.norm", str, "weight_norm")
    if name not in _NORMS:
        raise WeightsError(config.file, expected=f"{conf}.norm {' or '.join(_NORMS)}", found=name)
    return _NORMS[name]


def _num_lstm_layers(config: ModelConfig, conf: str) -> int:
    kind = config.raw(f"{conf}.seq_model", "lstm")
    if kind not in {"lstm", "none", None}:
        raise WeightsError(config.file, expected=f"{conf}.seq_model lstm or none", found=repr(kind))
    return config.value(f"{conf}.seq_layer_num", int, 2) if kind == "lstm" else 0


def _ratio(config: ModelConfig, path: str) -> int | None:
    ratio = config.value(path, int, -1)
    return ratio if ratio > 0 else None


def _freq_strides(config: ModelConfig) -> tuple[int, ...]:
    strides = [[time for _, time in _ratios(config, f"{part}_conf")] for part in ("encoder", "decoder")]
    if strides[0] != strides[1]:
        raise WeightsError(config.file, expected="equal ratios of encoder and decoder", found=repr(strides))
    return (config.value("model_conf.domain_conf.hop_length", int, 160), *strides[0])


def _ratios(config: ModelConfig, conf: str) -> tuple[tuple[int, int], ...]:
    """Return the strides over frequency and time in the order of the encoder; the file has the decoder's."""
    found = config.raw(f"{conf}.ratios", _RATIOS)
    try:
        return tuple((int(frequency), int(time)) for frequency, time in found)[::-1]
    except (TypeError, ValueError) as error:
        raise WeightsError(
            config.file, expected=f"{conf}.ratios as pairs of integers", found=repr(found)
        ) from error
