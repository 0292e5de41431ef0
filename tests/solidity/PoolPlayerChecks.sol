// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Case, Entry, Outcome, Phase, Round, Ruling, Stake, Tally, Task, Winner} from "../../contracts/types/Task.sol";
import {PoolPlayerVotes} from "./PoolPlayerVotes.sol";

/// @title PoolPlayerChecks
/// @dev What must hold after any move, by the second books. Every id is in docs/invariants.md.
abstract contract PoolPlayerChecks is PoolPlayerVotes {
    uint256 internal constant MAX_ROUNDS = 3;

    mapping(uint256 taskId => Phase) private coldAs;
    /// @dev Over, and nothing of anybody is left in it: no exit to try. Should a deposit be locked there again, the sums
    /// of checkMoney differ; that all calls are refused there is tried by stray moves.
    mapping(uint256 taskId => bool) private isEmptyTask;
    mapping(bytes32 caseId => bool) private isEmptyCase;
    /// @dev What totalStakeAt and stakeAt once said of a past moment, as one hash.
    uint40[] private pastTimes;
    mapping(uint40 time => bytes32) private pasts;

    // ---------------------------------------------------------------- money

    function checkMoney() external view {
        checkMarketMoney();
        checkPoolMoney();
        assertEq(0, wade.paidTwice(), "INV-ONCE: a credit was paid twice");
    }

    function checkMarketMoney() private view {
        (uint256 lockedWei, uint256 creditedWei) = market.liabilities();
        uint256 balance = address(market).balance - marketForced;
        assertEq(lockedWei + creditedWei, balance, "INV-SOLVENT: market: balance = locked + credited");
        assertEq(expectedLocks(), lockedWei, "INV-SOLVENT: market: locked = what the facts say");
        uint256 credits = market.creditOf(treasury);
        assertEq(earnedWei, fromMarket() + credits, "INV-ONCE: the pool gets what it earned, once");
        address[13] memory everybody = people();
        for (uint256 i; i < everybody.length; ++i) {
            credits += market.creditOf(everybody[i]);
        }
        assertEq(credits, creditedWei, "INV-SOLVENT: market: credited = sum of credits");
    }

    function checkPoolMoney() private view {
        (uint256 lockedWei, uint256 creditedWei) = pool.liabilities();
        uint256 balance = address(pool).balance - poolForced;
        assertEq(lockedWei + creditedWei, balance, "INV-SOLVENT: pool: balance = locked + credited");
        assertEq(poolIn + fromMarket() - poolOut, balance, "INV-ONCE: each wei leaves the pool once");
        uint256 credits;
        address[13] memory everybody = people();
        for (uint256 i; i < everybody.length; ++i) {
            address account = everybody[i];
            assertEq(owedWei[account], pool.creditOf(account), "INV-SOLVENT: pool: a credit");
            credits += owedWei[account];
        }
        assertEq(credits, creditedWei, "INV-SOLVENT: pool: credited = sum of credits");
        uint256 sum = locksWei + bondsWei + potsWei + demandsWei + unpaidDividends();
        address[AUDITORS] memory all = auditors();
        for (uint256 i; i < AUDITORS; ++i) {
            Account storage account = accounts[all[i]];
            sum += account.activeWei + account.pendingWei + account.unbondingWei;
        }
        assertEq(sum, lockedWei, "INV-SOLVENT: pool: locked = stakes, locks, bonds, pots, demands and dividends");
    }

    /// @dev What the market has paid to the pool, by the market's balance alone.
    function fromMarket() internal view returns (uint256) {
        return marketIn - marketOut - (address(market).balance - marketForced);
    }

    function unpaidDividends() internal view returns (uint256) {
        return fromMarket() + unopenedWei - forfeitWei - dividendsWei;
    }

    /// @dev Bounties of rounds to come, bonds, and deposits that are still somebody's.
    function expectedLocks() private view returns (uint256 sum) {
        for (uint256 taskId = 1; taskId <= tasks(); ++taskId) {
            if (isEmptyTask[taskId]) continue;
            Task memory task = market.taskOf(taskId);
            if (task.outcome == Outcome.None) sum += task.bondWei + uint256(PAY) * (task.rounds - task.round);
            for (uint16 round; round <= task.round; ++round) {
                sum += lockedDeposits(task, taskId, round);
            }
        }
    }

    /// @dev Tasks and cases that hold nothing any more are passed over from here on. Called by moves, for what a check
    /// writes does not last.
    function passOverEmpty() internal {
        for (uint256 taskId = 1; taskId <= tasks(); ++taskId) {
            if (isEmptyTask[taskId]) continue;
            Task memory task = market.taskOf(taskId);
            uint256 lockedWei = task.outcome == Outcome.None ? 1 : 0;
            for (uint16 round; lockedWei == 0 && round <= task.round; ++round) {
                lockedWei += lockedDeposits(task, taskId, round);
            }
            isEmptyTask[taskId] = lockedWei == 0;
        }
        for (uint256 i; i < caseIds.length; ++i) {
            bytes32 caseId = caseIds[i];
            if (!isEmptyCase[caseId]) {
                isEmptyCase[caseId] = isEmptyTask[files[caseId].taskId] && !holdsAnything(caseId);
            }
        }
    }

    function holdsAnything(bytes32 caseId) private view returns (bool) {
        address[AUDITORS] memory all = auditors();
        for (uint8 attempt_; attempt_ < 2; ++attempt_) {
            for (uint256 i; i < AUDITORS; ++i) {
                Ballot state = ballots[caseId][attempt_][all[i]].state;
                if (state == Ballot.Sealed || state == Ballot.Opened) return true;
            }
        }
        address[] memory filers = files[caseId].filers;
        for (uint256 i; i < filers.length; ++i) {
            if (!isBondGone[caseId][filers[i]]) return true;
        }
        return false;
    }

    function lockedDeposits(Task memory task, uint256 taskId, uint16 round) private view returns (uint256 sum) {
        bool isAborted = round == task.round && task.outcome == Outcome.Aborted;
        bool isCold = round < task.round || task.outcome != Outcome.None;
        for (uint256 i; i < MINERS; ++i) {
            Entry memory entry = market.entryOf(taskId, round, minerOf(i));
            if (!entry.holdsDeposit || (isCold && !isAborted && !entry.hasRevealed)) continue;
            sum += PLEDGE;
            Round memory facts = market.roundOf(taskId, round);
            if (isAborted) sum += task.bondWei / 2 / (facts.commits - facts.strikes);
        }
    }

    // ---------------------------------------------------------------- stakes

    function checkStakes() external view {
        (uint256 activeWei, uint256 waitingWei) = pool.totals();
        assertEq(totalActive(), activeWei, "INV-STAKE: total active = sum of active");
        address[AUDITORS] memory all = auditors();
        uint256 accrued;
        for (uint256 i; i < AUDITORS; ++i) {
            checkStake(all[i]);
            (uint256 accruedWei, uint256 counted, uint256 votes) = pool.dividendOf(all[i]);
            accrued += accruedWei;
            assertEq(accounts[all[i]].ballots, counted, "INV-BALLOT: a ballot counts once");
            assertEq(votesSince(accounts[all[i]].countedFrom), votes, "INV-BALLOT: votes one could take part in");
        }
        uint256 unpaidWei = unpaidDividends();
        vm.assertLe(waitingWei + accrued, unpaidWei, "INV-DIVIDEND: more is due than came in");
        // every share rounds up by less than a wei, and every accrual down
        vm.assertLe(unpaidWei - waitingWei - accrued, (AUDITORS + 1) * activations + 1, "INV-DIVIDEND: dust");
        vm.assertLe(dividendsWei, fromMarket() + unopenedWei, "INV-DIVIDEND: more was paid than came in");
        checkTraces(all);
    }

    function checkStake(address auditor) private view {
        Account storage account = accounts[auditor];
        Stake memory stake = pool.stakeOf(auditor);
        assertEq(account.activeWei, stake.activeWei, "INV-STAKE: active");
        assertEq(account.pendingWei, stake.pendingWei, "INV-STAKE: pending");
        assertEq(account.unbondingWei, stake.unbondingWei, "INV-STAKE: unbonding");
        uint256 kept = account.activeWei + account.pendingWei + account.unbondingWei + account.finishedWei;
        assertEq(account.stakedWei - account.slashedWei - account.lockedWei, kept, "INV-SLASH: a lost lock came back");
    }

    /// @dev The traces of all auditors together are the sum of their own, less what ballots locked since their own were
    /// last written; and no trace is ever below the stake that is there.
    function checkTraces(address[AUDITORS] memory all) private view {
        uint40 time = uint40(block.timestamp);
        uint256 sum;
        uint256 hidden;
        for (uint256 i; i < AUDITORS; ++i) {
            uint256 ownWei = pool.stakeAt(all[i], time);
            assertEq(amountAt(traces[all[i]], time), ownWei, "INV-TRACE: own");
            assertEq(
                accounts[all[i]].activeWei + accounts[all[i]].hiddenWei, ownWei, "INV-TRACE: own = active + hidden"
            );
            sum += ownWei;
            hidden += accounts[all[i]].hiddenWei;
        }
        uint256 totalWei = pool.totalStakeAt(time);
        assertEq(amountAt(totalTrace, time), totalWei, "INV-TRACE: total");
        vm.assertLe(totalWei, sum, "INV-TRACE: total <= sum of own");
        vm.assertLe(sum - hidden, totalWei, "INV-TRACE: sum of own - hidden <= total");
    }

    /// @dev A snapshot once past never changes.
    function checkPast() external view {
        // the oldest ones and the latest: what a wrong write would spoil
        for (uint256 i; i < pastTimes.length; ++i) {
            if (i > 3 && i + 4 < pastTimes.length) continue;
            assertEq(pasts[pastTimes[i]], pastOf(pastTimes[i]), "INV-TRACE: the past changed");
        }
    }

    function rememberPast() internal {
        uint40 time = uint40(block.timestamp) - 1;
        if (pasts[time] != 0) return;
        pastTimes.push(time);
        pasts[time] = pastOf(time);
    }

    function pastOf(uint40 time) private view returns (bytes32 hash) {
        hash = bytes32(pool.totalStakeAt(time));
        address[AUDITORS] memory all = auditors();
        for (uint256 i; i < AUDITORS; ++i) {
            hash = keccak256(abi.encode(hash, pool.stakeAt(all[i], time)));
        }
    }

    // ---------------------------------------------------------------- cases

    function checkCases() external view {
        for (uint256 i; i < caseIds.length; ++i) {
            checkCase(caseIds[i]);
        }
    }

    function checkCase(bytes32 caseId) private view {
        File storage file = files[caseId];
        Case memory case_ = pool.caseOf(caseId);
        assertEq(uint256(file.ruling), uint256(case_.ruling), "INV-RULING: by two thirds and a third");
        assertEq(file.attempt, case_.attempt, "INV-RULING: attempt");
        assertEq(file.filers.length, case_.filers, "INV-BOND: filers");
        assertEq(FILING, case_.bondWei, "INV-BOND: bond");
        assertEq(file.voteStart, case_.voteStart, "INV-VOTE: start");
        assertEq(file.snapshotAt, case_.snapshotAt, "INV-VOTE: snapshot");
        assertEq(file.filerPotWei, case_.filerPotWei, "INV-POT: filers");
        Tally memory tally = pool.tallyOf(caseId, file.attempt);
        assertEq(file.potWei, tally.potWei, "INV-POT: voters");
        assertEq(file.winnersWei, tally.winnersWei, "INV-POT: winners");
        if (file.winnersWei == 0) assertEq(0, file.potWei, "INV-POT: the last winner leaves nothing");
        if (file.ruling == Ruling.Falls) {
            assertTrue(
                file.subject == address(0) || struck[file.taskId][file.round][file.subject], "INV-RULING: struck"
            );
        }
    }

    // ---------------------------------------------------------------- phases and winners

    function checkCold() external {
        (, uint256 openTasks,) = market.counters();
        uint256 warm;
        for (uint256 taskId = 1; taskId <= tasks(); ++taskId) {
            (Phase phase,) = phaseOf(taskId);
            if (coldAs[taskId] != Phase.None) {
                assertEq(uint256(coldAs[taskId]), uint256(phase), "INV-COLD: a cold phase changed");
            }
            if (phase >= Phase.Settled) coldAs[taskId] = phase;
            else ++warm;
        }
        assertEq(warm, openTasks, "INV-OPEN: open tasks are the warm ones");
    }

    function checkWinners() external view {
        for (uint256 taskId = 1; taskId <= tasks(); ++taskId) {
            for (uint16 round; round < MAX_ROUNDS; ++round) {
                address miner = registry.winnerOf(taskId, round).miner;
                if (miner == address(0)) continue;
                Entry memory entry = market.entryOf(taskId, round, miner);
                assertTrue(entry.hasRevealed && entry.qualifies, "INV-WIN: a claim that does not qualify won");
                assertTrue(!entry.isStruck && !struck[taskId][round][miner], "INV-WIN: a struck claim won");
            }
        }
        checkDemands();
    }

    function checkDemands() private view {
        for (uint256 taskId = 1; taskId <= tasks(); ++taskId) {
            (Phase phase,) = phaseOf(taskId);
            if (phase >= Phase.Settled) assertEq(0, roundOf(taskId).openDemands, "INV-DEMAND: open at the end");
        }
        for (uint256 i; i < demanded.length; ++i) {
            Demanded storage asked = demanded[i];
            if (asked.demander == address(0) || struck[asked.taskId][asked.round][asked.miner]) continue;
            address leader = market.roundOf(asked.taskId, asked.round).leader;
            assertEq(asked.miner, leader, "INV-DEMAND: open against one that does not lead");
        }
    }

    // ---------------------------------------------------------------- exit

    /// @dev Ends everything with nothing but time, as a stranger; then everybody leaves.
    function checkExit() external {
        for (uint256 taskId = 1; taskId <= tasks(); ++taskId) {
            if (isEmptyTask[taskId]) continue;
            endByTime(taskId);
            for (uint16 round; round <= market.taskOf(taskId).round; ++round) {
                for (uint256 i; i < MINERS; ++i) {
                    doReclaim(taskId, round, minerOf(i));
                }
            }
        }
        for (uint256 i; i < demanded.length; ++i) {
            if (demanded[i].demander != address(0)) doCloseDemand(i);
        }
        for (uint256 i; i < caseIds.length; ++i) {
            if (!isEmptyCase[caseIds[i]]) collectAll(caseIds[i]);
        }
        assertEq(0, locksWei, "INV-EMPTY: locks");
        assertEq(0, bondsWei, "INV-EMPTY: bonds");
        assertEq(0, potsWei, "INV-EMPTY: pots");
        assertEq(0, demandsWei, "INV-EMPTY: demands");
        leaveAll();
        address[13] memory everybody = people();
        for (uint256 i; i < everybody.length; ++i) {
            withdrawAll(everybody[i]);
        }
        this.checkMoney();
        this.checkStakes();
        checkEmpty();
    }

    function endByTime(uint256 taskId) private {
        // a round has at most four claims to strike; two attempts at a vote on the test set and on each claim
        for (uint256 step; step < 80; ++step) {
            (Phase phase, bool due, uint40 endsAt) = market.phaseOf(taskId);
            if (phase >= Phase.Settled) return;
            if (due) {
                doAdvance(taskId);
            } else {
                assertTrue(endsAt > block.timestamp, "INV-EXIT: a phase waits for a time that is past");
                vm.warp(endsAt);
            }
        }
        assertTrue(false, "INV-EXIT: a task does not end by time");
    }

    function collectAll(bytes32 caseId) private {
        address[AUDITORS] memory all = auditors();
        for (uint8 attempt_; attempt_ < 2; ++attempt_) {
            for (uint256 i; i < AUDITORS; ++i) {
                doCollectVote(caseId, attempt_, all[i]);
                doRecoverVote(caseId, attempt_, all[i]);
            }
        }
        address[] memory filers = files[caseId].filers;
        for (uint256 i; i < filers.length; ++i) {
            doCollectBond(caseId, filers[i]);
        }
    }

    function leaveAll() private {
        doCollectFees();
        address[AUDITORS] memory all = auditors();
        for (uint256 i; i < AUDITORS; ++i) {
            doUnstake(all[i], accounts[all[i]].activeWei + accounts[all[i]].pendingWei);
            doClaimDividends(all[i]);
        }
        vm.warp(block.timestamp + UNBONDING);
        for (uint256 i; i < AUDITORS; ++i) {
            doFinishUnstake(all[i]);
        }
    }

    function withdrawAll(address account) private {
        if (account == rex) {
            doSendOnFromMarket(rex, keeper);
            doSendOnFromPool(rex, keeper);
        } else {
            doWithdrawFromMarket(account);
            doWithdrawFromPool(account);
        }
    }

    function checkEmpty() private view {
        (uint256 lockedWei, uint256 creditedWei) = market.liabilities();
        assertEq(0, lockedWei, "INV-EMPTY: market: locked");
        assertEq(0, creditedWei, "INV-EMPTY: market: credited");
        assertEq(marketForced, address(market).balance, "INV-EMPTY: market: balance");
        (lockedWei, creditedWei) = pool.liabilities();
        (, uint256 waitingWei) = pool.totals();
        assertEq(waitingWei, lockedWei, "INV-EMPTY: pool: only dividends that nobody earned are locked");
        assertEq(0, creditedWei, "INV-EMPTY: pool: credited");
        assertEq(poolForced + waitingWei, address(pool).balance, "INV-EMPTY: pool: balance");
    }
}
