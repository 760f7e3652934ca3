"""Options that commands of several files share. Imports nothing heavy."""

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Data as JSON.")]
By = Annotated[str | None, typer.Option("--by", help="Who decides; you, if not given.")]
