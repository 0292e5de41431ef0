"""What a command and all processes that it starts hold in memory together, at the worst moment; who works (Linux).

`python -S memory.py COMMAND…` runs it and writes one line of JSON to standard error, after all that it wrote. It looks
every 20 ms: resident memory of each process, its share of it (a page that n processes map counts as 1/n), and the part
that no file backs, which the kernel can't take back; and whether one of its threads runs or wants to. It imports
little: a process begins with the peak of whoever forked it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

PAUSE = 0.02
LONGEST_NAME = 60
KEPT = {"Rss": "resident", "Pss": "share", "Anonymous": "not_of_files"}


def main(words: list[str]) -> int:
    """The command's exit code."""
    process = subprocess.Popen(words)
    worst: list[dict] = []
    all_of: dict[int, dict] = {}
    looks = 0
    while process.poll() is None:
        now = [held for held in map(look, tree(process.pid)) if held]
        looks += 1
        for held in now:
            known = all_of.setdefault(held.pop("pid"), {"at_work": 0})
            known |= {what: held.pop(what) for what in ("peak", "processor_seconds")} | {"process": held["process"]}
            known["at_work"] += held.pop("at_work")
        if total(now, "share") > total(worst, "share"):
            worst = now
        time.sleep(PAUSE)
    told = {
        "together": {name: total(worst, name) for name in KEPT.values()},
        "of_which": worst,
        "processes": [{**one, "at_work": round(one["at_work"] / looks, 3)} for one in all_of.values()],
    }
    print(json.dumps(told), file=sys.stderr)
    return process.returncode


def tree(pid: int) -> list[int]:
    """A process and all that come from it."""
    found = [pid]
    for one in found:
        try:
            found += map(int, Path(f"/proc/{one}/task/{one}/children").read_text().split())
        except OSError:
            continue
    return found


def look(pid: int) -> dict | None:
    """What it holds, in bytes; None if it is gone."""
    folder = Path(f"/proc/{pid}")
    try:
        held, status = fields(folder / "smaps_rollup"), fields(folder / "status")
        words = (folder / "cmdline").read_text().split("\0")[1:]
        name = " ".join(word for word in words if not word.startswith("/")).strip()[:LONGEST_NAME]
        return {
            "pid": pid,
            "process": name,
            "peak": status["VmHWM"],
            "processor_seconds": processor_seconds(folder),
            "at_work": any(is_running(thread) for thread in (folder / "task").iterdir()),
            **{told: held[field] for field, told in KEPT.items()},
        }
    except (OSError, KeyError):
        return None


def is_running(thread: Path) -> bool:
    """Or waits for a core."""
    return stat(thread)[0] == "R"


def processor_seconds(process: Path) -> float:
    """Of all its threads."""
    return (int(stat(process)[11]) + int(stat(process)[12])) / os.sysconf("SC_CLK_TCK")


def stat(folder: Path) -> list[str]:
    """From the state on."""
    return (folder / "stat").read_text().rpartition(")")[2].split()


def fields(path: Path) -> dict[str, int]:
    """Those in kB, in bytes."""
    lines = [line.split() for line in path.read_text().splitlines()]
    return {words[0].rstrip(":"): 1024 * int(words[1]) for words in lines if len(words) == 3 and words[2] == "kB"}


def total(held: list[dict], name: str) -> int:
    """Of a moment."""
    return sum(one[name] for one in held)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
