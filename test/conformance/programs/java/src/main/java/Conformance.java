import com.datastax.oss.driver.api.core.CqlSession;
import com.datastax.oss.driver.api.core.cql.PreparedStatement;
import com.datastax.oss.driver.api.core.cql.Row;
import com.datastax.oss.driver.api.core.cql.SimpleStatement;
import com.datastax.oss.driver.api.core.data.CqlDuration;
import com.datastax.oss.driver.api.core.metadata.schema.TableMetadata;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalTime;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Collectors;

/**
 * Java driver 4 against a node: connect with defaults, metadata, put, get, delete, paging, every native type.
 * Usage: Conformance ADDRESS PORT DATACENTER. Prints one line a check; exit status 1 when one failed.
 */
public final class Conformance {
  public static void main(String[] arguments) throws Exception {
    InetSocketAddress address = new InetSocketAddress(arguments[0], Integer.parseInt(arguments[1]));
    try (CqlSession session = CqlSession.builder().addContactPoint(address).withLocalDatacenter(arguments[2]).build()) {
      run(session);
    }
    Checks.finish();
  }

  private static void run(CqlSession session) throws Exception {
    Checks.check("protocol version", session.getContext().getProtocolVersion().getCode(), 5);
    session.execute("DROP KEYSPACE IF EXISTS conformance_java");
    session.execute("CREATE KEYSPACE conformance_java WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}");
    session.execute("CREATE TABLE conformance_java.kv (k text, c int, v text, PRIMARY KEY (k, c))");
    TableMetadata table = session.getMetadata().getKeyspace("conformance_java").orElseThrow().getTable("kv").orElseThrow();
    Checks.check("metadata: columns", table.getColumns().keySet().stream().map(Object::toString).collect(Collectors.toList()), List.of("k", "c", "v"));
    Checks.check("metadata: token map", session.getMetadata().getTokenMap().isPresent(), true);

    PreparedStatement put = session.prepare("INSERT INTO conformance_java.kv (k, c, v) VALUES (?, ?, ?)");
    PreparedStatement get = session.prepare("SELECT v FROM conformance_java.kv WHERE k = ? AND c = ?");
    session.execute(put.bind("a", 1, "one"));
    Checks.check("get", session.execute(get.bind("a", 1)).one().getString(0), "one");
    session.execute(session.prepare("DELETE FROM conformance_java.kv WHERE k = ? AND c = ?").bind("a", 1));
    Checks.check("deleted", session.execute(get.bind("a", 1)).one(), null);

    for (int start = 0; start < 10_000; start += 500) {
      List<CompletableFuture<?>> writes = new ArrayList<>();
      for (int c = start; c < start + 500; c++) writes.add(session.executeAsync(put.bind("page", c, "v" + c)).toCompletableFuture());
      CompletableFuture.allOf(writes.toArray(new CompletableFuture[0])).join();
    }
    int rows = 0;
    boolean inOrder = true;
    for (Row row : session.execute(SimpleStatement.newInstance("SELECT c FROM conformance_java.kv WHERE k = 'page'").setPageSize(777))) inOrder &= row.getInt(0) == rows++;
    Checks.check("paging: 10 000 rows in order", List.of(rows, inOrder), List.of(10_000, true));
    everyType(session);
    session.execute("DROP KEYSPACE conformance_java");
  }

  private static void everyType(CqlSession session) throws Exception {
    Map<String, Object> values = new LinkedHashMap<>();
    values.put("ascii", "plain");
    values.put("bigint", Long.MIN_VALUE);
    values.put("blob", ByteBuffer.wrap(new byte[] {0, (byte) 0xca, (byte) 0xfe}));
    values.put("boolean", true);
    values.put("date", LocalDate.of(2024, 2, 29));
    values.put("decimal", new BigDecimal("-123.4500"));
    values.put("double", 3.141592653589793);
    values.put("duration", CqlDuration.newInstance(14, 3, 5_000_000_001L));
    values.put("float", 1.5f);
    values.put("inet", InetAddress.getByName("192.168.0.1"));
    values.put("int", Integer.MIN_VALUE);
    values.put("smallint", Short.MIN_VALUE);
    values.put("text", "grüße 🙂");
    values.put("time", LocalTime.of(13, 14, 15, 123_456_789));
    values.put("timestamp", Instant.parse("2024-02-29T12:34:56.789Z"));
    values.put("timeuuid", UUID.fromString("50554d6e-29bb-11e5-b345-feff819cdc9f"));
    values.put("tinyint", Byte.MIN_VALUE);
    values.put("uuid", UUID.fromString("f47ac10b-58cc-4372-a567-0e02b2c3d479"));
    values.put("varint", BigInteger.ONE.shiftLeft(128));
    String columns = values.keySet().stream().map(name -> "c_" + name + " " + name).collect(Collectors.joining(", "));
    session.execute("CREATE TABLE conformance_java.every (k int PRIMARY KEY, " + columns + ")");
    String names = values.keySet().stream().map(name -> "c_" + name).collect(Collectors.joining(", "));
    PreparedStatement insert = session.prepare("INSERT INTO conformance_java.every (" + names + ", k) VALUES (" + "?, ".repeat(values.size()) + "1)");
    session.execute(insert.bind(values.values().toArray()));
    Row row = session.execute("SELECT " + names + " FROM conformance_java.every WHERE k = 1").one();
    int i = 0;
    for (Map.Entry<String, Object> entry : values.entrySet()) Checks.check("type " + entry.getKey(), row.getObject(i++), entry.getValue());
  }
}
