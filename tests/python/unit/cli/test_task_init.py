"""`dlbc task init` writes a file that `dlbc task post` can use from where it lies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dlbc.adapters.ml.datasets import load_data
from dlbc.cli import main
from dlbc.core.architecture import CLASSIFIERS
from dlbc.core.task_file import parse_task_file

pytestmark = pytest.mark.unit


def test_init__data_file_elsewhere__is_named_as_seen_from_the_task_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data is typed as seen from here and read as seen from the task file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tasks").mkdir()
    np.savez(tmp_path / "my.npz", x=np.zeros((10, 4, 4), np.float32), y=np.arange(10) % 2)
    assert main.run(["task", "init", "tasks/my.toml", "--dataset", "my.npz"]) == 0
    source = parse_task_file((tmp_path / "tasks/my.toml").read_bytes()).source
    assert source == "../my.npz"
    assert len(load_data(str(tmp_path / "tasks" / source)).train.y) == 8


@pytest.mark.parametrize("family", CLASSIFIERS)
def test_init__each_family__writes_a_task_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str) -> None:
    """Every family that a task can be posted for has an example."""
    monkeypatch.chdir(tmp_path)
    assert main.run(["task", "init", "--family", family]) == 0
    assert family == parse_task_file((tmp_path / "TASK.toml").read_bytes()).family


def test_init__family_that_tasks_can_t_score__is_a_usage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The choice names what can be posted."""
    monkeypatch.chdir(tmp_path)
    assert main.run(["task", "init", "--family", "unet"]) == 2
    assert "'mlp', 'cnn', 'resnet', 'transformer'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("dataset", "sentence"),
    [("digit", "expected digits, fashion-mnist or an .npz file, found 'digit'"), ("none.npz", "does not exist")],
)
def test_init__data_that_is_not_there__refused_and_nothing_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], dataset: str, sentence: str
) -> None:
    """A misspelt data set is told at once, not when the task is posted."""
    monkeypatch.chdir(tmp_path)
    assert main.run(["task", "init", "--dataset", dataset]) == 1
    assert sentence in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
