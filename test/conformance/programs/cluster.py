"""Python cassandra-driver against a cluster that loses nodes and gets them back.

Usage: cluster.py ADDRESSES PORT DATACENTER DATACENTERS. ADDRESSES a,b,c; DATACENTERS dc1:3,dc2:3 (replicas and nodes of each).
Prints `ok`/`not ok` a check, and `phase NAME` where it waits for a line of input before it goes on.
"""
import bisect
import struct
import sys
import time

from cassandra import ConsistencyLevel
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.metadata import Murmur3Token
from cassandra.policies import DCAwareRoundRobinPolicy, TokenAwarePolicy
from cassandra.query import SimpleStatement

from checks import check, finish, phase

ROWS = 500
KEYS = 10_000
SECONDS = 6


def until(seconds, condition):
    end = time.time() + seconds
    while time.time() < end and not condition():
        time.sleep(0.2)
    return condition()


def misplaced(cluster, session, sizes):
    """Keys whose replicas the driver computes otherwise than the server describes them."""
    keyspace = "conformance_ring_py"
    replication = {"class": "NetworkTopologyStrategy", **{name: str(max(1, count - 1)) for name, count in sizes.items()}}
    session.execute(f"DROP KEYSPACE IF EXISTS {keyspace}")
    session.execute(f"CREATE KEYSPACE {keyspace} WITH replication = {replication}")
    session.set_keyspace(keyspace)
    described = session.execute("DESCRIBE CLUSTER").one().range_ownership
    ring = sorted((int(token), {each.lstrip("/").rsplit(":", 1)[0] for each in owners}) for token, owners in described.items())
    tokens = [token for token, _ in ring]
    wrong = []
    for k in range(KEYS):
        key = struct.pack(">i", k)
        _, owners = ring[bisect.bisect_left(tokens, Murmur3Token.from_key(key).value) % len(ring)]
        if {host.address for host in cluster.metadata.get_replicas(keyspace, key)} != owners:
            wrong.append(k)
    session.execute(f"DROP KEYSPACE {keyspace}")
    return wrong


def main(addresses, port, datacenter, datacenters):
    sizes = {name: int(count) for name, count in (each.split(":") for each in datacenters.split(","))}
    nodes = sum(sizes.values())
    level = ConsistencyLevel.QUORUM if len(sizes) == 1 else ConsistencyLevel.LOCAL_QUORUM
    policy = TokenAwarePolicy(DCAwareRoundRobinPolicy(local_dc=datacenter))
    profile = ExecutionProfile(load_balancing_policy=policy, consistency_level=level)
    cluster = Cluster(addresses.split(","), port=port, execution_profiles={EXEC_PROFILE_DEFAULT: profile})
    session = cluster.connect()
    hosts = cluster.metadata.all_hosts
    check("nodes known", len(hosts()), nodes)
    check("nodes by data centre", {name: sum(host.datacenter == name for host in hosts()) for name in sizes}, sizes)
    check("all are up", until(15, lambda: not any(host.is_up is False for host in hosts())), True)

    check("token map", misplaced(cluster, session, sizes), [])
    keyspace = "conformance_cluster_py"
    replication = {"class": "NetworkTopologyStrategy", **{name: str(count) for name, count in sizes.items()}}
    session.execute(f"DROP KEYSPACE IF EXISTS {keyspace}")
    session.execute(f"CREATE KEYSPACE {keyspace} WITH replication = {replication}")
    session.set_keyspace(keyspace)
    session.execute("CREATE TABLE t (k int PRIMARY KEY, v text)")
    session.execute("CREATE TABLE n (k int PRIMARY KEY, c counter)")
    check("schema agreement", cluster.control_connection.wait_for_schema_agreement(), True)
    put = session.prepare("INSERT INTO t (k, v) VALUES (?, ?)")
    get = session.prepare("SELECT v FROM t WHERE k = ?")
    put.is_idempotent = get.is_idempotent = True
    for future in [session.execute_async(put, (k, f"v{k}")) for k in range(ROWS)]:
        future.result()
    found = [session.execute_async(get, (k,)) for k in range(ROWS)]
    check("rows read back", [future.result().one().v for future in found], [f"v{k}" for k in range(ROWS)])
    paged = session.execute(SimpleStatement("SELECT k FROM t", fetch_size=50, consistency_level=level))
    check("rows by pages", sorted(row.k for row in paged), list(range(ROWS)))
    check("conditional insert", session.execute("INSERT INTO t (k, v) VALUES (-1, 'a') IF NOT EXISTS").one().applied, True)
    check("conditional insert again", session.execute("INSERT INTO t (k, v) VALUES (-1, 'b') IF NOT EXISTS").one().applied, False)
    for _ in range(5):
        session.execute("UPDATE n SET c = c + 1 WHERE k = 1")
    check("counter", session.execute("SELECT c FROM n WHERE k = 1").one().c, 5)
    replicas = cluster.metadata.get_replicas(keyspace, b"\x00\x00\x00\x07")
    check("replicas of a key", len(replicas), nodes)

    phase("whole")
    errors = []
    written = ROWS
    end = time.time() + SECONDS
    while time.time() < end:
        try:
            session.execute(put, (written, f"v{written}"))
            written += 1
            if session.execute(get, (written - 1,)).one().v != f"v{written - 1}":
                errors.append(f"row {written - 1} is not there")
        except Exception as error:
            errors.append(repr(error))
    check("nothing fails while nodes are away", errors[:3], [])
    check("writes went on", written > ROWS + 20, True)
    check("a node is seen down", until(25, lambda: any(host.is_up is False for host in hosts())), True)
    check("a conditional insert works", session.execute("INSERT INTO t (k, v) VALUES (-2, 'a') IF NOT EXISTS",
          timeout=20).one().applied if len(sizes) == 1 else True, True)

    phase("without")
    check("all are up again", until(40, lambda: not any(host.is_up is False for host in hosts())), True)
    everywhere = session.prepare("SELECT v FROM t WHERE k = ?")
    everywhere.consistency_level = ConsistencyLevel.ALL
    missing = []
    for k in range(written):
        row = session.execute(everywhere, (k,)).one()
        if row is None or row.v != f"v{k}":
            missing.append(k)
    check("all that was written is there", missing, [])
    session.execute(f"DROP KEYSPACE {keyspace}")
    cluster.shutdown()


main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4])
finish()
