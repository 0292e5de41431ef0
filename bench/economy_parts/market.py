"""The market in play: a generation of tasks at a time, every deposit, bond, ballot and dividend of it on the books."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from dlbc.core.types import Ruling, Verdict

from economy_parts import population as people
from economy_parts.books import Account, Books
from economy_parts.contest import Entry, Round, Trial, decide
from economy_parts.court import Court
from economy_parts.population import Habits, Miner, Poster, Tasks, Voter
from economy_parts.setting import Rules, World

CHEATS = (Miner.THIEF, Miner.OVER_CLAIMER, Miner.RING)
CLAIMS_ALL = (Miner.OVER_CLAIMER, Miner.RING, Miner.SILENT)
SPAMMER = "spammer"
CLAIM = 100.0
"""Everything right: better than any honest model."""
LEAST_QUALITY = -1.5
"""What a minimum score asks for: about one in ten honest models misses it."""


@dataclass(frozen=True, slots=True)
class Size:
    """How big a market, for how long."""

    miners: int
    tasks: int
    generations: int
    auditors: int = 60
    stake_per_task: int = 20  # ether of all stake for each open task


@dataclass(slots=True)
class Open:
    """A task between its reveals and its end."""

    round_: Round
    place: int
    stolen_from: dict[int, int] = field(default_factory=dict)


class Market:
    """Agents and their books. `run` plays generations; `counts` says what happened how often."""

    def __init__(
        self,
        size: Size,
        rules: Rules,
        world: World,
        gas: dict[str, int],
        seed: int,
        habits: Habits | None = None,
        largest_first: bool = True,
    ) -> None:
        self.size, self.rules, self.world = size, rules, world
        self.habits = habits or Habits()
        self.largest_first = largest_first
        self.random = np.random.default_rng(seed)
        self.books = Books(gas, world.gas_price_wei)
        self.court = Court(self.books, rules)
        self.counts: defaultdict[str, int] = defaultdict(int)
        self.speeds = people.speeds_of(self.random, size.miners)
        self.kinds = people.pick(self.random, people.MINERS, size.miners)
        self.voters = people.pick(self.random, people.VOTERS, size.auditors).tolist()
        total = size.stake_per_task * size.tasks * world.bounty_wei
        self.stakes = people.stakes_of(self.random, self.voters, people.VOTERS, total)
        for number, wei in enumerate(self.stakes):
            self.court.stake(("auditor", number), wei)
        self.best = np.full(self.habits.families, np.nan)  # quality of the newest honest model of a family
        self.owners = np.full(self.habits.families, -1)
        self.tasks_posted = 0
        self.bounties_wei = 0

    def run(self, report: Callable[[int], None] = lambda generation: None) -> None:
        for generation in range(self.size.generations):
            self.generation()
            report(generation + 1)

    # ---------------------------------------------------------------- one generation

    def generation(self) -> None:
        tasks = people.draw_tasks(self.random, self.rules, self.size.tasks, self.habits)
        chosen = people.choose(self.random, tasks.ranks, self.size.miners)
        parents = self.best[tasks.family[chosen]]
        quality = people.qualities(self.random, self.habits, self.kinds, self.speeds, parents)
        rivals: list[list[int]] = [[] for _ in range(self.size.tasks)]
        for miner, task in enumerate(chosen.tolist()):
            rivals[task].append(miner)
        self._lost = self.random.random(self.size.miners) < self.habits.lost_reveal
        self._onward = ~np.isnan(parents) & np.isin(self.kinds, (Miner.BUILDER, Miner.THIEF))
        self._kind_of, self._quality = self.kinds.tolist(), quality.tolist()
        running = [
            found for task, miners in enumerate(rivals) if (found := self._reveal(tasks, task, miners)) is not None
        ]
        while running:
            running = self._lead(tasks, running)
        self.court.share()
        for account in self.court.auditors:
            self.court.claim_dividends(account)
        self.books.check()
        assert self.books.escrows["pool", 0] == self.court.held(), "the pool owes more or less than it has"

    def _reveal(self, tasks: Tasks, task: int, miners: list[int]) -> Open | None:
        """Post, train, commit, release, reveal. None = it ended before anybody led."""
        poster = Poster(int(tasks.poster[task]))
        self.tasks_posted += 1
        self.bounties_wei += tasks.bounty_wei[task]
        round_ = Round(
            self.tasks_posted, self.books, self.court, self.rules, ("requester", poster), tasks.bounty_wei[task]
        )
        if poster in (Poster.OWN_CONTEST, Poster.LEAK):
            round_.commit(("accomplice", poster))
        for miner in miners:
            self._train(miner)
            round_.commit(("miner", miner))
        if poster is Poster.NO_RELEASE and miners:
            round_.abort_unreleased()
            self.counts["aborted"] += 1
            return None
        round_.release()
        for miner in miners:
            self._claim(round_, poster, miner)
        if poster in (Poster.OWN_CONTEST, Poster.LEAK):
            round_.reveal(("accomplice", poster), CLAIM, True)
        return Open(round_, task)

    def _train(self, miner: int) -> None:
        kind = self._kind_of[miner]
        if kind in (Miner.HONEST, Miner.BUILDER, Miner.THIEF):
            part = self.habits.tuning if self._onward[miner] else 1.0
            wei = people.compute_wei(self.rules, self.world.node_hour_wei, float(self.speeds[miner]), part)
            self.books.spend(("miner", miner), wei, "compute")

    def _claim(self, round_: Round, poster: Poster, miner: int) -> None:
        kind, quality = self._kind_of[miner], self._quality[miner]
        if kind in CLAIMS_ALL:
            round_.reveal(("miner", miner), CLAIM, True)
        elif kind == Miner.JUNK:
            round_.reveal(("miner", miner), -math.inf, False)
        elif not self._lost[miner]:
            qualifies = poster is not Poster.UNREACHABLE and quality >= LEAST_QUALITY
            round_.reveal(("miner", miner), quality, qualifies)

    # ---------------------------------------------------------------- leaders, one after the other

    def _lead(self, tasks: Tasks, running: list[Open]) -> list[Open]:
        """Each task's present leader opens or not, is looked at, disputed, voted on. Returns tasks with a next one."""
        trials: list[tuple[Open, Trial]] = []
        again, quiet = [], []
        for found in running:
            leader = found.round_.leader()
            if leader is None:
                found.round_.void()
                self.counts["void"] += 1
            elif self._kind(leader) == Miner.SILENT:
                found.round_.strike_silent(leader.miner)
                self.counts["silent leaders"] += 1
                again.append(found)
            else:
                self.books.gas(leader.miner, "open")
                trial = self._look(tasks, found, leader)
                if trial is None:
                    quiet.append(found)
                else:
                    trials.append((found, trial))
        for found in quiet:
            self._settle(tasks, found)
        again += self._judge(tasks, trials)
        return again

    def _look(self, tasks: Tasks, found: Open, leader: Entry) -> Trial | None:
        """Requester, runner-up and auditors look or not; who finds a cheat files. Some file for nothing."""
        kind, round_, habits = self._kind(leader), found.round_, self.habits
        watchers: list[Account] = []
        if round_.requester == ("requester", Poster.HONEST) and self.random.random() < habits.requesters:
            watchers.append(round_.requester)
        second = self._second(round_, leader)
        if second is not None and self.random.random() < habits.competitors:
            watchers.append(second)
        looks = self.random.random(len(self.voters)) < habits.auditors
        watchers += [
            ("auditor", number) for number in np.flatnonzero(looks).tolist() if self.voters[number] == Voter.HONEST
        ]
        for watcher in watchers:
            self.books.spend(watcher, self.world.audit_wei, "audit")
        is_false = self._is_false(leader)
        if is_false and kind == Miner.THIEF:
            watchers = [one for one in watchers if self.random.random() < habits.mark_found]
        self.counts[f"{kind.name.lower()} led"] += 1
        if is_false and watchers:
            self.counts[f"{kind.name.lower()} disputed"] += 1
            return Trial(round_, round_.dispute(leader.miner, *watchers), self._ballots(kind, is_false))
        if not is_false and self.random.random() < habits.spam:
            self.counts["honest leaders disputed"] += 1
            return Trial(round_, round_.dispute(leader.miner, SPAMMER), self._ballots(kind, is_false))
        return None

    def _ballots(self, kind: Miner, is_false: bool) -> dict[Account, Verdict]:
        truth, lie = (Verdict.FALLS, Verdict.STANDS) if is_false else (Verdict.STANDS, Verdict.FALLS)
        errs = (self.random.random(len(self.voters)) < self.habits.mistaken).tolist()
        ballots: dict[Account, Verdict] = {}
        for number, strategy in enumerate(self.voters):
            if strategy == Voter.ABSENT:
                continue
            account = ("auditor", number)
            if strategy == Voter.HONEST:
                self.books.spend(account, self.world.audit_wei, "audit")
                ballots[account] = lie if errs[number] else truth
            elif strategy == Voter.RING and kind == Miner.RING:
                ballots[account] = Verdict.STANDS
            else:
                ballots[account] = Verdict.UNAVAILABLE if strategy == Voter.UNAVAILABLE else Verdict.FALLS
        return ballots

    def _judge(self, tasks: Tasks, trials: list[tuple[Open, Trial]]) -> list[Open]:
        """Votes that begin in the same vote window run at once: what is locked in one cannot vote in another."""
        rules = self.rules
        slots = max(1, rules.round_seconds() // (2 * rules.market.vote_seconds))
        starts = self.random.integers(0, slots, len(trials)).tolist()
        for slot in range(slots):
            batch = [trial for (_, trial), start in zip(trials, starts, strict=True) if start == slot]
            if self.largest_first:
                batch.sort(key=lambda trial: -trial.round_.bounty_wei)
            self.counts["most votes at once"] = max(self.counts["most votes at once"], len(batch))
            decide(*batch)
        again = []
        for found, trial in trials:
            is_false = self._is_false(found.round_.entries[trial.case.defendant])
            self.counts[f"{'false' if is_false else 'honest'} claim, {trial.case.ruling.name.lower()}"] += 1
            if trial.case.ruling is Ruling.FALLS:
                again.append(found)
            else:
                self._settle(tasks, found)
        return again

    def _settle(self, tasks: Tasks, found: Open) -> None:
        round_ = found.round_
        leader = round_.leader()
        assert leader is not None
        kind, family = self._kind(leader), int(tasks.family[found.place])
        parent = None
        number = self._number(leader)
        if kind == Miner.BUILDER and self._onward[number] and self.owners[family] >= 0:
            parent = ("miner", int(self.owners[family]))
        round_.settle(parent)
        is_false = self._is_false(leader)
        self.counts[f"settled for {kind.name.lower()}"] += 1
        self.counts["settled, false" if is_false else "settled"] += 1
        if kind in (Miner.HONEST, Miner.BUILDER) and not is_false:
            self.best[family], self.owners[family] = self._quality[number], number

    # ---------------------------------------------------------------- facts

    def _number(self, entry: Entry) -> int:
        assert isinstance(entry.miner, tuple)
        return int(entry.miner[1])

    def _kind(self, entry: Entry) -> Miner:
        assert isinstance(entry.miner, tuple)
        return Miner.ACCOMPLICE if entry.miner[0] == "accomplice" else Miner(self._kind_of[entry.miner[1]])

    def _is_false(self, entry: Entry) -> bool:
        """An accomplice's model does score what it claims; so does a thief's, which has another's mark."""
        kind = self._kind(entry)
        return kind in CHEATS and (kind != Miner.THIEF or bool(self._onward[self._number(entry)]))

    def _second(self, round_: Round, leader: Entry) -> Account | None:
        """The honest miner that would lead if the leader fell."""
        rivals = [
            entry
            for entry in round_.entries.values()
            if entry.qualifies and not entry.is_struck and entry is not leader and not self._claims_all(entry)
        ]
        best = max(rivals, key=lambda entry: entry.total, default=None)
        return None if best is None or self._kind(best) not in (Miner.HONEST, Miner.BUILDER) else best.miner

    def _claims_all(self, entry: Entry) -> bool:
        return self._kind(entry) in CLAIMS_ALL
