// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title MerkleLib
/// @notice Roots that a proof or a claim commits to: one-time watermark keys (P-90), predictions (M-5).
library MerkleLib {
    bytes1 private constant SLOT_LEAF = 0x00;
    bytes1 private constant SLOT_NODE = 0x01;
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
}
