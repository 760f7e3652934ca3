"""Reads YAML as plain data, and refuses repeated keys."""

from typing import Any

import yaml


class YamlInvalid(ValueError):
    """The text is not YAML, or repeats a key."""


class _UniqueKeyLoader(yaml.SafeLoader):
    """Refuses repeated keys, so that nobody has to know which of two budgets counts."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if repeated := {key for key in keys if keys.count(key) > 1}:
            raise ValueError(f"{', '.join(sorted(repeated))} given twice, in line {node.start_mark.line + 1} and after")
        return super().construct_mapping(node, deep)


def read_yaml(text: str) -> Any:
    """The data in `text`. Raises YamlInvalid with a message of one line."""
    try:
        return yaml.load(text, _UniqueKeyLoader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: also a date such as 2024-13-45
        raise YamlInvalid(" ".join(str(error).split())) from None
