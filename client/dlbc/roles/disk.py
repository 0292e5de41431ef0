"""What a miner keeps on disk and on its IPFS node, and how it is freed. The rules are in core.retention."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlbc.core import seal
from dlbc.core.decide import may_reclaim
from dlbc.core.errors import BadInput, NotFound, Refused, TryLater, VerificationFailed
from dlbc.core.records import hex_bytes
from dlbc.core.retention import KEEP_SECONDS, Holding, Release, ends_of, plan
from dlbc.core.types import Address, Locator, Phase, TaskId, Timestamp
from dlbc.ports import Chain, Journal, Storage
from dlbc.roles.entry_record import ENTRY
from dlbc.roles.loop import Report, unheard

FREED = "freed"
"""Journal kind: entries whose pins were let go."""
_FOLDER = re.compile(r"task-(\d{1,18})-([0-9a-f]{8})/round-(\d{1,4})")
_LIST_SECONDS = 10.0
_MISSES = 3
"""Lists of parts that may fail to come in one look: a node that hangs must not hold up a miner's entries one by one."""
_MAX_MODEL_BYTES = 1 << 40


@dataclass(slots=True)
class MinerDisk:
    """The files and pins of one miner's entries; `folder` is where it works."""

    chain: Chain
    storage: Storage
    journal: Journal
    account: Address
    folder: Path
    report: Report = unheard
    _listed: dict[str, tuple[frozenset[Locator], int]] = field(default_factory=dict)
    _missed: int = 0

    def holdings(self) -> list[Holding]:
        """Every entry of the journal, and every folder that no entry of it explains."""
        self._missed = 0
        found = [self._holding(key, record) for key, record in self.journal.all(ENTRY)]
        known = {self._folder(each.key, each.task_id, each.round) for each in found}
        for folder in sorted(self.folder.glob("task-*/round-*")):
            match = _FOLDER.fullmatch(folder.relative_to(self.folder).as_posix())
            if match is not None and folder not in known:
                key, task_id, index = f"{match[2]}/{match[3]}", TaskId(int(match[1])), int(match[3])
                found.append(self._described(key, task_id, index, {"done": True}))
        return found

    def used(self) -> int:
        """Bytes of the files, and of the pins that are known; asks neither chain nor IPFS node for what was counted."""
        pinned = self._missed = 0
        for key, record in self.journal.all(ENTRY):
            if self.journal.get(FREED, key) is None:
                pinned += self._pins(key, record)[1]
        return folder_bytes(self.folder) + pinned

    def plan(self, *, keep_seconds: int = KEEP_SECONDS, quota_bytes: int | None = None) -> list[Release]:
        """What may go now."""
        return plan(self.holdings(), self.chain.now(), keep_seconds=keep_seconds, quota_bytes=quota_bytes)

    def free(self, releases: Iterable[Release]) -> tuple[int, int]:
        """(bytes of files deleted, bytes unpinned). Unpins before it notes it; every step may be repeated."""
        files = pins = 0
        for release in releases:
            entry = release.holding
            if release.files and self._is_copy_safe(entry):
                self._delete(entry)
                files += release.file_bytes
            for locator in sorted(release.pins):
                self.storage.unpin(locator)
            if release.pins:
                self.journal.put(FREED, entry.key, {"bytes": release.pin_bytes, "pins": len(release.pins)})
                pins += release.pin_bytes
            self.report(
                "disk_freed",
                task_id=entry.task_id,
                round=entry.round,
                files=release.file_bytes,
                pins=release.pin_bytes,
            )
        return files, pins

    # ------------------------------------------------------------------ inside

    def _holding(self, key: str, record: dict[str, Any]) -> Holding:
        return self._described(key, TaskId(int(record["task_id"])), int(record["round"]), record)

    def _described(self, key: str, task_id: TaskId, index: int, record: dict[str, Any]) -> Holding:
        pins, pin_bytes = (frozenset[Locator](), 0)
        if self.journal.get(FREED, key) is None:
            pins, pin_bytes = self._pins(key, record)
        files = folder_bytes(self._folder(key, task_id, index))
        try:
            task = self.chain.task(task_id)
        except NotFound:
            task = None
        if task is None or not task.terms_hash.hex().startswith(key.split("/")[0]):
            nothing = (False, True, Phase.NONE, True, False, Timestamp(0))
            return Holding(key, task_id, index, files, pin_bytes, pins, *nothing)
        entry = self.chain.entry(task_id, index, self.account)
        phase, params = self.chain.phase(task_id).phase, self.chain.params()
        ended_at = ends_of(task, self.chain.round(task_id, index), params.finality_gap, params.vote_seconds)
        return Holding(
            key=key,
            task_id=task_id,
            round=index,
            file_bytes=files,
            pin_bytes=pin_bytes,
            pins=pins,
            is_known=True,
            is_working=not record.get("done"),
            phase=phase,
            may_reclaim=may_reclaim(entry, Phase.SETTLED if index < task.round else phase, task.outcome),
            has_won=self.chain.winner(task_id, index).miner == self.account,
            ended_at=ended_at,
        )

    def _pins(self, key: str, record: dict[str, Any]) -> tuple[frozenset[Locator], int]:
        """What the entry pinned, and about how many bytes that is: of the sealed parts, if their list is at hand."""
        if key in self._listed:
            return self._listed[key]
        proof = record.get("proof")
        sealed = _locator(proof.get("sealed_model")) if isinstance(proof, dict) else None
        pins, size = {each for each in (sealed, _locator(record.get("recovery"))) if each is not None}, 0
        if sealed is not None and self._missed >= _MISSES:
            return frozenset(), 0
        if sealed is not None:
            try:
                data = self.storage.fetch(
                    sealed, max_bytes=seal.part_list_max_bytes(_MAX_MODEL_BYTES), timeout=_LIST_SECONDS
                )
                parts = seal.part_list_from_bytes(data, _MAX_MODEL_BYTES)
            except (TryLater, BadInput, VerificationFailed) as error:
                # Without the list its parts can't be named; they stay pinned until it can be read again.
                self._missed += 1
                self.report("try_later", task_id=record["task_id"], reason=f"list of sealed parts: {error}")
                return frozenset(), 0
            pins |= {part.locator for part in parts.parts}
            size = parts.sealed_bytes + len(data)
        if record.get("done"):  # nothing is added any more
            self._listed[key] = frozenset(pins), size
        return frozenset(pins), size

    def _is_copy_safe(self, entry: Holding) -> bool:
        """A winner's file is deleted only while the sealed copy that others fetch is pinned (F8)."""
        return not entry.has_won or (bool(entry.pins) and all(self.storage.is_pinned(pin) for pin in entry.pins))

    def _folder(self, key: str, task_id: TaskId, index: int) -> Path:
        return self.folder / f"task-{task_id}-{key[:8]}" / f"round-{index}"

    def _delete(self, entry: Holding) -> None:
        folder = self._folder(entry.key, entry.task_id, entry.round)
        try:
            if folder.is_dir() and not folder.is_symlink():
                shutil.rmtree(folder)
            if folder.parent.is_dir() and not any(folder.parent.iterdir()):
                folder.parent.rmdir()
        except OSError as error:
            raise Refused(f"{error.filename or folder} can't be deleted: {error.strerror}") from error


@dataclass(slots=True)
class Quota:
    """Keeps one miner under its quota: `look` is called after every tick and does something every CHECK_SECONDS."""

    disk: MinerDisk
    quota_bytes: int
    seconds: Callable[[], float]
    collect: Callable[[], None]
    """Starts the node's own garbage collection and returns at once."""
    check_seconds: float = 600.0
    _next: float = 0.0
    _was_full: bool = False

    def look(self) -> None:
        """Frees what may go, oldest first, until the use is under the quota. Raises what chain and storage raise."""
        now = self.seconds()
        if now < self._next:
            return
        self._next = now + self.check_seconds
        used = self.disk.used()
        if used <= self.quota_bytes:
            self._was_full = False
            return
        files, pins = self.disk.free(self.disk.plan(quota_bytes=self.quota_bytes))
        if pins:
            self.collect()
        left = used - files - pins
        if left > self.quota_bytes and not self._was_full:
            self.disk.report("disk_over_quota", used=left, quota=self.quota_bytes, why="the rest is still needed")
        self._was_full = left > self.quota_bytes


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below; links are not followed, what vanishes meanwhile is not counted."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(place) / name).lstat().st_size
            except OSError:
                continue
    return total


def _locator(value: object) -> Locator | None:
    if value is None:
        return None
    try:
        return Locator(hex_bytes(value, "locator", 32))
    except BadInput:
        return None
