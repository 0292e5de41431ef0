// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {TaskMarket} from "../../contracts/TaskMarket.sol";
import {ITaskMarket} from "../../contracts/interfaces/ITaskMarket.sol";
import {Errors} from "../../contracts/libraries/Errors.sol";
import {Params, Phase, Reason, Round, Ruling, Terms, Vote} from "../../contracts/types/Task.sol";
import {Vm} from "./Base.sol";
import {PoolActor} from "./PoolActor.sol";

/// callVote
/// ├── when the caller is not the pool, or given an unknown task: it should revert
/// ├── given the test set
/// │   ├── given another phase than Revealing: it should revert (P-45)
/// │   ├── it should note the vote and say from when on it is held, and as of when stakes weigh
/// │   └── a second time: it should say the same and note nothing
/// └── given a claim
///     ├── given another phase than Challenge: it should revert (P-52)
///     ├── given an open demand that keeps Challenge from ending: it should revert all the same
///     ├── it should note the vote and say whose claim it is, and the times
///     └── a second time: it should say the same and note nothing
/// phaseOf
/// ├── given a vote: VotingCommit and VotingReveal should take voteSeconds each, to the second
/// └── given a repeated vote: they should take twice that, from the moment the first one was found wanting (P-55)
/// conclude
/// ├── when the caller is not the pool, or given an unknown task: it should revert
/// ├── given a vote that is not over, or none: it should revert
/// ├── given an open demand: it should revert (P-58)
/// ├── when the ruling is None: it should revert
/// ├── the test set
/// │   ├── falls: it should abort, share half of the bond, and tell the pool its part (P-21)
/// │   ├── falls after a strike: who was struck should get no share
/// │   ├── falls after every committer was struck: the whole bond should be the pool's
/// │   ├── falls in a later round: it should return only what is left
/// │   ├── stands, is split or lacks a quorum: Opening should begin now
/// │   ├── stands after a leader was displaced or struck: Nominating should begin now
/// │   └── stands without a leader: the task should be void
/// └── a claim
///     ├── falls: it should be struck; its whole deposit is the pool's; the next may be nominated (P-55)
///     └── stands, is split or lacks a quorum: it should be final; advance settles it
/// advance
/// ├── given a vote that is over: it should have the pool count it
/// ├── given a round void after a voted strike: it should pay the fee of one round (P-20)
/// └── given a round settled after a voted strike: it should pay the fee once
/// reclaim
/// └── given an impeached test set: no deposit should be free before the ruling
contract VoteTest is PoolActor {
    uint256 private taskId;

    function setUp() public override {
        super.setUp();
        taskId = post(1);
    }

    // ---------------------------------------------------------------- callVote

    function test_callVote_by_a_stranger_reverts() public {
        expectNotPool(keeper);
        vm.prank(keeper);
        market.callVote(taskId, Vote.Claim);
    }

    function test_callVote_on_an_unknown_task_reverts() public {
        expectUnknownTask(9);
        callVote(9, Vote.Claim);
    }

    function test_callVote_on_a_test_set_outside_of_Revealing_reverts() public {
        Work memory w = work(ALICE, taskId, 0, 900, "a");
        expectWrongPhase(Phase.Training, false, Phase.Revealing);
        callVote(taskId, Vote.TestSet);
        commit(w);
        toRelease(taskId);
        expectWrongPhase(Phase.Releasing, false, Phase.Revealing);
        callVote(taskId, Vote.TestSet);
        release(taskId);
        toRevealEnd(taskId);
        expectWrongPhase(Phase.Revealing, true, Phase.Revealing);
        callVote(taskId, Vote.TestSet);
    }

    function test_callVote_on_a_test_set_until_the_last_second() public {
        Work memory w = work(ALICE, taskId, 0, 900, "a");
        released(w);
        uint40 releasedAt = uint40(block.timestamp);
        reveal(w);
        vm.warp(releasedAt + REVEAL - 1);
        vm.expectEmit();
        emit ITaskMarket.VoteCalled(taskId, 0, Vote.TestSet, address(0), releasedAt + REVEAL);
        assertFacts(Vote.TestSet, address(0), releasedAt + REVEAL, releasedAt);
        assertEq(uint256(Vote.TestSet), uint256(roundOf(taskId).vote), "noted");
        assertSaysTheSame(Vote.TestSet, address(0), releasedAt + REVEAL, releasedAt);
    }

    function test_callVote_on_a_claim_outside_of_Challenge_reverts() public {
        Work memory w = work(ALICE, taskId, 0, 900, "a");
        released(w);
        reveal(w);
        expectWrongPhase(Phase.Revealing, false, Phase.Challenge);
        callVote(taskId, Vote.Claim);
        toRevealEnd(taskId);
        expectWrongPhase(Phase.Opening, false, Phase.Challenge);
        callVote(taskId, Vote.Claim);
        open(w);
        toEnd(taskId);
        expectWrongPhase(Phase.Challenge, true, Phase.Challenge);
        callVote(taskId, Vote.Claim);
    }

    function test_callVote_on_a_claim_after_challengeEnd_reverts_whatever_is_demanded() public {
        Work memory w = work(ALICE, taskId, 0, 900, "a");
        opened(w);
        vm.warp(block.timestamp + CHALLENGE - 1);
        noteDemand(w);
        vm.warp(block.timestamp + 1);
        assertPhase(taskId, Phase.Challenge, false);
        expectWrongPhase(Phase.Challenge, true, Phase.Challenge);
        callVote(taskId, Vote.Claim);
    }

    function test_callVote_on_a_claim_until_the_last_second() public {
        Work memory w = work(ALICE, taskId, 0, 900, "a");
        opened(w);
        uint40 openedAt = uint40(block.timestamp);
        vm.warp(openedAt + CHALLENGE - 1);
        vm.expectEmit();
        emit ITaskMarket.VoteCalled(taskId, 0, Vote.Claim, alice, openedAt + CHALLENGE);
        assertFacts(Vote.Claim, alice, openedAt + CHALLENGE, openedAt);
        assertEq(uint256(Vote.Claim), uint256(roundOf(taskId).vote), "noted");
        assertSaysTheSame(Vote.Claim, alice, openedAt + CHALLENGE, openedAt);
    }

    function test_callVote_in_a_later_round_names_it() public {
        uint256 id = post(2);
        settled(work(ALICE, id, 0, 800, "a"));
        released(work(BOB, id, 1, 900, "b"));
        vm.prank(treasury);
        (uint16 round,,,,) = market.callVote(id, Vote.TestSet);
        assertEq(1, round, "round");
        assertEq(uint256(Vote.None), uint256(market.roundOf(id, 0).vote), "the round before");
    }

    // ---------------------------------------------------------------- phaseOf

    function test_phaseOf_a_vote_on_a_test_set_to_the_second() public {
        impeached(work(ALICE, taskId, 0, 900, "a"));
        uint256 start = roundOf(taskId).revealEnd;
        assertAround(start, Phase.Revealing, start, Phase.VotingCommit, start + VOTE);
        assertAround(start + VOTE, Phase.VotingCommit, start + VOTE, Phase.VotingReveal, start + 2 * VOTE);
        assertDueFrom(Phase.VotingReveal, start + 2 * VOTE);
    }

    function test_phaseOf_a_vote_on_a_claim_to_the_second() public {
        disputed(work(ALICE, taskId, 0, 900, "a"));
        uint256 start = roundOf(taskId).challengeEnd;
        assertAround(start, Phase.Challenge, start, Phase.VotingCommit, start + VOTE);
        assertAround(start + VOTE, Phase.VotingCommit, start + VOTE, Phase.VotingReveal, start + 2 * VOTE);
        assertDueFrom(Phase.VotingReveal, start + 2 * VOTE);
    }

    function test_phaseOf_a_repeated_vote_takes_twice_as_long_from_its_start() public {
        disputed(work(ALICE, taskId, 0, 900, "a"));
        assertRepeated(Vote.Claim);
    }

    function test_phaseOf_a_repeated_vote_on_a_test_set_takes_twice_as_long_from_its_start() public {
        impeached(work(ALICE, taskId, 0, 900, "a"));
        assertRepeated(Vote.TestSet);
    }

    function assertRepeated(Vote vote) private {
        toVoteEnd(taskId);
        uint256 start = block.timestamp + 77; // nobody was in a hurry
        vm.warp(start);
        vm.expectEmit();
        emit ITaskMarket.VoteConcluded(taskId, 0, vote, Ruling.Repeat);
        assertEq(0, conclude(taskId, Ruling.Repeat), "pot");
        Round memory round = roundOf(taskId);
        assertEq(start, round.voteStart, "voteStart");
        assertEq(uint256(vote), uint256(round.vote), "the vote goes on");
        assertPhase(taskId, Phase.VotingCommit, false);
        assertAround(start + 2 * VOTE, Phase.VotingCommit, start + 2 * VOTE, Phase.VotingReveal, start + 4 * VOTE);
        assertDueFrom(Phase.VotingReveal, start + 4 * VOTE);
    }

    // ---------------------------------------------------------------- conclude: refusals

    function test_conclude_by_a_stranger_reverts() public {
        disputed(work(ALICE, taskId, 0, 900, "a"));
        toVoteEnd(taskId);
        expectNotPool(keeper);
        vm.prank(keeper);
        market.conclude(taskId, Ruling.Stands);
    }

    function test_conclude_of_an_unknown_task_reverts() public {
        expectUnknownTask(9);
        conclude(9, Ruling.Stands);
    }

    function test_conclude_before_the_vote_is_over_reverts() public {
        disputed(work(ALICE, taskId, 0, 900, "a"));
        expectNotOver(Phase.Challenge, false);
        toEnd(taskId);
        expectNotOver(Phase.VotingCommit, false);
        toEnd(taskId);
        expectNotOver(Phase.VotingReveal, false);
        vm.warp(block.timestamp + VOTE - 1);
        expectNotOver(Phase.VotingReveal, false);
    }

    function test_conclude_without_a_vote_reverts() public {
        opened(work(ALICE, taskId, 0, 900, "a"));
        toEnd(taskId);
        expectNotOver(Phase.Challenge, true);
        advance(taskId);
        expectNotOver(Phase.Settled, false);
    }

    function test_conclude_twice_reverts() public {
        disputed(work(ALICE, taskId, 0, 900, "a"));
        toVoteEnd(taskId);
        conclude(taskId, Ruling.Stands);
        expectNotOver(Phase.Challenge, true);
    }

    function test_conclude_with_an_open_demand_reverts() public {
        Work memory w = work(ALICE, taskId, 0, 900, "a");
        disputed(w);
        noteDemand(w);
        vm.warp(roundOf(taskId).challengeEnd + 2 * VOTE);
        expectNotOver(Phase.VotingReveal, true);
    }

    function test_conclude_with_no_ruling_reverts() public {
        disputed(work(ALICE, taskId, 0, 900, "a"));
        toVoteEnd(taskId);
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_BelowMinimum.selector, bytes32("ruling"), 0, 1));
        conclude(taskId, Ruling.None);
    }

    // ---------------------------------------------------------------- conclude: a test set

    function test_conclude_test_set_falls_aborts() public {
        Terms memory t = terms(1);
        t.bondWei = BOUNTY / 10 + 3; // odd, so that shares round
        taskId = post(t, 1);
        commit(work(BOB, taskId, 0, 800, "silent"));
        Work memory low = work(CAROL, taskId, 0, 100, "c");
        commit(low);
        impeached(work(ALICE, taskId, 0, 900, "a"));
        reveal(low);
        toVoteEnd(taskId);
        uint256 share = uint256(t.bondWei) / 2 / 3;
        vm.expectEmit();
        emit ITaskMarket.VoteConcluded(taskId, 0, Vote.TestSet, Ruling.Falls);
        vm.expectEmit();
        emit ITaskMarket.TaskAborted(taskId, 0);
        assertEq(t.bondWei - 3 * share, conclude(taskId, Ruling.Falls), "pot");
        assertPhase(taskId, Phase.Aborted, false);
        assertEq(t.bondWei - 3 * share, market.creditOf(treasury), "pool");
        assertEq(BOUNTY, market.creditOf(requester), "requester");
        assertReclaims(alice, DEPOSIT + share);
        assertReclaims(bob, DEPOSIT + share);
        assertReclaims(carol, DEPOSIT + share);
        cancelFirst();
        assertEmptyAfterWithdrawals();
    }

    function test_conclude_test_set_falls_after_a_strike_shares_among_the_others() public {
        Work memory refuted = work(BOB, taskId, 0, 950, "b");
        commit(refuted);
        impeached(work(ALICE, taskId, 0, 900, "a"));
        reveal(refuted);
        strike(refuted, keeper);
        toVoteEnd(taskId);
        uint256 half = uint256(terms(1).bondWei) / 2;
        assertEq(half, conclude(taskId, Ruling.Falls), "pot");
        assertReclaims(alice, DEPOSIT + half);
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_NothingToReclaim.selector, bob));
        market.reclaim(taskId, 0, bob);
        market.withdraw(keeper);
        assertEmptyAfterWithdrawals();
    }

    function test_conclude_test_set_falls_after_every_committer_was_struck() public {
        Work memory refuted = work(ALICE, taskId, 0, 900, "a");
        impeached(refuted);
        strike(refuted, keeper);
        toVoteEnd(taskId);
        assertEq(terms(1).bondWei, conclude(taskId, Ruling.Falls), "the whole bond");
        market.withdraw(keeper);
        assertEmptyAfterWithdrawals();
    }

    function test_conclude_test_set_falls_in_a_later_round() public {
        uint256 id = post(3);
        settled(work(ALICE, id, 0, 800, "a"));
        uint256 before = market.creditOf(treasury);
        impeached(work(BOB, id, 1, 900, "b"));
        toVoteEnd(id);
        uint256 half = uint256(terms(3).bondWei) / 2;
        assertEq(half, conclude(id, Ruling.Falls), "pot");
        assertEq(2 * uint256(BOUNTY), market.creditOf(requester), "two rounds' bounty");
        assertEq(half, market.creditOf(treasury) - before, "pool");
        market.reclaim(id, 0, alice);
        market.reclaim(id, 1, bob);
        assertEq(DEPOSIT + half, market.creditOf(bob), "deposit and half of the bond");
        cancelFirst();
        assertEmptyAfterWithdrawals();
    }

    function test_conclude_test_set_stands_and_Opening_begins_now() public {
        assertOpeningBegins(Ruling.Stands);
        assertOpeningBegins(Ruling.Split);
        assertOpeningBegins(Ruling.NoQuorum);
    }

    function assertOpeningBegins(Ruling ruling) private {
        taskId = post(1);
        Work memory w = work(ALICE, taskId, 0, 900, vm.toString(taskId));
        impeached(w);
        toVoteEnd(taskId);
        vm.warp(block.timestamp + 33);
        uint256 before = market.creditOf(treasury);
        assertEq(0, conclude(taskId, ruling), "pot");
        assertEq(before, market.creditOf(treasury), "nothing for the pool");
        Round memory round = roundOf(taskId);
        assertEq(uint256(Vote.None), uint256(round.vote), "vote");
        assertEq(alice, round.leader, "leader");
        (Phase phase, bool due, uint40 endsAt) = market.phaseOf(taskId);
        assertEq(uint256(Phase.Opening), uint256(phase), "phase");
        assertTrue(!due, "due");
        assertEq(block.timestamp + OPEN, endsAt, "a whole opening window");
        open(w);
        toEnd(taskId);
        advance(taskId);
        assertPhase(taskId, Phase.Settled, false);
    }

    function test_conclude_test_set_stands_after_a_repeat() public {
        impeached(work(ALICE, taskId, 0, 900, "a"));
        toVoteEnd(taskId);
        conclude(taskId, Ruling.Repeat);
        toEnd(taskId); // VotingCommit
        toEnd(taskId); // VotingReveal
        conclude(taskId, Ruling.NoQuorum);
        assertEq(0, roundOf(taskId).voteStart, "voteStart");
        assertPhase(taskId, Phase.Opening, false);
    }

    function test_conclude_test_set_stands_after_a_displaced_leader() public {
        // Alice committed the model first, but has a score too low; so Bob's copy is displaced
        Work memory low = work(ALICE, taskId, 0, 100, "a");
        Work memory copy = work(BOB, taskId, 0, 900, "a");
        Work memory other = work(CAROL, taskId, 0, 800, "c");
        commit(low);
        commit(copy);
        impeached(other);
        reveal(copy);
        reveal(low);
        assertNominatingBegins();
        market.nominate(taskId, carol);
        assertEq(carol, roundOf(taskId).leader, "the next best leads");
    }

    function test_conclude_test_set_stands_after_a_struck_leader() public {
        Work memory refuted = work(ALICE, taskId, 0, 900, "a");
        Work memory other = work(CAROL, taskId, 0, 800, "c");
        commit(other);
        impeached(refuted);
        reveal(other);
        toRevealEnd(taskId);
        strike(refuted, keeper);
        assertPhase(taskId, Phase.VotingCommit, false);
        toEnd(taskId);
        toEnd(taskId);
        assertNominatingBegins();
        market.nominate(taskId, carol);
        assertEq(carol, roundOf(taskId).leader, "the next best leads");
    }

    function assertNominatingBegins() private {
        (, bool due,) = market.phaseOf(taskId);
        if (!due) toVoteEnd(taskId);
        vm.warp(block.timestamp + 33);
        conclude(taskId, Ruling.Stands);
        assertEq(block.timestamp + OPEN, roundOf(taskId).nominateEnd, "nominateEnd");
        assertPhase(taskId, Phase.Nominating, false);
    }

    function test_conclude_test_set_stands_without_a_claim() public {
        Work memory low = work(ALICE, taskId, 0, 100, "a");
        impeached(low);
        toVoteEnd(taskId);
        conclude(taskId, Ruling.Stands);
        assertPhase(taskId, Phase.Nominating, true);
        advance(taskId);
        assertPhase(taskId, Phase.Void, false);
        assertEq(value(terms(1), 1), market.creditOf(requester), "requester");
        assertReclaims(alice, DEPOSIT);
        assertEmptyAfterWithdrawals();
    }

    // ---------------------------------------------------------------- conclude: a claim

    function test_conclude_claim_falls_strikes_it() public {
        Work memory w = work(ALICE, taskId, 0, 900, "a");
        Work memory next = work(BOB, taskId, 0, 800, "b");
        fallen(w, next);
        Round memory round = roundOf(taskId);
        assertEq(address(0), round.leader, "leader");
        assertEq(0, round.challengeEnd, "challengeEnd");
        assertEq(uint256(Vote.None), uint256(round.vote), "vote");
        assertEq(1, round.strikes, "strikes");
        assertTrue(round.isFeeDue, "fee");
        assertTrue(entryOf(w).isStruck && !entryOf(w).holdsDeposit, "struck, deposit gone");
        assertEq(DEPOSIT, market.creditOf(treasury), "pool");
        assertEq(block.timestamp + OPEN, round.nominateEnd, "nominateEnd");
        assertPhase(taskId, Phase.Nominating, false);
    }

    function test_conclude_claim_falls_after_a_repeat() public {
        disputed(work(ALICE, taskId, 0, 900, "a"));
        toVoteEnd(taskId);
        conclude(taskId, Ruling.Repeat);
        toEnd(taskId);
        toEnd(taskId);
        assertEq(DEPOSIT, conclude(taskId, Ruling.Falls), "pot");
        assertEq(0, roundOf(taskId).voteStart, "voteStart");
        assertPhase(taskId, Phase.Nominating, false);
    }

    function test_conclude_claim_falls_and_the_next_can_be_disputed_again() public {
        Work memory next = work(BOB, taskId, 0, 800, "b");
        fallen(work(ALICE, taskId, 0, 900, "a"), next);
        market.nominate(taskId, bob);
        toEnd(taskId);
        open(next);
        callVote(taskId, Vote.Claim);
        uint256 start = roundOf(taskId).challengeEnd;
        vm.warp(start);
        assertPhase(taskId, Phase.VotingCommit, false);
        toEnd(taskId);
        toEnd(taskId);
        assertEq(DEPOSIT, conclude(taskId, Ruling.Falls), "pot");
        assertEq(2, roundOf(taskId).strikes, "strikes");
    }

    function test_conclude_claim_stands_and_is_final() public {
        assertFinal(Ruling.Stands);
        assertFinal(Ruling.Split);
        assertFinal(Ruling.NoQuorum);
    }

    function assertFinal(Ruling ruling) private {
        taskId = post(1);
        Work memory w = work(ALICE, taskId, 0, 900, vm.toString(taskId));
        disputed(w);
        toVoteEnd(taskId);
        assertEq(0, conclude(taskId, ruling), "pot");
        assertTrue(!roundOf(taskId).isFeeDue, "fee");
        assertPhase(taskId, Phase.Challenge, true);
        expectWrongPhase(Phase.Challenge, true, Phase.Challenge);
        callVote(taskId, Vote.Claim);
        advance(taskId);
        assertPhase(taskId, Phase.Settled, false);
        market.reclaim(taskId, 0, alice);
    }

    // ---------------------------------------------------------------- advance

    function test_advance_has_the_pool_count_the_vote() public {
        Teller teller = new Teller();
        Params memory p = params();
        p.pool = treasury = address(teller);
        deploy(p);
        teller.use(market);
        taskId = post(1);
        disputed(work(ALICE, taskId, 0, 900, "a"));
        toVoteEnd(taskId);
        assertPhase(taskId, Phase.VotingReveal, true);
        advance(taskId);
        assertPhase(taskId, Phase.Challenge, true);
        advance(taskId);
        assertPhase(taskId, Phase.Settled, false);
    }

    function test_advance_voids_less_the_fee_after_a_voted_strike() public {
        disputed(work(ALICE, taskId, 0, 900, "a"));
        toVoteEnd(taskId);
        conclude(taskId, Ruling.Falls);
        toEnd(taskId);
        assertPhase(taskId, Phase.Nominating, true);
        advance(taskId);
        assertPhase(taskId, Phase.Void, false);
        uint256 fee = uint256(BOUNTY) * FEE_BPS / 1e4;
        assertEq(value(terms(1), 1) - fee, market.creditOf(requester), "requester");
        assertEq(DEPOSIT + fee, market.creditOf(treasury), "pool");
        assertEmptyAfterWithdrawals();
    }

    function test_advance_voids_a_later_round_less_one_rounds_fee() public {
        uint256 id = post(3);
        settled(work(ALICE, id, 0, 800, "a"));
        uint256 before = market.creditOf(treasury);
        disputed(work(BOB, id, 1, 900, "b"));
        toVoteEnd(id);
        conclude(id, Ruling.Falls);
        toEnd(id);
        advance(id);
        uint256 fee = uint256(BOUNTY) * FEE_BPS / 1e4;
        assertEq(2 * uint256(BOUNTY) + terms(3).bondWei - fee, market.creditOf(requester), "requester");
        assertEq(DEPOSIT + fee, market.creditOf(treasury) - before, "pool");
        market.reclaim(id, 0, alice);
        cancelFirst();
        assertEmptyAfterWithdrawals();
    }

    function test_advance_settles_the_next_claim_for_one_fee() public {
        Work memory next = work(BOB, taskId, 0, 800, "b");
        fallen(work(ALICE, taskId, 0, 900, "a"), next);
        market.nominate(taskId, bob);
        toEnd(taskId);
        open(next);
        toEnd(taskId);
        advance(taskId);
        uint256 fee = uint256(BOUNTY) * FEE_BPS / 1e4;
        assertEq(BOUNTY - fee, market.creditOf(bob), "winner");
        assertEq(DEPOSIT + fee, market.creditOf(treasury), "pool");
        assertEq(terms(1).bondWei, market.creditOf(requester), "bond");
        market.reclaim(taskId, 0, bob);
        assertEmptyAfterWithdrawals();
    }

    // ---------------------------------------------------------------- reclaim

    function test_reclaim_of_a_loser_waits_for_the_vote_on_the_test_set() public {
        Work memory low = work(BOB, taskId, 0, 100, "b");
        commit(low);
        impeached(work(ALICE, taskId, 0, 900, "a"));
        reveal(low);
        toEnd(taskId);
        expectLocked(bob);
        toEnd(taskId);
        expectLocked(bob);
        toEnd(taskId);
        expectLocked(bob);
        conclude(taskId, Ruling.Stands);
        assertReclaims(bob, DEPOSIT);
    }

    // ---------------------------------------------------------------- help

    /// @dev Two claims; the first led, was disputed and has just fallen.
    function fallen(Work memory first, Work memory next) private {
        commit(next);
        released(first);
        reveal(first);
        reveal(next);
        toRevealEnd(taskId);
        open(first);
        callVote(taskId, Vote.Claim);
        toVoteEnd(taskId);
        vm.expectEmit();
        emit ITaskMarket.VoteConcluded(taskId, 0, Vote.Claim, Ruling.Falls);
        vm.expectEmit();
        emit ITaskMarket.ClaimStruck(taskId, 0, first.proof.miner, Reason.Voted);
        assertEq(DEPOSIT, conclude(taskId, Ruling.Falls), "pot");
    }

    function assertFacts(Vote vote, address expectedSubject, uint40 start, uint40 snapshot) private {
        vm.prank(treasury);
        (uint16 round, address subject, uint40 voteStart, uint40 snapshotAt, uint256 bountyWei) =
            market.callVote(taskId, vote);
        assertEq(0, round, "round");
        assertEq(expectedSubject, subject, "subject");
        assertEq(start, voteStart, "voteStart");
        assertEq(snapshot, snapshotAt, "snapshotAt");
        assertEq(BOUNTY, bountyWei, "bountyWei");
    }

    function assertSaysTheSame(Vote vote, address subject, uint40 start, uint40 snapshot) private {
        vm.recordLogs();
        assertFacts(vote, subject, start, snapshot);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertEq(0, logs.length, "no second VoteCalled");
    }

    /// @dev One phase until `time`, the next from then on.
    function assertAround(uint256 time, Phase before, uint256 beforeEnd, Phase then, uint256 thenEnd) private {
        assertPhaseAt(time - 1, before, false, beforeEnd);
        assertPhaseAt(time, then, false, thenEnd);
        assertPhaseAt(time + 1, then, false, thenEnd);
    }

    function assertDueFrom(Phase expected, uint256 time) private {
        assertPhaseAt(time - 1, expected, false, time);
        assertPhaseAt(time, expected, true, time);
        assertPhaseAt(time + 1, expected, true, time);
    }

    function assertPhaseAt(uint256 time, Phase expected, bool expectedDue, uint256 expectedEnd) private {
        vm.warp(time);
        (Phase phase, bool due, uint40 endsAt) = market.phaseOf(taskId);
        assertEq(uint256(expected), uint256(phase), "phase");
        assertEq(expectedDue, due, "due");
        assertEq(expectedEnd, endsAt, "endsAt");
    }

    function assertReclaims(address miner, uint256 expected) private {
        uint256 before = market.creditOf(miner);
        market.reclaim(taskId, 0, miner);
        assertEq(expected, market.creditOf(miner) - before, "reclaimed");
    }

    function expectLocked(address miner) private {
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_DepositLocked.selector, miner, 0));
        market.reclaim(taskId, 0, miner);
    }

    function expectNotOver(Phase phase, bool due) private {
        expectWrongPhase(phase, due, Phase.VotingReveal);
        conclude(taskId, Ruling.Stands);
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
}

/// @dev A pool that finds that every claim stands.
contract Teller {
    TaskMarket private market;

    function use(TaskMarket market_) external {
        market = market_;
    }

    function resolve(uint256 taskId) external returns (Ruling) {
        market.conclude(taskId, Ruling.Stands);
        return Ruling.Stands;
    }
}
