"""The pool's libraries in Solidity against dlbc.core: the same random inputs must give the same digits."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from anvil_node import ROOT, Anvil
from dlbc.adapters.chain import abi, codec
from dlbc.adapters.chain.compile import compile_sources
from dlbc.adapters.chain.rpc import Rpc
from dlbc.adapters.chain.transactions import Sender
from dlbc.core import disputes, proofs, refutation, scoring
from dlbc.core.refutation import ClaimFacts
from dlbc.core.types import (
    METRIC_TOP1,
    ZERO_ADDRESS,
    ZERO_HASH,
    Address,
    Claim,
    ClaimRef,
    Fault,
    Hash32,
    LabelProof,
    Locator,
    PredictionLeaf,
    Round,
    Ruling,
    SumNode,
    Tally,
    TaskId,
    TestSet,
    Timestamp,
    TrainingProof,
    Verdict,
    Vote,
    Wei,
)
from play import Play, account

pytestmark = pytest.mark.contract

BATCH = 250
NO_LABEL = LabelProof(TestSet(Locator(ZERO_HASH), ZERO_HASH, ZERO_HASH, 0, 0, 0, 0, ZERO_HASH), 0, ())
REVERTED = "reverted"
Run = Callable[[str, Sequence[Sequence[Any]]], list[Any]]


@pytest.fixture(scope="module")
def batch(anvil: Anvil) -> Callable[[abi.Contract, Address], Run]:
    """batch(contract, address)(function, rows): every row's answer, REVERTED for one that has none."""
    made = compile_sources(ROOT, [ROOT / "tests" / "solidity" / "Batch.sol"])
    runner = abi.parse(made["Batch"])
    rpc, where = Rpc(anvil.url), _deploy(anvil, runner)

    def of(contract: abi.Contract, target: Address) -> Run:
        def run(name: str, rows: Sequence[Sequence[Any]]) -> list[Any]:
            function = contract.functions[name]
            found: list[Any] = []
            for first in range(0, len(rows), BATCH):
                calls = [function.encode(row) for row in rows[first : first + BATCH]]
                data = runner.functions["run"].encode((target, calls))
                answer = rpc.data("eth_call", [{"to": where, "data": "0x" + data.hex()}, "latest"])
                for is_good, part in zip(*codec.decode(runner.functions["run"].outputs, answer), strict=True):
                    values = codec.decode(function.outputs, part) if is_good else (REVERTED,)
                    found.append(values[0] if len(values) == 1 else values)
            return found

        return run

    return of


@pytest.fixture(scope="module")
def harness(anvil: Anvil, batch: Callable[[abi.Contract, Address], Run]) -> Run:
    """The pool's internal libraries."""
    source = ROOT / "tests" / "solidity" / "PoolHarness.sol"
    contract = abi.parse(compile_sources(ROOT, [source])["PoolHarness"])
    return batch(contract, _deploy(anvil, contract))


def _deploy(anvil: Anvil, contract: abi.Contract) -> Address:
    mined = Sender(Rpc(anvil.url), 31337, account(8), 30.0).send("deploy", None, contract.bytecode)
    address: Address = anvil.rpc("eth_getTransactionReceipt", "0x" + mined.tx_hash.hex())["contractAddress"]
    return address


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Seeded by the test's name."""
    return random.Random(request.node.name)


def amount(rng: random.Random, least: int = 0) -> Wei:
    """Of any length up to 96 bits, sometimes the least."""
    return Wei(least if rng.random() < 0.1 else max(least, rng.getrandbits(rng.randint(1, 96))))


def word(rng: random.Random) -> Hash32:
    return Hash32(rng.randbytes(32))


def address(rng: random.Random) -> Address:
    return codec.address(rng.randbytes(20))


def tally(stands: int, falls: int, unavailable: int, unrevealed: int = 0) -> Tally:
    committed = stands + falls + unavailable + unrevealed
    return Tally(Wei(committed), Wei(stands), Wei(falls), Wei(unavailable), Wei(0), Wei(0))


# ------------------------------------------------------------------ votes


def test_ruling__random_ballots_and_edges__agree(harness: Run, rng: random.Random) -> None:
    """4,000 votes, half of them within a wei of a third or a half, get the same ruling (P-54, P-55)."""
    rows = []
    for _ in range(4_000):
        lock_bps, attempt = rng.choice([1, 2_000, 9_999, 10_000]), rng.randint(0, 1)
        stands, falls, unavailable = (rng.getrandbits(rng.randint(1, 92)) for _ in range(3))
        snapshot = rng.getrandbits(rng.randint(1, 95))
        if rng.random() < 0.5:
            stands = max(0, falls + unavailable + rng.randint(-1, 1))  # at a half
        if rng.random() < 0.5:
            revealed = stands + falls + unavailable
            snapshot = max(0, revealed * 30_000 // lock_bps + rng.randint(-1, 1))  # at the quorum
        if rng.random() < 0.05:
            stands = falls = unavailable = 0
        rows.append((stands, falls, unavailable, snapshot, lock_bps, attempt))
    expected = [disputes.rule(tally(*row[:3]), *row[3:]) for row in rows]
    assert expected == harness("rulingOf", rows)
    assert set(expected) == set(Ruling) - {Ruling.NONE}


def test_winners__every_ruling_and_verdict__agree(harness: Run, rng: random.Random) -> None:
    """Who shares the pot and what of a lock is lost is the same for every pair (P-54)."""
    verdicts = (Verdict.STANDS, Verdict.FALLS, Verdict.UNAVAILABLE)
    rows = [(ruling, verdict) for ruling in Ruling for verdict in verdicts]
    assert [disputes.wins(*row) for row in rows] == harness("hasWon", rows)
    locked = [(*row, lock) for row in rows for lock in (0, 1, 9, 10, rng.getrandbits(92))]
    assert [disputes.lost(*row) for row in locked] == harness("lossDown", locked)


def test_spoils__random_votes__agree_and_sum_up(harness: Run, rng: random.Random) -> None:
    """2,000 votes of each ruling are shared out alike (P-45, P-55), and no wei is made or lost."""
    cases = [
        (
            tally(*(amount(rng) // 4 for _ in range(4))),
            {"bond_wei": amount(rng), "filers": rng.randint(1, 50), "is_claim": rng.random() < 0.5},
            amount(rng),
        )
        for _ in range(2_000)
    ]
    fall = harness("falls", [(struck, votes.stands_wei, facts["is_claim"]) for votes, facts, struck in cases])
    stand = harness("stands", [(f["bond_wei"] * f["filers"], votes.falls_wei) for votes, f, _ in cases])
    neither = harness("noQuorum", [(facts["bond_wei"], facts["is_claim"]) for _, facts, _ in cases])
    for (votes, facts, struck), falls, stands, none in zip(cases, fall, stand, neither, strict=True):
        bonds = facts["bond_wei"] * facts["filers"]
        spoils = disputes.spoils(Ruling.FALLS, votes, struck_wei=struck, **facts)
        assert falls == (spoils.filers_pot_wei, spoils.voters_pot_wei)
        assert struck + votes.stands_wei == sum(falls)
        spoils = disputes.spoils(Ruling.STANDS, votes, struck_wei=0, **facts)
        assert stands == (spoils.defendant_wei, spoils.voters_pot_wei)
        assert bonds + votes.falls_wei == sum(stands)
        spoils = disputes.spoils(Ruling.NO_QUORUM, votes, struck_wei=0, **facts)
        assert (none[0] * facts["filers"], none[1]) == (spoils.defendant_wei, spoils.returned_wei)
        assert facts["bond_wei"] == sum(none)


def test_shares__pots_collected_one_by_one__agree_and_pay_out_exactly(harness: Run, rng: random.Random) -> None:
    """500 pots with up to 12 winners: each share agrees, and the last winner takes the rest."""
    rows, expected = [], []
    for _ in range(500):
        pot, locks = amount(rng), [amount(rng, 1) // 16 + 1 for _ in range(rng.randint(1, 12))]
        left, winners = pot, sum(locks)
        for lock in locks:
            share = disputes.vote_share(left, winners, lock)
            rows.append((left, lock, winners))
            expected.append(share)
            left, winners = left - share, winners - lock
        assert (left, winners) == (0, 0)
    assert expected == harness("shareDown", rows)
    filers = [(amount(rng), 1, rng.randint(1, 1_000)) for _ in range(1_000)]
    assert [disputes.filer_share(pot, left) for pot, _, left in filers] == harness("shareDown", filers)


def test_stakes__random_dividends_and_locks__agree(harness: Run, rng: random.Random) -> None:
    """Spreading, accruing and weighing dividends, a ballot's lock, a bond (P-54, P-60) agree for 2,000 inputs each."""
    count = range(2_000)
    shares = [(amount(rng), amount(rng, 1), rng.getrandbits(rng.randint(1, 159))) for _ in count]
    expected: list[Any] = []
    for waiting, active, index in shares:
        spread = disputes.spread(waiting, active)
        expected.append(((index + spread.gain) % 2**160, spread.shared_wei))
    assert expected == harness("share", shares)
    gains = [(amount(rng), rng.getrandbits(rng.randint(1, 159)), rng.getrandbits(159)) for _ in count]
    rows = [(active, (paid + gain) % 2**160, paid) for active, gain, paid in gains]
    assert [disputes.accrued(active, gain) for active, gain, _ in gains] == harness("earnedDown", rows)
    weighed = [(amount(rng), rng.randint(0, 20), rng.randint(0, 20)) for _ in count]
    assert [tuple(disputes.dividend(*row)) for row in weighed] == harness("weighByVotes", weighed)
    locks = [(amount(rng), amount(rng), rng.randint(1, 10_000)) for _ in count]
    assert [disputes.ballot_lock(*row) for row in locks] == harness("lockDown", locks)
    bounties = [(amount(rng, 1),) for _ in count]
    assert [disputes.dispute_bond(*row) for row in bounties] == harness("bondUp", bounties)


def test_ballots__random__hash_alike(
    harness: Run, batch: Callable[[abi.Contract, Address], Run], anvil: Anvil, rng: random.Random
) -> None:
    """Case, dispute, ballot, seal and opened ballot (P-54) agree for 1,000 inputs each."""
    pool = batch(abi.load("AuditorPool"), Play(anvil).deployment.pool)
    verdicts = (Verdict.STANDS, Verdict.FALLS, Verdict.UNAVAILABLE)
    count = range(1_000)
    cases = [(TaskId(rng.getrandbits(256)), rng.getrandbits(16), address(rng)) for _ in count]
    assert [proofs.case_id(*row) for row in cases] == pool("caseIdOf", cases)
    votes = [(word(rng), rng.randint(0, 1)) for _ in count]
    assert [proofs.dispute_id(*row) for row in votes] == pool("disputeIdOf", votes)
    ballots = [(address(rng), word(rng), address(rng), rng.choice(verdicts), word(rng)) for _ in count]
    assert [proofs.ballot_hash(*row) for row in ballots] == harness("ballot", ballots)
    seals = [(word(rng), amount(rng)) for _ in count]
    assert [proofs.sealed_ballot(*row) for row in seals] == harness("seal", seals)
    opened = [(rng.choice(verdicts), amount(rng)) for _ in count]
    packed = [proofs.opened_ballot(*row) for row in opened]
    assert packed == harness("pack", opened)
    assert opened == harness("unpack", [(stored,) for stored in packed])


# ------------------------------------------------------------------ refutations


def test_faults__trees_of_liars__agree(harness: Run, rng: random.Random) -> None:
    """2,500 leaves of trees with wrong scores, sums, ranges, padding, paths or labels: the same is proved (M-6)."""
    rows, expected = [], []
    for _ in range(2_500):
        row, fault = _refutation(rng)
        rows.append(row)
        expected.append(fault)
    assert expected == harness("faultOf", rows)
    counts = {fault: expected.count(fault) for fault in (*Fault, REVERTED)}
    assert min(counts.values()) >= 50, counts


class _Tree:
    """A prediction tree whose nodes state whatever sums a liar wants; each parent's hash binds what it states."""

    def __init__(self, digest: Hash32, leaves: Sequence[PredictionLeaf | None], lie: Callable[[int], int]) -> None:
        hashes = [ZERO_HASH if leaf is None else scoring.prediction_leaf(digest, leaf) for leaf in leaves]
        sums = [0 if leaf is None else leaf.score for leaf in leaves]
        self._levels = []
        while len(hashes) > 1:
            sums = [lie(total) for total in sums]
            self._levels.append((hashes, sums))
            pairs = range(0, len(hashes), 2)
            hashes, sums = (
                [scoring.prediction_node(hashes[i], sums[i], hashes[i + 1], sums[i + 1]) for i in pairs],
                [(sums[i] + sums[i + 1]) % 2**256 for i in pairs],
            )
        self.h_top, self.total = hashes[0], sums[0]

    def path(self, index: int) -> tuple[SumNode, ...]:
        nodes = []
        for height, (hashes, sums) in enumerate(self._levels):
            own = index >> height
            nodes.append(SumNode(hashes[own ^ 1], sums[own ^ 1], sums[own]))
        return tuple(nodes)


def _refutation(rng: random.Random) -> tuple[tuple[Any, ...], Fault | str]:
    """Arguments of faultOf, and what dlbc.core says about them."""
    n, classes, most = rng.randint(1, 21), rng.randint(2, 5), rng.choice([1, 1, 1, 7])
    labels = [rng.randrange(classes) for _ in range(n)]
    test_set = TestSet(
        *(Locator(word(rng)), word(rng), word(rng)),
        samples=n,
        max_sample_score=most,
        classes=classes,
        metric=METRIC_TOP1 if rng.random() < 0.8 else 2,
        labels_root=scoring.label_root(labels),
    )
    index = rng.randrange(1 << refutation.depth(n)) if rng.random() < 0.3 else rng.randrange(n)
    digest, kind = word(rng), rng.choice(["honest", "score", "range", "sum", "padding", "path", "label"])
    leaves: list[PredictionLeaf | None] = [_leaf(rng, label, classes) for label in labels]
    leaves += [None] * ((1 << refutation.depth(n)) - n)
    if kind == "score" and index < n:
        leaves[index] = PredictionLeaf(rng.randrange(classes), rng.randint(0, 1))
    if kind == "range" and index < n:
        leaves[index] = PredictionLeaf(rng.choice([0, classes, 2**256 - 1]), rng.choice([0, 1, most + 1, 2**64]))
    if kind == "padding":
        index = rng.randrange(1 << refutation.depth(n))
        if index >= n:
            leaves[index] = PredictionLeaf(rng.randrange(classes), 0)
    shares = {"sum": 0.2}.get(kind, 0.0)
    tree = _Tree(digest, leaves, lambda total: _lie(rng, total) if rng.random() < shares else total)
    total = tree.total + rng.choice([0, 0, 1]) if kind == "sum" else tree.total
    leaf, path = leaves[index] or PredictionLeaf(0, 0), list(tree.path(index))
    if kind == "path":
        index, path = _bend(rng, index, path)
    proof = NO_LABEL
    if index < n and rng.random() < 0.9:
        proof = LabelProof(test_set, labels[index], scoring.LabelTree(labels).path(index))
    if kind == "label" and index < n:
        proof = _bent_label(rng, proof, test_set, labels, index)

    claim = Claim(total % 2**64, word(rng), Locator(word(rng)))
    facts = ClaimFacts(digest, tree.h_top, claim.total, test_set)
    row = (digest, _ref(claim, tree.h_top), _round(test_set), index, leaf, path, proof)
    return row, _expected(facts, index, leaf, path, proof)


def _expected(
    facts: ClaimFacts, index: int, leaf: PredictionLeaf, path: Sequence[SumNode], proof: LabelProof
) -> Fault | str:
    if not refutation.is_of_claim(facts, index, leaf, path):
        return REVERTED
    fault = refutation.fault_of(facts, index, leaf, path, None)
    if fault is not Fault.NONE or facts.test_set.metric != METRIC_TOP1 or not proof.test_set.samples:
        return fault
    if not refutation.is_of_test_set(facts.test_set, proofs.test_commitment(facts.test_set), index, proof):
        return REVERTED
    return refutation.fault_of(facts, index, leaf, path, proof.label)


def _leaf(rng: random.Random, label: int, classes: int) -> PredictionLeaf:
    prediction = rng.randrange(classes)
    return PredictionLeaf(prediction, int(prediction == label))


def _lie(rng: random.Random, total: int) -> int:
    return rng.choice([total + 1, max(0, total - 1), 2**40, 2**255])


def _bend(rng: random.Random, index: int, path: list[SumNode]) -> tuple[int, list[SumNode]]:
    """Something about where the leaf is does not fit."""
    how = rng.randrange(4)
    if how == 0 or not path:
        return rng.choice([index ^ 1, index + (1 << len(path)), 2**255 + index]), path
    if how == 1:
        return index, path[:-1]
    if how == 2:
        return index, [*path, SumNode(ZERO_HASH, 0, 0)]
    at = rng.randrange(len(path))
    path[at] = SumNode(word(rng), path[at].sum, path[at].own_sum)
    return index, path


def _bent_label(rng: random.Random, proof: LabelProof, test_set: TestSet, labels: list[int], index: int) -> LabelProof:
    """A label of another test set or place, or none at all."""
    other = scoring.label_root(np.asarray(labels) + 1)
    path = scoring.LabelTree(labels).path(index)
    return rng.choice(
        [
            LabelProof(test_set, labels[index] + 1, path),
            LabelProof(TestSet(*_fields(test_set)[:-1], other), labels[index] + 1, path),
            LabelProof(test_set, labels[index], (*path, ZERO_HASH)),
            proof,
        ]
    )


def _fields(test_set: TestSet) -> tuple[Any, ...]:
    return tuple(getattr(test_set, name) for name in TestSet.__slots__)


def _ref(claim: Claim, h_top: Hash32) -> ClaimRef:
    zero = Locator(ZERO_HASH)
    proof = TrainingProof(TaskId(1), 0, ZERO_ADDRESS, ZERO_HASH, zero, ZERO_HASH, ZERO_HASH, ZERO_HASH)
    return ClaimRef(proof, claim, h_top)


def _round(test_set: TestSet) -> Round:
    none = Timestamp(0)
    return Round(
        *(none, none, none, none),
        commits=1,
        vote_start=none,
        vote=Vote.NONE,
        open_demands=0,
        leader=ZERO_ADDRESS,
        leader_total=0,
        reveals=1,
        samples=test_set.samples,
        max_sample_score=test_set.max_sample_score,
        classes=test_set.classes,
        metric=test_set.metric,
        demand_end=none,
        strikes=0,
        is_fee_due=False,
        test_commitment=proofs.test_commitment(test_set),
    )
