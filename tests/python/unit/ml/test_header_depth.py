"""A model file must not be able to end the process that checks it."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from dlbc.adapters.ml.weights import check_model
from dlbc.core.architecture import Architecture
from dlbc.core.errors import VerificationFailed

pytestmark = pytest.mark.unit


@pytest.fixture
def _recursion_limit_of_our_wallet_library() -> Iterator[None]:
    """Importing eth_account sets this limit; a parser that recurses that deep overruns the stack."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.usefixtures("_recursion_limit_of_our_wallet_library")
@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_check_model__header_nested_deep_under_a_high_recursion_limit__refused(opening: bytes) -> None:
    """The nesting is bounded before the header is parsed."""
    header = opening * (1_000_000 // len(opening))
    data = len(header).to_bytes(8, "little") + header

    with pytest.raises(VerificationFailed, match="safetensors header in JSON"):
        check_model(data, Architecture("mlp", (2,), 2, ()), max_bytes=2_000_000)
