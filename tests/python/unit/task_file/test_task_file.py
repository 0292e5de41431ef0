"""TASK.toml: what is accepted, and the one sentence for everything that is not."""

from __future__ import annotations

import numpy as np
import pytest
from dlbc.core import watermark
from dlbc.core.architecture import CLASSIFIERS, SEGMENTERS, tensor_shapes
from dlbc.core.errors import BadInput
from dlbc.core.task_file import BUILT_IN, TaskFile, check_against_market, parse_task_file
from dlbc.core.task_template import task_template
from dlbc.core.types import ZERO_ADDRESS, Params, Wei
from dlbc.ports import Dataset
from dlbc.roles.preparing import architecture_for

pytestmark = pytest.mark.unit

ETHER = 10**18
PARAMS = Params(200, 1_000, 60, 7_776_000, 0, 86_400, 500_000, 200_000, 200_000, 100_000, 7_776_000, 600, ZERO_ADDRESS)
GOOD = task_template("TASK.toml", "digits", "mlp")


def replaced(old: str, new: str) -> str:
    """The good file with one part replaced; the part has to be there."""
    assert old in GOOD
    return GOOD.replace(old, new)


def test_parse__template__gives_every_setting() -> None:
    """What `task init` writes is a valid task, and its units are exact."""
    expected = TaskFile(
        name="digits-mlp",
        source="digits",
        seed=1,
        family="mlp",
        hidden=(256, 128),
        channels=(),
        blocks=(),
        width=0,
        heads=0,
        layers=0,
        epochs=30,
        batch=128,
        learning_rate_ppm=1_000,
        bounty_wei=Wei(ETHER),
        deposit_wei=Wei(ETHER * 35 // 100),
        bond_wei=Wei(ETHER // 10),
        royalty_bps=500,
        train_seconds=180,
        release_seconds=300,
        reveal_seconds=60,
        open_seconds=120,
        challenge_seconds=60,
        min_score_ppm=900_000,
        tolerance_ppm=2_000,
    )
    assert expected == parse_task_file(GOOD)


def test_parse__licence__is_named_or_is_none() -> None:
    """The template has it as a comment; an identifier is taken as it is, anything else refused by name."""
    assert parse_task_file(GOOD).license == ""
    named = replaced('# license = "CC-BY-4.0"', 'license = "CC-BY-4.0"')
    assert parse_task_file(named).license == "CC-BY-4.0"
    with pytest.raises(BadInput, match=r"^license: expected an SPDX identifier .* found 'MIT or so'$"):
        parse_task_file(replaced('# license = "CC-BY-4.0"', 'license = "MIT or so"'))


@pytest.mark.parametrize("source", ["digits", "fashion-mnist", "folder/my data.npz", 'we"ird\\.npz', "é☃.npz"])
@pytest.mark.parametrize("family", CLASSIFIERS)
def test_template__any_source__parses_back(source: str, family: str) -> None:
    """A template written for any file name names exactly that file."""
    task = parse_task_file(task_template("TASK.toml", source, family))
    assert (source, family) == (task.source, task.family)


def test_template__windows__end_while_somebody_waits() -> None:
    """Nobody sits for hours in front of a local network whose clock runs in real time."""
    task = parse_task_file(GOOD)
    assert task.train_seconds + task.reveal_seconds + task.challenge_seconds <= 300


def test_template__unknown_family__refused() -> None:
    """A family nobody trains is not written into a file."""
    with pytest.raises(BadInput, match="family: expected one of mlp, cnn, resnet, transformer, found 'gan'"):
        task_template("TASK.toml", "digits", "gan")


@pytest.mark.parametrize("source", [*BUILT_IN, "my.npz"])
@pytest.mark.parametrize("family", CLASSIFIERS)
def test_template__any_family__is_an_architecture_with_room_for_the_mark(source: str, family: str) -> None:
    """What the file says is a model of its family for the data, and every slot has its 8,000 carriers."""
    task = parse_task_file(task_template("TASK.toml", source, family))
    side = 8 if source == "digits" else 28

    architecture = architecture_for(task, Dataset(np.zeros((10, 1, side, side), np.float32), np.arange(10)))

    assert (family, 10) == (architecture.family, architecture.classes)
    assert watermark.carriers_per_slot(tensor_shapes(architecture)) >= watermark.MIN_CARRIERS


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ('family = "mlp"\nheads = 4', r"architecture\.heads: an mlp has no heads; remove it"),
        ('family = "cnn"\nchannels = [8]\nblocks = [1]', r"architecture\.blocks: a cnn has no blocks"),
        ('family = "resnet"\nchannels = [8, 16]', r"architecture\.blocks: this setting is missing; a resnet needs it"),
        ('family = "resnet"\nchannels = [8, 16]\nblocks = [1]', "expected one number for each of 2 channels, found 1"),
        ('family = "transformer"\nwidth = 8\nheads = 2', r"architecture\.layers: this setting is missing"),
        ('family = "transformer"\nwidth = 8\nheads = 3\nlayers = 1', "expected a divisor of the width 8, found 3"),
        ('family = "transformer"\nhidden = [8]\nwidth = 8\nheads = 2\nlayers = 1', "a transformer has no hidden"),
    ],
)
def test_architecture_for__settings_of_another_family__refused_by_name(model: str, sentence: str) -> None:
    """A setting that the family does not use, or lacks, is named before anything is packed or stored."""
    task = parse_task_file(replaced('family = "mlp"\nhidden = [256, 128]', model))
    with pytest.raises(BadInput, match=sentence):
        architecture_for(task, Dataset(np.zeros((10, 1, 8, 8), np.float32), np.arange(10)))


@pytest.mark.parametrize("family", SEGMENTERS)
def test_parse__family_that_classifies_pixels__refused_until_tasks_can_score_it(family: str) -> None:
    """A task is scored by one class a sample; a family that gives every pixel one is refused, and told apart."""
    text = replaced('family = "mlp"', f'family = "{family}"')
    with pytest.raises(BadInput, match=rf"^model\.family: expected a family that gives a sample one class.*'{family}'"):
        parse_task_file(text)


def test_parse__deposit_and_bond_left_out__a_third_and_a_tenth() -> None:
    """Without a deposit or bond, a task takes 35 % and 10 % of the bounty, rounded up."""
    text = replaced('bounty = "1 ether"\ndeposit = "0.35 ether"\nbond = "0.1 ether"', "bounty = 101")
    task = parse_task_file(text)
    assert (task.bounty_wei, task.deposit_wei, task.bond_wei) == (101, 36, 11)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("name = ", "nmae = ", "nmae: unknown setting"),
        ("[windows]", "[window]", "window: unknown setting"),
        ('source = "digits"', "", "data.source: this setting is missing"),
        ('source = "digits"', "source = 7", "data.source: expected text"),
        ('name = "digits-mlp"', 'name = "a\\u0007b"', "name: .* characters that are not allowed"),
        ('name = "digits-mlp"', f'name = "{"x" * 65}"', "name: expected text of 1 to 64"),
        ("epochs = 30", "epochs = 0", "training.epochs: expected a whole number from 1 to 100000, found '0'"),
        ("epochs = 30", "epochs = true", "training.epochs: expected a whole number"),
        ("epochs = 30", "epochs = 3.5", "training.epochs: expected a whole number"),
        ("batch = 128", "batch = -1", "training.batch: expected a whole number"),
        ("learning_rate = 0.001", "learning_rate = nan", "training.learning_rate: expected a number"),
        ("learning_rate = 0.001", "learning_rate = 0.0000001", "at most six decimals"),
        ("learning_rate = 0.001", "learning_rate = 1e400", "training.learning_rate: expected 0.000001 to 10"),
        ("seed = 1", "seed = -1", "data.seed: expected a whole number from 0 to"),
        ("hidden = [256, 128]", 'hidden = ["a"]', "model.hidden: expected a list"),
        ("hidden = [256, 128]", "hidden = 256", "model.hidden: expected a list"),
        ('family = "mlp"', 'family = "gan"', "model.family: expected one of mlp, cnn, resnet, transformer, found"),
        ("hidden = [256, 128]", "blocks = [0]", "model.blocks: expected a list"),
        ("hidden = [256, 128]", "width = -1", "model.width: expected a whole number from 0 to 1048576"),
        ("hidden = [256, 128]", "heads = 1.5", "model.heads: expected a whole number"),
        ("hidden = [256, 128]", "layers = 65", "model.layers: expected a whole number from 0 to 64"),
        ('bounty = "1 ether"', 'bounty = "one ether"', "money.bounty: expected an amount"),
        ('bounty = "1 ether"', 'bounty = "1 euro"', "money.bounty: expected an amount"),
        ('bounty = "1 ether"', 'bounty = "0.1 wei"', "not a whole number of wei"),
        ('bounty = "1 ether"', "bounty = -5", "money.bounty: expected 0 to"),
        ('bounty = "1 ether"', 'bounty = "1e99 ether"', "money.bounty: expected 0 to"),
        ('bounty = "1 ether"', 'bounty = "1e999999999999999999999 ether"', "money.bounty: expected"),
        ('bounty = "1 ether"', 'bounty = "inf ether"', "expected an amount"),
        ('train = "3m"', 'train = "soon"', "windows.train: expected a duration"),
        ('train = "3m"', 'train = "0s"', "windows.train: expected 1 to"),
        ('train = "3m"', 'train = "9999999d"', "windows.train: expected 1 to"),
        ('train = "3m"', "train = 1.5", "windows.train: expected a duration"),
        ("tolerance = 0.002", "tolerance = 0.5", "scoring.tolerance: expected 0 to 0.02, found 0.5"),
        ("min_score = 0.9", "min_score = 1.01", "scoring.min_score: expected 0 to 1, found 1.01"),
        ("[scoring]", "scoring = 3\n[x]", "unknown setting|expected a table"),
        ("[data]", "[data", "not valid TOML"),
    ],
)
def test_parse__wrong_setting__one_sentence_names_it(old: str, new: str, sentence: str) -> None:
    """Every malformed setting is refused by name, with what was expected and found, on one line."""
    with pytest.raises(BadInput, match=sentence) as caught:
        parse_task_file(replaced(old, new))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("text", [b"\xff\xfe", b"x = [" * 20_000, b"a" * 70_000, b""])
def test_parse__not_a_task_file__refused(text: bytes) -> None:
    """Bytes that are no task file at all are refused without a traceback."""
    with pytest.raises(BadInput):
        parse_task_file(text)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('train = "3m"', 'train = "59s"', "windows.train: this market allows 60 to 7776000 seconds, found 59"),
        ('open = "2m"', 'open = "91d"', "windows.open: this market allows"),
        ("royalty = 0.05", "royalty = 0.2", "money.royalty: this market allows at most 0.1, found 0.2"),
        ('deposit = "0.35 ether"', 'deposit = "0.09 ether"', "money.deposit: expected 10 to 100 %"),
        ('bond = "0.1 ether"', 'bond = "1.1 ether"', "money.bond: expected 10 to 100 %"),
        (
            'bounty = "1 ether"\ndeposit = "0.35 ether"\nbond = "0.1 ether"',
            "bounty = 0",
            "money.bounty: expected more than 0 wei",
        ),
    ],
)
def test_check_against_market__outside_its_bounds__refused_before_sending(old: str, new: str, sentence: str) -> None:
    """What the market would revert is refused on this side, naming the setting of the file."""
    task = parse_task_file(replaced(old, new))
    with pytest.raises(BadInput, match=sentence):
        check_against_market(task, PARAMS)


def test_check_against_market__template__accepted() -> None:
    """The written template fits a market with the default parameters."""
    check_against_market(parse_task_file(GOOD), PARAMS)
