"""Ports and their implementations in parity: same activity names, same types, one body for each."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from typing import Any, get_type_hints

import pytest
from temporalio import activity, workflow

import activities
from workers.settings import Settings
from workers.worker import ROLES, Parts, build
from workflows import ports
from workflows.agent import AgentWorkflow

for _module in pkgutil.walk_packages(activities.__path__, "activities."):
    importlib.import_module(_module.name)

PORTS = [thing for _, thing in inspect.getmembers(ports, inspect.isclass) if thing.__module__ == ports.__name__]
PORT_METHODS = [
    pytest.param(port, name, id=f"{port.__name__}.{name}")
    for port in PORTS
    for name, method in inspect.getmembers(port, inspect.isfunction)
    if not name.startswith("_")
]


def wire_name(method: Callable[..., Any]) -> str | None:
    """The activity name of a method, None if it is no activity."""
    definition = activity._Definition.from_callable(method)
    return definition.name if definition else None


def types_of(method: Callable[..., Any]) -> dict[str, Any]:
    """Parameters and result, by name."""
    return get_type_hints(method)


@pytest.fixture(scope="module")
def parts() -> Parts:
    return build(Settings(), "postgresql://nowhere/none")


def test_there_are_ports() -> None:
    assert len(PORTS) >= 4 and len(PORT_METHODS) >= 6


@pytest.mark.parametrize(("port", "name"), PORT_METHODS)
async def test_a_port_method_is_a_name_and_types_without_a_body(port: Any, name: str) -> None:
    method = getattr(port, name)
    assert wire_name(method) is not None
    with pytest.raises(NotImplementedError):
        await method(port(), *[None] * (len(inspect.signature(method).parameters) - 1))


@pytest.mark.parametrize(("port", "name"), PORT_METHODS)
def test_a_port_method_has_exactly_one_body_of_the_same_name_and_types(port: Any, name: str) -> None:
    implementations = port.__subclasses__()
    assert len(implementations) == 1, f"{port.__name__} is implemented by {implementations}"
    wanted, body = getattr(port, name), vars(implementations[0]).get(name)
    assert body is not None, f"{implementations[0].__name__} has no body for {name}"
    assert wire_name(body) == wire_name(wanted)
    assert types_of(body) == types_of(wanted)
    assert list(inspect.signature(body).parameters) == list(inspect.signature(wanted).parameters)


def test_every_activity_that_a_worker_performs_is_on_a_port_and_the_other_way_round(parts: Parts) -> None:
    performed = [wire_name(method) for role in ROLES for method in parts.activities(role)]
    offered = [wire_name(getattr(port, name)) for port, name in (p.values for p in PORT_METHODS)]
    assert sorted(filter(None, performed)) == sorted(filter(None, offered))
    assert None not in performed and len(set(performed)) == len(performed)


def test_no_activity_is_hidden_in_a_class_that_no_worker_serves(parts: Parts) -> None:
    served = {method.__self__.__class__ for role in ROLES for method in parts.activities(role)}
    for port in PORTS:
        for implementation in port.__subclasses__():
            assert implementation in served


def test_activity_names_are_a_noun_and_a_verb() -> None:
    for parameter in PORT_METHODS:
        port, name = parameter.values
        noun, _, verb = str(wire_name(getattr(port, name))).partition(".")
        assert noun == port.__name__.removesuffix("Port").lower() and verb == name


def test_every_parameter_of_a_handler_has_a_default() -> None:
    """A signal that is sent without an argument to a handler that requires one fails the workflow task for ever."""
    definition = workflow._Definition.must_from_class(AgentWorkflow)
    handlers = [
        *(signal.fn for signal in definition.signals.values()),
        *(update.fn for update in definition.updates.values()),
        *(update.validator for update in definition.updates.values() if update.validator),
        *(query.fn for query in definition.queries.values()),
        AgentWorkflow.run,
        AgentWorkflow.__init__,
    ]
    assert set(definition.signals) == {"decision", "message", "halt", "pause", "resume"}
    assert set(definition.updates) == {"decide", "tell"} and set(definition.queries) == {"status", "approvals"}
    for handler in handlers:
        for parameter in list(inspect.signature(handler).parameters.values())[1:]:
            optional = parameter.kind is parameter.VAR_POSITIONAL or parameter.default is not parameter.empty
            assert optional, f"{handler.__qualname__}({parameter.name})"
