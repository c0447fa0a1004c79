"""What alerts.toml says of every notice: when it is sent, to whom, about what, and where its link may lead."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import time
from enum import StrEnum

from sca_service.policy.replies import LONGEST_REPLY, Meaning, bare_word


class ConsentRule(StrEnum):
    """What it takes that a payer is sent notices of a topic."""

    OPT_OUT = "opt_out"  # sent until the payer objects
    OPT_IN = "opt_in"  # not sent until the payer agrees (Directive 2002/58/EC Art. 13(1))


@dataclass(frozen=True, slots=True)
class Topic:
    """What some notices are about, so that a payer can want these and not others.

    `words` are replies to a text that end or bring back this topic alone, as `bare_word` leaves them.
    """

    name: str
    consent: ConsentRule
    heeds_quiet_hours: bool
    notices: frozenset[str]
    words: Mapping[str, Meaning] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From when until when, by the clock where the payer is, nothing is sent; over midnight where it ends earlier.

    Where both are the same it is never quiet. `in_sandbox` says whether it is quiet there too.
    """

    begins: time
    ends: time
    in_sandbox: bool = True

    def where(self, *, sandbox: bool) -> "QuietHours":
        """What holds here: whoever tries the service out at night would see nothing arrive."""
        return QuietHours(self.begins, self.begins) if sandbox and not self.in_sandbox else self

    def covers(self, at: time) -> bool:
        """Whether it is quiet at this time of the day."""
        if self.begins <= self.ends:
            return self.begins <= at < self.ends
        return at >= self.begins or at < self.ends


@dataclass(frozen=True, slots=True)
class LinkRule:
    """To which hosts a notice's link may lead, and for how many days after the notice has expired it does.

    `*.bank.example` stands for every host below it.
    """

    hosts: tuple[str, ...]
    keep_days: int

    def allows(self, host: str) -> bool:
        """Whether a link may lead to this host, in lower case."""
        return any(
            host == one or (one.startswith("*.") and host.endswith(one[1:]) and host != one[1:])
            for one in self.hosts
        )


@dataclass(frozen=True, slots=True)
class TopicWish:
    """What a payer's reply says of one topic."""

    topic: str
    meaning: Meaning


@dataclass(frozen=True, slots=True)
class NoticeRules:
    """The rules for all notices. Times of day are those of the payer, where their zone is known."""

    keep_days: int
    most_per_second: int
    most_days_ahead: int
    default_time_zone: str
    quiet_hours: QuietHours
    links: LinkRule
    topics: tuple[Topic, ...]

    def topic_of(self, notice: str) -> str:
        """The name of a notice's topic, "" for one that has none."""
        return next((topic.name for topic in self.topics if notice in topic.notices), "")

    def topic(self, name: str) -> Topic | None:
        """The topic of this name, None when the policy has none."""
        return next((topic for topic in self.topics if topic.name == name), None)

    def wish(self, text: str) -> TopicWish | None:
        """What a reply to a text says of a topic, if it is one of the topics' words and nothing else."""
        word = bare_word(text) if len(text) <= LONGEST_REPLY else ""
        for topic in self.topics:
            if word in topic.words:
                return TopicWish(topic.name, topic.words[word])
        return None
