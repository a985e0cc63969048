//! The interface, to the letter: other controllers rely on it.

use std::{fs, time::Duration};

use sandbank_executor::{ClientError, protocol::Stream};
use serde_json::{Value, json};

use crate::world::{World, shell};

fn parsed(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {body:?}"))
}

#[tokio::test]
async fn every_route_answers_as_it_always_did() {
    let world = World::new().await;
    assert_eq!(world.ask("GET", "/getTasks", "").await, (200, "[]".to_owned()));
    assert_eq!(world.ask("GET", "/health", "").await, (200, r#"{"status":"healthy"}"#.to_owned()));
    let wanted = json!([{ "name": "t-0", "process": { "command": ["sleep"], "args": ["1000"] } }, { "process": {} }]);
    let (status, body) = world.ask("POST", "/setTasks", &wanted.to_string()).await;
    assert_eq!(status, 200, "{body}");
    let tasks = parsed(&body);
    assert_eq!(tasks.as_array().unwrap().len(), 1, "a task without a name is passed over");
    assert_eq!(tasks[0]["process"], json!({ "command": ["sleep"], "args": ["1000"] }));
    let since =
        tasks[0]["processStatus"]["running"]["startedAt"].as_str().expect("it runs already");
    assert_eq!((since.len(), since.ends_with('Z')), (20, true), "{since} is in whole seconds");
    assert_eq!(tasks[0].get("deletionTimestamp"), None);

    let (status, body) = world.ask("GET", "/tasks/t-0", "").await;
    assert_eq!((status, &parsed(&body)["name"]), (200, &json!("t-0")));
    assert_eq!(
        world.ask("GET", "/tasks/other", "").await,
        (404, r#"{"code":"Not Found","message":"task other not found"}"#.to_owned())
    );
    assert_eq!(world.ask("DELETE", "/tasks/other", "").await, (204, String::new()));
    let second = json!({ "name": "t-1", "process": { "command": ["true"] } }).to_string();
    let (status, body) = world.ask("POST", "/tasks", &second).await;
    assert_eq!(status, 500);
    assert_eq!(
        parsed(&body)["message"],
        "maximum concurrent tasks (1) reached, cannot create new task"
    );
    world.clear().await;
    let (status, body) = world.ask("POST", "/tasks", &second).await;
    assert_eq!((status, &parsed(&body)["name"]), (201, &json!("t-1")));
    world.end("t-1").await;
    let (status, body) = world.ask("POST", "/tasks", &second).await;
    assert_eq!((status, &parsed(&body)["message"]), (500, &json!("task t-1 already exists")));
}

#[tokio::test]
async fn a_known_name_is_never_started_again_and_an_ended_task_makes_room() {
    let world = World::new().await;
    let count = world.path("count");
    let script = format!("echo once >> {}", count.display());
    world.run("t-0", &script).await;
    world.end("t-0").await;
    for _ in 0..3 {
        world.run("t-0", &script).await;
    }
    world.client.set_tasks(&[shell("t-0", &script), shell("t-1", &script)]).await.expect("room");
    world.end("t-1").await;
    assert_eq!(fs::read_to_string(count).expect("written"), "once\nonce\n");
    let names: Vec<String> =
        world.client.tasks().await.expect("up").tasks.into_iter().map(|t| t.name).collect();
    assert_eq!(names, ["t-0", "t-1"]);
}

#[tokio::test]
async fn what_can_t_be_meant_is_refused_with_a_message() {
    let world = World::new().await;
    let large = format!("[\"{}\"]", "x".repeat(1 << 20));
    for (method, path, body, status, part) in [
        ("POST", "/setTasks", "{", 400, "invalid request body"),
        ("POST", "/setTasks", r#"{"name":"t"}"#, 400, "invalid request body"),
        ("POST", "/setTasks", "\u{0}\u{1}", 400, "invalid request body"),
        ("POST", "/tasks", r#"{"process":{"command":["true"]}}"#, 400, "task name is required"),
        ("POST", "/tasks", r#"{"name":"../x","process":{}}"#, 400, "can't be a folder's name"),
        ("POST", "/setTasks", r#"[{"name":".x","process":{}}]"#, 500, "can't be a folder's name"),
        (
            "POST",
            "/tasks",
            r#"{"name":"t","podTemplateSpec":{}}"#,
            500,
            "container mode is not implemented yet - use process mode instead",
        ),
        ("POST", "/setTasks", &large, 413, "larger than"),
        ("GET", "/nowhere", "", 404, "no such path"),
        ("GET", "/tasks/%2e%2e%2fx", "", 404, "not found"),
        ("DELETE", "/setTasks", "", 405, "no such method"),
        ("GET", "/getTasks?version=1&waitMillis=soon", "", 400, "must be a number"),
    ] {
        let (got, answer) = world.ask(method, path, body).await;
        assert_eq!(got, status, "{method} {path}: {answer}");
        let message = parsed(&answer)["message"].as_str().expect("a message").to_owned();
        assert!(message.contains(part), "{method} {path}: {message}");
        assert!(parsed(&answer)["code"].is_string());
    }
    assert_eq!(world.raw("nonsense\r\n\r\n").await.0, 400);
    assert!(world.client.tasks().await.expect("it lives").tasks.is_empty());
    let left = fs::read_dir(world.folder("")).expect("there").flatten().map(|e| e.file_name());
    assert_eq!(left.collect::<Vec<_>>(), [".lock"], "nothing refused leaves a trace");
}

#[tokio::test]
async fn a_token_closes_everything_but_health() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("token");
    fs::write(&file, "sesame\n").expect("writable");
    let world = World::with(&["-token-file", file.to_str().expect("text")], &[]).await;
    world.client.health().await.expect("it needs none");
    for (method, path) in [
        ("GET", "/getTasks"),
        ("POST", "/setTasks"),
        ("GET", "/tasks/t"),
        ("DELETE", "/tasks/t"),
        ("GET", "/tasks/t/output"),
    ] {
        let (status, body) = world.ask(method, path, "[]").await;
        assert_eq!((status, &parsed(&body)["code"]), (401, &json!("Unauthorized")), "{path}");
    }
    assert!(matches!(world.client.tasks().await, Err(ClientError::Unauthorized)));
    let wrong = world.client.clone().with_token("sesam");
    assert!(matches!(wrong.tasks().await, Err(ClientError::Unauthorized)));
    let right = world.client.clone().with_token("sesame");
    right.tasks().await.expect("it opens");
    fs::write(&file, "changed").expect("writable");
    assert!(matches!(right.tasks().await, Err(ClientError::Unauthorized)));
    right.with_token("changed").tasks().await.expect("it opens");
}

#[tokio::test]
async fn a_token_in_a_variable_is_not_handed_to_tasks() {
    let world = World::with(&[], &[("TASK_EXECUTOR_TOKEN", "sesame"), ("KEPT", "yes")]).await;
    let client = world.client.clone().with_token("sesame");
    let tasks = [shell("t-0", "echo ${TASK_EXECUTOR_TOKEN-none} $KEPT")];
    client.set_tasks(&tasks).await.expect("it opens");
    let mut seen = client.tasks().await.expect("up");
    while seen.tasks[0].result.is_none() {
        let version = seen.version.expect("it has versions");
        seen = client.tasks_after(&version, Duration::from_secs(30)).await.expect("up");
    }
    let output = client.output("t-0", Stream::Stdout, 0, 100).await.expect("readable");
    assert_eq!(&output.bytes[..], b"none yes\n");
}

#[tokio::test]
async fn news_come_to_whoever_waits_for_them() {
    let world = World::new().await;
    let gate = world.path("gate");
    world
        .run("t-0", &format!("until test -e {}; do sleep 0.01; done; exit 4", gate.display()))
        .await;
    let seen = world.client.tasks().await.expect("up");
    let version = seen.version.expect("it has versions");
    // Nothing happens: the same list comes when the time is up.
    let same = world.client.tasks_after(&version, Duration::from_millis(50)).await.expect("up");
    assert_eq!(same.version.as_ref(), Some(&version));
    let waiting = world.client.tasks_after(&version, Duration::from_secs(60));
    let (news, ()) = tokio::join!(waiting, async { fs::write(&gate, "").expect("writable") });
    let news = news.expect("up");
    assert_eq!(news.tasks[0].result.as_ref().expect("it has ended").exit_code, 4);
    // A version of another run of the executor is news as well.
    let (status, _) = world.ask("GET", "/getTasks?version=other-1&waitMillis=60000", "").await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn output_is_read_in_pieces_and_from_its_end() {
    let world = World::new().await;
    world.run("t-0", "printf 0123456789; printf wrong >&2").await;
    world.end("t-0").await;
    let read = async |offset, limit| {
        let output =
            world.client.output("t-0", Stream::Stdout, offset, limit).await.expect("there");
        (
            String::from_utf8(output.bytes.to_vec()).expect("text"),
            output.offset,
            output.next,
            output.end,
        )
    };
    assert_eq!(read(0, 4).await, ("0123".to_owned(), 0, 4, 10));
    assert_eq!(read(4, 100).await, ("456789".to_owned(), 4, 10, 10));
    assert_eq!(read(10, 100).await, (String::new(), 10, 10, 10));
    let (status, body) = world.ask("GET", "/tasks/t-0/output?stream=stderr&tail=3", "").await;
    assert_eq!((status, body.as_str()), (200, "ong"));
    for (query, status) in [("stream=stdin", 400), ("offset=1&tail=1", 400), ("limit=x", 400)] {
        assert_eq!(world.ask("GET", &format!("/tasks/t-0/output?{query}"), "").await.0, status);
    }
    assert_eq!(world.ask("GET", "/tasks/other/output", "").await.0, 404);
}

#[tokio::test]
async fn a_client_of_garbage_or_of_nobody_says_so() {
    use tokio::{
        io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
        net::{TcpListener, TcpSocket},
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let client = sandbank_executor::Client::new(address).with_timeout(Duration::from_millis(300));
    let answer = async |bytes: &'static [u8]| {
        let serve = async {
            let (mut stream, _) = listener.accept().await.expect("a call");
            let mut lines = BufReader::new(&mut stream).lines();
            while lines.next_line().await.expect("a request").is_some_and(|line| !line.is_empty()) {
            }
            stream.write_all(bytes).await.expect("it reads");
            stream
        };
        let (error, _) = tokio::join!(client.tasks(), serve);
        error.expect_err("it is no executor")
    };
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n<garbage>";
    assert!(matches!(answer(head).await, ClientError::Garbage(_)));
    assert!(matches!(answer(b"220 smtp ready\r\n").await, ClientError::Talk(_)));
    assert!(matches!(answer(b"").await, ClientError::Late(_)));
    let endless = answer(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n[").await;
    assert!(matches!(endless, ClientError::TooLong), "{endless:?}");
    let refused =
        b"HTTP/1.1 500 Oops\r\ncontent-length: 28\r\n\r\n{\"code\":\"x\",\"message\":\"no\"}\n";
    assert!(
        matches!(answer(refused).await, ClientError::Refused { message, .. } if message == "no")
    );
    // A port that is taken and on which nobody listens: a free one might be given to another test.
    let taken = TcpSocket::new_v4().expect("a socket");
    taken.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let address = taken.local_addr().expect("bound");
    let nobody = sandbank_executor::Client::new(address).tasks().await;
    assert!(matches!(nobody, Err(ClientError::Connect { .. })), "{nobody:?}");
}
