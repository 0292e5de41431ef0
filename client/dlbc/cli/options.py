"""Options every command takes, and the two click classes that add them.

A command module writes `@click.command(cls=Command)` or `@click.group(cls=Group)` and takes the `Settings` with
`@click.pass_obj`. --json, --config, --account and --home may stand before or after the command's name.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from dlbc.config import Config
    from dlbc.core.types import Hash32, Wei


@dataclass
class Settings:
    """What the user typed; `config()` makes the frozen configuration of it."""

    json: bool = False
    flags: dict[str, str | None] = field(default_factory=dict)

    def config(self, account: str | None = None) -> Config:
        """`account` beats --account. Raises Usage."""
        from dlbc.bootstrap import load_config

        return load_config(self.flags | ({"account": account} if account is not None else {}))


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    settings = context.ensure_object(Settings)
    assert parameter.name is not None
    if parameter.name == "json":
        settings.json = settings.json or bool(value)
    elif value is not None:
        settings.flags[parameter.name] = value


def _common() -> list[click.Parameter]:
    def option(flag: str, help_text: str, **more: Any) -> click.Option:
        return click.Option([flag], help=help_text, callback=_remember, expose_value=False, is_eager=True, **more)

    return [
        option("--json", "One JSON object on stdout.", is_flag=True),
        option("--config", "Configuration file (else ./dlbc.toml, then dlbc.toml in the home folder).", metavar="FILE"),
        option("--account", "Name or path of the keystore to act as.", metavar="NAME"),
        option("--home", "Folder of keys, journals and logs (default ~/.dlbc).", metavar="DIR"),
    ]


class Command(click.Command):
    """A command with the common options."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(_common())


class Group(click.Group):
    """A group with the common options; its commands and groups have them too."""

    command_class = Command
    group_class = type

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(_common())

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The whole first sentence of each: a second line reads better than an ellipsis."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.get_short_help_str(200)) for name, command in commands if command])


class LazyGroup(Group):
    """A group whose commands are modules `dlbc.cli.<name>` with an attribute `command`, imported when used."""

    def __init__(self, *args: Any, summaries: dict[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.summaries = summaries

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.summaries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.summaries:
            return None
        module = importlib.import_module(f"dlbc.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The summaries, without importing a module."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.summaries.items()))


def typed_amount(words: tuple[str, ...], name: str = "AMOUNT") -> Wei:
    """An amount of a command line; the quotes around "1 ether" may be forgotten, the unit may not. Raises Usage."""
    from dlbc.core.errors import BadInput, Usage
    from dlbc.core.units import parse_amount

    text = " ".join(words).strip()
    if text.replace(".", "", 1).isdecimal():
        raise Usage(f'{name}: {text[:40]} of what? Say "{text[:40]} ether", or gwei, or wei')
    try:
        return parse_amount(text, name)
    except BadInput as error:
        raise Usage(str(error)) from None


def typed_duration(text: str, name: str = "DURATION") -> int:
    """A duration of a command line, in seconds. Raises Usage."""
    from dlbc.core.errors import BadInput, Usage
    from dlbc.core.units import parse_duration

    try:
        return parse_duration(text, name)
    except BadInput as error:
        raise Usage(str(error)) from None


def typed_hash(text: str, option: str) -> Hash32:
    """A model's sha256 of a command line, with or without 0x. Raises Usage."""
    from dlbc.core.errors import BadInput, Usage
    from dlbc.core.records import hex_bytes
    from dlbc.core.types import Hash32

    try:
        return Hash32(hex_bytes(text if text.startswith("0x") else f"0x{text}", option, 32))
    except BadInput as error:
        raise Usage(str(error)) from None
