// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Errors} from "../../contracts/libraries/Errors.sol";
import {IERC1271} from "../../contracts/libraries/SignatureLib.sol";
import {Claim, Entry, TrainingProof} from "../../contracts/types/Task.sol";
import {Harness} from "./Harness.sol";
import {Scenario} from "./Scenario.sol";

/// reveal and verifyProof, for a miner that is a contract (ERC-1271, P-41)
/// ├── given a wallet that checks its owner's signature: it should accept it, and no other
/// │   ├── of another chain or another market: it should refuse
/// │   └── of another proof or another claim: it should refuse
/// ├── given a wallet that accepts anything: it should accept anything; it is the wallet's own entry
/// ├── given a wallet that says no, answers with another word, too shortly or not at all: it should refuse
/// ├── given a wallet that answers with a megabyte: it should read one word of it, for the gas of one word
/// ├── given a wallet that reverts, with the right answer or without: it should refuse
/// ├── given a wallet that burns all gas: it should refuse
/// └── given an account with a key and code (EIP-7702)
///     ├── signed with the key: it should accept, whatever the code says
///     ├── a signature that only the code accepts: it should accept
///     └── high s, wrong v or a wrong length that the code refuses: it should refuse
/// one staticcall
/// ├── it should agree with plain code, whatever the wallet answers
/// └── it should let the wallet change nothing
/// calls that anyone may send
/// └── when a stranger sends them all: everything should be the miner's, and nothing the stranger's
contract WalletsTest is Scenario {
    bytes32 private constant MAGIC = bytes32(bytes4(0x1626ba7e));

    uint256 private taskId;
    Wallet private wallet;
    Work private w;

    function setUp() public override {
        super.setUp();
        taskId = post(1);
        wallet = new Wallet(alice);
        vm.deal(address(wallet), 100 ether);
        w = walletWork("a", 900);
        released(w);
    }

    // ---------------------------------------------------------------- honest wallets

    function test_reveal_by_a_wallet_with_its_owners_signature() public {
        reveal(w);
        Entry memory entry = entryOf(w);
        assertTrue(entry.hasRevealed && entry.qualifies, "revealed");
        assertEq(address(wallet), roundOf(taskId).leader, "the wallet leads");
        assertTrue(lens.verifyProof(w.proof, w.claim, signatureOf(w)), "verified");
        toRevealEnd(taskId);
        open(w);
        toEnd(taskId);
        advance(taskId);
        market.reclaim(taskId, 0, address(wallet));
        uint256 fee = uint256(BOUNTY) * FEE_BPS / 1e4;
        assertEq(BOUNTY - fee + DEPOSIT, market.creditOf(address(wallet)), "paid");
    }

    function test_reveal_by_a_wallet_with_another_signature_reverts() public {
        expectRefused(signatureBy(BOB, scoreClaimDigest(w, market.domainSeparator())));
    }

    function test_reveal_by_a_wallet_with_a_signature_for_another_chain_or_market_reverts() public {
        expectRefused(signatureBy(ALICE, scoreClaimDigest(w, domain(block.chainid + 1, address(market)))));
        expectRefused(signatureBy(ALICE, scoreClaimDigest(w, domain(block.chainid, address(lens)))));
    }

    function test_reveal_by_a_wallet_with_the_signature_of_another_claim_reverts() public {
        bytes memory signature = signatureOf(w);
        Work memory higher = w;
        higher.claim.total = 901;
        bind(higher);
        w = higher;
        expectRefused(signature);
    }

    function test_reveal_by_a_wallet_with_the_signature_of_another_proof_reverts() public {
        expectRefused(signatureOf(walletWork("b", 900)));
    }

    function test_verifyProof_of_a_wallet_with_another_signature_is_false() public {
        reveal(w);
        bytes memory signature = signatureOf(w);
        assertTrue(!lens.verifyProof(w.proof, w.claim, ""), "empty");
        assertTrue(!lens.verifyProof(w.proof, w.claim, signatureBy(BOB, "another digest")), "another signature");
        TrainingProof memory proof = w.proof;
        proof.miner = bob;
        assertTrue(!lens.verifyProof(proof, w.claim, signature), "another miner");
    }

    // ---------------------------------------------------------------- other wallets

    function test_reveal_by_a_wallet_that_accepts_anything() public {
        wallet.answer(abi.encode(MAGIC));
        send("");
        assertTrue(entryOf(w).hasRevealed, "revealed");
        assertTrue(lens.verifyProof(w.proof, w.claim, "whatever"), "verified");
    }

    function test_reveal_by_a_wallet_with_another_answer_reverts() public {
        expectRefusedWithAnswer(abi.encode(bytes4(0xffffffff)));
        expectRefusedWithAnswer(abi.encode(true));
        expectRefusedWithAnswer(abi.encode(uint256(0x1626ba7e)));
        expectRefusedWithAnswer(abi.encode(MAGIC | bytes32(uint256(1))));
        expectRefusedWithAnswer(abi.encode(bytes32(0), MAGIC));
    }

    function test_reveal_by_a_wallet_with_a_short_answer_reverts() public {
        expectRefusedWithAnswer("");
        expectRefusedWithAnswer(abi.encodePacked(bytes4(MAGIC)));
        expectRefusedWithAnswer(abi.encodePacked(bytes31(MAGIC)));
    }

    function test_reveal_by_a_wallet_that_reverts_reverts() public {
        wallet.fail("no");
        expectRefused(signatureOf(w));
        wallet.fail(abi.encode(MAGIC));
        expectRefused(signatureOf(w));
    }

    function test_reveal_by_a_wallet_that_answers_a_megabyte_copies_one_word() public {
        wallet.answerLong(MAGIC, 1 << 20);
        bytes memory signature = signatureOf(w);
        uint256 before = gasleft();
        assertTrue(plainly(address(wallet), 0, signature), "plain code copies it all");
        uint256 plain = before - gasleft();
        before = gasleft();
        send(signature);
        assertTrue(before - gasleft() + 1_000_000 < plain, "gas");
        assertTrue(entryOf(w).hasRevealed, "revealed");
    }

    function test_reveal_by_a_wallet_that_answers_a_megabyte_of_something_else_reverts() public {
        wallet.answerLong("something else", 1 << 20);
        expectRefused(signatureOf(w));
    }

    function test_reveal_by_a_wallet_that_burns_all_gas_reverts() public {
        wallet.burn();
        bytes memory signature = signatureOf(w);
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_WrongSigner.selector, alice, address(wallet)));
        market.reveal{gas: 10_000_000}(w.proof, w.salt, w.claim, w.hTop, signature);
        assertTrue(!entryOf(w).hasRevealed, "not revealed");
    }

    function test_verifyProof_of_a_wallet_that_burns_all_gas_is_false() public {
        reveal(w);
        bytes memory signature = signatureOf(w);
        wallet.burn();
        assertTrue(!lens.verifyProof{gas: 10_000_000}(w.proof, w.claim, signature), "not verified");
    }

    function test_reveal_of_a_wallet_without_code_names_what_is_wrong() public {
        vm.etch(address(wallet), "");
        bytes memory signature = signatureOf(w);
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_WrongSigner.selector, alice, address(wallet)));
        send(signature);
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_MalformedSignature.selector, 0));
        send("");
    }

    // ---------------------------------------------------------------- a key and code

    function test_reveal_by_a_key_whose_account_has_code() public {
        ownKeyWithCode();
        Wallet(alice).answer("no");
        reveal(w);
        assertTrue(entryOf(w).hasRevealed, "revealed");
    }

    function test_reveal_by_a_key_whose_account_has_code_without_a_call() public {
        ownKeyWithCode();
        Wallet(alice).burn();
        bytes memory signature = signatureOf(w);
        market.reveal{gas: 300_000}(w.proof, w.salt, w.claim, w.hTop, signature);
        assertTrue(entryOf(w).hasRevealed, "the code was not asked");
    }

    function test_reveal_by_the_code_of_an_account_with_a_key() public {
        ownKeyWithCode();
        Wallet(alice).answer(abi.encode(MAGIC));
        send("");
        assertTrue(entryOf(w).hasRevealed, "revealed");
    }

    function test_reveal_by_an_account_with_a_key_and_code_and_a_bad_signature_reverts() public {
        ownKeyWithCode();
        Wallet(alice).answer("no");
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(ALICE, scoreClaimDigest(w, market.domainSeparator()));
        uint256 order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
        expectRefusedAs(address(0), abi.encodePacked(r, bytes32(order - uint256(s)), v == 27 ? uint8(28) : uint8(27)));
        expectRefusedAs(address(0), abi.encodePacked(r, s, v - 27));
        expectRefusedAs(address(0), abi.encodePacked(r, s));
    }

    // ---------------------------------------------------------------- one staticcall

    function testFuzz_isSigned_agrees_with_plain_code(bytes memory data, bool isMagic, bool fails, bytes32 digest)
        public
    {
        Harness harness = new Harness();
        if (isMagic) data = bytes.concat(MAGIC, data);
        if (fails) wallet.fail(data);
        else wallet.answer(data);
        assertEq(
            plainly(address(wallet), digest, "signature"),
            harness.isSigned(address(wallet), digest, "signature"),
            "plain code"
        );
        assertEq(isMagic && !fails, harness.isSigned(address(wallet), digest, "signature"), "the rule");
    }

    function test_isSigned_of_nobody_is_false() public {
        Harness harness = new Harness();
        // recovers to nobody: r = 0
        bytes memory signature = abi.encodePacked(bytes32(0), bytes32(uint256(1)), uint8(27));
        assertTrue(!harness.isSigned(address(0), "digest", signature), "nobody");
    }

    function test_reveal_by_a_wallet_that_writes_reverts() public {
        wallet.write();
        expectRefused(signatureOf(w));
    }

    // ---------------------------------------------------------------- relays

    function test_relayed_calls_change_no_owner() public {
        taskId = post(1);
        Work memory first = work(BOB, taskId, 0, 900, "first");
        w = work(CAROL, taskId, 0, 800, "second");
        commit(first);
        released(w);
        address stranger = address(0x57A9);
        vm.startPrank(stranger);
        market.reveal(first.proof, first.salt, first.claim, first.hTop, signatureOf(first));
        market.reveal(w.proof, w.salt, w.claim, w.hTop, signatureOf(w));
        assertEq(bob, roundOf(taskId).leader, "revealed for Bob");
        assertTrue(entryOf(w).hasRevealed, "revealed for Carol");
        toRevealEnd(taskId);
        toEnd(taskId);
        market.advance(taskId);
        market.nominate(taskId, carol);
        assertEq(carol, roundOf(taskId).leader, "nominated for Carol");
        toEnd(taskId);
        market.open(w.proof, w.claim, w.sealKey, w.slotKey, w.slotPath);
        assertEq(carol, roundOf(taskId).leader, "opened for Carol");
        toEnd(taskId);
        market.advance(taskId);
        assertEq(carol, registry.winnerOf(taskId, 0).miner, "settled for Carol");
        market.reclaim(taskId, 0, carol);
        uint256 creditWei = market.creditOf(carol);
        uint256 fee = uint256(BOUNTY) * FEE_BPS / 1e4;
        assertEq(BOUNTY - fee + DEPOSIT, creditWei, "Carol's credit");
        uint256 before = carol.balance;
        market.withdraw(carol);
        market.withdraw(treasury);
        vm.stopPrank();
        assertEq(creditWei, carol.balance - before, "paid to Carol");
        assertEq(fee + DEPOSIT, treasury.balance, "fee, and Bob's deposit, to the pool");
        assertEq(0, market.creditOf(stranger), "no credit");
        assertEq(0, stranger.balance, "no money");
        assertEq(0, market.entryOf(taskId, 0, stranger).commitSeq, "no entry");
    }

    // ---------------------------------------------------------------- help

    /// @dev An entry of the wallet, signed by Alice.
    function walletWork(string memory model, uint64 total) private view returns (Work memory entry) {
        entry = work(ALICE, taskId, 0, total, model);
        entry.proof.miner = address(wallet);
        bind(entry);
    }

    /// @dev Alice's own account gets a wallet's code and storage; the entry is hers.
    function ownKeyWithCode() private {
        taskId = post(1);
        w = work(ALICE, taskId, 0, 900, "a");
        released(w);
        vm.etch(alice, address(wallet).code);
    }

    function send(bytes memory signature) private {
        market.reveal(w.proof, w.salt, w.claim, w.hTop, signature);
    }

    function signatureBy(uint256 privateKey, bytes32 digest) private pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(privateKey, digest);
        return abi.encodePacked(r, s, v);
    }

    function expectRefusedWithAnswer(bytes memory data) private {
        wallet.answer(data);
        expectRefused(signatureOf(w));
    }

    function expectRefused(bytes memory signature) private {
        bytes32 digest = scoreClaimDigest(w, market.domainSeparator());
        address signer;
        if (signature.length == 65) {
            (bytes32 r, bytes32 s, uint8 v) = split(signature);
            signer = ecrecover(digest, v, r, s);
        }
        expectRefusedAs(signer, signature);
    }

    function expectRefusedAs(address signer, bytes memory signature) private {
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_WrongSigner.selector, signer, w.proof.miner));
        send(signature);
        assertTrue(!entryOf(w).hasRevealed, "not revealed");
    }

    function split(bytes memory signature) private pure returns (bytes32 r, bytes32 s, uint8 v) {
        bytes memory padded = abi.encodePacked(signature, bytes31(0));
        (r, s, v) = (word(padded, 0), word(padded, 32), uint8(signature[64]));
    }

    function word(bytes memory data, uint256 start) private pure returns (bytes32 result) {
        for (uint256 i; i < 32; ++i) {
            result |= bytes32(data[start + i]) >> (8 * i);
        }
    }

    /// @dev What SignatureLib does for an account that has only code, without assembly.
    function plainly(address account, bytes32 digest, bytes memory signature) private view returns (bool) {
        (bool hasSucceeded, bytes memory data) =
            account.staticcall(abi.encodeCall(IERC1271.isValidSignature, (digest, signature)));
        return hasSucceeded && data.length >= 32 && word(data, 0) == MAGIC;
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
}

/// @dev Checks its owner's signature, until it is told to do something else.
contract Wallet {
    enum Mood {
        Checks,
        Answers,
        AnswersLong,
        Fails,
        Burns,
        Writes
    }

    address private immutable OWNER;
    Mood private mood;
    bytes private data;
    uint256 private length;

    constructor(address owner) {
        OWNER = owner;
    }

    function answer(bytes calldata data_) external {
        (mood, data) = (Mood.Answers, data_);
    }

    /// @param word first word of the answer; the rest is zero
    function answerLong(bytes32 word, uint256 length_) external {
        (mood, data, length) = (Mood.AnswersLong, abi.encode(word), length_);
    }

    function fail(bytes calldata data_) external {
        (mood, data) = (Mood.Fails, data_);
    }

    function burn() external {
        mood = Mood.Burns;
    }

    function write() external {
        mood = Mood.Writes;
    }

    function isValidSignature(bytes32 digest, bytes calldata signature) external returns (bytes4) {
        if (mood == Mood.Checks) return isOwners(digest, signature) ? bytes4(0x1626ba7e) : bytes4(0xffffffff);
        if (mood == Mood.Writes) {
            mood = Mood.Checks;
            return 0x1626ba7e;
        }
        while (mood == Mood.Burns) {}
        bytes memory told = data;
        bool fails = mood == Mood.Fails;
        uint256 size = mood == Mood.AnswersLong ? length : told.length;
        // a return value would be padded to whole words
        assembly ("memory-safe") {
            if fails { revert(add(told, 0x20), size) }
            return(add(told, 0x20), size)
        }
    }

    function isOwners(bytes32 digest, bytes calldata signature) private view returns (bool) {
        if (signature.length != 65) return false;
        bytes32 r = bytes32(signature[0:32]);
        bytes32 s = bytes32(signature[32:64]);
        return ecrecover(digest, uint8(signature[64]), r, s) == OWNER;
    }
}
