// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ITaskMarket} from "../../contracts/interfaces/ITaskMarket.sol";
import {Errors} from "../../contracts/libraries/Errors.sol";
import {Phase, Reason, Round, Ruling, Terms, Vote} from "../../contracts/types/Task.sol";
import {PoolActor} from "./PoolActor.sol";

/// noteDemand
/// ├── when the caller is not the pool, given an unknown task or another round: it should revert
/// ├── given another phase than Opening and Challenge, or one that is due: it should revert (M-7)
/// ├── given an open demand that keeps Challenge from ending: it should revert, so that no demand follows another for ever
/// ├── given a miner that does not lead: it should revert
/// ├── given as many open demands as can be counted: it should revert
/// └── it should count the demand, and give one opening window for every open one to be answered
/// noteAnswer
/// ├── when the caller is not the pool, given an unknown task, another round or a miner that does not lead: it should revert
/// ├── given no open demand, or one that is overdue: it should revert
/// └── it should count the demand no more
/// advance
/// ├── given an open demand before its end: nothing should be due
/// ├── given an overdue demand in Opening, Challenge, VotingCommit or VotingReveal: it should strike the leader
/// ├── given a silent leader with an open demand: it should strike it
/// ├── given an open demand at challengeEnd: Challenge should wait for the answer, then settle
/// └── given an open demand at the end of a vote: VotingReveal should wait for the answer, then be counted (P-58)
contract DemandTest is PoolActor {
    uint256 private taskId;
    Work private w;

    function setUp() public override {
        super.setUp();
        taskId = post(1);
        w = work(ALICE, taskId, 0, 900, "a");
    }

    // ---------------------------------------------------------------- noteDemand

    function test_noteDemand_by_a_stranger_reverts() public {
        opened(w);
        expectNotPool(keeper);
        vm.prank(keeper);
        market.noteDemand(taskId, 0, alice);
    }

    function test_noteDemand_in_an_unknown_task_reverts() public {
        expectUnknownTask(9);
        vm.prank(treasury);
        market.noteDemand(9, 0, alice);
    }

    function test_noteDemand_in_another_round_reverts() public {
        opened(w);
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_WrongRound.selector, 1, 0));
        vm.prank(treasury);
        market.noteDemand(taskId, 1, alice);
    }

    function test_noteDemand_outside_of_Opening_and_Challenge_reverts() public {
        expectWrongPhase(Phase.Training, false, Phase.Challenge);
        noteDemand(w);
        released(w);
        reveal(w);
        expectWrongPhase(Phase.Revealing, false, Phase.Challenge);
        noteDemand(w);
        toRevealEnd(taskId);
        toEnd(taskId);
        expectWrongPhase(Phase.Opening, true, Phase.Opening);
        noteDemand(w);
        advance(taskId);
        expectWrongPhase(Phase.Nominating, false, Phase.Challenge);
        noteDemand(w);
    }

    function test_noteDemand_from_challengeEnd_reverts() public {
        opened(w);
        toEnd(taskId);
        expectWrongPhase(Phase.Challenge, true, Phase.Challenge);
        noteDemand(w);
        advance(taskId);
        expectWrongPhase(Phase.Settled, false, Phase.Challenge);
        noteDemand(w);
    }

    function test_noteDemand_during_a_vote_reverts() public {
        disputed(w);
        toEnd(taskId);
        expectWrongPhase(Phase.VotingCommit, false, Phase.Challenge);
        noteDemand(w);
        toEnd(taskId);
        expectWrongPhase(Phase.VotingReveal, false, Phase.Challenge);
        noteDemand(w);
    }

    function test_noteDemand_cannot_follow_another_beyond_challengeEnd() public {
        opened(w);
        vm.warp(roundOf(taskId).challengeEnd - 1);
        noteDemand(w);
        vm.warp(block.timestamp + 1);
        assertPhase(taskId, Phase.Challenge, false);
        expectWrongPhase(Phase.Challenge, true, Phase.Challenge);
        noteDemand(w);
    }

    function test_noteDemand_of_an_overdue_leader_reverts() public {
        opened(w);
        noteDemand(w);
        vm.warp(block.timestamp + OPEN);
        expectWrongPhase(Phase.Challenge, true, Phase.Challenge);
        noteDemand(w);
    }

    function test_noteDemand_of_another_claim_reverts() public {
        Work memory second = work(BOB, taskId, 0, 800, "b");
        commit(second);
        released(w);
        reveal(w);
        reveal(second);
        toRevealEnd(taskId);
        expectNotLeader(bob);
        noteDemand(second);
        open(w);
        expectNotLeader(bob);
        noteDemand(second);
    }

    function test_noteDemand_beyond_what_can_be_counted_reverts() public {
        opened(w);
        vm.startPrank(treasury);
        for (uint256 i; i < type(uint16).max; ++i) {
            market.noteDemand(taskId, 0, alice);
        }
        vm.stopPrank();
        assertEq(type(uint16).max, roundOf(taskId).openDemands, "openDemands");
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_TooManyDemands.selector, type(uint16).max));
        noteDemand(w);
        noteAnswer(w);
        noteDemand(w);
    }

    function test_noteDemand_counts_and_gives_one_window() public {
        released(w);
        reveal(w);
        toRevealEnd(taskId);
        assertEq(block.timestamp + OPEN, noteDemand(w), "demandEnd");
        assertFacts(1, block.timestamp + OPEN);
        vm.warp(block.timestamp + OPEN / 2);
        open(w);
        assertFacts(1, block.timestamp + OPEN / 2);
        assertEq(block.timestamp + OPEN, noteDemand(w), "a later end, for both");
        assertFacts(2, block.timestamp + OPEN);
    }

    function test_noteDemand_until_the_last_second() public {
        opened(w);
        vm.warp(roundOf(taskId).challengeEnd - 1);
        assertEq(block.timestamp + OPEN, noteDemand(w), "demandEnd");
    }

    // ---------------------------------------------------------------- noteAnswer

    function test_noteAnswer_by_a_stranger_reverts() public {
        opened(w);
        noteDemand(w);
        expectNotPool(keeper);
        vm.prank(keeper);
        market.noteAnswer(taskId, 0, alice);
    }

    function test_noteAnswer_in_an_unknown_task_reverts() public {
        expectUnknownTask(9);
        vm.prank(treasury);
        market.noteAnswer(9, 0, alice);
    }

    function test_noteAnswer_in_another_round_reverts() public {
        opened(w);
        noteDemand(w);
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_WrongRound.selector, 1, 0));
        vm.prank(treasury);
        market.noteAnswer(taskId, 1, alice);
    }

    function test_noteAnswer_for_another_claim_reverts() public {
        opened(w);
        noteDemand(w);
        expectNotLeader(bob);
        vm.prank(treasury);
        market.noteAnswer(taskId, 0, bob);
    }

    function test_noteAnswer_of_nothing_reverts() public {
        opened(w);
        expectWrongPhase(Phase.Challenge, false, Phase.Challenge);
        noteAnswer(w);
        noteDemand(w);
        noteAnswer(w);
        expectWrongPhase(Phase.Challenge, false, Phase.Challenge);
        noteAnswer(w);
    }

    function test_noteAnswer_from_the_demands_end_reverts() public {
        opened(w);
        uint40 demandEnd = noteDemand(w);
        vm.warp(demandEnd);
        expectWrongPhase(Phase.Challenge, true, Phase.Challenge);
        noteAnswer(w);
    }

    function test_noteAnswer_until_the_last_second() public {
        opened(w);
        noteDemand(w);
        uint40 demandEnd = noteDemand(w);
        vm.warp(demandEnd - 1);
        noteAnswer(w);
        assertFacts(1, demandEnd);
        noteAnswer(w);
        assertFacts(0, uint40(block.timestamp + OPEN));
        vm.warp(demandEnd);
        assertPhase(taskId, Phase.Challenge, false);
    }

    function test_noteAnswer_after_the_opening_window_is_over() public {
        released(w);
        reveal(w);
        toRevealEnd(taskId);
        vm.warp(block.timestamp + OPEN - 1);
        noteDemand(w);
        vm.warp(block.timestamp + 1);
        assertPhase(taskId, Phase.Opening, true);
        noteAnswer(w);
        assertEq(0, roundOf(taskId).openDemands, "openDemands");
    }

    // ---------------------------------------------------------------- advance

    function test_advance_over_an_overdue_demand_in_Opening() public {
        released(w);
        reveal(w);
        toRevealEnd(taskId);
        noteDemand(w);
        assertOverdue(Phase.Opening);
    }

    function test_advance_over_an_overdue_demand_in_Challenge() public {
        opened(w);
        noteDemand(w);
        assertOverdue(Phase.Challenge);
    }

    function test_advance_over_a_demand_that_was_overdue_before_challengeEnd() public {
        opened(w);
        noteDemand(w);
        toEnd(taskId);
        assertPhase(taskId, Phase.Challenge, true);
        assertStruck();
    }

    function test_advance_over_an_overdue_demand_in_VotingCommit() public {
        disputed(w);
        vm.warp(roundOf(taskId).challengeEnd - 1);
        noteDemand(w);
        assertOverdue(Phase.VotingCommit);
    }

    function test_advance_over_an_overdue_demand_in_VotingReveal() public {
        disputedWithSlowOpening(VOTE + 10);
        uint256 challengeEnd = roundOf(taskId).challengeEnd;
        vm.warp(challengeEnd - 1);
        noteDemand(w);
        vm.warp(challengeEnd + VOTE);
        assertPhase(taskId, Phase.VotingReveal, true);
        assertStruck();
    }

    function test_advance_over_an_overdue_demand_at_the_end_of_a_vote() public {
        disputedWithSlowOpening(VOTE + 10);
        vm.warp(roundOf(taskId).challengeEnd - 1);
        noteDemand(w);
        vm.warp(roundOf(taskId).challengeEnd + 2 * VOTE);
        assertPhase(taskId, Phase.VotingReveal, true);
        assertStruck();
    }

    function test_advance_over_a_silent_leader_with_an_open_demand() public {
        released(w);
        reveal(w);
        toRevealEnd(taskId);
        vm.warp(block.timestamp + OPEN - 1);
        noteDemand(w);
        vm.warp(block.timestamp + 1);
        assertPhase(taskId, Phase.Opening, true);
        assertStruck();
    }

    function test_advance_waits_for_a_demand_beyond_challengeEnd() public {
        opened(w);
        vm.warp(roundOf(taskId).challengeEnd - 1);
        uint40 demandEnd = noteDemand(w);
        vm.warp(demandEnd - 1);
        expectNothingDue(Phase.Challenge, demandEnd);
        noteAnswer(w);
        // what was shown in the last second can still be refuted
        expectNothingDue(Phase.Challenge, block.timestamp + OPEN);
        vm.warp(block.timestamp + OPEN - 1);
        assertPhase(taskId, Phase.Challenge, false);
        vm.warp(block.timestamp + 1);
        assertPhase(taskId, Phase.Challenge, true);
        advance(taskId);
        assertPhase(taskId, Phase.Settled, false);
    }

    function test_advance_strikes_for_a_demand_beyond_challengeEnd() public {
        opened(w);
        vm.warp(roundOf(taskId).challengeEnd - 1);
        noteDemand(w);
        assertOverdue(Phase.Challenge);
    }

    function test_neither_demand_nor_answer_holds_up_a_verdict() public {
        disputedWithSlowOpening(3 * VOTE);
        uint256 challengeEnd = roundOf(taskId).challengeEnd;
        vm.warp(challengeEnd - 1);
        uint40 demandEnd = noteDemand(w);
        assertEq(challengeEnd - 1 + VOTE, demandEnd, "at most half of a vote");
        vm.warp(demandEnd - 1);
        noteAnswer(w);
        vm.warp(challengeEnd + 2 * VOTE - 1);
        expectNothingDue(Phase.VotingReveal, challengeEnd + 2 * VOTE);
        vm.warp(challengeEnd + 2 * VOTE);
        conclude(taskId, Ruling.Stands);
        advance(taskId);
        assertPhase(taskId, Phase.Settled, false);
    }

    function test_advance_without_a_strike_while_a_demand_can_be_answered() public {
        opened(w);
        uint40 demandEnd = noteDemand(w);
        vm.warp(demandEnd - 1);
        expectNothingDue(Phase.Challenge, roundOf(taskId).challengeEnd);
    }

    // ---------------------------------------------------------------- help

    function assertFacts(uint256 openDemands, uint256 demandEnd) private view {
        Round memory round = roundOf(taskId);
        assertEq(openDemands, round.openDemands, "openDemands");
        assertEq(demandEnd, round.demandEnd, "demandEnd");
    }

    /// @dev Due from the demand's end on, and not a second before; then the leader is struck.
    function assertOverdue(Phase expected) private {
        uint40 demandEnd = roundOf(taskId).demandEnd;
        vm.warp(demandEnd - 1);
        assertPhase(taskId, expected, false);
        vm.warp(demandEnd);
        assertPhase(taskId, expected, true);
        (,, uint40 endsAt) = market.phaseOf(taskId);
        assertEq(demandEnd, endsAt, "endsAt");
        assertStruck();
    }

    function assertStruck() private {
        vm.expectEmit();
        emit ITaskMarket.ClaimStruck(taskId, 0, alice, Reason.Withheld);
        advance(taskId);
        assertEq(DEPOSIT, market.creditOf(treasury), "pool");
        Round memory round = roundOf(taskId);
        assertEq(address(0), round.leader, "leader");
        assertEq(0, round.openDemands, "openDemands");
        assertEq(uint256(Vote.None), uint256(round.vote), "vote");
        assertTrue(!round.isFeeDue, "no fee");
        assertPhase(taskId, Phase.Nominating, false);
    }

    function disputedWithSlowOpening(uint256 openSeconds) private {
        Terms memory t = terms(1);
        t.openSeconds = uint32(openSeconds);
        taskId = post(t, 1);
        w = work(ALICE, taskId, 0, 900, "slow");
        disputed(w);
    }

    function expectNothingDue(Phase phase, uint256 endsAt) private {
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_NothingDue.selector, taskId, phase, endsAt));
        market.advance(taskId);
    }

    function expectNotLeader(address miner) private {
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_NotLeader.selector, miner, alice));
    }
}
