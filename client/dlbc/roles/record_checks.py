"""The checks of an audit that take nothing but the chain: the ledger, the payout, and how a claim came to lead."""

from __future__ import annotations

from dlbc.core.errors import VerificationFailed
from dlbc.core.events import ClaimRevealed
from dlbc.core.payouts import settlement
from dlbc.core.proofs import block_hash, claim_hash, commitment, score_claim_digest
from dlbc.core.report import Checks
from dlbc.core.scoring import meets
from dlbc.core.types import ZERO_HASH, BlockHeader, Hash32
from dlbc.ports import RecoverSigner
from dlbc.roles.audited import AuditedRound

SIGNED_ON_CHAIN, SIGNED_OFF_CHAIN = "signature (contract)", "signature (off chain)"
"""Checks of who signed a claim."""


def check_ledger(audited: AuditedRound, checks: Checks, claim: ClaimRevealed) -> None:
    """The block and the winning record that a settled round left."""
    headers = audited.chain.blocks(0, audited.winner.height + 1)
    own = next((header for header in headers if header.height == audited.winner.height), None)
    if own is None or len(headers) != audited.winner.height + 1:
        found = f"{len(headers)} blocks in the log"
        checks.that("ledger block", False, f"blocks 0 to {audited.winner.height}", found)
        return
    stored = audited.chain.block_hash(own.height)
    checks.equal("ledger block hash", stored, block_hash(own))
    checks.that(
        "ledger block (contract)", audited.chain.verify_block(own), "verifyBlock: true", "the header in the log"
    )
    broken = broken_link(headers, audited.chain.genesis_hash())
    checks.that(
        "ledger links",
        broken is None,
        f"{len(headers)} blocks linked to genesis",
        "all linked" if broken is None else f"block {broken} does not follow",
    )
    digest = audited.digest(claim)
    recorded = (own.task_id, own.round, own.miner, own.total, own.model_hash, own.proof_digest, own.difficulty)
    proof = claim.proof
    expected = (
        audited.task_id,
        audited.index,
        proof.miner,
        claim.claim.total,
        proof.model_hash,
        digest,
        audited.posted.difficulty,
    )
    checks.that("ledger record", recorded == expected, "the revealed claim", _same("the block", recorded == expected))
    winner = audited.winner
    stored_winner = (winner.miner, winner.total, winner.model_hash, winner.proof_digest, winner.watermark_root)
    wanted = (proof.miner, claim.claim.total, proof.model_hash, digest, proof.watermark_root)
    same = stored_winner == wanted and winner.parent_model == proof.parent_model
    checks.that("winning record (contract)", same, "the revealed claim", _same("winnerOf", same))


def check_payout(audited: AuditedRound, checks: Checks, claim: ClaimRevealed) -> None:
    """What settling credited."""
    paid = next((event for event in audited.chain.settlements(audited.task_id) if event.round == audited.index), None)
    terms, has_parent = audited.posted.terms, claim.proof.parent_model != ZERO_HASH
    shares = settlement(terms.bounty_wei, audited.chain.params().fee_bps, terms.royalty_bps, has_parent)
    found = (paid.paid_wei, paid.fee_wei, paid.royalty_wei) if paid else None
    checks.equal("payout, fee, royalty (wei)", tuple(shares), found)


def check_signature(audited: AuditedRound, checks: Checks, claim: ClaimRevealed, recover_signer: RecoverSigner) -> None:
    """By the miner's key; else by the word of its contract (ERC-1271), of which off chain nothing can be seen."""
    valid = audited.chain.verify_proof(claim.proof, claim.claim, claim.signature)
    checks.that(SIGNED_ON_CHAIN, valid, "verifyProof: true", f"verifyProof: {str(valid).lower()}")
    digest = score_claim_digest(audited.digest(claim), claim.claim, audited.chain.chain_id, audited.chain.market)
    try:
        found: str = recover_signer(digest, claim.signature)
    except VerificationFailed as error:
        found = str(error)
    is_key = found == claim.proof.miner
    if valid and not is_key:
        found = "no key's signature, but one that the miner's contract confirms"
    checks.that(SIGNED_OFF_CHAIN, valid or is_key, claim.proof.miner, found)


def check_commitment(audited: AuditedRound, checks: Checks, claim: ClaimRevealed) -> None:
    """What was revealed is what was committed."""
    digest, commits = audited.digest(claim), audited.chain.commits(audited.task_id, audited.index)
    committed = [event for event in commits if event.miner == claim.proof.miner]
    last = committed[-1].commitment if committed else ZERO_HASH
    checks.equal("commitment opens", last, commitment(digest, claim.salt))
    entry = audited.chain.entry(audited.task_id, audited.index, claim.proof.miner)
    checks.equal("claim on chain", entry.digest, claim_hash(digest, claim.claim))


def check_leader(audited: AuditedRound, checks: Checks, claim: ClaimRevealed) -> None:
    """After a strike only nominated claims compete, so then it is enough that this one qualifies.

    Every strike, whether by silence, a vote, a refutation or an unanswered demand, is in the log.
    """
    struck = {event.miner for event in audited.chain.strikes(audited.task_id, audited.index)}
    marked = sum(audited.chain.entry(audited.task_id, audited.index, miner).is_struck for miner in struck)
    checks.that(
        "strikes",
        audited.facts.strikes == len(struck) == marked and claim.proof.miner not in struck,
        f"{audited.facts.strikes} struck, this miner not among them",
        f"{len(struck)} in the log, {marked} of them marked on chain"
        + (", this miner among them" if claim.proof.miner in struck else ""),
    )
    mine = audited.chain.entry(audited.task_id, audited.index, claim.proof.miner)
    required = audited.posted.terms.min_score_ppm
    enough = meets(claim.claim.total, required, audited.facts.samples, audited.facts.max_sample_score)
    checks.that(
        "claim qualifies",
        enough and mine.qualifies and not mine.is_struck,
        f"at least {required} ppm, not struck",
        f"{audited.ppm(claim)} ppm, {'qualifies' if mine.qualifies else 'does not qualify'}",
    )
    better = []
    for event in audited.chain.reveals(audited.task_id, audited.index):
        entry = audited.chain.entry(audited.task_id, audited.index, event.proof.miner)
        ahead = (entry.total, -entry.commit_seq) > (mine.total, -mine.commit_seq)
        if ahead and entry.qualifies and not entry.is_struck:
            better.append(event.proof.miner)
    checks.that(
        "best qualifying claim",
        not better or audited.facts.strikes != 0,
        "no better claim" if not audited.facts.strikes else "the best nominated claim",
        f"better: {better[0]}" if better else "none is better",
    )


def broken_link(headers: list[BlockHeader], genesis: Hash32) -> int | None:
    """Height of the first block whose previous hash is not its predecessor's, or None."""
    previous = genesis
    for height, header in enumerate(headers):
        if header.height != height or header.previous_hash != previous:
            return height
        previous = block_hash(header)
    return None


def _same(what: str, same: bool) -> str:
    return f"{what} agrees" if same else f"{what} differs"
