// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MarketLens} from "../../contracts/MarketLens.sol";
import {ModelRegistry} from "../../contracts/ModelRegistry.sol";
import {TaskMarket} from "../../contracts/TaskMarket.sol";
import {AuditorPool} from "../../contracts/AuditorPool.sol";
import {
    ClaimRef,
    LabelProof,
    Params,
    PoolParams,
    PredictionLeaf,
    SumNode,
    Terms,
    TestSet
} from "../../contracts/types/Task.sol";
import {Scenario} from "./Scenario.sol";

/// @title PoolPlayerTree
/// @dev A market with a pool whose windows are short, a test set of six samples, and claims with real prediction trees:
/// honest ones and ones with a fault planted. Hashes are written out, so they do not agree by construction.
abstract contract PoolPlayerTree is Scenario {
    /// @dev What is wrong with a claim. Every fault makes its score higher.
    enum Lie {
        None,
        Score, // one wrong prediction scored as right
        Range, // one score of two
        Class, // one prediction of a class that there is not
        Sum, // one inner sum too high
        Padding, // a leaf beyond the samples
        Total // a total above the sum of the tree
    }

    /// @dev How to build a claim again.
    struct Plan {
        Lie lie;
        uint8 correct; // leaves
        uint8 turn; // which leaf comes first
        bytes32 model;
    }

    /// @dev As a heap: the top is 0, the leaves are 7 to 14.
    struct Tree {
        bytes32[15] hashes;
        uint256[15] sums; // as the parents state them
    }

    uint40 internal constant N = 6;
    uint256 internal constant CLASSES = 10;
    uint256 internal constant DEPTH = 3;
    uint256 internal constant FIRST_LEAF = 7;
    // odd, so that every share rounds
    uint96 internal constant PAY = 10 ether + 7;
    uint96 internal constant PLEDGE = 1 ether + 11; // of a miner
    uint96 internal constant SURETY = 1 ether + 13; // of the requester, per round
    uint256 internal constant FILING = 1 ether + 1; // a tenth of PAY, rounded up
    uint32 internal constant ACTIVATION = CHALLENGE;
    uint32 internal constant UNBONDING = CHALLENGE + 6 * VOTE;
    uint16 internal constant LOCK_BPS = 2000;
    uint96 internal constant DEMAND_BOND = 0.005 ether + 3;

    AuditorPool internal pool;

    function deployAll() internal {
        uint256 nonce = vm.getNonce(address(this));
        Params memory values = params();
        values.maxChallenge = CHALLENGE;
        values.pool = vm.computeCreateAddress(address(this), nonce + 2);
        registry = new ModelRegistry(vm.computeCreateAddress(address(this), nonce + 1));
        market = new TaskMarket(values, address(registry));
        pool = new AuditorPool(address(market), PoolParams(ACTIVATION, UNBONDING, LOCK_BPS, DEMAND_BOND));
        lens = new MarketLens(address(market));
        treasury = address(pool);
    }

    // ---------------------------------------------------------------- tasks

    function oddTerms(uint256 rounds) internal pure returns (Terms memory values) {
        values = terms(rounds);
        values.bountyWei = PAY;
        values.depositWei = PLEDGE;
        values.bondWei = uint96(rounds) * SURETY;
    }

    /// @param isUsable false = its labels are not those of the samples
    function smallTestSet(uint256 round, bool isUsable) internal pure returns (TestSet memory values) {
        values = testSetOf(round);
        values.samples = N;
        values.labelsRoot = isUsable ? labelNode(round, 0) : keccak256("no labels");
    }

    function smallCommitments(uint256 rounds, bool isUsable) internal pure returns (bytes32[] memory commitments) {
        commitments = new bytes32[](rounds);
        for (uint256 i; i < rounds; ++i) {
            commitments[i] = keccak256(abi.encode(smallTestSet(i, isUsable)));
        }
    }

    function labelOf(uint256 round, uint256 sample) private pure returns (uint256) {
        return (3 * sample + round) % CLASSES;
    }

    function labelNode(uint256 round, uint256 node) private pure returns (bytes32) {
        if (node < FIRST_LEAF) {
            return keccak256(abi.encode(uint8(3), labelNode(round, 2 * node + 1), labelNode(round, 2 * node + 2)));
        }
        if (node - FIRST_LEAF >= N) return 0;
        return keccak256(abi.encode(uint8(2), labelOf(round, node - FIRST_LEAF)));
    }

    function labelProof(uint256 round, bool isUsable, uint256 sample) internal pure returns (LabelProof memory proof) {
        proof.testSet = smallTestSet(round, isUsable);
        proof.label = labelOf(round, sample);
        proof.path = new bytes32[](DEPTH);
        uint256 node = FIRST_LEAF + sample;
        for (uint256 i; i < DEPTH; ++i) {
            proof.path[i] = labelNode(round, siblingOf(node));
            node = (node - 1) / 2;
        }
    }

    // ---------------------------------------------------------------- claims

    /// @dev Which of the leaves, in the plan's order, is this sample?
    function placeOf(Plan memory plan, uint256 sample) private pure returns (uint256) {
        return (sample + plan.turn) % N;
    }

    /// @dev The sample that the lie is about: the last in the plan's order, which no liar predicts right.
    function liedAbout(Plan memory plan) internal pure returns (uint256) {
        if (plan.lie == Lie.Padding) return N;
        return (2 * N - 1 - plan.turn % N) % N;
    }

    function leafOf(Plan memory plan, uint256 round, uint256 sample) internal pure returns (PredictionLeaf memory) {
        if (sample >= N) {
            bool isFilled = plan.lie == Lie.Padding && sample == N;
            return PredictionLeaf(0, isFilled ? 1 : 0);
        }
        bool isCorrect = placeOf(plan, sample) < plan.correct;
        uint256 label = labelOf(round, sample);
        PredictionLeaf memory leaf = PredictionLeaf(isCorrect ? label : (label + 1) % CLASSES, isCorrect ? 1 : 0);
        if (sample == liedAbout(plan)) {
            if (plan.lie == Lie.Score) leaf.score = 1;
            if (plan.lie == Lie.Range) leaf.score = 2;
            if (plan.lie == Lie.Class) (leaf.prediction, leaf.score) = (CLASSES, 1);
        }
        return leaf;
    }

    function treeOf(Plan memory plan, uint256 round, bytes32 digest) private pure returns (Tree memory tree) {
        for (uint256 i; i <= FIRST_LEAF; ++i) {
            bool isReal = i < N || (i == N && plan.lie == Lie.Padding);
            if (!isReal) continue;
            PredictionLeaf memory leaf = leafOf(plan, round, i);
            tree.hashes[FIRST_LEAF + i] = keccak256(abi.encode(uint8(0), digest, leaf.prediction, leaf.score));
            tree.sums[FIRST_LEAF + i] = leaf.score;
        }
        uint256 tooHigh = plan.lie == Lie.Sum ? (FIRST_LEAF + liedAbout(plan) - 1) / 2 : FIRST_LEAF;
        for (uint256 k = 1; k <= FIRST_LEAF; ++k) {
            uint256 i = FIRST_LEAF - k;
            (uint256 left, uint256 right) = (2 * i + 1, 2 * i + 2);
            tree.hashes[i] = keccak256(
                abi.encode(uint8(1), tree.hashes[left], tree.sums[left], tree.hashes[right], tree.sums[right])
            );
            tree.sums[i] = tree.sums[left] + tree.sums[right] + (i == tooHigh ? 1 : 0);
        }
    }

    function pathOf(Work memory entry, Plan memory plan, uint256 sample) internal view returns (SumNode[] memory path) {
        Tree memory tree = treeOf(plan, entry.proof.round, digestOf(entry));
        path = new SumNode[](DEPTH);
        uint256 node = FIRST_LEAF + sample;
        for (uint256 i; i < DEPTH; ++i) {
            uint256 sibling = siblingOf(node);
            path[i] = SumNode(tree.hashes[sibling], tree.sums[sibling], tree.sums[node]);
            node = (node - 1) / 2;
        }
    }

    function siblingOf(uint256 node) private pure returns (uint256) {
        return node % 2 == 0 ? node - 1 : node + 1;
    }

    /// @dev The whole entry of a miner that follows this plan.
    function workOf(uint256 privateKey, address miner, uint256 taskId, uint16 round, Plan memory plan)
        internal
        view
        returns (Work memory entry)
    {
        entry = work(privateKey, taskId, round, plan.correct, "");
        entry.proof.miner = miner;
        entry.proof.modelHash = plan.model;
        bindTree(entry, plan);
    }

    /// @dev Makes the claim consistent with the proof again.
    function bindTree(Work memory entry, Plan memory plan) internal view {
        bytes32 digest = digestOf(entry);
        Tree memory tree = treeOf(plan, entry.proof.round, digest);
        entry.hTop = tree.hashes[0];
        entry.claim.total = uint64(tree.sums[0] + (plan.lie == Lie.Total ? 1 : 0));
        entry.claim.predictionsRoot = keccak256(abi.encode(uint8(4), digest, uint256(N), entry.hTop, entry.claim.total));
    }

    function refOf(Work memory entry) internal pure returns (ClaimRef memory) {
        return ClaimRef(entry.proof, entry.claim, entry.hTop);
    }
}
