"""One training over several devices: starts its ranks, watches them, and starts them again where that may help.

What failed goes on from the last checkpoint: once more on all devices, then on the first one alone. Where memory ran
out, all ranks compute half as much at once. No torch in here until that last resort.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from dlbc.adapters.ml import rank
from dlbc.adapters.ml.files import read_json
from dlbc.adapters.ml.job_file import NO_SECRETS, job_of
from dlbc.adapters.ml.rank import Assignment
from dlbc.adapters.ml.report import Reporter
from dlbc.core.devices import check_strategy_fits
from dlbc.core.errors import Refused

RESTARTS = 1
FOLDERS = "ranks-"


class RankLost(Exception):
    """A rank ended before the training did; the sentence says which and how."""


class RankFull(Exception):
    """A rank's memory did not hold so many samples at once."""

    def __init__(self, where: str, tried: int) -> None:
        super().__init__(f"memory ran out on {where}")
        self.where, self.tried = where, tried


def train(whole: Assignment, reporter: Reporter) -> dict[str, Any]:
    """What result.json says. `whole` is rank 0's assignment, with the threads of all ranks together.

    A group of one trains in this process. Raises Refused and Usage for what another attempt would not change.
    """
    if len(whole.devices) == 1:
        return _alone(whole, reporter)
    check_strategy_fits(whole.job["strategy"], ["+".join(whole.devices)])
    for left in whole.work.glob(f"{FOLDERS}*"):
        shutil.rmtree(left, ignore_errors=True)
    lost: list[str] = []
    while len(lost) <= RESTARTS:
        try:
            return _attempt(whole) | {"ranks_lost": lost}
        except RankFull as full:
            whole = replace(whole, at_once=_halved(full))
            _tell(reporter, f"memory ran out on {full.where}; each rank learns {whole.at_once} at a time now")
        except RankLost as error:
            lost.append(str(error))
            where = "all devices" if len(lost) <= RESTARTS else whole.devices[0]
            _tell(reporter, f"{error}; training goes on from the last checkpoint on {where}")
    return _alone(whole, reporter) | {"ranks_lost": lost}


# ------------------------------------------------------------------ inside


def _attempt(whole: Assignment) -> dict[str, Any]:
    """One start of all ranks, to the end. None of them is left behind."""
    ranks = len(whole.devices)
    with tempfile.TemporaryDirectory(prefix=FOLDERS, dir=whole.work) as folder:
        shared = replace(whole, folder=Path(folder), threads=max(1, whole.threads // ranks))
        assignments = [shared, *(replace(shared, rank=each, secrets=NO_SECRETS) for each in range(1, ranks))]
        context = multiprocessing.get_context("spawn")
        processes = [context.Process(target=rank.main, args=(each,), daemon=True) for each in assignments]
        try:
            for process in processes:
                process.start()
            _wait(processes, shared)
        finally:
            for process in processes:
                if process.pid is not None:
                    process.kill()
                    process.join()
        found = read_json(shared.folder / rank.RESULT)
    if found is None:
        raise RankLost(f"{_name(shared, 0)} ended without a result")
    return found


def _wait(processes: Sequence[SpawnProcess], shared: Assignment) -> None:
    """Until rank 0 is done. Raises for the first rank that fails; the others fail after it, for want of it."""
    while (codes := [each.exitcode for each in processes])[0] != 0:
        if any(codes):
            raise _cause(codes, shared)
        alive = [each.sentinel for each, code in zip(processes, codes, strict=True) if code is None]
        multiprocessing.connection.wait(alive)


def _cause(codes: Sequence[int | None], shared: Assignment) -> Exception:
    """What made the first of the failed ranks fail."""
    said = {each: read_json(rank.failure_file(shared.folder, each)) for each in range(len(codes))}
    for number, code in enumerate(codes):
        if code and code < 0:
            return RankLost(f"{_name(shared, number)} was ended by signal {-code}")
    told = sorted((what["at"], number, what) for number, what in said.items() if what is not None)
    if not told:
        number, code = next((number, code) for number, code in enumerate(codes) if code)
        return RankLost(f"{_name(shared, number)} ended with code {code}")
    _, number, what = told[0]
    if what["kind"] == "refused":
        return Refused(what["message"])
    if what["kind"] == "memory":
        return RankFull(_name(shared, number), int(what["tried"]))
    return RankLost(f"{_name(shared, number)} failed: {what['message']}")


def _name(shared: Assignment, number: int) -> str:
    return f"rank {number} of {len(shared.devices)} ({shared.devices[number]})"


def _halved(full: RankFull) -> int:
    from dlbc.adapters.ml.memory import halved

    return halved(full.tried, full.where)


def _alone(whole: Assignment, reporter: Reporter) -> dict[str, Any]:
    import torch

    from dlbc.adapters.ml.training import run

    torch.set_num_threads(whole.threads)
    job = replace(job_of(whole.work, whole.job, whole.secrets), device=whole.devices[0])
    return run(job, whole.fingerprint, reporter, whole.began, at_once=whole.at_once)


def _tell(reporter: Reporter, message: str) -> None:
    reporter.catch_up()
    reporter.tell(message=message)
