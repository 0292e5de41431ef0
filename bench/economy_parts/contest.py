"""One round of the market in play, with the money of TaskMarket.sol (dlbc.core.payouts). Every wei of it comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dlbc.core import payouts
from dlbc.core.types import Ruling, Verdict

from economy_parts.books import Account, Books, Escrow
from economy_parts.court import POOL, Case, Court
from economy_parts.setting import Rules


@dataclass(slots=True)
class Entry:
    """One miner's entry."""

    miner: Account
    commit_seq: int
    total: float = 0.0
    qualifies: bool = False
    has_revealed: bool = False
    is_struck: bool = False


class Round:
    """A task of one round, from posting until all of its money is back in wallets."""

    def __init__(
        self, task_id: int, books: Books, court: Court, rules: Rules, requester: Account, bounty_wei: int
    ) -> None:
        self.books, self.court, self.rules = books, court, rules
        self.requester = requester
        self.bounty_wei = bounty_wei
        self.deposit_wei = rules.deposit(bounty_wei)
        self.bond_wei = rules.bond(bounty_wei)
        self.escrow: Escrow = ("market", task_id)
        self.entries: dict[Account, Entry] = {}
        self.is_fee_due = False
        self.outcome = "open"
        self.extra_seconds = 0  # beyond a round in which nothing goes wrong
        books.lock(requester, self.escrow, bounty_wei, "bounty")
        books.lock(requester, self.escrow, self.bond_wei, "requester bond")
        books.gas(requester, "post")

    # ---------------------------------------------------------------- commit, release, reveal

    def commit(self, miner: Account) -> Entry:
        self.books.lock(miner, self.escrow, self.deposit_wei, "deposit")
        self.books.gas(miner, "commit")
        entry = self.entries[miner] = Entry(miner, len(self.entries) + 1)
        return entry

    def release(self) -> None:
        self.books.gas(self.requester, "release")

    def reveal(self, miner: Account, total: float, qualifies: bool) -> None:
        entry = self.entries[miner]
        entry.total, entry.qualifies, entry.has_revealed = total, qualifies, True
        self.books.gas(miner, "reveal")

    def leader(self) -> Entry | None:
        """The best qualifying claim: higher total, then lower commitSeq (P-43)."""
        left = [entry for entry in self.entries.values() if entry.qualifies and not entry.is_struck]
        return min(left, key=lambda entry: (-entry.total, entry.commit_seq), default=None)

    # ---------------------------------------------------------------- strikes and votes

    def strike_silent(self, miner: Account) -> None:
        """The leader did not open: its deposit is dividends; one opening and one nominating window are lost."""
        self._strike(miner)
        self.court.collect_fees(self.escrow, self.deposit_wei)
        self.extra_seconds += 2 * self.rules.open_seconds

    def refute(self, miner: Account, refuter: Account) -> None:
        self._strike(miner)
        shares = payouts.refutation(self.deposit_wei)
        self.books.credit(self.escrow, refuter, shares.refuter_wei, "refuter's third")
        self.court.collect_fees(self.escrow, shares.pool_wei)
        self.books.gas(refuter, "refute")
        self.extra_seconds += self.rules.open_seconds

    def displace(self, miner: Account) -> None:
        """An earlier commit revealed the leader's model: it no longer qualifies, and keeps its deposit (P-33)."""
        self.entries[miner].qualifies = False
        self.extra_seconds += self.rules.open_seconds

    def dispute(self, defendant: Account, *filers: Account) -> Case:
        case = Case(self.rules.dispute_bond(self.bounty_wei), defendant, True, self.court.snapshot())
        for filer in filers:
            self.court.file(case, filer)
            self.books.gas(filer, "dispute")
        return case

    def impeach(self, filer: Account) -> Case:
        case = Case(self.rules.dispute_bond(self.bounty_wei), self.requester, False, self.court.snapshot())
        self.court.file(case, filer)
        self.books.gas(filer, "impeach")
        return case

    def conclude(self, case: Case) -> int:
        """What the market does with a ruling: a claim that falls is struck. Returns what it forfeits to the pool."""
        attempt = max(0, case.attempts - 1)
        self.extra_seconds += 2 * self.rules.market.vote_seconds << attempt
        if case.ruling is not Ruling.FALLS:
            return 0
        if not case.is_claim:
            return self.abort()
        self.is_fee_due = True
        self._strike(case.defendant)
        self.extra_seconds += 2 * self.rules.open_seconds  # nominate, open
        self.extra_seconds += self.rules.challenge_seconds
        self.books.shift(self.escrow, POOL, self.deposit_wei)
        return self.deposit_wei

    def _strike(self, miner: Account) -> None:
        self.entries[miner].is_struck = True

    # ---------------------------------------------------------------- ends

    def settle(self, parent: Account | None = None) -> None:
        """The leader is paid, the bond goes back, deposits are reclaimed (P-60, P-61)."""
        leader = self.leader()
        assert leader is not None, "settle: nobody leads"
        shares = payouts.settlement(self.bounty_wei, self.rules.fee_bps, self.rules.royalty_bps, parent is not None)
        self.books.credit(self.escrow, leader.miner, shares.paid_wei, "prize")
        if parent is not None:
            self.books.credit(self.escrow, parent, shares.royalty_wei, "royalty")
        self.court.collect_fees(self.escrow, shares.fee_wei)
        self.books.credit(self.escrow, self.requester, self.bond_wei, "requester bond")
        self.books.gas(leader.miner, "settle")
        self._end("settled")

    def void(self) -> None:
        """No claim is left: bounty and bond go back, less the fee if a vote struck a leader (P-20)."""
        fee = payouts.void_fee(self.bounty_wei, self.rules.fee_bps, self.is_fee_due)
        self.books.credit(self.escrow, self.requester, self.bounty_wei - fee, "bounty")
        self.books.credit(self.escrow, self.requester, self.bond_wei, "requester bond")
        self.court.collect_fees(self.escrow, fee)
        self.books.gas(self.requester, "void")
        self._end("void")

    def abort(self) -> int:
        """Not released, or impeached: half of the bond to the committers, the rest to the pool, returned (P-21)."""
        committers = [entry for entry in self.entries.values() if not entry.is_struck]
        shares = payouts.abortion(self.bond_wei, len(committers))
        for entry in committers:
            self.books.credit(self.escrow, entry.miner, self.deposit_wei, "deposit")
            self.books.credit(self.escrow, entry.miner, shares.share_wei, "share of the bond")
            self.books.gas(entry.miner, "reclaim from aborted")
        self.books.credit(self.escrow, self.requester, self.bounty_wei, "bounty")
        self.books.shift(self.escrow, POOL, shares.pool_wei)
        self.outcome = "aborted"
        self._check_empty()
        return shares.pool_wei

    def abort_unreleased(self) -> None:
        self.court.waiting_wei += self.abort()
        self.books.gas(self.requester, "abort")

    def _end(self, outcome: str) -> None:
        """Revealed, unstruck deposits go back; those never revealed to the pool (P-61)."""
        self.outcome = outcome
        for entry in self.entries.values():
            if entry.is_struck:
                continue
            if entry.has_revealed:
                self.books.credit(self.escrow, entry.miner, self.deposit_wei, "deposit")
                self.books.gas(entry.miner, "reclaim")
            else:
                self.court.collect_fees(self.escrow, self.deposit_wei)
        self._check_empty()

    def _check_empty(self) -> None:
        left = self.books.escrows.pop(self.escrow, 0)
        assert left == 0, f"{self.escrow}: {left} wei are left of a task that is over"


@dataclass(frozen=True, slots=True)
class Trial:
    """A case before the court, and how the auditors will vote on it."""

    round_: Round
    case: Case
    verdicts: Mapping[Account, Verdict]


def decide(*trials: Trial) -> None:
    """Votes held at the same time: all ballots are cast before any lock comes back. Repeats have the same ballots."""
    running = list(trials)
    while running:
        for trial in running:
            voters = {voter: verdict for voter, verdict in trial.verdicts.items() if voter in trial.case.snapshot}
            trial.round_.court.cast(trial.case, voters)
        for trial in running:
            _resolve(trial)
        running = [trial for trial in running if trial.case.ruling is Ruling.REPEAT]


def _resolve(trial: Trial) -> None:
    round_, case = trial.round_, trial.case
    books = round_.books
    ruling = round_.court.count(case)
    round_.court.collect(case, round_.conclude(case))
    for voter in case.locks:
        opened = ["reveal vote", "collect vote"] if case.verdicts[voter] else []
        books.gas(voter, "commit vote", *opened)
    books.gas(round_.requester, _RESOLVED[ruling])
    if ruling is not Ruling.REPEAT:
        for filer in case.filers:
            books.gas(filer, "collect bond")


_RESOLVED = {
    Ruling.REPEAT: "resolve: repeat",
    Ruling.FALLS: "resolve: falls",
    Ruling.STANDS: "resolve: stands",
    Ruling.SPLIT: "resolve: stands",
    Ruling.NO_QUORUM: "resolve: no quorum",
}
