"""The `dlbc` command: finds the subcommand, and turns every error into one line and an exit code."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from dlbc import __version__
from dlbc.cli.options import LazyGroup, Settings
from dlbc.cli.render import printable
from dlbc.core.errors import ContractRefused, DlbcError, Usage

COMMANDS = {
    "task": "Post a training task, release its test set, watch it.",
    "requester": "Release on time, fetch the models, tell what happens: a daemon for whoever posts.",
    "miner": "Train, commit, reveal, open and collect.",
    "keeper": "Advance tasks whose time is up, and relay signed reveals.",
    "auditor": "Stake, vote, dispute false claims, and earn for it.",
    "audit": "Verify a task again, from public data alone.",
    "model": "Fetch a winning model, or check a file against a task.",
    "watermark": "Look for registered marks in a model file.",
    "ledger": "Show and verify the ledger of useful work.",
    "wallet": "Make, import and use accounts.",
    "doctor": "Check this machine, the chain, the IPFS node and the account.",
    "disk": "Show what a miner keeps, and free what it no longer needs.",
    "devnet": "Run a local network: chain, IPFS node, contracts.",
    "deploy": "Deploy the contracts to a chain.",
    "demo": "The whole loop on this machine.",
    "bench": "Measure, one command per table.",
}
EXIT_INTERRUPTED = 130


@click.group(
    cls=LazyGroup,
    summaries=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="dlbc", message="%(prog)s %(version)s")
def command() -> None:
    """Training deep-learning models as the useful work of a public ledger.

    Start with `dlbc demo`, or `dlbc devnet up` and `dlbc task init`.
    """


def entry() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Runs one command line; returns its exit code (0 ok, 1 refused, 2 usage, 3 try later, 4 verification failed)."""
    settings = Settings(json="--json" in arguments)
    try:
        result = command.main(args=list(arguments), prog_name="dlbc", standalone_mode=False, obj=settings)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except DlbcError as error:
        return _report(error, settings.json)
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return EXIT_INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return Usage.exit_code
    except click.ClickException as error:
        return _report(Usage(_one_line(error)), settings.json)
    except BrokenPipeError:
        # Whoever read our output has left (`dlbc … | head`). Nothing may be written at exit any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # noqa: BLE001  (the last line of defence: a user sees a sentence, never a traceback)
        return _unexpected(error, settings)


def _one_line(error: click.ClickException) -> str:
    sentence = " ".join(error.format_message().split())
    context = getattr(error, "ctx", None)
    path = "dlbc" if context is None else context.command_path
    return f"{sentence.rstrip('.')} (see `{path} --help`)"


def _report(error: DlbcError, as_json: bool) -> int:
    sentence = " ".join(str(error).split())
    click.echo(f"error: {printable(sentence)}", err=True)
    if as_json:
        told: dict[str, object] = {
            "kind": type(error).__name__,
            "message": sentence,
            "exitCode": error.exit_code,
            "retryable": error.retryable,
        }
        if isinstance(error, ContractRefused) and error.name:
            told["name"] = error.name
            told["arguments"] = {key: str(value) for key, value in error.arguments.items()}
        click.echo(json.dumps({"error": told}))
    return error.exit_code


def _unexpected(error: Exception, settings: Settings) -> int:
    import traceback

    try:
        home = settings.config().home
    except DlbcError:
        home = Path.home() / ".dlbc"
    told = "".join(traceback.format_exception(error))
    file = home / "logs" / f"error-{datetime.now(UTC):%Y%m%d-%H%M%S}-{os.getpid()}.log"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as log:
            log.write(told)
        where = f"the traceback is in {file}"
    except OSError as problem:
        where = f"no log could be written to {file.parent} ({problem.strerror})"
    name = f"{type(error).__name__}: {str(error)[:200]}" if str(error) else type(error).__name__
    return _report(DlbcError(f"unexpected {name}; {where}; please report it"), settings.json)
