// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MerkleLib} from "../../../contracts/libraries/MerkleLib.sol";
import {RefutationLib} from "../../../contracts/libraries/RefutationLib.sol";
import {ClaimRef, Fault, LabelProof, PredictionLeaf, Round, SumNode} from "../../../contracts/types/Task.sol";
import {Symbolic} from "./Symbolic.sol";

/// @dev Trees over one to four samples, all values symbolic.
contract RefutationSymbolic is Symbolic {
    /// @dev A node as its parent states it.
    struct Node {
        bytes32 hash;
        uint256 sum;
    }

    struct Scores {
        uint256[3] predictions;
        uint24[3] scores;
    }

    /// @dev A claim of another metric than classification, and the place of a leaf.
    struct Tree {
        bytes32 digest;
        bytes32 top;
        uint256 total;
        uint40 samples;
        uint32 most;
        uint256 index;
    }

    /// @dev SYM-REFUTE-1: no path refutes an honest tree over two samples, whatever its scores, at either index.
    function check_an_honest_tree_of_two_stands(bytes32 digest, Scores calldata given, uint24 most, bool second)
        external
        view
    {
        vm.assume(given.scores[0] <= most);
        vm.assume(given.scores[1] <= most);
        Node memory left = leaf(digest, given, 0);
        Node memory right = leaf(digest, given, 1);
        SumNode[] memory path = second ? pathOf(left, right) : pathOf(right, left);
        Node memory top = parent(left, right);
        uint256 index = second ? 1 : 0;
        Tree memory tree = Tree(digest, top.hash, top.sum, 2, most, index);
        assert(this.faultOf(tree, leafOf(given, index), path) == Fault.None);
    }

    /// @dev SYM-REFUTE-2: no path refutes an honest tree over three samples and one padding leaf, at any real index.
    function check_an_honest_tree_of_three_stands(bytes32 digest, Scores calldata given, uint24 most, uint8 index)
        external
        view
    {
        vm.assume(index < 3);
        for (uint256 i; i < 3; ++i) {
            vm.assume(given.scores[i] <= most);
        }
        Node[4] memory nodes = [leaf(digest, given, 0), leaf(digest, given, 1), leaf(digest, given, 2), Node(0, 0)];
        Node[2] memory halves = [parent(nodes[0], nodes[1]), parent(nodes[2], nodes[3])];
        Node memory top = parent(halves[0], halves[1]);
        SumNode[] memory path = new SumNode[](2);
        for (uint256 i; i < 3; ++i) {
            if (i != index) continue;
            path[0] = SumNode(nodes[i ^ 1].hash, nodes[i ^ 1].sum, nodes[i].sum);
            path[1] = SumNode(halves[i / 2 ^ 1].hash, halves[i / 2 ^ 1].sum, halves[i / 2].sum);
            Tree memory tree = Tree(digest, top.hash, top.sum, 3, most, i);
            assert(this.faultOf(tree, leafOf(given, i), path) == Fault.None);
        }
    }

    /// @dev SYM-REFUTE-3: if neither path of a tree over two samples refutes it, whatever sums it states, its total is the
    /// sum of its scores and no score exceeds the most: nothing false goes unrefuted.
    function check_a_false_tree_of_two_is_refuted(
        bytes32 digest,
        PredictionLeaf[2] calldata leaves,
        uint256[2] calldata sums,
        uint64 total,
        uint24 most
    ) external view {
        Node memory left = Node(MerkleLib.predictionLeaf(digest, leaves[0].prediction, leaves[0].score), sums[0]);
        Node memory right = Node(MerkleLib.predictionLeaf(digest, leaves[1].prediction, leaves[1].score), sums[1]);
        Tree memory tree = Tree(digest, parent(left, right).hash, total, 2, most, 0);
        vm.assume(this.faultOf(tree, leaves[0], pathOf(right, left)) == Fault.None);
        tree.index = 1;
        vm.assume(this.faultOf(tree, leaves[1], pathOf(left, right)) == Fault.None);
        assert(leaves[0].score <= most);
        assert(leaves[1].score <= most);
        assert(leaves[0].score + leaves[1].score == total);
    }

    /// @dev SYM-REFUTE-4: what leads to the top of a tree over two samples is the committed leaf: nobody can be refuted by a
    /// leaf it did not commit to.
    function check_a_path_binds_its_leaf(
        bytes32 digest,
        PredictionLeaf[2] calldata given,
        SumNode[2] calldata steps,
        bytes32 top,
        uint24 most
    ) external view {
        Tree memory tree = Tree(digest, top, 0, 2, most, 0);
        SumNode[] memory path = new SumNode[](1);
        path[0] = steps[0];
        this.climb(tree, given[0], path);
        path[0] = steps[1];
        this.climb(tree, given[1], path);
        assert(given[0].prediction == given[1].prediction && given[0].score == given[1].score);
        assert(steps[0].ownSum == steps[1].ownSum && steps[0].sum == steps[1].sum);
    }

    function faultOf(Tree calldata tree, PredictionLeaf calldata given, SumNode[] calldata path)
        external
        view
        returns (Fault)
    {
        ClaimRef memory ref;
        ref.hTop = tree.top;
        ref.claim.total = uint64(tree.total);
        LabelProof memory label;
        return this.judge(ref, tree, given, path, label);
    }

    /// @dev Here the claim is in calldata, as the library wants it.
    function judge(
        ClaimRef calldata ref,
        Tree calldata tree,
        PredictionLeaf calldata given,
        SumNode[] calldata path,
        LabelProof calldata label
    ) external pure returns (Fault) {
        return RefutationLib.faultOf(tree.digest, ref, roundOf(tree), tree.index, given, path, label);
    }

    function climb(Tree calldata tree, PredictionLeaf calldata given, SumNode[] calldata path)
        external
        pure
        returns (uint256)
    {
        return RefutationLib.climb(tree.digest, tree.top, roundOf(tree), tree.index, given, path);
    }

    function roundOf(Tree calldata tree) private pure returns (Round memory round) {
        round.samples = tree.samples;
        round.maxSampleScore = tree.most;
        round.metric = 2;
    }

    function pathOf(Node memory sibling, Node memory own) private pure returns (SumNode[] memory path) {
        path = new SumNode[](1);
        path[0] = SumNode(sibling.hash, sibling.sum, own.sum);
    }

    function leafOf(Scores calldata given, uint256 index) private pure returns (PredictionLeaf memory) {
        return PredictionLeaf(given.predictions[index], given.scores[index]);
    }

    function leaf(bytes32 digest, Scores calldata given, uint256 index) private pure returns (Node memory) {
        uint256 score = given.scores[index];
        return Node(MerkleLib.predictionLeaf(digest, given.predictions[index], score), score);
    }

    function parent(Node memory left, Node memory right) private pure returns (Node memory node) {
        node.hash = MerkleLib.predictionNode(left.hash, left.sum, right.hash, right.sum);
        // the sums of a dishonest tree may be anything
        unchecked {
            node.sum = left.sum + right.sum;
        }
    }
}
