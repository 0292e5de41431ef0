"""Who gets what when a round ends; every wei of the input is in exactly one share (P-21, P-60)."""

from __future__ import annotations

from typing import NamedTuple

from dlbc.core.errors import BadInput
from dlbc.core.types import Wei

BPS = 10_000


class Settlement(NamedTuple):
    """Shares of a settled round's bounty."""

    paid_wei: Wei  # to the winner, with every rounding remainder
    fee_wei: Wei  # to the auditor pool
    royalty_wei: Wei  # to the miner of the declared parent


class Refuted(NamedTuple):
    """Shares of a refuted claim's deposit (M-6)."""

    refuter_wei: Wei
    pool_wei: Wei


class Abortion(NamedTuple):
    """Shares of the requester's bond when a task is aborted."""

    share_wei: Wei  # to each committer, on top of its deposit
    pool_wei: Wei  # to the auditor pool, with the remainder


def settlement(bounty_wei: int, fee_bps: int, royalty_bps: int, has_parent: bool) -> Settlement:
    """Splits a round's bounty; fee and royalty are rounded down. Raises BadInput when they exceed it."""
    if bounty_wei < 0 or fee_bps < 0 or royalty_bps < 0 or fee_bps + royalty_bps > BPS:
        raise BadInput(f"payout: expected fee + royalty within {BPS} bps, found {fee_bps} + {royalty_bps}")
    fee = bounty_wei * fee_bps // BPS
    royalty = bounty_wei * royalty_bps // BPS if has_parent else 0
    return Settlement(Wei(bounty_wei - fee - royalty), Wei(fee), Wei(royalty))


def abortion(bond_wei: int, committers: int) -> Abortion:
    """Splits the bond: half shared equally by the round's committers that were not struck, the rest to the pool.

    Without committers the pool gets all of it. Raises BadInput.
    """
    if bond_wei < 0 or committers < 0:
        raise BadInput(f"payout: expected no negative number, found a bond of {bond_wei} and {committers} committers")
    share = bond_wei // 2 // committers if committers else 0
    return Abortion(Wei(share), Wei(bond_wei - share * committers))


def refutation(deposit_wei: int) -> Refuted:
    """Splits the deposit of a refuted claim: a third to the refuter, the rest to the pool (M-6)."""
    return Refuted(Wei(deposit_wei // 3), Wei(deposit_wei - deposit_wei // 3))


def void_fee(bounty_wei: int, fee_bps: int, is_fee_due: bool) -> Wei:
    """What a void round costs the requester: the fee of one round if a vote struck a leader (P-20)."""
    return Wei(bounty_wei * fee_bps // BPS if is_fee_due else 0)
