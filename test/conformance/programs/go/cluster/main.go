// gocql v2 against a cluster that loses nodes and gets them back.
// Usage: cluster ADDRESSES PORT DATACENTER DATACENTERS. ADDRESSES a,b,c; DATACENTERS dc1:3,dc2:3 (replicas and nodes of each).
// Prints a line a check, and `phase NAME` where it waits for a line of input before it goes on.
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"conformance/checks"
)

const rows = 500

func until(limit time.Duration, condition func() bool) bool {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if condition() {
			return true
		}
	}
	return condition()
}

func main() {
	port, err := strconv.Atoi(os.Args[2])
	checks.Must(err)
	replication, nodes := "'class': 'NetworkTopologyStrategy'", 0
	datacenters := strings.Split(os.Args[4], ",")
	for _, each := range datacenters {
		name, count, _ := strings.Cut(each, ":")
		replication += fmt.Sprintf(", '%s': %s", name, count)
		size, err := strconv.Atoi(count)
		checks.Must(err)
		nodes += size
	}
	level := gocql.Quorum
	if len(datacenters) > 1 {
		level = gocql.LocalQuorum
	}
	cluster := gocql.NewCluster(strings.Split(os.Args[1], ",")...)
	cluster.Port = port
	cluster.Timeout = 10 * time.Second
	cluster.Consistency = level
	cluster.PoolConfig.HostSelectionPolicy = gocql.TokenAwareHostPolicy(gocql.DCAwareRoundRobinPolicy(os.Args[3]))
	cluster.RetryPolicy = &gocql.SimpleRetryPolicy{NumRetries: 3}
	session, err := cluster.CreateSession()
	checks.Must(err)
	defer session.Close()
	upNodes := func() int {
		up := 0
		for _, host := range session.GetHosts() {
			if host.IsUp() {
				up++
			}
		}
		return up
	}
	checks.Check("all are up", until(15*time.Second, func() bool { return upNodes() == nodes }), true)

	checks.Must(session.Query("DROP KEYSPACE IF EXISTS conformance_cluster_go").Exec())
	checks.Must(session.Query("CREATE KEYSPACE conformance_cluster_go WITH replication = {" + replication + "}").Exec())
	checks.Must(session.Query("CREATE TABLE conformance_cluster_go.t (k int PRIMARY KEY, v text)").Exec())
	put := func(k int) error {
		return session.Query("INSERT INTO conformance_cluster_go.t (k, v) VALUES (?, ?)", k, fmt.Sprintf("v%d", k)).Idempotent(true).Exec()
	}
	get := func(k int, level gocql.Consistency) (string, error) {
		var value string
		err := session.Query("SELECT v FROM conformance_cluster_go.t WHERE k = ?", k).Consistency(level).Idempotent(true).Scan(&value)
		return value, err
	}
	for k := 0; k < rows; k++ {
		checks.Must(put(k))
	}
	wrong := 0
	for k := 0; k < rows; k++ {
		value, err := get(k, level)
		if err != nil || value != fmt.Sprintf("v%d", k) {
			wrong++
		}
	}
	checks.Check("rows that are not read back", wrong, 0)
	iterator, paged, key := session.Query("SELECT k FROM conformance_cluster_go.t").PageSize(50).Iter(), 0, 0
	for iterator.Scan(&key) {
		paged++
	}
	checks.Must(iterator.Close())
	checks.Check("rows by pages", paged, rows)
	applied, err := session.Query("INSERT INTO conformance_cluster_go.t (k, v) VALUES (-1, 'a') IF NOT EXISTS").MapScanCAS(map[string]any{})
	checks.Must(err)
	checks.Check("conditional insert", applied, true)
	applied, err = session.Query("INSERT INTO conformance_cluster_go.t (k, v) VALUES (-1, 'b') IF NOT EXISTS").MapScanCAS(map[string]any{})
	checks.Must(err)
	checks.Check("conditional insert again", applied, false)

	checks.Phase("whole")
	errors, written := []string{}, rows
	for end := time.Now().Add(6 * time.Second); time.Now().Before(end); {
		if err := put(written); err != nil {
			errors = append(errors, err.Error())
			continue
		}
		written++
		if value, err := get(written-1, level); err != nil || value != fmt.Sprintf("v%d", written-1) {
			errors = append(errors, fmt.Sprint(value, err))
		}
	}
	checks.Check("errors while nodes are away", errors, []string{})
	checks.Check("writes went on", written > rows+20, true)

	checks.Phase("without")
	checks.Check("all are up again", until(40*time.Second, func() bool { return upNodes() == nodes }), true)
	missing := 0
	for k := 0; k < written; k++ {
		if value, err := get(k, gocql.All); err != nil || value != fmt.Sprintf("v%d", k) {
			missing++
		}
	}
	checks.Check("rows that are missing", missing, 0)
	checks.Must(session.Query("DROP KEYSPACE conformance_cluster_go").Exec())
	checks.Finish()
}
