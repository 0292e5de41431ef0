"""The pages, and the sentences that commands print, name no command, option or file that does not exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from dlbc.cli.main import command

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
CODE = [
    path
    for folder in ("client/dlbc", "bench")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "`dlbc " in path.read_text(encoding="utf-8")
]
QUOTED = re.compile(r"`(dlbc [^`\n]+)`")
LINE = re.compile(r"^\s*(?:\$ )?(dlbc .+)$", re.MULTILINE)
NAMED_FILE = re.compile(r"`((?:\w+/)+(?![^`]*[A-Z]{3})[\w.-]+\.(?:py|sol|json|toml|yaml))`")
"""Not one that has a word to be filled in."""
ENDS = re.compile(r"\s#|\s\||\s{3,}|\s2>|…|`")
"""What follows is no part of the command."""
STANDS_FOR = re.compile(r"[A-Z{<]|$")
"""For a command that the reader chooses."""
STANDARD = ("--help", "--version")
PLACES = [".", "client/dlbc", "client/dlbc/adapters", "contracts"]
"""Where the names of files start."""


def lines_of(page: Path) -> Iterator[str]:
    """Every `dlbc …` of a page or module."""
    text = page.read_text(encoding="utf-8")
    yield from QUOTED.findall(text)
    if page.suffix == ".md":
        for block in text.split("```")[1::2]:
            yield from LINE.findall(block)


def unknown_in(line: str) -> str:
    """The first word of a command line that `dlbc` does not know as a command or option; "" if there is none."""
    words = iter(shlex.split(ENDS.split(line)[0])[1:])
    at: click.Command = command
    options: dict[str, click.Parameter] = {}
    for word in words:
        options |= {name: param for param in at.params for name in (*param.opts, *param.secondary_opts)}
        name, _, value = word.strip("[]").partition("=")
        if name.startswith("--"):
            if name in STANDARD or at.context_settings.get("ignore_unknown_options"):
                continue
            if name not in options:
                return name
            if not value and isinstance(param := options[name], click.Option) and not param.is_flag:
                next(words, "")
        elif isinstance(at, click.Group):
            inner = at.get_command(click.Context(at), name)
            if inner is None:
                return "" if STANDS_FOR.match(name) else name
            at = inner
    return ""


@pytest.mark.parametrize("page", [*PAGES, *CODE], ids=lambda page: str(page.relative_to(ROOT)))
def test_pages__every_command_named__exists_with_its_options(page: Path) -> None:
    """A command or option that was renamed or removed is still named here."""
    wrong = {line: unknown for line in lines_of(page) if (unknown := unknown_in(line))}
    assert wrong == {}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages__every_file_named__exists(page: Path) -> None:
    """A file that was moved or removed is still named here."""
    named = set(NAMED_FILE.findall(page.read_text(encoding="utf-8")))
    assert [name for name in named if not any((ROOT / place / name).exists() for place in PLACES)] == []


@pytest.mark.parametrize(
    ("line", "unknown"),
    [
        ("dlbc task list", ""),
        ("dlbc --account me task post TASK.toml --json", ""),
        ("dlbc task lists", "lists"),
        ("dlbc task list --al", "--al"),
        ("dlbc audits 1", "audits"),
        ("dlbc audit 1 --json=yes --reports out/", "--reports"),
        ("dlbc COMMAND --help", ""),
        ("dlbc bench economy --only attacks", ""),
    ],
)
def test_unknown_in__a_command_line__finds_what_dlbc_does_not_know(line: str, unknown: str) -> None:
    """The check itself."""
    assert unknown_in(line) == unknown
