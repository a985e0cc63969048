//! What a pod may ask of the node, each seen from inside a real container, and each refusal where a user looks for it.

use serde_json::Value;

use crate::machine::{Listening, Machine, eventually};

/// Pods that run.
const RUNNING: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {COLOR: blue, motto.txt: "keep warm"}
---
apiVersion: v1
kind: Secret
metadata: {name: keys}
stringData: {TOKEN: s3cret}
---
apiVersion: v1
kind: Pod
metadata: {name: env, labels: {tier: gold}}
spec:
  hostname: alpha
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: host
    command: [sh, -c]
    args: ["echo $PLAIN $(PLAIN) > /said; pwd >> /said; exec sleep 3600"]
    workingDir: /srv
    env:
    - {name: PLAIN, value: one}
    - {name: WHO, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    - {name: TIER, valueFrom: {fieldRef: {fieldPath: "metadata.labels['tier']"}}}
    - {name: ONE_COLOR, valueFrom: {configMapKeyRef: {name: settings, key: COLOR}}}
    - {name: ONE_TOKEN, valueFrom: {secretKeyRef: {name: keys, key: TOKEN}}}
    envFrom: [{prefix: S_, configMapRef: {name: settings}}, {secretRef: {name: keys}}]
---
apiVersion: v1
kind: Pod
metadata: {name: several}
spec:
  shareProcessNamespace: true
  terminationGracePeriodSeconds: 1
  initContainers:
  - {name: first, image: host, command: [sh, -c, "echo made by init > /shared/page"], volumeMounts: [{name: shared, mountPath: /shared}]}
  volumes:
  - {name: shared, emptyDir: {}}
  - {name: settings, configMap: {name: settings}}
  - {name: keys, secret: {secretName: keys, defaultMode: 0400}}
  - {name: machine, hostPath: {path: FOLDER/shared, type: DirectoryOrCreate}}
  containers:
  - name: web
    image: host
    command: [python3, -m, http.server, "8080"]
    workingDir: /shared
    readinessProbe: {httpGet: {port: 8080, path: /page}, periodSeconds: 1}
    volumeMounts: [{name: shared, mountPath: /shared}, {name: settings, mountPath: /settings}, {name: keys, mountPath: /keys}, {name: machine, mountPath: /machine}]
  - name: plain
    image: host
    command: [sleep, "3600"]
    readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
    securityContext: {runAsUser: 1234, runAsGroup: 4321, readOnlyRootFilesystem: true, capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}}
  - name: mighty
    image: host
    command: [sleep, "3600"]
    readinessProbe: {exec: {command: [sh, -c, "test -d /proc"]}, periodSeconds: 1}
    securityContext: {privileged: true}
---
apiVersion: v1
kind: Pod
metadata: {name: limited}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: c, image: host, command: [sleep, "3600"], resources: {limits: {cpu: 200m, memory: 64Mi}}}
"#;

/// Pods that come to grief, each in its own way.
const FAILING: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: greedy}
spec:
  restartPolicy: Never
  containers: [{name: c, image: host, command: [tail, /dev/zero], resources: {limits: {memory: 32Mi}}}]
---
apiVersion: v1
kind: Pod
metadata: {name: done}
spec:
  restartPolicy: OnFailure
  containers: [{name: c, image: host, command: [sh, -c, "echo bye"]}]
---
apiVersion: v1
kind: Pod
metadata: {name: crashing}
spec:
  containers: [{name: c, image: host, command: [sh, -c, "echo attempt; exit 3"]}]
---
apiVersion: v1
kind: Pod
metadata: {name: absent}
spec:
  containers: [{name: c, image: "127.0.0.1:9/nothing:1", command: [sh]}]
---
apiVersion: v1
kind: Pod
metadata: {name: typo}
spec:
  restartPolicy: Never
  containers: [{name: c, image: host, command: [/no/such/command]}]
---
apiVersion: v1
kind: Pod
metadata: {name: huge}
spec:
  containers: [{name: c, image: host, command: [sleep, "1"], resources: {requests: {memory: 9000Gi}}}]
---
apiVersion: v1
kind: Pod
metadata: {name: modern}
spec:
  containers: [{name: c, image: host, command: [sleep, "1"], livenessProbe: {grpc: {port: 1}}}]
---
apiVersion: v1
kind: Pod
metadata: {name: unready}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: c, image: host, command: [sleep, "3600"], readinessProbe: {exec: {command: ["false"]}, periodSeconds: 1}}
---
apiVersion: v1
kind: Pod
metadata: {name: hung}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: c, image: host, command: [sleep, "3600"], livenessProbe: {exec: {command: ["false"]}, periodSeconds: 1, failureThreshold: 1}}
---
apiVersion: v1
kind: Pod
metadata: {name: deaf}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: c, image: host, command: [sh, -c, "trap '' TERM; while :; do sleep 1; done"]}]
---
apiVersion: v1
kind: Pod
metadata: {name: polite}
spec:
  terminationGracePeriodSeconds: 50
  volumes: [{name: machine, hostPath: {path: FOLDER}}]
  containers:
  - name: c
    image: host
    command: [sh, -c, "trap 'echo farewell > /machine/farewell; exit 0' TERM; while :; do sleep 1 & wait $!; done"]
    volumeMounts: [{name: machine, mountPath: /machine}]
"#;

#[test]
fn pods_get_what_they_ask_for_and_hear_why_not() {
    let machine = Machine::with_server();
    let folder = machine.path().join("for-pods");
    std::fs::create_dir(&folder).unwrap();
    let folder = folder.to_string_lossy().into_owned();
    machine.apply(&RUNNING.replace("FOLDER", &folder));
    let mut states = Listening::to(machine.command("kubectl").args([
        "get",
        "pods",
        "--watch",
        "--output-watch-events",
        "-o",
        "jsonpath={.object.metadata.name} {.object.status.containerStatuses[0].state.waiting.reason}{'\\n'}",
    ]));
    states.until("the pods so far", |line| line.starts_with("env"));
    machine.apply(&FAILING.replace("FOLDER", &folder));
    for reason in ["ErrImagePull", "ImagePullBackOff"] {
        states.until(reason, |line| line == format!("absent {reason}"));
    }
    drop(states);
    machine.wait_ready("pod/env pod/several pod/limited");

    environment(&machine);
    volumes(&machine, &folder);
    identities(&machine);
    limits(&machine);
    network(&machine);
    masks(&machine);
    ends(&machine);
    refusals(&machine);
    probes(&machine);
    grace(&machine, &folder);
}

fn environment(machine: &Machine) {
    let said = machine.exec("env", "echo $PLAIN,$WHO,$TIER,$ONE_COLOR,$ONE_TOKEN,$S_COLOR,$TOKEN");
    assert_eq!(said, "one,env,gold,blue,s3cret,blue,s3cret");
    assert_eq!(machine.exec("env", "cat /said"), "one one\n/srv");
    assert_eq!(machine.exec("env", "hostname"), "alpha");
    let ip = machine.get("pod/env")["status"]["podIP"].as_str().unwrap().to_owned();
    assert_eq!(machine.exec("env", "echo $IP"), ip);
}

/// The output of a shell script in one container of `several`.
fn inside(machine: &Machine, container: &str, script: &str) -> String {
    machine.run("kubectl", &["exec", "several", "-c", container, "--", "sh", "-c", script]).ok()
}

fn volumes(machine: &Machine, folder: &str) {
    assert_eq!(inside(machine, "web", "cat /shared/page"), "made by init\n");
    assert_eq!(inside(machine, "web", "cat /settings/motto.txt"), "keep warm");
    assert_eq!(
        inside(machine, "web", "cat /keys/TOKEN; stat -Lc ' %a' /keys/TOKEN"),
        "s3cret 400\n"
    );
    inside(machine, "web", "echo from the pod > /machine/note");
    let note = std::fs::read_to_string(format!("{folder}/shared/note")).unwrap();
    assert_eq!(note, "from the pod\n");

    // A config map that changes is seen without a restart.
    machine
        .kubectl(
            "patch configmap settings --type=merge -p '{\"data\":{\"motto.txt\":\"keep cool\"}}'",
        )
        .ok();
    eventually("the changed file", || {
        (inside(machine, "web", "cat /settings/motto.txt") == "keep cool").then_some(())
    });
}

fn identities(machine: &Machine) {
    assert_eq!(inside(machine, "plain", "id -u; id -g"), "1234\n4321\n");
    let said = inside(machine, "plain", "touch /x 2>&1 || echo refused");
    assert!(said.contains("Read-only file system") && said.contains("refused"), "{said}");
    // Bit 10 is NET_BIND_SERVICE, and it is the only one left.
    let capabilities = |container: &str| {
        inside(machine, container, "grep CapBnd /proc/self/status | cut -f2").trim().to_owned()
    };
    assert_eq!(capabilities("plain"), format!("{:016x}", 1 << 10));
    assert_eq!(inside(machine, "mighty", "mount -t tmpfs x /mnt && echo mounted"), "mounted\n");
    let said = inside(machine, "web", "mount -t tmpfs x /mnt 2>/dev/null || echo refused");
    assert_eq!(said, "refused\n");
    let processes = inside(machine, "mighty", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '");
    assert!(processes.contains("http.server"), "one process namespace for all: {processes}");
    let processes = machine.exec("env", "ls /proc | grep -c '^[0-9]'");
    assert!(processes.parse::<u32>().unwrap() < 8, "a pod sees its own processes: {processes}");
}

fn limits(machine: &Machine) {
    // A fifth of a processor: a second of it takes about five.
    let spin = "import time; b = time.monotonic(); u = time.process_time()\nwhile time.monotonic() - b < 2: pass\nprint((time.process_time() - u) / (time.monotonic() - b))";
    let share = machine.run("kubectl", &["exec", "limited", "--", "python3", "-c", spin]).ok();
    let share: f64 = share.trim().parse().unwrap();
    assert!(share < 0.4, "a container with 200m used {share} of a processor");
    let eat = "x = bytearray(200 << 20)\nprint(len(x))";
    let said = machine.run("kubectl", &["exec", "limited", "--", "python3", "-c", eat]);
    assert_eq!(said.code, 137, "64Mi are not 200: {said:?}");

    // No pod may take every process of the machine.
    let threads = "import threading as t\nt.stack_size(65536)\nend = t.Event()\nn = 0\ntry:\n  while n < 9999:\n    t.Thread(target=end.wait).start()\n    n += 1\nexcept RuntimeError: pass\nend.set()\nprint(n)";
    let most = machine.run("kubectl", &["exec", "env", "--", "python3", "-c", threads]).ok();
    let most: u32 = most.trim().parse().unwrap();
    assert!((1000..4096).contains(&most), "a pod could start {most} threads");
}

fn network(machine: &Machine) {
    let ip = machine.get("pod/several")["status"]["podIP"].as_str().unwrap().to_owned();
    let get = format!(
        "import urllib.request as u; print(u.urlopen('http://{ip}:8080/page', timeout=10).read().decode(), end='')"
    );
    assert_eq!(machine.run("python3", &["-c", &get]).ok(), "made by init\n", "from this machine");
    let said = machine.run("kubectl", &["exec", "env", "--", "python3", "-c", &get]);
    assert_eq!(said.ok(), "made by init\n", "from another pod");
}

fn masks(machine: &Machine) {
    assert_eq!(machine.exec("env", "ls -A /root /home | grep -v : || true"), "");
    let data = machine.data();
    let said = machine.exec("env", &format!("ls {} 2>&1 || true", data.display()));
    assert!(said.contains("No such file"), "the data directory is not for pods: {said}");
    let said = machine.exec("env", "cat /etc/shadow 2>/dev/null | wc -c");
    assert_eq!(said, "0", "nor are the machine's passwords");
    // What a pod changes on its copy of the machine stays there.
    machine.exec("env", "echo changed > /etc/motd; rm -f /etc/issue");
    assert_ne!(std::fs::read_to_string("/etc/motd").unwrap_or_default(), "changed\n");
}

fn status(machine: &Machine, pod: &str) -> Value {
    machine.get(&format!("pod/{pod}"))["status"].clone()
}

/// Waits until the state of the pod's container says this somewhere.
fn container_says(machine: &Machine, pod: &str, part: &str) -> Value {
    eventually(&format!("pod {pod} with {part}"), || {
        let status = status(machine, pod);
        let container = &status["containerStatuses"][0];
        let all = format!("{} {}", container["state"], container["lastState"]);
        all.contains(part).then_some(status)
    })
}

fn event(machine: &Machine, pod: &str, reason: &str, part: &str) {
    let list = format!("events --field-selector involvedObject.name={pod},reason={reason}");
    eventually(&format!("event {reason} of {pod} with {part}"), || {
        machine.get(&list).to_string().contains(part).then_some(())
    });
}

fn ends(machine: &Machine) {
    let greedy = container_says(machine, "greedy", "OOMKilled");
    assert_eq!(greedy["phase"], "Failed");
    container_says(machine, "done", "Completed");
    eventually("a pod that succeeded", || {
        (status(machine, "done")["phase"] == "Succeeded").then_some(())
    });
    assert_eq!(machine.kubectl("logs done").ok(), "bye\n");
    let crashing = container_says(machine, "crashing", "CrashLoopBackOff");
    assert_eq!(crashing["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 3);
    assert!(crashing["containerStatuses"][0]["restartCount"].as_u64() >= Some(1));
    event(machine, "crashing", "BackOff", "back-off");
    assert_eq!(machine.kubectl("logs crashing --previous").ok(), "attempt\n");
}

fn refusals(machine: &Machine) {
    let absent = container_says(machine, "absent", "ImagePullBackOff").to_string();
    assert!(absent.to_lowercase().contains("connection refused"), "with the reason: {absent}");
    event(machine, "absent", "Failed", "Failed to pull image");
    let typo = container_says(machine, "typo", "/no/such/command");
    assert_eq!(typo["containerStatuses"][0]["state"]["terminated"]["exitCode"], 128);
    event(machine, "typo", "Failed", "no such file or directory");
    let huge = status(machine, "huge");
    assert_eq!(huge["conditions"][0]["reason"], "Unschedulable");
    assert_eq!(huge["phase"], "Pending");
    event(machine, "huge", "FailedScheduling", "Insufficient memory");
    let modern = status(machine, "modern").to_string();
    assert!(modern.contains("containers[0].livenessProbe.grpc"), "{modern}");
    event(machine, "modern", "Unsupported", "containers[0].livenessProbe.grpc");
}

fn probes(machine: &Machine) {
    let unready = status(machine, "unready");
    assert_eq!(unready["containerStatuses"][0]["ready"], false);
    assert_eq!(unready["phase"], "Running");
    event(machine, "unready", "Unhealthy", "Readiness probe failed");
    event(machine, "hung", "Unhealthy", "Liveness probe failed");
    event(machine, "hung", "Killing", "failed liveness probe");
    eventually("a restart of what hangs", || {
        (status(machine, "hung")["containerStatuses"][0]["restartCount"].as_u64() >= Some(1))
            .then_some(())
    });
}

fn grace(machine: &Machine, folder: &str) {
    machine.wait_ready("pod/deaf pod/polite");
    machine.kubectl("delete pod polite --timeout=20s").ok();
    let farewell = std::fs::read_to_string(format!("{folder}/farewell")).unwrap();
    assert_eq!(farewell, "farewell\n", "it was asked before it was ended");
    machine.kubectl("delete pod deaf --timeout=20s").ok();
}
