//! The verbs against a server that runs: the real binary on both sides, with the fake runtime, so that no
//! container is started and no privilege is needed.

#![allow(clippy::unwrap_used)] // here a panic is the answer

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// `sandbank up` in a folder of its own; both are gone when it is dropped.
struct Server {
    child: Child,
    folder: TempDir,
}

impl Server {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_sandbank"))
            .args(["up", "--listen", "127.0.0.1:0", "--runtime", "fake"])
            .arg("--data-dir")
            .arg(folder.path().join("data"))
            .arg("--kubeconfig")
            .arg(folder.path().join("kubeconfig"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready =
            lines.by_ref().map_while(Result::ok).any(|line| line.starts_with("sandbank is ready"));
        let server = Self { child, folder };
        assert!(ready, "the server ended before it was ready");
        // The server must never wait for somebody to read what it says.
        std::thread::spawn(move || lines.for_each(drop));
        server
    }

    fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env("KUBECONFIG", self.kubeconfig()).env_remove("SANDBANK_DATA_DIR");
        command.env("HOME", self.folder.path()).stdin(Stdio::null());
        command
    }

    fn sandbank(&self, args: &[&str]) -> Output {
        self.command(env!("CARGO_BIN_EXE_sandbank")).args(args).output().unwrap()
    }

    /// The JSON answer of a verb that must succeed.
    fn ask(&self, args: &[&str]) -> Value {
        let output = self.sandbank(&[args, &["-o", "json"]].concat());
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn kubectl(&self, args: &[&str]) {
        let output = self.command("kubectl").args(args).output().expect("kubectl is on the PATH");
        assert!(output.status.success(), "kubectl {args:?}: {}", stderr(&output));
    }

    /// The quick start, with its pool full.
    fn with_quickstart() -> Self {
        let server = Self::start();
        server.kubectl(&["apply", "-f", quickstart("").to_str().unwrap()]);
        let full = "--for=jsonpath={.status.readyReplicas}=3";
        server.kubectl(&["wait", "swp/quickstart", full, "--timeout=30s"]);
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn quickstart(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/quickstart").join(file)
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A verb must end with this code and say all of this.
fn refused(output: &Output, code: i32, says: &[&str]) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for part in says {
        assert!(said.contains(part), "{part:?} is missing in: {said}");
    }
}

#[test]
fn an_empty_server_says_what_to_do_first() {
    let server = Server::start();
    let status = server.ask(&["status"]);
    assert_eq!(status["claims"]["ready"], 0);
    assert_eq!(status["pools"], serde_json::json!([]));
    let pools = server.sandbank(&["pool", "ls"]);
    assert!(stdout(&pools).contains("no pools in namespace default yet"), "{}", stdout(&pools));
    let version = server.ask(&["version"]);
    assert!(version["server"]["version"].as_str().unwrap().starts_with('v'), "{version}");
    refused(
        &server.sandbank(&["claim", "--pool", "p"]),
        3,
        &["pool default/p not found", "no pools"],
    );
}

#[test]
fn a_claim_is_made_explained_and_given_back() {
    let server = Server::with_quickstart();
    let claim = server.ask(&["claim", "--pool", "quickstart", "--name", "mine", "--wait"]);
    assert_eq!((&claim["ready"], &claim["launchType"]), (&true.into(), &"warm".into()), "{claim}");
    assert!(claim["podIPs"][0].is_string() && claim["tookMs"].as_f64() > Some(0.0), "{claim}");

    let why = server.ask(&["why", "claim/mine"])["chain"].clone();
    assert_eq!(why["standing"], "Well", "{why}");
    assert_eq!(why["dependsOn"][0]["kind"], "Sandbox", "{why}");
    assert_eq!(why["dependsOn"][0]["dependsOn"][0]["kind"], "Pod", "{why}");
    let counts = server.ask(&["status"]);
    assert_eq!(counts["claims"]["ready"], 1, "{counts}");
    assert_eq!(counts["sandboxes"]["claimed"], 1, "{counts}");

    // Pretended containers run nothing and write nothing, and say so.
    let nothing = server.sandbank(&["exec", "mine", "--", "true"]);
    refused(&nothing, 6, &["--runtime fake"]);
    let sandbox = claim["sandbox"].as_str().unwrap();
    let log = server.command("kubectl").args(["logs", sandbox]).output().unwrap();
    refused(&log, 1, &["there is no log of container \"shell\""]);

    let again = server.sandbank(&["claim", "--pool", "quickstart", "--name", "mine"]);
    refused(&again, 6, &["claim default/mine was refused", "exists"]);
    let released = server.sandbank(&["release", "mine"]);
    assert_eq!(stdout(&released), "released claim default/mine\n");
    refused(&server.sandbank(&["release", "mine"]), 3, &["claim default/mine not found"]);
}

#[test]
fn a_template_is_claimed_through_its_pool() {
    let server = Server::with_quickstart();
    let claim = server.ask(&["claim", "--template", "quickstart", "--wait"]);
    assert_eq!(claim["pool"], "quickstart");
    let other = server.sandbank(&["claim", "--template", "other"]);
    refused(
        &other,
        6,
        &["no pool keeps it warm", "quickstart (template quickstart)", "SandboxWarmPool"],
    );
}

#[test]
fn a_claim_that_cannot_be_had_says_why_and_comes_down_to_the_cause() {
    let server = Server::start();
    let pool = server.folder.path().join("pool.yaml");
    let text = "apiVersion: extensions.agents.x-k8s.io/v1beta1\nkind: SandboxWarmPool\n\
                metadata: {name: orphan}\nspec: {replicas: 1, sandboxTemplateRef: {name: nowhere}}\n";
    std::fs::write(&pool, text).unwrap();
    server.kubectl(&["apply", "-f", pool.to_str().unwrap()]);
    let claim = server.sandbank(&[
        "claim",
        "--pool",
        "orphan",
        "--name",
        "c",
        "--wait",
        "--timeout",
        "20s",
    ]);
    refused(&claim, 4, &["TemplateNotFound", "sandbank why claim/c", "sandbank release c"]);
    let why = stdout(&server.sandbank(&["why", "claim/c"]));
    assert!(why.contains("It comes down to template default/nowhere: it does not exist"), "{why}");
}

#[test]
fn what_does_not_exist_is_not_found() {
    let server = Server::start();
    for subject in ["claim/x", "pool/x", "template/x", "sandbox/x", "pod/x"] {
        refused(&server.sandbank(&["why", subject]), 3, &["default/x not found", "kubectl get"]);
    }
    refused(&server.sandbank(&["exec", "x", "--", "true"]), 3, &["claim or sandbox default/x"]);
}

#[test]
fn a_measurement_reports_its_conditions_and_leaves_nothing_behind() {
    let server = Server::with_quickstart();
    let alone = server.ask(&["bench", "claims", "--pool", "quickstart", "--count", "4"]);
    assert_eq!((&alone["ready"], &alone["warm"]), (&4.into(), &4.into()), "{alone}");
    assert!(alone["postToReadyMs"]["p50"].as_f64() > Some(0.0), "{alone}");
    assert_eq!(alone["conditions"]["pool"], "default/quickstart");
    let steady =
        server.ask(&["bench", "claims", "--pool", "quickstart", "--count", "6", "--rate", "50"]);
    assert_eq!(steady["ready"], 6, "{steady}");
    let claims = server.ask(&["status"]);
    assert_eq!(claims["claims"], serde_json::json!({"ready": 0, "waiting": 0}), "{claims}");
}

#[test]
fn a_server_that_went_away_is_told_from_one_that_refuses() {
    let mut server = Server::start();
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    let began = std::time::Instant::now();
    refused(&server.sandbank(&["status"]), 5, &["cannot reach the server", "sandbank up"]);
    assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
}
