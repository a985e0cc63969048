//! Probes: asks a container how it is, and counts the answers.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use k8s_openapi::{
    api::core::v1::{Container, HTTPGetAction, Probe},
    apimachinery::pkg::util::intstr::IntOrString,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{Instant, sleep, timeout},
};

use crate::runtime::{ContainerId, ExecSetup, Runtime};

/// What a probe decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProbeKind {
    /// Whether the container has started; until then the other probes wait.
    Startup,
    /// Whether it must be restarted.
    Liveness,
    /// Whether it is ready to serve.
    Readiness,
}

impl ProbeKind {
    /// As events name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }

    /// The probe of a container, if it has one of this kind.
    pub(crate) fn of(self, container: &Container) -> Option<&Probe> {
        match self {
            Self::Startup => container.startup_probe.as_ref(),
            Self::Liveness => container.liveness_probe.as_ref(),
            Self::Readiness => container.readiness_probe.as_ref(),
        }
    }
}

/// News from a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// Enough successes in a row.
    Passed,
    /// One failure that changes nothing yet, for an event.
    Missed(String),
    /// Enough failures in a row.
    Failed(String),
}

/// Counts answers in a row, as thresholds want it.
#[derive(Clone, Debug)]
struct Count {
    successes: u32,
    failures: u32,
    need_successes: u32,
    need_failures: u32,
    passing: Option<bool>,
}

impl Count {
    fn of(probe: &Probe) -> Self {
        let at_least_one = |n: Option<i32>, default| {
            n.and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0).unwrap_or(default)
        };
        Self {
            successes: 0,
            failures: 0,
            need_successes: at_least_one(probe.success_threshold, 1),
            need_failures: at_least_one(probe.failure_threshold, 3),
            passing: None,
        }
    }

    fn observe(&mut self, answer: Result<(), String>) -> Option<Report> {
        match answer {
            Ok(()) => {
                (self.successes, self.failures) = (self.successes + 1, 0);
                let enough = self.successes >= self.need_successes && self.passing != Some(true);
                enough.then(|| {
                    self.passing = Some(true);
                    Report::Passed
                })
            }
            Err(why) => {
                (self.successes, self.failures) = (0, self.failures + 1);
                if self.failures >= self.need_failures && self.passing != Some(false) {
                    self.passing = Some(false);
                    return Some(Report::Failed(why));
                }
                Some(Report::Missed(why))
            }
        }
    }
}

/// Until the first success a container is asked more often than its period says, beginning with this pause and doubling:
/// one that is ready after 50 ms should not wait ten seconds to be asked. Such extra failures count for nothing.
const EAGER: Duration = Duration::from_millis(20);

/// Asks until dropped. `report` is told of each change, and of failures.
pub(crate) async fn run<R: Runtime>(
    runtime: &R,
    id: &ContainerId,
    container: &Container,
    kind: ProbeKind,
    address: Option<IpAddr>,
    report: impl Fn(Report),
) {
    let Some(probe) = kind.of(container) else { return };
    let seconds = |n: Option<i32>, default: u64| {
        Duration::from_secs(n.and_then(|n| u64::try_from(n).ok()).unwrap_or(default))
    };
    let period = seconds(probe.period_seconds.filter(|n| *n > 0), 10);
    let limit = seconds(probe.timeout_seconds.filter(|n| *n > 0), 1);
    sleep(seconds(probe.initial_delay_seconds, 0)).await;
    let mut count = Count::of(probe);
    let mut pause = EAGER;
    let mut next_counted = Instant::now();
    loop {
        let begun = Instant::now();
        let answer = match timeout(limit, ask(runtime, id, container, probe, address)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {}s", limit.as_secs())),
        };
        let eager = kind != ProbeKind::Liveness && count.passing.is_none();
        if answer.is_ok() || begun >= next_counted {
            next_counted = begun + period;
            if let Some(news) = count.observe(answer) {
                report(news);
            }
        }
        let until = if eager && count.passing.is_none() { begun + pause } else { begun + period };
        pause = (pause * 2).min(period);
        tokio::time::sleep_until(until.min(begun + period)).await;
    }
}

async fn ask<R: Runtime>(
    runtime: &R,
    id: &ContainerId,
    container: &Container,
    probe: &Probe,
    address: Option<IpAddr>,
) -> Result<(), String> {
    if let Some(exec) = &probe.exec {
        return ask_command(runtime, id, exec.command.clone().unwrap_or_default()).await;
    }
    match (&probe.http_get, &probe.tcp_socket) {
        (Some(http), _) => match http_get(runtime, container, http, address, AGENT).await? {
            200..=399 => Ok(()),
            code => Err(format!("HTTP probe failed with statuscode: {code}")),
        },
        (_, Some(tcp)) => {
            let to = place(container, &tcp.port, tcp.host.as_deref(), address)?;
            let stream = runtime.connect(to).await;
            stream.map(drop).map_err(|e| format!("dial tcp {to}: {e}"))
        }
        _ => Err("the probe names nothing to ask".into()),
    }
}

/// How probes introduce themselves to servers.
const AGENT: &str = "kube-probe/sandbank";

/// Where a port of a container is.
fn place(
    container: &Container,
    port: &IntOrString,
    host: Option<&str>,
    address: Option<IpAddr>,
) -> Result<SocketAddr, String> {
    let port = port_number(port, container).ok_or("this names no port of the container")?;
    let named = host.filter(|h| !h.is_empty()).and_then(|h| h.parse().ok());
    Ok(SocketAddr::new(named.or(address).ok_or("the pod has no address")?, port))
}

/// Asks a container over HTTP; answers the code of its answer.
pub(crate) async fn http_get<R: Runtime>(
    runtime: &R,
    container: &Container,
    http: &HTTPGetAction,
    address: Option<IpAddr>,
    agent: &str,
) -> Result<u16, String> {
    let to = place(container, &http.port, http.host.as_deref(), address)?;
    let stream = runtime.connect(to).await.map_err(|e| format!("dial tcp {to}: {e}"))?;
    ask_http(stream, to, http, agent).await
}

async fn ask_command<R: Runtime>(
    runtime: &R,
    id: &ContainerId,
    argv: Vec<String>,
) -> Result<(), String> {
    let setup = ExecSetup { argv, env: Default::default(), tty: false, stdin: false };
    let mut streams = runtime.exec(id, setup).await.map_err(|e| e.to_string())?;
    let mut said = Vec::new();
    let (stdout, stderr) = (streams.stdout.take(), streams.stderr.take());
    // Bounded: what a chatty command says beyond it is read and dropped, so that it does not block.
    let listen = async {
        for out in [stdout, stderr].into_iter().flatten() {
            let mut out = out.take(MAX_ANSWER_BYTES);
            let _ = out.read_to_end(&mut said).await;
            let _ = tokio::io::copy(&mut out.into_inner(), &mut tokio::io::sink()).await;
        }
    };
    let (exit, ()) = tokio::join!(streams.exit, listen);
    match exit.map_err(|e| e.to_string())?.code {
        0 => Ok(()),
        code => {
            let said = String::from_utf8_lossy(&said);
            Err(format!("command exited with {code}: {}", said.trim()))
        }
    }
}

/// An answer's status line and the first lines of what it says fit well.
const MAX_ANSWER_BYTES: u64 = 10 << 10;

async fn ask_http(
    mut stream: tokio::net::TcpStream,
    to: SocketAddr,
    http: &HTTPGetAction,
    agent: &str,
) -> Result<u16, String> {
    let path = http.path.as_deref().filter(|p| !p.is_empty()).unwrap_or("/");
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mut request = format!("GET {slash}{path} HTTP/1.1\r\n");
    let headers: Vec<_> = http.http_headers.iter().flatten().collect();
    let given = |name: &str| headers.iter().any(|h| h.name.eq_ignore_ascii_case(name));
    if !given("host") {
        request += &format!("Host: {to}\r\n");
    }
    if !given("user-agent") {
        request += &format!("User-Agent: {agent}\r\n");
    }
    for header in &headers {
        if header.name.contains(['\r', '\n']) || header.value.contains(['\r', '\n']) {
            return Err("a header of the probe holds a line break".into());
        }
        request += &format!("{}: {}\r\n", header.name, header.value);
    }
    request += "Accept: */*\r\nConnection: close\r\n\r\n";
    let url = format!("Get \"http://{to}{slash}{path}\"");
    stream.write_all(request.as_bytes()).await.map_err(|e| format!("{url}: {e}"))?;
    let mut answer = Vec::new();
    let mut limited = stream.take(MAX_ANSWER_BYTES);
    while !answer.contains(&b'\n') {
        let n = limited.read_buf(&mut answer).await.map_err(|e| format!("{url}: {e}"))?;
        if n == 0 {
            return Err(format!("{url}: the answer ended early"));
        }
    }
    status_code(&answer).ok_or_else(|| format!("{url}: the answer is not HTTP"))
}

fn status_code(answer: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(answer.split(|b| *b == b'\n').next()?).ok()?;
    let mut words = line.split_whitespace();
    words.next().filter(|version| version.starts_with("HTTP/"))?;
    words.next()?.parse().ok()
}

fn port_number(port: &IntOrString, container: &Container) -> Option<u16> {
    match port {
        IntOrString::Int(number) => u16::try_from(*number).ok(),
        IntOrString::String(name) => name.parse().ok().or_else(|| {
            let ports = container.ports.iter().flatten();
            let mut named = ports.filter(|p| p.name.as_deref() == Some(name));
            named.next().and_then(|p| u16::try_from(p.container_port).ok())
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(successes: i32, failures: i32) -> Count {
        Count::of(&Probe {
            success_threshold: Some(successes),
            failure_threshold: Some(failures),
            ..Probe::default()
        })
    }

    #[test]
    fn thresholds_count_answers_in_a_row() {
        let mut count = count(2, 3);
        let no = || Err("no".to_owned());
        assert_eq!(count.observe(Ok(())), None);
        assert_eq!(count.observe(no()), Some(Report::Missed("no".into())));
        assert_eq!(count.observe(Ok(())), None);
        assert_eq!(count.observe(Ok(())), Some(Report::Passed));
        assert_eq!(count.observe(no()), Some(Report::Missed("no".into())));
        assert_eq!(count.observe(no()), Some(Report::Missed("no".into())));
        assert_eq!(count.observe(no()), Some(Report::Failed("no".into())));
        assert_eq!(count.observe(Ok(())), None);
        assert_eq!(count.observe(Ok(())), Some(Report::Passed));
    }

    #[test]
    fn an_answer_is_judged_by_its_status_line() {
        assert_eq!(status_code(b"HTTP/1.1 204 No Content\r\n"), Some(204));
        assert_eq!(status_code(b"HTTP/1.0 500\r\nX"), Some(500));
        assert_eq!(status_code(b"SSH-2.0-x\r\n"), None);
    }

    #[test]
    fn ports_have_numbers_or_names() {
        let container = serde_json::json!({
            "name": "a", "ports": [{ "name": "web", "containerPort": 8080 }]
        });
        let container: Container = serde_json::from_value(container).unwrap();
        assert_eq!(port_number(&IntOrString::Int(80), &container), Some(80));
        assert_eq!(port_number(&IntOrString::String("web".into()), &container), Some(8080));
        assert_eq!(port_number(&IntOrString::String("gone".into()), &container), None);
        assert_eq!(port_number(&IntOrString::Int(70_000), &container), None);
    }
}
