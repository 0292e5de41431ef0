"""The owner of a settled model proves that another one is its copy, with a slot that nobody knew before (P-93, P-94).

A slot is published only when it is certain to be evidence: everything an auditor will look at is looked at first.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dlbc.core import copying, watermark
from dlbc.core.architecture import tensor_shapes
from dlbc.core.copying import Reading, Slot
from dlbc.core.errors import BadInput, NotFound, Refused, TryLater, Usage, VerificationFailed
from dlbc.core.events import Receipt, SlotRevealed
from dlbc.core.proofs import slot_path, slot_root
from dlbc.core.types import ZERO_ADDRESS, Address, Hash32, TaskId, WatermarkRecord
from dlbc.core.watermark import Weights
from dlbc.ports import Chain, Keys, ReadWeights
from dlbc.roles.artifacts import write_atomically
from dlbc.roles.copies import Committed, CopySearch, Suspect
from dlbc.roles.detecting import difference
from dlbc.roles.loop import Report, unheard
from dlbc.roles.models import Models, OpenedModel
from dlbc.roles.outcome import Agree, agreed
from dlbc.roles.recovery import Wallet


@dataclass(frozen=True, slots=True)
class SlotEvidence:
    """A slot of the owner's model, found in the suspect."""

    chain_id: int
    market: Address
    owner: Address
    model_hash: Hash32
    task_id: TaskId
    round: int
    root: Hash32
    slot: int
    key: bytes
    path: tuple[Hash32, ...]
    original: Reading
    """In the owner's own model."""
    suspect: Reading
    suspect_sha256: Hash32
    suspect_claim: Committed | None
    tests: int
    """Slots tried on the suspect, blind and aligned."""
    is_published: bool
    receipts: tuple[Receipt, ...] = ()

    @property
    def log2_bound(self) -> float:
        """Of the probability that chance gives such a mark in any of the tests."""
        return copying.union(self.suspect.log2_false_positive, self.tests)

    @property
    def reproduce(self) -> str:
        """How anybody sees it again."""
        if self.suspect_claim is not None:
            task_id, round_index, _ = self.suspect_claim.place
            return f"dlbc audit {task_id} --round {round_index}"
        return f"dlbc watermark detect FILE --model-hash {self.model_hash.hex()} --align always"


@dataclass(frozen=True, slots=True)
class Owner:
    """One account with a settled model."""

    chain: Chain
    keys: Keys
    wallet: Wallet
    models: Models
    search: CopySearch
    read: ReadWeights
    report: Report = unheard
    agree: Agree = agreed

    def claim(
        self,
        model_hash: Hash32,
        *,
        file: Path | None = None,
        against: tuple[TaskId, int | None] | None = None,
        slot: int | None = None,
        publish: bool = True,
    ) -> SlotEvidence:
        """Finds a slot of the own model in a file, or in what was opened in a task and round, and publishes it.

        Nothing is sent unless the slot is in the own original, in the suspect, in none of the suspect's declared
        parents, and the suspect was committed later. Raises VerificationFailed when the evidence does not hold,
        Refused when this account can't give any.
        """
        record = self._own(model_hash)
        model = self.models.settled(record.task_id, record.round)
        keys = self._slot_keys(model)
        suspect, sha256 = self._suspect(model, file, against)
        self._check_order(model_hash, record, suspect.claim)
        published = {event.slot: event for event in self.chain.slot_reveals(model_hash)}
        groups = [
            [self._slot(record, keys, number, published) for number in numbers]
            for numbers in self._numbers(published, len(keys), slot, suspect)
        ]
        original = self.models.weights(model)
        found, tests = self._find(suspect, original, groups)
        number = found.slot.slot
        own = watermark.detect(original, keys[number], number, self.search.payload(found.slot))
        evidence = SlotEvidence(
            chain_id=self.chain.chain_id,
            market=self.chain.market,
            owner=self.keys.address,
            model_hash=model_hash,
            task_id=record.task_id,
            round=record.round,
            root=record.root,
            slot=number,
            key=keys[number],
            path=tuple(slot_path(keys, number)),
            original=Reading(found.slot, own.correlation, own.energy),
            suspect=found,
            suspect_sha256=sha256,
            suspect_claim=suspect.claim,
            tests=tests,
            is_published=number in published,
        )
        return self._publish(evidence, len(keys) - 2 - len(published)) if publish else evidence

    def _slot(
        self, record: WatermarkRecord, keys: Sequence[bytes], number: int, published: Mapping[int, SlotRevealed]
    ) -> Slot:
        since = published[number].commit_seq if number in published else None
        return Slot(record.task_id, record.round, record.miner, number, keys[number], since)

    # ------------------------------------------------------------------ who claims, and what

    def _own(self, model_hash: Hash32) -> WatermarkRecord:
        record = self.chain.watermark(model_hash)
        if record.miner == ZERO_ADDRESS:
            raise NotFound(
                f"the ledger has no model {model_hash.hex()}: only a settled model has slots that can be published"
            )
        if record.miner != self.keys.address:
            raise Refused(
                f"model {model_hash.hex()} was settled by {record.miner}, this account is {self.keys.address}: only "
                "its owner's wallet gives the keys of its slots"
            )
        return record

    def _slot_keys(self, model: OpenedModel) -> tuple[bytes, ...]:
        """From the wallet alone, and in agreement with the registry."""
        recovered = self.wallet.revealed(model.task_id, model.round)
        secrets = self.wallet.secrets(model.task_id, model.round, recovered.attempt)
        keys = secrets.slot_keys(watermark.slot_count(tensor_shapes(model.manifest.architecture)))
        root = self.chain.watermark(model.model_hash).root
        if slot_root(keys) != root:
            raise VerificationFailed(
                f"slot keys: expected the root {root.hex()} of the registry, found {slot_root(keys).hex()}; was this "
                "model committed by another client?"
            )
        return keys

    # ------------------------------------------------------------------ against whom

    def _suspect(
        self, model: OpenedModel, file: Path | None, against: tuple[TaskId, int | None] | None
    ) -> tuple[Suspect, Hash32]:
        """The weights in question and their sha256, with their claim if the ledger has it."""
        if against is not None:
            return self._opened_suspect(model, file, *against)
        if file is None:
            raise Usage("name what is a copy: --against FILE, or --task TASK for what was opened there")
        found = self.read(file)
        differing = difference(watermark.shapes_of(found.weights), model.manifest.architecture)
        if differing:
            raise VerificationFailed(
                f"{file} has not the architecture of your model, so no mark can be looked for: {differing}"
            )
        claim = self.search.settled_claim(found.sha256)
        return Suspect(found.weights, model.manifest.architecture, claim), found.sha256

    def _opened_suspect(
        self, model: OpenedModel, file: Path | None, task_id: TaskId, round_index: int | None
    ) -> tuple[Suspect, Hash32]:
        index = self.chain.task(task_id).round if round_index is None else round_index
        settled_by = self.chain.winner(task_id, index).miner
        who = settled_by if settled_by != ZERO_ADDRESS else self.chain.round(task_id, index).leader
        if not any(event.miner == who for event in self.chain.openings(task_id, index)):
            raise Refused(
                f"nobody leads round {index} of task {task_id} with an opened model: there is nothing to compare with "
                f"yet; see `dlbc task show {task_id}`"
            )
        opened = self.models.opened(task_id, index, who)
        if opened.manifest.architecture != model.manifest.architecture:
            raise VerificationFailed(
                f"task {task_id} has a {opened.manifest.architecture.family} of another shape than your model: its "
                "winner can't be a copy that a mark would show"
            )
        claim, suspected = self.search.claim_of(opened.claim), opened.model_hash
        if file is None:
            weights: Weights = self.models.weights(opened)
        else:
            found = self.read(file)
            if found.sha256 != suspected:
                raise BadInput(
                    f"{file} is not what {who} opened in task {task_id}: expected sha256 {suspected.hex()}, found "
                    f"{found.sha256.hex()}; leave --against out and it is fetched"
                )
            weights = found.weights
        return Suspect(weights, model.manifest.architecture, claim), suspected

    def _check_order(self, model_hash: Hash32, record: WatermarkRecord, claim: Committed | None) -> None:
        """What the ledger says against the claim before anything is compared (P-93)."""
        if claim is None:
            return
        task_id = claim.place[0]
        if claim.place[2] == self.keys.address:
            raise Refused(f"the model of task {task_id} is this account's own; nothing was published")
        if claim.commit_seq <= record.commit_seq:
            raise VerificationFailed(
                f"the model of task {task_id} was committed before yours (commit {claim.commit_seq}, yours is "
                f"{record.commit_seq}): no mark of yours makes it a copy; nothing was published"
            )
        if model_hash in self.search.line(claim.parent):
            raise VerificationFailed(
                f"the model of task {task_id} declares yours as its parent or as a parent of that, and pays for it: "
                "that is no theft; nothing was published"
            )

    # ------------------------------------------------------------------ which slot

    def _numbers(
        self, published: dict[int, SlotRevealed], count: int, slot: int | None, suspect: Suspect
    ) -> list[list[int]]:
        """Slots to try, in groups: what was published after the suspect's commit costs nothing more, then a new one."""
        if slot is not None:
            if not 1 <= slot < count:
                raise BadInput(f"--slot: expected 1 to {count - 1} (slot 0 was published by the opening), found {slot}")
            return [[slot]]
        at = suspect.commit_seq
        known = [number for number, event in sorted(published.items()) if at is not None and at <= event.commit_seq]
        unknown = [number for number in range(1, count) if number not in published]
        if not known and not unknown:
            raise Refused(
                f"all {count} slots of this model are public: whoever copied it later may have removed them; "
                "what is still found counts in `dlbc audit`, and --slot names one of them"
            )
        return [numbers for numbers in (known, unknown[:1]) if numbers]

    def _find(self, suspect: Suspect, original: Weights, groups: Sequence[Sequence[Slot]]) -> tuple[Reading, int]:
        """The first slot that is evidence, and how many tests that took."""
        tests = 0
        tried: list[Reading] = []
        for slots in groups:
            for slot in slots:
                if not self.search.is_in(original, slot):
                    raise VerificationFailed(f"your own model does not carry slot {slot.slot}; nothing was published")
            for aligned in (False, True):
                read = self._read(suspect, original, slots, aligned)
                tests += len(read)
                tried += read
                for reading in read:
                    if reading.is_found:
                        self._check_inherited(reading, suspect, original)
                        return reading, tests
        raise VerificationFailed(_not_found(tried))

    def _read(self, suspect: Suspect, original: Weights, slots: Sequence[Slot], aligned: bool) -> list[Reading]:
        if aligned:
            return self.search.read_aligned(suspect, original, slots)
        return list(copying.blind(suspect.weights, slots, self.search.payload, lambda _: None))

    def _check_inherited(self, reading: Reading, suspect: Suspect, original: Weights) -> None:
        if self.search.inherited(reading, suspect, original):
            raise VerificationFailed(
                "the suspect's declared parent, or a parent of that, carries the same mark: whoever took your model, "
                "it was not this miner; nothing was published"
            )

    # ------------------------------------------------------------------ publish

    def _publish(self, evidence: SlotEvidence, left: int) -> SlotEvidence:
        """Sends the slot, unless it is public already."""
        if evidence.is_published:
            return evidence
        self.agree(
            f"Publish slot {evidence.slot} of your model {evidence.model_hash.hex()[:16]}…? Its key becomes public for "
            "ever: whoever copies the model from now on can remove that mark, and "
            f"{left} unpublished {'slot is' if left == 1 else 'slots are'} left"
        )
        receipt = self.chain.reveal_slot(evidence.model_hash, evidence.slot, evidence.key, evidence.path)
        self.report("slot_published", slot=evidence.slot, tx=receipt.tx_hash, gas=receipt.gas_used)
        if not self.chain.slot(evidence.model_hash, evidence.slot).revealed_at:
            raise TryLater(
                "the slot was published, but the node does not show it yet; run the same command with "
                f"--slot {evidence.slot} again"
            )
        return replace(evidence, is_published=True, receipts=(receipt,))


def evidence_json(evidence: SlotEvidence) -> dict[str, Any]:
    """The evidence as a file: everything that is needed to check it without believing its writer."""
    claim = evidence.suspect_claim
    suspect: dict[str, Any] = {"sha256": evidence.suspect_sha256.hex()}
    if claim is not None:
        suspect |= {"task_id": claim.place[0], "round": claim.place[1], "miner": claim.place[2]}
        suspect |= {"commit_seq": claim.commit_seq}
    return {
        "dlbc_slot_evidence": 1,
        "chain_id": evidence.chain_id,
        "market": evidence.market,
        "model_hash": evidence.model_hash.hex(),
        "task_id": evidence.task_id,
        "round": evidence.round,
        "miner": evidence.owner,
        "watermark_root": evidence.root.hex(),
        "slot": evidence.slot,
        "key": evidence.key.hex(),
        "path": [sibling.hex() for sibling in evidence.path],
        "in_original": _reading_json(evidence.original),
        "in_suspect": _reading_json(evidence.suspect),
        "tests": evidence.tests,
        "log2_bound": round(evidence.log2_bound, 1),
        "suspect": suspect,
        "reproduce": evidence.reproduce,
    }


def write_evidence(evidence: SlotEvidence, output: Path) -> None:
    """Writes the file. Only for published evidence: the key in it is then no secret any more."""
    try:
        write_atomically(output, [json.dumps(evidence_json(evidence), indent=2).encode() + b"\n"])
    except OSError as error:
        raise Refused(
            f"{output} can't be written: {error.strerror}; the slot is published, so the same command with "
            f"--slot {evidence.slot} and another file costs nothing"
        ) from error


def check_output(output: Path) -> None:
    """Before anything is published: the file can be written. Raises Refused."""
    if output.is_dir() or not output.parent.is_dir() or not os.access(output.parent, os.W_OK):
        raise Refused(f"{output} can't be written: name a file in a folder that exists; nothing was published")


def _reading_json(reading: Reading) -> dict[str, Any]:
    return {
        "strength": round(reading.strength, 4),
        "correlation": reading.correlation,
        "energy": reading.energy,
        "log2_false_positive": round(reading.log2_false_positive, 1),
        "read": "aligned" if reading.is_aligned else "blind",
        "cosine": round(reading.cosine, 4) if reading.is_aligned else None,
    }


def _not_found(tried: Sequence[Reading]) -> str:
    best = {
        aligned: max((r.strength for r in tried if r.is_aligned is aligned), default=0.0) for aligned in (False, True)
    }
    cosine = max((reading.cosine for reading in tried), default=0.0)
    return (
        f"no slot of yours is in the suspect: S = {best[False]:.2f} blind ({float(watermark.BLIND)} would be needed), "
        f"{best[True]:.2f} aligned ({float(watermark.OWN)} would be needed, cosine {cosine:.2f}); nothing was published"
    )
