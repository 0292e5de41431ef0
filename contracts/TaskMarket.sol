// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MarketRules} from "./MarketRules.sol";
import {IAuditorPool} from "./interfaces/IAuditorPool.sol";
import {ILedger} from "./interfaces/ILedger.sol";
import {IMarketRules} from "./interfaces/IMarketRules.sol";
import {IModelRegistry} from "./interfaces/IModelRegistry.sol";
import {ITaskMarket} from "./interfaces/ITaskMarket.sol";
import {BoundsLib} from "./libraries/BoundsLib.sol";
import {Errors} from "./libraries/Errors.sol";
import {LedgerLib} from "./libraries/LedgerLib.sol";
import {MerkleLib} from "./libraries/MerkleLib.sol";
import {PayoutLib} from "./libraries/PayoutLib.sol";
import {PhaseLib} from "./libraries/PhaseLib.sol";
import {ProofLib} from "./libraries/ProofLib.sol";
import {ScoreLib} from "./libraries/ScoreLib.sol";
import {
    Claim,
    Entry,
    Outcome,
    Params,
    Phase,
    Reason,
    Round,
    Ruling,
    Task,
    Terms,
    TestSet,
    TrainingProof,
    Vote
} from "./types/Task.sol";

/// @title TaskMarket
/// @notice Escrows bounties and deposits and runs the rounds of every task. Immutable: no owner, no proxy, no pause.
/// Assumes: block.timestamp plus any window fits uint40 (until the year 36,000).
contract TaskMarket is ITaskMarket {
    using LedgerLib for LedgerLib.Ledger;

    struct Counters {
        uint64 tasks; // posted so far; ids start at 1
        uint32 openTasks; // not yet cold
    }

    /// @inheritdoc ITaskMarket
    IModelRegistry public immutable registry;

    /// @inheritdoc ITaskMarket
    IMarketRules public immutable rules;

    uint16 private immutable FEE_BPS;
    uint32 private immutable FINALITY_GAP;
    uint32 private immutable VOTE_SECONDS;
    address private immutable POOL;
    uint256 private immutable CACHED_CHAIN_ID;
    bytes32 private immutable CACHED_DOMAIN_SEPARATOR;

    LedgerLib.Ledger private _ledger;
    Counters private _counters;
    mapping(uint256 taskId => Task) private _tasks;
    mapping(uint256 taskId => mapping(uint256 round => Round)) private _rounds;
    mapping(uint256 taskId => mapping(uint256 round => mapping(address miner => Entry))) private _entries;
    /// @dev Who revealed this model with the lowest commitSeq of the round so far (P-33).
    mapping(uint256 taskId => mapping(uint256 round => mapping(bytes32 modelHash => address))) private _owners;

    /// @param registry_ address the registry has or will get (precomputed from the deployer's nonce)
    constructor(Params memory params_, address registry_) {
        if (registry_ == address(0)) revert Errors.Market_ZeroAddress();
        registry = IModelRegistry(registry_);
        rules = new MarketRules(params_);
        FEE_BPS = params_.feeBps;
        FINALITY_GAP = params_.finalityGap;
        VOTE_SECONDS = params_.voteSeconds;
        POOL = params_.pool;
        CACHED_CHAIN_ID = block.chainid;
        CACHED_DOMAIN_SEPARATOR = ProofLib.domainSeparator(block.chainid, address(this));
    }

    // ---------------------------------------------------------------- POST

    /// @inheritdoc ITaskMarket
    function post(Terms calldata terms, bytes32[] calldata testCommitments) external payable returns (uint256 taskId) {
        // Check
        uint256 rounds = testCommitments.length;
        uint64 difficulty = rules.admit(terms, rounds, uint256(_counters.openTasks) + 1);
        _checkValue(uint256(terms.bountyWei) * rounds + terms.bondWei);
        // Effect
        taskId = ++_counters.tasks;
        ++_counters.openTasks;
        _ledger.lock(msg.value);
        bytes32 termsHash = ProofLib.termsHash(terms, testCommitments);
        Task storage task = _tasks[taskId];
        task.requester = msg.sender;
        task.rounds = uint8(rounds);
        task.trainSeconds = terms.trainSeconds;
        task.releaseSeconds = terms.releaseSeconds;
        task.bountyWei = terms.bountyWei;
        task.depositWei = terms.depositWei;
        task.revealSeconds = terms.revealSeconds;
        task.openSeconds = terms.openSeconds;
        task.bondWei = terms.bondWei;
        task.challengeSeconds = terms.challengeSeconds;
        task.minScorePpm = terms.minScorePpm;
        task.minGainPpm = terms.minGainPpm;
        task.tolerancePpm = terms.tolerancePpm;
        task.royaltyBps = terms.royaltyBps;
        task.difficulty = difficulty;
        task.postedAt = uint40(block.timestamp);
        task.termsHash = termsHash;
        // bounded by MAX_ROUNDS
        for (uint256 i; i < rounds; ++i) {
            _rounds[taskId][i].testCommitment = testCommitments[i];
        }
        _rounds[taskId][0].trainEnd = uint40(block.timestamp + terms.trainSeconds);
        emit TaskPosted(taskId, msg.sender, termsHash, difficulty, terms, testCommitments);
    }

    /// @inheritdoc ITaskMarket
    function cancel(uint256 taskId) external {
        (Task storage task, uint16 index, Round storage round) = _load(taskId);
        // Check
        _checkRequester(task);
        if (index != 0 || round.commits != 0) revert Errors.Market_AlreadyCommitted(taskId, round.commits);
        _checkPhase(task, round, Phase.Training);
        // Effect
        _end(task, Outcome.Cancelled);
        _refund(taskId, task, 0);
        emit TaskCancelled(taskId);
    }

    // ---------------------------------------------------------------- COMMIT

    /// @inheritdoc ITaskMarket
    function commit(uint256 taskId, uint16 index, bytes32 termsHash, bytes32 commitment, bytes32 recovery)
        external
        payable
    {
        (Task storage task, Round storage round) = _loadCurrent(taskId, index);
        Entry storage entry = _entry(taskId, index, msg.sender);
        // Check
        _checkPhase(task, round, Phase.Training);
        if (termsHash != task.termsHash) revert Errors.Market_WrongTerms(termsHash, task.termsHash);
        if (commitment == 0) revert Errors.Market_EmptyCommitment();
        bool isFirst = entry.commitSeq == 0;
        _checkValue(isFirst ? task.depositWei : 0);
        // Effect
        if (isFirst) {
            _ledger.lock(msg.value);
            ++round.commits;
            entry.holdsDeposit = true;
        }
        uint64 commitSeq = _ledger.nextCommitSeq();
        entry.commitSeq = commitSeq;
        entry.digest = commitment;
        emit ModelCommitted(taskId, index, msg.sender, commitment, commitSeq, recovery);
    }

    // ---------------------------------------------------------------- RELEASE

    /// @inheritdoc ITaskMarket
    function release(uint256 taskId, TestSet calldata testSet, bytes32 testKey) external {
        (Task storage task, uint16 index, Round storage round) = _load(taskId);
        // Check
        _checkRequester(task);
        _checkPhase(task, round, Phase.Releasing);
        uint256 earliest = uint256(round.trainEnd) + FINALITY_GAP;
        if (block.timestamp < earliest) revert Errors.Market_TooEarly(block.timestamp, earliest);
        rules.checkTestSet(testSet, testKey, round.testCommitment);
        // Effect
        uint40 revealEnd = uint40(block.timestamp + task.revealSeconds);
        round.revealEnd = revealEnd;
        round.samples = testSet.samples;
        round.maxSampleScore = testSet.maxSampleScore;
        round.classes = testSet.classes;
        round.metric = testSet.metric;
        emit TestSetReleased(taskId, index, testSet, testKey, revealEnd);
    }

    // ---------------------------------------------------------------- REVEAL

    /// @inheritdoc ITaskMarket
    function reveal(
        TrainingProof calldata proof,
        bytes32 salt,
        Claim calldata claim,
        bytes32 hTop,
        bytes calldata signature
    ) external {
        (Task storage task, Round storage round) = _loadCurrent(proof.taskId, proof.round);
        Entry storage entry = _entry(proof.taskId, proof.round, proof.miner);
        // Check
        _checkPhase(task, round, Phase.Revealing);
        bytes32 digest = proofDigest(proof);
        _checkOpensCommitment(entry, proof.miner, ProofLib.commitment(digest, salt));
        _checkClaim(round, proof.miner, digest, claim, hTop, signature);
        bool qualifies = _reachesScore(task, round, proof, claim.total);
        // Effect
        entry.digest = ProofLib.claimHash(digest, claim);
        entry.total = claim.total;
        entry.hasRevealed = true;
        ++round.reveals;
        // who is not eligible displaces nobody
        if (!_recordReveal(proof, entry.commitSeq)) qualifies = false;
        else if (!_takeOwnership(task, round, proof, entry.commitSeq)) qualifies = false;
        if (qualifies) {
            entry.qualifies = true;
            if (_beatsLeader(proof.taskId, proof.round, round, entry)) _lead(round, proof.miner, entry);
        }
        emit ClaimRevealed(proof.taskId, proof.round, proof.miner, proof, claim, salt, hTop, signature, qualifies);
    }

    /// @dev The registry is ours and calls nobody, so it may be asked amid the effects.
    /// @return isEligible whether the model and its parent let the claim win (P-31, P-33)
    function _recordReveal(TrainingProof calldata proof, uint64 commitSeq) private returns (bool isEligible) {
        return
            registry.recordReveal(proof.taskId, proof.round, proof.miner, commitSeq, proof.modelHash, proof.parentModel);
    }

    // ---------------------------------------------------------------- NOMINATE

    /// @inheritdoc ITaskMarket
    function nominate(uint256 taskId, address miner) external {
        (Task storage task, uint16 index, Round storage round) = _load(taskId);
        // Check
        _checkPhase(task, round, Phase.Nominating);
        Entry storage entry = _entry(taskId, index, miner);
        if (entry.commitSeq == 0) revert Errors.Market_NoEntry(miner);
        if (!entry.qualifies || entry.isStruck) revert Errors.Market_NotQualified(miner);
        if (!_beatsLeader(taskId, index, round, entry)) revert Errors.Market_NotBetter(miner, round.leader);
        // Effect
        _lead(round, miner, entry);
        emit ClaimNominated(taskId, index, miner);
    }

    // ---------------------------------------------------------------- OPEN

    /// @inheritdoc ITaskMarket
    function open(
        TrainingProof calldata proof,
        Claim calldata claim,
        bytes32 sealKey,
        bytes32 slotKey,
        bytes32[] calldata slotPath
    ) external {
        (Task storage task, Round storage round) = _loadCurrent(proof.taskId, proof.round);
        // Check
        _checkPhase(task, round, Phase.Opening);
        _checkLeader(round, proof.miner);
        bytes32 digest = proofDigest(proof);
        _checkRevealed(_entry(proof.taskId, proof.round, proof.miner), ProofLib.claimHash(digest, claim));
        _checkOpening(proof, sealKey, slotKey, slotPath);
        // Effect
        uint40 challengeEnd = uint40(block.timestamp + task.challengeSeconds);
        round.challengeEnd = challengeEnd;
        emit ModelOpened(proof.taskId, proof.round, proof.miner, sealKey, slotKey, slotPath, challengeEnd);
        // Interaction
        _recordOpening(proof, digest);
    }

    /// @dev The registry is ours and calls nobody.
    function _recordOpening(TrainingProof calldata proof, bytes32 digest) private {
        registry.recordOpening(
            proof.taskId, proof.round, proof.modelHash, digest, proof.watermarkRoot, proof.parentModel
        );
    }

    // ---------------------------------------------------------------- SETTLE, STRIKE, ABORT, VOID

    /// @inheritdoc ITaskMarket
    function advance(uint256 taskId) external {
        (Task storage task,, Round storage round) = _load(taskId);
        // Check
        (Phase phase, bool due, uint40 endsAt) = _phaseOf(task, round);
        if (!due) revert Errors.Market_NothingDue(taskId, phase, endsAt);
        if (round.openDemands != 0) _strikeLeader(taskId, task, round, Reason.Withheld);
        else if (phase == Phase.Challenge) _settle(taskId, task, round);
        else if (phase == Phase.Opening) _strikeLeader(taskId, task, round, Reason.Silent);
        else if (phase == Phase.VotingReveal) IAuditorPool(POOL).resolve(taskId); // which calls conclude
        else if (phase == Phase.Releasing) _abort(taskId, task, round);
        else _void(taskId, task, round); // Training without a commit; Revealing or Nominating without a leader
    }

    /// @dev Pays the winner, begins the next round or ends the task, appends the block (P-60, P-70).
    function _settle(uint256 taskId, Task storage task, Round storage round) private {
        // Check
        uint16 index = task.round;
        address miner = round.leader;
        address royaltyReceiver = registry.royaltyReceiver(taskId, index);
        (uint256 paidWei, uint256 feeWei, uint256 royaltyWei) =
            PayoutLib.settlement(task.bountyWei, FEE_BPS, task.royaltyBps, royaltyReceiver != address(0));
        // Effect
        if (index + 1 == task.rounds) {
            _end(task, Outcome.Settled);
            _ledger.credit(task.requester, task.bondWei, taskId);
        } else {
            task.round = uint8(index + 1);
            _rounds[taskId][index + 1].trainEnd = uint40(block.timestamp + task.trainSeconds);
        }
        _ledger.credit(miner, paidWei, taskId);
        _creditPool(feeWei + _unrevealedWei(task, round), taskId);
        _ledger.credit(royaltyReceiver, royaltyWei, taskId);
        emit RoundSettled(taskId, index, miner, paidWei, feeWei, royaltyWei);
        // Interaction: the registry is ours and calls nobody
        _appendBlock(taskId, index, task, round);
    }

    function _appendBlock(uint256 taskId, uint16 index, Task storage task, Round storage round) private {
        address miner = round.leader;
        uint64 total = round.leaderTotal;
        uint32 openTasks = _counters.openTasks;
        // a task with a further round is still counted, but this block did select it
        if (task.outcome == Outcome.None) --openTasks;
        registry.append(
            taskId,
            index,
            miner,
            _entry(taskId, index, miner).commitSeq,
            total,
            ScoreLib.scorePpmDown(total, round.samples, round.maxSampleScore),
            task.difficulty,
            openTasks
        );
    }

    /// @dev Takes the leader's lead and deposit. The whole deposit goes to the pool.
    function _strikeLeader(uint256 taskId, Task storage task, Round storage round, Reason reason) private {
        _strike(taskId, task, round, round.leader, reason);
        _creditPool(task.depositWei, taskId);
    }

    /// @dev Bars a claim from winning and takes its deposit, which the caller credits. If it led, whatever waited for it
    /// ends, and one opening window to nominate the next claim begins once reveals are over (P-43, P-51, P-58).
    function _strike(uint256 taskId, Task storage task, Round storage round, address miner, Reason reason) private {
        // Effect
        uint16 index = task.round;
        Entry storage entry = _entry(taskId, index, miner);
        entry.isStruck = true;
        entry.holdsDeposit = false;
        ++round.strikes;
        if (miner == round.leader) {
            round.leader = address(0);
            round.leaderTotal = 0;
            round.challengeEnd = 0;
            round.openDemands = 0;
            round.demandEnd = 0;
            // an impeachment is about the test set, not about this claim
            if (round.vote == Vote.Claim) _endVote(round);
            uint256 revealEnd = round.revealEnd;
            uint256 from = block.timestamp > revealEnd ? block.timestamp : revealEnd;
            round.nominateEnd = uint40(from + task.openSeconds);
        }
        emit ClaimStruck(taskId, index, miner, reason);
    }

    /// @dev The test set was not released or was impeached: the committers share half of the bond (P-21).
    /// @return restWei of the bond, credited to the pool
    function _abort(uint256 taskId, Task storage task, Round storage round) private returns (uint256 restWei) {
        (, restWei) = _abortion(task, round);
        // Effect
        _end(task, Outcome.Aborted);
        _ledger.credit(task.requester, _remainingBountyWei(task), taskId);
        _creditPool(restWei, taskId);
        emit TaskAborted(taskId, task.round);
    }

    /// @dev Nobody committed or no qualifying claim is left: bounty and bond go back, less the fee if a vote struck a
    /// leader (P-20).
    function _void(uint256 taskId, Task storage task, Round storage round) private {
        uint256 feeWei = round.isFeeDue ? PayoutLib.mulBpsDown(task.bountyWei, FEE_BPS) : 0;
        // Effect
        _end(task, Outcome.Void);
        _refund(taskId, task, feeWei);
        _creditPool(feeWei + _unrevealedWei(task, round), taskId);
        emit TaskVoided(taskId, task.round);
    }

    // ---------------------------------------------------------------- DISPUTE

    /// @inheritdoc ITaskMarket
    function callVote(uint256 taskId, Vote vote)
        external
        returns (uint16 index, address subject, uint40 voteStart, uint40 snapshotAt, uint256 bountyWei)
    {
        Task storage task;
        Round storage round;
        (task, index, round) = _load(taskId);
        // Check
        _checkPool();
        if (vote == Vote.TestSet) {
            _checkPhase(task, round, Phase.Revealing);
            voteStart = round.revealEnd;
            snapshotAt = voteStart - task.revealSeconds;
        } else {
            _checkInChallenge(task, round);
            subject = round.leader;
            voteStart = round.challengeEnd;
            snapshotAt = voteStart - task.challengeSeconds;
        }
        bountyWei = task.bountyWei;
        // Effect
        if (round.vote == Vote.None) {
            round.vote = vote;
            emit VoteCalled(taskId, index, vote, subject, voteStart);
        }
    }

    /// @inheritdoc ITaskMarket
    function conclude(uint256 taskId, Ruling ruling) external returns (uint256 potWei) {
        (Task storage task, uint16 index, Round storage round) = _load(taskId);
        // Check
        _checkPool();
        (Phase phase, bool due,) = _phaseOf(task, round);
        if (phase != Phase.VotingReveal || !due || round.openDemands != 0) {
            _revertWrongPhase(phase, due, Phase.VotingReveal);
        }
        if (ruling == Ruling.None) revert Errors.Market_BelowMinimum("ruling", 0, 1);
        // Effect
        Vote vote = round.vote;
        emit VoteConcluded(taskId, index, vote, ruling);
        if (ruling == Ruling.Repeat) {
            round.voteStart = uint40(block.timestamp);
        } else if (vote == Vote.TestSet) {
            if (ruling == Ruling.Falls) return _abort(taskId, task, round);
            _endVote(round);
            // Opening, or Nominating if a leader was displaced or struck, starts now
            round.nominateEnd = uint40(block.timestamp + (round.nominateEnd == 0 ? 0 : task.openSeconds));
        } else if (ruling == Ruling.Falls) {
            round.isFeeDue = true;
            _strikeLeader(taskId, task, round, Reason.Voted);
            return task.depositWei;
        } else {
            _endVote(round); // the claim is final: advance settles it
        }
    }

    /// @inheritdoc ITaskMarket
    function strike(uint256 taskId, uint16 index, address miner, address refuter) external {
        (Task storage task, uint16 current, Round storage round) = _load(taskId);
        // Check
        _checkPool();
        Entry storage entry = _entry(taskId, index, miner);
        // whoever qualifies has revealed
        if (index != current || task.outcome != Outcome.None || !entry.qualifies || entry.isStruck) {
            revert Errors.Market_NotStrikable(miner);
        }
        // Effect
        _strike(taskId, task, round, miner, Reason.Refuted);
        (uint256 refuterWei, uint256 restWei) = PayoutLib.refutation(task.depositWei);
        _ledger.credit(refuter, refuterWei, taskId);
        _creditPool(restWei, taskId);
    }

    /// @inheritdoc ITaskMarket
    function noteDemand(uint256 taskId, uint16 index, address miner) external returns (uint40 demandEnd) {
        (Task storage task, Round storage round) = _loadCurrent(taskId, index);
        // Check
        _checkPool();
        (Phase phase,,) = _phaseOf(task, round);
        if (phase == Phase.Opening) _checkPhase(task, round, Phase.Opening);
        else _checkInChallenge(task, round);
        _checkLeader(round, miner);
        uint16 openDemands = round.openDemands;
        if (openDemands == type(uint16).max) revert Errors.Market_TooManyDemands(type(uint16).max);
        // Effect
        demandEnd = _demandEnd(task);
        round.demandEnd = demandEnd;
        round.openDemands = openDemands + 1;
    }

    /// @inheritdoc ITaskMarket
    function noteAnswer(uint256 taskId, uint16 index, address miner) external {
        (Task storage task, Round storage round) = _loadCurrent(taskId, index);
        // Check
        _checkPool();
        _checkLeader(round, miner);
        uint16 openDemands = round.openDemands;
        if (openDemands == 0 || block.timestamp >= round.demandEnd) {
            (Phase phase, bool due,) = _phaseOf(task, round);
            _revertWrongPhase(phase, due, phase);
        }
        // Effect
        round.openDemands = openDemands - 1;
        // what was shown can be refuted for one window more before anything is settled
        if (openDemands == 1) round.demandEnd = _demandEnd(task);
    }

    // ---------------------------------------------------------------- WITHDRAW

    /// @inheritdoc ITaskMarket
    function reclaim(uint256 taskId, uint16 index, address miner) external {
        (Task storage task,,) = _load(taskId);
        Round storage round = _rounds[taskId][index];
        Entry storage entry = _entry(taskId, index, miner);
        // Check
        if (!entry.holdsDeposit) revert Errors.Market_NothingToReclaim(miner);
        bool isAborted = index == task.round && task.outcome == Outcome.Aborted;
        _checkDepositFree(task, round, entry, index, miner, isAborted);
        uint256 amountWei = task.depositWei;
        if (isAborted) {
            (uint256 shareWei,) = _abortion(task, round);
            amountWei += shareWei;
        }
        // Effect
        entry.holdsDeposit = false;
        _ledger.credit(miner, amountWei, taskId);
        emit DepositReclaimed(taskId, index, miner, amountWei);
    }

    /// @inheritdoc ILedger
    function withdraw(address account) external {
        _ledger.withdraw(account, account);
    }

    /// @inheritdoc ILedger
    function withdrawTo(address to) external {
        if (to == address(0)) revert Errors.Market_ZeroAddress();
        _ledger.withdraw(msg.sender, to);
    }

    // ---------------------------------------------------------------- views

    /// @inheritdoc ITaskMarket
    function phaseOf(uint256 taskId) external view returns (Phase phase, bool due, uint40 endsAt) {
        Task storage task = _tasks[taskId];
        return _phaseOf(task, _rounds[taskId][task.round]);
    }

    /// @inheritdoc ITaskMarket
    function taskOf(uint256 taskId) external view returns (Task memory) {
        return _tasks[taskId];
    }

    /// @inheritdoc ITaskMarket
    function roundOf(uint256 taskId, uint16 index) external view returns (Round memory) {
        return _rounds[taskId][index];
    }

    /// @inheritdoc ITaskMarket
    function entryOf(uint256 taskId, uint16 index, address miner) external view returns (Entry memory) {
        return _entry(taskId, index, miner);
    }

    /// @inheritdoc ILedger
    function creditOf(address account) external view returns (uint256 amountWei) {
        return _ledger.credits[account];
    }

    /// @inheritdoc ILedger
    function liabilities() external view returns (uint256 lockedWei, uint256 creditedWei) {
        return (_ledger.lockedWei, _ledger.creditedWei);
    }

    /// @inheritdoc ITaskMarket
    function counters() external view returns (uint256 tasks, uint256 openTasks, uint256 commits) {
        return (_counters.tasks, _counters.openTasks, _ledger.commitSeq);
    }

    /// @inheritdoc ITaskMarket
    function domainSeparator() public view returns (bytes32) {
        // a fork of the chain with a new id must not accept this chain's signatures
        return block.chainid == CACHED_CHAIN_ID
            ? CACHED_DOMAIN_SEPARATOR
            : ProofLib.domainSeparator(block.chainid, address(this));
    }

    /// @inheritdoc ITaskMarket
    function proofDigest(TrainingProof calldata proof) public view returns (bytes32) {
        return ProofLib.proofDigest(domainSeparator(), proof);
    }

    // ---------------------------------------------------------------- loads

    /// @return task an existing one
    /// @return index of its current round
    function _load(uint256 taskId) private view returns (Task storage task, uint16 index, Round storage round) {
        task = _tasks[taskId];
        if (task.requester == address(0)) revert Errors.Market_UnknownTask(taskId);
        index = task.round;
        round = _rounds[taskId][index];
    }

    /// @dev Callers that name a round must mean the current one.
    function _loadCurrent(uint256 taskId, uint16 given) private view returns (Task storage task, Round storage round) {
        uint16 index;
        (task, index, round) = _load(taskId);
        if (given != index) revert Errors.Market_WrongRound(given, index);
    }

    function _entry(uint256 taskId, uint256 index, address miner) private view returns (Entry storage) {
        return _entries[taskId][index][miner];
    }

    // ---------------------------------------------------------------- checks

    function _checkPhase(Task storage task, Round storage round, Phase expected) private view {
        (Phase phase, bool due,) = _phaseOf(task, round);
        if (phase != expected || due) _revertWrongPhase(phase, due, expected);
    }

    function _phaseOf(Task storage task, Round storage round) private view returns (Phase, bool, uint40) {
        return PhaseLib.phaseOf(task, round, block.timestamp, FINALITY_GAP, VOTE_SECONDS);
    }

    /// @dev Only the claim that is being challenged, and only until challengeEnd: a demand that keeps the phase from
    /// ending lets nobody else in.
    function _checkInChallenge(Task storage task, Round storage round) private view {
        _checkPhase(task, round, Phase.Challenge);
        if (block.timestamp >= round.challengeEnd) {
            _revertWrongPhase(Phase.Challenge, true, Phase.Challenge);
        }
    }

    function _revertWrongPhase(Phase phase, bool due, Phase expected) private pure {
        revert Errors.Market_WrongPhase(phase, due, expected);
    }

    function _checkPool() private view {
        if (msg.sender != POOL) revert Errors.Market_NotPool(msg.sender, POOL);
    }

    function _checkLeader(Round storage round, address miner) private view {
        if (miner != round.leader) revert Errors.Market_NotLeader(miner, round.leader);
    }

    function _checkRequester(Task storage task) private view {
        if (msg.sender != task.requester) revert Errors.Market_NotRequester(msg.sender, task.requester);
    }

    function _checkValue(uint256 expected) private view {
        if (msg.value != expected) revert Errors.Market_WrongValue(msg.value, expected);
    }

    function _checkOpensCommitment(Entry storage entry, address miner, bytes32 given) private view {
        if (entry.commitSeq == 0) revert Errors.Market_NoEntry(miner);
        if (entry.hasRevealed) revert Errors.Market_AlreadyRevealed(miner);
        if (given != entry.digest) revert Errors.Market_WrongCommitment(given, entry.digest);
    }

    function _checkClaim(
        Round storage round,
        address miner,
        bytes32 digest,
        Claim calldata claim,
        bytes32 hTop,
        bytes calldata signature
    ) private view {
        rules.checkClaim(domainSeparator(), digest, claim, hTop, round.samples, round.maxSampleScore, miner, signature);
    }

    function _checkRevealed(Entry storage entry, bytes32 given) private view {
        if (given != entry.digest) revert Errors.Market_WrongClaim(given, entry.digest);
    }

    function _checkOpening(TrainingProof calldata proof, bytes32 sealKey, bytes32 slotKey, bytes32[] calldata slotPath)
        private
        pure
    {
        bytes32 sealKeyHash = keccak256(abi.encode(sealKey));
        if (sealKeyHash != proof.sealKeyHash) revert Errors.Market_WrongSealKey(sealKeyHash, proof.sealKeyHash);
        BoundsLib.checkSlotPath(slotPath);
        bytes32 root = MerkleLib.slotRoot(slotKey, 0, slotPath);
        if (root != proof.watermarkRoot) revert Errors.Market_WrongSlotPath(root, proof.watermarkRoot);
    }

    function _checkDepositFree(
        Task storage task,
        Round storage round,
        Entry storage entry,
        uint16 index,
        address miner,
        bool isAborted
    ) private view {
        if (PhaseLib.isCold(task, index)) {
            // what was never revealed went to the pool when the round went cold
            if (!entry.hasRevealed && !isAborted) revert Errors.Market_NothingToReclaim(miner);
        } else if (!entry.hasRevealed || entry.qualifies) {
            revert Errors.Market_DepositLocked(miner, 0);
        } else if (block.timestamp < round.revealEnd) {
            revert Errors.Market_DepositLocked(miner, round.revealEnd);
        } else if (round.vote == Vote.TestSet) {
            // if the impeachment is upheld, a share of the bond comes with it
            revert Errors.Market_DepositLocked(miner, 0);
        }
    }

    // ---------------------------------------------------------------- rules

    /// @dev The minimum score and, in later rounds, the gain over the previous winner (P-42).
    function _reachesScore(Task storage task, Round storage round, TrainingProof calldata proof, uint256 total)
        private
        view
        returns (bool)
    {
        uint256 required = task.minScorePpm;
        if (proof.round != 0) {
            Round storage previous = _rounds[proof.taskId][proof.round - 1];
            uint256 previousPpm = ScoreLib.scorePpmDown(previous.leaderTotal, previous.samples, previous.maxSampleScore);
            required = ScoreLib.requiredPpm(required, previousPpm, task.minGainPpm);
        }
        return ScoreLib.reaches(total, required, round.samples, round.maxSampleScore);
    }

    /// @dev Makes the miner owner of its model in this round unless an earlier commit is. The owner before it no longer qualifies;
    /// if that one led, claims that it kept from leading can be nominated once reveals are over (P-33).
    function _takeOwnership(Task storage task, Round storage round, TrainingProof calldata proof, uint64 commitSeq)
        private
        returns (bool)
    {
        mapping(bytes32 modelHash => address) storage owners = _owners[proof.taskId][proof.round];
        address owner = owners[proof.modelHash];
        if (owner != address(0)) {
            Entry storage displaced = _entry(proof.taskId, proof.round, owner);
            if (displaced.commitSeq < commitSeq) return false;
            displaced.qualifies = false;
            if (round.leader == owner) {
                round.leader = address(0);
                round.leaderTotal = 0;
                round.nominateEnd = round.revealEnd + task.openSeconds;
            }
            emit ClaimDisplaced(proof.taskId, proof.round, owner, proof.miner);
        }
        owners[proof.modelHash] = proof.miner;
        return true;
    }

    function _beatsLeader(uint256 taskId, uint16 index, Round storage round, Entry storage entry)
        private
        view
        returns (bool)
    {
        address leader = round.leader;
        if (leader == address(0)) return true;
        return ScoreLib.beats(entry.total, entry.commitSeq, round.leaderTotal, _entry(taskId, index, leader).commitSeq);
    }

    function _lead(Round storage round, address miner, Entry storage entry) private {
        round.leader = miner;
        round.leaderTotal = entry.total;
    }

    function _end(Task storage task, Outcome outcome) private {
        task.outcome = outcome;
        --_counters.openTasks;
    }

    function _creditPool(uint256 amountWei, uint256 taskId) private {
        _ledger.credit(POOL, amountWei, taskId);
    }

    /// @dev An opening window, and at most half of a vote: so that neither an answer nor its refutation can hold up a
    /// verdict.
    function _demandEnd(Task storage task) private view returns (uint40) {
        uint256 window = task.openSeconds;
        return uint40(block.timestamp + (window < VOTE_SECONDS ? window : VOTE_SECONDS));
    }

    function _endVote(Round storage round) private {
        round.vote = Vote.None;
        round.voteStart = 0;
    }

    /// @dev What is left of the bounty, and the bond, less a fee.
    function _refund(uint256 taskId, Task storage task, uint256 feeWei) private {
        _ledger.credit(task.requester, _remainingBountyWei(task) + task.bondWei - feeWei, taskId);
    }

    function _remainingBountyWei(Task storage task) private view returns (uint256) {
        return uint256(task.bountyWei) * (task.rounds - task.round);
    }

    /// @dev Who was struck has no share in the bond (P-21).
    function _abortion(Task storage task, Round storage round)
        private
        view
        returns (uint256 shareWei, uint256 restWei)
    {
        return PayoutLib.abortion(task.bondWei, round.commits - round.strikes);
    }

    function _unrevealedWei(Task storage task, Round storage round) private view returns (uint256) {
        return PayoutLib.unrevealed(task.depositWei, round.commits, round.reveals);
    }
}
