"""The page where an auditor signs in, and the page that says what went wrong. Pure."""

from collections.abc import Sequence
from html import escape

from sca_service.console.markup import frame, inline
from sca_service.kernel.errors import Mistake


def sign_in_page(*, wanted: str, failed: str = "") -> str:
    """The form; `wanted` is the page to go to, `failed` what to say of the attempt before."""
    told = f'<p class="alert" role="alert" id="failed">{escape(failed)}</p>' if failed else ""
    described = ' aria-describedby="failed" aria-invalid="true"' if failed else ""
    main = f"""<div class="door">
<h1>Sign in</h1>
<p class="lead">Read the audit log, follow a challenge from the first message to the last answer, and verify every proof
in this browser.</p>
{told}<form method="post" action="/desk/sign-in">
<input type="hidden" name="next" value="{escape(wanted)}">
<label for="key">API key with the scope <code>audit</code>, or for operators
<code>admin</code> and <code>analytics</code></label>
<input id="key" name="key" type="password" autocomplete="current-password" required autofocus spellcheck="false"
 maxlength="200"{described}>
<button type="submit">Sign in</button>
</form>
<p class="quiet">The session ends after eight hours, when you sign out, or when the key is revoked.</p>
</div>"""
    return frame(title="Sign in", main=main, kind="bare")


def fault_page(*, status: int, title: str, meaning: str, mistakes: Sequence[Mistake]) -> str:
    """What cannot be shown, and why."""
    listed = "".join(
        f"<li><code>{escape(mistake.pointer.lstrip('/') or 'request')}</code> {escape(mistake.detail)}</li>"
        for mistake in mistakes
    )
    named = f'<ul class="mistakes">{listed}</ul>' if listed else ""
    main = f"""<div class="door">
<p class="eyebrow">{status}</p>
<h1>{escape(title)}</h1>
<p class="lead">{inline(meaning)}</p>
{named}<p><a href="/desk/events">All events</a> · <a href="/desk">Overview</a></p>
</div>"""
    return frame(title=title, main=main, kind="bare")
