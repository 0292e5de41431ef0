"""Which processes and sockets there are, as Linux tells it."""

from __future__ import annotations

from pathlib import Path


def listening(pids: set[int]) -> list[str]:
    """Local addresses (hex, as in /proc/net) of every socket these processes listen on or, for UDP, own."""
    inodes = set()
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = str(descriptor.readlink())
            except OSError:
                continue
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    found = []
    for table, states in (("tcp", {"0A"}), ("tcp6", {"0A"}), ("udp", None), ("udp6", None)):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes and (states is None or fields[3] in states):
                found.append(f"{table} {fields[1]}")
    return found


def family(pid: int) -> set[int]:
    """A process and its children."""
    files = Path(f"/proc/{pid}/task").glob("*/children")
    return {pid, *(int(child) for file in files for child in file.read_text().split())}
