"""A miner that trains its task over two processes, from the market to the prize."""

from __future__ import annotations

import json

import pytest
from conftest import Site
from dlbc.core.types import TaskId

pytestmark = pytest.mark.e2e


def test_miner__a_group_of_devices__trains_together_and_wins(site: Site) -> None:
    """What the market sees is a model like any other; scoring uses the group's first device."""
    task_id = TaskId(site.run("requester", "task", "post", str(site.task_file("together")), "--yes")["taskId"])
    me = site.address("miner2")
    miner = site.start("miner2", "miner", "run", "--device", "cpu+cpu", "--task", str(task_id), "--once")
    miner.until(lambda: site.chain.entry(task_id, 0, me).commit_seq, "the commit")
    site.settle(task_id)

    assert miner.wait() == 0
    assert [event["device"] for event in miner.events("task_chosen")] == ["cpu+cpu"]
    assert site.chain.winner(task_id, 0).miner == me
    (result,) = (site.network.home / f"miner-{me}").rglob(f"task-{task_id}-*/round-0/training/result.json")
    found = json.loads(result.read_bytes())
    assert (found["ranks"], found["ranks_lost"]) == (2, [])
    assert all(mark["bits_wrong"] == 0 for mark in found["watermark"])
