//! Several streams on one WebSocket: each message begins with the number of its channel.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, header};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::{Exit, StreamError};

/// Says in v5 that a channel has ended; the channel's number follows.
const CLOSE: u8 = 255;

/// What a message carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Channel {
    /// Standard input.
    Stdin = 0,
    /// Standard output.
    Stdout = 1,
    /// Standard error.
    Stderr = 2,
    /// How it ended.
    Status = 3,
    /// The size of the client's terminal.
    Resize = 4,
}

/// A message from the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// Bytes for standard input.
    Stdin(Bytes),
    /// Standard input has ended.
    StdinEnd,
    /// The terminal has this many columns and rows.
    Resize(u16, u16),
    /// Nothing that the server acts on.
    Other,
}

/// A subprotocol: what the versions of the channel protocol differ in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// Its name in the handshake; none if the client offered none and gets the oldest.
    name: Option<&'static str>,
    encoding: Encoding,
    ending: Ending,
    half_close: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Binary,
    /// Text messages: the channel as a digit, then base64. For browsers of old.
    Base64,
}

/// How the end of the command is told on the status channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// A Status object, also for success.
    Json,
    /// Text, only for failure.
    Text,
}

const fn protocol(name: &'static str, encoding: Encoding, ending: Ending) -> Protocol {
    Protocol { name: Some(name), encoding, ending, half_close: false }
}

const PROTOCOLS: [Protocol; 7] = [
    Protocol { half_close: true, ..protocol("v5.channel.k8s.io", Encoding::Binary, Ending::Json) },
    protocol("v4.channel.k8s.io", Encoding::Binary, Ending::Json),
    protocol("v3.channel.k8s.io", Encoding::Binary, Ending::Text),
    protocol("v2.channel.k8s.io", Encoding::Binary, Ending::Text),
    protocol("channel.k8s.io", Encoding::Binary, Ending::Text),
    protocol("v4.base64.channel.k8s.io", Encoding::Base64, Ending::Json),
    protocol("base64.channel.k8s.io", Encoding::Base64, Ending::Text),
];

impl Protocol {
    /// The first protocol the client offers that is known here; the oldest if it offers none.
    ///
    /// `None` if it knows only others.
    pub fn choose(headers: &HeaderMap) -> Option<Self> {
        let mut offered = headers
            .get_all(header::SEC_WEBSOCKET_PROTOCOL)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .peekable();
        if offered.peek().is_none() {
            let unnamed = Protocol { name: None, ..PROTOCOLS[4] };
            return Some(unnamed);
        }
        offered.find_map(|name| PROTOCOLS.into_iter().find(|known| known.name == Some(name)))
    }

    /// What the handshake's answer names.
    pub fn name(self) -> Option<&'static str> {
        self.name
    }

    /// A message on a channel.
    pub fn encode(self, channel: Channel, data: &[u8]) -> Message {
        match self.encoding {
            Encoding::Binary => {
                let mut message = BytesMut::with_capacity(data.len() + 1);
                message.put_u8(channel as u8);
                message.put_slice(data);
                Message::Binary(message.freeze())
            }
            Encoding::Base64 => {
                let mut message = String::with_capacity(data.len() * 4 / 3 + 5);
                message.push(char::from(b'0' + channel as u8));
                STANDARD.encode_string(data, &mut message);
                Message::Text(Utf8Bytes::from(message))
            }
        }
    }

    /// What a message from the client says.
    pub fn decode(self, message: Message) -> Incoming {
        let (channel, data) = match (message, self.encoding) {
            (Message::Binary(data), Encoding::Binary) if !data.is_empty() => {
                (data[0], data.slice(1..))
            }
            // A text message on a binary protocol is taken as its bytes: some clients send input that way.
            (Message::Text(text), Encoding::Binary) if !text.is_empty() => {
                let data = Bytes::from(text);
                (data[0], data.slice(1..))
            }
            (Message::Text(text), Encoding::Base64) if !text.is_empty() => {
                let (digit, data) = text.as_bytes().split_at(1);
                match STANDARD.decode(data) {
                    Ok(data) => (digit[0].wrapping_sub(b'0'), Bytes::from(data)),
                    Err(_) => return Incoming::Other,
                }
            }
            _ => return Incoming::Other,
        };
        match channel {
            _ if channel == Channel::Stdin as u8 => Incoming::Stdin(data),
            _ if channel == Channel::Resize as u8 => resize(&data).unwrap_or(Incoming::Other),
            CLOSE if self.half_close && data.as_ref() == [Channel::Stdin as u8] => {
                Incoming::StdinEnd
            }
            _ => Incoming::Other,
        }
    }

    /// The message that tells how the command ended, if this protocol has one for it.
    pub fn ending(self, result: &Result<Exit, StreamError>) -> Option<Message> {
        let text = match (self.ending, result) {
            (Ending::Json, result) => ending_status(result).to_string(),
            (Ending::Text, Ok(Exit { code: 0 })) => return None,
            (Ending::Text, Ok(Exit { code })) => non_zero(*code),
            (Ending::Text, Err(error)) => error.to_string(),
        };
        Some(self.encode(Channel::Status, text.as_bytes()))
    }
}

fn resize(data: &[u8]) -> Option<Incoming> {
    let size: Value = serde_json::from_slice(data).ok()?;
    let side = |name: &str| u16::try_from(size.get(name)?.as_u64()?).ok();
    Some(Incoming::Resize(side("Width")?, side("Height")?))
}

fn non_zero(code: i32) -> String {
    format!("command terminated with non-zero exit code: exit status {code}")
}

fn ending_status(result: &Result<Exit, StreamError>) -> Value {
    match result {
        Ok(Exit { code: 0 }) => json!({"metadata": {}, "status": "Success"}),
        Ok(Exit { code }) => json!({
            "metadata": {},
            "status": "Failure",
            "message": non_zero(*code),
            "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
        }),
        Err(error) => json!({
            "metadata": {},
            "status": "Failure",
            "message": format!("Internal error occurred: {error}"),
            "reason": "InternalError",
            "details": {"causes": [{"message": error.to_string()}]},
            "code": 500,
        }),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn chosen(offers: &[&'static str]) -> Option<Option<&'static str>> {
        let mut headers = HeaderMap::new();
        for offer in offers {
            headers.append(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(offer));
        }
        Protocol::choose(&headers).map(Protocol::name)
    }

    #[test]
    fn the_first_known_offer_wins() {
        assert_eq!(
            chosen(&["v5.channel.k8s.io,v4.channel.k8s.io"]),
            Some(Some("v5.channel.k8s.io"))
        );
        assert_eq!(
            chosen(&["v9.channel.k8s.io, v4.channel.k8s.io"]),
            Some(Some("v4.channel.k8s.io"))
        );
        assert_eq!(chosen(&["x", "base64.channel.k8s.io"]), Some(Some("base64.channel.k8s.io")));
        assert_eq!(chosen(&[]), Some(None), "none offered: the oldest, unnamed");
        assert_eq!(chosen(&["SPDY/3.1+portforward.k8s.io"]), None);
    }

    #[test]
    fn messages_carry_a_channel_and_survive_every_protocol() {
        for protocol in PROTOCOLS {
            let message = protocol.encode(Channel::Stdin, b"\x00\xff data");
            let decoded = protocol.decode(message);
            assert_eq!(decoded, Incoming::Stdin(Bytes::from_static(b"\x00\xff data")));
            let resize = protocol.encode(Channel::Resize, br#"{"Width":80,"Height":24}"#);
            assert_eq!(protocol.decode(resize), Incoming::Resize(80, 24));
        }
    }

    #[test]
    fn only_the_fifth_version_can_close_half() {
        let close = || Message::Binary(Bytes::from_static(&[CLOSE, 0]));
        assert_eq!(PROTOCOLS[0].decode(close()), Incoming::StdinEnd);
        assert_eq!(PROTOCOLS[1].decode(close()), Incoming::Other);
        let other = Message::Binary(Bytes::from_static(&[CLOSE, 1]));
        assert_eq!(PROTOCOLS[0].decode(other), Incoming::Other);
    }

    #[test]
    fn rubbish_is_passed_over() {
        for data in [&b""[..], b"\x09", b"\x04{", b"\x04{\"Width\":-1,\"Height\":70000}", b"\xff"] {
            let message = Message::Binary(Bytes::copy_from_slice(data));
            assert_eq!(PROTOCOLS[0].decode(message), Incoming::Other, "{data:?}");
        }
        assert_eq!(PROTOCOLS[6].decode(Message::text("0***")), Incoming::Other);
        assert_eq!(PROTOCOLS[6].decode(Message::text("")), Incoming::Other);
    }

    #[test]
    fn the_end_is_told_as_each_version_tells_it() {
        let text = |protocol: Protocol, result: &Result<Exit, StreamError>| {
            protocol.ending(result).map(|message| {
                let data = message.into_data();
                assert_eq!(data[0], Channel::Status as u8);
                String::from_utf8(data[1..].to_vec()).unwrap()
            })
        };
        let seven: Value =
            serde_json::from_str(&text(PROTOCOLS[1], &Ok(Exit { code: 7 })).unwrap()).unwrap();
        assert_eq!(seven["reason"], "NonZeroExitCode");
        assert_eq!(seven["details"]["causes"][0], json!({"reason": "ExitCode", "message": "7"}));
        let good = text(PROTOCOLS[0], &Ok(Exit { code: 0 })).unwrap();
        assert_eq!(good, r#"{"metadata":{},"status":"Success"}"#);
        assert_eq!(text(PROTOCOLS[3], &Ok(Exit { code: 0 })), None);
        let old = text(PROTOCOLS[3], &Err(StreamError::NotRunning("it has ended".to_owned())));
        assert_eq!(old.unwrap(), "it has ended");
    }
}
