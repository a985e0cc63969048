//! Durations as the family's clients write and read them: `1h30m`, `250ms`, `-1s`.

use jiff::SignedDuration;
use std::fmt::Write;

/// A pattern for schemas: what [`parse`] reads.
pub const PATTERN: &str = r"^[-+]?(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$";

const UNITS: [(&str, i128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads a duration. `None` if it is not one, or longer than the 292 years that other programs can count.
pub fn parse(text: &str) -> Option<SignedDuration> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(SignedDuration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut nanos: i128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(end);
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let (_, size) = UNITS.iter().find(|(name, _)| *name == unit)?;
        nanos = nanos.checked_add(scaled(number, *size)?)?;
        rest = after;
    }
    let nanos = if negative { -nanos } else { nanos };
    i64::try_from(nanos).ok().map(SignedDuration::from_nanos)
}

/// A decimal number of units of so many nanoseconds.
fn scaled(number: &str, size: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut nanos = whole.checked_mul(size)?;
    let mut place = size;
    for digit in fraction.chars() {
        place /= 10;
        nanos += i128::from(digit.to_digit(10)?) * place;
    }
    Some(nanos)
}

/// Writes a duration the way the family's messages do: `1m0s`, `1.5s`, `100ms`.
pub fn text(duration: SignedDuration) -> String {
    let nanos = duration.as_nanos().unsigned_abs();
    let mut text = if duration.is_negative() { "-".to_owned() } else { String::new() };
    let small = [("µs", 1_000), ("ms", 1_000_000)];
    if nanos < 1_000_000_000 && nanos > 0 {
        match small.iter().rev().find(|(_, size)| nanos >= *size) {
            Some((unit, size)) => text.push_str(&decimal(nanos, *size, unit)),
            None => text.push_str(&format!("{nanos}ns")),
        }
        return text;
    }
    let (hours, minutes) = (nanos / 3_600_000_000_000, nanos / 60_000_000_000 % 60);
    // Writing to a text can't fail.
    if hours > 0 {
        let _ = write!(text, "{hours}h");
    }
    if hours > 0 || minutes > 0 {
        let _ = write!(text, "{minutes}m");
    }
    text.push_str(&decimal(nanos % 60_000_000_000, 1_000_000_000, "s"));
    text
}

fn decimal(nanos: u128, size: u128, unit: &str) -> String {
    let (whole, rest) = (nanos / size, nanos % size);
    if rest == 0 {
        return format!("{whole}{unit}");
    }
    let places = size.ilog10() as usize;
    let fraction = format!("{rest:0places$}");
    format!("{whole}.{}{unit}", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_clients_write_them() {
        let table = [
            ("1m", Some(60_000)),
            ("60m", Some(3_600_000)),
            ("1h30m", Some(5_400_000)),
            ("1.5s", Some(1_500)),
            (".5s", Some(500)),
            ("100ms", Some(100)),
            ("-1s", Some(-1_000)),
            ("+2s", Some(2_000)),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("1m0s", Some(60_000)),
            ("1", None),
            ("", None),
            ("-", None),
            ("s", None),
            (".s", None),
            ("1x", None),
            ("1s ", None),
            ("1.2.3s", None),
            ("9999999h", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text), expected.map(SignedDuration::from_millis), "{text:?}");
        }
        assert_eq!(parse("3us"), Some(SignedDuration::from_micros(3)));
        assert_eq!(parse("3µs"), Some(SignedDuration::from_micros(3)));
    }

    #[test]
    fn durations_are_written_as_the_messages_have_them() {
        let table = [
            ("60s", "1m0s"),
            ("3600s", "1h0m0s"),
            ("1500ms", "1.5s"),
            ("30s", "30s"),
            ("100ms", "100ms"),
            ("1050us", "1.05ms"),
            ("7ns", "7ns"),
            ("0", "0s"),
            ("-90s", "-1m30s"),
        ];
        for (from, expected) in table {
            assert_eq!(text(parse(from).unwrap()), expected);
        }
    }
}
