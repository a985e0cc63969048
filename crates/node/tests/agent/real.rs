//! With real containers of the image `host`, which is this machine: what pods find inside, and what outlives the agent.

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use serde_json::{Value, json};

use crate::world::{World, condition, container};

/// A pod whose main container does nothing but stay.
fn stays() -> Value {
    json!({
        "terminationGracePeriodSeconds": 1,
        "containers": [{ "name": "main", "image": "host", "command": ["sleep", "1000"] }],
    })
}

#[tokio::test]
async fn a_pod_of_the_host_image_runs_and_sees_no_private_file() {
    let world = World::real().await;
    let secret = world.dir.path().join("secret");
    std::fs::write(&secret, "private").unwrap();
    world.create("view", stays()).await;
    let pod = world.until_ready("view").await;
    let (said, code) = world.run(&pod, "main", "echo hello from $(hostname)").await;
    assert_eq!((said.as_str(), code), ("hello from view\n", 0));

    // Nothing of the machine's home directories, secrets, data dir or temporary files is there.
    let data_dir = world.dir.path().display();
    let script = format!(
        "ls -A /root /home /tmp /var/tmp /var/lib /srv /mnt | grep -v ':$' | grep . ; \
         ls {data_dir} /etc/shadow /etc/ssh /etc/sudoers 2>/dev/null; true"
    );
    let (said, _) = world.run(&pod, "main", &script).await;
    assert_eq!(said, "", "these show");
    let (said, _) = world.run(&pod, "main", "cat /etc/passwd | head -n 1 && ls /usr/bin/env").await;
    assert!(said.starts_with("root:") && said.ends_with("/usr/bin/env\n"), "{said}");

    // What is written stays in the container.
    let (_, code) = world.run(&pod, "main", "echo x > /usr/bin/made && echo y > /etc/made").await;
    assert_eq!(code, 0);
    assert!(!std::path::Path::new("/usr/bin/made").exists());
    assert!(!std::path::Path::new("/etc/made").exists());
    world.delete("view").await;
    world.end().await;
}

#[tokio::test]
async fn a_pod_gets_its_environment_volumes_and_limits() {
    let world = World::real().await;
    world
        .create_object::<ConfigMap>(json!({
            "metadata": { "name": "settings" }, "data": { "colour": "blue" }
        }))
        .await;
    world
        .create_object::<Secret>(json!({
            "metadata": { "name": "keys" }, "data": { "token": "czNjcmV0" }
        }))
        .await;
    let spec = json!({
        "restartPolicy": "Never",
        "securityContext": { "fsGroup": 4242, "runAsUser": 1234 },
        "initContainers": [{
            "name": "prepare", "image": "host",
            "command": ["sh", "-c", "echo prepared > /shared/file"],
            "volumeMounts": [{ "name": "shared", "mountPath": "/shared" }],
        }],
        "containers": [{
            "name": "main", "image": "host",
            "command": ["sh", "-c"],
            "args": ["echo $(WHO) $COLOUR $TOKEN $IP; cat /shared/file /etc/settings/colour; id -u; \
                      touch /etc/settings/no 2>/dev/null || echo read-only; df -k /fast | tail -1 | cut -d' ' -f1; \
                      echo last words > /dev/termination-log; exit 3"],
            "env": [
                { "name": "WHO", "value": "me" },
                { "name": "COLOUR", "valueFrom": { "configMapKeyRef": { "name": "settings", "key": "colour" } } },
                { "name": "TOKEN", "valueFrom": { "secretKeyRef": { "name": "keys", "key": "token" } } },
                { "name": "IP", "valueFrom": { "fieldRef": { "fieldPath": "status.podIP" } } },
            ],
            "volumeMounts": [
                { "name": "shared", "mountPath": "/shared" },
                { "name": "fast", "mountPath": "/fast" },
                { "name": "settings", "mountPath": "/etc/settings" },
            ],
        }],
        "volumes": [
            { "name": "shared", "emptyDir": {} },
            { "name": "fast", "emptyDir": { "medium": "Memory", "sizeLimit": "1Mi" } },
            { "name": "settings", "configMap": { "name": "settings" } },
        ],
    });
    world.create("full", spec).await;
    let pod =
        world.until("full", "it should be over", |pod| pod["status"]["phase"] == "Failed").await;
    let ip = pod["status"]["podIP"].as_str().unwrap();
    let said = world.log(&pod, "main").await;
    assert_eq!(said, format!("me blue s3cret {ip}\nprepared\nblue1234\nread-only\ntmpfs\n"));
    let end = &container(&pod)["state"]["terminated"];
    assert_eq!((&end["exitCode"], &end["reason"]), (&json!(3), &json!("Error")));
    assert_eq!(end["message"], "last words\n");
    world.delete("full").await;
    world.end().await;
}

#[tokio::test]
async fn what_is_missing_is_told_with_its_reason() {
    let world = World::real().await;
    let with = |change: Value| {
        let mut spec = stays();
        for (key, value) in change.as_object().unwrap() {
            spec["containers"][0][key] = value.clone();
        }
        spec
    };
    world.create("no-image", with(json!({ "image": "127.0.0.1:1/gone:1" }))).await;
    world.create("no-command", with(json!({ "command": ["/does/not/exist"] }))).await;
    let source = json!([{ "configMapRef": { "name": "absent" } }]);
    world.create("no-settings", with(json!({ "envFrom": source }))).await;

    let waits = |reason: &'static str| {
        move |pod: &Value| container(pod)["state"]["waiting"]["reason"] == reason
    };
    world.until("no-image", "it should be told", waits("ErrImagePull")).await;
    let pod = world.until("no-image", "it should wait", waits("ImagePullBackOff")).await;
    let message = container(&pod)["state"]["waiting"]["message"].as_str().unwrap();
    assert!(message.starts_with("Back-off pulling image \"127.0.0.1:1/gone:1\": ErrImagePull: "));

    let pod = world
        .until("no-command", "it should not start", |pod| {
            container(pod)["lastState"]["terminated"]["reason"] == "StartError"
        })
        .await;
    let message = container(&pod)["lastState"]["terminated"]["message"].as_str().unwrap();
    assert!(message.contains("/does/not/exist"), "{message}");
    world
        .until("no-command", "it should say that it waits", |pod| {
            let message = container(pod)["state"]["waiting"]["message"].as_str();
            message.is_some_and(|m| m.starts_with("back-off 10s restarting failed container=main"))
        })
        .await;

    let pod =
        world.until("no-settings", "it should wait", waits("CreateContainerConfigError")).await;
    let message = &container(&pod)["state"]["waiting"]["message"];
    assert_eq!(message, "configmap \"absent\" not found");
    world.create_object::<ConfigMap>(json!({ "metadata": { "name": "absent" }, "data": {} })).await;
    world.until_ready("no-settings").await;
    for name in ["no-image", "no-command", "no-settings"] {
        world.delete(name).await;
    }
    world.end().await;
}

#[tokio::test]
async fn probes_decide_what_is_ready_and_what_is_restarted() {
    let world = World::real().await;
    let spec = json!({
        "terminationGracePeriodSeconds": 1,
        "containers": [{
            "name": "main", "image": "host",
            "command": ["sh", "-c", "touch /tmp/alive; sleep 1000"],
            "readinessProbe": { "exec": { "command": ["ls", "/tmp/ready"] }, "periodSeconds": 1 },
            "livenessProbe": {
                "exec": { "command": ["ls", "/tmp/alive"] }, "periodSeconds": 1, "failureThreshold": 1
            },
        }],
    });
    world.create("probed", spec).await;
    let pod = world
        .until("probed", "it should run unready", |pod| {
            !container(pod)["state"]["running"].is_null()
        })
        .await;
    assert_eq!(condition(&pod, "Ready")["reason"], "ContainersNotReady");
    world.run(&pod, "main", "touch /tmp/ready").await;
    let pod = world.until_ready("probed").await;
    world.run(&pod, "main", "rm /tmp/alive").await;
    let pod = world
        .until("probed", "it should be restarted", |pod| container(pod)["restartCount"] == 1)
        .await;
    assert_eq!(condition(&pod, "Ready")["status"], "False");
    world.until_event("probed", "Unhealthy").await;
    world.until_event("probed", "Killing").await;
    world.delete("probed").await;
    world.end().await;
}

#[tokio::test]
async fn pods_outlive_the_agent_and_are_taken_over() {
    let mut world = World::real().await;
    let mut brief = stays();
    brief["restartPolicy"] = json!("Never");
    brief["containers"][0]["command"] =
        json!(["sh", "-c", "until [ -e /tmp/go ]; do sleep 0.1; done; exit 7"]);
    world.create("stays", stays()).await;
    world.create("ends", brief).await;
    world.create("goes", stays()).await;
    let stays = world.until_ready("stays").await;
    let ends = world.until_ready("ends").await;
    let goes = world.until_ready("goes").await;
    let mark = "echo here > /tmp/mark";
    assert_eq!(world.run(&stays, "main", mark).await.1, 0);
    // It ends a second from now, while there is no agent; its exec is over before.
    world.run(&ends, "main", "(sleep 1; touch /tmp/go) > /dev/null 2>&1 &").await;
    world.node.take().expect("it runs").stop().await;
    // Meanwhile one object goes away.
    let now = kube::api::DeleteParams { grace_period_seconds: Some(0), ..Default::default() };
    world.pods().delete("goes", &now).await.unwrap();
    world.start_again().await;

    let over =
        world.until("ends", "its end should be told", |p| p["status"]["phase"] == "Failed").await;
    assert_eq!(container(&over)["state"]["terminated"]["exitCode"], 7);
    let same = world.until_ready("stays").await;
    assert_eq!(container(&same)["restartCount"], 0);
    assert_eq!(container(&same)["containerID"], container(&stays)["containerID"]);
    let (said, _) = world.run(&same, "main", "cat /tmp/mark").await;
    assert_eq!(said, "here\n", "it was not restarted");
    let dir = world.dir.path().join("pods").join(goes["metadata"]["uid"].as_str().unwrap());
    let gone = async {
        while dir.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), gone)
        .await
        .expect("it is cleared away");
    world.delete("stays").await;
    world.delete("ends").await;
    world.end().await;
}

#[tokio::test]
async fn a_claim_is_bound_to_a_folder_that_outlives_its_pods_and_goes_with_the_claim() {
    use k8s_openapi::api::core::v1::PersistentVolumeClaim;
    let world = World::real().await;
    world
        .create_object::<PersistentVolumeClaim>(json!({
            "metadata": { "name": "disk" },
            "spec": {
                "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } }
            },
        }))
        .await;
    let with_disk = |script: &str| {
        json!({
            "restartPolicy": "Never",
            "containers": [{
                "name": "main", "image": "host", "command": ["sh", "-c", script],
                "volumeMounts": [{ "name": "d", "mountPath": "/disk" }],
            }],
            "volumes": [{ "name": "d", "persistentVolumeClaim": { "claimName": "disk" } }],
        })
    };
    for (name, script) in [("writer", "echo kept > /disk/file"), ("reader", "cat /disk/file")] {
        world.create(name, with_disk(script)).await;
        world.until(name, "it should end", |pod| pod["status"]["phase"] == "Succeeded").await;
    }
    let reader = world.until("reader", "it is there", |_| true).await;
    assert_eq!(world.log(&reader, "main").await, "kept\n");
    for name in ["writer", "reader"] {
        world.delete(name).await;
    }
    let volumes = world.dir.path().join("volumes");
    assert_eq!(std::fs::read_dir(&volumes).unwrap().count(), 1);
    let claims: kube::Api<PersistentVolumeClaim> =
        kube::Api::default_namespaced(world.client.clone());
    claims.delete("disk", &Default::default()).await.unwrap();
    let gone = async {
        while std::fs::read_dir(&volumes).unwrap().count() > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), gone).await.expect("it is reclaimed");
    world.end().await;
}
