"""A settled model is stolen: its owner proves it with a secret slot, auditors see it, the thief is struck. Who says
whose model it was pays a royalty instead, and stands.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import AUDITORS, DEPOSIT, ETHER, Process, Site
from court import challenged, posted, released, settled, voted
from dlbc.core.proofs import case_id, verify_slot_path
from dlbc.core.types import Hash32, Phase, Reason, Ruling, TaskId

pytestmark = pytest.mark.e2e

OWNER, THIEF = "miner1", "miner2"
CHECK = "no other miner's mark"


@pytest.fixture(scope="module")
def original(site: Site) -> TaskId:
    """A task that the owner won honestly."""
    task_id = posted(site, "original")
    miner = site.start(OWNER, "miner", "run", "--device", "cpu", "--task", str(task_id), "--once")
    miner.until(lambda: site.chain.round(task_id, 0).commits == 1, "the commit")
    site.settle(task_id)
    assert miner.wait() == 0
    return task_id


def taken(site: Site, kind: str, original: TaskId, parent: Hash32 | None = None) -> tuple[TaskId, Process, Process]:
    """A task whose only claim comes from the original, opened; (task, its miner, its requester's watch).

    Stolen by the best disguise there is, or declared as the parent that training went on from.
    """
    task_id = posted(site, kind)
    run = ("miner", "run", "--device", "cpu", "--task", str(task_id), "--once", "--epochs", "1")
    if parent is None:
        miner = site.start_lying(f"thief:{original}", THIEF, *run)
    else:
        miner = site.start(THIEF, *run, "--parent", parent.hex())
    watch = released(site, task_id, 1, miner)
    challenged(site, task_id, watch, 1)
    return task_id, miner, watch


def found(site: Site, task_id: TaskId, code: int, auditor: str = "") -> str:
    """What an audit says of marks of others."""
    audit = site.run(auditor, "audit", str(task_id), code=code)
    failed = [check["name"] for check in audit["checks"] if not check["ok"]]
    assert failed == ([CHECK] if code else [])
    if not audit["settled"]:
        assert audit["grounds"] == (["copied"] if code else [])
    (check,) = (check for check in audit["checks"] if check["name"] == CHECK)
    return str(check["found"])


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("jury")
def test_theft__not_declared__the_owners_fresh_slot_strikes_the_thief(
    site: Site, original: TaskId, tmp_path: Path
) -> None:
    """Tuned, pruned, scrubbed of the public slot, its units moved, marked anew: the secret slot is still in it."""
    task_id, thief, watch = taken(site, "thief", original)
    stolen = site.chain.winner(original, 0).model_hash
    assert found(site, task_id, code=0).startswith("none in ")

    evidence, claim = tmp_path / "evidence.json", ("watermark", "claim", "--model-hash", stolen.hex())
    dry = site.run(OWNER, *claim, "--task", str(task_id), "--dry-run", "-o", str(evidence))
    assert (dry["slot"], dry["read"], dry["published"], evidence.exists()) == (1, "aligned", False, False)
    assert site.chain.slot_reveals(stolen) == []
    told = site.run(OWNER, *claim, "--task", str(task_id), "-o", str(evidence))
    assert ([sent["call"] for sent in told["sent"]], told["published"]) == (["revealSlot"], True)
    assert told["strength"] > 13.32
    assert told["log2Bound"] < -120
    again = site.run(OWNER, *claim, "--task", str(task_id), "-o", str(evidence))
    assert (again["slot"], again["sent"]) == (1, [])

    written = json.loads(evidence.read_text())
    key, path = bytes.fromhex(written["key"]), [Hash32(bytes.fromhex(sibling)) for sibling in written["path"]]
    assert verify_slot_path(key, written["slot"], path, site.chain.watermark(stolen).root)
    for name in AUDITORS:
        shown = found(site, task_id, code=4, auditor=name)
        assert [part for part in (stolen.hex(), site.address(OWNER), "slot 1", "aligned") if part not in shown] == []
    filed = site.run(OWNER, "auditor", "dispute", str(task_id), "--evidence", str(evidence))
    assert (len(filed["sent"]), filed["wei"]) == (1, ETHER // 10)

    me = site.address(THIEF)
    case = case_id(task_id, 0, me)
    voted(site, task_id, case, watch, "falls")
    assert site.pool.case(case).ruling is Ruling.FALLS
    assert [(event.miner, event.reason) for event in site.chain.strikes(task_id, 0)] == [(me, Reason.VOTED)]
    site.network.advance_time(to=site.chain.round(task_id, 0).nominate_end)
    assert watch.wait() == 0
    assert site.chain.phase(task_id).phase is Phase.VOID
    assert thief.wait() == 0
    earned = site.run(OWNER, "auditor", "collect", str(task_id))["wei"]
    assert earned == ETHER // 10 + DEPOSIT // 3


@pytest.mark.timeout(600)
def test_theft__declared_parent__pays_the_royalty_and_stands(site: Site, original: TaskId, tmp_path: Path) -> None:
    """Going on from another's model is honest work when one says so: the owner's mark in it is no theft."""
    stolen = site.chain.winner(original, 0).model_hash
    credit = site.chain.credit(site.address(OWNER))
    task_id, heir, watch = taken(site, "heir", original, stolen)
    assert found(site, task_id, code=0).startswith("none in ")
    claim = ("watermark", "claim", "--model-hash", stolen.hex(), "--task", str(task_id))
    before = len(site.chain.slot_reveals(stolen))
    site.run(OWNER, *claim, "-o", str(tmp_path / "evidence.json"), code=4)
    assert (len(site.chain.slot_reveals(stolen)), list(tmp_path.iterdir())) == (before, [])
    settled(site, task_id, watch)
    assert heir.wait() == 0
    (paid,) = site.chain.settlements(task_id)
    assert paid.royalty_wei == ETHER * site.chain.task(task_id).royalty_bps // 10_000 > 0
    assert site.chain.credit(site.address(OWNER)) - credit == paid.royalty_wei
    assert site.chain.winner(task_id, 0).parent_model == stolen
    assert [event["model_hash"] for event in heir.events("parent_fetched")] == ["0x" + stolen.hex()]
    found(site, task_id, code=0)
