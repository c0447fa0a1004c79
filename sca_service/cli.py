"""The `sca` command. Each command's code is loaded when it is called."""

import sys

from cyclopts import App

from sca_service import __version__
from sca_service.kernel.errors import InvalidInput, ScaError
from sca_service.kernel.garbage import collect_seldom

app = App(
    name="sca",
    version=__version__,
    help="PSD2 strong customer authentication: challenges issued, delivered, accepted once, and on record.",
)
clients = App(name="clients", help="The backends that may call the service: their API keys and certificates.")
policy = App(name="policy", help="The policies: what a bank decides.")
keys = App(name="keys", help="The keyring: its roots, and who protects it.")
risk = App(name="risk", help="The risk policy: how well it tells fraud from honest requests.")
routes = App(name="routes", help="Which supplier carries a message.")
texts = App(name="texts", help="The texts that payers read and hear.")
alerts = App(name="alerts", help="Alerts: what cards' holders would be told.")
reports = App(name="reports", help="What authorities are told: payments, exemptions and fraud.")
compliance = App(name="compliance", help="What law and standards ask, and what answers it.")
audit = App(name="audit", help="The audit log: prove it, read it, and erase what is personal beside it.")

for group, name, place, what in (
    (app, "dev", "dev:dev", "Run the whole service on this machine until Ctrl-C."),
    (app, "demo", "demo:demo", "Play one payment through a running `sca dev`."),
    (app, "api", "commands:api", "Run the api role: HTTP."),
    (
        app,
        "worker",
        "commands:worker",
        "Run the worker role: deliveries, timers, and what a killed api left behind.",
    ),
    (app, "log", "commands:log", "Run the log role: the order of the audit log."),
    (app, "migrate", "commands:migrate_database", "Bring the database to the newest schema."),
    (app, "docs", "docs_command:write_docs", "Write the pages under docs/ that come from the code."),
    (clients, "create", "clients_commands:create", "Create a client; its API key is shown once."),
    (clients, "list", "clients_commands:show", "List the clients, and what they are bound to."),
    (clients, "rotate", "clients_commands:rotate", "Give a client a new API key, shown once."),
    (clients, "revoke", "clients_commands:revoke", "Revoke a client: its keys stop working within a second."),
    (clients, "bind", "clients_commands:bind", "Bind a client to a certificate: its keys need it."),
    (clients, "add-credential", "clients_commands:add_credential", "Give a client an OAuth credential."),
    (clients, "end-credential", "clients_commands:end_credential", "End an OAuth credential of a client."),
    (clients, "unbind", "clients_commands:unbind", "End what a client is bound to."),
    (policy, "check", "policy_command:check_policy", "Check a folder of policies and list every mistake."),
    (keys, "create", "commands:create_keys", "Write a new keyring to a file."),
    (keys, "add-root", "keys_commands:add", "Add a root that nothing uses yet."),
    (keys, "rotate", "keys_commands:rotate", "Make the newest root the current one."),
    (keys, "status", "keys_commands:status", "Count what lies under each root."),
    (keys, "retire", "keys_commands:retire", "Take out an older root under which nothing lies."),
    (keys, "wrap", "keys_commands:put_into", "Put the keyring into an envelope of an HSM or a key service."),
    (keys, "unwrap", "keys_commands:take_out", "Take the keyring out of its envelope."),
    (risk, "backtest", "risk_command:backtest", "Try the risk policy on requests whose end is known."),
    (risk, "explain", "risk_command:explain", "Show why a challenge or a payment was decided as it was."),
    (
        risk,
        "simulate",
        "simulate_command:simulate",
        "Play made-up days and attacks against the pumping guard.",
    ),
    (routes, "explain", "routes_command:explain", "Show who could carry a message, at which price, and why."),
    (audit, "export", "audit_commands:export", "Write the audit log as JSON Lines, CSV or Parquet."),
    (audit, "reconcile", "audit_commands:reconcile", "Say what is missing from the log, or doubled."),
    (
        audit,
        "keys",
        "verifier_keys_command:verifier_keys",
        "Show the keys that verify the log's checkpoints.",
    ),
    (audit, "evidence", "evidence_command:evidence", "Write what proves a challenge, as one file."),
    (audit, "verify", "offline_commands:verify_log", "Recompute a log, and compare it with what you hold."),
    (audit, "mirror", "offline_commands:mirror_log", "Keep a copy of a log; refuse one that was changed."),
    (audit, "check-evidence", "offline_commands:check_evidence", "Check a file of evidence; tell its story."),
    (audit, "erase", "erasure_command:erase", "Ask that a payer be erased."),
    (audit, "erasures", "erasure_command:erasures", "List the erasures that wait for a second operator."),
    (audit, "confirm-erasure", "erasure_command:confirm_erasure", "Confirm an erasure: it is carried out."),
    (
        reports,
        "quarterly",
        "reports_command:quarterly",
        "Write the figures of a quarter: CSV, or a page to print.",
    ),
    (
        alerts,
        "simulate",
        "alerts_command:simulate",
        "Play balances and charges: what would be sent, and why.",
    ),
    (
        compliance,
        "report",
        "compliance_command:report",
        "Write what law asks and what answers it, for this deployment.",
    ),
    (compliance, "pack", "compliance_command:pack", "Write the pack that RTS Art. 3 asks for."),
    (texts, "preview", "texts_command:preview", "Show every text as a handset would."),
):
    group.command(f"sca_service.{place}", name=name, help=what)
for group in (clients, policy, keys, risk, routes, alerts, reports, texts, compliance, audit):
    app.command(group)


def main() -> None:
    """Run the command; what is wrong is said in plain words, with exit status 1."""
    collect_seldom()
    try:
        app()
    except InvalidInput as error:
        sys.exit(
            "sca: "
            + "; ".join(f"{mistake.pointer.strip('/')} {mistake.detail}" for mistake in error.mistakes)
        )
    except ScaError as error:
        sys.exit(f"sca: {error.detail}")


if __name__ == "__main__":
    main()
