"""cqlengine, the object mapper of the Python driver 3.30, against a node: tables and types made and altered from models, then everything that
models and query sets do.

Usage: cqlengine.py ADDRESS PORT. Prints one line a check, `ok` or `not ok`; exit status 1 when one failed.
"""
import os
import sys
import time
import uuid
import warnings
from datetime import date, datetime, timedelta
from decimal import Decimal

os.environ["CQLENG_ALLOW_SCHEMA_MANAGEMENT"] = "1"
warnings.simplefilter("ignore")

from cassandra import InvalidRequest
from cassandra.cqlengine import ValidationError, columns, connection, functions, management
from cassandra.cqlengine.models import Model
from cassandra.cqlengine.named import NamedTable
from cassandra.cqlengine.query import BatchQuery, BatchType, ContextQuery, DoesNotExist, LWTException, MultipleObjectsReturned
from cassandra.cqlengine.usertype import UserType
from cassandra.util import Date, Duration, Time

from checks import check, finish

KEYSPACE = "conformance_cqlengine"


def raised(action, *kinds):
    try:
        action()
    except kinds as error:
        return error
    return None


class Phone(UserType):
    country = columns.Integer()
    number = columns.Text()


class Address(UserType):
    street = columns.Text()
    zip_code = columns.Integer(db_field="zip")
    phones = columns.List(columns.UserDefinedType(Phone))


class User(Model):
    __keyspace__ = KEYSPACE
    __table_name__ = "users"
    __options__ = {"compaction": {"class": "LeveledCompactionStrategy", "sstable_size_in_mb": "64"}, "gc_grace_seconds": 4000, "comment": "it's users"}
    team = columns.Text(partition_key=True)
    shard = columns.Integer(partition_key=True)
    joined = columns.DateTime(primary_key=True, clustering_order="DESC")
    id = columns.UUID(primary_key=True, default=uuid.uuid4)
    name = columns.Text(index=True, db_field="full_name")
    age = columns.Integer(default=18)
    motto = columns.Text(static=True)
    tags = columns.Set(columns.Text)
    scores = columns.List(columns.Integer)
    settings = columns.Map(columns.Text, columns.Integer)
    address = columns.UserDefinedType(Address)
    pair = columns.Tuple(columns.Integer, columns.Text)


class Every(Model):
    __keyspace__ = KEYSPACE
    k = columns.Integer(primary_key=True)
    c_ascii = columns.Ascii()
    c_bigint = columns.BigInt()
    c_blob = columns.Blob()
    c_boolean = columns.Boolean()
    c_date = columns.Date()
    c_decimal = columns.Decimal()
    c_double = columns.Double()
    c_duration = columns.Duration()
    c_float = columns.Float()
    c_inet = columns.Inet()
    c_smallint = columns.SmallInt()
    c_text = columns.Text()
    c_time = columns.Time()
    c_timestamp = columns.DateTime()
    c_timeuuid = columns.TimeUUID()
    c_tinyint = columns.TinyInt()
    c_uuid = columns.UUID()
    c_varint = columns.VarInt()
    nested = columns.Map(columns.Integer, columns.Set(columns.Tuple(columns.Integer, columns.Text)))


class Views(Model):
    __keyspace__ = KEYSPACE
    page = columns.Text(primary_key=True)
    day = columns.Integer(primary_key=True)
    hits = columns.Counter()


class Event(Model):
    __keyspace__ = KEYSPACE
    stream = columns.Integer(primary_key=True)
    at = columns.TimeUUID(primary_key=True)
    text = columns.Text()


class Animal(Model):
    __keyspace__ = KEYSPACE
    __table_name__ = "animals"
    id = columns.Integer(primary_key=True)
    kind = columns.Text(discriminator_column=True, index=True)
    name = columns.Text()


class Dog(Animal):
    __discriminator_value__ = "dog"
    barks = columns.Integer()


class Cat(Animal):
    __discriminator_value__ = "cat"
    lives = columns.Integer()


JOINED = datetime(2024, 2, 29, 12, 34, 56, 789000)


def schema():
    management.drop_keyspace(KEYSPACE)
    management.create_keyspace_simple(KEYSPACE, 1)
    for model in (User, Every, Views, Event, Dog, Cat):
        management.sync_table(model)
    management.sync_table(User)
    keyspace = connection.get_cluster().metadata.keyspaces[KEYSPACE]
    check("schema: tables", sorted(keyspace.tables), ["animals", "event", "every", "users", "views"])
    check("schema: types", {name: (list(t.field_names), list(t.field_types)) for name, t in keyspace.user_types.items()},
          {"phone": (["country", "number"], ["int", "text"]), "address": (["street", "zip", "phones"], ["text", "int", "list<frozen<phone>>"])})
    users = keyspace.tables["users"]
    check("schema: keys", ([c.name for c in users.partition_key], [(c.name, c.is_reversed) for c in users.clustering_key]),
          (["team", "shard"], [("joined", True), ("id", False)]))
    check("schema: column types", {name: (c.cql_type, c.is_static) for name, c in users.columns.items() if name in ("address", "pair", "tags", "scores", "settings", "motto")},
          {"address": ("frozen<address>", False), "pair": ("frozen<tuple<int, text>>", False), "tags": ("set<text>", False), "scores": ("list<int>", False),
           "settings": ("map<text, int>", False), "motto": ("text", True)})
    check("schema: index", [(i.name, i.kind, dict(i.index_options)) for i in users.indexes.values()],
          [("users_full_name_idx", "COMPOSITES", {"target": "full_name"})])
    check("schema: options", (users.options["gc_grace_seconds"], users.options["comment"], dict(users.options["compaction"])),
          (4000, "it's users", {"class": "org.apache.cassandra.db.compaction.LeveledCompactionStrategy", "sstable_size_in_mb": "64", "max_threshold": "32", "min_threshold": "4"}))
    check("schema: tables of the hierarchy", sorted(keyspace.tables["animals"].columns), ["barks", "id", "kind", "lives", "name"])


def altered():
    """The same names, with more in them: sync makes ALTER TABLE and ALTER TYPE of it."""
    class Phone2(UserType):
        __type_name__ = "phone"
        country = columns.Integer()
        number = columns.Text()
        kind = columns.Text()

    class User2(Model):
        __keyspace__ = KEYSPACE
        __table_name__ = "users"
        __options__ = {"gc_grace_seconds": 5000}
        team = columns.Text(partition_key=True)
        shard = columns.Integer(partition_key=True)
        joined = columns.DateTime(primary_key=True, clustering_order="DESC")
        id = columns.UUID(primary_key=True, default=uuid.uuid4)
        age = columns.Integer(index=True)
        email = columns.Text()
        extras = columns.Map(columns.Text, columns.Text)

    management.sync_type(KEYSPACE, Phone2)
    management.sync_table(User2)
    keyspace = connection.get_cluster().metadata.keyspaces[KEYSPACE]
    users = keyspace.tables["users"]
    check("alter: columns are added and none goes", [name in users.columns for name in ("email", "extras", "full_name")], [True, True, True])
    check("alter: index of an existing column", sorted(users.indexes), ["users_age_idx", "users_full_name_idx"])
    check("alter: option", users.options["gc_grace_seconds"], 5000)
    check("alter: type", list(keyspace.user_types["phone"].field_names), ["country", "number", "kind"])
    user = User2.objects(team="red", shard=1).first()
    user.update(email="a@b.c", extras={"x": "y"})
    check("alter: the new columns hold values", (User2.objects(team="red", shard=1).first().email, User2.objects(team="red", shard=1).first().extras), ("a@b.c", {"x": "y"}))
    built = f"SELECT index_name FROM system.\"IndexInfo\" WHERE table_name = '{KEYSPACE}' AND index_name = 'users_age_idx'"
    deadline = time.monotonic() + 20
    while not connection.execute(built).one() and time.monotonic() < deadline:
        time.sleep(0.1)
    check("alter: old rows by the new index", len(User2.objects(age=30).allow_filtering().all()), 1)


def users():
    address = Address(street="Main \"St\"", zip_code=123, phones=[Phone(country=49, number="1"), Phone(number="2")])
    ann = User.create(team="red", shard=1, joined=JOINED, name="Ann", age=30, motto="go", tags={"a", "b"}, scores=[1, 2], settings={"x": 1},
                      address=address, pair=(1, "one"))
    bob = User.create(team="red", shard=1, joined=JOINED + timedelta(days=1), name="Bob")
    got = User.get(team="red", shard=1, joined=JOINED, id=ann.id)
    check("model: as it was written", dict(got), dict(ann))
    check("model: default, static and empty values", (lambda u: (u.age, u.motto, u.tags, u.scores, u.settings, u.address, u.pair))(User.get(team="red", shard=1, id=bob.id, joined=bob.joined)),
          (18, "go", set(), [], {}, None, None))
    check("query: order of clustering", [u.name for u in User.objects(team="red", shard=1)], ["Bob", "Ann"])
    check("query: order_by", [u.name for u in User.objects(team="red", shard=1).order_by("joined")], ["Ann", "Bob"])
    check("query: limit", [u.name for u in User.objects(team="red", shard=1).limit(1)], ["Bob"])
    check("query: slice by index", [u.name for u in User.objects(team="red", shard=1)[1:2]], ["Ann"])
    check("query: bounds", [u.name for u in User.objects(team="red", shard=1, joined__gt=JOINED, joined__lte=JOINED + timedelta(days=1))], ["Bob"])
    check("query: in", len(User.objects(team="red", shard__in=[0, 1, 2])), 2)
    check("query: count", User.objects(team="red", shard=1).count(), 2)
    check("query: by index", [u.name for u in User.objects(name="Bob")], ["Bob"])
    check("query: filtering", [u.name for u in User.objects(age__gte=20).allow_filtering()], ["Ann"])
    check("query: contains", [u.name for u in User.objects(tags__contains="a").allow_filtering()], ["Ann"])
    check("query: only, defer", ([u.name for u in User.objects(team="red", shard=1).only(["name"])], User.objects(team="red", shard=1).defer(["name"]).first().age), (["Bob", "Ann"], 18))
    check("query: values_list", [list(row) for row in User.objects(team="red", shard=1).values_list("name", "age")], [["Bob", 18], ["Ann", 30]])
    check("query: flat values_list", list(User.objects(team="red", shard=1).values_list("age", flat=True)), [18, 30])
    check("query: distinct", [(u.team, u.shard) for u in User.objects.distinct(["team", "shard"])], [("red", 1)])
    check("query: get of many", raised(lambda: User.objects.get(team="red", shard=1), MultipleObjectsReturned) is not None, True)
    check("query: get of none", raised(lambda: User.objects.get(team="red", shard=9), DoesNotExist) is not None, True)
    check("query: token", len(User.objects.filter(pk__token__gt=functions.Token("blue", 0)).limit(10)) <= 2, True)

    ann.age = 31
    ann.tags.add("c")
    ann.tags.discard("a")
    ann.scores = [0] + ann.scores + [3]
    ann.settings["y"] = 2
    ann.pair = (None, "two")
    ann.save()
    got = User.get(team="red", shard=1, joined=JOINED, id=ann.id)
    check("save: changes of values and collections", (got.age, got.tags, got.scores, got.settings, got.pair), (31, {"b", "c"}, [0, 1, 2, 3], {"x": 1, "y": 2}, (None, "two")))

    def one():  # a query set keeps its result
        return User.objects(team="red", shard=1, joined=JOINED, id=ann.id)

    one().update(tags__add={"d"}, scores__append=[4], settings__update={"z": 3}, age=30)
    one().update(tags__remove={"b"}, scores__prepend=[-1], settings__remove={"y"})
    got = one().get()
    check("update: of collections", (got.tags, got.scores, got.settings, got.age), ({"c", "d"}, [-1, 0, 1, 2, 3, 4], {"x": 1, "z": 3}, 30))
    one().update(tags=None, name="Änn 🙂")
    check("update: to null", (one().get().tags, one().get().name), (set(), "Änn 🙂"))
    check("index: follows the update", (len(User.objects(name="Ann")), len(User.objects(name="Änn 🙂"))), (0, 1))
    one().update(address=Address(street="x", phones=[]))
    check("update: of a type's value", (one().get().address.street, one().get().address.zip_code, one().get().address.phones), ("x", None, []))

    check("lwt: if_not_exists", str(raised(lambda: User.if_not_exists().create(team="red", shard=1, joined=JOINED, id=ann.id), LWTException)), "LWT Query was not applied")
    check("lwt: if_not_exists that applies", User.if_not_exists().create(team="blue", shard=1, joined=JOINED, name="Cid").name, "Cid")
    error = raised(lambda: one().iff(age=99).update(name="no"), LWTException)
    check("lwt: iff says what there is", error and error.existing, {"[applied]": False, "age": 30})
    one().iff(age__gt=20).update(name="Ann")
    check("lwt: iff that applies", one().get().name, "Ann")
    check("lwt: if_exists", raised(lambda: User.objects(team="none", shard=1, joined=JOINED, id=ann.id).if_exists().update(age=1), LWTException) is not None, True)
    one().if_exists().update(age=30)
    check("lwt: delete", raised(lambda: one().iff(age=1).delete(), LWTException) is not None, True)

    User.ttl(100).create(team="ttl", shard=1, joined=JOINED, name="gone")
    left = connection.execute(f"SELECT ttl(full_name) AS t FROM {KEYSPACE}.users WHERE team = 'ttl' AND shard = 1").one()["t"]
    check("ttl", 0 < left <= 100, True)
    one().timestamp(timedelta(days=-1)).update(name="the past")
    check("timestamp: of the past", one().get().name, "Ann")
    User.objects(team="red", shard=1, joined=bob.joined, id=bob.id).timestamp(timedelta(seconds=1)).delete()
    check("delete: with a timestamp", len(User.objects(team="red", shard=1)), 1)
    with BatchQuery() as batch:
        for i in range(20):
            User.batch(batch).create(team="batch", shard=1, joined=JOINED + timedelta(seconds=i), name=f"b{i}")
    check("batch", len(User.objects(team="batch", shard=1)), 20)
    with BatchQuery(batch_type=BatchType.Unlogged, timestamp=datetime.now() + timedelta(seconds=1)) as batch:
        User.objects(team="batch", shard=1, joined__gte=JOINED + timedelta(seconds=10)).batch(batch).delete()
    check("batch: deletes a slice", len(User.objects(team="batch", shard=1)), 10)

    def conditional():
        with BatchQuery() as batch:
            User.batch(batch).if_not_exists().create(team="red", shard=1, joined=JOINED, id=ann.id)
    check("batch: conditional", raised(conditional, LWTException) is not None, True)
    User.objects(team="batch", shard=1).delete()
    check("delete: of a partition", len(User.objects(team="batch", shard=1)), 0)


def others():
    values = dict(c_ascii="plain", c_bigint=-(2**63), c_blob=b"\x00\xca\xfe", c_boolean=False, c_date=Date(date(2024, 2, 29)), c_decimal=Decimal("-123.4500"),
                  c_double=3.141592653589793, c_duration=Duration(14, 3, 5_000_000_001), c_float=1.5, c_inet="::1", c_smallint=-32768, c_text="grüße\n'🙂'",
                  c_time=Time(47655123456789), c_timestamp=JOINED, c_timeuuid=uuid.UUID("50554d6e-29bb-11e5-b345-feff819cdc9f"), c_tinyint=-128,
                  c_uuid=uuid.UUID("f47ac10b-58cc-4372-a567-0e02b2c3d479"), c_varint=2**128, nested={1: {(1, "a"), (2, None)}, 2: set()})
    Every.create(k=1, **values)
    row = Every.get(k=1)
    for name, value in values.items():
        check(f"type: {name}", row[name], value)
    check("type: nulls", [name for name, value in Every.create(k=2).items() if value not in (None, {})], ["k"])

    Views.create(page="p", day=1).update(hits=3)
    Views(page="p", day=1).update(hits=2)
    with BatchQuery(batch_type=BatchType.Counter) as batch:
        Views.objects(page="p", day=2).batch(batch).update(hits=7)
    row = Views.get(page="p", day=1)
    row.hits -= 4
    row.save()
    check("counters", [(v.day, v.hits) for v in Views.objects(page="p")], [(1, 1), (2, 7)])

    start = datetime.utcnow()
    for i in range(300):
        Event.create(stream=1, at=columns.TimeUUID.from_datetime(start + timedelta(seconds=i)) if hasattr(columns.TimeUUID, "from_datetime") else uuid.uuid1(), text=str(i))
    check("paging", [e.text for e in Event.objects(stream=1).fetch_size(17).limit(None)], [str(i) for i in range(300)])
    check("time functions", (len(Event.objects(stream=1, at__gt=functions.MinTimeUUID(start - timedelta(days=1))).limit(None)),
                             len(Event.objects(stream=1, at__lt=functions.MaxTimeUUID(start - timedelta(days=1))).limit(None))), (300, 0))
    check("named table", NamedTable(KEYSPACE, "event").objects(stream=1).limit(5).count() >= 5, True)

    Dog.create(id=1, name="Rex", barks=3)
    Cat.create(id=2, name="Tom", lives=9)
    check("hierarchy", sorted((type(a).__name__, a.name) for a in Animal.objects.all()), [("Cat", "Tom"), ("Dog", "Rex")])
    check("hierarchy: by the index of the kind", [d.name for d in Dog.objects.allow_filtering()], ["Rex"])
    with ContextQuery(Event, keyspace=KEYSPACE) as Other:
        check("context query", Other.objects(stream=1).first().text, "0")
    check("errors: the node's", raised(lambda: Every.create(k=3, c_tinyint=1000), InvalidRequest).args[0].split('message=')[1], "\"Unable to make byte from '1000'\"")
    check("errors: the model's", raised(lambda: Every.create(k=3, c_ascii="ü"), ValidationError) is not None, True)


def main(address, port):
    connection.setup([address], KEYSPACE, port=port, protocol_version=5)
    schema()
    users()
    others()
    altered()
    management.drop_table(Every)
    check("drop: table", "every" in connection.get_cluster().metadata.keyspaces[KEYSPACE].tables, False)
    management.drop_keyspace(KEYSPACE)
    check("drop: keyspace", KEYSPACE in connection.get_cluster().metadata.keyspaces, False)
    connection.unregister_connection("default")


main(sys.argv[1], int(sys.argv[2]))
finish()
