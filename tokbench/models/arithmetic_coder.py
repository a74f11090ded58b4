"""An arithmetic coder: symbols and their probabilities to bytes, and back.

A range coder (Martin 1979) in integers alone. A distribution is cut into widths that are whole parts of 2 ** 24, as
in EnCodec (Défossez et al. 2022, arXiv:2210.13438, section 3.3), so that both sides have it exactly.

Axes: ``V`` symbols.
"""

import numpy as np

from tokbench.errors import BitstreamError

__all__ = ["MIN_WIDTH", "TOTAL_BITS", "ArithmeticDecoder", "ArithmeticEncoder", "cumulative_widths"]

TOTAL_BITS = 24
"""Widths of a distribution add up to 2 to the power of this, or to a little less."""
MIN_WIDTH = 2
"""Of a symbol, however improbable: none costs more than 23 bits."""
_STATE_BITS = 48
"""Of the interval; a width is then cut from at least 2 ** 40, which costs no more than 3e-5 bits per symbol."""
_BYTE = 8
_STATE_BYTES = _STATE_BITS // _BYTE
_TOP = _STATE_BITS - _BYTE


def cumulative_widths(probabilities: np.ndarray) -> np.ndarray:
    """Return int64 [..., V + 1], from 0 on, of ``probabilities`` float64 [..., V] that add up to 1.

    A symbol is as wide as its share of 2 ** 24, less what all symbols have at least, rounded down. Rounding is what
    lets both sides agree although their sums may be made in another order: see :mod:`tokbench.codecs.entropy`.
    """
    num_symbols = probabilities.shape[-1]
    shared = (1 << TOTAL_BITS) - MIN_WIDTH * num_symbols
    widths = np.floor(probabilities * shared).astype(np.int64) + MIN_WIDTH
    ends = np.cumsum(widths, axis=-1)
    return np.concatenate([np.zeros((*ends.shape[:-1], 1), np.int64), ends], axis=-1)


class ArithmeticEncoder:
    """Collects bytes.

    The message is a number within an interval that each symbol narrows; what is certain of it is given out byte by
    byte, and a carry goes back into those bytes.
    """

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._low, self._width = 0, 1 << _STATE_BITS

    def push(self, start: int, end: int) -> None:
        """Add the symbol that has ``start`` .. ``end`` of 2 ** 24."""
        step = self._width >> TOTAL_BITS
        self._low += step * start
        self._width = step * (end - start)
        self._carry()
        while self._width <= 1 << _TOP:
            self._bytes.append(self._low >> _TOP)
            self._low = (self._low << _BYTE) & ((1 << _STATE_BITS) - 1)
            self._width <<= _BYTE

    def finish(self) -> bytes:
        """Return the shortest bytes that stand for the symbols; beyond them, a decoder reads zeros."""
        for num_bytes in range(_STATE_BYTES + 1):
            unit = 1 << (_STATE_BITS - _BYTE * num_bytes)
            number = -(-self._low // unit) * unit
            if number < self._low + self._width:
                self._low = number
                break
        self._carry()
        self._bytes += self._low.to_bytes(_STATE_BYTES, "big")
        return bytes(self._bytes).rstrip(b"\0")

    def _carry(self) -> None:
        if self._low >> _STATE_BITS:
            self._low &= (1 << _STATE_BITS) - 1
            position = len(self._bytes) - 1
            while self._bytes[position] == (1 << _BYTE) - 1:
                self._bytes[position] = 0
                position -= 1
            self._bytes[position] += 1


class ArithmeticDecoder:
    """Gives back the symbols of what :class:`ArithmeticEncoder` wrote."""

    def __init__(self, data: bytes) -> None:
        self._data, self._position = data, _STATE_BYTES
        self._offset = int.from_bytes(data[:_STATE_BYTES].ljust(_STATE_BYTES, b"\0"), "big")
        """Where the number lies within the interval."""
        self._width = 1 << _STATE_BITS

    def pull(self, cumulative: np.ndarray) -> int:
        """Return the next symbol, of the distribution with the ``cumulative`` widths int64 [V + 1].

        Raises :class:`BitstreamError` where the bytes stand for none of the symbols.
        """
        step = self._width >> TOTAL_BITS
        symbol = int(np.searchsorted(cumulative, self._offset // step, side="right")) - 1
        if symbol + 1 >= len(cumulative):
            raise BitstreamError("the bytes stand for no code here")
        start, end = int(cumulative[symbol]), int(cumulative[symbol + 1])
        self._offset -= step * start
        self._width = step * (end - start)
        while self._width <= 1 << _TOP:
            byte = self._data[self._position] if self._position < len(self._data) else 0
            self._offset = (self._offset << _BYTE) | byte
            self._width <<= _BYTE
            self._position += 1
        return symbol
