"""Bad input at the command line: one line that says what was expected and found, the right exit code, no money sent."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import Site
from dlbc.adapters.devnet.process import free_port
from dlbc.core.types import TaskId

pytestmark = pytest.mark.e2e


def refused(site: Site, account: str, *arguments: str, code: int = 1, **settings: str) -> str:
    """Runs a command that has to fail; its one line on stderr, which --json repeats on stdout."""
    process = site.start(account, *arguments, "--json", **settings)
    found, said = process.wait(), process.err.read_text()
    assert found == code, f"exit code {found} instead of {code}: {said}"
    assert "Traceback" not in said
    (line,) = [text for text in said.splitlines() if text.startswith("error: ")]
    told = json.loads(process.out.read_text())["error"]
    assert (told["exitCode"], f"error: {told['message']}") == (code, line)
    return line.removeprefix("error: ")


BAD_DATA = {
    "nan": (np.full((40, 8, 8), np.nan), np.arange(40) % 10, "NaN"),
    "lengths": (np.ones((40, 8, 8)), np.arange(39) % 10, "one label a sample, found [39]"),
    "one class": (np.ones((40, 8, 8)), np.zeros(40, int), "expected at least two classes"),
    "negative": (np.ones((40, 8, 8)), np.arange(40) - 5, "expected labels from 0"),
    "empty": (np.ones((0, 8, 8)), np.zeros(0, int), "at least one sample"),
    "text": (np.array(["a"] * 40), np.arange(40), "expected x to hold numbers"),
}


def test_post__bad_datasets__refused_before_anything_is_sent(site: Site, tmp_path: Path) -> None:
    """NaN, wrong shapes, labels out of range, empty data, text and one class are refused by name."""
    file = site.task_file("bad-data", source='"bad.npz"')
    before = site.chain.task_count(), site.chain.balance(site.address("requester"))
    for name, (x, y, sentence) in BAD_DATA.items():
        folder = tmp_path / name
        folder.mkdir()
        np.savez(folder / "bad.npz", x=x, y=y)
        (folder / "task.toml").write_text(file.read_text())
        line = refused(site, "requester", "task", "post", str(folder / "task.toml"), "--yes")
        assert sentence in line, f"{name}: {line}"
    assert before == (site.chain.task_count(), site.chain.balance(site.address("requester")))


def test_post__hostile_task_file__refused(site: Site, tmp_path: Path) -> None:
    """A file that is no TOML, and one that is not there."""
    (tmp_path / "task.toml").write_bytes(b"\xff" * 100)
    assert "not UTF-8" in refused(site, "requester", "task", "post", str(tmp_path / "task.toml"))
    assert "does not exist" in refused(site, "requester", "task", "post", str(tmp_path / "none.toml"))


def test_post__bounty_beyond_the_balance__refused_with_both_numbers(site: Site) -> None:
    """No funds: nothing is sent."""
    file = site.task_file("too-dear", bounty='"20000 ether"', deposit='"2000 ether"', bond='"2000 ether"')
    before = site.chain.task_count()
    assert "posting sends 22000 ether" in refused(site, "requester", "task", "post", str(file))
    assert site.chain.task_count() == before


@pytest.mark.parametrize(
    ("command", "setting", "value", "code", "sentence"),
    [
        (("task", "list"), "rpc_url", "http://127.0.0.1:{port}", 3, "does not answer"),
        (("task", "list"), "market", "0x00000000000000000000000000000000000000AA", 2, "there is no contract at"),
        (("task", "list"), "chain_id", "1", 2, "expected is chain 1"),
        (("requester", "run"), "chain_id", "1", 1, "expected is chain 1"),
        (("task", "list"), "market", "0x1234", 2, "expected an address"),
        (("audit", "999"), "account", "nobody", 1, "999"),
        (("task", "show", "999"), "account", "nobody", 1, "999"),
        (("task", "release", "1"), "account", "nobody", 1, "no account 'nobody'"),
        (("audit", "0"), "account", "nobody", 2, "0 is not in the range"),
        (("task", "frobnicate"), "account", "nobody", 2, "No such command"),
        (("watermark", "detect", "x"), "account", "nobody", 2, "choose one of --task"),
        (("bench", "nothing"), "account", "nobody", 2, "no benchmark 'nothing'"),
        (("model", "pull", "999", "-o", "x"), "account", "nobody", 1, "999"),
    ],
)
def test_command__wrong_place_or_name__one_line_and_exit_code(
    site: Site, command: tuple[str, ...], setting: str, value: str, code: int, sentence: str
) -> None:
    """RPC down, wrong chain, wrong address, unknown task, account, command: each its own exit code."""
    settings = {"account": "requester", setting: value.format(port=free_port())}
    assert sentence in refused(site, settings.pop("account"), *command, code=code, **settings)


def test_post__ipfs_down__try_later_and_no_task(site: Site) -> None:
    """Exit code 3, and the money stays."""
    file = site.task_file("no-ipfs")
    before = site.chain.task_count()
    api = f"/ip4/127.0.0.1/tcp/{free_port()}/http"
    assert "IPFS" in refused(site, "requester", "task", "post", str(file), code=3, ipfs_api=api)
    assert site.chain.task_count() == before


def test_release__not_the_requester_s_task__names_what_is_missing(site: Site) -> None:
    """Another account can't release, and is told so before anything is sent."""
    file = site.task_file("not-yours")
    task_id = TaskId(site.run("requester", "task", "post", str(file), "--yes")["taskId"])
    assert "test key is not in this journal" in refused(site, "auditor", "task", "release", str(task_id))
    assert "nothing to audit" in refused(site, "auditor", "audit", str(task_id), code=3)
    assert "already committed" not in refused(site, "auditor", "task", "cancel", str(task_id))
    site.run("requester", "task", "cancel", str(task_id))


def test_init__file_exists__is_left_alone(site: Site, tmp_path: Path) -> None:
    """`task init` never overwrites."""
    (tmp_path / "TASK.toml").write_text("mine")
    assert "exists already" in refused(site, "requester", "task", "init", str(tmp_path / "TASK.toml"))
    assert (tmp_path / "TASK.toml").read_text() == "mine"


def test_miner__no_task_it_can_do__try_later(site: Site) -> None:
    """--once with nothing to do is exit code 3, so that a script can come again."""
    assert "no task this miner can do" in refused(site, "miner3", "miner", "run", "--once", "--task", "4000000", code=3)


def test_miner__second_process_of_one_account__refused(site: Site) -> None:
    """Two processes never work from one journal."""
    first = site.start("miner3", "miner", "run", "--task", "4000000")
    first.until(lambda: first.events("miner_started"), "the start")
    assert "already works in" in refused(site, "miner3", "miner", "run", "--once")
    assert first.end() == 0
