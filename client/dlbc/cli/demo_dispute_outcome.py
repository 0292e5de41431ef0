"""What came out of the demo's dispute: the chain's books held against the rules, and the promises kept or broken."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dlbc.cli.demo_books import Call, dividends_of, flows_of, gas_of, read_books, senders_of
from dlbc.cli.demo_money import (
    MARKET,
    POOL,
    ROUNDED_WEI,
    BallotMoney,
    Movement,
    Prize,
    Story,
    are_dividends_right,
    ballots_of,
    differences,
    flows,
    movements,
    paid_by,
    received_by,
    ruling_of,
)
from dlbc.cli.demo_stage import Stage, failing, task_row
from dlbc.core.proofs import case_id
from dlbc.core.types import Address, Ruling, TaskId, Verdict

HONEST, OVERCLAIMER, FLIPPER, REQUESTER = "miner1", "miner2", "miner3", "requester"
STAKES = {"auditor1": "2 ether", "auditor2": "1.5 ether"}
PEOPLE = (REQUESTER, HONEST, OVERCLAIMER, FLIPPER, *STAKES)
GAS_LIMITS = {
    "stake": 90_000,
    "dispute": 140_000,
    "commitVote": 90_000,
    "revealVote": 80_000,
    "refute": 200_000,
}


@dataclass(frozen=True, slots=True)
class Seen:
    """What the script saw while it was played."""

    tasks: tuple[TaskId, TaskId]
    address: Mapping[str, Address]
    before: Mapping[str, int]  # balances
    claimed: tuple[int, int]  # by the over-claimer: (right, samples)
    checks: list[dict[str, Any]]  # of the evidence against the false claim
    refutation: dict[str, Any]
    ledger: dict[str, Any]
    promises: dict[str, bool]


@dataclass(slots=True)
class DisputeOutcome:
    """Everything the closing tables and dispute.json show."""

    tasks: list[dict[str, Any]]
    names: dict[str, str]  # by address
    claimed: tuple[int, int]
    checks: list[dict[str, Any]]
    filers: tuple[str, ...]
    ruling: Ruling
    verdicts: Mapping[str, Verdict]
    ballots: dict[str, BallotMoney]
    refutation: dict[str, Any]
    gas: dict[str, int]
    movements: list[Movement]
    paid: dict[str, int]
    received: dict[str, int]
    gas_wei: dict[str, int]
    market_balance_wei: int
    pool_balance_wei: int
    pool_waiting_wei: int
    ledger: dict[str, Any]
    promises: dict[str, bool]
    seconds: float

    def summary(self) -> dict[str, Any]:
        """demo-out/dispute.json; docs/disputes.md says what its keys mean."""
        claimed, samples = self.claimed
        return {
            "tasks": self.tasks,
            "falseClaim": {
                "miner": OVERCLAIMER,
                "claimed": claimed,
                "samples": samples,
                "disputedBy": list(self.filers),
                "failedChecks": failing({"checks": self.checks}),
                "ruling": self.ruling.name.lower(),
            },
            "ballots": [
                {
                    "auditor": name,
                    "verdict": self.verdicts[name].name.lower(),
                    "lockWei": ballot.lock_wei,
                    "returnedWei": ballot.returned_wei,
                    "shareWei": ballot.share_wei,
                }
                for name, ballot in sorted(self.ballots.items())
            ],
            "refutation": self.refutation,
            "movements": [
                {"from": movement.source, "to": movement.target, "wei": movement.wei, "why": movement.why}
                for movement in self.movements
            ],
            "accounts": {
                name: {
                    "paidWei": self.paid[name],
                    "receivedWei": self.received[name],
                    "gainWei": self.received[name] - self.paid[name],
                    "gasWei": self.gas_wei[name],
                }
                for name in PEOPLE
            },
            "marketBalanceWei": self.market_balance_wei,
            "poolBalanceWei": self.pool_balance_wei,
            "poolWaitingWei": self.pool_waiting_wei,
            "ledgerBlocks": int(self.ledger["blocks"]),
            "ledgerVerified": bool(self.ledger["verified"]),
            "gas": self.gas,
            "promises": self.promises,
            "seconds": round(self.seconds, 1),
        }


def account_for(stage: Stage, seen: Seen, started: float) -> DisputeOutcome:
    """Reads the chain's books back and holds them against the rules; adds to the promises of `seen`."""
    network, chain, pool, promises = stage.network, stage.chain, stage.pool, seen.promises
    known: dict[str, str] = {address: name for name, address in seen.address.items()}
    known |= {chain.market: MARKET, pool.address: POOL}
    calls = read_books(network.rpc_url, known, network.deployment_block)
    story = _story(stage, seen, calls)
    expected, found = movements(story), flows_of(calls)
    gas, gas_wei = gas_of(calls), _gas_wei(calls)
    everybody = (*PEOPLE, MARKET, POOL)
    paid, received = ({name: side(found, name) for name in everybody} for side in (paid_by, received_by))
    wrong = {finding["taskId"] for name in ("wrong", "unavailable") for finding in seen.ledger[name]}
    rows = [task_row(chain, task_id, {"audit": "fail" if task_id in wrong else "pass"}) for task_id in seen.tasks]
    case = pool.case(case_id(seen.tasks[0], 0, seen.address[OVERCLAIMER]))
    money = differences(flows(expected), found)
    for difference in money:
        stage.view.event("books", {"event": "books_differ", "what": difference})
    staked = sum(story.stakes.values())
    market_wei, pool_wei = chain.market_balance(), pool.balance()
    honest = seen.address[HONEST]
    refuted_by = senders_of(calls, "refute")
    promises["the vote falls as the ballots say"] = case.ruling is ruling_of(story) is Ruling.FALLS
    promises["a refutation is sent once"] = refuted_by == (seen.refutation["refuter"],)
    promises["gas stays within its limits"] = all(gas.get(name, 0) <= most for name, most in GAS_LIMITS.items())
    promises["the honest miner wins both tasks, with models that pass their audits"] = all(
        (row["phase"], row["winner"], row["audit"]) == ("Settled", honest, "pass") for row in rows
    )
    promises["the ledger has both, scored again, and holds"] = (
        seen.ledger["verified"],
        seen.ledger["depths"],
    ) == (True, {"score": 2})
    promises["every payment is what the rules say"] = not money
    promises["auditors share the fees by their stakes"] = are_dividends_right(story)
    promises["every account owns what it had, less what it paid, more what it got"] = all(
        chain.balance(address) == seen.before[name] - paid[name] + received[name] - gas_wei[name]
        for name, address in seen.address.items()
    )
    promises["the market is empty"] = market_wei == 0
    promises["the pool holds the stakes, and nothing else but wei that no stake divides"] = (
        pool_wei == received[POOL] - paid[POOL] and 0 <= pool_wei - staked <= len(STAKES) * ROUNDED_WEI
    )
    return DisputeOutcome(
        tasks=rows,
        names={address: name for name, address in seen.address.items()},
        claimed=seen.claimed,
        checks=seen.checks,
        filers=story.filers,
        ruling=case.ruling,
        verdicts=story.verdicts,
        ballots=ballots_of(story),
        refutation={
            **seen.refutation,
            "gas": gas.get("refute", 0),
            "earnedWei": flows(expected)[MARKET, story.refuter],
        },
        gas=gas,
        movements=expected,
        paid=paid,
        received=received,
        gas_wei=gas_wei,
        market_balance_wei=market_wei,
        pool_balance_wei=pool_wei,
        pool_waiting_wei=pool_wei - staked,
        ledger=seen.ledger,
        promises=promises,
        seconds=time.monotonic() - started,
    )


def _story(stage: Stage, seen: Seen, calls: list[Call]) -> Story:
    """Who did what, from the chain's calls and logs."""
    chain, pool = stage.chain, stage.pool
    tasks = [chain.task(task_id) for task_id in seen.tasks]
    prizes = [Prize(task.bounty_wei, task.bond_wei, task.deposit_wei) for task in tasks]
    stakes = {call.sender: call.value_wei for call in calls if call.has_succeeded and call.name == "stake"}
    case = case_id(seen.tasks[0], 0, seen.address[OVERCLAIMER])
    names = {address: name for name, address in seen.address.items()}
    return Story(
        requester=REQUESTER,
        winner=HONEST,
        overclaimer=OVERCLAIMER,
        flipper=FLIPPER,
        filers=senders_of(calls, "collectBond"),
        refuter=seen.refutation["refuter"],
        disputed=prizes[0],
        refuted=prizes[1],
        fee_bps=chain.params().fee_bps,
        lock_bps=pool.params().lock_bps,
        stakes={name: stakes[name] for name in STAKES},
        verdicts={names[ballot.voter]: ballot.verdict for ballot in pool.ballots_revealed(case)},
        collected=senders_of(calls, "collectVote"),
        dividends=dividends_of(calls),
    )


def _gas_wei(calls: list[Call]) -> Counter[str]:
    total: Counter[str] = Counter()
    for call in calls:
        total[call.sender] += call.fee_wei
    return total
