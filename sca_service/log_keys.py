"""The audit log's name and what signs for it, by the configuration."""

from sca_service.audit.log.checkpoint import origin_of
from sca_service.audit.log.note import NoteSigner
from sca_service.settings import Settings


def log_origin(settings: Settings) -> str:
    """The audit log's name, by which its checkpoints and keys are known."""
    return settings.log_origin or origin_of(settings.issuer)


def log_signers(settings: Settings) -> list[NoteSigner]:
    """What signs the log's checkpoints: one for each of its keys, the newest first."""
    return [NoteSigner(log_origin(settings), key) for key in settings.keyring.log_signing_keys]
