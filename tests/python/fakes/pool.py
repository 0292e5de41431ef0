"""An auditor pool in memory, on a FakeMarket: a PoolState everybody sees, and a FakePool (ports.Pool) an account.

It follows docs/protocol.md and the contracts' order of checks; errors carry the names of the contracts' custom errors.
Every wei it holds is in `locked` or in `credits`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from dlbc.core import disputes, proofs, refutation, scoring
from dlbc.core.errors import Usage
from dlbc.core.events import (
    DisputeFiled,
    PredictionDemanded,
    PredictionShown,
    Receipt,
    VoteCommitted,
    VoteResolved,
    VoteRevealed,
)
from dlbc.core.types import (
    METRIC_TOP1,
    ZERO_ADDRESS,
    ZERO_HASH,
    Address,
    Case,
    ClaimRef,
    Fault,
    Ground,
    Hash32,
    LabelProof,
    Locator,
    PoolParams,
    PredictionLeaf,
    Round,
    Ruling,
    Stake,
    SumNode,
    Tally,
    TaskId,
    TestSet,
    Timestamp,
    Verdict,
    Vote,
    Wei,
)
from fakes.chain import CHAIN_ID, FakeChain, FakeMarket, VoteCall, refused

PARAMS = PoolParams(
    activation_seconds=6 * 3_600, unbonding_seconds=86_400, lock_bps=2_000, demand_bond_wei=Wei(5 * 10**15)
)
NO_STAKE = Stake(
    active_wei=Wei(0),
    pending_wei=Wei(0),
    ready_at=Timestamp(0),
    ballots=0,
    accrued_wei=Wei(0),
    paid_index=0,
    unbonding_wei=Wei(0),
    free_at=Timestamp(0),
    counted_from=Timestamp(0),
)
NO_CASE = Case(
    bond_wei=Wei(0),
    filers=0,
    vote_start=Timestamp(0),
    snapshot_at=Timestamp(0),
    attempt=0,
    ruling=Ruling.NONE,
    grounds=0,
    task_id=TaskId(0),
    round=0,
    subject=ZERO_ADDRESS,
    filer_pot_wei=Wei(0),
    filers_left=0,
)
NO_TALLY = Tally(Wei(0), Wei(0), Wei(0), Wei(0), Wei(0), Wei(0))
_VERDICT_FIELDS = {Verdict.STANDS: "stands_wei", Verdict.FALLS: "falls_wei", Verdict.UNAVAILABLE: "unavailable_wei"}
_OPENED = 1 << 104
_MOST_BALLOTS = 2**24 - 1


class Trace:
    """What an amount was at every past moment."""

    def __init__(self) -> None:
        self._points: list[tuple[int, int]] = []

    def push(self, time: int, wei: int) -> None:
        """From this moment on; within a second the last amount holds."""
        if self._points and self._points[-1][0] == time:
            self._points.pop()
        self._points.append((time, wei))

    def at(self, time: int) -> int:
        """The last amount noted at or before this moment."""
        return next((wei for since, wei in reversed(self._points) if since <= time), 0)


DemandKey = tuple[int, int, str, int]


@dataclass
class PoolState:
    """The shared state and every rule. Its market calls it when a vote is due."""

    market: FakeMarket
    params: PoolParams = PARAMS
    stakes: dict[str, Stake] = field(default_factory=dict)
    traces: dict[str, Trace] = field(default_factory=dict)
    total_trace: Trace = field(default_factory=Trace)
    active: int = 0
    waiting: int = 0
    shared: int = 0
    """Dividends shared out and not yet in anybody's accrued_wei."""
    index: int = 1
    locked: int = 0
    credits: dict[str, int] = field(default_factory=dict)
    cases: dict[bytes, Case] = field(default_factory=dict)
    tallies: dict[bytes, Tally] = field(default_factory=dict)
    filers: set[tuple[bytes, str]] = field(default_factory=set)
    ballots: dict[tuple[bytes, str], Hash32] = field(default_factory=dict)
    demands: dict[DemandKey, Address] = field(default_factory=dict)
    resolved_at: list[int] = field(default_factory=list)
    """When first votes were resolved that count for participation."""
    filed: list[DisputeFiled] = field(default_factory=list)
    committed: list[VoteCommitted] = field(default_factory=list)
    revealed: list[VoteRevealed] = field(default_factory=list)
    resolved: list[VoteResolved] = field(default_factory=list)
    demanded: list[PredictionDemanded] = field(default_factory=list)
    shown: list[PredictionShown] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Becomes the pool of its market."""
        self.chain = FakeChain(self.market)
        self.market.resolve = self.resolve
        self.market.pool_receives = self.receive

    @property
    def address(self) -> Address:
        """The market knows it."""
        return self.market.params.pool

    @property
    def now(self) -> int:
        """The market's clock."""
        return self.market.now

    # ------------------------------------------------------------------ money

    def pay_in(self, sender: Address, wei: int) -> None:
        """What comes with a call."""
        if self.market.balances.get(sender, 0) < wei:
            raise refused("", f"{sender} can't pay {wei} wei")
        self.market.balances[sender] -= wei
        self.locked += wei

    def receive(self, wei: int) -> None:
        """Ether from the market: everybody's until a ruling gives some of it to voters and filers."""
        self.locked += wei
        self.waiting += wei

    def pull(self) -> int:
        """Takes what the market owes."""
        owed = self.market.credits.get(self.address, 0)
        if owed:
            self.market.withdraw(self.address, self.address)
        return owed

    def credit(self, account: Address, wei: int, task_id: int) -> None:
        """Turns locked money into a credit. task_id 0: of no task."""
        if wei:
            self.locked -= wei
            self.credits[account] = self.credits.get(account, 0) + wei
            self.note("Credited", task_id, None, account, wei)

    def note(
        self,
        name: str,
        task_id: int,
        round: int | None,
        account: Address = ZERO_ADDRESS,
        wei: int = 0,
        detail: str = "",
    ) -> None:
        """An event of the transaction that runs."""
        self.market.note(name, task_id, round, account, wei, detail, contract="AuditorPool")

    def withdraw(self, account: Address, to: Address) -> None:
        """Pays a whole credit out."""
        amount = self.credits.pop(account, 0)
        if not amount:
            raise refused("Ledger_NothingToWithdraw", f"nothing is owed to {account}")
        self.market.balances[to] = self.market.balances.get(to, 0) + amount

    # ------------------------------------------------------------------ stakes

    def stake_of(self, auditor: Address) -> Stake:
        """Zero if there is none."""
        return self.stakes.get(auditor, NO_STAKE)

    def stake_at(self, auditor: Address, time: int) -> int:
        """Active stake at a moment."""
        return self.traces[auditor].at(time) if auditor in self.traces else 0

    def stake(self, sender: Address, wei: int) -> None:
        """IAuditorPool.stake."""
        if not wei:
            raise refused("Pool_ZeroAmount", "nothing was sent")
        self.pay_in(sender, wei)
        mine = self.stake_of(sender)
        if mine.pending_wei and self.now >= mine.ready_at:
            self.activate(sender)
            mine = self.stake_of(sender)
        self._set_stake(
            sender,
            pending_wei=mine.pending_wei + wei,
            ready_at=self.now + self.params.activation_seconds,
        )

    def activate(self, auditor: Address) -> None:
        """IAuditorPool.activate."""
        mine = self.stake_of(auditor)
        if not mine.pending_wei:
            raise refused("Pool_NothingPending", f"{auditor} has nothing pending")
        if self.now < mine.ready_at:
            raise refused("Pool_NotReady", f"{auditor}'s stake is ready at {mine.ready_at}")
        self.collect_fees()
        if not mine.active_wei and not mine.accrued_wei:
            self._set_stake(auditor, counted_from=self.now + self.params.unbonding_seconds)
        self._set_stake(auditor, pending_wei=0)
        self._change_active(auditor, mine.pending_wei)
        self._push(auditor)

    def unstake(self, sender: Address, wei: int) -> None:
        """IAuditorPool.unstake."""
        mine = self.stake_of(sender)
        if not wei:
            raise refused("Pool_ZeroAmount", "nothing is asked for")
        if wei > mine.pending_wei + mine.active_wei:
            raise refused("Pool_TooLittleStake", f"{sender} has {mine.pending_wei + mine.active_wei} wei at stake")
        from_pending = min(wei, mine.pending_wei)
        self._set_stake(
            sender,
            pending_wei=mine.pending_wei - from_pending,
            unbonding_wei=mine.unbonding_wei + wei,
            free_at=self.now + self.params.unbonding_seconds,
        )
        if wei > from_pending:
            self._change_active(sender, from_pending - wei)
            self._push(sender)

    def finish_unstake(self, auditor: Address) -> None:
        """IAuditorPool.finishUnstake."""
        mine = self.stake_of(auditor)
        if not mine.unbonding_wei:
            raise refused("Pool_NothingUnbonding", f"{auditor} takes nothing out")
        if self.now < mine.free_at:
            raise refused("Pool_NotReady", f"{auditor}'s stake is free at {mine.free_at}")
        self._set_stake(auditor, unbonding_wei=0)
        self.credit(auditor, mine.unbonding_wei, 0)

    def _settle(self, auditor: Address) -> None:
        """Dividends up to now, before the stake they are for changes."""
        mine = self.stake_of(auditor)
        earned = disputes.accrued(mine.active_wei, self.index - mine.paid_index)
        self.shared -= earned
        self._set_stake(auditor, accrued_wei=mine.accrued_wei + earned, paid_index=self.index)

    def _change_active(self, auditor: Address, change_wei: int) -> None:
        self._settle(auditor)
        self.active += change_wei
        self._set_stake(auditor, active_wei=self.stake_of(auditor).active_wei + change_wei)
        if not self.active:
            # every stake has accrued what it earned: what is left is rounding
            self.waiting += self.shared
            self.shared = 0

    def _push(self, auditor: Address) -> None:
        self.traces.setdefault(auditor, Trace()).push(self.now, self.stake_of(auditor).active_wei)
        self.total_trace.push(self.now, self.active)

    def _set_stake(self, auditor: Address, **facts: object) -> None:
        self.stakes[auditor] = replace(self.stake_of(auditor), **facts)  # type: ignore[arg-type]

    # ------------------------------------------------------------------ dividends

    def collect_fees(self) -> None:
        """IAuditorPool.collectFees."""
        self.pull()
        gain, shared = disputes.spread(self.waiting, self.active)
        self.index += gain
        self.waiting -= shared
        self.shared += shared

    def dividend_of(self, auditor: Address) -> tuple[Wei, int, int]:
        """(accrued, ballots, votes)."""
        mine = self.stake_of(auditor)
        earned = disputes.accrued(mine.active_wei, self.index - mine.paid_index)
        votes = disputes.votes_since(self.resolved_at, mine.counted_from)
        return Wei(mine.accrued_wei + earned), mine.ballots, votes

    def claim_dividends(self, sender: Address) -> None:
        """IAuditorPool.claimDividends."""
        accrued, ballots, votes = self.dividend_of(sender)
        if not accrued:
            raise refused("Pool_NothingAccrued", f"{sender} earned nothing yet")
        paid, returned = disputes.dividend(accrued, ballots, votes)
        self._settle(sender)
        counted_from = max(self.stake_of(sender).counted_from, self.now)
        self._set_stake(sender, accrued_wei=0, ballots=0, counted_from=counted_from)
        self.waiting += returned
        self.credit(sender, paid, 0)

    # ------------------------------------------------------------------ filing

    def impeach(self, sender: Address, task_id: TaskId, evidence: Locator, wei: int) -> Hash32:
        """IAuditorPool.impeach."""
        case_id, call = self._check_filing(sender, task_id, Vote.TEST_SET, wei)
        return self._file(case_id, call, sender, task_id, 0, evidence, ())

    def dispute(
        self, sender: Address, task_id: TaskId, grounds: int, evidence: Locator, samples: Sequence[int], wei: int
    ) -> Hash32:
        """IAuditorPool.dispute."""
        if not 1 <= grounds <= disputes.ALL_GROUNDS:
            raise refused("Pool_WrongGrounds", f"grounds {grounds}")
        least, most = (1, disputes.MAX_DISPUTED_SAMPLES) if grounds & Ground.SAMPLES else (0, 0)
        if not least <= len(samples) <= most:
            raise refused("Pool_WrongSamples", f"{len(samples)} samples")
        case_id, call = self._check_filing(sender, task_id, Vote.CLAIM, wei)
        return self._file(case_id, call, sender, task_id, grounds, evidence, tuple(samples))

    def _check_filing(self, sender: Address, task_id: TaskId, vote: Vote, wei: int) -> tuple[Hash32, VoteCall]:
        call = self.chain.vote_call(task_id, vote)
        bond = disputes.dispute_bond(call.bounty_wei)
        if wei != bond:
            raise refused("Pool_WrongValue", f"{wei} wei sent, the bond is {bond}")
        case_id = proofs.case_id(task_id, call.round, call.subject)
        if (case_id, sender) in self.filers:
            raise refused("Pool_AlreadyFiled", f"{sender} has filed")
        return case_id, call

    def _file(
        self,
        case_id: Hash32,
        call: VoteCall,
        sender: Address,
        task_id: TaskId,
        grounds: int,
        evidence: Locator,
        samples: tuple[int, ...],
    ) -> Hash32:
        bond = disputes.dispute_bond(call.bounty_wei)
        self.pay_in(sender, bond)
        self.chain.call_vote(task_id, Vote.CLAIM if grounds else Vote.TEST_SET)
        case = self.cases.get(case_id) or replace(
            NO_CASE,
            bond_wei=bond,
            vote_start=call.vote_start,
            snapshot_at=call.snapshot_at,
            task_id=task_id,
            round=call.round,
            subject=call.subject,
        )
        self.cases[case_id] = replace(case, filers=case.filers + 1, grounds=case.grounds | grounds)
        self.filers.add((case_id, sender))
        self.filed.append(DisputeFiled(case_id, task_id, call.round, call.subject, sender, grounds, evidence, samples))
        self.note("ClaimDisputed" if grounds else "TestSetImpeached", task_id, call.round, sender)
        return case_id

    # ------------------------------------------------------------------ ballots

    def case(self, case_id: Hash32) -> Case:
        """An existing one."""
        if case_id not in self.cases:
            raise refused("Pool_UnknownCase", f"there is no case {case_id.hex()}")
        return self.cases[case_id]

    def windows(self, case_id: Hash32) -> tuple[Timestamp, Timestamp, Timestamp]:
        """Of the present attempt."""
        return disputes.windows(self.case(case_id), self.market.params.vote_seconds)

    def lock_for(self, case_id: Hash32, voter: Address) -> Wei:
        """What a ballot would lock now."""
        weight = self.stake_at(voter, self.case(case_id).snapshot_at)
        return disputes.ballot_lock(weight, self.stake_of(voter).active_wei, self.params.lock_bps)

    def tally(self, case_id: Hash32, attempt: int) -> Tally:
        """Zero if nobody voted."""
        return self.tallies.get(proofs.dispute_id(case_id, attempt), NO_TALLY)

    def ballot(self, case_id: Hash32, attempt: int, voter: Address) -> Hash32:
        """Sealed, opened or zero."""
        return self.ballots.get((proofs.dispute_id(case_id, attempt), voter), ZERO_HASH)

    def commit_vote(self, sender: Address, case_id: Hash32, ballot: Hash32) -> None:
        """IAuditorPool.commitVote."""
        case = self.case(case_id)
        start, commit_end, _ = self.windows(case_id)
        self._check_window(start, commit_end)
        if ballot == ZERO_HASH:
            raise refused("Pool_EmptyBallot", "the ballot is zero")
        if self.ballot(case_id, case.attempt, sender) != ZERO_HASH:
            raise refused("Pool_AlreadyVoted", f"{sender} has voted")
        lock = self.lock_for(case_id, sender)
        if not lock:
            raise refused("Pool_NoWeight", f"{sender} has no weight in this vote")
        self._change_active(sender, -lock)
        tally = self.tally(case_id, case.attempt)
        self._set_tally(case_id, case.attempt, committed_wei=tally.committed_wei + lock)
        self._set_ballot(case_id, case.attempt, sender, proofs.sealed_ballot(ballot, lock))
        self.committed.append(VoteCommitted(case_id, case.attempt, sender, ballot, lock))
        self.note("VoteCommitted", case.task_id, case.round, sender, lock)

    def reveal_vote(self, case_id: Hash32, voter: Address, verdict: Verdict, lock_wei: Wei, salt: bytes) -> None:
        """IAuditorPool.revealVote."""
        case = self.case(case_id)
        _, commit_end, reveal_end = self.windows(case_id)
        self._check_window(commit_end, reveal_end)
        if verdict not in _VERDICT_FIELDS:
            raise refused("Pool_WrongVerdict", f"verdict {verdict}")
        dispute = proofs.dispute_id(case_id, case.attempt)
        ballot = proofs.ballot_hash(self.address, dispute, voter, verdict, salt)
        if proofs.sealed_ballot(ballot, lock_wei) != self.ballot(case_id, case.attempt, voter):
            raise refused("Pool_WrongBallot", "this does not open the ballot")
        name = _VERDICT_FIELDS[verdict]
        self._set_tally(case_id, case.attempt, **{name: getattr(self.tally(case_id, case.attempt), name) + lock_wei})
        self._set_ballot(case_id, case.attempt, voter, proofs.opened_ballot(verdict, lock_wei))
        self.revealed.append(VoteRevealed(case_id, case.attempt, voter, verdict, lock_wei))
        self.note("VoteRevealed", case.task_id, case.round, voter, lock_wei, verdict.name)

    def _check_window(self, start: int, end: int) -> None:
        if not start <= self.now < end:
            raise refused("Pool_NotInWindow", f"{self.now} is not within [{start}, {end})")

    def _set_tally(self, case_id: Hash32, attempt: int, **facts: object) -> None:
        tally = replace(self.tally(case_id, attempt), **facts)  # type: ignore[arg-type]
        self.tallies[proofs.dispute_id(case_id, attempt)] = tally

    def _set_ballot(self, case_id: Hash32, attempt: int, voter: Address, slot: Hash32) -> None:
        self.ballots[proofs.dispute_id(case_id, attempt), voter] = slot

    # ------------------------------------------------------------------ the ruling

    def resolve(self, task_id: TaskId) -> Ruling:
        """IAuditorPool.resolve."""
        task = self.market.tasks.get(task_id)
        round_ = self.chain.round(task_id, task.round) if task else None
        if task is None or round_ is None or round_.vote is Vote.NONE:
            raise refused("Pool_NothingDisputed", f"nothing is disputed in task {task_id}")
        is_claim = round_.vote is Vote.CLAIM
        case_id = proofs.case_id(task_id, task.round, round_.leader if is_claim else ZERO_ADDRESS)
        case = self.case(case_id)
        if case.ruling is not Ruling.NONE:
            raise refused("Pool_AlreadyResolved", "the case has a ruling")
        _, _, reveal_end = self.windows(case_id)
        if self.now < reveal_end:
            raise refused("Pool_NotInWindow", f"the vote runs until {reveal_end}")
        self.chain.check_conclude(task_id)
        tally, snapshot = self.tally(case_id, case.attempt), self.total_trace.at(case.snapshot_at)
        ruling = disputes.rule(tally, snapshot, self.params.lock_bps, case.attempt)
        struck = self.chain.conclude(task_id, ruling)
        spoils = disputes.spoils(
            ruling, tally, bond_wei=case.bond_wei, filers=case.filers, struck_wei=struck, is_claim=is_claim
        )
        if struck:
            self.pull()
            self.waiting -= struck
        self.waiting += spoils.dividend_wei
        self._set_tally(case_id, case.attempt, pot_wei=spoils.voters_pot_wei, winners_wei=spoils.winners_wei)
        self.credit(case.subject if is_claim else task.requester, spoils.defendant_wei, task_id)
        self.note("VoteResolved", task_id, case.round, detail=ruling.name)
        if ruling is Ruling.REPEAT:
            self.cases[case_id] = replace(case, attempt=1, vote_start=Timestamp(self.now))
        else:
            left = case.filers if ruling is Ruling.FALLS else 0
            self.cases[case_id] = replace(case, ruling=ruling, filer_pot_wei=spoils.filers_pot_wei, filers_left=left)
        counts = disputes.counts_for_participation(self.now, case.snapshot_at, self.params.unbonding_seconds)
        if not case.attempt and counts and ruling is not Ruling.REPEAT:
            self.resolved_at.append(self.now)
        self.resolved.append(
            VoteResolved(
                case_id,
                case.attempt,
                ruling,
                tally.stands_wei,
                tally.falls_wei,
                tally.unavailable_wei,
                Wei(snapshot),
            )
        )
        return ruling

    def ruling_of(self, case_id: Hash32, attempt: int) -> Ruling:
        """Of one attempt."""
        case = self.cases.get(case_id, NO_CASE)
        if attempt < case.attempt:
            return Ruling.REPEAT
        return case.ruling if attempt == case.attempt else Ruling.NONE

    def _check_moot(self, case_id: Hash32) -> None:
        """Without a ruling everything goes back iff the claim was struck meanwhile (P-58)."""
        case = self.case(case_id)
        if not self.chain.entry(case.task_id, case.round, case.subject).is_struck:
            raise refused("Pool_NotResolved", "the case is open")

    # ------------------------------------------------------------------ collecting

    def collect_vote(self, case_id: Hash32, attempt: int, voter: Address) -> None:
        """IAuditorPool.collectVote."""
        case, share = self.case(case_id), 0
        ruling = self.ruling_of(case_id, attempt)
        if ruling is Ruling.NONE:
            self._check_moot(case_id)
        slot = int.from_bytes(self.ballot(case_id, attempt, voter), "big")
        if not 0 < slot < _OPENED:
            raise refused("Pool_NothingToCollect", f"{voter} has no opened ballot here")
        verdict, lock = Verdict(slot & 0xFF), slot >> 8
        self._set_ballot(case_id, attempt, voter, ZERO_HASH)
        if ruling not in (Ruling.NONE, Ruling.REPEAT) and not attempt:
            self._set_stake(voter, ballots=min(self.stake_of(voter).ballots + 1, _MOST_BALLOTS))
        if disputes.wins(ruling, verdict):
            tally = self.tally(case_id, attempt)
            share = disputes.vote_share(tally.pot_wei, tally.winners_wei, lock)
            self._set_tally(case_id, attempt, pot_wei=tally.pot_wei - share, winners_wei=tally.winners_wei - lock)
            self.credit(voter, share, case.task_id)
        self.note("VoteCollected", case.task_id, case.round, voter, share)
        lost = disputes.lost(ruling, verdict, lock)
        if verdict is Verdict.UNAVAILABLE:
            self.waiting += lost
        if lock != lost:
            self._change_active(voter, lock - lost)
            self._push(voter)

    def recover_vote(self, case_id: Hash32, attempt: int, voter: Address, ballot: Hash32, lock_wei: Wei) -> None:
        """IAuditorPool.recoverVote."""
        self.case(case_id)
        if self.ruling_of(case_id, attempt) is not Ruling.NONE:
            raise refused("Pool_NothingToCollect", "a ballot that was not opened in time is lost")
        self._check_moot(case_id)
        sealed = proofs.sealed_ballot(ballot, lock_wei)
        if sealed != self.ballot(case_id, attempt, voter):
            raise refused("Pool_WrongBallot", f"{voter} did not cast this ballot")
        self._set_ballot(case_id, attempt, voter, ZERO_HASH)
        self._change_active(voter, lock_wei)
        self._push(voter)
        case = self.case(case_id)
        self.note("VoteCollected", case.task_id, case.round, voter)

    def collect_bond(self, case_id: Hash32, filer: Address) -> None:
        """IAuditorPool.collectBond."""
        case = self.case(case_id)
        if case.ruling is Ruling.NONE:
            self._check_moot(case_id)
        if case.ruling is Ruling.STANDS or (case_id, filer) not in self.filers:
            raise refused("Pool_NothingToCollect", f"{filer} has nothing to collect here")
        self.filers.remove((case_id, filer))
        amount = case.bond_wei
        if case.ruling is Ruling.NO_QUORUM and case.subject != ZERO_ADDRESS:
            amount = Wei(amount - case.bond_wei // 10)
        if case.ruling is Ruling.FALLS:
            share = disputes.filer_share(case.filer_pot_wei, case.filers_left)
            left = case.filers_left - 1
            self.cases[case_id] = replace(case, filer_pot_wei=Wei(case.filer_pot_wei - share), filers_left=left)
            amount = Wei(amount + share)
        self.credit(filer, amount, case.task_id)
        self.note("BondCollected", case.task_id, case.round, filer, amount)

    # ------------------------------------------------------------------ refutations and demands

    def refute(
        self,
        sender: Address,
        ref: ClaimRef,
        index: int,
        leaf: PredictionLeaf,
        path: Sequence[SumNode],
        label: LabelProof | None,
    ) -> Fault:
        """IAuditorPool.refute."""
        claim, round_ = self._claim(ref)
        self._check_path(claim, index, leaf, path)
        known = label.label if label is not None and self._needs_label(claim, index, leaf, path) else None
        if label is not None and known is not None:
            self._check_label(label, round_, index)
        fault = refutation.fault_of(claim, index, leaf, path, known)
        if fault is Fault.NONE:
            raise refused("Claim_NoFault", "this proves nothing")
        self.chain.strike(ref.proof.task_id, ref.proof.round, ref.proof.miner, sender)
        self.note("ClaimRefuted", ref.proof.task_id, ref.proof.round, sender, detail=fault.name)
        return fault

    def demand(self, sender: Address, ref: ClaimRef, index: int, wei: int) -> None:
        """IAuditorPool.demand."""
        if wei != self.params.demand_bond_wei:
            raise refused("Pool_WrongValue", f"{wei} wei sent, the bond is {self.params.demand_bond_wei}")
        _, round_ = self._claim(ref)
        if index >= round_.samples:
            raise refused("Claim_IndexOutOfRange", f"sample {index} of {round_.samples}")
        key = (ref.proof.task_id, ref.proof.round, ref.proof.miner, index)
        if key in self.demands:
            raise refused("Claim_AlreadyDemanded", f"sample {index} is demanded")
        demand_end = self.chain.note_demand(*key[:2], ref.proof.miner)
        self.pay_in(sender, wei)
        self.demands[key] = sender
        self.demanded.append(PredictionDemanded(*key[:2], ref.proof.miner, sender, index, demand_end))
        self.note("PredictionDemanded", *key[:2], sender, wei)

    def answer(self, sender: Address, ref: ClaimRef, index: int, leaf: PredictionLeaf, path: Sequence[SumNode]) -> None:
        """IAuditorPool.answer."""
        key = (ref.proof.task_id, ref.proof.round, ref.proof.miner, index)
        claim, _ = self._claim(ref)
        self._check_path(claim, index, leaf, path)
        if key not in self.demands:
            raise refused("Claim_NotDemanded", f"nobody demanded sample {index}")
        self.chain.note_answer(*key[:2], ref.proof.miner)
        del self.demands[key]
        self.credit(sender, self.params.demand_bond_wei, ref.proof.task_id)
        self.note("PredictionShown", *key[:2], sender)
        self.shown.append(PredictionShown(*key[:2], ref.proof.miner, sender, index, leaf, tuple(path)))

    def close_demand(self, task_id: TaskId, round: int, miner: Address, index: int) -> None:
        """IAuditorPool.closeDemand."""
        key = (task_id, round, miner, index)
        if key not in self.demands:
            raise refused("Claim_NotDemanded", f"nobody demanded sample {index}")
        if not self.chain.entry(task_id, round, miner).is_struck:
            raise refused("Claim_StillOpen", "it can still be answered")
        demander = self.demands.pop(key)
        self.credit(demander, self.params.demand_bond_wei, task_id)
        self.note("DemandClosed", task_id, round, demander)

    def _claim(self, ref: ClaimRef) -> tuple[refutation.ClaimFacts, Round]:
        """What the market knows of a revealed claim, as refutations need it."""
        proof = ref.proof
        digest = proofs.proof_digest(proof, CHAIN_ID, self.market.address)
        entry = self.chain.entry(proof.task_id, proof.round, proof.miner)
        if entry.digest != proofs.claim_hash(digest, ref.claim):
            raise refused("Claim_NotRevealed", "this is not the revealed claim")
        round_ = self.chain.round(proof.task_id, proof.round)
        root = scoring.predictions_root(digest, round_.samples, ref.h_top, ref.claim.total)
        if root != ref.claim.predictions_root:
            raise refused("Claim_WrongTop", "this is not the top of the claim's tree")
        test_set = TestSet(
            sealed_locator=Locator(ZERO_HASH),
            plaintext_hash=ZERO_HASH,
            key_hash=ZERO_HASH,
            samples=round_.samples,
            max_sample_score=round_.max_sample_score,
            classes=round_.classes,
            metric=round_.metric,
            labels_root=ZERO_HASH,
        )
        return refutation.ClaimFacts(digest, ref.h_top, ref.claim.total, test_set), round_

    def _check_path(
        self, claim: refutation.ClaimFacts, index: int, leaf: PredictionLeaf, path: Sequence[SumNode]
    ) -> None:
        depth = refutation.depth(claim.test_set.samples)
        if len(path) != depth:
            raise refused("Claim_WrongPathLength", f"a path of {len(path)} levels, not {depth}")
        if index >= 1 << depth:
            raise refused("Claim_IndexOutOfRange", f"leaf {index} of {1 << depth}")
        if not refutation.is_of_claim(claim, index, leaf, path):
            raise refused("Claim_WrongPath", "the path does not lead to the claim's top")

    def _needs_label(
        self, claim: refutation.ClaimFacts, index: int, leaf: PredictionLeaf, path: Sequence[SumNode]
    ) -> bool:
        """The label is looked at last, and only where it decides."""
        is_top1 = claim.test_set.metric == METRIC_TOP1
        return is_top1 and refutation.fault_of(claim, index, leaf, path, None) is Fault.NONE

    def _check_label(self, label: LabelProof, round_: Round, index: int) -> None:
        if proofs.test_commitment(label.test_set) != round_.test_commitment:
            raise refused("Market_WrongTestSet", "this is not the committed test set")
        if len(label.path) != refutation.depth(round_.samples):
            raise refused("Claim_WrongPathLength", f"a label path of {len(label.path)} levels")
        if not refutation.is_of_test_set(label.test_set, round_.test_commitment, index, label):
            raise refused("Claim_WrongLabelPath", "this is not the committed label")


class FakePool:
    """ports.Pool of one account (or of nobody) on a PoolState."""

    def __init__(self, state: PoolState, account: Address | None = None) -> None:
        self.state = state
        self._account = account
        if account is not None:
            state.market.balances.setdefault(account, 10_000 * 10**18)

    @property
    def address(self) -> Address:
        return self.state.address

    @property
    def account(self) -> Address | None:
        return self._account

    # ------------------------------------------------------------------ reads

    def params(self) -> PoolParams:
        return self.state.params

    def stake_of(self, auditor: Address) -> Stake:
        return self.state.stake_of(auditor)

    def stake_at(self, auditor: Address, time: Timestamp) -> Wei:
        return Wei(self.state.stake_at(auditor, time))

    def totals(self) -> tuple[Wei, Wei]:
        return Wei(self.state.active), Wei(self.state.waiting)

    def total_stake_at(self, time: Timestamp) -> Wei:
        return Wei(self.state.total_trace.at(time))

    def dividend(self, auditor: Address) -> tuple[Wei, int, int]:
        return self.state.dividend_of(auditor)

    def case(self, case_id: Hash32) -> Case:
        return self.state.cases.get(case_id, NO_CASE)

    def tally(self, case_id: Hash32, attempt: int) -> Tally:
        return self.state.tally(case_id, attempt)

    def ruling(self, case_id: Hash32, attempt: int) -> Ruling:
        return self.state.ruling_of(case_id, attempt)

    def windows(self, case_id: Hash32) -> tuple[Timestamp, Timestamp, Timestamp]:
        return self.state.windows(case_id)

    def lock_for(self, case_id: Hash32, voter: Address) -> Wei:
        return self.state.lock_for(case_id, voter)

    def has_filed(self, case_id: Hash32, filer: Address) -> bool:
        return (case_id, filer) in self.state.filers

    def ballot(self, case_id: Hash32, attempt: int, voter: Address) -> Hash32:
        return self.state.ballot(case_id, attempt, voter)

    def demander(self, task_id: TaskId, round: int, miner: Address, index: int) -> Address | None:
        return self.state.demands.get((task_id, round, miner, index))

    def credit(self, account: Address) -> Wei:
        return Wei(self.state.credits.get(account, 0))

    def liabilities(self) -> tuple[Wei, Wei]:
        return Wei(self.state.locked), Wei(sum(self.state.credits.values()))

    def balance(self) -> Wei:
        return Wei(sum(self.liabilities()))

    # ------------------------------------------------------------------ the log

    def filings(self, task_id: TaskId | None = None) -> list[DisputeFiled]:
        return [filing for filing in self.state.filed if task_id in (None, filing.task_id)]

    def ballots_committed(self, case_id: Hash32) -> list[VoteCommitted]:
        return [ballot for ballot in self.state.committed if ballot.case_id == case_id]

    def ballots_revealed(self, case_id: Hash32) -> list[VoteRevealed]:
        return [ballot for ballot in self.state.revealed if ballot.case_id == case_id]

    def resolved(self, case_id: Hash32) -> list[VoteResolved]:
        return [vote for vote in self.state.resolved if vote.case_id == case_id]

    def ballots_of(self, voter: Address) -> list[VoteCommitted]:
        return [ballot for ballot in self.state.committed if ballot.voter == voter]

    def demands(self, task_id: TaskId, round: int) -> list[PredictionDemanded]:
        return [demand for demand in self.state.demanded if (demand.task_id, demand.round) == (task_id, round)]

    def shown(self, task_id: TaskId, round: int) -> list[PredictionShown]:
        return [answer for answer in self.state.shown if (answer.task_id, answer.round) == (task_id, round)]

    # ------------------------------------------------------------------ writes

    def stake(self, amount_wei: Wei) -> Receipt:
        self.state.stake(self._begin("stake"), amount_wei)
        return self._end("stake")

    def activate(self, auditor: Address) -> Receipt:
        self._begin("activate")
        self.state.activate(auditor)
        return self._end("activate")

    def unstake(self, amount_wei: Wei) -> Receipt:
        self.state.unstake(self._begin("unstake"), amount_wei)
        return self._end("unstake")

    def finish_unstake(self, auditor: Address) -> Receipt:
        self._begin("finishUnstake")
        self.state.finish_unstake(auditor)
        return self._end("finishUnstake")

    def collect_fees(self) -> Receipt:
        self._begin("collectFees")
        self.state.collect_fees()
        return self._end("collectFees")

    def claim_dividends(self) -> Receipt:
        self.state.claim_dividends(self._begin("claimDividends"))
        return self._end("claimDividends")

    def impeach(self, task_id: TaskId, evidence: Locator, bond_wei: Wei) -> Receipt:
        self.state.impeach(self._begin("impeach"), task_id, evidence, bond_wei)
        return self._end("impeach")

    def dispute(
        self, task_id: TaskId, grounds: int, evidence: Locator, samples: Sequence[int], bond_wei: Wei
    ) -> Receipt:
        self.state.dispute(self._begin("dispute"), task_id, grounds, evidence, samples, bond_wei)
        return self._end("dispute")

    def commit_vote(self, case_id: Hash32, ballot: Hash32) -> Receipt:
        self.state.commit_vote(self._begin("commitVote"), case_id, ballot)
        return self._end("commitVote")

    def reveal_vote(self, case_id: Hash32, voter: Address, verdict: Verdict, lock_wei: Wei, salt: bytes) -> Receipt:
        self._begin("revealVote")
        self.state.reveal_vote(case_id, voter, verdict, lock_wei, salt)
        return self._end("revealVote")

    def resolve(self, task_id: TaskId) -> Receipt:
        self._begin("resolve")
        self.state.resolve(task_id)
        return self._end("resolve")

    def collect_vote(self, case_id: Hash32, attempt: int, voter: Address) -> Receipt:
        self._begin("collectVote")
        self.state.collect_vote(case_id, attempt, voter)
        return self._end("collectVote")

    def recover_vote(self, case_id: Hash32, attempt: int, voter: Address, ballot: Hash32, lock_wei: Wei) -> Receipt:
        self._begin("recoverVote")
        self.state.recover_vote(case_id, attempt, voter, ballot, lock_wei)
        return self._end("recoverVote")

    def collect_bond(self, case_id: Hash32, filer: Address) -> Receipt:
        self._begin("collectBond")
        self.state.collect_bond(case_id, filer)
        return self._end("collectBond")

    def refute(
        self,
        ref: ClaimRef,
        index: int,
        leaf: PredictionLeaf,
        path: Sequence[SumNode],
        label: LabelProof | None,
    ) -> Receipt:
        self.state.refute(self._begin("refute"), ref, index, leaf, path, label)
        return self._end("refute")

    def demand(self, ref: ClaimRef, index: int, bond_wei: Wei) -> Receipt:
        self.state.demand(self._begin("demand"), ref, index, bond_wei)
        return self._end("demand")

    def answer(self, ref: ClaimRef, index: int, leaf: PredictionLeaf, path: Sequence[SumNode]) -> Receipt:
        self.state.answer(self._begin("answer"), ref, index, leaf, path)
        return self._end("answer")

    def close_demand(self, task_id: TaskId, round: int, miner: Address, index: int) -> Receipt:
        self._begin("closeDemand")
        self.state.close_demand(task_id, round, miner, index)
        return self._end("closeDemand")

    def withdraw(self, account: Address) -> Receipt:
        self._begin("withdraw")
        self.state.withdraw(account, account)
        return self._end("withdraw")

    def withdraw_to(self, to: Address) -> Receipt:
        self.state.withdraw(self._begin("withdrawTo"), to)
        return self._end("withdrawTo")

    def _begin(self, call: str) -> Address:
        if self._account is None:
            raise Usage(f"{call}: no account")
        return self._account

    def _end(self, call: str) -> Receipt:
        assert self._account is not None
        transactions = self.state.market.transactions
        transactions.append((self._account, call))
        number = len(transactions)
        return Receipt(call, Hash32(number.to_bytes(32, "big")), number, 100_000)
