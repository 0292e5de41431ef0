"""Money and time as people write and read them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from dlbc.core.errors import BadInput
from dlbc.core.units import format_amount, format_duration, format_ppm, parse_amount, parse_duration
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "wei"),
    [
        ("1.5 ether", 15 * 10**17),
        ("200 gwei", 200 * 10**9),
        ("7 wei", 7),
        ("7", 7),
        (12, 12),
        ("0.000000000000000001 ether", 1),
    ],
)
def test_parse_amount__units__exact_wei(text: object, wei: int) -> None:
    """Amounts are exact in every unit."""
    assert wei == parse_amount(text)


@pytest.mark.parametrize(
    "text",
    ["", ".", "9e999999 ether", "1e5000 ether", "0x10", "nan", "inf ether", "\u0661 ether", "1" * 41, "1e", "e1"],
)
def test_parse_amount__no_plain_number__refused(text: str) -> None:
    """Whoever writes an exponent gets a sentence, and no number of a million digits."""
    with pytest.raises(BadInput, match="expected an amount"):
        parse_amount(text)


@pytest.mark.parametrize("parse", [parse_amount, parse_duration])
@pytest.mark.parametrize("sign", [1, -1])
def test_parse__number_too_long_to_print__refused_in_one_sentence(parse: Callable[[object], int], sign: int) -> None:
    """Python refuses to print more than 4,300 digits."""
    with pytest.raises(BadInput, match="a number of 20001 bits"):
        parse(sign * 2**20_000)


@given(st.integers(0, 2**96 - 1))
def test_format_amount__any__parses_back(wei: int) -> None:
    """What we print can be typed in again and is the same money."""
    assert wei == parse_amount(format_amount(wei))


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("2h", 7200), ("1d12h", 129_600), ("1h 30m", 5400), (5, 5)])
def test_parse_duration__forms__seconds(text: object, seconds: int) -> None:
    """Durations add up from their parts."""
    assert seconds == parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (-4, "0s"), (45, "45s"), (7500, "2h 5m"), (93_784, "1d 2h"), (3600, "1h")]
)
def test_format_duration__sizes__two_largest_parts(seconds: int, text: str) -> None:
    """Two parts are enough to read."""
    assert text == format_duration(seconds)


def test_format_ppm__share__percentage() -> None:
    """Scores read as percentages, cut, never rounded up."""
    assert (format_ppm(972_299), format_ppm(99), format_ppm(1_000_000)) == ("97.22 %", "0.00 %", "100.00 %")
