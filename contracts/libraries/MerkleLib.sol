// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title MerkleLib
/// @notice Roots that a proof, a claim or a test set commits to: one-time watermark keys (P-90), predictions (M-3 to
/// M-5), labels (M-2).
library MerkleLib {
    bytes1 private constant SLOT_LEAF = 0x00;
    bytes1 private constant SLOT_NODE = 0x01;
    uint8 private constant PREDICTION_LEAF = 0;
    uint8 private constant PREDICTION_NODE = 1;
    uint8 private constant LABEL_LEAF = 2;
    uint8 private constant LABEL_NODE = 3;
    uint8 private constant PREDICTIONS_ROOT = 4;

    /// @notice Root over the slot keys, from one key and its siblings.
    /// @param slot index of the key; its bits, lowest first, say on which side each node is
    /// @param path siblings from the leaf up
    function slotRoot(bytes32 key, uint32 slot, bytes32[] calldata path) internal pure returns (bytes32 node) {
        node = keccak256(abi.encodePacked(SLOT_LEAF, key, slot));
        for (uint256 i; i < path.length; ++i) {
            node = (slot >> i) & 1 == 0
                ? keccak256(abi.encodePacked(SLOT_NODE, node, path[i]))
                : keccak256(abi.encodePacked(SLOT_NODE, path[i], node));
        }
    }

    /// @notice H(uint8 4, proofDigest, n, hTop, total): ties the prediction tree to one proof and one total (M-5).
    function predictionsRoot(bytes32 proofDigest, uint256 samples, bytes32 hTop, uint256 total)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(PREDICTIONS_ROOT, proofDigest, samples, hTop, total));
    }

    /// @notice H(uint8 0, proofDigest, p, s): the position comes from the path (M-3).
    function predictionLeaf(bytes32 proofDigest, uint256 prediction, uint256 score) internal pure returns (bytes32) {
        return keccak256(abi.encode(PREDICTION_LEAF, proofDigest, prediction, score));
    }

    /// @notice H(uint8 1, hL, sL, hR, sR): both sums are hashed (M-4).
    function predictionNode(bytes32 left, uint256 leftSum, bytes32 right, uint256 rightSum)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(PREDICTION_NODE, left, leftSum, right, rightSum));
    }

    /// @notice Root over the labels, from one label and its siblings: leaf H(uint8 2, y), node H(uint8 3, l, r) (M-2).
    /// @param index its bits, lowest first, say on which side each node is
    /// @param path siblings from the leaf up
    function labelsRoot(uint256 label, uint256 index, bytes32[] calldata path) internal pure returns (bytes32 node) {
        node = keccak256(abi.encode(LABEL_LEAF, label));
        for (uint256 i; i < path.length; ++i) {
            node = (index >> i) & 1 == 0
                ? keccak256(abi.encode(LABEL_NODE, node, path[i]))
                : keccak256(abi.encode(LABEL_NODE, path[i], node));
        }
    }

    /// @notice Levels below the top of a tree over so many leaves: the least d with 2^d >= leaves.
    /// @param leaves from 1 to 2^32
    function depthOf(uint256 leaves) internal pure returns (uint256 depth) {
        while (1 << depth < leaves) ++depth;
    }
}
