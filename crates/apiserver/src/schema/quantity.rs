//! Quantities such as `500m`, `1Gi`, `0.5` and `1e3`.
//!
//! The real server stores a quantity in canonical form, and clients compare the text they get back; so the
//! same value must come out the same way here: no fraction, the largest suffix that keeps all digits, the suffix family
//! of the input.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// The family of suffixes a quantity was written with, and will be written with again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    /// Powers of ten with letters: `m`, none, `k`, `M` ...
    Decimal,
    /// Powers of 1024: `Ki`, `Mi` ...
    Binary,
    /// `e3`: a power of ten in figures.
    Exponent,
}

/// An exact amount: `nanos` thousand-millionths.
///
/// Nanos are the smallest unit Kubernetes keeps; finer fractions are rounded up, away from zero.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nanos: i128,
    family: Family,
}

/// A text that is no quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// The text does not have the form of a quantity.
    #[error(
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    )]
    Form,
    /// The part after the number is no known suffix.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

const NANOS: i128 = 1_000_000_000;
/// Larger amounts are cut to this, as the real server does; 2^63-1 units fit 128 bits of nanos easily.
const MAX: i128 = i64::MAX as i128 * NANOS;

const DECIMAL: [(i32, &str); 9] =
    [(18, "E"), (15, "P"), (12, "T"), (9, "G"), (6, "M"), (3, "k"), (0, ""), (-3, "m"), (-6, "u")];
const BINARY: [(u32, &str); 6] =
    [(60, "Ei"), (50, "Pi"), (40, "Ti"), (30, "Gi"), (20, "Mi"), (10, "Ki")];

impl Quantity {
    /// The amount in thousandths, rounded up: CPU is counted so.
    pub fn milli(self) -> i128 {
        div_up(self.nanos, NANOS / 1000)
    }

    /// The amount in whole units, rounded up: bytes and pods are counted so.
    pub fn units(self) -> i128 {
        div_up(self.nanos, NANOS)
    }

    /// The canonical text of a quantity in a JSON string or number, or why it is none.
    pub fn canonical(text: &str) -> Result<String, QuantityError> {
        text.parse::<Quantity>().map(|quantity| quantity.to_string())
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

fn div_up(value: i128, by: i128) -> i128 {
    let quotient = value / by;
    match value % by {
        0 => quotient,
        rest if rest > 0 => quotient + 1,
        _ => quotient - 1,
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let (negative, rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.len() + fraction.len() == 0 || fraction.contains('.') {
            return Err(QuantityError::Form);
        }
        let (family, binary, decimal) = suffix_scale(suffix)?;
        let digits = format!("{whole}{fraction}");
        let magnitude =
            scaled(digits.trim_start_matches('0'), decimal - fraction.len() as i64, binary);
        let nanos = if negative { -magnitude } else { magnitude };
        Ok(Quantity { nanos, family })
    }
}

/// The family of a suffix and its scale as (power of two, power of ten).
fn suffix_scale(suffix: &str) -> Result<(Family, u32, i64), QuantityError> {
    if let Some((power, _)) = BINARY.iter().find(|(_, s)| *s == suffix) {
        return Ok((Family::Binary, *power, 0));
    }
    if suffix == "n" {
        return Ok((Family::Decimal, 0, -9));
    }
    if let Some((power, _)) = DECIMAL.iter().find(|(_, s)| *s == suffix) {
        return Ok((Family::Decimal, 0, i64::from(*power)));
    }
    let exponent = suffix.strip_prefix(['e', 'E']).ok_or(QuantityError::Suffix)?;
    let power: i64 = exponent.parse().map_err(|_| QuantityError::Suffix)?;
    Ok((Family::Exponent, 0, power))
}

/// `digits * 10^decimal * 2^binary` in nanos, rounded up and cut at [`MAX`].
fn scaled(digits: &str, decimal: i64, binary: u32) -> i128 {
    if digits.is_empty() {
        return 0;
    }
    let power = decimal + 9;
    // The number of digits before the point says whether it can matter at all: 10^28 nanos are beyond the maximum,
    // and what is smaller than a nano rounds up to one.
    let magnitude = digits.len() as i64 + power;
    if magnitude > 29 {
        return MAX;
    }
    if magnitude < -19 {
        return 1;
    }
    let kept = digits.len().min(30);
    let lost = digits[kept..].bytes().any(|b| b != b'0');
    let power = power + (digits.len() - kept) as i64;
    let mut value: i128 = digits[..kept].parse().unwrap_or(MAX);
    for _ in 0..power.max(0) {
        value = value.saturating_mul(10);
    }
    // Multiply before dividing so that 0.5Ki stays exact; cut first, since more is cut afterwards anyway.
    value = match value.checked_mul(1 << binary) {
        Some(value) => value,
        None if power < 0 => return scaled_lossy(value, binary, power),
        None => return MAX,
    };
    for _ in 0..(-power).max(0) {
        value = div_up(value, 10);
    }
    (value + i128::from(lost && power <= 0)).min(MAX)
}

/// The rare amount with so many decimals that multiplying first would overflow: drop decimals first.
fn scaled_lossy(mut value: i128, binary: u32, mut power: i64) -> i128 {
    while power < 0 && value.checked_mul(1 << binary).is_none() {
        value = div_up(value, 10);
        power += 1;
    }
    value = value.saturating_mul(1 << binary);
    for _ in 0..-power {
        value = div_up(value, 10);
    }
    value.min(MAX)
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        if self.family == Family::Binary && self.nanos % NANOS == 0 {
            let units = self.nanos / NANOS;
            // Below 1024 a binary quantity is written as a plain number.
            for (power, suffix) in BINARY {
                if units % (1 << power) == 0 {
                    return write!(f, "{}{suffix}", units >> power);
                }
            }
            return write!(f, "{units}");
        }
        for (power, suffix) in DECIMAL {
            let unit = 10i128.pow((power + 9) as u32);
            if self.nanos % unit == 0 {
                let value = self.nanos / unit;
                return match (self.family, power) {
                    (Family::Exponent, 0) => write!(f, "{value}"),
                    (Family::Exponent, _) => write!(f, "{value}e{power}"),
                    _ => write!(f, "{value}{suffix}"),
                };
            }
        }
        match self.family {
            Family::Exponent => write!(f, "{}e-9", self.nanos),
            _ => write!(f, "{}n", self.nanos),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn canonical_forms() {
        for (text, canonical) in [
            ("0.5", "500m"),
            ("1", "1"),
            ("1.0", "1"),
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("100", "100"),
            ("1000", "1k"),
            ("1024", "1024"),
            ("1024Ki", "1Mi"),
            ("1.5Gi", "1536Mi"),
            ("0.5Ki", "512"),
            ("512Mi", "512Mi"),
            ("1e3", "1e3"),
            ("1E3", "1e3"),
            ("12e6", "12e6"),
            ("1500e-3", "1500e-3"),
            ("0", "0"),
            ("0Gi", "0"),
            ("-1Gi", "-1Gi"),
            ("+2", "2"),
            (".5", "500m"),
            ("5.", "5"),
            ("100n", "100n"),
            ("1000n", "1u"),
            ("0.1n", "1n"),
            ("123456789012345678901234567890", "9223372036854775807"),
            ("0.00000000000000000000000000000000000000001", "1n"),
        ] {
            assert_eq!(Quantity::canonical(text).as_deref(), Ok(canonical), "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity() {
        for text in ["", "a", "1x", "1 Gi", "Gi", "1.2.3", "--1", "1e", "1KI", "1ki", "."] {
            assert!(text.parse::<Quantity>().is_err(), "{text}");
        }
    }

    #[test]
    fn amounts_compare_across_families() {
        let parse = |text: &str| text.parse::<Quantity>().unwrap();
        assert!(parse("1Ki") > parse("1k"));
        assert_eq!(parse("1"), parse("1000m"));
        assert_eq!(parse("250m").milli(), 250);
        assert_eq!(parse("1Mi").units(), 1 << 20);
        assert_eq!(parse("1m").units(), 1);
    }

    proptest! {
        #[test]
        fn canonical_text_keeps_the_amount_and_is_stable(
            number in "[0-9]{1,12}(\\.[0-9]{0,6})?",
            suffix in prop::sample::select(vec!["", "n", "u", "m", "k", "M", "G", "Ki", "Mi", "Gi", "e3", "e-3"]),
        ) {
            let first: Quantity = format!("{number}{suffix}").parse().unwrap();
            let second: Quantity = first.to_string().parse().unwrap();
            prop_assert_eq!(first, second);
            prop_assert_eq!(first.to_string(), second.to_string());
        }
    }
}
