"""Accounts as encrypted keystore files (Web3 Secret Storage). A raw key never touches an argument, a log or a repr."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlbc.config import checksum_address
from dlbc.core.errors import BadInput, NotFound, Refused, Usage
from dlbc.core.types import Address

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

AskPassword = Callable[[str], str]
"""Shows a prompt, returns what was typed."""
StoredPassword = Callable[[str], str | None]
"""The password that a keyring holds for an account, by the name that `password_name` gives it."""

_ADDRESS = re.compile(r"(0x)?[0-9a-fA-F]{40}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
_MAX_KEYSTORE_BYTES = 1 << 16
KEY_FOLDER = "keys"


class KeystoreKeys:
    """ports.Keys on one decrypted keystore."""

    def __init__(self, account: LocalAccount) -> None:
        self._account = account

    def __repr__(self) -> str:
        return f"KeystoreKeys({self.address})"

    @property
    def address(self) -> Address:
        return Address(str(self._account.address))

    def sign_typed(self, typed_data: Mapping[str, Any]) -> bytes:
        """65 bytes r ‖ s ‖ v, s low, v in {27, 28}. Raises BadInput for a message that is no EIP-712 message."""
        from eth_account.messages import encode_typed_data

        try:
            signed = self._account.sign_message(encode_typed_data(full_message=dict(typed_data)))
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(f"expected a full EIP-712 message to sign; {type(error).__name__}: {error}") from error
        assert signed.s <= HALF_ORDER, "the signer made a signature with a high s"
        assert signed.v in (27, 28), "the signer made a signature with a strange v"
        return bytes(signed.signature)

    def sign_transaction(self, transaction: Mapping[str, Any]) -> bytes:
        """Raw signed transaction. Raises BadInput when a field is missing or malformed."""
        try:
            return bytes(self._account.sign_transaction(dict(transaction)).raw_transaction)
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(f"expected a complete transaction to sign; {type(error).__name__}: {error}") from error


def keystore_path(account: str, home: Path) -> Path:
    """The file of an account given by name (home/keys/NAME.json) or by path. Raises NotFound, listing the names."""
    if "/" in account or account.endswith(".json"):
        file = Path(account).expanduser()
        if not file.is_file():
            raise NotFound(f"keystore {file} does not exist")
        return file
    file = home / KEY_FOLDER / f"{account}.json"
    try:
        is_there = file.is_file()
    except OSError as error:
        raise NotFound(f"{file.parent} can't be read ({error.strerror}); run this as its owner") from error
    if not is_there:
        names = ", ".join(name for name, _ in list_keystores(home)) or "none"
        raise NotFound(
            f"no account {account!r} in {file.parent} (there: {names}); make one with `dlbc wallet new NAME`"
        )
    return file


def list_keystores(home: Path) -> list[tuple[str, Address]]:
    """(name, address) of every keystore in home/keys, by name."""
    return [(file.stem, keystore_address(file)) for file in sorted((home / KEY_FOLDER).glob("*.json"))]


def keystore_address(file: Path) -> Address:
    """The address a keystore names, without decrypting it. Raises BadInput."""
    address = _read(file).get("address")
    if not isinstance(address, str) or not _ADDRESS.fullmatch(address):
        raise BadInput(f"{file} is not a keystore: it names no address")
    return checksum_address("0x" + address.removeprefix("0x"))


def password_name(file: Path) -> str:
    """Under which name a keyring keeps a keystore's password: the account's address, wherever its file is."""
    try:
        return keystore_address(file)
    except BadInput:
        return file.stem


def open_keystore(
    file: Path, password_file: Path | None, ask: AskPassword | None = None, stored: StoredPassword | None = None
) -> KeystoreKeys:
    """Decrypts. The password comes from the file, else from the keyring; where that is another account's, from `ask`.

    Raises Usage when there is none of them, Refused for a wrong password, BadInput for a file that is no keystore.
    """
    from eth_account import Account

    return KeystoreKeys(Account.from_key(_decrypted(file, password_file, ask, stored)))


def keystore_password(file: Path, password_file: Path | None, ask: AskPassword | None) -> str:
    """The password that opens a keystore, for a keyring. Raises as open_keystore."""
    content = _read(file)
    if password_file is not None:
        password = _read_password(password_file)
    elif ask is not None:
        password = ask(f"Password of {file.stem}")
    else:
        raise Usage(f"a password is needed to open {file}: set DLBC_PASSWORD_FILE, or run this on a terminal")
    if _try(file, content, password) is None:
        raise Refused(f"this password does not open {file}")
    return password


def new_password(name: str, password_file: Path | None, ask: AskPassword | None) -> str:
    """The password for a new keystore. Raises Usage when there is nowhere to take it from."""
    if password_file is not None:
        return _read_password(password_file)
    if ask is None:
        raise Usage(f"a password is needed for {name}: set DLBC_PASSWORD_FILE, or run this on a terminal")
    return ask(f"New password for {name}")


def read_private_key(file: Path, password_file: Path | None, ask: AskPassword | None) -> bytes:
    """32 bytes from a file with 64 hex digits, or from a keystore. Raises BadInput, NotFound, Refused, Usage."""
    try:
        with file.open("rb") as stream:
            start = stream.read(200)
    except OSError as error:
        raise NotFound(f"{file} can't be read: {error.strerror}") from error
    if start.lstrip().startswith(b"{"):
        return _decrypted(file, password_file, ask)
    return parse_private_key(start.decode(errors="replace"))


def create_keystore(
    name: str, home: Path, password: str, private_key: bytes | None = None, *, quick: bool = False
) -> tuple[Path, Address]:
    """Writes home/keys/NAME.json, mode 600, and never over an existing file. Without a key a new one is made.

    scrypt with eth-account's cost; `quick` (for keys that are public anyway) uses one round of PBKDF2.
    Raises BadInput (name, key, empty password) and Refused (the name is taken).
    """
    from eth_account import Account

    if not _NAME.fullmatch(name) or name.endswith(".json"):
        raise BadInput(f"expected a name of letters, digits, dots, dashes and underscores, found {name[:80]!r}")
    if not password:
        raise BadInput("expected a password, found none; a keystore without one protects nothing")
    file = home / KEY_FOLDER / f"{name}.json"
    if file.exists():
        raise Refused(f"{file} exists already; nothing was written. Choose another name")
    try:
        account = Account.from_key(private_key if private_key is not None else secrets.token_bytes(32))
    except Exception as error:  # eth_keys' ValidationError is no ValueError
        raise BadInput("expected a private key of 32 bytes below the curve's order") from error
    if quick:
        content = Account.encrypt(account.key, password, kdf="pbkdf2", iterations=1)
    else:
        content = Account.encrypt(account.key, password, kdf="scrypt")
    write_new(file, json.dumps(content))
    return file, Address(str(account.address))


def derive_key(mnemonic: str, index: int) -> bytes:
    """The private key of account `index` of a BIP-39 mnemonic, on Ethereum's path m/44'/60'/0'/0/index."""
    from eth_account.hdaccount import key_from_seed, seed_from_mnemonic

    return bytes(key_from_seed(seed_from_mnemonic(mnemonic, ""), f"m/44'/60'/0'/0/{index}"))


def parse_private_key(text: str) -> bytes:
    """32 bytes from 64 hex digits, with or without 0x. Raises BadInput, without showing what it got."""
    digits = text.strip().removeprefix("0x")
    if not re.fullmatch(r"[0-9a-fA-F]{64}", digits):
        raise BadInput(f"expected a private key of 64 hex digits, found {len(digits)} characters")
    return bytes.fromhex(digits)


def write_new(file: Path, text: str) -> None:
    """Writes a secret file whole or not at all, mode 600; raises Refused when it exists."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = file.parent / f".{file.name}.{secrets.token_hex(8)}"
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.link(draft, file)  # unlike rename, a link never replaces
    except FileExistsError as error:
        raise Refused(f"{file} exists already; nothing was written. Choose another name") from error
    except OSError as error:
        raise Refused(f"{file} can't be written: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)


def _read(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > _MAX_KEYSTORE_BYTES:
            raise BadInput(f"{file} is not a keystore: it has more than {_MAX_KEYSTORE_BYTES} bytes")
        content = json.loads(file.read_bytes())
    except OSError as error:
        raise NotFound(f"keystore {file} can't be read: {error.strerror}") from error
    except ValueError as error:
        raise BadInput(f"{file} is not a keystore: it is not JSON") from error
    if not isinstance(content, dict):
        raise BadInput(f"{file} is not a keystore: expected a JSON object, found {type(content).__name__}")
    return content


def _decrypted(
    file: Path, password_file: Path | None, ask: AskPassword | None, stored: StoredPassword | None = None
) -> bytes:
    content = _read(file)
    wrong = ""
    if password_file is not None:
        key = _try(file, content, _read_password(password_file))
        if key is not None:
            return key
        wrong = f"the password in {password_file} does not open {file}"
    elif stored is not None and (password := stored(password_name(file))) is not None:
        key = _try(file, content, password)
        if key is not None:
            return key
        wrong = f"the password in the system's keyring does not open {file}"
    if ask is None:
        if wrong:
            raise Refused(wrong)
        raise Usage(
            f"a password is needed to open {file}: set DLBC_PASSWORD_FILE, keep it with `dlbc wallet keyring`, or run "
            "this on a terminal"
        )
    key = _try(file, content, ask(f"Password of {file.stem}"))
    if key is None:
        raise Refused(f"this password does not open {file}")
    return key


def _try(file: Path, content: dict[str, Any], password: str) -> bytes | None:
    """None for a wrong password."""
    from eth_account import Account

    try:
        return bytes(Account.decrypt(content, password))
    except ValueError as error:
        if "MAC mismatch" in str(error):
            return None
        raise BadInput(f"{file} is not a keystore this client can read ({error})") from error
    except (KeyError, TypeError, AttributeError, NotImplementedError) as error:
        raise BadInput(f"{file} is not a keystore this client can read ({type(error).__name__}: {error})") from error


def _read_password(file: Path) -> str:
    try:
        return file.read_text().rstrip("\r\n")
    except FileNotFoundError as error:
        raise Usage(f"password file {file} does not exist; write the password into it, or correct its name") from error
    except (OSError, UnicodeDecodeError) as error:
        raise Usage(f"password file {file} can't be read ({error})") from error
