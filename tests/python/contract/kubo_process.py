"""An embedded Kubo process on free ports, for tests."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

from dlbc.adapters.devnet.process import free_port, wait_until

START_SECONDS = 30.0


class KuboProcess:
    """`with KuboProcess(folder) as node:` starts it; leaving ends it by its process id."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.repo = folder / "ipfs"
        self.log = folder / "ipfs.log"
        self.port = free_port()
        self.api = f"/ip4/127.0.0.1/tcp/{self.port}/http"
        self.url = f"http://127.0.0.1:{self.port}/api/v0"
        self._flags = flags
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> KuboProcess:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Returns when it answers."""
        self.repo.parent.mkdir(parents=True, exist_ok=True)
        words = [sys.executable, "-m", "dlbc.adapters.devnet.kubo", "--repo", str(self.repo), "--port", str(self.port)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([*words, *self._flags], stdout=log, stderr=log, cwd=self.repo.parent)
        if not wait_until(self._answers, START_SECONDS):
            self.stop()
            raise AssertionError(f"the node did not start: {self.log.read_text()[-500:]}")

    def stop(self) -> int:
        """Asks it to end; its exit code."""
        if self.process is None:
            return 0
        self.process.terminate()
        try:
            return self.process.wait(20)
        finally:
            self.process.kill()
            self.process.wait()
            self.process = None

    @property
    def peer_address(self) -> str:
        """Where other nodes connect to it."""
        return str(self.post("id")["Addresses"][0])

    def post(self, call: str, **headers: str) -> Any:
        """The JSON a call answers."""
        request = urllib.request.Request(f"{self.url}/{call}", method="POST", headers=headers)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            return json.loads(answer.read())

    def _answers(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            return True  # it ended; the next call will say so
        try:
            return bool(self.post("version"))
        except (urllib.error.URLError, ConnectionError):
            return False
