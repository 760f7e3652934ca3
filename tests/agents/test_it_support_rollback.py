"""A resolved ticket, taken back: what has an undo is undone in reverse order, and the rest is said."""

from tests.agents.desk import TENANT, AccountsProcess, confirm, tools_called
from tests.harness.stanchion import Stanchion
from tests.undo.rolling import ordered, report


async def test_a_resolved_ticket_is_taken_back_but_for_the_password(
    it_support: Stanchion, accounts: AccountsProcess
) -> None:
    goal = "Ana cannot log in (ticket 1)"
    handle = await it_support.start("it-support", goal, tenant=TENANT, requester="ana@acme.example")
    await confirm(it_support, accounts, handle, "ana@acme.example")
    assert (await it_support.outcome(handle))["status"] == "completed"
    rollback = await ordered(it_support, handle.id, by="lee@acme.example")
    outcome = await it_support.outcome(rollback)
    assert outcome["status"] == "completed", outcome
    undone = ["reopen_ticket", "withdraw_comment", "revoke_licence", "close_ticket"]
    assert await tools_called(it_support, rollback.id) == undone
    left = (await report(it_support, handle.id, 0, rollback.id)).those("left", "under way", "undoable")
    assert [(item.tool, item.reason) for item in left] == [("reset_password", "reset_password declares no undo")]
    assert (await accounts.witness())["by_tool"] == {"reset_password": 1, "assign_licence": 1, "revoke_licence": 1}
    [desk] = await it_support.rows("SELECT status FROM it_support.tickets WHERE ticket = 1")
    assert desk["status"] == "open"
    assert await it_support.value("SELECT count(*) FROM it_support.comments") == 0
