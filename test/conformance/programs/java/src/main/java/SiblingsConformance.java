import com.datastax.oss.driver.api.core.CqlSession;
import com.datastax.oss.driver.api.core.CqlSessionBuilder;
import com.datastax.oss.driver.api.core.config.DefaultDriverOption;
import com.datastax.oss.driver.api.core.config.DriverConfigLoader;
import com.datastax.oss.driver.api.core.cql.Row;
import com.datastax.oss.driver.api.core.cql.SimpleStatement;
import com.datastax.oss.driver.api.core.loadbalancing.NodeDistance;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * Java driver 4, a table that keeps concurrent versions, and two data centres that do not reach each other.
 * Usage: SiblingsConformance EAST WEST PORT, addresses with commas. Prints a line a check, and `phase NAME` where it waits for a line of input.
 */
public final class SiblingsConformance {
  private static final String KEYSPACE = "conformance_siblings_java";
  private static int port;

  /** `only`: no other node is asked. */
  private static CqlSession connect(List<String> addresses, String datacenter, String level, boolean only) {
    CqlSessionBuilder builder = CqlSession.builder()
        .withConfigLoader(DriverConfigLoader.programmaticBuilder()
            .withDuration(DefaultDriverOption.REQUEST_TIMEOUT, Duration.ofSeconds(20))
            .withDuration(DefaultDriverOption.CONTROL_CONNECTION_TIMEOUT, Duration.ofSeconds(20))
            .withString(DefaultDriverOption.REQUEST_CONSISTENCY, level)
            .build())
        .withLocalDatacenter(datacenter);
    for (String address : addresses) builder.addContactPoint(new InetSocketAddress(address, port));
    if (only)
      builder.withNodeDistanceEvaluator((node, dc) ->
          node.getEndPoint().resolve().toString().contains(addresses.get(0) + ":") ? null : NodeDistance.IGNORED);
    return builder.build();
  }

  private static List<Row> rows(CqlSession session) {
    return session.execute(session.prepare("SELECT items, vclock(items) AS seen FROM " + KEYSPACE + ".carts WHERE user = ?").bind("ann")).all();
  }

  private static List<String> carts(CqlSession session) {
    return rows(session).stream()
        .map(row -> String.join("+", new TreeSet<>(row.getSet("items", String.class)))).sorted().collect(Collectors.toList());
  }

  private static void put(CqlSession session, Set<String> items, ByteBuffer seen) {
    session.execute(session.prepare("INSERT INTO " + KEYSPACE + ".carts (user, items) VALUES (?, ?) USING VCLOCK ?").bind("ann", items, seen));
  }

  private static void everywhere(List<String> east, List<String> west, List<String> wanted) throws Exception {
    for (String address : Stream.concat(east.stream(), west.stream()).collect(Collectors.toList()))
      try (CqlSession session = connect(List.of(address), east.contains(address) ? "east" : "west", "LOCAL_ONE", true)) {
        for (long end = System.nanoTime() + 40_000_000_000L; System.nanoTime() < end && !carts(session).equals(wanted); Thread.sleep(200));
        Checks.check(wanted + " at each node", carts(session), wanted);
      }
  }

  public static void main(String[] arguments) throws Exception {
    List<String> eastAddresses = List.of(arguments[0].split(","));
    List<String> westAddresses = List.of(arguments[1].split(","));
    port = Integer.parseInt(arguments[2]);
    try (CqlSession east = connect(eastAddresses, "east", "LOCAL_QUORUM", false);
        CqlSession west = connect(westAddresses, "west", "LOCAL_QUORUM", false)) {
      east.execute("CREATE KEYSPACE " + KEYSPACE + " WITH replication = {'class': 'NetworkTopologyStrategy', 'east': 2, 'west': 2}");
      east.execute("CREATE TABLE " + KEYSPACE + ".carts (user text PRIMARY KEY, items set<text>) WITH resolution = 'vclock'");
      put(east, Set.of("book"), null);
      everywhere(eastAddresses, westAddresses, List.of("book"));
      ByteBuffer seenEast = rows(east).get(0).getByteBuffer("seen");
      ByteBuffer seenWest = rows(west).get(0).getByteBuffer("seen");

      Checks.phase("parted");
      put(east, Set.of("book", "pen"), seenEast);
      put(west, Set.of("book", "lamp"), seenWest);
      Checks.check("one side of two", carts(east), List.of("book+pen"));
      Checks.check("the other side", carts(west), List.of("book+lamp"));

      Checks.phase("whole");
      everywhere(eastAddresses, westAddresses, List.of("book+lamp", "book+pen"));
      List<String> warnings = west.execute(SimpleStatement.newInstance("SELECT items FROM " + KEYSPACE + ".carts WHERE user = 'ann'"))
          .getExecutionInfo().getWarnings();
      Checks.check("a warning", warnings.stream().anyMatch(warning -> warning.contains("siblings")), true);
      Set<String> all = new TreeSet<>();
      List<Row> siblings = rows(west);
      for (Row row : siblings) all.addAll(row.getSet("items", String.class));
      put(west, all, siblings.get(0).getByteBuffer("seen"));
      everywhere(eastAddresses, westAddresses, List.of("book+lamp+pen"));
      east.execute("DROP KEYSPACE " + KEYSPACE);
    }
    Checks.finish();
  }
}
