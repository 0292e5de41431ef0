"""Money and time as people write them: "1.5 ether", "200 gwei", "2h", "1h30m". Exact, never through a float."""

from __future__ import annotations

import re
from decimal import Decimal, localcontext

from dlbc.core.errors import BadInput
from dlbc.core.types import Wei

_DECIMALS = {"ether": 18, "eth": 18, "gwei": 9, "wei": 0}
_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_NUMBER = re.compile(r"[+-]?(?=\.?[0-9])[0-9]{0,40}(?:\.[0-9]{0,40})?(?:[eE][+-]?[0-9]{1,2})?")
"""Exponents are short: 1e999999 would take a megabyte to write down."""
_DURATION = re.compile(r"\s*([0-9]{1,9})\s*([dhms])")
MAX_WEI = 2**96 - 1
MAX_SECONDS = 2**32 - 1


def parse_amount(value: object, name: str = "amount") -> Wei:
    """Wei from a whole number of wei or a string with a unit (ether, gwei, wei). Raises BadInput."""
    if isinstance(value, int) and not isinstance(value, bool):
        return _bounded_wei(value, name)
    expected = f'{name}: expected an amount such as "1.5 ether" or whole wei'
    if not isinstance(value, str):
        raise BadInput(f"{expected}, found {str(value)[:40]!r}")
    number, _, unit = value.strip().partition(" ")
    decimals = _DECIMALS.get(unit.strip().lower() or "wei")
    if decimals is None or not _NUMBER.fullmatch(number):
        raise BadInput(f"{expected}, found {value[:40]!r}")
    with localcontext(prec=120):
        wei = Decimal(number).scaleb(decimals)
        whole = wei == wei.to_integral_value()
    if not whole:
        raise BadInput(f"{name}: {value[:40]!r} is not a whole number of wei")
    return _bounded_wei(int(wei), name)


def parse_duration(value: object, name: str = "duration") -> int:
    """Seconds from whole seconds or a string such as "90s", "2h" or "1d12h". Raises BadInput."""
    expected = f'{name}: expected a duration such as "90s", "2h" or "1d12h"'
    if isinstance(value, int) and not isinstance(value, bool):
        seconds = value
    elif isinstance(value, str) and value.strip():
        seconds, position = 0, 0
        while position < len(value.rstrip()):
            part = _DURATION.match(value, position)
            if part is None:
                raise BadInput(f"{expected}, found {value[:40]!r}")
            seconds += int(part[1]) * _SECONDS[part[2]]
            position = part.end()
    else:
        raise BadInput(f"{expected}, found {str(value)[:40]!r}")
    if not 1 <= seconds <= MAX_SECONDS:
        found = seconds if seconds.bit_length() < 200 else f"a number of {seconds.bit_length()} bits"
        raise BadInput(f"{name}: expected 1 to {MAX_SECONDS} seconds, found {found}")
    return seconds


def format_amount(wei: int) -> str:
    """Exact, in the unit that reads best: "1.5 ether", "21000 wei"."""
    sign, size = ("-", -wei) if wei < 0 else ("", wei)
    if size == 0:
        return "0 ether"
    unit, decimals = ("ether", 18) if size >= 10**12 else ("wei", 0)
    whole, rest = divmod(size, 10**decimals)
    fraction = str(rest).rjust(decimals, "0").rstrip("0") if rest else ""
    return f"{sign}{whole}{'.' + fraction if fraction else ''} {unit}"


def format_duration(seconds: int) -> str:
    """The two largest parts: "2h 5m", "45s"; "0s" for nothing or less."""
    left, parts = max(0, seconds), []
    for letter, size in _SECONDS.items():
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{letter}")
    return " ".join(parts[:2]) or "0s"


def format_ppm(ppm: int) -> str:
    """A share as a percentage with two decimals: "97.22 %"."""
    return f"{ppm // 10_000}.{ppm % 10_000 // 100:02d} %"


def _bounded_wei(wei: int, name: str) -> Wei:
    if not 0 <= wei <= MAX_WEI:
        found = format_amount(wei) if wei.bit_length() < 200 else f"a number of {wei.bit_length()} bits"
        raise BadInput(f"{name}: expected 0 to {MAX_WEI} wei, found {found}")
    return Wei(wei)
