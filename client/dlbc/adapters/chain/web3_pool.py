"""The Pool port on a real chain: the AuditorPool that a market names, over the market's own connection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from dlbc.adapters.chain import codec
from dlbc.adapters.chain.connection import place, receipt
from dlbc.adapters.chain.web3_chain import Web3Chain
from dlbc.core.errors import VerificationFailed
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
    ZERO_ADDRESS,
    ZERO_HASH,
    Address,
    Case,
    ClaimRef,
    Hash32,
    LabelProof,
    Locator,
    PoolParams,
    PredictionLeaf,
    Ruling,
    Stake,
    SumNode,
    Tally,
    TaskId,
    TestSet,
    Timestamp,
    Verdict,
    Wei,
)

_CONTRACT = "AuditorPool"
_NO_LABEL = LabelProof(TestSet(Locator(ZERO_HASH), ZERO_HASH, ZERO_HASH, 0, 0, 0, 0, ZERO_HASH), 0, ())


class Web3Pool:
    """The pool of one market as one account sees it."""

    def __init__(self, chain: Web3Chain) -> None:
        """Shares the endpoint, the account and its queue of transactions with `chain`. Sends nothing yet."""
        self._chain = chain
        self._connection = chain.connection

    @cached_property
    def address(self) -> Address:
        """The pool's address, as the market knows it. Raises VerificationFailed if the two do not belong together."""
        pool = self._chain.params().pool
        if not self._connection.has_code(pool):
            raise VerificationFailed(
                f"the market {self._chain.market} names {pool} as its auditor pool, but there is no contract; "
                "use another market"
            )
        market: Address = self._connection.view(_CONTRACT, pool, "market")
        if market != self._chain.market:
            raise VerificationFailed(
                f"the auditor pool {pool} belongs to the market {market}, not to {self._chain.market}; "
                "use another market"
            )
        return pool

    @property
    def account(self) -> Address | None:
        """Who sends transactions."""
        return self._chain.account

    # ------------------------------------------------------------------ reads

    def params(self) -> PoolParams:
        """The pool's parameters."""
        params: PoolParams = self._view("poolParams")
        return params

    def stake_of(self, auditor: Address) -> Stake:
        """An auditor's stake."""
        stake: Stake = self._view("stakeOf", auditor)
        return stake

    def stake_at(self, auditor: Address, time: Timestamp) -> Wei:
        """Active stake of an auditor at a past moment."""
        return Wei(self._view("stakeAt", auditor, time))

    def totals(self) -> tuple[Wei, Wei]:
        """(active stake of all, dividends not shared out yet)."""
        active, waiting = self._view("totals")
        return Wei(active), Wei(waiting)

    def total_stake_at(self, time: Timestamp) -> Wei:
        """Active stake of all auditors at a past moment."""
        return Wei(self._view("totalStakeAt", time))

    def dividend(self, auditor: Address) -> tuple[Wei, int, int]:
        """(accrued before participation, ballots collected, votes resolved) since the last dividend."""
        accrued, ballots, votes = self._view("dividendOf", auditor)
        return Wei(accrued), ballots, votes

    def case(self, case_id: Hash32) -> Case:
        """A dispute or impeachment; filers 0 = there is none."""
        case: Case = self._view("caseOf", case_id)
        return case

    def tally(self, case_id: Hash32, attempt: int) -> Tally:
        """The ballots of one vote."""
        tally: Tally = self._view("tallyOf", case_id, attempt)
        return tally

    def ruling(self, case_id: Hash32, attempt: int) -> Ruling:
        """What one vote ruled."""
        ruling: Ruling = self._view("rulingOf", case_id, attempt)
        return ruling

    def windows(self, case_id: Hash32) -> tuple[Timestamp, Timestamp, Timestamp]:
        """(start, end of committing, end of revealing) of the present attempt."""
        start, commit_end, reveal_end = self._view("windowsOf", case_id)
        return Timestamp(start), Timestamp(commit_end), Timestamp(reveal_end)

    def lock_for(self, case_id: Hash32, voter: Address) -> Wei:
        """What a ballot of this voter would lock now."""
        return Wei(self._view("lockFor", case_id, voter))

    def has_filed(self, case_id: Hash32, filer: Address) -> bool:
        """True iff this account filed the case and has its bond in it."""
        return bool(self._view("hasFiled", case_id, filer))

    def ballot(self, case_id: Hash32, attempt: int, voter: Address) -> Hash32:
        """The ballot's slot: sealed, then verdict and lock; zero = none."""
        return Hash32(self._view("ballotOf", case_id, attempt, voter))

    def demander(self, task_id: TaskId, round: int, miner: Address, index: int) -> Address | None:
        """Who demanded this prediction and has no answer yet."""
        demander: Address = self._view("demandOf", task_id, round, miner, index)
        return None if demander == ZERO_ADDRESS else demander

    def credit(self, account: Address) -> Wei:
        """What the account may withdraw from the pool."""
        return Wei(self._view("creditOf", account))

    def liabilities(self) -> tuple[Wei, Wei]:
        """(locked, credited) in the pool."""
        locked, credited = self._view("liabilities")
        return Wei(locked), Wei(credited)

    def balance(self) -> Wei:
        """Ether the pool holds."""
        return self._chain.balance(self.address)

    # ------------------------------------------------------------------ the log

    def filings(self, task_id: TaskId | None = None) -> list[DisputeFiled]:
        """Disputes and impeachments, of one task or of all, oldest first."""
        disputes = [values | {"subject": values["miner"]} for values in self._logs("ClaimDisputed", None, task_id)]
        impeachments = [
            values | {"subject": ZERO_ADDRESS, "grounds": 0, "samples": ()}
            for values in self._logs("TestSetImpeached", None, task_id)
        ]
        return [codec.build(DisputeFiled, values) for values in sorted([*disputes, *impeachments], key=place)]

    def ballots_committed(self, case_id: Hash32) -> list[VoteCommitted]:
        """Sealed ballots of a case, oldest first."""
        return [codec.build(VoteCommitted, values) for values in self._logs("VoteCommitted", case_id)]

    def ballots_revealed(self, case_id: Hash32) -> list[VoteRevealed]:
        """Opened ballots of a case, oldest first."""
        return [codec.build(VoteRevealed, values) for values in self._logs("VoteRevealed", case_id)]

    def resolved(self, case_id: Hash32) -> list[VoteResolved]:
        """Counted votes of a case, oldest first."""
        return [codec.build(VoteResolved, values) for values in self._logs("VoteResolved", case_id)]

    def ballots_of(self, voter: Address) -> list[VoteCommitted]:
        """Every ballot of one voter, oldest first."""
        return [codec.build(VoteCommitted, values) for values in self._logs("VoteCommitted", None, voter)]

    def demands(self, task_id: TaskId, round: int) -> list[PredictionDemanded]:
        """Demands of a round, oldest first."""
        return [codec.build(PredictionDemanded, values) for values in self._logs("PredictionDemanded", task_id, round)]

    def shown(self, task_id: TaskId, round: int) -> list[PredictionShown]:
        """Answers of a round, oldest first."""
        return [codec.build(PredictionShown, values) for values in self._logs("PredictionShown", task_id, round)]

    # ------------------------------------------------------------------ stakes

    def stake(self, amount_wei: Wei) -> Receipt:
        """Adds to the sender's pending stake."""
        return self._write("stake", value=amount_wei)

    def activate(self, auditor: Address) -> Receipt:
        """Makes pending stake active once its time has come."""
        return self._write("activate", auditor)

    def unstake(self, amount_wei: Wei) -> Receipt:
        """Begins to take the sender's stake out."""
        return self._write("unstake", amount_wei)

    def finish_unstake(self, auditor: Address) -> Receipt:
        """Credits what has finished unbonding."""
        return self._write("finishUnstake", auditor)

    def collect_fees(self) -> Receipt:
        """Pulls what the market owes the pool and shares it out."""
        return self._write("collectFees")

    def claim_dividends(self) -> Receipt:
        """Credits the sender its dividends."""
        return self._write("claimDividends")

    # ------------------------------------------------------------------ disputes and votes

    def impeach(self, task_id: TaskId, evidence: Locator, bond_wei: Wei) -> Receipt:
        """Says that a released test set is unavailable or not the committed one."""
        return self._write("impeach", task_id, evidence, value=bond_wei)

    def dispute(
        self, task_id: TaskId, grounds: int, evidence: Locator, samples: Sequence[int], bond_wei: Wei
    ) -> Receipt:
        """Disputes the opened claim."""
        return self._write("dispute", task_id, grounds, evidence, list(samples), value=bond_wei)

    def commit_vote(self, case_id: Hash32, ballot: Hash32) -> Receipt:
        """Casts the sender's sealed ballot."""
        return self._write("commitVote", case_id, ballot)

    def reveal_vote(self, case_id: Hash32, voter: Address, verdict: Verdict, lock_wei: Wei, salt: bytes) -> Receipt:
        """Opens a ballot."""
        return self._write("revealVote", case_id, voter, verdict, lock_wei, salt)

    def resolve(self, task_id: TaskId) -> Receipt:
        """Counts a vote whose time is up."""
        return self._write("resolve", task_id)

    def collect_vote(self, case_id: Hash32, attempt: int, voter: Address) -> Receipt:
        """Returns a revealed ballot's lock and credits its share."""
        return self._write("collectVote", case_id, attempt, voter)

    def recover_vote(self, case_id: Hash32, attempt: int, voter: Address, ballot: Hash32, lock_wei: Wei) -> Receipt:
        """Returns the lock of a ballot whose vote ended without a ruling."""
        return self._write("recoverVote", case_id, attempt, voter, ballot, lock_wei)

    def collect_bond(self, case_id: Hash32, filer: Address) -> Receipt:
        """Credits a filer its bond and its share."""
        return self._write("collectBond", case_id, filer)

    # ------------------------------------------------------------------ refutations and demands

    def refute(
        self, ref: ClaimRef, index: int, leaf: PredictionLeaf, path: Sequence[SumNode], label: LabelProof | None
    ) -> Receipt:
        """Strikes a claim whose own prediction tree proves it false."""
        return self._write("refute", ref, index, leaf, list(path), label or _NO_LABEL)

    def demand(self, ref: ClaimRef, index: int, bond_wei: Wei) -> Receipt:
        """Asks the leader to show one prediction."""
        return self._write("demand", ref, index, value=bond_wei)

    def answer(self, ref: ClaimRef, index: int, leaf: PredictionLeaf, path: Sequence[SumNode]) -> Receipt:
        """Shows a demanded prediction."""
        return self._write("answer", ref, index, leaf, list(path))

    def close_demand(self, task_id: TaskId, round: int, miner: Address, index: int) -> Receipt:
        """Returns the bond of a demand that a struck claim left unanswered."""
        return self._write("closeDemand", task_id, round, miner, index)

    def withdraw(self, account: Address) -> Receipt:
        """Pays an account its whole credit."""
        return self._write("withdraw", account)

    def withdraw_to(self, to: Address) -> Receipt:
        """Pays the sender's whole credit to another address."""
        return self._write("withdrawTo", to)

    # ------------------------------------------------------------------ how

    def _view(self, name: str, *arguments: Any) -> Any:
        return self._connection.view(_CONTRACT, self.address, name, *arguments)

    def _write(self, name: str, *arguments: Any, value: int = 0) -> Receipt:
        return receipt(name, self._connection.send(_CONTRACT, self.address, name, *arguments, value=value))

    def _logs(self, event: str, *indexed: object | None) -> Iterator[dict[str, Any]]:
        return self._connection.logs(_CONTRACT, self.address, event, indexed)
