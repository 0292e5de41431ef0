// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {DifficultyLib} from "../../contracts/libraries/DifficultyLib.sol";
import {MerkleLib} from "../../contracts/libraries/MerkleLib.sol";
import {PayoutLib} from "../../contracts/libraries/PayoutLib.sol";
import {PhaseLib} from "../../contracts/libraries/PhaseLib.sol";
import {ProofLib} from "../../contracts/libraries/ProofLib.sol";
import {ScoreLib} from "../../contracts/libraries/ScoreLib.sol";
import {SignatureLib} from "../../contracts/libraries/SignatureLib.sol";
import {
    BlockHeader,
    Claim,
    Phase,
    Round,
    Task,
    Terms,
    TestSet,
    TrainingProof,
    Workload
} from "../../contracts/types/Task.sol";

/// @title Harness
/// @dev Opens the internal libraries to differential tests, from Solidity (Vectors.t.sol) and from Python.
contract Harness {
    Task private _task;
    Round private _round;

    function termsHash(Terms calldata terms, bytes32[] calldata testCommitments) external pure returns (bytes32) {
        return ProofLib.termsHash(terms, testCommitments);
    }

    function commitmentOfTest(TestSet calldata testSet) external pure returns (bytes32) {
        return ProofLib.testCommitment(testSet);
    }

    function domainSeparator(uint256 chainId, address market) external pure returns (bytes32) {
        return ProofLib.domainSeparator(chainId, market);
    }

    function proofDigest(bytes32 separator, TrainingProof calldata proof) external pure returns (bytes32) {
        return ProofLib.proofDigest(separator, proof);
    }

    function claimStructHash(bytes32 digest, Claim calldata claim) external pure returns (bytes32) {
        return ProofLib.claimStructHash(digest, claim);
    }

    function claimDigest(bytes32 separator, bytes32 digest, Claim calldata claim) external pure returns (bytes32) {
        return ProofLib.claimDigest(separator, digest, claim);
    }

    function commitment(bytes32 digest, bytes32 salt) external pure returns (bytes32) {
        return ProofLib.commitment(digest, salt);
    }

    function claimHash(bytes32 digest, Claim calldata claim) external pure returns (bytes32) {
        return ProofLib.claimHash(digest, claim);
    }

    function blockHash(BlockHeader calldata header) external pure returns (bytes32) {
        return ProofLib.blockHash(header);
    }

    function recover(bytes32 digest, bytes calldata signature)
        external
        pure
        returns (address signer, bool isWellFormed)
    {
        return SignatureLib.recover(digest, signature);
    }

    function isSigned(address signer, bytes32 digest, bytes calldata signature) external view returns (bool) {
        return SignatureLib.isValid(signer, digest, signature);
    }

    /// @dev Not a view, because the library reads storage; call it with eth_call.
    function phase(Task calldata task, Round calldata round, uint256 time, uint256 finalityGap, uint256 voteSeconds)
        external
        returns (Phase, bool, uint40)
    {
        _task = task;
        _round = round;
        return PhaseLib.phaseOf(_task, _round, time, finalityGap, voteSeconds);
    }

    function log2Down(uint256 n, uint256 d) external pure returns (uint256) {
        return DifficultyLib.log2Down(n, d);
    }

    function mostSignificantBit(uint256 x) external pure returns (uint256) {
        return DifficultyLib.mostSignificantBit(x);
    }

    /// @param weights complexity, network, data, queue
    function difficulty(uint256[4] calldata weights, Workload calldata workload, uint256 queue)
        external
        pure
        returns (uint64)
    {
        return DifficultyLib.difficultyDown(weights[0], weights[1], weights[2], weights[3], workload, queue);
    }

    function rank(uint256 bountyWei, uint256 waitedSeconds, uint256 agingSeconds, uint256 difficulty_)
        external
        pure
        returns (uint256)
    {
        return DifficultyLib.rankDown(bountyWei, waitedSeconds, agingSeconds, difficulty_);
    }

    function scorePpm(uint256 total, uint256 samples, uint256 maxSampleScore) external pure returns (uint32) {
        return ScoreLib.scorePpmDown(total, samples, maxSampleScore);
    }

    function reaches(uint256 total, uint256 required, uint256 samples, uint256 maxSampleScore)
        external
        pure
        returns (bool)
    {
        return ScoreLib.reaches(total, required, samples, maxSampleScore);
    }

    function settlement(uint256 bountyWei, uint256 feeBps, uint256 royaltyBps, bool hasParent)
        external
        pure
        returns (uint256 paidWei, uint256 feeWei, uint256 royaltyWei)
    {
        return PayoutLib.settlement(bountyWei, feeBps, royaltyBps, hasParent);
    }

    function abortion(uint256 bondWei, uint256 committers) external pure returns (uint256 shareWei, uint256 restWei) {
        return PayoutLib.abortion(bondWei, committers);
    }

    function slotRoot(bytes32 key, uint32 slot, bytes32[] calldata path) external pure returns (bytes32) {
        return MerkleLib.slotRoot(key, slot, path);
    }

    function predictionsRoot(bytes32 digest, uint256 samples, bytes32 hTop, uint256 total)
        external
        pure
        returns (bytes32)
    {
        return MerkleLib.predictionsRoot(digest, samples, hTop, total);
    }

    // ---------------------------------------------------------------- many cases in one call

    function logs(uint256[] calldata n, uint256[] calldata d) external pure returns (uint256[] memory found) {
        found = new uint256[](n.length);
        for (uint256 i; i < n.length; ++i) {
            found[i] = DifficultyLib.log2Down(n[i], d[i]);
        }
    }

    /// @param weights complexity, network, data, queue
    function difficulties(uint256[4] calldata weights, Workload[] calldata workloads, uint256[] calldata queues)
        external
        pure
        returns (uint64[] memory found)
    {
        found = new uint64[](workloads.length);
        for (uint256 i; i < found.length; ++i) {
            found[i] =
                DifficultyLib.difficultyDown(weights[0], weights[1], weights[2], weights[3], workloads[i], queues[i]);
        }
    }

    /// @param inputs bounty, waited, aging, difficulty
    function ranks(uint256[4][] calldata inputs) external pure returns (uint256[] memory found) {
        found = new uint256[](inputs.length);
        for (uint256 i; i < found.length; ++i) {
            found[i] = DifficultyLib.rankDown(inputs[i][0], inputs[i][1], inputs[i][2], inputs[i][3]);
        }
    }

    /// @dev Not a view, like phase.
    function phases(
        Task[] calldata tasks,
        Round[] calldata rounds,
        uint256[] calldata times,
        uint256 finalityGap,
        uint256 voteSeconds
    ) external returns (Phase[] memory phase_, bool[] memory due, uint40[] memory endsAt) {
        phase_ = new Phase[](tasks.length);
        due = new bool[](tasks.length);
        endsAt = new uint40[](tasks.length);
        for (uint256 i; i < tasks.length; ++i) {
            _task = tasks[i];
            _round = rounds[i];
            (phase_[i], due[i], endsAt[i]) = PhaseLib.phaseOf(_task, _round, times[i], finalityGap, voteSeconds);
        }
    }

    /// @param inputs bounty, fee bps, royalty bps, 1 if there is a parent
    /// @return found paid, fee, royalty
    function settlements(uint256[4][] calldata inputs) external pure returns (uint256[3][] memory found) {
        found = new uint256[3][](inputs.length);
        for (uint256 i; i < found.length; ++i) {
            (found[i][0], found[i][1], found[i][2]) =
                PayoutLib.settlement(inputs[i][0], inputs[i][1], inputs[i][2], inputs[i][3] != 0);
        }
    }

    /// @param inputs bond, committers
    /// @return found share, rest
    function abortions(uint256[2][] calldata inputs) external pure returns (uint256[2][] memory found) {
        found = new uint256[2][](inputs.length);
        for (uint256 i; i < found.length; ++i) {
            (found[i][0], found[i][1]) = PayoutLib.abortion(inputs[i][0], inputs[i][1]);
        }
    }

    /// @param inputs total, required ppm, samples, maxSampleScore
    function scores(uint256[4][] calldata inputs) external pure returns (uint32[] memory ppm, bool[] memory reached) {
        ppm = new uint32[](inputs.length);
        reached = new bool[](inputs.length);
        for (uint256 i; i < inputs.length; ++i) {
            ppm[i] = ScoreLib.scorePpmDown(inputs[i][0], inputs[i][2], inputs[i][3]);
            reached[i] = ScoreLib.reaches(inputs[i][0], inputs[i][1], inputs[i][2], inputs[i][3]);
        }
    }

    function termsHashes(Terms[] calldata terms, bytes32[][] calldata testCommitments)
        external
        pure
        returns (bytes32[] memory found)
    {
        found = new bytes32[](terms.length);
        for (uint256 i; i < found.length; ++i) {
            found[i] = ProofLib.termsHash(terms[i], testCommitments[i]);
        }
    }

    /// @dev Not named testCommitments, or the test runner would take it for a test.
    function commitmentsOfTests(TestSet[] calldata testSets) external pure returns (bytes32[] memory found) {
        found = new bytes32[](testSets.length);
        for (uint256 i; i < found.length; ++i) {
            found[i] = ProofLib.testCommitment(testSets[i]);
        }
    }

    /// @return found proof digest, commitment, claim hash, claim digest, predictions root (the salt doubles as hTop)
    function proofHashes(
        uint256 chainId,
        address market,
        TrainingProof[] calldata proofs,
        Claim[] calldata claims,
        bytes32[] calldata salts,
        uint256[] calldata samples
    ) external pure returns (bytes32[5][] memory found) {
        bytes32 separator = ProofLib.domainSeparator(chainId, market);
        found = new bytes32[5][](proofs.length);
        for (uint256 i; i < found.length; ++i) {
            bytes32 digest = ProofLib.proofDigest(separator, proofs[i]);
            found[i][0] = digest;
            found[i][1] = ProofLib.commitment(digest, salts[i]);
            found[i][2] = ProofLib.claimHash(digest, claims[i]);
            found[i][3] = ProofLib.claimDigest(separator, digest, claims[i]);
            found[i][4] = MerkleLib.predictionsRoot(digest, samples[i], salts[i], claims[i].total);
        }
    }

    function slotRoots(bytes32[] calldata keys, uint32[] calldata slots, bytes32[][] calldata paths)
        external
        pure
        returns (bytes32[] memory found)
    {
        found = new bytes32[](keys.length);
        for (uint256 i; i < found.length; ++i) {
            found[i] = MerkleLib.slotRoot(keys[i], slots[i], paths[i]);
        }
    }

    function blockHashes(BlockHeader[] calldata headers) external pure returns (bytes32[] memory found) {
        found = new bytes32[](headers.length);
        for (uint256 i; i < found.length; ++i) {
            found[i] = ProofLib.blockHash(headers[i]);
        }
    }
}
