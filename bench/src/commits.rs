//! The store, from below: what the disk allows, what redb makes of it, what our store makes of redb.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::Context;
use apiserver::{Draft, Key, Operation, ResourceId, Store, StoreOptions, Transaction};
use redb::{Database, TableDefinition};
use serde_json::json;
use tokio::task::JoinSet;

use crate::api::widget;
use crate::figures::{Figures, Latencies, Unit};
use crate::up::scratch;

/// The batches: as many as the connections of the API's own measurement.
pub const BATCHES: [usize; 3] = [1, 10, 50];

/// How long each is measured.
const SLICE: Duration = Duration::from_secs(1);

const OBJECTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("objects");
const COUNTERS: TableDefinition<'_, &str, u64> = TableDefinition::new("counters");

/// The row of redb at a batch.
pub fn raw_row(batch: usize) -> String {
    format!("redb alone, {batch} in a commit")
}

/// All three, one below the other.
pub async fn measure() -> anyhow::Result<Figures> {
    let mut figures = Figures::default();
    let record = widget("record", 0).to_string().into_bytes();
    let synced = sync(&record)?;
    figures.add_latencies("append and fdatasync", &synced, Unit::Ms);
    for batch in BATCHES {
        let commits = redb_commits(&record, batch)?;
        let row = raw_row(batch);
        let writes = (commits.len() * batch) as f64 / SLICE.as_secs_f64();
        figures.add(&row, "writes", writes, Unit::PerSecond);
        figures.add_latencies(&row, &commits, Unit::Ms);
    }
    for writers in BATCHES {
        let (latencies, per_second) = store_commits(writers).await?;
        let row = format!("our store, {writers} at once");
        figures.add(&row, "writes", per_second, Unit::PerSecond);
        figures.add_latencies(&row, &latencies, Unit::Ms);
    }
    Ok(figures)
}

/// The floor: appending a record to a file and waiting for the disk.
fn sync(record: &[u8]) -> anyhow::Result<Latencies> {
    let folder = scratch()?;
    let mut file = File::create(folder.path().join("appended"))?;
    let mut each = Vec::new();
    let began = Instant::now();
    while began.elapsed() < SLICE {
        let asked = Instant::now();
        file.write_all(record)?;
        file.sync_data()?;
        each.push(asked.elapsed());
    }
    Ok(Latencies::of(each))
}

/// New rows and one counter, committed as the store commits: durable when `commit` returns.
fn redb_commits(record: &[u8], batch: usize) -> anyhow::Result<Latencies> {
    let folder = scratch()?;
    let database = Database::create(folder.path().join("raw.redb"))?;
    let mut each = Vec::new();
    let mut row = 0_u64;
    let began = Instant::now();
    while began.elapsed() < SLICE {
        let asked = Instant::now();
        let transaction = database.begin_write()?;
        {
            let mut objects = transaction.open_table(OBJECTS)?;
            for _ in 0..batch {
                row += 1;
                objects.insert(format!("bench\0widgets\0default\0w{row:09}").as_str(), record)?;
            }
            transaction.open_table(COUNTERS)?.insert("revision", row)?;
        }
        transaction.commit()?;
        each.push(asked.elapsed());
    }
    Ok(Latencies::of(each))
}

/// Our store, with so many writers that each wait for their own write.
async fn store_commits(writers: usize) -> anyhow::Result<(Latencies, f64)> {
    let folder = scratch()?;
    let options = StoreOptions::Durable { path: folder.path().join("store.redb") };
    let store = Store::open(&options).await?;
    let mut tasks = JoinSet::new();
    let began = Instant::now();
    for writer in 0..writers {
        let store = store.clone();
        tasks.spawn(async move {
            let mut each = Vec::new();
            while began.elapsed() < SLICE {
                let name = format!("w{writer}-{}", each.len());
                let mut object = widget(&name, 0);
                object["metadata"]["namespace"] = json!("default");
                let draft = Draft::new(&object).context("a draft")?;
                let key = Key::new(ResourceId::new("bench", "widgets"), "default", &name);
                let operations = vec![Operation::Create { key, draft }];
                let asked = Instant::now();
                store.commit(Transaction { requires: Vec::new(), operations }).await?;
                each.push(asked.elapsed());
            }
            anyhow::Ok(each)
        });
    }
    let mut each = Vec::new();
    while let Some(task) = tasks.join_next().await {
        each.append(&mut task??);
    }
    let per_second = each.len() as f64 / began.elapsed().as_secs_f64();
    store.close().await;
    Ok((Latencies::of(each), per_second))
}
