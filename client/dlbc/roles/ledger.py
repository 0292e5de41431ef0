"""The ledger of useful work, recomputed: every hash, every link, every winning record (P-70, P-71)."""

from __future__ import annotations

from dlbc.core.errors import NotFound
from dlbc.core.proofs import block_hash
from dlbc.core.report import Checks
from dlbc.core.types import BlockHeader
from dlbc.ports import Chain
from dlbc.roles.auditor import broken_link


def verify_ledger(chain: Chain) -> tuple[list[BlockHeader], Checks]:
    """All blocks of the log and what holds about each of them."""
    count, head_hash, cumulative = chain.head()
    headers = chain.blocks()
    checks = Checks()
    checks.equal("number of blocks", count, len(headers))
    broken = broken_link(headers, chain.genesis_hash())
    found = "all linked" if broken is None else f"block {broken} does not follow"
    checks.that("links to genesis", broken is None, f"{count} blocks", found)
    total = 0
    for header in headers:
        total += header.difficulty
        name = f"block {header.height}"
        stored = checks.attempt(name, "a stored hash", lambda height=header.height: _hash_at(chain, height))  # type: ignore[misc]
        if stored is None:
            continue
        winner = chain.winner(header.task_id, header.round)
        recorded = (winner.miner, winner.total, winner.height, winner.model_hash, winner.proof_digest)
        claimed = (header.miner, header.total, header.height, header.model_hash, header.proof_digest)
        right = stored == block_hash(header) and recorded == claimed and header.cumulative_difficulty == total
        details = (
            f"hash {'right' if stored == block_hash(header) else 'differs'}, "
            f"winner {'right' if recorded == claimed else 'differs'}, "
            f"sum {'right' if header.cumulative_difficulty == total else 'differs'}"
        )
        checks.that(name, right, "hash, winning record and difficulty sum agree", details)
    checks.equal("head", head_hash, block_hash(headers[-1]) if headers else chain.genesis_hash())
    checks.equal("cumulative difficulty", cumulative, total)
    return headers, checks


def _hash_at(chain: Chain, height: int) -> bytes:
    try:
        return chain.block_hash(height)
    except NotFound as error:
        raise NotFound(f"the ledger has no block {height}") from error
