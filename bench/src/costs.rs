//! What the controllers did for it, by their own metrics.

use std::collections::BTreeMap;

/// Counters of the controllers.
pub struct Costs(BTreeMap<String, f64>);

impl Costs {
    /// From the text of their metrics: writes by verb and kind, looks by subject.
    pub fn read(metrics: &str) -> Self {
        let mut costs = BTreeMap::new();
        for line in metrics.lines() {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let Some((name, labels)) = series.split_once('{') else { continue };
            let label = |wanted: &str| {
                let (_, rest) = labels.split_once(&format!("{wanted}=\""))?;
                rest.split('"').next()
            };
            let what = match name {
                "sandbank_api_writes_total" => {
                    label("verb").zip(label("kind")).map(|(v, k)| format!("writes: {v} {k}"))
                }
                "sandbank_reconciles_total" => label("subject").map(|s| format!("looks at a {s}")),
                _ => None,
            };
            if let (Some(what), Ok(value)) = (what, value.parse::<f64>()) {
                *costs.entry(what).or_default() += value;
            }
        }
        Self(costs)
    }

    /// What was added, with the sum of all writes.
    pub fn since(&self, before: &Self) -> Vec<(String, f64)> {
        let mut added: Vec<(String, f64)> = Vec::new();
        let mut writes = 0.0;
        for (what, now) in &self.0 {
            let new = now - before.0.get(what).copied().unwrap_or_default();
            if what.starts_with("writes") {
                writes += new;
            }
            if new > 0.0 {
                added.push((what.clone(), new));
            }
        }
        added.push(("writes of the controllers, claim and refill".to_owned(), writes));
        added
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_read_from_metrics() {
        let before = "sandbank_api_writes_total{verb=\"Create\",kind=\"Pod\",result=\"ok\"} 1\n";
        let after = "sandbank_api_writes_total{verb=\"Create\",kind=\"Pod\",result=\"ok\"} 3\n\
                     sandbank_api_writes_total{verb=\"Create\",kind=\"Pod\",result=\"gone\"} 1\n\
                     sandbank_reconciles_total{subject=\"claim\"} 5\nother{subject=\"claim\"} 9\n";
        let added = Costs::read(after).since(&Costs::read(before));
        let expected = [
            ("looks at a claim".to_owned(), 5.0),
            ("writes: Create Pod".to_owned(), 3.0),
            ("writes of the controllers, claim and refill".to_owned(), 3.0),
        ];
        assert_eq!(added, expected);
    }
}
