"""Whether the account's key is where the configuration says, and would be found without anybody there to type."""

from __future__ import annotations

import sys
from pathlib import Path

from dlbc.config import Config, checksum_address, shown_url
from dlbc.core import checkup
from dlbc.core.checkup import Finding, State, ok, problem, warning
from dlbc.core.errors import DlbcError, NotFound
from dlbc.core.types import Address

DEADLINE = 30.0
"""Seconds. A keystore's password takes about one to try; a signer may be far away."""
_KEEP = "set DLBC_PASSWORD_FILE to a file of mode 600, or keep it with `dlbc wallet keyring`"


def account_of(config: Config) -> Address | None:
    """The configured account's address, without its key; None if none is named. Raises as the signer or the file."""
    from dlbc.adapters.keys import keystore_address, keystore_path

    if config.signer_url is not None:
        from dlbc.adapters.signer import SignerKeys

        return SignerKeys(config.signer_url, config.account).address
    return None if config.account is None else keystore_address(keystore_path(config.account, config.home))


def keystore(config: Config) -> Finding:
    """The file is there, and private."""
    from dlbc.adapters.keys import keystore_address, keystore_path, list_keystores

    if config.account is None:
        count = len(list_keystores(config.home))
        todo = "name one with --account or DLBC_ACCOUNT" if count else "make one with `dlbc wallet new NAME`"
        return warning("keystore", f"no account is named; {count} in {config.home / 'keys'}", todo)
    file = keystore_path(config.account, config.home)
    return checkup.judge_secret_file("keystore", file.stat().st_mode, file, f"{keystore_address(file)} in ")


def password(config: Config) -> Finding:
    """Where the keystore's password comes from, and that it opens it. Nobody is asked for it."""
    is_stored = config.password_file is not None or config.keyring
    if is_stored and config.account is not None and not _has_keystore(config.account, config.home):
        return Finding("password", State.SKIPPED, "not checked: see keystore")
    if config.password_file is not None:
        return _password_file(config, config.password_file)
    if config.keyring:
        return _keyring(config)
    if sys.stdin.isatty():
        return ok("password", f"asked for on the terminal; for a daemon {_KEEP}")
    return warning("password", "nowhere to take it from", _KEEP)


def _password_file(config: Config, file: Path) -> Finding:
    try:
        mode = file.stat().st_mode
        file.read_text()
    except FileNotFoundError:
        return problem("password", f"{file} does not exist", "write the password into it, or correct its name")
    except (OSError, UnicodeDecodeError) as error:
        return problem("password", f"{file} can't be read", f"{error}")
    what = "" if config.account is None else "it opens the keystore: "
    return _opens(config) or checkup.judge_secret_file("password", mode, file, what)


def _keyring(config: Config) -> Finding:
    from dlbc.adapters.keyring_store import stored_password
    from dlbc.adapters.keys import keystore_path, password_name

    if config.account is None:
        return warning("password", "in the keyring, but no account is named", "name one with --account or DLBC_ACCOUNT")
    try:
        found = stored_password(password_name(keystore_path(config.account, config.home)))
    except DlbcError as error:
        return problem("password", "the system's keyring does not answer", str(error))
    if found is None:
        return problem("password", "not in the system's keyring", f"`dlbc wallet keyring {config.account}`")
    return _opens(config) or ok("password", "the one in the system's keyring opens the keystore")


def _has_keystore(account: str, home: Path) -> bool:
    from dlbc.adapters.keys import keystore_path

    try:
        keystore_path(account, home)
    except NotFound:
        return False
    return True


def _opens(config: Config) -> Finding | None:
    """What is wrong with the password; None if it opens the keystore, or no account is named."""
    from dlbc.adapters.keyring_store import stored_password
    from dlbc.adapters.keys import keystore_path, open_keystore

    if config.account is None:
        return None
    try:
        file = keystore_path(config.account, config.home)
        open_keystore(file, config.password_file, None, stored_password if config.keyring else None)
    except DlbcError as error:
        return problem("password", "it does not open the keystore", str(error))
    return None


def signer(config: Config, chain_id: int | None) -> Finding:
    """The signer answers, has the account, and signs for the chain. It is not asked to sign: a person may have to."""
    from dlbc.adapters.signer import SignerKeys

    assert config.signer_url is not None, "only asked for with a signer"
    url = shown_url(config.signer_url)
    try:
        found = SignerKeys(config.signer_url, config.account)
        accounts, told = found.accounts(), found.chain_id()
    except DlbcError as error:
        return problem("signer", f"{url} can't be used", str(error))
    return checkup.judge_signer(url, accounts, _named(config.account), told, chain_id)


def _named(account: str | None) -> Address | None:
    return None if account is None else checksum_address(account)
