// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {DifficultyLib} from "../../contracts/libraries/DifficultyLib.sol";
import {MerkleLib} from "../../contracts/libraries/MerkleLib.sol";
import {PayoutLib} from "../../contracts/libraries/PayoutLib.sol";
import {PhaseLib} from "../../contracts/libraries/PhaseLib.sol";
import {ProofLib} from "../../contracts/libraries/ProofLib.sol";
import {ScoreLib} from "../../contracts/libraries/ScoreLib.sol";
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
        return ProofLib.recover(digest, signature);
    }

    /// @dev Not a view, because the library reads storage; call it with eth_call.
    function phase(Task calldata task, Round calldata round, uint256 time, uint256 finalityGap)
        external
        returns (Phase, bool, uint40)
    {
        _task = task;
        _round = round;
        return PhaseLib.phaseOf(_task, _round, time, finalityGap);
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

    function abortion(uint256 bondWei, uint256 commits) external pure returns (uint256 shareWei, uint256 restWei) {
        return PayoutLib.abortion(bondWei, commits);
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
}
