"""The built-in trainer as a strategy, and the example for others: the manifest's recipe, for as long as time allows."""

from __future__ import annotations

from dlbc.adapters.ml.loop import Loop
from dlbc.adapters.ml.task import Trained, TrainingTask


class Default:
    """AdamW on one cycle; the best epoch by the validation part."""

    def train(self, task: TrainingTask) -> Trained:
        """Resumes from the work folder's checkpoint if there is one of this job."""
        found = Loop(task).run()
        notes = {"ended": found.ended, "resumed_after_epoch": found.resumed_after_epoch}
        return Trained(found.best, found.epochs, found.seconds, notes)
