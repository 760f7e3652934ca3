"""Declares the commands of `stanchion agents`. Their bodies are imported when a command runs."""

from typing import Annotated

import typer

from workers.cli.options import Json

commands = typer.Typer()
agents = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Agent definitions.")
commands.add_typer(agents, name="agents")


@agents.command("ls")
def agents_ls(json: Json = False) -> None:
    """List the registered agents."""
    from workers.cli import registries

    registries.agents(json)


@agents.command("add")
def agents_add(file: Annotated[str, typer.Argument(help="The agent's YAML file.")], json: Json = False) -> None:
    """Register an agent, or a new version of it. Open runs keep their version."""
    from workers.cli.agents import definitions

    definitions.add(file, json)


@agents.command("show")
def agents_show(name: str, json: Json = False) -> None:
    """Show an agent's definition and its tools, with the tier of each."""
    from workers.cli.agents import definitions

    definitions.show_agent(name, json)


@agents.command("schema")
def agents_schema() -> None:
    """Print the JSON Schema of agent.yaml, for editors."""
    from workers.cli.agents import definitions

    definitions.schema()
