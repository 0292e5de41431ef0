"""Errors become one line and an exit code; options may stand anywhere; nothing heavy is imported for help."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from dlbc.cli import main
from dlbc.cli.options import Command, Group, Settings
from dlbc.core.errors import (
    BadInput,
    ChainUnreachable,
    ContractRefused,
    DlbcError,
    NotFound,
    Refused,
    StorageUnreachable,
    TryLater,
    Unavailable,
    Usage,
    VerificationFailed,
)

pytestmark = pytest.mark.unit

Action = Callable[[Settings], object]


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[Action], None]]:
    """Installs `dlbc probe` and `dlbc probes sub`, commands that do what a test says."""
    monkeypatch.setenv("DLBC_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def install(action: Action) -> None:
        @click.command(cls=Command)
        @click.pass_obj
        def one(settings: Settings) -> object:
            return action(settings)

        @click.group(cls=Group)
        def several() -> None:
            """A group."""

        several.add_command(one, "sub")
        monkeypatch.setitem(sys.modules, "dlbc.cli.probe", SimpleNamespace(command=one))
        monkeypatch.setitem(sys.modules, "dlbc.cli.probes", SimpleNamespace(command=several))
        monkeypatch.setitem(main.command.summaries, "probe", "A test's command.")
        monkeypatch.setitem(main.command.summaries, "probes", "A test's group.")

    return install


def raising(error: BaseException) -> Action:
    def action(_: Settings) -> None:
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Refused("no"), 1),
        (BadInput("no"), 1),
        (NotFound("no"), 1),
        (ContractRefused("no", name="Market_WrongPhase", args={"given": 1}), 1),
        (DlbcError("no"), 1),
        (Usage("no"), 2),
        (TryLater("no"), 3),
        (ChainUnreachable("no"), 3),
        (StorageUnreachable("no"), 3),
        (Unavailable("no"), 3),
        (VerificationFailed("no"), 4),
    ],
)
def test_run__an_error_of_ours__is_one_line_and_its_exit_code(
    probe: Callable[[Action], None], capsys: pytest.CaptureFixture[str], error: DlbcError, code: int
) -> None:
    """The exit codes scripts rely on; stdout stays empty."""
    probe(raising(error))

    assert code == main.run(["probe"])
    assert capsys.readouterr() == ("", "error: no\n")


def test_run__an_error_with_a_strangers_words__can_not_steer_the_terminal(
    probe: Callable[[Action], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever forgot to clean them: this is the last place."""
    probe(raising(Unavailable("the node says \x1b]0;owned\x07 \u202e \ud800")))

    assert main.run(["probe"]) == 3

    assert not {"\x1b", "\x07", "\u202e", "\ud800"} & set(capsys.readouterr().err)


def test_run__an_error_with_json__is_told_as_json_too(
    probe: Callable[[Action], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """One JSON object on stdout, also when it went wrong; the sentence on stderr."""
    probe(raising(ContractRefused("a\nsentence", name="Market_WrongPhase", args={"given": 2**200})))

    assert main.run(["probe", "--json"]) == 1

    out, err = capsys.readouterr()
    assert err == "error: a sentence\n"
    assert json.loads(out) == {
        "error": {
            "kind": "ContractRefused",
            "message": "a sentence",
            "exitCode": 1,
            "retryable": False,
            "name": "Market_WrongPhase",
            "arguments": {"given": str(2**200)},
        }
    }


@pytest.mark.parametrize(
    "line",
    [
        "--json --account me --home there probe",
        "probe --json --account me --home there",
        "--json probe --account me --home there",
        "--json --home there probes --account me sub",
        "probes sub --home there --json --account me",
    ],
)
def test_run__common_options__may_stand_before_or_after_the_command(
    probe: Callable[[Action], None], tmp_path: Path, line: str
) -> None:
    """People type flags where they think of them."""
    seen = []
    probe(lambda settings: seen.append((settings.json, settings.config().account, settings.config().home)))

    assert main.run(line.split()) == 0
    assert [(True, "me", tmp_path / "there")] == seen


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (4, 4), ({"a": 1}, 0)])
def test_run__what_a_command_returns__is_the_exit_code_if_it_is_a_number(
    probe: Callable[[Action], None], returned: object, code: int
) -> None:
    """`audit` returns 4 when a check fails, after it has printed them all."""
    probe(lambda _: returned)

    assert code == main.run(["probe"])


@pytest.mark.parametrize("line", ["nonsense", "probe --nonsense", "probe extra", "--account", "probes nonsense"])
def test_run__a_wrong_command_line__is_usage(
    probe: Callable[[Action], None], capsys: pytest.CaptureFixture[str], line: str
) -> None:
    """Exit 2, one line that names the help."""
    probe(lambda _: None)

    assert main.run([*line.split(), "--json"] if line != "--account" else ["--json", line]) == 2

    out, err = capsys.readouterr()
    assert err.count("\n") == 1
    assert "--help" in err
    assert json.loads(out)["error"]["kind"] == "Usage"


@pytest.mark.parametrize("line", ["", "probes"])
def test_run__a_group_without_a_command__shows_its_help(
    probe: Callable[[Action], None], capsys: pytest.CaptureFixture[str], line: str
) -> None:
    """Exit 2, but with the whole help: this is how people look around."""
    probe(lambda _: None)

    assert main.run(line.split()) == 2
    assert "Commands:" in capsys.readouterr().err


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_run__interrupted__is_one_line_and_130(
    probe: Callable[[Action], None], capsys: pytest.CaptureFixture[str], error: BaseException
) -> None:
    """Control-C is no crash."""
    probe(raising(error))

    assert main.run(["probe"]) == 130
    out, err = capsys.readouterr()
    assert (out, err.lstrip()) == ("", "interrupted\n")


def test_run__an_unexpected_error__leaves_the_traceback_in_a_private_file(
    probe: Callable[[Action], None], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The user sees one line that names the file."""
    probe(raising(ZeroDivisionError("a bug")))

    assert main.run(["probe", "--home", "elsewhere"]) == 1

    out, err = capsys.readouterr()
    (log,) = (tmp_path / "elsewhere/logs").iterdir()
    assert out == ""
    assert err == f"error: unexpected ZeroDivisionError: a bug; the traceback is in {log}; please report it\n"
    assert "Traceback" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


def test_run__the_log_cannot_be_written__is_said(
    probe: Callable[[Action], None], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A full or foreign disk must not hide the first error."""
    (tmp_path / "logs").write_text("a file where the folder should be")
    probe(raising(ZeroDivisionError("a bug")))

    assert main.run(["probe"]) == 1
    assert "unexpected ZeroDivisionError: a bug; no log could be written" in capsys.readouterr().err


def run_dlbc(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from dlbc.cli.main import run; code = run(sys.argv[1:])\n"
    code += "sys.stderr.write(' '.join(sorted({name.split('.')[0] for name in sys.modules}))); sys.exit(code)"
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_dlbc__help_and_version__import_nothing_heavy(arguments: list[str]) -> None:
    """Under 0.4 seconds: the libraries that cost time are imported by the commands that use them."""
    finished = run_dlbc(*arguments)

    assert finished.returncode == 0
    heavy = {"web3", "eth_account", "torch", "numpy", "sklearn", "rich", "requests", "ipfshttpclient", "cryptography"}
    assert not heavy & set(finished.stderr.split())


def test_dlbc__version__is_the_packages() -> None:
    """One number, in one place."""
    from dlbc import __version__

    assert f"dlbc {__version__}\n" == run_dlbc("--version").stdout


def test_dlbc__its_reader_has_left__ends_quietly() -> None:
    """`dlbc … | head` is no error worth a traceback."""
    reader, writer = os.pipe()
    os.close(reader)
    code = "import sys; from dlbc.cli.main import run; sys.exit(run(['--help']))"

    finished = subprocess.run(
        [sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )

    os.close(writer)
    assert (finished.stderr, finished.returncode) == ("", 1)


@pytest.mark.parametrize("name", sorted(main.COMMANDS))
def test_commands__every_name__is_a_module_with_a_command(name: str) -> None:
    """The table lists only what exists, and each summary is one line of help."""
    found = main.command.get_command(click.Context(main.command), name)

    assert isinstance(found, click.Command)
    assert found.help


@pytest.mark.parametrize("name", ["auditor", "devnet", "ledger", "miner", "model", "requester", "task", "wallet"])
def test_group__its_help__has_a_whole_sentence_for_each_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """None is cut off by an ellipsis or after an abbreviation, and nothing is wider than a terminal."""
    assert main.run([name, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines[lines.index("Commands:") :] if line.endswith(("...", "e.g."))]
