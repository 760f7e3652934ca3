"""The Slack bot: one more surface on the one decision path. It shows and it sends; it decides nothing."""
