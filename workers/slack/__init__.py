"""The Slack bot: shows approvals and alarms, and sends people's decisions to their runs. Decides nothing itself."""
