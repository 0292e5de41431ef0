// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ILedger} from "../interfaces/ILedger.sol";
import {Errors} from "./Errors.sol";

/// @title LedgerLib
/// @notice The only code that moves money (P-62). A wei is locked when it enters, becomes somebody's credit once, and
/// leaves when that somebody withdraws. balance >= lockedWei + creditedWei always.
library LedgerLib {
    struct Ledger {
        // slot 0; every first commit locks a deposit and takes a number, so the two share a slot
        uint96 lockedWei;
        uint96 creditedWei;
        uint64 commitSeq;
        // slot 1
        mapping(address account => uint256) credits;
    }

    /// @dev Escrows money that came with this call.
    function lock(Ledger storage ledger, uint256 amountWei) internal {
        uint256 lockedWei = ledger.lockedWei;
        // The sum of both totals must fit, or a credit could fail later and money would be stuck. 2^96 wei are 79
        // billion ether.
        uint256 totalWei = lockedWei + ledger.creditedWei + amountWei;
        if (totalWei > type(uint96).max) revert Errors.Ledger_AmountTooLarge(totalWei, type(uint96).max);
        ledger.lockedWei = uint96(lockedWei + amountWei);
    }

    /// @dev Next number of the market-wide order of commits; starts at 1, so 0 means "no entry".
    function nextCommitSeq(Ledger storage ledger) internal returns (uint64) {
        return ++ledger.commitSeq;
    }

    /// @dev Turns locked money into an account's credit. Warning: reverts with a panic if more is asked for than is
    /// locked; that would be a fault of the caller.
    function credit(Ledger storage ledger, address account, uint256 amountWei, uint256 taskId) internal {
        if (amountWei == 0) return;
        // lockedWei + creditedWei fits uint96 (see lock) and stays the same, so both results do
        ledger.lockedWei = uint96(ledger.lockedWei - amountWei);
        ledger.creditedWei = uint96(ledger.creditedWei + amountWei);
        ledger.credits[account] += amountWei;
        emit ILedger.Credited(account, amountWei, taskId);
    }

    /// @dev Pays an account's whole credit. The transfer is the last step; state is final before it.
    function withdraw(Ledger storage ledger, address account, address to) internal {
        // Check
        uint256 amountWei = ledger.credits[account];
        if (amountWei == 0) revert Errors.Ledger_NothingToWithdraw(account);
        // Effect; a credit is part of creditedWei, so it fits uint96
        ledger.credits[account] = 0;
        ledger.creditedWei -= uint96(amountWei);
        emit ILedger.Withdrawn(account, to, amountWei);
        // Interaction
        (bool isPaid,) = to.call{value: amountWei}("");
        if (!isPaid) revert Errors.Ledger_TransferFailed(to, amountWei);
    }
}
