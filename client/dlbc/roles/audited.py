"""One round as the chain tells of it: what the checks of an audit compare everything else with."""

from __future__ import annotations

from dataclasses import dataclass

from dlbc.core.errors import NotYet, Refused
from dlbc.core.events import ClaimRevealed, ModelOpened, TaskPosted
from dlbc.core.proofs import proof_digest
from dlbc.core.scoring import score_ppm
from dlbc.core.types import ZERO_ADDRESS, Hash32, Round, Task, TaskId, Winner
from dlbc.ports import Chain


@dataclass(frozen=True, slots=True)
class AuditedRound:
    """Read once, before anything is checked."""

    chain: Chain
    task_id: TaskId
    index: int
    task: Task
    posted: TaskPosted
    facts: Round
    winner: Winner

    @property
    def is_settled(self) -> bool:
        """It has a winner; before that, what its leader opened is audited."""
        return self.winner.miner != ZERO_ADDRESS

    def digest(self, claim: ClaimRevealed) -> Hash32:
        """Of the claim's proof, on this market."""
        return proof_digest(claim.proof, self.chain.chain_id, self.chain.market)

    def ppm(self, claim: ClaimRevealed) -> int:
        """The claimed score, to be shown."""
        return score_ppm(claim.claim.total, max(1, self.facts.samples), max(1, self.facts.max_sample_score))

    def claimed(self) -> tuple[ModelOpened, ClaimRevealed]:
        """Who won or leads has opened this, and revealed that. Raises Refused or NotYet when nobody has."""
        openings = self.chain.openings(self.task_id, self.index)
        who = self.winner.miner if self.is_settled else self.facts.leader
        opening = next((event for event in reversed(openings) if event.miner == who), None)
        claim = next(
            (event for event in self.chain.reveals(self.task_id, self.index) if event.proof.miner == who), None
        )
        if opening is None or claim is None:
            phase = self.chain.phase(self.task_id).phase
            if phase.is_cold or self.is_settled:
                raise Refused(
                    f"task {self.task_id} is {phase.label} and no model was opened: there is nothing to audit"
                )
            raise NotYet(
                f"task {self.task_id} is in {phase.label}: there is nothing to audit before its leader opens the model"
            )
        return opening, claim


def read_audited(chain: Chain, task_id: TaskId, index: int, task: Task) -> AuditedRound:
    """A round of a task that exists."""
    return AuditedRound(
        chain=chain,
        task_id=task_id,
        index=index,
        task=task,
        posted=chain.task_posted(task_id),
        facts=chain.round(task_id, index),
        winner=chain.winner(task_id, index),
    )
