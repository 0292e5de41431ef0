// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    BlockHeader,
    Entry,
    Lock,
    LockKind,
    Outcome,
    Phase,
    Round,
    Task,
    Vote,
    Winner
} from "../../contracts/types/Task.sol";
import {Scenario} from "./Scenario.sol";

/// @title Player
/// @dev Plays a market at random: a requester that sometimes releases too late, honest Alice, Bob who often commits to
/// somebody else's model, Carol who never opens, and a keeper. Every move is guarded, so a move that reverts is a
/// finding: whatever the phase allows must succeed. Rules that a single call can break are checked in that call.
contract Player is Scenario {
    uint256 private constant MAX_TASKS = 6;
    uint256 private constant MAX_ROUNDS = 3;

    /// @dev How to rebuild an entry with Scenario.work.
    struct Plan {
        uint64 total;
        string model;
    }

    error Freed();

    mapping(uint256 taskId => mapping(uint256 round => mapping(address miner => Plan))) private plans;
    mapping(uint256 taskId => Phase) private coldAs;
    /// @dev Over, and nobody has anything locked there: no exit to try. Should anything be locked there again, the sums
    /// of checkSolvent differ.
    mapping(uint256 taskId => bool) private isEmptyTask;
    uint256 public totalIn;
    uint256 public totalOut;

    // ---------------------------------------------------------------- moves, as a task lives

    function playPost(uint256 rounds) external {
        (uint256 tasks,,) = market.counters();
        if (tasks == MAX_TASKS) return;
        rounds = within(rounds, 1, MAX_ROUNDS);
        totalIn += value(terms(rounds), rounds);
        post(rounds);
    }

    function playCancel(uint256 seed) external {
        (uint256 taskId, Phase phase, bool due) = pick(seed);
        if (phase != Phase.Training || due) return;
        if (market.taskOf(taskId).round != 0 || roundOf(taskId).commits != 0) return;
        // rarely, or nothing else would be played
        if (mixed(seed) % 16 != 0) return;
        vm.prank(requester);
        market.cancel(taskId);
    }

    function playCommit(uint256 seed, uint256 who, uint256 total, uint256 model) external {
        commitAs(seed, who % 3, mixed(total), mixed(model));
        commitAs(seed, (who % 3 + 1) % 3, mixed(total) >> 1, mixed(model) >> 1);
    }

    function commitAs(uint256 seed, uint256 who, uint256 total, uint256 model) private {
        (uint256 taskId, Phase phase, bool due) = pick(seed);
        if (phase == Phase.None) return;
        Work memory entry = plan(taskId, who, total, model);
        bool isFirst = entryOf(entry).commitSeq == 0;
        if (phase == Phase.Training && !due) {
            plans[taskId][entry.proof.round][entry.proof.miner] = Plan(entry.claim.total, modelName(who, model));
            if (isFirst) totalIn += DEPOSIT;
            commit(entry);
        } else {
            bytes32 termsHash = market.taskOf(taskId).termsHash;
            vm.prank(entry.proof.miner);
            try market.commit{value: isFirst ? DEPOSIT : 0}(taskId, entry.proof.round, termsHash, "late", 0) {
                assertTrue(false, "INV-LATE: a commit outside of Training was accepted");
            } catch {}
        }
    }

    function playRelease(uint256 seed) external {
        (uint256 taskId, Phase phase, bool due) = pick(seed);
        if (phase != Phase.Releasing || due) return;
        if (block.timestamp < roundOf(taskId).trainEnd + GAP) toRelease(taskId);
        release(taskId);
    }

    function playReveal(uint256 seed, uint256 who) external {
        revealAs(seed, who % 3);
        revealAs(seed, (who % 3 + 1) % 3);
    }

    function revealAs(uint256 seed, uint256 who) private {
        (uint256 taskId, Phase phase, bool due) = pick(seed);
        if (phase != Phase.Revealing || due) return;
        Work memory entry = planned(taskId, who);
        if (entryOf(entry).commitSeq == 0 || entryOf(entry).hasRevealed) return;
        assertRefused(altered(entry), "INV-BIND: another proof opened the commitment");
        reveal(entry);
        assertRefused(entry, "INV-BIND: a commitment opened twice");
        assertRefused(altered(entry), "INV-BIND: a commitment opened a second way");
    }

    function playNominate(uint256 seed, uint256 who) external {
        (uint256 taskId, Phase phase, bool due) = pick(seed);
        if (phase != Phase.Nominating || due) return;
        Work memory entry = planned(taskId, who);
        Entry memory stored = entryOf(entry);
        if (!stored.qualifies || stored.isStruck) return;
        Round memory round = roundOf(taskId);
        if (round.leader != address(0)) {
            Entry memory best = market.entryOf(taskId, entry.proof.round, round.leader);
            bool beats = stored.total > best.total || (stored.total == best.total && stored.commitSeq < best.commitSeq);
            if (!beats) return;
        }
        vm.prank(keeper);
        market.nominate(taskId, entry.proof.miner);
    }

    function playOpen(uint256 seed) external {
        (uint256 taskId, Phase phase, bool due) = pick(seed);
        if (phase != Phase.Opening || due) return;
        address leader = roundOf(taskId).leader;
        if (leader == carol) return; // never opens
        open(planned(taskId, leader == alice ? 0 : 1));
    }

    function playAdvance(uint256 seed) external {
        (uint256 taskId, Phase phase, bool due) = pick(seed);
        if (phase != Phase.None && due) advanceAndCheck(taskId, phase);
    }

    function playReclaim(uint256 seed, uint256 round, uint256 who) external {
        (uint256 taskId, Phase phase,) = pick(seed);
        if (phase == Phase.None) return;
        reclaimIfFree(taskId, uint16(within(round, 0, MAX_ROUNDS - 1)), people()[within(who, 0, 2)]);
    }

    function playWithdraw(uint256 who) external {
        withdrawAndCount(people()[within(who, 0, 4)]);
    }

    function playWait(uint256 time) external {
        passOverEmpty();
        vm.warp(block.timestamp + within(time, 1, OPEN / 4));
    }

    /// @dev To the end of a window in which nothing is left to do, now and then before that.
    function playWaitForEnd(uint256 seed) external {
        (uint256 taskId, Phase phase, bool due) = pick(seed);
        if (phase == Phase.None || phase >= Phase.Settled || due) return;
        Round memory round = roundOf(taskId);
        bool isHasty = mixed(seed) % 16 == 0;
        bool isDone = phase == Phase.Challenge || (phase == Phase.Training && round.commits > 1)
            || (phase == Phase.Revealing && round.commits == round.reveals)
            || (phase == Phase.Opening && round.leader == carol)
            || (phase == Phase.Nominating && round.leader != address(0));
        if (isDone || isHasty) toEnd(taskId);
    }

    /// @dev Tasks that hold nothing any more are passed over from here on. A move does it, for what a check writes does
    /// not last.
    function passOverEmpty() private {
        (uint256 tasks,,) = market.counters();
        for (uint256 taskId = 1; taskId <= tasks; ++taskId) {
            (Phase phase,,) = market.phaseOf(taskId);
            if (isEmptyTask[taskId] || phase < Phase.Settled) continue;
            uint256 locks;
            for (uint256 i; locks == 0 && i < 4; ++i) {
                locks = lens.locksOf(taskId, people()[i]).length;
            }
            isEmptyTask[taskId] = locks == 0;
        }
    }

    // ---------------------------------------------------------------- what must hold after any move

    function checkSolvent() external view {
        (uint256 lockedWei, uint256 creditedWei) = market.liabilities();
        assertEq(lockedWei + creditedWei, address(market).balance, "INV-SOLVENT: balance = locked + credited");
        assertEq(totalIn - totalOut, address(market).balance, "INV-ONCE: each wei leaves exactly once");
        uint256 sum;
        for (uint256 i; i < 5; ++i) {
            sum += market.creditOf(people()[i]);
        }
        assertEq(sum, creditedWei, "INV-SOLVENT: credited = sum of credits");
        assertEq(expectedLocks(), lockedWei, "INV-SOLVENT: locked = what the facts say");
    }

    function checkCold() external {
        (uint256 tasks, uint256 openTasks,) = market.counters();
        uint256 warm;
        for (uint256 taskId = 1; taskId <= tasks; ++taskId) {
            (Phase phase,,) = market.phaseOf(taskId);
            if (coldAs[taskId] != Phase.None) {
                assertEq(uint256(coldAs[taskId]), uint256(phase), "INV-COLD: a cold phase changed");
            }
            if (phase >= Phase.Settled) coldAs[taskId] = phase;
            else ++warm;
        }
        assertEq(warm, openTasks, "INV-OPEN: open tasks are the warm ones");
    }

    function checkWinners() external view {
        (uint256 tasks,,) = market.counters();
        for (uint256 taskId = 1; taskId <= tasks; ++taskId) {
            for (uint16 round; round < MAX_ROUNDS; ++round) {
                Winner memory winner = registry.winnerOf(taskId, round);
                if (winner.miner == address(0)) continue;
                Entry memory entry = market.entryOf(taskId, round, winner.miner);
                assertTrue(entry.hasRevealed, "INV-WIN: the winner revealed");
                assertTrue(!entry.isStruck, "INV-WIN: a struck claim won");
                assertTrue(entry.qualifies, "INV-WIN: a displaced or unqualified claim won");
            }
        }
    }

    /// @dev Ends every task with nothing but time, advance, reclaim and withdraw, as a stranger.
    function checkExit() external {
        (uint256 tasks,,) = market.counters();
        for (uint256 taskId = 1; taskId <= tasks; ++taskId) {
            if (isEmptyTask[taskId]) continue;
            for (uint256 step; step < 8; ++step) {
                (Phase phase, bool due, uint40 endsAt) = market.phaseOf(taskId);
                if (phase >= Phase.Settled) break;
                if (!due && endsAt > block.timestamp) vm.warp(endsAt);
                (phase, due,) = market.phaseOf(taskId);
                if (due) advanceAndCheck(taskId, phase);
            }
            (Phase last,,) = market.phaseOf(taskId);
            assertTrue(last >= Phase.Settled || market.taskOf(taskId).round > 0, "INV-EXIT: a task is stuck");
            if (last < Phase.Settled) {
                // a settled round began the next one; without commits that one voids
                toEnd(taskId);
                advanceAndCheck(taskId, Phase.Training);
            }
            for (uint16 round; round < MAX_ROUNDS; ++round) {
                for (uint256 i; i < 3; ++i) {
                    reclaimIfFree(taskId, round, people()[i]);
                }
            }
        }
        for (uint256 i; i < 5; ++i) {
            withdrawAndCount(people()[i]);
        }
        (uint256 lockedWei, uint256 creditedWei) = market.liabilities();
        assertEq(0, lockedWei, "INV-EMPTY: locked");
        assertEq(0, creditedWei, "INV-EMPTY: credited");
        assertEq(0, address(market).balance, "INV-EMPTY: balance");
    }

    /// @dev Whatever call the lens names for a time succeeds at that time.
    function checkLocks() external {
        (uint256 tasks,,) = market.counters();
        uint256 today = block.timestamp;
        for (uint256 taskId = 1; taskId <= tasks; ++taskId) {
            if (isEmptyTask[taskId]) continue;
            for (uint256 i; i < 4; ++i) {
                address account = people()[i];
                Lock[] memory locks = lens.locksOf(taskId, account);
                for (uint256 k; k < locks.length; ++k) {
                    assertFreed(taskId, account, locks[k]);
                    vm.warp(today);
                }
            }
        }
    }

    /// @dev Always reverts, so that nothing it does lasts.
    function freeThenUndo(uint256 taskId, address account, Lock calldata lock) external {
        if (lock.freeAt > block.timestamp) vm.warp(lock.freeAt);
        if (startsWith(lock.freedBy, "cancel")) {
            vm.prank(account);
            market.cancel(taskId);
        }
        if (startsWith(lock.freedBy, "advance")) market.advance(taskId);
        if (lock.kind == LockKind.Deposit) market.reclaim(taskId, lock.round, account);
        revert Freed();
    }

    function assertFreed(uint256 taskId, address account, Lock memory lock) private {
        // somebody else has to act first, or chooses to
        if (lock.freeAt == 0 || startsWith(lock.freedBy, "release")) return;
        try this.freeThenUndo(taskId, account, lock) {}
        catch (bytes memory reason) {
            assertEq(Freed.selector, bytes32(bytes4(reason)), string.concat("INV-LOCK: failed: ", lock.freedBy));
        }
    }

    function startsWith(string memory text, bytes memory start) private pure returns (bool) {
        for (uint256 i; i < start.length; ++i) {
            if (bytes(text)[i] != start[i]) return false;
        }
        return true;
    }

    // ---------------------------------------------------------------- help

    function people() private view returns (address[5] memory) {
        return [alice, bob, carol, requester, treasury];
    }

    function pick(uint256 seed) private view returns (uint256 taskId, Phase phase, bool due) {
        (uint256 tasks,,) = market.counters();
        if (tasks == 0) return (0, Phase.None, false);
        taskId = within(mixed(seed), 1, tasks);
        (phase, due,) = market.phaseOf(taskId);
        if (mixed(seed) % 4 == 0) return (taskId, phase, due);
        // mostly the oldest task that is still warm, so that tasks get somewhere
        for (taskId = 1; taskId < tasks; ++taskId) {
            (phase, due,) = market.phaseOf(taskId);
            if (phase < Phase.Settled) return (taskId, phase, due);
        }
        (phase, due,) = market.phaseOf(taskId);
    }

    /// @dev Fuzzers love small numbers; this spreads them.
    function mixed(uint256 seed) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed)));
    }

    function keyOf(uint256 who) private pure returns (uint256) {
        return [ALICE, BOB, CAROL][who % 3];
    }

    /// @dev Bob mostly, the others sometimes, commit to the one model that everybody knows.
    function modelName(uint256 who, uint256 model) private pure returns (string memory) {
        bool isShared = who % 3 == 1 ? model % 4 != 0 : model % 4 == 0;
        return isShared ? "shared" : vm.toString(model);
    }

    function plan(uint256 taskId, uint256 who, uint256 total, uint256 model) private view returns (Work memory) {
        uint16 round = market.taskOf(taskId).round;
        return work(keyOf(who), taskId, round, uint64(within(total, 400, SAMPLES)), modelName(who, model));
    }

    function planned(uint256 taskId, uint256 who) private view returns (Work memory) {
        uint16 round = market.taskOf(taskId).round;
        Plan memory stored = plans[taskId][round][vm.addr(keyOf(who))];
        return work(keyOf(who), taskId, round, stored.total, stored.model);
    }

    function altered(Work memory entry) private view returns (Work memory other) {
        Plan memory stored = plans[entry.proof.taskId][entry.proof.round][entry.proof.miner];
        other = work(entry.privateKey, entry.proof.taskId, entry.proof.round, stored.total, stored.model);
        other.proof.sealedModel = keccak256("another file");
        bind(other);
    }

    function assertRefused(Work memory entry, string memory message) private {
        bytes memory signature = signatureOf(entry);
        try market.reveal(entry.proof, entry.salt, entry.claim, entry.hTop, signature) {
            assertTrue(false, message);
        } catch {}
    }

    function advanceAndCheck(uint256 taskId, Phase phase) private {
        uint16 round = market.taskOf(taskId).round;
        address leader = roundOf(taskId).leader;
        (uint64 blocks, bytes32 previousHash, uint128 cumulative) = registry.head();
        advance(taskId);
        if (phase == Phase.Challenge) {
            assertBlock(taskId, round, leader, blocks, previousHash, cumulative);
        } else {
            (uint64 after_, bytes32 headHash,) = registry.head();
            assertEq(blocks, after_, "INV-CHAIN: only a settlement appends");
            assertEq(previousHash, headHash, "INV-CHAIN: the head moved");
        }
        if (phase == Phase.Opening) {
            assertTrue(market.entryOf(taskId, round, leader).isStruck, "INV-STRIKE: a silent leader stays unstruck");
        }
    }

    function assertBlock(
        uint256 taskId,
        uint16 round,
        address leader,
        uint64 height,
        bytes32 previousHash,
        uint128 cumulative
    ) private view {
        Winner memory winner = registry.winnerOf(taskId, round);
        assertEq(leader, winner.miner, "INV-CHAIN: the leader wins");
        (, uint256 openTasks,) = market.counters();
        BlockHeader memory header;
        header.version = 1;
        header.height = height;
        header.previousHash = previousHash;
        header.taskId = taskId;
        header.round = round;
        header.modelHash = winner.modelHash;
        header.proofDigest = winner.proofDigest;
        header.miner = winner.miner;
        header.total = winner.total;
        header.scorePpm = uint32(uint256(winner.total) * 1e6 / SAMPLES);
        header.difficulty = market.taskOf(taskId).difficulty;
        header.cumulativeDifficulty = cumulative + header.difficulty;
        header.timestamp = uint40(block.timestamp);
        bool isLast = market.taskOf(taskId).outcome != Outcome.None;
        header.openTasks = uint32(isLast ? openTasks : openTasks - 1);
        assertTrue(registry.verifyBlock(header), "INV-CHAIN: a block does not link to the one before");
        (uint64 blocks, bytes32 headHash,) = registry.head();
        assertEq(height + 1, blocks, "INV-CHAIN: height");
        assertEq(keccak256(abi.encode(header)), headHash, "INV-CHAIN: head");
    }

    /// @dev What P-61 and P-21 say; the market must agree with it.
    function isFree(uint256 taskId, uint16 round, address miner) private view returns (bool) {
        Entry memory entry = market.entryOf(taskId, round, miner);
        Task memory task = market.taskOf(taskId);
        if (!entry.holdsDeposit) return false;
        if (round == task.round && task.outcome == Outcome.Aborted) return true;
        if (round < task.round || task.outcome != Outcome.None) return entry.hasRevealed;
        Round memory facts = market.roundOf(taskId, round);
        return entry.hasRevealed && !entry.qualifies && block.timestamp >= facts.revealEnd && facts.vote != Vote.TestSet;
    }

    function reclaimIfFree(uint256 taskId, uint16 round, address miner) private {
        bool free = isFree(taskId, round, miner);
        vm.prank(keeper);
        try market.reclaim(taskId, round, miner) {
            assertTrue(free, "INV-DEPOSIT: a deposit was freed too early or twice");
        } catch {
            assertTrue(!free, "INV-DEPOSIT: a free deposit was refused");
        }
    }

    function withdrawAndCount(address account) private {
        uint256 creditWei = market.creditOf(account);
        if (creditWei == 0) return;
        uint256 before = account.balance;
        vm.prank(keeper);
        market.withdraw(account);
        assertEq(creditWei, account.balance - before, "INV-ONCE: a credit is paid in full");
        totalOut += creditWei;
    }

    /// @dev Bounties of rounds to come, bonds, and deposits that are still somebody's.
    function expectedLocks() private view returns (uint256 sum) {
        (uint256 tasks,,) = market.counters();
        for (uint256 taskId = 1; taskId <= tasks; ++taskId) {
            Task memory task = market.taskOf(taskId);
            if (task.outcome == Outcome.None) sum += task.bondWei + uint256(BOUNTY) * (task.rounds - task.round);
            for (uint16 round; round <= task.round; ++round) {
                sum += lockedDeposits(task, taskId, round);
            }
        }
    }

    function lockedDeposits(Task memory task, uint256 taskId, uint16 round) private view returns (uint256 sum) {
        bool isAborted = round == task.round && task.outcome == Outcome.Aborted;
        bool isCold = round < task.round || task.outcome != Outcome.None;
        for (uint256 i; i < 3; ++i) {
            Entry memory entry = market.entryOf(taskId, round, people()[i]);
            if (!entry.holdsDeposit || (isCold && !isAborted && !entry.hasRevealed)) continue;
            sum += DEPOSIT;
            Round memory facts = market.roundOf(taskId, round);
            if (isAborted) sum += task.bondWei / 2 / (facts.commits - facts.strikes);
        }
    }
}
