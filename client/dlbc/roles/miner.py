"""The miner: picks the best-ranked task it can do, and carries every entry it has to the money on its account."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from shutil import disk_usage
from typing import Any

from dlbc.core import watermark
from dlbc.core.architecture import (
    activations,
    architecture_to_json,
    flops_per_sample,
    parameters,
    tensor_shapes,
    training_activations,
)
from dlbc.core.decide import (
    Candidate,
    Do,
    MinerFacts,
    decide_miner,
    may_reclaim,
    order_candidates,
    refuse_candidate,
)
from dlbc.core.errors import BadInput, ContractRefused, DlbcError, NotFound, Refused, TryLater, VerificationFailed
from dlbc.core.events import TaskPosted
from dlbc.core.manifest import Manifest
from dlbc.core.records import to_record
from dlbc.core.types import ZERO_ADDRESS, ZERO_HASH, Entry, Hash32, Phase, RankedTask, TaskId, Timestamp
from dlbc.ports import Chain, Journal, Keys, Pool, Storage, Trainer
from dlbc.roles.artifacts import fetch_manifest
from dlbc.roles.collecting import pull_credits
from dlbc.roles.entry import ENTRY, MinerEntry, entry_key
from dlbc.roles.keeper import advance, read_facts
from dlbc.roles.loop import Report, unheard
from dlbc.roles.models import Models
from dlbc.roles.relaying import Outbox
from dlbc.roles.stakes import stake_warning

NO_ENTRY = Entry(ZERO_HASH, 0, 0, False, False, False, False)
GAS_RESERVE_WEI = 5 * 10**15
SLOWEST_FLOPS = 2 * 10**10
"""Assumed until this machine has trained something: operations a second of one processor core."""
START_SECONDS = 5
FETCH_BYTES_PER_SECOND = 2**20
TRAINING_PASSES = 3
LOOK_AT = 64
"""Tasks of the ranked list that are weighed in one tick."""
LOOK_SECONDS = 20.0
"""What a tick spends on fetching manifests: whoever serves them sets the pace, and entries have deadlines."""
MANIFEST_SECONDS = 15.0
DISK_MODELS = 8
"""Checkpoints, drafts, the model and its recovered copy, in models."""
REST = 32
"""Ticks that a task is left alone at most whose manifest nobody served."""
PATIENCE = 10
"""Slices of fetching after which a miner looks for another task beside one whose data does not come."""


_Seen = tuple[TaskId, Timestamp]
"""A posting: a reorganised chain gives the id to another one, at another time."""


@dataclass(frozen=True, slots=True)
class MinerOptions:
    """What the operator chose."""

    device: str = "auto"
    epochs: int | None = None  # None: what the manifest says
    tasks: frozenset[TaskId] | None = None  # None: any
    strategy: str = "default"  # "search", or the operator's own "module:Class"
    parent: Hash32 = ZERO_HASH  # settled model to go on from, and to declare; ZERO_HASH: train from random weights
    once: bool = False
    memory_bytes: int | None = None  # of this machine; None: not known


@dataclass(slots=True)
class Miner:
    """One miner's account on one market; `folder` holds its shards and models."""

    chain: Chain
    pool: Pool
    storage: Storage
    keys: Keys
    trainer: Trainer
    journal: Journal
    folder: Path
    options: MinerOptions = field(default_factory=MinerOptions)
    report: Report = unheard
    outbox: Outbox | None = None
    entries: dict[str, MinerEntry] = field(default_factory=dict)
    _is_loaded: bool = False
    seconds: Callable[[], float] = time.monotonic
    """A stopwatch."""
    _passed_over: set[_Seen] = field(default_factory=set)
    _looked_at: dict[_Seen, tuple[TaskPosted, int, int]] = field(default_factory=dict)
    _rests: dict[_Seen, tuple[int, int]] = field(default_factory=dict)
    """(ticks left, ticks next time) of tasks whose manifest nobody served."""
    _has_fetched: bool = False

    def tick(self) -> bool:
        """One look at everything, and at most one step each. False when there is nothing left to do (--once)."""
        if not self._is_loaded:
            self._load()
            self._is_loaded = True
        self._has_fetched = False
        # Deposits first; then the trainings, the one that has waited for its data least often before others.
        for entry in sorted(self.entries.values(), key=lambda entry: (entry.may_give_up, entry.data_tries)):
            if not entry.is_done:
                self._step(entry)
        if self._wants_more():
            self._begin_best()
        if not self.options.once:
            return True
        return any(not entry.is_done for entry in self.entries.values())

    def stop(self) -> None:
        """Ends a training child; nothing is lost, the next run goes on from there."""
        for entry in self.entries.values():
            entry.stop_training()

    # ------------------------------------------------------------------ what it already has

    def _load(self) -> None:
        """Entries of the journal, and those that only the chain remembers (a lost disk)."""
        known = {key: record for key, record in self.journal.all(ENTRY) if not record.get("done")}
        finished = {key: record for key, record in self.journal.all(ENTRY) if record.get("done")}
        for number in range(1, self.chain.task_count() + 1):
            task_id = TaskId(number)
            task = self.chain.task(task_id)
            for index in range(task.round + 1):
                key = entry_key(task.terms_hash, index)
                if key in finished:
                    if self._has_something_left(task_id, index):  # a reorganisation undid what ended it
                        self._add(self.chain.task_posted(task_id), index, finished[key] | {"done": False})
                elif key in known:
                    self._add(self.chain.task_posted(task_id), index, known[key])
                elif self._has_something_left(task_id, index):
                    self._add(self.chain.task_posted(task_id), index, _new_record(task_id, index) | {"stage": "found"})
                    self.report("entry_found_on_chain", task_id=task_id, round=index)
        if not self.entries:
            pull_credits(self.chain, self.pool, self.keys.address, self.report)

    def _has_something_left(self, task_id: TaskId, index: int) -> bool:
        entry = self.chain.entry(task_id, index, self.keys.address)
        if entry.commit_seq == 0:
            return False
        task = self.chain.task(task_id)
        phase = Phase.SETTLED if index < task.round else self.chain.phase(task_id).phase
        return not phase.is_cold or may_reclaim(entry, phase, task.outcome)

    def _add(self, posted: TaskPosted, index: int, record: dict[str, Any]) -> MinerEntry:
        entry = MinerEntry(
            chain=self.chain,
            pool=self.pool,
            storage=self.storage,
            keys=self.keys,
            trainer=self.trainer,
            journal=self.journal,
            report=self.report,
            outbox=self.outbox,
            folder=self.folder / f"task-{posted.task_id}-{posted.terms_hash.hex()[:8]}" / f"round-{index}",
            device=self.options.device,
            posted=posted,
            round=index,
            record=record,
            strategy=self.options.strategy,
            seconds=self.seconds,
        )
        entry.note()
        self.entries[entry.key] = entry
        return entry

    # ------------------------------------------------------------------ one step of one entry

    def _step(self, entry: MinerEntry) -> None:
        """Decides and does. Whatever goes wrong with one entry never ends the loop: the others hold deposits, too."""
        try:
            self._do(entry)
        except TryLater as error:
            self.report("try_later", task_id=entry.task_id, reason=str(error))
        except ContractRefused as error:
            self.report("refused", task_id=entry.task_id, reason=str(error))
        except (VerificationFailed, BadInput) as error:
            if entry.may_give_up:
                entry.give_up(str(error))
            else:
                self.report("failed", task_id=entry.task_id, reason=str(error))
        except DlbcError as error:
            # No money for this step, or a node behind a load balancer that does not know yet what another one told us.
            self.report("failed", task_id=entry.task_id, reason=str(error))
        except Exception as error:  # noqa: BLE001  (strangers chose this task; what it breaks must stay its own)
            why = f"unexpected {type(error).__name__}: {str(error)[:200]}"
            if entry.may_give_up:
                entry.give_up(why)
            else:
                self.report("failed", task_id=entry.task_id, reason=why)

    def _do(self, entry: MinerEntry) -> None:
        facts = read_facts(self.chain, entry.task_id)
        me = self.keys.address
        own = self.chain.entry(entry.task_id, entry.round, me)
        leader = facts.round.leader
        led = NO_ENTRY if leader == ZERO_ADDRESS else self.chain.entry(entry.task_id, facts.task.round, leader)
        mine = MinerFacts(
            me=me,
            round_index=entry.round,
            entry=own,
            leader=led,
            model_ready=entry.is_sealed,
            gave_up=entry.why_not(facts.now),
            credit=self.chain.credit(me),
            demanded=facts.round.leader == me and facts.round.open_demands > 0 and entry.round == facts.task.round,
            pool_credit=self.pool.credit(me),
        )
        decision = decide_miner(facts, mine)
        match decision.do:
            case Do.TRAIN:
                self._train(entry)
            case Do.COMMIT:
                entry.commit()
            case Do.REVEAL:
                entry.reveal(own, facts)
            case Do.NOMINATE:
                receipt = self.chain.nominate(entry.task_id, me)
                self.report("claim_nominated", task_id=entry.task_id, tx=receipt.tx_hash, gas=receipt.gas_used)
            case Do.ANSWER:
                entry.answer(own)
            case Do.OPEN:
                entry.open(own)
            case Do.ADVANCE:
                advance(self.chain, entry.task_id, self.report)
            case Do.RECLAIM:
                receipt = self.chain.reclaim(entry.task_id, entry.round, me)
                self.report("deposit_reclaimed", task_id=entry.task_id, tx=receipt.tx_hash, gas=receipt.gas_used)
            case Do.WITHDRAW | Do.WITHDRAW_FROM_POOL:
                pull_credits(self.chain, self.pool, me, self.report, entry.task_id)
            case Do.FINISH if entry.may_have_paid and not own.commit_seq and not facts.phase.phase.is_cold:
                # The commit may be on its way, or this node behind. A finished entry would never be looked at again.
                self.report("waiting", task_id=entry.task_id, why="the commit is not in the node's state")
            case Do.FINISH:
                entry.stop_training()
                entry.note(done=True)
                self.report("entry_finished", task_id=entry.task_id, round=entry.round, why=decision.why)
            case _:
                self.report("waiting", task_id=entry.task_id, why=decision.why, until=decision.until)

    def _train(self, entry: MinerEntry) -> None:
        if entry.handle is None and any(other.handle is not None for other in self.entries.values()):
            return  # one training at a time
        if entry.handle is None and self._has_fetched:
            return  # one fetch of data a tick
        self._has_fetched = self._has_fetched or entry.handle is None
        progress = entry.train(self.options.epochs)
        self.report(
            "training",
            task_id=entry.task_id,
            state=progress.state,
            epoch=progress.epoch,
            epochs=progress.epochs,
            validation_ppm=progress.validation_ppm,
        )
        if entry.is_sealed:
            self._note_speed(entry)

    # ------------------------------------------------------------------ the next task

    def _wants_more(self) -> bool:
        is_busy = any(
            entry.may_give_up
            and not (entry.is_done or entry.gave_up)
            # A task whose data does not come must not keep the miner from others.
            and (entry.handle is not None or entry.data_tries < PATIENCE)
            for entry in self.entries.values()
        )
        return not is_busy and not (self.options.once and self.entries)

    def _begin_best(self) -> None:
        candidates: dict[TaskId, tuple[Candidate, TaskPosted]] = {}
        began, weighed = self.seconds(), 0
        for ranked in self.chain.ranked_tasks():
            seen = ranked.task_id, ranked.posted_at
            if seen in self._passed_over or self._is_resting(seen):
                continue
            if self.options.tasks is not None and ranked.task_id not in self.options.tasks:
                continue
            weighed += 1
            if weighed > LOOK_AT or self.seconds() - began > LOOK_SECONDS:
                break
            found = self._candidate(ranked)
            if found is not None:
                candidates[ranked.task_id] = found
        for candidate in order_candidates([candidate for candidate, _ in candidates.values()]):
            posted = candidates[candidate.ranked.task_id][1]
            fresh = _new_record(posted.task_id, 0) | self._fresh_attempt(posted.task_id, 0)
            if self.options.parent != ZERO_HASH:
                fresh["parent"] = to_record(self.options.parent)
            entry = self._add(posted, 0, fresh)
            self.report("task_chosen", task_id=posted.task_id, rank=candidate.ranked.rank)
            warning = stake_warning(posted.terms.bounty_wei, self.pool.totals()[0])
            if warning:
                self.report("warning", task_id=posted.task_id, why=warning)
            self._step(entry)
            return

    def _fresh_attempt(self, task_id: TaskId, index: int) -> dict[str, Any]:
        """Secrets are derived from the task's id, and a reorganised chain may give an id to other terms.

        No slot key may ever mark two models (P-32), so an id that was worked on before takes the next attempt.
        """
        market = f"{self.chain.chain_id}/{self.chain.market}"
        used = [
            int(record["attempt"])
            for _, record in self.journal.all(ENTRY)
            if (record.get("market"), record["task_id"], record["round"]) == (market, task_id, index)
        ]
        return {"market": market, "attempt": max(used, default=-1) + 1}

    def _candidate(self, ranked: RankedTask) -> tuple[Candidate, TaskPosted] | None:
        """The task as a candidate, or None with the reason reported once."""
        task = self.chain.task(ranked.task_id)
        key, seen = entry_key(task.terms_hash, task.round), (ranked.task_id, ranked.posted_at)
        if key in self.entries or self.journal.get(ENTRY, key) is not None:
            return None
        try:
            if task.round > 0:
                raise Refused(f"round {task.round} goes on from another model, which this client does not do yet")
            if seen not in self._looked_at:
                posted = self.chain.task_posted(ranked.task_id)
                manifest = fetch_manifest(self.storage, posted, timeout=MANIFEST_SECONDS)
                _check_markable(manifest)
                self._check_parent(manifest)
                self._check_fits(manifest)
                traffic = manifest.data_bytes + 2 * manifest.model_bytes
                self._looked_at[seen] = posted, _operations(manifest, self.options.epochs), traffic
        except TryLater as error:
            _, pause = self._rests.get(seen, (0, 1))
            self._rests[seen] = pause, min(REST, 2 * pause)
            self.report("try_later", task_id=ranked.task_id, reason=str(error))
            return None
        except (VerificationFailed, BadInput, NotFound, Refused) as error:
            self._passed_over.add(seen)
            self.report("task_passed_over", task_id=ranked.task_id, why=str(error))
            return None
        posted, operations, traffic = self._looked_at[seen]
        candidate = Candidate(ranked, posted.terms.deposit_wei, self._seconds_needed(operations, traffic))
        why_not = refuse_candidate(
            candidate,
            now=self.chain.now(),
            balance_wei=self.chain.balance(self.keys.address),
            gas_reserve_wei=GAS_RESERVE_WEI,
        )
        if why_not:
            self.report("task_passed_over", task_id=ranked.task_id, why=why_not)
            return None
        return candidate, posted

    def _check_parent(self, manifest: Manifest) -> None:
        """Raises Refused for a task whose models have another architecture than the parent."""
        if self.options.parent == ZERO_HASH:
            return
        parent = Models(self.chain, self.storage, self.trainer, MANIFEST_SECONDS).by_hash(self.options.parent)
        if parent.manifest.architecture != manifest.architecture:
            wanted, found = (architecture_to_json(each.architecture) for each in (manifest, parent.manifest))
            raise Refused(
                f"the parent, of task {parent.task_id}, has another architecture: expected {wanted}, found {found}"
            )

    def _check_fits(self, manifest: Manifest) -> None:
        """Raises Refused for a task that would fill this machine's memory or disk, and take other entries with it."""
        memory = self.options.memory_bytes
        needed = memory_needed(manifest)
        if memory is not None and needed > memory:
            raise Refused(f"training needs about {needed} bytes of memory, this machine has {memory}")
        self.folder.mkdir(parents=True, exist_ok=True)
        needed, free = manifest.data_bytes + DISK_MODELS * manifest.model_bytes, disk_usage(self.folder).free
        if needed > free // 2:
            raise Refused(f"data and models need about {needed} bytes, {self.folder} has {free} left")

    def _is_resting(self, seen: _Seen) -> bool:
        left, pause = self._rests.get(seen, (0, 1))
        if left > 0:
            self._rests[seen] = left - 1, pause
        return left > 0

    def _seconds_needed(self, operations: int, traffic: int) -> int:
        """Fetching, training and storing on this machine, from what its last training measured."""
        speed = self.journal.get("speed", self.options.device) or {"operations": SLOWEST_FLOPS}
        return START_SECONDS + operations // max(1, int(speed["operations"])) + traffic // FETCH_BYTES_PER_SECOND

    def _note_speed(self, entry: MinerEntry) -> None:
        """Keeps the best: short trainings are mostly overhead and say too little."""
        seconds = max(1, int(entry.record["train_seconds"]))
        operations = _operations(fetch_manifest(self.storage, entry.posted), self.options.epochs)
        known = self.journal.get("speed", self.options.device) or {"operations": SLOWEST_FLOPS}
        best = max(int(known["operations"]), operations // seconds)
        self.journal.put("speed", self.options.device, {"operations": best})


def memory_needed(manifest: Manifest) -> int:
    """About what training and scoring take: ten copies of the weights, four of the data, one batch.

    A batch is kept in all layers for the gradients, and these are as large as the layer that they are in.
    """
    training, architecture = manifest.training, manifest.architecture
    sample = training_activations(architecture) + activations(architecture)
    batch = 4 * min(training.batch, manifest.samples) * sample
    tests = 2 * max(test.size_bytes for test in manifest.tests)
    return 40 * parameters(architecture) + 4 * manifest.data_bytes + batch + tests


def _operations(manifest: Manifest, epochs: int | None) -> int:
    per_epoch = TRAINING_PASSES * flops_per_sample(manifest.architecture) * manifest.samples
    return per_epoch * (epochs or manifest.training.epochs)


def _check_markable(manifest: Manifest) -> None:
    carriers = watermark.carriers_per_slot(tensor_shapes(manifest.architecture))
    if carriers < watermark.MIN_CARRIERS:
        raise Refused(f"a watermark needs {watermark.MIN_CARRIERS} carriers a slot, this model has {carriers}")


def _new_record(task_id: TaskId, index: int) -> dict[str, Any]:
    return {"task_id": task_id, "round": index, "attempt": 0, "stage": "training"}
