"""One Ethereum JSON-RPC endpoint over HTTP. Answers come from a stranger: they are bounded and type-checked here."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from web3 import HTTPProvider
from web3.types import RPCEndpoint

from dlbc.core.errors import ChainUnreachable, Usage, VerificationFailed

MAX_RESPONSE_BYTES = 64 * 2**20
BODY_TIMEOUTS = 3
ATTEMPTS = 4
BATCH = 25
"""Requests in one HTTP body, which a node may work on side by side. All of them have the time of one request."""
FIRST_PAUSE = 0.2
BUSY_STATUS = frozenset({429, 502, 503, 504})
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class RpcError(Exception):
    """The node answered with a JSON-RPC error object. Never leaves the chain adapter."""

    def __init__(self, message: str, code: int = 0, data: object = None) -> None:
        """`data` is whatever the node put there; for reverts a hex string."""
        super().__init__(message)
        self.message = message
        self.code = code
        self.data = data

    @property
    def is_revert(self) -> bool:
        """The contract refused, not the node."""
        return self.code == 3 or bool(self.revert_data) or "revert" in self.message.lower()

    @property
    def is_nonce_taken(self) -> bool:
        """Another transaction has this nonce, mined or waiting."""
        message = self.message.lower()
        return "nonce too low" in message or "nonce is too low" in message or "underpriced" in message

    @property
    def revert_data(self) -> bytes:
        """Wherever the node put it; empty if nowhere."""
        found = self.data.get("data") if isinstance(self.data, Mapping) else self.data
        if isinstance(found, str) and "0x" in found:
            try:
                return bytes.fromhex(found[found.index("0x") + 2 :])
            except ValueError:
                pass
        return b""


class NoAnswerInTime(ChainUnreachable):
    """The node was reached, and did not answer within the time for one request."""


class Rpc:
    """Requests with a timeout, retries for a connection that fails, and a bound on the answer's size."""

    def __init__(self, url: str, timeout: float = 20.0, sleep: Callable[[float], None] = time.sleep) -> None:
        """Raises Usage unless `url` is http or https. Sends nothing yet."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise Usage(f"rpc_url: expected something like http://127.0.0.1:8545, found {url[:80]!r}") from error
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise Usage(f"rpc_url: expected something like http://127.0.0.1:8545, found {url[:80]!r}")
        host = f"{parts.hostname}:{port}" if port else parts.hostname
        self.name = f"{parts.scheme}://{host}" + ("/…" if parts.path.strip("/") or parts.query else "")
        """The URL without what may be a secret: user, path and query."""
        self._sleep = sleep
        self._timeout = timeout
        self._serves_batches = True
        session = _BoundedSession(timeout)
        session.trust_env = parts.hostname not in LOOPBACK  # no proxy between us and our own machine
        self._provider = HTTPProvider(
            url, request_kwargs={"timeout": timeout}, session=session, exception_retry_configuration=None
        )

    def request(self, method: str, params: Sequence[object], *, once_in_time: bool = False) -> Any:
        """The `result` member, or RpcError. `once_in_time`: what takes too long is not asked for again.

        Raises ChainUnreachable when nobody answers in JSON-RPC, NoAnswerInTime when that is for want of time.
        """
        answer = self._ask(method, lambda: self._provider.make_request(RPCEndpoint(method), params), once_in_time)
        return self._result(method, answer)

    def batch(self, method: str, calls: Sequence[Sequence[object]]) -> list[Any]:
        """The results of one method for several parameters, BATCH of them a request; as `request` raises.

        A node that serves no batches is asked one by one.
        """
        results: list[Any] = []
        for start in range(0, len(calls), BATCH):
            results += self._batch(method, calls[start : start + BATCH])
        return results

    def _batch(self, method: str, calls: Sequence[Sequence[object]]) -> list[Any]:
        if self._serves_batches and len(calls) > 1:
            asked = [(RPCEndpoint(method), params) for params in calls]
            answers = self._ask(method, lambda: self._send_batch(method, asked))
            if isinstance(answers, list):
                if len(answers) != len(calls):
                    raise self.malformed(method, "one answer for each request of a batch")
                return [self._result(method, answer) for answer in answers]
            self._serves_batches = False
        return [self.request(method, params) for params in calls]

    def _send_batch(self, method: str, asked: list[tuple[RPCEndpoint, Any]]) -> Any:
        """A list of answers in the order of the requests, or one that says no to all."""
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)  # web3 would take answers without ids as they come
            try:
                return self._provider.make_batch_request(asked)
            except (AttributeError, KeyError, TypeError, RuntimeWarning) as error:
                raise self.malformed(method, "an answer with its id for each request of a batch") from error

    def _ask(self, method: str, send: Callable[[], Any], once_in_time: bool = False) -> Any:
        """What the node answers, tried again while the connection fails."""
        for attempt in range(ATTEMPTS):
            if attempt:
                self._sleep(FIRST_PAUSE * 2 ** (attempt - 1))
            try:
                return self._once(method, send)
            except (requests.ConnectionError, requests.Timeout, _Busy) as error:
                reason: Exception = error
                if once_in_time and isinstance(error, requests.ReadTimeout):
                    break
        unanswered = NoAnswerInTime if isinstance(reason, requests.ReadTimeout) else ChainUnreachable
        raise unanswered(
            f"the chain's RPC endpoint {self.name} does not answer ({_brief(reason)}); "
            "start it (`dlbc devnet up`) or set DLBC_RPC_URL to one that runs"
        ) from reason

    def _once(self, method: str, send: Callable[[], Any]) -> Any:
        try:
            return send()
        except requests.HTTPError as error:
            status = error.response.status_code if error.response is not None else 0
            if status in BUSY_STATUS:
                raise _Busy(f"HTTP status {status}") from error
            try:
                answer = (
                    json.loads(error.response.content) if error.response is not None else None
                )  # some nodes send their JSON-RPC error with a 4xx
            except ValueError:
                answer = None
            if not isinstance(answer, dict) or "error" not in answer:
                raise ChainUnreachable(
                    f"{self.name} refused {method} with HTTP status {status}; check the RPC URL and its access key"
                ) from error
            return answer
        except (requests.ConnectionError, requests.Timeout):
            raise
        except _TooLong as error:
            raise RpcError(str(error)) from error
        except requests.RequestException as error:
            raise ChainUnreachable(f"{self.name}: {_brief(error)}; check the RPC URL") from error
        except (ValueError, TypeError, RecursionError) as error:
            raise ChainUnreachable(
                f"{self.name} answered {method} with something that is not JSON; is it an Ethereum RPC endpoint?"
            ) from error

    def _result(self, method: str, answer: object) -> Any:
        """The `result` member of one answer, or RpcError."""
        if not isinstance(answer, Mapping):
            raise self.malformed(method, "a JSON-RPC object")
        error_object = answer.get("error")
        if error_object is not None:
            if not isinstance(error_object, Mapping):
                raise self.malformed(method, "a JSON-RPC error object")
            code = error_object.get("code")
            message = "".join(
                char if char.isprintable() else "?" for char in str(error_object.get("message", ""))[:500]
            )
            raise RpcError(message, code if isinstance(code, int) else 0, error_object.get("data"))
        if "result" not in answer:
            raise self.malformed(method, "a result")
        return answer["result"]

    def malformed(self, method: str, expected: str) -> VerificationFailed:
        """The error for an answer of the wrong type."""
        return VerificationFailed(f"{self.name} answered {method} without {expected}; use another RPC endpoint")

    def quantity(self, method: str, params: Sequence[object]) -> int:
        """A request whose result is a number."""
        return self.as_quantity(method, self.request(method, params))

    def data(self, method: str, params: Sequence[object]) -> bytes:
        """A request whose result is bytes."""
        return self.as_data(method, self.request(method, params))

    def record(self, method: str, params: Sequence[object]) -> Mapping[str, Any] | None:
        """A request whose result is an object or null."""
        result = self.request(method, params)
        if result is not None and not isinstance(result, Mapping):
            raise self.malformed(method, "an object")
        return result

    def records(self, method: str, params: Sequence[object], *, once_in_time: bool = False) -> list[Mapping[str, Any]]:
        """A request whose result is a list of objects."""
        result = self.request(method, params, once_in_time=once_in_time)
        if not isinstance(result, list) or not all(isinstance(item, Mapping) for item in result):
            raise self.malformed(method, "a list of objects")
        return result

    def as_quantity(self, method: str, value: object) -> int:
        """A hex number of at most 256 bits. Raises VerificationFailed."""
        if isinstance(value, str) and value.startswith("0x") and len(value) <= 66:
            try:
                return int(value, 16)
            except ValueError:
                pass
        raise self.malformed(method, "a hexadecimal number")

    def as_data(self, method: str, value: object) -> bytes:
        """Hex bytes. Raises VerificationFailed."""
        if isinstance(value, str) and value.startswith("0x"):
            try:
                return bytes.fromhex(value[2:])
            except ValueError:
                pass
        raise self.malformed(method, "hexadecimal bytes")


class _Busy(Exception):
    """The node or a proxy before it asks to come back later."""


class _TooLong(requests.RequestException):
    """The answer is over MAX_RESPONSE_BYTES."""


class _BoundedSession(requests.Session):
    """Reads at most MAX_RESPONSE_BYTES of a body, for a few timeouts in all: requests' own is for each packet."""

    def __init__(self, timeout: float) -> None:
        super().__init__()
        self._longest = BODY_TIMEOUTS * timeout

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        start = time.monotonic()
        response = super().send(request, **(kwargs | {"stream": True}))
        body = bytearray()
        try:
            while chunk := response.raw.read1(2**16, decode_content=True):
                body += chunk
                if len(body) > MAX_RESPONSE_BYTES:
                    raise _TooLong(f"the answer is longer than {MAX_RESPONSE_BYTES} bytes")
                if time.monotonic() - start > self._longest:
                    raise requests.ReadTimeout(f"the answer takes longer than {self._longest:.0f} s")
        except urllib3.exceptions.ReadTimeoutError as error:
            raise requests.ReadTimeout(str(error)) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            if isinstance(error, requests.RequestException):
                raise
            raise requests.ConnectionError(str(error)) from error
        finally:
            response.close()
        response._content = bytes(body)
        return response


def _brief(error: Exception) -> str:
    """What a user can use of a connection error."""
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "connection refused or lost"
    return " ".join(str(error).split())[:200]
