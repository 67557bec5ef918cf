import com.datastax.oss.driver.api.core.ConsistencyLevel;
import com.datastax.oss.driver.api.core.CqlSession;
import com.datastax.oss.driver.api.core.DefaultConsistencyLevel;
import com.datastax.oss.driver.api.core.config.DefaultDriverOption;
import com.datastax.oss.driver.api.core.config.DriverConfigLoader;
import com.datastax.oss.driver.api.core.cql.BoundStatement;
import com.datastax.oss.driver.api.core.cql.PreparedStatement;
import com.datastax.oss.driver.api.core.cql.Row;
import com.datastax.oss.driver.api.core.cql.SimpleStatement;
import com.datastax.oss.driver.api.core.metadata.Node;
import com.datastax.oss.driver.api.core.metadata.NodeState;
import com.datastax.oss.driver.api.core.metadata.TokenMap;
import com.datastax.oss.driver.api.core.type.reflect.GenericType;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.BooleanSupplier;

/**
 * Java driver 4 against a cluster that loses nodes and gets them back.
 * Usage: ClusterConformance ADDRESSES PORT DATACENTER DATACENTERS. ADDRESSES a,b,c; DATACENTERS dc1:3,dc2:3 (replicas and nodes of each).
 * Prints a line a check, and `phase NAME` where it waits for a line of input before it goes on.
 */
public final class ClusterConformance {
  private static final int ROWS = 500;
  private static final int KEYS = 10_000;

  private static boolean until(int seconds, BooleanSupplier condition) throws Exception {
    for (long end = System.nanoTime() + seconds * 1_000_000_000L; System.nanoTime() < end; Thread.sleep(200))
      if (condition.getAsBoolean()) return true;
    return condition.getAsBoolean();
  }

  public static void main(String[] arguments) throws Exception {
    List<InetSocketAddress> addresses = new ArrayList<>();
    for (String address : arguments[0].split(",")) addresses.add(new InetSocketAddress(address, Integer.parseInt(arguments[1])));
    try (CqlSession session = CqlSession.builder().withConfigLoader(patient()).addContactPoints(addresses).withLocalDatacenter(arguments[2]).build()) {
      run(session, arguments[3].split(","));
    }
    Checks.finish();
  }

  /** Two seconds, the driver's default, are few for changes of the schema on a machine that runs six nodes. */
  private static DriverConfigLoader patient() {
    return DriverConfigLoader.programmaticBuilder()
        .withDuration(DefaultDriverOption.REQUEST_TIMEOUT, Duration.ofSeconds(20))
        .withDuration(DefaultDriverOption.CONTROL_CONNECTION_TIMEOUT, Duration.ofSeconds(20))
        .build();
  }

  /** The driver knows nothing of nodes that it never connected to (of other data centres) until it is told: these count as up. */
  private static long up(CqlSession session) {
    return session.getMetadata().getNodes().values().stream()
        .filter(node -> node.getState() == NodeState.UP || node.getState() == NodeState.UNKNOWN).count();
  }

  /** How many keys have other replicas by the driver's token map than the server describes. */
  private static int misplaced(CqlSession session, String[] datacenters) {
    StringBuilder replication = new StringBuilder("'class': 'NetworkTopologyStrategy'");
    for (String each : datacenters) {
      String[] parts = each.split(":");
      replication.append(", '").append(parts[0]).append("': ").append(Math.max(1, Integer.parseInt(parts[1]) - 1));
    }
    session.execute("DROP KEYSPACE IF EXISTS conformance_ring_java");
    session.execute("CREATE KEYSPACE conformance_ring_java WITH replication = {" + replication + "}");
    session.execute("USE conformance_ring_java");
    Row described = session.execute("DESCRIBE CLUSTER").one();
    TreeMap<Long, Set<String>> ring = new TreeMap<>();
    for (var range : described.get("range_ownership", GenericType.mapOf(GenericType.STRING, GenericType.listOf(String.class))).entrySet()) {
      Set<String> owners = new TreeSet<>();
      for (String owner : range.getValue()) owners.add(owner.replaceAll("^/|:[0-9]+$", ""));
      ring.put(Long.parseLong(range.getKey()), owners);
    }
    TokenMap tokens = session.getMetadata().getTokenMap().orElseThrow();
    int wrong = 0;
    for (int k = 0; k < KEYS; k++) {
      ByteBuffer key = ByteBuffer.allocate(4).putInt(0, k);
      var range = ring.ceilingEntry(Long.parseLong(tokens.format(tokens.newToken(key))));
      Set<String> replicas = new TreeSet<>();
      for (Node node : tokens.getReplicas("conformance_ring_java", key))
        replicas.add(((InetSocketAddress) node.getEndPoint().resolve()).getAddress().getHostAddress());
      if (!replicas.equals((range == null ? ring.firstEntry() : range).getValue())) wrong++;
    }
    // The driver asks for the session's keyspace on each connection that it opens, and gives up a node that does not know it.
    session.execute("USE system");
    session.execute("DROP KEYSPACE conformance_ring_java");
    return wrong;
  }

  private static void run(CqlSession session, String[] datacenters) throws Exception {
    StringBuilder replication = new StringBuilder("'class': 'NetworkTopologyStrategy'");
    int count = 0;
    for (String each : datacenters) {
      String[] parts = each.split(":");
      replication.append(", '").append(parts[0]).append("': ").append(parts[1]);
      count += Integer.parseInt(parts[1]);
    }
    int nodes = count;
    ConsistencyLevel level = datacenters.length > 1 ? DefaultConsistencyLevel.LOCAL_QUORUM : DefaultConsistencyLevel.QUORUM;
    Checks.check("nodes known", session.getMetadata().getNodes().size(), nodes);
    Checks.check("all are up", until(15, () -> up(session) == nodes), true);
    Checks.check("keys that the token map misplaces", misplaced(session, datacenters), 0);
    session.execute("DROP KEYSPACE IF EXISTS conformance_cluster_java");
    session.execute("CREATE KEYSPACE conformance_cluster_java WITH replication = {" + replication + "}");
    session.execute("CREATE TABLE conformance_cluster_java.t (k int PRIMARY KEY, v text)");
    Checks.check("schema agreement", session.checkSchemaAgreement(), true);
    PreparedStatement put = session.prepare("INSERT INTO conformance_cluster_java.t (k, v) VALUES (?, ?)");
    PreparedStatement get = session.prepare("SELECT v FROM conformance_cluster_java.t WHERE k = ?");
    TokenMap tokens = session.getMetadata().getTokenMap().orElseThrow();
    ByteBuffer key = ByteBuffer.allocate(4).putInt(0, 7);
    Checks.check("replicas of a key", tokens.getReplicas("conformance_cluster_java", key).size(), nodes);
    for (int k = 0; k < ROWS; k++) session.execute(write(put, k, level));
    int wrong = 0;
    for (int k = 0; k < ROWS; k++) if (!holds(session, get, k, level)) wrong++;
    Checks.check("rows that are not read back", wrong, 0);
    int paged = 0;
    SimpleStatement all = SimpleStatement.newInstance("SELECT k FROM conformance_cluster_java.t").setPageSize(50);
    for (Row ignored : session.execute(all.setConsistencyLevel(level))) paged++;
    Checks.check("rows by pages", paged, ROWS);
    String conditional = "INSERT INTO conformance_cluster_java.t (k, v) VALUES (-1, 'a') IF NOT EXISTS";
    Checks.check("conditional insert", session.execute(conditional).wasApplied(), true);
    Checks.check("conditional insert again", session.execute(conditional).wasApplied(), false);

    Checks.phase("whole");
    List<String> errors = new ArrayList<>();
    int written = ROWS;
    for (long end = System.nanoTime() + 6_000_000_000L; System.nanoTime() < end; ) {
      try {
        session.execute(write(put, written, level));
        written++;
        if (!holds(session, get, written - 1, level)) errors.add("row " + (written - 1) + " is not there");
      } catch (RuntimeException error) {
        errors.add(error.toString());
      }
    }
    Checks.check("errors while nodes are away", errors, List.of());
    Checks.check("writes went on", written > ROWS + 20, true);
    Checks.check("a node is seen down", until(25, () -> up(session) < nodes), true);

    Checks.phase("without");
    boolean isWhole = until(60, () -> up(session) == nodes);
    List<String> states = session.getMetadata().getNodes().values().stream().map(node -> node.getEndPoint() + " " + node.getState()).toList();
    Checks.check("all are up again", isWhole ? List.of() : states, List.of());
    int missing = 0;
    for (int k = 0; k < written; k++) if (!holds(session, get, k, DefaultConsistencyLevel.ALL)) missing++;
    Checks.check("rows that are missing", missing, 0);
    session.execute("DROP KEYSPACE conformance_cluster_java");
  }

  private static BoundStatement write(PreparedStatement put, int k, ConsistencyLevel level) {
    return put.bind(k, "v" + k).setConsistencyLevel(level).setIdempotent(true).setTimeout(Duration.ofSeconds(10));
  }

  private static boolean holds(CqlSession session, PreparedStatement get, int k, ConsistencyLevel level) {
    BoundStatement statement = get.bind(k).setConsistencyLevel(level).setIdempotent(true).setTimeout(Duration.ofSeconds(10));
    Row row = session.execute(statement).one();
    return row != null && ("v" + k).equals(row.getString(0));
  }
}
