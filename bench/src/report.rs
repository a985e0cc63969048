//! The page that is printed and kept: a table for each measurement, over all its runs.

use std::fmt::Write as _;

use crate::conditions::{Conditions, Noise};
use crate::figures::{Figures, Spread, Unit};

/// One measurement and all its runs.
#[derive(Debug)]
pub struct Section {
    /// What it is about.
    pub title: &'static str,
    /// The numbers of each run.
    pub runs: Vec<Figures>,
}

/// Everything as a page of markdown.
pub fn render(conditions: &Conditions, noise: &Noise, sections: &[Section]) -> String {
    let mut page = format!("# Measured on {}\n\n", conditions.began.strftime("%Y-%m-%d"));
    page.push_str(&conditions.render(noise));
    page.push_str(
        "\nEach cell is the median of the runs and, in parentheses, the least and the most. \
         What each number means: [README](../README.md).\n",
    );
    for section in sections {
        page.push_str(&section.render());
    }
    page
}

impl Section {
    /// As a table: rows and columns in the order of their first appearance.
    pub fn render(&self) -> String {
        let mut rows: Vec<&str> = Vec::new();
        let mut columns: Vec<&str> = Vec::new();
        for figure in self.runs.iter().flat_map(|run| &run.0) {
            if !rows.contains(&figure.row.as_str()) {
                rows.push(&figure.row);
            }
            if !columns.contains(&figure.column.as_str()) {
                columns.push(&figure.column);
            }
        }
        let mut text = format!("\n## {} (runs: {})\n\n|", self.title, self.runs.len());
        for column in &columns {
            // Writing to a string never fails.
            let _ = write!(text, " | {column}");
        }
        text.push_str(" |\n|---");
        text.push_str(&"|---".repeat(columns.len()));
        text.push_str("|\n");
        for row in rows {
            let _ = write!(text, "| {row}");
            for column in &columns {
                let _ = write!(text, " | {}", self.cell(row, column));
            }
            text.push_str(" |\n");
        }
        text
    }

    fn cell(&self, row: &str, column: &str) -> String {
        let of = |run: &Figures| run.get(row, column);
        let unit = self
            .runs
            .iter()
            .flat_map(|run| &run.0)
            .find(|figure| figure.row == row && figure.column == column)
            .map_or(Unit::Count, |figure| figure.unit);
        let spread = Spread::of(self.runs.iter().filter_map(of).collect());
        spread.map_or_else(String::new, |spread| spread.render(unit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_a_table_over_its_runs() {
        let run = |ms: f64| {
            let mut figures = Figures::default();
            figures.add("get", "p50", ms, Unit::Ms);
            figures.add("put", "rate", 10.0, Unit::PerSecond);
            figures
        };
        let section = Section { title: "API", runs: vec![run(1.0), run(3.0), run(2.0)] };
        let table = "\n## API (runs: 3)\n\n| | p50 | rate |\n|---|---|---|\n\
                     | get | 2.00 ms (1.00 ms–3.00 ms) |  |\n| put |  | 10/s |\n";
        assert_eq!(section.render(), table);
    }
}
