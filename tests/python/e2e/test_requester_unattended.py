"""The requester as a daemon, whole processes: several tasks, nobody types, it is killed twice and its disk is lost."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from conftest import ETHER, Process, Site
from court import posted
from dlbc.adapters.notify import signature_of
from dlbc.core.types import Phase

pytestmark = pytest.mark.e2e

TASKS = 3
SECRET = b"the secret of the webhook"
WHOLE = {"task_posted", "commits_closed", "test_set_released", "claim_opened", "settled", "model_stored"}
"""What is told of every task; whether somebody leads is a matter of milliseconds here."""


class Hook(ThreadingHTTPServer):
    """Answers the first notices with 500, then takes all."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taker)
        self.refusals, self.heard = 3, list[dict[str, Any]]()

    def kinds(self, task_id: int) -> list[str]:
        """Of a task, each notice once."""
        once = {notice["id"]: notice for notice in list(self.heard) if notice["taskId"] == task_id}
        return sorted(notice["kind"] for notice in once.values())


class Taker(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        is_signed = self.headers["X-DLBC-Signature"] == signature_of(SECRET, data)
        if self.server.refusals or not is_signed:
            self.server.refusals -= 1
            self.send_response(500)
        else:
            self.server.heard.append(json.loads(data))
            self.send_response(204)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.timeout(600)
def test_requester__nobody_types__releases_stores_and_tells_everything(site: Site, hook: Hook, tmp_path: Path) -> None:
    """Three test sets, one process: killed before the release with all its folders lost, and once more after it."""
    tasks = [posted(site, f"unattended {number}") for number in range(TASKS)]
    secret, models = tmp_path / "secret", tmp_path / "models"
    secret.write_bytes(SECRET)
    secret.chmod(0o600)
    named = [word for task_id in tasks for word in ("--task", str(task_id))]
    url = f"http://127.0.0.1:{hook.server_address[1]}/notices"
    command = ("requester", "run", *named, "--models", str(models), "--notify-url", url, "--json")
    command = (*command, "--notify-secret-file", str(secret))

    def start() -> Process:
        return site.start("requester", *command)

    def rounds() -> list[Any]:
        return [site.chain.round(task_id, 0) for task_id in tasks]

    daemon = start()
    miner = site.start("miner1", "miner", "run", "--device", "cpu", *named)
    miner.until(lambda: all(each.commits for each in rounds()), "the commits", 180)
    daemon.until(lambda: all(hook.kinds(task_id) for task_id in tasks), "the first notices")
    assert daemon.events("bond_at_risk") == []
    daemon.kill()
    before = site.chain.balance(site.address("requester"))
    for folder in site.network.home.glob(f"requester-{site.address('requester')}"):
        shutil.rmtree(folder)

    daemon = start()
    daemon.until(lambda: len(daemon.events("notice")) >= TASKS, "the tasks to be found on the chain")
    site.network.advance_time(to=max(each.train_end for each in rounds()))
    daemon.until(lambda: all(each.reveal_end for each in rounds()), "the releases")
    daemon.kill()
    daemon = start()
    miner.until(lambda: all(each.reveals for each in rounds()), "the reveals")
    site.network.advance_time(to=max(each.reveal_end for each in rounds()))
    miner.until(lambda: all(each.challenge_end for each in rounds()), "the openings")
    daemon.until(lambda: all("claim_opened" in hook.kinds(task_id) for task_id in tasks), "the openings to be told")
    shown = site.run("requester", "requester", "status")
    assert shown["isRunning"] is True
    assert [row["phase"] for row in shown["tasks"]][:TASKS] == ["Challenge"] * TASKS
    assert shown["lockedWei"] >= TASKS * 11 * ETHER // 10

    site.network.advance_time(to=max(each.challenge_end for each in rounds()))
    assert daemon.wait() == 0, daemon.err.read_text()[-2000:]
    assert miner.end() == 0
    answer = json.loads(daemon.out.read_text())
    assert [(end["taskId"], end["phase"]) for end in answer["tasks"]] == [(each, "Settled") for each in tasks]
    assert answer["noticesWaiting"] == 0
    for end in answer["tasks"]:
        (model,) = end["models"]
        file = Path(model["path"])
        assert file.is_relative_to(models)
        assert hashlib.sha256(file.read_bytes()).digest() == site.chain.winner(end["taskId"], 0).model_hash
    for task_id in tasks:
        kinds = Counter(hook.kinds(task_id))
        assert kinds.pop("claim_leads", 1) == 1
        assert kinds == Counter(WHOLE), "each by one id"
        assert site.chain.phase(task_id).phase is Phase.SETTLED
    bonds = site.chain.balance(site.address("requester")) - before
    assert TASKS * ETHER // 10 * 9 // 10 < bonds <= TASKS * ETHER // 10, "every bond, less gas"
    (row,) = [row for row in site.run("requester", "requester", "status")["tasks"] if row["taskId"] == tasks[0]]
    assert (row["phase"], row["model"], row["next"]) == ("Settled", "stored", "-")


def test_requester__task_of_somebody_else__is_refused(site: Site, settled: int) -> None:
    """In one sentence, before anything is done."""
    answer = site.run("miner1", "requester", "run", "--task", str(settled), code=1)
    assert "was posted by" in answer["error"]["message"]


def test_requester__old_task__its_model_is_fetched_and_the_command_ends(
    site: Site, settled: int, tmp_path: Path
) -> None:
    """Whoever finds the daemon after the fact has its model all the same; nothing is sent for it."""
    answer = site.run("requester", "requester", "run", "--task", str(settled), "--models", str(tmp_path))
    (model,) = answer["tasks"][0]["models"]
    assert hashlib.sha256(Path(model["path"]).read_bytes()).hexdigest() == model["sha256"].removeprefix("0x")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--notify-url", "hooks.example.org"), "expected an http(s) URL"),
        (("--notify-command", "/no/such/program"), "there is no program"),
        (("--notify-secret-file", "x"), "which is missing"),
    ],
)
def test_requester__wrong_way_to_tell__is_usage(site: Site, words: tuple[str, ...], said: str) -> None:
    """At once, with code 2: a restart would not help."""
    assert said in site.run("requester", "requester", "run", *words, code=2)["error"]["message"]


def test_requester__test_notice__arrives_by_command(site: Site, tmp_path: Path) -> None:
    """Before the first task is posted one can see whether it works."""
    out = tmp_path / "out"
    answer = site.run("requester", "requester", "notify", "--notify-command", f"/bin/sh -c 'cat > {out}'")
    assert answer["arrived"] == ["command"]
    assert json.loads(out.read_text())["kind"] == "test"
