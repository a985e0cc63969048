//! A table as kubectl prints it: upper-case titles, columns padded to their widest cell, three spaces apart.

/// Columns and rows of text. Every row has one cell for each title.
#[derive(Debug)]
pub struct Table {
    titles: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    pub fn new(titles: impl Into<Vec<&'static str>>) -> Self {
        Self { titles: titles.into(), rows: Vec::new() }
    }

    /// Adds a row. Missing cells are empty; control characters in a cell (they come from objects, and could move
    /// the cursor) become spaces.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut row: Vec<String> = cells
            .into_iter()
            .map(|cell| cell.chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
            .collect();
        row.resize(self.titles.len(), String::new());
        self.rows.push(row);
    }

    /// The text, without a final newline and without spaces at line ends. Nothing is ever cut off, so that a
    /// pipe gets all of it.
    pub fn render(&self) -> String {
        let titles: Vec<String> = self.titles.iter().map(|t| t.to_string()).collect();
        let lines = || std::iter::once(&titles).chain(&self.rows);
        let width = |column: usize| {
            lines().map(|line| line[column].chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..titles.len()).map(width).collect();
        let render_line = |line: &Vec<String>| {
            let cells: Vec<String> =
                line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            cells.join("   ").trim_end().to_owned()
        };
        lines().map(render_line).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_have_no_tail() {
        let mut table = Table::new(["NAME", "READY", "STATE"]);
        table.row(["a".into(), "3".into()]);
        table.row(["long-name".into(), "10".into(), "Rolling".into()]);
        assert_eq!(
            table.render(),
            "NAME        READY   STATE\na           3\nlong-name   10      Rolling"
        );
    }

    #[test]
    fn a_cell_cannot_drive_the_terminal() {
        let mut table = Table::new(["NAME"]);
        table.row(["a\x1b[2J\nb".into()]);
        assert_eq!(table.render(), "NAME\na [2J b");
    }
}
