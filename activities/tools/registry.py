"""Finds tools: the functions marked `@tool` in a module, and the built-in tools."""

import importlib
from types import ModuleType

from activities.tools import builtin
from activities.tools.decorator import SPEC
from activities.tools.errors import ToolDeclarationError
from activities.tools.spec import ToolSpec


class ToolModuleMissing(ToolDeclarationError):
    """A tool module cannot be imported."""


def tools_in(module: ModuleType) -> dict[str, ToolSpec]:
    """The tools that a module defines or imports, by name: `@tool` functions, and ToolSpecs of foreign tools."""
    tools: dict[str, ToolSpec] = {}
    for value in vars(module).values():
        spec = value if isinstance(value, ToolSpec) else getattr(value, SPEC, None)
        if isinstance(spec, ToolSpec):
            tools[spec.name] = spec
    return tools


def find_tool(module: str, name: str) -> ToolSpec:
    """The tool `name` of `module`. Raises ToolModuleMissing, ToolDeclarationError."""
    tools = BUILTIN if module == BUILTIN_MODULE else tools_in(_import(module))
    if name not in tools:
        raise ToolDeclarationError(f"{module} has no tool {name!r}; it has: {', '.join(sorted(tools)) or 'none'}")
    return tools[name]


def _import(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ToolDeclarationError:
        raise
    except Exception as error:  # a module can raise anything at import
        raise ToolModuleMissing(f"cannot import {module}: {type(error).__name__}: {error}") from error


BUILTIN_MODULE = builtin.__name__
BUILTIN = tools_in(builtin)
