//! A pod as a kubelet makes it: two containers with their own file systems and shared processes. The executor has what seed files give it: the usual
//! capabilities and SYS_PTRACE. These tests need root, and fail without it.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use sandbank_executor::protocol::{End, EnvVar, Failure, Stream};
use tempfile::TempDir;

use crate::world::{World, alive, eventually, shell, task};

/// The capabilities of every container, in setpriv's words.
const USUAL: &str = "-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service,+net_raw,\
                     +sys_chroot,+mknod,+audit_write,+setfcap";

/// Makes `$1` a root file system with the machine's programs, and becomes its only process.
const CONTAINER: &str = r#"
set -e
root=$1; shift
mount --make-rprivate /
mount --bind "$root" "$root"
mkdir -p "$root/usr" "$root/proc" "$root/old" "$root/work" "$root/dev"
for link in bin sbin lib lib64; do ln -sfn "usr/$link" "$root/$link"; done
mount --bind /usr "$root/usr"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
cd "$root"
pivot_root . old
umount -l /old
exec "$@"
"#;

struct Pod {
    pause: Child,
    first: i32,
    containers: Vec<Child>,
    dir: TempDir,
}

impl Pod {
    async fn new() -> Self {
        let user = Command::new("id").arg("-u").output().expect("id is in every Debian");
        assert_eq!(
            String::from_utf8_lossy(&user.stdout).trim(),
            "0",
            "namespaces need root: run these tests as root"
        );
        let pause = Command::new("unshare")
            .args(["--pid", "--fork", "--kill-child", "--mount", "--mount-proc", "sleep", "100000"])
            .spawn()
            .expect("unshare is in every Debian");
        let mut first = None;
        let children = format!("/proc/{0}/task/{0}/children", pause.id());
        eventually("the pod's first process is there", async || {
            first = fs::read_to_string(&children).ok().and_then(|text| text.trim().parse().ok());
            first.is_some_and(|pid: i32| {
                fs::read_to_string(format!("/proc/{pid}/comm"))
                    .is_ok_and(|comm| comm.trim() == "sleep")
            })
        })
        .await;
        let first = first.expect("just seen");
        let dir = tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .tempdir();
        Self { pause, first, containers: Vec::new(), dir: dir.expect("a folder") }
    }

    fn root(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts a container that becomes `command`, and waits until it is.
    async fn container(&mut self, name: &str, command: &[&str]) -> i32 {
        let root = self.root(name);
        fs::create_dir_all(root.join("etc")).expect("writable");
        fs::write(root.join("etc/container"), name).expect("writable");
        let ready = root.join("ready");
        let first = self.first.to_string();
        let child = Command::new("nsenter")
            .args(["-t", &first, "--pid", "unshare", "--mount", "sh", "-c", CONTAINER, "sh"])
            .arg(&root)
            .args(command)
            .stdin(Stdio::null())
            .spawn()
            .expect("nsenter is in every Debian");
        self.containers.push(child);
        let mut pid = None;
        eventually("the container runs", async || {
            pid = fs::read_to_string(&ready).ok().and_then(|text| text.trim().parse().ok());
            pid.is_some()
        })
        .await;
        pid.expect("just seen")
    }

    /// An executor in a container of its own: our programs, the pod's processes.
    async fn executor(&self, flags: &[&str], variables: &[(&str, &str)]) -> World {
        let (first, powers) = (self.first.to_string(), format!("{USUAL},+sys_ptrace"));
        let powers = format!("--bounding-set={powers}");
        let starter = [
            "nsenter",
            "-t",
            &first,
            "--pid",
            "unshare",
            "--mount",
            "--mount-proc",
            "setpriv",
            &powers,
            "--inh-caps=-all",
        ];
        World::through(&starter, flags, variables).await
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        // The first process of the namespace takes all others with it.
        let _ = self.pause.kill();
        let _ = self.pause.wait();
        for container in &mut self.containers {
            let _ = container.wait();
        }
    }
}

async fn outputs(world: &World, name: &str) -> (String, String) {
    let read = async |stream| {
        let output = world.client.output(name, stream, 0, 1 << 16).await.expect("there");
        String::from_utf8(output.bytes.to_vec()).expect("text")
    };
    (read(Stream::Stdout).await, read(Stream::Stderr).await)
}

/// A sandbox as user 1000, in its own folder.
fn user(script: &str) -> Vec<String> {
    let words = [
        "setpriv",
        "--reuid=1000",
        "--regid=1001",
        "--groups=2000,2001",
        "env",
        "-i",
        "PATH=/opt:/usr/bin:/bin",
        "GREETING=hello",
        "sh",
        "-c",
    ];
    words.iter().map(|word| (*word).to_owned()).chain([script.to_owned()]).collect()
}

const REST: &str = "cd /work; umask 027; echo $$ > /tmp/ready; mv /tmp/ready /; exec sleep 100000";

async fn user_pod() -> Pod {
    let mut pod = Pod::new().await;
    let root = pod.root("main");
    for folder in ["tmp", "work", "opt"] {
        fs::create_dir_all(root.join(folder)).expect("writable");
    }
    let open = |path: PathBuf| {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o777))
            .expect("ours")
    };
    open(root.join("tmp"));
    open(root.clone());
    fs::write(root.join("opt/only-here"), "#!/bin/sh\necho found\n").expect("writable");
    open(root.join("opt/only-here"));
    let command = user(REST);
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    pod.container("main", &words).await;
    pod
}

#[tokio::test]
async fn a_task_is_in_the_sandbox_as_if_it_had_been_started_there() {
    let pod = user_pod().await;
    let world = pod.executor(&[], &[("FROM_EXECUTOR", "leaked")]).await;
    let script = "cat /etc/container; echo; id -u; id -g; id -G; pwd; umask; echo $GREETING ${FROM_EXECUTOR-nothing} $MORE; only-here; \
                  grep CapEff /proc/self/status; ls /proc/self/fd | wc -l; echo to the name > /dev/stdout";
    let mut asked = shell("t-0", script);
    asked.process.as_mut().expect("just made").env =
        vec![EnvVar { name: "MORE".to_owned(), value: "more".to_owned() }];
    world.client.set_tasks(&[asked]).await.expect("it is accepted");
    let result = world.end("t-0").await;
    let (out, err) = outputs(&world, "t-0").await;
    let journal = world.journal.lock().expect("nobody panicked").join("\n");
    assert!(journal.contains("tasks run in the container of process"), "{journal}");
    assert_eq!((result.exit_code, err.as_str()), (0, ""), "{result:?}");
    assert_eq!(
        out,
        "main\n1000\n1001\n1001 2000 2001\n/work\n0027\nhello nothing more\nfound\nCapEff:\t0000000000000000\n4\nto the name\n"
    );
}

#[tokio::test]
async fn programs_are_looked_for_in_the_sandbox_and_not_beside_it() {
    let pod = user_pod().await;
    let world = pod.executor(&["-enable-sidecar-mode"], &[]).await;
    let missing = world.path("tool");
    fs::copy("/bin/true", &missing).expect("readable");
    world
        .client
        .set_tasks(&[task("t-0", &[missing.to_str().expect("text")])])
        .await
        .expect("accepted");
    let result = world.end("t-0").await;
    assert_eq!(
        (result.exit_code, result.end, result.failure),
        (127, End::NotFound, Some(Failure::Task))
    );
    let mut asked = shell("t-1", "pwd");
    asked.process.as_mut().expect("just made").working_dir = Some("/opt".to_owned());
    world.client.set_tasks(&[asked]).await.expect("accepted");
    assert_eq!(world.end("t-1").await.exit_code, 0);
    assert_eq!(outputs(&world, "t-1").await.0, "/opt\n");
}

#[tokio::test]
async fn a_root_sandbox_s_task_has_exactly_its_powers() {
    let mut pod = Pod::new().await;
    let powers = format!("--bounding-set={USUAL}");
    let script = "echo $$ > /ready; exec sleep 100000";
    let command = ["setpriv", &powers, "--inh-caps=-all", "--no-new-privs", "sh", "-c", script];
    pod.container("main", &command).await;
    let world = pod.executor(&[], &[]).await;
    // The number in the file is the one inside the pod, since it was written there.
    let script = "grep -E '^(Cap|NoNew)' /proc/$(cat /ready)/status; echo; grep -E '^(Cap|NoNew)' /proc/self/status";
    world.run("t-0", script).await;
    assert_eq!(world.end("t-0").await.exit_code, 0);
    let (out, err) = outputs(&world, "t-0").await;
    let (sandbox, task) = out.split_once("\n\n").expect("two parts");
    assert_eq!((sandbox, err.as_str()), (task.trim_end(), ""));
    assert!(
        task.contains("CapBnd:\t00000000a80425fb") && task.contains("NoNewPrivs:\t1"),
        "{task}"
    );
}

#[tokio::test]
async fn the_marked_container_is_meant_whatever_else_is_in_the_pod() {
    let mut pod = Pod::new().await;
    let script = "echo $$ > /ready; exec sleep 100000";
    pod.container("proxy", &["sh", "-c", script]).await;
    let marked = ["env", "SANDBOX_MAIN_CONTAINER=box", "sh", "-c", script];
    pod.container("main", &marked).await;
    let world = pod.executor(&["-main-container-name=box"], &[]).await;
    world.run("t-0", "cat /etc/container").await;
    assert_eq!(world.end("t-0").await.exit_code, 0);
    assert_eq!(outputs(&world, "t-0").await.0, "main");
    // Nobody is marked so: the first container is meant.
    let world = pod.executor(&["-main-container-name=other"], &[]).await;
    world.run("t-0", "cat /etc/container").await;
    assert_eq!(world.end("t-0").await.exit_code, 0);
    assert_eq!(outputs(&world, "t-0").await.0, "proxy");
}

#[tokio::test]
async fn a_task_waits_for_its_sandbox_and_never_runs_beside_it_instead() {
    let mut pod = Pod::new().await;
    let world = pod.executor(&[], &[]).await;
    world.run("t-0", "cat /etc/container").await;
    let mut said = String::new();
    eventually("it says what it waits for", async || {
        let status = world.client.task("t-0").await.expect("there").process_status;
        said = serde_json::to_string(&status).expect("JSON");
        said.contains("no other container of the pod is running")
    })
    .await;
    assert!(said.contains(r#""waiting":{"reason":"Pending""#), "{said}");
    pod.container("main", &["sh", "-c", "echo $$ > /ready; exec sleep 100000"]).await;
    assert_eq!(world.end("t-0").await.exit_code, 0);
    assert_eq!(outputs(&world, "t-0").await.0, "main");
    // One that waits can be given up.
    let world = Pod::new().await;
    let executor = world.executor(&[], &[]).await;
    executor.run("t-0", "true").await;
    executor.clear().await;
}

#[tokio::test]
async fn a_stop_reaches_into_the_sandbox_and_ends_only_the_task() {
    let pod = user_pod().await;
    let world = pod.executor(&[], &[]).await;
    world.run("t-0", "(setsid sleep 100001 &); exec sleep 100002").await;
    world.running("t-0").await;
    let named = |seconds: &str| -> Vec<i32> {
        let all = fs::read_dir("/proc").expect("it is mounted").flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let line = format!("sleep\0{seconds}\0");
        // Of this pod only: other tests may run the same.
        let ours = fs::read_link(format!("/proc/{}/ns/pid", pod.first)).expect("it runs");
        pids.filter(|pid| fs::read_link(format!("/proc/{pid}/ns/pid")).is_ok_and(|ns| ns == ours))
            .filter(|pid| {
                fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|text| text == line.as_bytes())
            })
            .collect()
    };
    eventually("both run", async || named("100001").len() == 1 && named("100002").len() == 1).await;
    let task: Vec<i32> = named("100001").into_iter().chain(named("100002")).collect();
    world.clear().await;
    assert!(!task.iter().any(|pid| alive(*pid)), "{task:?}");
    assert_eq!(named("100000").len(), 2, "the sandbox and the pod's first process live on");
}

#[tokio::test]
async fn a_task_ends_with_its_sandbox_and_is_not_blamed_for_it() {
    let mut pod = Pod::new().await;
    pod.container("main", &["sh", "-c", "echo $$ > /ready; exec sleep 100000"]).await;
    let world = pod.executor(&[], &[]).await;
    // Its own programs go with the container, so it may as well fail by itself; either way it is told why.
    world.run("t-0", "kill -KILL $(cat /ready); while :; do :; done").await;
    let result = world.end("t-0").await;
    assert_eq!(
        (result.end, result.failure),
        (End::SandboxUnreachable, Some(Failure::Infrastructure))
    );
    assert_eq!(
        (result.exit_code, result.message.as_str()),
        (143, "the sandbox's container has ended")
    );
    // The next sandbox of the pod, and a task that misses its programs.
    pod.container("next", &["sh", "-c", "echo $$ > /ready; exec sleep 100000"]).await;
    world
        .client
        .set_tasks(&[shell(
            "t-1",
            "kill -KILL $(cat /ready); while sleep 0.01; do :; done; exit 9",
        )])
        .await
        .expect("accepted");
    let result = world.end("t-1").await;
    assert_eq!(
        (result.end, result.failure),
        (End::SandboxUnreachable, Some(Failure::Infrastructure))
    );
    assert_ne!(result.exit_code, 0);
}

#[tokio::test]
async fn as_the_first_process_of_a_container_it_runs_tasks_there_and_leaves_no_zombies() {
    let starter = ["unshare", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc"];
    let world = World::through(&starter, &[], &[("FROM_CONTAINER", "yes")]).await;
    // The waiter is gone as soon as nobody writes any more; then the child that was left behind ends.
    world.run("t-0", "(setsid sleep 0.2 >/dev/null 2>&1 &); echo $FROM_CONTAINER").await;
    assert_eq!(world.end("t-0").await.exit_code, 0);
    assert_eq!(outputs(&world, "t-0").await.0, "yes\n");
    eventually("all are taken away", async || {
        world.clear().await;
        world
            .run("t-1", "grep -l '^State:.Z' /proc/[0-9]*/status; ls -d /proc/[0-9]* | wc -l")
            .await;
        world.end("t-1").await;
        // The executor, the waiter, the shell and the two programs.
        matches!(outputs(&world, "t-1").await.0.trim(), "5" | "4")
    })
    .await;
}
