"""Passwords of keystores in the system's keyring (the optional package `keyring`)."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import shorten
from typing import Any, TypeVar

from dlbc.core.errors import Refused, Usage

SERVICE = "dlbc"

Answer = TypeVar("Answer")


def stored_password(account: str) -> str | None:
    """The password kept for an account; None if there is none. Raises Usage, Refused."""
    password = _ask(lambda keyring: keyring.get_password(SERVICE, account))
    return None if password is None else str(password)


def store_password(account: str, password: str) -> None:
    """Keeps a password, over an older one, and reads it back. Raises Usage, Refused."""
    _ask(lambda keyring: keyring.set_password(SERVICE, account, password))
    if stored_password(account) != password:
        raise Refused("the system's keyring took the password but does not give it back; use DLBC_PASSWORD_FILE")


def forget_password(account: str) -> bool:
    """Deletes a password; False if there was none. Raises Usage, Refused."""
    if stored_password(account) is None:
        return False
    _ask(lambda keyring: keyring.delete_password(SERVICE, account))
    return True


def _ask(question: Callable[[Any], Answer]) -> Answer:
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError as error:
        raise Usage("the system's keyring needs one more package: pip install 'dlbc[keyring]'") from error
    try:
        return question(keyring)
    except KeyringError as error:
        why = shorten(str(error), 160, placeholder=" …") or type(error).__name__
        raise Refused(f"the system's keyring can't be used ({why}); unlock it, or set DLBC_PASSWORD_FILE") from error
