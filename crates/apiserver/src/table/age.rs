//! How long ago, in the few letters a column has room for.

use jiff::Timestamp;
use serde_json::Value;

/// What stands where no time is known.
const UNKNOWN: &str = "<unknown>";

/// The age of a timestamp field, as `5m3s` or `5d3h`.
pub(super) fn since(time: &Value, now: Timestamp) -> String {
    match time.as_str().and_then(|text| text.parse::<Timestamp>().ok()) {
        Some(then) => span(now.as_second() - then.as_second()),
        None => UNKNOWN.to_owned(),
    }
}

/// A number of seconds with at most two units, and one where the second says nothing: precise while young, coarse when
/// old. Two clocks may differ by a second; a time further in the future is a mistake.
pub(super) fn span(seconds: i64) -> String {
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let (days, years) = (hours / 24, hours / 24 / 365);
    let two = |big: i64, unit: &str, small: i64, small_unit: &str| match small {
        0 => format!("{big}{unit}"),
        _ => format!("{big}{unit}{small}{small_unit}"),
    };
    match () {
        () if seconds < -1 => "<invalid>".to_owned(),
        () if seconds < 0 => "0s".to_owned(),
        () if seconds < 120 => format!("{seconds}s"),
        () if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        () if minutes < 180 => format!("{minutes}m"),
        () if hours < 8 => two(hours, "h", minutes % 60, "m"),
        () if hours < 48 => format!("{hours}h"),
        () if days < 8 => two(days, "d", hours % 24, "h"),
        () if years < 2 => format!("{days}d"),
        () if years < 8 => two(years, "y", days % 365, "d"),
        () => format!("{years}y"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_as_kubectl_prints_them() {
        const H: i64 = 3600;
        const D: i64 = 24 * H;
        for (seconds, text) in [
            (-5, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (599, "9m59s"),
            (600, "10m"),
            (10_799, "179m"),
            (3 * H, "3h"),
            (3 * H + 60, "3h1m"),
            (8 * H, "8h"),
            (47 * H, "47h"),
            (48 * H, "2d"),
            (51 * H, "2d3h"),
            (8 * D, "8d"),
            (729 * D, "729d"),
            (730 * D, "2y"),
            (731 * D, "2y1d"),
            (8 * 365 * D, "8y"),
        ] {
            assert_eq!(span(seconds), text);
        }
        let now: Timestamp = "2026-11-22T00:00:10Z".parse().unwrap();
        assert_eq!(since(&"2026-11-22T00:00:00Z".into(), now), "10s");
        assert_eq!(since(&"2026-11-22T00:00:00.123456Z".into(), now), "10s");
        assert_eq!(since(&Value::Null, now), "<unknown>");
    }
}
