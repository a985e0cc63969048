//! What survives.

use std::process::{Command, Stdio};

use http::Request;
use sandbank_apiserver::testing::TestServer;
use sandbank_apiserver::{ApiServer, OpenError, StoreOptions};
use serde_json::json;

use crate::client::*;

/// Set for the process that is going to be killed.
const VICTIM: &str = "SANDBANK_TEST_VICTIM_STORE";

fn durable(path: &std::path::Path) -> sandbank_apiserver::ApiServerBuilder {
    ApiServer::builder().store(StoreOptions::Durable { path: path.to_owned() })
}

#[tokio::test]
async fn a_server_comes_back_with_its_objects_and_its_kinds() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let server = TestServer::open(durable(&path)).await;
    define(&server, &widgets()).await;
    let created = post(&server, WIDGETS, &widget("a")).await.expect(201);
    let locked = durable(&path).open().await.unwrap_err();
    assert!(matches!(locked, OpenError::Locked { .. }), "{locked}");
    server.close().await;
    let server = TestServer::open(durable(&path)).await;
    assert_eq!(get(&server, &format!("{WIDGETS}/a")).await.expect(200), created);
    let later = post(&server, WIDGETS, &widget("b")).await.expect(201);
    let revision = |value: &serde_json::Value| -> u64 {
        value["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
    };
    assert!(revision(&later) > revision(&created), "revisions never go back");
    server.close().await;
}

/// The process that is killed: writes as fast as it can and says what was acknowledged.
#[tokio::test]
async fn victim() {
    let Ok(path) = std::env::var(VICTIM) else { return };
    let server = TestServer::open(durable(path.as_ref())).await;
    for index in 0_u32.. {
        post(&server, MAPS, &config_map(&format!("m{index:06}"), json!({}))).await.expect(201);
        // Past the test harness, which keeps what tests print until they end.
        use std::io::Write;
        writeln!(std::io::stderr(), "acknowledged {index}").unwrap();
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    use std::io::{BufRead, BufReader};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "durability::victim", "--nocapture"])
        .env(VICTIM, &path)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(victim.stderr.take().unwrap()).lines();
    let mut last = None;
    for line in lines.map_while(Result::ok) {
        if let Some(index) = line.strip_prefix("acknowledged ") {
            let index: u32 = index.parse().unwrap();
            last = Some(index);
            if index == 100 {
                // SIGKILL, in the middle of whatever it is doing. Lines it has written are still to be read.
                victim.kill().unwrap();
            }
        }
    }
    victim.wait().unwrap();
    let last = last.expect("the victim wrote something");
    assert!(last >= 100);
    let server = TestServer::open(durable(&path)).await;
    let list = get(&server, MAPS).await.expect(200);
    let names: Vec<&str> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|item| item["metadata"]["name"].as_str())
        .filter(|name| name.starts_with("m0"))
        .collect();
    for index in 0..=last {
        assert!(
            names.contains(&format!("m{index:06}").as_str()),
            "{index} was acknowledged and is gone"
        );
    }
    assert!(
        names.len() <= last as usize + 2,
        "at most the one write under way may be there as well"
    );
    server.close().await;
}

/// A disk of 2 MB, in a mount namespace of its own.
#[tokio::test]
async fn a_full_disk_is_said_and_reading_goes_on() {
    const INSIDE: &str = "SANDBANK_TEST_FULL_DISK";
    let Ok(disk) = std::env::var(INSIDE) else {
        let dir = tempfile::tempdir().unwrap();
        let test = "durability::a_full_disk_is_said_and_reading_goes_on";
        inside_mount("size=2m", dir.path(), INSIDE, test);
        return;
    };
    let path = std::path::Path::new(&disk).join("store");
    let server = TestServer::open(durable(&path)).await;
    let large = "x".repeat(100_000);
    let mut stored = 0;
    let refused = loop {
        let map = config_map(&format!("m{stored}"), json!({"k": large}));
        let answer = post(&server, MAPS, &map).await;
        if answer.code != 201 {
            break answer;
        }
        stored += 1;
        assert!(stored < 100, "2 MB are full some day");
    };
    assert_eq!(refused.code, 507, "{}", refused.text);
    assert!(refused.text.contains("could not be stored"), "{}", refused.text);
    let listed = get(&server, &format!("{MAPS}?labelSelector=!x")).await.expect(200);
    let names = listed["items"].as_array().unwrap().iter();
    let there =
        names.filter(|item| item["metadata"]["name"].as_str().unwrap().starts_with('m')).count();
    assert_eq!(there, stored, "what was refused is not there, what was acknowledged is");
    // A small write still finds room, or is refused as clearly; either way the server goes on.
    let small = post(&server, MAPS, &config_map("small", json!({}))).await;
    assert!(matches!(small.code, 201 | 507), "{}", small.text);
    server.close().await;
    let server = TestServer::open(durable(&path)).await;
    let after = get(&server, MAPS).await.expect(200);
    let names = after["items"].as_array().unwrap().iter();
    let there = names.filter(|item| {
        let name = item["metadata"]["name"].as_str().unwrap();
        name.starts_with('m')
    });
    assert_eq!(there.count(), stored);
    server.close().await;
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_an_error_with_its_name() {
    let error = durable("/nonexistent/folder/store".as_ref()).open().await.unwrap_err();
    assert!(error.to_string().starts_with("open store /nonexistent/folder/store: "), "{error}");
}

/// A read-only disk, in a mount namespace of its own: permissions alone do not stop root.
#[tokio::test]
async fn a_read_only_folder_is_said() {
    const INSIDE: &str = "SANDBANK_TEST_READ_ONLY_DISK";
    let Ok(disk) = std::env::var(INSIDE) else {
        let dir = tempfile::tempdir().unwrap();
        inside_mount("ro", dir.path(), INSIDE, "durability::a_read_only_folder_is_said");
        return;
    };
    let error = durable(&std::path::Path::new(&disk).join("store")).open().await.unwrap_err();
    assert!(matches!(error, OpenError::ReadOnly { .. }), "{error}");
}

/// Runs a test again with a tmpfs on `dir` that only it sees.
fn inside_mount(options: &str, dir: &std::path::Path, marker: &str, test: &str) {
    let script = "mount -t tmpfs -o \"$1\" none \"$2\" && exec \"$3\" --exact \"$4\" --nocapture";
    let outcome = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-ec", script, "sh", options])
        .arg(dir)
        .arg(std::env::current_exe().unwrap())
        .arg(test)
        .env(marker, dir)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&outcome.stderr).into_owned()
        + &String::from_utf8_lossy(&outcome.stdout);
    assert!(outcome.status.success() && text.contains("1 passed"), "{text}");
}

#[tokio::test]
async fn a_damaged_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    std::fs::write(&path, "these are not the bytes of a store").unwrap();
    let error = durable(&path).open().await.unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    let request = Request::get("/readyz").body(axum::body::Body::empty()).unwrap();
    std::fs::remove_file(&path).unwrap();
    let server = TestServer::open(durable(&path)).await;
    assert_eq!(send(&server, request).await.text, "ok");
    server.close().await;
}
