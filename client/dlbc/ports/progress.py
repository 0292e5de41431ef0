"""How long work shows that it goes on."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""progress(what, done, total): called often and cheaply; total 0 = unknown."""


def silent(what: str, done: int, total: int) -> None:
    """A Progress that shows nothing."""
