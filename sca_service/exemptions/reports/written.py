"""The quarterly figures as CSV and as a page that can be printed; both say the same. Pure."""

import csv
import io
from html import escape

from sca_service.exemptions.model import PaymentType
from sca_service.exemptions.reports.figures import ALL, Line, QuarterlyReport
from sca_service.exemptions.rows import NEITHER, SCA

COLUMNS = (
    *("client", "quarter", "payment_type", "remote", "basis", "payments", "share_percent", "value_eur"),
    *("average_eur", "fraud_payments", "fraud_value_eur", "fraud_rate_percent"),
)
"""The columns of the CSV file, in their order. Amounts are euros, converted and rounded up to the cent each."""

STYLE = """
:root { color-scheme: light; --ink: #17212b; --soft: #52606d; --line: #cfd8dd; --accent: #0b5f68; --wash: #f4f7f8; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 68rem; padding: 3rem 1.5rem 4rem; color: var(--ink); background: #fff;
  font: 1rem/1.5 system-ui, "Segoe UI", Roboto, Arial, sans-serif; }
h1 { font-size: 1.8rem; line-height: 1.2; margin: 0 0 .25rem; letter-spacing: -.015em; }
h2 { font-size: 1.1rem; margin: 2.5rem 0 .5rem; padding-bottom: .35rem; border-bottom: 2px solid var(--accent); }
p { margin: .5rem 0; max-width: 48rem; }
.soft { color: var(--soft); }
.wide { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { padding: .45rem 0 .45rem 1.25rem; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { padding-left: 0; text-align: left; white-space: normal; }
thead th { font-size: .78rem; color: var(--soft); font-weight: 600; border-bottom: 1px solid var(--line); }
tbody th { font-weight: 400; }
tbody tr > * { border-bottom: 1px solid var(--line); }
tr.all > * { font-weight: 600; background: var(--wash); }
@media print { body { padding: 0; max-width: none; font-size: 9.5pt; } section { break-inside: avoid; } }
"""
"""The page's own style: it refers to nothing outside itself."""

_TYPES = {PaymentType.CARD: "Card payments", PaymentType.CREDIT_TRANSFER: "Credit transfers"}
_BASES = {
    SCA: "Strong customer authentication",
    "11": "Art. 11: contactless at a point of sale",
    "12": "Art. 12: unattended terminals for fares and parking",
    "13": "Art. 13: trusted beneficiaries",
    "14": "Art. 14: recurring",
    "15": "Art. 15: own accounts",
    "16": "Art. 16: low value",
    "17": "Art. 17: secure corporate processes",
    "18": "Art. 18: transaction risk analysis",
    NEITHER: "Neither authentication nor an exemption",
    ALL: "All",
}
_HEADS = ("Basis", "Payments", "Share %", "Value", "Average", "Fraudulent", "Value of these", "Fraud rate %")


def csv_text(report: QuarterlyReport) -> str:
    """The report as CSV (RFC 4180) with a header."""
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow(COLUMNS)
    for line in report.lines:
        kind, remote, basis = line.key.payment_type, line.key.is_remote, line.key.basis
        place = (report.client, report.quarter.text, kind, "yes" if remote else "no", basis)
        writer.writerow((*place, *_cells(line)))
    return written.getvalue()


def page(report: QuarterlyReport) -> str:
    """The report as one page of HTML with its own style."""
    quarter = report.quarter
    sections = "".join(
        _section(report, kind, is_remote=remote) for kind in PaymentType for remote in (True, False)
    )
    title = f"Payments and fraud, {quarter.text}"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{escape(title)} · {escape(report.client)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
<p class="soft">{escape(report.client)} · executed from {quarter.first} to {quarter.last} (UTC) · values in EUR</p>
<p>As Art. 21 of Delegated Regulation (EU) 2018/389 asks for it. The fraud rate is the value of unauthorised and
fraudulent payments, recovered or not, out of the value of all payments of the same kind (Art. 19). A payment that turns
out to be fraudulent later counts in the quarter in which it was executed.</p>
{sections}</main>
</body>
</html>
"""


def _section(report: QuarterlyReport, kind: PaymentType, *, is_remote: bool) -> str:
    lines = [
        line for line in report.lines if line.key.payment_type is kind and line.key.is_remote is is_remote
    ]
    heads = "".join(f'<th scope="col">{head}</th>' for head in _HEADS)
    rows = "".join(_row(line) for line in lines)
    return (
        f"<section>\n<h2>{_TYPES[kind]}, {'remote' if is_remote else 'not remote'}</h2>\n"
        f'<div class="wide"><table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n'
        "</section>\n"
    )


def _row(line: Line) -> str:
    cells = "".join(f"<td>{escape(cell) or '–'}</td>" for cell in _cells(line))
    mark = ' class="all"' if line.key.basis == ALL else ""
    return (
        f'<tr{mark}><th scope="row">{escape(_BASES.get(line.key.basis, line.key.basis))}</th>{cells}</tr>\n'
    )


def _cells(line: Line) -> tuple[str, ...]:
    """The figures of a line; empty where there is nothing to divide by."""
    sums = line.sums
    average = sums.average_cents
    return (
        str(sums.payments),
        sums.share_of(line.all_payments) or "",
        euros(sums.cents),
        "" if average is None else euros(average),
        str(sums.fraud_payments),
        euros(sums.fraud_cents),
        sums.rate.percent or "",
    )


def euros(cents: int) -> str:
    """Cents as a decimal number of euros: `1234.50`."""
    return f"{cents // 100}.{cents % 100:02d}"
