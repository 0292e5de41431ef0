"""Difficulty and rank, to the last digit as contracts/libraries/DifficultyLib.sol (P-80, P-81)."""

from __future__ import annotations

from dlbc.core.errors import BadInput
from dlbc.core.types import PPM, Params, Workload

MAX_NUMERATOR = 2**160
COMPLEXITY_UNIT = 10**9  # operations
BYTES_UNIT = 2**20
_TRAINING_PASSES = 3  # forward, and twice its work backward
_FRACTION_BITS = 32
_WEI_PER_GWEI = 10**9


def log2_millionths(n: int, d: int) -> int:
    """log2(1 + n/d) in millionths of a bit, rounded down by the normative algorithm of P-80.

    Raises BadInput unless 0 <= n < 2^160 and 0 < d < 2^160.
    """
    if not 0 <= n < MAX_NUMERATOR:
        raise BadInput(f"difficulty: expected a factor below 2^160, found one of {n.bit_length()} bits")
    if not 0 < d < MAX_NUMERATOR:
        raise BadInput(f"difficulty: expected a unit from 1 to 2^160 - 1, found {d}")
    v = ((n + d) << 64) // d
    msb = v.bit_length() - 1
    e = msb - 64
    m = v >> (msb - 127) if msb > 127 else v << (127 - msb)
    f = 0
    for _ in range(_FRACTION_BITS):
        m = m * m >> 127
        f *= 2
        if m >= 1 << 128:
            m >>= 1
            f += 1
    return ((e << _FRACTION_BITS) + f) * PPM >> _FRACTION_BITS


def difficulty(workload: Workload, queue: int, params: Params) -> int:
    """The weighted sum of the four factors in millionths of a bit (P-80).

    queue: tasks not yet cold, this one included. Raises BadInput for a workload beyond the bounds.
    """
    operations = _TRAINING_PASSES * workload.flops_per_sample * workload.samples * workload.epochs
    traffic = workload.data_bytes + 2 * workload.model_bytes
    weighted = (
        params.weight_complexity * log2_millionths(operations, COMPLEXITY_UNIT)
        + params.weight_network * log2_millionths(traffic, BYTES_UNIT)
        + params.weight_data * log2_millionths(workload.data_bytes, BYTES_UNIT)
        + params.weight_queue * log2_millionths(queue, 1)
    )
    return weighted // PPM


def rank(bounty_wei: int, waited: int, difficulty: int, aging: int) -> int:
    """gwei * (aging + waited) * 1e6 / (aging * difficulty), rounded down; higher comes first (P-81).

    Only whole gwei of the bounty count. waited: seconds since the task was posted. Raises BadInput for a zero divisor.
    """
    if difficulty <= 0 or aging <= 0:
        raise BadInput(f"rank: expected difficulty and ageing above 0, found {difficulty} and {aging}")
    return bounty_wei // _WEI_PER_GWEI * (aging + waited) * PPM // (aging * difficulty)
