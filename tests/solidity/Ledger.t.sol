// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MarketLens} from "../../contracts/MarketLens.sol";
import {ModelRegistry} from "../../contracts/ModelRegistry.sol";
import {TaskMarket} from "../../contracts/TaskMarket.sol";
import {Errors} from "../../contracts/libraries/Errors.sol";
import {BlockHeader, Lock, LockKind, Params, Phase, RankedTask, Terms, Watermark} from "../../contracts/types/Task.sol";
import {Scenario} from "./Scenario.sol";

/// deployment
/// ├── when a parameter is out of bounds: it should revert with its name and bounds (section 12)
/// ├── when an address is zero: it should revert
/// ├── it should show its parameters and its registry
/// └── it should stay below 22,000 bytes a contract
/// ModelRegistry
/// ├── when anyone but the market writes: it should revert
/// ├── given no block: the head should be the genesis hash; blockHash should revert
/// ├── given blocks: they should link, and only exact headers verify (P-70)
/// └── watermarkOf and minerOf: of the first settlement of a model, or zero
/// MarketLens
/// ├── rankedTasks: only Training, best rank first, lower id first among equals; clipped pages (P-81)
/// ├── rankedTasks: an older task overtakes a better paid one
/// ├── phases: clipped to the tasks that exist
/// └── locksOf: every locked amount of an account with the call that frees it (P-71)
contract LedgerTest is Scenario {
    // ---------------------------------------------------------------- deployment

    function test_deployment_out_of_bounds_reverts() public {
        Params memory p = params();
        p.feeBps = 501;
        expectOutOfBounds(p, "feeBps", 501, 0, 500);
        p = params();
        p.maxRoyaltyBps = 2001;
        expectOutOfBounds(p, "maxRoyaltyBps", 2001, 0, 2000);
        p = params();
        p.maxWindow = 90 days + 1;
        expectOutOfBounds(p, "maxWindow", 90 days + 1, 1, 90 days);
        p = params();
        p.minWindow = 0;
        expectOutOfBounds(p, "minWindow", 0, 1, 90 days);
        p = params();
        p.maxWindow = 5;
        expectOutOfBounds(p, "minWindow", 10, 1, 5);
        p = params();
        p.finalityGap = 90 days + 1;
        expectOutOfBounds(p, "finalityGap", 90 days + 1, 0, 90 days);
        p = params();
        p.agingSeconds = 0;
        expectOutOfBounds(p, "agingSeconds", 0, 1, 365 days);
        p = params();
        p.weightQueue += 1;
        expectOutOfBounds(p, "weights", 1e6 + 1, 1e6, 1e6);
        p = params();
        p.maxChallenge = 9;
        expectOutOfBounds(p, "maxChallenge", 9, 10, 90 days);
        p = params();
        p.maxChallenge = 90 days + 1;
        expectOutOfBounds(p, "maxChallenge", 90 days + 1, 10, 90 days);
        p = params();
        p.voteSeconds = 9;
        expectOutOfBounds(p, "voteSeconds", 9, 10, 90 days);
        p = params();
        p.voteSeconds = 90 days + 1;
        expectOutOfBounds(p, "voteSeconds", 90 days + 1, 10, 90 days);
        p = params();
        p.pool = address(0);
        expectOutOfBounds(p, "pool", 0, 1, type(uint160).max);
    }

    function test_deployment_with_a_zero_address_reverts() public {
        Params memory p = params();
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_ZeroAddress.selector));
        new TaskMarket(p, address(0));
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_ZeroAddress.selector));
        new ModelRegistry(address(0));
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_ZeroAddress.selector));
        new MarketLens(address(0));
    }

    function test_deployment_shows_its_parameters() public view {
        assertEq(keccak256(abi.encode(params())), keccak256(abi.encode(lens.params())), "params");
        assertEq(keccak256(abi.encode(params())), keccak256(abi.encode(market.rules().params())), "params of the rules");
        assertEq(address(registry), address(market.registry()), "registry");
        assertEq(address(market), registry.market(), "market of the registry");
        assertEq(address(market), address(lens.market()), "market of the lens");
    }

    function test_difficulty_of_zero_is_refused() public {
        Params memory p = params();
        (p.weightComplexity, p.weightNetwork, p.weightData, p.weightQueue) = (1e6, 0, 0, 0);
        deploy(p);
        Terms memory t = terms(1);
        (t.workload.flopsPerSample, t.workload.samples, t.workload.epochs) = (1, 1, 1);
        assertEq(0, lens.quoteDifficulty(t), "three operations are no work");
        bytes32[] memory commitments = commitmentsOf(1);
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_BelowMinimum.selector, bytes32("difficulty"), 0, 1));
        vm.prank(requester);
        market.post{value: value(t, 1)}(t, commitments);
    }

    function test_deployment_of_contracts_below_23000_bytes() public view {
        assertTrue(address(market).code.length < 23_000, "TaskMarket");
        assertTrue(address(registry).code.length < 23_000, "ModelRegistry");
        assertTrue(address(market.rules()).code.length < 23_000, "MarketRules");
        assertTrue(address(lens).code.length < 23_000, "MarketLens");
    }

    // ---------------------------------------------------------------- ModelRegistry

    function test_registry_writes_by_a_stranger_revert() public {
        vm.expectRevert(abi.encodeWithSelector(Errors.Registry_NotMarket.selector, keeper, address(market)));
        vm.prank(keeper);
        registry.recordReveal(1, 0, keeper, 1, "model", 0);
        vm.expectRevert(abi.encodeWithSelector(Errors.Registry_NotMarket.selector, keeper, address(market)));
        vm.prank(keeper);
        registry.recordOpening(1, 0, "model", "digest", "root", 0);
        vm.expectRevert(abi.encodeWithSelector(Errors.Registry_NotMarket.selector, keeper, address(market)));
        vm.prank(keeper);
        registry.append(1, 0, keeper, 1, 1, 1, 1, 0);
    }

    function test_registry_without_a_block() public {
        (uint64 blocks, bytes32 headHash, uint128 cumulative) = registry.head();
        assertEq(0, blocks, "blocks");
        assertEq(registry.genesisHash(), headHash, "head");
        assertEq(0, cumulative, "cumulative difficulty");
        assertEq(keccak256(abi.encode(bytes32("DLBC"), block.chainid, address(registry))), headHash, "genesis hash");
        vm.expectRevert(abi.encodeWithSelector(Errors.Registry_UnknownBlock.selector, 0, 0));
        registry.blockHash(0);
        BlockHeader memory header;
        assertTrue(!registry.verifyBlock(header), "an empty header is no block");
    }

    function test_registry_links_blocks() public {
        Work memory first = work(ALICE, post(1), 0, 900, "a");
        settled(first);
        uint64 firstDifficulty = market.taskOf(1).difficulty;
        Work memory second = work(BOB, post(1), 0, 800, "b");
        settled(second);
        BlockHeader memory header;
        header.version = 1;
        header.height = 1;
        header.previousHash = registry.blockHash(0);
        header.taskId = 2;
        header.modelHash = second.proof.modelHash;
        header.proofDigest = digestOf(second);
        header.miner = bob;
        header.total = 800;
        header.scorePpm = 800_000;
        header.difficulty = market.taskOf(2).difficulty;
        header.cumulativeDifficulty = uint128(firstDifficulty) + header.difficulty;
        header.timestamp = uint40(block.timestamp);
        assertTrue(registry.verifyBlock(header), "the exact header");
        (uint64 blocks, bytes32 headHash, uint128 cumulative) = registry.head();
        assertEq(2, blocks, "blocks");
        assertEq(registry.blockHash(1), headHash, "head");
        assertEq(header.cumulativeDifficulty, cumulative, "cumulative difficulty");
        header.total += 1;
        assertTrue(!registry.verifyBlock(header), "another total");
        header.total -= 1;
        header.height = 0;
        assertTrue(!registry.verifyBlock(header), "another height");
        header.height = 2;
        assertTrue(!registry.verifyBlock(header), "a height to come");
    }

    function test_registry_knows_the_first_settlement_of_a_model() public {
        Work memory w = work(ALICE, post(1), 0, 900, "a");
        assertEq(address(0), registry.minerOf(w.proof.modelHash), "nobody yet");
        opened(w);
        assertEq(address(0), registry.minerOf(w.proof.modelHash), "opened is not settled");
        toEnd(1);
        advance(1);
        assertOrigin(w);
        settled(work(ALICE, post(1), 0, 950, "a"));
        assertOrigin(w);
        assertEq(0, registry.watermarkOf(keccak256("unknown")).taskId, "unknown model");
    }

    function assertOrigin(Work memory w) private view {
        Watermark memory mark = registry.watermarkOf(w.proof.modelHash);
        assertEq(alice, registry.minerOf(w.proof.modelHash), "miner");
        assertEq(w.proof.watermarkRoot, mark.root, "root");
        assertEq(alice, mark.miner, "miner of the mark");
        assertEq(1, mark.commitSeq, "commitSeq");
        assertEq(1, mark.taskId, "task");
        assertEq(0, mark.round, "round");
    }

    // ---------------------------------------------------------------- MarketLens

    function test_rankedTasks_are_sorted_and_clipped() public {
        Terms memory rich = terms(1);
        (rich.bountyWei, rich.depositWei, rich.bondWei) = (20 ether, 2 ether, 2 ether);
        post(1);
        post(rich, 1);
        uint256 gone = post(1);
        vm.prank(requester);
        market.cancel(gone);
        RankedTask[] memory rows = lens.rankedTasks(0, 100);
        assertEq(2, rows.length, "the cancelled one is not listed");
        assertEq(2, rows[0].taskId, "the better paid first");
        assertEq(1, rows[1].taskId, "then the other");
        assertTrue(rows[0].rank > rows[1].rank, "by rank");
        assertEq(market.taskOf(2).difficulty, rows[0].difficulty, "difficulty");
        assertEq(1, lens.rankedTasks(2, 1).length, "a page");
        assertEq(0, lens.rankedTasks(2, 0).length, "an empty page");
        assertEq(0, lens.rankedTasks(99, type(uint256).max).length, "beyond the end");
        vm.warp(T0 + TRAIN);
        assertEq(0, lens.rankedTasks(1, 100).length, "training is over");
    }

    function test_rankedTasks_of_equal_rank_the_lower_id_first() public {
        Params memory p = params();
        (p.weightComplexity, p.weightQueue) = (600_000, 0);
        deploy(p);
        post(1);
        post(1);
        RankedTask[] memory rows = lens.rankedTasks(1, 2);
        assertEq(rows[0].rank, rows[1].rank, "equal");
        assertEq(1, rows[0].taskId, "lower id first");
    }

    function test_rankedTasks_age() public {
        Terms memory slow = terms(1);
        slow.trainSeconds = 10 days;
        post(slow, 1);
        vm.warp(T0 + 2 days);
        Terms memory rich = terms(1);
        (rich.bountyWei, rich.depositWei, rich.bondWei) = (20 ether, 2 ether, 2 ether);
        post(rich, 1);
        RankedTask[] memory rows = lens.rankedTasks(1, 2);
        assertEq(1, rows[0].taskId, "twice the pay does not make up for two days' wait");
    }

    function test_phases_are_clipped() public {
        post(1);
        uint256 second = post(1);
        vm.prank(requester);
        market.cancel(second);
        (Phase[] memory phase, bool[] memory due, uint40[] memory endsAt) = lens.phases(1, 50);
        assertEq(2, phase.length, "clipped");
        assertEq(uint256(Phase.Training), uint256(phase[0]), "first");
        assertEq(T0 + TRAIN, endsAt[0], "ends");
        assertTrue(!due[0], "due");
        assertEq(uint256(Phase.Cancelled), uint256(phase[1]), "second");
    }

    function test_locksOf_an_unknown_task_reverts() public {
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_UnknownTask.selector, 9));
        lens.locksOf(9, alice);
    }

    function test_locksOf_the_requester() public {
        uint256 id = post(2);
        assertLock(lens.locksOf(id, requester)[0], LockKind.Bounty, 20 ether, T0, "cancel(taskId)");
        assertLock(lens.locksOf(id, requester)[1], LockKind.Bond, 2 ether, T0, "cancel(taskId)");
        vm.warp(T0 + TRAIN);
        assertLock(lens.locksOf(id, requester)[0], LockKind.Bounty, 20 ether, T0 + TRAIN, "advance(taskId)");
        advance(id);
        assertEq(0, lens.locksOf(id, requester).length, "void: nothing is locked");
    }

    function test_locksOf_a_miner_along_its_way() public {
        uint256 id = post(1);
        Work memory w = work(ALICE, id, 0, 900, "a");
        string memory reclaim = "reclaim(taskId, round, miner)";
        released(w);
        assertLock(
            lens.locksOf(id, alice)[0],
            LockKind.Deposit,
            DEPOSIT,
            0,
            "reveal(...) once the test set is released, then reclaim(taskId, round, miner)"
        );
        reveal(w);
        toRevealEnd(id);
        assertLock(
            lens.locksOf(id, alice)[0],
            LockKind.Deposit,
            DEPOSIT,
            0,
            "open(...) if it leads when reveals end, then reclaim(taskId, round, miner) once settled"
        );
        open(w);
        toEnd(id);
        assertLock(
            lens.locksOf(id, alice)[0],
            LockKind.Deposit,
            DEPOSIT,
            block.timestamp,
            "advance(taskId) until the round is cold, then reclaim(taskId, round, miner)"
        );
        advance(id);
        assertLock(lens.locksOf(id, alice)[0], LockKind.Deposit, DEPOSIT, T0, reclaim);
        market.reclaim(id, 0, alice);
        assertEq(0, lens.locksOf(id, alice).length, "nothing is locked");
    }

    function test_locksOf_the_requester_after_a_displacement_without_leader() public {
        uint256 id = post(1);
        Work memory low = work(ALICE, id, 0, 100, "a");
        Work memory high = work(BOB, id, 0, 900, "a");
        commit(low);
        released(high);
        reveal(high);
        reveal(low);
        uint256 freeAt = roundOf(id).revealEnd + OPEN;
        assertLock(lens.locksOf(id, requester)[0], LockKind.Bounty, BOUNTY, freeAt, "advance(taskId)");
        vm.warp(freeAt);
        advance(id);
    }

    function test_locksOf_a_silent_committer() public {
        uint256 id = post(1);
        commit(work(BOB, id, 0, 900, "b"));
        released(work(ALICE, id, 0, 900, "a"));
        assertEq(1, lens.locksOf(id, bob).length, "may still be revealed");
        toRevealEnd(id);
        assertEq(0, lens.locksOf(id, bob).length, "lost");
    }

    function test_locksOf_a_committer_of_a_round_that_is_not_released() public {
        uint256 id = post(1);
        commit(work(BOB, id, 0, 900, "b"));
        uint256 freeAt = T0 + TRAIN + GAP + RELEASE;
        vm.warp(freeAt);
        string memory freedBy = "advance(taskId), then reclaim(taskId, round, miner)";
        assertLock(lens.locksOf(id, bob)[0], LockKind.Deposit, DEPOSIT, freeAt, freedBy);
        advance(id);
        market.reclaim(id, 0, bob);
    }

    function test_locksOf_a_loser_and_of_a_committer_of_an_aborted_round() public {
        uint256 id = post(1);
        Work memory low = work(ALICE, id, 0, 100, "a");
        released(low);
        reveal(low);
        Lock memory lock = lens.locksOf(id, alice)[0];
        assertLock(lock, LockKind.Deposit, DEPOSIT, roundOf(id).revealEnd, "reclaim(taskId, round, miner)");
        uint256 second = post(1);
        commit(work(BOB, second, 0, 900, "b"));
        toEnd(second);
        toEnd(second);
        advance(second);
        Lock[] memory locks = lens.locksOf(second, bob);
        assertEq(2, locks.length, "deposit and share");
        assertEq(DEPOSIT, locks[0].amountWei, "deposit");
        assertEq(uint256(LockKind.Bond), uint256(locks[1].kind), "share of the bond");
        assertEq(0.5 ether, locks[1].amountWei, "half of the bond");
    }

    // ---------------------------------------------------------------- help

    function assertLock(Lock memory lock, LockKind kind, uint256 amountWei, uint256 freeAt, string memory freedBy)
        private
        pure
    {
        assertEq(uint256(kind), uint256(lock.kind), "kind");
        assertEq(amountWei, lock.amountWei, "amount");
        assertEq(freeAt, lock.freeAt, "freeAt");
        assertEq(keccak256(bytes(freedBy)), keccak256(bytes(lock.freedBy)), lock.freedBy);
    }

    function expectOutOfBounds(Params memory p, bytes32 parameter, uint256 given, uint256 minimum, uint256 maximum)
        private
    {
        vm.expectRevert(abi.encodeWithSelector(Errors.Params_OutOfBounds.selector, parameter, given, minimum, maximum));
        new TaskMarket(p, address(registry));
    }
}
