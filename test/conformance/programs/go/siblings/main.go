// gocql v2, a table that keeps concurrent versions, and two data centres that do not reach each other.
// Usage: siblings EAST WEST PORT, addresses with commas. Prints a line a check, and `phase NAME` where it waits for a line of input.
package main

import (
	"fmt"
	"os"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"conformance/checks"
)

const keyspace = "conformance_siblings_go"

func connect(addresses []string, port int, level gocql.Consistency, policy gocql.HostSelectionPolicy, filter gocql.HostFilter) *gocql.Session {
	cluster := gocql.NewCluster(addresses...)
	cluster.Port = port
	cluster.Timeout = 20 * time.Second
	cluster.Consistency = level
	cluster.PoolConfig.HostSelectionPolicy = policy
	cluster.HostFilter = filter
	session, err := cluster.CreateSession()
	checks.Must(err)
	return session
}

// The versions, each with its items sorted and joined, and what who read them has seen.
func carts(session *gocql.Session) ([]string, []byte) {
	found, seen := []string{}, []byte(nil)
	iter := session.Query("SELECT items, vclock(items) FROM "+keyspace+".carts WHERE user = ?", "ann").Iter()
	var items []string
	for iter.Scan(&items, &seen) {
		sort.Strings(items)
		found = append(found, strings.Join(items, "+"))
		items = nil
	}
	checks.Must(iter.Close())
	sort.Strings(found)
	return found, seen
}

func put(session *gocql.Session, items []string, seen []byte) {
	checks.Must(session.Query("INSERT INTO "+keyspace+".carts (user, items) VALUES (?, ?) USING VCLOCK ?", "ann", items, seen).Exec())
}

func everywhere(addresses []string, port int, wanted []string) {
	for _, address := range addresses {
		session := connect([]string{address}, port, gocql.LocalOne, gocql.RoundRobinHostPolicy(), gocql.WhiteListHostFilter(address))
		found, _ := carts(session)
		for end := time.Now().Add(40 * time.Second); !reflect.DeepEqual(found, wanted) && time.Now().Before(end); {
			time.Sleep(200 * time.Millisecond)
			found, _ = carts(session)
		}
		checks.Check(fmt.Sprintf("%v at each node", wanted), found, wanted)
		session.Close()
	}
}

func main() {
	eastAddresses, westAddresses := strings.Split(os.Args[1], ","), strings.Split(os.Args[2], ",")
	port, err := strconv.Atoi(os.Args[3])
	checks.Must(err)
	everybody := append(append([]string{}, eastAddresses...), westAddresses...)
	east := connect(eastAddresses, port, gocql.LocalQuorum, gocql.DCAwareRoundRobinPolicy("east"), gocql.WhiteListHostFilter(eastAddresses...))
	defer east.Close()
	west := connect(westAddresses, port, gocql.LocalQuorum, gocql.DCAwareRoundRobinPolicy("west"), gocql.WhiteListHostFilter(westAddresses...))
	defer west.Close()
	checks.Must(east.Query("CREATE KEYSPACE " + keyspace + " WITH replication = {'class': 'NetworkTopologyStrategy', 'east': 2, 'west': 2}").Exec())
	checks.Must(east.Query("CREATE TABLE " + keyspace + ".carts (user text PRIMARY KEY, items set<text>) WITH resolution = 'vclock'").Exec())
	put(east, []string{"book"}, nil)
	everywhere(everybody, port, []string{"book"})
	_, seenEast := carts(east)
	_, seenWest := carts(west)

	checks.Phase("parted")
	put(east, []string{"book", "pen"}, seenEast)
	put(west, []string{"book", "lamp"}, seenWest)
	inEast, _ := carts(east)
	inWest, _ := carts(west)
	checks.Check("one side of two", inEast, []string{"book+pen"})
	checks.Check("the other side", inWest, []string{"book+lamp"})

	checks.Phase("whole")
	everywhere(everybody, port, []string{"book+lamp", "book+pen"})
	_, seen := carts(west)
	put(west, []string{"book", "lamp", "pen"}, seen)
	everywhere(everybody, port, []string{"book+lamp+pen"})
	checks.Must(east.Query("DROP KEYSPACE " + keyspace).Exec())
	checks.Finish()
}
