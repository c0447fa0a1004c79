"""`sca compliance report` and `sca compliance pack`: what an auditor is given about a deployment (RTS Art. 3)."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sca_service import __version__
from sca_service.audit.log.postgres_store import published
from sca_service.compliance.deployment import Deployment, deployment_markdown
from sca_service.compliance.pack import write_pack
from sca_service.compliance.page import compliance_markdown
from sca_service.compliance.requirements import requirements
from sca_service.kernel.clock import SystemClock, timestamp
from sca_service.kernel.errors import ConfigurationError
from sca_service.kernel.postgres import connect_postgres
from sca_service.log_keys import log_signers
from sca_service.policy.load import load, mistakes
from sca_service.policy_command import adapter_mistakes
from sca_service.settings import Settings, read_settings

Config = Annotated[Path, Parameter(help="The configuration file (see sca_service/settings.py).")]

_REPORT = "compliance.md"


def report(*, config: Config, output: Path | None = None) -> None:
    """Write what law asks and what answers it, for this deployment: version, policies, keys, the newest checkpoint.

    Exit status 1 when the policies do not hold.

    Parameters
    ----------
    output
        The file (Markdown). Standard output when left out.
    """
    deployment = asyncio.run(_deployment(read_settings(config)))
    text = _report_of(deployment)
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text, "utf-8")
        print(output)
    if deployment.policy_mistakes:
        sys.exit(1)


def pack(*, output: Path, source: Path = Path(), config: Path | None = None) -> None:
    """Write the pack that RTS Art. 3 asks for: documentation, tests, policies, changes, each with its digest.

    Parameters
    ----------
    output
        The ZIP file.
    source
        A checkout of the service's source, as it was released.
    config
        The configuration of a deployment, whose report goes into the pack.
    """
    made = {}
    if config is not None:
        made[_REPORT] = _report_of(asyncio.run(_deployment(read_settings(config))))
    try:
        count = write_pack(output, source, made)
    except FileNotFoundError as error:
        raise ConfigurationError(f"{source} is no source tree of the service") from error
    print(f"{output} holds {count} files.")


def _report_of(deployment: Deployment) -> str:
    return deployment_markdown(deployment) + "\n" + compliance_markdown(requirements())


async def _deployment(settings: Settings) -> Deployment:
    postgres = await connect_postgres(settings.postgres_url, most_connections=1)
    try:
        newest = await published(postgres)
    finally:
        await postgres.close()
    found = mistakes(settings.policies)
    policy = None if found else load(settings.policies)
    return Deployment(
        version=__version__,
        at=timestamp(SystemClock().now_ms()),
        issuer=settings.issuer,
        environment=settings.environment,
        policy_digest=policy.digest if policy else "none",
        policy_mistakes=found if policy is None else adapter_mistakes(policy.supply),
        verifier_keys=[signer.verifier_key for signer in log_signers(settings)],
        checkpoint=newest.note if newest else "",
        settings=_told(settings),
    )


def _told(settings: Settings) -> dict[str, str]:
    return {
        "witnesses": ", ".join(witness.name for witness in settings.witnesses) or "none",
        "trusted proxies": str(len(settings.trusted_proxies)),
        "passkeys": settings.site.rp_id if settings.site else "off",
        "traces": "on" if settings.tracing else "off",
        "TLS to Redis": "yes" if settings.redis.url.startswith("rediss") else "no",
    }
