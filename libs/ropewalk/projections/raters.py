"""Who may label answers of a task set, and how far each rater is."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import mean, median

from ropewalk.events.base import Message
from ropewalk.events.label import RaterInvited, RaterRevoked
from ropewalk.projections.labels import Labelled


def key_of_secret(secret: str) -> str:
    """What the log has of the secret in a rater's link."""
    return hashlib.sha256(secret.encode()).hexdigest()


@dataclass
class Invitations:
    """The links of a task set that nobody revoked, by the hash of their secret. Raters keep those they got."""

    links: dict[str, RaterInvited] = field(default_factory=dict)
    revoked: set[str] = field(default_factory=set)

    def add(self, message: Message) -> None:
        """The next message about the task set."""
        if isinstance(message, RaterInvited):
            self.links[message.key_sha256] = message
            self.revoked.discard(message.rater)
        elif isinstance(message, RaterRevoked):
            self.links = {key: link for key, link in self.links.items() if link.rater != message.rater}
            self.revoked.add(message.rater)

    def rater_of(self, secret: str, now: float) -> str:
        """Whose link it is; empty: nobody's, or not any more."""
        link = self.links.get(key_of_secret(secret))
        return link.rater if link is not None and now < link.until_unix else ""

    def raters(self) -> dict[str, float]:
        """Until when the longest link of each is good, in seconds since 1970; 0: it was revoked."""
        found = dict.fromkeys(self.revoked, 0.0)
        for link in self.links.values():
            found[link.rater] = max(found.get(link.rater, 0.0), link.until_unix)
        return found


@dataclass(frozen=True, kw_only=True)
class RaterFigures:
    """One rater of a task set. `agreement`: of the others who graded the same sheets, the share that said the same,
    the mean over `num_shared` sheets; None without any. `until_unix` 0: revoked."""

    rater: str
    until_unix: float
    num_labels: int
    median_s: float | None
    num_shared: int
    agreement: float | None


def rater_figures(messages: Iterable[Message]) -> list[RaterFigures]:
    """By name, from all that the log has about a task set and its sheets."""
    invitations, labelled = Invitations(), Labelled()
    for message in messages:
        invitations.add(message)
        labelled.add(message)
    until = invitations.raters()
    seconds: dict[str, list[float]] = {rater: [] for rater in until}
    for (rater, _), label in labelled.labels.items():
        seconds.setdefault(rater, []).append(label.seconds)
    same = _same_as_others(labelled)
    return [
        RaterFigures(
            rater=rater,
            until_unix=until.get(rater, 0.0),
            num_labels=len(found),
            median_s=median(found) if found else None,
            num_shared=len(same.get(rater, ())),
            agreement=mean(same[rater]) if rater in same else None,
        )
        for rater, found in sorted(seconds.items())
    ]


def _same_as_others(labelled: Labelled) -> dict[str, list[float]]:
    """By rater: of each sheet that others graded, too, the share of them that said the same."""
    found: dict[str, list[float]] = {}
    for grades in labelled.grades().values():
        for rater, grade in grades.items():
            others = [other for who, other in grades.items() if who != rater]
            if others:
                found.setdefault(rater, []).append(others.count(grade) / len(others))
    return found
