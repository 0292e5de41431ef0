"""`python -m dlbc.adapters.devnet.kubo --repo DIR --port N`: the embedded IPFS node as a process.

It serves Kubo's RPC API on 127.0.0.1 until SIGTERM or SIGINT. What was added and pinned is there at the next start.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from dlbc.adapters.devnet.kubo_http import KuboServer, Limits
from dlbc.adapters.devnet.kubo_node import KuboNode, NodeError


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code; 1 and one line on stderr when the node can't run."""
    parser = argparse.ArgumentParser(prog="dlbc.adapters.devnet.kubo", description=__doc__)
    parser.add_argument("--repo", type=Path, required=True, help="folder of the Kubo repository; made if missing")
    parser.add_argument("--port", type=int, required=True, help="loopback port of the RPC API")
    parser.add_argument("--swarm-port", type=int, default=0, help="loopback TCP port for peers; 0 = any")
    parser.add_argument("--max-add-bytes", type=int, default=Limits.add_bytes, help="largest file added")
    parser.add_argument(
        "--max-fetch-bytes", type=int, default=Limits.fetch_bytes, help="largest file fetched or pinned"
    )
    given = parser.parse_args(arguments)
    repo: Path = given.repo.absolute()
    uploads = repo / "uploads"
    try:
        uploads.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in uploads.iterdir():
            left.unlink()
        node = KuboNode(repo, given.swarm_port)
    except (NodeError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    try:
        server = KuboServer(node, given.port, uploads, Limits(given.max_add_bytes, given.max_fetch_bytes))
    except OSError as error:
        node.close()
        sys.stderr.write(f"error: port {given.port} of 127.0.0.1 can't be used: {error.strerror}\n")
        return 1
    for name in (signal.SIGTERM, signal.SIGINT):
        # shutdown() waits for the loop that this handler interrupts.
        signal.signal(name, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever(poll_interval=0.2)
    server.server_close()
    node.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
