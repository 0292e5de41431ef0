// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MarketLens} from "../../contracts/MarketLens.sol";
import {ModelRegistry} from "../../contracts/ModelRegistry.sol";
import {TaskMarket} from "../../contracts/TaskMarket.sol";
import {Errors} from "../../contracts/libraries/Errors.sol";
import {
    Claim,
    Entry,
    Params,
    Phase,
    Round,
    Task,
    Terms,
    TestSet,
    TrainingProof,
    Workload
} from "../../contracts/types/Task.sol";
import {Base} from "./Base.sol";

/// @title Scenario
/// @dev A deployed market with people, and the steps of a task's life as one-line calls.
abstract contract Scenario is Base {
    /// @dev Everything a miner knows about one entry.
    struct Work {
        uint256 privateKey;
        TrainingProof proof;
        Claim claim;
        bytes32 salt;
        bytes32 hTop;
        bytes32 sealKey;
        bytes32 slotKey;
        bytes32[] slotPath;
    }

    uint256 internal constant T0 = 1_800_000_000;
    uint32 internal constant TRAIN = 1000;
    uint32 internal constant RELEASE = 200;
    uint32 internal constant REVEAL = 300;
    uint32 internal constant OPEN = 100;
    uint32 internal constant CHALLENGE = 400;
    uint32 internal constant GAP = 50;
    uint32 internal constant MAX_CHALLENGE = 30 days;
    uint32 internal constant VOTE = 150;
    uint96 internal constant BOUNTY = 10 ether;
    uint96 internal constant DEPOSIT = 1 ether;
    uint40 internal constant SAMPLES = 1000;
    uint256 internal constant FEE_BPS = 200;
    uint256 internal constant ROYALTY_BPS = 500;
    bytes32 internal constant TEST_KEY = keccak256("test key");

    uint256 internal constant ALICE = 0xA11CE; // private keys of the miners
    uint256 internal constant BOB = 0xB0B;
    uint256 internal constant CAROL = 0xCA201;

    address internal requester = address(0x10001);
    address internal keeper = address(0x10002);
    /// @dev What the market takes for the auditor pool.
    address internal treasury = address(0x10003);
    address internal alice = vm.addr(ALICE);
    address internal bob = vm.addr(BOB);
    address internal carol = vm.addr(CAROL);

    TaskMarket internal market;
    ModelRegistry internal registry;
    MarketLens internal lens;

    function setUp() public virtual {
        vm.warp(T0);
        deploy(params());
        vm.deal(requester, 10_000 ether);
        vm.deal(alice, 10_000 ether);
        vm.deal(bob, 10_000 ether);
        vm.deal(carol, 10_000 ether);
    }

    function deploy(Params memory values) internal {
        uint256 nonce = vm.getNonce(address(this));
        registry = new ModelRegistry(vm.computeCreateAddress(address(this), nonce + 1));
        market = new TaskMarket(values, address(registry));
        lens = new MarketLens(address(market));
    }

    function params() internal view returns (Params memory) {
        return Params({
            feeBps: uint16(FEE_BPS),
            maxRoyaltyBps: 2000,
            minWindow: 10,
            maxWindow: 90 days,
            finalityGap: GAP,
            agingSeconds: 1 days,
            weightComplexity: 500_000,
            weightNetwork: 200_000,
            weightData: 200_000,
            weightQueue: 100_000,
            maxChallenge: MAX_CHALLENGE,
            voteSeconds: VOTE,
            pool: treasury
        });
    }

    // ---------------------------------------------------------------- values

    function terms(uint256 rounds) internal pure returns (Terms memory values) {
        values.manifestHash = keccak256("manifest");
        values.manifest = keccak256("locator");
        values.workload = Workload(10_000, 20_000, 1500, 10, 1 << 20, 40_000);
        values.trainSeconds = TRAIN;
        values.releaseSeconds = RELEASE;
        values.revealSeconds = REVEAL;
        values.openSeconds = OPEN;
        values.challengeSeconds = CHALLENGE;
        values.minScorePpm = 500_000;
        values.minGainPpm = 10_000;
        values.tolerancePpm = 2_000;
        values.bountyWei = BOUNTY;
        values.depositWei = DEPOSIT;
        values.bondWei = uint96(rounds) * BOUNTY / 10;
        values.royaltyBps = uint16(ROYALTY_BPS);
    }

    function testSetOf(uint256 round) internal pure returns (TestSet memory values) {
        values.sealedLocator = keccak256(abi.encode("sealed", round));
        values.plaintextHash = keccak256(abi.encode("plaintext", round));
        values.keyHash = keccak256(abi.encode(TEST_KEY));
        values.samples = SAMPLES;
        values.maxSampleScore = 1;
        values.classes = 10;
        values.metric = 1;
        values.labelsRoot = keccak256(abi.encode("labels", round));
    }

    function commitmentsOf(uint256 rounds) internal pure returns (bytes32[] memory commitments) {
        commitments = new bytes32[](rounds);
        for (uint256 i; i < rounds; ++i) {
            commitments[i] = keccak256(abi.encode(testSetOf(i)));
        }
    }

    function value(Terms memory values, uint256 rounds) internal pure returns (uint256) {
        return uint256(values.bountyWei) * rounds + values.bondWei;
    }

    /// @dev A complete, consistent entry. `model` names the weights: equal names, equal modelHash.
    function work(uint256 privateKey, uint256 taskId, uint16 round, uint64 total, string memory model)
        internal
        view
        returns (Work memory entry)
    {
        bytes32 seed = keccak256(abi.encode(privateKey, taskId, round, total, model));
        entry.privateKey = privateKey;
        entry.salt = keccak256(abi.encode(seed, "salt"));
        entry.hTop = keccak256(abi.encode(seed, "hTop"));
        entry.sealKey = keccak256(abi.encode(seed, "seal"));
        entry.slotKey = keccak256(abi.encode(seed, "slot 0"));
        entry.slotPath = new bytes32[](1);
        entry.slotPath[0] = keccak256(abi.encode(seed, "slot 1"));
        entry.proof = TrainingProof({
            taskId: taskId,
            round: round,
            miner: vm.addr(privateKey),
            modelHash: keccak256(bytes(model)),
            sealedModel: keccak256(abi.encode(seed, "sealed")),
            sealKeyHash: keccak256(abi.encode(entry.sealKey)),
            watermarkRoot: slotRoot(entry.slotKey, entry.slotPath),
            parentModel: round == 0 ? bytes32(0) : registry.winnerOf(taskId, round - 1).modelHash
        });
        entry.claim = Claim(total, 0, keccak256(abi.encode(seed, "predictions")));
        bind(entry);
    }

    /// @dev Makes the claim consistent with the proof again after a test has changed one of them.
    function bind(Work memory entry) internal view {
        entry.claim.predictionsRoot =
            keccak256(abi.encode(uint8(4), digestOf(entry), SAMPLES, entry.hTop, entry.claim.total));
    }

    function slotRoot(bytes32 key, bytes32[] memory path) internal pure returns (bytes32 node) {
        node = keccak256(abi.encodePacked(uint8(0), key, uint32(0)));
        for (uint256 i; i < path.length; ++i) {
            node = keccak256(abi.encodePacked(uint8(1), node, path[i]));
        }
    }

    function digestOf(Work memory entry) internal view returns (bytes32) {
        return market.proofDigest(entry.proof);
    }

    function commitmentOf(Work memory entry) internal view returns (bytes32) {
        return keccak256(abi.encode(digestOf(entry), entry.salt));
    }

    function claimHashOf(Work memory entry) internal view returns (bytes32) {
        return keccak256(abi.encode(digestOf(entry), entry.claim));
    }

    function scoreClaimDigest(Work memory entry, bytes32 separator) internal view returns (bytes32) {
        bytes32 typeHash =
            keccak256("ScoreClaim(bytes32 proof,uint64 total,bytes32 predictionsRoot,bytes32 predictions)");
        bytes32 structHash = keccak256(abi.encode(typeHash, digestOf(entry), entry.claim));
        return keccak256(abi.encodePacked(bytes2(0x1901), separator, structHash));
    }

    function signatureOf(Work memory entry) internal view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(entry.privateKey, scoreClaimDigest(entry, market.domainSeparator()));
        return abi.encodePacked(r, s, v);
    }

    // ---------------------------------------------------------------- steps, as a task lives

    function post(uint256 rounds) internal returns (uint256 taskId) {
        return post(terms(rounds), rounds);
    }

    function post(Terms memory values, uint256 rounds) internal returns (uint256 taskId) {
        bytes32[] memory commitments = commitmentsOf(rounds);
        vm.prank(requester);
        return market.post{value: value(values, rounds)}(values, commitments);
    }

    function commit(Work memory entry) internal {
        TrainingProof memory proof = entry.proof;
        bytes32 termsHash = market.taskOf(proof.taskId).termsHash;
        bytes32 commitment = commitmentOf(entry);
        bool isFirst = market.entryOf(proof.taskId, proof.round, proof.miner).commitSeq == 0;
        uint256 deposit = isFirst ? market.taskOf(proof.taskId).depositWei : 0;
        vm.prank(proof.miner);
        market.commit{value: deposit}(proof.taskId, proof.round, termsHash, commitment, keccak256("recovery"));
    }

    function release(uint256 taskId) internal {
        TestSet memory testSet = testSetOf(market.taskOf(taskId).round);
        vm.prank(requester);
        market.release(taskId, testSet, TEST_KEY);
    }

    function reveal(Work memory entry) internal {
        bytes memory signature = signatureOf(entry);
        vm.prank(keeper);
        market.reveal(entry.proof, entry.salt, entry.claim, entry.hTop, signature);
    }

    function open(Work memory entry) internal {
        vm.prank(keeper);
        market.open(entry.proof, entry.claim, entry.sealKey, entry.slotKey, entry.slotPath);
    }

    function advance(uint256 taskId) internal {
        vm.prank(keeper);
        market.advance(taskId);
    }

    // ---------------------------------------------------------------- time

    function toRelease(uint256 taskId) internal {
        vm.warp(roundOf(taskId).trainEnd + GAP);
    }

    function toRevealEnd(uint256 taskId) internal {
        vm.warp(roundOf(taskId).revealEnd);
    }

    /// @dev To the end of whatever window runs.
    function toEnd(uint256 taskId) internal {
        (,, uint40 endsAt) = market.phaseOf(taskId);
        vm.warp(endsAt);
    }

    // ---------------------------------------------------------------- longer stretches

    /// @dev Posts a one-round task, commits one entry, and releases.
    function released(Work memory entry) internal {
        commit(entry);
        toRelease(entry.proof.taskId);
        release(entry.proof.taskId);
    }

    /// @dev From a fresh round to the opened claim of its only miner.
    function opened(Work memory entry) internal {
        released(entry);
        reveal(entry);
        toRevealEnd(entry.proof.taskId);
        open(entry);
    }

    function settled(Work memory entry) internal {
        opened(entry);
        toEnd(entry.proof.taskId);
        advance(entry.proof.taskId);
    }

    // ---------------------------------------------------------------- facts

    function roundOf(uint256 taskId) internal view returns (Round memory) {
        return market.roundOf(taskId, market.taskOf(taskId).round);
    }

    function entryOf(Work memory entry) internal view returns (Entry memory) {
        return market.entryOf(entry.proof.taskId, entry.proof.round, entry.proof.miner);
    }

    function assertPhase(uint256 taskId, Phase expected, bool expectedDue) internal view {
        (Phase phase, bool due,) = market.phaseOf(taskId);
        assertEq(uint256(expected), uint256(phase), "phase");
        assertEq(expectedDue, due, "due");
    }

    function expectWrongPhase(Phase given, bool due, Phase expected) internal {
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_WrongPhase.selector, given, due, expected));
    }

    function withdrawIfAny(address account) internal {
        if (market.creditOf(account) != 0) market.withdraw(account);
    }

    /// @dev After everybody has withdrawn, nothing may be left (INV-EMPTY).
    function assertEmptyAfterWithdrawals() internal {
        withdrawIfAny(requester);
        withdrawIfAny(treasury);
        withdrawIfAny(alice);
        withdrawIfAny(bob);
        withdrawIfAny(carol);
        (uint256 lockedWei, uint256 creditedWei) = market.liabilities();
        assertEq(0, lockedWei, "INV-EMPTY: locked");
        assertEq(0, creditedWei, "INV-EMPTY: credited");
        assertEq(0, address(market).balance, "INV-EMPTY: balance");
    }
}
