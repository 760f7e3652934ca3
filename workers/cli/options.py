"""Options that several command groups share."""

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print data as JSON.")]
By = Annotated[str | None, typer.Option("--by", help="The person who decides; default: your user name.")]
Run = Annotated[str, typer.Argument(metavar="RUN", help="The run's id, or its last part after a slash.")]
Limit = Annotated[int, typer.Option("--limit", "--most", "-n", min=1, max=1000, help="How many to list at most.")]
Reason = Annotated[str | None, typer.Option("--reason", "-r", help="Why. It is recorded, and the agent reads it.")]

HaltRun = Annotated[str | None, typer.Argument(metavar="[RUN]", help="The run's id, or its last part after a slash.")]
HaltAgent = Annotated[str | None, typer.Option("--agent", help="Every run of this agent.")]
HaltTool = Annotated[str | None, typer.Option("--tool", help="Every call of this tool; runs continue without it.")]
HaltTenant = Annotated[str | None, typer.Option("--tenant", help="Every run of this tenant.")]
HaltFleet = Annotated[bool, typer.Option("--fleet", help="Everything.")]
