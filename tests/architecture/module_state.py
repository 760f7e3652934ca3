"""Finds mutable state at module level: a value that two runs would share, if both import the module once.

A kind that is not known to be immutable counts as mutable. Known are: numbers, texts, bytes, None, `timedelta`,
compiled patterns, enum members, what `typing` and `types` make of annotations; tuples, frozen sets and
`MappingProxyType` of such; instances of frozen dataclasses and frozen pydantic models of such; modules; classes whose
own attributes are such; functions whose defaults, closures and attributes are such. A memo (`lru_cache`) is state,
though one that changes no answer if the function is pure: each is named by whoever asks.
"""

import ast
import dataclasses
import enum
import functools
import re
import types
import typing
from collections.abc import Collection, Iterator
from datetime import timedelta
from typing import Any, NamedTuple

import typing_extensions
from pydantic import BaseModel
from pydantic.fields import FieldInfo

ATOMS = (bool, int, float, complex, str, bytes, type(None), timedelta, re.Pattern, enum.Enum, type(...))
ATOMS += (types.WrapperDescriptorType,)  # a method of a built-in class, bound to nothing
OF_ANNOTATIONS = (typing.__name__, typing_extensions.__name__, "typing")
ANNOTATIONS = (types.GenericAlias, types.UnionType, typing.TypeVar)
# What Python, pydantic and the SDK keep on a class from its making on, and never write again.
OF_THE_MAKING = re.compile(r"^(__\w+__|_abc_impl|model_config|model_fields|model_computed_fields|_field_defaults)$")
OF_AN_ENUM = re.compile(r"^_\w+_$")
SLOTS = (types.MemberDescriptorType, types.GetSetDescriptorType, type(NamedTuple("_", [("a", int)]).a))  # type: ignore[misc]
BY_THE_SDK = "__temporal_"


def mutables_of(module: types.ModuleType, memos: Collection[str] = (), package: str = "") -> list[str]:
    """What in a module two of its users could share and change. `package`: whose classes and functions are looked into;
    those from elsewhere are the business of whoever made them."""
    look = _Look(frozenset(memos), package or module.__name__)
    return [
        problem
        for name, value in vars(module).items()
        if not (name.startswith("__") and name.endswith("__"))
        for problem in look.at(value, f"{module.__name__}.{name}")
    ]


@dataclasses.dataclass(frozen=True)
class _Look:
    memos: frozenset[str]
    package: str
    seen: set[int] = dataclasses.field(default_factory=set)

    def at(self, value: Any, where: str) -> Iterator[str]:
        """The mutable values in `value`, by path."""
        if isinstance(value, ATOMS) or isinstance(value, ANNOTATIONS) or type(value).__module__ in OF_ANNOTATIONS:
            return
        if isinstance(value, type):
            yield from self._class(value, where)
        elif isinstance(value, types.ModuleType):
            return
        elif isinstance(value, tuple | frozenset):
            for number, item in enumerate(value):
                yield from self.at(item, f"{where}[{number}]")
        elif isinstance(value, types.MappingProxyType):
            for key, item in value.items():
                yield from self.at((key, item), f"{where}[{key!r}]")
        elif isinstance(value, functools._lru_cache_wrapper):
            if _name(value) not in self.memos:
                yield f"{where}: a memo that is not on the list ({_name(value)})"
        elif isinstance(value, functools.partial):
            parts = () if value.func.__module__.startswith("temporalio.") else (value.func, *value.args)
            yield from self.at((*parts, *value.keywords.values()), where)
        elif isinstance(value, types.FunctionType):
            yield from self._function(value, where)
        elif isinstance(value, types.BuiltinFunctionType | types.MethodType):
            yield from self.at(value.__self__, f"{where}.__self__")
        elif isinstance(value, property | staticmethod | classmethod | functools.cached_property):
            yield from self._descriptor(value, where)
        elif _is_frozen(value):
            for name, item in _fields(value).items():
                yield from self.at(item, f"{where}.{name}")
        else:
            yield f"{where}: {type(value).__name__}"

    def _class(self, value: type, where: str) -> Iterator[str]:
        if not self._is_ours(value) or id(value) in self.seen:
            return
        self.seen.add(id(value))
        for name, item in vars(value).items():
            made = OF_THE_MAKING.match(name) or (issubclass(value, enum.Enum) and OF_AN_ENUM.match(name))
            if not made and not name.startswith(BY_THE_SDK) and not isinstance(item, SLOTS):
                yield from self.at(item, f"{where}.{name}")
        fields: dict[str, FieldInfo] = getattr(value, "model_fields", {}) if issubclass(value, BaseModel) else {}
        for name, field in fields.items():
            if not field.is_required() and field.default_factory is None:
                yield from self.at(field.default, f"{where}.{name}")

    def _function(self, value: types.FunctionType, where: str) -> Iterator[str]:
        if not self._is_ours(value) or id(value) in self.seen:
            return
        self.seen.add(id(value))
        for number, item in enumerate(value.__defaults__ or ()):
            yield from self.at(item, f"{where}: default {number}")
        for name, item in (value.__kwdefaults__ or {}).items():
            yield from self.at(item, f"{where}: default {name}")
        for name, item in vars(value).items():
            if not name.startswith(BY_THE_SDK) and name != "__wrapped__":
                yield from self.at(item, f"{where}.{name}")
        for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
            yield from self.at(cell.cell_contents, f"{where}: closure {name}")

    def _descriptor(self, value: Any, where: str) -> Iterator[str]:
        made_of = (getattr(value, name, None) for name in ("fget", "fset", "fdel", "__func__", "func"))
        for function in made_of:
            yield from self.at(function, where)

    def _is_ours(self, value: Any) -> bool:
        return f"{value.__module__}.".startswith(f"{self.package}.")


def _name(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"


def _is_frozen(value: Any) -> bool:
    if isinstance(value, BaseModel):
        return bool(value.model_config.get("frozen"))
    return dataclasses.is_dataclass(value) and bool(value.__dataclass_params__.frozen)  # type: ignore[attr-defined]


def _fields(value: Any) -> dict[str, Any]:
    if isinstance(value, BaseModel):
        return {**vars(value), **(value.model_extra or {})}
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def writes_of(tree: ast.AST) -> list[str]:
    """Where functions write something that outlives their call, other than an instance: `global` names, attributes and
    items of what they neither were given nor made themselves, and attributes of their own class."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [f"{function.name}: {found}" for function in functions for found in _writes(function)]


def _writes(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    own = {argument.arg for argument in ast.walk(function.args) if isinstance(argument, ast.arg)} - {"cls"}
    stored = (node for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
    shared = {name for node in ast.walk(function) if isinstance(node, ast.Global) for name in node.names}
    own |= {node.id for node in stored} - shared
    own |= {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)} - {"cls"}  # of lambdas in it
    yield from (f"global {name}" for name in sorted(shared))
    for node in ast.walk(function):
        if isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            root: ast.AST = node
            while isinstance(root, ast.Attribute | ast.Subscript):
                root = root.value
            if not isinstance(root, ast.Name) or root.id not in own:
                yield ast.unparse(node)
