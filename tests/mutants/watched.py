"""The files whose tests are tested, and which tests each has. All of them are pure, and so are the tests."""

_ARTICLES = (
    "tests/unit/exemptions/test_articles.py",
    "tests/unit/exemptions/test_counters.py",
    "tests/unit/exemptions/test_risk_analysis.py",
    "tests/unit/exemptions/test_assess.py",
)
_LOG = "tests/unit/audit/test_{}.py"

TESTS_OF = {
    "limits/model.py": ("tests/unit/limits/test_model.py", "tests/unit/api/test_limit_headers.py"),
    "limits/pumping/model.py": (
        "tests/unit/limits/test_pumping.py",
        "-k=not promise and not same_seed and not prints",
    ),
    **{
        f"exemptions/articles/{article}.py": _ARTICLES
        for article in (
            *("account_access", "aisp_access", "contactless", "corporate", "counter", "low_value"),
            *("own_accounts", "recurring", "risk_analysis", "trusted_beneficiary", "unattended_terminal"),
        )
    },
    "exemptions/reports/fraud_rate.py": (
        "tests/unit/exemptions/test_fraud_rate.py",
        "tests/unit/exemptions/test_figures.py",
    ),
    "audit/merkle.py": (_LOG.format("merkle"),),
    "audit/log/note.py": (_LOG.format("note"), _LOG.format("checkpoint"), "-k=not published_vectors"),
    "audit/log/checkpoint.py": (_LOG.format("checkpoint"),),
    "audit/log/proof.py": (_LOG.format("proof"),),
    "challenges/elements.py": ("tests/unit/challenges/test_elements.py",),
    "challenges/steps.py": ("tests/unit/challenges/test_steps.py",),
    "challenges/spans.py": ("tests/unit/challenges/test_spans.py",),
    "challenges/code.py": ("tests/unit/challenges/test_code.py",),
}
"""By the file's place in `sca_service`, what pytest is given: the quickest tests first, no simulation."""
