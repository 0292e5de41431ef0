"""What every daemon has: an end that a service manager can ask for, and metrics on loopback if they are wanted."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import click

from dlbc.cli.options import Settings
from dlbc.core.errors import Refused, WrongChain

if TYPE_CHECKING:
    from dlbc.roles.watch import Watch


def metrics_option(function: Callable[..., object]) -> Callable[..., object]:
    """The option --metrics-port; `Settings.config()` knows it."""
    return click.option(
        "--metrics-port",
        type=click.IntRange(0, 65_535),
        metavar="PORT",
        expose_value=False,
        callback=_remember,
        help="Serve /metrics (Prometheus) and /healthz on 127.0.0.1:PORT.",
    )(function)


def _remember(context: click.Context, parameter: click.Parameter, value: int | None) -> None:
    del parameter
    if value is not None:
        context.ensure_object(Settings).flags["metrics_port"] = str(value)


@contextmanager
def daemon(settings: Settings, role: str) -> Iterator[Watch]:
    """Watches one role: report through `watch.report`, tick through `watch.tick(...)`.

    SIGTERM ends the body at once, as SystemExit(0), wherever it is: every step can be repeated after a crash at any
    line, so what the body has to do on its way out is to end its children and to close its journal.

    An endpoint on another chain is no wrong setting here (exit code 1, not 2): it may be on the right one again when
    a service manager starts the daemon again.
    """
    from dlbc import bootstrap

    with ExitStack() as stack:
        watch = stack.enter_context(bootstrap.watch(settings.config(), role))
        before = signal.signal(signal.SIGTERM, _end)
        stack.callback(signal.signal, signal.SIGTERM, before)
        try:
            yield watch
        except (SystemExit, KeyboardInterrupt) as error:
            watch.report("stopped", why="SIGTERM" if isinstance(error, SystemExit) else "interrupted")
            raise
        except WrongChain as error:
            raise Refused(str(error)) from error


def _end(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # a second one must not cut the way out short
    raise SystemExit(0)
