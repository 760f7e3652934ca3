"""Finds the tables that an SQL statement names, and refuses statements where it cannot be sure of them. Pure."""

import re

from workflows.visible import show_hidden_characters

TABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*){0,2}")
# No word may be next to a quotation mark (E'…', U&'…') or follow a digit: databases differ in how they read that.
_TOKEN = re.compile(
    r"[ \t\r\n]*(?:(?P<word>[A-Za-z_][A-Za-z0-9_]*(?:\.(?:[A-Za-z_][A-Za-z0-9_]*|\*))*)(?![\w'$])"
    r"|(?P<value>[0-9]+(?:\.[0-9]+)?(?![\w.'])|'(?:[^'\\\x00]|'')*'(?![\w']))|(?P<sign>-(?!-)|/(?!\*)|[(),*=<>+%|!]))"
)
_STATEMENTS = {"SELECT": "", "INSERT": "INTO", "UPDATE": "", "DELETE": "FROM"}  # first word -> word that must follow
_AFTER_TABLE = set(
    "ON USING WHERE GROUP ORDER HAVING LIMIT OFFSET JOIN LEFT RIGHT INNER FULL CROSS NATURAL UNION EXCEPT INTERSECT"
    " SET VALUES SELECT RETURNING".split()
)
_WORDS = _AFTER_TABLE | set(
    "AS ASC DESC AND OR NOT IN IS NULL LIKE ILIKE BETWEEN EXISTS CASE WHEN THEN ELSE END DISTINCT ALL ANY SOME OUTER BY"
    " FROM INTO UPDATE INSERT DELETE DEFAULT TRUE FALSE".split()
)
# Functions that read nothing but their arguments. Others are refused: query_to_xml('SELECT …') can read any table.
_FUNCTIONS = set(
    "ABS AVG CAST CEIL CHAR COALESCE CONCAT COUNT DATE_TRUNC DECIMAL FLOOR GREATEST LEAST LENGTH LOWER MAX MIN MOD"
    " NULLIF NUMERIC REPLACE ROUND SUBSTR SUM TRIM UPPER VARCHAR".split()
)
_NEVER = {"APPLY", "LATERAL", "STRAIGHT_JOIN", "TABLE", "WITH"}  # other ways to name a table; they are refused


def tables_in(statement: str) -> frozenset[str]:
    """The tables that an SQL statement names after FROM, JOIN, INTO and UPDATE, as spelt in the statement.

    This is no parser. It accepts one SELECT, INSERT, UPDATE or DELETE of plain words, numbers, 'strings' and
    subselects. It raises ValueError for everything else: quoted names, comments, semicolons, parameters, casts, WITH,
    most functions, joins in parentheses, and two adjacent names. So it also refuses harmless statements. It does not
    replace a database role that may read only these tables.
    """
    return _TableScan(_tokens(statement)).tables()


def _tokens(statement: str) -> list[str]:
    tokens: list[str] = []
    at, text = 0, statement.rstrip(" \t\r\n")
    while at < len(text):
        token = _TOKEN.match(text, at)
        if not token:
            raise ValueError(f"the SQL contains {show_hidden_characters(text[at : at + 20])!r}, which is not read here")
        tokens.append(token["word"] or ("0" if token["value"] else token["sign"]))
        at = token.end()
    return tokens


class _TableScan:
    """One pass over the tokens. `_is_table_list`: for each open parenthesis, whether a comma is followed by a table."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._words = [token.upper() for token in tokens]
        self._is_table_list = [False]
        self._found: set[str] = set()
        self._set_seen = self._upper(0) != "UPDATE"

    def tables(self) -> frozenset[str]:
        if self._upper(0) not in _STATEMENTS or _STATEMENTS[self._upper(0)] not in ("", self._upper(1)):
            raise ValueError("the SQL is no SELECT, INSERT INTO, UPDATE or DELETE FROM")
        at = 0
        while at < len(self._tokens):
            self._refuse_unsafe(at)
            at = self._step(at)
        if len(self._is_table_list) != 1:
            raise ValueError("a parenthesis in the SQL is not closed")
        return frozenset(self._found)

    def _step(self, at: int) -> int:
        match self._upper(at):
            case "(":
                self._is_table_list.append(False)
            case ")":
                self._is_table_list.pop()
                if not self._is_table_list:
                    raise ValueError("a parenthesis in the SQL is closed twice")
            case "INTO":
                return self._read_table(at + 1, into=True)
            case "FROM" | "JOIN" | "UPDATE":
                self._is_table_list[-1] = True
                return self._read_table(at + 1)
            case "," if self._is_table_list[-1]:
                return self._read_table(at + 1)
            case "SELECT" | "WHERE" | "SET":
                self._is_table_list[-1] = False
            case "GROUP" | "ORDER" if self._upper(at + 1) == "BY":
                self._is_table_list[-1] = False
        return at + 1

    def _read_table(self, at: int, into: bool = False) -> int:
        """Read a table and its alias; returns the index of the next token."""
        if self._upper(at) == "(":
            if self._upper(at + 1) != "SELECT":
                raise ValueError("parentheses after FROM or JOIN hold something else than SELECT")
            return at
        if not self._is_name(at) or not TABLE.fullmatch(self._tokens[at]):
            raise ValueError("no plain table name follows FROM, JOIN, INTO or UPDATE")
        self._refuse_unsafe_parts(at)
        self._found.add(self._tokens[at])
        at += 1
        if self._upper(at) == "AS" or self._is_name(at):
            at += 2 if self._upper(at) == "AS" else 1
            if not self._is_name(at - 1) or "." in self._tokens[at - 1]:
                raise ValueError("a table's alias cannot be read")
            self._refuse_unsafe_parts(at - 1)
        if self._upper(at) not in _AFTER_TABLE | {"", ",", ")"} and not (into and self._upper(at) == "("):
            raise ValueError(f"{self._tokens[at]!r} after a table is not read here")
        return at

    def _refuse_unsafe(self, at: int) -> None:
        """Raise ValueError for a token that could name a table in a way that this scan does not see."""
        word, following = self._upper(at), self._upper(at + 1)
        self._refuse_unsafe_parts(at)
        if at and word in ("INSERT", "UPDATE", "DELETE"):
            raise ValueError("the SQL is more than one statement")
        if word == "SET":
            if self._set_seen:  # a table may have the alias `set`; after that a comma would be followed by a table
                raise ValueError("SET is read once, after UPDATE and its table")
            self._set_seen = True
        if word == "USING" and (self._upper(0) != "SELECT" or following != "("):
            raise ValueError("USING is read only with the columns of a join")
        if self._is_name(at) and self._is_name(at + 1):
            raise ValueError(f"{self._tokens[at]!r} before another name is not read here")
        if self._is_name(at) and following == "(" and word not in _FUNCTIONS:
            raise ValueError(f"the function {self._tokens[at]!r} may read anything")

    def _refuse_unsafe_parts(self, at: int) -> None:
        parts = self._upper(at).split(".")  # some databases parse FROM.secrets as two words
        if not _NEVER.isdisjoint(parts) or (len(parts) > 1 and not _WORDS.isdisjoint(parts)):
            raise ValueError(f"{self._tokens[at]!r} is not read here")

    def _upper(self, at: int) -> str:
        return self._words[at] if at < len(self._words) else ""

    def _is_name(self, at: int) -> bool:
        word = self._upper(at)
        return bool(word) and (word[0].isalpha() or word[0] == "_") and word not in _WORDS
