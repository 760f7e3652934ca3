"""Reading a policy's text: Cedar's own checks, and ours for what Cedar lets pass. Pure.

What is refused here would otherwise be noticed in the middle of a run, or never.
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

# Cedar's parser recurses: some hundred brackets, or thousands of `if`s, overflow its stack, which ends the process.
DEPTH = 100
IFS = 500
LENGTH = 200_000  # characters; also bounds how long parsing takes

STRING_OR_COMMENT = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*')
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
# Rules of ours, as in `policy.error`.
TAKEN = frozenset(("permit", "default-deny", "error", "missing", "silent", "inexpressible"))

Written = Mapping[str, Any]  # one policy in Cedar's JSON


class PolicyInvalid(Permanent):
    """The policy cannot be used; the message names each problem."""


@dataclass(frozen=True)
class PolicyRule:
    """One `permit` or `forbid`. `name` is its @id, or Cedar's word for its place in the text, such as policy0."""

    position: int
    name: str
    reason: str
    asks: bool


@dataclass(frozen=True, eq=False)
class PolicyText:
    """A text that was read: its rules by Cedar's ids, and the two sets that are evaluated."""

    rules: Mapping[str, PolicyRule]
    all_rules: PolicySet
    without_asks: PolicySet


def read(text: str, schema: Mapping[str, Any] | None = None) -> PolicyText:
    """Parse and check `text`. Raises PolicyInvalid, with each problem."""
    _refuse(_unreadable(text))
    all_rules, written = _parsed(text)
    static: dict[str, Written] = written["staticPolicies"]
    rules = {key: _rule(key, policy) for key, policy in static.items()}
    _refuse([*_problems(written, rules), *(_misfits(text, static, rules, schema) if schema is not None else ())])
    return PolicyText(rules, all_rules, _without_asks(text, static, rules))


def _parsed(text: str) -> tuple[PolicySet, Any]:
    try:
        return PolicySet.from_str(text), json.loads(policies_to_json_str(text))
    except ValueError as error:
        raise PolicyInvalid(f"not Cedar: {error}") from None
    except RecursionError:
        raise PolicyInvalid("a condition is too long; split the rule, or use a set: `[…].contains(…)`") from None


def _without_asks(text: str, static: Mapping[str, Written], rules: Mapping[str, PolicyRule]) -> PolicySet:
    """The same policies but those that ask: cut from the text, for Cedar reads only short conditions from JSON."""
    in_order = sorted(static, key=lambda key: rules[key].position)
    ends = [match.end() for match in re.finditer(";", _code(text))]
    pieces = [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    kept = [i for i, key in enumerate(in_order) if not rules[key].asks]
    policies, written = _parsed("".join(pieces[i] for i in kept if i < len(pieces)))
    reread = written["staticPolicies"]
    if [reread.get(f"policy{i}") for i in range(len(kept))] != [static[in_order[i]] for i in kept]:
        raise PolicyInvalid("its rules could not be told apart; write one after the other, each ending in `;`")
    return policies


def _refuse(problems: list[str]) -> None:
    if problems:
        raise PolicyInvalid("\n".join(dict.fromkeys(problems)))


def _code(text: str) -> str:
    """`text` with strings and comments blanked, at its length: what is left is Cedar's own signs and words."""
    return STRING_OR_COMMENT.sub(lambda match: " " * len(match.group()), text)


def _unreadable(text: str) -> list[str]:
    """Why this text must not even reach the parser."""
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


def _rule(key: str, policy: Written) -> PolicyRule:
    notes = policy.get("annotations", {})
    name = notes["id"] or "" if "id" in notes else key
    return PolicyRule(int(key.removeprefix("policy")), name, notes.get("reason") or "", asks="ask" in notes)


def _problems(written: Written, rules: Mapping[str, PolicyRule]) -> Iterator[str]:
    """What Cedar accepts and we do not."""
    static = written["staticPolicies"]
    if written["templates"]:
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
            yield f"{rules[key].name}: @ask is for `forbid`; a `permit` asks nobody"
        if policy.get("annotations", {}).get("ask"):
            yield f"{rules[key].name}: @ask takes no value"


def _misfits(
    text: str, static: Mapping[str, Written], rules: Mapping[str, PolicyRule], schema: Mapping[str, Any]
) -> Iterator[str]:
    """What in the policies does not fit the tools there are."""
    if not schema[""]["actions"]:
        yield "no tool is known to check it against; register an agent first"
        return
    for error in validate_policies(text, dict(schema)).errors:
        rule = rules.get(error.policy_id)
        yield f"{rule.name}: {error.error}" if rule else error.error
    for key, policy in static.items():
        for path in _never(policy, schema[""]["actions"]):
            yield f"{rules[key].name}: `context has {path}` never holds: no tool it speaks about has that"


def _never(policy: Written, actions: Mapping[str, Any]) -> Iterator[str]:
    """Attributes that a policy asks for with `has` and that do not exist: it would silently never apply.

    To Cedar's validator a misspelt name after `has` is a valid condition that is false.
    """
    spoken_of = [node["id"] for node in walk(policy["action"]) if "id" in node] or list(actions)
    contexts = [actions[name]["appliesTo"]["context"] for name in spoken_of if name in actions]
    if not contexts:
        return  # the validator has said that there are no such tools
    for node in walk(policy["conditions"]):
        match node:
            case {"has": {"left": left, "attr": str(attribute)}}:
                path = _path(left)
                if path is not None and not any(_exists((*path, attribute), context) for context in contexts):
                    yield ".".join((*path, attribute))


def _path(node: Any) -> tuple[str, ...] | None:
    """The attributes from `context` to a node, or None if it begins elsewhere."""
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
