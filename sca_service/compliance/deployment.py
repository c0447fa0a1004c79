"""What one deployment says of itself: its version, its policies, its keys, and how far its log has come."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployment at one moment. `checkpoint` is the newest one that was published, empty without any.

    `settings` are those that a reader of the report would ask for, none of them a secret; `policy_mistakes` are what
    `sca policy check` says, and none means that the policies hold.
    """

    version: str
    at: str
    issuer: str
    environment: str
    policy_digest: str
    policy_mistakes: Sequence[str]
    verifier_keys: Sequence[str]
    checkpoint: str
    settings: Mapping[str, str]


def deployment_markdown(deployment: Deployment) -> str:
    """The part of a report that is about this deployment."""
    held = not deployment.policy_mistakes
    lines = [
        "# Compliance of a deployment\n",
        f"Written {deployment.at} by `sca compliance report`, version {deployment.version}.\n",
        "| | |",
        "|---|---|",
        f"| issuer | `{deployment.issuer}` |",
        f"| environment | {deployment.environment} |",
        f"| policies | {'hold' if held else 'do not hold'}: `{deployment.policy_digest}` |",
        *(f"| {name} | {value} |" for name, value in deployment.settings.items()),
        *(f"| key of the log | `{key}` |" for key in deployment.verifier_keys),
    ]
    if deployment.policy_mistakes:
        lines += ["\n## What `sca policy check` says\n", *(f"- {one}" for one in deployment.policy_mistakes)]
    lines.append("\n## The newest checkpoint of the log\n")
    lines.append(
        f"```\n{deployment.checkpoint.rstrip()}\n```\n"
        if deployment.checkpoint
        else "None was published yet.\n"
    )
    return "\n".join(lines) + "\n"
