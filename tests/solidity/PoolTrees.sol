// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ClaimRef, LabelProof, PredictionLeaf, Round, SumNode, TestSet, Terms} from "../../contracts/types/Task.sol";
import {PoolScenario} from "./PoolScenario.sol";

/// @title PoolTrees
/// @dev Prediction and label trees, honest or not, and the tasks and claims that commit to them. Written from the rules
/// (M-2 to M-5), not with the contracts' libraries.
abstract contract PoolTrees is PoolScenario {
    /// @dev Levels from the leaves up; each is padded to an even number of nodes.
    struct Tree {
        PredictionLeaf[] leaves;
        bytes32[][] hashes;
        uint256[][] sums;
    }

    /// @dev A lie: this node states this sum, and its parents add it up.
    struct Lie {
        bool isTold;
        uint256 level;
        uint256 position;
        uint256 sum;
    }

    uint32 internal constant CLASSES = 10;

    // ---------------------------------------------------------------- trees

    function depthFor(uint256 n) internal pure returns (uint256 depth) {
        while (2 ** depth < n) ++depth;
    }

    /// @param leaves may be longer than the samples, which makes padding real
    function treeOf(bytes32 digest, PredictionLeaf[] memory leaves, uint256 depth, Lie memory lie)
        internal
        pure
        returns (Tree memory tree)
    {
        tree.leaves = leaves;
        tree.hashes = new bytes32[][](depth + 1);
        tree.sums = new uint256[][](depth + 1);
        uint256 width = 2 ** depth;
        (tree.hashes[0], tree.sums[0]) = (new bytes32[](width), new uint256[](width));
        for (uint256 i; i < leaves.length; ++i) {
            tree.hashes[0][i] = keccak256(abi.encode(uint256(0), digest, leaves[i].prediction, leaves[i].score));
            tree.sums[0][i] = leaves[i].score;
        }
        for (uint256 level; level <= depth; ++level) {
            if (level != 0) climb(tree, level, width >> level);
            if (lie.isTold && lie.level == level) tree.sums[level][lie.position] = lie.sum;
        }
    }

    function climb(Tree memory tree, uint256 level, uint256 width) private pure {
        (bytes32[] memory below, uint256[] memory sums) = (tree.hashes[level - 1], tree.sums[level - 1]);
        (tree.hashes[level], tree.sums[level]) = (new bytes32[](width), new uint256[](width));
        for (uint256 i; i < width; ++i) {
            (uint256 left, uint256 right) = (2 * i, 2 * i + 1);
            tree.hashes[level][i] =
                keccak256(abi.encode(uint256(1), below[left], sums[left], below[right], sums[right]));
            unchecked {
                tree.sums[level][i] = sums[left] + sums[right]; // liars may overflow
            }
        }
    }

    function topOf(Tree memory tree) internal pure returns (bytes32) {
        return tree.hashes[tree.hashes.length - 1][0];
    }

    function totalOf(Tree memory tree) internal pure returns (uint256) {
        return tree.sums[tree.sums.length - 1][0];
    }

    function pathOf(Tree memory tree, uint256 index) internal pure returns (SumNode[] memory path) {
        path = new SumNode[](tree.hashes.length - 1);
        for (uint256 level; level < path.length; ++level) {
            uint256 position = index >> level;
            path[level] =
                SumNode(tree.hashes[level][position ^ 1], tree.sums[level][position ^ 1], tree.sums[level][position]);
        }
    }

    /// @dev Sample i has label i % CLASSES.
    function labelsOf(uint256 n) internal pure returns (bytes32[][] memory levels) {
        uint256 depth = depthFor(n);
        levels = new bytes32[][](depth + 1);
        levels[0] = new bytes32[](2 ** depth);
        for (uint256 i; i < n; ++i) {
            levels[0][i] = keccak256(abi.encode(uint256(2), i % CLASSES));
        }
        for (uint256 level = 1; level <= depth; ++level) {
            levels[level] = new bytes32[](2 ** (depth - level));
            for (uint256 i; i < levels[level].length; ++i) {
                levels[level][i] =
                    keccak256(abi.encode(uint256(3), levels[level - 1][2 * i], levels[level - 1][2 * i + 1]));
            }
        }
    }

    function labelAt(TestSet memory testSet, uint256 index) internal pure returns (LabelProof memory proof) {
        bytes32[][] memory levels = labelsOf(testSet.samples);
        proof.testSet = testSet;
        proof.label = index % CLASSES;
        proof.path = new bytes32[](levels.length - 1);
        for (uint256 level; level < proof.path.length; ++level) {
            proof.path[level] = levels[level][(index >> level) ^ 1];
        }
    }

    function noLabel() internal pure returns (LabelProof memory proof) {}

    // ---------------------------------------------------------------- tasks and claims

    function testSetWith(uint256 n) internal pure returns (TestSet memory values) {
        values = testSetOf(0);
        values.samples = uint40(n);
        values.classes = CLASSES;
        bytes32[][] memory levels = labelsOf(n);
        values.labelsRoot = levels[levels.length - 1][0];
    }

    function postWith(TestSet memory testSet) internal returns (uint256) {
        bytes32[] memory commitments = new bytes32[](1);
        commitments[0] = keccak256(abi.encode(testSet));
        Terms memory values = terms(1);
        vm.prank(requester);
        return market.post{value: value(values, 1)}(values, commitments);
    }

    function releaseWith(uint256 taskId, TestSet memory testSet) internal {
        toRelease(taskId);
        vm.prank(requester);
        market.release(taskId, testSet, TEST_KEY);
    }

    /// @dev Every sample right.
    function rightLeaves(uint256 n) internal pure returns (PredictionLeaf[] memory leaves) {
        leaves = new PredictionLeaf[](n);
        for (uint256 i; i < n; ++i) {
            leaves[i] = PredictionLeaf(i % CLASSES, 1);
        }
    }

    /// @dev Makes the entry claim this tree with this total.
    function claimTree(Work memory entry, Tree memory tree, uint256 total, uint256 n) internal view {
        entry.hTop = topOf(tree);
        entry.claim.total = uint64(total);
        entry.claim.predictionsRoot = keccak256(abi.encode(uint256(4), digestOf(entry), n, entry.hTop, total));
    }

    function refOf(Work memory entry) internal pure returns (ClaimRef memory) {
        return ClaimRef(entry.proof, entry.claim, entry.hTop);
    }

    /// @dev Alice's entry to a task of n samples with this tree and total, committed; not yet released.
    function committedTree(TestSet memory testSet, PredictionLeaf[] memory leaves, Lie memory lie, uint256 inflation)
        internal
        returns (Work memory entry, Tree memory tree)
    {
        entry = work(ALICE, postWith(testSet), 0, 0, "alice");
        tree = treeOf(digestOf(entry), leaves, depthFor(testSet.samples), lie);
        uint256 total;
        unchecked {
            total = totalOf(tree) + inflation;
        }
        claimTree(entry, tree, total, testSet.samples);
        commit(entry);
    }

    /// @dev The same, released and revealed.
    function revealedTree(TestSet memory testSet, PredictionLeaf[] memory leaves, Lie memory lie, uint256 inflation)
        internal
        returns (Work memory entry, Tree memory tree)
    {
        (entry, tree) = committedTree(testSet, leaves, lie, inflation);
        releaseWith(entry.proof.taskId, testSet);
        reveal(entry);
    }

    /// @dev Alice's claim with sample `wrong` predicted as the next class, and scored as if it were right.
    function flippedBit(uint256 n, uint256 wrong) internal returns (Work memory entry, Tree memory tree) {
        PredictionLeaf[] memory leaves = rightLeaves(n);
        leaves[wrong].prediction = (wrong + 1) % CLASSES;
        return revealedTree(testSetWith(n), leaves, noLie(), 0);
    }

    function noLie() internal pure returns (Lie memory) {}

    /// @dev What the library reads of a round.
    function roundWith(TestSet memory testSet) internal pure returns (Round memory round) {
        round.samples = testSet.samples;
        round.maxSampleScore = testSet.maxSampleScore;
        round.classes = testSet.classes;
        round.metric = testSet.metric;
        round.testCommitment = keccak256(abi.encode(testSet));
    }

    function refute(Work memory entry, Tree memory tree, uint256 index, LabelProof memory label) internal {
        refute(entry, index, tree.leaves[index], pathOf(tree, index), label);
    }

    function refute(
        Work memory entry,
        uint256 index,
        PredictionLeaf memory leaf,
        SumNode[] memory path,
        LabelProof memory label
    ) internal {
        vm.prank(keeper);
        pool.refute(refOf(entry), index, leaf, path, label);
    }
}
