// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IPoolRules} from "./interfaces/IPoolRules.sol";
import {ITaskMarket} from "./interfaces/ITaskMarket.sol";
import {BallotLib} from "./libraries/BallotLib.sol";
import {Errors} from "./libraries/Errors.sol";
import {MerkleLib} from "./libraries/MerkleLib.sol";
import {ProofLib} from "./libraries/ProofLib.sol";
import {RefutationLib} from "./libraries/RefutationLib.sol";
import {VotePayoutLib} from "./libraries/VotePayoutLib.sol";
import {ClaimRef, Fault, LabelProof, PredictionLeaf, Round, SumNode, Task, Vote} from "./types/Task.sol";

/// @title PoolRules
/// @notice The pool makes its own in its constructor, so that hashing trees and reading whole tasks does not count
/// against the pool's code size.
/// Holds no state and no money.
contract PoolRules is IPoolRules {
    ITaskMarket private immutable MARKET;

    constructor(ITaskMarket market) {
        MARKET = market;
    }

    /// @inheritdoc IPoolRules
    function bondOf(uint256 taskId) external view returns (uint256 bondWei) {
        return VotePayoutLib.bondUp(MARKET.taskOf(taskId).bountyWei);
    }

    /// @inheritdoc IPoolRules
    function disputed(uint256 taskId) external view returns (bytes32 caseId, address defendant, uint256 bondWei) {
        Task memory task = MARKET.taskOf(taskId);
        Round memory round = MARKET.roundOf(taskId, task.round);
        if (round.vote == Vote.None) revert Errors.Pool_NothingDisputed(taskId);
        address subject = round.vote == Vote.Claim ? round.leader : address(0);
        caseId = BallotLib.caseId(taskId, task.round, subject);
        defendant = subject == address(0) ? task.requester : subject;
        bondWei = VotePayoutLib.bondUp(task.bountyWei);
    }

    /// @inheritdoc IPoolRules
    function faultOf(
        ClaimRef calldata ref,
        uint256 index,
        PredictionLeaf calldata leaf,
        SumNode[] calldata path,
        LabelProof calldata label
    ) external view returns (Fault) {
        (bytes32 digest, Round memory round) = _checkClaim(ref);
        return RefutationLib.faultOf(digest, ref, round, index, leaf, path, label);
    }

    /// @inheritdoc IPoolRules
    function checkDemand(ClaimRef calldata ref, uint256 index) external view {
        (, Round memory round) = _checkClaim(ref);
        if (index >= round.samples) revert Errors.Claim_IndexOutOfRange(index, round.samples);
    }

    /// @inheritdoc IPoolRules
    function checkAnswer(ClaimRef calldata ref, uint256 index, PredictionLeaf calldata leaf, SumNode[] calldata path)
        external
        view
    {
        (bytes32 digest, Round memory round) = _checkClaim(ref);
        RefutationLib.climb(digest, ref.hTop, round, index, leaf, path);
    }

    /// @dev That this is the claim which its miner revealed, and this the top of its tree.
    function _checkClaim(ClaimRef calldata ref) private view returns (bytes32 digest, Round memory round) {
        digest = MARKET.proofDigest(ref.proof);
        bytes32 given = ProofLib.claimHash(digest, ref.claim);
        bytes32 stored = MARKET.entryOf(ref.proof.taskId, ref.proof.round, ref.proof.miner).digest;
        if (given != stored) revert Errors.Claim_NotRevealed(given, stored);
        round = MARKET.roundOf(ref.proof.taskId, ref.proof.round);
        bytes32 root = MerkleLib.predictionsRoot(digest, round.samples, ref.hTop, ref.claim.total);
        if (root != ref.claim.predictionsRoot) revert Errors.Claim_WrongTop(root, ref.claim.predictionsRoot);
    }
}
