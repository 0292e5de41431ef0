"""Whole processes on a whole local network: Anvil, Kubo, the contracts, and `python -m dlbc` as a user starts it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from dlbc import bootstrap
from dlbc.adapters.devnet.network import LocalNetwork, Network
from dlbc.core.types import Phase, TaskId

STEP_SECONDS = 90.0
ETHER = 10**18
DEPOSIT = ETHER * 35 // 100
STAKE = "10 ether"
AUDITORS = ("auditor1", "auditor2")


class Process:
    """One running `dlbc` command; its stderr is a file of JSON events."""

    def __init__(
        self, arguments: list[str], environment: dict[str, str], folder: Path, program: Sequence[str] = ("-m", "dlbc")
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        number = len(list(folder.iterdir()))
        self.out, self.err = folder / f"{number}.out", folder / f"{number}.err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self._process = subprocess.Popen(
                [sys.executable, *program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment,
                start_new_session=True,
            )

    def wait(self, seconds: float = STEP_SECONDS) -> int:
        """Its exit code."""
        return self._process.wait(seconds)

    def kill(self) -> None:
        """SIGKILL, as a power cut."""
        self._process.kill()
        self._process.wait()

    @property
    def has_ended(self) -> bool:
        """It is no longer there to be killed."""
        return self._process.poll() is not None

    def end(self) -> int:
        """SIGTERM, as a service manager."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def events(self, name: str) -> list[dict[str, Any]]:
        """What it logged under an event's name so far."""
        found = []
        for line in self.err.read_text().splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and event.get("event") == name:
                found.append(event)
        return found

    def until(self, condition: Callable[[], object], what: str, seconds: float = STEP_SECONDS) -> None:
        """Waits for a condition; fails with what the process last said if it does not come or the process ends."""
        deadline = time.monotonic() + seconds
        while True:
            code = self._process.poll()  # before the look: what it said last counts even if it has ended since
            if condition():
                return
            said = self.err.read_text()[-1500:]
            assert code is None, f"it ended with code {code} before {what}: {said}"
            assert time.monotonic() < deadline, f"{what} did not come within {seconds:.0f} s: {said}"
            time.sleep(0.05)


class Site:
    """A network and the ways to use it as its accounts, or as a stranger."""

    def __init__(self, network: Network, folder: Path, stack: ExitStack) -> None:
        self.network, self.folder, self._stack = network, folder, stack
        self.chain, self.pool = bootstrap.chain_and_pool(network.config())

    def environment(self, **settings: str) -> dict[str, str]:
        """No DLBC_ variable of ours, the network's configuration unless `settings` say otherwise."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("DLBC_")}
        own = {"DLBC_HOME": str(self.network.home), "DLBC_TORCH_THREADS": "1"}
        return clean | own | {f"DLBC_{name.upper()}": value for name, value in settings.items()}

    def start(self, account: str, *arguments: str, **settings: str) -> Process:
        """Starts a command as an account; it is ended when the test session ends."""
        process = Process(list(arguments), self.environment(account=account, **settings), self.folder / "logs")
        self._stack.callback(process.end)
        return process

    def start_lying(self, kind: str, account: str, *arguments: str) -> Process:
        """The same with a dishonest client (liar.py)."""
        liar = (str(Path(__file__).with_name("liar.py")), kind)
        process = Process(list(arguments), self.environment(account=account), self.folder / "logs", liar)
        self._stack.callback(process.end)
        return process

    def run(self, account: str, *arguments: str, code: int = 0, **settings: str) -> dict[str, Any]:
        """Runs a command with --json to its end; the object it prints."""
        process = self.start(account, *arguments, "--json", **settings)
        found = process.wait()
        assert found == code, f"exit code {found} instead of {code}: {process.err.read_text()[-2000:]}"
        answer = json.loads(process.out.read_text())
        assert isinstance(answer, dict)
        return answer

    def task_file(self, name: str, **replaced: str) -> Path:
        """A task file for digits and a small mlp; `replaced` changes lines, by the setting's name."""
        path = self.folder / f"{name}.toml"
        path.unlink(missing_ok=True)
        self.run("requester", "task", "init", str(path))
        lines = path.read_text().splitlines()
        windows = dict.fromkeys(("train", "release", "reveal", "open", "challenge"), '"1h"')
        for setting, value in {"name": f'"{name}"', "epochs": "8", "min_score": "0.5", **windows, **replaced}.items():
            lines = [f"{setting} = {value}" if line.startswith(f"{setting} =") else line for line in lines]
        path.write_text("\n".join(lines) + "\n")
        return path

    def settle(self, task_id: TaskId) -> None:
        """Moves the clock through all windows as soon as everybody has done what a window is for."""
        watch = self.start("requester", "task", "watch", str(task_id), "--release")
        self.network.advance_time(to=self.chain.round(task_id, 0).train_end)
        commits = self.chain.round(task_id, 0).commits
        watch.until(lambda: self.chain.round(task_id, 0).reveals == commits, "the reveals")
        self.network.advance_time(to=self.chain.round(task_id, 0).reveal_end)
        watch.until(lambda: self.chain.round(task_id, 0).challenge_end, "the opening")
        self.network.advance_time(to=self.chain.round(task_id, 0).challenge_end)
        assert watch.wait() == 0
        assert self.chain.phase(task_id).phase is Phase.SETTLED

    def address(self, account: str) -> Any:
        """An account's address."""
        return self.network.keys(account).address


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One network for all tests of the session; every test posts tasks of its own."""
    folder = tmp_path_factory.mktemp("network")
    with ExitStack() as stack:
        network = stack.enter_context(LocalNetwork(folder / "home", fresh=True))
        yield Site(network, folder, stack)


@pytest.fixture(scope="session")
def settled(site: Site) -> TaskId:
    """A task whose miner was killed after its commit, was started again, revealed, opened and was paid."""
    task_id = TaskId(site.run("requester", "task", "post", str(site.task_file("killed")), "--yes")["taskId"])
    miner1, me = ("miner", "run", "--device", "cpu", "--task", str(task_id)), site.address("miner1")
    before = site.chain.balance(me)
    first = site.start("miner1", *miner1)
    first.until(lambda: site.chain.entry(task_id, 0, me).commit_seq, "the commit")
    first.kill()
    again = site.start("miner1", *miner1, "--once")
    again.until(lambda: again.events("miner_started"), "the restart")
    site.settle(task_id)
    assert again.wait() == 0
    assert again.events("training_started") == []
    assert site.chain.entry(task_id, 0, me).holds_deposit is False
    assert site.chain.balance(me) - before > ETHER * 97 // 100
    assert again.events("money_arrived")[-1]["wei"] == ETHER * 98 // 100 + DEPOSIT
    return task_id


@pytest.fixture(scope="session")
def jury(site: Site) -> None:
    """Two auditors whose stake is active."""
    for name in AUDITORS:
        site.run(name, "auditor", "stake", *STAKE.split())
    site.run(AUDITORS[0], "auditor", "activate", code=3)
    site.network.advance_time(seconds=site.pool.params().activation_seconds)
    for name in AUDITORS:
        site.run(name, "auditor", "activate")
