// gocql v2 against a node: connect with defaults, metadata, put, get, delete, paging, every native type.
// Usage: go run . ADDRESS PORT. Prints one line a check; exit status 1 when one failed.
package main

import (
	"fmt"
	"math"
	"math/big"
	"net"
	"os"
	"reflect"
	"strconv"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
	"gopkg.in/inf.v0"

	"conformance/checks"
)

func main() {
	port, err := strconv.Atoi(os.Args[2])
	checks.Must(err)
	cluster := gocql.NewCluster(os.Args[1])
	cluster.Port = port
	cluster.Timeout = 20 * time.Second
	session, err := cluster.CreateSession()
	checks.Must(err)
	checks.Must(session.Query("DROP KEYSPACE IF EXISTS conformance_go").Exec())
	checks.Must(session.Query("CREATE KEYSPACE conformance_go WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}").Exec())
	checks.Must(session.Query("CREATE TABLE conformance_go.kv (k text, c int, v text, PRIMARY KEY (k, c))").Exec())
	session.Close()
	cluster.Keyspace = "conformance_go"
	session, err = cluster.CreateSession()
	checks.Must(err)
	defer session.Close()

	metadata, err := session.KeyspaceMetadata("conformance_go")
	checks.Must(err)
	checks.Check("metadata: table", metadata.Tables["kv"] != nil, true)
	checks.Check("metadata: key", metadata.Tables["kv"].PartitionKey[0].Name, "k")

	checks.Must(session.Query("INSERT INTO kv (k, c, v) VALUES (?, ?, ?)", "a", 1, "one").Exec())
	var value string
	checks.Must(session.Query("SELECT v FROM kv WHERE k = ? AND c = ?", "a", 1).Scan(&value))
	checks.Check("get", value, "one")
	checks.Must(session.Query("DELETE FROM kv WHERE k = ? AND c = ?", "a", 1).Exec())
	checks.Check("deleted", session.Query("SELECT v FROM kv WHERE k = ? AND c = ?", "a", 1).Scan(&value), gocql.ErrNotFound)

	for start := 0; start < 10_000; start += 50 {
		batch := session.Batch(gocql.UnloggedBatch)
		for c := start; c < start+50; c++ {
			batch.Query("INSERT INTO kv (k, c, v) VALUES (?, ?, ?)", "page", c, fmt.Sprint("v", c))
		}
		checks.Must(batch.Exec())
	}
	iterator := session.Query("SELECT c FROM kv WHERE k = ?", "page").PageSize(777).Iter()
	var c, rows, inOrder int
	for iterator.Scan(&c) {
		if c == rows {
			inOrder++
		}
		rows++
	}
	checks.Must(iterator.Close())
	checks.Check("paging: 10 000 rows in order", []int{rows, inOrder}, []int{10_000, 10_000})
	everyType(session)
	checks.Must(session.Query("DROP KEYSPACE conformance_go").Exec())
	checks.Finish()
}

func everyType(session *gocql.Session) {
	checks.Must(session.Query(`CREATE TABLE every (k int PRIMARY KEY, c_ascii ascii, c_bigint bigint, c_blob blob, c_boolean boolean, c_date date,
		c_decimal decimal, c_double double, c_duration duration, c_float float, c_inet inet, c_int int, c_smallint smallint, c_text text, c_time time,
		c_timestamp timestamp, c_timeuuid timeuuid, c_tinyint tinyint, c_uuid uuid, c_varint varint)`).Exec())
	timeuuid, _ := gocql.ParseUUID("50554d6e-29bb-11e5-b345-feff819cdc9f")
	random, _ := gocql.ParseUUID("f47ac10b-58cc-4372-a567-0e02b2c3d479")
	huge := new(big.Int).Lsh(big.NewInt(1), 128)
	moment := time.Date(2024, 2, 29, 12, 34, 56, 789_000_000, time.UTC)
	day := time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC)
	names := []string{"ascii", "bigint", "blob", "boolean", "date", "decimal", "double", "duration", "float", "inet", "int", "smallint", "text", "time", "timestamp", "timeuuid", "tinyint", "uuid", "varint"}
	values := []any{"plain", int64(math.MinInt64), []byte{0, 0xca, 0xfe}, true, day, *inf.NewDec(-1234500, 4), 3.141592653589793,
		gocql.Duration{Months: 14, Days: 3, Nanoseconds: 5_000_000_001}, float32(1.5), net.ParseIP("192.168.0.1").To4(), math.MinInt32, int16(math.MinInt16), "grüße 🙂",
		13*time.Hour + 123456789*time.Nanosecond, moment, timeuuid, int8(math.MinInt8), random, *huge}
	columns, marks := "k", "?"
	for _, name := range names {
		columns += ", c_" + name
		marks += ", ?"
	}
	checks.Must(session.Query("INSERT INTO every ("+columns+") VALUES ("+marks+")", append([]any{1}, values...)...).Exec())
	for i, name := range names {
		target := reflect.New(reflect.TypeOf(values[i]))
		checks.Must(session.Query("SELECT c_" + name + " FROM every WHERE k = 1").Scan(target.Interface()))
		got := target.Elem().Interface()
		switch wanted := values[i].(type) {
		case time.Time:
			checks.Check("type "+name, got.(time.Time).Equal(wanted), true)
		case inf.Dec:
			decimal := got.(inf.Dec)
			checks.Check("type "+name, decimal.Cmp(&wanted) == 0 && decimal.Scale() == wanted.Scale(), true)
		case big.Int:
			number := got.(big.Int)
			checks.Check("type "+name, number.Cmp(&wanted), 0)
		case net.IP:
			checks.Check("type "+name, got.(net.IP).Equal(wanted), true)
		default:
			checks.Check("type "+name, got, values[i])
		}
	}
}
