"""What an auditor daemon wants to know, looked into one by one, and remembered.

The largest bounty first, of equal ones the most urgent: an examination takes as long as strangers let it, and who posts
tasks of a wei, and serves their models slowly, must not keep auditors from a claim that is worth a lie.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dlbc.core.errors import DlbcError, LimitReached
from dlbc.core.examination import Examination, Subject, examination_from_record, examination_to_json
from dlbc.core.report import LIMITS, Check
from dlbc.core.types import TaskId, Timestamp, Verdict, Wei
from dlbc.ports import Examinations, Examining, Journal
from dlbc.roles.loop import Report, unheard

EXAMINATION = "examination"
AGAIN_SECONDS = 30
"""Of the chain's time, until what could not be found out is looked at again."""
ABSENCES = 2
"""Examinations that have to find bytes unavailable before anything is done about it."""
BREAKS = 2
"""Examinations that have to break their limits before it is given up: without a verdict, and told."""


@dataclass(slots=True)
class ExaminationQueue:
    """Found once, an examination is on disk until its task is over."""

    journal: Journal
    examinations: Examinations
    report: Report = unheard
    _wanted: dict[Subject, tuple[Timestamp, Wei]] = field(default_factory=dict)
    """Until when it is of use, and the bounty that hangs on it."""
    _found: dict[Subject, Examination] = field(default_factory=dict)
    _absences: dict[Subject, int] = field(default_factory=dict)
    _breaks: dict[Subject, int] = field(default_factory=dict)
    _not_before: dict[Subject, Timestamp] = field(default_factory=dict)
    _running: tuple[Subject, Examining] | None = None

    def load(self) -> None:
        """What an earlier process found. What its limits kept from it, this one may find."""
        for _, record in self.journal.all(EXAMINATION):
            found = examination_from_record(record)
            if all(check.name != LIMITS for check in found.failed):
                self._found[found.subject] = found

    def known(self, subject: Subject) -> Examination | None:
        """What was found, if it is enough to act on: bytes that nobody serves once may be served later."""
        found = self._found.get(subject)
        if found is not None and found.verdict is Verdict.UNAVAILABLE and self._absences.get(subject, 0) < ABSENCES:
            return None
        return found

    def want(self, subject: Subject, until: Timestamp, bounty_wei: Wei) -> Examination | None:
        """What is known; if it is not enough, it is looked into before `until`. Holds until the next `step`."""
        found = self.known(subject)
        if found is None:
            self._wanted[subject] = until, bounty_wei
        return found

    def step(self, now: Timestamp) -> None:
        """Takes in what has come, and begins with the first of what is wanted if nothing runs."""
        self._gather(now)
        due = [
            (-bounty_wei, until, subject.key, subject)
            for subject, (until, bounty_wei) in self._wanted.items()
            if self.known(subject) is None and self._not_before.get(subject, 0) <= now < until
        ]
        self._wanted.clear()
        if self._running is None and due:
            *_, subject = min(due)
            self.report("examination_started", task_id=subject.task_id, about=about(subject))
            self._running = subject, self.examinations.start(subject.task_id, test_set=subject.is_test_set)

    @property
    def is_busy(self) -> bool:
        """An examination runs."""
        return self._running is not None

    def forget(self, task_id: TaskId) -> None:
        """A task is over."""
        for subject in [subject for subject in self._found if subject.task_id == task_id]:
            del self._found[subject]
            self.journal.delete(EXAMINATION, subject.key)

    def close(self) -> None:
        """Ends what runs."""
        if self._running is not None:
            self._running[1].stop()
            self._running = None

    def _gather(self, now: Timestamp) -> None:
        if self._running is None:
            return
        subject, running = self._running
        try:
            found = running.poll()
        except LimitReached as error:
            self._running = None
            self._broke(subject, now, str(error))
            return
        except DlbcError as error:
            self._running = None
            self._not_before[subject] = Timestamp(now + AGAIN_SECONDS)
            self.report("failed", task_id=subject.task_id, do="examine", reason=str(error))
            return
        if found is None:
            return
        self._running = None
        if found.subject == subject:  # else somebody else leads meanwhile
            self._note(found, now)

    def _broke(self, subject: Subject, now: Timestamp, why: str) -> None:
        """Once may be the machine's mood; twice is given up, and nobody is accused for it."""
        self._breaks[subject] = self._breaks.get(subject, 0) + 1
        if self._breaks[subject] < BREAKS:
            self._not_before[subject] = Timestamp(now + AGAIN_SECONDS)
            self.report("failed", task_id=subject.task_id, do="examine", reason=why)
        else:
            self._note(Examination(subject, (Check(LIMITS, False, "a finding", why),)), now)

    def _note(self, found: Examination, now: Timestamp) -> None:
        subject = found.subject
        if found.verdict is Verdict.UNAVAILABLE:
            self._absences[subject] = self._absences.get(subject, 0) + 1
            self._not_before[subject] = Timestamp(now + AGAIN_SECONDS)
        self._found[subject] = found
        self.journal.put(EXAMINATION, subject.key, examination_to_json(found))
        self.report(
            "examined",
            task_id=subject.task_id,
            about=about(subject),
            verdict=found.verdict.name.lower(),
            failed=", ".join(check.name for check in found.failed) or None,
        )


def about(subject: Subject) -> str:
    """For messages."""
    return "the test set" if subject.is_test_set else f"the claim of {subject.account}"
