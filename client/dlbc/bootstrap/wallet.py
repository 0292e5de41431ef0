"""Whose key signs: keystores, the system's keyring, an external signer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dlbc import bootstrap
from dlbc.config import Config
from dlbc.core.errors import Usage
from dlbc.core.types import Address
from dlbc.ports import Keys

if TYPE_CHECKING:
    from dlbc.adapters.keys import AskPassword
    from dlbc.adapters.signer import SignerKeys

NO_ACCOUNT = "no account was named: pass --account NAME (see `dlbc wallet list`), or set account in dlbc.toml"


def keys(config: Config, ask: AskPassword | None = None) -> Keys:
    """The decrypted account of the configuration. Raises Usage, NotFound, Refused, BadInput."""
    if config.signer_url is not None:
        signer = _signer(config)
        signer.check()
        return signer
    from dlbc.adapters.keys import keystore_path, open_keystore

    if config.account is None:
        raise Usage(NO_ACCOUNT)
    stored = None
    if config.keyring:
        from dlbc.adapters.keyring_store import stored_password

        stored = stored_password
    return open_keystore(keystore_path(config.account, config.home), config.password_file, ask, stored)


def _signer(config: Config) -> SignerKeys:
    """Not checked yet."""
    from dlbc.adapters.signer import SignerKeys

    assert config.signer_url is not None, "only asked for with a signer"
    return SignerKeys(config.signer_url, config.account)


def keep_password(config: Config, ask: AskPassword | None) -> str:
    """Puts the configured keystore's password into the system's keyring, once it opens it; the account's name there."""
    from dlbc.adapters.keyring_store import store_password
    from dlbc.adapters.keys import keystore_password, keystore_path, password_name

    if config.account is None:
        raise Usage(NO_ACCOUNT)
    file = keystore_path(config.account, config.home)
    name = password_name(file)
    store_password(name, keystore_password(file, config.password_file, ask))
    return name


def forget_password(config: Config) -> bool:
    """Takes the configured keystore's password out of the system's keyring; False if it was not there."""
    from dlbc.adapters import keyring_store
    from dlbc.adapters.keys import keystore_path, password_name

    if config.account is None:
        raise Usage(NO_ACCOUNT)
    return keyring_store.forget_password(password_name(keystore_path(config.account, config.home)))


def accounts(config: Config) -> list[tuple[str, Address]]:
    """(name, address) of every keystore in the home folder, and of the signer's accounts."""
    from dlbc.adapters.keys import list_keystores

    found = list_keystores(config.home)
    if config.signer_url is not None:
        found += [("(signer)", address) for address in _signer(config).accounts()]
    return found


def create_account(
    config: Config, name: str, private_key: bytes | None, ask: AskPassword | None
) -> tuple[Path, Address]:
    """Writes a keystore under the configured password file's password, else one that is asked for."""
    from dlbc.adapters.keys import create_keystore, new_password

    return create_keystore(name, config.home, new_password(name, config.password_file, ask), private_key)


def private_key(text: str) -> bytes:
    """From hex digits. Raises BadInput without repeating them."""
    from dlbc.adapters.keys import parse_private_key

    return parse_private_key(text)


def private_key_of(file: Path, config: Config, ask: AskPassword | None) -> bytes:
    """From a file of hex digits, or a keystore."""
    from dlbc.adapters.keys import read_private_key

    return read_private_key(file, config.password_file, ask)


def account_address(config: Config, ask: AskPassword | None = None) -> Address:
    """The configured account's address; the key is decrypted only if the file does not name it."""
    from dlbc.adapters.keys import keystore_address, keystore_path
    from dlbc.core.errors import BadInput

    if config.signer_url is not None:
        return _signer(config).address
    if config.account is None:
        raise Usage(NO_ACCOUNT)
    try:
        return keystore_address(keystore_path(config.account, config.home))
    except BadInput:
        return bootstrap.keys(config, ask).address
