// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title ILedger
/// @notice What every contract that holds money offers (P-62): credits that are pulled, and totals that anyone can compare with
/// the contract's balance. The market and the auditor pool each keep a ledger of their own.
interface ILedger {
    event Credited(address indexed account, uint256 amountWei, uint256 indexed taskId);
    event Withdrawn(address indexed account, address indexed to, uint256 amountWei);

    /// @notice Pays an account its whole credit. Anyone may call it; the money goes to the account.
    function withdraw(address account) external;

    /// @notice Pays the caller's whole credit to another address.
    function withdrawTo(address to) external;

    function creditOf(address account) external view returns (uint256 amountWei);

    /// @return lockedWei escrowed for a purpose
    /// @return creditedWei sum of all credits. balance >= lockedWei + creditedWei always, with equality unless ether
    /// was forced in
    function liabilities() external view returns (uint256 lockedWei, uint256 creditedWei);
}
