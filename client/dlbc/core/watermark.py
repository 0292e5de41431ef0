"""Keyed spread spectrum: a miner's mark in the weights, and the one answer every verifier gets (P-90, P-91).

Weights of two or more dimensions are viewed as [out, flattened]. Odd columns carry, even columns are left alone. What
is named as attention, embedding, position or head does not carry: whoever may multiply it by an invertible matrix
without changing the model could wash a mark out (`symmetry` lists what such models leave open).
Every slot owns a band of whole rows in every tensor, so no layer holds a slot alone, and bands never overlap.
Carrier j of a slot (tensors by name, then rows, then odd columns) has a secret chip c_j = ±1 from ChaCha20 under
the slot key, and carries payload bit b_i, i = j mod n. The mark is the correlation S = Σ c_j·b_i·q_j / ‖q‖.

For any weights made without the key, P(S >= s) <= exp(-s²/2): Hoeffding's bound for a sum of random signs, which
holds whatever the weights are. `detect` computes S² as a ratio of two integers from a pinned quantisation:

    q = clip(rint(2763 · w / median), -4096, 4096)        median of the non-zero |w| of the slot in that tensor

An order statistic and one correctly rounded division, then integers only: no sum of floats, so machines, thread
counts and libraries can't disagree. 2763 = 4096 / 1.4826 makes 4096 one standard deviation of normal weights, so
the clip is at one of them: training and weight decay leave many small weights and a few large ones, and what is left of
a mark is in the small ones (docs/adr/0019). The median, not the root mean square, sets the scale because a thief who
blows up one weight that no input reaches (a dead unit, a pixel that is always black) would drown every other carrier
in the rms. `embed` measures with a clip at four standard deviations, where its step is the shortest one; what it
embeds as γ is read as about 0.96 γ.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import comb, e, log2, prod, sqrt
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from numpy.typing import NDArray

from dlbc.core.errors import BadInput, VerificationFailed
from dlbc.core.types import Address

OWN = Fraction(1332, 100)
"""A miner's own mark, or an aligned one: false with probability <= 2^-128."""
BLIND = Fraction(1053, 100)
"""Another's mark found blind: false with probability <= 2^-80 per test."""

MIN_CARRIERS = 8_000
MAX_CARRIERS = 2**24
FOUR_SLOTS_FROM = 10_000_000
MAX_GAMMA = 8.0
PAYLOAD_SIZES = (256, 128, 64)

QUANTUM = 2763
CLIP = 4096
ROBUST_RMS = 1.4826
"""Standard deviation of a normal distribution in medians of its absolute value."""
CLIP_RMS = 4.0
"""Where embedding clips."""
NOT_CARRYING = frozenset({"attention", "embedding", "position", "head"})
"""Parts of dotted tensor names whose weights carry nothing."""
_CHUNK = 2**20
_PLANES = 14
_WORDS = 4096

Shapes = Mapping[str, Sequence[int]]
Weights = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Band:
    """A slot's carriers in one tensor: odd columns of rows [first, end) of the [out, columns] view."""

    name: str
    first: int
    end: int
    columns: int

    @property
    def carriers(self) -> int:
        return (self.end - self.first) * (self.columns // 2)


@dataclass(frozen=True, slots=True)
class Detection:
    """What one slot key reads from one set of weights. `correlation` and `energy` are exact integers."""

    correlation: int
    """Σ c_j · b_i · q_j."""
    energy: int
    """Σ q_j²."""
    n: int
    """Payload bits read."""
    bits_wrong: int

    @property
    def strength(self) -> float:
        """S = correlation / √energy, for display; decisions are made by `reaches`."""
        return self.correlation / sqrt(self.energy) if self.energy else 0.0

    @property
    def log2_false_positive(self) -> float:
        """Upper bound on log2 of the probability that a random key reads this strength: -S²/2 · log2(e)."""
        return -(self.strength**2) / 2 * log2(e) if self.correlation > 0 else 0.0

    @property
    def log2_bits_by_chance(self) -> float:
        """log2 of the exact probability that n fair coins show at most `bits_wrong` wrong ones."""
        return log2(sum(comb(self.n, wrong) for wrong in range(self.bits_wrong + 1))) - self.n

    @property
    def is_detected(self) -> bool:
        """The mark is this miner's own: S >= OWN."""
        return self.reaches(OWN)

    def reaches(self, threshold: Fraction) -> bool:
        """S >= threshold, decided in integers."""
        return reaches(self.correlation, self.energy, threshold)


def shapes_of(weights: Weights) -> dict[str, tuple[int, ...]]:
    """The shapes by name, as the other functions take them."""
    return {name: tuple(tensor.shape) for name, tensor in weights.items()}


def carries(name: str, shape: Sequence[int]) -> bool:
    """Whether a tensor takes part: two or more dimensions, and no part of its name in NOT_CARRYING."""
    return len(shape) >= 2 and NOT_CARRYING.isdisjoint(name.split("."))


def slot_count(shapes: Shapes) -> int:
    """Slots of a model: two, and four from ten million carriers (never one: opening burns slot 0)."""
    return 4 if sum(out * (columns // 2) for _, out, columns in _matrices(shapes)) >= FOUR_SLOTS_FROM else 2


def carriers_per_slot(shapes: Shapes) -> int:
    """Carriers of every slot; below MIN_CARRIERS a model can't be marked and its task is refused."""
    return sum(band.carriers for band in bands(shapes, 0))


def bands(shapes: Shapes, slot: int) -> list[Band]:
    """A slot's carriers, from shapes alone: equally many rows of each tensor for every slot, in slot order.

    Above MAX_CARRIERS all tensors give up rows in proportion. Raises BadInput for a slot the model does not have.
    """
    slots = slot_count(shapes)
    if not 0 <= slot < slots:
        raise BadInput(f"watermark slot: expected 0 to {slots - 1} for this model, found {slot}")
    matrices = _matrices(shapes)
    total = sum(out // slots * (columns // 2) for _, out, columns in matrices)
    found = []
    for name, out, columns in matrices:
        rows = out // slots
        kept = rows * MAX_CARRIERS // total if total > MAX_CARRIERS else rows
        if kept and columns > 1:
            found.append(Band(name, slot * rows, slot * rows + kept, columns))
    return found


def strengths(carriers: int) -> tuple[int, float]:
    """(n, γ): payload bits and the least correlation each bit is given, in its own standard deviations.

    The relative distortion √(n(γ²+1)/carriers) stays at or below 1/4: first n falls, to 64 (whose bits alone are
    worth 2^-64), then γ. S after embedding is about γ√n. n follows from the carriers, so a verifier knows it.
    """
    for n in PAYLOAD_SIZES:
        if carriers >= 16 * n * (MAX_GAMMA**2 + 1):
            return n, MAX_GAMMA
    n = PAYLOAD_SIZES[-1]
    return n, sqrt(max(carriers / (16 * n) - 1, 0.0))


def payload(chain_id: int, market: Address, task_id: int, round: int, miner: Address, slot: int) -> bytes:
    """The 32 bytes whose bits a slot carries: they bind the mark to one miner's work on one round."""
    words = [chain_id, int(market, 16), task_id, round, int(miner, 16), slot]
    return hashlib.sha256(b"dlbc-wm/v1/payload" + b"".join(word.to_bytes(32, "big") for word in words)).digest()


def payload_bits(payload: bytes, n: int) -> NDArray[np.int8]:
    """The first n bits as ±1 (bit 0 → +1), lowest bit of each byte first."""
    return _signs(payload, n)


def chips(slot_key: bytes, count: int) -> NDArray[np.int8]:
    """`count` secret signs ±1: the bits of ChaCha20's keystream under a zero nonce, lowest bit first."""
    return _signs(_keystream(slot_key, (count + 7) // 8), count)


def embed(weights: Weights, slot_key: bytes, slot: int, payload: bytes) -> None:
    """Marks one slot in place: the least change after which every bit correlates by at least γ.

    weights: float32 arrays by name, writable and C-contiguous. With u = clip(w / robust rms, ±4), brought to rms 1,
    and z_i = m_i^(-1/2) Σ c_j u_j over the m_i carriers of bit i, moves w_j by (γ - b_i z_i)₊ · b_i c_j / √m_i rms.
    The supports of the bits are disjoint, so this is the exact projection. Repeating it changes next to nothing.
    Raises BadInput for a model with too few carriers or only zeros, VerificationFailed for NaN or infinity.
    """
    found = bands(shapes_of(weights), slot)
    carriers = sum(band.carriers for band in found)
    if carriers < MIN_CARRIERS:
        raise BadInput(f"watermark: a slot needs {MIN_CARRIERS} carriers, this model has {carriers}")
    n, gamma = strengths(carriers)
    views = []
    for band in found:
        tensor = weights[band.name]
        if tensor.dtype != np.float32 or not tensor.flags.c_contiguous or not tensor.flags.writeable:
            raise BadInput(f"watermark: {band.name} must be a writable, contiguous float32 array")
        views.append(_carriers(tensor, band))
        if not np.isfinite(views[-1]).all():
            raise VerificationFailed(f"weights: {band.name} was expected to be finite, found NaN or infinity")
    scales = [np.float32(ROBUST_RMS * _median(view.ravel())) for view in views]
    unit = np.concatenate(
        [
            np.clip(view / scale, -CLIP_RMS, CLIP_RMS).ravel() if scale else np.zeros(view.size, np.float32)
            for view, scale in zip(views, scales, strict=True)
        ]
    )
    rms = sqrt(float(np.square(unit).mean(dtype=np.float64)))
    if not rms:
        raise BadInput("watermark: every carrier is zero, there is nothing to mark")
    signs = chips(slot_key, carriers)
    bits = payload_bits(payload, n)
    sums = _by_bit(unit * signs, n)
    roots = np.sqrt(_carriers_by_bit(carriers, n))
    lacking = np.maximum(gamma - bits * sums / (roots * rms), 0.0)
    step = (rms * lacking * bits / roots).astype(np.float32)
    change = np.resize(step, carriers) * signs
    start = 0
    for view, scale in zip(views, scales, strict=True):
        view += change[start : start + view.size].reshape(view.shape) * scale
        start += view.size


def detect(weights: Weights, slot_key: bytes, slot: int, payload: bytes) -> Detection:
    """Reads one slot. weights: float32 arrays by name with the task's shapes (check_model has compared them).

    Raises VerificationFailed for NaN, infinity or another dtype anywhere in the weights.
    """
    return read(quantise(weights, slot), slot_key, payload)


def quantise(weights: Weights, slot: int) -> NDArray[np.int16]:
    """The slot's carriers as pinned integers: the only step that sees floats, done once for any number of keys.

    Raises VerificationFailed as `detect`.
    """
    for name, tensor in weights.items():
        if tensor.dtype.kind != "f" or tensor.dtype.itemsize != 4:
            raise VerificationFailed(f"weights: {name} was expected as float32, found {tensor.dtype}")
        if tensor.size and not (np.isfinite(tensor.max()) and np.isfinite(tensor.min())):
            raise VerificationFailed(f"weights: {name} was expected to be finite, found NaN or infinity")
    found = bands(shapes_of(weights), slot)
    quantised = np.zeros(sum(band.carriers for band in found), np.int16)
    start = 0
    for band in found:
        values = _carriers(weights[band.name], band).astype(np.float32).ravel()
        median = _median(values)
        for first in range(0, values.size if median else 0, _CHUNK):
            part = values[first : first + _CHUNK].astype(np.float64)
            part *= QUANTUM
            part /= median
            np.clip(np.rint(part, out=part), -CLIP, CLIP, out=part)
            quantised[start + first : start + first + part.size] = part
        start += values.size
    return quantised


def read(quantised: NDArray[np.int16], slot_key: bytes, payload: bytes) -> Detection:
    """Correlates `quantise`'s integers with one key's chips and one payload; integers only."""
    n, _ = strengths(quantised.size)
    signs = chips(slot_key, quantised.size)
    sums = np.zeros(n, np.int64)
    energy = 0
    rows = _CHUNK // n * n
    for start in range(0, quantised.size, rows):
        part = quantised[start : start + rows]
        # |q| <= 2^12, so q·c fits int16, a chunk's 2^14 rows of it fit int32, and q² <= 2^24 is summed in int64.
        sums += _by_bit(part * signs[start : start + rows], n, np.int32)
        energy += int(np.square(part, dtype=np.int32).sum(dtype=np.int64))
    agreement = sums * payload_bits(payload, n)
    return Detection(int(agreement.sum()), energy, n, int(np.count_nonzero(agreement <= 0)))


@dataclass(frozen=True, slots=True)
class Planes:
    """`quantise`'s integers turned over for many keys: word w of plane p holds bit p of carriers 64w .. 64w + 63."""

    words: NDArray[np.uint64]
    """[14, ceil(carriers / 64)], two's complement, the last plane counts negatively; lowest bit first."""
    carriers: int
    total: int
    """Σ q_j."""
    energy: int
    """Σ q_j²."""


def planes(quantised: NDArray[np.int16]) -> Planes:
    """Prepares a slot for `correlate`. Takes as much memory as the integers themselves."""
    words = np.zeros((_PLANES, -(-quantised.size // 64)), np.uint64)
    rows = words.view(np.uint8).reshape(_PLANES, -1)
    energy = 0
    for start in range(0, quantised.size, _CHUNK):
        part = quantised[start : start + _CHUNK].view(np.uint16)
        for plane in range(_PLANES):
            packed = np.packbits((part >> plane).astype(np.uint8) & 1, bitorder="little")
            rows[plane, start // 8 : start // 8 + packed.size] = packed
        energy += int(np.square(quantised[start : start + _CHUNK], dtype=np.int32).sum(dtype=np.int64))
    return Planes(words, quantised.size, int(quantised.sum(dtype=np.int64)), energy)


def correlate(planes: Planes, slot_keys: Sequence[bytes], payloads: Sequence[bytes]) -> list[int]:
    """Σ c_j·b_i·q_j for each (key, payload): what `read` finds, about three times as fast, without the single bits.

    A sign c·b is -1 where keystream and payload bits differ, so the sum is Σ q - 2 Σ_{differ} q, and the second sum is
    Σ_p ±2^p popcount(plane_p AND differ). All integers; sums stay below 2^37. `reaches` decides on the result.
    """
    n, _ = strengths(planes.carriers)
    weights = [1 << plane for plane in range(_PLANES - 1)] + [-(1 << (_PLANES - 1))]
    found = []
    for slot_key, payload in zip(slot_keys, payloads, strict=True):
        differ = np.frombuffer(_keystream(slot_key, planes.words.shape[1] * 8), np.uint64)
        pattern = np.tile(np.frombuffer(payload, np.uint64, n // 64), _WORDS * 64 // n)
        counts = np.zeros(_PLANES, np.int64)
        for start in range(0, differ.size, _WORDS):
            part = differ[start : start + _WORDS]
            part = part ^ pattern[: part.size]
            counts += np.bitwise_count(planes.words[:, start : start + _WORDS] & part).sum(axis=1, dtype=np.int64)
        differing = sum(weight * int(count) for weight, count in zip(weights, counts, strict=True))
        found.append(planes.total - 2 * differing)
    return found


def reaches(correlation: int, energy: int, threshold: Fraction) -> bool:
    """S = correlation / √energy >= threshold, decided in integers."""
    return correlation > 0 and (correlation * threshold.denominator) ** 2 >= threshold.numerator**2 * energy


def _median(values: NDArray[np.float32]) -> float:
    """The lower median of the non-zero absolute values; 0 if all are zero. An order statistic: no arithmetic."""
    absolute = np.abs(values)
    absolute = absolute[absolute > 0]
    if not absolute.size:
        return 0.0
    middle = (absolute.size - 1) // 2
    absolute.partition(middle)
    return float(absolute[middle])


def _matrices(shapes: Shapes) -> list[tuple[str, int, int]]:
    return [(name, shape[0], prod(shape[1:])) for name, shape in sorted(shapes.items()) if carries(name, shape)]


def _keystream(slot_key: bytes, size: int) -> bytes:
    if len(slot_key) != 32:
        raise BadInput(f"slot key: expected 32 bytes, found {len(slot_key)}")
    return Cipher(ChaCha20(slot_key, bytes(16)), mode=None).encryptor().update(bytes(size))


def _carriers(tensor: NDArray[Any], band: Band) -> NDArray[Any]:
    return tensor.reshape(tensor.shape[0], band.columns)[band.first : band.end, 1::2]


def _signs(data: bytes, count: int) -> NDArray[np.int8]:
    bits = np.unpackbits(np.frombuffer(data, np.uint8), count=count, bitorder="little").view(np.int8)
    bits *= -2
    bits += 1
    return bits


def _carriers_by_bit(carriers: int, n: int) -> NDArray[np.int64]:
    return np.full(n, carriers // n) + (np.arange(n) < carriers % n)


def _by_bit(values: NDArray[Any], n: int, dtype: Any = np.float64) -> NDArray[Any]:
    """Sums of the values whose index is i modulo n."""
    whole = values.size // n * n
    sums = values[:whole].reshape(-1, n).sum(axis=0, dtype=dtype)
    sums[: values.size - whole] += values[whole:]
    return np.asarray(sums)
