// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AuditorPool} from "../../contracts/AuditorPool.sol";
import {Entry, Outcome, Phase, Round, Ruling, Stake, Task, Verdict} from "../../contracts/types/Task.sol";
import {PoolPlayerMarket} from "./PoolPlayerMarket.sol";

/// @title PoolPlayerVotes
/// @dev Every call of the pool, at any time, with what the rules say about it and what it does to the books.
abstract contract PoolPlayerVotes is PoolPlayerMarket {
    // ---------------------------------------------------------------- stakes

    function doStake(address auditor, uint256 amountWei) internal {
        Account storage account = accounts[auditor];
        bool isReady = account.pendingWei != 0 && block.timestamp >= account.readyAt;
        bool isAllowed = amountWei != 0;
        if (isAllowed && isReady) activated(auditor);
        if (!attemptPool(auditor, amountWei, abi.encodeCall(AuditorPool.stake, ()), isAllowed, "stake")) return;
        account.stakedWei += amountWei;
        account.pendingWei += amountWei;
        account.readyAt = uint40(block.timestamp) + ACTIVATION;
    }

    function doActivate(address auditor) internal {
        Account storage account = accounts[auditor];
        bool isAllowed = account.pendingWei != 0 && block.timestamp >= account.readyAt;
        if (isAllowed) activated(auditor);
        attemptPool(keeper, 0, abi.encodeCall(AuditorPool.activate, auditor), isAllowed, "activate");
    }

    function doUnstake(address auditor, uint256 amountWei) internal {
        Account storage account = accounts[auditor];
        bool isAllowed = amountWei != 0 && amountWei <= account.pendingWei + account.activeWei;
        bytes memory data = abi.encodeCall(AuditorPool.unstake, amountWei);
        if (!attemptPool(auditor, 0, data, isAllowed, "unstake")) return;
        account.unbondingWei += amountWei;
        account.freeAt = uint40(block.timestamp) + UNBONDING;
        uint256 fromPending = amountWei < account.pendingWei ? amountWei : account.pendingWei;
        account.pendingWei -= fromPending;
        if (fromPending == amountWei) return;
        account.activeWei -= amountWei - fromPending;
        note(auditor);
    }

    function doFinishUnstake(address auditor) internal {
        Account storage account = accounts[auditor];
        bool isAllowed = account.unbondingWei != 0 && block.timestamp >= account.freeAt;
        bytes memory data = abi.encodeCall(AuditorPool.finishUnstake, auditor);
        if (!attemptPool(keeper, 0, data, isAllowed, "finishUnstake")) return;
        account.finishedWei += account.unbondingWei;
        owedWei[auditor] += account.unbondingWei;
        account.unbondingWei = 0;
    }

    function doCollectFees() internal {
        attemptPool(keeper, 0, abi.encodeCall(AuditorPool.collectFees, ()), true, "collectFees");
        ++activations;
    }

    function doClaimDividends(address auditor) internal {
        Account storage account = accounts[auditor];
        (uint256 accruedWei,,) = pool.dividendOf(auditor);
        uint256 votes = votesSince(account.countedFrom);
        uint256 paidWei = accruedWei;
        if (account.ballots < votes) paidWei = accruedWei * account.ballots / votes;
        bytes memory data = abi.encodeCall(AuditorPool.claimDividends, ());
        if (!attemptPool(auditor, 0, data, accruedWei != 0, "claimDividends")) return;
        owedWei[auditor] += paidWei;
        assertEq(owedWei[auditor], pool.creditOf(auditor), "INV-DIVIDEND: paid by participation");
        dividendsWei += paidWei;
        account.ballots = 0;
        if (account.countedFrom < block.timestamp) account.countedFrom = uint40(block.timestamp);
        ++activations;
        if (paidWei < accruedWei) ++counts["dividends cut"];
    }

    // ---------------------------------------------------------------- disputes

    function doImpeach(uint256 taskId, address filer) internal {
        (Phase phase, bool due) = phaseOf(taskId);
        bytes32 caseId = pool.caseIdOf(taskId, market.taskOf(taskId).round, address(0));
        bool isAllowed = phase == Phase.Revealing && !due && !isFiler[caseId][filer];
        bytes memory data = abi.encodeCall(AuditorPool.impeach, (taskId, "evidence"));
        if (!attemptPool(filer, FILING, data, isAllowed, "impeach")) return;
        filed(caseId, taskId, address(0), roundOf(taskId).revealEnd, REVEAL);
        addFiler(caseId, filer);
    }

    function doDispute(uint256 taskId, address filer, uint256 grounds, uint40 sample) internal {
        Round memory facts = roundOf(taskId);
        bytes32 caseId = pool.caseIdOf(taskId, market.taskOf(taskId).round, facts.leader);
        bool hasSamples = grounds & 64 != 0;
        bool isWellFormed = grounds != 0 && grounds < 128;
        bool isAllowed = isWellFormed && canDispute(taskId, facts) && !isFiler[caseId][filer];
        uint40[] memory samples = new uint40[](hasSamples ? 1 : 0);
        if (hasSamples) samples[0] = sample;
        bytes memory data = abi.encodeCall(AuditorPool.dispute, (taskId, uint16(grounds), "evidence", samples));
        if (!attemptPool(filer, FILING, data, isAllowed, "dispute")) return;
        filed(caseId, taskId, facts.leader, facts.challengeEnd, CHALLENGE);
        addFiler(caseId, filer);
    }

    function canDispute(uint256 taskId, Round memory facts) private view returns (bool) {
        (Phase phase, bool due) = phaseOf(taskId);
        return phase == Phase.Challenge && !due && block.timestamp < facts.challengeEnd;
    }

    function filed(bytes32 caseId, uint256 taskId, address subject, uint40 voteStart, uint40 window) private {
        File storage file = files[caseId];
        if (file.filers.length != 0) return;
        caseIds.push(caseId);
        file.taskId = taskId;
        file.round = market.taskOf(taskId).round;
        file.subject = subject;
        file.voteStart = voteStart;
        file.snapshotAt = voteStart - window;
    }

    function addFiler(bytes32 caseId, address filer) private {
        files[caseId].filers.push(filer);
        isFiler[caseId][filer] = true;
        bondsWei += FILING;
    }

    // ---------------------------------------------------------------- votes

    /// @param author another voter, whose ballot is copied; or the voter itself
    function doCommitVote(bytes32 caseId, address voter, address author, Verdict verdict, bytes32 salt) internal {
        uint8 attempt_ = files[caseId].attempt;
        uint256 lockWei = expectedLock(caseId, voter);
        bytes32 ballot =
            author == voter ? sealOf(caseId, voter, verdict, salt) : ballots[caseId][attempt_][author].ballot;
        (uint256 start, uint256 middle,) = windowsOf(caseId);
        bool isAllowed = block.timestamp >= start && block.timestamp < middle && lockWei != 0 && ballot != 0
            && ballots[caseId][attempt_][voter].state == Ballot.None;
        bytes memory data = abi.encodeCall(AuditorPool.commitVote, (caseId, ballot));
        string memory name = author == voter ? "commitVote" : "commitVote (copied)";
        if (!attemptPool(voter, 0, data, isAllowed, name)) return;
        ballots[caseId][attempt_][voter] = Sealed(Ballot.Sealed, verdict, lockWei, salt, ballot, author);
        locked(voter, lockWei);
        assertEq(accounts[voter].activeWei, pool.stakeOf(voter).activeWei, "INV-WEIGHT: not lockBps of the weight");
    }

    /// @dev Of the stake at the snapshot or now, whichever is less; what came later has no weight.
    function expectedLock(bytes32 caseId, address voter) private view returns (uint256) {
        uint256 weightWei = amountAt(traces[voter], files[caseId].snapshotAt);
        uint256 activeWei = accounts[voter].activeWei;
        return (activeWei < weightWei ? activeWei : weightWei) * LOCK_BPS / 1e4;
    }

    function locked(address voter, uint256 lockWei) private {
        Account storage account = accounts[voter];
        account.activeWei -= lockWei;
        account.lockedWei += lockWei;
        account.hiddenWei += lockWei;
        locksWei += lockWei;
        ++activations;
    }

    /// @dev Written out, so that it does not agree with the contract by construction.
    function sealOf(bytes32 caseId, address voter, Verdict verdict, bytes32 salt) private view returns (bytes32) {
        bytes32 disputeId = keccak256(abi.encode(caseId, uint256(files[caseId].attempt)));
        return keccak256(abi.encode(address(pool), disputeId, voter, uint256(verdict), salt));
    }

    function doRevealVote(bytes32 caseId, address voter) internal {
        Sealed storage stored = ballots[caseId][files[caseId].attempt][voter];
        (, uint256 middle, uint256 end) = windowsOf(caseId);
        bool isOpen = block.timestamp >= middle && block.timestamp < end;
        bool isAllowed = isOpen && stored.state == Ballot.Sealed && stored.author == voter;
        if (isAllowed) {
            Sealed memory other = stored;
            other.verdict = stored.verdict == Verdict.Stands ? Verdict.Falls : Verdict.Stands;
            sendBallot(caseId, voter, other, false, "another verdict");
            other = stored;
            ++other.lockWei;
            sendBallot(caseId, voter, other, false, "another lock");
        }
        if (!sendBallot(caseId, voter, stored, isAllowed, "revealVote")) return;
        stored.state = Ballot.Opened;
        sendBallot(caseId, voter, stored, false, "a ballot opened twice");
    }

    function sendBallot(bytes32 caseId, address voter, Sealed memory ballot, bool isAllowed, string memory name)
        private
        returns (bool)
    {
        bytes memory data =
            abi.encodeCall(AuditorPool.revealVote, (caseId, voter, ballot.verdict, ballot.lockWei, ballot.salt));
        return attemptPool(keeper, 0, data, isAllowed, name);
    }

    function doResolve(uint256 taskId) internal {
        Before memory before = beforeAdvance(taskId);
        advanced(before, address(pool), abi.encodeCall(AuditorPool.resolve, taskId), before.isVote, "resolve");
    }

    /// @dev P-54 and P-55, in the books.
    function resolved(bytes32 caseId, Ruling ruling, uint256 grantedWei, address defendant) internal override {
        File storage file = files[caseId];
        uint8 attempt_ = file.attempt;
        uint256[4] memory locks = tallied(caseId);
        loseSealed(caseId, attempt_);
        unopenedWei += locks[0];
        locksWei -= locks[0];
        if (attempt_ == 0 && ruling != Ruling.Repeat && block.timestamp <= file.snapshotAt + UNBONDING) {
            voteTimes.push(uint40(block.timestamp));
        }
        if (ruling == Ruling.Repeat) {
            ++counts["ruling: Repeat"];
            file.attempt = 1;
            file.voteStart = uint40(block.timestamp);
            return;
        }
        file.ruling = ruling;
        uint256 bonds = FILING * file.filers.length;
        if (ruling == Ruling.Falls) {
            ++counts[file.subject == address(0) ? "ruling: Falls (test set)" : "ruling: Falls"];
            forfeitWei += grantedWei;
            file.filerPotWei = file.subject == address(0) ? 0 : grantedWei / 3;
            file.filersLeft = file.filers.length;
            file.potWei = grantedWei - file.filerPotWei + locks[uint256(Verdict.Stands)];
            file.winnersWei = locks[uint256(Verdict.Falls)] + locks[uint256(Verdict.Unavailable)];
            locksWei -= locks[uint256(Verdict.Stands)];
        } else if (ruling == Ruling.Stands) {
            ++counts[file.subject == address(0) ? "ruling: Stands (test set)" : "ruling: Stands"];
            file.potWei = bonds - bonds / 2 + locks[uint256(Verdict.Falls)];
            file.winnersWei = locks[uint256(Verdict.Stands)];
            locksWei -= locks[uint256(Verdict.Falls)];
            bondsWei -= bonds;
            owedWei[defendant] += bonds / 2;
        } else if (ruling == Ruling.NoQuorum) {
            ++counts["ruling: NoQuorum"];
            uint256 toLeaderWei = file.subject == address(0) ? 0 : FILING / 10 * file.filers.length;
            bondsWei -= toLeaderWei;
            owedWei[defendant] += toLeaderWei;
        } else {
            ++counts["ruling: Split"];
        }
        potsWei += file.potWei + file.filerPotWei;
        takeFromLosers(caseId, attempt_, ruling);
    }

    function loseSealed(bytes32 caseId, uint8 attempt_) private {
        address[AUDITORS] memory all = auditors();
        for (uint256 i; i < AUDITORS; ++i) {
            Sealed storage ballot = ballots[caseId][attempt_][all[i]];
            if (ballot.state != Ballot.Sealed) continue;
            ballot.state = Ballot.Gone;
            slash(all[i], ballot.lockWei);
            ++counts["ballot not opened"];
        }
    }

    /// @dev They keep their ballots, which count as votes when they are collected.
    function takeFromLosers(bytes32 caseId, uint8 attempt_, Ruling ruling) private {
        address[AUDITORS] memory all = auditors();
        for (uint256 i; i < AUDITORS; ++i) {
            Sealed storage ballot = ballots[caseId][attempt_][all[i]];
            if (ballot.state == Ballot.Opened && isLoser(ruling, ballot.verdict)) slash(all[i], ballot.lockWei);
        }
    }

    function slash(address auditor, uint256 lockWei) private {
        accounts[auditor].lockedWei -= lockWei;
        accounts[auditor].slashedWei += lockWei;
    }

    function isLoser(Ruling ruling, Verdict verdict) private pure returns (bool) {
        return
            (ruling == Ruling.Falls && verdict == Verdict.Stands)
                || (ruling == Ruling.Stands && verdict == Verdict.Falls);
    }

    function isWinner(Ruling ruling, Verdict verdict) private pure returns (bool) {
        return
            (ruling == Ruling.Falls && verdict != Verdict.Stands)
                || (ruling == Ruling.Stands && verdict == Verdict.Stands);
    }

    // ---------------------------------------------------------------- collecting

    function doCollectVote(bytes32 caseId, uint8 attempt_, address voter) internal {
        File storage file = files[caseId];
        Sealed storage stored = ballots[caseId][attempt_][voter];
        Ruling ruling = rulingOf(caseId, attempt_);
        bool isAllowed = stored.state == Ballot.Opened && (ruling != Ruling.None || isMoot(caseId));
        uint256 shareWei;
        if (isAllowed && isWinner(ruling, stored.verdict)) shareWei = takeShare(file, stored.lockWei);
        bytes memory data = abi.encodeCall(AuditorPool.collectVote, (caseId, attempt_, voter));
        string memory name = ruling == Ruling.None ? "collectVote (moot)" : "collectVote";
        if (!attemptPool(keeper, 0, data, isAllowed, name)) return;
        owedWei[voter] += shareWei;
        assertEq(owedWei[voter], pool.creditOf(voter), "INV-POT: a winner's share");
        stored.state = ruling == Ruling.None ? Ballot.None : Ballot.Gone;
        bool hasCounted = attempt_ == 0 && ruling != Ruling.None && ruling != Ruling.Repeat;
        if (hasCounted) ++accounts[voter].ballots;
        if (isLoser(ruling, stored.verdict)) return;
        uint256 lostWei;
        if (ruling == Ruling.Stands && stored.verdict == Verdict.Unavailable) lostWei = stored.lockWei / 10;
        if (lostWei != 0) {
            ++counts["Unavailable lost"];
            slash(voter, lostWei);
            locksWei -= lostWei;
            unopenedWei += lostWei;
        }
        unlocked(voter, stored.lockWei - lostWei);
    }

    function takeShare(File storage file, uint256 lockWei) private returns (uint256 shareWei) {
        shareWei = file.potWei * lockWei / file.winnersWei;
        file.potWei -= shareWei;
        file.winnersWei -= lockWei;
        potsWei -= shareWei;
    }

    function unlocked(address voter, uint256 lockWei) private {
        locksWei -= lockWei;
        accounts[voter].lockedWei -= lockWei;
        accounts[voter].activeWei += lockWei;
        note(voter);
    }

    function doRecoverVote(bytes32 caseId, uint8 attempt_, address voter) internal {
        Sealed storage stored = ballots[caseId][attempt_][voter];
        bool isAllowed = stored.state == Ballot.Sealed && rulingOf(caseId, attempt_) == Ruling.None && isMoot(caseId);
        bytes memory data =
            abi.encodeCall(AuditorPool.recoverVote, (caseId, attempt_, voter, stored.ballot, stored.lockWei));
        if (!attemptPool(keeper, 0, data, isAllowed, "recoverVote")) return;
        stored.state = Ballot.None; // as if it had never been cast; another one is as idle, and comes back as well
        unlocked(voter, stored.lockWei);
    }

    function doCollectBond(bytes32 caseId, address filer) internal {
        File storage file = files[caseId];
        bool isEnded = file.ruling == Ruling.None ? isMoot(caseId) : file.ruling != Ruling.Stands;
        bool isAllowed = isFiler[caseId][filer] && isEnded && !isBondGone[caseId][filer];
        uint256 bondWei = FILING;
        if (file.ruling == Ruling.NoQuorum && file.subject != address(0)) bondWei -= FILING / 10;
        uint256 shareWei = file.ruling == Ruling.Falls && isAllowed ? file.filerPotWei / file.filersLeft : 0;
        bytes memory data = abi.encodeCall(AuditorPool.collectBond, (caseId, filer));
        if (!attemptPool(keeper, 0, data, isAllowed, "collectBond")) return;
        owedWei[filer] += bondWei + shareWei;
        assertEq(owedWei[filer], pool.creditOf(filer), "INV-BOND: a filer's bond and share");
        isBondGone[caseId][filer] = true;
        bondsWei -= bondWei;
        if (file.ruling != Ruling.Falls) return;
        potsWei -= shareWei;
        file.filerPotWei -= shareWei;
        --file.filersLeft;
    }

    // ---------------------------------------------------------------- refutations and demands

    /// @dev With the fault that was planted, or with any sample of an honest claim, which has none.
    function doRefute(uint256 taskId, address miner, address refuter, uint256 sample) internal {
        Task memory task = market.taskOf(taskId);
        Plan memory plan = plans[taskId][task.round][miner];
        if (plan.lie != Lie.None) sample = liedAbout(plan);
        bool isLeader = roundOf(taskId).leader == miner;
        uint256 before = market.creditOf(refuter);
        bytes memory data = refutation(planned(taskId, task.round, miner), plan, sample);
        if (!attemptPool(refuter, 0, data, isRefutable(task, taskId, miner, plan.lie), "refute")) return;
        assertEq(PLEDGE / 3, market.creditOf(refuter) - before, "INV-STRIKE: a third is the refuter's");
        earnedWei += PLEDGE - PLEDGE / 3;
        markStruck(taskId, task.round, miner);
        if (isLeader) ++counts["refute a leader"];
    }

    function isRefutable(Task memory task, uint256 taskId, address miner, Lie lie) private view returns (bool) {
        Entry memory stored = market.entryOf(taskId, task.round, miner);
        bool isProvable = lie != Lie.None && (lie != Lie.Score || !isUnusable[taskId]);
        return isProvable && task.outcome == Outcome.None && stored.qualifies && !stored.isStruck;
    }

    function refutation(Work memory entry, Plan memory plan, uint256 sample) private view returns (bytes memory) {
        uint16 round = entry.proof.round;
        return abi.encodeCall(
            AuditorPool.refute,
            (
                refOf(entry),
                sample,
                leafOf(plan, round, sample),
                pathOf(entry, plan, sample),
                labelProof(round, !isUnusable[entry.proof.taskId], sample % N)
            )
        );
    }

    function doDemand(uint256 taskId, address miner, address demander, uint256 sample) internal {
        (Phase phase, bool due) = phaseOf(taskId);
        uint16 round = market.taskOf(taskId).round;
        Round memory facts = market.roundOf(taskId, round);
        bool isInTime = phase == Phase.Opening || (phase == Phase.Challenge && block.timestamp < facts.challengeEnd);
        bool isOpen = pool.demandOf(taskId, round, miner, sample) != address(0);
        bool isAllowed = isInTime && !due && facts.leader == miner && miner != address(0) && sample < N && !isOpen;
        Work memory entry = planned(taskId, round, miner);
        bytes memory data = abi.encodeCall(AuditorPool.demand, (refOf(entry), sample));
        if (!attemptPool(demander, DEMAND_BOND, data, isAllowed, "demand")) return;
        demandsWei += DEMAND_BOND;
        asked(taskId, round, miner, sample).demander = demander;
    }

    /// @dev The same leaf can be demanded again once it was shown.
    function asked(uint256 taskId, uint16 round, address miner, uint256 sample) private returns (Demanded storage) {
        for (uint256 i; i < demanded.length; ++i) {
            Demanded storage found = demanded[i];
            bool isSame = found.taskId == taskId && found.round == round && found.miner == miner;
            if (isSame && found.sample == sample) return found;
        }
        demanded.push(Demanded(taskId, round, miner, sample, address(0)));
        return demanded[demanded.length - 1];
    }

    function doAnswer(uint256 number) internal {
        Demanded storage demand = demanded[number];
        Task memory task = market.taskOf(demand.taskId);
        Round memory facts = market.roundOf(demand.taskId, demand.round);
        bool isAllowed = demand.demander != address(0) && task.round == demand.round && facts.leader == demand.miner
            && block.timestamp < facts.demandEnd;
        Plan memory plan = plans[demand.taskId][demand.round][demand.miner];
        Work memory entry = planned(demand.taskId, demand.round, demand.miner);
        bytes memory data = abi.encodeCall(
            AuditorPool.answer,
            (refOf(entry), demand.sample, leafOf(plan, demand.round, demand.sample), pathOf(entry, plan, demand.sample))
        );
        if (!attemptPool(keeper, 0, data, isAllowed, "answer")) return;
        owedWei[keeper] += DEMAND_BOND;
        demand.demander = address(0);
        demandsWei -= DEMAND_BOND;
    }

    function doCloseDemand(uint256 number) internal {
        Demanded storage demand = demanded[number];
        bool isAllowed = demand.demander != address(0) && struck[demand.taskId][demand.round][demand.miner];
        bytes memory data =
            abi.encodeCall(AuditorPool.closeDemand, (demand.taskId, demand.round, demand.miner, demand.sample));
        if (!attemptPool(keeper, 0, data, isAllowed, "closeDemand")) return;
        owedWei[demand.demander] += DEMAND_BOND;
        assertEq(owedWei[demand.demander], pool.creditOf(demand.demander), "INV-DEMAND: a demander's bond");
        demand.demander = address(0);
        demandsWei -= DEMAND_BOND;
    }

    // ---------------------------------------------------------------- withdrawing

    function doWithdrawFromPool(address account) internal {
        uint256 amountWei = pool.creditOf(account);
        uint256 before = account.balance;
        bytes memory data = abi.encodeCall(AuditorPool.withdraw, account);
        if (!attemptPool(keeper, 0, data, amountWei != 0 && account != rex, "withdraw from the pool")) return;
        assertEq(amountWei, account.balance - before, "INV-ONCE: the pool pays a credit in full");
        assertEq(0, pool.creditOf(account), "INV-ONCE: the pool keeps a credit it paid");
        poolOut += amountWei;
        owedWei[account] = 0;
    }

    /// @dev Whoever takes no ether sends it on.
    function doSendOnFromPool(address account, address to) internal {
        uint256 amountWei = pool.creditOf(account);
        uint256 before = to.balance;
        bytes memory data = abi.encodeCall(AuditorPool.withdrawTo, to);
        if (!attemptPool(account, 0, data, amountWei != 0 && to != rex, "send on from the pool")) return;
        assertEq(amountWei, to.balance - before, "INV-ONCE: the pool pays a credit in full");
        poolOut += amountWei;
        owedWei[account] = 0;
    }
}
