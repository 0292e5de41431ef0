"""keccak256 of many messages of one length at once: trees of a million leaves are hashed by numpy, not one by one.

Lanes of all messages lie side by side, so that one numpy operation serves every message. The permutation is the
Keccak-f[1600] of FIPS 202 with Ethereum's padding; hashing.keccak, from a library, is its test.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dlbc.core.hashing import keccak

_RATE = 136  # bytes absorbed by one permutation
_ROWS = 8192  # messages at a time: their lanes stay close to the processor
_FEW = 1024  # below this many messages a call each is faster
_ROTATIONS = ((0, 36, 3, 41, 18), (1, 44, 10, 45, 2), (62, 6, 43, 15, 61), (28, 55, 25, 21, 56), (27, 20, 39, 8, 14))
"""By x, then y."""

Rows = NDArray[np.uint8]
_Lanes = NDArray[np.uint64]


def keccak_rows(rows: Rows) -> Rows:
    """rows: [n, width] bytes, a message each. Returns [n, 32], the hash of each."""
    count, width = rows.shape
    if count < _FEW:
        hashes = b"".join(keccak(row.tobytes()) for row in rows)
        return np.frombuffer(hashes, dtype=np.uint8).reshape(count, 32)
    found = np.empty((count, 32), dtype=np.uint8)
    blocks = width // _RATE + 1
    for start in range(0, count, _ROWS):
        part = rows[start : start + _ROWS]
        padded = np.zeros((len(part), blocks * _RATE), dtype=np.uint8)
        padded[:, :width] = part
        padded[:, width] ^= 0x01
        padded[:, -1] ^= 0x80
        words = padded.view("<u8").astype(np.uint64).reshape(len(part), blocks, _RATE // 8)
        lanes = np.zeros((25, len(part)), dtype=np.uint64)
        for block in range(blocks):
            lanes[: _RATE // 8] ^= words[:, block].T
            _permute(lanes)
        found[start : start + _ROWS] = np.ascontiguousarray(lanes[:4].T).astype("<u8").view(np.uint8)
    return found


def _permute(lanes: _Lanes) -> None:
    """Keccak-f[1600] in place. lanes: [25, n], lane x + 5 y."""
    count = lanes.shape[1]
    moved = np.empty_like(lanes)
    plane, old = lanes.reshape(5, 5, count), moved.reshape(5, 5, count)  # [y, x, n]
    parity, turned = np.empty((5, count), np.uint64), np.empty((5, count), np.uint64)
    low = np.empty(count, np.uint64)
    for constant in _CONSTANTS:
        np.bitwise_xor.reduce(plane, axis=0, out=parity)
        np.left_shift(parity, np.uint64(1), out=turned)
        turned |= parity >> np.uint64(63)
        for x in range(5):
            plane[:, x] ^= parity[x - 1] ^ turned[(x + 1) % 5]
        for x in range(5):
            for y in range(5):
                into, bits = moved[y + 5 * ((2 * x + 3 * y) % 5)], _ROTATIONS[x][y]
                np.left_shift(plane[y, x], np.uint64(bits), out=into)
                if bits:  # a shift by 64 bits is undefined
                    np.right_shift(plane[y, x], np.uint64(64 - bits), out=low)
                    into |= low
        for x in range(5):
            np.bitwise_not(old[:, (x + 1) % 5], out=plane[:, x])
            plane[:, x] &= old[:, (x + 2) % 5]
            plane[:, x] ^= old[:, x]
        lanes[0] ^= constant


def _round_constants() -> tuple[np.uint64, ...]:
    """The 24 constants, from the linear feedback shift register of FIPS 202."""
    constants, register = [], 1
    for _ in range(24):
        constant = 0
        for j in range(7):
            constant |= (register & 1) << (2**j - 1)
            register = register << 1 ^ (0x171 if register & 0x80 else 0)
        constants.append(np.uint64(constant))
    return tuple(constants)


_CONSTANTS = _round_constants()
