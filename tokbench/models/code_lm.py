"""The Transformer that predicts a frame's codes from the frames before it, for entropy coding.

Défossez et al. 2022, arXiv:2210.13438, section 3.3: the embeddings of the codes of the previous frame are summed,
layers of causal attention with a limited past follow, and one classifier per codebook gives the distributions of
all codes of the frame at once, as if they were independent given the past. Layers are normalized after each of
their parts (Vaswani et al. 2017, arXiv:1706.03762). Attention also sees one frame of zeros before the first.

Axes: ``B`` batch, ``K`` codebooks, ``F`` frames, ``D`` features, ``V`` codebook size, ``H`` heads, ``C`` features
of a code vector.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, gelu, pad, scaled_dot_product_attention

from tokbench.models.quantizers import TrainableQuantizer
from tokbench.specs.entropy_coding import CodeTransformer, EntropyCoding

__all__ = ["MAX_OFFSET", "CodeLm", "LayerPast", "Past", "build_code_lm", "previous_codes", "sinusoids"]

MAX_PERIOD = 10_000.0
"""Of the sinusoids by which a frame knows its place: Vaswani et al. 2017, section 3.5."""
MAX_OFFSET = 10_000
"""Frames before a crop, at most, that training pretends there were, so that long audio brings nothing new."""
_NO_CODE = -1


def previous_codes(codes: Tensor) -> Tensor:
    """Return int64 [B, K, F], the codes of the frame before each of ``codes`` [B, K, F]; -1 before the first."""
    return pad(codes[..., :-1], (1, 0), value=_NO_CODE)


class CodeLm(nn.Module):
    """Codes of the previous frames [B, K, F] -> logits of the present ones [B, K, F, V].

    Any number of codebooks from the first on will do, up to ``num_codebooks``. ``vectors`` [K, V, C] are those of
    the codec, for the vocabulary ``code-vectors``.
    """

    def __init__(
        self,
        spec: CodeTransformer,
        *,
        num_codebooks: int,
        codebook_size: int,
        frame_rate_hz: float,
        vectors: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.num_codebooks, self.codebook_size = num_codebooks, codebook_size
        self.context = int(spec.context_s * frame_rate_hz)
        """Frames of the past that a frame sees."""
        self.vocabulary: Tables | CodeVectors = (
            Tables(num_codebooks, codebook_size, spec.dimension)
            if vectors is None
            else CodeVectors(vectors, spec.dimension)
        )
        self.input_norm = nn.LayerNorm(spec.dimension)
        self.layers = nn.ModuleList(CausalLayer(spec, self.context) for _ in range(spec.num_layers))

    def forward(self, previous: Tensor, past: "Past | None" = None, *, offset: int | Tensor = 0) -> Tensor:
        """Return logits [B, K, F, V] of the codes that follow ``previous``, int64 [B, K, F], -1 for none.

        ``past`` is what :meth:`begin` returned and earlier calls went through: a signal may so come in parts, down
        to single frames. Without it, the first frame is at the place ``offset``, a number or an int64 [B].
        """
        embedded = self.vocabulary.embed(previous)
        places = torch.arange(previous.shape[-1], device=previous.device)
        if past is not None:
            places = places + past.num_frames
            past.num_frames += len(places)
        else:
            places = places + torch.as_tensor(offset, device=previous.device)[..., None]
        values = self.input_norm(embedded) + sinusoids(places, embedded)
        for index, layer in enumerate(self.layers):
            values = layer(values, None if past is None else past.layers[index])
        return self.vocabulary.logits(values, previous.shape[1])

    @torch.no_grad()
    def know_frequencies_(self, counts: Tensor) -> None:
        """Begin with the probabilities that int64 ``counts`` [K, V], each and one more, suggest, whatever the past.

        From there on the model learns what the past tells beyond; steps alone would take long to find rare codes.
        """
        frequencies = (counts + 1) / (counts + 1).sum(dim=1, keepdim=True)
        self.vocabulary.biases.copy_(frequencies.log().reshape(self.vocabulary.biases.shape))

    def begin(self, batch_size: int = 1) -> "Past":
        """Return the state before the first frame."""
        layers = [layer for layer in self.layers if isinstance(layer, CausalLayer)]
        return Past([LayerPast(*layer.zero_frame(batch_size), self.context) for layer in layers])


def sinusoids(places: Tensor, like: Tensor) -> Tensor:
    """Return [..., F, D] of ``places`` [..., F]: cosines, then sines, of periods from 2π to 2π · 10 000."""
    half = like.shape[-1] // 2
    # A place above 256 has no number of its own in half precision.
    exact = torch.promote_types(like.dtype, torch.float32)
    exponents = torch.arange(half, device=like.device, dtype=exact) / (half - 1)
    phases = places.to(exact)[..., None] / MAX_PERIOD**exponents
    return torch.cat([phases.cos(), phases.sin()], dim=-1).to(like.dtype)


class LayerPast:
    """Keys and values [B, H, F, D / H] of the frames that one layer has seen, as many as it looks back to.

    They lie in a buffer with room for as many again, so that a frame costs one copy, and not one of all frames.
    """

    def __init__(self, keys: Tensor, values: Tensor, context: int) -> None:
        self._keys, self._values, self._context, self._end = keys, values, context, keys.shape[2]

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return the keys and values of the past and of the new frames."""
        num_new = keys.shape[2]
        if self._end + num_new > self._keys.shape[2]:
            start, room = max(self._end - self._context, 0), (0, 0, 0, max(num_new, self._context))
            self._keys, self._values = (
                pad(each[:, :, start : self._end], room) for each in (self._keys, self._values)
            )
            self._end -= start
        self._keys.narrow(2, self._end, num_new).copy_(keys)
        self._values.narrow(2, self._end, num_new).copy_(values)
        self._end += num_new
        first = max(self._end - num_new - self._context, 0)
        num_held = self._end - first
        return self._keys.narrow(2, first, num_held), self._values.narrow(2, first, num_held)

    def choose_(self, rows: Tensor) -> None:
        """Go on with the ``rows`` of the batch, int64 [B'], each any number of times."""
        self._keys, self._values = self._keys[rows], self._values[rows]


class Past:
    """What a model has seen; each call adds to it."""

    def __init__(self, layers: list[LayerPast]) -> None:
        self.layers = layers
        self.num_frames = 0


class CausalLayer(nn.Module):
    """Attention to the last ``context`` frames and to its own, then two linear maps: [B, F, D] -> [B, F, D]."""

    def __init__(self, spec: CodeTransformer, context: int) -> None:
        super().__init__()
        self.num_heads, self.context = spec.num_heads, context
        self.projections = nn.Linear(spec.dimension, 3 * spec.dimension)
        """To queries, keys and values."""
        self.output = nn.Linear(spec.dimension, spec.dimension)
        self.attention_norm = nn.LayerNorm(spec.dimension)
        self.expansion = nn.Linear(spec.dimension, spec.feedforward_dimension)
        self.contraction = nn.Linear(spec.feedforward_dimension, spec.dimension)
        self.feedforward_norm = nn.LayerNorm(spec.dimension)

    def forward(self, values: Tensor, past: LayerPast | None) -> Tensor:
        """Return [B, F, D] of [B, F, D]; ``past`` is added to."""
        attended: Tensor = self.attention_norm(values + self._attended(values, past))
        fed: Tensor = self.feedforward_norm(attended + self.contraction(gelu(self.expansion(attended))))
        return fed

    def zero_frame(self, batch_size: int) -> tuple[Tensor, Tensor]:
        """Return the key and the value [B, H, 1, D / H] of a frame of zeros, which comes before the first."""
        _, key, value = self._heads(self.projections.bias.expand(batch_size, 1, -1))
        return key, value

    def _attended(self, frames: Tensor, past: LayerPast | None) -> Tensor:
        queries, keys, values = self._heads(self.projections(frames))
        if past is None:
            key, value = self.zero_frame(len(frames))
            keys, values = torch.cat([key, keys], dim=2), torch.cat([value, values], dim=2)
        else:
            keys, values = past.append(keys, values)
        mask = self._mask(queries.shape[2], keys.shape[2], frames.device) if queries.shape[2] > 1 else None
        mixed = scaled_dot_product_attention(queries, keys, values, mask).transpose(1, 2).flatten(2)
        projected: Tensor = self.output(mixed)
        return projected

    def _heads(self, projected: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        batch_size, num_frames, _ = projected.shape
        heads = projected.reshape(batch_size, num_frames, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        return heads[0], heads[1], heads[2]

    def _mask(self, num_queries: int, num_keys: int, device: torch.device) -> Tensor:
        """Return bool [queries, keys], true where a query sees a key; the last query is at the last key."""
        queries = torch.arange(num_keys - num_queries, num_keys, device=device)[:, None]
        ages = queries - torch.arange(num_keys, device=device)
        return (ages >= 0) & (ages <= self.context)


class Tables(nn.Module):
    """A vector for each code of each codebook, and one for none; a linear classifier for each codebook."""

    def __init__(self, num_codebooks: int, codebook_size: int, dimension: int) -> None:
        super().__init__()
        self.codebook_size = codebook_size
        self.inputs = nn.Embedding(num_codebooks * (codebook_size + 1), dimension)
        """The tables of all codebooks, one below the other; the first row of each is for no code."""
        self.outputs = nn.Linear(dimension, num_codebooks * codebook_size)

    @property
    def biases(self) -> Tensor:
        """Of the logits of all codes, [K · V]."""
        return self.outputs.bias

    def embed(self, codes: Tensor) -> Tensor:
        """Return [B, F, D] of int64 [B, K, F]."""
        first_rows = torch.arange(codes.shape[1], device=codes.device) * (self.codebook_size + 1)
        embedded: Tensor = self.inputs(codes + 1 + first_rows[:, None])
        return embedded.sum(dim=1)

    def logits(self, values: Tensor, num_codebooks: int) -> Tensor:
        """Return [B, K, F, V] of [B, F, D]."""
        num_rows = num_codebooks * self.codebook_size
        scores = nn.functional.linear(values, self.outputs.weight[:num_rows], self.outputs.bias[:num_rows])
        return scores.reshape(*values.shape[:2], num_codebooks, self.codebook_size).transpose(1, 2)


class CodeVectors(nn.Module):
    """The vectors of a codec, projected to the model's features, and the model's features projected to them."""

    vectors: Tensor

    def __init__(self, vectors: Tensor, dimension: int) -> None:
        super().__init__()
        num_codebooks, codebook_size, num_features = vectors.shape
        # Later codebooks have smaller vectors, and are as important here.
        centred = vectors - vectors.mean(dim=1, keepdim=True)
        scale = centred.square().sum(dim=2).mean(dim=1).sqrt().clamp_min(1e-12)
        self.register_buffer("vectors", centred / scale[:, None, None], persistent=False)
        bound = num_features**-0.5
        self.inputs = nn.Parameter(torch.empty(num_codebooks, num_features, dimension).uniform_(-bound, bound))
        self.start = nn.Parameter(torch.zeros(dimension))
        """Of each codebook without a code."""
        self.outputs = nn.Parameter(torch.zeros(num_codebooks, dimension, num_features))
        """At first, all codes are as probable."""
        self.biases = nn.Parameter(torch.zeros(num_codebooks, codebook_size))

    def embed(self, codes: Tensor) -> Tensor:
        """Return [B, F, D] of int64 [B, K, F]."""
        num_codebooks = codes.shape[1]
        first_rows = torch.arange(num_codebooks, device=codes.device) * self.vectors.shape[1]
        vectors = embedding(codes.clamp_min(0) + first_rows[:, None], self.vectors.flatten(0, 1))
        is_code = (codes != _NO_CODE)[..., None]
        known = torch.einsum("bkfc,kcd->bfd", vectors * is_code, self.inputs[:num_codebooks])
        return known + (~is_code).sum(dim=1) * self.start

    def logits(self, values: Tensor, num_codebooks: int) -> Tensor:
        """Return [B, K, F, V] of [B, F, D]."""
        projected = values[:, None] @ self.outputs[:num_codebooks]
        scores = projected @ self.vectors[:num_codebooks].transpose(1, 2)
        return scores + self.biases[:num_codebooks, None]


def build_code_lm(spec: EntropyCoding, quantizer: TrainableQuantizer, *, frame_rate_hz: float) -> CodeLm:
    """Return the model that ``spec`` asks for, of the codes of ``quantizer``."""
    (codebook_size,) = set(quantizer.codebook_sizes)
    return CodeLm(
        spec,
        num_codebooks=len(quantizer.codebook_sizes),
        codebook_size=codebook_size,
        frame_rate_hz=frame_rate_hz,
        vectors=_vectors(quantizer) if spec.vocabulary == "code-vectors" else None,
    )


@torch.no_grad()
def _vectors(quantizer: TrainableQuantizer) -> Tensor:
    """Return [K, V, D], what each code of each codebook is decoded to."""
    quantizer = copy.deepcopy(quantizer).cpu()  # a GPU would round otherwise, and write another bitstream
    num_codebooks, codebook_size = len(quantizer.codebook_sizes), quantizer.codebook_sizes[0]
    codes = torch.arange(codebook_size).expand(1, num_codebooks, -1)
    vectors = [quantizer.decode(codes, slice(index, index + 1))[0].T for index in range(num_codebooks)]
    return torch.stack(vectors)
