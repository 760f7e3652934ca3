"""Grants: what an agent's YAML lets a tool do, as typed constraints per argument. Pure: no clock, no I/O, no logging.

A grant is never a pattern: each constraint reads the value as what it is (addresses, a URL, a path, a number) and a
value it cannot read, or of a type it is not about, violates it. An argument that is absent or null violates its
constraint too, for the tool's default is not known here: unless the constraint says `optional: true`, or says nothing
but max_length, max_items or one_of about an argument that is not sensitive.
"""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_serializer,
    model_validator,
)

from activities.policy.names import PORTS, addresses_in, domain_of, path_under, place_of, visible
from activities.storage.canonical import canonical_json, sha256_hex

Origin = Literal["user", "trusted", "untrusted", "model"]
Choice = StrictBool | StrictInt | StrictStr

PER_DAY = "per_day"  # the one key of a grant that is no argument
SHOWN = 120  # characters of a value in a reason: enough to recognise it, too few to fill a log

# What makes one value as good as another, by kind; of a kind that is not here only `one_of` does.
_BOUNDS = {
    "recipient": {"domains", "one_of"},
    "url": {"hosts", "one_of"},
    "host": {"hosts", "one_of"},
    "path": {"under", "one_of"},
    "amount": {"max", "one_of"},
}
_HARMLESS_IF_ABSENT = {"max_length", "max_items", "one_of"}


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Constraint(_Strict):
    """What one argument may be; all that is given has to hold. Of a list, each element has to satisfy it."""

    domains: tuple[str, ...] | None = Field(
        default=None, min_length=1, description='Mail domains of every address; "*.acme.example" is its subdomains only'
    )
    hosts: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="Hosts of a URL, with a port unless it is the scheme's own"
    )
    schemes: tuple[Literal["http", "https"], ...] | None = Field(
        default=None, min_length=1, description="Schemes of a URL; https where hosts are given and this is not"
    )
    under: str | None = Field(default=None, description="Absolute path the file, or the path of the URL, lies beneath")
    min: StrictInt | None = Field(default=None, description="Least whole number")
    max: StrictInt | None = Field(default=None, description="Greatest whole number")
    one_of: tuple[Choice, ...] | None = Field(default=None, min_length=1, description="The values there are")
    max_length: StrictInt | None = Field(default=None, ge=0, description="Most characters, of an object in JSON")
    max_items: StrictInt | None = Field(default=None, ge=0, description="Most elements of a list or keys of an object")
    tables: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="Tables an SQL statement may name, as it spells them"
    )
    origin: tuple[Origin, ...] | None = Field(default=None, min_length=1, description="Where the value may come from")
    optional: StrictBool = Field(default=False, description="It may be absent or null")

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
        if strange := [name for name in tables or () if not _TABLE.fullmatch(name)]:
            raise ValueError(
                f"{', '.join(map(visible, strange))}: a table is a plain name such as orders or shop.orders"
            )
        return tables

    @model_validator(mode="after")
    def _means_something(self) -> Self:
        if not self.rules:
            raise ValueError("no constraint is given; leave the argument out to leave it free")
        if self.under is not None:
            root = _url_root(self.under) if self.hosts or self.schemes else self.under
            path_under(root, root)  # raises for what could never be a root
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is greater than max {self.max}")
        return self

    @property
    def rules(self) -> tuple[str, ...]:
        """Names of the constraints that are given."""
        names = (name for name in type(self).model_fields if name != "optional")
        return tuple(name for name in names if getattr(self, name) is not None)


class Grant(_Strict):
    """One way in which a tool may be used: a constraint for each argument that is not free."""

    arguments: dict[str, Constraint] = {}
    per_day: StrictInt | None = Field(default=None, ge=1, description="Most calls per UTC day and tenant")

    @model_serializer
    def _as_written(self) -> dict[str, Any]:
        """As in YAML, so that what was dumped is read again."""
        written: dict[str, Any] = {} if self.per_day is None else {PER_DAY: self.per_day}
        return written | {
            name: constraint.model_dump(mode="json", exclude_defaults=True)
            for name, constraint in self.arguments.items()
        }


Grants = dict[str, tuple[Grant, ...]]


@dataclass(frozen=True)
class Fits:
    """The first alternative that fits. `constrained`: the arguments it speaks about; `bounded`: those among them of
    which, for what their kind is about, every value that fits is as good as another (see `class_of`).
    """

    index: int
    constrained: frozenset[str]
    grant: Grant
    bounded: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Misfit:
    """No alternative fits; rule and reason are of the one that came closest."""

    rule: str
    reason: str


# ── reading YAML ─────────────────────────────────────────────────────────────────────────────────────────────────────


def parse_grants(raw: Any) -> Grants:
    """Grants as written in YAML, or already read. Raises ValueError with every problem and where it is."""
    if not isinstance(raw, Mapping):
        raise ValueError("grants is a mapping from each tool to what it may be used for")
    problems: list[str] = []
    grants: Grants = {}
    for tool, written in raw.items():
        alternatives = written if isinstance(written, list | tuple) else [written]
        if not alternatives:
            problems.append(f"{tool}: an empty list grants nothing; write {{}} to grant it without constraints")
        places = [f"{tool}.{index}" if len(alternatives) > 1 else str(tool) for index in range(len(alternatives))]
        grants[str(tool)] = tuple(_grant(*each, problems) for each in zip(places, alternatives, strict=True))
    if problems:
        raise ValueError("; ".join(problems))
    return grants


def _grant(where: str, written: Any, problems: list[str]) -> Grant:
    if isinstance(written, Grant):
        return written
    if not isinstance(written, Mapping):
        problems.append(f"{where}: a mapping is expected; write {{}} to grant it without constraints")
        return Grant()
    arguments: dict[str, Constraint] = {}
    for name, constraint in written.items():
        if name == PER_DAY:
            continue
        try:
            arguments[str(name)] = Constraint.model_validate(constraint)
        except ValidationError as error:
            problems.extend(_problem(f"{where}.{name}", str(name), item) for item in error.errors())
    try:
        return Grant(arguments=arguments, per_day=written.get(PER_DAY))
    except ValidationError as error:
        problems.extend(f"{where}.{PER_DAY}: {item['msg']}" for item in error.errors())
        return Grant()


def _problem(where: str, name: str, item: Any) -> str:
    if item["type"] == "model_type":
        return f"{where}: {_misplaced(name)}"
    inside = ".".join([where, *(str(part) for part in item["loc"])])
    if item["type"] != "extra_forbidden":
        return f"{inside}: {item['msg'].removeprefix('Value error, ')}"
    close = difflib.get_close_matches(str(item["loc"][-1]), Constraint.model_fields, n=1)
    return f"{inside}: unknown key; " + (
        f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(Constraint.model_fields)}"
    )


def _misplaced(name: str) -> str:
    if name in Constraint.model_fields:
        return "a constraint stands beneath the name of an argument, such as to: {domains: [acme.example]}"
    if difflib.get_close_matches(name, [PER_DAY], n=1):
        return f"did you mean {PER_DAY!r}?"
    return "the constraints of an argument are a mapping, such as {max_length: 200}"


def _schema() -> dict[str, Any]:
    """JSON Schema of grants as they are written, for editors."""
    grant = {
        "type": "object",
        "properties": {PER_DAY: {"type": "integer", "minimum": 1}},
        "additionalProperties": Constraint.model_json_schema(),
    }
    alternatives = {"anyOf": [grant, {"type": "array", "items": grant, "minItems": 1}]}
    return {"type": "object", "additionalProperties": alternatives}


GrantsField = Annotated[Grants, BeforeValidator(parse_grants), WithJsonSchema(_schema())]


# ── deciding ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def fit(
    grants: Sequence[Grant], arguments: Mapping[str, Any], kinds: Mapping[str, str], origins: Mapping[str, str]
) -> Fits | Misfit:
    """Whether one of the alternatives covers a call with these arguments.

    `kinds`: what the tool declares of its sensitive arguments; `origins`: the worst origin of each, unknown where it is
    not named. Never raises: what cannot be checked is the Misfit `grant.unreadable`.
    """
    closest: list[Misfit] = []
    for index, grant in enumerate(grants):
        given = (
            (_Argument(name, arguments.get(name), kinds.get(name), origins.get(name)), constraint)
            for name, constraint in grant.arguments.items()
        )
        found = [misfit for each in given if (misfit := _violation(*each))]
        if not found:
            bounded = {name for name in grant.arguments if _is_bounded(grant.arguments[name], kinds.get(name))}
            return Fits(index, frozenset(grant.arguments), grant, frozenset(bounded))
        if not closest or len(found) < len(closest):
            closest = found
    return closest[0] if closest else Misfit("grant.none", "there is no grant for it")


def class_of(
    tool: str,
    pinned_hash: str,
    grant_index: int,
    arguments: Mapping[str, Any],
    kinds: Mapping[str, str],
    constrained: frozenset[str],
) -> str:
    """What "like this" means for a call: a digest of tool, hash, alternative, names of arguments and the exact value
    of every sensitive argument but the `constrained`, which is `Fits.bounded`: an account of which no more is asked
    than its origin stays the very account that was approved.
    """
    exact = {name: arguments[name] for name in kinds if name in arguments and name not in constrained}
    return sha256_hex([tool, pinned_hash, grant_index, exact, sorted(arguments)])


@dataclass(frozen=True)
class _Argument:
    name: str
    value: Any
    kind: str | None
    origin: str | None


def _is_bounded(constraint: Constraint, kind: str | None) -> bool:
    return not _BOUNDS.get(kind or "", {"one_of"}).isdisjoint(constraint.rules)


def _violation(argument: _Argument, constraint: Constraint) -> Misfit | None:
    if argument.value is None:
        return _absence(argument, constraint)
    try:
        for rule in _rules_for(argument, constraint):
            for part in _offending(rule, argument, constraint):
                return Misfit(f"grant.{rule}", f"{part}; the grant allows {rule} {_allowed(constraint, rule)}")
    except Exception as error:  # whatever a hostile value provokes is a no
        why = type(error).__name__ if argument.kind == "secret" else visible(str(error))
        return Misfit("grant.unreadable", f"{argument.name} cannot be read as the grant needs it: {why}")
    return None


def _absence(argument: _Argument, constraint: Constraint) -> Misfit | None:
    strict = [rule for rule in constraint.rules if argument.kind or rule not in _HARMLESS_IF_ABSENT]
    if constraint.optional or not strict:
        return None
    allowed = f"{strict[0]} {_allowed(constraint, strict[0])}"
    return Misfit(f"grant.{strict[0]}", f"{argument.name} is not given; the grant allows {allowed}")


def _rules_for(argument: _Argument, constraint: Constraint) -> list[str]:
    rules = list(constraint.rules)
    if constraint.hosts and not constraint.schemes and argument.kind != "host":
        rules.append("schemes")  # the default is as binding as what is written
    return rules


def _allowed(constraint: Constraint, rule: str) -> str:
    allowed = _schemes(constraint) if rule == "schemes" else getattr(constraint, rule)
    return ", ".join(str(item) for item in allowed) if isinstance(allowed, tuple) else str(allowed)


def _schemes(constraint: Constraint) -> tuple[str, ...]:
    return constraint.schemes or ("https",)


def _offending(rule: str, argument: _Argument, constraint: Constraint) -> Iterator[str]:
    """What of an argument violates a rule, in words."""
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
            if not _holds(rule, part, constraint, argument.kind):
                yield f"{name} is {_shown(part, argument.kind)}"


def _parts(rule: str, value: Any) -> Iterator[Any]:
    """The elements of a list, and of a recipient field its addresses; anything else is its only part."""
    for element in value if isinstance(value, list | tuple) else (value,):
        if rule == "domains" and isinstance(element, str):
            yield from addresses_in(element)
        else:
            yield element


def _shown(value: Any, kind: str | None) -> str:
    if kind == "secret":
        return "a secret that is not shown"
    text = visible(value if isinstance(value, str) else canonical_json(value))
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "…")


def _holds(rule: str, value: Any, constraint: Constraint, kind: str | None) -> bool:
    """Whether one value satisfies one rule; a value of a type that the rule is not about does not."""
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
    return isinstance(value, str) and _text_holds(rule, value, constraint, kind)


def _text_holds(rule: str, text: str, constraint: Constraint, kind: str | None) -> bool:
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
    """`host` or `host:port` in the one way to write it. Raises ValueError for anything more."""
    plain, secure = place_of(f"http://{text}"), place_of(f"https://{text}")
    if (plain.path, plain.query, plain.fragment) != ("/", "", "") or any(sign in text for sign in "/?#"):
        raise ValueError(f"{visible(text)!r} is no host, with or without a port")
    return f"{plain.host}:{plain.port}" if plain.port == secure.port else plain.host  # they agree: it was written


def _leads_to(url: str, hosts: tuple[str, ...]) -> bool:
    place = place_of(url)
    standard = place.port == PORTS[place.scheme]
    return f"{place.host}:{place.port}" in hosts or (standard and place.host in hosts)


def _lies_under(text: str, constraint: Constraint, kind: str | None) -> bool:
    root = constraint.under or ""
    if kind == "url" or constraint.hosts or constraint.schemes:
        return kind != "host" and path_under(place_of(text).path, _url_root(root))
    return kind != "host" and "://" not in text and path_under(text, root)  # some tools take a URL for a path


def _url_root(root: str) -> str:
    return place_of(f"https://root{root}").path if root.startswith("/") else root


# ── SQL, as far as it can be read without a parser ───────────────────────────────────────────────────────────────────

_TABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*){0,2}")
# A word directly beside a quotation mark (E'…', U&'…') or after a digit is read differently by different databases.
_TOKEN = re.compile(
    r"[ \t\r\n]*(?:(?P<word>[A-Za-z_][A-Za-z0-9_]*(?:\.(?:[A-Za-z_][A-Za-z0-9_]*|\*))*)(?![\w'$])"
    r"|(?P<value>[0-9]+(?:\.[0-9]+)?(?![\w.'])|'(?:[^'\\\x00]|'')*'(?![\w']))|(?P<sign>-(?!-)|/(?!\*)|[(),*=<>+%|!]))"
)
_STATEMENTS = {"SELECT": "", "INSERT": "INTO", "UPDATE": "", "DELETE": "FROM"}  # and the word that must come next
_AFTER_TABLE = set(
    "ON USING WHERE GROUP ORDER HAVING LIMIT OFFSET JOIN LEFT RIGHT INNER FULL CROSS NATURAL UNION EXCEPT INTERSECT"
    " SET VALUES SELECT RETURNING".split()
)
_WORDS = _AFTER_TABLE | set(
    "AS ASC DESC AND OR NOT IN IS NULL LIKE ILIKE BETWEEN EXISTS CASE WHEN THEN ELSE END DISTINCT ALL ANY SOME OUTER BY"
    " FROM INTO UPDATE INSERT DELETE DEFAULT TRUE FALSE".split()
)
# They read nothing but their arguments; query_to_xml('SELECT …') and its like are why no other may be called.
_FUNCTIONS = set(
    "ABS AVG CAST CEIL CHAR COALESCE CONCAT COUNT DATE_TRUNC DECIMAL FLOOR GREATEST LEAST LENGTH LOWER MAX MIN MOD"
    " NULLIF NUMERIC REPLACE ROUND SUBSTR SUM TRIM UPPER VARCHAR".split()
)
_NEVER = {"APPLY", "LATERAL", "STRAIGHT_JOIN", "TABLE", "WITH"}  # each brings in tables in a way of its own


def tables_in(statement: str) -> frozenset[str]:
    """The tables that an SQL statement names after FROM, JOIN, INTO and UPDATE, spelt as there. Raises ValueError for
    what cannot be read with certainty.

    This is no parser. It takes one SELECT, INSERT, UPDATE or DELETE of plain words, numbers, 'strings' and subselects.
    It refuses quoted names, comments, semicolons, parameters, casts, WITH, functions but a few, joins in parentheses,
    and any two words side by side that it does not know. So it refuses much that is harmless, and a database role that
    may read no other table stays the control it only anticipates.
    """
    return _Reading(_tokens(statement)).tables()


def _tokens(statement: str) -> list[str]:
    tokens: list[str] = []
    at, text = 0, statement.rstrip(" \t\r\n")
    while at < len(text):
        token = _TOKEN.match(text, at)
        if not token:
            raise ValueError(f"the SQL contains {visible(text[at : at + 20])!r}, which is not read here")
        tokens.append(token["word"] or ("0" if token["value"] else token["sign"]))
        at = token.end()
    return tokens


class _Reading:
    """One pass over the tokens. For each open parenthesis, `_lists` knows whether a comma leads to another table."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._lists = [False]
        self._found: set[str] = set()
        self._was_set = self._upper(0) != "UPDATE"

    def tables(self) -> frozenset[str]:
        if self._upper(0) not in _STATEMENTS or _STATEMENTS[self._upper(0)] not in ("", self._upper(1)):
            raise ValueError("the SQL is no SELECT, INSERT INTO, UPDATE or DELETE FROM")
        at = 0
        while at < len(self._tokens):
            self._check(at)
            at = self._step(at)
        if len(self._lists) != 1:
            raise ValueError("a parenthesis in the SQL is not closed")
        return frozenset(self._found)

    def _step(self, at: int) -> int:
        match self._upper(at):
            case "(":
                self._lists.append(False)
            case ")":
                self._lists.pop()
                if not self._lists:
                    raise ValueError("a parenthesis in the SQL is closed twice")
            case "INTO":
                return self._table(at + 1, into=True)
            case "FROM" | "JOIN" | "UPDATE":
                self._lists[-1] = True
                return self._table(at + 1)
            case "," if self._lists[-1]:
                return self._table(at + 1)
            case "SELECT" | "WHERE" | "SET":
                self._lists[-1] = False
            case "GROUP" | "ORDER" if self._upper(at + 1) == "BY":
                self._lists[-1] = False
        return at + 1

    def _table(self, at: int, into: bool = False) -> int:
        """Reads what stands where a table is expected, with its alias; returns where to go on."""
        if self._upper(at) == "(":
            if self._upper(at + 1) != "SELECT":
                raise ValueError("parentheses after FROM or JOIN hold something else than SELECT")
            return at
        if not self._is_name(at) or not _TABLE.fullmatch(self._tokens[at]):
            raise ValueError("no plain table name follows FROM, JOIN, INTO or UPDATE")
        self._check_parts(at)
        self._found.add(self._tokens[at])
        at += 1
        if self._upper(at) == "AS" or self._is_name(at):
            at += 2 if self._upper(at) == "AS" else 1
            if not self._is_name(at - 1) or "." in self._tokens[at - 1]:
                raise ValueError("a table's alias cannot be read")
            self._check_parts(at - 1)
        if self._upper(at) not in _AFTER_TABLE | {"", ",", ")"} and not (into and self._upper(at) == "("):
            raise ValueError(f"{self._tokens[at]!r} after a table is not read here")
        return at

    def _check(self, at: int) -> None:
        """Refuses what would make the rest of the pass read less than a database does."""
        word, following = self._upper(at), self._upper(at + 1)
        self._check_parts(at)
        if at and word in ("INSERT", "UPDATE", "DELETE"):
            raise ValueError("the SQL is more than one statement")
        if word == "SET":
            if self._was_set:  # a table may have the alias `set`, and then a comma leads to another table
                raise ValueError("SET is read once, after UPDATE and its table")
            self._was_set = True
        if word == "USING" and (self._upper(0) != "SELECT" or following != "("):
            raise ValueError("USING is read only with the columns of a join")
        if self._is_name(at) and self._is_name(at + 1):
            raise ValueError(f"{self._tokens[at]!r} before another name is not read here")
        if self._is_name(at) and following == "(" and word not in _FUNCTIONS:
            raise ValueError(f"the function {self._tokens[at]!r} may read anything")

    def _check_parts(self, at: int) -> None:
        parts = self._upper(at).split(".")  # some databases read FROM.secrets as two words
        if not _NEVER.isdisjoint(parts) or (len(parts) > 1 and not _WORDS.isdisjoint(parts)):
            raise ValueError(f"{self._tokens[at]!r} is not read here")

    def _upper(self, at: int) -> str:
        return self._tokens[at].upper() if at < len(self._tokens) else ""

    def _is_name(self, at: int) -> bool:
        word = self._upper(at)
        return bool(word) and (word[0].isalpha() or word[0] == "_") and word not in _WORDS
