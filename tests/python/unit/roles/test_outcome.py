"""What a call outside of its phase is told: wait, or never."""

from __future__ import annotations

import pytest
from dlbc.core.errors import NotYet, Refused
from dlbc.core.types import Phase
from dlbc.roles.outcome import not_now

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("phase", "wanted"),
    [
        (Phase.TRAINING, Phase.REVEALING),
        (Phase.REVEALING, Phase.CHALLENGE),
        (Phase.OPENING, Phase.CHALLENGE),
        (Phase.NOMINATING, Phase.OPENING),
        (Phase.NOMINATING, Phase.CHALLENGE),
    ],
)
def test_not_now__phase_still_to_come__is_exit_3(phase: Phase, wanted: Phase) -> None:
    """A script may try again; after a strike the next leader opens, so that counts as still to come."""
    error = not_now(phase, wanted, "too early")

    assert isinstance(error, NotYet)
    assert (error.exit_code, error.retryable, str(error)) == (3, True, "too early")


@pytest.mark.parametrize(
    ("phase", "wanted"),
    [
        (Phase.VOTING_COMMIT, Phase.CHALLENGE),
        (Phase.SETTLED, Phase.CHALLENGE),
        (Phase.OPENING, Phase.REVEALING),
        (Phase.NOMINATING, Phase.REVEALING),
        (Phase.OPENING, Phase.OPENING),
    ],
)
def test_not_now__phase_gone_by_or_another_reason__is_exit_1(phase: Phase, wanted: Phase) -> None:
    """Waiting would not help."""
    error = not_now(phase, wanted, "too late")

    assert type(error) is Refused
    assert error.exit_code == 1
