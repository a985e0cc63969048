//! How tasks begin and end by themselves.

use std::{fs, os::unix::fs::PermissionsExt};

use sandbank_executor::protocol::{End, EnvVar, Failure, ProcessStatus, Stream, Task, Terminated};

use crate::world::{World, alive, eventually, shell, signal, standing_in, task};

async fn outcome(world: &World, task: Task) -> (i32, End, Option<Failure>, String) {
    let name = task.name.clone();
    world.client.set_tasks(&[task]).await.expect("it is accepted");
    let result = world.end(&name).await;
    (result.exit_code, result.end, result.failure, result.message)
}

async fn stdout(world: &World, name: &str) -> String {
    let output = world.client.output(name, Stream::Stdout, 0, 1 << 16).await.expect("there");
    String::from_utf8(output.bytes.to_vec()).expect("text")
}

#[tokio::test]
async fn a_task_runs_with_its_words_variables_and_folder() {
    let world = World::with(&[], &[("FROM_POD", "pod"), ("BOTH", "pod")]).await;
    let mut asked = task("t-0", &["sh", "-c", "echo $FROM_POD $BOTH $OWN \"$@\"; pwd", "name"]);
    let process = asked.process.as_mut().expect("just made");
    process.args = vec!["two words".to_owned(), "$(not run)".to_owned()];
    process.working_dir = Some("/usr".to_owned());
    let variable =
        |name: &str, value: &str| EnvVar { name: name.to_owned(), value: value.to_owned() };
    process.env = vec![variable("BOTH", "task"), variable("OWN", "x"), variable("bad=name", "x")];
    let (code, end, failure, message) = outcome(&world, asked).await;
    assert_eq!((code, end, failure, message.as_str()), (0, End::Exited, None, ""));
    assert_eq!(stdout(&world, "t-0").await, "pod task x two words $(not run)\n/usr\n");
    let seen = world.client.task("t-0").await.expect("there");
    let Some(ProcessStatus::Terminated(Terminated {
        exit_code,
        reason,
        started_at,
        finished_at,
        ..
    })) = seen.process_status
    else {
        panic!("{seen:?}")
    };
    assert_eq!((exit_code, reason.as_str()), (0, "Succeeded"));
    let result = seen.result.expect("it has ended");
    assert!(result.started_at.expect("it ran") <= result.finished_at);
    assert!(started_at <= finished_at && started_at.expect("it ran").subsec_nanosecond() == 0);
    let journal = world.journal.lock().expect("nobody panicked").join("\n");
    assert!(journal.contains("task t-0: running") && journal.contains("exit code 0"), "{journal}");
    assert!(!journal.contains("two words"), "arguments may be secrets: {journal}");
}

#[tokio::test]
async fn a_program_that_is_not_there_or_can_t_be_run_ends_as_in_a_shell() {
    let world = World::new().await;
    let plain = world.path("plain");
    fs::write(&plain, "text").expect("writable");
    fs::set_permissions(&plain, PermissionsExt::from_mode(0o644)).expect("ours");
    let (code, end, failure, message) =
        outcome(&world, task("t-0", &["no-such-program", "-c"])).await;
    assert_eq!((code, end, failure), (127, End::NotFound, Some(Failure::Task)));
    assert_eq!(message, "no-such-program: not found in the sandbox");
    let (code, end, _, message) =
        outcome(&world, task("t-1", &[plain.to_str().expect("text")])).await;
    assert_eq!((code, end), (126, End::NotExecutable), "{message}");
    assert!(message.contains("Permission denied"), "{message}");
    let mut asked = task("t-2", &["true"]);
    asked.process.as_mut().expect("just made").working_dir = Some("/no/such/folder".to_owned());
    let (code, end, _, message) = outcome(&world, asked).await;
    assert_eq!((code, end), (126, End::NotExecutable));
    assert!(message.starts_with("enter the folder /no/such/folder: No such file"), "{message}");
    let (code, end, ..) = outcome(&world, task("t-3", &[])).await;
    assert_eq!((code, end), (127, End::NotFound));
    let seen = world.client.task("t-3").await.expect("there").process_status;
    assert!(matches!(seen, Some(ProcessStatus::Terminated(t)) if t.reason == "Failed"));
}

#[tokio::test]
async fn exit_codes_and_signals_are_told_apart() {
    let world = World::new().await;
    let (code, end, failure, _) = outcome(&world, shell("t-0", "exit 3")).await;
    assert_eq!((code, end, failure), (3, End::Exited, Some(Failure::Task)));
    let (code, end, failure, message) = outcome(&world, shell("t-1", "kill -KILL $$")).await;
    assert_eq!((code, end, failure), (137, End::Signalled, Some(Failure::Task)));
    assert!(message.contains("memory"), "{message}");
    let result = world.client.task("t-1").await.expect("there").result.expect("ended");
    assert_eq!(result.signal, Some(9));
}

#[tokio::test]
async fn a_task_that_takes_too_long_is_stopped_with_all_it_started() {
    let world = World::new().await;
    let child = world.path("child");
    let script = format!("sleep 1000 & echo $! > {}; wait", child.display());
    let mut asked = shell("t-0", &script);
    asked.process.as_mut().expect("just made").timeout_seconds = Some(1);
    let (code, end, failure, message) = outcome(&world, asked).await;
    assert_eq!((code, end, failure), (137, End::TimedOut, Some(Failure::Task)));
    assert_eq!(message, "Task exceeded timeout of 1 seconds");
    assert!(!alive(world.pid_in("child").await));
    let seen = world.client.task("t-0").await.expect("there").process_status;
    assert!(matches!(seen, Some(ProcessStatus::Terminated(t)) if t.reason == "TaskTimeout"));
}

#[tokio::test]
async fn what_a_successful_task_leaves_behind_lives_on_and_may_still_write() {
    let world = World::new().await;
    let (gate, child) = (world.path("gate"), world.path("child"));
    let script = format!(
        "(setsid sh -c 'echo $$ > {}; until test -e {}; do sleep 0.01; done; echo late words; exec sleep 1000' &); echo started",
        child.display(),
        gate.display()
    );
    world.run("t-0", &script).await;
    assert_eq!(world.end("t-0").await.exit_code, 0);
    let pid = world.pid_in("child").await;
    assert!(alive(pid));
    fs::write(gate, "").expect("writable");
    eventually("the child's output is kept", async || {
        stdout(&world, "t-0").await == "started\nlate words\n"
    })
    .await;
    // Removing a task that has ended ends nothing.
    world.clear().await;
    assert!(alive(pid));
    signal(pid, "KILL");
}

#[tokio::test]
async fn a_flood_of_output_is_bounded_and_all_of_the_end_is_there() {
    let world = World::new().await;
    world.run("t-0", "head -c 20000000 /dev/zero; printf end").await;
    assert_eq!(world.end("t-0").await.exit_code, 0);
    let output = world.client.output("t-0", Stream::Stdout, 19_999_998, 100).await.expect("there");
    assert_eq!((&output.bytes[..], output.end), (&b"\0\0end"[..], 20_000_003));
    let kept = fs::read_dir(world.folder("t-0")).expect("there").flatten();
    let bytes: u64 = kept.map(|file| file.metadata().expect("there").len()).sum();
    assert!(bytes < 11 << 20, "{bytes} bytes are kept");
    eventually("nobody waits for a task that has ended", async || {
        standing_in(&world.folder("t-0")).is_empty()
    })
    .await;
}
