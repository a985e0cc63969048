//! What is run in pods: `fail` says why and ends badly, `hang` never ends, everything else ends well.

use std::sync::Arc;

use apiserver::streams::{
    AttachRequest, ExecRequest, Exit, LogRequest, LogStream, PodStreams, Session, StreamError,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::mpsc;

/// What was run so far.
#[derive(Clone, Default)]
pub struct Commands(Arc<Mutex<Vec<String>>>);

impl Commands {
    /// Each as the life of the pod and the command.
    pub fn run(&self) -> Vec<String> {
        self.0.lock().clone()
    }
}

impl PodStreams for Commands {
    fn exec(&self, request: ExecRequest) -> BoxFuture<'_, Result<Session, StreamError>> {
        async move {
            self.0.lock().push(format!("{} {}", request.target.uid, request.command.join(" ")));
            let program = request.command[0].clone();
            let (code, said): (i32, &'static [u8]) =
                if program == "fail" { (3, b"no space left\n") } else { (0, b"") };
            let (resize, _) = mpsc::channel(1);
            let exit = async move {
                if program == "hang" {
                    std::future::pending::<()>().await;
                }
                Ok(Exit { code })
            };
            Ok(Session {
                stdin: None,
                stdout: Some(Box::new(tokio::io::empty())),
                stderr: Some(Box::new(said)),
                resize,
                exit: exit.boxed(),
            })
        }
        .boxed()
    }

    fn attach(&self, _: AttachRequest) -> BoxFuture<'_, Result<Session, StreamError>> {
        async { Err(StreamError::Unsupported("attach".to_owned())) }.boxed()
    }

    fn logs(&self, _: LogRequest) -> BoxFuture<'_, Result<LogStream, StreamError>> {
        async { Err(StreamError::Unsupported("logs".to_owned())) }.boxed()
    }
}
