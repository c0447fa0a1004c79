"""Reads webhooks.toml."""

from sca_service.policy.reader import Table
from sca_service.policy.webhooks import WebhookPolicy


def read_webhooks(table: Table) -> WebhookPolicy:
    """Everything the file says; notes at the table what is wrong with it."""
    policy = WebhookPolicy(
        answer_seconds=table.integer("answer_seconds"),
        most_at_once=table.integer("most_at_once"),
        most_endpoints=table.integer("most_endpoints"),
        retry_after_seconds=table.integers("retry_after_seconds"),
        jitter_percent=table.integer("jitter_percent"),
        disable_after_days=table.integer("disable_after_days"),
        overlap_hours=table.integer("overlap_hours"),
        kept_days=table.integer("kept_days"),
        checkpoint_seconds=table.integer("checkpoint_seconds"),
    )
    table.close()
    return policy
