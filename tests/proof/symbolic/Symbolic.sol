// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev The one cheatcode of the specs.
interface Vm {
    function assume(bool condition) external pure;
}

/// @title Symbolic
/// @dev Specs for halmos (`make prove`). Each check_ function holds one property for every value of its arguments: its
/// first comment line gives the id and the words that a failure prints. A check that reverts on every path proves
/// nothing, which the driver refuses; "never reverts" is said with a call that is caught.
abstract contract Symbolic {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
}
