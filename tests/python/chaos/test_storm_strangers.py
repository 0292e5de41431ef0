"""Tasks that strangers posted to hurt whoever looks at them, and a kernel that ends the training's process."""

from __future__ import annotations

import json
import os
import pickle
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dlbc import bootstrap
from dlbc.core import canonical
from dlbc.core.cid import locator_of
from dlbc.core.hashing import sha256
from dlbc.core.manifest import MAX_MANIFEST_BYTES
from dlbc.core.task_file import parse_task_file
from dlbc.core.types import TaskId
from report import Account
from safetensors.numpy import load, save
from ward import TASK, Fault, Life, Step, Ward

pytestmark = [pytest.mark.storm, pytest.mark.timeout(1500)]

NOT_JSON: dict[str, Callable[[bytes], bytes]] = {
    "empty manifest": lambda honest: b"",
    "manifest of noise": lambda honest: os.urandom(1000),
    "manifest that is a list": lambda honest: b"[]",
    "manifest nested 100,000 deep": lambda honest: b"[" * 100_000,
    "manifest as large as may be": lambda honest: b" " * MAX_MANIFEST_BYTES,
    "manifest larger than may be": lambda honest: honest + b" " * MAX_MANIFEST_BYTES,
    "manifest with NaN": lambda honest: honest.replace(b'"batch":128', b'"batch":NaN'),
}
CHANGED: dict[str, Callable[[Any], object]] = {
    "more epochs than stated": lambda it: it["training"].update(epochs=2**20),
    "batch of zero": lambda it: it["training"].update(batch=0),
    "model of 10^15 parameters": lambda it: it["architecture"].update(hidden=[10**9, 10**9]),
    "family that is a path": lambda it: it["architecture"].update(family="../../etc/passwd"),
    "shard of a petabyte": lambda it: it["data"]["shards"][0].update(bytes=10**15),
    "no shards": lambda it: it["data"].update(shards=[]),
    "name with control characters": lambda it: it.update(name="\x1b[2J\x00"),
}
SHARDS: dict[str, Callable[[bytes], bytes]] = {
    "shard of noise": lambda honest: os.urandom(len(honest)),
    "shard that is a pickle": lambda honest: pickle.dumps(print).ljust(len(honest), b"."),
    "shard with NaN": lambda honest: _samples(honest, x=lambda x: np.full_like(x, np.nan)),
    "shard with labels out of range": lambda honest: _samples(honest, y=lambda y: y + 1_000_000),
    "shard cut in half": lambda honest: honest[: len(honest) // 2],
}


def test_miner__hostile_tasks_on_the_market__trains_for_the_honest_one(ward: Ward, account: Account) -> None:
    """Each is passed over or given up in one line, nothing is paid for it, and the honest task is won."""
    poster = Poster(ward)
    hostile = {name: poster.with_manifest(change(poster.manifest)) for name, change in NOT_JSON.items()}
    hostile |= {name: poster.with_manifest(_changed(poster.manifest, change)) for name, change in CHANGED.items()}
    hostile |= {name: poster.with_shard(change(poster.shard)) for name, change in SHARDS.items()}
    hostile["manifest that nobody serves"] = poster.post(os.urandom(1000), is_served=False)
    words = [word for task_id in hostile.values() for word in ("--task", str(task_id))]
    (life,) = ward.live([Fault("hostile tasks", "all at once", words=tuple(words))])
    for name, task_id in hostile.items():
        told = [event for event in life.all_events() if event.get("task_id") == task_id]
        refused = [event for event in told if event["event"] in ("task_passed_over", "gave_up", "try_later")]
        broken = [] if refused else ["no line of the log says what is wrong with it"]
        if ward.chain.round(task_id, 0).commits:
            broken.append("a deposit was paid for it")
        account.add("hostile task", name, broken)
        assert broken == [], name
    account.check([life], is_counted=False)


def test_miner__kernel_ends_its_training__goes_on(ward: Ward, account: Account) -> None:
    """SIGKILL of the training's process, as when memory runs out."""

    def ended(times: int) -> Fault:
        def begin(life: Life) -> None:
            for number in range(1, times + 1):
                ward.until([life], _end_training, "a process to end")
                ward.until([life], lambda life: len(life.events("training_lost")) == number, "the loss")  # noqa: B023

        return Fault(
            "training ended",
            f"{times} times",
            at=Step.STARTED,
            words=("--epochs", "1500"),
            begin=begin,
            told="it goes on from its checkpoint",
        )

    account.check(ward.live([ended(1), ended(3)], together=1))


def _end_training(life: Life) -> bool:
    assert life.process is not None
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            if parent == life.process.pid and b"dlbc.adapters.ml.child" in words:
                os.kill(int(entry.name), signal.SIGKILL)
                return True
    return False


class Poster:
    """A requester who changes what it promised."""

    def __init__(self, ward: Ward) -> None:
        config = ward.network.config("requester")
        requester = bootstrap.requester(config, lambda event, **keys: None)
        self._chain, self._storage = requester.chain, requester.storage
        text = (
            TASK.format(name="hostile")
            .replace('bounty = "1 ether"', 'bounty = "2 ether"')
            .replace('= "0.1 ether"', '= "0.2 ether"')
        )
        self._draft = requester.prepare(parse_task_file(text.encode()), ward.folder)
        terms = self._draft.terms
        self.manifest = self._storage.fetch(terms.manifest, max_bytes=MAX_MANIFEST_BYTES)
        described = json.loads(self.manifest)["data"]["shards"][0]
        locator = type(terms.manifest)(bytes.fromhex(described["locator"]))
        self.shard = self._storage.fetch(locator, max_bytes=described["bytes"])

    def with_manifest(self, data: bytes) -> TaskId:
        """A task whose manifest is `data`."""
        return self.post(data)

    def with_shard(self, data: bytes) -> TaskId:
        """A task whose manifest is right about a shard that is wrong in itself."""
        manifest = json.loads(self.manifest)
        manifest["data"]["shards"][0] |= {
            "locator": self._storage.add(data).hex(),
            "sha256": sha256(data).hex(),
            "bytes": len(data),
        }
        manifest["data"]["bytes"] = sum(shard["bytes"] for shard in manifest["data"]["shards"])
        return self.post(canonical.to_bytes(manifest), data_bytes=manifest["data"]["bytes"])

    def post(self, manifest: bytes, *, is_served: bool = True, data_bytes: int = 0) -> TaskId:
        """The honest terms with another manifest."""
        terms = replace(
            self._draft.terms,
            manifest=self._storage.add(manifest) if is_served else locator_of(manifest),
            manifest_hash=sha256(manifest),
        )
        if data_bytes:
            terms = replace(terms, workload=replace(terms.workload, data_bytes=data_bytes))
        receipt = self._chain.post(terms, self._draft.commitments)
        assert receipt.task_id is not None
        return receipt.task_id


def _changed(honest: bytes, change: Callable[[Any], object]) -> bytes:
    found = json.loads(honest)
    change(found)
    return json.dumps(found, sort_keys=True, separators=(",", ":")).encode()


def _samples(honest: bytes, **changes: Callable[[Any], Any]) -> bytes:
    tensors = load(honest)
    return save({name: changes.get(name, lambda same: same)(tensor) for name, tensor in tensors.items()})
