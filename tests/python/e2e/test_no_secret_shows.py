"""A requester, a miner and a keeper carry a task to its end, and no secret shows where others can look."""

from __future__ import annotations

import base64
import stat
import time
from pathlib import Path

import pytest
from conftest import Process, Site
from dlbc import bootstrap
from dlbc.adapters import keys
from dlbc.core import watermark
from dlbc.core.architecture import tensor_shapes
from dlbc.core.proofs import miner_secrets_typed_data
from dlbc.core.secrets import derive
from dlbc.core.types import TaskId
from dlbc.roles.artifacts import fetch_manifest

pytestmark = pytest.mark.e2e

MINER, KEEPER = "miner2", "auditor2"


def forms(secret: bytes) -> list[bytes]:
    """As it may be written: bytes, hex, base64, a number, a repr."""
    text = [secret.hex(), secret.hex().upper(), str(int.from_bytes(secret, "big")), repr(secret)[2:-1]]
    return [secret, *(form.encode() for form in text), base64.b64encode(secret)[:40]]


def family(pid: int) -> set[int]:
    """A process and all its descendants."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def shown_of(process: Process) -> set[tuple[str, bytes]]:
    """Arguments and environment of a process and its children, as `ps` shows them."""
    shown = set()
    for pid in family(process._process.pid):
        for name in ("cmdline", "environ"):
            try:
                shown.add((f"{name} of {pid}", Path(f"/proc/{pid}/{name}").read_bytes()))
            except OSError:
                continue
    return shown


def private_key(site: Site, account: str) -> bytes:
    return keys.read_private_key(keys.keystore_path(account, site.network.home), site.network.password_file, None)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are looked at through /proc")
def test_secrets__a_whole_task__show_in_no_log_process_list_or_environment(site: Site, tmp_path: Path) -> None:
    """Private keys, the password, the salt, the sealing key, every slot key, and what they are derived from."""
    relay = tmp_path / "relay"
    relay.mkdir()
    logs_before = set((site.folder / "logs").iterdir()) if (site.folder / "logs").exists() else set()
    task_id = TaskId(site.run("requester", "task", "post", str(site.task_file("secrets")), "--yes")["taskId"])
    me = site.address(MINER)
    miner = site.start(
        MINER, "miner", "run", "--device", "cpu", "--task", str(task_id), "--once", relay_folder=str(relay)
    )
    keeper = site.start(KEEPER, "keeper", "run", "--task", str(task_id), "--relay", str(relay))
    shown: set[tuple[str, bytes]] = set()
    deadline = time.monotonic() + 90
    while not site.chain.entry(task_id, 0, me).commit_seq:
        assert time.monotonic() < deadline, miner.err.read_text()[-1500:]
        assert not miner.has_ended
        shown |= shown_of(miner) | shown_of(keeper)
        time.sleep(0.2)
    assert any(b"dlbc.adapters.ml.child" in text for _, text in shown), "the training child was looked at"

    account = keys.open_keystore(keys.keystore_path(MINER, site.network.home), site.network.password_file)
    message = miner_secrets_typed_data(task_id, 0, 0, site.chain.chain_id, site.chain.market)
    secrets = derive(account.sign_typed(message))
    storage = bootstrap.storage(site.network.config())
    slots = watermark.slot_count(tensor_shapes(fetch_manifest(storage, site.chain.task_posted(task_id)).architecture))
    hidden = {
        "password": [site.network.password_file.read_bytes().strip()],
        "signature": forms(account.sign_typed(message)[:64]),
        "prk": forms(secrets.prk),
        "salt": forms(secrets.salt),
        "sealing key": forms(secrets.seal_key),
        "recovery key": forms(secrets.recovery_key),
        "init key": forms(secrets.init_key),
    }
    hidden |= {f"key of {name}": forms(private_key(site, name)) for name in ("requester", MINER, KEEPER)}
    hidden |= {f"slot key {number}": forms(key) for number, key in enumerate(secrets.slot_keys(slots))}

    site.settle(task_id)
    assert miner.wait() == 0
    assert keeper.wait() == 0
    assert miner.events("claim_revealed")
    assert miner.events("relay_written")

    home = site.network.home
    files = [*(set((site.folder / "logs").iterdir()) - logs_before), *(home / "logs").glob("*")]
    files += [*(home / f"miner-{me}" / "work").rglob("*.log"), *(home / f"miner-{me}" / "work").rglob("*.json")]
    assert len(files) >= 6
    places = shown | {(str(file), file.read_bytes()) for file in files if file.is_file()}
    places |= {(f"relay: {file.name}", file.read_bytes()) for file in relay.rglob("*.json")}
    for name, secret in hidden.items():
        for place, text in places:
            if name == "salt" and place.startswith("relay: "):
                continue  # what a reveal publishes
            assert not [form for form in secret if form in text], f"{name} in {place}"

    kept = [home / f"miner-{me}", *(home / f"miner-{me}").glob("journal.sqlite*")]
    assert [stat.S_IMODE(path.stat().st_mode) for path in kept] == [0o700] + [0o600] * (len(kept) - 1)
    assert len(kept) > 1
