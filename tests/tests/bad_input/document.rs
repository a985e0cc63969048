//! Documents: requests, and what is answered to them.
//!
//! ```text
//! ## A heading begins with an empty cluster.
//! # Prose says what is shown.
//! POST sandboxwarmpools
//! metadata: {name: p}
//! spec: {replicas: -1, sandboxTemplateRef: {name: t}}
//! => 422 Invalid: SandboxWarmPool... spec.replicas: Invalid value: -1: ...
//! =>   spec.replicas FieldValueInvalid
//! LATER sandboxwarmpools/p
//! => Available=False TemplateNotFound: ...
//! ```
//!
//! A body is YAML and is sent as JSON, with `apiVersion` and `kind` filled in. `RAW` before the method sends the body as it stands, with the content type that
//! follows the path. `LATER` lets ten minutes pass and shows the conditions and events of an object, and how busy the controllers still are.

use std::fmt::Write as _;
use std::path::Path;

use crate::world::World;
use crate::{diff, text};

/// One part of a document.
enum Part {
    Heading(String),
    Prose(String),
    Step { command: String, body: String, answer: Vec<String> },
}

/// Plays a document and compares what is answered with what it says.
pub async fn play(file: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad_input").join(file);
    let expected = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
    let mut world = None;
    let mut played = Vec::new();
    for part in parse(&expected) {
        played.push(match part {
            Part::Heading(title) => {
                world = None;
                Part::Heading(title)
            }
            Part::Step { command, body, .. } => {
                if world.is_none() {
                    world = Some(World::open().await);
                }
                let world = world.as_ref().unwrap();
                let answer = step(world, &command, &body).await;
                Part::Step { command, body, answer }
            }
            prose => prose,
        });
    }
    let actual = render(&played);
    if std::env::var("DOCUMENTS").is_ok_and(|mode| mode == "write") {
        std::fs::write(&path, actual).unwrap();
    } else if actual != expected {
        let difference = diff::lines(&expected, &actual);
        panic!("{file} tells another story (- as written, + as it is):\n{difference}");
    }
}

async fn step(world: &World, command: &str, body: &str) -> Vec<String> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let lines = match words[..] {
        ["LATER", object] => world.later(object).await,
        ["RAW", method, path, content] => {
            world.send(method, path, content, text::expand(body)).await
        }
        [method, path] => {
            let body = text::expand(body);
            world.send_object(method, path, &body).await
        }
        _ => panic!("not a step: {command}"),
    };
    lines.iter().map(|line| text::shorten(line)).collect()
}

fn is_step(line: &str) -> bool {
    ["GET ", "POST ", "PUT ", "PATCH ", "DELETE ", "LATER ", "RAW "]
        .iter()
        .any(|word| line.starts_with(word))
}

fn parse(document: &str) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for line in document.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            parts.push(Part::Heading(title.to_owned()));
        } else if line.starts_with('#') {
            match parts.last_mut() {
                Some(Part::Prose(prose)) => {
                    let _ = write!(prose, "\n{line}");
                }
                _ => parts.push(Part::Prose(line.to_owned())),
            }
        } else if is_step(line) {
            parts.push(Part::Step {
                command: line.to_owned(),
                body: String::new(),
                answer: Vec::new(),
            });
        } else if let Some(Part::Step { body, answer, .. }) = parts.last_mut() {
            if let Some(said) = line.strip_prefix("=> ") {
                answer.push(said.to_owned());
            } else if !line.is_empty() {
                body.push_str(line);
                body.push('\n');
            }
        }
    }
    parts
}

fn render(parts: &[Part]) -> String {
    let mut text = String::new();
    for part in parts {
        match part {
            Part::Heading(title) => {
                let _ = write!(text, "## {title}\n\n");
            }
            Part::Prose(prose) => {
                let _ = writeln!(text, "{prose}");
            }
            Part::Step { command, body, answer } => {
                let _ = write!(text, "{command}\n{body}");
                for line in answer {
                    let _ = writeln!(text, "=> {line}");
                }
                text.push('\n');
            }
        }
    }
    format!("{}\n", text.trim_end())
}
