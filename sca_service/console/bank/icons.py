"""The page's icons: one drawing each, used wherever its name is. Pure."""

_STROKES = {
    "bank": '<path d="M3 9.5 12 4l9 5.5M5 10v8M9.5 10v8M14.5 10v8M19 10v8M3 20h18"/>',
    "lock": '<rect x="5" y="11" width="14" height="9" rx="2"/><path d="M8 11V8a4 4 0 0 1 8 0v3"/>',
    "person": '<circle cx="12" cy="8" r="4"/><path d="M4.5 20c1-4 4-5.5 7.5-5.5s6.5 1.5 7.5 5.5"/>',
    "bag": '<path d="M6 8h12l1 12H5L6 8Z"/><path d="M9 10V7a3 3 0 0 1 6 0v3"/>',
    "key": '<circle cx="8" cy="15" r="4"/><path d="m11 12 8-8M16 7l3 3"/>',
    "globe": '<circle cx="12" cy="12" r="8.5"/><path d="M3.5 12h17M12 3.5c3 3 3 14 0 17M12 3.5c-3 3-3 14 0 17"/>',
    "door": '<path d="M13 4h6v16h-6M4 12h10M10 8l4 4-4 4"/>',
    "message": '<path d="M4 5h16v11H10l-4 4v-4H4V5Z"/><path d="M8 9.5h8M8 12.5h5"/>',
    "phone": '<rect x="7" y="2.5" width="10" height="19" rx="2.5"/><path d="M11 18.5h2"/>',
    "finger": '<path d="M6 17c1-2 1-3.5 1-5a5 5 0 0 1 10 0c0 3 0 5-1 8M9.5 20c1.2-2.5 1.5-5 1.5-8a1 1 0 0 1 2 0c0 '
    '3.5-.3 6-1.5 9M4 13v-1a8 8 0 0 1 16 0v3"/>',
    "card": '<rect x="3" y="5.5" width="18" height="13" rx="2.5"/><path d="M3 10h18M7 15h4"/>',
    "clock": '<circle cx="12" cy="12" r="8.5"/><path d="M12 7v5l3.5 2"/>',
    "arrow": '<path d="M5 12h14M13 6l6 6-6 6"/>',
    "back": '<path d="m15 5-7 7 7 7"/>',
    "call": '<path d="M6 3.5h3l1.5 4.5-2 1.5a12 12 0 0 0 6 6l1.5-2 4.5 1.5v3a2 2 0 0 1-2 2A16 16 0 0 1 4 5.5a2 2 0 0 1 '
    '2-2Z"/>',
    "bell": '<path d="M6 16V11a6 6 0 0 1 12 0v5l1.5 2h-15L6 16ZM10 20.5h4"/>',
    "shield": '<path d="M12 3 5 6v5.5c0 4.5 3 7.5 7 9.5 4-2 7-5 7-9.5V6l-7-3Z"/><path d="m9 12 2.2 2.2L15.5 10"/>',
    "check": '<path d="m5 12.5 4.5 4.5L19 7.5"/>',
    "cross": '<path d="m6 6 12 12M18 6 6 18"/>',
    "chain": '<path d="M10 14a4 4 0 0 0 5.7 0l3-3A4 4 0 0 0 13 5.3l-1 1"/>'
    '<path d="M14 10a4 4 0 0 0-5.7 0l-3 3A4 4 0 0 0 11 18.7l1-1"/>',
    "signal": '<path d="M4 18v-3M9 18v-6M14 18V9M19 18V5"/>',
    "battery": '<rect x="2.5" y="7.5" width="17" height="9" rx="2.5"/>'
    '<path d="M22 11v2M5.5 10.5v3M9 10.5v3M12.5 10.5v3"/>',
    "hand": '<circle cx="12" cy="12" r="8.5"/><path d="M6 6l12 12"/>',
}

SPRITE = (
    '<svg class="sprite" width="0" height="0" aria-hidden="true" focusable="false">'
    + "".join(
        f'<symbol id="icon-{name}" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.7" '
        f'stroke-linecap="round" stroke-linejoin="round">{strokes}</symbol>'
        for name, strokes in _STROKES.items()
    )
    + "</svg>"
)
"""Every icon, once; it stands at the top of the page."""

LOGO = (
    '<svg class="mark" viewBox="0 0 32 32" width="26" height="26" fill="none" stroke="currentColor" stroke-width="2.5" '
    'aria-hidden="true" focusable="false"><circle cx="12" cy="16" r="8.5"/><circle cx="20" cy="16" r="8.5"/></svg>'
)


def icon(name: str) -> str:
    """One of the sprite's icons, as decoration. Raises KeyError for a name that has no drawing."""
    _ = _STROKES[name]
    return f'<svg class="icon" aria-hidden="true" focusable="false"><use href="#icon-{name}"/></svg>'
