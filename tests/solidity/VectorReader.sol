// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Base} from "./Base.sol";

/// @title VectorReader
/// @dev Reads sections of tests/vectors/protocol.json, which Python is held to as well.
abstract contract VectorReader is Base {
    string private constant PATH = "tests/vectors/protocol.json";

    string internal json;
    string internal section;

    function setUp() public virtual {
        json = vm.readFile(PATH);
    }

    function _key(string memory name) private view returns (string memory) {
        return string.concat(".", section, ".", name);
    }

    function _uints(string memory name) internal view returns (uint256[] memory) {
        return vm.parseJsonUintArray(json, _key(name));
    }

    function _words(string memory name) internal view returns (bytes32[] memory) {
        return vm.parseJsonBytes32Array(json, _key(name));
    }

    function _bytes(string memory name) internal view returns (bytes[] memory) {
        return vm.parseJsonBytesArray(json, _key(name));
    }

    function _addresses(string memory name) internal view returns (address[] memory) {
        return vm.parseJsonAddressArray(json, _key(name));
    }

    function _bools(string memory name) internal view returns (bool[] memory) {
        return vm.parseJsonBoolArray(json, _key(name));
    }

    function _slice(bytes32[] memory all, uint256 first, uint256 count) internal pure returns (bytes32[] memory part) {
        part = new bytes32[](count);
        for (uint256 i; i < count; ++i) {
            part[i] = all[first + i];
        }
    }

    function _case(string memory name, uint256 i) internal view returns (string memory) {
        return string.concat(section, ".", name, "[", vm.toString(i), "]");
    }
}
