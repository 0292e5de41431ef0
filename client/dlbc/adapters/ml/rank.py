"""One rank of a group that trains one task: a process of its own, on a device of its own.

Ranks meet through a file in the work folder. They talk over the loopback interface: gloo on processors, NCCL on
GPUs with gloo for the orders between them.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlbc.adapters.ml.files import write_json
from dlbc.adapters.ml.job_file import job_of
from dlbc.adapters.ml.report import Reporter
from dlbc.core.errors import DlbcError
from dlbc.ports import TrainJob

if TYPE_CHECKING:
    import torch

    from dlbc.adapters.ml.team import Team

PATIENCE = timedelta(minutes=30)
"""How long ranks wait for rank 0 while it validates and saves. The budget's end ends them in any case."""
RESULT = "result.json"
ORPHANED = 75


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a rank is told, through the pipe that started it; the keys go to rank 0 alone."""

    work: Path
    folder: Path  # of this attempt: where ranks meet and leave their results
    rank: int
    devices: tuple[str, ...]
    threads: int
    job: Mapping[str, Any]
    secrets: Mapping[str, Any] = field(repr=False)
    fingerprint: str
    began: float
    at_once: int | None = None


def failure_file(folder: Path, rank: int) -> Path:
    """Where a rank says why it failed."""
    return folder / f"failure-{rank}.json"


def main(mine: Assignment) -> None:
    """Trains; rank 0 leaves what result.json says. A rank that fails says why and ends at once, and so the others."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    tried: list[Team] = []
    try:
        _train(mine, tried)
    except Exception as error:  # noqa: BLE001 - the last place that can tell the parent what happened
        traceback.print_exc()
        sys.stderr.flush()
        at_once = tried[0].tried if tried else 0
        write_json(failure_file(mine.folder, mine.rank), _describe(error, at_once))
        os._exit(1)  # no farewell to the other ranks: they may wait in the middle of a step


def _train(mine: Assignment, joined: list[Team]) -> None:
    import torch

    from dlbc.adapters.ml.evaluate import pick_device

    torch.set_num_threads(mine.threads)
    job = replace(job_of(mine.work, mine.job, mine.secrets), device=mine.devices[mine.rank])
    device = pick_device(job.device)
    _join(mine, device)
    from dlbc.adapters.ml.team import Team

    team = Team()
    joined.append(team)
    if mine.rank == 0:
        from dlbc.adapters.ml.training import run

        reporter = Reporter(mine.work, job.epochs)
        found = run(job, mine.fingerprint, reporter, mine.began, team, mine.at_once)
        write_json(mine.folder / RESULT, found)
    else:
        _help(job, team, device)


def _help(job: TrainJob, team: Team, device: torch.device) -> None:
    from dlbc.adapters.ml.shards import load_dataset
    from dlbc.adapters.ml.training import split

    data = load_dataset(job.shards, input_shape=job.architecture.input_shape, classes=job.architecture.classes)
    training, _ = split(data, job.seed)
    del data
    team.follow(job, training, device)


def _join(mine: Assignment, device: torch.device) -> None:
    """Makes the process group; every rank has to."""
    import torch
    from torch import distributed

    loopback = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), "lo")
    for library in ("GLOO", "NCCL"):
        os.environ[f"{library}_SOCKET_IFNAME"] = loopback
    is_cuda = device.type == "cuda"
    if is_cuda:
        torch.cuda.set_device(device)
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if is_cuda else "gloo",
        store=distributed.FileStore(str(mine.folder / "rendezvous"), len(mine.devices)),  # type: ignore[attr-defined]
        rank=mine.rank,
        world_size=len(mine.devices),
        timeout=PATIENCE,
    )


def _describe(error: Exception, at_once: int) -> dict[str, Any]:
    from dlbc.adapters.ml.memory import is_out_of_memory

    if isinstance(error, DlbcError):
        return {"kind": "refused", "message": str(error), "at": time.monotonic()}
    kind = "memory" if is_out_of_memory(error) and at_once else "error"
    message = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return {"kind": kind, "message": message, "tried": at_once, "at": time.monotonic()}


def _end_with_parent() -> None:
    """However the parent ended: a rank alone would wait for the others, and fight with their successors."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(ORPHANED)
