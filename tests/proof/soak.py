"""A small market under SIGKILL: `make soak` writes bench/results/soak.json and soak.svg, which nobody writes by hand.

Miners, two requesters, a keeper and an auditor, each a process of its own, on a real chain (Anvil) and a real IPFS node
(Kubo). Somebody kills one of them every ten seconds or so; a service manager starts it again after a second. Time is
real: every window runs in seconds of this machine, so that who is too late is too late. Exits 1 with the reasons if
a task does not end, a wei is missing, a commitment is lost, or a process is stuck.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dlbc.adapters.devnet import anvil
from dlbc.adapters.devnet.network import LocalNetwork
from soak_parts import books as bookkeeping
from soak_parts import plots, verdict
from soak_parts.plan import windows_for
from soak_parts.stage import AUDITOR, Settings, Stage
from workshop import report, say

RESULTS = Path(__file__).resolve().parents[2] / "bench" / "results"
LINE_SECONDS = 15.0


class Line:
    """One line that is written over on a terminal; elsewhere one every now and then."""

    def __init__(self) -> None:
        self._next = 0.0
        self._pause = 0.5 if sys.stderr.isatty() else LINE_SECONDS

    def __call__(self, text: str) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + self._pause
            sys.stderr.write(f"\r\033[K{text}" if sys.stderr.isatty() else f"{text}\n")
            sys.stderr.flush()


def main() -> int:
    """Plays, judges, writes; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0, help="how long processes are killed")
    parser.add_argument("--tasks", type=int, default=60)
    parser.add_argument("--miners", type=int, default=3, choices=(1, 2, 3))
    parser.add_argument("--seed", type=int, default=1, help="of the tasks and the kills")
    parser.add_argument("--kill-seconds", type=float, default=10.0, help="mean pause between two kills")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for soak.json and soak.svg")
    parser.add_argument("--keep", type=Path, help="work in this folder, and leave its logs there")
    given = parser.parse_args()
    if given.minutes < 1 or given.tasks < 1 or given.kill_seconds <= 0:
        parser.error("expected at least one minute, one task, and a positive pause between kills")
    settings = Settings(given.minutes * 60, given.tasks, given.miners, given.seed, given.kill_seconds)
    with TemporaryDirectory(prefix="dlbc-soak-") as made:
        folder = Path(given.keep or made)
        folder.mkdir(parents=True, exist_ok=True)
        line = Line()
        with LocalNetwork(folder / "home", fresh=True) as net:
            stage = Stage(settings, net, folder, line)
            try:
                stage.play()
                told, complaints = judge(stage)
            finally:
                stage.end()
    write(stage, told, given.out)
    show(told)
    return report(complaints, "nothing was lost, nobody is stuck")


def judge(stage: Stage) -> tuple[dict[str, Any], list[str]]:
    """(what is written, what is wrong)."""
    complaints = verdict.about_programs(stage)
    complaints += verdict.about_journals(stage.net.home)
    _bring_the_stake_home(stage)
    last = int(anvil.rpc(stage.net.rpc_url, "eth_blockNumber"), 16)
    books = bookkeeping.read_books(stage.net, stage.first_block, last)
    entries = verdict.commitments(stage, books)
    complaints += verdict.about_tasks(stage, books, entries)
    after, holdings = stage.balances(), _holdings(stage)
    complaints += bookkeeping.shortages(books, stage.accounts, stage.before, after, holdings)
    if holdings["market"]["balance"]:
        complaints.append(f"the market holds {holdings['market']['balance']} wei after everybody has left")
    outcomes: dict[str, Counter[str]] = {}
    for number, task in sorted(stage.posted.items()):
        outcomes.setdefault(task.kind, Counter())[stage.phases.get(number, "unknown")] += 1
    windows = windows_for(stage.settings.seconds)
    told = {
        "seed": stage.settings.seed,
        "seconds": stage.settings.seconds,
        "calm_seconds": stage.calm_seconds,
        "windows_seconds": vars(windows),
        "tasks": {"posted": len(stage.posted), "by_kind": {kind: dict(found) for kind, found in outcomes.items()}},
        "entries": verdict.entries_told(entries),
        "kills": {"total": len(stage.kills), "by_process": dict(Counter(kill.name for kill in stage.kills))},
        "recovery_seconds": verdict.recoveries(stage),
        "longest_without_tick_seconds": verdict.worst_ages(stage.daemons),
        "transactions": {"total": books.calls.total(), **dict(books.calls.most_common())},
        "reverted": dict(books.reverted),
        "events": dict(books.events.most_common()),
        "audits": {
            "passed": sum(code == 0 for code in stage.auditor.audited.values()),
            "failed": sum(code != 0 for code in stage.auditor.audited.values()),
        },
        "money_wei": _money(stage, books, after, holdings),
        "memory": verdict.memory(stage),
        "trouble": verdict.trouble(stage),
        "complaints": complaints,
    }
    return told, complaints


def _bring_the_stake_home(stage: Stage) -> None:
    """Fees first; then the stake, and the wait for it. Whatever stays in the contracts after that is dust, or lost."""
    staked = stage.pool.stake_of(stage.accounts[AUDITOR]).active_wei  # type: ignore[arg-type]
    stage.run_to_end(AUDITOR, ["auditor", "dividends", "--yes"])
    stage.run_to_end(AUDITOR, ["auditor", "unstake", str(staked), "wei", "--yes"])
    stage.net.advance_time(seconds=stage.pool.params().unbonding_seconds)
    stage.run_to_end(AUDITOR, ["auditor", "finish"])


def _holdings(stage: Stage) -> dict[str, dict[str, int]]:
    market, pool = stage.chain.liabilities(), stage.pool.liabilities()
    return {
        "market": {"balance": stage.chain.market_balance(), "locked": market[0], "credited": market[1]},
        "pool": {"balance": stage.pool.balance(), "locked": pool[0], "credited": pool[1]},
    }


def _money(stage: Stage, books: bookkeeping.Books, after: dict[str, int], holdings: Any) -> dict[str, Any]:
    return {
        "in": {name: str(wei) for name, wei in books.paid_in_wei.items()},
        "out": {name: str(wei) for name, wei in books.paid_out_wei.items()},
        "market_to_pool": str(books.market_to_pool_wei),
        "left": {name: {key: str(wei) for key, wei in row.items()} for name, row in holdings.items()},
        "purposes": {name: str(wei) for name, wei in books.purposes.items()},
        "accounts": bookkeeping.by_person(books, stage.accounts, stage.before, after),
    }


def write(stage: Stage, told: dict[str, Any], folder: Path) -> None:
    """soak.json, and soak.svg beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    machine = {"cpus": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    date = datetime.now(UTC).date().isoformat()
    load = round(os.getloadavg()[2], 1)
    content = {"date": date, **machine, "load_of_15_minutes": load, **told}
    (folder / "soak.json").write_text(json.dumps(content, indent=2) + "\n")
    if plots.can_plot():
        plots.overview(stage, folder / "soak.svg")
    else:
        say("no figure: matplotlib is not installed (pip install 'dlbc[plots]')")


def show(told: dict[str, Any]) -> None:
    """The main figures, for people."""
    money = told["money_wei"]
    paid_in, paid_out = (sum(int(wei) for wei in money[side].values()) for side in ("in", "out"))
    left = sum(int(row["balance"]) for row in money["left"].values())
    longest = max((row["longest"] for row in told["recovery_seconds"].values()), default=0)
    say(f"\ntasks      {told['tasks']['posted']}: {told['tasks']['by_kind']}")
    say(f"entries    {told['entries']['committed']} committed, {told['entries']['revealed']} revealed")
    say(f"kills      {told['kills']['total']}: {told['kills']['by_process']}")
    say(f"recovery   {longest} s at the longest")
    say(f"sent       {told['transactions']['total']} transactions, {sum(told['reverted'].values())} more reverted")
    say(f"audits     {told['audits']['passed']} passed, {told['audits']['failed']} failed")
    say(f"money      {paid_in} wei in, {paid_out} wei out, {left} wei left: {paid_in - paid_out - left} missing")


if __name__ == "__main__":
    sys.exit(main())
