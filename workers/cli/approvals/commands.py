"""Declares the commands with which people decide. Their bodies are imported when a command runs."""

from typing import Annotated

import typer

from workers.cli.options import By, Json, Limit, Reason, Run

commands = typer.Typer()
Approval = Annotated[str, typer.Argument(metavar="APPROVAL", help="The approval's id, such as ap-1f2e3d.")]


@commands.command()
def approvals(
    most: Limit = 50,
    after: Annotated[str | None, typer.Option(help="Show the page after this approval.")] = None,
    json: Json = False,
) -> None:
    """List the calls that wait for a person, with their exact arguments."""
    from workers.cli.approvals import open_approvals

    open_approvals.ls(most, after, json)


@commands.command()
def approve(
    approval: Approval,
    by: By = None,
    reason: Reason = None,
    edit: Annotated[str | None, typer.Option(help="Arguments to use instead, as a JSON object.")] = None,
    repeat: Annotated[int, typer.Option(min=0, max=100, help="Also approve the next n calls like this one.")] = 0,
    json: Json = False,
) -> None:
    """Approve a call, exactly as it is shown or with other arguments."""
    from workers.cli.approvals import decisions

    decisions.approve(approval, by, reason, edit, repeat, json)


@commands.command()
def confirm(
    approval: Approval,
    code: Annotated[str | None, typer.Option(help="The one-time code sent to you; prompted for if not given.")] = None,
    by: By = None,
    json: Json = False,
) -> None:
    """Confirm a call that is about you, with the one-time code that was sent to you."""
    from workers.cli.approvals import decisions

    decisions.confirm(approval, code, by, json)


@commands.command()
def endorse(
    name: Run,
    value: Annotated[str, typer.Argument(help="The value that you vouch for: an address, a link, an account, a path.")],
    by: By = None,
    json: Json = False,
) -> None:
    """Vouch for a value that was refused because the agent only read it in untrusted data."""
    from workers.cli.approvals import decisions

    decisions.endorse(name, value, by, json)


@commands.command()
def approvers(
    days: Annotated[int, typer.Option(min=1, max=3650, help="Decisions of the last so many days.")] = 30,
    json: Json = False,
) -> None:
    """Show statistics of each approver, with a warning for approvals faster than anyone can read."""
    from workers.cli.approvals import open_approvals

    open_approvals.approvers(days, json)


@commands.command()
def reject(approval: Approval, by: By = None, reason: Reason = None, json: Json = False) -> None:
    """Refuse a call; the agent reads the reason."""
    from workers.cli.approvals import decisions

    decisions.decide(approval, "reject", by, reason, json)


@commands.command()
def respond(approval: Approval, text: str, by: By = None, json: Json = False) -> None:
    """Answer in place of the tool: the text becomes the call's result, and the call is not performed."""
    from workers.cli.approvals import decisions

    decisions.decide(approval, "respond", by, text, json)


@commands.command()
def resolve(
    name: Run,
    call: Annotated[str, typer.Argument(metavar="CALL", help="The call's id, such as 3.0.")],
    verdict: Annotated[str, typer.Argument(metavar="happened|did-not|stop")],
    by: By = None,
    reason: Reason = None,
    json: Json = False,
) -> None:
    """State what happened to an effect whose outcome is unknown."""
    from workers.cli.approvals import decisions

    decisions.resolve(name, call, verdict, by, reason, json)
