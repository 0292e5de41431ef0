// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MerkleLib} from "../../../contracts/libraries/MerkleLib.sol";
import {Symbolic} from "./Symbolic.sol";

contract MerkleSymbolic is Symbolic {
    /// @dev SYM-MERKLE-1: for 1 to 2^32 leaves the depth is the least one whose tree has room for all.
    function check_depth_is_the_least(uint40 leaves) external pure {
        vm.assume(leaves >= 1);
        vm.assume(leaves <= 2 ** 32);
        uint256 depth = MerkleLib.depthOf(leaves);
        assert(1 << depth >= leaves);
        assert(depth == 0 || 1 << (depth - 1) < leaves);
    }

    /// @dev SYM-MERKLE-2: one of four slots has one key and one path: nothing else leads to the root.
    function check_slot_root_binds(bytes32 a, bytes32 b, uint32 slot, bytes32[2] calldata p, bytes32[2] calldata q)
        external
        view
    {
        vm.assume(slot < 4);
        vm.assume(this.slotRoot(a, slot, list(p)) == this.slotRoot(b, slot, list(q)));
        assert(a == b && p[0] == q[0] && p[1] == q[1]);
    }

    /// @dev SYM-MERKLE-3: one of four labels has one value and one path: nothing else leads to the root.
    function check_labels_root_binds(uint256 a, uint256 b, uint8 index, bytes32[2] calldata p, bytes32[2] calldata q)
        external
        view
    {
        vm.assume(index < 4);
        vm.assume(this.labelsRoot(a, index, list(p)) == this.labelsRoot(b, index, list(q)));
        assert(a == b && p[0] == q[0] && p[1] == q[1]);
    }

    /// @dev SYM-MERKLE-4: a predictions root binds proof, samples, top hash and total.
    function check_predictions_root_binds(
        bytes32[2] calldata a,
        bytes32[2] calldata b,
        uint256[2] calldata x,
        uint256[2] calldata y
    ) external pure {
        vm.assume(
            MerkleLib.predictionsRoot(a[0], x[0], a[1], x[1]) == MerkleLib.predictionsRoot(b[0], y[0], b[1], y[1])
        );
        assert(a[0] == b[0] && a[1] == b[1] && x[0] == y[0] && x[1] == y[1]);
    }

    function slotRoot(bytes32 key, uint32 slot, bytes32[] calldata path) external pure returns (bytes32) {
        return MerkleLib.slotRoot(key, slot, path);
    }

    function labelsRoot(uint256 label, uint256 index, bytes32[] calldata path) external pure returns (bytes32) {
        return MerkleLib.labelsRoot(label, index, path);
    }

    function list(bytes32[2] calldata given) private pure returns (bytes32[] memory path) {
        path = new bytes32[](2);
        path[0] = given[0];
        path[1] = given[1];
    }
}
