"""The page's HTML: three places, filled by its scripts. Nothing in it depends on who asks; pure."""

from functools import cache

from sca_service.console.bank.icons import LOGO, SPRITE, icon
from sca_service.console.bank.order_form import order_form

STATIC_PATH = "/sandbox/bank/static"
_STYLES = ("base", "page", "checkout", "confirm", "handset", "apps", "log")
_LANGUAGES = {
    "en-GB": "English",
    "de-DE": "Deutsch",
    "fr-FR": "Français",
    "es-ES": "Español",
    "it-IT": "Italiano",
    "nl-NL": "Nederlands",
    "pl-PL": "Polski",
    "pt-PT": "Português",
    "hi-IN": "हिन्दी",
}
"""Whose texts the policy has, each in its own name."""


@cache
def bank_page() -> str:
    """The whole page."""
    styles = "".join(f'<link rel="stylesheet" href="{STATIC_PATH}/{name}.css">\n' for name in _STYLES)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Checkout and handset – SCA sandbox</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<link rel="icon" href="{STATIC_PATH}/icon.svg">
{styles}<script type="module" src="{STATIC_PATH}/main.js"></script>
</head>
<body data-place="checkout">
<a class="skip" href="#main">Skip to the checkout</a>
{SPRITE}
{_header()}
<main id="main" class="stage" tabindex="-1">
<h1 class="unseen">A payment, confirmed on the payer’s handset, and on record</h1>
<noscript><p class="notice">This page signs with keys of its own, in the browser. It needs JavaScript.</p></noscript>
{_checkout()}
{_handset()}
</main>
{_log()}
{_places()}
<dialog id="leaf" aria-labelledby="leaf-title"></dialog>
<p id="said" class="unseen" role="status"></p>
</body>
</html>
"""


def _header() -> str:
    languages = "".join(f'<option value="{tag}">{name}</option>' for tag, name in _LANGUAGES.items())
    return f"""<header class="site">
<a class="brand" href="/">{LOGO}<span>SCA service</span><span class="tag">Sandbox</span></a>
<div class="payer" role="group" aria-label="The payer">
<p class="who">{icon("person")}<b id="payer-name"></b><span id="payer-phone"></span></p>
<label class="unseen" for="locale">Language of the payer’s messages</label>
<select id="locale">{languages}</select>
<button type="button" id="new-payer">New payer</button>
</div>
<nav aria-label="Site"><a href="/desk">Auditor’s desk</a><a href="/docs">API</a></nav>
</header>"""


def _checkout() -> str:
    return f"""<section class="checkout" id="checkout" aria-labelledby="checkout-title">
<header class="bank">
<span class="crest">{icon("bank")}</span>
<div><h2 id="checkout-title">Example Bank</h2><p>Checkout</p></div>
<p class="session">{icon("lock")}Signed in with a password: knowledge</p>
</header>
<div class="columns">
{order_form()}
<section class="confirm" id="confirm" aria-labelledby="confirm-title"></section>
</div>
<details class="calls" id="calls">
<summary><span>Calls of the bank’s backend</span><span class="count" id="calls-count">0</span></summary>
<ol id="calls-list"></ol>
</details>
<p class="small">This page calls <code>/v1</code> with the bank’s API key, as the bank’s backend would. It can because
this is a sandbox on your own machine; in production the key never comes near a browser.</p>
</section>"""


def _handset() -> str:
    return f"""<section class="handset" id="handset" aria-labelledby="handset-title">
<h2 class="unseen" id="handset-title">The payer’s handset</h2>
<div class="phone">
<div class="bar" aria-hidden="true"><span id="clock"></span>
<span class="signs">{icon("signal")}{icon("battery")}</span></div>
<div class="screen" id="screen"></div>
<div class="banners" id="banners" role="log" aria-label="Notifications"></div>
<div class="ringing" id="ringing" role="group" aria-label="Call" hidden></div>
<button type="button" class="home" id="home" aria-label="Home screen"><span></span></button>
</div>
</section>"""


def _log() -> str:
    return f"""<section class="log" id="log" aria-labelledby="log-title">
<header>
<h2 id="log-title">{icon("chain")}Audit log</h2>
<p id="log-state">Nothing about this payer yet.</p>
<p class="key"><a id="story" href="/desk">Open at the auditor’s desk</a>
<button type="button" id="copy-key">Copy its key</button></p>
</header>
<ol id="events" tabindex="0" aria-label="Events, the newest first"></ol>
</section>"""


def _places() -> str:
    places = (("checkout", "card", "Checkout"), ("handset", "phone", "Handset"), ("log", "chain", "Log"))
    buttons = "".join(
        f'<button type="button" data-place="{place}">{icon(sign)}<span>{name}</span><i class="dot" hidden></i></button>'
        for place, sign, name in places
    )
    return f'<nav class="places" aria-label="Places">{buttons}</nav>'
