"""`dlbc requester notify` tries every way and tells what failed; `run` looks at its folder first."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from dlbc import bootstrap
from dlbc.cli.main import run
from dlbc.cli.requester import _check_folder
from dlbc.core.errors import Refused, TryLater

pytestmark = pytest.mark.unit


@dataclass
class Way:
    """A channel that takes notices, or does not."""

    name: str
    problem: str = ""
    taken: list[bytes] = field(default_factory=list)

    def send(self, notice_id: str, kind: str, body: bytes) -> None:
        """As ports.Channel says."""
        del notice_id, kind
        if self.problem:
            raise TryLater(self.problem)
        self.taken.append(body)


@pytest.mark.parametrize("order", [1, -1])
def test_notify__one_way_fails__tries_the_other_and_tells_both(
    order: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A webhook that is down does not hide whether the command works."""
    webhook, command = Way("webhook", "the webhook was not reached"), Way("command")
    monkeypatch.setattr(bootstrap, "channels", lambda config: [webhook, command][::order])
    assert run(["requester", "notify"]) == TryLater.exit_code
    assert capsys.readouterr().err == "error: the webhook was not reached; it arrived by command\n"
    assert len(command.taken) == 1


def test_notify__no_way_fails__names_them(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """In the order they are set up."""
    monkeypatch.setattr(bootstrap, "channels", lambda config: [Way("webhook"), Way("command")])
    assert run(["requester", "notify"]) == 0
    assert "It arrived: webhook, command." in capsys.readouterr().out


def test_run__models_folder_that_cannot_be__is_refused_before_the_first_model(tmp_path: Path) -> None:
    """Not when a model has been paid for; one that can be is made."""
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match="name another folder with --models"):
        _check_folder(tmp_path / "file" / "models")
    _check_folder(tmp_path / "new" / "models")
    assert (tmp_path / "new" / "models").is_dir()
