"""Which tables an SQL statement names, as far as that can be read without a parser. Pure."""

import re

from workflows.visible import show_hidden_characters

TABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*){0,2}")
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
            raise ValueError(f"the SQL contains {show_hidden_characters(text[at : at + 20])!r}, which is not read here")
        tokens.append(token["word"] or ("0" if token["value"] else token["sign"]))
        at = token.end()
    return tokens


class _Reading:
    """One pass over the tokens. For each open parenthesis, `_lists` knows whether a comma leads to another table."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._words = [token.upper() for token in tokens]
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
        if not self._is_name(at) or not TABLE.fullmatch(self._tokens[at]):
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
        return self._words[at] if at < len(self._words) else ""

    def _is_name(self, at: int) -> bool:
        word = self._upper(at)
        return bool(word) and (word[0].isalpha() or word[0] == "_") and word not in _WORDS
