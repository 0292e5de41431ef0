"""Hashing many rows at once gives what hashing each alone gives."""

from __future__ import annotations

import numpy as np
import pytest
from dlbc.core.hashing import keccak
from dlbc.core.keccak import keccak_rows

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("width", [0, 1, 31, 32, 64, 128, 134, 135, 136, 137, 160, 271, 272, 273])
@pytest.mark.parametrize("count", [1, 1023, 1024, 8193])
def test_keccak_rows__any_width_and_count__as_one_by_one(width: int, count: int) -> None:
    """Around the border of a block, of the numpy path and of a batch of rows."""
    rows = np.random.default_rng(width).integers(0, 256, (count, width), dtype=np.uint8)

    found = keccak_rows(rows)

    assert found.shape == (count, 32)
    for index in {0, count // 2, count - 1}:
        assert keccak(rows[index].tobytes()) == found[index].tobytes()


def test_keccak_rows__every_row_of_a_batch__its_own_hash() -> None:
    """Rows do not mix."""
    rows = np.random.default_rng(0).integers(0, 256, (1100, 160), dtype=np.uint8)

    assert [keccak(row.tobytes()) for row in rows] == [row.tobytes() for row in keccak_rows(rows)]
