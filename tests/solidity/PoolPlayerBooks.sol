// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Entry, Phase, Round, Ruling, Task, Verdict, Vote} from "../../contracts/types/Task.sol";
import {PoolPlayerTree} from "./PoolPlayerTree.sol";
import {MinerWallet, Miser} from "./WalletActors.sol";

/// @title PoolPlayerBooks
/// @dev The people of the play, and second books of what the pool should hold and for whom, kept from the rules alone.
abstract contract PoolPlayerBooks is PoolPlayerTree {
    enum Ballot {
        None,
        Sealed,
        Opened,
        Gone // collected, recovered or lost
    }

    /// @dev One voter's ballot in one attempt.
    struct Sealed {
        Ballot state;
        Verdict verdict;
        uint256 lockWei;
        bytes32 salt;
        bytes32 ballot;
        address author; // another one's, if it was copied
    }

    /// @dev A dispute or an impeachment.
    struct File {
        uint256 taskId;
        uint16 round;
        address subject;
        uint40 voteStart;
        uint40 snapshotAt;
        uint8 attempt;
        Ruling ruling;
        address[] filers;
        uint256 potWei;
        uint256 winnersWei;
        uint256 filerPotWei;
        uint256 filersLeft;
    }

    struct Account {
        uint256 stakedWei; // ever
        uint256 activeWei;
        uint256 pendingWei;
        uint40 readyAt;
        uint256 unbondingWei;
        uint40 freeAt;
        uint256 finishedWei; // ever
        uint256 lockedWei; // in ballots
        uint256 slashedWei; // ever
        uint256 hiddenWei; // locked or lost since its trace was last written
        uint256 ballots;
        uint40 countedFrom;
    }

    struct Point {
        uint40 time;
        uint256 amountWei;
    }

    struct Demanded {
        uint256 taskId;
        uint16 round;
        address miner;
        uint256 sample;
        address demander; // zero = answered or closed
    }

    uint256 internal constant AUDITORS = 5;
    uint256 internal constant MINERS = 4;
    uint256 internal constant FILERS = 4;
    uint256 internal constant WADE = 0x3ADE; // private key of the wallet's owner

    address internal ann = address(0x20001);
    address internal ben = address(0x20002);
    address internal cat = address(0x20003);
    address internal dan = address(0x20004);
    address internal fay = address(0x20005); // files disputes
    address internal gus = address(0x20006); // so does he
    address internal rex; // takes no ether; audits and files
    MinerWallet internal wade; // mines

    // what came and went, by contract
    uint256 internal marketIn;
    uint256 internal marketOut; // not to the pool
    uint256 internal marketForced;
    uint256 internal poolIn; // not from the market
    uint256 internal poolOut;
    uint256 internal poolForced;

    uint256 internal earnedWei; // what the market owed the pool, ever
    uint256 internal unopenedWei; // locks of ballots nobody opened and of losing Unavailables, ever
    uint256 internal forfeitWei; // of what was earned, moved into pots, ever
    uint256 internal dividendsWei; // paid, ever
    uint256 internal locksWei;
    uint256 internal bondsWei;
    uint256 internal potsWei;
    uint256 internal demandsWei;
    uint256 internal activations; // and shares and accruals: how often dividends may have rounded

    mapping(address => Account) internal accounts;
    mapping(address => uint256) internal owedWei; // credits in the pool
    mapping(address => Point[]) internal traces;
    Point[] internal totalTrace;
    uint40[] internal voteTimes;
    bytes32[] internal caseIds;
    mapping(bytes32 caseId => File) internal files;
    mapping(bytes32 caseId => mapping(address filer => bool)) internal isFiler;
    mapping(bytes32 caseId => mapping(address filer => bool)) internal isBondGone;
    mapping(bytes32 caseId => mapping(uint8 attempt => mapping(address voter => Sealed))) internal ballots;
    Demanded[] internal demanded;
    mapping(uint256 taskId => mapping(uint256 round => mapping(address miner => Plan))) internal plans;
    mapping(uint256 taskId => mapping(uint256 round => mapping(address miner => bool))) internal struck;
    mapping(uint256 taskId => bool) internal isUnusable;
    /// @dev How often each call succeeded, each ruling was given, and each exit was taken.
    mapping(string name => uint256) public counts;

    function setUp() public virtual override {
        vm.warp(T0);
        deployAll();
        rex = address(new Miser());
        wade = new MinerWallet(vm.addr(WADE));
        address[13] memory everybody = people();
        for (uint256 i; i < everybody.length; ++i) {
            vm.deal(everybody[i], 1_000_000 ether);
        }
    }

    // ---------------------------------------------------------------- people

    function people() internal view returns (address[13] memory) {
        return [alice, bob, carol, address(wade), requester, keeper, ann, ben, cat, dan, rex, fay, gus];
    }

    function auditors() internal view returns (address[AUDITORS] memory) {
        return [ann, ben, cat, dan, rex];
    }

    function minerOf(uint256 who) internal view returns (address) {
        return [alice, bob, carol, address(wade)][who % MINERS];
    }

    function keyOf(address miner) internal view returns (uint256) {
        if (miner == alice) return ALICE;
        if (miner == bob) return BOB;
        return miner == carol ? CAROL : WADE;
    }

    function filerOf(uint256 who) internal view returns (address) {
        return [fay, gus, rex, ann][who % FILERS];
    }

    // ---------------------------------------------------------------- chance

    /// @dev Fuzzers love small numbers; this spreads them, and each use of a seed is another throw.
    function throwOf(uint256 seed, string memory purpose) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, purpose)));
    }

    function oneIn(uint256 sides, uint256 seed, string memory purpose) internal pure returns (bool) {
        return throwOf(seed, purpose) % sides == 0;
    }

    // ---------------------------------------------------------------- calls

    /// @dev Makes a call of which the rules say whether it may succeed. Either surprise is a finding.
    function attempt(address from, address to, uint256 valueWei, bytes memory data, bool isAllowed, string memory name)
        internal
        returns (bool)
    {
        vm.prank(from);
        (bool isDone, bytes memory answer) = to.call{value: valueWei}(data);
        if (isDone && !isAllowed) assertTrue(false, string.concat("INV-FORBIDDEN: accepted: ", name));
        if (!isDone && isAllowed) {
            assertEq(bytes32(0), bytes32(answer), string.concat("INV-ALLOWED: refused: ", name));
        }
        if (isDone) ++counts[name];
        return isDone;
    }

    function attemptPool(address from, uint256 valueWei, bytes memory data, bool isAllowed, string memory name)
        internal
        returns (bool isDone)
    {
        isDone = attempt(from, address(pool), valueWei, data, isAllowed, name);
        if (isDone) poolIn += valueWei;
    }

    function attemptMarket(address from, uint256 valueWei, bytes memory data, bool isAllowed, string memory name)
        internal
        returns (bool isDone)
    {
        isDone = attempt(from, address(market), valueWei, data, isAllowed, name);
        if (isDone) marketIn += valueWei;
    }

    // ---------------------------------------------------------------- stakes in the second books

    function totalActive() internal view returns (uint256 sum) {
        address[AUDITORS] memory all = auditors();
        for (uint256 i; i < AUDITORS; ++i) {
            sum += accounts[all[i]].activeWei;
        }
    }

    function note(address auditor) internal {
        traces[auditor].push(Point(uint40(block.timestamp), accounts[auditor].activeWei));
        accounts[auditor].hiddenWei = 0;
        totalTrace.push(Point(uint40(block.timestamp), totalActive()));
        ++activations;
    }

    function amountAt(Point[] storage trace, uint256 time) internal view returns (uint256) {
        for (uint256 i = trace.length; i > 0; --i) {
            if (trace[i - 1].time <= time) return trace[i - 1].amountWei;
        }
        return 0;
    }

    function activated(address auditor) internal {
        Account storage account = accounts[auditor];
        (uint256 accruedWei,,) = pool.dividendOf(auditor);
        if (account.activeWei == 0 && accruedWei == 0) account.countedFrom = uint40(block.timestamp) + UNBONDING;
        account.activeWei += account.pendingWei;
        account.pendingWei = 0;
        note(auditor);
    }

    function votesSince(uint40 time) internal view returns (uint256 votes) {
        for (uint256 i = voteTimes.length; i > 0 && voteTimes[i - 1] > time; --i) {
            ++votes;
        }
    }

    // ---------------------------------------------------------------- cases in the second books

    function rulingOf(bytes32 caseId, uint8 attempt_) internal view returns (Ruling) {
        File storage file = files[caseId];
        if (attempt_ < file.attempt) return Ruling.Repeat;
        return attempt_ == file.attempt ? file.ruling : Ruling.None;
    }

    /// @dev The claim was struck by something else than this case.
    function isMoot(bytes32 caseId) internal view returns (bool) {
        File storage file = files[caseId];
        return file.ruling == Ruling.None && struck[file.taskId][file.round][file.subject];
    }

    function windowsOf(bytes32 caseId) internal view returns (uint256 start, uint256 middle, uint256 end) {
        File storage file = files[caseId];
        uint256 length = uint256(VOTE) * (file.attempt == 0 ? 1 : 2);
        return (file.voteStart, file.voteStart + length, file.voteStart + 2 * length);
    }

    /// @return locks of opened ballots by verdict, and of all that are sealed
    function tallied(bytes32 caseId) internal view returns (uint256[4] memory locks) {
        uint8 attempt_ = files[caseId].attempt;
        address[AUDITORS] memory all = auditors();
        for (uint256 i; i < AUDITORS; ++i) {
            Sealed storage ballot = ballots[caseId][attempt_][all[i]];
            if (ballot.state == Ballot.Sealed) locks[0] += ballot.lockWei;
            if (ballot.state == Ballot.Opened) locks[uint256(ballot.verdict)] += ballot.lockWei;
        }
    }

    /// @dev P-54 and P-55, from the locks of opened ballots.
    function expectedRuling(bytes32 caseId) internal view returns (Ruling) {
        File storage file = files[caseId];
        uint256[4] memory locks = tallied(caseId);
        uint256 against = locks[uint256(Verdict.Falls)] + locks[uint256(Verdict.Unavailable)];
        uint256 revealed = against + locks[uint256(Verdict.Stands)];
        uint256 snapshot = amountAt(totalTrace, file.snapshotAt);
        if (revealed == 0 || snapshot == 0 || revealed * 3 * 10_000 < snapshot * LOCK_BPS) {
            return file.attempt == 0 ? Ruling.Repeat : Ruling.NoQuorum;
        }
        if (2 * against > revealed) return Ruling.Falls;
        return 2 * locks[uint256(Verdict.Stands)] > revealed ? Ruling.Stands : Ruling.Split;
    }

    // ---------------------------------------------------------------- facts

    function phaseOf(uint256 taskId) internal view returns (Phase phase, bool due) {
        (phase, due,) = market.phaseOf(taskId);
    }

    function tasks() internal view returns (uint256 number) {
        (number,,) = market.counters();
    }

    function planned(uint256 taskId, uint16 round, address miner) internal view returns (Work memory) {
        return workOf(keyOf(miner), miner, taskId, round, plans[taskId][round][miner]);
    }

    function entryNow(uint256 taskId, address miner) internal view returns (Entry memory) {
        return market.entryOf(taskId, market.taskOf(taskId).round, miner);
    }
}
