"""The checkout's form as HTML: what is paid, to whom, and how the payer confirms it. Pure."""

from dataclasses import dataclass

from sca_service.console.bank.icons import icon


@dataclass(frozen=True, slots=True)
class Occasion:
    """One of the payments to choose from; without an amount it is a login."""

    name: str
    sign: str
    title: str
    payee: str = ""
    amount: str = ""
    iban: str = ""


_OCCASIONS = (
    Occasion("shop", "bag", "Shop", "Alpine Outfitters GmbH", "149.90", "DE89370400440532013000"),
    Occasion("rent", "key", "Rent", "Hausverwaltung Lindner", "1240.00", "AT611904300234573201"),
    Occasion("invoice", "globe", "Invoice", "Atelier Lumière SARL", "2875.50", "FR1420041010050500013M02606"),
    Occasion("login", "door", "Log in"),
)
"""The IBANs are the examples of their registry."""

_METHODS = (
    ("one_time_code", "message", "One-time code", "Sent by push, SMS or call"),
    ("device_signature", "phone", "Approve in the app", "Signed by the handset’s key"),
    ("passkey", "finger", "Passkey", "Signed by this browser"),
    ("payment_confirmation", "card", "Payment window", "Secure Payment Confirmation"),
    ("totp", "clock", "Generator", "A code that the payer’s app shows"),
)
_LADDERS = (
    ("push,sms,voice", "Push, SMS, call"),
    ("sms,voice", "SMS, call"),
    ("sms", "SMS only"),
    ("voice", "Call only"),
)


def order_form() -> str:
    """The form. Its scripts tell what cannot be chosen, and why."""
    occasions = "".join(_occasion(one, is_first=not number) for number, one in enumerate(_OCCASIONS))
    methods = "".join(_method(*each, is_first=not number) for number, each in enumerate(_METHODS))
    ladders = "".join(f'<option value="{steps}">{told}</option>' for steps, told in _LADDERS)
    return f"""<form class="order" id="order" autocomplete="off">
<fieldset class="occasions"><legend>What is paid</legend>{occasions}</fieldset>
<div class="fields" id="payment-fields">
<label>Payee<input name="payee" maxlength="140" required></label>
<label class="short">Amount<span class="money"><input name="amount" inputmode="decimal" required
pattern="[0-9]{{1,9}}([.][0-9]{{1,2}})?" title="Such as 49.90"><b>EUR</b></span></label>
<label>IBAN<input class="code" name="iban" maxlength="42" required spellcheck="false"></label>
</div>
<fieldset class="methods"><legend>How the payer confirms</legend>{methods}</fieldset>
<div class="fields ladder" id="ladder-fields">
<label>Where the code goes<select name="ladder">{ladders}</select></label>
<fieldset class="losses"><legend>What goes wrong</legend>
<label class="check"><input type="checkbox" name="lost" value="push">Push is lost</label>
<label class="check"><input type="checkbox" name="lost" value="sms">SMS is lost</label></fieldset>
</div>
<p class="fault" id="order-fault" role="alert" hidden></p>
<button type="submit" class="primary" id="pay"><span id="pay-said">Pay</span>{icon("arrow")}</button>
</form>"""


def _occasion(one: Occasion, *, is_first: bool) -> str:
    told = f"€{float(one.amount):,.2f}" if one.amount else "Account"
    values = f'data-payee="{one.payee}" data-amount="{one.amount}" data-iban="{one.iban}"'
    checked = " checked" if is_first else ""
    return (
        f'<label class="occasion"><input type="radio" name="occasion" value="{one.name}" {values}{checked}>'
        f'<span class="face">{icon(one.sign)}<span><b>{one.title}</b><span>{told}</span></span></span></label>'
    )


def _method(value: str, sign: str, title: str, told: str, *, is_first: bool) -> str:
    checked = " checked" if is_first else ""
    hidden = " hidden" if value == "payment_confirmation" else ""
    return (
        f'<label class="method" data-method="{value}"{hidden}>'
        f'<input type="radio" name="method" value="{value}" aria-describedby="why-{value}"{checked}>'
        f'<span class="face">{icon(sign)}<span><b>{title}</b><span id="why-{value}" data-told="{told}">{told}</span>'
        "</span></span></label>"
    )
