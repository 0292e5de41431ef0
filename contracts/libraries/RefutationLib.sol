// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ClaimRef, Fault, LabelProof, PredictionLeaf, Round, SumNode} from "../types/Task.sol";
import {Errors} from "./Errors.sol";
import {MerkleLib} from "./MerkleLib.sol";
import {ProofLib} from "./ProofLib.sol";

/// @title RefutationLib
/// @notice What one path of a prediction tree proves about its claim (M-3 to M-6). Whoever sends the path can choose
/// none of it: leaf, sums and hashes are what the miner committed to, or the path does not lead to the claim's top.
library RefutationLib {
    uint256 private constant CLASSIFICATION = 1;

    /// @notice The first fault that holds, in the order structure, padding, range, score; None if there is none.
    /// Reverts unless the path leads from the leaf to the claim's top.
    /// @param proofDigest of ref.proof
    /// @param round facts of the round: samples, maxSampleScore, classes, metric, testCommitment
    function faultOf(
        bytes32 proofDigest,
        ClaimRef calldata ref,
        Round memory round,
        uint256 index,
        PredictionLeaf calldata leaf,
        SumNode[] calldata path,
        LabelProof calldata label
    ) internal pure returns (Fault) {
        uint256 total = climb(proofDigest, ref.hTop, round, index, leaf, path);
        if (total != ref.claim.total) return Fault.WrongSum;
        if (index >= round.samples) return Fault.Padding;
        uint256 score = leaf.score;
        if (score > round.maxSampleScore) return Fault.OutOfRange;
        if (round.metric != CLASSIFICATION) return Fault.None;
        if (leaf.prediction >= round.classes) return Fault.OutOfRange;
        if (label.testSet.samples == 0) return Fault.None;
        _checkLabel(label, round, index);
        return score == (leaf.prediction == label.label ? 1 : 0) ? Fault.None : Fault.WrongScore;
    }

    /// @notice Reverts unless the path leads from the leaf to the top; a leaf beyond the samples is hashed like any
    /// other.
    /// @return total the sum at the top; the greatest number if a sum on the way is not that of the two below it, or
    /// exceeds maxSampleScore x the real leaves below it
    function climb(
        bytes32 proofDigest,
        bytes32 hTop,
        Round memory round,
        uint256 index,
        PredictionLeaf calldata leaf,
        SumNode[] calldata path
    ) internal pure returns (uint256 total) {
        _checkPath(path.length, index, round.samples);
        bytes32 node = MerkleLib.predictionLeaf(proofDigest, leaf.prediction, leaf.score);
        total = leaf.score;
        bool isSound = true;
        for (uint256 level; level < path.length; ++level) {
            SumNode calldata step = path[level];
            uint256 position = index >> level;
            isSound = isSound && step.ownSum == total && _isWithin(step.ownSum, position, level, round)
                && _isWithin(step.sum, position ^ 1, level, round);
            node = position & 1 == 0
                ? MerkleLib.predictionNode(node, step.ownSum, step.hash, step.sum)
                : MerkleLib.predictionNode(step.hash, step.sum, node, step.ownSum);
            // Proof: while isSound, both sums are at most 2^24 x 2^32. Once it is not, the total means nothing.
            unchecked {
                total = step.ownSum + step.sum;
            }
        }
        if (node != hTop) revert Errors.Claim_WrongPath(node, hTop);
        if (!isSound) total = type(uint256).max;
    }

    /// @dev One step a level, and no place outside the tree.
    function _checkPath(uint256 length, uint256 index, uint256 samples) private pure {
        uint256 depth = MerkleLib.depthOf(samples);
        if (length != depth) revert Errors.Claim_WrongPathLength(length, depth);
        if (index >= 1 << depth) revert Errors.Claim_IndexOutOfRange(index, 1 << depth);
    }

    /// @dev Whether a node's sum can be that of its leaves: it has min(samples - first, 2^level) real ones, or none.
    function _isWithin(uint256 sum, uint256 position, uint256 level, Round memory round) private pure returns (bool) {
        uint256 first = position << level;
        uint256 samples = round.samples;
        if (first >= samples) return sum == 0;
        uint256 leaves = samples - first;
        if (leaves > 1 << level) leaves = 1 << level;
        return sum <= leaves * round.maxSampleScore;
    }

    /// @dev That this is the committed label of the sample.
    function _checkLabel(LabelProof calldata label, Round memory round, uint256 index) private pure {
        bytes32 commitment = ProofLib.testCommitment(label.testSet);
        if (commitment != round.testCommitment) revert Errors.Market_WrongTestSet(commitment, round.testCommitment);
        uint256 depth = MerkleLib.depthOf(round.samples);
        if (label.path.length != depth) revert Errors.Claim_WrongPathLength(label.path.length, depth);
        bytes32 root = MerkleLib.labelsRoot(label.label, index, label.path);
        if (root != label.testSet.labelsRoot) revert Errors.Claim_WrongLabelPath(root, label.testSet.labelsRoot);
    }
}
