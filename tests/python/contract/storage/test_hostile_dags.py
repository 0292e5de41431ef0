"""A real node that holds what strangers made: nothing of it is taken for a file, and the node goes on serving."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest
from dlbc.adapters.scoring import ConfinedScorer
from dlbc.adapters.storage.ipfs import IpfsStorage
from dlbc.core.errors import DlbcError
from hostile.case import MOST_BYTES, MOST_SECONDS, Case, judge
from hostile.dags import DAGS, SECONDS, cases, plant
from hostile.stage import Stage
from kubo_process import KuboProcess

pytestmark = pytest.mark.contract

NODES: list[KuboProcess] = []
CASES = cases(lambda _: NODES[0].api)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The node makes its repository, then has the blocks."""
    folder = tmp_path_factory.mktemp("dags")
    with KuboProcess(folder) as node:
        plant(node)
        NODES[:] = [node]
        stage = Stage(folder, ConfinedScorer())
        yield stage
        stage.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_dag__no_file_of_ours__is_not_had_in_bounded_time(case: Case, stage: Stage) -> None:
    """A CID alone binds nobody to a file: the bytes are hashed again, and what never ends is given up."""
    outcome = judge(case, stage)
    assert outcome.verdict == case.expected, outcome.sentence
    assert outcome.seconds < min(MOST_SECONDS, 3 * SECONDS)
    assert outcome.peak_bytes < MOST_BYTES


def test_dag__after_all_of_them__the_node_serves_what_it_is_given(stage: Stage) -> None:
    """Whoever is asked for hostile files must not be out of order for honest ones."""
    storage = IpfsStorage(NODES[0].api)
    for _, dag in DAGS.values():
        with suppress(DlbcError):  # some can be pinned: they are DAGs, and no files of ours
            storage.pin(dag.root, timeout=1.0)
    data = b"honest" * 100_000
    assert storage.fetch(storage.add(data), max_bytes=len(data), timeout=20) == data
