//! Kubernetes quantities, as far as limits and requests need them.

/// Thousandths of the unit, rounded up: `1.5` is 1500, `100m` is 100. Nothing if the text is no quantity.
pub(crate) fn milli(text: &str) -> Option<u64> {
    scaled(text, 1000)
}

/// Whole units, rounded up: `64Mi` is 67108864.
pub(crate) fn whole(text: &str) -> Option<u64> {
    scaled(text, 1)
}

/// Exact integer arithmetic: `digits * suffix * scale / 10^decimals`, rounded up.
fn scaled(text: &str, scale: u128) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (int, fraction) = number.split_once('.').unwrap_or((number, ""));
    if int.is_empty() && fraction.is_empty() || fraction.len() > 12 {
        return None;
    }
    let digits: u128 = format!("{int}{fraction}").parse().ok()?;
    let (times, over) = suffix_factor(suffix)?;
    let over = over.checked_mul(10u128.checked_pow(fraction.len() as u32)?)?;
    let value = digits.checked_mul(times)?.checked_mul(scale)?;
    u64::try_from(value.div_ceil(over)).ok()
}

/// A suffix as a fraction: (numerator, denominator).
fn suffix_factor(suffix: &str) -> Option<(u128, u128)> {
    Some(match suffix {
        "n" => (1, 1_000_000_000),
        "u" => (1, 1_000_000),
        "m" => (1, 1000),
        "" => (1, 1),
        "k" => (1000, 1),
        "M" => (1_000_000, 1),
        "G" => (1_000_000_000, 1),
        "T" => (1_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000, 1),
        "E" => (1_000_000_000_000_000_000, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        "Ei" => (1 << 60, 1),
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            let power = 10u128.checked_pow(exponent.unsigned_abs())?;
            if exponent < 0 { (1, power) } else { (power, 1) }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_exactly_and_rounded_up() {
        for (text, millis) in [
            ("1", 1000),
            ("0.5", 500),
            ("250m", 250),
            ("1.5", 1500),
            ("2e1", 20_000),
            ("1n", 1),
            (".5", 500),
        ] {
            assert_eq!(milli(text), Some(millis), "{text}");
        }
        for (text, bytes) in
            [("64Mi", 64 << 20), ("1G", 1_000_000_000), ("1.5Ki", 1536), ("100m", 1), ("0", 0)]
        {
            assert_eq!(whole(text), Some(bytes), "{text}");
        }
        for bad in ["", "Mi", "1Zi", "-1", "1 Gi", "1e", "99999999999999999999E"] {
            assert_eq!(milli(bad), None, "{bad}");
        }
    }
}
