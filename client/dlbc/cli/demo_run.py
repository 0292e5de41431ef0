"""The demo's script: the whole loop with real processes on a real chain, real IPFS and real training.

Nothing is simulated: every actor is `python -m dlbc …`, and this process only starts them, moves the local chain's
clock when everybody has done what a window is for, and checks what came out.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dlbc.cli.demo_stage import AUDIT_SECONDS, Stage, failing, task_row, with_long_windows
from dlbc.core.errors import Refused
from dlbc.core.task_template import task_template
from dlbc.core.types import Phase, TaskId

MINERS = ("miner1", "miner2", "miner3")
GAS_OF_EVENT = {
    "task_posted": "post",
    "model_committed": "commit",
    "test_set_released": "release",
    "claim_revealed": "reveal",
    "model_opened": "open",
    "task_advanced": "settle",
    "deposit_reclaimed": "reclaim",
    "money_arrived": "withdraw",
}
GAS_LIMITS = {
    "post": 330_000,
    "commit": 95_000,
    "release": 80_000,
    "reveal": 160_000,
    "open": 130_000,
    "settle": 240_000,
    "withdraw": 50_000,
}


@dataclass(frozen=True, slots=True)
class DemoTask:
    """One of the two tasks: a family of models, and what it is worth."""

    family: str
    bounty: str
    widths: tuple[tuple[str, str], ...] = ()  # lines of the task file's template, and what replaces them


@dataclass(frozen=True, slots=True)
class Script:
    """What differs between data sets."""

    dataset: str
    brief_epochs: int
    tasks: Mapping[str, DemoTask]  # by name
    training_seconds: float  # until all commits are in, at most


SCRIPTS = {
    "digits": Script("digits", 3, {"mlp": DemoTask("mlp", "1 ether"), "cnn": DemoTask("cnn", "1.5 ether")}, 300.0),
    # An mlp ends between 90.0 and 90.3 % here, so both are convolutional, one narrow and one wide.
    "fashion-mnist": Script(
        "fashion-mnist",
        1,
        {
            "narrow": DemoTask(
                "cnn",
                "1 ether",
                (
                    ("channels = [32, 64]", "channels = [24, 48]"),
                    ("hidden = [128]", "hidden = [96]"),
                    ("epochs = 6", "epochs = 8"),
                ),
            ),
            "wide": DemoTask("cnn", "1.5 ether"),
        },
        3 * 3600.0,
    ),
}


@dataclass(slots=True)
class Money:
    """What an account paid into the market and got out of it, in wei."""

    paid: int = 0
    received: int = 0


@dataclass(slots=True)
class Outcome:
    """Everything the closing tables and summary.json show."""

    tasks: list[dict[str, Any]]
    names: dict[str, str]  # of the miners, by address
    checks: list[dict[str, Any]]  # of the first task's audit
    tampered_audit: str
    tampered_checks: list[str]
    ledger_blocks: int
    ledger_verified: bool
    market_balance_wei: int
    gas: dict[str, int]
    money: dict[str, Money]
    seconds: float

    def summary(self) -> dict[str, Any]:
        """demo-out/summary.json."""
        return {
            "tasks": self.tasks,
            "tamperedAudit": self.tampered_audit,
            "ledgerBlocks": self.ledger_blocks,
            "marketBalanceWei": self.market_balance_wei,
            "gas": self.gas,
            "seconds": round(self.seconds, 1),
        }

    @property
    def is_as_promised(self) -> bool:
        """Both tasks settled and audited, the tampered file caught, the ledger right, every wei gone home."""
        return (
            len(self.tasks) == 2
            and all(task["phase"] == "Settled" and task["audit"] == "pass" for task in self.tasks)
            and self.tampered_audit == "fail"
            and self.ledger_blocks == 2
            and self.ledger_verified
            and self.market_balance_wei == 0
        )


class Demo:
    """One run."""

    def __init__(self, stage: Stage, script: Script, started: float) -> None:
        self._stage, self._script, self._started = stage, script, started
        self._network, self._chain, self._folder, self._view = stage.network, stage.chain, stage.folder, stage.view
        self._money: dict[str, Money] = {}

    def run(self) -> Outcome:
        """From posting to the last withdrawal. Raises Refused when a step does not happen in time."""
        tasks = self._post()
        self._train(tasks)
        self._release_and_reveal(tasks)
        self._open_and_audit(tasks)
        self._settle(tasks)
        return self._verify(tasks)

    # ------------------------------------------------------------------ as a task lives

    def _post(self) -> list[TaskId]:
        self._view.stage("the requester posts two tasks")
        tasks = []
        for name, task in self._script.tasks.items():
            file = self._folder / f"{self._script.dataset}-{name}.toml"
            text = task_template(file.name, self._script.dataset, task.family)
            ether = float(task.bounty.split()[0])
            text = text.replace('bounty = "1 ether"', f'bounty = "{task.bounty}"')
            text = text.replace('deposit = "0.35 ether"', f'deposit = "{0.35 * ether:g} ether"')
            text = text.replace('bond = "0.1 ether"', f'bond = "{0.1 * ether:g} ether"')
            text = with_long_windows(text)
            for line, other in task.widths:
                text = text.replace(line, other)
            file.write_text(text, encoding="utf-8")
            tasks.append(self._stage.post(f"post-{name}", file))
        for task_id in tasks:
            posted = self._chain.task(task_id)
            self._account("requester").paid += posted.bounty_wei + posted.bond_wei
        chosen = [word for task_id in tasks for word in ("--task", str(task_id))]
        self._requester = self._stage.start("requester", "requester", "requester", "run", *chosen, "--json")
        self._requester.is_expected_to_end = True
        return tasks

    def _train(self, tasks: list[TaskId]) -> None:
        self._view.stage("three miners train: one briefly, one longer, one will vanish")
        brief = str(self._script.brief_epochs)
        self._stage.start("miner1", "miner1", "miner", "run", "--device", "auto", "--epochs", brief)
        self._stage.start("miner2", "miner2", "miner", "run", "--device", "auto")
        vanishing = self._stage.start("miner3", "miner3", "miner", "run", "--device", "auto", "--epochs", brief)
        keys = {name: self._network.keys(name).address for name in MINERS}

        def has_committed(name: str) -> bool:
            return all(self._chain.entry(task_id, 0, keys[name]).commit_seq > 0 for task_id in tasks)

        self._stage.until(lambda: has_committed("miner3"), "miner3's commits", self._script.training_seconds)
        self._stage.kill(vanishing)
        self._view.event("miner3", {"event": "gave_up", "task_id": "1 and 2", "why": "its machine is gone (SIGKILL)"})
        self._stage.until(
            lambda: has_committed("miner1") and has_committed("miner2"), "all commits", self._script.training_seconds
        )
        for name in keys:
            self._account(name).paid += sum(self._chain.task(task_id).deposit_wei for task_id in tasks)

    def _release_and_reveal(self, tasks: list[TaskId]) -> None:
        self._view.stage("commits close; the requester's daemon releases the test sets")
        self._stage.move_to(max(self._chain.round(task_id, 0).train_end for task_id in tasks))
        self._stage.until(lambda: all(self._chain.round(task_id, 0).reveals == 2 for task_id in tasks), "both reveals")

    def _open_and_audit(self, tasks: list[TaskId]) -> None:
        self._view.stage("reveals close; the leaders open their models")
        self._stage.move_to(max(self._chain.round(task_id, 0).reveal_end for task_id in tasks))
        self._stage.until(
            lambda: all(self._chain.round(task_id, 0).challenge_end for task_id in tasks), "both openings"
        )
        self._view.stage("the auditor checks the opened models before any money moves")
        for report in self._audit(tasks, "opened"):
            if report["audit"] != "pass":
                raise Refused(
                    f"the audit of the opened model of task {report['taskId']} fails: {', '.join(failing(report))}"
                )

    def _settle(self, tasks: list[TaskId]) -> None:
        self._view.stage("nobody objects; the tasks are settled and everybody is paid")
        self._stage.move_to(max(self._chain.round(task_id, 0).challenge_end for task_id in tasks))
        people = [self._network.keys(name).address for name in ("requester", "miner1", "miner2")]

        def everybody_is_paid() -> bool:
            settled = all(self._chain.phase(task_id).phase is Phase.SETTLED for task_id in tasks)
            return settled and all(
                not self._chain.entry(task_id, 0, person).holds_deposit and self._chain.credit(person) == 0
                for person in people
                for task_id in tasks
            )

        self._stage.until(everybody_is_paid, "the last withdrawal")
        self._stage.finish(self._requester)  # which has stored both models by then
        self._stage.end_all()
        fees = self._chain.credit(self._chain.params().pool)
        self._stage.finish(self._stage.start("fees", "auditor", "auditor", "dividends", "--yes", "--json"))
        self._account("auditor pool").received += fees

    def _verify(self, tasks: list[TaskId]) -> Outcome:
        self._view.stage("the auditor verifies ledger, models and scores; then a tampered model")
        reports = {report["taskId"]: report for report in self._audit(tasks, "settled")}
        ledger = self._stage.start_stranger("ledger", "ledger", "verify", "--json")
        model = self._folder / "model.safetensors"
        pull = self._stage.start_stranger("pull", "model", "pull", str(tasks[0]), "-o", str(model), "--json")
        self._stage.finish(ledger, codes=(0, 4))
        self._stage.finish(pull)
        tampered = self._folder / "tampered.safetensors"
        tampered.write_bytes(_with_one_bit_changed(model.read_bytes()))
        caught = self._stage.start_stranger("tampered", "audit", str(tasks[0]), "--model", str(tampered), "--json")
        self._stage.finish(caught, AUDIT_SECONDS, codes=(0, 4))
        verdict = caught.answer()
        return Outcome(
            tasks=[task_row(self._chain, task_id, reports[task_id]) for task_id in tasks],
            names={self._network.keys(name).address: name for name in MINERS},
            checks=reports[tasks[0]]["checks"],
            tampered_audit=str(verdict["audit"]),
            tampered_checks=[check["name"] for check in verdict["checks"] if not check["ok"]],
            ledger_blocks=int(ledger.answer()["blocks"]),
            ledger_verified=bool(ledger.answer()["verified"]),
            market_balance_wei=self._chain.market_balance(),
            gas=self._gas(),
            money=self._money_of_all(),
            seconds=time.monotonic() - self._started,
        )

    # ------------------------------------------------------------------ what came out

    def _gas(self) -> dict[str, int]:
        """The most any call of a kind used."""
        gas: dict[str, int] = {}
        for actor in self._stage.actors:
            for event in actor.events:
                call = GAS_OF_EVENT.get(event["event"])
                if call is not None and "gas" in event:
                    gas[call] = max(gas.get(call, 0), int(event["gas"]))
        return {call: gas[call] for call in GAS_OF_EVENT.values() if call in gas}

    def _money_of_all(self) -> dict[str, Money]:
        for actor in self._stage.actors:
            for event in actor.events:
                if event["event"] == "money_arrived":
                    self._account(actor.who).received += int(event["wei"])
        return self._money

    def _account(self, name: str) -> Money:
        return self._money.setdefault(name, Money())

    def _audit(self, tasks: list[TaskId], when: str) -> list[dict[str, Any]]:
        """Both tasks at once, each by a fresh process that has only the RPC and IPFS addresses."""
        stage = self._stage
        audits = [stage.start_stranger(f"audit-{when}-{task_id}", "audit", str(task_id), "--json") for task_id in tasks]
        return [stage.finish(audit, AUDIT_SECONDS, codes=(0, 4)).answer() for audit in audits]


def _with_one_bit_changed(model: bytes) -> bytes:
    """The lowest bit of the last weight: still a finite, loadable, practically equal model."""
    return model[:-4] + bytes([model[-4] ^ 1]) + model[-3:]
