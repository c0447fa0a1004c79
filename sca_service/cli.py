"""The `sca` command. Each command's code is loaded when it is called."""

import sys

from cyclopts import App

from sca_service import __version__
from sca_service.kernel.errors import InvalidInput, ScaError

app = App(
    name="sca",
    version=__version__,
    help="PSD2 strong customer authentication: challenges issued, delivered, accepted once, and on record.",
)
clients = App(name="clients", help="The backends that may call the service, and their API keys.")
policy = App(name="policy", help="The policies: what a bank decides.")
keys = App(name="keys", help="The keyring.")

app.command("sca_service.dev:dev", name="dev")
app.command("sca_service.demo:demo", name="demo")
for role in ("api", "worker", "log"):
    app.command(f"sca_service.commands:{role}", name=role)
app.command("sca_service.commands:migrate_database", name="migrate")
app.command("sca_service.commands:write_docs", name="docs")
app.command(clients)
for verb in ("create", "list", "rotate", "revoke"):
    clients.command(f"sca_service.commands:clients_{verb}", name=verb)
app.command(policy)
policy.command("sca_service.commands:check_policy", name="check")
app.command(keys)
keys.command("sca_service.commands:create_keys", name="create")


def main() -> None:
    """Run the command; what is wrong is said in plain words, with exit status 1."""
    try:
        app()
    except InvalidInput as error:
        sys.exit(f"sca: {error}")
    except ScaError as error:
        sys.exit(f"sca: {error.detail}")


if __name__ == "__main__":
    main()
