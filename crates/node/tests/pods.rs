//! Real pods on this machine. They need root, and fail without it.

mod support;

use std::collections::BTreeMap;

use sandbank_node::runtime::{ExecSetup, PodMount, Runtime, RuntimeError};
use serde_json::json;
use support::{Machine, eventually, log_lines, outcome};

#[tokio::test]
async fn a_container_runs_writes_its_log_and_says_how_it_ended() {
    let mut machine = Machine::new().await;
    let pod = machine.pod();
    let ips = machine.runtime.start_pod(pod.clone()).await.expect("a pod");
    assert_eq!(ips.len(), 1);
    let setup = machine.container(
        &pod,
        "main",
        "echo $GREETING from $(hostname); echo $(readlink /proc/self/cwd) >&2; exit 7",
    );
    let state = machine.runtime.start_container(setup.clone()).await.expect("a container");
    assert!(state.exit.is_none());
    let exit = machine.exit(&setup.id).await;
    assert_eq!((exit.code, exit.signal, exit.oom), (7, None, false));
    let mut lines = log_lines(&setup.log);
    lines.sort();
    assert_eq!(lines, ["stderr F /tmp", "stdout F hello from testpod"]);
    machine.clear().await;
}

#[tokio::test]
async fn a_command_in_a_container_is_the_container_s_user_in_its_folder_with_its_powers() {
    let mut machine = Machine::new().await;
    let pod = machine.pod();
    machine.runtime.start_pod(pod.clone()).await.expect("a pod");
    let setup = machine.container_of(&pod, "main", &["sleep", "1000"], |spec| {
        spec["process"]["user"] =
            json!({ "uid": 1000, "gid": 1000, "additionalGids": [2000], "umask": 0o027 });
        spec["process"]["rlimits"] = json!([{ "type": "RLIMIT_NOFILE", "soft": 77, "hard": 77 }]);
    });
    machine.runtime.start_container(setup.clone()).await.expect("a container");
    let (out, err, exit) = machine
        .run(&setup.id, "id -u; id -G; umask; ulimit -n; readlink /proc/self/cwd; echo $GREETING $HOME; grep CapBnd /proc/self/status; hostname")
        .await;
    assert_eq!(err, "");
    assert_eq!(exit.code, 0);
    assert_eq!(
        out,
        "1000\n1000 2000\n0027\n77\n/tmp\nhello /tmp\nCapBnd:\t00000000a80425fb\ntestpod\n"
    );
    let main = machine.run(&setup.id, "grep -E '^(Cap|NoNew)' /proc/1/status").await.0;
    let own = machine.run(&setup.id, "grep -E '^(Cap|NoNew)' /proc/self/status").await.0;
    assert_eq!(main, own, "a command has exactly the powers of the container");
    machine.clear().await;
}

#[tokio::test]
async fn nothing_that_the_agent_inherited_is_open_in_a_container() {
    let mut machine = Machine::new().await;
    // A folder of the machine that whoever started us left open, as a careless shell does.
    let root = std::fs::File::open("/").expect("it is there");
    let left = rustix::io::fcntl_dupfd_cloexec(&root, 60).expect("a high number");
    rustix::io::fcntl_setfd(&left, rustix::io::FdFlags::empty()).expect("it is ours");
    let pod = machine.pod();
    machine.runtime.start_pod(pod.clone()).await.expect("a pod");
    drop(left);
    let setup = machine.container(&pod, "main", "ls /proc/self/fd; sleep 1000");
    machine.runtime.start_container(setup.clone()).await.expect("a container");
    // The listing itself needs one, the fourth.
    let (command, _, _) = machine.run(&setup.id, "ls /proc/self/fd").await;
    assert_eq!(command, "0\n1\n2\n3\n");
    eventually("the container lists its own", async || log_lines(&setup.log).len() >= 4).await;
    let first: Vec<String> = (0..4).map(|number| format!("stdout F {number}")).collect();
    assert_eq!(log_lines(&setup.log), first);
    machine.clear().await;
}

#[tokio::test]
async fn a_part_of_a_volume_is_what_is_there_now_and_never_what_a_link_leads_out_to() {
    let mut machine = Machine::new().await;
    let mut pod = machine.pod();
    let volume = pod.dir.join("scratch");
    std::fs::create_dir_all(&volume).expect("writable");
    pod.mounts = vec![PodMount::Tmpfs { target: volume.clone(), size_bytes: Some(1 << 20) }];
    machine.runtime.start_pod(pod.clone()).await.expect("a pod");
    let shows = |source: std::path::PathBuf| {
        move |spec: &mut serde_json::Value| {
            let mount = json!({ "destination": "/scratch", "type": "bind", "source": source,
                "options": ["rbind", "rw"] });
            spec["mounts"].as_array_mut().expect("a list").push(mount);
        }
    };
    let whole = machine.container_of(&pod, "whole", &["sleep", "1000"], shows(volume.clone()));
    machine.runtime.start_container(whole.clone()).await.expect("a container");
    // What a container of the pod could have made.
    let plain = pod.dir.join("plain");
    std::fs::create_dir_all(plain.join("a")).expect("writable");
    std::fs::write(plain.join("file"), "one\n").expect("writable");
    for (name, to) in [("out", "/"), ("inside", "a")] {
        std::os::unix::fs::symlink(to, plain.join(name)).expect("writable");
    }
    let part = |name: &str, volume: &std::path::Path, sub_path: &str| {
        let target = pod.dir.join("parts").join(name);
        let mut setup = machine.container_of(&pod, name, &["sleep", "1000"], shows(target.clone()));
        let (volume, sub_path) = (volume.to_owned(), sub_path.to_owned());
        setup.mounts.push(PodMount::Beneath { target, volume, sub_path });
        setup
    };
    let folder = part("folder", &volume, "a/b");
    let (file, link) = (part("file", &plain, "file"), part("link", &plain, "inside"));
    for setup in [&folder, &file, &link] {
        machine.runtime.start_container(setup.clone()).await.expect("a container");
    }
    machine.run(&folder.id, "echo two > /scratch/made").await;
    let (seen, _, _) = machine.run(&whole.id, "cat /scratch/a/b/made").await;
    assert_eq!(seen, "two\n", "it was made where it was not, in the pod's memory");
    assert_eq!(machine.run(&file.id, "cat /scratch").await.0, "one\n");
    machine.run(&link.id, "echo three > /scratch/made").await;
    assert_eq!(std::fs::read_to_string(plain.join("a/made")).expect("it is there"), "three\n");
    for (name, path) in [("out", "out"), ("far", "out/etc"), ("up", "../..")] {
        let refused = machine.runtime.start_container(part(name, &plain, path)).await;
        assert!(refused.is_err(), "{path}");
    }
    machine.clear().await;
}

#[tokio::test]
async fn a_working_folder_that_is_not_there_is_made_where_it_belongs() {
    let mut machine = Machine::new().await;
    let pod = machine.pod();
    machine.runtime.start_pod(pod.clone()).await.expect("a pod");
    let volume = pod.dir.join("plain");
    std::fs::create_dir_all(&volume).expect("writable");
    std::os::unix::fs::symlink("/", volume.join("out")).expect("writable");
    let begins_in = |name: &str, folder: &str, mode: &str| {
        machine.container_of(&pod, name, &["sh", "-c", "pwd; id -u"], |spec| {
            spec["process"]["cwd"] = json!(folder);
            spec["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
            let mount = json!({ "destination": "/scratch", "type": "bind", "source": volume,
                "options": ["rbind", mode] });
            spec["mounts"].as_array_mut().expect("a list").push(mount);
        })
    };
    let root = begins_in("root", "/srv/app/data", "rw");
    let inside = begins_in("inside", "/scratch/a/b", "rw");
    let outside = begins_in("outside", "/scratch/out/etc/made", "rw");
    let closed = begins_in("closed", "/scratch/c", "ro");
    for (setup, folder) in [(&root, "/srv/app/data"), (&inside, "/scratch/a/b")] {
        machine.runtime.start_container(setup.clone()).await.expect("a container");
        assert_eq!(machine.exit(&setup.id).await.code, 0);
        let lines = log_lines(&setup.log);
        assert_eq!(lines, [format!("stdout F {folder}"), "stdout F 1000".to_owned()]);
    }
    assert!(volume.join("a/b").is_dir());
    let refusals = [
        (outside, "make the working directory /scratch/out/etc/made"),
        (closed, "it isn't in the volume, which is mounted read-only"),
    ];
    for (setup, why) in refusals {
        let refused = machine.runtime.start_container(setup).await.expect_err("no such folder");
        assert!(refused.to_string().contains(why), "{refused}");
    }
    assert!(!volume.join("c").exists() && !std::path::Path::new("/etc/made").exists());
    machine.clear().await;
}

#[tokio::test]
async fn a_command_s_streams_are_separate_and_its_exit_code_is_its_own() {
    let mut machine = Machine::new().await;
    let pod = machine.pod();
    machine.runtime.start_pod(pod.clone()).await.expect("a pod");
    let setup = machine.container_of(&pod, "main", &["sleep", "1000"], |_| {});
    machine.runtime.start_container(setup.clone()).await.expect("a container");
    let command = ExecSetup {
        argv: ["sh", "-c", "tr a-z A-Z; echo $EXTRA >&2; exit 3"].map(str::to_owned).to_vec(),
        env: BTreeMap::from([("EXTRA".to_owned(), "more".to_owned())]),
        tty: false,
        stdin: true,
    };
    let streams = machine.runtime.exec(&setup.id, command).await.expect("it runs");
    let long = "abc\n".repeat(50_000);
    let (out, err, exit) = outcome(streams, &long).await;
    assert_eq!(out, long.to_uppercase());
    assert_eq!((err.as_str(), exit.code), ("more\n", 3));
    let (_, _, killed) = machine.run(&setup.id, "kill -TERM $$").await;
    assert_eq!((killed.code, killed.signal), (143, Some(15)));
    machine.clear().await;
}

#[tokio::test]
async fn a_terminal_is_a_terminal_with_a_size_and_a_name() {
    let mut machine = Machine::new().await;
    let pod = machine.pod();
    machine.runtime.start_pod(pod.clone()).await.expect("a pod");
    let setup = machine.container_of(&pod, "main", &["sleep", "1000"], |_| {});
    machine.runtime.start_container(setup.clone()).await.expect("a container");
    let command = ExecSetup {
        argv: [
            "sh",
            "-c",
            "read line; stty size; echo got $line; test -t 1 && readlink /proc/self/fd/0",
        ]
        .map(str::to_owned)
        .to_vec(),
        env: BTreeMap::new(),
        tty: true,
        stdin: true,
    };
    let streams = machine.runtime.exec(&setup.id, command).await.expect("it runs");
    assert!(streams.stderr.is_none(), "a terminal has one output");
    streams.resize.send((132, 43)).await.expect("somebody listens");
    // The size is set by the time it is told, which the next send shows.
    streams.resize.reserve_many(8).await.expect("all were taken").count();
    let (out, _, exit) = outcome(streams, "hi\n").await;
    assert_eq!(exit.code, 0, "{out}");
    let lines: Vec<&str> = out.split("\r\n").collect();
    assert_eq!(lines, ["hi", "43 132", "got hi", "/dev/pts/0", ""]);
    machine.clear().await;
}

#[tokio::test]
async fn hanging_up_ends_the_command() {
    let mut machine = Machine::new().await;
    let pod = machine.pod();
    machine.runtime.start_pod(pod.clone()).await.expect("a pod");
    let setup = machine.container_of(&pod, "main", &["sleep", "1000"], |_| {});
    machine.runtime.start_container(setup.clone()).await.expect("a container");
    let command = ExecSetup {
        argv: ["sleep", "4321"].map(str::to_owned).to_vec(),
        env: BTreeMap::new(),
        tty: false,
        stdin: false,
    };
    let streams = machine.runtime.exec(&setup.id, command).await.expect("it runs");
    let sleeps = async || machine.run(&setup.id, "ps -e -o args | grep -c '[s]leep 4321'").await.0;
    assert_eq!(sleeps().await, "1\n");
    drop(streams);
    eventually("the command is ended", async || sleeps().await == "0\n").await;
    machine.clear().await;
}

#[tokio::test]
async fn what_cannot_be_executed_is_said_plainly_and_leaves_nothing() {
    let mut machine = Machine::new().await;
    let pod = machine.pod();
    machine.runtime.start_pod(pod.clone()).await.expect("a pod");
    let refused = |result: Result<(), RuntimeError>| match result {
        Err(RuntimeError::NotExecutable { program, reason }) => format!("{program}: {reason}"),
        other => panic!("{other:?}"),
    };
    for (program, reason) in [
        ("nonsense", "nonsense: executable file not found in $PATH"),
        ("/bin/nonsense", "/bin/nonsense: no such file or directory"),
        ("/etc/passwd", "/etc/passwd: permission denied"),
    ] {
        let setup = machine.container_of(&pod, "main", &[program], |_| {});
        let result = machine.runtime.start_container(setup).await.map(drop);
        assert_eq!(refused(result), reason);
    }
    let setup = machine.container_of(&pod, "main", &["sleep", "1000"], |_| {});
    machine.runtime.start_container(setup.clone()).await.expect("the name is free again");
    let command = ExecSetup {
        argv: vec!["nonsense".to_owned()],
        env: BTreeMap::new(),
        tty: false,
        stdin: false,
    };
    let result = machine.runtime.exec(&setup.id, command).await.map(drop);
    assert_eq!(refused(result), "nonsense: executable file not found in $PATH");
    machine.clear().await;
}

#[tokio::test]
async fn attaching_shows_the_output_and_feeds_the_input() {
    let mut machine = Machine::new().await;
    let pod = machine.pod();
    machine.runtime.start_pod(pod.clone()).await.expect("a pod");
    for terminal in [false, true] {
        let name = if terminal { "terminal" } else { "pipes" };
        let script = "read line; echo got $line; exit 5";
        let mut setup = machine.container_of(&pod, name, &["sh", "-c", script], |spec| {
            spec["process"]["terminal"] = json!(terminal);
        });
        setup.stdin = true;
        machine.runtime.start_container(setup.clone()).await.expect("a container");
        let streams = machine.runtime.attach(&setup.id, true).await.expect("it runs");
        let (out, err, exit) = outcome(streams, "this\n").await;
        assert_eq!((err.as_str(), exit.code), ("", 5));
        let (expected, logged) = if terminal {
            ("this\r\ngot this\r\n", vec!["stdout F this\r", "stdout F got this\r"])
        } else {
            ("got this\n", vec!["stdout F got this"])
        };
        assert_eq!(out, expected);
        assert_eq!(log_lines(&setup.log), logged);
        assert_eq!(machine.exit(&setup.id).await.code, 5);
    }
    machine.clear().await;
}

#[tokio::test]
async fn containers_share_what_the_pod_shares_and_nothing_else() {
    let mut machine = Machine::new().await;
    let mut pod = machine.pod();
    pod.share_processes = true;
    let scratch = pod.dir.join("scratch");
    std::fs::create_dir_all(&scratch).expect("writable");
    pod.mounts = vec![PodMount::Tmpfs { target: scratch.clone(), size_bytes: Some(1 << 20) }];
    machine.runtime.start_pod(pod.clone()).await.expect("a pod");
    let volume = |spec: &mut serde_json::Value| {
        let mount = json!({ "destination": "/scratch", "type": "bind", "source": scratch,
            "options": ["rbind", "rw"] });
        spec["mounts"].as_array_mut().expect("a list").push(mount);
    };
    let one = machine.container_of(&pod, "one", &["sleep", "1000"], volume);
    let two = machine.container_of(&pod, "two", &["sleep", "2000"], volume);
    machine.runtime.start_container(one.clone()).await.expect("a container");
    machine.runtime.start_container(two.clone()).await.expect("a container");
    let (seen, _, _) = machine.run(&one.id, "ps -e -o args").await;
    assert!(seen.contains("pause") && seen.contains("sleep 1000") && seen.contains("sleep 2000"));
    machine.run(&one.id, "echo shared > /scratch/file; echo private > /tmp/file").await;
    let (out, _, _) = machine.run(&two.id, "cat /scratch/file /tmp/file").await;
    assert_eq!(out, "shared\n");
    assert!(!scratch.join("file").exists(), "the machine does not see the pod's memory");
    let (root, _, _) = machine.run(&one.id, "ls -A /proc/1/root/").await;
    assert_eq!(root, "", "the pause process gives nothing away");
    // The end of one container takes its own leftovers along, and only those.
    machine.run(&one.id, "sleep 3000 >/dev/null 2>&1 & exit 0").await;
    machine.runtime.signal(&one.id, 9).await.expect("it runs");
    assert_eq!(machine.exit(&one.id).await.signal, Some(9));
    let (seen, _, _) = machine.run(&two.id, "ps -e -o args").await;
    assert!(!seen.contains("sleep 3000") && seen.contains("sleep 2000"), "{seen}");
    machine.clear().await;
}

#[tokio::test]
async fn a_container_that_ended_can_be_started_again_under_its_name() {
    let mut machine = Machine::new().await;
    let pod = machine.pod();
    machine.runtime.start_pod(pod.clone()).await.expect("a pod");
    for attempt in 0..3 {
        let mut setup = machine.container(&pod, "main", "exit 1");
        setup.attempt = attempt;
        setup.log = pod.dir.join(format!("logs/main/{attempt}.log"));
        // A fresh writable layer for each attempt, as `volatile` overlays need it.
        for layer in ["upper", "work"] {
            std::fs::remove_dir_all(setup.bundle.join(layer)).expect("it exists");
            std::fs::create_dir(setup.bundle.join(layer)).expect("writable");
        }
        machine.runtime.start_container(setup.clone()).await.expect("a container");
        assert_eq!(machine.exit(&setup.id).await.code, 1);
        let again = machine.runtime.exec(
            &setup.id,
            ExecSetup { argv: vec!["true".into()], env: BTreeMap::new(), tty: false, stdin: false },
        );
        assert!(matches!(again.await, Err(RuntimeError::NotRunning(_))));
    }
    machine.clear().await;
}

#[tokio::test]
async fn a_privileged_container_sees_the_machine_s_devices_and_leaves_them_as_they_are() {
    let nodes = || {
        let entries = std::fs::read_dir("/dev").expect("readable");
        let mut nodes: Vec<_> = entries
            .flatten()
            .map(|entry| (entry.path(), std::fs::read_link(entry.path()).ok()))
            .collect();
        nodes.sort();
        nodes
    };
    let before = nodes();
    let mut machine = Machine::new().await;
    let pod = machine.pod();
    machine.runtime.start_pod(pod.clone()).await.expect("a pod");
    let setup = machine.container_of(&pod, "main", &["sleep", "1000"], |spec| {
        let mounts = spec["mounts"].as_array_mut().expect("a list");
        mounts.retain(|mount| !mount["destination"].as_str().expect("text").starts_with("/dev"));
        mounts.push(json!({ "destination": "/dev", "type": "bind", "source": "/dev",
            "options": ["rbind", "rw"] }));
        spec["linux"]["resources"]["devices"] = json!([{ "allow": true, "access": "rwm" }]);
    });
    machine.runtime.start_container(setup.clone()).await.expect("a container");
    let (out, err, _) =
        machine.run(&setup.id, "ls /dev/kmsg && head -c 3 /dev/zero | tr '\\0' z").await;
    assert_eq!((out.as_str(), err.as_str()), ("/dev/kmsg\nzzz", ""));
    assert_eq!(nodes(), before, "the machine's own folder is untouched");
    machine.clear().await;
}

#[tokio::test]
async fn an_ordinary_container_cannot_open_the_machine_s_disks() {
    let mut machine = Machine::new().await;
    let pod = machine.pod();
    machine.runtime.start_pod(pod.clone()).await.expect("a pod");
    let setup = machine.container_of(&pod, "main", &["sleep", "1000"], |_| {});
    machine.runtime.start_container(setup.clone()).await.expect("a container");
    // The kernel's log has the number 1:11 on every machine; a node for it can be made, but not opened.
    let (_, err, exit) =
        machine.run(&setup.id, "mknod /dev/log c 1 11 && head -c 1 /dev/log").await;
    assert_ne!(exit.code, 0);
    assert!(err.contains("not permitted"), "{err}");
    let (out, _, exit) =
        machine.run(&setup.id, "head -c 4 /dev/urandom >/dev/null && echo fine").await;
    assert_eq!((out.as_str(), exit.code), ("fine\n", 0));
    machine.clear().await;
}

#[tokio::test]
async fn our_own_program_cannot_be_overwritten_from_a_container() {
    let mut machine = Machine::new().await;
    let mut pod = machine.pod();
    pod.share_processes = true;
    machine.runtime.start_pod(pod.clone()).await.expect("a pod");
    let setup = machine.container_of(&pod, "main", &["sleep", "1000"], |_| {});
    let state = machine.runtime.start_container(setup).await.expect("a container");
    let mut seen = 0;
    for pid in machine.processes() {
        let exe = format!("/proc/{pid}/exe");
        if pid != state.pid {
            let flags = rustix::fs::statvfs(&exe).expect("it runs").f_flag;
            assert!(flags.contains(rustix::fs::StatVfsMountFlags::RDONLY), "{exe} is writable");
            seen += 1;
        }
    }
    assert_eq!(seen, 2, "the shim and the pause process");
    machine.clear().await;
}
