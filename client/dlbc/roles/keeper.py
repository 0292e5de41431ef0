"""The keeper: anyone may write what time has made due, so that no task waits for anybody's goodwill (P-4)."""

from __future__ import annotations

from dataclasses import dataclass

from dlbc.core.decide import Decision, Do, Facts, decide_keeper
from dlbc.core.errors import ContractRefused
from dlbc.core.types import TaskId
from dlbc.ports import Chain
from dlbc.roles.loop import Report, unheard


@dataclass(frozen=True, slots=True)
class Keeper:
    """Watches tasks; with an account it also advances them."""

    chain: Chain
    report: Report = unheard

    def step(self, task_id: TaskId) -> Decision:
        """One look at one task, and at most one transaction."""
        facts = read_facts(self.chain, task_id)
        report_phase(self.report, task_id, facts)
        decision = decide_keeper(facts.phase)
        if decision.do is Do.ADVANCE and self.chain.account is not None:
            try:
                advance(self.chain, task_id, self.report)
            except ContractRefused as error:
                self.report("refused", task_id=task_id, reason=str(error))  # somebody else was faster
        return decision


def read_facts(chain: Chain, task_id: TaskId) -> Facts:
    """A task's facts at this moment. Raises NotFound."""
    task = chain.task(task_id)
    return Facts(
        now=chain.now(),
        phase=chain.phase(task_id),
        task=task,
        round=chain.round(task_id, task.round),
        finality_gap=chain.params().finality_gap,
    )


def advance(chain: Chain, task_id: TaskId, report: Report) -> None:
    """Writes the fact that is due. Raises ContractRefused when nothing is (any more)."""
    receipt = chain.advance(task_id)
    report("task_advanced", task_id=task_id, tx=receipt.tx_hash, gas=receipt.gas_used)


def report_phase(report: Report, task_id: TaskId, facts: Facts) -> None:
    """Says in which phase a task is."""
    phase = facts.phase
    report("phase", task_id=task_id, phase=phase.phase.label, due=phase.due, ends_at=phase.ends_at)
