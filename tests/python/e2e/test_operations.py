"""A daemon as its operator meets it: checked before, watched while it runs, ended in the middle of its work."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

import pytest
from conftest import Process, Site
from dlbc.adapters.devnet.process import free_port
from dlbc.adapters.journal.sqlite import SqliteJournal
from dlbc.core.types import Phase, TaskId

pytestmark = pytest.mark.e2e


def test_doctor__on_a_network_that_runs__finds_no_problem(site: Site) -> None:
    """And one problem each for an endpoint that is not there, with the rest still checked."""
    told = site.run("miner3", "doctor")
    assert (told["ok"], told["problems"]) == (True, 0)
    states = {check["name"]: check["state"] for check in told["checks"]}
    assert {states[name] for name in ("rpc", "contracts", "balance", "ipfs", "ipfs repository", "keystore")} == {"ok"}

    nowhere = {"rpc_url": f"http://127.0.0.1:{free_port()}", "ipfs_api": f"/ip4/127.0.0.1/tcp/{free_port()}/http"}
    told = site.run("miner3", "doctor", code=1, **nowhere)
    states = {check["name"]: check["state"] for check in told["checks"]}
    assert [name for name, state in states.items() if state == "problem"] == ["rpc", "ipfs"]
    assert states["balance"] == "skipped"
    assert states["disk"] == "ok"


def test_miner__ended_while_it_trains__leaves_nothing_behind_and_goes_on_later(site: Site) -> None:
    """SIGTERM is exit 0 within seconds: no training child, a whole journal; the next run takes the task up again."""
    file = site.task_file("long", epochs="100000")
    task_id = TaskId(site.run("requester", "task", "post", str(file), "--yes")["taskId"])
    port = free_port()
    command = ("miner", "run", "--device", "cpu", "--task", str(task_id))
    miner = site.start("miner3", *command, "--metrics-port", str(port))
    miner.until(lambda: miner.events("training"), "the training")
    status, text = ask(port, "healthz")
    assert (status, text) == (200, "ok\n")
    assert f'dlbc_training_progress_ratio{{task_id="{task_id}"}}' in ask(port, "metrics")[1]
    assert children(site.network.home) != []

    second = site.start("miner3", *command)
    assert second.wait() == 1
    assert "another process" in second.err.read_text()

    assert miner.end() == 0
    assert miner.events("stopped")[0]["why"] == "SIGTERM"
    assert children(site.network.home) == []
    with SqliteJournal(site.network.home / f"miner-{site.address('miner3')}") as kept:
        assert [record["stage"] for _, record in kept.all("entry") if record["task_id"] == task_id] == ["training"]

    (kept_entry,) = [entry for entry in site.run("miner3", "disk")["entries"] if entry["taskId"] == task_id]
    assert kept_entry["whyItStays"] == "the task is in Training"
    assert kept_entry["fileBytes"] > 0
    again = site.start("miner3", *command)
    again.until(lambda: again.events("training_started"), "the training again")
    assert again.events("task_chosen") == []
    assert again.end() == 0
    site.run("requester", "task", "cancel", str(task_id))
    assert site.chain.phase(task_id).phase is Phase.CANCELLED


def test_watch__ended_by_sigterm__is_code_0(site: Site) -> None:
    """The same for a requester that waits for its task."""
    task_id = site.run("requester", "task", "post", str(site.task_file("watched")), "--yes")["taskId"]
    watch: Process = site.start("requester", "task", "watch", str(task_id), "--release")
    watch.until(lambda: watch.events("phase"), "its first look")
    assert watch.end() == 0
    assert watch.events("stopped")
    site.run("requester", "task", "cancel", str(task_id))


def ask(port: int, path: str) -> tuple[int, str]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/{path}", timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def children(home: Path) -> list[str]:
    """Command lines of training processes that work below a home folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(home) in line and "dlbc" in line and "training" in line:
            found.append(line)
    return found
