//! Tables: aligned and fitted to the width of a terminal, tab-separated in a pipe.

use std::io::Write;

use comfy_table::{Cell, CellAlignment, ContentArrangement, LineStyle, Table, presets};
use console::Term;

use super::{error::CliError, session::Session};

#[derive(Debug)]
pub struct TextTable {
    heads: Vec<&'static str>,
    /// Indexes of columns that are aligned to the right.
    numbers: Vec<usize>,
    rows: Vec<Vec<String>>,
}

impl TextTable {
    /// A table with these columns. A head that begins with `#` is that of a column of numbers.
    pub fn new(heads: &[&'static str]) -> Self {
        let numbers = (0..heads.len()).filter(|at| heads[*at].starts_with('#')).collect();
        Self { heads: heads.iter().map(|head| head.trim_start_matches('#')).collect(), numbers, rows: Vec::new() }
    }

    pub fn add_row(&mut self, row: impl IntoIterator<Item = String>) {
        self.rows.push(row.into_iter().collect());
    }

    /// Prints the table to standard output. On a terminal, columns without any text are left out.
    pub fn print(self, session: &Session) -> Result<(), CliError> {
        let mut out = std::io::stdout().lock();
        if !session.terminal {
            writeln!(out, "{}", self.heads.join("\t"))?;
            for row in &self.rows {
                let plain: Vec<String> = row.iter().map(|cell| cell.replace(['\t', '\n', '\r'], " ")).collect();
                writeln!(out, "{}", plain.join("\t"))?;
            }
            return Ok(());
        }
        let filled: Vec<usize> = (0..self.heads.len()).filter(|at| self.has_text(*at)).collect();
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING.header_separator(LineStyle::none().fill('─').junction('─')))
            .set_content_arrangement(ContentArrangement::Dynamic);
        if let Some((_, columns)) = Term::stdout().size_checked() {
            table.set_width(columns);
        }
        table.set_header(filled.iter().map(|at| self.heads[*at]));
        for row in &self.rows {
            table.add_row(filled.iter().map(|at| {
                let cell = Cell::new(row.get(*at).map_or("", String::as_str));
                if self.numbers.contains(at) { cell.set_alignment(CellAlignment::Right) } else { cell }
            }));
        }
        Ok(writeln!(out, "{table}")?)
    }

    fn has_text(&self, column: usize) -> bool {
        self.rows.iter().any(|row| row.get(column).is_some_and(|cell| !cell.is_empty()))
    }
}

/// Prints a line about a table. In a pipe it begins with `# `, so that a program which reads the table can skip it.
pub fn note(session: &Session, text: impl std::fmt::Display) -> Result<(), CliError> {
    let mark = if session.terminal { "" } else { "# " };
    Ok(writeln!(std::io::stdout().lock(), "{mark}{text}")?)
}

/// Prints a line to standard output.
pub fn line(text: impl std::fmt::Display) -> Result<(), CliError> {
    Ok(writeln!(std::io::stdout().lock(), "{text}")?)
}
