"""`dlbc demo`, as a newcomer runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from dlbc.adapters.devnet.process import start_of

pytestmark = pytest.mark.e2e


def demo(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """The demo in an empty folder, with nothing of ours in its environment."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DLBC_")}
    return subprocess.Popen(
        [sys.executable, "-m", "dlbc", "demo", *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.timeout(280)
def test_demo__digits__settles_two_tasks_and_leaves_the_promised_summary(tmp_path: Path) -> None:
    """Two tasks are settled and audited, a tampered file is caught, every wei leaves, and nothing keeps running."""
    process = demo(tmp_path, "--json")
    out, err = process.communicate(timeout=270)
    assert process.returncode == 0, err[-3000:]
    summary = json.loads((tmp_path / "demo-out" / "summary.json").read_text())
    assert summary == json.loads(out)
    assert set(summary) == {"tasks", "tamperedAudit", "ledgerBlocks", "marketBalanceWei", "gas", "seconds"}
    assert [set(task) for task in summary["tasks"]] == [
        {"taskId", "phase", "winner", "total", "samples", "scorePpm", "difficulty", "audit"}
    ] * 2
    assert [(task["phase"], task["audit"]) for task in summary["tasks"]] == [("Settled", "pass")] * 2
    assert all(task["scorePpm"] >= 900_000 for task in summary["tasks"])
    assert (summary["tamperedAudit"], summary["ledgerBlocks"], summary["marketBalanceWei"]) == ("fail", 2, 0)
    assert {"post", "commit", "release", "reveal", "open", "settle", "reclaim", "withdraw"} == set(summary["gas"])
    assert list(_left_running(tmp_path)) == []
    assert not (tmp_path / "demo-out" / "home").exists()


def test_demo__interrupted__stops_everything_it_started(tmp_path: Path) -> None:
    """Ctrl-C ends the network and every actor by process id, with one line and exit code 130."""
    process = demo(tmp_path)
    deadline = time.monotonic() + 60
    while not (tmp_path / "demo-out" / "logs" / "post-mlp.log").exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "the demo did not begin to post"
        time.sleep(0.05)
    assert list(_left_running(tmp_path)) != []
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.strip().splitlines()[-1] == "interrupted"
    assert list(_left_running(tmp_path)) == []


def test_demo__folder_with_foreign_files__refuses_to_touch_it(tmp_path: Path) -> None:
    """A folder that no demo wrote is left alone."""
    (tmp_path / "demo-out").mkdir()
    precious = tmp_path / "demo-out" / "thesis.txt"
    precious.write_text("years of work")
    process = demo(tmp_path)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "holds files that no demo wrote" in err
    assert precious.read_text() == "years of work"


def _left_running(folder: Path) -> list[str]:
    """Command lines of processes that mention the folder, except this one's."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in line and int(process.name) != os.getpid() and start_of(int(process.name)):
            found.append(line)
    return found
