"""How a password is asked for: only where somebody can answer."""

from __future__ import annotations

import sys
from collections.abc import Callable


def ask_on_terminal() -> Callable[[str], str] | None:
    """A prompt on the terminal; None when there is none, so that nothing waits for an answer that can't come."""
    import click

    if not sys.stdin.isatty():
        return None
    return lambda prompt: str(click.prompt(prompt, hide_input=True, err=True))


def ask_new_password() -> Callable[[str], str] | None:
    """The same, asking twice."""
    import click

    if not sys.stdin.isatty():
        return None
    return lambda prompt: str(click.prompt(prompt, hide_input=True, confirmation_prompt=True, err=True))
