"""`dlbc audit TASK --report DIR` on a market in memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from dlbc.cli.main import run
from dlbc.core.types import Phase, TaskId
from fakes.commands import world_of_commands
from fakes.page import check_self_contained
from fakes.world import World

pytestmark = pytest.mark.unit


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """The command sees a market in memory; it works in an empty folder."""
    return world_of_commands(tmp_path, monkeypatch)


@pytest.fixture
def settled(world: World) -> TaskId:
    """One task, won by an honest miner."""
    task_id = world.post()
    world.play(task_id, world.miner())
    return task_id


def test_audit_report__settled_task__names_both_files(settled: TaskId, capsys: pytest.CaptureFixture[str]) -> None:
    """After the table that the audit shows anyhow."""
    assert run(["audit", str(settled), "--report", "out"]) == 0
    shown = capsys.readouterr().out
    assert "PASS: all" in shown
    assert "Report: out/task-1-round-0.html" in shown
    assert "Report: out/task-1-round-0.json" in shown
    assert max(map(len, shown.splitlines())) <= 80
    check_self_contained(Path("out/task-1-round-0.html").read_text())


def test_audit_report__json__adds_the_paths_to_what_it_was(settled: TaskId, capsys: pytest.CaptureFixture[str]) -> None:
    """Scripts that know `dlbc audit --json` go on working."""
    assert run(["audit", str(settled), "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert run(["audit", str(settled), "--report", "out", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told.pop("report") == {"html": "out/task-1-round-0.html", "json": "out/task-1-round-0.json"}
    assert told == plain


def test_audit_report__failed_audit__is_written_and_exits_4(
    world: World, settled: TaskId, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is then that people want to read it."""
    (claim,) = world.onlooker.reveals(settled, 0)
    del world.network[claim.proof.sealed_model]
    assert run(["audit", str(settled), "--report", "out"]) == 4
    assert "FAIL" in Path("out/task-1-round-0.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("1", "--report", "file/out"), 1, "the report can't be written to file/out: Not a directory"),
        (("1", "--report", "file"), 2, "Directory 'file' is a file"),
        (("7", "--report", "out"), 1, "there is no task 7"),
        (("1", "--round", "5", "--report", "out"), 1, "there is no round 5"),
        (("1", "--report"), 2, "'--report' requires an argument"),
    ],
)
def test_audit_report__bad_input__one_sentence_and_its_exit_code(
    settled: TaskId, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    """What was expected, what came; never a traceback."""
    Path("file").write_text("")
    assert run(["audit", *arguments]) == code
    told = capsys.readouterr().err
    assert sentence in told
    assert "Traceback" not in told
    assert "unexpected" not in told


def test_audit_report__nothing_to_audit_yet__exits_3_and_leaves_no_file(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """Later it will do."""
    task_id = world.post()
    assert world.onlooker.phase(task_id).phase is Phase.TRAINING
    assert run(["audit", str(task_id), "--report", "out"]) == 3
    assert "nothing to audit before its leader opens the model" in capsys.readouterr().err
    assert list(Path("out").glob("*")) == []
