"""A definition whose approvals cannot work is refused when it is published, before a call waits for nobody."""

import pytest

from activities.agents.definition import DefinitionInvalid
from tests.harness.door import Door
from tests.harness.people import DELIVER

MODULE = "tests.activities.launderers"


async def publish(door: Door, tool: str, argument: str) -> None:
    """An agent whose calls of a tool are confirmed by whom an argument names."""
    rule = {"people": 0, "confirm": argument}
    await door.publish(tool, module=MODULE, approvals={"deliver": DELIVER, "tools": {tool: rule}})


async def test_whom_a_call_is_about_is_a_required_string(door: Door) -> None:
    await publish(door, "unlock", "account")


@pytest.mark.parametrize(
    ("tool", "argument", "why"),
    [
        ("unlock", "owner", "has no argument"),
        ("unlock_for_some", "maybe", "may be left out"),
        ("unlock_for_some", "number", "may be left out"),
        ("unlock_numbered", "number", "is not a string"),
        ("unlock_numbered", "either", "is not a string"),
        ("unlock_numbered", "perhaps", "is not a string"),
    ],
)
async def test_anything_else_is_refused(door: Door, tool: str, argument: str, why: str) -> None:
    with pytest.raises(DefinitionInvalid, match=why):
        await publish(door, tool, argument)
