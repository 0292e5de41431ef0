"""The demo's other script: two false claims, found, struck and paid for by daemons, while nobody types.

Nothing is simulated: every actor is a process on a real chain with real IPFS and real training, and but for the two
liars each is what anybody runs: `dlbc miner run`, `dlbc auditor run`, `dlbc task watch`. This script starts them, and
moves the local chain's clock when everybody has done what a window is for; what was done it reads from the chain.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlbc.cli.demo_actors import Actor
from dlbc.cli.demo_dispute_outcome import (
    FLIPPER,
    HONEST,
    OVERCLAIMER,
    PEOPLE,
    REQUESTER,
    STAKES,
    DisputeOutcome,
    Seen,
    account_for,
)
from dlbc.cli.demo_stage import AUDIT_SECONDS, CHEAT, Stage, failing, with_long_windows
from dlbc.core.proofs import case_id
from dlbc.core.task_template import task_template
from dlbc.core.types import Address, Hash32, Phase, Reason, TaskId
from dlbc.core.units import parse_amount
from dlbc.roles.collecting import SMALL_CHANGE

OVERCLAIMER_EPOCHS = 1
FLIPPER_EPOCHS = 10
SECOND_ACT = "2d"
"""The second task trains until the first is over, so that the acts can be told one after the other."""
TRAINING_SECONDS = 300.0
MONEY_SECONDS = 3_700
"""Auditors look at their money once an hour of the chain's clock."""


class DisputeDemo:
    """One run."""

    def __init__(self, stage: Stage, started: float) -> None:
        self._stage, self._started = stage, started
        self._chain, self._pool, self._view = stage.chain, stage.pool, stage.view
        self._address: dict[str, Address] = {name: stage.network.keys(name).address for name in PEOPLE}
        self._promises: dict[str, bool] = {}
        self._auditors: dict[str, Actor] = {}
        stage.names = {address: name for name, address in self._address.items()}

    def run(self) -> DisputeOutcome:
        """From the first stake to the last dividend. Raises Refused when a step does not happen in time."""
        before = {name: self._chain.balance(address) for name, address in self._address.items()}
        self._start_auditors()
        first, second = self._post_and_train()
        claimed = self._overclaim(first)
        checks = self._dispute(first)
        self._vote(first)
        self._runner_up(first)
        refutation = self._refute(second)
        self._settle_second(second)
        ledger = self._go_home()
        self._view.stage("every transaction is read back from the chain and held against the rules")
        tasks = (first, second)
        seen = Seen(tasks, self._address, before, claimed, checks, refutation, ledger, self._promises)
        return account_for(self._stage, seen, self._started)

    # ------------------------------------------------------------------ before: stakes, tasks, models

    def _start_auditors(self) -> None:
        self._view.stage("two auditors stake and are left alone: from here on nobody types for them")
        staking = [
            self._start(name, f"stake-{name}", "auditor", "stake", *amount.split(), "--yes")
            for name, amount in STAKES.items()
        ]
        for actor in staking:
            self._stage.finish(actor)
        self._auditors = {name: self._stage.start(name, name, "auditor", "run") for name in STAKES}
        self._stage.until(lambda: all(map(_has_started, self._auditors.values())), "the auditors' start")
        self._stage.network.advance_time(seconds=self._pool.params().activation_seconds + 60)
        self._stage.until(lambda: all(self._is_whole(name) for name in STAKES), "active stakes")

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

    def _overclaim(self, task_id: TaskId) -> tuple[int, int]:
        """Returns what is claimed: (right, samples)."""
        self._view.stage("act one: the test set is out, and miner2 publishes its labels as predictions")
        self._let_reveal(task_id)
        self._stage.until(lambda: self._chain.round(task_id, 0).challenge_end > 0, "the opening")
        round_ = self._chain.round(task_id, 0)
        self._promise(
            "the false claim leads, with everything right",
            round_.leader == self._address[OVERCLAIMER] and round_.leader_total == round_.samples,
        )
        return round_.leader_total, round_.samples

    def _dispute(self, task_id: TaskId) -> list[dict[str, Any]]:
        """Returns the checks of the evidence that the disputer left on IPFS."""
        from dlbc import bootstrap
        from dlbc.roles.evidence import fetch_evidence

        self._view.stage("both auditors examine the opened model, and the first that is done disputes the claim")
        self._await_examinations(task_id, self._claim_of(OVERCLAIMER))
        self._stage.until(lambda: bool(self._pool.filings(task_id)), "the dispute")
        self._promise("nothing published refutes it", not self._chain.strikes(task_id, 0))
        filing, storage = self._pool.filings(task_id)[0], bootstrap.storage(self._stage.network.config())
        evidence = fetch_evidence(storage, filing, self._chain.chain_id, self._chain.market)
        checks = [
            {"name": check.name, "ok": check.ok, "expected": check.expected, "found": check.found}
            for check in evidence.checks
        ]
        self._promise("the evidence names the lie", "score recomputed" in failing({"checks": checks}))
        return checks

    def _vote(self, task_id: TaskId) -> None:
        self._view.stage("the challenge is over, the auditors vote: sealed ballots first")
        case, cheat = self._case(task_id), self._address[OVERCLAIMER]
        start, commit_end, reveal_end = self._pool.windows(case)
        self._stage.move_to(start)
        self._stage.until(lambda: len(self._pool.ballots_committed(case)) == len(STAKES), "the ballots")
        self._view.stage("the ballots are opened")
        self._stage.move_to(commit_end)
        self._stage.until(lambda: len(self._pool.ballots_revealed(case)) == len(STAKES), "the opened ballots")
        self._view.stage("the vote is counted: the claim falls, and who is owed something collects it")
        self._stage.move_to(reveal_end)
        self._stage.until(lambda: self._chain.entry(task_id, 0, cheat).is_struck, "the strike")
        self._stage.until(lambda: all(self._has_collected(name, case) for name in STAKES), "what the vote owes")
        strikes = [(strike.miner, strike.reason) for strike in self._chain.strikes(task_id, 0)]
        self._promise(
            "the vote strikes miner2 and takes its deposit",
            strikes == [(cheat, Reason.VOTED)] and not self._chain.entry(task_id, 0, cheat).holds_deposit,
        )

    def _runner_up(self, task_id: TaskId) -> None:
        self._view.stage("the runner-up nominates itself, opens its model, is examined, and stands")
        self._let_open(task_id)
        self._await_examinations(task_id, self._claim_of(HONEST), "stands")
        self._settle(task_id)

    # ------------------------------------------------------------------ second act: a lie that strikes itself

    def _refute(self, task_id: TaskId) -> dict[str, Any]:
        self._view.stage("act two: one bit of miner3's published predictions is flipped, its score left as claimed")
        self._let_reveal(task_id)
        self._view.stage("somebody opens its model, the auditors look, and one refutes miner3: no bond, no vote")
        cheat = self._address[FLIPPER]
        self._stage.until(lambda: bool(self._chain.strikes(task_id, 0)), "the refutation", AUDIT_SECONDS)
        self._stage.until(lambda: bool(self._heard("claim_refuted", task_id)), "word of the refutation")
        told = self._heard("claim_refuted", task_id)
        strikes = [(strike.miner, strike.reason) for strike in self._chain.strikes(task_id, 0)]
        self._promise(
            "one transaction and no vote refute miner3's flipped bit",
            strikes == [(cheat, Reason.REFUTED)] and len(told) == 1 and not self._pool.filings(task_id),
        )
        return {
            "miner": FLIPPER,
            "refuter": self._stage.names[told[0]["account"]],
            "fault": str(told[0]["fault"]).lower(),
            "sample": told[0]["index"],
            "transactions": len(told),
        }

    def _settle_second(self, task_id: TaskId) -> None:
        self._view.stage("the honest miner leads, opens, and settles the second task, too")
        self._let_open(task_id)
        self._await_examinations(task_id, self._claim_of(HONEST), "stands")
        self._settle(task_id)

    # ------------------------------------------------------------------ afterwards

    def _go_home(self) -> dict[str, Any]:
        """The last money arrives, the daemons end, and a stranger verifies what they left: the ledger's report."""
        self._view.stage("an hour later the daemons bring home what is theirs; their stakes stay at work")
        self._stage.network.advance_time(seconds=MONEY_SECONDS)
        self._stage.until(self._is_everybody_paid, "everybody's money")
        self._stage.finish(self._watch)
        self._stage.end_all()
        self._view.stage("a stranger, with nothing but addresses, verifies the ledger and scores both models again")
        ledger = self._stage.start_stranger("ledger", "ledger", "verify", "--score", "--json", who="stranger")
        return self._stage.finish(ledger, AUDIT_SECONDS, codes=(0, 4)).answer()

    def _is_everybody_paid(self) -> bool:
        chain, pool = self._chain, self._pool
        owed = [chain.credit(self._address[name]) for name in (REQUESTER, HONEST, *STAKES)]
        owed += [pool.credit(self._address[name]) for name in STAKES] + [chain.credit(pool.address)]
        held = [chain.entry(task_id, 0, self._address[HONEST]).holds_deposit for task_id in (TaskId(1), TaskId(2))]
        small = all(pool.dividend(self._address[name])[0] < SMALL_CHANGE for name in STAKES)
        return not any(owed) and not any(held) and small

    # ------------------------------------------------------------------ inside

    def _case(self, task_id: TaskId) -> Hash32:
        return case_id(task_id, 0, self._address[OVERCLAIMER])

    def _is_whole(self, name: str) -> bool:
        """All of an auditor's stake is active: none is pending, none is in a vote."""
        stake = self._pool.stake_of(self._address[name])
        return stake.active_wei == parse_amount(STAKES[name], name)

    def _has_collected(self, name: str, case: Hash32) -> bool:
        address = self._address[name]
        is_open = self._pool.has_filed(case, address) or self._pool.credit(address) > 0
        return self._is_whole(name) and not is_open

    def _claim_of(self, miner: str) -> str:
        return f"the claim of {self._address[miner]}"

    def _heard(self, event: str, task_id: TaskId) -> list[dict[str, Any]]:
        """What the auditors logged of a task."""
        return [
            told
            for actor in self._auditors.values()
            for told in actor.events
            if (told["event"], told.get("task_id")) == (event, task_id)
        ]

    def _await_examinations(self, task_id: TaskId, about: str, verdict: str = "") -> None:
        """By every auditor. verdict: what each must have found, if the story promises it."""

        def found() -> list[Mapping[str, Any]]:
            return [told for told in self._heard("examined", task_id) if told["about"] == about]

        self._stage.until(lambda: len(found()) >= len(STAKES), f"the examinations of {about}", AUDIT_SECONDS)
        if verdict:
            name = f"the auditors find that the honest claim in task {task_id} {verdict}"
            self._promise(name, all(told["verdict"] == verdict for told in found()))

    def _let_reveal(self, task_id: TaskId) -> None:
        """Training ends; both miners reveal, the auditors examine the test set, and revealing ends."""
        self._stage.move_to(self._chain.round(task_id, 0).train_end)
        self._stage.until(lambda: self._chain.round(task_id, 0).reveals == 2, "both reveals")
        self._await_examinations(task_id, "the test set")
        self._stage.move_to(self._chain.round(task_id, 0).reveal_end)

    def _let_open(self, task_id: TaskId) -> None:
        """Until the honest miner leads, by nomination if it has to, and has opened its model."""
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

    def _promise(self, what: str, is_kept: bool) -> None:
        self._promises[what] = is_kept


def _has_started(auditor: Actor) -> bool:
    return any(told["event"] == "auditor_started" for told in auditor.events)
