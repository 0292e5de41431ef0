"""ports.Channel as a webhook: one POST of JSON, signed if there is a secret, within a deadline.

The answer's first line is all that counts: it is not followed anywhere, and its body is not read.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import socket
import ssl
import stat
import threading
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from dlbc import __version__
from dlbc.config import checked_webhook, shown_url
from dlbc.core.errors import TryLater, Usage

SEND_SECONDS = 20.0
"""From the connection to the answer's first line, whatever the other side does."""
CONNECT_SECONDS = 10.0
LEAST_SECRET_BYTES = 16
MOST_SECRET_BYTES = 4096


class Webhook:
    """Posts notices to a URL. Only scheme, host and port of it are ever shown: paths hold secrets, too."""

    name = "webhook"

    def __init__(self, url: str, secret: bytes | None = None, seconds: float = SEND_SECONDS) -> None:
        """Raises Usage for anything but an http(s) URL without a user."""
        parts = urlsplit(checked_webhook(url, "notify_url"))
        self._shown, self._secret, self._seconds = shown_url(url), secret, seconds
        self._host, self._port, self._is_tls = str(parts.hostname), parts.port, parts.scheme == "https"
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._connection: http.client.HTTPConnection | None = None

    def __repr__(self) -> str:
        return f"Webhook({self._shown}, {'signed' if self._secret else 'not signed'})"

    def send(self, notice_id: str, kind: str, body: bytes) -> None:
        """As ports.Channel says."""
        connection = self._connect()
        self._connection = connection
        is_late = threading.Event()

        def cut() -> None:
            is_late.set()
            _shut(connection)

        timer = threading.Timer(self._seconds, cut)
        timer.daemon = True
        timer.start()
        try:
            connection.connect()  # which `cut` can't wake: there is nothing yet that it could close
            if is_late.is_set():
                raise http.client.IncompleteRead(b"")
            connection.request("POST", self._path, body, self._headers(notice_id, kind, body))
            status = connection.getresponse().status
            if is_late.is_set():  # what was cut off reads like the end of an answer
                raise http.client.IncompleteRead(b"")
        except (OSError, http.client.HTTPException, ValueError) as error:
            why = f"no answer within {self._seconds:g} s" if is_late.is_set() else _told(error)
            raise TryLater(f"the webhook at {self._shown} was not reached: {why}; a daemon tries again") from error
        finally:
            timer.cancel()
            _shut(connection)
            connection.close()
            self._connection = None
        if 300 <= status < 400:
            raise TryLater(
                f"the webhook at {self._shown} answered {status}: it wants us elsewhere, and redirects are not "
                "followed; set notify_url to where it really is"
            )
        if not 200 <= status < 300:
            raise TryLater(f"the webhook at {self._shown} answered {status}; a daemon tries again")

    def close(self) -> None:
        """As ports.Channel says."""
        connection = self._connection
        if connection is not None:
            _shut(connection)

    def _connect(self) -> http.client.HTTPConnection:
        seconds = min(CONNECT_SECONDS, self._seconds)
        if self._is_tls:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(self._host, self._port, timeout=seconds, context=context)
        return http.client.HTTPConnection(self._host, self._port, timeout=seconds)

    def _headers(self, notice_id: str, kind: str, body: bytes) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"dlbc/{__version__}",
            "Connection": "close",
            "X-DLBC-Id": notice_id,
            "X-DLBC-Kind": kind,
        }
        if self._secret is not None:
            headers["X-DLBC-Signature"] = signature_of(self._secret, body)
        return headers


def signature_of(secret: bytes, body: bytes) -> str:
    """What X-DLBC-Signature says: HMAC-SHA256 of the body's exact bytes."""
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()


def read_secret(file: Path) -> bytes:
    """A webhook's secret: a private file's bytes without the line's end. Raises Usage."""
    try:
        with file.open("rb") as stream:
            mode, data = file.stat().st_mode, stream.read(MOST_SECRET_BYTES + 1)
    except OSError as error:
        raise Usage(f"notify_secret_file {file} can't be read ({error.strerror}); write the secret into it") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise Usage(f"notify_secret_file {file} may be read by others; `chmod 600` it")
    secret = data.rstrip(b"\r\n")
    if not LEAST_SECRET_BYTES <= len(secret) <= MOST_SECRET_BYTES:
        raise Usage(
            f"notify_secret_file {file}: expected a secret of {LEAST_SECRET_BYTES} to {MOST_SECRET_BYTES} bytes, found "
            f"{len(secret)}; `openssl rand -hex 32` makes one"
        )
    return secret


def _shut(connection: http.client.HTTPConnection) -> None:
    """Wakes whoever reads or writes there."""
    sock = connection.sock
    if sock is not None:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


def _told(error: Exception) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())[:160] or type(error).__name__
