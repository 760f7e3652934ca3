"""Options that commands of several files share. Imports nothing heavy."""

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Data as JSON.")]
By = Annotated[str | None, typer.Option("--by", help="Who decides; you, if not given.")]
Run = Annotated[str, typer.Argument(metavar="RUN", help="The run's id, or the end of it after a slash.")]
Limit = Annotated[int, typer.Option("--limit", "--most", "-n", min=1, max=1000, help="How many.")]
Reason = Annotated[str | None, typer.Option("--reason", "-r", help="Why. It is recorded, and the agent reads it.")]

HaltRun = Annotated[str | None, typer.Argument(metavar="[RUN]", help="The run's id, or the end of it after a slash.")]
HaltAgent = Annotated[str | None, typer.Option("--agent", help="Every run of this agent.")]
HaltTool = Annotated[str | None, typer.Option("--tool", help="Every call of this tool; runs go on without it.")]
HaltTenant = Annotated[str | None, typer.Option("--tenant", help="Every run of this tenant.")]
HaltFleet = Annotated[bool, typer.Option("--fleet", help="Everything.")]
