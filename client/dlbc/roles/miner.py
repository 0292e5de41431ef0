"""The miner: plans which tasks its devices train for, and carries every entry it has to the money on its account."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from dlbc.core.decide import Decision, Do, MinerFacts, decide_miner
from dlbc.core.errors import BadInput, ContractRefused, DlbcError, Refused, TryLater, VerificationFailed
from dlbc.core.events import TaskPosted
from dlbc.core.records import to_record
from dlbc.core.schedule import Choice, Device, Means, Plan
from dlbc.core.types import ZERO_ADDRESS, ZERO_HASH, Entry, Timestamp, Wei
from dlbc.ports import Chain, Journal, Keys, Pool, Storage, Trainer
from dlbc.roles import promises
from dlbc.roles.attention import Attention
from dlbc.roles.choosing import Chooser
from dlbc.roles.choosing import MinerOptions as MinerOptions
from dlbc.roles.collecting import pull_credits
from dlbc.roles.entry import MinerEntry
from dlbc.roles.entry_record import ENTRY, entry_key
from dlbc.roles.errand import Room
from dlbc.roles.finding import find_entries, fresh_attempt, new_record
from dlbc.roles.keeper import advance, read_facts
from dlbc.roles.loop import Report, unheard
from dlbc.roles.miner_state import MinerState, Publish, describe, unseen
from dlbc.roles.relaying import Outbox
from dlbc.roles.stakes import stake_warning

NO_ENTRY = Entry(ZERO_HASH, 0, 0, False, False, False, False)
GAS_RESERVE_WEI = 5 * 10**15
ROOM_SHARE = 4
"""Of the memory, this part is for test sets that are being scored."""
STUCK_SECONDS = 20
"""Between two tries for such data."""
LOOK_AGAIN = 30.0
"""Seconds after which the market is looked at though nothing was posted: balance and time change what can be done."""
LOADS_APART = 10.0
"""Seconds, where a node cannot tell what happened and anything may have."""
KEPT_FINISHED = 100
"""Finished entries that are still told."""
RECEIVED = "received"
"""Kind of the journal's records of money that arrived, by transaction."""


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
    publish: Publish = unseen
    seconds: Callable[[], float] = time.monotonic
    """A stopwatch."""
    entries: dict[str, MinerEntry] = field(default_factory=dict)
    _must_load: bool = True
    """At the start; and after a reorganisation, which may have undone what ended an entry."""
    _load_again_at: float = 0.0
    """On the stopwatch: not before."""
    _attention: Attention = field(init=False)
    _chooser: Chooser = field(init=False)
    _plan: Plan = field(default_factory=Plan)
    _balance: int = 0
    _decisions: dict[str, Decision] = field(default_factory=dict)
    _look_again_at: float = 0.0
    """On the stopwatch: when the market is looked at though nothing is new."""
    _is_news: bool = True
    """Something was posted, or a device became free, since the last look at the market."""
    _free: int = 0
    """Devices that had nothing to do at the last tick."""
    _has_fetched: bool = False
    _room: Room = field(init=False)
    _scoring: Lock = field(default_factory=Lock)
    """One model at a time is scored."""
    _received: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Money that arrived and is not journaled yet."""

    def __post_init__(self) -> None:
        memory = self.options.memory_bytes
        self._room = Room(None if memory is None else memory // ROOM_SHARE)
        self._attention = Attention(self.chain, lambda: self.seconds())
        self._chooser = Chooser(
            self.chain,
            self.storage,
            self.trainer,
            self.journal,
            self.folder,
            self.options,
            self._heard,
            lambda: self.seconds(),
        )

    def tick(self) -> bool:
        """One look at what needs one, and at most one step each. False when there is nothing left to do (--once)."""
        news = self._attention.look()
        self._must_load = self._must_load or news.touched is None
        if self._must_load and self.seconds() >= self._load_again_at:
            self._load()
            self._must_load, self._load_again_at = False, self.seconds() + LOADS_APART
        self._has_fetched = False
        self._keep_account()
        # Deposits first; then the trainings, the one that has waited for its data least often before others.
        for entry in sorted(self.entries.values(), key=lambda entry: (entry.may_give_up, entry.training.data_tries)):
            if not entry.is_done:
                self._step(entry)
        self._forget_finished()
        self._is_news = self._is_news or bool(news.posted) or news.touched is None
        if not (self.options.once and self.entries) and self._is_look_due():
            try:
                self._plan_and_begin()
            except Refused as error:  # a disk that is full; the entries it has go on
                self._is_news = True
                self.report("failed", reason=str(error))
        try:
            self.publish(self.state())
        except OSError as error:  # a disk that is full; what others see of it is not worth its entries
            self.report("failed", do="tell the state", reason=f"{error.filename or 'state'}: {error.strerror}")
        if not self.options.once:
            return True
        return any(not entry.is_done for entry in self.entries.values())

    @property
    def is_waiting(self) -> bool:
        """Nothing is to be done until something happens: the next tick may come a little later."""
        return not self._chooser.has_more and all(
            self._attention.is_resting(key) for key, entry in self.entries.items() if not entry.is_done
        )

    def stop(self) -> None:
        """Ends the training children; nothing is lost, the next run goes on from there."""
        for entry in self.entries.values():
            entry.training.stop()
            entry.end_errands()

    # ------------------------------------------------------------------ what it already has

    def _load(self) -> None:
        """Entries of the journal, and those that only the chain remembers (a lost disk)."""
        for found in find_entries(self.chain, self.journal, self.keys.address):
            task_id = found.posted.task_id
            known = self.entries.get(entry_key(found.posted.terms_hash, found.round))
            if known is None:
                self._add(found.posted, found.round, found.record)
                if found.is_new:
                    self.report("entry_found_on_chain", task_id=task_id, round=found.round)
            elif known.is_done:
                known.note(done=False)
                self.report("entry_taken_up", task_id=task_id, round=found.round, why="the chain lost how it ended")
        if all(entry.is_done for entry in self.entries.values()):
            pull_credits(self.chain, self.pool, self.keys.address, self._heard)

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
            device=self._device_of(record),
            posted=posted,
            round=index,
            record=record,
            strategy=self.options.strategy,
            seconds=self.seconds,
            estimate=int(record.get("estimate", 0)),
            room=self._room,
            turn=self._scoring,
        )
        if self.journal.get(ENTRY, entry.key) != record:  # a restart on a full disk goes on with what is there
            entry.note()
        self.entries[entry.key] = entry
        return entry

    def _device_of(self, record: Mapping[str, Any]) -> str:
        wanted = str(record.get("device", ""))
        return wanted if wanted in self.options.devices else self.options.devices[0]

    def _forget_finished(self) -> None:
        """A year's finished entries do not pile up in memory."""
        finished = [key for key, entry in self.entries.items() if entry.is_done]
        for key in finished[: -KEPT_FINISHED or None]:
            del self.entries[key]

    # ------------------------------------------------------------------ one step of one entry

    def _step(self, entry: MinerEntry) -> None:
        """Decides and does. Whatever goes wrong with one entry never ends the loop: the others hold deposits, too."""
        try:
            if self._attention.is_due(entry.key, entry.task_id):
                self._attention.wake(entry.key)
                self._do(entry)
            elif entry.training.is_running:
                self._train(entry)  # a look at the child, none at the chain
        except TryLater as error:
            self._trouble("try_later", entry, str(error))
        except ContractRefused as error:
            self._trouble("refused", entry, str(error))
        except (VerificationFailed, BadInput) as error:
            if entry.may_give_up:
                entry.give_up(str(error))
            else:
                self._trouble("failed", entry, str(error))
        except DlbcError as error:
            # No money for this step, or a node behind a load balancer that does not know yet what another one told us.
            self._trouble("failed", entry, str(error))
        except OSError as error:
            # A full disk, too many open files: the machine's fault, and no reason to lose the task.
            self._trouble("failed", entry, f"this machine: {error.strerror or type(error).__name__}")
        except Exception as error:  # noqa: BLE001  (strangers chose this task; what it breaks must stay its own)
            why = f"unexpected {type(error).__name__}: {str(error)[:200]}"
            if entry.may_give_up:
                entry.give_up(why)
            else:
                self._trouble("failed", entry, why)

    def _trouble(self, event: str, entry: MinerEntry, why: str) -> None:
        self._attention.wake(entry.key)
        self._rest_if_stuck(entry)
        self.report(event, task_id=entry.task_id, reason=why)

    def _rest_if_stuck(self, entry: MinerEntry) -> None:
        """Neither node nor network is kept busy by many tasks whose data does not come."""
        if promises.is_stuck(entry):
            now = self._attention.now()
            self._attention.rest(entry.key, now, Timestamp(now + STUCK_SECONDS))

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
        decision = self._decisions[entry.key] = decide_miner(facts, mine)
        match decision.do:
            case Do.TRAIN:
                self._train(entry)
                if entry.training.is_running:
                    self._attention.rest(entry.key, facts.now, decision.until)
                else:
                    self._rest_if_stuck(entry)
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
                pull_credits(self.chain, self.pool, me, self._heard, entry.task_id)
            case Do.FINISH if entry.may_have_paid and not own.commit_seq and not facts.phase.phase.is_cold:
                # The commit may be on its way, or this node behind. A finished entry would never be looked at again.
                self.report("waiting", task_id=entry.task_id, why="the commit is not in the node's state")
            case Do.FINISH:
                entry.training.stop()
                entry.end_errands()
                entry.note(done=True, done_at=facts.now)
                self.report("entry_finished", task_id=entry.task_id, round=entry.round, why=decision.why)
            case _:
                self.report("waiting", task_id=entry.task_id, why=decision.why, until=decision.until)
                again = Timestamp(entry.claim_again_at) if entry.claim_refused else decision.until
                self._attention.rest(entry.key, facts.now, again)

    def _train(self, entry: MinerEntry) -> None:
        if not entry.training.is_running:
            free = promises.free_devices(self.options.devices, self.entries.values())
            if not free or self._has_fetched:
                return  # one training a device, and one fetch of data a tick
            why = promises.why_no_room(entry, self._means()) if promises.is_stuck(entry) else ""
            if why:
                self.report("waiting", task_id=entry.task_id, why=why)
                return
            entry.device = entry.device if entry.device in free else free[0]
            self._has_fetched = True
        try:
            progress = entry.training.train(self.options.epochs)
        finally:
            self._chooser.note_download(*entry.training.downloaded)
            entry.training.downloaded = 0, 0.0
        self.report(
            "training",
            task_id=entry.task_id,
            state=progress.state,
            epoch=progress.epoch,
            epochs=progress.epochs,
            validation_ppm=progress.validation_ppm,
        )
        if not entry.training.is_running:
            self._attention.wake(entry.key)
        if entry.is_sealed:
            epochs, seconds = int(entry.record["train_epochs"]), int(entry.record["train_seconds"])
            self._chooser.note_training(entry.manifest, entry.device, epochs, seconds)

    def _heard(self, event: str, **keys: Any) -> None:
        """Reports, and keeps account of what came home."""
        if event == "money_arrived":
            record = {"wei": keys["wei"], "source": keys["source"], "task_id": keys["task_id"], "at": self.chain.now()}
            self._received[f"{keys['tx'].hex()}/{keys['source']}"] = record
        self.report(event, **keys)
        self._keep_account()

    def _keep_account(self) -> None:
        """Journals what came home; what a full disk does not take now is tried again."""
        try:
            for key, record in list(self._received.items()):
                self.journal.put(RECEIVED, key, record)
                del self._received[key]
        except Refused as error:
            self.report("failed", reason=str(error))

    # ------------------------------------------------------------------ the next tasks

    def _is_look_due(self) -> bool:
        """Something is new or left over, or it is time for another look; but never most of the time."""
        before, self._free = self._free, len(self.options.devices) - len(promises.at_work(self.entries.values()))
        self._is_news = self._is_news or self._free > before
        now = self.seconds()
        is_due = self._is_news or self._chooser.has_more or now >= self._look_again_at
        return is_due and now >= self._chooser.rest_until

    def _plan_and_begin(self) -> None:
        self._is_news = False
        self._plan, postings = self._chooser.look(self._means(), promises.disk_promised(self.entries.values()))
        self._look_again_at = self.seconds() + LOOK_AGAIN
        for choice in self._plan.start:
            if not self._chooser.has_disk(postings[choice.task_id], promises.disk_promised(self.entries.values())):
                continue  # the one before took the room
            self._begin(choice, postings[choice.task_id])
            if self.options.once:
                return

    def _begin(self, choice: Choice, posted: TaskPosted) -> None:
        fresh = new_record(posted.task_id, 0) | fresh_attempt(self.chain, self.journal, posted.task_id, 0)
        fresh |= {"device": choice.device, "estimate": choice.seconds}
        if self.options.parent != ZERO_HASH:
            fresh["parent"] = to_record(self.options.parent)
        entry = self._add(posted, 0, fresh)
        self.report("task_chosen", task_id=posted.task_id, device=choice.device, why=choice.why)
        warning = stake_warning(posted.terms.bounty_wei, self.pool.totals()[0])
        if warning:
            self.report("warning", task_id=posted.task_id, why=warning)
        self._step(entry)

    def _means(self) -> Means:
        """What this miner has now."""
        now = self.chain.now()
        self._balance = self.chain.balance(self.keys.address)
        entries, seconds = self.entries.values(), self.seconds()
        return Means(
            now=now,
            devices=tuple(
                Device(device, promises.free_at(device, entries, now, seconds)) for device in self.options.devices
            ),
            balance_wei=self._balance,
            promised_wei=promises.money_promised(entries, GAS_RESERVE_WEI),
            at_risk_wei=promises.at_risk(entries),
            most_at_risk_wei=self.options.most_at_risk_wei,
            gas_wei=GAS_RESERVE_WEI,
            memory_bytes=self.options.memory_bytes,
            memory_used=promises.memory_used(entries),
            speeds=self._chooser.speeds(),
            download=self._chooser.download(),
        )

    # ------------------------------------------------------------------ for those who look on

    def show_on(self, report: Report, publish: Publish) -> None:
        """From now on events go here, and the state here as well as where it went before."""
        before = self.publish

        def both(state: MinerState) -> None:
            before(state)
            publish(state)

        self.report, self.publish = report, both

    def state(self) -> MinerState:
        """What it is at, as of the last tick; asks nobody."""
        return describe(
            list(self.entries.values()),
            self._decisions,
            self._plan,
            devices=self.options.devices,
            now=self._attention.now(),
            seconds=self.seconds(),
            balance_wei=Wei(self._balance),
            at_risk_wei=Wei(promises.at_risk(self.entries.values())),
        )
