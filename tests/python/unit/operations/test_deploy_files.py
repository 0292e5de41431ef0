"""Files in deploy/ stay true: they parse, and every command, option and variable in them exists."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from dlbc.cli import main
from dlbc.config import SETTINGS

pytestmark = pytest.mark.unit

DEPLOY = Path(__file__).parents[4] / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
KNOWN = {f"DLBC_{name.upper()}" for name in (*SETTINGS, "config")}
DAEMONS = ("miner", "requester")
HARDENED = {
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "CapabilityBoundingSet": "",
    "KillSignal": "SIGTERM",
    "RestartPreventExitStatus": "2",
}


def settings_of(unit: Path) -> dict[str, list[str]]:
    """Every setting of a unit file, in order; names may repeat."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        match = re.fullmatch(r"(\w+)=(.*)", line)
        if match is not None:
            found.setdefault(match[1], []).append(match[2])
    return found


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((DEPLOY / "compose.yaml").read_text()))


def check_command_line(words: list[str]) -> None:
    """Follows groups to a command; every option in it must be one that the command has."""
    if words[0] not in main.COMMANDS:
        pytest.skip(f"this client has no `dlbc {words[0]}` yet")
    command: click.Command = main.command
    options = [word.split("=")[0] for word in words if word.startswith("--")]
    for word in words:
        if not isinstance(command, click.Group):
            break
        found = command.get_command(click.Context(command), word)
        assert found is not None, f"dlbc has no {' '.join(words)}"
        command = found
    assert not isinstance(command, click.Group), f"`dlbc {' '.join(words)}` is no whole command"
    known = {option for parameter in command.params for option in parameter.opts}
    assert set(options) <= known


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_unit__its_command_and_variables__exist(unit: Path) -> None:
    """A renamed option must not be found out by an operator."""
    settings = settings_of(unit)
    variables = dict(line.split("=", 1) for line in settings["Environment"])
    assert set(variables) <= KNOWN
    (line,) = settings["ExecStart"]
    check_command_line(shlex.split(line)[1:])


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_unit__a_daemon_with_a_key__is_hardened_and_gets_its_password_as_a_credential(unit: Path) -> None:
    """The password is in no environment, no argument, and no file that other units may read."""
    settings = settings_of(unit)
    assert {name: settings[name][-1] for name in HARDENED} == HARDENED
    (credential,) = settings["LoadCredential"]
    assert "DLBC_PASSWORD_FILE=%d/" + credential.split(":")[0] in settings["Environment"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_unit__systemd_itself__has_nothing_to_say(unit: Path, tmp_path: Path) -> None:
    """`systemd-analyze verify`; the program and the user of the unit need not be on this machine."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    copy = tmp_path / unit.name
    text = re.sub(r"^ExecStart=\S+", f"ExecStart={shutil.which('true')}", unit.read_text(), flags=re.MULTILINE)
    copy.write_text(text)
    found = subprocess.run([program, "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False)
    about = [line for line in found.stderr.splitlines() if unit.name in line]
    assert about == []


@pytest.mark.parametrize("daemon", DAEMONS)
def test_compose__its_command_and_variables__exist(daemon: str) -> None:
    """The same for containers; no secret is in the environment."""
    service = compose()["services"][daemon]
    assert set(service["environment"]) <= KNOWN
    check_command_line(service["command"])
    for name, value in service["environment"].items():
        assert not re.search(r"PASSWORD$|KEY$|SECRET", name)
        assert "password" not in value.lower() or value.startswith("/run/secrets/")


def test_compose__what_it_names__is_defined() -> None:
    """Secrets, volumes and services; the API of the IPFS node is not published."""
    told = compose()
    kubo, daemons = told["services"]["kubo"], [told["services"][name] for name in DAEMONS]
    used = [each for daemon in daemons for each in daemon["secrets"]]
    assert {each if isinstance(each, str) else each["source"] for each in used} == set(told["secrets"])
    named = {volume.split(":")[0] for each in (*daemons, kubo) for volume in each["volumes"]}
    assert {name for name in named if not name.startswith(".")} == set(told["volumes"])
    assert [port.split(":")[0] for port in kubo["ports"]] == ["4001"]
    for daemon in daemons:
        assert set(daemon["depends_on"]) <= set(told["services"])
        assert (DEPLOY / daemon["build"]["context"] / daemon["build"]["dockerfile"]).resolve() == DEPLOY / "Dockerfile"


def test_dockerfile__what_it_copies__is_there() -> None:
    """And it does not run as root."""
    text = (DEPLOY / "Dockerfile").read_text()
    assert (DEPLOY.parent / "constraints.txt").is_file()
    assert 'ENTRYPOINT ["dlbc"]' in text
    assert text.index("USER dlbc") < text.index("ENTRYPOINT")
