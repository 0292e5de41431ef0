"""`dlbc bench`: run a measurement of the checkout's bench folder."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from dlbc.cli import render
from dlbc.cli.options import Command, Settings
from dlbc.core.errors import NotFound, Refused, Usage

HELP = frozenset({"-h", "--help"})


@click.command(cls=Command, context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("name", required=False)
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[ITS OPTIONS]...")
@click.pass_context
def command(context: click.Context, name: str | None, options: tuple[str, ...]) -> None:
    """Run the measurement NAME, or `all` of them; without NAME, list them.

    Options that dlbc does not know go to the measurement: `dlbc bench NAME --help` explains them.
    """
    settings = context.ensure_object(Settings)
    if name in HELP:
        click.echo(context.get_help())
        return
    scripts = _scripts()
    if name is None:
        if settings.json:
            render.print_json({"benchmarks": sorted(scripts)})
        else:
            _list(scripts)
        return
    if name != "all" and name not in scripts:
        raise Usage(f"no benchmark {name[:60]!r}; there are: {', '.join(sorted(scripts))}")
    if name == "all" and options:
        raise Usage(f"dlbc bench all takes no options, found {options[0][:60]!r}; run one benchmark by name with it")
    chosen = sorted(scripts) if name == "all" else [name]
    for one in chosen:
        if not (settings.json or HELP & set(options)):
            click.echo(f"== {one}")
        output = sys.stderr if settings.json else None
        code = subprocess.run(
            [sys.executable, str(scripts[one]), *options], cwd=scripts[one].parent.parent, stdout=output
        ).returncode
        if code:
            refused = Usage if code == 2 else Refused  # 2 is a wrong option, here and there
            raise refused(f"the benchmark {one} ended with exit code {code}; what it printed says why")
    if settings.json:
        render.print_json({"ran": chosen})


def _list(scripts: Mapping[str, Path]) -> None:
    """Names, each with the first sentence of its script."""
    lines = click.HelpFormatter(width=render.WIDTH)
    lines.write_dl([(name, _first_sentence(scripts[name])) for name in sorted(scripts)])
    click.echo(lines.getvalue(), nl=False)


def _first_sentence(script: Path) -> str:
    told = ast.get_docstring(ast.parse(script.read_text())) or ""
    return " ".join(told.split("\n\n")[0].split()).partition(": ")[0].partition(" -> ")[0].rstrip(".")


def _scripts() -> dict[str, Path]:
    """Name → script. Raises NotFound outside of a checkout: the wheel does not carry them."""
    folder = Path(__file__).resolve().parents[3] / "bench"
    scripts = {script.stem: script for script in folder.glob("*.py") if not script.stem.startswith("_")}
    if not scripts:
        raise NotFound("benchmarks are in the bench folder of a source checkout; this installation has none")
    return scripts
