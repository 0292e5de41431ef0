"""Every verifier gets the same integers, and a thief does not get rid of them cheaply."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from dlbc.core import watermark
from dlbc.core.errors import BadInput
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

pytestmark = pytest.mark.unit

KEY = hashlib.sha256(b"a slot key").digest()
PAYLOAD = hashlib.sha256(b"a payload").digest()
SHAPES = {"b": (30, 7, 3), "a": (129, 140), "bias": (9,), "c": (9, 31)}

Weights = dict[str, NDArray[np.float32]]


def pinned_weights() -> Weights:
    """Weights made of integers alone, so no random generator's version is part of the expectation."""
    weights = {}
    for name, shape in SHAPES.items():
        index = np.arange(np.prod(shape), dtype=np.uint64) + np.uint64(ord(name[0]))
        mixed = (index * index * np.uint64(2_654_435_761) + index * np.uint64(40_503)) % np.uint64(65_537)
        weights[name] = ((mixed.astype(np.float32) - 32_768) / 2**20).reshape(shape)
    return weights


def plain_detect(weights: Weights, key: bytes, slot: int, payload: bytes) -> tuple[int, int, int]:
    """The statistic once more, straight from the documentation in plain Python: (correlation, energy, wrong bits)."""
    slots = 2
    carriers: list[int] = []
    for name in sorted(weights):
        if weights[name].ndim < 2:
            continue
        rows = weights[name].reshape(len(weights[name]), -1).tolist()
        band = rows[len(rows) // slots * slot : len(rows) // slots * (slot + 1)]
        values = [value for row in band for value in row[1::2]]
        absolute = sorted(abs(value) for value in values if value)
        median = absolute[(len(absolute) - 1) // 2]
        carriers += [max(-4096, min(4096, round(2763 * value / median))) for value in values]
    stream = Cipher(algorithms.ChaCha20(key, bytes(16)), mode=None).encryptor().update(bytes(len(carriers)))
    n = 64
    sums = [0] * n
    for index, value in enumerate(carriers):
        chip = -1 if stream[index // 8] >> (index % 8) & 1 else 1
        bit = -1 if payload[index % n // 8] >> (index % n % 8) & 1 else 1
        sums[index % n] += chip * bit * value
    return sum(sums), sum(value * value for value in carriers), sum(value <= 0 for value in sums)


def test_detect__pinned_weights__give_the_integers_of_a_second_implementation() -> None:
    """numpy's answer is the documented one, to the last digit, marked or not, in every slot."""
    weights = pinned_weights()
    for slot in (0, 1):
        found = watermark.detect(weights, KEY, slot, PAYLOAD)
        assert plain_detect(weights, KEY, slot, PAYLOAD) == (found.correlation, found.energy, found.bits_wrong)


def test_detect__pinned_weights__give_the_recorded_integers() -> None:
    """A changed layout, chip order, quantisation or payload order would make old marks unreadable: it fails here."""
    found = watermark.detect(pinned_weights(), KEY, 0, PAYLOAD)

    assert (found.correlation, found.energy, found.n) == (-258235, 39917050911, 64)
    digest = hashlib.sha256(watermark.chips(KEY, 1000).tobytes()).hexdigest()
    assert digest == "1e9e1d9340d0dbd1544a25b313b8ac2e8450109163bdad930ee53c61fcb164d9"


def test_detect__swapped_byte_order__gives_the_same_integers() -> None:
    """Big-endian float32 holds the same numbers, so it reads the same."""
    weights = pinned_weights()
    other = ">" if sys.byteorder == "little" else "<"
    swapped = {name: tensor.astype(f"{other}f4") for name, tensor in weights.items()}

    assert watermark.detect(weights, KEY, 0, PAYLOAD) == watermark.detect(swapped, KEY, 0, PAYLOAD)


def test_detect__strided_or_fortran_arrays__give_the_same_integers() -> None:
    """The memory layout is no part of the weights."""
    weights = pinned_weights()
    turned = {name: np.asfortranarray(tensor) for name, tensor in weights.items()}

    assert watermark.detect(weights, KEY, 0, PAYLOAD) == watermark.detect(turned, KEY, 0, PAYLOAD)


def test_detect__many_threads_at_once__all_get_the_same_integers() -> None:
    """Nothing depends on threads."""
    weights = pinned_weights()
    expected = watermark.detect(weights, KEY, 0, PAYLOAD)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: watermark.detect(weights, KEY, 0, PAYLOAD), range(32)))

    assert [expected] * 32 == found


@given(st.integers(-60, 60))
def test_detect__scaled_by_a_power_of_two__gives_the_same_integers(exponent: int) -> None:
    """Rescaling every layer is no attack: q depends on ratios only."""
    weights = pinned_weights()
    scaled = {name: np.ldexp(tensor, exponent) for name, tensor in weights.items()}

    assert watermark.detect(weights, KEY, 0, PAYLOAD) == watermark.detect(scaled, KEY, 0, PAYLOAD)


def test_detect__a_chunk_longer_than_one__agrees_with_one_sum() -> None:
    """More carriers than one chunk of the reader are summed without loss."""
    random = np.random.default_rng(1)
    weights = {"w": random.standard_normal((1600, 2700), dtype=np.float32)}
    quantised = watermark.quantise(weights, 0).astype(np.int64)
    signs = watermark.chips(KEY, quantised.size).astype(np.int64)
    n, _ = watermark.strengths(quantised.size)
    bits = np.resize(watermark.payload_bits(PAYLOAD, n).astype(np.int64), quantised.size)

    found = watermark.detect(weights, KEY, 0, PAYLOAD)

    assert quantised.size > 2**20
    assert (int((quantised * signs * bits).sum()), int((quantised**2).sum())) == (found.correlation, found.energy)


def test_detect__all_zero_weights__read_nothing() -> None:
    """No energy is no mark, not a division by zero."""
    found = watermark.detect({"w": np.zeros((200, 200), np.float32)}, KEY, 0, PAYLOAD)

    assert (found.correlation, found.energy, found.strength) == (0, 0, 0.0)
    assert not found.is_detected


def one_column_blown_up(weights: Weights) -> None:
    for tensor in weights.values():
        tensor[:, 1] = 1e6


def a_tenth_of_the_columns_blown_up(weights: Weights) -> None:
    for tensor in weights.values():
        tensor[:, 1::20] = 1e20


def pruned_to_a_tenth(weights: Weights) -> None:
    for tensor in weights.values():
        tensor[np.abs(tensor) < np.quantile(np.abs(tensor), 0.9)] = 0


def pruned_to_dust(weights: Weights) -> None:
    for tensor in weights.values():
        tensor[np.abs(tensor) < np.quantile(np.abs(tensor), 0.7)] *= np.float32(1e-30)


def four_bits(weights: Weights) -> None:
    for tensor in weights.values():
        step = np.abs(tensor).max() / 7
        tensor[:] = np.rint(tensor / step) * step


def columns_centred(weights: Weights) -> None:
    for tensor in weights.values():
        tensor -= tensor.mean(axis=0)


def second_mark(weights: Weights) -> None:
    watermark.embed(weights, KEY[::-1], 0, PAYLOAD)


@pytest.mark.parametrize(
    "attack",
    [
        one_column_blown_up,
        a_tenth_of_the_columns_blown_up,
        pruned_to_a_tenth,
        pruned_to_dust,
        four_bits,
        columns_centred,
        second_mark,
    ],
)
def test_detect__attack_without_training__still_reads_the_mark(attack: Callable[[Weights], None]) -> None:
    """What costs a thief nothing does not remove a mark."""
    random = np.random.default_rng(3)
    weights = {name: random.standard_normal((300, 400), dtype=np.float32) for name in "ab"}
    watermark.embed(weights, KEY, 0, PAYLOAD)

    attack(weights)

    assert watermark.detect(weights, KEY, 0, PAYLOAD).is_detected


@given(st.integers(8_000, 9_500), st.integers(0, 2**32 - 1))
def test_correlate__any_integers_and_keys__find_what_read_finds(size: int, seed: int) -> None:
    """Many keys at once by counting bits, or one by one by adding: the same integers, at the extremes too."""
    random = np.random.default_rng(seed)
    quantised = random.integers(-watermark.CLIP, watermark.CLIP + 1, size).astype(np.int16)
    quantised[:3] = (watermark.CLIP, -watermark.CLIP, 0)
    keys, payloads = ([random.bytes(32) for _ in range(3)] for _ in range(2))

    turned = watermark.planes(quantised)

    one_by_one = [watermark.read(quantised, key, payload) for key, payload in zip(keys, payloads, strict=True)]
    assert watermark.correlate(turned, keys, payloads) == [found.correlation for found in one_by_one]
    assert {turned.energy} == {found.energy for found in one_by_one}


@pytest.mark.parametrize("carriers", [64 * 4096, 300_001, 2_200_000])
def test_correlate__every_payload_size_and_many_chunks__find_what_read_finds(carriers: int) -> None:
    """64, 128 and 256 payload bits repeat over words and chunks without a slip."""
    random = np.random.default_rng(carriers)
    quantised = random.integers(-99, 100, carriers).astype(np.int16)
    key, payload = random.bytes(32), random.bytes(32)

    found = watermark.correlate(watermark.planes(quantised), [key], [payload])

    assert found == [watermark.read(quantised, key, payload).correlation]


def test_correlate__key_of_another_length__is_refused() -> None:
    """Keys come from logs; one of 31 bytes is no key."""
    with pytest.raises(BadInput, match="slot key: expected 32 bytes, found 31"):
        watermark.correlate(watermark.planes(np.ones(8_000, np.int16)), [bytes(31)], [bytes(32)])


@pytest.mark.parametrize("name", ["blocks.0.attention.query.weight", "embedding.weight", "position", "head.weight"])
def test_carries__what_a_matrix_could_wash__takes_no_part(name: str) -> None:
    """Attention, embeddings and the head are named out; a name that only contains such a word is not."""
    assert not watermark.carries(name, (8, 8))
    assert watermark.carries(f"over{name}".replace(".", "_"), (8, 8))
    assert not watermark.carries("linears.0.bias", (8,))
