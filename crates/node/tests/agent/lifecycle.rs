//! What containers are told when they begin and before they end, and those that serve the others.

use serde_json::{Value, json};

use crate::world::{World, condition, container};

/// Answers every request with a refusal, which is an answer too, and notes what it was asked.
const SERVER: &str = r#"
use IO::Socket::INET;
sub told { open(my $file, ">>", "/told/file") or die; print $file @_; close $file }
$SIG{TERM} = sub { told("server ends\n"); exit 0 };
my $socket = IO::Socket::INET->new(LocalPort => 8080, Listen => 5, ReuseAddr => 1) or die;
while (1) {
    my $client = $socket->accept or next;
    my $line = <$client>;
    told($line =~ s/ HTTP.*\r?\n/\n/r) if defined $line;
    print $client "HTTP/1.1 500 no\r\n\r\n";
    close $client;
}
"#;

/// A sidecar that serves, beside a main container that notes its end.
fn served(world: &World, main: &str) -> Value {
    let folder = world.dir.path().join("told");
    std::fs::create_dir_all(&folder).expect("a fresh folder");
    let mounts = json!([{ "name": "told", "mountPath": "/told" }]);
    json!({
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 20,
        "initContainers": [{
            "name": "server", "image": "host", "restartPolicy": "Always",
            "command": ["perl", "-e", SERVER],
            "startupProbe": { "tcpSocket": { "port": 8080 } },
            "volumeMounts": mounts,
        }],
        "containers": [{
            "name": "main", "image": "host", "command": ["sh", "-c", main], "volumeMounts": mounts,
            "lifecycle": {
                "postStart": { "httpGet": { "port": 8080, "path": "/begun" } },
                "preStop": { "httpGet": { "port": 8080, "path": "/ending" } },
            },
        }],
        "volumes": [{ "name": "told", "hostPath": { "path": folder.display().to_string() } }],
    })
}

fn told(world: &World) -> String {
    std::fs::read_to_string(world.dir.path().join("told/file")).unwrap_or_default()
}

#[tokio::test]
async fn a_sidecar_is_there_before_the_rest_and_until_after_it() {
    let world = World::real().await;
    let main = "trap 'echo main ends >> /told/file; exit 0' TERM; while :; do sleep 0.1; done";
    world.create("served", served(&world, main)).await;
    let pod = world.until_ready("served").await;
    let server = &pod["status"]["initContainerStatuses"][0];
    assert_eq!((&server["ready"], &server["started"]), (&json!(true), &json!(true)));
    assert_eq!(told(&world), "GET /begun\n", "the hook came before the container was ready");
    let api = world.pods();
    api.delete("served", &Default::default()).await.unwrap();
    let gone = kube::runtime::wait::await_condition(api, "served", |pod: Option<&_>| pod.is_none());
    let limit = std::time::Duration::from_secs(19);
    tokio::time::timeout(limit, gone).await.expect("all end when asked").unwrap();
    assert_eq!(told(&world), "GET /begun\nGET /ending\nmain ends\nserver ends\n");
    world.end().await;
}

#[tokio::test]
async fn a_sidecar_does_not_keep_a_pod_from_ending() {
    let world = World::real().await;
    world.create("done", served(&world, "sleep 0.3; echo main ends >> /told/file")).await;
    let pod = world
        .until("done", "the sidecar should have ended by itself", |pod| {
            let server = &pod["status"]["initContainerStatuses"][0];
            pod["status"]["phase"] == "Succeeded" && !server["state"]["terminated"].is_null()
        })
        .await;
    let server = &pod["status"]["initContainerStatuses"][0]["state"]["terminated"];
    assert_eq!(server["exitCode"], 0, "it was asked, not killed");
    assert_eq!(told(&world), "GET /begun\nmain ends\nserver ends\n");
    world.delete("done").await;
    world.end().await;
}

#[tokio::test]
async fn a_hook_that_fails_ends_the_container_it_belongs_to() {
    let world = World::real().await;
    let spec = |command: &str| {
        json!({
            "restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "main", "image": "host", "command": ["sleep", "1000"],
                "lifecycle": { "postStart": { "exec": { "command": ["sh", "-c", command] } } },
            }],
        })
    };
    world.create("good", spec("echo prepared > /tmp/file")).await;
    let pod = world.until_ready("good").await;
    assert_eq!(world.run(&pod, "main", "cat /tmp/file").await.0, "prepared\n");
    world.create("bad", spec("exit 3")).await;
    let pod =
        world.until("bad", "it should be over", |pod| pod["status"]["phase"] == "Failed").await;
    assert_eq!(condition(&pod, "Ready")["status"], "False");
    assert_eq!(container(&pod)["state"]["terminated"]["exitCode"], 137);
    let why = world.until_event("bad", "FailedPostStartHook").await;
    assert_eq!(why, "PostStartHook failed: the command exited with 3");
    for name in ["good", "bad"] {
        world.delete(name).await;
    }
    world.end().await;
}
