//! What is under way on one connection, so that one without any is known.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::watch;

/// Counts the requests of a connection whose answers have not ended. A watch is one answer, however long.
#[derive(Debug)]
pub(super) struct Traffic(watch::Sender<usize>);

impl Default for Traffic {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Traffic {
    /// Counts one request until its answer's last byte was taken or nobody wants it any more.
    pub(super) fn count<F>(
        &self,
        answer: F,
    ) -> impl Future<Output = Result<Response, Infallible>> + use<F>
    where
        F: Future<Output = Result<Response, Infallible>>,
    {
        self.0.send_modify(|open| *open += 1);
        let open = Open(self.0.clone());
        async move {
            let answer = answer.await?;
            Ok(answer.map(|body| Body::new(Counted { body, _open: open })))
        }
    }

    /// Resolves when nothing was under way for so long.
    pub(super) async fn idle(&self, bound: Duration) {
        let mut open = self.0.subscribe();
        loop {
            let busy = *open.borrow_and_update() > 0;
            let changed = open.changed();
            if busy {
                // The sender is ours, so there is always a next change to wait for.
                let _ = changed.await;
            } else if tokio::time::timeout(bound, changed).await.is_err() {
                return;
            }
        }
    }
}

/// A request that is under way.
#[derive(Debug)]
struct Open(watch::Sender<usize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

/// The body of an answer that is counted.
#[derive(Debug)]
struct Counted {
    body: Body,
    _open: Open,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
