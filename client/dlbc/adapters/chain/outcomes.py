"""What became of a transaction, or of the wish to send one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dlbc.adapters.chain.errors import refusal
from dlbc.adapters.chain.rpc import Rpc, RpcError
from dlbc.core.errors import ChainUnreachable, ContractRefused, Refused
from dlbc.core.types import Address, Hash32
from dlbc.core.units import format_amount


@dataclass(frozen=True, slots=True)
class Mined:
    """A mined and successful transaction."""

    tx_hash: Hash32
    block_number: int
    gas_used: int
    logs: tuple[Mapping[str, Any], ...]


def read_mined(rpc: Rpc, call: str, request: Mapping[str, str], tx_hash: Hash32, receipt: Mapping[str, Any]) -> Mined:
    """What a receipt says. `request` is the call, to be simulated. Raises ContractRefused if it failed."""
    method = "eth_getTransactionReceipt"
    if rpc.as_data(method, receipt.get("transactionHash")) != tx_hash:
        raise rpc.malformed(method, "the transaction that was asked for")
    block = rpc.as_quantity(method, receipt.get("blockNumber"))
    if rpc.as_quantity(method, receipt.get("status")) != 1:
        failed = _failed(rpc, call, request, tx_hash, block)
        failed.is_mined = True
        raise failed
    logs = receipt.get("logs")
    if not isinstance(logs, list) or not all(isinstance(log, Mapping) for log in logs):
        raise rpc.malformed(method, "a list of logs")
    gas = rpc.as_quantity(method, receipt.get("gasUsed"))
    return Mined(tx_hash, block, gas, tuple(logs))


def _failed(rpc: Rpc, call: str, request: Mapping[str, str], tx_hash: Hash32, block: int) -> ContractRefused:
    """Why a mined transaction failed: the same call again, in the state it met or left."""
    for state in (block, block - 1):
        try:
            rpc.request("eth_call", [request, hex(state)])
        except RpcError as error:
            if error.is_revert:
                return refusal(call, error.revert_data, error.message)
    return ContractRefused(
        f"{call}: transaction 0x{tx_hash.hex()} failed in block {block}, though the same call passes before and after "
        "it; look at the task's phase, then try again"
    )


def rejected(rpc: Rpc, account: Address, call: str, error: RpcError) -> Refused | ChainUnreachable:
    """The error for a request the node did not carry out."""
    if error.is_revert:
        return refusal(call, error.revert_data, error.message)
    if "insufficient funds" in error.message.lower():
        return Refused(f"{call}: {account} can't pay for this; send it ether ({error.message[:120]})")
    return ChainUnreachable(f"{call}: {rpc.name} refused it ({error.message[:200]}); try again later")


def too_poor(call: str, account: Address, needed: int, balance: int) -> Refused:
    """The error for an account that can't pay."""
    return Refused(
        f"{call}: needs {format_amount(needed)} with gas, {account} has {format_amount(balance)}; send it more"
    )
