//! The Rust scylla driver against a cluster that loses nodes and gets them back.
//! Usage: cluster ADDRESSES PORT DATACENTER DATACENTERS. ADDRESSES a,b,c; DATACENTERS dc1:3,dc2:3 (replicas and nodes of each).
//! Prints a line a check, and `phase NAME` where it waits for a line of input before it goes on.
use conformance::{check, finish, phase};
use futures::TryStreamExt;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::{Consistency, Statement};
use std::time::{Duration, Instant};

const ROWS: i32 = 500;

async fn holds(session: &Session, get: &PreparedStatement, k: i32) -> Result<bool, String> {
    let result = session.execute_unpaged(get, (k,)).await.map_err(|error| error.to_string())?;
    let rows = result.into_rows_result().map_err(|error| error.to_string())?;
    let row = rows.maybe_first_row::<(String,)>().map_err(|error| error.to_string())?;
    Ok(row == Some((format!("v{k}"),)))
}

async fn all_up(session: &Session, nodes: usize, limit: Duration) -> bool {
    let end = Instant::now() + limit;
    loop {
        let up = session.get_cluster_state().get_nodes_info().iter().filter(|node| node.is_connected()).count();
        if up == nodes || Instant::now() > end {
            return up == nodes;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let datacenters: Vec<(&str, usize)> =
        arguments[4].split(',').map(|each| each.split_once(':').map(|(name, count)| (name, count.parse().unwrap())).unwrap()).collect();
    let nodes = datacenters.iter().map(|(_, count)| count).sum();
    let level = if datacenters.len() > 1 { Consistency::LocalQuorum } else { Consistency::Quorum };
    let policy = DefaultPolicy::builder().prefer_datacenter(arguments[3].clone()).token_aware(true).build();
    let profile = ExecutionProfile::builder().load_balancing_policy(policy).consistency(level).build();
    let known: Vec<String> = arguments[1].split(',').map(|address| format!("{address}:{}", arguments[2])).collect();
    let session = SessionBuilder::new().known_nodes(known).default_execution_profile_handle(profile.into_handle()).build().await?;
    check("all are connected", all_up(&session, nodes, Duration::from_secs(15)).await, true);

    let replication: String = datacenters.iter().map(|(name, count)| format!(", '{name}': {count}")).collect();
    session.query_unpaged("DROP KEYSPACE IF EXISTS conformance_cluster_rust", ()).await?;
    session
        .query_unpaged(format!("CREATE KEYSPACE conformance_cluster_rust WITH replication = {{'class': 'NetworkTopologyStrategy'{replication}}}"), ())
        .await?;
    session.query_unpaged("CREATE TABLE conformance_cluster_rust.t (k int PRIMARY KEY, v text)", ()).await?;
    let mut put = session.prepare("INSERT INTO conformance_cluster_rust.t (k, v) VALUES (?, ?)").await?;
    let mut get = session.prepare("SELECT v FROM conformance_cluster_rust.t WHERE k = ?").await?;
    put.set_is_idempotent(true);
    get.set_is_idempotent(true);
    for k in 0..ROWS {
        session.execute_unpaged(&put, (k, format!("v{k}"))).await?;
    }
    let mut wrong = 0;
    for k in 0..ROWS {
        wrong += i32::from(!holds(&session, &get, k).await?);
    }
    check("rows that are not read back", wrong, 0);
    let all = Statement::new("SELECT k FROM conformance_cluster_rust.t").with_page_size(50);
    let paged: Vec<(i32,)> = session.query_iter(all, ()).await?.rows_stream::<(i32,)>()?.try_collect().await?;
    check("rows by pages", paged.len(), ROWS as usize);

    phase("whole");
    let mut errors: Vec<String> = Vec::new();
    let mut written = ROWS;
    let end = Instant::now() + Duration::from_secs(6);
    while Instant::now() < end {
        if let Err(error) = session.execute_unpaged(&put, (written, format!("v{written}"))).await {
            errors.push(error.to_string());
            continue;
        }
        written += 1;
        match holds(&session, &get, written - 1).await {
            Ok(true) => {}
            other => errors.push(format!("{other:?}")),
        }
    }
    check("errors while nodes are away", errors, Vec::new());
    check("writes went on", written > ROWS + 20, true);

    phase("without");
    check("all are connected again", all_up(&session, nodes, Duration::from_secs(60)).await, true);
    get.set_consistency(Consistency::All);
    let mut missing = 0;
    for k in 0..written {
        // The driver connects to a node before its neighbours know that it is back: until then there are too few for ALL.
        let mut answer = holds(&session, &get, k).await;
        for _ in 0..40 {
            if answer.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
            answer = holds(&session, &get, k).await;
        }
        missing += i32::from(!answer.unwrap_or(false));
    }
    check("rows that are missing", missing, 0);
    session.query_unpaged("DROP KEYSPACE conformance_cluster_rust", ()).await?;
    finish()
}
