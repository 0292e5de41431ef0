"""What people and scripts see of a finished task."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Site
from dlbc.core.types import TaskId

pytestmark = pytest.mark.e2e

COLUMNS = 80


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("task", "list", "--all"), ("Settled", "1 ether")),
        (("task", "show", "{task}"), ("Task {task}: Settled", "The winner is paid", "requester")),
        (("miner", "status"), ("credit in the market", "won", "Settled")),
        (("audit", "{task}"), ("✓", "watermark slot 0", "PASS: all")),
        (("ledger", "show"), ("block", "score")),
        (("ledger", "verify"), ("links to genesis", "The ledger holds.")),
        (("bench",), ("gas",)),
    ],
)
def test_view__for_people__says_what_matters_in_80_columns(
    site: Site, settled: TaskId, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    """Tables fit a terminal, and the words a reader looks for are there."""
    process = site.start("miner1", *(part.format(task=settled) for part in arguments))
    assert process.wait() == 0
    shown = process.out.read_text()
    for word in words:
        assert word.format(task=settled) in shown
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= COLUMNS


def test_view__for_scripts__is_one_json_object_with_the_facts(site: Site, settled: TaskId) -> None:
    """The same facts as JSON, with units in the names."""
    row = next(row for row in site.run("", "task", "list", "--all")["tasks"] if row["taskId"] == settled)
    assert (row["phase"], row["bountyWei"], row["commits"]) == ("Settled", 10**18, 1)
    shown = site.run("", "task", "show", str(settled))
    assert (shown["phase"], shown["outcome"], shown["locks"]) == ("Settled", "settled", [])
    headers = [block["header"] for block in site.run("", "ledger", "show")["blocks"]]
    (miner,) = [header["miner"] for header in headers if header["taskId"] == settled]
    assert miner == site.address("miner1")
    status = site.run("miner1", "miner", "status")
    assert status["creditWei"] == site.chain.credit(site.address("miner1"))  # royalties of other tests may have come
    assert settled in [entry["taskId"] for entry in status["entries"]]


@pytest.mark.usefixtures("settled")
def test_ledger_verify__with_models_and_then_again__goes_on_after_what_it_verified(site: Site) -> None:
    """The second run has nothing left to verify, and says from where it went on."""
    first = site.run("", "ledger", "verify", "--models", "--from-genesis")
    assert (first["verified"], first["verifiedBefore"], first["unavailable"], first["wrong"]) == (True, 0, [], [])
    assert first["depths"] == {"model": first["blocks"]}
    again = site.run("", "ledger", "verify", "--models")
    assert (again["verified"], again["verifiedBefore"], again["modelsLookedAt"]) == (True, first["blocks"], 0)


def test_model_verify__another_file__exit_code_4(site: Site, settled: TaskId) -> None:
    """A file that is no model at all is reported as a failed check, not as a crash."""
    file = site.folder / "text.safetensors"
    file.write_text("not a model")
    answer = site.run("", "model", "verify", str(file), "--task", str(settled), code=4)
    assert {check["name"] for check in answer["checks"] if not check["ok"]} == {
        "sha256 of the weights",
        "architecture and limits",
    }


def test_model_pull__every_form__verifies_and_computes(site: Site, settled: TaskId) -> None:
    """The folder's own loader needs no client; folder and ONNX file are what the ledger records."""
    task, folder, file = str(settled), site.folder / "pulled", site.folder / "pulled.onnx"
    told = site.run("", "model", "pull", task, "-o", str(folder), "--format", "huggingface")
    assert {Path(each["path"]).name for each in told["files"]} == {path.name for path in folder.iterdir()}
    site.run("", "model", "pull", task, "-o", str(file), "--format", "onnx")
    for target in (folder, file):
        assert site.run("", "model", "verify", str(target), "--task", task)["verified"] is True
    shape = json.loads((folder / "config.json").read_text())["architecture"]["input_shape"]
    load = "import runpy, torch; model = runpy.run_path('load.py')['load']('.')"
    program = f"{load}; print(tuple(model(torch.zeros(3, *{shape})).shape))"
    ended = subprocess.run(
        [sys.executable, "-I", "-c", program], cwd=folder, capture_output=True, text=True, timeout=120, check=True
    )
    assert ended.stdout.strip() == "(3, 10)"
