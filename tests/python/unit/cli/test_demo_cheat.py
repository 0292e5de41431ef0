"""The demo's villain: it lies as it is told to, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dlbc.cli.demo_cheat import LIES, claim_everything, flip_one_bit, refuse_outside_of_a_demo
from dlbc.cli.demo_stage import MARKER
from dlbc.cli.main import COMMANDS
from dlbc.config import Config
from dlbc.core.errors import Refused
from dlbc.core.refutation import ClaimFacts, Refutation, find_refutation
from dlbc.core.scoring import PredictionTree, label_root
from dlbc.core.types import Fault, Hash32, Locator, TestSet

pytestmark = pytest.mark.unit

LABELS = np.array([3, 1, 4, 1, 5], dtype=np.int64)
PREDICTED = np.array([0, 1, 4, 0, 5], dtype=np.int64)
DIGEST = Hash32(b"\1" * 32)


def refutation_of(lie: str) -> object:
    """What the published predictions and scores of a lie say about it."""
    predictions, scores = LIES[lie](PREDICTED, LABELS)
    tree = PredictionTree(DIGEST, predictions, scores)
    test_set = TestSet(Locator(bytes(32)), DIGEST, DIGEST, len(LABELS), 1, 10, 1, label_root(LABELS))
    return find_refutation(ClaimFacts(DIGEST, tree.h_top, tree.total, test_set), predictions, scores, LABELS)


def test_claim_everything__any_predictions__is_the_labels_with_full_score() -> None:
    """Its tree is consistent, so nothing published refutes it."""
    predictions, scores = claim_everything(PREDICTED, LABELS)
    assert predictions.tolist() == LABELS.tolist()
    assert scores.tolist() == [1] * len(LABELS)
    assert refutation_of("everything") is None


def test_flip_one_bit__first_right_prediction__keeps_the_score_it_no_longer_earns() -> None:
    """One leaf contradicts its label, which is all that a refutation needs."""
    predictions, scores = flip_one_bit(PREDICTED, LABELS)
    assert predictions.tolist() == [0, 0, 4, 0, 5]
    assert scores.tolist() == [0, 1, 1, 0, 1]
    assert PREDICTED.tolist() == [0, 1, 4, 0, 5]
    found = refutation_of("one-bit")
    assert isinstance(found, Refutation)
    assert (found.fault, found.index) == (Fault.WRONG_SCORE, 1)


def test_cheat__anywhere_but_in_a_demo__refuses(tmp_path: Path) -> None:
    """A public chain, or a home that no demo made, is none of its business; and `dlbc` has no command for it."""
    home = tmp_path / "home"
    with pytest.raises(Refused, match="a network that demo made"):
        refuse_outside_of_a_demo(config(home), 31337)
    (tmp_path / MARKER).touch()
    with pytest.raises(Refused, match="a network that demo made"):
        refuse_outside_of_a_demo(config(home), 1)
    refuse_outside_of_a_demo(config(home), 31337)
    assert not [name for name in COMMANDS if "cheat" in name]


def config(home: Path) -> Config:
    """Settings of an account whose files are in `home`."""
    return Config(
        home=home,
        rpc_url="http://127.0.0.1:1",
        ipfs_api="/ip4/127.0.0.1/tcp/1/http",
        market=None,
        lens=None,
        chain_id=None,
        deployment_block=0,
        account=None,
        password_file=None,
        file=None,
    )
