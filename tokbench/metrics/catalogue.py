"""The catalogue: every metric that tokbench knows, declared without importing the code that computes it."""

import functools
import importlib.util
from collections.abc import Mapping
from types import MappingProxyType

from tokbench.errors import UnknownNameError
from tokbench.metrics.base import Metric

__all__ = ["METRICS", "find_metric", "missing_packages"]

_SIGNAL = "tokbench.metrics.signal"
_SPECTRAL = "tokbench.metrics.spectral"
_PERCEPTUAL = "tokbench.metrics.perceptual"
_PITCH = "tokbench.metrics.pitch"
_DNSMOS = "tokbench.judges.dnsmos"

_WAVEFORM = (
    Metric(
        name="si_sdr_db",
        title="SI-SDR",
        unit="dB",
        better="higher",
        bounds=(-100.0, 100.0),
        source="Le Roux et al. 2019, SDR - half-baked or well done?",
        description="Match of the waveform up to a gain; says little of codecs that do not keep the phase.",
        function=f"{_SIGNAL}:si_sdr_db",
    ),
    Metric(
        name="snr_db",
        title="SNR",
        unit="dB",
        better="higher",
        bounds=(-100.0, 100.0),
        source="10 log10 of signal energy by error energy",
        description="Match of the waveform, gain included; says little of codecs that do not keep the phase.",
        function=f"{_SIGNAL}:snr_db",
    ),
)

_SPECTRA = (
    Metric(
        name="mel_distance_dac",
        title="Mel distance (DAC)",
        unit="",
        better="lower",
        bounds=(0.0, None),
        source="Kumar et al. 2023, High-fidelity audio compression with improved RVQGAN; descript-audio-codec",
        description="L1 distance of log10 mel spectra, summed over 7 scales; depends on the sample rate.",
        function=f"{_SPECTRAL}:mel_distance_dac",
    ),
    Metric(
        name="mel_distance_codec_superb",
        title="Mel distance (Codec-SUPERB)",
        unit="",
        better="lower",
        bounds=(0.0, None),
        source="Wu et al. 2024, Codec-SUPERB; SoundCodec/metrics.py",
        description="L1 distance of mel and log10 mel power spectra at 2 scales; depends on level and sample rate.",
        function=f"{_SPECTRAL}:mel_distance_codec_superb",
    ),
    Metric(
        name="stft_distance",
        title="STFT distance",
        unit="",
        better="lower",
        bounds=(0.0, None),
        source="Yamamoto et al. 2020, Parallel WaveGAN",
        description="Spectral convergence plus distance of log magnitudes, mean over 3 resolutions.",
        function=f"{_SPECTRAL}:stft_distance",
    ),
    Metric(
        name="log_spectral_distance_db",
        title="Log-spectral distance",
        unit="dB",
        better="lower",
        bounds=(0.0, None),
        source="Gray and Markel 1976, Distance measures for speech processing",
        description="Root mean square level difference over frequency, in frames of 512 samples, pauses included.",
        function=f"{_SPECTRAL}:log_spectral_distance_db",
    ),
)

_PERCEPTION = (
    Metric(
        name="pesq_wb",
        title="PESQ wide-band",
        unit="MOS",
        better="higher",
        bounds=(0.999, 4.644),
        source="ITU-T P.862.2 (2007); pesq",
        description="Predicted opinion of wide-band telephone speech; harsh on codecs that synthesize.",
        function=f"{_PERCEPTUAL}:pesq_wb",
        requires=("pesq",),
    ),
    Metric(
        name="pesq_nb",
        title="PESQ narrow-band",
        unit="MOS",
        better="higher",
        bounds=(0.999, 4.549),
        source="ITU-T P.862 (2001) with the mapping of P.862.1 (2003); pesq",
        description="Predicted opinion of telephone speech, at 8 kHz; deaf above 4 kHz.",
        function=f"{_PERCEPTUAL}:pesq_nb",
        requires=("pesq",),
    ),
    Metric(
        name="stoi",
        title="STOI",
        unit="",
        better="higher",
        bounds=(-1.0, 1.0),
        source="Taal et al. 2011, An algorithm for intelligibility prediction; pystoi",
        description="Correlation of band envelopes, an estimate of intelligibility in noise; saturates early.",
        function=f"{_PERCEPTUAL}:stoi",
        requires=("pystoi",),
    ),
    Metric(
        name="estoi",
        title="ESTOI",
        unit="",
        better="higher",
        bounds=(-1.0, 1.0),
        source="Jensen and Taal 2016, An algorithm for predicting the intelligibility; pystoi",
        description="Correlation of normalised spectra, made for maskers that fluctuate; stricter than STOI.",
        function=f"{_PERCEPTUAL}:estoi",
        requires=("pystoi",),
    ),
    Metric(
        name="visqol",
        title="ViSQOL",
        unit="MOS",
        better="higher",
        bounds=(1.0, 5.0),
        source="Chinen et al. 2020, ViSQOL v3, speech mode with the exponential mapping; visqol-python",
        description="Similarity of neurograms as an opinion score; lenient, a copy has exactly 5.",
        function=f"{_PERCEPTUAL}:visqol",
        requires=("visqol",),
    ),
    Metric(
        name="visqol_lattice",
        title="ViSQOL (lattice)",
        unit="MOS",
        better="higher",
        bounds=(1.0, 5.0),
        source="Google's ViSQOL, speech mode with its default lattice mapping; visqol-python",
        description="The same similarity with a trained mapping; stricter, and a copy may rank below a codec.",
        function=f"{_PERCEPTUAL}:visqol_lattice",
        requires=("visqol", "ai_edge_litert"),
    ),
)

_PITCH_AND_ENVELOPE = (
    Metric(
        name="f0_rmse_cents",
        title="F0 error",
        unit="cents",
        better="lower",
        bounds=(0.0, None),
        source="root mean square over frames voiced in both; F0 by DIO and StoneMask (Morise et al. 2009), pyworld",
        description="Deviation of the pitch where both signals are voiced, octave errors included.",
        function=f"{_PITCH}:f0_rmse_cents",
        pooling="rms",
        requires=("pyworld",),
    ),
    Metric(
        name="f0_correlation",
        title="F0 correlation",
        unit="",
        better="higher",
        bounds=(-1.0, 1.0),
        source="Pearson correlation of log F0 over frames voiced in both; F0 by DIO and StoneMask, pyworld",
        description="Whether the melody of an utterance is kept, whatever its register.",
        function=f"{_PITCH}:f0_correlation",
        requires=("pyworld",),
    ),
    Metric(
        name="vde",
        title="Voicing decision error",
        unit="ratio",
        better="lower",
        bounds=(0.0, 1.0),
        source="Nakatani et al. 2008, A method for fundamental frequency estimation and voicing decision",
        description="Share of frames that became voiced or unvoiced.",
        function=f"{_PITCH}:vde",
        requires=("pyworld",),
    ),
    Metric(
        name="gpe",
        title="Gross pitch error",
        unit="ratio",
        better="lower",
        bounds=(0.0, 1.0),
        source="Nakatani et al. 2008, A method for fundamental frequency estimation and voicing decision",
        description="Share of the frames voiced in both whose F0 is over 20 % off; blind to lost voicing.",
        function=f"{_PITCH}:gpe",
        requires=("pyworld",),
    ),
    Metric(
        name="ffe",
        title="F0 frame error",
        unit="ratio",
        better="lower",
        bounds=(0.0, 1.0),
        source="Chu and Alwan 2009, Reducing F0 frame error of F0 tracking algorithms",
        description="Share of frames with a voicing decision error or a gross pitch error.",
        function=f"{_PITCH}:ffe",
        requires=("pyworld",),
    ),
    Metric(
        name="mcd_db",
        title="Mel-cepstral distortion",
        unit="dB",
        better="lower",
        bounds=(0.0, None),
        source="Kubichek 1993, Mel-cepstral distance measure; envelopes by CheapTrick (Morise 2015), pyworld",
        description="Difference of the spectral envelope without loudness, in frames with sound, without warping.",
        function=f"{_PITCH}:mcd_db",
        requires=("pyworld",),
    ),
)

_QUALITY = (
    Metric(
        name="dnsmos_overall",
        title="DNSMOS overall",
        unit="MOS",
        better="higher",
        bounds=(None, 5.0),
        source="Reddy et al. 2022, DNSMOS P.835; speechmos",
        description="Overall quality as a model hears it; without a reference it forgives wrong words and voices.",
        function=f"{_DNSMOS}:dnsmos_overall",
        requires=("speechmos", "onnxruntime"),
        judge="dnsmos",
    ),
    Metric(
        name="dnsmos_signal",
        title="DNSMOS signal",
        unit="MOS",
        better="higher",
        bounds=(None, 5.0),
        source="Reddy et al. 2022, DNSMOS P.835; speechmos",
        description="Quality of the speech itself as a model hears it, whatever the background.",
        function=f"{_DNSMOS}:dnsmos_signal",
        requires=("speechmos", "onnxruntime"),
        judge="dnsmos",
    ),
    Metric(
        name="dnsmos_background",
        title="DNSMOS background",
        unit="MOS",
        better="higher",
        bounds=(None, 5.0),
        source="Reddy et al. 2022, DNSMOS P.835; speechmos",
        description="Freedom from background noise as a model hears it; also praises codecs that remove noise.",
        function=f"{_DNSMOS}:dnsmos_background",
        requires=("speechmos", "onnxruntime"),
        judge="dnsmos",
    ),
    Metric(
        name="dnsmos_p808",
        title="DNSMOS P.808",
        unit="MOS",
        better="higher",
        bounds=(None, 5.0),
        source="Reddy et al. 2021, DNSMOS; speechmos",
        description="Overall quality by the older model, trained on ratings after ITU-T P.808.",
        function=f"{_DNSMOS}:dnsmos_p808",
        requires=("speechmos", "onnxruntime"),
        judge="dnsmos",
    ),
)

_TOKENS = (
    Metric(
        name="bitrate_nominal_bps",
        title="Bitrate, nominal",
        unit="bit/s",
        better="lower",
        bounds=(0.0, None),
        source="sum over codebooks of log2 V times the frame rate",
        description="Rate of the codes at fixed length; what tables call the bitrate.",
    ),
    Metric(
        name="bitrate_entropy_bps",
        title="Bitrate, entropy",
        unit="bit/s",
        better="lower",
        bounds=(0.0, None),
        source="Shannon 1948, first-order entropy of each codebook over the corpus",
        description="Rate of the codes after an ideal coder that knows how common each code is.",
    ),
    Metric(
        name="bitrate_huffman_bps",
        title="Bitrate, Huffman",
        unit="bit/s",
        better="lower",
        bounds=(0.0, None),
        source="Huffman 1952, one static code per codebook made from the corpus",
        description="Rate of the codes after a Huffman code, without its table.",
    ),
    Metric(
        name="bitrate_lm_bps",
        title="Bitrate, LM",
        unit="bit/s",
        better="lower",
        bounds=(0.0, None),
        source="Défossez et al. 2022, arXiv:2210.13438, section 3.3: cross-entropy by the codec's model",
        description="Rate of the codes after an ideal coder that predicts each frame from the frames before it.",
    ),
    Metric(
        name="bitrate_coded_bps",
        title="Bitrate, coded",
        unit="bit/s",
        better="lower",
        bounds=(0.0, None),
        source="size of the bitstream that the codec's own model and an arithmetic coder write, without its header",
        description="Rate of the codes as they are written, in whole bytes per utterance.",
    ),
    Metric(
        name="tokens_per_second",
        title="Tokens per second",
        unit="tokens/s",
        better="lower",
        bounds=(0.0, None),
        source="number of codes over all codebooks by duration",
        description="Length of the sequence that a language model has to predict for a second of audio.",
    ),
    Metric(
        name="codebook_usage",
        title="Codebook usage",
        unit="ratio",
        better="higher",
        bounds=(0.0, 1.0),
        source="codes that occur by V",
        description="Share of the codebook that occurs at all; grows with the size of the corpus.",
    ),
    Metric(
        name="codebook_perplexity",
        title="Codebook perplexity",
        unit="codes",
        better=None,
        bounds=(1.0, None),
        source="2 to the power of the first-order entropy",
        description="Size of a uniformly used codebook of the same entropy.",
    ),
    Metric(
        name="normalized_entropy",
        title="Normalized entropy",
        unit="ratio",
        better="higher",
        bounds=(0.0, 1.0),
        source="first-order entropy by log2 V, with V the size of the codebook and not the number of codes in use",
        description="Share of the bits of a code that carry information; 1 where all codes are equally common.",
    ),
    Metric(
        name="mass_rarest_20pct",
        title="Mass on rarest 20 %",
        unit="ratio",
        better="higher",
        bounds=(0.0, 0.2),
        source="Wang et al. 2024 (arXiv 2411.08742), of all V codes, the boundary interpolated",
        description="Share of all tokens on the rarest fifth of the codebook; 0.2 where use is uniform.",
    ),
    Metric(
        name="mass_commonest_20pct",
        title="Mass on commonest 20 %",
        unit="ratio",
        better="lower",
        bounds=(0.2, 1.0),
        source="Wang et al. 2024 (arXiv 2411.08742), of all V codes, the boundary interpolated",
        description="Share of all tokens on the commonest fifth of the codebook; 0.2 where use is uniform.",
    ),
)

_PHONETICS = (
    Metric(
        name="abx_within",
        title="ABX within speakers",
        unit="ratio",
        better="lower",
        bounds=(0.0, 1.0),
        source="Schatz et al. 2013; Libri-Light (Kahn et al. 2020); the rules of fastabx (Poli et al. 2025)",
        description="Share of triplets of one speaker in which X is nearer to the other category; 0.5 is chance.",
    ),
    Metric(
        name="abx_across",
        title="ABX across speakers",
        unit="ratio",
        better="lower",
        bounds=(0.0, 1.0),
        source="Schatz et al. 2013; Libri-Light (Kahn et al. 2020); the rules of fastabx (Poli et al. 2025)",
        description="The same with an X of another speaker than A and B; 0.5 is chance.",
    ),
)

_ROBUSTNESS = (
    Metric(
        name="token_agreement",
        title="Token agreement",
        unit="ratio",
        better="higher",
        bounds=(0.0, 1.0),
        source="Vashishth et al. 2024, STAB (arXiv 2409.02384), in spirit; a definition of our own",
        description="Share of codes that stay when the sound changes and the words do not, frame by frame.",
    ),
    Metric(
        name="unit_edit_distance",
        title="Unit edit distance",
        unit="ratio",
        better="lower",
        bounds=(0.0, None),
        source="after Gat et al. 2022 (arXiv 2209.15483); edits by de-duplicated units of the clean utterance",
        description="Edits of the first codebook's units when the sound changes; blind to how long a unit lasts.",
    ),
    Metric(
        name="reencoding_agreement",
        title="Re-encoding agreement",
        unit="ratio",
        better="higher",
        bounds=(0.0, 1.0),
        source="MRC of AudioCodecBench (Wang et al. 2025), frame by frame",
        description="Share of codes that are still the first ones after decoding and encoding again and again.",
    ),
    Metric(
        name="streaming_agreement",
        title="Streaming agreement",
        unit="ratio",
        better="higher",
        bounds=(0.0, 1.0),
        source="a definition of our own: codes that are due, encoded before the rest is heard",
        description="Share of codes that are as due when no later audio is there; 1 for what may be streamed.",
    ),
    Metric(
        name="same_text_edit_distance",
        title="Edit distance, same text",
        unit="ratio",
        better="lower",
        bounds=(0.0, None),
        source="Vashishth et al. 2024, STAB (arXiv 2409.02384), in spirit; a definition of our own",
        description="Edits by units that make one speaker's units another speaker's of the same text.",
    ),
    Metric(
        name="other_text_edit_distance",
        title="Edit distance, other text",
        unit="ratio",
        better=None,
        bounds=(0.0, None),
        source="Vashishth et al. 2024, STAB (arXiv 2409.02384), in spirit; a definition of our own",
        description="The same for another text by the same two speakers: what the other is to be compared with.",
    ),
    Metric(
        name="speaker_invariance",
        title="Speaker invariance",
        unit="ratio",
        better="higher",
        bounds=(None, 1.0),
        source="1 less the edit distance of the same text by that of another; a definition of our own",
        description="1 if the text decides the units whoever speaks; 0 if it does not matter for them.",
    ),
)


def _probes(subject: str, what: str) -> tuple[Metric, ...]:
    """Return how well a classifier tells ``what`` apart, and what it reaches without hearing."""
    name = subject.lower().replace(" ", "_")
    dasb, study = "after DASB (Mousavi et al. 2024)", "after Osakuade and King 2024, arXiv:2410.19935"
    return (
        Metric(
            name=f"{name}_accuracy",
            title=f"{subject} accuracy",
            unit="ratio",
            better="higher",
            bounds=(0.0, 1.0),
            source=f"share of right answers of a head trained on the tokens; {dasb}",
            description=f"How often a small classifier on the tokens is right about {what}; mean over seeds.",
        ),
        Metric(
            name=f"{name}_macro_f1",
            title=f"{subject} macro F1",
            unit="ratio",
            better="higher",
            bounds=(0.0, 1.0),
            source="mean over the classes of the test of 2 right / (given + true), as in scikit-learn",
            description=f"How well a classifier on the tokens tells {what} apart, each class counting alike.",
        ),
        Metric(
            name=f"{name}_accuracy_latents",
            title=f"{subject} accuracy of latents",
            unit="ratio",
            better="higher",
            bounds=(0.0, 1.0),
            source=f"the same head on what was quantized; {study}",
            description=f"How often a small classifier on the features before quantization is right about {what}.",
        ),
        Metric(
            name=f"{name}_accuracy_drop",
            title=f"{subject} drop by quantization",
            unit="ratio",
            better="lower",
            bounds=(-1.0, 1.0),
            source=f"accuracy of latents less accuracy of tokens; {study}",
            description=f"How much of what the features told of {what} is lost in the tokens, on the same items.",
        ),
        Metric(
            name=f"{name}_chance",
            title=f"{subject}: commonest class",
            unit="ratio",
            better=None,
            bounds=(0.0, 1.0),
            source="accuracy of the commonest class of the training items",
            description=f"What a classifier of {what} reaches that hears nothing.",
        ),
    )


_PROBES = (
    *_probes("Phone", "phones"),
    *_probes("Word", "words"),
    *_probes("Language", "languages"),
    *_probes("Probe speaker", "speakers"),
    *_probes("Tone", "lexical tones"),
    *_probes("Vowel", "vowels"),
    *_probes("Probe", "the classes of a task"),
)

_LISTENING = (
    Metric(
        name="speaker_similarity",
        title="Speaker similarity",
        unit="",
        better="higher",
        bounds=(-1.0, 1.0),
        source="cosine of a judge's embeddings of decoded and original audio",
        description="How much the voice is still the same; the scale is the judge's own.",
    ),
    Metric(
        name="speaker_eer",
        title="Speaker EER",
        unit="ratio",
        better="lower",
        bounds=(0.0, 1.0),
        source="equal error rate over trials of original against decoded utterances, by cosine of embeddings",
        description="How often the decoded voice is taken for another one, or another one for it; 0.5 is chance.",
    ),
    Metric(
        name="wer",
        title="WER",
        unit="ratio",
        better="lower",
        bounds=(0.0, None),
        source="word errors by words of the corpus, after Whisper's text normalization; jiwer",
        description="Words that a recognizer gets wrong in decoded speech; its errors on the original are in it.",
    ),
    Metric(
        name="cer",
        title="CER",
        unit="ratio",
        better="lower",
        bounds=(0.0, None),
        source="character errors by characters of the corpus, after Whisper's text normalization; jiwer",
        description="The same for characters: the one to read for languages written without spaces.",
    ),
    Metric(
        name="dwer",
        title="dWER",
        unit="ratio",
        better="lower",
        bounds=(0.0, None),
        source="word errors by words of the transcript of the original, as in DASB (Mousavi et al. 2024); jiwer",
        description="Words that a recognizer writes otherwise than for the original; 0 for a copy, needs no text.",
    ),
)

_ECONOMY = (
    Metric(
        name="bpe_length_saved",
        title="Length saved by BPE",
        unit="ratio",
        better="higher",
        bounds=(0.0, 1.0),
        source="Gage 1994; Sennrich et al. 2016, Neural machine translation of rare words; Hugging Face tokenizers",
        description="Share of the first codebook's codes that BPE merges away on held-out speech.",
    ),
    Metric(
        name="bitrate_bpe_bps",
        title="Bitrate, BPE",
        unit="bit/s",
        better="lower",
        bounds=(0.0, None),
        source="tokens of BPE per second by log2 of its vocabulary",
        description="Rate of the first codebook at fixed length after BPE, on held-out speech.",
    ),
    Metric(
        name="ngram_bits",
        title="Bits per code, n-gram",
        unit="bit",
        better="lower",
        bounds=(0.0, None),
        source="cross-entropy by an n-gram with Witten and Bell's interpolation (Bell et al. 1990, method C)",
        description="Bits to tell a code of held-out speech after the ones before it in its codebook.",
    ),
    Metric(
        name="ngram_perplexity",
        title="Perplexity, n-gram",
        unit="codes",
        better="lower",
        bounds=(1.0, None),
        source="2 to the power of the bits per code",
        description="Number of equally likely codes that would be as hard to guess; grows with the codebook.",
    ),
    Metric(
        name="bitrate_ngram_bps",
        title="Bitrate, n-gram",
        unit="bit/s",
        better="lower",
        bounds=(0.0, None),
        source="bits per code by codes per second, over all codebooks",
        description="Rate of the codes on held-out speech, each predicted from those before it in its codebook.",
    ),
    Metric(
        name="code_gini",
        title="Gini coefficient of codes",
        unit="ratio",
        better="lower",
        bounds=(0.0, 1.0),
        source="Gini 1912, of how often each of the V codes occurs",
        description="How unevenly codes are used: 0 where all are equally common, near 1 where few are used.",
    ),
)

_PHONE_INFORMATION = (
    Metric(
        name="pnmi",
        title="PNMI",
        unit="ratio",
        better="higher",
        bounds=(0.0, 1.0),
        source="Hsu et al. 2021, HuBERT (arXiv 2106.07447), section IV: I(phone; code) / H(phone)",
        description="Share of what is to be known of a phone that its code tells; high by chance where V is large.",
    ),
    Metric(
        name="pnmi_adjusted",
        title="PNMI, adjusted",
        unit="ratio",
        better="higher",
        bounds=(None, 1.0),
        source="(I - E[I]) / (H(phone) - E[I]), after Vinh et al. 2010, with the codes shuffled for E[I]",
        description="PNMI less what chance makes of it, so that codebooks of any size compare; 0 is chance.",
    ),
    Metric(
        name="phone_purity",
        title="Phone purity",
        unit="ratio",
        better="higher",
        bounds=(0.0, 1.0),
        source="Hsu et al. 2021, HuBERT (arXiv 2106.07447), section IV",
        description="Share of frames whose phone is the commonest one of their code; grows with V.",
    ),
    Metric(
        name="cluster_purity",
        title="Cluster purity",
        unit="ratio",
        better="higher",
        bounds=(0.0, 1.0),
        source="Hsu et al. 2021, HuBERT (arXiv 2106.07447), section IV",
        description="Share of frames whose code is the commonest one of their phone; falls with V.",
    ),
)

_COSTS = (
    Metric(
        name="encode_rtf",
        title="Encoding time",
        unit="ratio",
        better="lower",
        bounds=(0.0, None),
        source="wall time by duration of the audio",
        description="Real-time factor of encoding one utterance at a time in one thread; below 1 is real time.",
    ),
    Metric(
        name="decode_rtf",
        title="Decoding time",
        unit="ratio",
        better="lower",
        bounds=(0.0, None),
        source="wall time by duration of the audio",
        description="Real-time factor of decoding one utterance at a time in one thread; below 1 is real time.",
    ),
    Metric(
        name="peak_memory_bytes",
        title="Peak memory",
        unit="bytes",
        better="lower",
        bounds=(0.0, None),
        source="resident memory of the process, or memory allocated on the device",
        description="Most memory in use while encoding and decoding, the model included.",
        pooling="max",
    ),
    Metric(
        name="num_parameters",
        title="Parameters",
        unit="",
        better="lower",
        bounds=(0.0, None),
        source="number of trained values of encoder, quantizer and decoder",
        description="Size of the model.",
        pooling="max",
    ),
)

METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        metric.name: metric
        for group in (
            _PERCEPTION,
            _QUALITY,
            _WAVEFORM,
            _SPECTRA,
            _PITCH_AND_ENVELOPE,
            _TOKENS,
            _PHONETICS,
            _PROBES,
            _ROBUSTNESS,
            _LISTENING,
            _ECONOMY,
            _PHONE_INFORMATION,
            _COSTS,
        )
        for metric in group
    }
)
"""Every metric by name, in the order of a table."""

_DISTRIBUTIONS = {"ai_edge_litert": "ai-edge-litert", "visqol": "visqol-python"}
"""Names to install by, where they are not the names to import by."""


def find_metric(name: str) -> Metric:
    """Return the metric called ``name``; raises :class:`UnknownNameError`."""
    if name not in METRICS:
        raise UnknownNameError("metric", name, METRICS, command="tokbench list metrics")
    return METRICS[name]


def missing_packages(metric: Metric) -> list[str]:
    """Return the packages that ``metric`` lacks here, as pip knows them, without importing any."""
    return [_DISTRIBUTIONS.get(package, package) for package in metric.requires if not _is_installed(package)]


@functools.cache
def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
