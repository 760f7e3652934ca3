"""Constraints: what one argument of a tool may be. Pure: no clock, no I/O, no logging.

A constraint is not a text pattern: it parses the value as addresses, a URL, a path or a number. A value that cannot be
parsed, or has another type, violates the constraint. An absent or null argument violates it as well, because the tool's
default is not known here. There are two exceptions: the constraint has `optional: true`, or the argument is not
sensitive and only max_length, max_items or one_of are given.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr, field_validator, model_validator

from activities.policy.grants.sql_tables import TABLE, tables_in
from activities.policy.values.canonical_names import PORTS, addresses_in, domain_of, path_under, place_of
from activities.storage.canonical import canonical_json
from workflows.visible import show_hidden_characters

Origin = Literal["user", "trusted", "untrusted", "model"]
Choice = StrictBool | StrictInt | StrictStr

SHOWN = 120  # characters of a value in a reason

# Kind of argument -> the rules that bound it: all values that satisfy one of them are equally acceptable. For a kind
# that is not listed only `one_of` does.
_BOUNDS = {
    "recipient": {"domains", "one_of"},
    "url": {"hosts", "one_of"},
    "host": {"hosts", "one_of"},
    "path": {"under", "one_of"},
    "amount": {"max", "one_of"},
}
_HARMLESS_IF_ABSENT = {"max_length", "max_items", "one_of"}


class Constraint(BaseModel):
    """What one argument may be: every rule that is given must hold, for a list for each element."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    domains: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description='Allowed mail domains of the addresses; "*.acme.example" is its subdomains only',
    )
    hosts: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="Allowed hosts of a URL, with a port unless it is the default port of the scheme",
    )
    schemes: tuple[Literal["http", "https"], ...] | None = Field(
        default=None, min_length=1, description="Allowed schemes of a URL; the default is https if hosts are given"
    )
    under: str | None = Field(
        default=None, description="Absolute path that the file, or the path of the URL, must be under"
    )
    min: StrictInt | None = Field(default=None, description="Smallest allowed whole number")
    max: StrictInt | None = Field(default=None, description="Largest allowed whole number")
    one_of: tuple[Choice, ...] | None = Field(default=None, min_length=1, description="The allowed values")
    max_length: StrictInt | None = Field(
        default=None, ge=0, description="Maximum number of characters; of a list or an object as JSON"
    )
    max_items: StrictInt | None = Field(
        default=None, ge=0, description="Maximum number of elements of a list or keys of an object"
    )
    tables: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="Tables that an SQL statement may name, spelt as in the statement"
    )
    origin: tuple[Origin, ...] | None = Field(default=None, min_length=1, description="Allowed origins of the value")
    optional: StrictBool = Field(default=False, description="Whether the argument may be absent or null")

    @field_validator("domains")
    @classmethod
    def _canonical_domains(cls, domains: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return domains and tuple(
            "*." + domain_of("x@" + name[2:]) if name.startswith("*.") else domain_of("x@" + name) for name in domains
        )

    @field_validator("hosts")
    @classmethod
    def _canonical_hosts(cls, hosts: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return hosts and tuple(_authority(name) for name in hosts)

    @field_validator("tables")
    @classmethod
    def _plain_tables(cls, tables: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if strange := [name for name in tables or () if not TABLE.fullmatch(name)]:
            raise ValueError(
                f"{', '.join(map(show_hidden_characters, strange))}: a table is a plain name such as shop.orders"
            )
        return tables

    @model_validator(mode="after")
    def _means_something(self) -> Self:
        if not self.rules:
            raise ValueError("no constraint is given; leave the argument out to leave it free")
        if self.under is not None:
            root = _url_root(self.under) if self.hosts or self.schemes else self.under
            path_under(root, root)  # raises if it cannot be a root
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is greater than max {self.max}")
        return self

    @cached_property
    def rules(self) -> tuple[str, ...]:
        """The names of the rules that are given."""
        names = (name for name in type(self).model_fields if name != "optional")
        return tuple(name for name in names if getattr(self, name) is not None)


@dataclass(frozen=True)
class Violation:
    """The rule that a call violates, and why. If a tool has several grants, that of the closest one."""

    rule: str
    reason: str


@dataclass(frozen=True)
class Argument:
    """An argument of a call. `kind`: as the tool declares it. `origin`: the worst of its values; None if not known."""

    name: str
    value: Any
    kind: str | None
    origin: str | None


def is_bounded(constraint: Constraint, kind: str | None) -> bool:
    """Whether it limits an argument of this kind so much that all values that fit are equally acceptable."""
    return not _BOUNDS.get(kind or "", {"one_of"}).isdisjoint(constraint.rules)


def find_violation(argument: Argument, constraint: Constraint) -> Violation | None:
    """The first rule that an argument violates, or None. Never raises: a failed check is `grant.unreadable`."""
    if argument.value is None:
        return _violation_if_absent(argument, constraint)
    try:
        for rule in _rules_for(argument, constraint):
            for part in _offending_parts(rule, argument, constraint):
                return Violation(f"grant.{rule}", f"{part}; the grant allows {rule} {_allowed_text(constraint, rule)}")
    except Exception as error:  # a hostile value must not get past the check by making it raise
        why = type(error).__name__ if argument.kind == "secret" else show_hidden_characters(str(error))
        return Violation("grant.unreadable", f"{argument.name} cannot be read as the grant needs it: {why}")
    return None


def _violation_if_absent(argument: Argument, constraint: Constraint) -> Violation | None:
    strict = [rule for rule in constraint.rules if argument.kind or rule not in _HARMLESS_IF_ABSENT]
    if constraint.optional or not strict:
        return None
    allowed = f"{strict[0]} {_allowed_text(constraint, strict[0])}"
    return Violation(f"grant.{strict[0]}", f"{argument.name} is not given; the grant allows {allowed}")


def _rules_for(argument: Argument, constraint: Constraint) -> list[str]:
    rules = list(constraint.rules)
    if constraint.hosts and not constraint.schemes and argument.kind != "host":
        rules.append("schemes")  # the default scheme, https, is binding as well
    return rules


def _allowed_text(constraint: Constraint, rule: str) -> str:
    allowed = _schemes(constraint) if rule == "schemes" else getattr(constraint, rule)
    return ", ".join(str(item) for item in allowed) if isinstance(allowed, tuple) else str(allowed)


def _schemes(constraint: Constraint) -> tuple[str, ...]:
    return constraint.schemes or ("https",)


def _offending_parts(rule: str, argument: Argument, constraint: Constraint) -> Iterator[str]:
    """Descriptions of the parts of an argument that violate a rule."""
    name, value = argument.name, argument.value
    if rule == "origin":
        if argument.origin not in (constraint.origin or ()):
            yield f"the origin of {name} is {argument.origin or 'not known'}"
    elif rule == "max_items":
        if not isinstance(value, list | tuple | Mapping) or len(value) > (constraint.max_items or 0):
            size = f"has {len(value)} items" if isinstance(value, list | tuple | Mapping) else "is no list"
            yield f"{name} {size}"
    else:
        for part in _parts(rule, value):
            if not _satisfies(rule, part, constraint, argument.kind):
                yield f"{name} is {_quoted(part, argument.kind)}"


def _parts(rule: str, value: Any) -> Iterator[Any]:
    """The elements of a list, the addresses of a recipient field; any other value is its own only part."""
    for element in value if isinstance(value, list | tuple) else (value,):
        if rule == "domains" and isinstance(element, str):
            yield from addresses_in(element)
        else:
            yield element


def _quoted(value: Any, kind: str | None) -> str:
    if kind == "secret":
        return "a secret that is not shown"
    text = show_hidden_characters(value if isinstance(value, str) else canonical_json(value))
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "…")


def _satisfies(rule: str, value: Any, constraint: Constraint, kind: str | None) -> bool:
    """Whether a value satisfies a rule; a value of another type does not."""
    match rule:
        case "one_of":
            return any(type(value) is type(choice) and value == choice for choice in constraint.one_of or ())
        case "min":
            return type(value) is int and constraint.min is not None and value >= constraint.min
        case "max":
            return type(value) is int and constraint.max is not None and value <= constraint.max
        case "max_length":
            text = canonical_json(value) if isinstance(value, list | dict) else value
            return isinstance(text, str) and len(text) <= (constraint.max_length or 0)
    return isinstance(value, str) and _text_satisfies(rule, value, constraint, kind)


def _text_satisfies(rule: str, text: str, constraint: Constraint, kind: str | None) -> bool:
    match rule:
        case "domains":
            return any(_in_domain(domain_of(text), domain) for domain in constraint.domains or ())
        case "hosts":
            hosts = constraint.hosts or ()
            return _authority(text) in hosts if kind == "host" else _leads_to(text, hosts)
        case "schemes":
            return kind != "host" and place_of(text).scheme in _schemes(constraint)
        case "under":
            return _lies_under(text, constraint, kind)
        case "tables":
            return tables_in(text) <= set(constraint.tables or ())
    return False


def _in_domain(domain: str, allowed: str) -> bool:
    return domain.endswith(allowed[1:]) if allowed.startswith("*.") else domain == allowed


def _authority(text: str) -> str:
    """`host` or `host:port` in canonical form. Raises ValueError for anything else."""
    plain, secure = place_of(f"http://{text}"), place_of(f"https://{text}")
    if (plain.path, plain.query, plain.fragment) != ("/", "", "") or any(sign in text for sign in "/?#"):
        raise ValueError(f"{show_hidden_characters(text)!r} is no host, with or without a port")
    # If both schemes give the same port, the text has a port; otherwise each has its default port.
    return f"{plain.host}:{plain.port}" if plain.port == secure.port else plain.host


def _leads_to(url: str, hosts: tuple[str, ...]) -> bool:
    place = place_of(url)
    standard = place.port == PORTS[place.scheme]
    return f"{place.host}:{place.port}" in hosts or (standard and place.host in hosts)


def _lies_under(text: str, constraint: Constraint, kind: str | None) -> bool:
    root = constraint.under or ""
    if kind == "url" or constraint.hosts or constraint.schemes:
        return kind != "host" and path_under(place_of(text).path, _url_root(root))
    return kind != "host" and "://" not in text and path_under(text, root)  # some tools accept a URL as a path


def _url_root(root: str) -> str:
    return place_of(f"https://root{root}").path if root.startswith("/") else root
