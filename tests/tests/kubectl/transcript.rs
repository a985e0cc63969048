//! Transcripts: documents of commands and what they print.
//!
//! ```text
//! # Prose says what is shown.
//! $ kubectl get boxes
//! > --selector size=big
//! NAME   AGE
//! a      <age>
//! ```
//!
//! A command goes on over lines that begin with `>`. One that ends with `&` goes to the background once it has printed the
//! lines below it; `$ fg` waits until it has printed the lines below that, and ends it. With TRANSCRIPTS=write in the
//! environment a transcript is written anew.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use crate::{diff, mask::Mask};

/// A command that takes longer hangs. Under load on a small machine kubectl needs a second or two.
const PATIENCE: Duration = Duration::from_secs(60);

/// When a transcript is written anew, a background command is done when it prints nothing for this long.
const SILENCE: Duration = Duration::from_secs(2);

/// Where commands run: a folder of their own, and a kubeconfig.
pub struct Shell {
    pub home: PathBuf,
    pub kubeconfig: PathBuf,
    /// A folder in which `kubectl` is the one under test.
    pub bin: PathBuf,
}

enum Block {
    Prose(String),
    Command { text: String, output: Vec<String> },
}

/// Runs the transcript in a file and compares what the commands print with what it says.
pub async fn play(file: &str, shell: &Shell) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kubectl").join(file);
    let expected = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
    let write = std::env::var("TRANSCRIPTS").is_ok_and(|mode| mode == "write");
    let mut player = Player { shell, mask: Mask::new(), background: None, write };
    let mut played = Vec::new();
    for block in parse(&expected) {
        played.push(match block {
            Block::Prose(text) => Block::Prose(text),
            Block::Command { text, output } => {
                let output = player.run(&text, output.len()).await;
                Block::Command { text, output }
            }
        });
    }
    let actual = render(&played);
    if write {
        fs::write(&path, actual).unwrap();
    } else if actual != expected {
        let difference = diff::lines(&expected, &actual);
        panic!("{file} tells another story (- as written, + as it is):\n{difference}");
    }
}

fn parse(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for line in text.lines() {
        if let Some(prose) = line.strip_prefix('#') {
            match blocks.last_mut() {
                Some(Block::Prose(text)) => {
                    let _ = write!(text, "\n#{prose}");
                }
                _ => blocks.push(Block::Prose(line.to_owned())),
            }
        } else if let Some(command) = line.strip_prefix("$ ") {
            blocks.push(Block::Command { text: command.to_owned(), output: Vec::new() });
        } else if let Some(Block::Command { text, output }) = blocks.last_mut() {
            match line.strip_prefix('>') {
                Some(more) if output.is_empty() => {
                    let _ = write!(text, "\n{}", more.strip_prefix(' ').unwrap_or(more));
                }
                _ => output.push(line.to_owned()),
            }
        }
    }
    for block in &mut blocks {
        if let Block::Command { output, .. } = block {
            trim(output);
        }
    }
    blocks
}

fn render(blocks: &[Block]) -> String {
    let mut text = String::new();
    for block in blocks {
        match block {
            Block::Prose(prose) => {
                text.push_str(prose);
            }
            Block::Command { text: command, output } => {
                let command: Vec<&str> = command.split('\n').collect();
                let _ = write!(text, "$ {}", command.join("\n> "));
                for line in output {
                    let _ = write!(text, "\n{line}");
                }
                text.push('\n');
            }
        }
        text.push('\n');
    }
    format!("{}\n", text.trim_end())
}

/// Blank lines at the end belong to the layout of the document.
fn trim(output: &mut Vec<String>) {
    while output.last().is_some_and(|line| line.trim().is_empty()) {
        output.pop();
    }
}

struct Player<'a> {
    shell: &'a Shell,
    mask: Mask,
    background: Option<Background>,
    write: bool,
}

struct Background {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Player<'_> {
    async fn run(&mut self, command: &str, expected: usize) -> Vec<String> {
        let text = if command == "fg" {
            let mut background = self.background.take().expect("nothing runs in the background");
            let text = self.read(&mut background, expected).await;
            background.child.kill().await.unwrap();
            text
        } else if let Some(command) = command.strip_suffix('&') {
            assert!(self.background.is_none(), "one command in the background is enough");
            let mut child = self.spawn(&format!("exec 2>&1\nexec {command}"));
            let stdout = child.stdout.take().unwrap();
            let mut background = Background { child, lines: BufReader::new(stdout).lines() };
            let text = self.read(&mut background, expected).await;
            self.background = Some(background);
            text
        } else {
            self.finish(command).await
        };
        let text = self.mask.apply(&text);
        let mut lines: Vec<String> = text.lines().map(|line| line.trim_end().to_owned()).collect();
        trim(&mut lines);
        lines
    }

    /// Runs a command to its end.
    async fn finish(&self, command: &str) -> String {
        let mut child = self.spawn(&format!("exec 2>&1\n{command}"));
        let mut stdout = child.stdout.take().unwrap();
        let mut output = Vec::new();
        let ended = timeout(PATIENCE, async {
            stdout.read_to_end(&mut output).await.unwrap();
            child.wait().await.unwrap()
        });
        let end = match ended.await {
            Ok(status) if status.success() => String::new(),
            Ok(status) => format!("[{status}]").replace("exit status: ", "exit "),
            Err(_) => {
                end_group(&mut child).await;
                format!("[still running after {PATIENCE:?}]")
            }
        };
        format!("{}{end}", String::from_utf8_lossy(&output))
    }

    /// Reads as many lines as the transcript has, or what comes until silence if it is to be written.
    async fn read(&self, background: &mut Background, expected: usize) -> String {
        let (limit, patience) =
            if self.write { (usize::MAX, SILENCE) } else { (expected, PATIENCE) };
        let mut lines = Vec::new();
        while lines.len() < limit {
            match timeout(patience, background.lines.next_line()).await {
                Ok(Ok(Some(line))) => lines.push(line),
                Ok(_) => break,
                Err(_) if self.write => break,
                Err(_) => {
                    lines.push(format!("[nothing for {PATIENCE:?}]"));
                    break;
                }
            }
        }
        lines.join("\n")
    }

    fn spawn(&self, script: &str) -> Child {
        let path = std::env::var("PATH").unwrap_or_default();
        Command::new("sh")
            .arg("-c")
            .arg(script)
            .current_dir(&self.shell.home)
            .env("PATH", format!("{}:{path}", self.shell.bin.display()))
            .env("HOME", &self.shell.home)
            .env("KUBECONFIG", &self.shell.kubeconfig)
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            .env("TERM", "dumb")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .expect("there is a shell")
    }
}

/// Ends a command that hangs, with all it has started.
async fn end_group(child: &mut Child) {
    if let Some(id) = child.id() {
        let group = format!("-{id}");
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status().await;
    }
    let _ = child.wait().await;
}
