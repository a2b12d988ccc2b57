//! What bench/replica.c does, by the Rust client: the crate `libsql`, replicas of protocol v1. Built by cargo in
//! another folder, for bench/replicas.
//!
//!     replica-peer sync URL FILE          frames, 0, ns
//!     replica-peer write URL FILE COUNT   ns of each pair, the median

use libsql::{params, Builder, Database};
use std::time::Instant;

type Failure = Box<dyn std::error::Error>;

async fn open(url: &str, file: &str) -> Result<Database, Failure> {
    let mut http = hyper::client::HttpConnector::new();
    http.set_nodelay(true);
    let replica = Builder::new_remote_replica(file, url.to_string(), String::new());
    Ok(replica.connector(http).read_your_writes(true).build().await?)
}

async fn sync(url: &str, file: &str) -> Result<(), Failure> {
    let began = Instant::now();
    let result = open(url, file).await?.sync().await?;
    println!("{} 0 {}", result.frames_synced(), began.elapsed().as_nanos());
    Ok(())
}

async fn first(conn: &libsql::Connection, sql: &str, id: i64) -> Result<i64, Failure> {
    let mut rows = conn.query(sql, params![id]).await?;
    Ok(rows.next().await?.ok_or("no row")?.get(0)?)
}

async fn write(url: &str, file: &str, count: usize) -> Result<(), Failure> {
    let db = open(url, file).await?;
    db.sync().await?;
    let conn = db.connect()?;
    let last = first(&conn, "SELECT coalesce(max(id), ?1) FROM w", 0).await?;
    let mut times = Vec::new();
    for id in last + 1..=last + count as i64 {
        let began = Instant::now();
        conn.execute("INSERT INTO w VALUES (?1, 'written')", params![id]).await?;
        if first(&conn, "SELECT id FROM w WHERE id = ?1", id).await? != id {
            return Err("not seen".into());
        }
        times.push(began.elapsed().as_nanos());
    }
    times.sort();
    println!("{}", times[times.len() / 2]);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        [_, "sync", url, file] => sync(url, file).await,
        [_, "write", url, file, count] => write(url, file, count.parse()?).await,
        _ => Err("usage: see the top of main.rs".into()),
    }
}
