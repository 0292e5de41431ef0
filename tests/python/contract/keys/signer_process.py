"""A signer as Clef and web3signer are to a client: a process with a key and a JSON-RPC endpoint. It really signs.

It reads private keys in hex from stdin, one a line, and prints its port. /DIALECT/MOOD/COUNT of its URL speaks like one
signer, behaves as the mood says and holds the first COUNT keys.
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_keys.datatypes import Signature
from eth_utils.crypto import keccak

METHODS = {
    "clef": ("account_list", "account_signTypedData", "account_signTransaction"),
    "web3signer": ("eth_accounts", "eth_signTypedData", "eth_signTransaction"),
    "geth": ("eth_accounts", "eth_signTypedData_v4", "eth_signTransaction"),
}
ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
CHANGES = {"greedy": ("value", 5), "dear": ("maxFeePerGas", 10**15), "elsewhere": ("chainId", 1)}


class Failure(Exception):
    """The answer is this error object."""


def sign_digest_randomly(key: bytes, digest: bytes) -> bytes:
    """A valid signature, another one each time."""
    private = ec.derive_private_key(int.from_bytes(key, "big"), ec.SECP256K1())
    r, s = decode_dss_signature(private.sign(digest, ec.ECDSA(Prehashed(SHA256()))))
    s = min(s, ORDER - s)
    address = Account.from_key(key).address
    for v in (0, 1):
        signature = Signature(vrs=(v, r, s))
        if signature.recover_public_key_from_msg_hash(digest).to_checksum_address() == address:
            return bytes(signature)[:64] + bytes([27 + v])
    raise AssertionError("no v fits")


class Signer:
    """What it answers."""

    def __init__(self, dialect: str, mood: str, keys: list[str]) -> None:
        self.accounts, self.typed, self.transaction = METHODS[dialect]
        self.dialect, self.mood = dialect, mood
        self.keys = {Account.from_key(key).address.lower(): bytes.fromhex(key.removeprefix("0x")) for key in keys}
        self.stranger = keccak(b"stranger")

    def answer(self, method: str, params: list[Any]) -> Any:
        if method == self.accounts:
            return list(self.keys)
        if method == self.typed:
            return self.sign_typed(*params)
        if method == self.transaction:
            raw = self.sign_transaction(dict(params[0]))
            return {"raw": raw, "tx": {}} if self.dialect == "clef" else raw
        if method == "eth_chainId" and self.dialect == "web3signer":
            return hex(1 if self.mood == "elsewhere" else 31337)
        raise Failure({"code": -32601, "message": f"the method {method} does not exist/is not available"})

    def key_of(self, address: str) -> bytes:
        if self.mood == "refusing":
            raise Failure({"code": -32000, "message": "request denied"})
        return self.stranger if self.mood == "stranger" else self.keys[address.lower()]

    def sign_typed(self, address: str, typed: dict[str, Any]) -> str:
        message, key = encode_typed_data(full_message=typed), self.key_of(address)
        if self.mood == "random":
            return (
                "0x"
                + sign_digest_randomly(key, keccak(b"\x19" + message.version + message.header + message.body)).hex()
            )
        signed = Account.sign_message(message, key)
        r, s, v = signed.r, signed.s, signed.v
        if self.mood == "high-s":
            s, v = ORDER - s, 55 - v
        if self.dialect == "clef":
            v -= 27
        return "0x" + r.to_bytes(32, "big").hex() + s.to_bytes(32, "big").hex() + bytes([v]).hex()

    def sign_transaction(self, transaction: dict[str, Any]) -> str:
        key = self.key_of(transaction.pop("from"))
        fields = {"type": 2} | {
            name: int(value, 16) if name not in ("to", "data") else value for name, value in transaction.items()
        }
        if self.mood in CHANGES:
            name, value = CHANGES[self.mood]
            fields[name] = value
        if "to" in fields:
            fields["to"] = Account.from_key(self.stranger).address if self.mood == "thief" else fields["to"]
        return "0x" + bytes(Account.sign_transaction(fields, key).raw_transaction).hex()


def main() -> None:
    keys = sys.stdin.read().split()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_POST(self) -> None:
            _, dialect, mood, count = self.path.split("/")
            signer = Signer(dialect, mood, keys[: int(count)])
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                answer: dict[str, Any] = {"id": 1, "result": signer.answer(request["method"], request["params"])}
            except Failure as failure:
                answer = {"id": 1, "error": failure.args[0]}
            body = b"<html>" if mood == "garbage" else json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
