//! Numbers: those of one run, and how several runs agree.

use std::time::Duration;

/// What a number counts; decides how it is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Milliseconds.
    Ms,
    /// Microseconds.
    Us,
    /// Per second.
    PerSecond,
    /// Mebibytes.
    MiB,
    /// How many.
    Count,
    /// How many times as much.
    Times,
    /// Percent.
    Percent,
}

/// One number of one run: a cell of a table.
#[derive(Clone, Debug)]
pub struct Figure {
    /// The row of the table.
    pub row: String,
    /// Its column.
    pub column: String,
    /// The number.
    pub value: f64,
    /// What it counts.
    pub unit: Unit,
}

/// The numbers of one run, in the order in which they are to be read.
#[derive(Clone, Debug, Default)]
pub struct Figures(pub Vec<Figure>);

impl Figures {
    /// Adds a number.
    pub fn add(&mut self, row: impl Into<String>, column: &str, value: f64, unit: Unit) {
        self.0.push(Figure { row: row.into(), column: column.to_owned(), value, unit });
    }

    /// Adds the median and the 99th percentile.
    pub fn add_latencies(&mut self, row: &str, latencies: &Latencies, unit: Unit) {
        self.add(row, "p50", latencies.rank(50, unit), unit);
        self.add(row, "p99", latencies.rank(99, unit), unit);
    }

    /// A number of this run.
    pub fn get(&self, row: &str, column: &str) -> Option<f64> {
        self.0.iter().find(|f| f.row == row && f.column == column).map(|f| f.value)
    }
}

/// How long many like things took.
#[derive(Clone, Debug, Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    /// Of these.
    pub fn of(mut each: Vec<Duration>) -> Self {
        each.sort_unstable();
        Self(each)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// By nearest rank: each value is one that was measured. Not a number if there are none.
    pub fn rank(&self, percent: usize, unit: Unit) -> f64 {
        let rank = (self.0.len() * percent).div_ceil(100).saturating_sub(1);
        let seconds = self.0.get(rank).map_or(f64::NAN, Duration::as_secs_f64);
        match unit {
            Unit::Us => seconds * 1e6,
            _ => seconds * 1e3,
        }
    }
}

/// What several runs say about one number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The middle one; of an even number of runs the lower of the two.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
}

impl Spread {
    /// Of at least one value.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_unstable_by(f64::total_cmp);
        let median = *values.get(values.len().checked_sub(1)? / 2)?;
        Some(Self { median, min: *values.first()?, max: *values.last()? })
    }

    /// `median (min–max)`, or the median alone if there is nothing to add.
    pub fn render(&self, unit: Unit) -> String {
        let [median, min, max] = [self.median, self.min, self.max].map(|value| number(value, unit));
        if min == max { median } else { format!("{median} ({min}–{max})") }
    }
}

/// Three digits that count, as people write them.
fn number(value: f64, unit: Unit) -> String {
    if value.is_nan() {
        return "–".into();
    }
    let digits = match (unit, value.abs()) {
        (Unit::PerSecond, ten) if ten >= 10.0 => 0,
        (_, hundred) if hundred >= 100.0 => 0,
        (_, ten) if ten >= 10.0 => 1,
        (Unit::Count, whole) if whole.fract() == 0.0 => 0,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    format!("{}{rest}{}", thousands(whole), suffix(unit))
}

fn suffix(unit: Unit) -> &'static str {
    match unit {
        Unit::Ms => " ms",
        Unit::Us => " µs",
        Unit::PerSecond => "/s",
        Unit::MiB => " MiB",
        Unit::Count => "",
        Unit::Times => " x",
        Unit::Percent => " %",
    }
}

fn thousands(whole: &str) -> String {
    let mut text = String::with_capacity(whole.len() + whole.len() / 3);
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) && digit.is_ascii_digit() {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_values_that_were_measured() {
        let latencies = Latencies::of((1..=200).rev().map(Duration::from_millis).collect());
        assert_eq!(latencies.rank(50, Unit::Ms), 100.0);
        assert_eq!(latencies.rank(99, Unit::Ms), 198.0);
        assert_eq!(Latencies::of(vec![Duration::from_micros(7)]).rank(99, Unit::Us), 7.0);
        assert!(Latencies::default().rank(50, Unit::Ms).is_nan());
    }

    #[test]
    fn a_spread_is_the_middle_the_least_and_the_most() {
        let spread = Spread::of(vec![3.0, 1.0, 2.0]);
        assert_eq!(spread, Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(Spread::of(vec![2.0, 1.0]).map(|s| s.median), Some(1.0));
        assert_eq!(Spread::of(Vec::new()), None);
    }

    #[test]
    fn numbers_are_printed_for_people() {
        let spread = Spread { median: 12345.6, min: 999.9, max: 1234567.0 };
        assert_eq!(spread.render(Unit::PerSecond), "12,346/s (1,000/s–1,234,567/s)");
        let same = Spread { median: 0.1234, min: 0.1234, max: 0.1234 };
        assert_eq!(same.render(Unit::Ms), "0.12 ms");
        assert_eq!(Spread { median: 3.0, min: 3.0, max: 4.5 }.render(Unit::Count), "3 (3–4.50)");
    }
}
