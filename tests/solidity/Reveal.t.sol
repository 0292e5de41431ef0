// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ITaskMarket} from "../../contracts/interfaces/ITaskMarket.sol";
import {Errors} from "../../contracts/libraries/Errors.sol";
import {Claim, Entry, Phase, Round, Terms, TrainingProof} from "../../contracts/types/Task.sol";
import {Scenario} from "./Scenario.sol";

/// reveal
/// ├── given an unknown task, another round, or another phase: it should revert
/// ├── given no entry of the miner: it should revert
/// ├── given a revealed entry: it should revert (one reveal per miner and round)
/// ├── when proof or salt do not open the commitment: it should revert (P-31)
/// ├── when the total exceeds n x M: it should revert
/// ├── when the predictions root is another: it should revert (M-5)
/// ├── when the signature is not 65 bytes, has a high s or a wrong v: it should revert
/// ├── when the signature is another key's, chain's, market's or claim's: it should revert (P-41)
/// ├── when the score is below the minimum: it should accept, and not qualify (P-42)
/// ├── when the score is exactly the minimum: it should qualify
/// ├── when the model hash is zero: it should not qualify
/// ├── when the model is another miner's settled one: it should not qualify (P-33)
/// ├── when the model is the miner's own settled one: it should qualify
/// ├── when the parent is not on the ledger: it should not qualify (P-31)
/// ├── when the parent is on the ledger: it should qualify
/// ├── given a leader
/// │   ├── when the total is higher: it should take the lead (P-43)
/// │   ├── when the total is lower: it should not
/// │   └── when the total is equal: the earlier commit leads
/// ├── given another owner of the same model (P-33)
/// │   ├── when this commit is later: it should not qualify
/// │   ├── when this commit is earlier and that owner leads: it should take over, and Nominating follows
/// │   ├── when this commit is earlier, does not qualify, and that owner leads: nobody leads, and Nominating follows
/// │   └── when this commit is earlier and that owner does not lead: the leader stays
/// └── when all is well: it should store H(proof, claim), emit everything, and be open to any sender
/// verifyProof
/// ├── given no reveal: false
/// ├── when proof, claim or signature differ: false
/// └── when all are the revealed ones: true
contract RevealTest is Scenario {
    uint256 private taskId;
    uint256 private constant ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;

    function setUp() public override {
        super.setUp();
        taskId = post(1);
    }

    // ---------------------------------------------------------------- refused

    function test_reveal_of_an_unknown_task_reverts() public {
        Work memory w = work(ALICE, 9, 0, 900, "a");
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_UnknownTask.selector, 9));
        send(w, "");
    }

    function test_reveal_of_another_round_reverts() public {
        Work memory w = work(ALICE, taskId, 0, 900, "a");
        released(w);
        w.proof.round = 1;
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_WrongRound.selector, 1, 0));
        send(w, "");
    }

    function test_reveal_outside_its_phase_reverts() public {
        Work memory w = work(ALICE, taskId, 0, 900, "a");
        expectWrongPhase(Phase.Training, false, Phase.Revealing);
        send(w, "");
        released(w);
        toRevealEnd(taskId);
        expectWrongPhase(Phase.Revealing, true, Phase.Revealing);
        send(w, "");
    }

    function test_reveal_without_an_entry_reverts() public {
        released(work(ALICE, taskId, 0, 900, "a"));
        Work memory w = work(BOB, taskId, 0, 900, "b");
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_NoEntry.selector, bob));
        send(w, "");
    }

    function test_reveal_twice_reverts() public {
        Work memory w = work(ALICE, taskId, 0, 900, "a");
        released(w);
        reveal(w);
        bytes memory signature = signatureOf(w);
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_AlreadyRevealed.selector, alice));
        send(w, signature);
    }

    function test_reveal_that_does_not_open_the_commitment_reverts() public {
        Work memory w = work(ALICE, taskId, 0, 900, "a");
        released(w);
        bytes32 expected = commitmentOf(w);
        w.salt = keccak256("another salt");
        expectWrongCommitment(w, expected);
        w = work(ALICE, taskId, 0, 900, "a");
        w.proof.watermarkRoot = keccak256("another root");
        expectWrongCommitment(w, expected);
    }

    function test_reveal_of_a_copied_commitment_reverts() public {
        Work memory w = work(ALICE, taskId, 0, 900, "a");
        commit(w);
        // Bob copies the commitment; the proof inside names Alice, so he can't open it
        bytes32 copied = commitmentOf(w);
        bytes32 termsHash = market.taskOf(taskId).termsHash;
        vm.prank(bob);
        market.commit{value: DEPOSIT}(taskId, 0, termsHash, copied, 0);
        toRelease(taskId);
        release(taskId);
        w.proof.miner = bob;
        w.privateKey = BOB;
        bind(w);
        expectWrongCommitment(w, copied);
    }

    function test_reveal_of_too_high_a_total_reverts() public {
        Work memory w = work(ALICE, taskId, 0, SAMPLES + 1, "a");
        released(w);
        bytes memory signature = signatureOf(w);
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_TotalTooHigh.selector, SAMPLES + 1, SAMPLES));
        send(w, signature);
    }

    function test_reveal_of_another_predictions_root_reverts() public {
        Work memory w = work(ALICE, taskId, 0, 900, "a");
        released(w);
        bytes32 expected = w.claim.predictionsRoot;
        w.claim.predictionsRoot = keccak256("another root");
        bytes memory signature = signatureOf(w);
        vm.expectRevert(
            abi.encodeWithSelector(Errors.Market_WrongPredictionsRoot.selector, w.claim.predictionsRoot, expected)
        );
        send(w, signature);
    }

    function test_reveal_with_a_malformed_signature_reverts() public {
        Work memory w = work(ALICE, taskId, 0, 900, "a");
        released(w);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(ALICE, scoreClaimDigest(w, market.domainSeparator()));
        expectMalformed(w, "");
        expectMalformed(w, abi.encodePacked(r, s));
        expectMalformed(w, abi.encodePacked(r, s, v, uint8(0)));
        expectMalformed(w, abi.encodePacked(r, s, uint8(v - 27)));
        expectMalformed(w, abi.encodePacked(r, s, uint8(29)));
        // the same signature's other form: high s, flipped v
        bytes32 high = bytes32(ORDER - uint256(s));
        expectMalformed(w, abi.encodePacked(r, high, uint8(v == 27 ? 28 : 27)));
    }

    function test_reveal_signed_by_another_key_reverts() public {
        Work memory w = work(ALICE, taskId, 0, 900, "a");
        released(w);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(BOB, scoreClaimDigest(w, market.domainSeparator()));
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_WrongSigner.selector, bob, alice));
        send(w, abi.encodePacked(r, s, v));
    }

    function test_reveal_signed_by_nobody_reverts() public {
        Work memory w = work(ALICE, taskId, 0, 900, "a");
        released(w);
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_WrongSigner.selector, address(0), alice));
        send(w, abi.encodePacked(bytes32(0), bytes32(uint256(1)), uint8(27)));
    }

    function test_reveal_signed_for_another_chain_market_or_claim_reverts() public {
        Work memory w = work(ALICE, taskId, 0, 900, "a");
        released(w);
        expectUnsigned(w, scoreClaimDigest(w, domain(block.chainid + 1, address(market))));
        expectUnsigned(w, scoreClaimDigest(w, domain(block.chainid, address(registry))));
        Work memory other = work(ALICE, taskId, 0, 901, "a");
        expectUnsigned(w, scoreClaimDigest(other, market.domainSeparator()));
    }

    function test_reveal_after_a_chain_split_needs_new_digests() public {
        Work memory w = work(ALICE, taskId, 0, 900, "a");
        released(w);
        bytes memory signature = signatureOf(w);
        bytes32 expected = commitmentOf(w);
        bytes32 before = market.domainSeparator();
        vm.chainId(4242);
        assertTrue(before != market.domainSeparator(), "the separator follows the chain id");
        assertEq(domain(4242, address(market)), market.domainSeparator(), "separator");
        bytes32 given = commitmentOf(w);
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_WrongCommitment.selector, given, expected));
        send(w, signature);
    }

    // ---------------------------------------------------------------- qualifying

    function test_reveal_below_the_minimum_does_not_qualify() public {
        Work memory w = work(ALICE, taskId, 0, 499, "a");
        released(w);
        reveal(w);
        assertTrue(entryOf(w).hasRevealed && !entryOf(w).qualifies, "revealed, not qualified");
        assertEq(address(0), roundOf(taskId).leader, "leader");
    }

    function test_reveal_at_the_minimum_qualifies() public {
        Work memory w = work(ALICE, taskId, 0, 500, "a");
        released(w);
        reveal(w);
        assertTrue(entryOf(w).qualifies, "qualifies");
        assertEq(alice, roundOf(taskId).leader, "leader");
    }

    function test_reveal_of_the_whole_score_and_of_nothing() public {
        Work memory a = work(ALICE, taskId, 0, SAMPLES, "a");
        Work memory b = work(BOB, taskId, 0, 0, "b");
        commit(b);
        released(a);
        reveal(b);
        reveal(a);
        assertTrue(entryOf(a).qualifies && !entryOf(b).qualifies, "qualifies");
        assertEq(SAMPLES, roundOf(taskId).leaderTotal, "total");
    }

    function test_reveal_of_a_zero_model_does_not_qualify() public {
        Work memory w = work(ALICE, taskId, 0, 900, "a");
        w.proof.modelHash = 0;
        bind(w);
        released(w);
        reveal(w);
        assertTrue(!entryOf(w).qualifies, "does not qualify");
    }

    function test_reveal_of_a_settled_model_of_another_does_not_qualify() public {
        settled(work(ALICE, taskId, 0, 900, "a"));
        Work memory thief = work(BOB, post(1), 0, 999, "a");
        released(thief);
        reveal(thief);
        assertTrue(entryOf(thief).hasRevealed && !entryOf(thief).qualifies, "revealed, not qualified");
    }

    /// @dev The bytes of an opened model are public long before a slow task settles; a copy in a faster task of the
    /// thief's own must win nothing there, least of all the model.
    function test_reveal_of_an_opened_model_of_another_does_not_qualify() public {
        Terms memory slow = terms(2);
        slow.challengeSeconds = 30 days;
        taskId = post(slow, 2);
        Work memory owner = work(ALICE, taskId, 0, 900, "a");
        opened(owner);
        Work memory thief = work(BOB, post(1), 0, 999, "a");
        released(thief);
        reveal(thief);
        assertTrue(entryOf(thief).hasRevealed && !entryOf(thief).qualifies, "revealed, not qualified");
        toEnd(taskId);
        advance(taskId);
        assertEq(alice, registry.minerOf(owner.proof.modelHash), "owner");
    }

    /// @dev Bytes that leaked before anybody opened: the earlier commit owns them, whoever reveals or settles first.
    function test_reveal_of_a_model_that_a_later_commit_settled_qualifies() public {
        Work memory owner = work(ALICE, taskId, 0, 900, "a");
        commit(owner);
        uint256 other = post(1);
        Work memory thief = work(BOB, other, 0, 900, "a");
        commit(thief);
        toRelease(other);
        release(taskId);
        release(other);
        reveal(thief);
        reveal(owner);
        assertTrue(entryOf(owner).qualifies, "the earlier commit qualifies");
        toRevealEnd(other);
        open(thief);
        open(owner);
        toEnd(other);
        advance(other);
        assertEq(bob, registry.minerOf(owner.proof.modelHash), "the only settlement so far");
        advance(taskId);
        assertEq(alice, registry.minerOf(owner.proof.modelHash), "the earlier commit owns");
        assertEq(owner.proof.watermarkRoot, registry.watermarkOf(owner.proof.modelHash).root, "and its mark");
        Work memory again = work(BOB, post(1), 0, 999, "a");
        released(again);
        reveal(again);
        assertTrue(!entryOf(again).qualifies, "a settlement does not make a thief the owner");
    }

    function test_reveal_of_an_own_settled_model_qualifies() public {
        settled(work(ALICE, taskId, 0, 900, "a"));
        Work memory again = work(ALICE, post(1), 0, 900, "a");
        released(again);
        reveal(again);
        assertTrue(entryOf(again).qualifies, "qualifies");
    }

    function test_reveal_with_an_unknown_parent_does_not_qualify() public {
        Work memory w = work(ALICE, taskId, 0, 900, "a");
        w.proof.parentModel = keccak256("nowhere");
        bind(w);
        released(w);
        reveal(w);
        assertTrue(!entryOf(w).qualifies, "does not qualify");
    }

    function test_reveal_with_a_settled_parent_qualifies() public {
        Work memory parent = work(ALICE, taskId, 0, 900, "a");
        settled(parent);
        Work memory child = work(BOB, post(1), 0, 900, "b");
        child.proof.parentModel = parent.proof.modelHash;
        bind(child);
        released(child);
        reveal(child);
        assertTrue(entryOf(child).qualifies, "qualifies");
    }

    // ---------------------------------------------------------------- leading

    function test_reveal_of_a_higher_total_leads() public {
        (Work memory a, Work memory b) = two(600, "a", 601, "b");
        reveal(a);
        reveal(b);
        assertEq(bob, roundOf(taskId).leader, "leader");
        assertEq(601, roundOf(taskId).leaderTotal, "total");
    }

    function test_reveal_of_a_lower_total_does_not_lead() public {
        (Work memory a, Work memory b) = two(600, "a", 599, "b");
        reveal(a);
        reveal(b);
        assertEq(alice, roundOf(taskId).leader, "leader");
        assertTrue(entryOf(b).qualifies, "qualifies all the same");
    }

    function test_reveal_of_an_equal_total_the_earlier_commit_leads() public {
        (Work memory a, Work memory b) = two(600, "a", 600, "b");
        reveal(b);
        assertEq(bob, roundOf(taskId).leader, "first reveal");
        reveal(a);
        assertEq(alice, roundOf(taskId).leader, "earlier commit");
    }

    function test_reveal_of_an_equal_total_the_later_commit_does_not() public {
        (Work memory a, Work memory b) = two(600, "a", 600, "b");
        reveal(a);
        reveal(b);
        assertEq(alice, roundOf(taskId).leader, "leader");
    }

    // ---------------------------------------------------------------- owning

    function test_reveal_of_the_same_model_committed_later_does_not_qualify() public {
        (Work memory a, Work memory b) = two(600, "same", 700, "same");
        reveal(a);
        reveal(b);
        assertTrue(entryOf(a).qualifies && !entryOf(b).qualifies, "the earlier owns");
        assertEq(alice, roundOf(taskId).leader, "leader");
    }

    function test_reveal_of_the_same_model_committed_earlier_displaces_the_leader() public {
        (Work memory a, Work memory b) = two(600, "same", 700, "same");
        reveal(b);
        vm.expectEmit();
        emit ITaskMarket.ClaimDisplaced(taskId, 0, bob, alice);
        reveal(a);
        assertTrue(entryOf(a).qualifies && !entryOf(b).qualifies, "the earlier owns");
        assertEq(alice, roundOf(taskId).leader, "leader");
        assertEq(roundOf(taskId).revealEnd + OPEN, roundOf(taskId).nominateEnd, "nominateEnd");
        toRevealEnd(taskId);
        assertPhase(taskId, Phase.Nominating, false);
        // the displaced miner keeps its deposit
        market.reclaim(taskId, 0, bob);
        assertEq(DEPOSIT, market.creditOf(bob), "deposit");
    }

    function test_reveal_of_an_ineligible_copy_committed_earlier_displaces_nobody() public {
        settled(work(ALICE, post(1), 0, 900, "x"));
        uint256 second = post(1);
        Work memory copy = work(BOB, second, 0, 0, "x"); // the hash is public, and Bob is first in this task
        Work memory owner = work(ALICE, second, 0, 900, "x");
        commit(copy);
        commit(owner);
        toRelease(second);
        release(second);
        reveal(owner);
        reveal(copy);
        assertTrue(!entryOf(copy).qualifies, "the model is Alice's over the whole market");
        assertTrue(entryOf(owner).qualifies, "and still is in this task");
        assertEq(alice, roundOf(second).leader, "she leads");
    }

    function test_displacement_by_a_claim_that_does_not_qualify_leaves_no_leader() public {
        (Work memory a, Work memory b) = two(100, "same", 700, "same");
        reveal(b);
        reveal(a);
        assertEq(address(0), roundOf(taskId).leader, "leader");
        assertEq(0, roundOf(taskId).leaderTotal, "total");
        assertTrue(!entryOf(a).qualifies && !entryOf(b).qualifies, "neither");
        toRevealEnd(taskId);
        assertPhase(taskId, Phase.Nominating, false);
        toEnd(taskId);
        assertPhase(taskId, Phase.Nominating, true);
    }

    function test_displacement_of_a_claim_that_does_not_lead_keeps_the_leader() public {
        Work memory c = work(CAROL, taskId, 0, 800, "c");
        commit(c);
        (Work memory a, Work memory b) = two(600, "same", 700, "same");
        reveal(c);
        reveal(b);
        reveal(a);
        assertEq(carol, roundOf(taskId).leader, "leader");
        assertEq(0, roundOf(taskId).nominateEnd, "nominateEnd");
        assertTrue(entryOf(a).qualifies && !entryOf(b).qualifies, "the earlier owns");
    }

    // ---------------------------------------------------------------- success

    function test_reveal_stores_and_emits() public {
        Work memory w = work(ALICE, taskId, 0, 900, "a");
        released(w);
        bytes memory signature = signatureOf(w);
        vm.expectEmit();
        emit ITaskMarket.ClaimRevealed(taskId, 0, alice, w.proof, w.claim, w.salt, w.hTop, signature, true);
        vm.prank(keeper);
        market.reveal(w.proof, w.salt, w.claim, w.hTop, signature);
        Entry memory entry = entryOf(w);
        assertEq(claimHashOf(w), entry.digest, "digest");
        assertEq(900, entry.total, "total");
        Round memory round = roundOf(taskId);
        assertEq(alice, round.leader, "leader");
        assertEq(900, round.leaderTotal, "leaderTotal");
        assertEq(1, round.reveals, "reveals");
    }

    // ---------------------------------------------------------------- verifyProof

    function test_verifyProof_before_the_reveal_is_false() public {
        Work memory w = work(ALICE, taskId, 0, 900, "a");
        released(w);
        assertTrue(!lens.verifyProof(w.proof, w.claim, signatureOf(w)), "not revealed");
    }

    function test_verifyProof_of_anything_else_is_false() public {
        Work memory w = work(ALICE, taskId, 0, 900, "a");
        opened(w);
        bytes memory signature = signatureOf(w);
        assertTrue(!lens.verifyProof(w.proof, w.claim, ""), "no signature");
        assertTrue(!lens.verifyProof(w.proof, Claim(901, w.claim.predictionsRoot, 0), signature), "claim");
        Work memory other = work(BOB, taskId, 0, 900, "a");
        assertTrue(!lens.verifyProof(w.proof, w.claim, signatureOf(other)), "signature");
        TrainingProof memory proof = w.proof;
        proof.parentModel = keccak256("parent");
        assertTrue(!lens.verifyProof(proof, w.claim, signature), "proof");
    }

    function test_verifyProof_of_the_revealed_claim_is_true() public {
        Work memory w = work(ALICE, taskId, 0, 900, "a");
        settled(w);
        assertTrue(lens.verifyProof(w.proof, w.claim, signatureOf(w)), "verified");
    }

    // ---------------------------------------------------------------- help

    /// @dev Alice commits before Bob; the test set is out.
    function two(uint64 totalA, string memory modelA, uint64 totalB, string memory modelB)
        private
        returns (Work memory a, Work memory b)
    {
        a = work(ALICE, taskId, 0, totalA, modelA);
        b = work(BOB, taskId, 0, totalB, modelB);
        commit(a);
        released(b);
    }

    function send(Work memory w, bytes memory signature) private {
        market.reveal(w.proof, w.salt, w.claim, w.hTop, signature);
    }

    function domain(uint256 chainId, address verifier) private pure returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("DLBC"),
                keccak256("1"),
                chainId,
                verifier
            )
        );
    }

    function expectWrongCommitment(Work memory w, bytes32 expected) private {
        bytes memory signature = signatureOf(w);
        bytes32 given = commitmentOf(w);
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_WrongCommitment.selector, given, expected));
        send(w, signature);
    }

    function expectMalformed(Work memory w, bytes memory signature) private {
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_MalformedSignature.selector, signature.length));
        send(w, signature);
    }

    /// @dev A signature of the miner over another digest recovers to a stranger.
    function expectUnsigned(Work memory w, bytes32 digest) private {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(w.privateKey, digest);
        address stranger = ecrecover(scoreClaimDigest(w, market.domainSeparator()), v, r, s);
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_WrongSigner.selector, stranger, w.proof.miner));
        send(w, abi.encodePacked(r, s, v));
    }
}
