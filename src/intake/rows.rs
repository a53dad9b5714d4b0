//! The loop over the rows of a file, the same for every kind of facts.
//!
//! [`visit_rows`] decodes a file, finds its header and hands one row after the other to a [`RowVisitor`], which knows
//! what the columns mean.
//!
//! Invariant: what can be wrong with any file is noted here and nowhere else: its encoding, a missing header, cells
//! beyond the last column. A visitor notes what is wrong with its own kind of facts.

use std::collections::HashSet;

use super::{
    encoding::decode,
    number::NumberFormat,
    profile::{FileFormat, Profile},
    table::{RequiredColumns, Table, TableRow, column_index},
};
use crate::model::{
    finding::Findings,
    value::{Number, Value},
};

/// Most characters of a cell that a message repeats.
const EXCERPT_CHARS_MAX: usize = 80;

/// What makes facts of the rows of a file.
pub trait RowVisitor {
    /// Which column of the file has which meaning.
    type Columns;

    /// The columns without which a line is not the header.
    fn required_columns(&self) -> RequiredColumns;

    /// Takes the header, before the first row. Columns without a meaning are noted here.
    fn header(&mut self, table: &Table<'_>) -> Self::Columns;

    /// Takes a row that is not empty and not part of the footer.
    fn row(&mut self, context: &RowContext<'_, Self::Columns>);

    /// Where findings go.
    fn findings(&mut self) -> &mut Findings;
}

/// A row, with all that is needed to read it.
#[derive(Debug)]
pub struct RowContext<'a, C> {
    /// What findings call the file.
    pub file: &'a str,
    pub row: TableRow<'a>,
    pub heads: &'a [String],
    pub columns: &'a C,
    pub format: &'a FileFormat,
    pub numbers: &'a NumberFormat,
    /// Whether a cell in the common form of a number is that number, in this file.
    takes_plain: bool,
}

/// Reads a file row by row. Returns false if no line of the file is a header of the profile; then no row was visited.
pub fn visit_rows(visitor: &mut impl RowVisitor, profile: &Profile, file: &str, bytes: &[u8]) -> bool {
    let decoded = decode(bytes);
    if let Some(encoding) = decoded.converted_from {
        visitor.findings().warning("NOT_UTF8", file, format!("not UTF-8; read as {encoding}"));
    }
    let format = &profile.read;
    let mut table = match Table::open(&decoded.text, &format.separators(), &visitor.required_columns()) {
        Ok(table) => table,
        Err(error) => {
            visitor.findings().error("NO_HEADER", file, error.to_string());
            return false;
        }
    };
    let columns = visitor.header(&table);
    let heads = table.heads().to_vec();
    let numbers = format.numbers(table.separator());
    let takes_plain = numbers.takes_plain() && !format.misses_by_number();
    while let Some(row) = table.next_row() {
        if format.is_footer(row.text(0)) {
            break;
        }
        let context =
            RowContext { file, row, heads: &heads, columns: &columns, format, numbers: &numbers, takes_plain };
        if let Some(cell) = row.beyond(heads.len()) {
            let message = format!("`{}` stands beyond the last column", excerpt(cell));
            visitor.findings().error("EXTRA_CELL", context.line(), message);
        }
        visitor.row(&context);
    }
    true
}

impl<'a, C> RowContext<'a, C> {
    /// A cell of a column; empty if the file does not have the column.
    pub fn text(&self, column: Option<usize>) -> &'a str {
        self.row.optional(column)
    }

    /// The number in a column; `None` if the cell says that there is none. What is not a number is noted as an error.
    pub fn number(&self, column: Option<usize>, findings: &mut Findings) -> Option<Value> {
        if self.takes_plain
            && let Some(number) = column.and_then(|column| Number::parse_plain(self.row.bytes(column)))
        {
            return Some(Value::number(number));
        }
        let text = self.text(column);
        if self.format.is_missing(text) {
            return None;
        }
        match self.numbers.parse(text) {
            Ok(number) => Some(Value::number(number)),
            Err(error) => {
                findings.error("BAD_NUMBER", self.place(column), error.to_string());
                None
            }
        }
    }

    /// Where the row stands: `file.csv:12`.
    pub fn line(&self) -> String {
        format!("{}:{}", self.file, self.row.line)
    }

    /// Where a cell of the row stands: `file.csv:12, column Value`.
    pub fn place(&self, column: Option<usize>) -> String {
        self.place_named(column.map_or("", |at| self.heads[at].as_str()))
    }

    /// The same for a column that the file does not have, or that has another name in a message.
    pub fn place_named(&self, column: &str) -> String {
        format!("{}, column {column}", self.line())
    }
}

/// Finds the columns that a profile names, and remembers which they are.
#[derive(Debug)]
pub struct ColumnFinder<'a> {
    heads: &'a [String],
    used: HashSet<usize>,
}

impl<'a> ColumnFinder<'a> {
    pub fn new(table: &'a Table<'_>) -> Self {
        Self { heads: table.heads(), used: HashSet::new() }
    }

    /// The index of the column that a profile names; `None` if it names none, or if the file does not have it.
    pub fn find(&mut self, name: Option<&str>) -> Option<usize> {
        let index = column_index(self.heads, name?)?;
        self.used.insert(index);
        Some(index)
    }

    /// The named columns that the profile does not name, from left to right.
    pub fn unused(&self) -> impl Iterator<Item = (usize, &'a str)> {
        let named = self.heads.iter().enumerate().filter(|(_, head)| !head.is_empty());
        named.filter(|(index, _)| !self.used.contains(index)).map(|(index, head)| (index, head.as_str()))
    }
}

/// Notes a column that has no meaning in the profile.
pub fn warn_of_ignored_column(findings: &mut Findings, file: &str, profile: &Profile, head: &str) {
    findings.warning("IGNORED_COLUMN", file, format!("column `{head}` means nothing in profile {}", profile.name));
}

/// The beginning of a cell, for a message.
pub fn excerpt(cell: &str) -> String {
    cell.chars().take(EXCERPT_CHARS_MAX).collect()
}
