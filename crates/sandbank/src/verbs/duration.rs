//! Durations as people write and read them.

use std::time::Duration;

use jiff::SignedDuration;

/// Reads `500ms`, `30s`, `5m`, `2h`, or a bare number of seconds. For clap.
pub fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: f64 =
        digits.parse().map_err(|_| "write it like 500ms, 30s, 5m or 2h".to_owned())?;
    let seconds = match &text[digits.len()..] {
        "ms" => number / 1e3,
        "s" | "" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        unit => return Err(format!("{unit:?} is no unit; use ms, s, m or h")),
    };
    Duration::try_from_secs_f64(seconds).map_err(|e| e.to_string())
}

/// A short age: two units while the smaller still matters, then one. `7s`, `3m5s`, `4h`, `12d`.
pub fn short(age: SignedDuration) -> String {
    // A clock that runs behind the server's must not show negative ages.
    let seconds = age.as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 if seconds % 60 != 0 => format!("{minutes}m{}s", seconds % 60),
        120..10800 => format!("{minutes}m"),
        10800..28800 if minutes % 60 != 0 => format!("{hours}h{}m", minutes % 60),
        10800..172800 => format!("{hours}h"),
        _ => format!("{days}d"),
    }
}

/// A latency with three significant digits: `840 us`, `3.21 ms`, `1.50 s`.
pub fn latency(took: Duration) -> String {
    let us = took.as_secs_f64() * 1e6;
    let (value, unit) = match us {
        us if us < 1e3 => (us, "us"),
        us if us < 1e6 => (us / 1e3, "ms"),
        us => (us / 1e6, "s"),
    };
    let digits = if value >= 100.0 || unit == "us" {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_and_without_a_unit() {
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse("30"), Ok(Duration::from_secs(30)));
        assert_eq!(parse("2h"), Ok(Duration::from_secs(7200)));
        for bad in ["", "s", "-1s", "3 days", "5y", "nan", "1e300h"] {
            assert!(parse(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn ages_lose_their_small_unit_when_it_stops_to_matter() {
        let shown = |s| short(SignedDuration::from_secs(s));
        let ages = [-5, 0, 119, 120, 185, 3600, 10_800, 11_100, 90_000, 200_000].map(shown);
        assert_eq!(ages, ["0s", "0s", "119s", "2m", "3m5s", "60m", "3h", "3h5m", "25h", "2d"]);
    }

    #[test]
    fn latencies_keep_three_digits() {
        let shown = |us| latency(Duration::from_micros(us));
        assert_eq!(
            [840, 3_214, 25_610, 250_000, 1_500_000].map(shown),
            ["840 us", "3.21 ms", "25.6 ms", "250 ms", "1.50 s"]
        );
    }
}
