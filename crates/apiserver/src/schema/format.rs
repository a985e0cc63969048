//! The `format`s of strings and numbers that are checked. An unknown format is not checked, as JSON schema wants it.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use regex::Regex;

/// A format with a check behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Int32,
    Int64,
    DateTime,
    Date,
    Duration,
    Byte,
    Uuid,
    Uri,
    Email,
    Hostname,
    Ipv4,
    Ipv6,
    Cidr,
    Mac,
}

impl Format {
    /// The format of that name, if it is checked.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "int32" => Self::Int32,
            "int64" => Self::Int64,
            "date-time" => Self::DateTime,
            "date" => Self::Date,
            "duration" => Self::Duration,
            "byte" => Self::Byte,
            "uuid" => Self::Uuid,
            "uri" => Self::Uri,
            "email" => Self::Email,
            "hostname" => Self::Hostname,
            "ipv4" => Self::Ipv4,
            "ipv6" => Self::Ipv6,
            "cidr" => Self::Cidr,
            "mac" => Self::Mac,
            _ => return None,
        })
    }

    /// The name in messages; date-times keep their dash there.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::DateTime => "date-time",
            Self::Date => "date",
            Self::Duration => "duration",
            Self::Byte => "byte",
            Self::Uuid => "uuid",
            Self::Uri => "uri",
            Self::Email => "email",
            Self::Hostname => "hostname",
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Cidr => "cidr",
            Self::Mac => "mac",
        }
    }

    /// Whether a text has this format. Formats of numbers accept every text.
    pub(crate) fn matches(self, text: &str) -> bool {
        match self {
            Self::Int32 | Self::Int64 => true,
            Self::DateTime => date_time(text),
            Self::Date => text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
            Self::Duration => duration(text),
            Self::Byte => base64(text),
            Self::Uuid => UUID.is_match(text),
            Self::Uri => text.parse::<http::Uri>().is_ok() && !text.is_empty(),
            Self::Email => EMAIL.is_match(text),
            Self::Hostname => text.len() <= 255 && HOSTNAME.is_match(text),
            Self::Ipv4 => text.parse::<Ipv4Addr>().is_ok(),
            Self::Ipv6 => text.parse::<Ipv6Addr>().is_ok(),
            Self::Cidr => cidr(text),
            Self::Mac => MAC.is_match(text),
        }
    }
}

fn expression(text: &str) -> Regex {
    Regex::new(text).expect("a constant expression that the tests compile")
}

static UUID: LazyLock<Regex> = LazyLock::new(|| {
    expression("(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$")
});
static EMAIL: LazyLock<Regex> = LazyLock::new(|| expression(r"^[^@\s<>]+@[^@\s<>]+$"));
static HOSTNAME: LazyLock<Regex> = LazyLock::new(|| {
    expression(
        r"^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$",
    )
});
static MAC: LazyLock<Regex> = LazyLock::new(|| {
    expression("^([0-9A-Fa-f]{2}[:-]){5}([0-9A-Fa-f]{2}[:-][0-9A-Fa-f]{2}[:-])?[0-9A-Fa-f]{2}$")
});
/// What jiff would also accept (spaces, missing seconds, zone names) is no RFC 3339 date-time.
static DATE_TIME: LazyLock<Regex> = LazyLock::new(|| {
    expression(r"^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$")
});

fn date_time(text: &str) -> bool {
    DATE_TIME.is_match(text) && text.parse::<jiff::Timestamp>().is_ok()
}

/// Go's durations (`1h30m`, `-1.5s`, `0`) and plain words of the older kind (`3 days`) that the real server takes too.
fn duration(text: &str) -> bool {
    let rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    static GO: LazyLock<Regex> =
        LazyLock::new(|| expression(r"^((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))+$"));
    static WORDS: LazyLock<Regex> = LazyLock::new(|| {
        expression(
            r"(?i)^\d+(\.\d+)?\s*(ns|us|ms|s|m|h|d|w|nanos?|micros?|millis?|secs?|seconds?|mins?|minutes?|hrs?|hours?|days?|wks?|weeks?)$",
        )
    });
    GO.is_match(rest) || WORDS.is_match(rest)
}

/// Whether a text is standard, padded base64. Line breaks are allowed, as Go allows them.
fn base64(text: &str) -> bool {
    use base64::Engine;
    let compact: String;
    let text = match text.contains(['\r', '\n']) {
        true => {
            compact = text.replace(['\r', '\n'], "");
            &compact
        }
        false => text,
    };
    base64::engine::general_purpose::STANDARD.decode(text).is_ok()
}

fn cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let limit = match (address.parse::<Ipv4Addr>(), address.parse::<Ipv6Addr>()) {
        (Ok(_), _) => 32,
        (_, Ok(_)) => 128,
        _ => return false,
    };
    bits.bytes().all(|b| b.is_ascii_digit()) && bits.parse::<u8>().is_ok_and(|b| b <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_accepts_and_refuses() {
        for (format, good, bad) in [
            (
                "date-time",
                vec!["2026-11-21T23:39:30Z", "2026-11-21T23:39:30.123456+01:00"],
                vec!["2026-11-21", "2026-11-21T23:39Z", "2026-13-01T00:00:00Z", "", "now"],
            ),
            ("date", vec!["2026-11-21"], vec!["2026-02-30", "20261121"]),
            ("duration", vec!["1h30m", "0", "-1.5s", "3 days", "100ms"], vec!["", "1", "h", "1x"]),
            ("byte", vec!["", "aGk=", "aG\nk="], vec!["aGk", "?"]),
            ("uuid", vec!["123e4567-e89b-12d3-a456-426614174000"], vec!["123"]),
            ("uri", vec!["https://example.com/a?b"], vec!["", "a b"]),
            ("email", vec!["a@b.example"], vec!["a", "a@"]),
            ("hostname", vec!["a.b-c"], vec!["-a", "a..b", "a_b"]),
            ("ipv4", vec!["10.0.0.1"], vec!["10.0.0.256", "::1"]),
            ("ipv6", vec!["::1"], vec!["10.0.0.1"]),
            ("cidr", vec!["10.0.0.0/8", "::/0"], vec!["10.0.0.0", "10.0.0.0/33", "10.0.0.0/+8"]),
            ("mac", vec!["00:11:22:aa:bb:cc"], vec!["00:11"]),
        ] {
            let checked = Format::named(format).unwrap();
            assert_eq!(checked.name(), format);
            for text in good {
                assert!(checked.matches(text), "{format} should accept {text:?}");
            }
            for text in bad {
                assert!(!checked.matches(text), "{format} should refuse {text:?}");
            }
        }
        assert_eq!(Format::named("something-new"), None);
    }
}
