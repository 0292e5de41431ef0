"""An account whose key is held by another program: Clef, web3signer, or any that speaks their JSON-RPC.

What it signs is checked here before it is used: the key behind a signature, and every field of a transaction. Its
signatures must repeat, because a miner's secrets are derived from them (P-32).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import requests

from dlbc.adapters.keys import HALF_ORDER
from dlbc.adapters.signatures import recover_signer
from dlbc.config import checksum_address, shown_url
from dlbc.core.errors import BadInput, NotFound, Refused, TryLater, Usage, VerificationFailed
from dlbc.core.hashing import is_address, keccak
from dlbc.core.types import Address, Hash32

APPROVAL_SECONDS = 120.0
"""Somebody may have to press a key."""
MAX_ANSWER_BYTES = 2**20
_ORDER = 2 * HALF_ORDER + 1
_SAFE_INT = 2**53
"""Above it, programs that read JSON numbers as floats lose digits."""
_ACCOUNTS = ("eth_accounts", "account_list")
_SIGN_TYPED = ("eth_signTypedData_v4", "eth_signTypedData", "account_signTypedData")
_SIGN_TRANSACTION = ("eth_signTransaction", "account_signTransaction")
_CHAIN_ID = ("eth_chainId",)
_UNKNOWN_METHOD = -32601
_QUANTITIES = ("chainId", "nonce", "value", "gas", "maxFeePerGas", "maxPriorityFeePerGas")
_CHECK = {
    "types": {
        "EIP712Domain": [{"name": "name", "type": "string"}],
        "SignerCheck": [{"name": "purpose", "type": "string"}],
    },
    "primaryType": "SignerCheck",
    "domain": {"name": "DLBC signer check"},
    "message": {"purpose": "Shows that this signer gives the same signature twice. It is worth nothing elsewhere."},
}


class SignerKeys:
    """ports.Keys on a signer at a URL. `check()` first."""

    def __init__(self, url: str, account: str | None) -> None:
        """`account`: an address, or None for the only one that the signer has. Raises Usage for another name."""
        if account is not None and not is_address(account):
            raise Usage(
                f"with signer_url, the account is an address (0x and 40 hex digits), found {account[:60]!r}; leave it "
                "out if the signer has only one"
            )
        self._rpc = _SignerRpc(url)
        self._account = None if account is None else checksum_address(account)

    def __repr__(self) -> str:
        return f"SignerKeys({self._account or '?'} at {self._rpc.name})"

    @property
    def address(self) -> Address:
        """The account. Raises NotFound, Usage, TryLater."""
        if self._account is None:
            known = self.accounts()
            if len(known) != 1:
                raise Usage(
                    f"the signer at {self._rpc.name} has {len(known)} accounts; name one of them by its address with "
                    "--account or DLBC_ACCOUNT"
                )
            self._account = known[0]
        return self._account

    def accounts(self) -> list[Address]:
        """What the signer offers."""
        found = self._rpc.first_of(_ACCOUNTS, [])
        if not isinstance(found, list) or not all(isinstance(item, str) and is_address(item) for item in found):
            raise self._rpc.malformed("a list of addresses")
        return [checksum_address(item) for item in found]

    def chain_id(self) -> int | None:
        """The chain that it says it signs for; None if it does not say. Raises TryLater, VerificationFailed."""
        try:
            found = self._rpc.first_of(_CHAIN_ID, [])
        except (Usage, Refused):
            return None
        if not isinstance(found, str) or not re.fullmatch(r"0x[0-9a-fA-F]{1,16}", found):
            raise self._rpc.malformed("a chain id")
        return int(found, 16)

    def check(self) -> None:
        """Refuses a signer that lacks the account, or can't be mined with.

        Raises NotFound, Refused (signatures that do not repeat), VerificationFailed (another key's), TryLater.
        """
        if self.address not in self.accounts():
            raise NotFound(f"the signer at {self._rpc.name} has no account {self.address}; import it there")
        first, second = self.sign_typed(_CHECK), self.sign_typed(_CHECK)
        if first != second:
            raise Refused(
                f"the signer at {self._rpc.name} signs the same message differently each time: secrets that are derived"
                " from such signatures can't be recovered; use one with deterministic signatures (RFC 6979)"
            )

    def sign_typed(self, typed_data: Mapping[str, Any]) -> bytes:
        """65 bytes r ‖ s ‖ v, s low, v in {27, 28}. Raises BadInput, Refused, TryLater, VerificationFailed."""
        digest = _digest(typed_data)
        answer = self._rpc.first_of(_SIGN_TYPED, [self.address, _json_safe(typed_data)])
        signature = _low_s(self._bytes(answer, "a signature"))
        signer = recover_signer(digest, signature)
        if signer != self.address:
            raise VerificationFailed(
                f"the signer at {self._rpc.name} signed for {signer}, expected was {self.address}; is it another "
                "account's, or did it sign another message?"
            )
        return signature

    def sign_transaction(self, transaction: Mapping[str, Any]) -> bytes:
        """Raw signed transaction, with exactly the fields that were asked for."""
        asked = {name: hex(value) if isinstance(value, int) else value for name, value in transaction.items()}
        asked.pop("type", None)
        answer = self._rpc.first_of(_SIGN_TRANSACTION, [{**asked, "from": self.address}])
        raw = self._bytes(answer.get("raw") if isinstance(answer, Mapping) else answer, "a signed transaction")
        self._check_transaction(raw, transaction)
        return raw

    def _check_transaction(self, raw: bytes, transaction: Mapping[str, Any]) -> None:
        from eth_account import Account
        from eth_account.typed_transactions.typed_transaction import TypedTransaction
        from hexbytes import HexBytes

        try:
            sender = Account.recover_transaction(raw)
            signed = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
        except Exception as error:  # whatever a stranger's bytes do to the libraries
            raise VerificationFailed(
                f"the signer at {self._rpc.name} answered with something that is no EIP-1559 transaction "
                f"({type(error).__name__})"
            ) from error
        if sender != self.address:
            raise VerificationFailed(f"the signer at {self._rpc.name} signed for {sender}, expected was {self.address}")
        pairs: list[tuple[str, object, object]] = [
            (name, transaction[name], signed.get(name)) for name in _QUANTITIES if name in transaction
        ]
        pairs.append(("to", _plain(transaction.get("to", "")), _plain(signed.get("to", b""))))
        pairs.append(("data", _plain(transaction["data"]), _plain(signed.get("data", b""))))
        for name, expected, found in pairs:
            if expected != found:
                raise VerificationFailed(
                    f"the signer at {self._rpc.name} changed the transaction: {name} was {str(expected)[:60]}, it "
                    f"signed {str(found)[:60]}; let it sign what it is asked to"
                )

    def _bytes(self, value: object, what: str) -> bytes:
        try:
            if isinstance(value, str) and value.startswith("0x"):
                return bytes.fromhex(value[2:])
        except ValueError:
            pass
        raise self._rpc.malformed(what)


class _SignerRpc:
    """JSON-RPC with a deadline and a bound on the answer. Which dialect the signer speaks is found by asking."""

    def __init__(self, url: str) -> None:
        self.name = shown_url(url)
        self._url = url
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy may see what is signed
        self._known: dict[Sequence[str], str] = {}

    def first_of(self, methods: Sequence[str], params: list[Any]) -> Any:
        """The result of the first of these methods that the signer has."""
        for method in [self._known[methods]] if methods in self._known else methods:
            answer = self._post(method, params)
            error = answer.get("error")
            if error is None:
                self._known[methods] = method
                return answer.get("result")
            code, message = (error.get("code"), error.get("message")) if isinstance(error, Mapping) else (0, error)
            if code != _UNKNOWN_METHOD:
                said = "".join(letter for letter in str(message)[:160] if letter.isprintable())
                raise Refused(f"the signer at {self.name} refused {method} ({said}); look at its own log")
        raise Usage(f"the signer at {self.name} has none of {', '.join(methods)}; is it Clef, web3signer or the like?")

    def malformed(self, expected: str) -> VerificationFailed:
        """The error for an answer of the wrong type; it is not shown, it may be a secret."""
        return VerificationFailed(f"the signer at {self.name} answered without {expected}; is it a signer?")

    def _post(self, method: str, params: list[Any]) -> Mapping[str, Any]:
        request: Any = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        try:
            with self._session.post(self._url, json=request, timeout=APPROVAL_SECONDS, stream=True) as response:
                body = response.raw.read(MAX_ANSWER_BYTES + 1, decode_content=True)
        except (requests.RequestException, OSError) as error:
            raise TryLater(f"the signer at {self.name} does not answer; start it or unlock it") from error
        try:
            answer = json.loads(body) if len(body) <= MAX_ANSWER_BYTES else None
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, Mapping):
            raise self.malformed("a JSON-RPC object")
        return answer


def _digest(typed_data: Mapping[str, Any]) -> Hash32:
    from eth_account.messages import encode_typed_data

    try:
        message = encode_typed_data(full_message=dict(typed_data))
        return keccak(b"\x19" + message.version + message.header + message.body)
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"expected a full EIP-712 message to sign; {type(error).__name__}: {error}") from error


def _low_s(signature: bytes) -> bytes:
    """v as 27 or 28, and the lower of the two equivalent s. Raises VerificationFailed by recover_signer later."""
    if len(signature) != 65:
        return signature
    s, v = int.from_bytes(signature[32:64], "big"), signature[64] + (27 if signature[64] < 2 else 0)
    if HALF_ORDER < s < _ORDER:
        s, v = _ORDER - s, 55 - v
    return signature[:32] + s.to_bytes(32, "big") + bytes([v & 0xFF])


def _json_safe(value: Any) -> Any:
    """Bytes as 0x-hex, large numbers as decimal strings."""
    if isinstance(value, Mapping):
        return {name: _json_safe(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_safe(item) for item in value]
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, int) and not isinstance(value, bool) and value >= _SAFE_INT:
        return str(value)
    return value


def _plain(value: object) -> str:
    return (value.hex() if isinstance(value, bytes) else str(value)).lower().removeprefix("0x")
