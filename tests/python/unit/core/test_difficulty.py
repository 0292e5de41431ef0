"""Difficulty and rank follow P-80 and P-81; floating point and exact fractions check the integers."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import pytest
from dlbc.core.difficulty import difficulty, log2_millionths, rank
from dlbc.core.errors import BadInput
from dlbc.core.types import ZERO_ADDRESS, Params, Workload
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.unit

PARAMS = Params(
    200, 2000, 1, 7_776_000, 0, 86_400, 500_000, 200_000, 200_000, 100_000, 21_600, 1_800, pool=ZERO_ADDRESS
)
DIGITS = Workload(
    parameters=50_890, flops_per_sample=101_632, samples=60_000, epochs=10, data_bytes=188_160_000, model_bytes=250_000
)
LIMIT = 2**160
NUMERATORS = st.integers(0, 160).flatmap(lambda bits: st.integers(0, 2**bits - 1))
UNITS = st.integers(1, 64).flatmap(lambda bits: st.integers(1, 2**bits - 1))


@given(n=NUMERATORS, d=UNITS)
def test_log2_millionths__any_quotient__within_two_millionths_of_the_float(n: int, d: int) -> None:
    """The integer algorithm is log2(1 + n/d), never above it."""
    expected = math.log2(n + d) - math.log2(d) if n > d else math.log1p(n / d) / math.log(2)

    assert abs(log2_millionths(n, d) / 1e6 - expected) < 2e-6


@pytest.mark.parametrize("bits", [0, 1, 2, 63, 64, 65, 127, 159])
def test_log2_millionths__power_of_two__exact(bits: int) -> None:
    """Whole bits carry no rounding error."""
    assert bits * 1_000_000 == log2_millionths(2**bits - 1, 1)


def test_log2_millionths__one_and_two_thirds__exact_digits() -> None:
    """log2(3) = 1.584962 and log2(5/3) = 0.736965, rounded down."""
    assert (log2_millionths(2, 1), log2_millionths(2, 3)) == (1_584_962, 736_965)


@given(n=NUMERATORS, d=UNITS, more=st.integers(1, 2**20))
def test_log2_millionths__larger_numerator__never_smaller(n: int, d: int, more: int) -> None:
    """More work is never less difficult."""
    assert log2_millionths(n, d) <= log2_millionths(min(n + more, LIMIT - 1), d)


@pytest.mark.parametrize(("n", "d"), [(LIMIT, 1), (-1, 1), (1, 0), (1, -1), (1, LIMIT), (10**1000, 1)])
def test_log2_millionths__beyond_the_limits__refused(n: int, d: int) -> None:
    """What the contract would revert on is refused here too."""
    with pytest.raises(BadInput, match="expected"):
        log2_millionths(n, d)


def test_difficulty__worked_example__as_computed_by_hand() -> None:
    """The four factors of P-80 with default weights, from logarithms computed in floating point."""
    operations = 3 * 101_632 * 60_000 * 10
    factors = [
        0.5 * math.log2(1 + operations / 1e9),
        0.2 * math.log2(1 + (188_160_000 + 500_000) / 2**20),
        0.2 * math.log2(1 + 188_160_000 / 2**20),
        0.1 * math.log2(1 + 4),
    ]

    assert abs(difficulty(DIGITS, 4, PARAMS) - sum(factors) * 1e6) < 3


@pytest.mark.parametrize("name", ["flops_per_sample", "samples", "epochs", "data_bytes", "model_bytes"])
def test_difficulty__any_factor_grows__grows(name: str) -> None:
    """Complexity, data size and network burden each raise the difficulty."""
    larger = replace(DIGITS, **{name: 2 * getattr(DIGITS, name)})

    assert difficulty(DIGITS, 1, PARAMS) < difficulty(larger, 1, PARAMS)


def test_difficulty__queue_grows__grows() -> None:
    """A longer queue raises the difficulty of what is posted now."""
    assert difficulty(DIGITS, 1, PARAMS) < difficulty(DIGITS, 2, PARAMS)


def test_difficulty__workload_beyond_the_limit__refused() -> None:
    """A workload whose operations reach 2^160 is refused, as on chain."""
    most = replace(DIGITS, flops_per_sample=2**64 - 1, samples=2**64 - 1, epochs=2**32 - 1)

    with pytest.raises(BadInput, match=r"below 2\^160"):
        difficulty(most, 1, PARAMS)


@given(
    gwei=st.integers(0, 2**66),
    dust=st.integers(0, 10**9 - 1),
    waited=st.integers(0, 2**40),
    hardness=st.integers(1, 2**28),
    aging=st.integers(1, 2**25),
)
def test_rank__any_task__is_the_formula_rounded_once(
    gwei: int, dust: int, waited: int, hardness: int, aging: int
) -> None:
    """P-81: gwei · (aging + waited) · 1e6 / (aging · D); less than a gwei never counts."""
    expected = Fraction(gwei * (aging + waited) * 10**6, aging * hardness)

    assert math.floor(expected) == rank(gwei * 10**9 + dust, waited, hardness, aging)


def test_rank__waited_one_ageing_time__doubles() -> None:
    """Ageing doubles the rank in one ageing time, so nothing starves."""
    assert 2 * rank(10**18, 0, 1_000_000, 86_400) == rank(10**18, 86_400, 1_000_000, 86_400)


@pytest.mark.parametrize(("hardness", "aging"), [(0, 1), (1, 0)])
def test_rank__zero_divisor__refused(hardness: int, aging: int) -> None:
    """A rank needs a difficulty and an ageing time."""
    with pytest.raises(BadInput, match="above 0"):
        rank(1, 1, hardness, aging)
