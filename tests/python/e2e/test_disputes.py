"""Whole disputes with whole processes: lies are voted down, refuted, asked about and impeached by one command each."""

from __future__ import annotations

import pytest
from conftest import DEPOSIT, ETHER, Site
from court import challenged, posted, released, settled, voted
from dlbc.core.proofs import case_id
from dlbc.core.types import ZERO_ADDRESS, Phase, Reason, Ruling

pytestmark = pytest.mark.e2e

COLUMNS = 80
VIEWS = (
    (
        ("task", "show", "{task}"),
        ("Dispute of 0x", "score", "dlbc auditor dispute", "dispute bond", "Auditors vote on"),
    ),
    (("auditor", "status"), ("10 ether of 20 ether in all", "To vote on", "filing", "0.5 ether")),
    (("auditor", "evidence", "{task}"), ("✗ score recomputed", "again with  dlbc audit", "Qm")),
    (("wallet", "balance", "auditor1"), ("credit in the pool", "10 ether (dlbc auditor status)")),
)


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("jury")
def test_dispute__false_claim__is_voted_down_and_the_runner_up_wins(site: Site) -> None:
    """The audit finds the lie, the auditors strike it, the honest miner opens and is paid, the disputer earns."""
    task_id = posted(site, "false-claim")
    run = ("miner", "run", "--device", "cpu", "--task", str(task_id), "--once")
    liar = site.start_lying("labels", "miner1", *run, "--epochs", "1")
    honest = site.start("miner2", *run)
    watch = released(site, task_id, 2, liar, honest)
    challenged(site, task_id, watch, 2)
    me = site.address("miner1")
    assert site.chain.round(task_id, 0).leader == me

    audit = site.run("", "audit", str(task_id), code=4)
    assert audit["grounds"] == ["score", "samples"]
    before = site.chain.balance(site.address("disputer"))
    filed = site.run("disputer", "auditor", "dispute", str(task_id))
    assert (len(filed["sent"]), filed["wei"]) == (1, ETHER // 10)
    assert site.run("disputer", "auditor", "dispute", str(task_id))["sent"] == []
    told = site.run("", "auditor", "evidence", str(task_id))["filings"]
    assert [check["name"] for check in told[0]["checks"]] == ["score recomputed", "decisive samples"]
    status = site.run("auditor1", "auditor", "status")
    (waiting,) = (row for row in status["cases"] if row["taskId"] == task_id)
    assert (waiting["stage"], waiting["lockWei"]) == ("WAITS", ETHER // 2)

    for arguments, words in VIEWS:
        process = site.start("auditor1", *(part.format(task=task_id) for part in arguments))
        assert process.wait() == 0, process.err.read_text()[-2000:]
        shown = process.out.read_text()
        assert [word for word in words if word not in shown] == []
        assert max(len(line.rstrip()) for line in shown.splitlines()) <= COLUMNS

    case = case_id(task_id, 0, me)
    voted(site, task_id, case, watch, "falls")
    assert site.pool.case(case).ruling is Ruling.FALLS
    assert [event.reason for event in site.chain.strikes(task_id, 0)] == [Reason.VOTED]
    collected = site.run("disputer", "auditor", "collect", str(task_id))
    assert collected["wei"] == ETHER // 10 + DEPOSIT // 3
    assert site.run("disputer", "auditor", "collect", str(task_id))["sent"] == []
    assert site.chain.balance(site.address("disputer")) > before + ETHER // 40

    honest.until(lambda: site.chain.round(task_id, 0).leader == site.address("miner2"), "the nomination")
    site.network.advance_time(to=site.chain.round(task_id, 0).nominate_end)
    honest.until(lambda: site.chain.round(task_id, 0).challenge_end, "the second opening")
    settled(site, task_id, watch)
    assert honest.wait() == 0
    assert site.chain.winner(task_id, 0).miner == site.address("miner2")
    assert site.run("", "audit", str(task_id))["audit"] == "pass"
    assert site.pool.stake_of(site.address("auditor1")).active_wei == 10 * ETHER


def test_refute__one_flipped_bit__struck_by_one_command(site: Site) -> None:
    """The published predictions prove the claim false; nobody has to vote, and a third of the deposit is paid."""
    task_id = posted(site, "flipped")
    liar = site.start_lying("bit", "miner1", "miner", "run", "--device", "cpu", "--task", str(task_id), "--once")
    watch = released(site, task_id, 1, liar)
    watch.until(lambda: site.chain.round(task_id, 0).reveals == 1, "the reveal")
    told = site.run("disputer", "audit", str(task_id), "--refute", code=4)
    (claim,) = told["refuted"]["claims"]
    assert (claim["fault"], claim["struck"], told["refuted"]["earnedWei"]) == ("wrong_score", True, DEPOSIT // 3)
    assert [event.reason for event in site.chain.strikes(task_id, 0)] == [Reason.REFUTED]
    assert site.run("disputer", "wallet", "withdraw")["withdrawnWei"] == DEPOSIT // 3
    assert site.run("disputer", "audit", str(task_id), "--refute")["refuted"]["claims"] == []
    site.network.advance_time(to=site.chain.round(task_id, 0).nominate_end)
    assert watch.wait() == 0
    assert site.chain.phase(task_id).phase is Phase.VOID
    assert liar.wait() == 0


def test_demand__honest_leader__its_daemon_answers_and_is_paid(site: Site) -> None:
    """One command asks, the miner's daemon shows the leaf with its proof and takes the bond."""
    task_id = posted(site, "demanded")
    miner = site.start("miner1", "miner", "run", "--device", "cpu", "--task", str(task_id), "--once")
    watch = released(site, task_id, 1, miner)
    challenged(site, task_id, watch, 1)
    asked = site.run("disputer", "auditor", "demand", str(task_id), "--sample", "17")
    assert asked["wei"] == 5 * 10**15
    miner.until(lambda: site.pool.shown(task_id, 0), "the answer")
    again = site.run("disputer", "auditor", "demand", str(task_id), "--sample", "17")
    assert (again["sent"], "was shown already" in again["message"]) == ([], True)
    shown = site.run("", "task", "show", str(task_id))
    assert [row["state"] for row in shown["demands"]] == ["shown"]
    settled(site, task_id, watch)
    assert miner.wait() == 0
    assert {event["source"] for event in miner.events("money_arrived")} == {"pool", "market"}


def test_demand__mute_leader__is_struck_and_the_bond_comes_back(site: Site) -> None:
    """Who does not show what is demanded loses its claim and its deposit."""
    task_id = posted(site, "mute")
    run = ("miner", "run", "--device", "cpu", "--task", str(task_id), "--once")
    liar = site.start_lying("mute", "miner1", *run)
    watch = released(site, task_id, 1, liar)
    challenged(site, task_id, watch, 1)
    site.run("disputer", "auditor", "demand", str(task_id), "--sample", "3", "--miner", site.address("miner1"))
    site.network.advance_time(to=site.chain.round(task_id, 0).demand_end)
    watch.until(lambda: site.chain.strikes(task_id, 0), "the strike")
    assert [event.reason for event in site.chain.strikes(task_id, 0)] == [Reason.WITHHELD]
    assert site.run("disputer", "auditor", "collect", str(task_id))["wei"] == 5 * 10**15
    site.network.advance_time(to=site.chain.round(task_id, 0).nominate_end)
    assert watch.wait() == 0
    assert liar.wait() == 0


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("jury")
def test_impeach__other_labels_than_committed__task_is_aborted(site: Site) -> None:
    """A requester that seals other labels than it committed loses half of its bond to miners and auditors."""
    task_id = posted(site, "impeached", liar="test-set")
    miner = site.start("miner1", "miner", "run", "--device", "cpu", "--task", str(task_id), "--once")
    watch = released(site, task_id, 1, miner)
    filed = site.run("disputer", "auditor", "impeach", str(task_id))
    assert filed["wei"] == ETHER // 10
    case = case_id(task_id, 0, ZERO_ADDRESS)
    voted(site, task_id, case, watch, "falls")
    assert watch.wait() == 0
    assert site.chain.phase(task_id).phase is Phase.ABORTED
    assert site.run("disputer", "auditor", "collect", str(task_id))["wei"] == ETHER // 10
    assert miner.wait() == 0
    arrived = sum(event["wei"] for event in miner.events("money_arrived"))
    assert arrived == DEPOSIT + ETHER // 20
