"""Signed reveals in a folder: a miner leaves its own there, and any keeper that has the folder sends it in time.

The folder may be synced or mounted, and strangers may write to it. The chain is the truth: what was sent is read from
it, so nothing is sent twice, whoever crashes. No file is ever deleted; what is of no use is moved to a folder inside.
"""

from __future__ import annotations

import os
import stat
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

from dlbc.config import checksum_address
from dlbc.core.decide import Do, Facts
from dlbc.core.errors import BadInput, ContractRefused, DlbcError, NotFound, Refused, TooMuchGas
from dlbc.core.signed_reveal import MAX_BYTES, SignedReveal, decide_relay, from_bytes, to_bytes
from dlbc.core.turns import draw_lot
from dlbc.core.types import Phase, TaskId
from dlbc.ports import Chain
from dlbc.roles.artifacts import write_atomically
from dlbc.roles.keeper import read_facts
from dlbc.roles.loop import Report, unheard

REFUSED, DONE = "refused", "done"
MOST_GAS = 1_000_000
"""That a keeper pays for: a miner's wallet may be a contract, whose check of a signature takes what it likes."""
LOOK_AT = 64
"""Files that are looked at in one tick."""
MAX_FILES = 10_000
REST = 8
"""Ticks that a file is left alone at most whose sending failed."""
_HOPELESS = {
    "Market_WrongCommitment",
    "Market_WrongPredictionsRoot",
    "Market_WrongSigner",
    "Market_MalformedSignature",
    "Market_TotalTooHigh",
    "Market_NoEntry",
}
"""Refusals that no later moment changes. All of them are said before anything is paid."""

_Stamp = tuple[int, int, int]
"""(inode, size, time of the last change)."""


@dataclass(slots=True)
class Outbox:
    """Where a miner leaves its signed reveals."""

    folder: Path
    report: Report = unheard
    patience: float = 5.0
    """Seconds. A folder on a server that is down does not fail, it does not answer; the reveal has a deadline."""
    _writer: threading.Thread | None = None

    def leave(self, reveal: SignedReveal) -> None:
        """Writes the file, whole or not at all. A folder that is gone is told and does not stop the miner."""
        file, failures = self.folder / reveal.file_name, list[OSError]()
        hangs = self._writer is not None and self._writer.is_alive()
        if not hangs:  # one that hangs is enough
            self._writer = threading.Thread(target=self._write, args=(file, reveal, failures), daemon=True)
            self._writer.start()
            self._writer.join(self.patience)
            hangs = self._writer.is_alive()
        if hangs or failures:
            reason = f"{self.folder} does not answer; is its server up?" if hangs else str(failures[0])
            self.report("relay_not_written", task_id=reveal.proof.task_id, reason=reason)
        else:
            self.report("relay_written", task_id=reveal.proof.task_id, file=str(file))

    def _write(self, file: Path, reveal: SignedReveal, failures: list[OSError]) -> None:
        try:
            if not self.folder.is_dir():
                raise NotADirectoryError(f"{self.folder} is no folder; is it mounted?")
            write_atomically(file, [to_bytes(reveal)])
        except OSError as error:
            failures.append(error)


@dataclass(slots=True)
class Relay:
    """Sends what others left in a folder."""

    chain: Chain
    folder: Path
    report: Report = unheard
    _known: dict[Path, tuple[_Stamp, SignedReveal | None]] = field(default_factory=dict)
    """Files that were read; None = not ours, or refused where nothing can be moved."""
    _doubted: dict[Path, _Stamp] = field(default_factory=dict)
    """Malformed when they were last looked at; a file that is still being copied is, too."""
    _rests: dict[Path, tuple[int, int]] = field(default_factory=dict)
    """(ticks left, ticks next time)."""
    _next: int = 0

    def tick(self) -> None:
        """One look at some of the files, and at most one transaction for each. Raises TryLater, VerificationFailed."""
        files = self._files()
        begin = self._next if self._next < len(files) else 0
        self._next = begin + LOOK_AT
        facts: dict[TaskId, Facts | None] = {}
        for file in files[begin : self._next]:
            if self._is_resting(file):
                continue
            reveal = self._read(file)
            if reveal is None:
                continue
            try:
                self._step(file, reveal, facts)
            except DlbcError as error:
                self._rest(file)
                self.report("relay_failed", task_id=reveal.proof.task_id, file=file.name, reason=str(error))

    def _step(self, file: Path, reveal: SignedReveal, known: dict[TaskId, Facts | None]) -> None:
        proof = reveal.proof
        if proof.task_id not in known:
            known[proof.task_id] = self._facts(proof.task_id)
        facts = known[proof.task_id]
        if facts is None:
            self._rest(file)
            return
        entry = self.chain.entry(proof.task_id, proof.round, proof.miner)
        keeper = self.chain.account
        lot = 0 if keeper is None else draw_lot(keeper, proof.task_id, proof.round, proof.miner)
        decision = decide_relay(facts, entry, proof.round, lot)
        if decision.do is Do.FINISH:
            self._put_aside(file, DONE)
            self.report("relay_over", task_id=proof.task_id, file=file.name, why=decision.why)
        elif decision.do is Do.REVEAL:
            self._send(file, reveal)
        else:
            if facts.phase.phase is not Phase.REVEALING:  # strangers may leave thousands of these
                self._rest(file)
            self.report("relay_waiting", task_id=proof.task_id, miner=proof.miner, why=decision.why)

    def _send(self, file: Path, reveal: SignedReveal) -> None:
        """The chain adapter simulates first, on top of what waits in the node's pool: what is refused costs nothing.

        Where the node does not show the pool, the later of two pays for one failure, and then sees the reveal on chain.
        """
        try:
            receipt = self.chain.reveal(
                reveal.proof, reveal.salt, reveal.claim, reveal.h_top, reveal.signature, most_gas=MOST_GAS
            )
        except TooMuchGas as error:
            self._refuse(file, str(error))
            return
        except ContractRefused as error:
            if error.name == "Market_AlreadyRevealed":  # mined or waiting: its miner, or another keeper
                self.report("relay_overtaken", task_id=reveal.proof.task_id, miner=reveal.proof.miner)
                self._rest(file)
            elif error.is_mined or error.name in _HOPELESS:  # what passes here and fails there is paid for once
                self._refuse(file, str(error))
            else:
                raise
            return
        self.report(
            "reveal_relayed",
            task_id=reveal.proof.task_id,
            miner=reveal.proof.miner,
            tx=receipt.tx_hash,
            gas=receipt.gas_used,
        )

    def _facts(self, task_id: TaskId) -> Facts | None:
        try:
            return read_facts(self.chain, task_id)
        except NotFound:  # a node that lags behind its miner's
            return None

    # ------------------------------------------------------------------ the folder

    def _files(self) -> list[Path]:
        try:
            with os.scandir(self.folder) as entries:
                names = [entry.name for entry, _ in zip(entries, range(MAX_FILES), strict=False)]
        except OSError as error:
            self.report("relay_not_readable", reason=f"{self.folder}: {error.strerror}; is it mounted?")
            return []
        files = [self.folder / name for name in sorted(names) if name.endswith(".json") and not name.startswith(".")]
        here = set(files)
        for kept in (self._known, self._doubted, self._rests):
            for gone in [file for file in kept if file not in here]:
                del kept[gone]
        return files

    def _read(self, file: Path) -> SignedReveal | None:
        """What is in a file if it is for this market, read once for each of its versions."""
        try:
            known = self._known.get(file)
            if known is not None and known[0] == _stamp(file.lstat()):
                return known[1]
            stamp, data = _read_regular(file)
            reveal = _normal(from_bytes(data))
        except FileNotFoundError:
            return None  # another keeper was faster
        except (OSError, BadInput) as error:
            self._doubt(file, str(error))
            return None
        if (reveal.chain_id, reveal.market) != (self.chain.chain_id, self.chain.market):
            self.report("relay_of_another_market", file=file.name, chain=reveal.chain_id, market=reveal.market)
            self._known[file] = stamp, None
            return None
        self._known[file] = stamp, reveal
        return reveal

    def _doubt(self, file: Path, why: str) -> None:
        """Refuses a file that is malformed for the second time and has not changed since the first."""
        try:
            stamp = _stamp(file.lstat())
        except OSError:
            return
        known = self._known.get(file)
        if known is not None and known[0] == stamp:
            return
        if self._doubted.get(file) == stamp:
            self._refuse(file, why)
        else:
            self._doubted[file] = stamp

    def _refuse(self, file: Path, why: str) -> None:
        self.report("relay_refused", file=file.name, reason=why)
        self._put_aside(file, REFUSED)

    def _put_aside(self, file: Path, name: str) -> None:
        """Moves a file into a folder beside it; where that can't be, it is remembered and left."""
        try:
            stamp = _stamp(file.lstat())
            aside = self.folder / name
            aside.mkdir(exist_ok=True)
            file.rename(_free(aside / file.name))
        except FileNotFoundError:
            return
        except OSError as error:
            self._known[file] = stamp, None
            self.report("relay_not_moved", file=file.name, reason=str(error.strerror))

    def _rest(self, file: Path) -> None:
        _, pause = self._rests.get(file, (0, 1))
        self._rests[file] = pause, min(REST, 2 * pause)

    def _is_resting(self, file: Path) -> bool:
        left, pause = self._rests.get(file, (0, 1))
        if left > 0:
            self._rests[file] = left - 1, pause
        return left > 0


def relay_folder(folder: Path) -> Path:
    """The folder. Raises Refused if it is none: one that is not mounted must not be taken for an empty one."""
    if not folder.is_dir():
        raise Refused(f"the relay folder {folder} does not exist; make it, or mount it, and start again")
    return folder


def _normal(reveal: SignedReveal) -> SignedReveal:
    """Addresses in the form in which everything else has them."""
    proof = replace(reveal.proof, miner=checksum_address(reveal.proof.miner))
    return replace(reveal, market=checksum_address(reveal.market), proof=proof)


def _read_regular(file: Path) -> tuple[_Stamp, bytes]:
    """Never follows a link, waits for a pipe or reads more than a reveal can have. Raises OSError, BadInput."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise BadInput("expected a file, found something else")
        return _stamp(found), stream.read(MAX_BYTES + 1)


def _stamp(found: os.stat_result) -> _Stamp:
    return found.st_ino, found.st_size, found.st_mtime_ns


def _free(file: Path) -> Path:
    """A name that is not taken."""
    number = 0
    while (candidate := file.with_name(f"{file.name}{f'.{number}' if number else ''}")).exists():
        number += 1
    return candidate
