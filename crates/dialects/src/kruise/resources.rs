//! What containers may use: amounts, and the class of service that follows from them.

use serde_json::Value;

/// The resources that the class of service depends on.
const DECISIVE: [&str; 2] = ["cpu", "memory"];

/// An amount in billionths, so that the smallest suffix is a whole number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity(i128);

const NANOS: i128 = 1_000_000_000;

impl Quantity {
    /// Reads an amount such as `500m`, `1.5`, `128Mi` or `1e3`. `None` if it is not one.
    pub fn parse(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Self::parse_text(text.trim()),
            Value::Number(number) => Self::parse_text(&number.to_string()),
            _ => None,
        }
    }

    fn parse_text(text: &str) -> Option<Self> {
        let number = |c: char| c.is_ascii_digit() || matches!(c, '.' | '+' | '-');
        let (digits, suffix) = text.split_at(text.find(|c| !number(c)).unwrap_or(text.len()));
        let (numerator, denominator): (i128, i128) = match suffix {
            "n" => (1, NANOS),
            "u" => (1, 1_000_000),
            "m" => (1, 1_000),
            "" => (1, 1),
            "k" => (1_000, 1),
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
            other => {
                let exponent: i32 = other.strip_prefix(['e', 'E'])?.parse().ok()?;
                let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
                if exponent < 0 { (1, power) } else { (power, 1) }
            }
        };
        let (sign, digits) = match digits.strip_prefix('-') {
            Some(digits) => (-1, digits),
            None => (1, digits.strip_prefix('+').unwrap_or(digits)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let mut nanos: i128 = 0;
        if !whole.is_empty() {
            nanos = whole.parse::<i128>().ok()?.checked_mul(NANOS)?;
        }
        let mut place = NANOS;
        for digit in fraction.chars() {
            place /= 10;
            nanos = nanos.checked_add(i128::from(digit.to_digit(10)?) * place)?;
        }
        Some(Self(sign * nanos.checked_mul(numerator)? / denominator))
    }
}

/// How a node treats a pod when it runs out of something. It can't be changed while the pod runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Nothing was asked for.
    BestEffort,
    /// Something was.
    Burstable,
    /// Every container gets exactly what it asked for.
    Guaranteed,
}

impl Service {
    /// The class of a pod of this spec.
    pub fn of(pod_spec: &Value) -> Self {
        let mut asked = false;
        let mut exact = true;
        let lists = ["containers", "initContainers"];
        for container in lists.iter().filter_map(|list| pod_spec[list].as_array()).flatten() {
            let amount = |kind: &str, name: &str| {
                Quantity::parse(&container["resources"][kind][name])
                    .filter(|amount| *amount > Quantity(0))
            };
            for name in DECISIVE {
                let limit = amount("limits", name);
                // A server fills in the limit where no request is made.
                let request = amount("requests", name).or(limit);
                asked |= request.is_some() || limit.is_some();
                exact &= limit.is_some() && request == limit;
            }
        }
        match (asked, exact) {
            (false, _) => Self::BestEffort,
            (true, true) => Self::Guaranteed,
            (true, false) => Self::Burstable,
        }
    }

    /// As a pod's status has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BestEffort => "BestEffort",
            Self::Burstable => "Burstable",
            Self::Guaranteed => "Guaranteed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn amounts_are_compared_by_what_they_mean() {
        let same = [
            (json!("500m"), json!("0.5")),
            (json!(1), json!("1000m")),
            (json!("1Ki"), json!("1024")),
            (json!("1e3"), json!("1k")),
            (json!(1.5), json!("1500m")),
        ];
        for (left, right) in same {
            assert_eq!(Quantity::parse(&left), Quantity::parse(&right), "{left} {right}");
        }
        for wrong in [json!("x"), json!(""), json!("1Zi"), json!(null), json!("."), json!("1e")] {
            assert_eq!(Quantity::parse(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_class_follows_from_all_containers() {
        let pod = |resources: &[Value]| {
            let containers: Vec<Value> =
                resources.iter().map(|r| json!({"resources": r})).collect();
            Service::of(&json!({ "containers": containers }))
        };
        let full = json!({"limits": {"cpu": "1", "memory": "1Gi"}});
        assert_eq!(pod(&[json!({})]), Service::BestEffort);
        assert_eq!(pod(std::slice::from_ref(&full)), Service::Guaranteed);
        assert_eq!(pod(&[full.clone(), json!({})]), Service::Burstable);
        assert_eq!(pod(&[json!({"requests": {"cpu": "100m"}})]), Service::Burstable);
        let equal = json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1024Mi"}});
        assert_eq!(pod(&[equal]), Service::Guaranteed);
        let less = json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}});
        assert_eq!(pod(&[less]), Service::Burstable);
    }
}
