// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IModelRegistry} from "../../contracts/interfaces/IModelRegistry.sol";
import {ITaskMarket} from "../../contracts/interfaces/ITaskMarket.sol";
import {Errors} from "../../contracts/libraries/Errors.sol";
import {BlockHeader, Entry, Outcome, Phase, Reason, Terms} from "../../contracts/types/Task.sol";
import {Scenario} from "./Scenario.sol";

/// advance
/// ├── given an unknown task: it should revert
/// ├── given a running or cold phase: it should revert
/// ├── given Training due: it should void the task; bounty and bond go back (P-20)
/// ├── given Releasing due: it should abort; bounty back, half the bond shared by the committers (P-21)
/// ├── given Revealing due (no qualifying claim): it should void; unrevealed deposits go to the pool
/// ├── given Opening due: it should strike the leader and start Nominating (P-51)
/// ├── given Nominating due: it should void
/// └── given Challenge due
///     ├── it should pay winner and fee, return the bond, append the block (P-60, P-70)
///     ├── given a parent: it should pay the royalty to the parent's miner
///     ├── given unrevealed deposits: it should credit them to the pool (P-61)
///     └── given a further round
///         ├── it should begin that round's training, and keep the bond (P-19)
///         ├── it should ask for the previous score plus the gain, at most everything (P-42)
///         ├── it should ask for the previous winner as parent (P-31)
///         └── it should pay the royalty to the previous winner's miner
contract AdvanceTest is Scenario {
    uint256 private taskId;

    function setUp() public override {
        super.setUp();
        taskId = post(1);
    }

    function test_advance_of_an_unknown_task_reverts() public {
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_UnknownTask.selector, 9));
        market.advance(9);
    }

    function test_advance_of_a_running_phase_reverts() public {
        expectNothingDue(Phase.Training, T0 + TRAIN);
        Work memory w = work(ALICE, taskId, 0, 900, "a");
        commit(w);
        vm.warp(T0 + TRAIN);
        expectNothingDue(Phase.Releasing, T0 + TRAIN + GAP + RELEASE);
        toRelease(taskId);
        release(taskId);
        expectNothingDue(Phase.Revealing, block.timestamp + REVEAL);
        reveal(w);
        toRevealEnd(taskId);
        expectNothingDue(Phase.Opening, block.timestamp + OPEN);
        open(w);
        expectNothingDue(Phase.Challenge, block.timestamp + CHALLENGE);
        toEnd(taskId);
        advance(taskId);
        expectNothingDue(Phase.Settled, 0);
    }

    function test_advance_without_a_commit_voids() public {
        vm.warp(T0 + TRAIN);
        assertPhase(taskId, Phase.Training, true);
        vm.expectEmit();
        emit ITaskMarket.TaskVoided(taskId, 0);
        advance(taskId);
        assertPhase(taskId, Phase.Void, false);
        assertEq(value(terms(1), 1), market.creditOf(requester), "requester");
        expectNothingDue(Phase.Void, 0);
        assertEmptyAfterWithdrawals();
    }

    function test_advance_without_a_release_aborts() public {
        Terms memory t = terms(1);
        t.bondWei = BOUNTY / 10 + 3; // odd, so that shares round
        taskId = post(t, 1);
        commit(work(ALICE, taskId, 0, 900, "a"));
        commit(work(BOB, taskId, 0, 800, "b"));
        commit(work(CAROL, taskId, 0, 700, "c"));
        toEnd(taskId); // releasing
        toEnd(taskId);
        assertPhase(taskId, Phase.Releasing, true);
        vm.expectEmit();
        emit ITaskMarket.TaskAborted(taskId, 0);
        advance(taskId);
        assertPhase(taskId, Phase.Aborted, false);
        uint256 share = uint256(t.bondWei) / 2 / 3;
        assertEq(BOUNTY, market.creditOf(requester), "requester");
        assertEq(t.bondWei - 3 * share, market.creditOf(treasury), "pool");
        market.reclaim(taskId, 0, alice);
        market.reclaim(taskId, 0, bob);
        market.reclaim(taskId, 0, carol);
        assertEq(DEPOSIT + share, market.creditOf(alice), "alice");
        assertEq(DEPOSIT + share, market.creditOf(carol), "carol");
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_NothingToReclaim.selector, alice));
        market.reclaim(taskId, 0, alice);
        cancelFirst();
        assertEmptyAfterWithdrawals();
    }

    function test_advance_without_a_qualifying_claim_voids() public {
        Work memory low = work(ALICE, taskId, 0, 100, "a");
        commit(work(BOB, taskId, 0, 900, "silent"));
        released(low);
        reveal(low);
        toRevealEnd(taskId);
        assertPhase(taskId, Phase.Revealing, true);
        advance(taskId);
        assertPhase(taskId, Phase.Void, false);
        assertEq(value(terms(1), 1), market.creditOf(requester), "requester");
        assertEq(DEPOSIT, market.creditOf(treasury), "unrevealed deposit");
        market.reclaim(taskId, 0, alice);
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_NothingToReclaim.selector, bob));
        market.reclaim(taskId, 0, bob);
        assertEmptyAfterWithdrawals();
    }

    function test_advance_over_a_silent_leader_strikes_it() public {
        Work memory w = work(ALICE, taskId, 0, 900, "a");
        released(w);
        reveal(w);
        toRevealEnd(taskId);
        toEnd(taskId);
        assertPhase(taskId, Phase.Opening, true);
        vm.expectEmit();
        emit ITaskMarket.ClaimStruck(taskId, 0, alice, Reason.Silent);
        advance(taskId);
        assertPhase(taskId, Phase.Nominating, false);
        Entry memory entry = entryOf(w);
        assertTrue(entry.isStruck && !entry.holdsDeposit, "struck, deposit gone");
        assertEq(address(0), roundOf(taskId).leader, "leader");
        assertEq(block.timestamp + OPEN, roundOf(taskId).nominateEnd, "nominateEnd");
        assertEq(DEPOSIT, market.creditOf(treasury), "seized deposit");
    }

    function test_advance_after_an_empty_nomination_voids() public {
        Work memory w = work(ALICE, taskId, 0, 900, "a");
        released(w);
        reveal(w);
        toRevealEnd(taskId);
        toEnd(taskId);
        advance(taskId);
        toEnd(taskId);
        assertPhase(taskId, Phase.Nominating, true);
        advance(taskId);
        assertPhase(taskId, Phase.Void, false);
        assertEq(value(terms(1), 1), market.creditOf(requester), "requester");
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_NothingToReclaim.selector, alice));
        market.reclaim(taskId, 0, alice);
        assertEmptyAfterWithdrawals();
    }

    function test_advance_over_every_silent_leader_seizes_every_deposit() public {
        Work memory a = work(ALICE, taskId, 0, 900, "a");
        Work memory b = work(BOB, taskId, 0, 800, "b");
        commit(b);
        released(a);
        reveal(a);
        reveal(b);
        toRevealEnd(taskId);
        toEnd(taskId);
        advance(taskId);
        market.nominate(taskId, bob);
        toEnd(taskId); // nominating
        toEnd(taskId); // opening
        advance(taskId);
        assertTrue(entryOf(b).isStruck, "struck too");
        toEnd(taskId);
        advance(taskId);
        assertEq(2 * DEPOSIT, market.creditOf(treasury), "seized deposits");
        assertEmptyAfterWithdrawals();
    }

    // ---------------------------------------------------------------- settle

    function test_advance_settles_and_appends_the_block() public {
        Work memory w = work(ALICE, taskId, 0, 900, "a");
        post(1); // an open task that this block does not select
        opened(w);
        toEnd(taskId);
        BlockHeader memory header = BlockHeader({
            version: 1,
            height: 0,
            previousHash: registry.genesisHash(),
            taskId: taskId,
            round: 0,
            modelHash: w.proof.modelHash,
            proofDigest: digestOf(w),
            miner: alice,
            total: 900,
            scorePpm: 900_000,
            difficulty: market.taskOf(taskId).difficulty,
            cumulativeDifficulty: market.taskOf(taskId).difficulty,
            timestamp: uint40(block.timestamp),
            openTasks: 1
        });
        uint256 fee = uint256(BOUNTY) * FEE_BPS / 1e4;
        vm.expectEmit();
        emit ITaskMarket.RoundSettled(taskId, 0, alice, BOUNTY - fee, fee, 0);
        vm.expectEmit();
        emit IModelRegistry.BlockAppended(0, keccak256(abi.encode(header)), taskId, header);
        advance(taskId);
        assertPhase(taskId, Phase.Settled, false);
        assertEq(BOUNTY - fee, market.creditOf(alice), "winner");
        assertEq(fee, market.creditOf(treasury), "pool");
        assertEq(terms(1).bondWei, market.creditOf(requester), "bond");
        assertTrue(registry.verifyBlock(header), "block");
        market.reclaim(taskId, 0, alice);
        assertEq(BOUNTY - fee + DEPOSIT, market.creditOf(alice), "winner's deposit");
    }

    function test_advance_pays_the_royalty_to_the_parents_miner() public {
        Work memory parent = work(ALICE, taskId, 0, 900, "a");
        settled(parent);
        uint256 before = market.creditOf(alice);
        uint256 second = post(1);
        Work memory child = work(BOB, second, 0, 950, "b");
        child.proof.parentModel = parent.proof.modelHash;
        bind(child);
        settled(child);
        uint256 fee = uint256(BOUNTY) * FEE_BPS / 1e4;
        uint256 royalty = uint256(BOUNTY) * ROYALTY_BPS / 1e4;
        assertEq(royalty, market.creditOf(alice) - before, "royalty");
        assertEq(BOUNTY - fee - royalty, market.creditOf(bob), "winner");
        market.reclaim(taskId, 0, alice);
        market.reclaim(second, 0, bob);
        assertEmptyAfterWithdrawals();
    }

    function test_advance_credits_unrevealed_deposits_to_the_pool() public {
        commit(work(BOB, taskId, 0, 800, "silent"));
        commit(work(CAROL, taskId, 0, 800, "silent too"));
        settled(work(ALICE, taskId, 0, 900, "a"));
        uint256 fee = uint256(BOUNTY) * FEE_BPS / 1e4;
        assertEq(fee + 2 * DEPOSIT, market.creditOf(treasury), "pool");
        market.reclaim(taskId, 0, alice);
        assertEmptyAfterWithdrawals();
    }

    // ---------------------------------------------------------------- rounds

    function test_advance_begins_the_next_round() public {
        uint256 id = post(2);
        settled(work(ALICE, id, 0, 900, "a"));
        assertEq(1, market.taskOf(id).round, "round");
        assertEq(uint256(Outcome.None), uint256(market.taskOf(id).outcome), "outcome");
        assertEq(block.timestamp + TRAIN, market.roundOf(id, 1).trainEnd, "trainEnd");
        assertPhase(id, Phase.Training, false);
        assertEq(0, market.creditOf(requester), "the bond stays");
        // the settled round is cold for its deposits
        market.reclaim(id, 0, alice);
    }

    function test_later_round_needs_the_gain() public {
        uint256 id = post(2);
        settled(work(ALICE, id, 0, 900, "a"));
        Work memory short = work(ALICE, id, 1, 909, "a2");
        Work memory enough = work(BOB, id, 1, 910, "b2");
        commit(short);
        released(enough);
        reveal(short);
        reveal(enough);
        assertTrue(!entryOf(short).qualifies, "below the gain");
        assertTrue(entryOf(enough).qualifies, "at the gain");
        assertEq(bob, roundOf(id).leader, "leader");
    }

    function test_later_round_needs_no_more_than_everything() public {
        uint256 id = post(2);
        settled(work(ALICE, id, 0, 995, "a"));
        Work memory all = work(BOB, id, 1, SAMPLES, "b2");
        released(all);
        reveal(all);
        assertTrue(entryOf(all).qualifies, "the whole score qualifies");
    }

    function test_later_round_needs_the_previous_winner_as_parent() public {
        uint256 id = post(2);
        settled(work(ALICE, id, 0, 600, "a"));
        Work memory none = work(ALICE, id, 1, 900, "a2");
        none.proof.parentModel = 0;
        bind(none);
        Work memory right = work(BOB, id, 1, 800, "b2");
        commit(none);
        released(right);
        reveal(none);
        reveal(right);
        assertTrue(!entryOf(none).qualifies, "no parent");
        assertTrue(entryOf(right).qualifies, "the previous winner");
    }

    function test_later_round_pays_royalty_fee_and_bond() public {
        uint256 id = post(2);
        settled(work(ALICE, id, 0, 600, "a"));
        uint256 before = market.creditOf(alice);
        settled(work(BOB, id, 1, 700, "b2"));
        assertPhase(id, Phase.Settled, false);
        uint256 fee = uint256(BOUNTY) * FEE_BPS / 1e4;
        uint256 royalty = uint256(BOUNTY) * ROYALTY_BPS / 1e4;
        assertEq(royalty, market.creditOf(alice) - before, "royalty");
        assertEq(BOUNTY - fee - royalty, market.creditOf(bob), "winner");
        assertEq(2 * fee, market.creditOf(treasury), "fees");
        assertEq(registry.winnerOf(id, 0).modelHash, registry.winnerOf(id, 1).parentModel, "parent");
        assertEq(terms(2).bondWei, market.creditOf(requester), "bond");
        market.reclaim(id, 0, alice);
        market.reclaim(id, 1, bob);
        cancelFirst();
        assertEmptyAfterWithdrawals();
    }

    function test_later_round_aborted_returns_only_what_is_left() public {
        uint256 id = post(3);
        settled(work(ALICE, id, 0, 600, "a"));
        commit(work(BOB, id, 1, 700, "b2"));
        toEnd(id);
        toEnd(id);
        advance(id);
        assertPhase(id, Phase.Aborted, false);
        assertEq(2 * uint256(BOUNTY), market.creditOf(requester), "two rounds' bounty");
        market.reclaim(id, 1, bob);
        assertEq(DEPOSIT + uint256(terms(3).bondWei) / 2, market.creditOf(bob), "deposit and half of the bond");
        // an earlier round's winner gets its deposit, and no share
        uint256 before = market.creditOf(alice);
        market.reclaim(id, 0, alice);
        assertEq(DEPOSIT, market.creditOf(alice) - before, "alice");
        cancelFirst();
        assertEmptyAfterWithdrawals();
    }

    function test_later_round_void_returns_only_what_is_left() public {
        uint256 id = post(3);
        settled(work(ALICE, id, 0, 600, "a"));
        toEnd(id);
        advance(id);
        assertPhase(id, Phase.Void, false);
        assertEq(2 * uint256(BOUNTY) + terms(3).bondWei, market.creditOf(requester), "bounty and bond");
        market.reclaim(id, 0, alice);
        cancelFirst();
        assertEmptyAfterWithdrawals();
    }

    function test_sixteen_rounds_end_to_end() public {
        Terms memory t = terms(16);
        t.minGainPpm = 0;
        uint256 id = post(t, 16);
        for (uint16 round; round < 16; ++round) {
            Work memory w = work(ALICE, id, round, 900, vm.toString(round));
            settled(w);
            market.reclaim(id, round, alice);
        }
        assertPhase(id, Phase.Settled, false);
        (uint64 blocks,,) = registry.head();
        assertEq(16, blocks, "blocks");
        cancelFirst();
        assertEmptyAfterWithdrawals();
    }

    /// @dev The task of setUp had no commit: whatever the time, its money goes back.
    function cancelFirst() private {
        (, bool due,) = market.phaseOf(1);
        if (due) {
            market.advance(1);
        } else {
            vm.prank(requester);
            market.cancel(1);
        }
    }

    function expectNothingDue(Phase phase, uint256 endsAt) private {
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_NothingDue.selector, taskId, phase, endsAt));
        market.advance(taskId);
    }
}
