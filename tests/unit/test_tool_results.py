"""Results of tools: typed, checked, and found by module and name."""

from typing import Any

import pytest

from activities.tools import ToolContext, ToolError, tool
from activities.tools.errors import ToolDeclarationError
from activities.tools.registry import BUILTIN, BUILTIN_MODULE, ToolModuleMissing, find_tool, tools_in
from activities.tools.spec import CheckedResult
from tests.harness import toolbox
from tests.harness.declared import CTX, Basket, spec_of


def _good(ctx: ToolContext, to: str) -> str:
    """Do it."""
    return to


def _structured(ctx: ToolContext, to: str) -> Basket:
    """Do it."""
    return Basket()


def test_a_result_of_another_type_is_refused() -> None:
    with pytest.raises(ValueError, match="another type"):
        spec_of(toolbox.lies_about_its_type).checked("not a number")


def test_a_result_that_the_tools_own_check_refuses_is_kept_and_suspect() -> None:
    def filled(value: Any) -> None:
        if not value:
            raise ValueError("empty")

    spec = spec_of(tool(effect="read", check=filled)(_good))
    assert spec.checked("x") == CheckedResult("x")
    assert spec.checked("") == CheckedResult("", suspect="empty")


@pytest.mark.parametrize("error", [ValueError(), KeyError("stock"), ZeroDivisionError(), AssertionError("no")])
def test_a_check_that_fails_without_saying_why_has_not_been_passed(error: Exception) -> None:
    def broken(value: Any) -> None:
        raise error

    suspect = spec_of(tool(effect="read", check=broken)(_good)).checked("x").suspect
    assert suspect and "the check of _good" in suspect


def test_a_check_sees_the_declared_type_and_the_model_sees_json() -> None:
    def cheap(value: Basket) -> None:
        if any((item.price or 0) > 9 for item in value.items):
            raise ValueError("too dear")

    checked = spec_of(tool(effect="read", check=cheap)(_structured)).checked({"items": [{"price": 10}]})
    assert (checked.suspect, checked.data["items"][0]["price"]) == ("too dear", 10.0)


async def test_a_synchronous_tool_runs_in_a_thread() -> None:
    assert await spec_of(toolbox.looks_in_a_thread).invoke(CTX, {"what": "it"}) == "found it in a thread"


def test_the_key_of_a_call_is_run_and_call() -> None:
    assert CTX.idempotency_key == "agent/a/1/2.0"


def test_a_setting_that_is_missing_says_which_variable_to_set() -> None:
    assert CTX.setting("smtp") == "mail"
    with pytest.raises(ToolError, match="STANCHION_TOOL_CRM"):
        CTX.setting("crm")
    assert "mail" not in repr(CTX)


def test_tools_are_found_by_module_and_name() -> None:
    assert find_tool("tests.harness.toolbox", "look") is spec_of(toolbox.look)
    assert find_tool(BUILTIN_MODULE, "wait") is BUILTIN["wait"]
    assert set(BUILTIN) == {"wait", "read_output", "delegate"}
    assert "send" in tools_in(toolbox) and "WITNESS" not in tools_in(toolbox)


def test_a_missing_tool_names_those_that_are_there() -> None:
    with pytest.raises(ToolDeclarationError, match=r"has no tool 'lok'; it has: .*look"):
        find_tool("tests.harness.toolbox", "lok")


def test_a_module_that_cannot_be_imported_says_why() -> None:
    with pytest.raises(ToolModuleMissing, match="no_such_module"):
        find_tool("no_such_module.tools", "look")
