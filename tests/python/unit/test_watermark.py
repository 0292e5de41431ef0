"""The mark: where it goes, what it costs, and who reads it."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from dlbc.core import watermark
from dlbc.core.errors import BadInput, VerificationFailed
from dlbc.core.types import Address
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

pytestmark = pytest.mark.unit

MARKET = Address("0x" + "11" * 20)
MINER = Address("0x" + "22" * 20)
KEY = bytes(range(32))
PAYLOAD = watermark.payload(31337, MARKET, 1, 0, MINER, 0)
SMALL = {
    "convs.0.weight": (32, 1, 3, 3),
    "convs.0.bias": (32,),
    "linears.0.weight": (256, 160),
    "linears.1.weight": (10, 256),
}

Weights = dict[str, NDArray[np.float32]]


def weights_of(shapes: dict[str, tuple[int, ...]] = SMALL, seed: int = 0) -> Weights:
    random = np.random.default_rng(seed)
    return {
        name: random.standard_normal(shape, dtype=np.float32) * np.float32(sqrt(2 / np.prod(shape[1:], dtype=int)))
        for name, shape in shapes.items()
    }


def copied(weights: Weights) -> Weights:
    return {name: tensor.copy() for name, tensor in weights.items()}


def test_bands__any_model__are_odd_columns_of_disjoint_rows_and_equally_many() -> None:
    """No carrier belongs to two slots, and every slot owns rows of every tensor that has enough of them."""
    slots = [watermark.bands(SMALL, slot) for slot in range(watermark.slot_count(SMALL))]

    assert len({sum(band.carriers for band in bands) for bands in slots}) == 1
    for first, second in zip(*slots, strict=True):
        assert first.name == second.name
        assert first.end <= second.first
    assert [band.name for band in slots[0]] == ["convs.0.weight", "linears.0.weight", "linears.1.weight"]
    assert watermark.carriers_per_slot(SMALL) == 16 * 4 + 128 * 80 + 5 * 128


def test_bands__names_in_another_order__stay_the_same() -> None:
    """The layout follows from shapes alone, not from the order in which somebody's file lists them."""
    assert watermark.bands(SMALL, 1) == watermark.bands(dict(reversed(SMALL.items())), 1)


def test_bands__slot_the_model_does_not_have__is_refused() -> None:
    """A slot index comes from a record on chain, so it is checked."""
    with pytest.raises(BadInput, match="expected 0 to 1"):
        watermark.bands(SMALL, 2)


@pytest.mark.parametrize(("rows", "slots"), [(9_999, 2), (10_000, 4)])
def test_slot_count__around_ten_million_carriers__is_two_then_four(rows: int, slots: int) -> None:
    """Small models have two slots, large ones four."""
    assert watermark.slot_count({"w": (rows, 2_000)}) == slots


@given(st.lists(st.tuples(st.integers(1, 2**15), st.integers(1, 2**15)), min_size=1, max_size=6))
def test_bands__any_shapes__stay_inside_the_tensors_and_below_the_limit(sizes: list[tuple[int, int]]) -> None:
    """A slot never has more than 2^24 carriers, never leaves its tensor, and slots never overlap."""
    shapes = {f"w{index}": shape for index, shape in enumerate(sizes)}
    last_ends: dict[str, int] = {}
    for slot in range(watermark.slot_count(shapes)):
        bands = watermark.bands(shapes, slot)
        assert sum(band.carriers for band in bands) == watermark.carriers_per_slot(shapes) <= 2**24
        for band in bands:
            assert last_ends.get(band.name, 0) <= band.first < band.end <= shapes[band.name][0]
            last_ends[band.name] = band.end


@given(st.integers(watermark.MIN_CARRIERS, 2**24))
def test_strengths__any_carriers__distort_at_most_a_quarter_and_are_read_with_margin(carriers: int) -> None:
    """ρ = √(n(γ²+1)/N) <= 1/4, and the strength after embedding is well above the threshold."""
    n, gamma = watermark.strengths(carriers)

    assert sqrt(n * (gamma**2 + 1) / carriers) <= 0.25 + 1e-9
    assert gamma * sqrt(n) / sqrt(1 + 1 / 16) > 1.5 * float(watermark.OWN)


@pytest.mark.parametrize(
    ("carriers", "expected"), [(2**24, (256, 8.0)), (266_240, (256, 8.0)), (266_239, (128, 8.0)), (66_560, (64, 8.0))]
)
def test_strengths__at_the_edges__lower_the_bits_before_gamma(carriers: int, expected: tuple[int, float]) -> None:
    """n falls 256, 128, 64 while γ stays 8; only then γ falls."""
    assert watermark.strengths(carriers) == expected
    assert watermark.strengths(66_559)[0] == 64
    assert 7.9 < watermark.strengths(66_559)[1] < 8


def test_payload__any_field_changed__is_another_payload() -> None:
    """The mark is bound to chain, market, task, round, miner and slot."""
    variants = [
        (31337, MARKET, 1, 0, MINER, 0),
        (1, MARKET, 1, 0, MINER, 0),
        (31337, MINER, 1, 0, MINER, 0),
        (31337, MARKET, 2, 0, MINER, 0),
        (31337, MARKET, 1, 1, MINER, 0),
        (31337, MARKET, 1, 0, MARKET, 0),
        (31337, MARKET, 1, 0, MINER, 1),
    ]

    assert len({watermark.payload(*fields) for fields in variants}) == len(variants)


def test_chips__key_of_another_length__is_refused() -> None:
    """A slot key is 32 bytes."""
    with pytest.raises(BadInput, match="32 bytes, found 31"):
        watermark.chips(bytes(31), 8)


def test_embed__every_slot__is_detected_without_a_wrong_bit() -> None:
    """Both slots read far above 13.32 after one projection, and marking one leaves the other alone."""
    weights = weights_of()
    watermark.embed(weights, KEY, 0, PAYLOAD)
    first = watermark.detect(weights, KEY, 0, PAYLOAD)
    watermark.embed(weights, KEY[::-1], 1, PAYLOAD)

    second = watermark.detect(weights, KEY[::-1], 1, PAYLOAD)
    assert first == watermark.detect(weights, KEY, 0, PAYLOAD)
    for found in (first, second):
        assert found.is_detected
        assert found.strength > 20
        assert found.bits_wrong == 0
        assert found.n == 64
        assert found.log2_bits_by_chance == -64
        assert found.log2_false_positive < -280


def test_embed__even_columns_and_biases__do_not_change() -> None:
    """Even columns serve alignment, so the mark must not touch them."""
    before = weights_of()
    after = copied(before)

    watermark.embed(after, KEY, 0, PAYLOAD)

    for name, tensor in after.items():
        flat, original = tensor.reshape(len(tensor), -1), before[name].reshape(len(tensor), -1)
        np.testing.assert_array_equal(original[:, 0::2], flat[:, 0::2])
    np.testing.assert_array_equal(before["convs.0.bias"], after["convs.0.bias"])


def test_embed__marked_tensor__moves_by_about_a_quarter_of_its_norm_at_most() -> None:
    """ρ <= 0.25 of the carriers' norm, layer by layer."""
    before = weights_of()
    after = copied(before)

    watermark.embed(after, KEY, 0, PAYLOAD)

    for band in watermark.bands(SMALL, 0):
        old = before[band.name].reshape(-1, band.columns)[band.first : band.end, 1::2]
        new = after[band.name].reshape(-1, band.columns)[band.first : band.end, 1::2]
        assert np.linalg.norm(new - old) <= 0.30 * np.linalg.norm(old)


def test_embed__again__changes_next_to_nothing() -> None:
    """The projection stays where the mark already is: repeating it during training costs nothing."""
    weights = weights_of()
    watermark.embed(weights, KEY, 0, PAYLOAD)
    once = copied(weights)

    watermark.embed(weights, KEY, 0, PAYLOAD)

    for name, tensor in weights.items():
        assert np.abs(tensor - once[name]).max() <= 0.02 * np.abs(once[name]).max()


@pytest.mark.parametrize(
    ("shapes", "sentence"),
    [({"w": (100, 300)}, "needs 8000 carriers, this model has 7500"), ({"b": (10**6,)}, "this model has 0")],
)
def test_embed__too_few_carriers__is_refused(shapes: dict[str, tuple[int, ...]], sentence: str) -> None:
    """A model that can't be read with margin is never marked."""
    with pytest.raises(BadInput, match=sentence):
        watermark.embed(weights_of(shapes), KEY, 0, PAYLOAD)


def test_embed__all_zero_or_unwritable_weights__is_refused() -> None:
    """Nothing to mark, or a copy that would be marked in vain, is an error and not a silent success."""
    with pytest.raises(BadInput, match="every carrier is zero"):
        watermark.embed({"w": np.zeros((256, 256), np.float32)}, KEY, 0, PAYLOAD)
    weights = weights_of()
    weights["linears.0.weight"].flags.writeable = False
    with pytest.raises(BadInput, match=r"linears\.0\.weight must be a writable"):
        watermark.embed(weights, KEY, 0, PAYLOAD)
    with pytest.raises(BadInput, match="w must be a writable"):
        watermark.embed({"w": np.ones((256, 256))}, KEY, 0, PAYLOAD)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "place", [("linears.0.weight", (0, 1)), ("linears.0.weight", (255, 0)), ("convs.0.bias", (3,))]
)
def test_detect__nan_or_infinity_anywhere__is_refused(value: float, place: tuple[str, tuple[int, ...]]) -> None:
    """Weights that are not numbers have no mark and no absence of one."""
    weights = weights_of()
    name, index = place
    weights[name][index] = value

    with pytest.raises(VerificationFailed, match="found NaN or infinity"):
        watermark.detect(weights, KEY, 0, PAYLOAD)


def test_detect__other_dtypes__are_refused() -> None:
    """The statistic is pinned for float32 only."""
    weights = {name: tensor.astype(np.float64) for name, tensor in weights_of().items()}

    with pytest.raises(VerificationFailed, match="expected as float32, found float64"):
        watermark.detect(weights, KEY, 0, PAYLOAD)


def test_detect__wrong_payload_or_slot__finds_nothing() -> None:
    """The right key with another miner's payload, or in another slot, reads noise."""
    weights = weights_of()
    watermark.embed(weights, KEY, 0, PAYLOAD)
    other = watermark.payload(31337, MARKET, 1, 0, MARKET, 0)

    assert not watermark.detect(weights, KEY, 1, PAYLOAD).reaches(watermark.BLIND)
    assert not watermark.detect(weights, KEY, 0, other).is_detected


@pytest.mark.parametrize("is_marked", [True, False])
def test_read__two_thousand_wrong_keys__stay_below_the_bound(is_marked: bool) -> None:
    """The empirical tail of S over wrong keys lies under exp(-s²/2), on marked and on unmarked weights."""
    weights = weights_of(seed=5)
    if is_marked:
        watermark.embed(weights, KEY, 0, PAYLOAD)
    quantised = watermark.quantise(weights, 0)
    random = np.random.default_rng(6)

    strengths = np.array([watermark.read(quantised, random.bytes(32), PAYLOAD).strength for _ in range(2000)])

    assert strengths.max() < 6
    assert abs(strengths.mean()) < 0.1
    for least in (1.0, 2.0, 3.0):
        assert np.mean(strengths >= least) <= np.exp(-(least**2) / 2)


def test_detection__at_the_threshold__is_decided_in_integers() -> None:
    """S = 13.32 exactly counts; one unit more of energy, where floats can't tell, does not."""
    at = watermark.Detection(1332 * 10**6, 10**16, 64, 0)
    below = watermark.Detection(1332 * 10**6, 10**16 + 1, 64, 0)

    assert at.is_detected
    assert not below.is_detected
    assert at.strength == below.strength == 13.32
    assert at.log2_false_positive == pytest.approx(-128, abs=0.1)
    assert watermark.Detection(1053, 10**4, 64, 0).log2_false_positive == pytest.approx(-80, abs=0.1)


def test_detection__negative_correlation__is_never_a_mark() -> None:
    """Inverted chips square to the same S²; the sign is looked at first."""
    inverted = watermark.Detection(-(10**6), 10**4, 64, 64)

    assert not inverted.is_detected
    assert inverted.log2_false_positive == 0
    assert inverted.log2_bits_by_chance == 0


def test_detection__some_wrong_bits__have_the_exact_binomial_tail() -> None:
    """P(at most 1 wrong of 3 coins) = 4/8."""
    assert watermark.Detection(0, 1, 3, 1).log2_bits_by_chance == -1
