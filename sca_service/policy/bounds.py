"""What no policy file may exceed: every bound with the article, or where no law speaks, the reason."""

from dataclasses import dataclass

from sca_service.policy.alert_bounds import ALERT_BOUNDS
from sca_service.policy.analytics import ANALYTICS_BOUNDS
from sca_service.policy.bound import Bound
from sca_service.policy.exemption_bounds import EXEMPTION_BOUNDS
from sca_service.policy.model import Channel, LimitedAction, LimitScope, Occasion
from sca_service.policy.notice_bounds import NOTICE_BOUNDS
from sca_service.policy.pumping_bounds import PUMPING_BOUNDS
from sca_service.policy.template import Placeholder, Template
from sca_service.policy.webhooks import WEBHOOK_BOUNDS

__all__ = ["Bound"]
"""Named here too: whoever knows the bounds knows what one is."""

SHOWN = "shown"
RENDERINGS = (SHOWN, Channel.SMS.value, Channel.VOICE.value, Channel.PUSH.value)
"""What every language holds for every occasion: the summary on the bank's page, and what is read or heard."""


BOUNDS = (
    *ALERT_BOUNDS,
    *NOTICE_BOUNDS,
    *ANALYTICS_BOUNDS,
    Bound(
        "authenticators.toml", "issuer_name characters", 1, 40, "it stands beside every code of a generator"
    ),
    Bound("authenticators.toml", "most_of_a_payer", 1, 20, "each one more is one more way in"),
    Bound(
        "authenticators.toml",
        "pending_seconds",
        300,
        86_400,
        "RTS Art. 24(2)(b): who activates has to be who enrolled",
    ),
    Bound("authenticators.toml", "totp.digits", 6, 8, "RFC 4226 R4 and section 5.3; apps show at most 8"),
    Bound(
        "authenticators.toml",
        "totp.period_seconds",
        15,
        60,
        "RFC 6238 section 5.2: 30 seconds; NIST SP 800-63B-4 section 3.1.4: at most 2 minutes with look-back",
    ),
    Bound(
        "authenticators.toml",
        "totp.look_back_steps",
        0,
        1,
        "RFC 6238 section 5.2: at most one period; OWASP ASVS 5.0 6.5.5: none at level 2",
    ),
    Bound("authenticators.toml", "hotp.digits", 6, 8, "RFC 4226 R4 and section 5.3; apps show at most 8"),
    Bound("authenticators.toml", "pin.shortest", 4, 12, "ISO 9564-1: a PIN has 4 to 12 digits"),
    Bound(
        "authenticators.toml",
        "device_key.most_unanswered",
        1,
        10,
        "who is asked again and again approves at last: push bombing",
    ),
    Bound(
        "authenticators.toml",
        "device_key.counted_seconds",
        300,
        86_400,
        "at least as long as one challenge lives; a payer is not shut out for days",
    ),
    Bound("authenticators.toml", "hotp.look_ahead_counters", 0, 10, "RFC 4226 section 7.4: a small window"),
    Bound("authenticators.toml", "ocra.look_ahead_counters", 0, 10, "RFC 4226 section 7.4: a small window"),
    Bound(
        "authenticators.toml",
        "ocra.look_back_steps",
        0,
        1,
        "RFC 6287 section 5.1 has time steps as RFC 6238 has them, whose section 5.2 takes at most one",
    ),
    Bound(
        "code.toml",
        "digits",
        6,
        10,
        "NIST SP 800-63B-4 section 3.1.3: at least 20 bits; RFC 4226 R6 and section 5.3",
    ),
    Bound(
        "code.toml",
        "lifetime_seconds",
        30,
        600,
        "NIST SP 800-63B-4 section 3.1.3: a code lives at most 10 minutes",
    ),
    Bound(
        "code.toml",
        "shortest_lifetime_seconds",
        30,
        600,
        "a payer needs time to read a message; NIST SP 800-63B-4: 10 minutes",
    ),
    Bound(
        "code.toml",
        "longest_lifetime_seconds",
        30,
        600,
        "NIST SP 800-63B-4 section 3.1.3: a code lives at most 10 minutes",
    ),
    *EXEMPTION_BOUNDS,
    Bound("lockout.toml", "most_failures", 1, 5, "RTS Art. 4(3)(b): at most five consecutive failures"),
    Bound(
        "lockout.toml",
        "window_seconds",
        3_600,
        2_678_400,
        "RTS Art. 4(3)(b): a given period; guessing must not outwait it",
    ),
    Bound("lockout.toml", "block_seconds entries", 1, 10, "RTS Art. 4(4): the block follows the risk"),
    Bound(
        "lockout.toml",
        "block_seconds[]",
        300,
        2_592_000,
        "RTS Art. 4(4): a block hinders guessing; over 30 days it is as good as permanent",
    ),
    Bound("ladder.toml", "resend.first_seconds", 1, 600, "a message needs time to arrive"),
    Bound("ladder.toml", "resend.factor", 1, 10, "each wait is as long as the one before, or longer"),
    Bound(
        "ladder.toml",
        "resend.most_seconds",
        1,
        600,
        "NIST SP 800-63B-4 section 3.1.3: a code lives at most 10 minutes",
    ),
    Bound("ladder.toml", "*.steps entries", 1, len(Channel) - 1, "every channel once at most, e-mail never"),
    Bound(
        "ladder.toml",
        "*.steps[].timeout_seconds",
        5,
        300,
        "a message needs time to arrive, the next channel too",
    ),
    Bound(
        "limits.toml",
        "most_pending",
        1,
        20,
        "OWASP ASVS 5.0 2.4.1: no more codes at large than a payer can use",
    ),
    Bound("limits.toml", "limit[].count", 1, 1_000_000, "OWASP ASVS 5.0 2.4.1: a limit has to limit"),
    Bound("limits.toml", "limit[].per_seconds", 1, 86_400, "a limit is counted within a day"),
    Bound("limits.toml", "limit[].burst", 1, 1_000_000, "OWASP ASVS 5.0 2.4.1: a limit has to limit"),
    Bound("networks.toml", "portability.timeout_ms", 20, 2_000, "a payer waits for the message meanwhile"),
    Bound(
        "networks.toml",
        "portability.remember_seconds",
        60,
        2_592_000,
        "numbers move to another network within a working day (Directive (EU) 2018/1972 Art. 106(5))",
    ),
    Bound(
        "networks.toml",
        "portability.remember_unknown_seconds",
        1,
        86_400,
        "what nobody knew may be known soon",
    ),
    Bound("networks.toml", "network entries", 0, 20_000, "more belong into a look-up"),
    *PUMPING_BOUNDS,
    *WEBHOOK_BOUNDS,
    Bound(
        "retention.toml",
        "years",
        5,
        30,
        "Directive (EU) 2015/2366 Art. 21: records are kept at least five years; GDPR Art. 5(1)(e): not for ever",
    ),
    Bound("risk.toml", "thresholds.challenge", 1, 10_000, "RTS Art. 18(3): a score per transaction decides"),
    Bound("risk.toml", "thresholds.step_up", 1, 10_000, "RTS Art. 18(3): a score per transaction decides"),
    Bound("risk.toml", "thresholds.refuse", 1, 10_000, "RTS Art. 18(3): a score per transaction decides"),
    Bound("risk.toml", "signal entries", 1, 100, "each is looked at for every challenge"),
    Bound("risk.toml", "signal[].weight", 0, 100, "RTS Art. 18(3): what each adds; 0 is on record only"),
    Bound("risk.toml", "signal[].when_missing", 0, 100, "what is not known never speaks for the payer"),
    Bound("risk.toml", "step_up entries", 1, 20, "each is looked at for every challenge"),
    Bound("risk.toml", "line.asks entries", 1, 4, "each once; nobody is asked without base_url"),
    Bound("risk.toml", "line.timeout_ms", 20, 2_000, "a payer waits for the challenge meanwhile"),
    Bound("risk.toml", "line.remember_seconds", 60, 86_400, "a SIM may be swapped any minute"),
    Bound("risk.toml", "line.remember_unknown_seconds", 1, 3_600, "what nobody knew may be known soon"),
    Bound("risk.toml", "line.sim_swap_hours", 1, 2_400, "CAMARA sim-swap 2.1: maxAge is 1 to 2400 hours"),
    Bound("risk.toml", "line.device_swap_hours", 1, 2_400, "CAMARA device-swap 1.0: maxAge 1 to 2400 hours"),
    Bound("risk.toml", "memory.payer_days", 30, 400, "RTS Art. 18(3): history; GDPR Art. 5(1)(e): an end"),
    Bound("risk.toml", "memory.subject_days", 1, 90, "GDPR Art. 5(1)(e): kept no longer than needed"),
    Bound("risk.toml", "memory.report_days", 30, 400, "RTS Art. 2(2)(c); GDPR Art. 5(1)(e): an end"),
    Bound("risk.toml", "memory.listed_days", 1, 3_650, "RTS Art. 2(2)(a): lists; GDPR Art. 5(1)(e): an end"),
    Bound("senders.toml", "sender entries", 0, 5_000, "a sender per country, channel and supplier"),
    Bound("suppliers.toml", "*.prices entries", 1, 5_000, "a price per network and tier; one at least"),
    Bound(
        "suppliers.toml", "*.prices[].from_messages", 0, 1_000_000_000, "a volume is counted within a month"
    ),
    Bound(
        "suppliers.toml",
        "*.prices[].price_micros",
        0,
        1_000_000_000,
        "one message for more than 1,000 units of a currency is a slip",
    ),
    Bound(
        "suppliers.toml",
        "exchange.*",
        1,
        1_000_000_000_000,
        "millionths; no unit of a currency is worth more than a million of another's",
    ),
    Bound("suppliers.toml", "routing.*.price_weight", 0, 100, "per cent: price alone, or quality alone"),
    Bound("suppliers.toml", "breaker.failures", 1, 200, "of the last so many sends"),
    Bound("suppliers.toml", "breaker.window", 1, 200, "the last so many sends are kept, one sign each"),
    Bound(
        "suppliers.toml", "breaker.open_seconds", 1, 3_600, "a supplier that is back is found within an hour"
    ),
    Bound("texts.toml", "*.*.* characters", 1, 480, "longer messages are split, cut or hung up on"),
    Bound("texts.toml", "*.notices.*.* characters", 1, 480, "as any other message"),
    Bound("texts.toml", "*.warning characters", 1, 160, "a warning is one sentence"),
    Bound("texts.toml", "*.payee_spoken characters", 1, 160, "a payee is spoken in one breath"),
    Bound("texts.toml", "*.replies.* entries", 1, 50, "a payer has to be able to say it"),
    Bound("texts.toml", "*.replies.*[] characters", 2, 24, "a reply is a word, and one letter is a slip"),
    Bound("texts.toml", "most_sms_segments", 1, 8, "each further part costs as much again and may be lost"),
    Bound("texts.toml", "autofill.domain characters", 4, 64, "it stands in every SMS"),
    Bound("texts.toml", "autofill.android_hash characters", 11, 11, "SMS Retriever: 11 characters"),
)
_BOUNDS = {(bound.file, bound.key): bound for bound in BOUNDS}


def bound_for(file: str, key: str) -> Bound:
    """The bound of a number. Raises KeyError when it has none: no number of a policy goes without."""
    return _BOUNDS[file, key]


REFUSED_CHANNELS = dict.fromkeys(
    ("email", "e-mail", "mail"),
    "NIST SP 800-63B-4 section 3.1.3.1: e-mail is no channel for codes; it is there for alerts",
)
"""Channels that exist but never carry a code, and why."""

NEEDED_LIMITS = (
    (LimitedAction.ISSUE, LimitScope.PAYER),
    (LimitedAction.ISSUE, LimitScope.PHONE),
    (LimitedAction.RESEND, LimitScope.PAYER),
)
"""What at least one refusing limit each has to count (OWASP ASVS 5.0 2.4.1 and 6.6.3)."""


@dataclass(frozen=True, slots=True)
class TextRule:
    """Placeholders that these texts need, and others that they must not hold."""

    occasions: tuple[Occasion, ...]
    renderings: tuple[str, ...]
    article: str
    needed: tuple[Placeholder, ...] = ()
    refused: tuple[Placeholder, ...] = ()


_ONE_PAYEE = (Occasion.PAYMENT, Occasion.PREAUTHORISATION)
_PAYMENTS = (*_ONE_PAYEE, Occasion.BATCH)
_NO_PAYMENT = tuple(occasion for occasion in Occasion if occasion not in _PAYMENTS)
_EVERY_OCCASION = tuple(Occasion)
_MESSAGES = tuple(rendering for rendering in RENDERINGS if rendering != SHOWN)
_OF_A_PAYMENT = (Placeholder.AMOUNT, Placeholder.PAYEE, Placeholder.PAYEES, Placeholder.COUNT)

TEXT_RULES = (
    TextRule(
        _ONE_PAYEE,
        RENDERINGS,
        "RTS Art. 5(1)(a): the payer is made aware of the amount and of the payee",
        needed=(Placeholder.AMOUNT, Placeholder.PAYEE),
        refused=(Placeholder.PAYEES, Placeholder.COUNT),
    ),
    TextRule(
        (Occasion.BATCH,),
        RENDERINGS,
        "RTS Art. 5(1)(a) and 5(3)(b): the payer is made aware of the total amount and of the payees",
        needed=(Placeholder.AMOUNT, Placeholder.COUNT, Placeholder.PAYEES),
        refused=(Placeholder.PAYEE,),
    ),
    TextRule(
        _NO_PAYMENT,
        RENDERINGS,
        "OWASP Transaction Authorization Cheat Sheet 1.4: no other text may be taken for a payment's",
        refused=_OF_A_PAYMENT,
    ),
    TextRule(_EVERY_OCCASION, _MESSAGES, "the payer answers with the code", needed=(Placeholder.CODE,)),
    TextRule(
        _EVERY_OCCASION,
        _MESSAGES,
        "RTS Art. 22(1): the code stays confidential, so every message warns against sharing it",
        needed=(Placeholder.WARNING,),
    ),
    TextRule(
        _EVERY_OCCASION,
        (SHOWN,),
        "RTS Art. 22(1): what is shown stands in responses and in the evidence, where no code belongs",
        refused=(Placeholder.CODE, Placeholder.LIFETIME, Placeholder.WARNING),
    ),
    TextRule(
        _EVERY_OCCASION,
        RENDERINGS,
        "only payee_spoken takes a payee apart",
        refused=(Placeholder.NAME, Placeholder.TAIL),
    ),
)


def text_mistakes(occasion: Occasion, rendering: str, template: Template) -> list[str]:
    """Everything the rules hold against one text."""
    held = template.placeholders
    found = []
    for rule in TEXT_RULES:
        if occasion in rule.occasions and rendering in rule.renderings:
            found += [f"needs {{{name}}} ({rule.article})" for name in rule.needed if name not in held]
            found += [f"must not hold {{{name}}} ({rule.article})" for name in rule.refused if name in held]
    return found + _order_mistakes(rendering, held)


def payee_spoken_mistakes(template: Template) -> list[str]:
    """Everything wrong with how a language speaks of one payee."""
    held, wanted = template.placeholders, (Placeholder.NAME, Placeholder.TAIL)
    found = [
        f"needs {{{name}}} (RTS Art. 5(1)(a): the payee is heard)" for name in wanted if name not in held
    ]
    return found + [
        f"must not hold {{{name}}}; allowed: {{name}}, {{tail}}" for name in held if name not in wanted
    ]


def _order_mistakes(rendering: str, held: tuple[Placeholder, ...]) -> list[str]:
    codes = [at for at, placeholder in enumerate(held) if placeholder is Placeholder.CODE]
    if not codes:
        return []
    found = [
        f"{{{placeholder}}} has to stand before {{code}} (RTS Art. 5(1)(a): seen before the code is used)"
        for placeholder in _OF_A_PAYMENT
        if placeholder in held and held.index(placeholder) > codes[0]
    ]
    if rendering == Channel.VOICE and len(codes) < 2:
        found.append("has to say {code} twice (a listener cannot look again)")
    return found
