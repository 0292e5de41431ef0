"""The demo's other script: two false claims, one that only a vote can strike and one that strikes itself.

Nothing is simulated: every actor is a process on a real chain with real IPFS and real training. This one starts them,
moves the local chain's clock when everybody has done what a window is for, and holds the chain's books against what
the rules say.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dlbc.cli.demo_actors import Actor
from dlbc.cli.demo_books import Call, flows_of, gas_of, read_books, senders_of
from dlbc.cli.demo_money import (
    MARKET,
    POOL,
    BallotMoney,
    Movement,
    Prize,
    Story,
    ballots_of,
    differences,
    flows,
    movements,
    paid_by,
    received_by,
    ruling_of,
)
from dlbc.cli.demo_stage import AUDIT_SECONDS, CHEAT, Stage, failing, task_row, with_long_windows
from dlbc.core.proofs import case_id
from dlbc.core.task_template import task_template
from dlbc.core.types import Hash32, Phase, Reason, Ruling, TaskId, Verdict

HONEST, OVERCLAIMER, FLIPPER, DISPUTER, REQUESTER = "miner1", "miner2", "miner3", "disputer", "requester"
STAKES = {"auditor1": "2 ether", "auditor2": "1.5 ether", "auditor3": "1 ether"}
VERDICTS = {"auditor1": Verdict.FALLS, "auditor2": Verdict.FALLS, "auditor3": Verdict.STANDS}
LAZY = "auditor3"
PEOPLE = (REQUESTER, HONEST, OVERCLAIMER, FLIPPER, DISPUTER, *STAKES)
OVERCLAIMER_EPOCHS = 1
FLIPPER_EPOCHS = 10
SECOND_ACT = "2d"
"""The second task trains until the first is over, so that the acts can be told one after the other."""
TRAINING_SECONDS = 300.0
GAS_LIMITS = {
    "stake": 90_000,
    "dispute": 140_000,
    "commitVote": 90_000,
    "revealVote": 80_000,
    "refute": 200_000,
}


@dataclass(slots=True)
class DisputeOutcome:
    """Everything the closing tables and dispute.json show."""

    tasks: list[dict[str, Any]]
    names: dict[str, str]  # by address
    claimed: tuple[int, int]  # by the over-claimer: (right, samples)
    failed_checks: list[str]
    checks: list[dict[str, Any]]  # of the audit of the false claim
    ruling: Ruling
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
    ledger_blocks: int
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
                "failedChecks": self.failed_checks,
                "ruling": self.ruling.name.lower(),
            },
            "ballots": [
                {
                    "auditor": name,
                    "verdict": VERDICTS[name].name.lower(),
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
            "ledgerBlocks": self.ledger_blocks,
            "gas": self.gas,
            "promises": self.promises,
            "seconds": round(self.seconds, 1),
        }


class DisputeDemo:
    """One run."""

    def __init__(self, stage: Stage, started: float) -> None:
        self._stage, self._started = stage, started
        self._chain, self._pool, self._view = stage.chain, stage.pool, stage.view
        self._address = {name: stage.network.keys(name).address for name in PEOPLE}
        self._promises: dict[str, bool] = {}

    def run(self) -> DisputeOutcome:
        """From the first stake to the last withdrawal. Raises Refused when a step does not happen in time."""
        before = {name: self._chain.balance(address) for name, address in self._address.items()}
        self._stake()
        first, second = self._post_and_train()
        self._overclaim(first)
        self._dispute(first)
        self._vote(first)
        opened = self._runner_up(first)
        refutation = self._refute(second)
        self._settle_second(second)
        settled = self._go_home(second)
        return self._account({first: opened, second: settled}, refutation, before)

    # ------------------------------------------------------------------ before: stakes, tasks, models

    def _stake(self) -> None:
        self._view.stage("three auditors stake; after six hours of the chain's clock their stake is active")
        self._together("stake", STAKES)
        self._stage.network.advance_time(seconds=self._pool.params().activation_seconds)
        self._together("activate")

    def _post_and_train(self) -> tuple[TaskId, TaskId]:
        self._view.stage("a task is posted; miner1 trains as agreed, miner2 barely")
        first = self._post(1)
        self._stage.start(HONEST, HONEST, "miner", "run")
        self._cheat(OVERCLAIMER, "everything", first, OVERCLAIMER_EPOCHS)
        self._view.stage("another one, for the second act; miner3 trains enough to lie about one bit")
        second = self._post(2, train=SECOND_ACT)
        self._cheat(FLIPPER, "one-bit", second, FLIPPER_EPOCHS)
        self._stage.until(
            lambda: all(self._chain.round(task_id, 0).commits == 2 for task_id in (first, second)),
            "two commits to each task",
            TRAINING_SECONDS,
        )
        watching = ("task", "watch", str(first), str(second), "--release", "--json")
        self._watch = self._stage.start("watch", REQUESTER, *watching, who=REQUESTER)
        self._watch.is_expected_to_end = True
        return first, second

    def _post(self, number: int, **windows: str) -> TaskId:
        file = self._stage.folder / f"task-{number}.toml"
        text = with_long_windows(task_template(file.name, "digits", "mlp"), **windows)
        file.write_text(text, encoding="utf-8")
        return self._stage.post(f"post-{number}", file)

    # ------------------------------------------------------------------ first act: a lie that only a vote can strike

    def _overclaim(self, task_id: TaskId) -> None:
        self._view.stage("act one: the test set is out, and miner2 publishes its labels as predictions")
        self._stage.move_to(self._chain.round(task_id, 0).train_end)
        self._stage.until(lambda: self._chain.round(task_id, 0).reveals == 2, "both reveals")
        self._stage.move_to(self._chain.round(task_id, 0).reveal_end)
        self._stage.until(lambda: self._chain.round(task_id, 0).challenge_end > 0, "the opening")
        round_ = self._chain.round(task_id, 0)
        self._claimed = round_.leader_total, round_.samples
        self._promise(
            "the false claim leads, with everything right",
            round_.leader == self._address[OVERCLAIMER] and round_.leader_total == round_.samples,
        )

    def _dispute(self, task_id: TaskId) -> None:
        self._view.stage("the disputer looks for a refutation, finds none, and audits the opened model")
        audit = self._start(DISPUTER, "audit", "audit", str(task_id), "--refute")
        self._report = self._finish_audit(audit, codes=(4,))
        claims = self._report["refuted"]["claims"]
        self._promise("no refutation of it exists", len(claims) == 2 and not any(claim["fault"] for claim in claims))
        self._promise("the audit finds the lie", "score recomputed" in failing(self._report))
        self._view.stage("it files a dispute; two auditors audit for themselves, auditor3 does not")
        filing = self._start(DISPUTER, "dispute", "auditor", "dispute", str(task_id), "--yes")
        honest = [name for name, verdict in VERDICTS.items() if verdict is Verdict.FALLS]
        audits = [
            self._stage.start_stranger(f"audit-{name}", "audit", str(task_id), "--json", who=name) for name in honest
        ]
        self._stage.finish(filing, AUDIT_SECONDS)
        for audit in audits:
            self._finish_audit(audit, codes=(4,))

    def _vote(self, task_id: TaskId) -> None:
        self._view.stage("the challenge is over, the auditors vote: sealed ballots first")
        case, cheat = self._case(task_id), self._address[OVERCLAIMER]
        start, commit_end, reveal_end = self._pool.windows(case)
        self._stage.move_to(start)
        votes = []
        for name, verdict in VERDICTS.items():
            casting = ("auditor", "vote", str(task_id), "--verdict", verdict.name.lower(), "--wait", "--yes")
            votes.append(self._start(name, f"vote-{name}", *casting))
            votes[-1].is_expected_to_end = True
        self._stage.until(lambda: len(self._pool.ballots_committed(case)) == len(VERDICTS), "the ballots")
        self._view.stage("the ballots are opened")
        self._stage.move_to(commit_end)
        self._stage.until(lambda: len(self._pool.ballots_revealed(case)) == len(VERDICTS), "the opened ballots")
        self._view.stage("the vote is counted: the claim falls, and who is owed something collects it")
        self._stage.move_to(reveal_end)
        self._stage.until(lambda: self._chain.entry(task_id, 0, cheat).is_struck, "the strike")
        for vote in votes:
            self._stage.finish(vote)
        self._stage.finish(self._start(DISPUTER, "collect", "auditor", "collect", str(task_id)))
        strikes = [(strike.miner, strike.reason) for strike in self._chain.strikes(task_id, 0)]
        self._promise(
            "the vote strikes miner2 and takes its deposit",
            strikes == [(cheat, Reason.VOTED)] and not self._chain.entry(task_id, 0, cheat).holds_deposit,
        )

    def _runner_up(self, task_id: TaskId) -> dict[str, Any]:
        self._view.stage("the runner-up is nominated, opens its model, and is audited")
        self._let_open(task_id)
        audit = self._stage.start_stranger("audit-runner-up", "audit", str(task_id), "--json", who=DISPUTER)
        report = self._finish_audit(audit, codes=(0, 4))
        self._settle(task_id)
        return report

    # ------------------------------------------------------------------ second act: a lie that strikes itself

    def _refute(self, task_id: TaskId) -> dict[str, Any]:
        self._view.stage("act two: one bit of miner3's published predictions is flipped, its score left as claimed")
        self._stage.move_to(self._chain.round(task_id, 0).train_end)
        self._stage.until(lambda: self._chain.round(task_id, 0).reveals == 2, "both reveals")
        self._view.stage("the disputer refutes it: no bond, no vote, one transaction")
        refuting = self._start(DISPUTER, "refute", "audit", str(task_id), "--refute")
        answer = self._stage.finish(refuting, AUDIT_SECONDS, codes=(4,)).answer()["refuted"]
        cheat = self._address[FLIPPER]
        strikes = [(strike.miner, strike.reason) for strike in self._chain.strikes(task_id, 0)]
        struck = [claim for claim in answer["claims"] if claim["struck"]]
        self._promise(
            "one transaction and no vote refute miner3's flipped bit",
            [claim["miner"] for claim in struck] == [cheat]
            and len(answer["tx"]) == 1
            and not self._pool.filings(task_id)
            and strikes == [(cheat, Reason.REFUTED)],
        )
        return {
            "miner": FLIPPER,
            "fault": struck[0]["fault"] if struck else None,
            "sample": struck[0]["sample"] if struck else None,
            "transactions": len(answer["tx"]),
            "earnedWei": answer["earnedWei"],
        }

    def _settle_second(self, task_id: TaskId) -> None:
        self._view.stage("the honest miner leads, opens, and settles the second task, too")
        self._let_open(task_id)
        self._settle(task_id)
        miner = self._address[HONEST]
        self._stage.until(
            lambda: not self._chain.entry(task_id, 0, miner).holds_deposit and self._chain.credit(miner) == 0,
            "the honest miner's money",
        )
        self._stage.finish(self._watch)
        self._stage.end_all()

    # ------------------------------------------------------------------ afterwards

    def _go_home(self, task_id: TaskId) -> dict[str, Any]:
        """Everybody collects, while the settled task and the ledger are verified. Returns the audit's report."""
        self._view.stage("everybody takes home what is theirs: fees, credits, and after a day the stakes")
        audit = self._stage.start_stranger("audit-settled", "audit", str(task_id), "--json", who=DISPUTER)
        self._ledger = self._stage.start_stranger("ledger", "ledger", "verify", "--json")
        self._stage.finish(self._start(DISPUTER, "withdraw", "wallet", "withdraw"))
        for name in STAKES:  # one after the other: of what does not divide, the next one gets a share
            self._stage.finish(self._start(name, f"dividends-{name}", "auditor", "dividends", "--yes"))
        left = {name: self._pool.stake_of(self._address[name]).active_wei for name in STAKES}
        self._together("unstake", {name: f"{wei} wei" for name, wei in left.items()})
        self._stage.network.advance_time(seconds=self._pool.params().unbonding_seconds)
        self._together("finish")
        self._stage.finish(self._ledger, codes=(0, 4))
        return self._finish_audit(audit, codes=(0, 4))

    def _account(
        self, audits: Mapping[TaskId, dict[str, Any]], refutation: dict[str, Any], before: Mapping[str, int]
    ) -> DisputeOutcome:
        self._view.stage("every transaction is read back from the chain and held against the rules")
        names: dict[str, str] = {address: name for name, address in self._address.items()}
        network = self._stage.network
        known = names | {self._chain.market: MARKET, self._pool.address: POOL}
        calls = read_books(network.rpc_url, known, network.deployment_block)
        story = self._story(list(audits), calls)
        expected, found = movements(story), flows_of(calls)
        gas, gas_wei = gas_of(calls), _gas_wei(calls)
        paid = {name: paid_by(found, name) for name in (*PEOPLE, MARKET, POOL)}
        received = {name: received_by(found, name) for name in (*PEOPLE, MARKET, POOL)}
        balances = (self._chain.market_balance(), self._pool.balance(), self._pool.totals()[1])
        refutation = {**refutation, "gas": gas.get("refute", 0)}
        ledger, rows = self._ledger.answer(), [task_row(self._chain, task_id, audits[task_id]) for task_id in audits]
        case = self._pool.case(self._case(next(iter(audits))))
        money = differences(flows(expected), found)
        for difference in money:
            self._view.event("books", {"event": "books_differ", "what": difference})
        self._promise("the vote falls as the ballots say", case.ruling is ruling_of(story) is Ruling.FALLS)
        self._promise("a refutation is sent once", senders_of(calls, "refute") == (DISPUTER,))
        self._promise("gas stays within its limits", all(gas.get(name, 0) <= most for name, most in GAS_LIMITS.items()))
        self._promise(
            "the honest miner wins both tasks, and both audits pass",
            all(
                (row["phase"], row["winner"], row["audit"]) == ("Settled", self._address[HONEST], "pass")
                for row in rows
            ),
        )
        self._promise("the ledger has both and holds", (ledger["blocks"], ledger["verified"]) == (2, True))
        self._promise("every payment is what the rules say", not money)
        self._promise(
            "every account owns what it had, less what it paid, more what it got",
            all(
                self._chain.balance(address) == before[name] - paid[name] + received[name] - gas_wei[name]
                for name, address in self._address.items()
            ),
        )
        self._promise("the market is empty", balances[0] == 0)
        self._promise(
            "the pool holds nothing but dividends that wait",
            balances[1] == balances[2] == received[POOL] - paid[POOL],
        )
        return DisputeOutcome(
            tasks=rows,
            names=names,
            claimed=self._claimed,
            failed_checks=failing(self._report),
            checks=self._report["checks"],
            ruling=case.ruling,
            ballots=ballots_of(story),
            refutation=refutation,
            gas=gas,
            movements=expected,
            paid=paid,
            received=received,
            gas_wei=gas_wei,
            market_balance_wei=balances[0],
            pool_balance_wei=balances[1],
            pool_waiting_wei=balances[2],
            ledger_blocks=int(ledger["blocks"]),
            promises=self._promises,
            seconds=time.monotonic() - self._started,
        )

    # ------------------------------------------------------------------ inside

    def _story(self, tasks: list[TaskId], calls: list[Call]) -> Story:
        found = map(self._chain.task, tasks)
        prizes = [Prize(task.bounty_wei, task.bond_wei, task.deposit_wei) for task in found]
        stakes = {call.sender: call.value_wei for call in calls if call.has_succeeded and call.name == "stake"}
        return Story(
            requester=REQUESTER,
            winner=HONEST,
            overclaimer=OVERCLAIMER,
            flipper=FLIPPER,
            disputer=DISPUTER,
            disputed=prizes[0],
            refuted=prizes[1],
            fee_bps=self._chain.params().fee_bps,
            lock_bps=self._pool.params().lock_bps,
            stakes={name: stakes[name] for name in STAKES},
            verdicts=VERDICTS,
            collected=senders_of(calls, "collectVote"),
            paid=senders_of(calls, "claimDividends"),
        )

    def _case(self, task_id: TaskId) -> Hash32:
        return case_id(task_id, 0, self._address[OVERCLAIMER])

    def _let_open(self, task_id: TaskId) -> None:
        """Until the honest miner leads, by nomination if it has to, and has opened its model."""
        self._stage.move_to(self._chain.round(task_id, 0).reveal_end)
        self._stage.until(lambda: self._chain.round(task_id, 0).leader == self._address[HONEST], "the honest leader")
        self._stage.move_to(self._chain.round(task_id, 0).nominate_end)
        self._stage.until(lambda: self._chain.round(task_id, 0).challenge_end > 0, "the opening")

    def _settle(self, task_id: TaskId) -> None:
        self._stage.move_to(self._chain.round(task_id, 0).challenge_end)
        self._stage.until(lambda: self._chain.phase(task_id).phase is Phase.SETTLED, "the settlement")

    def _cheat(self, account: str, lie: str, task_id: TaskId, epochs: int) -> None:
        arguments = ("--lie", lie, "--task", str(task_id), "--epochs", str(epochs))
        self._stage.start(account, account, *arguments, module=CHEAT).is_expected_to_end = True

    def _start(self, account: str, name: str, *arguments: str) -> Actor:
        """One command with --json."""
        return self._stage.start(name, account, *arguments, "--json", who=account)

    def _finish_audit(self, audit: Actor, codes: tuple[int, ...]) -> dict[str, Any]:
        """The report, which is shown."""
        report = self._stage.finish(audit, AUDIT_SECONDS, codes).answer()
        told = {"event": "audited", "task_id": report["taskId"], "failed": ", ".join(failing(report))}
        self._view.event(audit.who, told)
        return report

    def _together(self, what: str, amounts: Mapping[str, str] | None = None) -> None:
        """The same command of `dlbc auditor` by all auditors at once; amounts: what each is to name."""
        started = []
        for name in STAKES:
            words = (what, *amounts[name].split(), "--yes") if amounts else (what,)
            started.append(self._start(name, f"{what}-{name}", "auditor", *words))
        for actor in started:
            self._stage.finish(actor)

    def _promise(self, what: str, is_kept: bool) -> None:
        self._promises[what] = is_kept


def _gas_wei(calls: list[Call]) -> Counter[str]:
    total: Counter[str] = Counter()
    for call in calls:
        total[call.sender] += call.fee_wei
    return total
