"""SQL: the tables of what can be read are named, and what cannot be read with certainty reaches no table."""

import pytest

from activities.policy.grants.constraints import Argument, Constraint, find_violation
from activities.policy.grants.sql_tables import tables_in


def rule(tables: list[str], statement: str) -> str:
    """The rule a statement violates where these tables are granted; empty if it fits."""
    found = find_violation(Argument("it", statement, "sql", None), Constraint(tables=tuple(tables)))
    return found.rule if found else ""


@pytest.mark.parametrize(
    ("statement", "tables"),
    [
        ("SELECT 1", set()),
        ("select * from orders", {"orders"}),
        ("SELECT o.id, count(*) AS n FROM shop.orders AS o WHERE o.b IN (1, 'a''s') GROUP BY o.id, x", {"shop.orders"}),
        ("SELECT a FROM orders o, customers c WHERE o.c = c.id ORDER BY a, b LIMIT 10", {"orders", "customers"}),
        ("SELECT a FROM orders o LEFT JOIN x USING (id) INNER JOIN y ON y.a = o.b, z", {"orders", "x", "y", "z"}),
        ("SELECT a FROM (SELECT b FROM orders) s, customers", {"orders", "customers"}),
        ("SELECT a FROM orders WHERE x = (SELECT max(y) FROM customers)", {"orders", "customers"}),
        ("SELECT a FROM orders UNION ALL SELECT b, c FROM customers", {"orders", "customers"}),
        ("INSERT INTO orders (a, b) VALUES (1, 'x'), (2, 'y; DROP TABLE z -- ')", {"orders"}),
        ("INSERT INTO orders SELECT a, b FROM customers", {"orders", "customers"}),
        ("UPDATE orders SET a = 1, b = (SELECT max(c) FROM x) WHERE d = 2", {"orders", "x"}),
        ("DELETE FROM orders WHERE id = 1", {"orders"}),
    ],
)  # fmt: skip
def test_plain_sql_is_read(statement: str, tables: set[str]) -> None:
    assert tables_in(statement) == tables
    if tables:
        assert rule([*tables], statement) == ""
        assert rule(["other", *sorted(tables)[1:]], statement) == "grant.tables"


SNEAKY = [
    "",
    "SELECT * FROM orders;",
    "SELECT * FROM orders; DROP TABLE orders",
    "SELECT * FROM orders, secrets",
    "SELECT * FROM orders o, secrets",
    "SELECT * FROM orders AS o, secrets",
    "SELECT * FROM orders set, secrets",
    "SELECT * FROM orders values, secrets",
    "SELECT * FROM orders offset, secrets",
    "UPDATE orders SET a = 1 FROM orders set, secrets",
    "UPDATE orders set SET a = 1 FROM orders o, secrets",
    "INSERT INTO orders SELECT * FROM orders values, secrets",
    "SELECT * FROM (SELECT 1) x, secrets",
    "SELECT * FROM orders JOIN orders o ON (1 = 1), secrets",
    "SELECT * FROM orders WHERE a IN (1, 2) UNION SELECT * FROM secrets",
    "SELECT * FROM orders UNION TABLE secrets",
    "TABLE secrets",
    "INSERT INTO orders TABLE secrets",
    "SELECT (TABLE secrets) FROM orders",
    "SELECT * FROM orders STRAIGHT_JOIN secrets",
    "SELECT * FROM orders o STRAIGHT_JOIN secrets",
    "SELECT * FROM orders JOIN orders o ON 1 = 1 STRAIGHT_JOIN offset",
    "SELECT * FROM orders CROSS APPLY secrets",
    "SELECT * FROM (orders JOIN secrets ON 1 = 1)",
    "SELECT * FROM orders JOIN (secrets) ON 1 = 1",
    "SELECT * FROM orders, LATERAL secrets",
    "SELECT * FROM ONLY secrets",
    "DELETE FROM orders USING secrets",
    "DELETE FROM orders USING (secrets)",
    "DELETE orders FROM secrets",
    "WITH orders AS (SELECT * FROM secrets) SELECT * FROM orders",
    "SELECT * FROM orders WHERE a = (WITH x AS (SELECT 1) SELECT 1)",
    'SELECT * FROM "secrets"',
    "SELECT * FROM `secrets`",
    "SELECT * FROM [secrets]",
    "SELECT * FROM orders.secrets",
    "SELECT * FROM orders . secrets",
    "SELECT * FROM.secrets",
    "SELECT * FROM/**/secrets",
    "SELECT * FROM orders -- , x",
    "SELECT * FROM orders /* */",
    "SELECT * FROM orders # x",
    "SELECT 1/*!, a FROM secrets */",
    "SELECT query_to_xml('SELECT * FROM secrets', true, true, '')",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT * FROM dblink('SELECT 1')",
    "SELECT * FROM orders INTO OUTFILE '/etc/x'",
    "SELECT * INTO secrets FROM orders",
    "SELECT 'a\\' FROM secrets WHERE b = ' '",
    "SELECT E'a' FROM orders",
    "SELECT $$ ' $$ FROM orders",
    "SELECT 1FROM secrets",
    "SELECT 1.FROM secrets",
    "SELECT 'a'FROM secrets",
    "SELECT 1 EXEC xp_cmdshell 'x'",
    "SELECT * FROM orders EXEC xp_cmdshell 'x'",
    "SELECT 1 DELETE FROM orders",
    "SELECT * FROM orders FOR UPDATE",
    "DROP TABLE orders",
    "TRUNCATE orders",
    "COPY orders TO PROGRAM 'sh'",
    "EXPLAIN ANALYZE SELECT * FROM orders",
    "CALL x",
    "SELECT * FROM orders)",
    "SELECT (1 FROM orders",
    "SELECT * FROM",
    "SELECT * FROM 'orders'",
    "SELECT * FROM ORDERS",
    "SELECT * FROM order\u017f",
    "SELECT\u00a0* FROM orders",
    "SELECT\x0c* FROM orders",
    "SELECT '\x00' FROM orders",
]


@pytest.mark.parametrize("statement", SNEAKY)
def test_no_sql_reaches_a_table_that_is_not_granted(statement: str) -> None:
    assert rule(["orders"], statement) in ("grant.tables", "grant.unreadable")
