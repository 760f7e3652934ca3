"""What `stanchion doctor` says of the controls: each finding with the fault that brings it about."""

from collections.abc import Callable

from activities.agents.versions import shapes
from activities.policy.cedar.store import Policies
from tests.harness.stanchion import Stanchion, unique
from workers.doctor_controls import check_controls
from workers.doctor_findings import Check

Systems = Callable[..., Stanchion]


async def findings(system: Stanchion, *, unsigned: bool = False) -> dict[str, Check]:
    return {check.name: check for check in await check_controls(system.database_url, unsigned=unsigned)}


async def test_a_fresh_platform_has_nothing_wrong_and_is_told_that_nobody_can_answer_yet(systems: Systems) -> None:
    found = await findings(systems())
    assert [name for name, check in found.items() if check.ok is False] == []
    assert found["decisions"].ok is None and "nobody has a key" in found["decisions"].detail


async def test_a_worker_that_takes_unsigned_decisions_is_pointed_out(systems: Systems) -> None:
    found = await findings(systems(), unsigned=True)
    assert found["decisions"].ok is None and "DANGEROUSLY" in found["decisions"].fix


async def test_a_missing_platform_policy_is_wrong(systems: Systems) -> None:
    system = systems()
    await system.rows("DELETE FROM policy_heads")
    assert (await findings(system))["policies"].ok is False


async def test_a_policy_that_no_longer_fits_the_tools_is_wrong(systems: Systems) -> None:
    system = systems()
    agent = await system.publish([], "send")
    policy = """
        forbid (principal, action == Action::"send", resource) when { context.arguments.to == "x" };
        permit (principal, action, resource);"""
    await Policies(system.parts.database).set("acme", policy, by="lee", tools=shapes(agent.tools))
    assert (await findings(system))["policies"].ok
    await system.rows("DELETE FROM agent_heads")
    await system.publish([], "look")
    found = (await findings(system))["policies"]
    assert found.ok is False and "stanchion policy set" in found.fix


async def test_a_reviewer_that_cannot_be_asked_is_wrong(systems: Systems) -> None:
    system = systems()
    armed = (await system.publish([], "send", name=unique("armed"))).definition.name
    for reviewer, why in (("nobody-knows-it", "not registered"), (armed, "has tools")):
        name = unique("asker")
        rules = {"tools": {"send": {"people": 2, "reviewer": reviewer}}}
        await system.publish([], "send", name=name, approvals=rules)
        found = (await findings(system))["reviewers"]
        assert found.ok is False and f"{name} asks {reviewer}, which" in found.detail and why in found.detail
