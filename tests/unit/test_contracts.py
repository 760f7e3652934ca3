"""Contracts on the wire: every value comes back as it was, through the converter that client and worker use."""

import importlib
import json
import pkgutil
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

import workflows
from tests.harness.values import contract, value
from workers.plugin import stanchion_plugin
from workflows.contracts.base import Frozen, explain
from workflows.contracts.budgets import BudgetRequest
from workflows.contracts.calls import CallResult
from workflows.contracts.events import StepEvent
from workflows.contracts.runs import RunRequest
from workflows.state import RunState

for _module in pkgutil.walk_packages(workflows.__path__, "workflows."):
    importlib.import_module(_module.name)


def _every(base: type[Frozen]) -> list[type[Frozen]]:
    return [found for child in base.__subclasses__() for found in (child, *_every(child))]


CONTRACTS = sorted(
    (c for c in _every(Frozen) if c.__module__.startswith("workflows.")), key=lambda c: (c.__module__, c.__name__)
)
NAMED = [c for c in CONTRACTS if "kind" in c.model_fields]
CONVERTER = stanchion_plugin().data_converter
assert CONVERTER is not None and not callable(CONVERTER)
PAYLOADS = CONVERTER.payload_converter


def there_and_back(sent: Any, as_type: Any) -> Any:
    """`sent`, encoded and decoded as Temporal does it."""
    return PAYLOADS.from_payloads(PAYLOADS.to_payloads([sent]), [as_type])[0]


def test_there_are_contracts_to_test() -> None:
    assert len(CONTRACTS) > 40 and len(NAMED) > 25


@pytest.mark.parametrize("model", CONTRACTS, ids=lambda c: c.__name__)
@settings(max_examples=8)
@given(data=st.data())
def test_a_contract_survives_the_wire(model: type[Frozen], data: st.DataObject) -> None:
    sent = data.draw(contract(model))
    assert there_and_back(sent, model) == sent


@settings(max_examples=30)
@given(state=contract(RunState))
def test_a_state_survives_the_wire_twice(state: RunState) -> None:
    assert there_and_back(there_and_back(state, RunState), RunState) == state


@pytest.mark.parametrize("union", [CallResult, StepEvent], ids=["CallResult", "StepEvent"])
@settings(max_examples=30)
@given(data=st.data())
def test_a_member_of_a_union_comes_back_as_itself(union: Any, data: st.DataObject) -> None:
    sent = data.draw(value(union))
    back = there_and_back(sent, union)
    assert type(back) is type(sent) and back == sent


@pytest.mark.parametrize("model", CONTRACTS, ids=lambda c: c.__name__)
@settings(max_examples=3)
@given(data=st.data())
def test_a_field_of_a_later_version_is_ignored(model: type[Frozen], data: st.DataObject) -> None:
    sent = data.draw(contract(model))
    later = json.loads(sent.model_dump_json()) | {"added_by_a_later_version": {"deep": [1]}}
    if model is BudgetRequest:  # the one exception: to ignore a misspelt cap would widen a budget
        with pytest.raises(ValidationError):
            model.model_validate(later)
    else:
        assert model.model_validate_json(json.dumps(later)) == sent


@pytest.mark.parametrize("model", NAMED, ids=lambda c: c.__name__)
@settings(max_examples=3)
@given(data=st.data())
def test_the_kind_is_always_on_the_wire(model: type[Frozen], data: st.DataObject) -> None:
    sent = data.draw(contract(model))
    kind = model.model_fields["kind"].default
    assert json.loads(PAYLOADS.to_payloads([sent])[0].data)["kind"] == kind
    assert kind == sent.model_dump()["kind"]


def test_no_two_members_of_a_union_share_a_kind() -> None:
    for union in (CallResult, StepEvent):
        mapping = TypeAdapter(union).json_schema()["discriminator"]["mapping"]
        assert len(mapping) == len(TypeAdapter(union).json_schema()["oneOf"])


def test_what_holds_its_default_is_left_out() -> None:
    assert json.loads(RunState().model_dump_json()) == {"kind": "run.state"}
    assert json.loads(RunState(step=3).model_dump_json()) == {"kind": "run.state", "step": 3}


def test_a_contract_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        RunState().step = 1


def test_an_explanation_names_the_field_and_keeps_the_value_to_itself() -> None:
    with pytest.raises(ValidationError) as refusal:
        RunRequest.model_validate({"agent": "", "goal": {"password": "hunter2"}, "budget": {"tokens": "hunter2"}})
    said = explain(refusal.value)
    assert "agent" in said and "goal" in said and "budget.tokens" in said
    assert "hunter2" not in said
