"""Python cassandra-driver, a table that keeps concurrent versions, and two data centres that do not reach each other.

Usage: siblings.py EAST WEST PORT, addresses with commas. Prints `ok`/`not ok` a check, and `phase NAME` where it waits for a line of input.
"""
import sys
import time

from cassandra import ConsistencyLevel
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.policies import DCAwareRoundRobinPolicy, WhiteListRoundRobinPolicy

from checks import check, finish, phase

KEYSPACE = "conformance_siblings_py"


def connect(addresses, port, policy, level):
    profile = ExecutionProfile(load_balancing_policy=policy, consistency_level=level, request_timeout=20)
    cluster = Cluster(addresses, port=port, protocol_version=4, execution_profiles={EXEC_PROFILE_DEFAULT: profile})
    return cluster, cluster.connect()


class Cart:
    def __init__(self, session):
        self.session = session
        self.select = session.prepare(f"SELECT items, vclock(items) AS seen FROM {KEYSPACE}.carts WHERE user = ?")
        self.insert = session.prepare(f"INSERT INTO {KEYSPACE}.carts (user, items) VALUES (?, ?) USING VCLOCK ?")

    def rows(self):
        return sorted(((sorted(row.items), row.seen) for row in self.session.execute(self.select, ["ann"])), key=lambda row: row[0])

    def items(self):
        return [items for items, _ in self.rows()]

    def put(self, items, seen):
        return self.session.execute(self.insert, ["ann", set(items), seen])


def everywhere(addresses, port, wanted):
    for address in addresses:
        cluster, session = connect([address], port, WhiteListRoundRobinPolicy([address]), ConsistencyLevel.LOCAL_ONE)
        cart = Cart(session)
        end = time.time() + 40
        while cart.items() != wanted and time.time() < end:
            time.sleep(0.2)
        check(f"{wanted} at each node", cart.items(), wanted)
        cluster.shutdown()


def main():
    east_addresses, west_addresses, port = sys.argv[1].split(","), sys.argv[2].split(","), int(sys.argv[3])
    everybody = east_addresses + west_addresses
    quorum = ConsistencyLevel.LOCAL_QUORUM
    east_cluster, east = connect(east_addresses, port, DCAwareRoundRobinPolicy("east"), quorum)
    west_cluster, west = connect(west_addresses, port, DCAwareRoundRobinPolicy("west"), quorum)
    east.execute(f"CREATE KEYSPACE {KEYSPACE} WITH replication = {{'class': 'NetworkTopologyStrategy', 'east': 2, 'west': 2}}")
    east.execute(f"CREATE TABLE {KEYSPACE}.carts (user text PRIMARY KEY, items set<text>) WITH resolution = 'vclock'")
    in_east, in_west = Cart(east), Cart(west)
    in_east.put(["book"], None)
    everywhere(everybody, port, [["book"]])
    seen_east, seen_west = in_east.rows()[0][1], in_west.rows()[0][1]

    phase("parted")
    in_east.put(["book", "pen"], seen_east)
    in_west.put(["book", "lamp"], seen_west)
    check("one side of two", in_east.items(), [["book", "pen"]])
    check("the other side", in_west.items(), [["book", "lamp"]])

    phase("whole")
    everywhere(everybody, port, [["book", "lamp"], ["book", "pen"]])
    result = west.execute_async(in_west.select, ["ann"])
    rows = result.result().all()
    check("a warning", any("siblings" in warning for warning in result.warnings or []), True)
    check("one context", len({row.seen for row in rows}), 1)
    in_west.put(set().union(*(row.items for row in rows)), rows[0].seen)
    everywhere(everybody, port, [["book", "lamp", "pen"]])
    east.execute(f"DROP KEYSPACE {KEYSPACE}")
    east_cluster.shutdown()
    west_cluster.shutdown()
    finish()


main()
