"""Prepared statements of the Python driver over changes of their tables: on protocol v5 the node tells of new result columns, on v4 there is no
such word, and the answers are right all the same.

Usage: prepared.py ADDRESS PORT. Prints one line a check, `ok` or `not ok`; exit status 1 when one failed.
"""
import sys

from cassandra import InvalidRequest
from cassandra.cluster import Cluster

from checks import check, finish


def changes(address, port, version):
    keyspace = f"conformance_prepared_{version}"
    cluster = Cluster([address], port=port, protocol_version=version)
    session = cluster.connect()
    session.execute(f"DROP KEYSPACE IF EXISTS {keyspace}")
    session.execute(f"CREATE KEYSPACE {keyspace} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}")
    session.set_keyspace(keyspace)
    session.execute("CREATE TYPE place (street text)")
    session.execute("CREATE TABLE t (k int PRIMARY KEY, b text, p frozen<place>)")
    session.execute("INSERT INTO t (k, b, p) VALUES (1, 'b', {street: 's'})")
    everything = session.prepare("SELECT * FROM t WHERE k = ?")
    some = session.prepare("SELECT k, b FROM t WHERE k = ?")

    def seen(statement=everything):
        row = session.execute(statement, (1,)).one()._asdict()
        return {name: tuple(value) if isinstance(value, tuple) else value for name, value in row.items()}

    check(f"v{version}: as it was prepared", seen(), {"k": 1, "b": "b", "p": ("s",)})
    ids = everything.result_metadata_id
    session.execute("ALTER TABLE t ADD a int")
    session.execute("UPDATE t SET a = 7 WHERE k = 1")
    check(f"v{version}: with a new column", seen(), {"k": 1, "a": 7, "b": "b", "p": ("s",)})
    check(f"v{version}: another id of the result's metadata", everything.result_metadata_id != ids, version == 5)
    check(f"v{version}: other columns stay", seen(some), {"k": 1, "b": "b"})
    session.execute("ALTER TYPE place ADD zip int")
    check(f"v{version}: with a new field", seen(), {"k": 1, "a": 7, "b": "b", "p": ("s", None)})
    session.execute("ALTER TABLE t DROP b")
    check(f"v{version}: without a column", seen(), {"k": 1, "a": 7, "p": ("s", None)})
    check(f"v{version}: of a column that is gone", type(error_of(lambda: seen(some))), InvalidRequest)
    session.execute("ALTER TABLE t RENAME k TO key")
    check(f"v{version}: of a column of another name", type(error_of(seen)), InvalidRequest)
    session.execute(f"DROP KEYSPACE {keyspace}")
    cluster.shutdown()


def error_of(action):
    try:
        action()
    except Exception as error:
        return error
    return None


for version in (5, 4):
    changes(sys.argv[1], int(sys.argv[2]), version)
finish()
