"""The requester as a daemon: every task of its account is released on time, brought to its end, paid and told about.

Releases come first at every tick, the most urgent before all others; whatever takes time (IPFS, webhooks, models) has
threads of its own. Killed at any line it reads the chain again, and the chain refuses what was done already.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from dlbc.core.decide import Do, Facts, decide_requester
from dlbc.core.errors import ChainUnreachable, ContractRefused, DlbcError, NotFound, Refused, Unavailable
from dlbc.core.types import Hash32, Phase, TaskId, Timestamp, Wei
from dlbc.ports import Chain, Journal, Pool
from dlbc.roles.attention import Attention
from dlbc.roles.bond_watch import BondWatch
from dlbc.roles.collecting import collect_task, pull_credits
from dlbc.roles.following import Followed, read_followed
from dlbc.roles.keeper import advance, read_facts, report_phase
from dlbc.roles.loop import Report, unheard
from dlbc.roles.model_store import ModelStore
from dlbc.roles.notices import Notice, not_stored_notice, notice_id, notices_of, posted_notice, stored_notice
from dlbc.roles.outcome import NOTHING
from dlbc.roles.requester import Requester
from dlbc.roles.task_view import read_view
from dlbc.roles.telling import Outbox

MARKET = "market"
LOOK_SECONDS = 20.0
"""Of a tick, for what is not a release: a release may have become due meanwhile."""
RELEASE_SECONDS = 120.0
"""Of a tick, for releases: the next one goes on with those that were not tried yet."""
DEAD_CALLS = 3
LEAD_SECONDS = 3600
"""Before a release starts from which on it is a danger that the chain does not answer."""
SILENT_SECONDS = 60.0
"""Without an answer, until that is one."""
MODEL_TRIES = 5
FLUSH_SECONDS = 60.0
"""How long a daemon that ends with its tasks tries to get its notices through."""


@dataclass(slots=True)
class RequesterDaemon:
    """One account's requester in one market."""

    requester: Requester
    journal: Journal
    outbox: Outbox
    store: ModelStore
    bonds: BondWatch
    attention: Attention
    seconds: Callable[[], float]
    """A stopwatch."""
    wall: Callable[[], float]
    """Unix time, for when there is no chain to ask."""
    report: Report = unheard
    tasks: frozenset[TaskId] | None = None  # None: all that this account posted
    followed: dict[TaskId, Followed] = field(default_factory=dict)
    _is_loaded: bool = False
    _is_listed: bool = False
    _looks: int = 0
    _may_send: bool = True
    _silent_since: float | None = None
    _over_since: float | None = None
    _known_chain: int | None = None

    def __post_init__(self) -> None:
        """Warnings go out like all else that there is to tell."""
        self.bonds.tell = self.tell

    @property
    def chain(self) -> Chain:
        """The market, as the account sees it."""
        return self.requester.chain

    @property
    def pool(self) -> Pool:
        """Its pool."""
        return self.requester.pool

    def tick(self) -> bool:
        """One look around. False once all chosen tasks are over and paid, and their models had their chance."""
        self._load()
        self._looks += 1
        try:
            self._look()
        except DlbcError as error:
            if error.retryable:
                self._warn_blindly(str(error))
            self.outbox.step()
            raise
        self._hear_again()
        self._fetch_models()
        self.outbox.step()
        return self._goes_on()

    @property
    def by_phase(self) -> Mapping[str, int]:
        """How many tasks that are not over stand where."""
        open_tasks = [each.facts for each in self.followed.values() if each.facts is not None and not each.is_over]
        return Counter(facts.phase.phase.label for facts in open_tasks)

    @property
    def locked_wei(self) -> Wei:
        """Their bounties and bonds."""
        tasks = [each.facts.task for each in self.followed.values() if each.facts is not None and not each.is_over]
        return Wei(sum(task.bounty_wei * (task.rounds - task.round) + task.bond_wei for task in tasks))

    def close(self) -> None:
        """Ends what runs in threads."""
        self.bonds.close()
        self.store.close()
        self.outbox.close()

    # ------------------------------------------------------------------ which tasks

    def _load(self) -> None:
        """What an earlier process followed: with no chain to ask it is known for whose bond to fear."""
        if self._is_loaded:
            return
        self.outbox.load()
        for followed in read_followed(self.journal, self.chain.market):
            if self.tasks is None or followed.task_id in self.tasks:
                self.followed[followed.task_id] = followed
        self._is_loaded = True

    def _look(self) -> None:
        news = self.attention.look()
        if not self._is_listed or news.touched is None:
            self._list()
        else:
            for task_id in sorted(news.posted):
                self._follow(task_id)
        self._may_send = True
        self._release()
        self._look_around(news.touched)

    def _list(self) -> None:
        """All that the account posted, by the log and, where a node does not tell all of it, by its journal."""
        posted = {event.task_id: event.terms_hash for event in self.chain.postings_of(self.requester.keys.address)}
        posted |= {task_id: terms for task_id, terms in self.requester.journaled_tasks() if task_id not in posted}
        for task_id in sorted(self.tasks or ()):
            posted.setdefault(task_id, self.chain.task(task_id).terms_hash)
        known = {task_id: followed.terms_hash for task_id, followed in self.followed.items()}
        for task_id, terms_hash in sorted(posted.items()):
            if known.get(task_id) != terms_hash:
                self._follow(task_id, terms_hash)
        for task_id in sorted(set(self.followed) - set(posted)):
            if not self._is_there(self.followed[task_id]):
                del self.followed[task_id]  # of a block that is no more
        self._is_listed = True

    def _is_there(self, followed: Followed) -> bool:
        """As the contract says: a log that a node tells only a part of must cost no bond."""
        try:
            task = self.chain.task(followed.task_id)
        except NotFound:
            return False
        return (task.requester, task.terms_hash) == (self.requester.keys.address, followed.terms_hash)

    def _follow(self, task_id: TaskId, terms_hash: Hash32 | None = None) -> None:
        """If it is this account's, and wanted."""
        if self.tasks is not None and task_id not in self.tasks:
            return
        try:
            task = self.chain.task(task_id)
        except NotFound:  # the node that told of it is ahead of the one that answers now
            self._is_listed = self._is_listed and terms_hash is not None
            return
        if task.requester == self.requester.keys.address and terms_hash in (None, task.terms_hash):
            self.followed[task_id] = Followed(task_id, self.chain.market, task.terms_hash)

    # ------------------------------------------------------------------ one look

    def _release(self) -> None:
        """Whatever may be released by now, the most urgent first; what failed before, after what did not."""
        now, began, dead = self.attention.now(), self.seconds(), 0
        ahead = [each for each in self.followed.values() if each.release_end and each.has_release_ahead]
        for followed in sorted(ahead, key=_turn):
            if now >= followed.release_start and self.seconds() - began <= RELEASE_SECONDS:
                dead = self._count_dead(dead, self._try(followed, self._attend))
                self.outbox.step()

    def _look_around(self, touched: frozenset[TaskId] | None) -> None:
        began, dead = self.seconds(), 0
        for followed in sorted(self.followed.values(), key=lambda each: (each.looked, each.task_id)):
            if followed.looked == self._looks or not self._is_due(followed, touched):
                continue
            if self.seconds() - began > LOOK_SECONDS:
                return
            dead = self._count_dead(dead, self._try(followed, self._attend))

    def _count_dead(self, before: int, error: DlbcError | None) -> int:
        """Tasks in a row that found no chain. Raises ChainUnreachable if there is none: the others need not try."""
        dead = before + 1 if isinstance(error, ChainUnreachable) else 0
        if dead == DEAD_CALLS:
            self.chain.now()
            return 0
        return dead

    def _is_due(self, followed: Followed, touched: frozenset[TaskId] | None) -> bool:
        if followed.is_done and self.tasks is None:
            is_first = followed.facts is None  # an earlier process saw to it
            if is_first if touched is None else followed.task_id not in touched:
                return False
        return self.attention.is_due(followed.key, followed.task_id)

    def _attend(self, followed: Followed) -> None:
        """Looks at one task: tells what is new, and sends at most one transaction."""
        followed.looked = self._looks
        facts = read_facts(self.chain, followed.task_id)
        if facts.task.terms_hash != followed.terms_hash:
            del self.followed[followed.task_id]
            self._is_listed = False
            return
        report_phase(self.report, followed.task_id, facts)
        was_ahead = followed.has_release_ahead
        followed.learn(facts)
        if was_ahead and not followed.has_release_ahead:
            self.bonds.released(followed)
        if facts.phase.phase is Phase.RELEASING:  # what there is to tell may fail, and can wait
            try:
                until = self._act(followed, facts)
            except DlbcError:
                self._try(followed, self._tell_news)
                raise
            self._try(followed, self._tell_news)
        else:
            followed.save(self.journal)
            self._tell_news(followed)
            until = self._act(followed, facts)
        followed.save(self.journal)
        if until is None:
            self.attention.wake(followed.key)
        else:
            self.attention.rest(followed.key, facts.now, until)

    def _act(self, followed: Followed, facts: Facts) -> Timestamp | None:
        """What is due; until when to rest (0: until something happens), or None: look again at once."""
        credit, in_pool = self._credits() if facts.phase.phase.is_cold else (NOTHING, NOTHING)
        decision = decide_requester(facts, credit, in_pool)
        if decision.do is Do.RELEASE:
            self._release_one(followed, facts)
            return None
        if decision.do is Do.FINISH:
            return self._finish(followed)
        if decision.do is Do.WAIT:
            look_at = self.bonds.look(followed, facts, self._urgency(followed))
            return min(look_at, decision.until) if decision.until else look_at
        if self._may_send:
            if decision.do is Do.ADVANCE:
                advance(self.chain, followed.task_id, self.report)
            else:
                pull_credits(self.chain, self.pool, self.requester.keys.address, self.report, followed.task_id)
            self._may_send = False  # the next one waits for a tick, which begins with what may be released by then
        return None

    def _credits(self) -> tuple[Wei, Wei]:
        me = self.requester.keys.address
        return self.chain.credit(me), self.pool.credit(me)

    def _urgency(self, followed: Followed) -> int:
        ends = [each.release_end for each in self.followed.values() if each.has_release_ahead and each.release_end]
        return sum(1 for end in ends if end < followed.release_end)

    def _release_one(self, followed: Followed, facts: Facts) -> None:
        followed.problems.pop("chain", None)
        preimage = self.bonds.preimage(facts)
        if preimage is None:  # the wallet is asked, beside everything else
            self.bonds.look(followed, facts, 0)
            preimage = self.bonds.preimage(facts)
        if preimage is None:
            return
        try:
            self.requester.release_with(followed.task_id, preimage)
        except ContractRefused:
            raise  # released already, or a second too early: the next look decides anew
        except DlbcError as error:
            followed.problems["release"] = f"its release does not get through ({error})"
            self.bonds.judge(followed, facts.now)
            followed.save(self.journal)
            raise

    def _finish(self, followed: Followed) -> Timestamp:
        """Over and paid: bonds of this account's own disputes, then the files."""
        if not followed.is_collected:
            collect_task(self.chain, self.pool, followed.task_id, self.report)
            followed.is_collected = True
        if not followed.is_done and self._has_told_models(followed):
            self.bonds.over(followed)
            followed.is_done = True
            followed.save(self.journal)
        return Timestamp(0)

    # ------------------------------------------------------------------ what is told

    def _tell_news(self, followed: Followed) -> None:
        """Of tasks that were over when they were first seen, only what happens to them from then on."""
        facts = followed.facts
        assert facts is not None, "it was just looked at"
        view = read_view(self.chain, self.pool, followed, facts)
        followed.models = {win.round: win.model_hash for win in view.wins}
        if followed.is_past:
            return
        self.tell(followed, posted_notice(followed.task_id, facts))
        for notice in notices_of(view):
            self.tell(followed, notice)

    def tell(self, followed: Followed, notice: Notice) -> None:
        """A notice goes out, unless it did before."""
        named = notice_id(self._chain_id(), self.chain.market, followed.task_id, followed.terms_hash, notice)
        document: Mapping[str, Any] = {
            "id": named,
            "kind": notice.kind,
            "message": notice.message,
            "taskId": followed.task_id,
            "round": notice.round,
            "at": self.attention.now() or int(self.wall()),
            "chainId": self._chain_id(),
            "market": self.chain.market,
            **(notice.told or {}),
        }
        if self.outbox.put(named, document):
            self.report("notice", task_id=followed.task_id, kind=notice.kind, message=notice.message)

    # ------------------------------------------------------------------ models

    def _fetch_models(self) -> None:
        """One step for each model that is not here yet."""
        for followed in self.followed.values():
            if followed.is_over and not followed.is_done:
                self._try(followed, self._fetch_models_of)

    def _has_told_models(self, followed: Followed) -> bool:
        """All are here; an earlier process may have died before it could say so."""
        found = {index: self.store.known(followed.model_key(index)) for index in followed.models}
        for index, stored in found.items():
            if stored is not None:
                self.tell(followed, stored_notice(index, str(stored.path), stored.sha256.hex(), stored.size))
        return all(found.values())

    def _fetch_models_of(self, followed: Followed) -> None:
        for index, model_hash in followed.models.items():
            key = followed.model_key(index)
            found = self.store.fetch(key, followed.task_id, index, model_hash)
            if isinstance(found, str):
                self.tell(followed, not_stored_notice(index, found))
        if self._has_told_models(followed):
            self.attention.wake(followed.key)

    # ------------------------------------------------------------------ inside

    def _try(self, followed: Followed, step: Callable[[Followed], None]) -> DlbcError | None:
        """What goes wrong with one task must not keep the others waiting."""
        followed.looked = self._looks
        try:
            step(followed)
        except (ContractRefused, Refused, NotFound, Unavailable) as error:
            self.report("refused", task_id=followed.task_id, reason=str(error))
            return error
        except DlbcError as error:
            self.report("failed", task_id=followed.task_id, do="request", reason=str(error))
            return error
        return None

    def _chain_id(self) -> int:
        """Remembered, so that it is known when there is no chain to ask."""
        if self._known_chain is None:
            record = self.journal.get(MARKET, self.chain.market)
            try:
                self._known_chain = self.chain.chain_id
            except DlbcError:
                if record is None:
                    raise
                return int(record["chain_id"])
            if record is None or record["chain_id"] != self._known_chain:
                self.journal.put(MARKET, self.chain.market, {"chain_id": self._known_chain})
        return self._known_chain

    def _hear_again(self) -> None:
        """The chain answers."""
        if self._silent_since is not None:
            self._silent_since = None
            for followed in self.followed.values():
                followed.problems.pop("chain", None)
                self.attention.wake(followed.key)

    def _warn_blindly(self, why: str) -> None:
        """The chain does not answer: by the clock, a release may be due, or soon."""
        if self._silent_since is None:
            self._silent_since = self.seconds()
        if self.seconds() - self._silent_since < SILENT_SECONDS:
            return
        now = self.attention.now() or Timestamp(int(self.wall()))
        for followed in self.followed.values():
            if followed.has_release_ahead and followed.release_end and now >= followed.release_start - LEAD_SECONDS:
                followed.problems["chain"] = f"the chain does not answer ({why})"
                self._try(followed, partial(self.bonds.judge, now=now))

    def _goes_on(self) -> bool:
        if self.tasks is None or not all(self._is_settled(task_id) for task_id in self.tasks):
            self._over_since = None
            return True
        if self._over_since is None:
            self._over_since = self.seconds()
        return self.outbox.waiting > 0 and self.seconds() - self._over_since < FLUSH_SECONDS

    def _is_settled(self, task_id: TaskId) -> bool:
        followed = self.followed.get(task_id)
        if followed is None:
            return False
        keys = [followed.model_key(index) for index in followed.models]
        given_up = all(self.store.known(key) or self.store.failures(key) >= MODEL_TRIES for key in keys)
        return followed.is_done or (followed.is_over and followed.is_collected and given_up)


def _turn(followed: Followed) -> tuple[bool, int, Timestamp, TaskId]:
    """Of releases that are due. One that fails, and takes its time to, must not hold up the others."""
    has_failed = "release" in followed.problems
    return has_failed, followed.looked if has_failed else 0, followed.release_end, followed.task_id
