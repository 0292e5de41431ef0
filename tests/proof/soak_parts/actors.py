"""Who acts: requesters that post and watch, an auditor that checks what is opened. Each looks, and does one thing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from soak_parts.plan import PlannedTask, Windows
from soak_parts.programs import Command, Daemon, Program

COLLECT_EVERY = 8
"""Audits."""
AUDIT_ATTEMPTS = 3
UNWATCHED_SECONDS = 20.0
"""How long a posted task may wait for more of them to be posted, before a watch takes it on."""

NewCommand = Callable[[str, str, Sequence[str], tuple[int, ...]], Command]
"""(name, account, words, accepted exit codes)"""
NewDaemon = Callable[[str, str, Sequence[str]], Daemon]


@dataclass
class Requester:
    """Posts what is due, takes back what is to be cancelled, and has a watch over all of its tasks."""

    account: str
    planned: deque[PlannedTask]
    windows: Windows
    folder: Path
    command: NewCommand
    daemon: NewDaemon
    posted: dict[int, PlannedTask] = field(default_factory=dict)
    watch: Daemon | None = None
    programs: list[Program] = field(default_factory=list)
    _now_doing: tuple[str, Command, PlannedTask] | None = None
    _unwatched: dict[int, float] = field(default_factory=dict)
    """When each was posted."""
    _watched: set[int] = field(default_factory=set)

    def look(self, now: float, is_cold: Callable[[int], bool]) -> None:
        """One step."""
        if self.watch is not None:
            self.watch.look(now)
        if self._now_doing is not None:
            self._go_on(now)
        elif self.planned and self.planned[0].post_at <= now:
            self._post(self.planned.popleft())
        is_idle = self._now_doing is None
        if self._unwatched and (is_idle or now >= min(self._unwatched.values()) + UNWATCHED_SECONDS):
            self._watch_all(now, is_cold)

    @property
    def is_done(self) -> bool:
        """Everything is posted, and watched to its end."""
        is_idle = not self.planned and self._now_doing is None and not self._unwatched
        return is_idle and (self.watch is None or self.watch.has_left)

    def victim(self) -> Program | None:
        """What may be killed: the command of the moment, else the watch."""
        if self._now_doing is not None and self._now_doing[1].is_alive:
            return self._now_doing[1]
        return self.watch if self.watch is not None and self.watch.is_alive else None

    def _post(self, task: PlannedTask) -> None:
        file = self.folder / f"{task.name}.toml"
        file.write_text(task.text(self.windows))
        self._do("post", task, ["task", "post", str(file), "--yes"], (0,))

    def _do(self, what: str, task: PlannedTask, words: Sequence[str], accepted: tuple[int, ...]) -> None:
        command = self.command(f"{self.account}-{what}-{task.name}", self.account, words, accepted)
        self.programs.append(command)
        self._now_doing = what, command, task

    def _go_on(self, now: float) -> None:
        assert self._now_doing is not None
        what, command, task = self._now_doing
        command.look(now)
        if not command.is_over:
            return
        self._now_doing = None
        if what == "cancel" or command.complaints:
            return
        number = int(command.answer()["taskId"])
        self.posted[number] = task
        self._unwatched[number] = now
        if task.kind == "cancelled":
            # 1: somebody has committed already, or an earlier run of this command was killed after its call
            self._do("cancel", task, ["task", "cancel", str(number)], (0, 1))

    def _watch_all(self, now: float, is_cold: Callable[[int], bool]) -> None:
        """A watch knows its tasks from its command line, so another one takes over, with the new ones."""
        if self.watch is not None and not self.watch.has_left:
            self.watch.dismiss(now)
            return
        self._watched = {number for number in self._watched if not is_cold(number)} | self._unwatched.keys()
        self._unwatched = {}
        words = ["task", "watch", *map(str, sorted(self._watched)), "--release"]
        number = sum(isinstance(program, Daemon) for program in self.programs)
        self.watch = self.daemon(f"{self.account}-watch-{number}", self.account, words)
        self.programs.append(self.watch)


@dataclass
class Auditor:
    """Audits every claim that is opened; brings home what the pool owes it every now and then."""

    account: str
    command: NewCommand
    queue: deque[int] = field(default_factory=deque)
    audited: dict[int, int] = field(default_factory=dict)
    """Exit code of the audit, by task."""
    programs: list[Program] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    _seen: set[int] = field(default_factory=set)
    _tries: dict[int, int] = field(default_factory=dict)
    _errands: deque[list[str]] = field(default_factory=deque)
    _now_doing: tuple[int, Command] | None = None

    def hear(self, task_id: int) -> None:
        """This task's leader opened its model."""
        if task_id not in self._seen:
            self._seen.add(task_id)
            self.queue.append(task_id)

    def look(self, now: float) -> None:
        """One step."""
        if self._now_doing is None:
            self._begin()
        if self._now_doing is None:
            return
        task_id, command = self._now_doing
        command.look(now)
        if command.is_over:
            self._now_doing = None
            if task_id:
                self._note(task_id, command)

    @property
    def is_done(self) -> bool:
        return self._now_doing is None and not self.queue and not self._errands

    def victim(self) -> Program | None:
        """What may be killed."""
        return self._now_doing[1] if self._now_doing is not None and self._now_doing[1].is_alive else None

    def _begin(self) -> None:
        if self._errands:
            words = self._errands.popleft()
            self._run(0, f"auditor-{words[1]}-{len(self.programs)}", words, (0,))
        elif self.queue:
            task_id = self.queue.popleft()
            self._tries[task_id] = self._tries.get(task_id, 0) + 1
            # whatever it says is noted; what may be the fault of a node that was killed is asked again
            name = f"auditor-audit-{task_id}-{self._tries[task_id]}"
            # claims can be refuted until they are settled only; who comes later still audits
            words = ["audit", str(task_id), *(["--refute"] if self._tries[task_id] == 1 else [])]
            self._run(task_id, name, words, (0, 1, 4))

    def _run(self, task_id: int, name: str, words: list[str], accepted: tuple[int, ...]) -> None:
        command = self.command(name, self.account, words, accepted)
        self.programs.append(command)
        self._now_doing = task_id, command

    def _note(self, task_id: int, command: Command) -> None:
        code = command.life.code
        self.audited[task_id] = -1 if code is None else code
        if code != 0:
            if self._tries[task_id] < AUDIT_ATTEMPTS:
                self.queue.append(task_id)
            else:
                failed = [check["name"] for check in command.answer().get("checks", ()) if not check["ok"]]
                told = ", ".join(failed) or command.last_words()
                self.complaints.append(f"the audit of task {task_id} ended with code {code}: {told}")
        if len(self.audited) % COLLECT_EVERY == 0:
            self._errands += [["auditor", "collect", str(task_id)], ["auditor", "dividends", "--yes"]]
