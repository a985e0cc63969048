//! Ending tasks, and everything they started.

use sandbank_executor::protocol::ProcessStatus;

use crate::world::{World, alive, eventually, shell};

#[tokio::test]
async fn a_task_that_is_no_longer_wanted_is_asked_to_end_and_is_gone() {
    let world = World::new().await;
    let said = world.path("said");
    let script = format!(
        "trap 'echo asked > {}; exit 0' TERM; echo $$ > {}; while :; do sleep 0.01; done",
        said.display(),
        world.path("pid").display()
    );
    world.run("t-0", &script).await;
    let pid = world.pid_in("pid").await;
    world.clear().await;
    assert!(!alive(pid));
    assert_eq!(std::fs::read_to_string(said).expect("written"), "asked\n");
    assert!(!world.folder("t-0").exists());
}

#[tokio::test]
async fn a_stop_reaches_children_that_left_session_group_and_parents_and_ignore_it() {
    let world = World::new().await;
    // The grandchild has its own session, its parents are gone, it does not hear a request, and its environment is empty.
    let script = format!(
        "(setsid env -i sh -c '(trap \"\" TERM; exec sleep 1000) & exit' &); \
         (trap \"\" TERM; exec sh -c 'echo $$ > {b}; exec sleep 1000') & \
         sleep 1000",
        b = world.path("child").display()
    );
    world.run("t-0", &script).await;
    let child = world.pid_in("child").await;
    let mut family = Vec::new();
    eventually("all three have become what they are", async || {
        family = descendants_named("sleep", &world);
        family.len() == 3
    })
    .await;
    world.client.set_tasks(&[]).await.expect("it is accepted");
    // During the grace it is still listed, and still runs.
    let listed = world.client.tasks().await.expect("up").tasks;
    assert!(matches!(listed[0].process_status, Some(ProcessStatus::Running(_))), "{listed:?}");
    assert!(alive(child));
    world.clear().await;
    for pid in family {
        assert!(!alive(pid), "process {pid} outlived its task");
    }
}

#[tokio::test]
async fn the_next_task_need_not_wait_for_the_one_before() {
    let world = World::new().await;
    world.run("t-0", "trap '' TERM; while :; do sleep 0.1; done").await;
    world.running("t-0").await;
    world.client.set_tasks(&[shell("t-1", "exit 0")]).await.expect("one that goes does not count");
    assert_eq!(world.end("t-1").await.exit_code, 0);
    let names: Vec<String> =
        world.client.tasks().await.expect("up").tasks.into_iter().map(|t| t.name).collect();
    assert_eq!(names, ["t-0", "t-1"]);
    world.clear().await;
}

/// The processes of a name below the waiters of this executor.
fn descendants_named(name: &str, world: &World) -> Vec<i32> {
    let stat = |pid: i32| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let parent = |pid: i32| {
        let stat = stat(pid);
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse::<i32>().ok())
    };
    let waiters = crate::world::standing_in(&world.folder("t-0"));
    let all = std::fs::read_dir("/proc").expect("it is mounted").flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let below = |pid: &i32| {
        let mut at = *pid;
        while let Some(above) = parent(at).filter(|above| *above > 0) {
            if waiters.contains(&above) {
                return true;
            }
            at = above;
        }
        false
    };
    pids.filter(|pid| stat(*pid).contains(&format!("({name})"))).filter(below).collect()
}
