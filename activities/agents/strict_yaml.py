"""Reading YAML that people write to control agents: plain data only, and no key given twice."""

from typing import Any

import yaml


class YamlInvalid(ValueError):
    """The text is not YAML, or gives a key twice."""


class _OneOfEachKey(yaml.SafeLoader):
    """YAML in which no key is given twice: nobody should have to know which of two budgets wins."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if repeated := {key for key in keys if keys.count(key) > 1}:
            raise ValueError(f"{', '.join(sorted(repeated))} given twice, in line {node.start_mark.line + 1} and after")
        return super().construct_mapping(node, deep)


def read_yaml(text: str) -> Any:
    """The data in `text`. Raises YamlInvalid, in one line."""
    try:
        return yaml.load(text, _OneOfEachKey)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: also a date such as 2024-13-45
        raise YamlInvalid(" ".join(str(error).split())) from None
