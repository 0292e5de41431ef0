"""`dlbc model pull` and `dlbc model verify` on a market in memory."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest
from dlbc import bootstrap
from dlbc.cli.main import run
from dlbc.core.types import TaskId
from fakes.commands import world_of_commands
from fakes.world import World

pytestmark = pytest.mark.unit


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """The commands see a market in memory; they work in an empty folder."""
    return world_of_commands(tmp_path, monkeypatch)


@pytest.fixture
def settled(world: World) -> TaskId:
    """One task, won by an honest miner."""
    task_id = world.post()
    world.play(task_id, world.miner())
    return task_id


@pytest.mark.parametrize(
    ("form", "output", "files"),
    [
        ([], "m.safetensors", ["m.safetensors", "m.json"]),
        (["--format", "safetensors"], "m", ["m", "m.json"]),
        (
            ["--format", "huggingface"],
            "folder",
            ["folder/config.json", "folder/model.safetensors", "folder/load.py", "folder/README.md"],
        ),
        (["--format", "huggingface"], ".", ["config.json", "model.safetensors", "load.py", "README.md"]),
    ],
)
def test_pull__each_form__tells_every_file_with_size_and_hash(
    settled: TaskId, capsys: pytest.CaptureFixture[str], form: list[str], output: str, files: list[str]
) -> None:
    """For people a line each, for scripts one object; the second pull tells the same."""
    assert run(["model", "pull", "1", "-o", output, *form]) == 0
    shown = capsys.readouterr()
    assert max(map(len, shown.out.splitlines())) <= 80
    assert run(["model", "pull", "1", "-o", output, *form, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["taskId"], told["round"], told["format"]) == (1, 0, form[1] if form else "safetensors")
    assert [file["path"] for file in told["files"]] == files
    for file in told["files"]:
        data = Path(file["path"]).read_bytes()
        assert (file["bytes"], file["sha256"]) == (len(data), sha256(data).hexdigest())
        assert f"Wrote {file['path']} (" in shown.out
    weights = next(file for file in told["files"] if "m" in Path(file["path"]).stem and file["bytes"] > 50_000)
    assert told["sha256"] == weights["sha256"]
    assert f"sha256 {weights['sha256']}" in shown.out


def test_pull__json_of_weights__keeps_the_names_that_scripts_know(
    settled: TaskId, capsys: pytest.CaptureFixture[str]
) -> None:
    """path, bytes, sha256 and architecture, as before there were other forms."""
    assert run(["model", "pull", "1", "-o", "m.safetensors", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["path"], told["architecture"]) == ("m.safetensors", "m.json")
    assert told["bytes"] == Path("m.safetensors").stat().st_size


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["1", "-o", "m.onnx"], 2, "m.onnx is named like onnx, the format is safetensors; say --format onnx or rename"),
        (["1", "-o", "m.safetensors", "--format", "onnx"], 2, "say --format safetensors or rename it"),
        (["1", "-o", "m.safetensors", "--format", "huggingface"], 2, "m.safetensors is named like safetensors"),
        (["1", "-o", "m", "--format", "pickle"], 2, "'pickle' is not one of"),
        (["1"], 2, "Missing option '-o'"),
        (["1", "-o", "mine"], 1, "mine is a folder; name a file in it, or say --format huggingface"),
        (["1", "-o", "mine", "--format", "huggingface"], 1, "mine is there already and is no folder of this model"),
        (["1", "-o", "notes.txt", "--format", "huggingface"], 1, "notes.txt is there already and is no folder"),
        (["1", "-o", "notes.txt"], 1, "notes.txt is there already with sha256"),
        (["7", "-o", "m"], 1, "there is no task 7"),
        (["1", "--round", "3", "-o", "m"], 1, "round 3"),
    ],
)
def test_pull__bad_input__one_sentence_its_exit_code_and_nothing_written(
    settled: TaskId, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, sentence: str
) -> None:
    """What was expected, what came, what to do; never a traceback."""
    Path("mine").mkdir()
    Path("mine/thesis.tex").write_text("years of work")
    Path("notes.txt").write_text("notes")
    assert run(["model", "pull", *arguments]) == code
    told = capsys.readouterr().err
    assert sentence in told
    assert "Traceback" not in told
    assert {path.name for path in Path().iterdir()} == {"mine", "notes.txt"}
    assert (Path("notes.txt").read_text(), Path("mine/thesis.tex").read_text()) == ("notes", "years of work")


def test_pull__not_settled_yet__exits_3(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Later it will do."""
    task_id = world.post()
    assert run(["model", "pull", str(task_id), "-o", "folder", "--format", "huggingface"]) == 3
    assert "no settled model to fetch yet" in capsys.readouterr().err
    assert list(Path().iterdir()) == []


def test_verify__folder_and_file__pass_and_fail_with_their_exit_codes(
    settled: TaskId, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder's weights are what is checked."""
    assert run(["model", "pull", "1", "-o", "folder", "--format", "huggingface"]) == 0
    for target in ("folder", "folder/model.safetensors"):
        assert run(["model", "verify", target, "--task", "1"]) == 0
        assert "It is the recorded model." in capsys.readouterr().out
    data = bytearray(Path("folder/model.safetensors").read_bytes())
    data[-1] ^= 1
    Path("folder/model.safetensors").write_bytes(data)
    assert run(["model", "verify", "folder", "--task", "1", "--json"]) == 4
    assert json.loads(capsys.readouterr().out)["verified"] is False
    assert run(["model", "verify", "none.onnx", "--task", "1"]) == 1
    assert "none.onnx does not exist" in capsys.readouterr().err


def test_verify__file_that_is_not_there__is_said_before_anything_is_fetched(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not after a minute of download."""
    monkeypatch.setattr(bootstrap, "storage", lambda config: pytest.fail("fetched"))
    assert run(["model", "verify", "nowhere", "--task", "1"]) == 1
    assert capsys.readouterr().err == "error: model file nowhere does not exist\n"
