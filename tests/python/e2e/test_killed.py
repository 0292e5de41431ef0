"""Processes are killed with SIGKILL and started again on the real network; nothing is lost, nothing is done twice."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from conftest import Site
from dlbc.adapters.devnet.process import free_port, start, stop, wait_until
from dlbc.adapters.storage.ipfs import IpfsStorage
from dlbc.core.errors import TryLater
from dlbc.core.types import Phase, TaskId

pytestmark = pytest.mark.e2e


def test_miner__killed_after_its_commit_and_started_again__reveals_and_collects(site: Site, settled: TaskId) -> None:
    """The second process finds its entry, does not train again, and takes the prize and the deposit home."""
    assert site.chain.winner(settled, 0).miner == site.address("miner1")


def test_miner__disk_lost_after_its_commit__reveals_from_wallet_and_network(site: Site) -> None:
    """With its home folder gone, a miner finds its entry on chain and its model on IPFS."""
    task_id = TaskId(site.run("requester", "task", "post", str(site.task_file("lost")), "--yes")["taskId"])
    me = site.address("miner2")
    arguments = ("miner", "run", "--device", "cpu", "--task", str(task_id))
    first = site.start("miner2", *arguments)
    first.until(lambda: site.chain.entry(task_id, 0, me).commit_seq, "the commit")
    first.kill()
    shutil.rmtree(site.network.home / f"miner-{me}")
    again = site.start("miner2", *arguments, "--once")
    again.until(lambda: again.events("entry_found_on_chain"), "finding its entry")
    site.settle(task_id)
    assert again.wait() == 0
    assert again.events("entry_recovered")
    assert again.events("model_recovered")
    assert site.chain.winner(task_id, 0).miner == me


def test_requester__killed_while_posting__posts_once(site: Site) -> None:
    """However far it came, the second run posts one task and no more."""
    file = site.task_file("posted-once")
    before = site.chain.task_count()
    for event in ("shard_stored", "test_set_sealed"):
        process = site.start("requester", "task", "post", str(file), "--yes")
        # a kill that came late lets the first run seal or even post; then the second has nothing left to say
        process.until(lambda p=process, e=event: p.events(e) or p.has_ended, event)  # type: ignore[misc]
        process.kill()
    first = site.run("requester", "task", "post", str(file), "--yes")["taskId"]
    again = site.run("requester", "task", "post", str(file), "--yes")["taskId"]
    assert first == again
    assert site.chain.task_count() == before + 1
    site.run("requester", "task", "cancel", str(first))
    assert site.chain.phase(TaskId(first)).phase is Phase.CANCELLED


def test_audit__second_client_with_its_own_ipfs_node__passes(site: Site, settled: TaskId, tmp_path: Path) -> None:
    """A stranger with an RPC address, the market's address and an IPFS node connected to the network verifies all."""
    port, log = free_port(), tmp_path / "ipfs.log"
    command: list[str | Path] = [sys.executable, "-m", "dlbc.adapters.devnet.kubo", "--repo", tmp_path / "ipfs"]
    node = start("second ipfs", [*command, "--port", str(port)], port, log, dies_with_parent=True)
    try:
        storage = IpfsStorage(f"/ip4/127.0.0.1/tcp/{port}/http")
        assert wait_until(lambda: _answers(storage), 30), log.read_text()[-500:]
        for address in _addresses(site.network.ipfs_api):
            storage.connect(address)
        stranger = {
            "home": str(tmp_path / "home"),
            "rpc_url": site.network.rpc_url,
            "ipfs_api": f"/ip4/127.0.0.1/tcp/{port}/http",
            "market": str(site.network.market),
        }
        report = site.run("", "audit", str(settled), **stranger)
        assert [check["name"] for check in report["checks"] if not check["ok"]] == []
        assert report["audit"] == "pass"
        model = tmp_path / "model.safetensors"
        site.run("", "model", "pull", str(settled), "-o", str(model), **stranger)
        assert site.run("", "model", "verify", str(model), "--task", str(settled), **stranger)["verified"] is True
        assert site.run("", "watermark", "detect", str(model), "--task", str(settled), **stranger)["detected"] == 1
        assert site.run("", "ledger", "verify", **stranger)["verified"] is True
        model.write_bytes(model.read_bytes()[:-1] + b"\x41")
        tampered = site.run("", "audit", str(settled), "--model", str(model), code=4, **stranger)
        assert tampered["audit"] == "fail"
    finally:
        stop(node)


def _answers(storage: IpfsStorage) -> bool:
    try:
        return bool(storage.version())
    except TryLater:
        return False


def _addresses(api: str) -> list[str]:
    """Loopback peer addresses of a node, by its RPC API."""
    import json
    import urllib.request

    port = api.split("/")[4]
    request = urllib.request.Request(f"http://127.0.0.1:{port}/api/v0/id", method="POST")
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as answer:
        return [address for address in json.loads(answer.read())["Addresses"] if "127.0.0.1" in address]
