//! A delimited file: its header, and its rows with their line numbers.
//!
//! Publishers put titles, dates and comments above the header, commas after the last column, and fewer cells into a row
//! than into the header. All of that is read. A file is refused if no line has the columns that a profile requires.

use std::fmt;

use csv::{ByteRecord, Reader, ReaderBuilder};

/// The header must be among this many first records.
const PREAMBLE_MAX: usize = 50;

/// No line has the required columns.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no line among the first {PREAMBLE_MAX} has {required}")]
pub struct NoHeader {
    pub required: RequiredColumns,
}

/// The columns that make a line the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequiredColumns {
    /// Each of them.
    All(Vec<String>),
    /// At least one of them.
    Any(Vec<String>),
}

impl RequiredColumns {
    fn are_in(&self, heads: &[String]) -> bool {
        match self {
            Self::All(names) => names.iter().all(|name| column_index(heads, name).is_some()),
            Self::Any(names) => names.iter().any(|name| column_index(heads, name).is_some()),
        }
    }
}

impl fmt::Display for RequiredColumns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(names) => write!(f, "the columns {}", names.join(", ")),
            Self::Any(names) => write!(f, "the column {}", names.join(" or ")),
        }
    }
}

/// A file, read up to its header.
#[derive(Debug)]
pub struct Table<'a> {
    reader: Reader<&'a [u8]>,
    heads: Vec<String>,
    preamble: Vec<Vec<String>>,
    separator: u8,
    /// How many lines of comments come before `body`.
    comment_lines: u64,
    /// The part of the file that is read as a table.
    body: &'a [u8],
    record: ByteRecord,
}

#[derive(Debug, Clone, Copy)]
pub struct TableRow<'a> {
    record: &'a ByteRecord,
    /// Line of the file, from 1.
    pub line: u32,
}

impl<'a> Table<'a> {
    /// Finds the header: the first line with the required columns, cut at the first separator that gives such a line.
    pub fn open(text: &'a [u8], separators: &[u8], required: &RequiredColumns) -> Result<Self, NoHeader> {
        let (comment_lines, body) = skip_comments(text);
        for separator in separators {
            let mut reader = ReaderBuilder::new()
                .delimiter(*separator)
                .has_headers(false)
                .flexible(true)
                .buffer_capacity(64 << 10)
                .from_reader(body);
            let mut record = ByteRecord::new();
            let mut preamble = Vec::new();
            // Reading a slice never fails, and a flexible row may have any length.
            while preamble.len() < PREAMBLE_MAX && reader.read_byte_record(&mut record).unwrap_or(false) {
                let cells: Vec<String> = record.iter().map(|cell| text_of(cell).trim().to_owned()).collect();
                if required.are_in(&cells) {
                    let separator = *separator;
                    return Ok(Self { reader, heads: cells, preamble, separator, comment_lines, body, record });
                }
                preamble.push(cells);
            }
        }
        Err(NoHeader { required: required.clone() })
    }

    /// Names of the columns, trimmed; empty after a trailing separator.
    pub fn heads(&self) -> &[String] {
        &self.heads
    }

    /// The cell to the right of a first cell with this text, in the lines above the header.
    pub fn preamble_value(&self, name: &str) -> Option<&str> {
        let line = self.preamble.iter().find(|cells| cells.first().is_some_and(|cell| cell == name))?;
        line.get(1).map(String::as_str)
    }

    /// The character between cells.
    pub fn separator(&self) -> u8 {
        self.separator
    }

    /// The next row that is not empty.
    pub fn next_row(&mut self) -> Option<TableRow<'_>> {
        loop {
            if !self.reader.read_byte_record(&mut self.record).unwrap_or(false) {
                return None;
            }
            if self.record.iter().any(|cell| !cell.trim_ascii().is_empty()) {
                break;
            }
        }
        let line = self.record.position().map_or(0, |position| line(position, self.body)) + self.comment_lines;
        Some(TableRow { record: &self.record, line: u32::try_from(line).unwrap_or(u32::MAX) })
    }
}

/// The line that a row starts on. The reader gives the end of the row before, which is ahead of empty lines and of the
/// second byte of `\r\n`.
fn line(position: &csv::Position, body: &[u8]) -> u64 {
    let start = usize::try_from(position.byte()).unwrap_or(usize::MAX);
    let ends = body.get(start..).unwrap_or_default().iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    position.line() + ends.filter(|byte| **byte == b'\n').count() as u64
}

/// The index of a column; case does not matter.
pub fn column_index(heads: &[String], name: &str) -> Option<usize> {
    heads.iter().position(|head| head.eq_ignore_ascii_case(name))
}

impl<'a> TableRow<'a> {
    /// A cell without blanks around it; empty where the row ends early.
    pub fn bytes(&self, column: usize) -> &'a [u8] {
        self.record.get(column).map_or(b"", <[u8]>::trim_ascii)
    }

    /// The same cell as text.
    pub fn text(&self, column: usize) -> &'a str {
        text_of(self.bytes(column)).trim()
    }

    /// A cell of a column; empty if the file does not have the column.
    pub fn optional(&self, column: Option<usize>) -> &'a str {
        column.map_or("", |column| self.text(column))
    }

    /// The first cell after this many columns that is not empty.
    pub fn beyond(&self, columns: usize) -> Option<&'a str> {
        let record = self.record;
        let beyond = (columns..record.len()).filter_map(|column| record.get(column));
        beyond.map(text_of).find(|cell| !cell.trim().is_empty())
    }
}

/// A cell is valid UTF-8: the whole file is, and it is cut at ASCII characters.
fn text_of(cell: &[u8]) -> &str {
    std::str::from_utf8(cell).unwrap_or_default()
}

/// Skips the lines at the top that begin with `#`, and counts them. They say where the table is from and may hold
/// quotes without a pair.
fn skip_comments(text: &[u8]) -> (u64, &[u8]) {
    let mut lines = 0;
    let mut rest = text;
    while rest.first() == Some(&b'#') {
        let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
        rest = &rest[end..];
        lines += 1;
    }
    (lines, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open<'a>(text: &'a str, column: &'static str) -> Result<Table<'a>, NoHeader> {
        Table::open(text.as_bytes(), b",;\t", &RequiredColumns::All(vec![column.to_owned()]))
    }

    #[test]
    fn a_preamble_trailing_commas_and_carriage_returns_are_skipped() {
        let text = "\"Data Source\",\"WDI\",\r\n\r\n\"Last Updated Date\",\"2026-07-13\",\r\n\r\n\
                    \"Country Name\",\"Country Code\",\"1960\",\r\n\"Aruba\",\"ABW\",\"1.0\",\r\n";
        let mut table = open(text, "Country Code").unwrap();
        assert_eq!(table.heads(), ["Country Name", "Country Code", "1960", ""]);
        assert_eq!(table.preamble_value("Last Updated Date"), Some("2026-07-13"));
        let row = table.next_row().unwrap();
        assert_eq!((row.line, row.text(1), row.text(2), row.beyond(4)), (6, "ABW", "1.0", None));
        assert!(table.next_row().is_none());
    }

    #[test]
    fn comment_lines_count_and_may_hold_quotes() {
        let text =
            "# the \"unbalanced\n# licence: CC BY 4.0\nrank,name\n\n1,\"Tokyo–Yokohama\"\n35,\"Phila\ndelphia\"\n7\n";
        let mut table = open(text, "rank").unwrap();
        let first = table.next_row().unwrap();
        assert_eq!((first.line, first.text(1)), (5, "Tokyo–Yokohama"));
        let quoted = table.next_row().unwrap();
        assert_eq!((quoted.line, quoted.text(1)), (6, "Phila\ndelphia"));
        let short = table.next_row().unwrap();
        assert_eq!((short.line, short.text(0), short.text(1)), (8, "7", ""));
    }

    #[test]
    fn the_separator_is_the_first_that_gives_a_header() {
        let mut table = open("Economies ;Year;Score\nAlbania;2011;28,70\n", "economies").unwrap();
        assert_eq!(table.separator(), b';');
        assert_eq!(table.next_row().unwrap().text(2), "28,70");
        assert_eq!(open("a\tyear\n", "Year").unwrap().separator(), b'\t');
    }

    #[test]
    fn a_file_without_the_required_column_is_refused() {
        assert!(open("a,b\n1,2\n", "rank").is_err());
        assert!(open("", "rank").is_err());
        assert!(open("# only a comment", "rank").is_err());
    }
}
