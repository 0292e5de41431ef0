// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ProofLib} from "../../../contracts/libraries/ProofLib.sol";
import {BlockHeader, Claim, Terms, TestSet, TrainingProof} from "../../../contracts/types/Task.sol";
import {Symbolic} from "./Symbolic.sol";

/// @dev keccak256 is taken to have no collisions; what is proved is that every member reaches the hash, in one way only.
contract ProofSymbolic is Symbolic {
    /// @dev SYM-PROOF-1: two training proofs with one digest are the same proof in the same domain.
    function check_proof_digest_is_injective(
        bytes32 domain,
        bytes32 otherDomain,
        TrainingProof calldata a,
        TrainingProof calldata b
    ) external pure {
        vm.assume(ProofLib.proofDigest(domain, a) == ProofLib.proofDigest(otherDomain, b));
        assert(domain == otherDomain);
        assert(a.taskId == b.taskId && a.round == b.round && a.miner == b.miner && a.modelHash == b.modelHash);
        assert(a.sealedModel == b.sealedModel && a.sealKeyHash == b.sealKeyHash);
        assert(a.watermarkRoot == b.watermarkRoot && a.parentModel == b.parentModel);
    }

    /// @dev SYM-PROOF-2: what a miner signs binds the proof and every member of the claim.
    function check_claim_digest_is_injective(bytes32 domain, bytes32 p, bytes32 q, Claim calldata a, Claim calldata b)
        external
        pure
    {
        vm.assume(ProofLib.claimDigest(domain, p, a) == ProofLib.claimDigest(domain, q, b));
        assert(p == q && a.total == b.total);
        assert(a.predictionsRoot == b.predictionsRoot && a.predictions == b.predictions);
    }

    /// @dev SYM-PROOF-3: what is stored of a claim binds the proof and every member of the claim.
    function check_claim_hash_is_injective(bytes32 p, bytes32 q, Claim calldata a, Claim calldata b) external pure {
        vm.assume(ProofLib.claimHash(p, a) == ProofLib.claimHash(q, b));
        assert(p == q && a.total == b.total);
        assert(a.predictionsRoot == b.predictionsRoot && a.predictions == b.predictions);
    }

    /// @dev SYM-PROOF-4: a commitment opens in one way.
    function check_commitment_is_injective(bytes32 p, bytes32 saltP, bytes32 q, bytes32 saltQ) external pure {
        vm.assume(ProofLib.commitment(p, saltP) == ProofLib.commitment(q, saltQ));
        assert(p == q && saltP == saltQ);
    }

    /// @dev SYM-PROOF-5: two test sets with one commitment are the same.
    function check_test_commitment_is_injective(TestSet calldata a, TestSet calldata b) external pure {
        vm.assume(ProofLib.testCommitment(a) == ProofLib.testCommitment(b));
        assert(a.sealedLocator == b.sealedLocator && a.plaintextHash == b.plaintextHash && a.keyHash == b.keyHash);
        assert(a.samples == b.samples && a.maxSampleScore == b.maxSampleScore && a.classes == b.classes);
        assert(a.metric == b.metric && a.labelsRoot == b.labelsRoot);
    }

    /// @dev SYM-PROOF-6: two blocks with one hash have the same place, work and winner.
    function check_block_hash_is_injective(BlockHeader calldata a, BlockHeader calldata b) external pure {
        vm.assume(ProofLib.blockHash(a) == ProofLib.blockHash(b));
        assert(a.version == b.version && a.height == b.height && a.previousHash == b.previousHash);
        assert(a.taskId == b.taskId && a.round == b.round && a.modelHash == b.modelHash);
        assert(a.proofDigest == b.proofDigest && a.miner == b.miner && a.total == b.total);
        assert(a.scorePpm == b.scorePpm && a.difficulty == b.difficulty && a.timestamp == b.timestamp);
        assert(a.cumulativeDifficulty == b.cumulativeDifficulty && a.openTasks == b.openTasks);
    }
}
