//! Executors and waiters that are killed, and what becomes of their tasks.

use std::{fs, process::Command};

use sandbank_executor::protocol::{End, Failure, Stream};
use serde_json::{Value, json};

use crate::world::{World, alive, eventually, shell, signal, standing_in};

fn text(world: &World, file: &str) -> String {
    fs::read_to_string(world.path(file)).unwrap_or_default()
}

#[tokio::test]
async fn a_task_does_not_notice_that_its_executor_was_killed() {
    let mut world = World::new().await;
    let script = format!(
        "echo once >> {count}; echo before; until test -e {gate}; do sleep 0.01; done; echo after; exit 5",
        count = world.path("count").display(),
        gate = world.path("gate").display()
    );
    world.run("t-0", &script).await;
    eventually("it has begun", async || text(&world, "count") == "once\n").await;
    world.crash();
    world.start_again().await;
    world.running("t-0").await;
    // A controller goes on asking for what it wants.
    world.run("t-0", &script).await;
    fs::write(world.path("gate"), "").expect("writable");
    let result = world.end("t-0").await;
    assert_eq!((result.exit_code, result.end), (5, End::Exited));
    assert_eq!(text(&world, "count"), "once\n");
    let output = world.client.output("t-0", Stream::Stdout, 0, 100).await.expect("there");
    assert_eq!(&output.bytes[..], b"before\nafter\n");
}

#[tokio::test]
async fn a_task_that_ends_while_nobody_is_there_is_neither_lost_nor_repeated() {
    let mut world = World::new().await;
    let script = format!(
        "echo once >> {count}; until test -e {gate}; do sleep 0.01; done; echo end > {end}; exit 6",
        count = world.path("count").display(),
        gate = world.path("gate").display(),
        end = world.path("end").display()
    );
    world.run("t-0", &script).await;
    world.running("t-0").await;
    world.crash();
    fs::write(world.path("gate"), "").expect("writable");
    eventually("its result is on disk", async || world.folder("t-0").join("result.json").exists())
        .await;
    world.start_again().await;
    world.run("t-0", &script).await;
    let result = world.end("t-0").await;
    assert_eq!(
        (result.exit_code, result.end, result.failure),
        (6, End::Exited, Some(Failure::Task))
    );
    assert_eq!(
        (text(&world, "count"), text(&world, "end")),
        ("once\n".to_owned(), "end\n".to_owned())
    );
}

#[tokio::test]
async fn a_removal_that_was_under_way_goes_on() {
    let mut world = World::new().await;
    world.run("t-0", "trap '' TERM; while :; do sleep 0.1; done").await;
    world.running("t-0").await;
    let waiters = standing_in(&world.folder("t-0"));
    assert!(!waiters.is_empty());
    world.client.set_tasks(&[]).await.expect("it is accepted");
    world.crash();
    world.start_again().await;
    eventually("it is gone", async || world.client.tasks().await.expect("up").tasks.is_empty())
        .await;
    assert!(!world.folder("t-0").exists());
    eventually("its waiter is gone", async || !waiters.iter().any(|pid| alive(*pid))).await;
}

#[tokio::test]
async fn an_accepted_task_that_was_never_started_is_started() {
    let mut world = World::new().await;
    world.crash();
    fs::create_dir(world.folder("t-0")).expect("writable");
    let record =
        json!({ "name": "t-0", "id": "0123", "process": { "command": ["sh", "-c", "exit 7"] } });
    fs::write(world.folder("t-0").join("task.json"), record.to_string()).expect("writable");
    // One that was to be removed is not started any more.
    fs::create_dir(world.folder("t-2")).expect("writable");
    let script = format!("touch {}", world.path("touched").display());
    let record = json!({ "name": "t-2", "id": "0124", "deletionTimestamp": "2026-01-02T03:04:05Z",
        "process": { "command": ["sh", "-c", script] } });
    fs::write(world.folder("t-2").join("task.json"), record.to_string()).expect("writable");
    // And what can't be read is put aside, not run and not in the way.
    fs::create_dir(world.folder("t-1")).expect("writable");
    fs::write(world.folder("t-1").join("task.json"), "{").expect("writable");
    world.start_again().await;
    assert_eq!(world.end("t-0").await.exit_code, 7);
    eventually("only that one is left", async || {
        world.client.tasks().await.expect("up").tasks.len() == 1
    })
    .await;
    assert!(!world.path("touched").exists());
    assert!(world.folder(".broken-t-1").exists());
}

#[tokio::test]
async fn a_task_whose_waiter_is_killed_is_ended_and_told_as_nobody_s_fault() {
    let world = World::new().await;
    let script = format!(
        "echo once >> {count}; (setsid sh -c 'echo $$ > {child}; exec sleep 1000' &); sleep 1000",
        count = world.path("count").display(),
        child = world.path("child").display()
    );
    world.run("t-0", &script).await;
    let child = world.pid_in("child").await;
    let exe = |pid: &i32| fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let program = fs::canonicalize(crate::world::EXECUTOR).expect("there");
    let waiters: Vec<i32> =
        standing_in(&world.folder("t-0")).into_iter().filter(|pid| exe(pid) == program).collect();
    assert_eq!(waiters.len(), 1);
    signal(waiters[0], "KILL");
    let result = world.end("t-0").await;
    assert_eq!((result.exit_code, result.end), (137, End::Lost));
    assert_eq!(result.failure, Some(Failure::Infrastructure));
    assert_eq!(result.terminated().reason, "ProcessCrashed");
    assert!(!alive(child), "nothing runs on unseen");
    world.run("t-0", &script).await;
    assert_eq!(text(&world, "count"), "once\n");
}

#[tokio::test]
async fn a_number_that_now_means_somebody_else_is_left_alone() {
    let mut world = World::new().await;
    world.run("t-0", "exit 0").await;
    world.end("t-0").await;
    world.crash();
    // As if the task had been running when all of it was killed, and its number had been given to a stranger.
    let mut stranger = Command::new("sleep").arg("1000").spawn().expect("sleep is in every Debian");
    let launch = world.folder("t-0").join("launch.json");
    let mut record: Value =
        serde_json::from_slice(&fs::read(&launch).expect("there")).expect("JSON");
    record["process"]["pid"] = json!(stranger.id());
    fs::write(&launch, record.to_string()).expect("writable");
    fs::remove_file(world.folder("t-0").join("result.json")).expect("there");
    world.start_again().await;
    let result = world.end("t-0").await;
    assert_eq!((result.end, result.failure), (End::Lost, Some(Failure::Infrastructure)));
    world.clear().await;
    assert!(stranger.try_wait().expect("ours").is_none(), "a stranger was ended");
    stranger.kill().expect("ours");
    stranger.wait().expect("ours");
}

#[tokio::test]
async fn being_asked_to_go_answers_who_waits_and_leaves_tasks_running() {
    let mut world = World::new().await;
    world.run("t-0", &format!("echo $$ > {}; sleep 1000", world.path("pid").display())).await;
    let pid = world.pid_in("pid").await;
    world.running("t-0").await;
    let version = world.client.tasks().await.expect("up").version.expect("it has versions");
    let client = world.client.clone();
    let waiting = tokio::spawn(async move {
        client.tasks_after(&version, std::time::Duration::from_secs(60)).await
    });
    // Whether the question has arrived can't be seen from outside; either way it is answered or refused, and nobody hangs.
    assert_eq!(world.terminate(), Some(0));
    drop(waiting.await.expect("it does not panic"));
    assert!(alive(pid));
    world.start_again().await;
    world.client.set_tasks(&[shell("t-0", "other")]).await.expect("known");
    assert!(alive(pid));
    world.clear().await;
    assert!(!alive(pid));
}

#[tokio::test]
async fn two_executors_never_share_a_data_directory() {
    let world = World::new().await;
    let data = world.folder("");
    let second = Command::new(crate::world::EXECUTOR)
        .args(["-listen-addr", "127.0.0.1:0", "-data-dir"])
        .arg(&data)
        .output()
        .expect("it can be started");
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("another executor uses it"), "{said}");
    for (arguments, code) in [(["-h", ""], 0), (["-no-such-flag", ""], 2)] {
        let end = Command::new(crate::world::EXECUTOR).args(arguments).output().expect("started");
        assert_eq!(end.status.code(), Some(code));
    }
}
