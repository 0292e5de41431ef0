"""docs/protocol.md keeps its promise: every rule names tests, and these exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[3]
HEADING = "## Rules and their tests\n"
RULE_ROW = re.compile(r"^\| ([PM]-\d+) \|", re.MULTILINE)
RULE_ITEM = re.compile(r"^- \*\*([PM]-\d+)\*\*(.*?)(?=^- |\Z)", re.MULTILINE | re.DOTALL)
QUOTED = re.compile(r"`([^`]+)`")


def read_protocol() -> tuple[list[str], dict[str, list[tuple[str, str]]]]:
    """The rules of the tables; of the list, each rule's (file, test) pairs."""
    rules, _, listed = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8").partition(HEADING)
    return RULE_ROW.findall(rules), {rule: named_in(text) for rule, text in RULE_ITEM.findall(listed)}


def named_in(text: str) -> list[tuple[str, str]]:
    """Every quoted name that follows a quoted path."""
    found: list[tuple[str, str]] = []
    file = ""
    for quoted in QUOTED.findall(text):
        if "/" in quoted:
            file = quoted
        else:
            found.append((file, quoted))
    return found


def has_test(file: str, name: str) -> bool:
    """Whether the file defines a test of exactly this name, in Solidity or Python."""
    path = ROOT / file
    definition = re.compile(rf"^ *(?:def|function) {re.escape(name)}\(", re.MULTILINE)
    return bool(file) and path.is_file() and definition.search(path.read_text(encoding="utf-8")) is not None


def test_protocol__every_rule__names_its_tests() -> None:
    """The list has the rules of the tables, in their order, and none without a test."""
    rules, listed = read_protocol()
    assert len(rules) > 30
    assert list(listed) == rules
    assert [rule for rule, tests in listed.items() if not tests] == []


def test_protocol__every_named_test__exists() -> None:
    """A test that was renamed or removed is named here."""
    _, listed = read_protocol()
    missing = [
        f"{rule}: {file} {name}" for rule, tests in listed.items() for file, name in tests if not has_test(file, name)
    ]
    assert missing == []


def read_threats() -> dict[str, list[tuple[str, str]]]:
    """Of each row of the threat model's table of attacks, the (file, test) pairs."""
    text = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
    _, _, table = text.partition("## Attacks and answers\n")
    rows = [line.split("|") for line in table.partition("\n## ")[0].splitlines() if line.startswith("| ")]
    return {cells[1].strip(): named_in(cells[3]) for cells in rows if cells[1].strip() != "attack"}


def test_threat_model__every_attack_with_an_answer__names_tests_that_exist() -> None:
    """Only an attack that is said not to be answered has no test."""
    threats = read_threats()
    assert len(threats) > 30
    missing = [
        f"{attack}: {file} {name}"
        for attack, tests in threats.items()
        for file, name in tests
        if not has_test(file, name)
    ]
    assert missing == []
    assert [attack for attack, tests in threats.items() if not tests] == ["Requester leaks the test set"]


def test_has_test__another_file_or_a_part_of_a_name__is_false() -> None:
    """The check itself can fail."""
    file = "tests/solidity/Post.t.sol"
    assert has_test(file, "test_post_numbers_tasks_from_one")
    assert not has_test(file, "test_post_numbers_tasks")
    assert not has_test("tests/solidity/Nowhere.t.sol", "test_post_numbers_tasks_from_one")
    assert not has_test("", "test_post_numbers_tasks_from_one")


def test_client__what_it_says_of_votes__names_no_other_majority_than_the_rules() -> None:
    """Half of the opened locks decides (ADR 0022): a sentence with another share would tell people a wrong risk."""
    wrong = re.compile(r"two thirds(?! of .{0,40}deposit)")
    for file in sorted((ROOT / "client" / "dlbc").rglob("*.py")):
        words = re.sub(r'[\s"]+', " ", file.read_text(encoding="utf-8"))  # sentences run over several lines
        assert not wrong.search(words), file.name
