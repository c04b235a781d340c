"""All channel kinds, by name."""

from __future__ import annotations

from apps.notifications.channels import email, webhook
from apps.notifications.contract import ChannelKind

CHANNEL_KINDS: dict[str, ChannelKind] = {kind.name: kind for kind in (email.KIND, webhook.KIND)}
