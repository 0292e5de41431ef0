"""Solidity against Python: the same random inputs must give the same digits on both sides."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import astuple
from typing import Any

import pytest
from anvil_node import ROOT, Anvil
from dlbc.adapters.chain import abi, codec
from dlbc.adapters.chain.compile import compile_sources
from dlbc.adapters.chain.rpc import Rpc
from dlbc.adapters.chain.transactions import Sender
from dlbc.core import difficulty, payouts, phases, proofs, scoring
from dlbc.core.types import (
    ZERO_ADDRESS,
    Address,
    BlockHeader,
    Claim,
    Hash32,
    Locator,
    Outcome,
    Params,
    Phase,
    PhaseInfo,
    Round,
    Task,
    TaskId,
    Terms,
    TestSet,
    Timestamp,
    TrainingProof,
    Vote,
    Wei,
    Workload,
)
from play import account

pytestmark = pytest.mark.contract

BATCH = 250
Call = Callable[..., Any]


@pytest.fixture(scope="module")
def call(anvil: Anvil) -> Call:
    """call(function, *arguments): one eth_call of the harness, decoded."""
    harness = abi.parse(compile_sources(ROOT, [ROOT / "tests" / "solidity" / "Harness.sol"])["Harness"])
    rpc = Rpc(anvil.url)
    mined = Sender(rpc, 31337, account(8), 30.0).send("deploy Harness", None, harness.bytecode)
    receipt = rpc.record("eth_getTransactionReceipt", ["0x" + mined.tx_hash.hex()])
    assert receipt is not None

    def one(name: str, *arguments: Any) -> Any:
        function = harness.functions[name]
        request = {"to": receipt["contractAddress"], "data": "0x" + function.encode(arguments).hex()}
        values = codec.decode(function.outputs, rpc.data("eth_call", [request, "latest"]))
        return values[0] if len(values) == 1 else values

    return one


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Seeded by the test's name."""
    return random.Random(request.node.name)


def up_to(rng: random.Random, bits: int, least: int = 0) -> int:
    """A number of any length up to `bits`, often at an edge."""
    if rng.random() < 0.1:
        return max(least, rng.choice([0, 1, 2, 2**bits - 1, 2**bits - 2, 2 ** (bits // 2)]))
    return max(least, rng.getrandbits(rng.randint(1, bits)))


def word(rng: random.Random) -> Hash32:
    return Hash32(rng.randbytes(32))


def address(rng: random.Random) -> Address:
    return codec.address(rng.randbytes(20))


def terms(rng: random.Random) -> Terms:
    return Terms(
        word(rng),
        Locator(word(rng)),
        workload(rng),
        *(up_to(rng, 32) for _ in range(8)),
        *(Wei(up_to(rng, 96)) for _ in range(3)),
        royalty_bps=up_to(rng, 16),
    )


def workload(rng: random.Random) -> Workload:
    return Workload(*(up_to(rng, bits, 1) for bits in (64, 63, 62, 32, 64, 64)))


def columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def test_log2__random_and_edge_operands__agree_to_the_last_digit(call: Call, rng: random.Random) -> None:
    """log2(1 + n/d) in millionths of a bit (P-80) is the same number on both sides for 2,500 pairs."""
    for _ in range(10):
        pairs = [(up_to(rng, 160), up_to(rng, 160, 1)) for _ in range(BATCH)]
        expected = tuple(difficulty.log2_millionths(n, d) for n, d in pairs)
        assert expected == call("logs", *columns(pairs))


def test_difficulty__random_workloads__agree(call: Call, rng: random.Random) -> None:
    """The weighted sum (P-80) agrees for 1,000 workloads under random weights."""
    for _ in range(4):
        cuts = sorted(rng.randint(0, 10**6) for _ in range(3))
        weights = [b - a for a, b in zip([0, *cuts], [*cuts, 10**6], strict=True)]
        params = Params(0, 0, 0, 0, 0, 1, *weights, max_challenge=0, vote_seconds=0, pool=ZERO_ADDRESS)
        loads = [workload(rng) for _ in range(BATCH)]
        queues = [up_to(rng, 32, 1) for _ in loads]
        expected = tuple(difficulty.difficulty(load, queue, params) for load, queue in zip(loads, queues, strict=True))
        assert expected == call("difficulties", weights, loads, queues)


def test_rank__random_inputs__agree(call: Call, rng: random.Random) -> None:
    """The rank (P-81) agrees for 2,500 inputs."""
    for _ in range(10):
        inputs = [(up_to(rng, 96), up_to(rng, 40), up_to(rng, 25, 1), up_to(rng, 28, 1)) for _ in range(BATCH)]
        expected = tuple(difficulty.rank(bounty, waited, d, aging) for bounty, waited, aging, d in inputs)
        assert expected == call("ranks", inputs)


def test_phase__random_facts__agree(call: Call, rng: random.Random) -> None:
    """Phase, due and end (section 3) agree for 5,000 combinations of facts and clock, votes, demands and the edges of
    windows included.
    """
    seen = set()
    for _ in range(20):
        gap, vote_seconds = rng.choice([0, 1, 900]), rng.choice([1, 300, 600])
        cases = [_facts(rng) for _ in range(BATCH)]
        found = zip(*call("phases", *columns(cases), gap, vote_seconds), strict=True)
        for (task, facts, now), (phase, due, ends_at) in zip(cases, found, strict=True):
            expected = phases.phase_of(task, facts, now, gap, vote_seconds)
            assert expected == PhaseInfo(phase, due, ends_at), (task, facts, now, gap, vote_seconds)
            seen.add((phase, due))
    warm = {Phase.TRAINING, Phase.RELEASING, Phase.REVEALING, Phase.OPENING, Phase.CHALLENGE, Phase.NOMINATING}
    assert seen >= {(phase, due) for phase in warm | {Phase.VOTING_REVEAL} for due in (False, True)}


def test_payouts__random_shares__agree_and_sum_up(call: Call, rng: random.Random) -> None:
    """Settlement and abortion (P-21, P-60) agree for 1,000 inputs each, and no wei is made or lost."""
    for _ in range(4):
        inputs = [(up_to(rng, 96), rng.randint(0, 500), rng.randint(0, 2000), rng.randint(0, 1)) for _ in range(BATCH)]
        expected = [payouts.settlement(bounty, fee, royalty, bool(has)) for bounty, fee, royalty, has in inputs]
        assert tuple(tuple(share) for share in expected) == call("settlements", inputs)
        assert [bounty for bounty, *_ in inputs] == [sum(share) for share in expected]
        bonds = [(up_to(rng, 100), up_to(rng, 32, 1)) for _ in range(BATCH)]
        assert tuple(tuple(payouts.abortion(*bond)) for bond in bonds) == call("abortions", bonds)


def test_scores__random_totals__agree(call: Call, rng: random.Random) -> None:
    """The displayed score and whether it suffices (P-42, M-1) agree for 2,000 totals, many of them at the limit."""
    for _ in range(8):
        inputs = []
        for _ in range(BATCH):
            samples, most, required = up_to(rng, 32, 1), up_to(rng, 24, 1), rng.randint(0, 10**6)
            edge = required * samples * most // 10**6
            total = rng.choice([edge, edge + 1, rng.randint(0, samples * most)])
            inputs.append((min(total, samples * most), required, samples, most))
        ppm, reached = call("scores", inputs)
        assert tuple(scoring.score_ppm(total, n, most) for total, _, n, most in inputs) == ppm
        assert tuple(scoring.meets(*row) for row in inputs) == reached


def test_terms_and_test_sets__random__hash_alike(call: Call, rng: random.Random) -> None:
    """termsHash (P-11) and testCommitment (P-13) agree for 250 inputs each."""
    several = [terms(rng) for _ in range(BATCH)]
    commitments = [[word(rng) for _ in range(rng.randint(1, 16))] for _ in several]
    expected = tuple(proofs.terms_hash(a, b) for a, b in zip(several, commitments, strict=True))
    assert expected == call("termsHashes", several, commitments)
    test_sets = [
        TestSet(Locator(word(rng)), word(rng), word(rng), *(up_to(rng, b) for b in (40, 32, 32, 16)), word(rng))
        for _ in range(BATCH)
    ]
    assert tuple(map(proofs.test_commitment, test_sets)) == call("commitmentsOfTests", test_sets)


def test_proofs_and_claims__random__hash_alike(call: Call, rng: random.Random) -> None:
    """Proof digest, commitment, claim hash, claim digest and predictions root (P-31, P-41, M-5) agree for 1,000."""
    for _ in range(4):
        chain_id, market = up_to(rng, 64), address(rng)
        rows = []
        for _ in range(BATCH):
            proof = TrainingProof(TaskId(up_to(rng, 256)), up_to(rng, 16), address(rng), *(word(rng) for _ in range(5)))
            rows.append((proof, Claim(up_to(rng, 64), word(rng), Locator(word(rng))), word(rng), up_to(rng, 33)))
        expected = []
        for proof, claim, salt, samples in rows:
            digest = proofs.proof_digest(proof, chain_id, market)
            expected.append(
                (
                    digest,
                    proofs.commitment(digest, salt),
                    proofs.claim_hash(digest, claim),
                    proofs.score_claim_digest(digest, claim, chain_id, market),
                    scoring.predictions_root(digest, samples, salt, claim.total),
                )
            )
        assert tuple(expected) == call("proofHashes", chain_id, market, *columns(rows))


def test_slot_trees__random_keys__have_the_same_root(call: Call, rng: random.Random) -> None:
    """Every slot's path leads to the root that the client computed (P-90), for 2, 4 and 8 slots."""
    rows, expected = [], []
    for _ in range(60):
        keys = [word(rng) for _ in range(rng.choice([2, 4, 8]))]
        for slot, key in enumerate(keys):
            rows.append((key, slot, list(proofs.slot_path(keys, slot))))
            expected.append(proofs.slot_root(keys))
    assert tuple(expected) == call("slotRoots", *columns(rows))


def test_blocks__random_headers__hash_alike(call: Call, rng: random.Random) -> None:
    """Block hashes (P-70) agree for 250 headers."""
    headers = [
        BlockHeader(
            *(up_to(rng, 16), up_to(rng, 64), word(rng), TaskId(up_to(rng, 256)), up_to(rng, 16), word(rng), word(rng)),
            *(address(rng), up_to(rng, 64), up_to(rng, 32), up_to(rng, 64), up_to(rng, 128)),
            *(Timestamp(up_to(rng, 40)), up_to(rng, 32)),
        )
        for _ in range(BATCH)
    ]
    assert tuple(map(proofs.block_hash, headers)) == call("blockHashes", headers)
    assert len(astuple(headers[0])) == 14


def _facts(rng: random.Random) -> tuple[Task, Round, int]:
    """Facts as a market writes them, and a time at or near the edge of some window."""
    now = rng.randint(10**9, 2 * 10**9)

    def near(least: int = 0) -> Timestamp:
        return Timestamp(max(least, now + rng.choice([-2000, -600, -1, 0, 1, 600, 2000])))

    def maybe(value: Timestamp) -> Timestamp:
        return value if rng.random() < 0.5 else Timestamp(0)

    released = rng.random() < 0.6
    task = Task(
        requester=address(rng),
        round=0,
        rounds=1,
        outcome=Outcome.NONE if rng.random() < 0.9 else Outcome(rng.randint(1, 4)),
        train_seconds=600,
        release_seconds=rng.choice([1, 600, 2000]),
        bounty_wei=Wei(1),
        deposit_wei=Wei(1),
        reveal_seconds=600,
        open_seconds=rng.choice([1, 600, 2000]),
        bond_wei=Wei(1),
        challenge_seconds=600,
        min_score_ppm=0,
        min_gain_ppm=0,
        tolerance_ppm=0,
        royalty_bps=0,
        difficulty=1,
        posted_at=Timestamp(now - 3600),
        terms_hash=word(rng),
    )
    facts = Round(
        train_end=near(),
        reveal_end=near() if released else Timestamp(0),
        nominate_end=maybe(near()) if released else Timestamp(0),
        challenge_end=maybe(near()) if released else Timestamp(0),
        commits=rng.randint(0, 2),
        vote_start=maybe(near()) if released else Timestamp(0),
        vote=rng.choice([Vote.NONE, Vote.NONE, Vote.TEST_SET, Vote.CLAIM]) if released else Vote.NONE,
        open_demands=rng.choice([0, 0, 1, 3]) if released else 0,
        leader=address(rng) if rng.random() < 0.6 else ZERO_ADDRESS,
        leader_total=0,
        reveals=0,
        samples=0,
        max_sample_score=0,
        classes=0,
        metric=0,
        demand_end=near(),
        strikes=0,
        is_fee_due=rng.random() < 0.5,
        test_commitment=word(rng),
    )
    return task, facts, now
