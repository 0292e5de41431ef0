"""The soak of `make soak`, short: whole processes of every role under SIGKILL, and the books of what they did."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[3]


def test_soak__four_tasks_under_sigkill__nothing_is_lost_and_every_wei_is_accounted_for(tmp_path: Path) -> None:
    """Exit code 0 says that every task is over, that in less out is nothing, and that nobody was stuck."""
    words = ["--minutes", "1.5", "--tasks", "4", "--miners", "2", "--kill-seconds", "12", "--seed", "7"]
    finished = subprocess.run(
        [sys.executable, ROOT / "tests" / "proof" / "soak.py", *words, "--out", tmp_path],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "client")},
        check=False,
    )
    assert finished.returncode == 0, (finished.stdout + finished.stderr)[-4000:]
    told = json.loads((tmp_path / "soak.json").read_text())
    assert told["tasks"]["posted"] == 4
    assert told["kills"]["total"] > 0
    assert told["entries"]["lost"] == 0
    assert told["complaints"] == []
    assert (tmp_path / "soak.svg").is_file()
