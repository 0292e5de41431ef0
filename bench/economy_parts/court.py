"""The auditor pool in play: stakes, dividends, disputes and votes, with the arithmetic of dlbc.core.disputes.

What AuditorPool.sol does call by call is done here vote by vote; tests hold it against tests/vectors/protocol.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dlbc.core import disputes
from dlbc.core.disputes import Spoils
from dlbc.core.types import Ruling, Tally, Verdict, Wei

from economy_parts.books import Account, Books, Escrow
from economy_parts.setting import BPS, Rules

POOL: Escrow = ("pool", 0)


def rule(rules: Rules, tally: Tally, snapshot_wei: int, attempt: int) -> Ruling:
    """dlbc.core.disputes.rule with quorum and majority as parameters; the same at a third and a half."""
    falls = tally.falls_wei + tally.unavailable_wei
    revealed = tally.stands_wei + falls
    quorum, majority = rules.quorum, rules.majority
    needed = snapshot_wei * rules.lock_bps * quorum.numerator
    if not revealed or not snapshot_wei or revealed * BPS * quorum.denominator < needed:
        return Ruling.NO_QUORUM if attempt else Ruling.REPEAT
    if falls * majority.denominator > revealed * majority.numerator:
        return Ruling.FALLS
    if tally.stands_wei * majority.denominator > revealed * majority.numerator:
        return Ruling.STANDS
    return Ruling.SPLIT


@dataclass(slots=True)
class Auditor:
    """One stake (P-56)."""

    active_wei: int = 0
    paid_index: int = 0
    accrued_wei: int = 0
    ballots: int = 0
    counted_votes: int = 0  # votes of the pool up to the last claim of dividends


@dataclass(slots=True)
class Case:
    """One dispute or impeachment, from the first filing to the last collection."""

    bond_wei: int
    defendant: Account
    is_claim: bool
    snapshot: dict[Account, int]
    filers: list[Account] = field(default_factory=list)
    ruling: Ruling = Ruling.NONE
    attempts: int = 0
    verdicts: Mapping[Account, Verdict] = field(default_factory=dict)  # of the present attempt
    locks: dict[Account, int] = field(default_factory=dict)

    def tally(self) -> Tally:
        sums = dict.fromkeys(Verdict, 0)
        for account, lock in self.locks.items():
            sums[self.verdicts[account]] += lock
        return Tally(
            committed_wei=Wei(sum(self.locks.values())),
            stands_wei=Wei(sums[Verdict.STANDS]),
            falls_wei=Wei(sums[Verdict.FALLS]),
            unavailable_wei=Wei(sums[Verdict.UNAVAILABLE]),
            pot_wei=Wei(0),
            winners_wei=Wei(0),
        )


class Court:
    """The pool: whatever it holds is in POOL, and is stakes, locks, bonds, accrued or waiting dividends."""

    def __init__(self, books: Books, rules: Rules) -> None:
        self.books = books
        self.rules = rules
        self.auditors: dict[Account, Auditor] = {}
        self.active_wei = 0
        self.waiting_wei = 0
        self.shared_wei = 0
        self.index = 0
        self.votes = 0

    # ---------------------------------------------------------------- stakes and dividends

    def stake(self, account: Account, wei: int) -> None:
        """Staked and active; the wait is over."""
        self.share()
        self.books.lock(account, POOL, wei, "stake")
        auditor = self.auditors.setdefault(account, Auditor(paid_index=self.index, counted_votes=self.votes))
        self._add(auditor, wei)

    def unstake(self, account: Account) -> int:
        """Everything, after unbonding."""
        auditor = self.auditors[account]
        wei = auditor.active_wei
        self._take(auditor, wei)
        self.books.credit(POOL, account, wei, "stake")
        return wei

    def collect_fees(self, escrow: Escrow, wei: int) -> None:
        """What the market owes the pool is dividends."""
        self.books.shift(escrow, POOL, wei)
        self.waiting_wei += wei

    def share(self) -> None:
        gain, shared = disputes.spread(self.waiting_wei, self.active_wei)
        self.index += gain
        self.waiting_wei -= shared
        self.shared_wei += shared

    def claim_dividends(self, account: Account) -> int:
        auditor = self.auditors[account]
        self._accrue(auditor)
        paid, returned = disputes.dividend(auditor.accrued_wei, auditor.ballots, self.votes - auditor.counted_votes)
        auditor.accrued_wei = auditor.ballots = 0
        auditor.counted_votes = self.votes
        self.waiting_wei += returned
        self.books.credit(POOL, account, paid, "dividend")
        return paid

    # ---------------------------------------------------------------- disputes

    def file(self, case: Case, filer: Account) -> None:
        self.books.lock(filer, POOL, case.bond_wei, "bond")
        case.filers.append(filer)

    def snapshot(self) -> dict[Account, int]:
        """Weights of a vote: what is active when the leader opens, or the test set is released."""
        return {account: auditor.active_wei for account, auditor in self.auditors.items()}

    def cast(self, case: Case, verdicts: Mapping[Account, Verdict]) -> None:
        """Sealed ballots of one attempt, in order; NONE = cast and never opened. Its lock leaves the stake at once."""
        case.verdicts, case.locks = verdicts, {}
        for account in verdicts:
            auditor = self.auditors[account]
            weight = case.snapshot.get(account, 0)
            lock = disputes.ballot_lock(weight, auditor.active_wei, self.rules.lock_bps)
            if lock:
                self._take(auditor, lock)
                case.locks[account] = lock

    def count(self, case: Case) -> Ruling:
        """What the ballots say. Locks of those that were not opened are dividends."""
        tally = case.tally()
        ruling = rule(self.rules, tally, sum(case.snapshot.values()), case.attempts)
        self.waiting_wei += tally.committed_wei - tally.stands_wei - tally.falls_wei - tally.unavailable_wei
        if case.attempts == 0 and ruling is not Ruling.REPEAT:
            self.votes += 1
        case.attempts += 1
        case.ruling = ruling
        return ruling

    def collect(self, case: Case, struck_wei: int = 0) -> Spoils:
        """Everybody collects what the count gives; struck_wei is in POOL already."""
        spoils = disputes.spoils(
            case.ruling,
            case.tally(),
            bond_wei=case.bond_wei,
            filers=len(case.filers),
            struck_wei=struck_wei,
            is_claim=case.is_claim,
        )
        self._collect_votes(case, spoils)
        if case.ruling is not Ruling.REPEAT:
            self._collect_bonds(case, spoils)
        return spoils

    def _collect_votes(self, case: Case, spoils: Spoils) -> None:
        pot, winners = int(spoils.voters_pot_wei), int(spoils.winners_wei)
        for account, lock in case.locks.items():
            verdict, auditor = case.verdicts[account], self.auditors[account]
            if verdict is Verdict.NONE:
                continue
            if case.attempts == 1 and case.ruling is not Ruling.REPEAT:
                auditor.ballots += 1
            if disputes.wins(case.ruling, verdict):
                share = disputes.vote_share(pot, winners, lock)
                pot, winners = pot - share, winners - lock
                self.books.credit(POOL, account, share, "vote")
            lost = disputes.lost(case.ruling, verdict, lock)
            if lost:
                self.books.note(account, "lock lost", -lost)
            if verdict is Verdict.UNAVAILABLE:
                self.waiting_wei += lost
            if lock > lost:
                self._add(auditor, lock - lost)

    def _collect_bonds(self, case: Case, spoils: Spoils) -> None:
        pot = int(spoils.filers_pot_wei)
        for left, filer in zip(range(len(case.filers), 0, -1), case.filers, strict=True):
            share = disputes.filer_share(pot, left)
            pot -= share
            self.books.credit(POOL, filer, spoils.returned_wei, "bond")
            self.books.credit(POOL, filer, share, "filer's third")
        self.books.credit(POOL, case.defendant, spoils.defendant_wei, "bonds of others")

    # ---------------------------------------------------------------- stake arithmetic

    def _add(self, auditor: Auditor, wei: int) -> None:
        self._accrue(auditor)
        auditor.active_wei += wei
        self.active_wei += wei

    def _take(self, auditor: Auditor, wei: int) -> None:
        self._accrue(auditor)
        auditor.active_wei -= wei
        self.active_wei -= wei
        if self.active_wei == 0:
            self.waiting_wei += self.shared_wei
            self.shared_wei = 0

    def _accrue(self, auditor: Auditor) -> None:
        earned = disputes.accrued(auditor.active_wei, self.index - auditor.paid_index)
        auditor.paid_index = self.index
        auditor.accrued_wei += earned
        self.shared_wei -= earned

    def held(self) -> int:
        """What the pool owes when no case is open; POOL holds exactly this."""
        accrued = sum(auditor.accrued_wei for auditor in self.auditors.values())
        return self.active_wei + self.waiting_wei + self.shared_wei + accrued


def tally_of(stands_wei: int, falls_wei: int) -> Tally:
    """Of a vote in which everybody opened its ballot."""
    both = stands_wei + falls_wei
    return Tally(Wei(both), Wei(stands_wei), Wei(falls_wei), Wei(0), Wei(0), Wei(0))
