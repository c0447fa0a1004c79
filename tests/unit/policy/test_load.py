"""Loading: everything or nothing, and every mistake of every file at once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sca_service.kernel.errors import ConfigurationError
from sca_service.policy.load import FILES, PolicyError, digest_of, load, mistakes
from sca_service.policy.model import AtLimit, Channel, LimitedAction, LimitScope, Purpose, Until

Edit = Callable[[str, str, str], list[str]]


def test_the_shipped_policy_is_what_the_documentation_says(shipped: Path) -> None:
    """Six digits, five minutes, five failures, blocks from 15 minutes to a day, push then SMS then voice."""
    policy = load(shipped)
    assert (policy.code.digits, policy.code.lifetime_seconds) == (6, 300)
    assert (policy.code.shortest_lifetime_seconds, policy.code.longest_lifetime_seconds) == (60, 300)
    assert policy.lockout.most_failures == 5
    assert policy.lockout.block_seconds == (900, 3_600, 14_400, 86_400)
    for purpose in Purpose:
        steps = policy.ladder(purpose).steps
        assert [step.channel for step in steps] == [Channel.PUSH, Channel.SMS, Channel.VOICE]
        assert [step.timeout_seconds for step in steps] == [20, 45, None]
        assert {step.until for step in steps} == {Until.DELIVERED}
    assert policy.resend.first_seconds == 30
    assert {
        (limit.on, limit.scope, limit.count, limit.per_seconds, limit.burst) for limit in policy.limits
    } == {
        (LimitedAction.ISSUE, LimitScope.PAYER, 30, 600, 30),
        (LimitedAction.ISSUE, LimitScope.PHONE, 30, 600, 30),
        (LimitedAction.RESEND, LimitScope.PAYER, 10, 600, 10),
        (LimitedAction.ENROL, LimitScope.PAYER, 60, 3_600, 60),
        (LimitedAction.SEND, LimitScope.PREFIX, 600, 3_600, 600),
        (LimitedAction.VERIFY, LimitScope.IP, 500, 600, 500),
        (LimitedAction.VERIFY, LimitScope.CLIENT, 300, 3_600, 300),
        (LimitedAction.VERIFY, LimitScope.CLIENT, 2_000, 3_600, 2_000),
        (LimitedAction.PROVE, LimitScope.ADDRESS, 600, 60, 600),
    }
    observing = {(limit.on, limit.scope) for limit in policy.limits if limit.at_limit is AtLimit.OBSERVE}
    assert observing == {
        (LimitedAction.SEND, LimitScope.PREFIX),
        (LimitedAction.VERIFY, LimitScope.CLIENT),
    }
    assert [texts.language for texts in policy.texts.languages] == ["en", "de", "it", "hi"]


def test_the_shipped_policy_has_no_mistakes(shipped: Path) -> None:
    """`sca policy check` is content with what we ship."""
    assert mistakes(shipped) == []


def test_mistakes_of_every_file_are_found_at_once(edit: Edit, folder: Path) -> None:
    """Whoever corrects a policy does so in one go."""
    edit("code.toml", "digits = 6", "digits = 5")
    edit("code.toml", "longest_lifetime_seconds = 300", "longest_lifetime_seconds = 601")
    edit("lockout.toml", "most_failures = 5", "most_failures = 6")
    edit("ladder.toml", "first_seconds = 30", 'first_seconds = "30"')
    edit("limits.toml", "most_pending = 20", "most_pendings = 5")
    (folder / "texts.toml").unlink()
    found = mistakes(folder)
    assert [line.partition(": ")[0] for line in found] == [
        "texts.toml",
        "code.toml:digits",
        "code.toml:longest_lifetime_seconds",
        "ladder.toml:resend.first_seconds",
        "limits.toml:most_pending",
        "limits.toml:most_pendings",
        "lockout.toml:most_failures",
    ]


def test_an_invalid_policy_is_not_loaded_at_all(edit: Edit, folder: Path) -> None:
    """The error is a configuration error and lists every mistake, one a line."""
    edit("code.toml", "digits = 6", "digits = 5")
    found = edit("lockout.toml", "most_failures = 5", "most_failures = 6")
    with pytest.raises(PolicyError) as caught:
        load(folder)
    assert isinstance(caught.value, ConfigurationError)
    assert list(caught.value.mistakes) == found
    assert str(caught.value).splitlines() == found


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        (
            "code.toml",
            "digits = 6",
            "digits = 5",
            "code.toml:digits: 5 is too little; allowed: 6 to 10 (NIST",
        ),
        (
            "code.toml",
            "digits = 6",
            "digits = 11",
            "code.toml:digits: 11 is too much; allowed: 6 to 10 (NIST",
        ),
        (
            "code.toml",
            "digits = 6",
            "digits = true",
            "code.toml:digits: is true or false; allowed: a whole number 6",
        ),
        (
            "code.toml",
            "digits = 6",
            "digits = 6.0",
            "code.toml:digits: is a fraction; allowed: a whole number 6",
        ),
        ("code.toml", "digits = 6", "", "code.toml:digits: missing; allowed: a whole number 6 to 10"),
        (
            "code.toml",
            "longest_lifetime_seconds = 300",
            "longest_lifetime_seconds = 601",
            "code.toml:longest_lifetime_seconds: 601 is too much; allowed: 30 to 600 (NIST SP 800-63B-4",
        ),
        (
            "code.toml",
            "longest_lifetime_seconds = 300",
            "longest_lifetime_seconds = 240",
            "code.toml:lifetime_seconds: 300 is outside shortest_lifetime_seconds to "
            "longest_lifetime_seconds; allowed: 60 to 240",
        ),
        (
            "lockout.toml",
            "most_failures = 5",
            "most_failures = 6",
            "lockout.toml:most_failures: 6 is too much; allowed: 1 to 5 (RTS Art. 4(3)(b)",
        ),
        (
            "lockout.toml",
            "    900,",
            "    299,",
            "lockout.toml:block_seconds[1]: 299 is too little; allowed: 300 to 2592000 (RTS Art. 4(4)",
        ),
        (
            "lockout.toml",
            "    900,",
            '    "900",',
            "lockout.toml:block_seconds[1]: is a string; allowed: a whole number 300",
        ),
        (
            "lockout.toml",
            "    14400,",
            "    1440,",
            "lockout.toml:block_seconds: shrinks; allowed: each block at least as long as the one before",
        ),
        (
            "ladder.toml",
            "most_seconds = 120",
            "most_seconds = 29",
            "ladder.toml:resend.most_seconds: is less than first_seconds; allowed: 30 or more",
        ),
        (
            "limits.toml",
            "most_pending = 20",
            "most_pending = 0",
            "limits.toml:most_pending: 0 is too little; allowed: 1 to 20",
        ),
        (
            "texts.toml",
            'default_language = "en"',
            'default_language = "fr"',
            "texts.toml:default_language: is none of the languages in this file; allowed: en, de, it, hi",
        ),
    ],
)
def test_a_mistake_says_where_what_and_what_is_allowed(
    edit: Edit, file: str, old: str, new: str, expected: str
) -> None:
    """One mistake is one line that a compliance person can act on."""
    found = edit(file, old, new)
    assert len(found) == 1
    assert found[0].startswith(expected)


def test_a_folder_that_is_none_is_a_mistake(folder: Path, tmp_path: Path) -> None:
    """A wrong path is told once, not once per file."""
    found = mistakes(tmp_path / "nowhere")
    assert len(found) == 1
    assert found[0].endswith(f"allowed: a folder with {', '.join(FILES)}")


def test_a_file_nobody_reads_is_a_mistake(folder: Path) -> None:
    """A rule in a misnamed file would be believed in and never apply."""
    (folder / "limit.toml").write_text("most_pending = 1\n", encoding="utf-8")
    assert mistakes(folder) == [f"limit.toml: unknown file; allowed: {', '.join(FILES)}"]


def test_a_key_nobody_reads_is_a_mistake(edit: Edit) -> None:
    """A misspelt key is told with the keys there are."""
    found = edit("limits.toml", "most_pending = 20", "most_pending = 20\nmost_waiting = 5")
    assert found == ["limits.toml:most_waiting: unknown key; allowed: most_pending, limit"]


@pytest.mark.parametrize("name", ["email", "e-mail", "Mail"])
def test_a_code_never_travels_by_email(folder: Path, name: str) -> None:
    """NIST SP 800-63B-4 section 3.1.3.1, and the message says so."""
    path = folder / "ladder.toml"
    path.write_text(path.read_text(encoding="utf-8").replace('"sms"', f'"{name}"'), encoding="utf-8")
    found = mistakes(folder)
    assert len(found) == len(Purpose)
    assert found[0] == (
        f'ladder.toml:login.steps[2].channel: "{name}" is not allowed; allowed: sms, voice, push, rcs, whatsapp '
        "(NIST SP 800-63B-4 section 3.1.3.1: e-mail is no channel for codes; it is there for alerts)"
    )


RESEND = """
[resend]
first_seconds = 30
factor = 2
most_seconds = 120
"""


def with_payment_ladder(folder: Path, steps: str) -> list[str]:
    """Mistakes of a policy whose payment ladder has these steps; all others are fine."""
    sections = [RESEND]
    for purpose in Purpose:
        held = steps if purpose is Purpose.PAYMENT else '{ channel = "sms", until = "delivered" }'
        sections.append(f"[{purpose}]\nphone_vouched_by_client = true\nstep_on = []\nsteps = [{held}]\n")
    (folder / "ladder.toml").write_text("".join(sections), encoding="utf-8")
    return mistakes(folder)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ("", ".steps: has 0 entries; allowed: 1 to 5"),
        ("1", ".steps: entry 1 is a whole number; allowed: a table"),
        ('{ channel = "sms" }', "[1].until: missing; allowed: one of sent, delivered"),
        (
            '{ channel = "fax", until = "sent" }',
            '[1].channel: "fax" is not allowed; allowed: sms, voice, push',
        ),
        (
            '{ channel = "sms", until = "sent", timeout_seconds = 45 }',
            "[1].timeout_seconds: stands at the last channel, which nothing follows",
        ),
        (
            '{ channel = "sms", until = "sent" }, { channel = "voice", until = "sent" }',
            "[1].timeout_seconds: missing; allowed: a whole number 5 to 300",
        ),
        (
            '{ channel = "sms", until = "sent", timeout_seconds = 45 }, { channel = "sms", until = "sent" }',
            '[2].channel: "sms" stands in this ladder twice; allowed: every channel once',
        ),
        (
            '{ channel = "sms", until = "sent", timeout_seconds = 300 },{ channel = "push", until = "sent" }',
            ".steps: the timeouts add up to 300 seconds, and the code would be void before the last channel",
        ),
        (
            '{ channel = "sms", until = "sent", retries = 3 }',
            "[1].retries: unknown key; allowed: channel, until",
        ),
    ],
)
def test_a_ladder_that_leads_nowhere_is_a_mistake(folder: Path, steps: str, expected: str) -> None:
    """Each step is told by its position, counted from one."""
    found = with_payment_ladder(folder, steps)
    assert len(found) == 1
    assert found[0].startswith("ladder.toml:payment.steps")
    assert expected in found[0]


def test_a_purpose_without_a_ladder_is_a_mistake(edit: Edit) -> None:
    """A challenge of that purpose could not be delivered; its keys are not told one by one."""
    found = edit("ladder.toml", "[enrolment]", "[enrollment]")
    assert found == [
        "ladder.toml:enrolment: missing; allowed: a table",
        "ladder.toml:enrollment: unknown key; "
        "allowed: resend, login, account_access, payment, enrolment, other",
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            'name = "issue-per-phone"',
            'name = "issue-per-payer"',
            'limit[issue-per-payer].name: "issue-per-payer" is the name of another limit too',
        ),
        ('name = "issue-per-phone"', 'name = "per phone"', "limit[2].name: is no name for a limit"),
        ('name = "issue-per-phone"', "name = 7", "limit[2].name: is a whole number; allowed: lower-case"),
        (
            'scope = "phone"',
            'scope = "iban"',
            'limit[issue-per-phone].scope: "iban" is not allowed; allowed: payer',
        ),
        (
            'scope = "phone"',
            'scope = "client"',
            'limit: needs at least one with on = "issue", scope = "phone" and at_limit = "refuse"',
        ),
        (
            "count = 10\n",
            "count = 9\n",
            "limit[resend-per-payer].burst: 10 is more than count; allowed: 1 to 9",
        ),
        (
            "count = 10\nper_seconds = 600",
            "count = 1001\nper_seconds = 1",
            "limit[resend-per-payer].count: is more than one per millisecond; allowed: 1 to 1000",
        ),
    ],
)
def test_a_limit_that_does_not_limit_is_a_mistake(edit: Edit, old: str, new: str, expected: str) -> None:
    """Each limit is told by its name, or by its position when it has no good one."""
    found = edit("limits.toml", old, new)
    assert len(found) == 1
    assert found[0].startswith(f"limits.toml:{expected}")


def test_a_limit_that_only_observes_is_not_enough(folder: Path) -> None:
    """OWASP ASVS 5.0 2.4.1: trying out is not limiting."""
    path = folder / "limits.toml"
    path.write_text(path.read_text(encoding="utf-8").replace('"refuse"', '"observe"'), encoding="utf-8")
    found = mistakes(folder)
    # The comment names both words too, so only the three limits have changed their meaning.
    assert len(found) == 3
    assert all("OWASP ASVS 5.0" in line for line in found)


def test_the_digest_names_the_content_not_the_spelling(folder: Path) -> None:
    """Comments, spaces and the order of keys make no difference."""
    before = load(folder).digest
    (folder / "code.toml").write_text(
        "longest_lifetime_seconds=300 # five minutes\nshortest_lifetime_seconds   = 0x3c\n\n\n"
        "lifetime_seconds = 3_00\ndigits = 6\n",
        encoding="utf-8",
    )
    assert load(folder).digest == before
    assert before.startswith("sha256:")
    assert len(before) == len("sha256:") + 64


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("code.toml", "digits = 6", "digits = 7"),
        ("lockout.toml", "    900,", "    901,"),
        ("ladder.toml", "factor = 2", "factor = 3"),
        ("retention.toml", "years = 5", "years = 6"),
        ("limits.toml", "most_pending = 20", "most_pending = 6"),
        ("limits.toml", 'name = "resend-per-payer"', 'name = "resend"'),
        ("texts.toml", 'shown = "{amount} to {payee}"', 'shown = "{amount} for {payee}"'),
        ("texts.toml", "{name}, conto che termina con {tail}", "{name}, conto terminante con {tail}"),
    ],
)
def test_any_change_of_content_is_another_digest(
    edit: Edit, folder: Path, file: str, old: str, new: str
) -> None:
    """A decision can be traced to the very numbers and texts it was made with."""
    before = load(folder).digest
    assert edit(file, old, new) == []
    assert load(folder).digest != before


def test_the_digest_can_be_recomputed_by_anyone() -> None:
    """SHA-256 over JSON with sorted keys and no spaces: this value was computed with `sha256sum`."""
    content = {"b.toml": {"x": [1, True, "ü"]}, "a.toml": {}}
    expected = "6f3d6782117de7a2f60c1b4c5414352d4a15057de1869877c0091dc2c1c77f60"
    assert digest_of(content) == f"sha256:{expected}"
