"""The model card: what it says, and that no name a requester chooses means anything but itself."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import yaml
from dlbc.core.architecture import Architecture, architecture_from_json
from dlbc.core.audit_document import Ancestor
from dlbc.core.errors import BadInput
from dlbc.core.license import check_license, hub_license
from dlbc.core.model_card import ModelFacts, card, config, record_of
from dlbc.core.types import Address, Hash32, TaskId, Timestamp, Wei
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

pytestmark = pytest.mark.unit

MARKET, MINER, REQUESTER = (Address("0x" + digit * 40) for digit in "123")
HASH, PARENT, ROOT = (Hash32(bytes([number]) * 32) for number in (7, 8, 9))
FACTS = ModelFacts(
    chain_id=31337,
    market=MARKET,
    task_id=TaskId(12),
    round=1,
    name="clothes",
    license="CC-BY-4.0",
    requester=REQUESTER,
    miner=MINER,
    model_hash=HASH,
    watermark_root=ROOT,
    architecture=Architecture("cnn", (1, 28, 28), 10, (128,), (32, 64)),
    training_samples=60_000,
    test_samples=10_000,
    total=9_012,
    score_ppm=901_200,
    min_score_ppm=850_000,
    block_height=41,
    block_hash=Hash32(b"\x05" * 32),
    settled_at=Timestamp(1_800_000_000),
    lineage=(),
    royalty_bps=500,
    royalty_wei=Wei(0),
)
HOSTILE = [
    '<script>alert("1")</script>',
    "</code><img src=x onerror=alert(1)>",
    "[click](javascript:alert(1))",
    "![x](https://example.invalid/x.png)",
    "https://example.invalid www.example.invalid a@example.invalid",
    "`` ` ``` tick",
    "`",
    "``",
    "*b* _i_ ~~s~~ # h | cell | &lt;b&gt; &#x41; \\` \\",
    '": injected\\nlicense: mit',
    "--- ... %TAG !!python/object:os.system &a *a {x: y} [1] > | ' \"",
    "null",
    "1e3",
    "{{ 7*7 }} {% raw %} ${HOME} $(id)",
    "名前 é ☃ 🙂",
    "right\u202eleft\u2028line\u0085next\x1b[31m\0\n---\nlicense: mit\n---\n",
    "\ud800",
]


def parts(text: str) -> tuple[dict[str, Any], str]:
    """(front matter, Markdown) of a card, by the first two lines of three dashes."""
    empty, front, body = text.split("---\n", 2)
    assert empty == ""
    return yaml.safe_load(front), body


def tokens(body: str) -> list[tuple[str, str]]:
    """What a Markdown parser makes of it, down to the spans."""
    found = []
    for token in MarkdownIt("commonmark").enable("table").parse(body):
        found += [(token.type, token.content if not token.children else "")]
        found += [(child.type, child.content) for child in token.children or ()]
    return found


def shown(name: str) -> str:
    """What is left of a name where every character has to be printable."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in name)


def test_card__front_matter__is_the_hub_s_schema() -> None:
    """Licence, library, tags, metric and the result as a model-index: the names that the Hub's specification has."""
    front, _ = parts(card(FACTS))
    assert front == {
        "license": "cc-by-4.0",
        "library_name": "pytorch",
        "tags": ["dlbc", "pytorch", "safetensors", "watermarked", "cnn"],
        "metrics": ["accuracy"],
        "model-index": [
            {
                "name": "clothes",
                "results": [
                    {
                        "task": {"type": "image-classification"},
                        "dataset": {
                            "type": "dlbc-test-set",
                            "name": "sealed test set of task 12, round 1",
                            "split": "test",
                        },
                        "metrics": [{"type": "accuracy", "value": 0.9012, "name": "Top-1 accuracy"}],
                    }
                ],
            }
        ],
    }


def test_card__body__says_where_it_is_recorded_and_how_to_check_it() -> None:
    """Score, ledger block, market, both people, lineage, licence, mark, and the commands."""
    _, body = parts(card(FACTS))
    for expected in (
        "# Task 12, round 1: `clothes`",
        "**90.12 %** top-1 accuracy (901,200 parts per million):\n9,012 of 10,000 held-out samples",
        "| chain id | 31337 |",
        f"| market | `{MARKET}` |",
        f"| ledger block | height 41, hash `0x{'05' * 32}` |",
        "| settled | 2027-01-15 08:00:00 UTC |",
        f"| miner | `{MINER}` |",
        "No parent was declared",
        "`CC-BY-4.0` (an SPDX identifier)",
        f"root of its keys is `0x{ROOT.hex()}`",
        f"sha256sum model.safetensors    # {HASH.hex()}",
        "dlbc model verify model.safetensors --task 12 --round 1",
        "dlbc audit 12 --round 1",
        "torch.zeros(2, 1, 28, 28)",
    ):
        assert expected in body


def test_card__lineage__every_ancestor_back_to_the_root_and_what_the_parent_got() -> None:
    """The nearest first; a parent that this ledger does not know is told as that."""
    line = (
        Ancestor(PARENT, TaskId(3), 0, MINER, 880_000),
        Ancestor(ROOT, None, None, None, None),
    )
    _, body = parts(card(replace(FACTS, lineage=line, royalty_wei=Wei(5 * 10**16))))
    assert f"1. `{PARENT.hex()}`: task 3, round 0, 88.00 %, miner `{MINER}`\n2. `{ROOT.hex()}`, which" in body
    assert "a royalty of 5 %, 0.05 ether" in body


def test_card__no_licence__says_that_none_was_named() -> None:
    """Nobody is told that they may do what nobody allowed."""
    front, body = parts(card(replace(FACTS, license="")))
    assert front["license"] == "unknown"
    assert "The requester named no licence." in body


def test_card__licence_that_the_hub_does_not_list__is_other_with_its_name() -> None:
    """The Hub refuses a card with an identifier of its own list's outside."""
    front, _ = parts(card(replace(FACTS, license="LicenseRef-Mine-2.0")))
    assert (front["license"], front["license_name"]) == ("other", "licenseref-mine-2.0")


@pytest.mark.parametrize("name", HOSTILE)
def test_card__hostile_name__is_text_and_nothing_else(name: str) -> None:
    """To YAML it is one text; to Markdown one code span: the rest of both is as for any other name."""
    front, body = parts(card(replace(FACTS, name=name)))
    plain_front, plain_body = parts(card(FACTS))
    assert front["model-index"][0].pop("name") == shown(name)
    plain_front["model-index"][0].pop("name")
    assert front == plain_front
    found, plain = tokens(body), tokens(plain_body)
    (place,) = [index for index, token in enumerate(plain) if token == ("code_inline", "clothes")]
    assert found[place] == ("code_inline", shown(name))
    assert (found[:place], found[place + 1 :]) == (plain[:place], plain[place + 1 :])


@given(name=st.text(min_size=1, max_size=100).map(str.strip).filter(bool))
def test_card__any_name__is_text_and_nothing_else(name: str) -> None:
    """Whatever a manifest could hold, and what it could not."""
    front, body = parts(card(replace(FACTS, name=name)))
    assert front["model-index"][0]["name"] == shown(name)
    assert ("code_inline", shown(name)) in tokens(body)
    assert not {"html_block", "html_inline", "link_open", "image"} & {kind for kind, _ in tokens(body)}
    card(replace(FACTS, name=name)).encode()


@pytest.mark.parametrize("name", HOSTILE)
def test_config__hostile_name__is_a_json_text(name: str) -> None:
    """ASCII only, so that nothing in it can hide or reorder."""
    text = config(replace(FACTS, name=name))
    assert text.isascii()
    assert json.loads(text)["name"] == name


def test_config__any_program__can_build_the_model_from_it() -> None:
    """The architecture is the manifest's own form; shapes, and where the ledger records it."""
    value = json.loads(config(FACTS))
    assert architecture_from_json(value["architecture"]) == FACTS.architecture
    assert value["input"] == {"dtype": "float32", "shape": ["batch", 1, 28, 28]}
    assert value["output"]["shape"] == ["batch", 10]
    assert value["preprocessing"] is None
    assert (value["license"], json.loads(config(replace(FACTS, license="")))["license"]) == ("CC-BY-4.0", None)
    assert value["dlbc"] == record_of(FACTS)
    assert value["dlbc"]["model_hash"] == HASH.hex()


@pytest.mark.parametrize(
    ("shape", "kind"),
    [((64,), "tabular-classification"), ((3, 8, 8), "image-classification"), ((5, 7), "other")],
)
def test_card__task_type__follows_the_samples_shape(shape: tuple[int, ...], kind: str) -> None:
    """The Hub's names; what is neither a picture nor a row is not guessed."""
    front, _ = parts(card(replace(FACTS, architecture=Architecture("mlp", shape, 10, ()))))
    assert front["model-index"][0]["results"][0]["task"] == {"type": kind}


@pytest.mark.parametrize(
    ("identifier", "hub"),
    [
        ("", ("unknown", None)),
        ("MIT", ("mit", None)),
        ("Apache-2.0", ("apache-2.0", None)),
        ("GPL-3.0-only", ("gpl-3.0", None)),
        ("AGPL-3.0-or-later", ("agpl-3.0", None)),
        ("LGPL-2.1-or-later", ("lgpl-2.1", None)),
        ("BUSL-1.1", ("other", "busl-1.1")),
        ("GPL-9.9-only", ("other", "gpl-9.9-only")),
    ],
)
def test_hub_license__spdx_identifier__as_the_hub_writes_it(identifier: str, hub: tuple[str, str | None]) -> None:
    """Lower case, and GNU's without "only"; what the Hub does not list is "other" and a name."""
    assert hub == hub_license(identifier)


@pytest.mark.parametrize(
    "value", ["", " MIT", "MIT OR Apache-2.0", "a" * 65, "-MIT", "MIT\n", "<b>", "MIT`", 5, None, True, ["MIT"], "é"]
)
def test_check_license__anything_but_an_identifier__refused(value: object) -> None:
    """One sentence with an example."""
    with pytest.raises(BadInput, match=r"^license: expected an SPDX identifier .* \(such as CC-BY-4\.0\), found"):
        check_license(value, what="license")
