"""Validates the arguments of tools strictly: with pydantic for Python tools, with JSON Schema for foreign tools."""

import inspect
import json
from collections.abc import Callable
from typing import Annotated, Any, NoReturn, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic_core import from_json

from activities.tools.errors import InvalidArguments, ToolDeclarationError
from workflows.contracts.base import explain


class ToolArguments(BaseModel):
    """Base class for arguments: no extra fields, no type conversion such as "500" for 500, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class TypedArguments:
    """The parameters of a Python function, except the first one, the context."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._model = _model_from_signature(function)

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the parameters."""
        schema = self._model.model_json_schema()
        closed: dict[str, Any] = _refuse_extra_fields({key: value for key, value in schema.items() if key != "title"})
        return closed

    def validate(self, arguments: str) -> dict[str, Any]:
        """Keyword arguments from JSON text. Raises InvalidArguments.

        `strict` and `extra` are passed with the call, because a model's configuration does not apply to the models in
        its fields. Otherwise the tool could run with other values than the approver saw.
        """
        try:
            if "NaN" in arguments or "Infinity" in arguments:
                from_json(arguments, allow_inf_nan=False)
            valid = self._model.model_validate_json(arguments, strict=True, extra="forbid")
        except ValidationError as error:
            raise InvalidArguments(explain(error)) from None
        except ValueError as error:
            raise InvalidArguments(f"input: not JSON: {error}") from None
        return {str(field.alias): getattr(valid, name) for name, field in type(valid).model_fields.items()}


class SchemaArguments:
    """Arguments by JSON Schema (draft 2020-12), for foreign tools. Its remote references are never fetched."""

    def __init__(self, schema: dict[str, Any]) -> None:
        # Imported here, because only workers with foreign tools need them.
        from jsonschema import Draft202012Validator, SchemaError
        from referencing import Registry

        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as error:
            raise ToolDeclarationError(f"not a valid JSON Schema: {error.message}") from None
        self._schema = schema
        self._validator = Draft202012Validator(schema, registry=Registry())

    def schema(self) -> dict[str, Any]:
        """The schema as given."""
        return self._schema

    def validate(self, arguments: str) -> dict[str, Any]:
        """The arguments from JSON text. Raises InvalidArguments."""
        from referencing.exceptions import Unresolvable

        try:
            value = json.loads(arguments, parse_constant=_refuse_constant)
            problems = [_describe_error(error) for error in self._validator.iter_errors(value)]
        except (ValueError, RecursionError) as error:
            raise InvalidArguments(f"input: not JSON: {error}") from None
        except Unresolvable as error:
            raise InvalidArguments(f"the schema of this tool refers to {error.ref!r}, which is not in it") from None
        if problems or not isinstance(value, dict):
            raise InvalidArguments("; ".join(problems) or "input: not a JSON object")
        return value


def _refuse_extra_fields(schema: Any) -> Any:
    """`schema` with `additionalProperties: false` for every object with named fields, as `validate` requires it."""
    if isinstance(schema, list):
        return [_refuse_extra_fields(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {
        key: value if key in ("default", "const", "enum") else _refuse_extra_fields(value)
        for key, value in schema.items()
    }
    named = isinstance(schema.get("properties"), dict) and schema.get("type") == "object"
    return {**closed, "additionalProperties": False} if named else closed


def _describe_error(error: Any) -> str:
    where = ".".join(str(part) for part in error.absolute_path) or "input"
    return f"{where}: {error.message[:200]}"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _model_from_signature(function: Callable[..., Any]) -> type[ToolArguments]:
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ToolDeclarationError(f"{function.__name__}: *{parameter.name} has no schema; name every argument")
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise ToolDeclarationError(f"{function.__name__}: {parameter.name!r} must accept its name; remove the `/`")
        if parameter.name not in hints:
            raise ToolDeclarationError(f"{function.__name__}: argument {parameter.name!r} needs a type")
        default = ... if parameter.default is parameter.empty else parameter.default
        # With an alias, since pydantic reserves names such as `json`, `schema` and `model_config`.
        fields[f"argument_{len(fields)}"] = (Annotated[hints[parameter.name], Field(alias=parameter.name)], default)
    return create_model(f"{function.__name__}_arguments", __base__=ToolArguments, **fields)
