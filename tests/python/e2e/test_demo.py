"""`dlbc demo`, as a newcomer runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from dlbc.adapters.devnet.process import start_of, wait_until

pytestmark = pytest.mark.e2e
ETHER = 10**18
DEPOSIT = ETHER * 35 // 100


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


@pytest.mark.timeout(900)
def test_demo__dispute__daemons_strike_two_lies_and_every_wei_is_explained(tmp_path: Path) -> None:
    """Nobody types: one lie falls in a vote, one to a single transaction; losers pay winners, and no wei is lost."""
    process = demo(tmp_path, "--story", "dispute", "--json")
    out, err = process.communicate(timeout=880)
    assert process.returncode == 0, err[-3000:]
    told = json.loads((tmp_path / "demo-out" / "dispute.json").read_text())
    assert told == json.loads(out)
    assert "Traceback" not in err
    lie = told["falseClaim"]
    assert lie["claimed"] == lie["samples"]
    assert (lie["failedChecks"], lie["ruling"]) == (["score recomputed", "decisive samples"], "falls")
    assert set(lie["disputedBy"]) <= {"auditor1", "auditor2"}
    assert [(task["phase"], task["audit"]) for task in told["tasks"]] == [("Settled", "pass")] * 2
    assert len({task["winner"] for task in told["tasks"]}) == 1
    refutation = told["refutation"]
    assert (refutation["miner"], refutation["fault"], refutation["transactions"]) == ("miner3", "wrong_score", 1)
    assert 0 < refutation["gas"] <= 200_000
    assert (told["ledgerBlocks"], told["ledgerVerified"]) == (2, True)
    assert [promise for promise, is_kept in told["promises"].items() if not is_kept] == []
    assert len(told["promises"]) == 17
    for sentence in ("found that the claim of miner2 in task 1 falls", "cast a sealed ballot", "refuted a claim"):
        assert sentence in err
    _check_to_the_wei(told)
    assert list(_left_running(tmp_path)) == []
    assert not (tmp_path / "demo-out" / "home").exists()


def _check_to_the_wei(told: dict[str, Any]) -> None:
    """Computed here with numbers: bounties of 1 ether, stakes of 2 and 1.5, a fee of 2 %, locks of 5 %."""
    third, fees = DEPOSIT // 3, ETHER // 25
    pot, income = DEPOSIT - third, fees + DEPOSIT - third
    ballots = {ballot["auditor"]: ballot for ballot in told["ballots"]}
    assert {ballot["verdict"] for ballot in ballots.values()} == {"falls"}
    assert all(ballot["lockWei"] == ballot["returnedWei"] for ballot in ballots.values())
    assert [ballots[name]["lockWei"] for name in ("auditor1", "auditor2")] == [ETHER // 10, 3 * ETHER // 40]
    shares = {name: ballot["shareWei"] for name, ballot in ballots.items()}
    assert sum(shares.values()) == pot
    assert abs(shares["auditor1"] - pot * 4 // 7) <= 1
    gains = {name: account["gainWei"] for name, account in told["accounts"].items()}
    assert gains["requester"] == -2 * ETHER
    assert gains["miner1"] == 2 * ETHER - fees
    assert gains["miner2"] == gains["miner3"] == -DEPOSIT
    dust = told["poolWaitingWei"]
    assert 0 <= dust <= 100
    assert told["poolBalanceWei"] == 7 * ETHER // 2 + dust
    assert told["marketBalanceWei"] == 0
    filers, refuter = told["falseClaim"]["disputedBy"], told["refutation"]["refuter"]
    earned = {name: gains[name] + stake for name, stake in (("auditor1", 2 * ETHER), ("auditor2", 3 * ETHER // 2))}
    assert sum(earned.values()) == pot + third + third + income - dust
    for name, part in (("auditor1", 4), ("auditor2", 3)):
        other = third // len(filers) * (name in filers) + third * (name == refuter)
        assert abs(earned[name] - shares[name] - other - income * part // 7) <= 100
    assert sum(gains.values()) == -told["poolBalanceWei"]
    for name, account in told["accounts"].items():
        paid = sum(movement["wei"] for movement in told["movements"] if movement["from"] == name)
        received = sum(movement["wei"] for movement in told["movements"] if movement["to"] == name)
        assert (account["paidWei"], account["receivedWei"]) == (paid, received)
        assert account["gasWei"] > 0


@pytest.mark.parametrize(("story", "begun"), [("market", "post-mlp"), ("dispute", "miner2")])
def test_demo__interrupted__stops_everything_it_started(tmp_path: Path, story: str, begun: str) -> None:
    """Ctrl-C ends the network and every actor by process id, with one line and exit code 130."""
    process = demo(tmp_path, "--story", story)
    deadline = time.monotonic() + 120
    while not (tmp_path / "demo-out" / "logs" / f"{begun}.log").exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, f"the demo did not come to {begun}"
        time.sleep(0.05)
    assert list(_left_running(tmp_path)) != []
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.strip().splitlines()[-1] == "interrupted"
    # one that was just being started goes with its parent
    assert wait_until(lambda: not list(_left_running(tmp_path)), 15), list(_left_running(tmp_path))


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
