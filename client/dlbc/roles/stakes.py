"""An auditor's stake: put in, made active, taken out, and what it earns (P-56, P-60).

Every command looks first and sends only what is missing, so that running it again after a crash costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from dlbc.core.disputes import dividend, spread
from dlbc.core.errors import Refused, TryLater
from dlbc.core.events import Receipt
from dlbc.core.phases import duration
from dlbc.core.types import Address, Timestamp, Wei
from dlbc.core.units import format_amount
from dlbc.ports import Chain, Pool
from dlbc.roles.cases import account_of
from dlbc.roles.collecting import collect_votes, pull_credits
from dlbc.roles.loop import Report, unheard
from dlbc.roles.outcome import Agree, Outcome, agreed

STAKE_SHARE = 20
"""Clients warn about a bounty above this part of the active stake (P-57)."""


@dataclass(frozen=True, slots=True)
class Staker:
    """One account's stake in one market's pool."""

    chain: Chain
    pool: Pool
    report: Report = unheard
    agree: Agree = agreed

    def stake(self, amount_wei: Wei, *, more: bool = False) -> Outcome:
        """Stakes; what is staked already is not staked again unless `more` says so."""
        me = self._me()
        _refuse_in_flight(self.chain, me)
        now, stake, params = self.chain.now(), self.pool.stake_of(me), self.pool.params()
        if (stake.active_wei or stake.pending_wei) and not more:
            return Outcome(
                f"This account has a stake already: {format_amount(stake.active_wei)} active, "
                f"{format_amount(stake.pending_wei)} pending. Nothing was sent; add --more to stake "
                f"{format_amount(amount_wei)} on top."
            )
        balance = self.chain.balance(me)
        if balance < amount_wei:
            raise Refused(
                f"staking sends {format_amount(amount_wei)}, {me} holds {format_amount(balance)}; nothing was sent"
            )
        waits_again = stake.pending_wei and stake.ready_at > now
        self.agree(
            f"Stake {format_amount(amount_wei)}? A part of it can be lost in every vote against the majority, and it "
            f"comes back {duration(params.unbonding_seconds)} after `dlbc auditor unstake`"
            + (f". The {format_amount(stake.pending_wei)} pending start to wait again" if waits_again else "")
        )
        receipt = self.pool.stake(amount_wei)
        ready = self.pool.stake_of(me).ready_at
        self.report("staked", wei=amount_wei, ready_at=ready, tx=receipt.tx_hash, gas=receipt.gas_used)
        return Outcome(
            f"Staked {format_amount(amount_wei)}. It earns and votes after `dlbc auditor activate`, "
            f"{_from(now, ready)}.",
            (receipt,),
            amount_wei,
        )

    def activate(self) -> Outcome:
        """Makes pending stake active. Raises TryLater before its time."""
        me = self._me()
        stake, now = self.pool.stake_of(me), self.chain.now()
        if not stake.pending_wei:
            if not stake.active_wei:
                return Outcome("Nothing is staked; begin with `dlbc auditor stake AMOUNT`.")
            return Outcome(f"Nothing is pending; {format_amount(stake.active_wei)} are active already.")
        if now < stake.ready_at:
            raise TryLater(
                f"{format_amount(stake.pending_wei)} can be activated {_from(now, stake.ready_at)}, not before; "
                "so nobody stakes for a dispute that is known already"
            )
        receipt = self.pool.activate(me)
        active = self.pool.stake_of(me).active_wei
        self.report("stake_activated", wei=stake.pending_wei, tx=receipt.tx_hash, gas=receipt.gas_used)
        return Outcome(f"{format_amount(active)} are active: they earn and vote.", (receipt,), stake.pending_wei)

    def unstake(self, amount_wei: Wei, *, more: bool = False) -> Outcome:
        """Begins to take stake out; what is on its way out already is not added to unless `more` says so."""
        me = self._me()
        _refuse_in_flight(self.chain, me)
        stake, now = self.pool.stake_of(me), self.chain.now()
        if stake.unbonding_wei and not more:
            return Outcome(
                f"{format_amount(stake.unbonding_wei)} are on their way out already, to be fetched with `dlbc auditor "
                f"finish` {_from(now, stake.free_at)}. Nothing was sent; add --more to take out "
                f"{format_amount(amount_wei)} more, which starts the wait again for all of it."
            )
        there = stake.active_wei + stake.pending_wei
        if there < amount_wei:
            raise Refused(
                f"{format_amount(amount_wei)} are more than the stake: {format_amount(stake.active_wei)} active and "
                f"{format_amount(stake.pending_wei)} pending (what open votes hold is not part of it)"
            )
        self.agree(f"Take {format_amount(amount_wei)} out of the stake? It stops earning and voting now")
        receipt = self.pool.unstake(amount_wei)
        free = self.pool.stake_of(me).free_at
        self.report("unstake_begun", wei=amount_wei, free_at=free, tx=receipt.tx_hash, gas=receipt.gas_used)
        return Outcome(
            f"{format_amount(amount_wei)} leave the stake; fetch them with `dlbc auditor finish` {_from(now, free)}.",
            (receipt,),
            amount_wei,
        )

    def finish(self) -> Outcome:
        """Brings home what has finished unbonding. Raises TryLater before its time."""
        me = self._me()
        stake, now = self.pool.stake_of(me), self.chain.now()
        receipts: list[Receipt] = []
        if stake.unbonding_wei:
            if now < stake.free_at:
                raise TryLater(f"{format_amount(stake.unbonding_wei)} can be fetched {_from(now, stake.free_at)}")
            receipts.append(self.pool.finish_unstake(me))
            self.report("unstake_finished", wei=stake.unbonding_wei, tx=receipts[-1].tx_hash, gas=receipts[-1].gas_used)
        home = pull_credits(self.chain, self.pool, me, self.report)
        receipts += home.receipts
        if not receipts:
            return Outcome("Nothing is on its way out of the stake and nothing is owed; there was nothing to do.")
        return Outcome(f"{home.sentence}.", tuple(receipts), home.wei)

    def dividends(self) -> Outcome:
        """Shares out the fees, collects this account's finished votes, and brings its dividend home.

        A finished vote that is not collected would count as missed, so those come first.
        """
        me = self._me()
        receipts = list(collect_votes(self.chain, self.pool, me, self.report).receipts)
        active, waiting = self.pool.totals()
        if self.chain.credit(self.pool.address) > 0 or spread(waiting, active).shared_wei > 0:
            receipts.append(self.pool.collect_fees())
        accrued, ballots, votes = self.pool.dividend(me)
        if accrued:
            taken = dividend(accrued, ballots, votes).paid_wei
            if taken < accrued:
                self.agree(
                    f"Take {format_amount(taken)} of {format_amount(accrued)}? This account took part in {ballots} of "
                    f"{votes} votes; the rest returns to the other auditors"
                )
            receipts.append(self.pool.claim_dividends())
            self.report("dividend_claimed", accrued_wei=accrued, ballots=ballots, votes=votes)
        home = pull_credits(self.chain, self.pool, me, self.report)
        receipts += home.receipts
        if not home.receipts:
            return Outcome("No dividend has accrued and nothing is owed.", tuple(receipts))
        told = f" ({ballots} of {votes} votes taken part in)" if votes else ""
        return Outcome(f"{home.sentence}{told}.", tuple(receipts), home.wei)

    def _me(self) -> Address:
        return account_of(self.pool)


def stake_warning(bounty_wei: int, active_wei: int) -> str:
    """Why a bounty is too large for the stake that protects it; "" if it is not (P-57)."""
    if bounty_wei * STAKE_SHARE <= active_wei:
        return ""
    return (
        f"the bounty of {format_amount(bounty_wei)} is more than a twentieth of all active stake "
        f"({format_amount(active_wei)}): a false claim could be worth more than the votes against it"
    )


def _refuse_in_flight(chain: Chain, account: Address) -> None:
    """What was sent before a crash and is not mined yet may be this very call."""
    waiting = chain.finish_sent()
    if waiting:
        raise TryLater(
            f"{waiting} transactions of {account} are not mined yet, and one of them may be this very call, sent "
            "before a crash; wait, then run the same command again"
        )


def _from(now: Timestamp, moment: Timestamp) -> str:
    return "now" if moment <= now else f"in {duration(moment - now)}"
