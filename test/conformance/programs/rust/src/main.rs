//! The Rust scylla driver against a node: connect with defaults, metadata, put, get, delete, paging, every native type.
//! Usage: conformance ADDRESS PORT. Prints one line a check; exit status 1 when one failed.
use conformance::{check, finish};
use futures::TryStreamExt;
use scylla::client::session_builder::SessionBuilder;
use scylla::value::{CqlDuration, CqlTimeuuid};
use std::net::IpAddr;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let session = SessionBuilder::new().known_node(format!("{}:{}", arguments[1], arguments[2])).build().await?;
    session.query_unpaged("DROP KEYSPACE IF EXISTS conformance_rust", ()).await?;
    session.query_unpaged("CREATE KEYSPACE conformance_rust WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}", ()).await?;
    session.use_keyspace("conformance_rust", false).await?;
    session.query_unpaged("CREATE TABLE kv (k text, c int, v text, PRIMARY KEY (k, c))", ()).await?;
    session.refresh_metadata().await?;
    let state = session.get_cluster_state();
    let table = &state.get_keyspace("conformance_rust").expect("keyspace").tables["kv"];
    check("metadata: key", table.partition_key.clone(), vec!["k".to_string()]);

    let put = session.prepare("INSERT INTO kv (k, c, v) VALUES (?, ?, ?)").await?;
    let get = session.prepare("SELECT v FROM kv WHERE k = ? AND c = ?").await?;
    let delete = session.prepare("DELETE FROM kv WHERE k = ? AND c = ?").await?;
    session.execute_unpaged(&put, ("a", 1, "one")).await?;
    let found = session.execute_unpaged(&get, ("a", 1)).await?.into_rows_result()?.maybe_first_row::<(String,)>()?;
    check("get", found, Some(("one".to_string(),)));
    session.execute_unpaged(&delete, ("a", 1)).await?;
    let found = session.execute_unpaged(&get, ("a", 1)).await?.into_rows_result()?.maybe_first_row::<(String,)>()?;
    check("deleted", found, None);

    for start in (0..10_000).step_by(500) {
        let writes = (start..start + 500).map(|c| session.execute_unpaged(&put, ("page", c, format!("v{c}"))));
        futures::future::try_join_all(writes).await?;
    }
    let mut select = session.prepare("SELECT c FROM kv WHERE k = 'page'").await?;
    select.set_page_size(777);
    let rows: Vec<(i32,)> = session.execute_iter(select, ()).await?.rows_stream::<(i32,)>()?.try_collect().await?;
    check("paging: 10 000 rows in order", rows, (0..10_000).map(|c| (c,)).collect());
    every_type(&session).await?;
    session.query_unpaged("DROP KEYSPACE conformance_rust", ()).await?;
    finish()
}

macro_rules! round_trip {
    ($session:expr, $name:literal, $kind:ty, $value:expr) => {{
        let value: $kind = $value;
        $session.query_unpaged(concat!("INSERT INTO every (k, c_", $name, ") VALUES (1, ?)"), (value.clone(),)).await?;
        let result = $session.query_unpaged(concat!("SELECT c_", $name, " FROM every WHERE k = 1"), ()).await?.into_rows_result()?;
        check(concat!("type ", $name), result.single_row::<($kind,)>()?.0, value);
    }};
}

async fn every_type(session: &scylla::client::session::Session) -> Result<(), Box<dyn std::error::Error>> {
    session
        .query_unpaged(
            "CREATE TABLE every (k int PRIMARY KEY, c_ascii ascii, c_bigint bigint, c_blob blob, c_boolean boolean, c_date date, c_decimal decimal, c_double double, \
             c_duration duration, c_float float, c_inet inet, c_int int, c_smallint smallint, c_text text, c_time time, c_timestamp timestamp, c_timeuuid timeuuid, \
             c_tinyint tinyint, c_uuid uuid, c_varint varint)",
            (),
        )
        .await?;
    round_trip!(session, "ascii", String, "plain".into());
    round_trip!(session, "bigint", i64, i64::MIN);
    round_trip!(session, "blob", Vec<u8>, vec![0, 0xca, 0xfe]);
    round_trip!(session, "boolean", bool, true);
    round_trip!(session, "date", chrono::NaiveDate, chrono::NaiveDate::from_ymd_opt(2024, 2, 29).unwrap());
    round_trip!(session, "decimal", bigdecimal::BigDecimal, "-123.4500".parse()?);
    round_trip!(session, "double", f64, 3.141592653589793);
    round_trip!(session, "duration", CqlDuration, CqlDuration { months: 14, days: 3, nanoseconds: 5_000_000_001 });
    round_trip!(session, "float", f32, 1.5);
    round_trip!(session, "inet", IpAddr, "192.168.0.1".parse()?);
    round_trip!(session, "int", i32, i32::MIN);
    round_trip!(session, "smallint", i16, i16::MIN);
    round_trip!(session, "text", String, "grüße 🙂".into());
    round_trip!(session, "time", chrono::NaiveTime, chrono::NaiveTime::from_hms_nano_opt(13, 14, 15, 123_456_789).unwrap());
    round_trip!(session, "timestamp", chrono::DateTime<chrono::Utc>, "2024-02-29T12:34:56.789Z".parse()?);
    round_trip!(session, "timeuuid", CqlTimeuuid, "50554d6e-29bb-11e5-b345-feff819cdc9f".parse()?);
    round_trip!(session, "tinyint", i8, i8::MIN);
    round_trip!(session, "uuid", uuid::Uuid, "f47ac10b-58cc-4372-a567-0e02b2c3d479".parse()?);
    round_trip!(session, "varint", num_bigint::BigInt, num_bigint::BigInt::from(1) << 128);
    Ok(())
}
