// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ILedger} from "../../contracts/interfaces/ILedger.sol";
import {ITaskMarket} from "../../contracts/interfaces/ITaskMarket.sol";
import {Errors} from "../../contracts/libraries/Errors.sol";
import {Phase, Reason, Round, Ruling, Terms, Vote} from "../../contracts/types/Task.sol";
import {PoolActor} from "./PoolActor.sol";

/// strike
/// ├── when the caller is not the pool, or given an unknown task: it should revert
/// ├── given no reveal, a claim that does not qualify or was displaced, or one struck before: it should revert
/// ├── given another round than the current one, or a cold task: it should revert
/// ├── it should credit a third of the deposit to the refuter and the rest to the pool (M-6)
/// ├── given a claim that does not lead: nothing should change for the leader, whatever the phase
/// ├── given the leader
/// │   ├── in Revealing: later reveals should lead; Nominating follows until one opening window after revealEnd
/// │   ├── in Revealing with a displaced leader before it: the same
/// │   ├── in Revealing or later with an impeached test set: the vote should go on
/// │   ├── in Opening, Challenge, VotingCommit, VotingReveal or Nominating, due or not: Nominating should begin now
/// │   ├── with a vote on its claim, a repeated one too: it should end the vote (P-58)
/// │   └── with open demands: they should be forgotten
/// ├── given the only claim: the task should be void, without a fee (P-20)
/// └── a struck claim: it should neither be nominated nor get its deposit back
contract StrikeTest is PoolActor {
    uint256 private constant THIRD = uint256(DEPOSIT) / 3;

    address private refuter = address(0x10004);
    uint256 private taskId;
    Work private a; // leads
    Work private b; // second

    function setUp() public override {
        super.setUp();
        taskId = post(1);
        a = work(ALICE, taskId, 0, 900, "a");
        b = work(BOB, taskId, 0, 800, "b");
        commit(b);
        released(a);
    }

    // ---------------------------------------------------------------- refusals

    function test_strike_by_a_stranger_reverts() public {
        reveal(a);
        expectNotPool(keeper);
        vm.prank(keeper);
        market.strike(taskId, 0, alice, refuter);
    }

    function test_strike_in_an_unknown_task_reverts() public {
        expectUnknownTask(9);
        vm.prank(treasury);
        market.strike(9, 0, alice, refuter);
    }

    function test_strike_of_what_does_not_qualify_reverts() public {
        taskId = post(1);
        Work memory low = work(ALICE, taskId, 0, 100, "c");
        Work memory copy = work(BOB, taskId, 0, 900, "c");
        expectNotStrikable(carol); // no entry
        expectNotStrikable(alice); // nor was anything released
        commit(low);
        released(copy);
        expectNotStrikable(alice); // not revealed
        reveal(copy);
        reveal(low);
        expectNotStrikable(alice); // below the minimum
        expectNotStrikable(bob); // displaced
    }

    function test_strike_twice_reverts() public {
        reveal(a);
        strike(a, refuter);
        expectNotStrikable(alice);
    }

    function test_strike_in_another_round_reverts() public {
        uint256 id = post(2);
        settled(work(ALICE, id, 0, 800, "x"));
        Work memory next = work(BOB, id, 1, 900, "y");
        released(next);
        reveal(next);
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_NotStrikable.selector, alice));
        vm.prank(treasury);
        market.strike(id, 0, alice, refuter);
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_NotStrikable.selector, bob));
        vm.prank(treasury);
        market.strike(id, 2, bob, refuter);
    }

    function test_strike_in_a_settled_task_reverts() public {
        reveal(a);
        toRevealEnd(taskId);
        open(a);
        toEnd(taskId);
        advance(taskId);
        expectNotStrikable(alice);
    }

    function test_strike_in_a_void_task_reverts() public {
        reveal(a);
        reveal(b);
        toRevealEnd(taskId);
        toEnd(taskId);
        advance(taskId); // silent
        toEnd(taskId);
        advance(taskId); // nobody nominated Bob
        assertPhase(taskId, Phase.Void, false);
        expectNotStrikable(bob);
    }

    function test_strike_in_an_aborted_task_reverts() public {
        reveal(a);
        callVote(taskId, Vote.TestSet);
        toVoteEnd(taskId);
        conclude(taskId, Ruling.Falls);
        expectNotStrikable(alice);
    }

    // ---------------------------------------------------------------- money

    function test_strike_pays_a_third_to_the_refuter() public {
        Terms memory t = terms(1);
        t.depositWei = DEPOSIT + 1; // not divisible by three
        taskId = post(t, 1);
        Work memory w = work(ALICE, taskId, 0, 900, "w");
        released(w);
        reveal(w);
        vm.expectEmit();
        emit ITaskMarket.ClaimStruck(taskId, 0, alice, Reason.Refuted);
        vm.expectEmit();
        emit ILedger.Credited(refuter, THIRD, taskId);
        vm.expectEmit();
        emit ILedger.Credited(treasury, DEPOSIT + 1 - THIRD, taskId);
        strike(w, refuter);
        assertEq(THIRD, market.creditOf(refuter), "refuter");
        assertEq(DEPOSIT + 1 - THIRD, market.creditOf(treasury), "pool");
        assertTrue(entryOf(w).isStruck && !entryOf(w).holdsDeposit, "struck, deposit gone");
        assertEq(1, roundOf(taskId).strikes, "strikes");
    }

    function test_strike_of_the_only_claim_voids_without_a_fee() public {
        reveal(a);
        toRevealEnd(taskId);
        open(a);
        strike(a, refuter);
        toEnd(taskId);
        assertPhase(taskId, Phase.Nominating, true);
        advance(taskId);
        assertPhase(taskId, Phase.Void, false);
        assertEq(value(terms(1), 1), market.creditOf(requester), "requester");
        assertEq(2 * uint256(DEPOSIT) - THIRD, market.creditOf(treasury), "two thirds, and Bob's unrevealed deposit");
        market.withdraw(refuter);
        assertEmptyAfterWithdrawals();
    }

    function test_strike_ends_what_the_claim_may_get() public {
        reveal(a);
        reveal(b);
        strike(a, refuter);
        toRevealEnd(taskId);
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_NotQualified.selector, alice));
        market.nominate(taskId, alice);
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_NothingToReclaim.selector, alice));
        market.reclaim(taskId, 0, alice);
    }

    // ---------------------------------------------------------------- not the leader

    function test_strike_of_another_in_Revealing_leaves_the_leader() public {
        reveal(a);
        reveal(b);
        assertLeaderStays();
    }

    function test_strike_of_another_in_Opening_leaves_the_leader() public {
        reveal(a);
        reveal(b);
        toRevealEnd(taskId);
        assertLeaderStays();
    }

    function test_strike_of_another_in_Challenge_leaves_the_leader() public {
        bothRevealedAndOpened();
        noteDemand(a);
        callVote(taskId, Vote.Claim);
        assertLeaderStays();
    }

    function test_strike_of_another_in_a_vote_leaves_the_leader() public {
        bothRevealedAndOpened();
        callVote(taskId, Vote.Claim);
        toVoteEnd(taskId);
        conclude(taskId, Ruling.Repeat);
        assertLeaderStays();
    }

    function test_strike_of_another_while_due_leaves_the_leader() public {
        bothRevealedAndOpened();
        toEnd(taskId);
        assertLeaderStays();
        advance(taskId);
        assertPhase(taskId, Phase.Settled, false);
    }

    function assertLeaderStays() private {
        Round memory before = roundOf(taskId);
        strike(b, refuter);
        Round memory round = roundOf(taskId);
        assertEq(1, round.strikes, "strikes");
        round.strikes = 0;
        assertEq(keccak256(abi.encode(before)), keccak256(abi.encode(round)), "all other facts");
        assertTrue(entryOf(b).isStruck, "struck");
        assertEq(THIRD, market.creditOf(refuter), "refuter");
    }

    // ---------------------------------------------------------------- the leader, in Revealing

    function test_strike_of_the_leader_in_Revealing_lets_later_reveals_lead() public {
        reveal(a);
        strike(a, refuter);
        Round memory round = roundOf(taskId);
        assertEq(address(0), round.leader, "leader");
        assertEq(0, round.leaderTotal, "leaderTotal");
        assertEq(round.revealEnd + OPEN, round.nominateEnd, "nominateEnd");
        assertPhase(taskId, Phase.Revealing, false);
        reveal(b);
        assertEq(bob, roundOf(taskId).leader, "a lower score leads");
        toRevealEnd(taskId);
        assertPhase(taskId, Phase.Nominating, false);
        toEnd(taskId);
        assertPhase(taskId, Phase.Opening, false);
        open(b);
        toEnd(taskId);
        advance(taskId);
        assertPhase(taskId, Phase.Settled, false);
    }

    function test_strike_of_the_leader_in_Revealing_lets_an_earlier_claim_be_nominated() public {
        reveal(b);
        reveal(a);
        strike(a, refuter);
        toRevealEnd(taskId);
        market.nominate(taskId, bob);
        assertEq(bob, roundOf(taskId).leader, "leader");
    }

    function test_strike_of_a_leader_that_came_after_a_displaced_one() public {
        taskId = post(1);
        Work memory low = work(ALICE, taskId, 0, 100, "m");
        Work memory copy = work(BOB, taskId, 0, 900, "m");
        Work memory third = work(CAROL, taskId, 0, 800, "n");
        commit(low);
        commit(copy);
        released(third);
        reveal(copy);
        reveal(low);
        assertEq(address(0), roundOf(taskId).leader, "Bob is displaced");
        reveal(third);
        strike(third, refuter);
        Round memory round = roundOf(taskId);
        assertEq(address(0), round.leader, "leader");
        assertEq(round.revealEnd + OPEN, round.nominateEnd, "nominateEnd");
        vm.warp(round.nominateEnd);
        assertPhase(taskId, Phase.Nominating, true);
        advance(taskId);
        assertPhase(taskId, Phase.Void, false);
    }

    function test_strike_of_a_leader_then_its_model_revealed_by_an_earlier_commit() public {
        taskId = post(1);
        Work memory owner = work(BOB, taskId, 0, 700, "m");
        Work memory copy = work(ALICE, taskId, 0, 900, "m");
        commit(owner);
        released(copy);
        reveal(copy);
        strike(copy, refuter);
        reveal(owner);
        assertEq(bob, roundOf(taskId).leader, "the owner leads");
        assertTrue(entryOf(copy).isStruck, "still struck");
    }

    // ---------------------------------------------------------------- the leader, while the test set is impeached

    function test_strike_of_the_leader_does_not_end_an_impeachment() public {
        reveal(a);
        callVote(taskId, Vote.TestSet);
        strike(a, refuter);
        assertEq(uint256(Vote.TestSet), uint256(roundOf(taskId).vote), "vote");
        toRevealEnd(taskId);
        assertPhase(taskId, Phase.VotingCommit, false);
    }

    function test_strike_of_the_leader_in_a_repeated_vote_on_the_test_set() public {
        reveal(a);
        reveal(b);
        callVote(taskId, Vote.TestSet);
        toVoteEnd(taskId);
        conclude(taskId, Ruling.Repeat);
        uint40 voteStart = roundOf(taskId).voteStart;
        strike(a, refuter);
        Round memory round = roundOf(taskId);
        assertEq(uint256(Vote.TestSet), uint256(round.vote), "vote");
        assertEq(voteStart, round.voteStart, "voteStart");
        assertPhase(taskId, Phase.VotingCommit, false);
        toEnd(taskId);
        toEnd(taskId);
        conclude(taskId, Ruling.Split);
        market.nominate(taskId, bob);
        assertEq(bob, roundOf(taskId).leader, "leader");
    }

    // ---------------------------------------------------------------- the leader, later

    function test_strike_of_the_leader_in_Opening() public {
        reveal(a);
        toRevealEnd(taskId);
        noteDemand(a);
        assertNominatingBegins();
    }

    function test_strike_of_the_leader_in_Opening_due() public {
        reveal(a);
        toRevealEnd(taskId);
        toEnd(taskId);
        assertPhase(taskId, Phase.Opening, true);
        assertNominatingBegins();
    }

    function test_strike_of_the_leader_in_Challenge() public {
        bothRevealedAndOpened();
        noteDemand(a);
        noteDemand(a);
        assertNominatingBegins();
    }

    function test_strike_of_the_leader_in_Challenge_that_is_disputed() public {
        bothRevealedAndOpened();
        callVote(taskId, Vote.Claim);
        assertNominatingBegins();
    }

    function test_strike_of_the_leader_in_Challenge_due() public {
        bothRevealedAndOpened();
        toEnd(taskId);
        assertPhase(taskId, Phase.Challenge, true);
        assertNominatingBegins();
    }

    function test_strike_of_the_leader_in_VotingCommit() public {
        bothRevealedAndOpened();
        callVote(taskId, Vote.Claim);
        toEnd(taskId);
        assertPhase(taskId, Phase.VotingCommit, false);
        assertNominatingBegins();
    }

    function test_strike_of_the_leader_in_VotingReveal() public {
        bothRevealedAndOpened();
        callVote(taskId, Vote.Claim);
        toEnd(taskId);
        toEnd(taskId);
        assertPhase(taskId, Phase.VotingReveal, false);
        assertNominatingBegins();
    }

    function test_strike_of_the_leader_in_VotingReveal_due() public {
        bothRevealedAndOpened();
        callVote(taskId, Vote.Claim);
        toVoteEnd(taskId);
        assertPhase(taskId, Phase.VotingReveal, true);
        assertNominatingBegins();
    }

    function test_strike_of_the_leader_in_a_repeated_vote() public {
        bothRevealedAndOpened();
        callVote(taskId, Vote.Claim);
        toVoteEnd(taskId);
        conclude(taskId, Ruling.Repeat);
        assertNominatingBegins();
    }

    function test_strike_of_a_claim_that_auditors_let_stand() public {
        bothRevealedAndOpened();
        callVote(taskId, Vote.Claim);
        toVoteEnd(taskId);
        conclude(taskId, Ruling.Stands);
        assertNominatingBegins();
    }

    function test_strike_of_the_leader_in_Nominating() public {
        bothRevealedAndOpened();
        strike(a, refuter);
        market.nominate(taskId, bob);
        vm.warp(block.timestamp + OPEN - 1);
        uint256 before = market.creditOf(refuter);
        strike(b, refuter);
        assertEq(THIRD, market.creditOf(refuter) - before, "refuter");
        assertEq(address(0), roundOf(taskId).leader, "leader");
        assertEq(block.timestamp + OPEN, roundOf(taskId).nominateEnd, "a whole window again");
        assertEq(2, roundOf(taskId).strikes, "strikes");
    }

    function assertNominatingBegins() private {
        strike(a, refuter);
        Round memory round = roundOf(taskId);
        assertEq(address(0), round.leader, "leader");
        assertEq(0, round.leaderTotal, "leaderTotal");
        assertEq(0, round.challengeEnd, "challengeEnd");
        assertEq(0, round.openDemands, "openDemands");
        assertEq(uint256(Vote.None), uint256(round.vote), "vote");
        assertEq(0, round.voteStart, "voteStart");
        assertEq(block.timestamp + OPEN, round.nominateEnd, "nominateEnd");
        assertTrue(!round.isFeeDue, "a refutation costs the requester nothing");
        assertPhase(taskId, Phase.Nominating, false);
        assertEq(THIRD, market.creditOf(refuter), "refuter");
        assertEq(DEPOSIT - THIRD, market.creditOf(treasury), "pool");
    }

    // ---------------------------------------------------------------- help

    function bothRevealedAndOpened() private {
        reveal(a);
        reveal(b);
        toRevealEnd(taskId);
        open(a);
    }

    function expectNotStrikable(address miner) private {
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_NotStrikable.selector, miner));
        vm.prank(treasury);
        market.strike(taskId, 0, miner, refuter);
    }
}
