"""What a transaction may cost, and what it takes to replace one that waits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dlbc.adapters.chain.rpc import Rpc, RpcError
from dlbc.core.errors import TryLater, Usage

MAX_TIP = 50 * 10**9
"""Wei per gas: a lying node must not make us pay the account away."""
DEFAULT_TIP = 10**9
GWEI = 10**9


@dataclass(frozen=True, slots=True)
class Fees:
    """Wei for one gas."""

    most: int
    tip: int
    base: int = 0  # of the latest block

    @property
    def fields(self) -> dict[str, int]:
        """As a transaction has them."""
        return {"maxFeePerGas": self.most, "maxPriorityFeePerGas": self.tip}


def read_fees(rpc: Rpc) -> Fees:
    """What the chain asks now: good for six full blocks in a row."""
    block = rpc.record("eth_getBlockByNumber", ["latest", False])
    if block is None or "baseFeePerGas" not in block:
        raise Usage(f"{rpc.name}: the chain has no EIP-1559 base fee; use a chain that has")
    base = rpc.as_quantity("eth_getBlockByNumber", block["baseFeePerGas"])
    try:
        tip = min(MAX_TIP, rpc.quantity("eth_maxPriorityFeePerGas", []))
    except RpcError:
        tip = DEFAULT_TIP
    return Fees(2 * base + tip, tip, base)


def allowed(call: str, fees: Fees, ceiling: int | None) -> Fees:
    """As far as the owner allows. Raises TryLater while that is too little."""
    if ceiling is None:
        return fees
    if fees.base >= ceiling:
        raise TryLater(
            f"{call}: one gas costs {in_gwei(fees.base)} gwei now, max_fee_gwei allows {in_gwei(ceiling)}; it is sent "
            "when gas is cheaper, or raise max_fee_gwei"
        )
    return Fees(min(fees.most, ceiling), min(fees.tip, ceiling), fees.base)


def affordable(fees: Fees, gas: int, wei: int) -> Fees | None:
    """What an account with so many wei offers for so much gas, if the next block can take it; else None.

    Six full blocks in a row are rarer than an account that fees have made poor, and a reveal has a deadline.
    """
    most = min(fees.most, wei // gas)
    if most < fees.most and most <= fees.base * 9 // 8:
        return None
    return Fees(most, min(fees.tip, most - fees.base), fees.base) if most < fees.most else fees


def fees_of(transaction: Mapping[str, Any]) -> Fees:
    """What a transaction offers."""
    return Fees(transaction["maxFeePerGas"], transaction["maxPriorityFeePerGas"])


def is_left_behind(offered: Fees, asked: Fees) -> bool:
    """The chain asks for more than the transaction offers."""
    return asked.most > offered.most or asked.tip > offered.tip


def replacing(offered: Fees, asked: Fees, ceiling: int | None) -> Fees | None:
    """What replaces a transaction: an eighth more, as nodes ask, or what the chain asks; None: above the ceiling."""
    least, least_tip = offered.most * 9 // 8 + 1, offered.tip * 9 // 8 + 1
    if ceiling is not None and least > ceiling:
        return None
    most = max(asked.most if ceiling is None else min(asked.most, ceiling), least)
    return Fees(most, min(most, max(asked.tip, least_tip)))


def in_gwei(wei: int) -> str:
    """As people compare prices, exactly."""
    whole, part = divmod(wei, GWEI)
    return f"{whole}.{part:09d}".rstrip("0").rstrip(".")
