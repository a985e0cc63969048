//! Connections: how many, how long, and how they end.

use std::{io, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
};

/// One controller asks, one more may wait for news, somebody may read output. Beyond this the system's own queue holds callers back.
const CONNECTIONS: usize = 128;
/// A caller that sends no request for this long is cut off.
const HEADER_DEADLINE: Duration = Duration::from_secs(30);
/// A request's head holds a path and a token.
const LARGEST_HEAD: usize = 64 << 10;
/// Whoever is being answered when the executor is told to go gets this long.
const LAST_ANSWERS: Duration = Duration::from_secs(5);
/// The system is out of descriptors or memory: it will not be better at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until told to stop, then lets answers finish.
pub(crate) async fn serve(listener: TcpListener, router: Router, mut stop: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let place = room.clone().acquire_owned();
        tokio::select! {
            () = told(&mut stop) => break,
            accepted = async { (place.await, listener.accept().await) } => {
                let (Ok(place), accepted) = accepted else { break };
                match accepted {
                    Ok((stream, _)) => {
                        let served = connection(stream, router.clone(), stop.clone());
                        connections.spawn(async move {
                            served.await;
                            drop(place);
                        });
                    }
                    Err(e) => pause(&e).await,
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
    let all = async { while connections.join_next().await.is_some() {} };
    // Whoever is left is cut off.
    let _ = tokio::time::timeout(LAST_ANSWERS, all).await;
}

async fn pause(error: &io::Error) {
    // A caller that went away before it was accepted is no trouble of ours.
    if error.kind() != io::ErrorKind::ConnectionAborted {
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

async fn connection(stream: TcpStream, router: Router, mut stop: watch::Receiver<bool>) {
    // Answers are small and someone waits for them.
    let _ = stream.set_nodelay(true);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_DEADLINE)
        .max_buf_size(LARGEST_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut served = std::pin::pin!(served);
    tokio::select! {
        // How a connection ended concerns nobody but its caller.
        _ = served.as_mut() => {}
        () = told(&mut stop) => {
            served.as_mut().graceful_shutdown();
            let _ = served.await;
        }
    }
}

async fn told(stop: &mut watch::Receiver<bool>) {
    // An error is that nobody can tell any more, which is the same.
    let _ = stop.wait_for(|stop| *stop).await;
}
