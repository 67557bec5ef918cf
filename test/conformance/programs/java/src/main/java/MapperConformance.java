import com.datastax.oss.driver.api.core.CqlSession;
import com.datastax.oss.driver.api.core.MappedAsyncPagingIterable;
import com.datastax.oss.driver.api.core.PagingIterable;
import com.datastax.oss.driver.api.core.cql.BatchStatement;
import com.datastax.oss.driver.api.core.cql.BoundStatement;
import com.datastax.oss.driver.api.core.cql.BoundStatementBuilder;
import com.datastax.oss.driver.api.core.cql.DefaultBatchType;
import com.datastax.oss.driver.api.core.cql.ResultSet;
import com.datastax.oss.driver.api.core.data.TupleValue;
import com.datastax.oss.driver.api.core.type.DataTypes;
import com.datastax.oss.driver.api.core.type.TupleType;
import com.datastax.oss.driver.api.mapper.annotations.ClusteringColumn;
import com.datastax.oss.driver.api.mapper.annotations.Computed;
import com.datastax.oss.driver.api.mapper.annotations.CqlName;
import com.datastax.oss.driver.api.mapper.annotations.Dao;
import com.datastax.oss.driver.api.mapper.annotations.DaoFactory;
import com.datastax.oss.driver.api.mapper.annotations.DaoKeyspace;
import com.datastax.oss.driver.api.mapper.annotations.DefaultNullSavingStrategy;
import com.datastax.oss.driver.api.mapper.annotations.Delete;
import com.datastax.oss.driver.api.mapper.annotations.Entity;
import com.datastax.oss.driver.api.mapper.annotations.GetEntity;
import com.datastax.oss.driver.api.mapper.annotations.Increment;
import com.datastax.oss.driver.api.mapper.annotations.Insert;
import com.datastax.oss.driver.api.mapper.annotations.Mapper;
import com.datastax.oss.driver.api.mapper.annotations.PartitionKey;
import com.datastax.oss.driver.api.mapper.annotations.Query;
import com.datastax.oss.driver.api.mapper.annotations.SchemaHint;
import com.datastax.oss.driver.api.mapper.annotations.Select;
import com.datastax.oss.driver.api.mapper.annotations.SetEntity;
import com.datastax.oss.driver.api.mapper.annotations.Update;
import com.datastax.oss.driver.api.mapper.entity.saving.NullSavingStrategy;
import java.net.InetSocketAddress;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.CompletionStage;
import java.util.function.Function;
import java.util.stream.Collectors;

/**
 * The object mapper of the Java driver 4 (its annotation processor writes the DAOs) against a node. At the start each DAO compares its entity
 * with the metadata of the schema. Usage: MapperConformance ADDRESS PORT DATACENTER. Prints one line a check; exit status 1 when one failed.
 */
public final class MapperConformance {
  private static final String KEYSPACE = "conformance_java_mapper";

  @Entity
  @CqlName("phone")
  public record Phone(int country, String number) {}

  @Entity
  @CqlName("address")
  public record Address(String street, Integer zip, List<Phone> phones) {}

  @Entity
  @CqlName("users")
  @SchemaHint(targetElement = SchemaHint.TargetElement.TABLE)
  public record User(
      @PartitionKey(0) String team,
      @PartitionKey(1) int shard,
      @ClusteringColumn Instant joined,
      @CqlName("\"Full Name\"") String name,
      Integer age,
      Set<String> tags,
      List<Integer> scores,
      Map<String, List<Integer>> settings,
      Address address,
      TupleValue pair) {
    User named(String other) {
      return new User(team, shard, joined, other, age, tags, scores, settings, address, pair);
    }
  }

  /** What of a user is computed by the node. */
  @Entity
  @CqlName("users")
  public record Written(@PartitionKey(0) String team, @PartitionKey(1) int shard, @ClusteringColumn Instant joined, Integer age,
      @Computed("ttl(age)") Integer left, @Computed("writetime(age)") Long written) {}

  @Entity
  @CqlName("views")
  public record Views(@PartitionKey String page, @ClusteringColumn int day, long hits) {}

  @Dao
  @DefaultNullSavingStrategy(NullSavingStrategy.SET_TO_NULL)
  public interface Users {
    @Insert
    void save(User user);

    @Insert(ttl = ":seconds", timestamp = ":stamp")
    void save(User user, int seconds, long stamp);

    @Insert(ifNotExists = true)
    User saveNew(User user);

    @Insert(nullSavingStrategy = NullSavingStrategy.DO_NOT_SET)
    CompletionStage<Void> saveSome(User user);

    @Insert
    BoundStatement bound(User user);

    @Select
    User get(String team, int shard, Instant joined);

    @Select
    PagingIterable<User> all(String team, int shard, Function<BoundStatementBuilder, BoundStatementBuilder> settings);

    @Select(customWhereClause = "team = :team AND shard = :shard AND joined >= :earliest", orderBy = "joined ASC", limit = ":most")
    PagingIterable<User> since(String team, int shard, Instant earliest, int most);

    @Select(customWhereClause = "\"Full Name\" = :name")
    PagingIterable<User> byName(String name);

    @Select(customWhereClause = "tags CONTAINS :tag", allowFiltering = true)
    CompletionStage<MappedAsyncPagingIterable<User>> byTag(String tag);

    @Select
    Written written(String team, int shard, Instant joined);

    @Update
    void update(User user);

    @Update(timestamp = ":stamp")
    void updateAt(User user, long stamp);

    @Update(ifExists = true)
    boolean updateIfThere(User user);

    @Update(customIfClause = "age = :expected")
    ResultSet updateIf(User user, int expected);

    @Delete
    void delete(User user);

    @Delete(entityClass = User.class)
    void deleteAll(String team, int shard);

    @Delete(customIfClause = "age > :least")
    boolean deleteIf(User user, int least);

    @Query("SELECT count(*) FROM ${keyspaceId}.users WHERE team = :team AND shard IN :shards")
    long count(String team, List<Integer> shards);

    @GetEntity
    User of(com.datastax.oss.driver.api.core.cql.Row row);

    @SetEntity
    BoundStatement set(BoundStatement statement, User user);
  }

  @Dao
  public interface Counters {
    @Increment(entityClass = Views.class)
    void add(String page, int day, long hits);

    @Select
    PagingIterable<Views> of(String page);
  }

  @Mapper
  public interface Mappers {
    @DaoFactory
    Users users(@DaoKeyspace String keyspace);

    @DaoFactory
    Counters counters(@DaoKeyspace String keyspace);
  }

  public static void main(String[] arguments) throws Exception {
    InetSocketAddress address = new InetSocketAddress(arguments[0], Integer.parseInt(arguments[1]));
    try (CqlSession session = CqlSession.builder().addContactPoint(address).withLocalDatacenter(arguments[2]).build()) {
      for (String statement : List.of(
          "DROP KEYSPACE IF EXISTS " + KEYSPACE,
          "CREATE KEYSPACE " + KEYSPACE + " WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
          "CREATE TYPE " + KEYSPACE + ".phone (country int, number text)",
          "CREATE TYPE " + KEYSPACE + ".address (street text, zip int, phones frozen<list<frozen<phone>>>)",
          "CREATE TABLE " + KEYSPACE + ".users (team text, shard int, joined timestamp, \"Full Name\" text, age int, tags set<text>, scores list<int>,"
              + " settings map<text, frozen<list<int>>>, address address, pair tuple<int, text>, PRIMARY KEY ((team, shard), joined))"
              + " WITH CLUSTERING ORDER BY (joined DESC)",
          "CREATE INDEX ON " + KEYSPACE + ".users (\"Full Name\")",
          "CREATE TABLE " + KEYSPACE + ".views (page text, day int, hits counter, PRIMARY KEY (page, day))")) session.execute(statement);
      Mappers mappers = new MapperConformance_MappersBuilder(session).build();
      users(session, mappers.users(KEYSPACE));
      counters(mappers.counters(KEYSPACE));
      Checks.check("the index as the driver writes it",
          session.getMetadata().getKeyspace(KEYSPACE).orElseThrow().getTable("users").orElseThrow().getIndexes().values().stream()
              .map(index -> index.describe(false)).collect(Collectors.toList()),
          List.of("CREATE INDEX \"users_FullName_idx\" ON \"" + KEYSPACE + "\".\"users\" (\"Full Name\");"));
      session.execute("DROP KEYSPACE " + KEYSPACE);
    }
    Checks.finish();
  }

  private static void users(CqlSession session, Users users) throws Exception {
    Instant joined = Instant.parse("2024-02-29T12:34:56.789Z");
    TupleType pairs = DataTypes.tupleOf(DataTypes.INT, DataTypes.TEXT);
    pairs.attach(session.getContext());
    User ann = new User("red", 1, joined, "Ann", 30, Set.of("a", "b"), List.of(1, 2), Map.of("x", List.of(1), "y", List.of()),
        new Address("Main \"St\"\n", null, List.of(new Phone(49, "1"), new Phone(1, null))), pairs.newValue(1, "eins"));
    users.save(ann);
    Checks.check("insert and select", users.get("red", 1, joined), ann);
    Checks.check("select of none", users.get("red", 2, joined), null);
    Checks.check("insert if not exists: what there is", users.saveNew(ann.named("no")), ann);
    Checks.check("insert if not exists: applied", users.saveNew(new User("red", 1, joined.plusSeconds(1), "Bob", null, null, null, null, null, null)), null);
    User bob = users.get("red", 1, joined.plusSeconds(1));
    Checks.check("nulls", List.of(bob.name(), bob.age() == null, bob.tags(), bob.scores(), bob.settings(), bob.address() == null, bob.pair() == null),
        List.of("Bob", true, Set.of(), List.of(), Map.of(), true, true));
    Checks.check("order of clustering", names(users.all("red", 1, Function.identity())), List.of("Bob", "Ann"));
    Checks.check("where, order and limit of one's own", names(users.since("red", 1, joined, 1)), List.of("Ann"));
    Checks.check("by index", names(users.byName("Bob")), List.of("Bob"));
    List<String> tagged = new ArrayList<>();
    for (User user : users.byTag("b").toCompletableFuture().get().currentPage()) tagged.add(user.name());
    Checks.check("filtering by an element, asynchronously", tagged, List.of("Ann"));
    Checks.check("query with a list for IN", users.count("red", List.of(0, 1, 2)), 2L);

    User older = new User("red", 1, joined, "Änn 🙂", 31, Set.of("c"), List.of(3), Map.of(), null, pairs.newValue(null, "zwei"));
    users.update(older);
    Checks.check("update", users.get("red", 1, joined), older);
    Checks.check("the index follows", List.of(names(users.byName("Ann")), names(users.byName("Änn 🙂"))), List.of(List.of(), List.of("Änn 🙂")));
    users.saveSome(new User("red", 1, joined, "Ann", null, null, null, null, null, null)).toCompletableFuture().get();
    Checks.check("insert of some columns", users.get("red", 1, joined), older.named("Ann"));
    users.updateAt(older.named("past"), 1_000_000);
    Checks.check("update with a timestamp of the past", users.get("red", 1, joined), older.named("Ann"));
    Checks.check("update if exists", List.of(users.updateIfThere(older), users.updateIfThere(new User("none", 1, joined, "x", 1, null, null, null, null, null))), List.of(true, false));
    ResultSet refused = users.updateIf(older.named("no"), 99);
    Checks.check("update with a condition: what there is", List.of(refused.wasApplied(), refused.one().getInt("age")), List.of(false, 31));
    Checks.check("update with a condition: applied", users.updateIf(older.named("Ann"), 31).wasApplied(), true);
    Checks.check("delete with a condition", List.of(users.deleteIf(older, 31), users.deleteIf(older, 30), users.get("red", 1, joined) == null), List.of(false, true, true));

    User ttl = new User("ttl", 1, joined, "gone", 1, null, null, null, null, null);
    users.save(ttl, 100, 1_700_000_000_000_000L);
    Written written = users.written("ttl", 1, joined);
    Checks.check("computed columns", List.of(written.written(), written.left() > 0 && written.left() <= 100), List.of(1_700_000_000_000_000L, true));
    users.delete(ttl);
    Checks.check("delete", users.get("ttl", 1, joined), null);

    List<BoundStatement> statements = new ArrayList<>();
    for (int i = 0; i < 60; i++) statements.add(users.bound(new User("many", 1, joined.plusSeconds(i), "u" + i, i, null, null, null, null, null)));
    for (int i = 0; i < 60; i += 20) session.execute(BatchStatement.newInstance(DefaultBatchType.LOGGED).addAll(statements.subList(i, i + 20)));
    List<String> wanted = new ArrayList<>();
    for (int i = 59; i >= 0; i--) wanted.add("u" + i);
    Checks.check("batches, and pages of 7", names(users.all("many", 1, builder -> builder.setPageSize(7))), wanted);
    Checks.check("entity of a row", users.of(session.execute("SELECT * FROM " + KEYSPACE + ".users WHERE team = 'many' AND shard = 1 LIMIT 1").one()).name(), "u59");
    users.deleteAll("many", 1);
    Checks.check("delete of a partition", users.count("many", List.of(1)), 0L);
    session.execute("ALTER TABLE " + KEYSPACE + ".users ADD email text");
    users.save(ann);
    Checks.check("after a column was added", users.get("red", 1, joined), ann);
  }

  private static List<String> names(PagingIterable<User> users) {
    return users.all().stream().map(User::name).collect(Collectors.toList());
  }

  private static void counters(Counters counters) {
    counters.add("p", 1, 5);
    counters.add("p", 1, -2);
    counters.add("p", 2, 7);
    Checks.check("counters", counters.of("p").all(), List.of(new Views("p", 1, 3), new Views("p", 2, 7)));
  }

  private MapperConformance() {}
}
