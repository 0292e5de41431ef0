"""All cases, in the order in which a task lives."""

from __future__ import annotations

from hostile import events, files, limits, manifests, originals, predictions, releases, sealed, weights
from hostile.case import Case

LEAST = 200


def cases() -> list[Case]:
    """Every case has a name of its own."""
    found = [
        *files.cases(),
        *manifests.cases(),
        *releases.cases(),
        *sealed.cases(),
        *weights.cases(),
        *predictions.cases(),
        *originals.cases(),
        *events.cases(),
        *limits.cases(),
    ]
    assert len({case.id for case in found}) == len(found) >= LEAST
    return found
