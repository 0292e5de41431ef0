// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAuditorPool} from "../../contracts/interfaces/IAuditorPool.sol";
import {Errors} from "../../contracts/libraries/Errors.sol";
import {
    ClaimRef,
    Entry,
    Fault,
    LabelProof,
    Phase,
    PredictionLeaf,
    Reason,
    SumNode,
    TestSet
} from "../../contracts/types/Task.sol";
import {ITaskMarket} from "../../contracts/interfaces/ITaskMarket.sol";
import {PoolHarness} from "./PoolHarness.sol";
import {PoolTrees} from "./PoolTrees.sol";

interface MoreVm {
    function expectPartialRevert(bytes4 selector) external;
}

/// Given a revealed claim over 1, 2, 3, 5 or 1000 samples
/// ├── when one of its own leaves proves it false
/// │   ├── it should be struck: a third of the deposit to who showed it, the rest to the pool
/// │   ├── by a score that the committed label denies (one flipped prediction)
/// │   ├── by a prediction or score out of range
/// │   ├── by a sum that does not add up, is too great for its leaves, or overflows
/// │   └── by a leaf where there is no sample
/// ├── when it is honest
/// │   └── it should not be refuted by anything
/// ├── when claim, top, path or label are not the committed ones
/// │   └── it should revert
/// └── when it is refuted from reveal to settlement, leading or not
///     ├── it should be struck
///     └── after settlement, twice, or if it does not qualify, it should revert
contract PoolRefuteTest is PoolTrees {
    bytes32 private constant DIGEST = keccak256("the digest of a proof");

    PoolHarness internal harness;

    function setUp() public override {
        super.setUp();
        harness = new PoolHarness();
    }

    function sizes() private pure returns (uint16[5] memory) {
        return [uint16(1), 2, 3, 5, 1000];
    }

    // ---------------------------------------------------------------- faults

    function test_refute_a_wrong_score_by_its_label() public {
        for (uint256 k; k < 5; ++k) {
            uint256 n = sizes()[k];
            uint256 wrong = n * 2 / 3;
            (Work memory entry, Tree memory tree) = flippedBit(n, wrong);
            expectNoFault();
            refute(entry, tree, wrong, noLabel());
            if (n != 1) {
                expectNoFault();
                refute(entry, tree, wrong - 1, labelAt(testSetWith(n), wrong - 1));
            }
            assertRefuted(entry, tree, wrong, labelAt(testSetWith(n), wrong), Fault.WrongScore);
        }
    }

    function test_refute_a_right_prediction_scored_zero() public {
        PredictionLeaf[] memory leaves = rightLeaves(5);
        leaves[4].score = 0;
        (Work memory entry, Tree memory tree) = revealedTree(testSetWith(5), leaves, noLie(), 0);
        assertRefuted(entry, tree, 4, labelAt(testSetWith(5), 4), Fault.WrongScore);
    }

    function test_refute_a_prediction_out_of_range() public {
        for (uint256 k; k < 5; ++k) {
            uint256 n = sizes()[k];
            PredictionLeaf[] memory leaves = rightLeaves(n);
            leaves[n - 1].prediction = k % 2 == 0 ? CLASSES : type(uint256).max;
            (Work memory entry, Tree memory tree) = revealedTree(testSetWith(n), leaves, noLie(), 0);
            assertRefuted(entry, tree, n - 1, noLabel(), Fault.OutOfRange);
        }
    }

    function test_refute_a_score_above_the_maximum_by_its_sum() public {
        for (uint256 k = 1; k < 5; ++k) {
            uint256 n = sizes()[k];
            PredictionLeaf[] memory leaves = rightLeaves(n);
            leaves[0].score = 2;
            leaves[1].score = 0;
            (Work memory entry, Tree memory tree) = revealedTree(testSetWith(n), leaves, noLie(), 0);
            assertRefuted(entry, tree, 0, noLabel(), Fault.WrongSum);
        }
    }

    function test_refute_a_total_that_is_not_the_sum() public {
        for (uint256 k; k < 5; ++k) {
            uint256 n = sizes()[k];
            PredictionLeaf[] memory leaves = rightLeaves(n);
            leaves[n - 1] = PredictionLeaf(n % CLASSES, 0); // wrong and scored so
            (Work memory entry, Tree memory tree) = revealedTree(testSetWith(n), leaves, noLie(), 1);
            assertRefuted(entry, tree, 0, noLabel(), Fault.WrongSum);
        }
    }

    function test_refute_a_leaf_that_counts_more_than_its_score() public {
        for (uint256 k = 1; k < 5; ++k) {
            uint256 n = sizes()[k];
            PredictionLeaf[] memory leaves = rightLeaves(n);
            leaves[n - 1].score = 0;
            (Work memory entry, Tree memory tree) = revealedTree(testSetWith(n), leaves, Lie(true, 0, n - 1, 1), 0);
            // the sibling's path shows a sum within its bound, and no fault
            if (n == 2 || n == 1000) {
                expectNoFault();
                refute(entry, tree, n - 2, noLabel());
            }
            assertRefuted(entry, tree, n - 1, noLabel(), Fault.WrongSum);
        }
    }

    function test_refute_an_inner_sum_that_does_not_add_up() public {
        for (uint256 level = 1; level < 10; level += 4) {
            PredictionLeaf[] memory leaves = rightLeaves(1000);
            leaves[0].score = 0;
            (Work memory entry, Tree memory tree) =
                revealedTree(testSetWith(1000), leaves, Lie(true, level, 0, 2 ** level), 0);
            expectNoFault();
            refute(entry, tree, 2 ** level, noLabel()); // just beside the subtree that lies
            assertRefuted(entry, tree, 1, noLabel(), Fault.WrongSum);
        }
    }

    function test_refute_a_sibling_sum_above_its_real_leaves() public {
        // the last of 5 leaves has a sibling that is padding, and so has the node above it
        for (uint256 level; level < 2; ++level) {
            PredictionLeaf[] memory leaves = rightLeaves(5);
            leaves[0] = PredictionLeaf(1, 0);
            uint256 position = (4 >> level) ^ 1;
            (Work memory entry, Tree memory tree) =
                revealedTree(testSetWith(5), leaves, Lie(true, level, position, 1), 0);
            assertRefuted(entry, tree, 4, noLabel(), Fault.WrongSum);
        }
    }

    function test_refute_an_own_sum_above_its_real_leaves() public {
        // leaves 4 to 7 of 5 samples are one real leaf: a sum of 2 is too much, whatever lies below
        PredictionLeaf[] memory leaves = rightLeaves(5);
        leaves[0] = PredictionLeaf(1, 0);
        (Work memory entry, Tree memory tree) = revealedTree(testSetWith(5), leaves, Lie(true, 2, 1, 2), 0);
        assertRefuted(entry, tree, 0, noLabel(), Fault.WrongSum);
    }

    function test_refute_sums_that_overflow() public {
        for (uint256 k = 1; k < 5; ++k) {
            uint256 n = sizes()[k];
            // the first leaf states 2^256 - 1; with its sibling that wraps to a possible total
            PredictionLeaf[] memory leaves = rightLeaves(n);
            leaves[1].score = n == 1000 ? 3 : 2;
            (Work memory entry, Tree memory tree) =
                revealedTree(testSetWith(n), leaves, Lie(true, 0, 0, type(uint256).max), 0);
            assertLe64(entry.claim.total, n);
            assertRefuted(entry, tree, 0, noLabel(), Fault.WrongSum);
        }
        PredictionLeaf[] memory both = rightLeaves(2);
        (both[0].score, both[1].score) = (type(uint256).max, 2);
        (Work memory wrapped, Tree memory wrapping) = revealedTree(testSetWith(2), both, noLie(), 0);
        assertRefuted(wrapped, wrapping, 1, noLabel(), Fault.WrongSum);
    }

    function test_refute_a_leaf_where_there_is_no_sample() public {
        for (uint256 k = 2; k < 5; ++k) {
            uint256 n = sizes()[k];
            PredictionLeaf[] memory leaves = new PredictionLeaf[](n + 1);
            for (uint256 i; i < n; ++i) {
                leaves[i] = PredictionLeaf(i % CLASSES, 1);
            }
            leaves[n] = PredictionLeaf(3, 0); // a score would be a wrong sum
            (Work memory entry, Tree memory tree) = revealedTree(testSetWith(n), leaves, noLie(), 0);
            assertRefuted(entry, tree, n, labelAt(testSetWith(n), n), Fault.Padding);
        }
    }

    function test_refute_order_is_sum_padding_range_score() public {
        PredictionLeaf[] memory leaves = rightLeaves(3);
        leaves[2] = PredictionLeaf(CLASSES, 1); // out of range, and not the label either
        (Work memory entry, Tree memory tree) = revealedTree(testSetWith(3), leaves, noLie(), 0);
        assertRefuted(entry, tree, 2, labelAt(testSetWith(3), 2), Fault.OutOfRange);
        leaves[0].score = 0;
        (entry, tree) = revealedTree(testSetWith(3), leaves, noLie(), 1);
        assertRefuted(entry, tree, 2, labelAt(testSetWith(3), 2), Fault.WrongSum);
        leaves = rightLeaves(4);
        leaves[3] = PredictionLeaf(CLASSES, 0);
        (entry, tree) = revealedTree(testSetWith(3), leaves, noLie(), 0);
        assertRefuted(entry, tree, 3, noLabel(), Fault.Padding);
    }

    function test_other_metrics_have_neither_classes_nor_labels_to_compare() public {
        TestSet memory testSet = testSetWith(3);
        (testSet.metric, testSet.maxSampleScore) = (2, 1_000_000);
        PredictionLeaf[] memory leaves = rightLeaves(3);
        for (uint256 i; i < 3; ++i) {
            leaves[i] = PredictionLeaf(uint256(keccak256(abi.encode(i))), 700_000 + i);
        }
        (Work memory entry, Tree memory tree) = revealedTree(testSet, leaves, noLie(), 0);
        expectNoFault();
        refute(entry, tree, 1, labelAt(testSet, 1));
        leaves[2].score = 1_000_001;
        (entry, tree) = revealedTree(testSet, leaves, noLie(), 0);
        assertRefuted(entry, tree, 2, noLabel(), Fault.WrongSum);
    }

    // ---------------------------------------------------------------- honest claims

    function test_honest_claims_cannot_be_refuted() public {
        for (uint256 k; k < 5; ++k) {
            uint256 n = sizes()[k];
            PredictionLeaf[] memory leaves = rightLeaves(n);
            if (n != 1) leaves[n - 1] = PredictionLeaf(n % CLASSES, 0);
            (Work memory entry, Tree memory tree) = revealedTree(testSetWith(n), leaves, noLie(), 0);
            uint256 step = n < 6 ? 1 : 333;
            for (uint256 i; i < n; i += step) {
                expectNoFault();
                refute(entry, tree, i, labelAt(testSetWith(n), i));
                expectNoFault();
                refute(entry, tree, i, noLabel());
            }
        }
    }

    function testFuzz_honest_claims_cannot_be_refuted(uint256 seed, uint256 size, uint256 place, uint256 forged)
        public
    {
        uint256 n = within(size, 1, 40);
        PredictionLeaf[] memory leaves = new PredictionLeaf[](n);
        for (uint256 i; i < n; ++i) {
            uint256 prediction = uint256(keccak256(abi.encode(seed, i))) % CLASSES;
            leaves[i] = PredictionLeaf(prediction, prediction == i % CLASSES ? 1 : 0);
        }
        Tree memory tree = treeOf(DIGEST, leaves, depthFor(n), noLie());
        uint256 index = within(place, 0, n - 1);
        LabelProof memory label = labelAt(testSetWith(n), index);
        Fault fault = faultAt(tree, testSetWith(n), index, leaves[index], pathOf(tree, index), label);
        assertEq(uint256(Fault.None), uint256(fault), "honest");
        // nor by forging one bit of leaf or path
        PredictionLeaf memory leaf = PredictionLeaf(leaves[index].prediction, leaves[index].score);
        SumNode[] memory path = pathOf(tree, index);
        forge(leaf, path, forged);
        expectRevertOf(Errors.Claim_WrongPath.selector);
        faultAt(tree, testSetWith(n), index, leaf, path, label);
    }

    function testFuzz_nothing_lies_beyond_the_samples_of_an_honest_claim(
        uint256 size,
        uint256 place,
        uint256 p,
        uint256 s
    ) public {
        uint256 n = within(size, 1, 40);
        uint256 index = within(place, n, 2 ** depthFor(n) + 2);
        Tree memory tree = treeOf(DIGEST, rightLeaves(n), depthFor(n), noLie());
        SumNode[] memory path = pathOf(tree, index % 2 ** depthFor(n));
        vm.expectRevert();
        faultAt(tree, testSetWith(n), index, PredictionLeaf(p, s), path, noLabel());
    }

    /// @dev Whatever a miner states, one wrong sum anywhere shows on the paths through it.
    function testFuzz_wrong_sum_shows_on_a_path_through_it(uint256 size, uint256 place, uint256 where, uint256 stated)
        public
        view
    {
        uint256 n = within(size, 2, 40);
        uint256 level = within(where, 0, depthFor(n) - 1);
        uint256 index = within(place, 0, n - 1);
        Tree memory tree = treeOf(DIGEST, rightLeaves(n), depthFor(n), noLie());
        vm.assume(stated != tree.sums[level][index >> level]);
        tree = treeOf(DIGEST, rightLeaves(n), depthFor(n), Lie(true, level, index >> level, stated));
        Fault fault = faultAt(tree, testSetWith(n), index, tree.leaves[index], pathOf(tree, index), noLabel());
        assertEq(uint256(Fault.WrongSum), uint256(fault), "shown");
    }

    function test_single_sample_with_a_score_above_the_maximum() public view {
        // the market lets no such total in; the library does not rely on it
        PredictionLeaf[] memory leaves = rightLeaves(1);
        leaves[0].score = 2;
        Tree memory tree = treeOf(DIGEST, leaves, 0, noLie());
        Fault fault = faultAt(tree, testSetWith(1), 0, leaves[0], new SumNode[](0), labelAt(testSetWith(1), 0));
        assertEq(uint256(Fault.OutOfRange), uint256(fault), "above the maximum");
    }

    /// @dev What the library alone says of a claim with this tree and its stated total.
    function faultAt(
        Tree memory tree,
        TestSet memory testSet,
        uint256 index,
        PredictionLeaf memory leaf,
        SumNode[] memory path,
        LabelProof memory label
    ) private view returns (Fault) {
        ClaimRef memory ref;
        ref.claim.total = uint64(totalOf(tree));
        ref.hTop = topOf(tree);
        return harness.faultOf(DIGEST, ref, roundWith(testSet), index, leaf, path, label);
    }

    // ---------------------------------------------------------------- not the committed ones

    function test_refute_what_was_not_revealed_reverts() public {
        TestSet memory testSet = testSetWith(3);
        (Work memory entry, Tree memory tree) = committedTree(testSet, rightLeaves(3), noLie(), 0);
        releaseWith(entry.proof.taskId, testSet);
        expectNotRevealed(entry, commitmentOf(entry));
        refute(entry, tree, 0, noLabel());
        reveal(entry);
        bytes32 stored = claimHashOf(entry);
        entry.claim.predictions = 0;
        expectNotRevealed(entry, stored);
        refute(entry, tree, 0, noLabel());
        Work memory nobodys = work(BOB, entry.proof.taskId, 0, 900, "bob");
        expectNotRevealed(nobodys, 0);
        refute(nobodys, tree, 0, noLabel());
    }

    function test_refute_with_another_top_reverts() public {
        (Work memory entry, Tree memory tree) = flippedBit(3, 1);
        bytes32 hTop = entry.hTop;
        entry.hTop = keccak256("another top");
        bytes32 given = keccak256(abi.encode(uint256(4), digestOf(entry), uint256(3), entry.hTop, uint256(3)));
        vm.expectRevert(abi.encodeWithSelector(Errors.Claim_WrongTop.selector, given, entry.claim.predictionsRoot));
        refute(entry, tree, 1, labelAt(testSetWith(3), 1));
        entry.hTop = hTop;
        assertRefuted(entry, tree, 1, labelAt(testSetWith(3), 1), Fault.WrongScore);
    }

    function test_refute_by_a_path_that_leads_elsewhere_reverts() public {
        (Work memory entry, Tree memory tree) = flippedBit(5, 1);
        SumNode[] memory path = pathOf(tree, 1);
        LabelProof memory label = labelAt(testSetWith(5), 1);
        path[1].sum += 1;
        expectRevertOf(Errors.Claim_WrongPath.selector);
        this.refuteBy(entry, 1, tree.leaves[1], path, label);
        path[1].sum -= 1;
        path[1].ownSum += 1;
        expectRevertOf(Errors.Claim_WrongPath.selector);
        this.refuteBy(entry, 1, tree.leaves[1], path, label);
        path[1].ownSum -= 1;
        expectRevertOf(Errors.Claim_WrongPath.selector);
        this.refuteBy(entry, 0, tree.leaves[1], path, label); // the same leaf at another place
        expectRevertOf(Errors.Claim_WrongPath.selector);
        this.refuteBy(entry, 1, PredictionLeaf(1, 1), path, label);
        vm.expectRevert(abi.encodeWithSelector(Errors.Claim_IndexOutOfRange.selector, 8, 8));
        this.refuteBy(entry, 8, tree.leaves[1], path, label);
        vm.expectRevert(abi.encodeWithSelector(Errors.Claim_IndexOutOfRange.selector, type(uint256).max, 8));
        this.refuteBy(entry, type(uint256).max, tree.leaves[1], path, label);
        SumNode[] memory short = new SumNode[](2);
        (short[0], short[1]) = (path[0], path[1]);
        vm.expectRevert(abi.encodeWithSelector(Errors.Claim_WrongPathLength.selector, 2, 3));
        this.refuteBy(entry, 1, tree.leaves[1], short, label);
        SumNode[] memory long = new SumNode[](4);
        vm.expectRevert(abi.encodeWithSelector(Errors.Claim_WrongPathLength.selector, 4, 3));
        this.refuteBy(entry, 1, tree.leaves[1], long, label);
        this.refuteBy(entry, 1, tree.leaves[1], path, label);
    }

    function test_refute_by_a_label_that_is_not_the_committed_one_reverts() public {
        TestSet memory testSet = testSetWith(5);
        PredictionLeaf[] memory leaves = rightLeaves(5);
        (Work memory entry, Tree memory tree) = revealedTree(testSet, leaves, noLie(), 0);
        LabelProof memory label = labelAt(testSet, 1);
        label.label = 2;
        bytes32 root = rootOf(label, 1);
        vm.expectRevert(abi.encodeWithSelector(Errors.Claim_WrongLabelPath.selector, root, testSet.labelsRoot));
        refute(entry, tree, 1, label);
        label = labelAt(testSet, 2); // a committed label, of another sample
        root = rootOf(label, 1);
        vm.expectRevert(abi.encodeWithSelector(Errors.Claim_WrongLabelPath.selector, root, testSet.labelsRoot));
        refute(entry, tree, 1, label);
        label = labelAt(testSet, 1);
        label.path = new bytes32[](2);
        vm.expectRevert(abi.encodeWithSelector(Errors.Claim_WrongPathLength.selector, 2, 3));
        refute(entry, tree, 1, label);
        label = labelAt(testSetWith(5), 1);
        label.testSet.labelsRoot = keccak256("another set");
        bytes32 given = keccak256(abi.encode(label.testSet));
        vm.expectRevert(
            abi.encodeWithSelector(Errors.Market_WrongTestSet.selector, given, keccak256(abi.encode(testSet)))
        );
        refute(entry, tree, 1, label);
    }

    // ---------------------------------------------------------------- in every phase

    function test_refute_in_every_phase_until_settlement() public {
        Phase[5] memory phases =
            [Phase.Revealing, Phase.Opening, Phase.Challenge, Phase.VotingCommit, Phase.VotingReveal];
        for (uint256 i; i < phases.length; ++i) {
            for (uint256 due; due < 2; ++due) {
                if (phases[i] == Phase.VotingCommit && due == 1) continue; // it ends in VotingReveal by itself
                (Work memory entry, Tree memory tree) = flippedBit(3, 1);
                bringTo(entry, phases[i], due == 1);
                refute(entry, tree, 1, labelAt(testSetWith(3), 1));
                assertTrue(entryOf(entry).isStruck, "struck");
                assertEq(address(0), roundOf(entry.proof.taskId).leader, "nobody leads");
                assertPhaseIn(entry.proof.taskId, phases[i] == Phase.Revealing && due == 0);
                assertSolvent();
            }
        }
    }

    function test_refute_of_a_claim_that_does_not_lead() public {
        (Work memory entry, Tree memory tree) = committedTree(testSetWith(3), liars(), noLie(), 0);
        Work memory better = work(BOB, entry.proof.taskId, 0, 0, "bob");
        Tree memory betterTree = treeOf(digestOf(better), rightLeaves(3), 2, noLie());
        claimTree(better, betterTree, 3, 3);
        commit(better);
        releaseWith(entry.proof.taskId, testSetWith(3));
        reveal(better);
        reveal(entry);
        assertRefuted(entry, tree, 0, labelAt(testSetWith(3), 0), Fault.WrongScore);
        assertEq(bob, roundOf(entry.proof.taskId).leader, "bob still leads");
        toRevealEnd(entry.proof.taskId);
        assertPhase(entry.proof.taskId, Phase.Opening, false);
    }

    function test_refute_in_Nominating() public {
        for (uint256 due; due < 2; ++due) {
            (Work memory entry, Tree memory tree) = committedTree(testSetWith(3), liars(), noLie(), 0);
            uint256 taskId = entry.proof.taskId;
            Work memory silent = work(BOB, taskId, 0, 0, "bob");
            Tree memory silentTree = treeOf(digestOf(silent), rightLeaves(3), 2, noLie());
            claimTree(silent, silentTree, 3, 3);
            commit(silent);
            releaseWith(taskId, testSetWith(3));
            reveal(silent);
            reveal(entry);
            toRevealEnd(taskId);
            toEnd(taskId);
            advance(taskId); // bob did not open
            if (due == 1) toEnd(taskId);
            assertPhase(taskId, Phase.Nominating, due == 1);
            assertRefuted(entry, tree, 0, labelAt(testSetWith(3), 0), Fault.WrongScore);
            assertPhase(taskId, Phase.Nominating, due == 1); // who does not lead changes nothing
        }
    }

    function test_refute_of_a_nominated_claim_gives_another_window() public {
        (Work memory entry, Tree memory tree) = committedTree(testSetWith(3), liars(), noLie(), 0);
        uint256 taskId = entry.proof.taskId;
        Work memory silent = work(BOB, taskId, 0, 0, "bob");
        claimTree(silent, treeOf(digestOf(silent), rightLeaves(3), 2, noLie()), 3, 3);
        commit(silent);
        releaseWith(taskId, testSetWith(3));
        reveal(silent);
        reveal(entry);
        toRevealEnd(taskId);
        toEnd(taskId);
        advance(taskId);
        market.nominate(taskId, alice);
        toEnd(taskId);
        assertRefuted(entry, tree, 0, labelAt(testSetWith(3), 0), Fault.WrongScore);
        assertPhase(taskId, Phase.Nominating, false);
        assertEq(block.timestamp + OPEN, roundOf(taskId).nominateEnd, "from now on");
    }

    function test_refute_twice_or_after_settlement_or_of_a_claim_that_does_not_qualify_reverts() public {
        (Work memory entry, Tree memory tree) = flippedBit(3, 1);
        LabelProof memory label = labelAt(testSetWith(3), 1);
        refute(entry, tree, 1, label);
        expectNotStrikable();
        refute(entry, tree, 1, label);
        (entry, tree) = flippedBit(3, 1);
        toRevealEnd(entry.proof.taskId);
        open(entry);
        toEnd(entry.proof.taskId);
        advance(entry.proof.taskId);
        expectNotStrikable();
        refute(entry, tree, 1, label);
        PredictionLeaf[] memory leaves = new PredictionLeaf[](3); // all wrong but one, which is scored zero too
        (entry, tree) = revealedTree(testSetWith(3), leaves, noLie(), 0);
        expectNotStrikable();
        refute(entry, tree, 0, labelAt(testSetWith(3), 0));
    }

    // ---------------------------------------------------------------- help

    /// @dev Sample 0 wrong and scored right, sample 2 wrong and scored so: a total of 2 of 3.
    function liars() private pure returns (PredictionLeaf[] memory leaves) {
        leaves = rightLeaves(3);
        leaves[0].prediction = 7;
        leaves[2] = PredictionLeaf(7, 0);
    }

    /// @dev Into the phase of which this claim is the leader's; at its end if due.
    function bringTo(Work memory entry, Phase phase, bool due) private {
        uint256 taskId = entry.proof.taskId;
        if (phase == Phase.Revealing) {
            if (due) toRevealEnd(taskId);
            return;
        }
        toRevealEnd(taskId);
        if (phase != Phase.Opening) open(entry);
        if (phase == Phase.VotingCommit || phase == Phase.VotingReveal) {
            bytes32 caseId = dispute(fay, taskId);
            if (phase == Phase.VotingCommit) toCommit(caseId);
            else toReveal(caseId);
        }
        if (due) toEnd(taskId);
        assertPhase(taskId, phase, due);
    }

    function assertPhaseIn(uint256 taskId, bool isRevealing) private view {
        (Phase phase,,) = market.phaseOf(taskId);
        assertEq(uint256(isRevealing ? Phase.Revealing : Phase.Nominating), uint256(phase), "phase");
    }

    function assertRefuted(Work memory entry, Tree memory tree, uint256 index, LabelProof memory label, Fault expected)
        private
    {
        uint256 taskId = entry.proof.taskId;
        (uint256 keeperWei, uint256 poolWei) = (market.creditOf(keeper), market.creditOf(address(pool)));
        vm.expectEmit();
        emit IAuditorPool.ClaimRefuted(taskId, 0, alice, keeper, expected, index);
        vm.expectEmit();
        emit ITaskMarket.ClaimStruck(taskId, 0, alice, Reason.Refuted);
        refute(entry, tree, index, label);
        Entry memory found = entryOf(entry);
        assertTrue(found.isStruck && !found.holdsDeposit, "struck");
        assertEq(keeperWei + uint256(DEPOSIT) / 3, market.creditOf(keeper), "a third to the refuter");
        assertEq(poolWei + DEPOSIT - uint256(DEPOSIT) / 3, market.creditOf(address(pool)), "the rest to the pool");
        assertSolvent();
    }

    /// @dev Changes one word.
    function forge(PredictionLeaf memory leaf, SumNode[] memory path, uint256 seed) private pure {
        uint256 words = 2 + 3 * path.length;
        uint256 word = seed % words;
        uint256 change = 1 << ((seed >> 128) % 256);
        if (word == 0) leaf.prediction ^= change;
        else if (word == 1) leaf.score ^= change;
        else if (word % 3 == 0) path[(word - 2) / 3].sum ^= change;
        else if (word % 3 == 1) path[(word - 2) / 3].ownSum ^= change;
        else path[(word - 2) / 3].hash ^= bytes32(change);
    }

    function rootOf(LabelProof memory label, uint256 index) private pure returns (bytes32 node) {
        node = keccak256(abi.encode(uint256(2), label.label));
        for (uint256 i; i < label.path.length; ++i) {
            node = (index >> i) & 1 == 0
                ? keccak256(abi.encode(uint256(3), node, label.path[i]))
                : keccak256(abi.encode(uint256(3), label.path[i], node));
        }
    }

    function refuteBy(
        Work memory entry,
        uint256 index,
        PredictionLeaf memory leaf,
        SumNode[] memory path,
        LabelProof memory label
    ) external {
        refute(entry, index, leaf, path, label);
    }

    function expectRevertOf(bytes4 selector) private {
        MoreVm(address(vm)).expectPartialRevert(selector);
    }

    function expectNoFault() private {
        vm.expectRevert(abi.encodeWithSelector(Errors.Claim_NoFault.selector));
    }

    function expectNotStrikable() private {
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_NotStrikable.selector, alice));
    }

    function expectNotRevealed(Work memory entry, bytes32 stored) private {
        vm.expectRevert(abi.encodeWithSelector(Errors.Claim_NotRevealed.selector, claimHashOf(entry), stored));
    }

    function assertLe64(uint256 found, uint256 limit) private pure {
        vm.assertLe(found, limit, "a total that the market lets in");
    }
}
