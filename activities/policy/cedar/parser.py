"""Parses and checks the text of a policy, beyond Cedar's own checks. Pure.

The further checks find mistakes that Cedar accepts, and that would show in the middle of a run, or never.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cedarpy import PolicySet, policies_to_json_str, validate_policies

from activities.errors import Permanent
from activities.policy.cedar.schema import walk

# Cedar's parser is recursive: a few hundred brackets, or thousands of `if`s, overflow its stack and end the process.
DEPTH = 100
IFS = 500
LENGTH = 200_000  # characters; also bounds the time that parsing takes

STRING_OR_COMMENT = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*')
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
# Names that our own rule ids use, as in `policy.error`.
TAKEN = frozenset(("permit", "default-deny", "error", "missing", "silent", "inexpressible"))

PolicyJson = Mapping[str, Any]  # one `permit` or `forbid` in Cedar's JSON


class PolicyInvalid(Permanent):
    """The policy cannot be used; the message lists all problems."""


@dataclass(frozen=True)
class PolicyRule:
    """One `permit` or `forbid`. `name` is its @id, or Cedar's name for its position in the text, such as policy0."""

    position: int
    name: str
    reason: str
    asks: bool


@dataclass(frozen=True, eq=False)
class PolicyText:
    """A parsed policy text: its rules by Cedar's ids, all rules as a set, and the set without the rules that ask."""

    rules: Mapping[str, PolicyRule]
    all_rules: PolicySet
    without_asks: PolicySet


def read(text: str, schema: Mapping[str, Any] | None = None) -> PolicyText:
    """Parse `text` and check it; with a schema also against the tools. Raises PolicyInvalid with all problems."""
    _raise_if_any(_unsafe_to_parse(text))
    all_rules, policy_json = _parse(text)
    static: dict[str, PolicyJson] = policy_json["staticPolicies"]
    rules = {key: _rule(key, policy) for key, policy in static.items()}
    _raise_if_any(
        [*_problems(policy_json, rules), *(_schema_problems(text, static, rules, schema) if schema is not None else ())]
    )
    return PolicyText(rules, all_rules, _without_asks(text, static, rules))


def _parse(text: str) -> tuple[PolicySet, Any]:
    try:
        return PolicySet.from_str(text), json.loads(policies_to_json_str(text))
    except ValueError as error:
        raise PolicyInvalid(f"not Cedar: {error}") from None
    except RecursionError:
        raise PolicyInvalid("a condition is too long; split the rule, or use a set: `[…].contains(…)`") from None


def _without_asks(text: str, static: Mapping[str, PolicyJson], rules: Mapping[str, PolicyRule]) -> PolicySet:
    """The policy set without the rules that ask.

    These rules are cut from the text, because Cedar accepts only short conditions in JSON.
    """
    in_order = sorted(static, key=lambda key: rules[key].position)
    ends = [match.end() for match in re.finditer(";", _code(text))]
    pieces = [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    kept = [i for i, key in enumerate(in_order) if not rules[key].asks]
    policies, policy_json = _parse("".join(pieces[i] for i in kept if i < len(pieces)))
    reread = policy_json["staticPolicies"]
    if [reread.get(f"policy{i}") for i in range(len(kept))] != [static[in_order[i]] for i in kept]:
        raise PolicyInvalid("its rules could not be separated; write one after the other, each ending in `;`")
    return policies


def _raise_if_any(problems: list[str]) -> None:
    if problems:
        raise PolicyInvalid("\n".join(dict.fromkeys(problems)))


def _code(text: str) -> str:
    """`text` with strings and comments replaced by blanks, so that all positions stay the same."""
    return STRING_OR_COMMENT.sub(lambda match: " " * len(match.group()), text)


def _unsafe_to_parse(text: str) -> list[str]:
    """Reasons why the text must not be passed to Cedar's parser."""
    code, depth, deepest = _code(text), 0, 0
    for bracket in re.findall(r"[(\[{)\]}]", code):
        depth = depth + 1 if bracket in "([{" else max(depth - 1, 0)
        deepest = max(deepest, depth)
    problems = []
    if len(text) > LENGTH:
        problems.append(f"it has {len(text)} characters; at most {LENGTH} are read")
    if deepest > DEPTH:
        problems.append(f"brackets are {deepest} deep; at most {DEPTH} are read")
    if len(re.findall(r"\bif\b", code)) > IFS:
        problems.append(f"it has more than {IFS} times the word `if`")
    if "\x00" in text or any(0xD800 <= ord(c) <= 0xDFFF for c in text):
        problems.append("it has characters that cannot be stored (NUL or a lone surrogate)")
    return problems


def _rule(key: str, policy: PolicyJson) -> PolicyRule:
    notes = policy.get("annotations", {})
    name = notes["id"] or "" if "id" in notes else key
    return PolicyRule(int(key.removeprefix("policy")), name, notes.get("reason") or "", asks="ask" in notes)


def _problems(policy_json: PolicyJson, rules: Mapping[str, PolicyRule]) -> Iterator[str]:
    """Problems that Cedar accepts and we do not."""
    static = policy_json["staticPolicies"]
    if policy_json["templates"]:
        yield "it has templates (?principal, ?resource); nothing fills them in"
    if not any(policy["effect"] == "permit" for policy in static.values()):
        yield "it permits nothing; end it with `permit (principal, action, resource);` for what is not forbidden"
    for name, times in Counter(rule.name for rule in rules.values()).items():
        if times > 1:
            yield f"{times} rules have the @id {name!r}"
        if not NAME.fullmatch(name) or name in TAKEN:
            yield f"@id({json.dumps(name)}) cannot be used; take letters, digits and - . _, and none of {sorted(TAKEN)}"
    for key, policy in static.items():
        if rules[key].asks and policy["effect"] == "permit":
            yield f"{rules[key].name}: @ask is for `forbid`; a `permit` cannot ask"
        if policy.get("annotations", {}).get("ask"):
            yield f"{rules[key].name}: @ask takes no value"


def _schema_problems(
    text: str, static: Mapping[str, PolicyJson], rules: Mapping[str, PolicyRule], schema: Mapping[str, Any]
) -> Iterator[str]:
    """Problems of the policies with the schema of the tools."""
    if not schema[""]["actions"]:
        yield "no tool is known to check it against; register an agent first"
        return
    for error in validate_policies(text, dict(schema)).errors:
        rule = rules.get(error.policy_id)
        yield f"{rule.name}: {error.error}" if rule else error.error
    for key, policy in static.items():
        for path in _missing_attributes(policy, schema[""]["actions"]):
            yield f"{rules[key].name}: `context has {path}` never holds: no tool of the rule has this attribute"


def _missing_attributes(policy: PolicyJson, actions: Mapping[str, Any]) -> Iterator[str]:
    """Attributes after `has` that no tool of the policy has, so that the policy would silently never apply.

    Cedar's validator accepts a misspelt name after `has`: the condition is valid and false.
    """
    tools = [node["id"] for node in walk(policy["action"]) if "id" in node] or list(actions)
    contexts = [actions[name]["appliesTo"]["context"] for name in tools if name in actions]
    if not contexts:
        return  # Cedar's validator has reported that there are no such tools
    for node in walk(policy["conditions"]):
        match node:
            case {"has": {"left": left, "attr": str(attribute)}}:
                path = _path(left)
                if path is not None and not any(_exists((*path, attribute), context) for context in contexts):
                    yield ".".join((*path, attribute))


def _path(node: Any) -> tuple[str, ...] | None:
    """The attributes on the path from `context` to a node; None if the path does not begin at `context`."""
    match node:
        case {"Var": "context"}:
            return ()
        case {".": {"left": left, "attr": str(attribute)}}:
            path = _path(left)
            return None if path is None else (*path, attribute)
    return None


def _exists(path: tuple[str, ...], record: Mapping[str, Any]) -> bool:
    for step in path:
        record = record.get("attributes", {}).get(step)
        if record is None:
            return False
    return True
