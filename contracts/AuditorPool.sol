// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PoolRules} from "./PoolRules.sol";
import {IAuditorPool} from "./interfaces/IAuditorPool.sol";
import {ILedger} from "./interfaces/ILedger.sol";
import {IPoolRules} from "./interfaces/IPoolRules.sol";
import {ITaskMarket} from "./interfaces/ITaskMarket.sol";
import {BallotLib} from "./libraries/BallotLib.sol";
import {Errors} from "./libraries/Errors.sol";
import {LedgerLib} from "./libraries/LedgerLib.sol";
import {SnapshotLib} from "./libraries/SnapshotLib.sol";
import {StakeLib} from "./libraries/StakeLib.sol";
import {TallyLib} from "./libraries/TallyLib.sol";
import {VotePayoutLib} from "./libraries/VotePayoutLib.sol";
import {
    Case,
    ClaimRef,
    Fault,
    LabelProof,
    Params,
    PoolParams,
    PredictionLeaf,
    Ruling,
    Stake,
    SumNode,
    Tally,
    Verdict,
    Vote
} from "./types/Task.sol";

/// @title AuditorPool
/// @notice Holds the stakes of auditors, the bonds of disputes and demands, and what the market pays to auditors. Every
/// wei of it is in exactly one place: a stake (active, pending or unbonding), a ballot's lock, a case's bonds, the pot
/// of a vote or of its filers, a demand's bond, dividends (waiting, shared or accrued), or a credit.
/// Immutable: no owner, no proxy, no pause.
/// Assumes: block.timestamp plus any window fits uint40. Every amount is part of lockedWei, which fits uint96
/// (LedgerLib.lock); all narrowing to uint96 relies on it.
contract AuditorPool is IAuditorPool {
    using LedgerLib for LedgerLib.Ledger;
    using SnapshotLib for SnapshotLib.Trace;

    uint16 private constant ALL_GROUNDS = 127;
    uint16 private constant SAMPLES_GROUND = 64;
    uint256 private constant MAX_SAMPLES = 8;

    /// @dev Of all auditors together.
    struct Totals {
        // slot 0
        uint96 activeWei;
        // Dividends per active wei x 2^64, modulo 2^160. It starts at 1, so that a stake's paidIndex takes its slot
        // when the stake is activated and not in the auditor's first vote.
        uint160 index;
        // slot 1
        uint96 waitingWei; // dividends not shared out yet
        uint96 sharedWei; // shared out, and not yet in anybody's accruedWei
        uint64 votes; // number of _voteTimes
    }

    /// @dev What is stored of a Case. A filer's bond is stored with its filing: all bonds of a case are equal.
    struct Dispute {
        // slot 0
        uint96 openWei; // until the ruling: locks of the present attempt; then: of winners that have not collected
        uint32 filers;
        uint40 voteStart; // of the present attempt
        uint40 snapshotAt;
        uint8 attempt;
        Ruling ruling;
        uint16 grounds;
        // slot 1
        uint64 taskId;
        uint16 round;
        address subject;
    }

    /// @dev What is stored of a Tally, and the pots. Most votes write slot 0, and slot 2 when they are resolved.
    struct Count {
        // slot 0: locks of revealed ballots
        uint96 standsWei;
        uint96 fallsWei;
        // slot 1
        uint96 unavailableWei;
        uint96 unrevealedWei; // known once the vote is resolved
        // slot 2: what is left to collect
        uint96 potWei; // of the winners, beside their own locks
        uint96 filerPotWei; // of the filers, beside their bonds
        uint32 filersLeft;
    }

    /// @inheritdoc IAuditorPool
    ITaskMarket public immutable market;
    /// @inheritdoc IAuditorPool
    IPoolRules public immutable rules;

    uint32 private immutable ACTIVATION_SECONDS;
    uint32 private immutable UNBONDING_SECONDS;
    uint16 private immutable LOCK_BPS;
    uint96 private immutable DEMAND_BOND_WEI;
    uint32 private immutable VOTE_SECONDS;

    LedgerLib.Ledger private _ledger;
    Totals private _totals;
    SnapshotLib.Trace private _totalTrace;
    /// @dev When first votes were resolved that auditors of that moment could take part in (P-60).
    SnapshotLib.Times private _voteTimes;
    mapping(address auditor => Stake) private _stakes;
    mapping(address auditor => SnapshotLib.Trace) private _traces;
    mapping(bytes32 caseId => Dispute) private _cases;
    mapping(bytes32 caseId => mapping(address filer => uint256 bondWei)) private _filings;
    mapping(bytes32 disputeId => Count) private _counts;
    /// @dev See BallotLib: sealed, then opened, then deleted when collected.
    mapping(bytes32 disputeId => mapping(address voter => bytes32)) private _ballots;
    mapping(bytes32 demandId => address demander) private _demands;

    /// @param market_ a TaskMarket that was deployed with this pool's (precomputed) address
    constructor(address market_, PoolParams memory params_) {
        market = ITaskMarket(market_);
        Params memory marketParams = market.rules().params();
        if (marketParams.pool != address(this)) revert Errors.Market_NotPool(address(this), marketParams.pool);
        StakeLib.checkParams(params_, marketParams);
        rules = new PoolRules(market);
        ACTIVATION_SECONDS = params_.activationSeconds;
        UNBONDING_SECONDS = params_.unbondingSeconds;
        LOCK_BPS = params_.lockBps;
        DEMAND_BOND_WEI = params_.demandBondWei;
        VOTE_SECONDS = marketParams.voteSeconds;
        _totals.index = 1;
    }

    // ---------------------------------------------------------------- STAKE, ACTIVATE, UNSTAKE

    /// @inheritdoc IAuditorPool
    function stake() external payable {
        // Check
        if (msg.value == 0) revert Errors.Pool_ZeroAmount();
        // Effect
        Stake storage own = _stakes[msg.sender];
        if (own.pendingWei != 0 && block.timestamp >= own.readyAt) _activate(msg.sender, own);
        _ledger.lock(msg.value);
        uint40 readyAt = uint40(block.timestamp + ACTIVATION_SECONDS);
        own.pendingWei += uint96(msg.value);
        own.readyAt = readyAt;
        emit Staked(msg.sender, msg.value, readyAt);
    }

    /// @inheritdoc IAuditorPool
    function activate(address auditor) external {
        Stake storage own = _stakes[auditor];
        // Check
        if (own.pendingWei == 0) revert Errors.Pool_NothingPending(auditor);
        if (block.timestamp < own.readyAt) revert Errors.Pool_NotReady(block.timestamp, own.readyAt);
        // Effect
        _activate(auditor, own);
    }

    /// @dev Fees that came before it are shared first, so that nobody buys into them.
    function _activate(address auditor, Stake storage own) private {
        // Interaction
        _collectFees();
        // Effect
        uint96 amountWei = own.pendingWei;
        // Nobody is held to a vote in which it had no weight: one that counts when it is resolved took its snapshot at
        // most unbondingSeconds before. Dividends from before an absence are still weighed by the votes of then, or
        // leaving and coming back with one wei would free them from it.
        if (own.activeWei == 0 && own.accruedWei == 0) {
            own.countedFrom = uint40(block.timestamp + UNBONDING_SECONDS);
        }
        own.pendingWei = 0;
        _addActive(auditor, own, amountWei);
        emit StakeActivated(auditor, amountWei, own.activeWei);
    }

    /// @inheritdoc IAuditorPool
    function unstake(uint256 amountWei) external {
        Stake storage own = _stakes[msg.sender];
        uint256 pendingWei = own.pendingWei;
        uint256 availableWei = pendingWei + own.activeWei;
        // Check
        if (amountWei == 0) revert Errors.Pool_ZeroAmount();
        if (amountWei > availableWei) revert Errors.Pool_TooLittleStake(amountWei, availableWei);
        // Effect
        if (amountWei <= pendingWei) {
            own.pendingWei = uint96(pendingWei - amountWei);
        } else {
            own.pendingWei = 0;
            _takeActive(own, amountWei - pendingWei);
            _traces[msg.sender].push(uint40(block.timestamp), own.activeWei);
            _totalTrace.push(uint40(block.timestamp), _totals.activeWei);
        }
        uint40 freeAt = uint40(block.timestamp + UNBONDING_SECONDS);
        own.unbondingWei += uint96(amountWei);
        own.freeAt = freeAt;
        emit UnstakeBegun(msg.sender, amountWei, freeAt);
    }

    /// @inheritdoc IAuditorPool
    function finishUnstake(address auditor) external {
        Stake storage own = _stakes[auditor];
        uint256 amountWei = own.unbondingWei;
        // Check
        if (amountWei == 0) revert Errors.Pool_NothingUnbonding(auditor);
        if (block.timestamp < own.freeAt) revert Errors.Pool_NotReady(block.timestamp, own.freeAt);
        // Effect
        own.unbondingWei = 0;
        _ledger.credit(auditor, amountWei, 0);
        emit UnstakeFinished(auditor, amountWei);
    }

    /// @dev Into the active stake, from now on.
    function _addActive(address auditor, Stake storage own, uint256 amountWei) private {
        _accrue(own);
        uint96 activeWei = uint96(own.activeWei + amountWei);
        uint96 totalWei = uint96(_totals.activeWei + amountWei);
        own.activeWei = activeWei;
        _totals.activeWei = totalWei;
        _traces[auditor].push(uint40(block.timestamp), activeWei);
        _totalTrace.push(uint40(block.timestamp), totalWei);
    }

    /// @dev Out of the active stake. The traces are the caller's to write: a lock leaves none, for a ballot cannot
    /// weigh more than the stake that is still there.
    function _takeActive(Stake storage own, uint256 amountWei) private {
        _accrue(own);
        own.activeWei = uint96(own.activeWei - amountWei);
        uint96 totalWei = uint96(_totals.activeWei - amountWei);
        _totals.activeWei = totalWei;
        if (totalWei == 0) {
            // every stake that ever was has accrued what it earned, so this is rounding and nobody's
            _totals.waitingWei += _totals.sharedWei;
            _totals.sharedWei = 0;
        }
    }

    // ---------------------------------------------------------------- DIVIDENDS

    /// @dev Whatever the market pays is dividends until a ruling says otherwise. Anyone may make it pay, so it is
    /// booked here and not where we ask for it.
    receive() external payable {
        // Check
        if (msg.sender != address(market)) revert Errors.Pool_NotMarket(msg.sender, address(market));
        // Effect
        _ledger.lock(msg.value);
        _totals.waitingWei += uint96(msg.value);
        emit FeesCollected(msg.value);
    }

    /// @inheritdoc IAuditorPool
    function collectFees() external {
        _collectFees();
    }

    function _collectFees() private {
        // Interaction
        _pull();
        // Effect
        uint96 waitingWei = _totals.waitingWei;
        uint96 totalWei = _totals.activeWei;
        if (waitingWei == 0 || totalWei == 0) return;
        (uint160 index, uint256 sharedWei) = StakeLib.share(waitingWei, totalWei, _totals.index);
        _totals.index = index;
        _totals.waitingWei = uint96(waitingWei - sharedWei);
        _totals.sharedWei += uint96(sharedWei);
    }

    /// @dev The market pays nobody else in this call, and it can't fail: its ledger holds the credit, receive() takes
    /// it.
    function _pull() private {
        if (market.creditOf(address(this)) != 0) market.withdraw(address(this));
    }

    /// @inheritdoc IAuditorPool
    function claimDividends() external {
        Stake storage own = _stakes[msg.sender];
        // Effect
        _accrue(own);
        // Check
        uint256 accruedWei = own.accruedWei;
        if (accruedWei == 0) revert Errors.Pool_NothingAccrued(msg.sender);
        uint40 countedFrom = own.countedFrom;
        uint256 ballots = own.ballots;
        uint256 votes = _votesAfter(countedFrom);
        (uint256 paidWei, uint256 returnedWei) = StakeLib.weighByVotes(accruedWei, ballots, votes);
        // Effect
        own.accruedWei = 0;
        own.ballots = 0;
        if (countedFrom < block.timestamp) own.countedFrom = uint40(block.timestamp);
        _totals.waitingWei += uint96(returnedWei);
        _ledger.credit(msg.sender, paidWei, 0);
        emit DividendPaid(msg.sender, paidWei, returnedWei, ballots, votes);
    }

    /// @dev Books what a stake earned so far; before every change of it.
    function _accrue(Stake storage own) private {
        uint160 index = _totals.index;
        uint160 paidIndex = own.paidIndex;
        if (index == paidIndex) return;
        own.paidIndex = index;
        uint96 earnedWei = uint96(StakeLib.earnedDown(own.activeWei, index, paidIndex));
        if (earnedWei == 0) return;
        own.accruedWei += earnedWei;
        // INVARIANT: sharedWei >= the sum over all stakes of what each has earned and not accrued, unrounded
        _totals.sharedWei -= earnedWei;
    }

    // ---------------------------------------------------------------- IMPEACH, DISPUTE

    /// @inheritdoc IAuditorPool
    function impeach(uint256 taskId, bytes32 evidence) external payable returns (bytes32 caseId) {
        uint16 index;
        (caseId, index,) = _file(taskId, Vote.TestSet, 0);
        emit TestSetImpeached(caseId, taskId, index, msg.sender, evidence);
    }

    /// @inheritdoc IAuditorPool
    function dispute(uint256 taskId, uint16 grounds, bytes32 evidence, uint40[] calldata samples)
        external
        payable
        returns (bytes32 caseId)
    {
        // Check
        if (grounds == 0 || grounds > ALL_GROUNDS) revert Errors.Pool_WrongGrounds(grounds, ALL_GROUNDS);
        (uint256 minimum, uint256 maximum) = grounds & SAMPLES_GROUND != 0 ? (1, MAX_SAMPLES) : (0, 0);
        if (samples.length < minimum || samples.length > maximum) {
            revert Errors.Pool_WrongSamples(samples.length, minimum, maximum);
        }
        // Effect
        uint16 index;
        address miner;
        (caseId, index, miner) = _file(taskId, Vote.Claim, grounds);
        emit ClaimDisputed(caseId, taskId, index, miner, msg.sender, grounds, evidence, samples);
    }

    /// @dev Takes the bond. The first filing of a case makes it.
    function _file(uint256 taskId, Vote vote, uint16 grounds)
        private
        returns (bytes32 caseId, uint16 index, address subject)
    {
        // Interaction: the market is ours, calls nobody, and knows whether this may be disputed now
        uint40 voteStart;
        uint40 snapshotAt;
        uint256 bountyWei;
        (index, subject, voteStart, snapshotAt, bountyWei) = market.callVote(taskId, vote);
        // Check
        uint256 bondWei = VotePayoutLib.bondUp(bountyWei);
        if (msg.value != bondWei) revert Errors.Pool_WrongValue(msg.value, bondWei);
        caseId = BallotLib.caseId(taskId, index, subject);
        if (_filings[caseId][msg.sender] != 0) revert Errors.Pool_AlreadyFiled(msg.sender);
        // Effect
        _ledger.lock(msg.value);
        _filings[caseId][msg.sender] = msg.value;
        Dispute storage case_ = _cases[caseId];
        if (case_.filers == 0) {
            case_.voteStart = voteStart;
            case_.snapshotAt = snapshotAt;
            case_.taskId = uint64(taskId);
            case_.round = index;
            case_.subject = subject;
        }
        ++case_.filers;
        case_.grounds |= grounds;
    }

    // ---------------------------------------------------------------- VOTE

    /// @inheritdoc IAuditorPool
    function commitVote(bytes32 caseId, bytes32 ballot) external {
        Dispute storage case_ = _load(caseId);
        Stake storage own = _stakes[msg.sender];
        uint8 attempt = case_.attempt;
        bytes32 disputeId = BallotLib.disputeId(caseId, attempt);
        // Check
        (uint40 start, uint40 commitEnd,) = _windows(case_);
        _checkWindow(start, commitEnd);
        if (ballot == 0) revert Errors.Pool_EmptyBallot();
        if (_ballots[disputeId][msg.sender] != 0) revert Errors.Pool_AlreadyVoted(msg.sender);
        uint256 snapshotWei = _traces[msg.sender].amountAt(case_.snapshotAt);
        uint256 lockWei = StakeLib.lockDown(snapshotWei, own.activeWei, LOCK_BPS);
        if (lockWei == 0) revert Errors.Pool_NoWeight(msg.sender, snapshotWei, own.activeWei);
        // Effect
        _takeActive(own, lockWei);
        case_.openWei += uint96(lockWei);
        _ballots[disputeId][msg.sender] = BallotLib.seal(ballot, lockWei);
        emit VoteCommitted(caseId, attempt, msg.sender, ballot, lockWei);
    }

    /// @inheritdoc IAuditorPool
    function revealVote(bytes32 caseId, address voter, Verdict verdict, uint256 lockWei, bytes32 salt) external {
        Dispute storage case_ = _load(caseId);
        uint8 attempt = case_.attempt;
        bytes32 disputeId = BallotLib.disputeId(caseId, attempt);
        // Check
        (, uint40 commitEnd, uint40 revealEnd) = _windows(case_);
        _checkWindow(commitEnd, revealEnd);
        if (verdict == Verdict.None) revert Errors.Pool_WrongVerdict(uint256(verdict));
        bytes32 given = BallotLib.seal(BallotLib.ballot(address(this), disputeId, voter, verdict, salt), lockWei);
        bytes32 stored = _ballots[disputeId][voter];
        if (given != stored) revert Errors.Pool_WrongBallot(given, stored);
        // Effect
        _ballots[disputeId][voter] = BallotLib.pack(verdict, lockWei);
        Count storage count = _counts[disputeId];
        if (verdict == Verdict.Stands) count.standsWei += uint96(lockWei);
        else if (verdict == Verdict.Falls) count.fallsWei += uint96(lockWei);
        else count.unavailableWei += uint96(lockWei);
        emit VoteRevealed(caseId, attempt, voter, verdict, lockWei);
    }

    // ---------------------------------------------------------------- RESOLVE

    /// @inheritdoc IAuditorPool
    function resolve(uint256 taskId) external returns (Ruling ruling) {
        (bytes32 caseId, address defendant, uint256 bondWei) = rules.disputed(taskId);
        Dispute storage case_ = _load(caseId);
        // Check
        if (case_.ruling != Ruling.None) revert Errors.Pool_AlreadyResolved(caseId);
        (,, uint40 revealEnd) = _windows(case_);
        _checkWindow(revealEnd, type(uint40).max);
        // Effect
        Count storage count = _counts[BallotLib.disputeId(caseId, case_.attempt)];
        ruling = _count(caseId, case_, count);
        // Interaction: the market is ours and calls nobody; what it forfeits to the voters is needed to share it
        uint256 forfeitWei = market.conclude(taskId, ruling);
        // Effect
        if (ruling == Ruling.Repeat) {
            case_.attempt = 1;
            case_.voteStart = uint40(block.timestamp);
        } else {
            case_.ruling = ruling;
            if (ruling == Ruling.Falls) _shareForfeit(case_, count, forfeitWei);
            else if (ruling == Ruling.Stands) _shareBonds(case_, count, bondWei, defendant);
            else if (ruling == Ruling.NoQuorum) _payUnheard(case_, bondWei, defendant);
        }
    }

    /// @dev Counts the ballots of the present attempt. Who did not open its own has lost it.
    function _count(bytes32 caseId, Dispute storage case_, Count storage count) private returns (Ruling ruling) {
        (uint96 standsWei, uint96 fallsWei, uint96 unavailableWei) =
            (count.standsWei, count.fallsWei, count.unavailableWei);
        uint8 attempt = case_.attempt;
        uint40 snapshotAt = case_.snapshotAt;
        uint256 snapshotWei = _totalTrace.amountAt(snapshotAt);
        ruling = TallyLib.rulingOf(standsWei, fallsWei, unavailableWei, snapshotWei, LOCK_BPS, attempt);
        uint96 unrevealedWei = case_.openWei - standsWei - fallsWei - unavailableWei;
        case_.openWei = 0;
        if (unrevealedWei != 0) {
            count.unrevealedWei = unrevealedWei;
            _totals.waitingWei += unrevealedWei;
        }
        // later than that, it could count against somebody who joined after its snapshot (see _activate)
        if (attempt == 0 && ruling != Ruling.Repeat && block.timestamp <= uint256(snapshotAt) + UNBONDING_SECONDS) {
            _voteTimes.times[_totals.votes++] = uint40(block.timestamp);
        }
        emit VoteResolved(caseId, attempt, ruling, standsWei, fallsWei, unavailableWei, snapshotWei);
    }

    /// @dev It falls: what the market forfeited is for the filers and the voters that said so (P-45, P-55).
    function _shareForfeit(Dispute storage case_, Count storage count, uint256 forfeitWei) private {
        // Interaction: it comes in with everything else that the market owes, and out of that
        _pull();
        // Effect
        _totals.waitingWei -= uint96(forfeitWei);
        (uint256 filersWei, uint256 votersWei) =
            VotePayoutLib.falls(forfeitWei, count.standsWei, case_.subject != address(0));
        case_.openWei = count.fallsWei + count.unavailableWei;
        count.potWei = uint96(votersWei);
        count.filerPotWei = uint96(filersWei);
        count.filersLeft = case_.filers;
    }

    /// @dev It stands: the bonds are for whom they wronged and the voters that said so.
    function _shareBonds(Dispute storage case_, Count storage count, uint256 bondWei, address defendant) private {
        (uint256 defendantWei, uint256 votersWei) = VotePayoutLib.stands(bondWei * case_.filers, count.fallsWei);
        case_.openWei = count.standsWei;
        count.potWei = uint96(votersWei);
        _ledger.credit(defendant, defendantWei, case_.taskId);
    }

    /// @dev Nobody came to vote, twice: a part of the bonds is for a leader that had to wait.
    function _payUnheard(Dispute storage case_, uint256 bondWei, address defendant) private {
        (uint256 defendantWei,) = VotePayoutLib.noQuorum(bondWei, case_.subject != address(0));
        _ledger.credit(defendant, defendantWei * case_.filers, case_.taskId);
    }

    // ---------------------------------------------------------------- COLLECT

    /// @inheritdoc IAuditorPool
    function collectVote(bytes32 caseId, uint8 attempt, address voter) external {
        Dispute storage case_ = _load(caseId);
        bytes32 disputeId = BallotLib.disputeId(caseId, attempt);
        // Check
        Ruling ruling = _rulingOf(case_, attempt);
        if (ruling == Ruling.None) _checkMoot(caseId, case_);
        (Verdict verdict, uint256 lockWei) = BallotLib.unpack(_ballots[disputeId][voter]);
        if (lockWei == 0) revert Errors.Pool_NothingToCollect(voter);
        // Effect
        delete _ballots[disputeId][voter];
        Stake storage own = _stakes[voter];
        bool hasCounted = attempt == 0 && ruling != Ruling.None && ruling != Ruling.Repeat;
        if (hasCounted && own.ballots != type(uint24).max) ++own.ballots;
        uint256 shareWei = TallyLib.hasWon(ruling, verdict) ? _takeShare(case_, _counts[disputeId], lockWei) : 0;
        uint256 lostWei = TallyLib.lossDown(ruling, verdict, lockWei);
        // what a Falls or a Stands loses is in the pot since the count
        if (verdict == Verdict.Unavailable) _totals.waitingWei += uint96(lostWei);
        lockWei -= lostWei;
        if (lockWei != 0) _addActive(voter, own, lockWei);
        _ledger.credit(voter, shareWei, case_.taskId);
        emit VoteCollected(caseId, attempt, voter, lockWei, shareWei);
    }

    function _takeShare(Dispute storage case_, Count storage count, uint256 lockWei)
        private
        returns (uint256 shareWei)
    {
        (uint256 potWei, uint256 winnersWei) = (count.potWei, case_.openWei);
        shareWei = VotePayoutLib.shareDown(potWei, lockWei, winnersWei);
        count.potWei = uint96(potWei - shareWei);
        case_.openWei = uint96(winnersWei - lockWei);
    }

    /// @inheritdoc IAuditorPool
    function recoverVote(bytes32 caseId, uint8 attempt, address voter, bytes32 ballot, uint256 lockWei) external {
        Dispute storage case_ = _load(caseId);
        bytes32 disputeId = BallotLib.disputeId(caseId, attempt);
        // Check
        if (_rulingOf(case_, attempt) != Ruling.None) revert Errors.Pool_NothingToCollect(voter);
        _checkMoot(caseId, case_);
        bytes32 given = BallotLib.seal(ballot, lockWei);
        bytes32 stored = _ballots[disputeId][voter];
        if (given != stored) revert Errors.Pool_WrongBallot(given, stored);
        // Effect
        delete _ballots[disputeId][voter];
        _addActive(voter, _stakes[voter], lockWei);
        emit VoteCollected(caseId, attempt, voter, lockWei, 0);
    }

    /// @inheritdoc IAuditorPool
    function collectBond(bytes32 caseId, address filer) external {
        Dispute storage case_ = _load(caseId);
        uint256 amountWei = _filings[caseId][filer];
        Ruling ruling = case_.ruling;
        // Check
        if (ruling == Ruling.None) _checkMoot(caseId, case_);
        if (ruling == Ruling.Stands || amountWei == 0) revert Errors.Pool_NothingToCollect(filer);
        // Effect
        delete _filings[caseId][filer];
        if (ruling == Ruling.Falls) {
            amountWei += _takeFilerShare(_counts[BallotLib.disputeId(caseId, case_.attempt)]);
        } else if (ruling == Ruling.NoQuorum) {
            (, amountWei) = VotePayoutLib.noQuorum(amountWei, case_.subject != address(0));
        }
        _ledger.credit(filer, amountWei, case_.taskId);
        emit BondCollected(caseId, filer, amountWei);
    }

    function _takeFilerShare(Count storage count) private returns (uint256 shareWei) {
        (uint96 potWei, uint32 filersLeft) = (count.filerPotWei, count.filersLeft);
        shareWei = VotePayoutLib.shareDown(potWei, 1, filersLeft);
        count.filerPotWei = uint96(potWei - shareWei);
        count.filersLeft = filersLeft - 1;
    }

    // ---------------------------------------------------------------- REFUTE

    /// @inheritdoc IAuditorPool
    function refute(
        ClaimRef calldata ref,
        uint256 index,
        PredictionLeaf calldata leaf,
        SumNode[] calldata path,
        LabelProof calldata label
    ) external returns (Fault fault) {
        // Check
        fault = rules.faultOf(ref, index, leaf, path, label);
        if (fault == Fault.None) revert Errors.Claim_NoFault();
        emit ClaimRefuted(ref.proof.taskId, ref.proof.round, ref.proof.miner, msg.sender, fault, index);
        // Interaction: the market is ours; it pays the refuter, and the pool the rest
        market.strike(ref.proof.taskId, ref.proof.round, ref.proof.miner, msg.sender);
    }

    // ---------------------------------------------------------------- DEMAND, ANSWER

    /// @inheritdoc IAuditorPool
    function demand(ClaimRef calldata ref, uint256 index) external payable {
        // Check
        if (msg.value != DEMAND_BOND_WEI) revert Errors.Pool_WrongValue(msg.value, DEMAND_BOND_WEI);
        rules.checkDemand(ref, index);
        bytes32 demandId = _demandId(ref.proof.taskId, ref.proof.round, ref.proof.miner, index);
        if (_demands[demandId] != address(0)) revert Errors.Claim_AlreadyDemanded(index);
        // Effect
        _ledger.lock(msg.value);
        _demands[demandId] = msg.sender;
        // Interaction: the market is ours, calls nobody, and knows whether this may be demanded now
        uint40 demandEnd = market.noteDemand(ref.proof.taskId, ref.proof.round, ref.proof.miner);
        emit PredictionDemanded(ref.proof.taskId, ref.proof.round, ref.proof.miner, msg.sender, index, demandEnd);
    }

    /// @inheritdoc IAuditorPool
    function answer(ClaimRef calldata ref, uint256 index, PredictionLeaf calldata leaf, SumNode[] calldata path)
        external
    {
        // Check
        rules.checkAnswer(ref, index, leaf, path);
        _takeDemand(ref.proof.taskId, ref.proof.round, ref.proof.miner, index);
        // Effect
        _ledger.credit(msg.sender, DEMAND_BOND_WEI, ref.proof.taskId);
        emit PredictionShown(ref.proof.taskId, ref.proof.round, ref.proof.miner, msg.sender, index, leaf, path);
        // Interaction: the market is ours, calls nobody, and knows whether this comes in time
        market.noteAnswer(ref.proof.taskId, ref.proof.round, ref.proof.miner);
    }

    /// @inheritdoc IAuditorPool
    function closeDemand(uint256 taskId, uint16 index, address miner, uint256 sample) external {
        // Check
        address demander = _takeDemand(taskId, index, miner, sample);
        if (!market.entryOf(taskId, index, miner).isStruck) revert Errors.Claim_StillOpen(sample);
        // Effect
        _ledger.credit(demander, DEMAND_BOND_WEI, taskId);
        emit DemandClosed(taskId, index, miner, demander, sample);
    }

    function _takeDemand(uint256 taskId, uint16 index, address miner, uint256 sample)
        private
        returns (address demander)
    {
        bytes32 demandId = _demandId(taskId, index, miner, sample);
        demander = _demands[demandId];
        if (demander == address(0)) revert Errors.Claim_NotDemanded(sample);
        delete _demands[demandId];
    }

    function _demandId(uint256 taskId, uint16 index, address miner, uint256 sample) private pure returns (bytes32) {
        return keccak256(abi.encode(taskId, index, miner, sample));
    }

    // ---------------------------------------------------------------- WITHDRAW

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

    /// @inheritdoc IAuditorPool
    function poolParams() external view returns (PoolParams memory) {
        return PoolParams(ACTIVATION_SECONDS, UNBONDING_SECONDS, LOCK_BPS, DEMAND_BOND_WEI);
    }

    /// @inheritdoc IAuditorPool
    function stakeOf(address auditor) external view returns (Stake memory) {
        return _stakes[auditor];
    }

    /// @inheritdoc IAuditorPool
    function stakeAt(address auditor, uint40 time) external view returns (uint256 activeWei) {
        return _traces[auditor].amountAt(time);
    }

    /// @inheritdoc IAuditorPool
    function totals() external view returns (uint256 activeWei, uint256 waitingWei) {
        return (_totals.activeWei, _totals.waitingWei);
    }

    /// @inheritdoc IAuditorPool
    function totalStakeAt(uint40 time) external view returns (uint256 activeWei) {
        return _totalTrace.amountAt(time);
    }

    /// @inheritdoc IAuditorPool
    function dividendOf(address auditor) external view returns (uint256 accruedWei, uint256 ballots, uint256 votes) {
        Stake storage own = _stakes[auditor];
        accruedWei = own.accruedWei + StakeLib.earnedDown(own.activeWei, _totals.index, own.paidIndex);
        return (accruedWei, own.ballots, _votesAfter(own.countedFrom));
    }

    /// @inheritdoc IAuditorPool
    function caseIdOf(uint256 taskId, uint16 index, address subject) external pure returns (bytes32) {
        return BallotLib.caseId(taskId, index, subject);
    }

    /// @inheritdoc IAuditorPool
    function disputeIdOf(bytes32 caseId, uint8 attempt) external pure returns (bytes32) {
        return BallotLib.disputeId(caseId, attempt);
    }

    /// @inheritdoc IAuditorPool
    function caseOf(bytes32 caseId) external view returns (Case memory) {
        Dispute storage case_ = _cases[caseId];
        Count storage count = _counts[BallotLib.disputeId(caseId, case_.attempt)];
        return Case({
            bondWei: uint96(rules.bondOf(case_.taskId)),
            filers: case_.filers,
            voteStart: case_.voteStart,
            snapshotAt: case_.snapshotAt,
            attempt: case_.attempt,
            ruling: case_.ruling,
            grounds: case_.grounds,
            taskId: case_.taskId,
            round: case_.round,
            subject: case_.subject,
            filerPotWei: count.filerPotWei,
            filersLeft: count.filersLeft
        });
    }

    /// @inheritdoc IAuditorPool
    function tallyOf(bytes32 caseId, uint8 attempt) external view returns (Tally memory) {
        Dispute storage case_ = _cases[caseId];
        Count storage count = _counts[BallotLib.disputeId(caseId, attempt)];
        // openWei is the locks of all ballots while their vote runs, and of the winners from its ruling on
        uint96 openWei = attempt == case_.attempt ? case_.openWei : 0;
        bool isRunning = _rulingOf(case_, attempt) == Ruling.None;
        return Tally({
            committedWei: isRunning
                ? openWei
                : count.standsWei + count.fallsWei + count.unavailableWei + count.unrevealedWei,
            standsWei: count.standsWei,
            fallsWei: count.fallsWei,
            unavailableWei: count.unavailableWei,
            potWei: count.potWei,
            winnersWei: isRunning ? 0 : openWei
        });
    }

    /// @inheritdoc IAuditorPool
    function rulingOf(bytes32 caseId, uint8 attempt) external view returns (Ruling) {
        return _rulingOf(_cases[caseId], attempt);
    }

    /// @inheritdoc IAuditorPool
    function lockFor(bytes32 caseId, address voter) external view returns (uint256 lockWei) {
        uint256 snapshotWei = _traces[voter].amountAt(_cases[caseId].snapshotAt);
        return StakeLib.lockDown(snapshotWei, _stakes[voter].activeWei, LOCK_BPS);
    }

    /// @inheritdoc IAuditorPool
    function windowsOf(bytes32 caseId) external view returns (uint40 start, uint40 commitEnd, uint40 revealEnd) {
        return _windows(_load(caseId));
    }

    /// @inheritdoc IAuditorPool
    function hasFiled(bytes32 caseId, address filer) external view returns (bool) {
        return _filings[caseId][filer] != 0;
    }

    /// @inheritdoc IAuditorPool
    function ballotOf(bytes32 caseId, uint8 attempt, address voter) external view returns (bytes32 sealed_) {
        return _ballots[BallotLib.disputeId(caseId, attempt)][voter];
    }

    /// @inheritdoc IAuditorPool
    function demandOf(uint256 taskId, uint16 index, address miner, uint256 sample)
        external
        view
        returns (address demander)
    {
        return _demands[_demandId(taskId, index, miner, sample)];
    }

    /// @inheritdoc ILedger
    function creditOf(address account) external view returns (uint256 amountWei) {
        return _ledger.credits[account];
    }

    /// @inheritdoc ILedger
    function liabilities() external view returns (uint256 lockedWei, uint256 creditedWei) {
        return (_ledger.lockedWei, _ledger.creditedWei);
    }

    // ---------------------------------------------------------------- loads and checks

    function _votesAfter(uint256 time) private view returns (uint256) {
        return SnapshotLib.countAfter(_voteTimes, _totals.votes, time);
    }

    function _load(bytes32 caseId) private view returns (Dispute storage case_) {
        case_ = _cases[caseId];
        if (case_.filers == 0) revert Errors.Pool_UnknownCase(caseId);
    }

    /// @dev Of the present attempt.
    function _windows(Dispute storage case_) private view returns (uint40 start, uint40 commitEnd, uint40 revealEnd) {
        start = case_.voteStart;
        uint256 length = uint256(VOTE_SECONDS) << case_.attempt;
        commitEnd = uint40(start + length);
        revealEnd = uint40(start + 2 * length);
    }

    function _checkWindow(uint256 start, uint256 end) private view {
        if (block.timestamp < start || block.timestamp >= end) {
            revert Errors.Pool_NotInWindow(block.timestamp, start, end);
        }
    }

    /// @dev A case has gone past an attempt only by its repeat.
    function _rulingOf(Dispute storage case_, uint8 attempt) private view returns (Ruling) {
        if (attempt < case_.attempt) return Ruling.Repeat;
        return attempt == case_.attempt ? case_.ruling : Ruling.None;
    }

    /// @dev Without a ruling, everything goes back iff the claim was struck meanwhile: refuted, or a demand withheld
    /// (P-58).
    function _checkMoot(bytes32 caseId, Dispute storage case_) private view {
        if (!market.entryOf(case_.taskId, case_.round, case_.subject).isStruck) {
            revert Errors.Pool_NotResolved(caseId);
        }
    }
}
