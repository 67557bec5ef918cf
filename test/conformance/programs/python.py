"""Python cassandra-driver against a node: connect with defaults, metadata, put, get, delete, paging, every native type.

Usage: python.py ADDRESS PORT. Prints one line a check, `ok` or `not ok`; exit status 1 when one failed.
"""
import sys
import uuid
from datetime import date, datetime, time, timezone
from decimal import Decimal

from cassandra.cluster import Cluster
from cassandra.query import BatchStatement, SimpleStatement
from cassandra.util import Date, Duration, Time

from checks import check, finish


NATIVE = {
    "ascii": "plain",
    "bigint": -(2**63),
    "blob": b"\x00\xca\xfe",
    "boolean": True,
    "date": Date(date(2024, 2, 29)),
    "decimal": Decimal("-123.4500"),
    "double": 3.141592653589793,
    "duration": Duration(14, 3, 5_000_000_001),
    "float": 1.5,
    "inet": "192.168.0.1",
    "int": -(2**31),
    "smallint": -32768,
    "text": "grüße 🙂",
    "time": Time(time(13, 14, 15, 123456)),
    "timestamp": datetime(2024, 2, 29, 12, 34, 56, 789000),
    "timeuuid": uuid.UUID("50554d6e-29bb-11e5-b345-feff819cdc9f"),
    "tinyint": -128,
    "uuid": uuid.UUID("f47ac10b-58cc-4372-a567-0e02b2c3d479"),
    "varint": 2**128,
}


def main(address, port):
    cluster = Cluster([address], port=port)
    session = cluster.connect()
    check("protocol version", cluster.protocol_version, 5)
    session.execute("DROP KEYSPACE IF EXISTS conformance_py")
    session.execute("CREATE KEYSPACE conformance_py WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
    session.set_keyspace("conformance_py")
    session.execute("CREATE TABLE kv (k text, c int, v text, s int STATIC, PRIMARY KEY (k, c)) WITH CLUSTERING ORDER BY (c DESC)")
    table = cluster.metadata.keyspaces["conformance_py"].tables["kv"]
    check("metadata: columns", list(table.columns), ["k", "c", "s", "v"])
    check("metadata: keys", ([c.name for c in table.partition_key], [c.name for c in table.clustering_key]), (["k"], ["c"]))
    check("metadata: tokens", len(cluster.metadata.token_map.ring) > 0, True)

    put = session.prepare("INSERT INTO kv (k, c, v) VALUES (?, ?, ?)")
    get = session.prepare("SELECT k, c, v FROM kv WHERE k = ? AND c = ?")
    delete = session.prepare("DELETE FROM kv WHERE k = ? AND c = ?")
    session.execute(put, ("a", 1, "one"))
    check("get", tuple(session.execute(get, ("a", 1)).one()), ("a", 1, "one"))
    session.execute(delete, ("a", 1))
    check("deleted", session.execute(get, ("a", 1)).one(), None)

    for start in range(0, 10_000, 500):
        futures = [session.execute_async(put, ("page", c, f"v{c}")) for c in range(start, start + 500)]
        for future in futures:
            future.result()
    rows = list(session.execute(SimpleStatement("SELECT c FROM kv WHERE k = 'page'", fetch_size=777)))
    check("paging: 10 000 rows in order", [row.c for row in rows], list(range(9_999, -1, -1)))
    check("count", session.execute("SELECT count(*) FROM kv WHERE k = 'page'").one()[0], 10_000)

    columns = ", ".join(f"c_{name} {name}" for name in NATIVE)
    session.execute(f"CREATE TABLE every (k int PRIMARY KEY, {columns})")
    insert = session.prepare(f"INSERT INTO every (k, {', '.join('c_' + n for n in NATIVE)}) VALUES (?{', ?' * len(NATIVE)})")
    session.execute(insert, (1, *NATIVE.values()))
    row = session.execute("SELECT * FROM every WHERE k = 1").one()
    for name, value in NATIVE.items():
        check(f"type {name}", getattr(row, f"c_{name}"), value)
    session.execute(insert, (2, *[None] * len(NATIVE)))
    row = session.execute("SELECT * FROM every WHERE k = 2").one()
    check("nulls", [value for value in row if value is not None], [2])

    batch = BatchStatement()
    batch.add(put, ("batch", 1, "x"))
    batch.add(put, ("batch", 2, "y"))
    session.execute(batch)
    check("batch", [r.v for r in session.execute("SELECT v FROM kv WHERE k = 'batch'")], ["y", "x"])

    traced = session.execute(SimpleStatement("SELECT * FROM kv WHERE k = 'batch'"), trace=True)
    check("tracing", traced.get_query_trace(max_wait_sec=5).duration is not None, True)
    session.execute("DROP KEYSPACE conformance_py")
    check("dropped from metadata", "conformance_py" in cluster.metadata.keyspaces, False)
    cluster.shutdown()


main(sys.argv[1], int(sys.argv[2]))
finish()
