"""Keystores: written once and privately, opened with the right password, and silent about what is in them."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from dlbc.adapters import keys
from dlbc.core.errors import BadInput, DlbcError, NotFound, Refused, Usage

pytestmark = pytest.mark.unit

KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
ADDRESS = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
PASSWORD = "correct horse"
TYPED = {
    "types": {
        "EIP712Domain": [{"name": "name", "type": "string"}, {"name": "chainId", "type": "uint256"}],
        "Message": [{"name": "number", "type": "uint256"}, {"name": "hash", "type": "bytes32"}],
    },
    "primaryType": "Message",
    "domain": {"name": "DLBC", "chainId": 31337},
    "message": {"number": 1, "hash": b"\x11" * 32},
}


@pytest.fixture
def keystore(tmp_path: Path) -> Path:
    return keys.create_keystore("me", tmp_path, PASSWORD, KEY, quick=True)[0]


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n")
    return file


def test_create_keystore__a_key__is_private_and_opens_again(
    keystore: Path, password_file: Path, tmp_path: Path
) -> None:
    """Mode 600 in a folder of mode 700, nothing else left there, the right address inside."""
    assert keystore == tmp_path / "keys/me.json"
    assert stat.S_IMODE(keystore.stat().st_mode) == 0o600
    assert stat.S_IMODE(keystore.parent.stat().st_mode) == 0o700
    assert list(keystore.parent.iterdir()) == [keystore]
    assert keys.list_keystores(tmp_path) == [("me", ADDRESS)]
    assert keys.open_keystore(keystore, password_file).address == ADDRESS


def test_create_keystore__not_quick__uses_scrypt_with_its_full_cost(tmp_path: Path) -> None:
    """Real accounts get a slow key derivation, and each its own key."""
    file, address = keys.create_keystore("real", tmp_path, PASSWORD)

    crypto = json.loads(file.read_text())["crypto"]
    assert crypto["kdf"] == "scrypt"
    assert crypto["kdfparams"]["n"] >= 2**18
    assert address != ADDRESS


def test_create_keystore__the_name_is_taken__nothing_is_written(keystore: Path, tmp_path: Path) -> None:
    """A keystore is never overwritten: it may be the only copy of a key."""
    before = keystore.read_bytes()

    with pytest.raises(Refused, match="exists already; nothing was written"):
        keys.create_keystore("me", tmp_path, PASSWORD, quick=True)
    with pytest.raises(Refused, match="exists already; nothing was written"):
        keys.write_new(keystore, "other")

    assert keystore.read_bytes() == before
    assert list(keystore.parent.iterdir()) == [keystore]


@pytest.mark.parametrize("name", ["", "../escape", "a/b", ".hidden", "x" * 65, "a b", "me.json", "a\n"])
def test_create_keystore__a_name_that_is_no_name__is_refused(tmp_path: Path, name: str) -> None:
    """A name can't leave the folder."""
    with pytest.raises(BadInput, match="expected a name"):
        keys.create_keystore(name, tmp_path, PASSWORD, quick=True)
    assert list(tmp_path.iterdir()) == []


def test_create_keystore__no_password__is_refused(tmp_path: Path) -> None:
    """An empty password protects nothing."""
    with pytest.raises(BadInput, match="expected a password"):
        keys.create_keystore("me", tmp_path, "", quick=True)


@pytest.mark.parametrize("key", [bytes(32), b"\xff" * 32, b"\x01" * 31])
def test_create_keystore__a_key_outside_the_curve__is_refused(tmp_path: Path, key: bytes) -> None:
    """Zero and numbers above the order are no keys."""
    with pytest.raises(BadInput, match="expected a private key"):
        keys.create_keystore("me", tmp_path, PASSWORD, key, quick=True)


def test_open_keystore__wrong_password__one_sentence(keystore: Path, tmp_path: Path) -> None:
    """It names the file the password came from, not the password."""
    wrong = tmp_path / "wrong"
    wrong.write_text("not it")

    with pytest.raises(Refused, match=f"the password in {wrong} does not open {keystore}"):
        keys.open_keystore(keystore, wrong)
    with pytest.raises(Refused, match=f"this password does not open {keystore}"):
        keys.open_keystore(keystore, None, lambda _: "nor this")


def test_open_keystore__another_accounts_password_file__asks(keystore: Path, tmp_path: Path) -> None:
    """One home may hold accounts with different passwords."""
    wrong = tmp_path / "wrong"
    wrong.write_text("not it")
    prompts: list[str] = []

    def ask(prompt: str) -> str:
        prompts.append(prompt)
        return PASSWORD

    assert keys.open_keystore(keystore, wrong, ask).address == ADDRESS
    assert prompts == ["Password of me"]


def test_open_keystore__no_password_anywhere__says_where_one_may_come_from(keystore: Path, tmp_path: Path) -> None:
    """A daemon without a terminal must not wait for an answer."""
    with pytest.raises(Usage, match="set DLBC_PASSWORD_FILE"):
        keys.open_keystore(keystore, None)
    with pytest.raises(Usage, match="missing does not exist; write the password into it"):
        keys.open_keystore(keystore, tmp_path / "missing")


def damaged(change: Callable[[dict[str, object]], object]) -> Callable[[str], str]:
    def apply(text: str) -> str:
        content = json.loads(text)
        change(content)
        return json.dumps(content)

    return apply


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: "not json",
        lambda _: "[]",
        lambda _: "x" * 70_000,
        damaged(lambda content: content.pop("crypto")),
        damaged(lambda content: content.update(version=9)),
        damaged(lambda content: content.update(crypto=5)),
        damaged(lambda content: content["crypto"].pop("ciphertext")),  # type: ignore[attr-defined]
        damaged(lambda content: content["crypto"].update(kdf="unknown")),  # type: ignore[index]
        damaged(lambda content: content["crypto"].update(mac="zz")),  # type: ignore[index]
    ],
)
def test_open_keystore__a_damaged_file__one_sentence(
    keystore: Path, password_file: Path, damage: Callable[[str], str]
) -> None:
    """Whatever is in the file, the error is ours and names it."""
    keystore.write_text(damage(keystore.read_text()))

    with pytest.raises(DlbcError, match=r"me\.json") as caught:
        keys.open_keystore(keystore, password_file)
    assert isinstance(caught.value, (BadInput, Refused))


@pytest.mark.parametrize("address", [None, 5, "0x12", "zz" * 20])
def test_keystore_address__none_named__is_bad_input(keystore: Path, address: object) -> None:
    """Some wallets leave the address out; then only decrypting tells it."""
    content = json.loads(keystore.read_text())
    content["address"] = address
    keystore.write_text(json.dumps(content))

    with pytest.raises(BadInput, match="names no address"):
        keys.keystore_address(keystore)


def test_keystore_path__by_name_or_path__or_the_names_that_exist(keystore: Path, tmp_path: Path) -> None:
    """A typo shows what could have been meant."""
    assert keys.keystore_path("me", tmp_path) == keystore
    assert keys.keystore_path(str(keystore), tmp_path / "elsewhere") == keystore
    with pytest.raises(NotFound, match=r"no account 'you' .*\(there: me\)"):
        keys.keystore_path("you", tmp_path)
    with pytest.raises(NotFound, match="does not exist"):
        keys.keystore_path("./nowhere.json", tmp_path)


def test_sign_typed__a_message__is_recoverable_low_s_and_repeatable(keystore: Path, password_file: Path) -> None:
    """65 bytes whose signer is the account; signing twice gives the same, as P-32 needs."""
    from eth_account import Account
    from eth_account.messages import encode_typed_data

    account = keys.open_keystore(keystore, password_file)
    for number in range(20):
        typed = TYPED | {"message": {"number": number, "hash": b"\x11" * 32}}
        signature = account.sign_typed(typed)

        assert len(signature) == 65
        assert signature[64] in (27, 28)
        assert int.from_bytes(signature[32:64], "big") <= keys.HALF_ORDER
        assert signature == account.sign_typed(typed)
        assert Account.recover_message(encode_typed_data(full_message=typed), signature=signature) == ADDRESS


def test_sign__something_incomplete__is_bad_input(keystore: Path, password_file: Path) -> None:
    """A caller's mistake is one sentence, not a library's traceback."""
    account = keys.open_keystore(keystore, password_file)

    with pytest.raises(BadInput, match="EIP-712"):
        account.sign_typed({"types": {}})
    with pytest.raises(BadInput, match="transaction"):
        account.sign_transaction({"nonce": 1})


def test_sign_transaction__complete__is_the_accounts(keystore: Path, password_file: Path) -> None:
    """Raw bytes that a node takes as this account's."""
    from eth_account import Account

    transaction = {
        "nonce": 0,
        "to": ADDRESS,
        "value": 1,
        "gas": 21_000,
        "chainId": 31337,
        "maxFeePerGas": 2,
        "maxPriorityFeePerGas": 1,
    }
    raw = keys.open_keystore(keystore, password_file).sign_transaction(transaction)

    assert Account.recover_transaction(raw) == ADDRESS


def test_repr__of_an_open_account__shows_the_address_only(keystore: Path, password_file: Path) -> None:
    """Keys never reach a repr."""
    account = keys.open_keystore(keystore, password_file)

    assert repr(account) == f"KeystoreKeys({ADDRESS})"


def test_read_private_key__hex_or_keystore__are_the_same_key(
    keystore: Path, password_file: Path, tmp_path: Path
) -> None:
    """`wallet import --file` takes both."""
    plain = tmp_path / "plain"
    plain.write_text("0x" + KEY.hex() + "\n")

    assert keys.read_private_key(plain, None, None) == KEY
    assert keys.read_private_key(keystore, password_file, None) == KEY


@pytest.mark.parametrize("text", ["", "0x12", "zz" * 32, "ac" * 33])
def test_parse_private_key__not_64_digits__is_refused_without_repeating_it(text: str) -> None:
    """What was typed may be most of a key."""
    with pytest.raises(BadInput, match="expected a private key of 64 hex digits") as caught:
        keys.parse_private_key(text)
    assert text == "" or text not in str(caught.value)


def test_derive_key__the_well_known_mnemonic__anvils_accounts() -> None:
    """Accounts 0 and 1 of "test test … junk"."""
    from dlbc.adapters.devnet.anvil import MNEMONIC
    from eth_account import Account

    assert keys.derive_key(MNEMONIC, 0) == KEY
    assert Account.from_key(keys.derive_key(MNEMONIC, 1)).address == "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
