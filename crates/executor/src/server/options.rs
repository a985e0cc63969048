//! Flags and variables, spelled as the executors that pods already start spell them: `-name value`, `--name=value`, and variables that flags override.

use std::{collections::BTreeMap, ffi::OsString, net::SocketAddr, path::PathBuf};

use super::auth::{Token, TokenError};
use crate::{protocol::PORT, target::Mode};

/// The variable with the token itself. It is taken out of the environment of tasks.
pub(crate) const TOKEN_VARIABLE: &str = "TASK_EXECUTOR_TOKEN";
const TOKEN_FILE_VARIABLE: &str = "TASK_EXECUTOR_TOKEN_FILE";

/// What `-help` prints.
pub(crate) const USAGE: &str = "\
Usage of task-executor:
  -data-dir string            where tasks are kept (default /var/lib/sandbox/tasks) [$DATA_DIR]
  -listen-addr string         where to listen (default 0.0.0.0:5758) [$LISTEN_ADDR]
  -enable-sidecar-mode        run tasks in the sandbox's container and never in this one [$ENABLE_SIDECAR_MODE]
                              (without it: in the sandbox's container if the pod shares its processes, else in this one)
  -main-container-name string the value of SANDBOX_MAIN_CONTAINER in the sandbox's container (default main) [$MAIN_CONTAINER_NAME]
  -token-file string          a file with the token that callers must show; read again for each call [$TASK_EXECUTOR_TOKEN_FILE, or $TASK_EXECUTOR_TOKEN]
  -log-dir string             write task-executor.log there as well
  -log-max-size int           megabytes after which that file is begun anew (default 100)
  -log-max-backups int        how many old ones to keep (default 10)
  -log-max-age int            days after which old ones go (default 7)
  -cri-socket string          accepted, and not used [$CRI_SOCKET]
";

/// How the executor was told to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) data_dir: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) mode: Mode,
    pub(crate) main_container: String,
    pub(crate) token: Option<Token>,
    pub(crate) log: Option<LogFile>,
}

/// A log file beside standard output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogFile {
    pub(crate) dir: PathBuf,
    pub(crate) max_bytes: u64,
    pub(crate) max_backups: usize,
    pub(crate) max_age_days: u64,
}

/// Why the executor does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OptionsError {
    /// Not an error: the usage was asked for.
    #[error("help")]
    Help,
    #[error("flag provided but not defined: -{0}")]
    Unknown(String),
    #[error("flag needs an argument: -{0}")]
    NoValue(String),
    #[error("invalid value {value:?} for {name}: {why}")]
    Invalid { name: String, value: String, why: String },
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// The flags, and whether each is a switch, which needs no value.
const FLAGS: [(&str, bool); 10] = [
    ("data-dir", false),
    ("listen-addr", false),
    ("cri-socket", false),
    ("enable-sidecar-mode", true),
    ("main-container-name", false),
    ("token-file", false),
    ("log-dir", false),
    ("log-max-size", false),
    ("log-max-backups", false),
    ("log-max-age", false),
];

impl Options {
    /// From the arguments after the program's name, and from variables.
    pub(crate) fn read(
        arguments: impl IntoIterator<Item = OsString>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, OptionsError> {
        let flags = flags(arguments.into_iter().map(|a| a.to_string_lossy().into_owned()))?;
        let given = |flag: &str, name: &str| {
            let set = || variable(name).filter(|value| !value.is_empty());
            flags.get(flag).cloned().or_else(set)
        };
        let number = |flag: &str, default: u64| match flags.get(flag) {
            None => Ok(default),
            Some(value) => value.parse().map_err(|e| invalid(flag, value, e)),
        };
        let sidecar = match flags.get("enable-sidecar-mode") {
            Some(value) => truth("enable-sidecar-mode", value)?,
            None => variable("ENABLE_SIDECAR_MODE").as_deref() == Some("true"),
        };
        let token_file = given("token-file", TOKEN_FILE_VARIABLE).map(PathBuf::from);
        let log = flags.get("log-dir").map(|dir| -> Result<LogFile, OptionsError> {
            Ok(LogFile {
                dir: dir.into(),
                max_bytes: number("log-max-size", 100)?.saturating_mul(1 << 20),
                max_backups: usize::try_from(number("log-max-backups", 10)?).unwrap_or(usize::MAX),
                max_age_days: number("log-max-age", 7)?,
            })
        });
        Ok(Self {
            data_dir: given("data-dir", "DATA_DIR")
                .unwrap_or_else(|| "/var/lib/sandbox/tasks".to_owned())
                .into(),
            listen: address(&given("listen-addr", "LISTEN_ADDR").unwrap_or_default())?,
            mode: if sidecar { Mode::Beside } else { Mode::Find },
            main_container: given("main-container-name", "MAIN_CONTAINER_NAME")
                .unwrap_or_else(|| "main".to_owned()),
            token: match token_file {
                Some(path) => Some(Token::in_file(path)?),
                None => variable(TOKEN_VARIABLE).map(Token::new).transpose()?,
            },
            log: log.transpose()?,
        })
    }
}

fn flags(
    mut arguments: impl Iterator<Item = String>,
) -> Result<BTreeMap<String, String>, OptionsError> {
    let mut flags = BTreeMap::new();
    while let Some(argument) = arguments.next() {
        let Some(flag) = argument.strip_prefix('-') else { break };
        let flag = flag.strip_prefix('-').unwrap_or(flag);
        if flag.is_empty() {
            break;
        }
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (flag, None),
        };
        if matches!(name, "h" | "help") {
            return Err(OptionsError::Help);
        }
        let known = FLAGS.iter().find(|(flag, _)| *flag == name);
        let Some((_, switch)) = known else { return Err(OptionsError::Unknown(name.to_owned())) };
        let value = match (value, switch) {
            (Some(value), _) => value,
            (None, true) => "true".to_owned(),
            (None, false) => {
                arguments.next().ok_or_else(|| OptionsError::NoValue(name.to_owned()))?
            }
        };
        flags.insert(name.to_owned(), value);
    }
    Ok(flags)
}

fn invalid(name: &str, value: &str, why: impl ToString) -> OptionsError {
    let (name, value) = (name.to_owned(), value.to_owned());
    OptionsError::Invalid { name, value, why: why.to_string() }
}

fn truth(name: &str, value: &str) -> Result<bool, OptionsError> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(invalid(name, value, "it is neither true nor false")),
    }
}

/// An address, where an absent host means all of them.
fn address(text: &str) -> Result<SocketAddr, OptionsError> {
    let whole = match text {
        "" => format!("0.0.0.0:{PORT}"),
        port if port.starts_with(':') => format!("0.0.0.0{port}"),
        other => match other.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}"),
            None => other.to_owned(),
        },
    };
    whole.parse().map_err(|e| invalid("listen-addr", text, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Options, OptionsError> {
        let find = |name: &str| {
            variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
        };
        Options::read(arguments.iter().map(OsString::from), find)
    }

    #[test]
    fn without_flags_it_is_where_every_controller_looks_for_it() {
        let options = read(&[], &[]).unwrap();
        assert_eq!(options.listen.to_string(), "0.0.0.0:5758");
        assert_eq!(options.data_dir, PathBuf::from("/var/lib/sandbox/tasks"));
        assert_eq!((options.mode, options.main_container.as_str()), (Mode::Find, "main"));
        assert!(options.token.is_none() && options.log.is_none());
    }

    #[test]
    fn flags_take_one_dash_or_two_and_win_over_variables() {
        let variables = [
            ("LISTEN_ADDR", "127.0.0.1:1"),
            ("DATA_DIR", "/a"),
            ("ENABLE_SIDECAR_MODE", "true"),
            ("MAIN_CONTAINER_NAME", "box"),
            ("TASK_EXECUTOR_TOKEN", "secret"),
        ];
        let options = read(&["-listen-addr=:5759", "--data-dir", "/b"], &variables).unwrap();
        assert_eq!(options.listen.to_string(), "0.0.0.0:5759");
        assert_eq!((options.data_dir, options.mode), (PathBuf::from("/b"), Mode::Beside));
        assert_eq!(options.main_container, "box");
        assert!(options.token.is_some());
        let off = read(&["-enable-sidecar-mode=false"], &variables).unwrap();
        assert_eq!(off.mode, Mode::Find);
        let log = read(&["-log-dir", "/l", "-log-max-size=2"], &[]).unwrap().log.unwrap();
        assert_eq!((log.max_bytes, log.max_backups, log.max_age_days), (2 << 20, 10, 7));
    }

    #[test]
    fn what_can_t_be_meant_is_refused_by_name() {
        for (arguments, message) in [
            (
                vec!["--reconcile-interval", "1s"],
                "flag provided but not defined: -reconcile-interval",
            ),
            (vec!["-data-dir"], "flag needs an argument: -data-dir"),
            (
                vec!["-listen-addr=here"],
                "invalid value \"here\" for listen-addr: invalid socket address syntax",
            ),
            (vec!["-h"], "help"),
        ] {
            assert_eq!(read(&arguments, &[]).unwrap_err().to_string(), message);
        }
        let empty = read(&[], &[("TASK_EXECUTOR_TOKEN", "")]).unwrap_err();
        assert!(empty.to_string().contains("empty"), "{empty}");
    }
}
