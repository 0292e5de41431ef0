// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAuditorPool} from "../../contracts/interfaces/IAuditorPool.sol";
import {Errors} from "../../contracts/libraries/Errors.sol";
import {Phase, PredictionLeaf, Reason, Ruling, SumNode, Verdict} from "../../contracts/types/Task.sol";
import {ITaskMarket} from "../../contracts/interfaces/ITaskMarket.sol";
import {PoolTrees} from "./PoolTrees.sol";

/// Given a leader
/// ├── when one of its predictions is demanded
/// │   ├── it should lock the bond and note the demand with the market
/// │   ├── with another bond, beyond the samples, twice, of another claim, or too late, it should revert
/// │   └── settlement and rulings should wait for it
/// ├── when it is answered in time
/// │   ├── it should pay the bond to whoever showed the leaf, also one that can then be refuted
/// │   └── with another path, of another index, or too late, it should revert
/// ├── when it is not answered in time
/// │   └── it should be struck, and every bond of an open demand should go back
/// └── when a dispute of it was running and it is refuted or withholds
///     ├── it should give bonds and all locks back, opened or not
///     └── it should count as a vote for nobody
contract PoolDemandTest is PoolTrees {
    uint256 private constant N = 5;

    Work internal entry;
    uint256 internal taskId;
    bytes32 internal digest;

    function setUp() public override {
        super.setUp();
        (entry,) = flippedBit(N, 3);
        taskId = entry.proof.taskId;
        digest = digestOf(entry);
        toRevealEnd(taskId);
    }

    // ---------------------------------------------------------------- demand

    function test_demand_locks_the_bond_and_emits() public {
        (uint256 lockedBefore,) = pool.liabilities();
        uint40 demandEnd = uint40(block.timestamp + OPEN);
        vm.expectEmit();
        emit IAuditorPool.PredictionDemanded(taskId, 0, alice, fay, 2, demandEnd);
        demand(fay, 2);
        assertEq(fay, pool.demandOf(taskId, 0, alice, 2), "demander");
        assertEq(address(0), pool.demandOf(taskId, 0, alice, 1), "nobody demanded this");
        (uint256 lockedWei,) = pool.liabilities();
        assertEq(lockedBefore + DEMAND_BOND, lockedWei, "locked");
        assertEq(1, roundOf(taskId).openDemands, "the market knows");
        demand(gus, 4);
        assertEq(2, roundOf(taskId).openDemands, "both");
        assertSolvent();
    }

    function test_demand_with_another_bond_reverts() public {
        vm.expectRevert(abi.encodeWithSelector(Errors.Pool_WrongValue.selector, DEMAND_BOND - 1, DEMAND_BOND));
        vm.prank(fay);
        pool.demand{value: DEMAND_BOND - 1}(refOf(entry), 0);
        vm.expectRevert(abi.encodeWithSelector(Errors.Pool_WrongValue.selector, 0, DEMAND_BOND));
        vm.prank(fay);
        pool.demand(refOf(entry), 0);
    }

    function test_demand_beyond_the_samples_reverts() public {
        vm.expectRevert(abi.encodeWithSelector(Errors.Claim_IndexOutOfRange.selector, N, N));
        demand(fay, N);
        demand(fay, N - 1);
    }

    function test_demand_twice_reverts() public {
        demand(fay, 2);
        vm.expectRevert(abi.encodeWithSelector(Errors.Claim_AlreadyDemanded.selector, 2));
        demand(gus, 2);
        answer(2);
        demand(gus, 2); // once answered, it can be asked for again
    }

    function test_demand_of_what_was_not_revealed_reverts() public {
        bytes32 stored = claimHashOf(entry);
        entry.claim.predictions = 0;
        vm.expectRevert(abi.encodeWithSelector(Errors.Claim_NotRevealed.selector, claimHashOf(entry), stored));
        demand(fay, 0);
    }

    function test_demand_outside_Opening_and_Challenge_reverts() public {
        vm.warp(roundOf(taskId).revealEnd - 1);
        expectWrongPhase(Phase.Revealing, false, Phase.Challenge);
        demand(fay, 0);
        toRevealEnd(taskId);
        open(entry);
        demand(fay, 0);
        answer(0);
        toEnd(taskId);
        expectWrongPhase(Phase.Challenge, true, Phase.Challenge);
        demand(fay, 0);
    }

    function test_settlement_waits_for_a_demand() public {
        open(entry);
        vm.warp(roundOf(taskId).challengeEnd - 1);
        demand(fay, 1);
        pass(1);
        vm.expectRevert(
            abi.encodeWithSelector(
                Errors.Market_NothingDue.selector, taskId, Phase.Challenge, roundOf(taskId).challengeEnd - 1 + OPEN
            )
        );
        market.advance(taskId);
        answer(1);
        pass(OPEN);
        advance(taskId);
        assertPhase(taskId, Phase.Settled, false);
        assertEmptyAfterLeaving();
    }

    function test_what_was_shown_last_can_be_refuted_before_the_settlement() public {
        open(entry);
        vm.warp(roundOf(taskId).challengeEnd - 1);
        demand(fay, 3);
        demand(gus, 1);
        pass(OPEN - 1);
        answer(3);
        answer(1);
        pass(OPEN - 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                Errors.Market_NothingDue.selector, taskId, Phase.Challenge, uint256(block.timestamp + 1)
            )
        );
        market.advance(taskId);
        refute(entry, treeNow(), 3, labelAt(testSetWith(N), 3));
        assertTrue(entryOf(entry).isStruck, "struck");
    }

    function test_ruling_waits_for_a_demand() public {
        open(entry);
        bytes32 caseId = dispute(fay, taskId);
        demand(gus, 1);
        vote(caseId, Verdict.Stands, Verdict.None, Verdict.None);
        expectWrongPhase(Phase.VotingReveal, true, Phase.VotingReveal);
        pool.resolve(taskId);
    }

    // ---------------------------------------------------------------- answer

    function test_answer_pays_whoever_shows_the_leaf() public {
        demand(fay, 2);
        Tree memory tree = treeNow();
        SumNode[] memory path = pathOf(tree, 2);
        vm.expectEmit();
        emit IAuditorPool.PredictionShown(taskId, 0, alice, keeper, 2, tree.leaves[2], path);
        answer(2);
        assertEq(DEMAND_BOND, pool.creditOf(keeper), "the bond");
        assertEq(0, roundOf(taskId).openDemands, "the market knows");
        assertEq(address(0), pool.demandOf(taskId, 0, alice, 2), "closed");
        vm.expectRevert(abi.encodeWithSelector(Errors.Claim_NotDemanded.selector, 2));
        answer(2);
        assertSolvent();
    }

    function test_answered_leaf_can_be_refuted() public {
        demand(fay, 3);
        answer(3);
        refute(entry, treeNow(), 3, labelAt(testSetWith(N), 3));
        assertTrue(entryOf(entry).isStruck, "struck");
    }

    function test_answer_with_another_path_or_index_reverts() public {
        demand(fay, 2);
        Tree memory tree = treeNow();
        vm.expectRevert(abi.encodeWithSelector(Errors.Claim_NotDemanded.selector, 1));
        answer(1);
        SumNode[] memory path = pathOf(tree, 1);
        bytes32 other = keccak256(abi.encode(uint256(0), digestOf(entry), uint256(2), uint256(1)));
        for (uint256 level; level < 3; ++level) {
            SumNode memory step = path[level];
            other = (2 >> level) & 1 == 0
                ? keccak256(abi.encode(uint256(1), other, step.ownSum, step.hash, step.sum))
                : keccak256(abi.encode(uint256(1), step.hash, step.sum, other, step.ownSum));
        }
        vm.expectRevert(abi.encodeWithSelector(Errors.Claim_WrongPath.selector, other, entry.hTop));
        pool.answer(refOf(entry), 2, tree.leaves[2], path);
        vm.expectRevert(abi.encodeWithSelector(Errors.Claim_WrongPathLength.selector, 0, 3));
        pool.answer(refOf(entry), 2, tree.leaves[2], new SumNode[](0));
    }

    function test_answer_at_demandEnd_reverts() public {
        demand(fay, 2);
        demand(fay, 1);
        uint40 demandEnd = roundOf(taskId).demandEnd;
        vm.warp(demandEnd - 1);
        answer(1);
        vm.warp(demandEnd);
        expectWrongPhase(Phase.Opening, true, Phase.Opening);
        answer(2);
    }

    // ---------------------------------------------------------------- withheld

    function test_unanswered_demand_strikes_and_every_bond_goes_back() public {
        open(entry);
        demand(fay, 2);
        demand(gus, 0);
        vm.expectRevert(abi.encodeWithSelector(Errors.Claim_StillOpen.selector, 2));
        pool.closeDemand(taskId, 0, alice, 2);
        vm.warp(roundOf(taskId).demandEnd);
        vm.expectEmit();
        emit ITaskMarket.ClaimStruck(taskId, 0, alice, Reason.Withheld);
        advance(taskId);
        assertEq(DEPOSIT, market.creditOf(address(pool)), "the deposit is the pool's");
        vm.expectEmit();
        emit IAuditorPool.DemandClosed(taskId, 0, alice, fay, 2);
        vm.prank(keeper);
        pool.closeDemand(taskId, 0, alice, 2);
        pool.closeDemand(taskId, 0, alice, 0);
        assertEq(DEMAND_BOND, pool.creditOf(fay), "fay");
        assertEq(DEMAND_BOND, pool.creditOf(gus), "gus");
        vm.expectRevert(abi.encodeWithSelector(Errors.Claim_NotDemanded.selector, 2));
        pool.closeDemand(taskId, 0, alice, 2);
        vm.expectRevert(abi.encodeWithSelector(Errors.Claim_NotDemanded.selector, 2));
        pool.closeDemand(taskId, 1, alice, 2);
        assertEmptyAfterLeaving();
    }

    function test_demand_on_a_claim_struck_otherwise_goes_back() public {
        demand(fay, 2);
        refute(entry, treeNow(), 3, labelAt(testSetWith(N), 3));
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_NotLeader.selector, alice, address(0)));
        answer(2);
        pool.closeDemand(taskId, 0, alice, 2);
        assertEq(DEMAND_BOND, pool.creditOf(fay), "back");
        assertEmptyAfterLeaving();
    }

    // ---------------------------------------------------------------- moot votes

    function test_refuted_while_committing_gives_everything_back() public {
        bytes32 caseId = disputedTwice();
        toCommit(caseId);
        commitVote(caseId, ann, Verdict.Falls);
        refute(entry, treeNow(), 3, labelAt(testSetWith(N), 3));
        vm.expectRevert(abi.encodeWithSelector(Errors.Pool_NothingDisputed.selector, taskId));
        pool.resolve(taskId);
        // a vote that nobody needs is still only the voter's loss of time
        commitVote(caseId, ben, Verdict.Stands);
        recover(caseId, 0, ann, Verdict.Falls, 10 ether);
        recover(caseId, 0, ben, Verdict.Stands, 3 ether);
        commitVote(caseId, ann, Verdict.Stands); // found by random play: a second idle ballot, while the window lasts
        recover(caseId, 0, ann, Verdict.Stands, 10 ether);
        (, uint256 ballots, uint256 votes) = pool.dividendOf(ann);
        assertEq(0, ballots + votes, "participation for an idle vote");
        assertBondsBack(caseId);
        assertEmptyAfterLeaving();
    }

    function test_refuted_while_revealing_gives_everything_back() public {
        bytes32 caseId = disputedTwice();
        toCommit(caseId);
        commitVote(caseId, ann, Verdict.Falls);
        commitVote(caseId, ben, Verdict.Stands);
        toReveal(caseId);
        revealVote(caseId, ann, Verdict.Falls, 10 ether);
        bytes32 ballot = ballotOf(caseId, ben, Verdict.Stands);
        expectNotResolved(caseId);
        pool.recoverVote(caseId, 0, ben, ballot, 3 ether);
        refute(entry, treeNow(), 3, labelAt(testSetWith(N), 3));
        vm.expectEmit();
        emit IAuditorPool.VoteCollected(caseId, 0, ann, 10 ether, 0);
        pool.collectVote(caseId, 0, ann);
        (, uint256 ballots, uint256 votes) = pool.dividendOf(ann);
        assertEq(0, ballots + votes, "a vote for nobody");
        expectNothing(ben);
        pool.collectVote(caseId, 0, ben); // not opened: it is recovered instead
        recover(caseId, 0, ben, Verdict.Stands, 3 ether);
        assertBondsBack(caseId);
        assertEq(75 ether, totalActive(), "all stakes whole");
        assertEq(0, pool.creditOf(alice), "nobody was wronged");
        assertEmptyAfterLeaving();
    }

    function test_withheld_during_a_vote_gives_everything_back() public {
        bytes32 caseId = disputedTwice();
        vm.warp(roundOf(taskId).challengeEnd - 1);
        demand(fay, 0);
        toCommit(caseId);
        commitVote(caseId, ann, Verdict.Falls);
        vm.warp(roundOf(taskId).demandEnd);
        assertPhase(taskId, Phase.VotingCommit, true);
        advance(taskId);
        assertPhase(taskId, Phase.Nominating, false);
        recover(caseId, 0, ann, Verdict.Falls, 10 ether);
        assertBondsBack(caseId);
        pool.closeDemand(taskId, 0, alice, 0);
        assertEmptyAfterLeaving();
    }

    function test_refuted_during_the_repeat_gives_everything_of_it_back() public {
        bytes32 caseId = disputedTwice();
        vote(caseId, Verdict.None, Verdict.Falls, Verdict.None);
        advance(taskId);
        assertRuling(Ruling.Repeat, caseId, 0);
        commitVote(caseId, ann, Verdict.Falls);
        refute(entry, treeNow(), 3, labelAt(testSetWith(N), 3));
        recover(caseId, 1, ann, Verdict.Falls, 10 ether);
        pool.collectVote(caseId, 0, ben); // the first vote gives its lock back
        (, uint256 ballots, uint256 votes) = pool.dividendOf(ben);
        assertEq(0, ballots + votes, "a vote without quorum counts for nobody, present or absent");
        assertBondsBack(caseId);
        assertEmptyAfterLeaving();
    }

    function test_recover_of_another_ballot_or_twice_reverts() public {
        bytes32 caseId = disputedTwice();
        toCommit(caseId);
        commitVote(caseId, ann, Verdict.Falls);
        refute(entry, treeNow(), 3, labelAt(testSetWith(N), 3));
        bytes32 ballot = ballotOf(caseId, ann, Verdict.Falls);
        bytes32 stored = keccak256(abi.encode(ballot, uint256(10 ether)));
        bytes32 given = keccak256(abi.encode(ballot, uint256(11 ether)));
        vm.expectRevert(abi.encodeWithSelector(Errors.Pool_WrongBallot.selector, given, stored));
        pool.recoverVote(caseId, 0, ann, ballot, 11 ether);
        vm.expectRevert(abi.encodeWithSelector(Errors.Pool_WrongBallot.selector, stored, bytes32(0)));
        pool.recoverVote(caseId, 0, ben, ballot, 10 ether);
        pool.recoverVote(caseId, 0, ann, ballot, 10 ether);
        vm.expectRevert(abi.encodeWithSelector(Errors.Pool_WrongBallot.selector, stored, bytes32(0)));
        pool.recoverVote(caseId, 0, ann, ballot, 10 ether);
        vm.expectRevert(abi.encodeWithSelector(Errors.Pool_WrongBallot.selector, stored, bytes32(0)));
        pool.recoverVote(caseId, 1, ann, ballot, 10 ether);
    }

    function test_refuted_after_it_stood_leaves_the_ruling_as_it_is() public {
        bytes32 caseId = disputedTwice();
        vote(caseId, Verdict.Stands, Verdict.None, Verdict.None);
        pool.resolve(taskId);
        refute(entry, treeNow(), 3, labelAt(testSetWith(N), 3));
        assertRuling(Ruling.Stands, caseId, 0);
        expectNothing(fay);
        pool.collectBond(caseId, fay);
        pool.collectVote(caseId, 0, ann);
        assertEq(DISPUTE_BOND, pool.creditOf(ann), "half of two bonds");
        assertEmptyAfterLeaving();
    }

    function test_next_leader_can_be_disputed_in_a_case_of_its_own() public {
        (Work memory first,) = committedTree(testSetWith(3), rightLeaves(3), noLie(), 0);
        Work memory second = work(BOB, first.proof.taskId, 0, 0, "bob");
        Tree memory other = treeOf(digestOf(second), rightLeaves(3), 2, noLie());
        claimTree(second, other, 3, 3);
        commit(second);
        taskId = first.proof.taskId;
        releaseWith(taskId, testSetWith(3));
        reveal(first);
        reveal(second);
        toRevealEnd(taskId);
        open(first);
        bytes32 caseId = dispute(fay, taskId);
        vote(caseId, Verdict.Falls, Verdict.None, Verdict.None);
        advance(taskId);
        market.nominate(taskId, bob);
        toEnd(taskId);
        open(second);
        bytes32 secondCase = dispute(fay, taskId);
        assertTrue(caseId != secondCase, "another case");
        vote(secondCase, Verdict.Stands, Verdict.None, Verdict.None);
        advance(taskId);
        assertRuling(Ruling.Falls, caseId, 0);
        assertRuling(Ruling.Stands, secondCase, 0);
        advance(taskId);
        assertPhase(taskId, Phase.Settled, false);
        pool.collectBond(caseId, fay);
        pool.collectVote(caseId, 0, ann);
        pool.collectVote(secondCase, 0, ann);
        assertEmptyAfterLeaving();
    }

    // ---------------------------------------------------------------- help

    function demand(address demander, uint256 index) private {
        vm.prank(demander);
        pool.demand{value: DEMAND_BOND}(refOf(entry), index);
    }

    function answer(uint256 index) private {
        Tree memory tree = treeNow();
        vm.prank(keeper);
        pool.answer(refOf(entry), index, tree.leaves[index], pathOf(tree, index));
    }

    /// @dev Alice's tree again: storage cannot hold it.
    function treeNow() private view returns (Tree memory) {
        PredictionLeaf[] memory leaves = rightLeaves(N);
        leaves[3].prediction = 4;
        return treeOf(digest, leaves, depthFor(N), noLie());
    }

    /// @dev Alice's claim opened and disputed by Fay and Gus.
    function disputedTwice() private returns (bytes32 caseId) {
        open(entry);
        caseId = dispute(fay, taskId);
        dispute(gus, taskId);
    }

    function recover(bytes32 caseId, uint8 attempt, address voter, Verdict verdict, uint256 lockWei) private {
        uint256 activeWei = activeOf(voter);
        bytes32 ballot = ballotOf(caseId, voter, verdict);
        vm.expectEmit();
        emit IAuditorPool.VoteCollected(caseId, attempt, voter, lockWei, 0);
        vm.prank(keeper);
        pool.recoverVote(caseId, attempt, voter, ballot, lockWei);
        assertEq(activeWei + lockWei, activeOf(voter), "active again");
        assertEq(activeOf(voter), pool.stakeAt(voter, uint40(block.timestamp)), "and in the trace");
    }

    function assertBondsBack(bytes32 caseId) private {
        uint256 before = pool.creditOf(fay);
        pool.collectBond(caseId, fay);
        pool.collectBond(caseId, gus);
        assertEq(before + DISPUTE_BOND, pool.creditOf(fay), "fay's bond");
        assertEq(DISPUTE_BOND, pool.creditOf(gus), "gus's bond");
        expectNothing(fay);
        pool.collectBond(caseId, fay);
    }
}
