"""Canonical JSON from strangers is bounded before it is parsed, in time as in depth."""

from __future__ import annotations

import time
from typing import Any

import pytest
from dlbc.core import canonical
from dlbc.core.errors import BadInput
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.unit

MEGABYTE = 1 << 20
LEAVES = st.integers(0, canonical.MAX_INT) | st.text(max_size=20)
VALUES = st.dictionaries(
    st.text(max_size=10),
    st.recursive(
        LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner), max_leaves=6
    ),
    max_size=5,
)


def nested(depth: int) -> bytes:
    """A table with lists in it, `depth` levels in all."""
    return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


@given(value=VALUES)
def test_canonical__any_table__comes_back(value: dict[str, Any]) -> None:
    """Texts with brackets, quotes and backslashes in them are no nesting."""
    try:
        data = canonical.to_bytes(value)
    except UnicodeEncodeError:
        return
    deepest = depth_of(value) <= canonical.MAX_DEPTH

    if deepest:
        assert value == canonical.from_bytes(data, what="value", max_bytes=MEGABYTE)
    else:
        with pytest.raises(BadInput, match="nested at most"):
            canonical.from_bytes(data, what="value", max_bytes=MEGABYTE)


def depth_of(value: object) -> int:
    """Levels of tables and lists."""
    if isinstance(value, dict | list):
        items = value.values() if isinstance(value, dict) else value
        return 1 + max(map(depth_of, items), default=0)
    return 0


@pytest.mark.parametrize("text", ["[" * 50, '"[', '\\"[[[[[[[[[[', "\\", '\\\\"', "]}]}"])
def test_canonical__brackets_in_texts__no_nesting(text: str) -> None:
    """Only brackets outside texts count."""
    assert {"a": text} == canonical.from_bytes(canonical.to_bytes({"a": text}), what="value", max_bytes=1000)


def test_canonical__deepest_allowed_and_one_more__parsed_and_refused() -> None:
    """The bound is exact."""
    assert canonical.from_bytes(nested(canonical.MAX_DEPTH), what="value", max_bytes=1000)
    with pytest.raises(BadInput, match="nested at most 8 deep"):
        canonical.from_bytes(nested(canonical.MAX_DEPTH + 1), what="value", max_bytes=1000)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b'"' + b'\\"' * (MEGABYTE // 2), id="text never closed"),
        pytest.param(b'{"a' + b"\\" * MEGABYTE, id="backslashes"),
        pytest.param(b"[]" * (MEGABYTE // 2), id="lists"),
        pytest.param(b'""' * (MEGABYTE // 2), id="texts"),
        pytest.param(b"{" * MEGABYTE, id="deep"),
        pytest.param(b'{"a":' + b"1" * MEGABYTE, id="digits"),
        pytest.param(b'{"a":[' + b"1," * (MEGABYTE // 2), id="numbers"),
    ],
)
def test_canonical__hostile_megabyte__refused_quickly(data: bytes) -> None:
    """A megabyte of anything costs at most about a second of processor time, and never the process."""
    start = time.process_time()

    with pytest.raises(BadInput, match="value: expected"):
        canonical.from_bytes(data, what="value", max_bytes=2 * MEGABYTE)

    assert time.process_time() - start < 2.0
