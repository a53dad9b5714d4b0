//! Tables: with lines and width for a terminal, tab-separated for a pipe.

use std::io::Write;

use comfy_table::{Cell, CellAlignment, ContentArrangement, LineStyle, Table, presets};

use super::{error::CliError, session::Session};

/// A table to be printed.
#[derive(Debug)]
pub struct Rows {
    heads: Vec<&'static str>,
    /// Columns of numbers, aligned to the right.
    numbers: Vec<usize>,
    rows: Vec<Vec<String>>,
}

impl Rows {
    /// A table with these columns; a head that begins with `#` is a column of numbers.
    pub fn new(heads: &[&'static str]) -> Self {
        let numbers = (0..heads.len()).filter(|at| heads[*at].starts_with('#')).collect();
        Self { heads: heads.iter().map(|head| head.trim_start_matches('#')).collect(), numbers, rows: Vec::new() }
    }

    /// Adds a row.
    pub fn add(&mut self, row: impl IntoIterator<Item = String>) {
        self.rows.push(row.into_iter().collect());
    }

    /// Prints it; columns that are empty throughout are left out on a terminal.
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
        let filled: Vec<usize> = (0..self.heads.len())
            .filter(|at| self.rows.iter().any(|row| row.get(*at).is_some_and(|cell| !cell.is_empty())))
            .collect();
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING.header_separator(LineStyle::none().fill('─').junction('─')))
            .set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(filled.iter().map(|at| self.heads[*at]));
        for row in &self.rows {
            table.add_row(filled.iter().map(|at| {
                let cell = Cell::new(row.get(*at).map_or("", String::as_str));
                if self.numbers.contains(at) { cell.set_alignment(CellAlignment::Right) } else { cell }
            }));
        }
        Ok(writeln!(out, "{table}")?)
    }
}

/// A line about the table: as it is on a terminal, behind `# ` in a pipe, so that what reads the table can leave it out.
pub fn note(session: &Session, text: impl std::fmt::Display) -> Result<(), CliError> {
    let mark = if session.terminal { "" } else { "# " };
    Ok(writeln!(std::io::stdout().lock(), "{mark}{text}")?)
}

/// A line on standard output.
pub fn line(text: impl std::fmt::Display) -> Result<(), CliError> {
    Ok(writeln!(std::io::stdout().lock(), "{text}")?)
}
