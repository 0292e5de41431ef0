// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ITaskMarket} from "../../contracts/interfaces/ITaskMarket.sol";
import {Errors} from "../../contracts/libraries/Errors.sol";
import {Phase, Winner} from "../../contracts/types/Task.sol";
import {Scenario} from "./Scenario.sol";

/// open
/// ├── given an unknown task, another round, or another phase: it should revert
/// ├── when the proof is not the leader's: it should revert
/// ├── when proof or claim are not the revealed ones: it should revert
/// ├── when the sealing key is another: it should revert (P-50)
/// ├── when the slot path has no sibling or more than three: it should revert (P-90)
/// ├── when the slot key or path give another root: it should revert
/// ├── when all is well: it should start the challenge and record the opening
/// └── given two, four or eight slots: it should open
/// nominate
/// ├── given an unknown task or another phase: it should revert
/// ├── when the miner has no entry: it should revert
/// ├── when the claim is unrevealed, unqualified, struck or displaced: it should revert
/// ├── given a leader that is at least as good: it should revert
/// ├── given no leader: it should lead
/// └── given a worse leader: it should lead (P-43)
contract OpenTest is Scenario {
    uint256 private taskId;
    Work private a;
    Work private b;
    Work private c;

    /// @dev Alice 900, Bob 800, Carol 700; all revealed, Alice leads and may open.
    function setUp() public override {
        super.setUp();
        taskId = post(1);
        a = work(ALICE, taskId, 0, 900, "a");
        b = work(BOB, taskId, 0, 800, "b");
        c = work(CAROL, taskId, 0, 700, "c");
        commit(c);
        commit(b);
        released(a);
        reveal(c);
        reveal(a);
        reveal(b);
        toRevealEnd(taskId);
    }

    // ---------------------------------------------------------------- open

    function test_open_of_an_unknown_task_reverts() public {
        Work memory w = work(ALICE, 9, 0, 900, "a");
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_UnknownTask.selector, 9));
        send(w);
    }

    function test_open_of_another_round_reverts() public {
        Work memory w = a;
        w.proof.round = 3;
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_WrongRound.selector, 3, 0));
        send(w);
    }

    function test_open_outside_its_window_reverts() public {
        Work memory w = a;
        vm.warp(roundOf(taskId).revealEnd - 1);
        expectWrongPhase(Phase.Revealing, false, Phase.Opening);
        send(w);
        vm.warp(roundOf(taskId).revealEnd + OPEN);
        expectWrongPhase(Phase.Opening, true, Phase.Opening);
        send(w);
    }

    function test_open_twice_reverts() public {
        Work memory w = a;
        send(w);
        expectWrongPhase(Phase.Challenge, false, Phase.Opening);
        send(w);
    }

    function test_open_of_another_claim_than_the_leaders_reverts() public {
        Work memory w = b;
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_NotLeader.selector, bob, alice));
        send(w);
    }

    function test_open_of_another_proof_or_claim_reverts() public {
        Work memory w = a;
        bytes32 expected = claimHashOf(w);
        w.claim.total = 901;
        expectWrongClaim(w, expected);
        w = a;
        w.proof.sealKeyHash = keccak256(abi.encode(bytes32("mine")));
        expectWrongClaim(w, expected);
    }

    function test_open_with_another_sealing_key_reverts() public {
        Work memory w = a;
        w.sealKey = keccak256("another");
        vm.expectRevert(
            abi.encodeWithSelector(
                Errors.Market_WrongSealKey.selector, keccak256(abi.encode(w.sealKey)), w.proof.sealKeyHash
            )
        );
        send(w);
    }

    function test_open_with_too_short_or_long_a_path_reverts() public {
        Work memory w = a;
        w.slotPath = new bytes32[](0);
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_BelowMinimum.selector, bytes32("slotPath"), 0, 1));
        send(w);
        w.slotPath = new bytes32[](4);
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_AboveMaximum.selector, bytes32("slotPath"), 4, 3));
        send(w);
    }

    function test_open_with_another_slot_reverts() public {
        Work memory w = a;
        w.slotKey = keccak256("another");
        expectWrongSlotPath(w);
        w = a;
        w.slotPath[0] = keccak256("another");
        expectWrongSlotPath(w);
        // the other slot's key at this slot's place
        w = a;
        (w.slotKey, w.slotPath[0]) = (w.slotPath[0], w.slotKey);
        expectWrongSlotPath(w);
    }

    function test_open_starts_the_challenge_and_records() public {
        Work memory w = a;
        vm.warp(roundOf(taskId).revealEnd + OPEN - 1);
        uint40 challengeEnd = uint40(block.timestamp + CHALLENGE);
        vm.expectEmit();
        emit ITaskMarket.ModelOpened(taskId, 0, alice, w.sealKey, w.slotKey, w.slotPath, challengeEnd);
        send(w);
        assertEq(challengeEnd, roundOf(taskId).challengeEnd, "challengeEnd");
        assertPhase(taskId, Phase.Challenge, false);
        Winner memory winner = registry.winnerOf(taskId, 0);
        assertEq(address(0), winner.miner, "nobody has won yet");
        assertEq(w.proof.modelHash, winner.modelHash, "modelHash");
        assertEq(digestOf(w), winner.proofDigest, "proofDigest");
        assertEq(w.proof.watermarkRoot, winner.watermarkRoot, "watermarkRoot");
        assertEq(w.proof.parentModel, winner.parentModel, "parentModel");
    }

    function test_open_with_four_and_eight_slots() public {
        for (uint256 siblings = 2; siblings <= 3; ++siblings) {
            uint256 fresh = post(1);
            Work memory w = work(ALICE, fresh, 0, 900, "deep");
            w.slotPath = new bytes32[](siblings);
            for (uint256 i; i < siblings; ++i) {
                w.slotPath[i] = keccak256(abi.encode("sibling", i));
            }
            w.proof.watermarkRoot = slotRoot(w.slotKey, w.slotPath);
            bind(w);
            opened(w);
            assertPhase(fresh, Phase.Challenge, false);
        }
    }

    // ---------------------------------------------------------------- nominate

    function test_nominate_for_an_unknown_task_reverts() public {
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_UnknownTask.selector, 9));
        market.nominate(9, bob);
    }

    function test_nominate_outside_its_phase_reverts() public {
        expectWrongPhase(Phase.Opening, false, Phase.Nominating);
        market.nominate(taskId, bob);
        strike();
        toEnd(taskId);
        expectWrongPhase(Phase.Nominating, true, Phase.Nominating);
        market.nominate(taskId, bob);
    }

    function test_nominate_of_nobody_reverts() public {
        strike();
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_NoEntry.selector, keeper));
        market.nominate(taskId, keeper);
    }

    function test_nominate_of_a_struck_claim_reverts() public {
        strike();
        expectNotQualified(taskId, alice);
    }

    function test_nominate_of_an_unrevealed_unqualified_or_displaced_claim_reverts() public {
        uint256 fresh = post(1);
        Work memory low = work(ALICE, fresh, 0, 100, "low");
        Work memory late = work(CAROL, fresh, 0, 900, "same");
        Work memory silent = work(uint256(0xD0D0), fresh, 0, 900, "silent");
        Work memory early = work(BOB, fresh, 0, 800, "same");
        vm.deal(silent.proof.miner, 10 ether);
        commit(silent);
        commit(early);
        commit(late);
        released(low);
        reveal(low);
        reveal(late);
        reveal(early);
        toRevealEnd(fresh);
        assertPhase(fresh, Phase.Nominating, false);
        expectNotQualified(fresh, silent.proof.miner);
        expectNotQualified(fresh, alice);
        expectNotQualified(fresh, carol);
    }

    function test_nominate_of_a_worse_or_the_same_claim_reverts() public {
        strike();
        market.nominate(taskId, bob);
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_NotBetter.selector, carol, bob));
        market.nominate(taskId, carol);
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_NotBetter.selector, bob, bob));
        market.nominate(taskId, bob);
    }

    function test_nominate_leads_and_opens_after_the_window() public {
        strike();
        vm.expectEmit();
        emit ITaskMarket.ClaimNominated(taskId, 0, bob);
        vm.prank(keeper);
        market.nominate(taskId, bob);
        assertEq(bob, roundOf(taskId).leader, "leader");
        assertEq(800, roundOf(taskId).leaderTotal, "total");
        toEnd(taskId);
        assertPhase(taskId, Phase.Opening, false);
        send(b);
        toEnd(taskId);
        advance(taskId);
        assertEq(bob, registry.winnerOf(taskId, 0).miner, "winner");
    }

    function test_nominate_of_a_better_claim_wins_the_race() public {
        strike();
        market.nominate(taskId, carol);
        market.nominate(taskId, bob);
        assertEq(bob, roundOf(taskId).leader, "leader");
    }

    function test_nominate_after_displacement_brings_the_best_back() public {
        uint256 fresh = post(1);
        Work memory early = work(ALICE, fresh, 0, 600, "same");
        Work memory late = work(BOB, fresh, 0, 900, "same");
        Work memory best = work(CAROL, fresh, 0, 800, "other");
        commit(early);
        commit(late);
        released(best);
        reveal(late);
        reveal(best);
        reveal(early);
        assertEq(alice, roundOf(fresh).leader, "the displacing claim leads for now");
        toRevealEnd(fresh);
        market.nominate(fresh, carol);
        assertEq(carol, roundOf(fresh).leader, "the best remaining claim leads (P-33)");
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_NotBetter.selector, alice, carol));
        market.nominate(fresh, alice);
    }

    // ---------------------------------------------------------------- help

    function strike() private {
        toEnd(taskId);
        advance(taskId);
    }

    function send(Work memory w) private {
        market.open(w.proof, w.claim, w.sealKey, w.slotKey, w.slotPath);
    }

    function expectWrongClaim(Work memory w, bytes32 expected) private {
        bytes32 given = claimHashOf(w);
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_WrongClaim.selector, given, expected));
        send(w);
    }

    function expectWrongSlotPath(Work memory w) private {
        bytes32 root = slotRoot(w.slotKey, w.slotPath);
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_WrongSlotPath.selector, root, w.proof.watermarkRoot));
        send(w);
    }

    function expectNotQualified(uint256 id, address miner) private {
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_NotQualified.selector, miner));
        market.nominate(id, miner);
    }
}
