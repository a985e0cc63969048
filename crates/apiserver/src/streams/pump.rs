//! Moves bytes between a WebSocket and a session until one of them ends.

use std::time::Duration;

use futures::{SinkExt, Stream, StreamExt, future::BoxFuture};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
    time::{interval, sleep, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error as WsError, Message,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};
use tokio_util::sync::CancellationToken;

use super::{
    Exit, Session, StreamError,
    channel::{Channel, Incoming, Protocol},
};

/// One message of output. What a pipe holds is 64 KiB; half of it keeps a slow reader's latency low.
const CHUNK_BYTES: usize = 32 << 10;

/// Messages that wait for the socket. Reading from the process stops when they are full: that is the back-pressure.
const QUEUE: usize = 4;

/// Output is waited for this long after the command has ended, counted from the last byte. A process that it left in
/// the background may hold the pipe open for ever; what the command itself wrote is in the pipe already.
const OUTPUT_GRACE: Duration = Duration::from_millis(500);

/// How often a client is asked whether it is still there. A client that vanished while its input was held back would
/// otherwise keep its command alive.
const PING: Duration = Duration::from_secs(30);

/// How long a client may take to answer our close, so that it can read the last message before the connection goes.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

type Starting = BoxFuture<'static, Result<Session, StreamError>>;

/// Waits for the session, serves it, tells how it ended, and closes.
///
/// A client that leaves early ends the command: dropping [`Session::exit`] does that.
pub async fn run<S>(
    socket: WebSocketStream<S>,
    protocol: Protocol,
    starting: Starting,
    stop: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (mut sink, mut source) = socket.split();
    let serve = async {
        // Clients wait for a first message before they send.
        sink.send(protocol.encode(Channel::Stdout, &[])).await?;
        match starting.await {
            Ok(session) => serve(&mut sink, &mut source, protocol, session).await,
            Err(error) => match protocol.ending(&Err(error)) {
                Some(message) => sink.send(message).await.map(|()| Parting::Ended),
                None => Ok(Parting::Ended),
            },
        }
    };
    let code = tokio::select! {
        biased;
        () = stop.cancelled() => CloseCode::Away,
        parting = serve => match parting {
            Ok(Parting::Ended) => CloseCode::Normal,
            Ok(Parting::ClientLeft) => return,
            Err(error) => return tracing::debug!(%error, "a stream's client is gone"),
        },
    };
    let close = CloseFrame { code, reason: "".into() };
    if sink.send(Message::Close(Some(close))).await.is_ok() {
        let answered = async { while let Some(Ok(_)) = source.next().await {} };
        let _ = timeout(CLOSE_WAIT, answered).await;
    }
}

enum Parting {
    /// The command ended and its end was told.
    Ended,
    /// The client closed, or is gone.
    ClientLeft,
}

async fn serve<W, R>(
    sink: &mut W,
    source: &mut R,
    protocol: Protocol,
    session: Session,
) -> Result<Parting, WsError>
where
    W: SinkExt<Message, Error = WsError> + Unpin,
    R: Stream<Item = Result<Message, WsError>> + Unpin,
{
    let Session { stdin, stdout, stderr, resize, exit } = session;
    let (messages, queue) = mpsc::channel(QUEUE);
    let ended = CancellationToken::new();
    let command = async {
        let messages = messages;
        let exit = async {
            let result: Result<Exit, StreamError> = exit.await;
            ended.cancel();
            result
        };
        let (result, (), ()) = futures::join!(
            exit,
            forward(stdout, Channel::Stdout, protocol, &messages, &ended),
            forward(stderr, Channel::Stderr, protocol, &messages, &ended),
        );
        if let Some(message) = protocol.ending(&result) {
            // Fails only if the writer below has failed, which says so itself.
            let _ = messages.send(message).await;
        }
        Ok(())
    };
    let served = async { futures::try_join!(command, write(sink, queue)) };
    tokio::select! {
        biased;
        served = served => served.map(|_| Parting::Ended),
        () = read(source, protocol, stdin, resize) => Ok(Parting::ClientLeft),
    }
}

/// Sends one output of the command, in order, until it ends or falls silent after the command's end.
async fn forward(
    output: Option<Box<dyn AsyncRead + Send + Unpin>>,
    channel: Channel,
    protocol: Protocol,
    messages: &mpsc::Sender<Message>,
    ended: &CancellationToken,
) {
    let Some(mut output) = output else { return };
    let mut buffer = vec![0; CHUNK_BYTES];
    let silent_after_end = || async {
        ended.cancelled().await;
        sleep(OUTPUT_GRACE).await;
    };
    loop {
        let read = tokio::select! {
            biased;
            read = output.read(&mut buffer) => read,
            () = silent_after_end() => return,
        };
        match read {
            Ok(0) | Err(_) => return,
            Ok(length) => {
                if messages.send(protocol.encode(channel, &buffer[..length])).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// The only writer: messages as they come, and a ping now and then. Ends when nobody can send any more.
async fn write<W>(sink: &mut W, mut queue: mpsc::Receiver<Message>) -> Result<(), WsError>
where
    W: SinkExt<Message, Error = WsError> + Unpin,
{
    let mut pings = interval(PING);
    pings.reset();
    loop {
        tokio::select! {
            biased;
            message = queue.recv() => match message {
                Some(message) => sink.send(message).await?,
                None => return Ok(()),
            },
            _ = pings.tick() => sink.send(Message::Ping(bytes::Bytes::new())).await?,
        }
    }
}

/// Takes what the client sends, until it leaves. A command that does not read its input stops this, and so the client.
async fn read<R>(
    source: &mut R,
    protocol: Protocol,
    mut stdin: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    resize: mpsc::Sender<(u16, u16)>,
) where
    R: Stream<Item = Result<Message, WsError>> + Unpin,
{
    // Only the newest size matters, so one that was not taken yet is replaced.
    let mut size = None;
    loop {
        let message = tokio::select! {
            biased;
            message = source.next() => match message {
                Some(Ok(message)) => message,
                Some(Err(_)) | None => return,
            },
            permit = resize.reserve(), if size.is_some() => {
                if let (Ok(permit), Some(size)) = (permit, size.take()) {
                    permit.send(size);
                }
                continue;
            }
        };
        match protocol.decode(message) {
            Incoming::Stdin(data) => {
                if let Some(input) = &mut stdin {
                    let written = async {
                        input.write_all(&data).await?;
                        input.flush().await
                    };
                    // A command that closed its input takes no more of it; it may well go on.
                    if written.await.is_err() {
                        stdin = None;
                    }
                }
            }
            Incoming::StdinEnd => {
                if let Some(mut input) = stdin.take() {
                    let _ = input.shutdown().await;
                }
            }
            Incoming::Resize(columns, rows) => size = Some((columns, rows)),
            Incoming::Other => {}
        }
    }
}
