"""The local chain: Anvil's own binary, and the calls that move its clock."""

from __future__ import annotations

import http.client
import json
import platform
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dlbc.core.errors import ChainUnreachable, Refused

CHAIN_ID = 31337
MNEMONIC = "test test test test test test test test test test test junk"
"""Anvil's own; its keys are known to everybody."""

FUNDED = 12
"""Accounts of the mnemonic that start with 10,000 ether."""

CACHE = "cache"
"""Folder of past states; of no use to the next run."""

_STATE_SECONDS = 5
_MAX_PAST_STATES = 200  # on disk, 0.3 MB each; without a limit 25 GB a day. Blocks and logs stay
_TIMEOUT_SECONDS = 20.0
_MAX_ANSWER_BYTES = 1 << 24
_MAGIC_SCRIPT = b"#!"


def find_anvil(environment: Mapping[str, str], directory: Path) -> Path:
    """DLBC_ANVIL, else the binary in node_modules (of the checkout or `directory`), else `anvil` on the PATH.

    npm's wrapper scripts are passed over: ending one leaves the node running. Raises Refused with what to do.
    """
    named = environment.get("DLBC_ANVIL")
    if named:
        if not Path(named).is_file():
            raise Refused(f"DLBC_ANVIL names {named}, which does not exist")
        return Path(named)
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine().lower(), platform.machine().lower())
    package = f"node_modules/@foundry-rs/anvil-{platform.system().lower()}-{machine}/bin/anvil"
    for folder in (Path(__file__).resolve().parents[4], directory):
        if (folder / package).is_file():
            return folder / package
    found = shutil.which("anvil", path=environment.get("PATH"))
    if found is not None:
        binary = Path(found).resolve()
        with binary.open("rb") as stream:
            if stream.read(2) != _MAGIC_SCRIPT:
                return binary
    raise Refused(
        "the local chain needs Anvil, which was not found: run `make setup` in the checkout, or install Foundry"
        " (https://getfoundry.sh), or set DLBC_ANVIL to the binary"
    )


def anvil_command(binary: Path, port: int, folder: Path) -> list[str | Path]:
    """A block every second, and at once when a transaction comes; the state in folder/chain.json."""
    return [
        *(binary, "--quiet", "--host", "127.0.0.1", "--port", str(port), "--chain-id", str(CHAIN_ID)),
        *("--mnemonic", MNEMONIC, "--accounts", str(FUNDED), "--block-time", "1", "--mixed-mining"),
        "--no-cors",  # no web page may use this node's calls; without this every one may
        *("--state", state_file(folder), "--state-interval", str(_STATE_SECONDS)),
        *("--cache-path", folder / CACHE, "--max-persisted-states", str(_MAX_PAST_STATES)),
    ]


def state_file(folder: Path) -> Path:
    """Where the chain is kept."""
    return folder / "chain.json"


def rpc(url: str, method: str, *params: object) -> Any:
    """One call of the node's own. Raises ChainUnreachable when it does not answer, Refused when it says no."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT_SECONDS)
    try:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        connection.request("POST", parts.path or "/", body, {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read(_MAX_ANSWER_BYTES))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ChainUnreachable(f"the local chain at {url} does not answer {method} ({error})") from error
    finally:
        connection.close()
    if "error" in answer:
        raise Refused(f"the local chain refused {method}: {answer['error'].get('message', 'no reason given')}")
    return answer["result"]


def latest_time(url: str) -> int:
    """Timestamp of the latest block."""
    return int(rpc(url, "eth_getBlockByNumber", "latest", False)["timestamp"], 16)


def advance_time(url: str, *, seconds: int | None = None, to: int | None = None) -> int:
    """Mines a block `seconds` after the latest, or at `to`; later blocks go on from there. Returns its timestamp.

    A moment that has passed already is left alone: a block is mined, and its time returned.
    """
    latest = latest_time(url)
    target = latest + seconds if seconds is not None else to
    if target is not None and target > latest:
        try:
            rpc(url, "evm_setNextBlockTimestamp", target)
        except Refused:
            # A block came in between, later than the target.
            if latest_time(url) < target:
                raise
    rpc(url, "evm_mine")
    return latest_time(url)


def saved_time(folder: Path) -> int:
    """Timestamp of the latest block in the saved state, 0 without one. Raises Refused when the file is damaged."""
    file = state_file(folder)
    if not file.exists():
        return 0
    try:
        return int(json.loads(file.read_bytes())["block"]["timestamp"], 0)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refused(
            f"the saved state of the local chain, {file}, is damaged ({type(error).__name__}); start a new network with"
            " `dlbc devnet up --fresh`"
        ) from error


def repair_time(url: str, saved: int) -> None:
    """After a reload Anvil has forgotten that its clock was moved, and would go back in time: sends it forward again.

    To be called before the first block is mined, which is a second after the start.
    """
    if saved >= int(time.time()):
        rpc(url, "evm_setNextBlockTimestamp", saved + 1)
        rpc(url, "evm_mine")
