//! A delimited file: where its header is, and its rows with the lines they stand on.
//!
//! Publishers put titles, dates and comments above the header, commas after the last column, and fewer cells into a row
//! than the header has. All of that is read; a file in which no line has the columns that a profile needs is refused.

use csv::{ByteRecord, Reader, ReaderBuilder};

/// The header must be among so many first records.
const PREAMBLE_MAX: usize = 50;

/// No line has the needed columns.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no line among the first {PREAMBLE_MAX} has {needed}")]
pub struct NoHeader {
    /// What was looked for.
    pub needed: String,
}

/// A file with its header found.
#[derive(Debug)]
pub struct Table<'a> {
    reader: Reader<&'a [u8]>,
    heads: Vec<String>,
    preamble: Vec<Vec<String>>,
    separator: u8,
    /// Lines of comments before the part that is read as a table.
    comment_lines: u64,
    /// That part.
    body: &'a [u8],
    record: ByteRecord,
}

/// A row and where it stands.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Cells.
    record: &'a ByteRecord,
    /// Line of the file, from 1.
    pub line: u32,
}

impl<'a> Table<'a> {
    /// Finds the header: the first line that `is_header` takes, with the first separator that gives one.
    pub fn open(
        text: &'a [u8],
        separators: &[u8],
        needed: &str,
        is_header: impl Fn(&[String]) -> bool,
    ) -> Result<Self, NoHeader> {
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
            // A slice never fails to be read, and flexible rows have no wrong length.
            while preamble.len() < PREAMBLE_MAX && reader.read_byte_record(&mut record).unwrap_or(false) {
                let cells: Vec<String> = record.iter().map(|cell| text_of(cell).trim().to_owned()).collect();
                if is_header(&cells) {
                    let separator = *separator;
                    return Ok(Self { reader, heads: cells, preamble, separator, comment_lines, body, record });
                }
                preamble.push(cells);
            }
        }
        Err(NoHeader { needed: needed.to_owned() })
    }

    /// Names of the columns, trimmed; empty after a trailing separator.
    pub fn heads(&self) -> &[String] {
        &self.heads
    }

    /// Where a column is; case does not matter.
    pub fn column(&self, name: &str) -> Option<usize> {
        find(&self.heads, name)
    }

    /// The name of a column.
    pub fn head(&self, column: usize) -> &str {
        self.heads.get(column).map_or("", String::as_str)
    }

    /// The cell after this one in the lines above the header.
    pub fn stated(&self, name: &str) -> Option<&str> {
        let line = self.preamble.iter().find(|cells| cells.first().is_some_and(|cell| cell == name))?;
        line.get(1).map(String::as_str)
    }

    /// What stands between cells.
    pub fn separator(&self) -> u8 {
        self.separator
    }

    /// The next row that has anything in it.
    pub fn next_row(&mut self) -> Option<Row<'_>> {
        loop {
            if !self.reader.read_byte_record(&mut self.record).unwrap_or(false) {
                return None;
            }
            if self.record.iter().any(|cell| !cell.trim_ascii().is_empty()) {
                break;
            }
        }
        let line = self.record.position().map_or(0, |position| line(position, self.body)) + self.comment_lines;
        Some(Row { record: &self.record, line: u32::try_from(line).unwrap_or(u32::MAX) })
    }
}

/// The reader's position of a row is the end of the row before: ahead of empty lines, and of the second byte of `\r\n`.
fn line(position: &csv::Position, body: &[u8]) -> u64 {
    let start = usize::try_from(position.byte()).unwrap_or(usize::MAX);
    let ends = body.get(start..).unwrap_or_default().iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    position.line() + ends.filter(|byte| **byte == b'\n').count() as u64
}

/// Where a name is among column names.
pub fn find(heads: &[String], name: &str) -> Option<usize> {
    heads.iter().position(|head| head.eq_ignore_ascii_case(name))
}

impl<'a> Row<'a> {
    /// A cell without blanks around it; empty where the row ends early.
    pub fn bytes(&self, column: usize) -> &'a [u8] {
        self.record.get(column).map_or(b"", <[u8]>::trim_ascii)
    }

    /// A cell as text.
    pub fn text(&self, column: usize) -> &'a str {
        text_of(self.bytes(column)).trim()
    }

    /// A cell of a column that the file may not have.
    pub fn optional(&self, column: Option<usize>) -> &'a str {
        column.map_or("", |column| self.text(column))
    }

    /// The first cell beyond so many that holds anything.
    pub fn beyond(&self, columns: usize) -> Option<&'a str> {
        self.record.iter().skip(columns).map(text_of).find(|cell| !cell.trim().is_empty())
    }
}

/// Files are decoded as a whole before they are cut into cells, and cells are cut at ASCII characters.
fn text_of(cell: &[u8]) -> &str {
    std::str::from_utf8(cell).unwrap_or_default()
}

/// `#` lines at the top carry provenance; they are no part of the table and may hold unbalanced quotes.
fn skip_comments(text: &[u8]) -> (u64, &[u8]) {
    let (mut lines, mut rest) = (0, text);
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
        Table::open(text.as_bytes(), b",;\t", column, |heads| find(heads, column).is_some())
    }

    #[test]
    fn preamble_trailing_comma_and_carriage_returns() {
        let text = "\"Data Source\",\"WDI\",\r\n\r\n\"Last Updated Date\",\"2026-07-13\",\r\n\r\n\
                    \"Country Name\",\"Country Code\",\"1960\",\r\n\"Aruba\",\"ABW\",\"1.0\",\r\n";
        let mut table = open(text, "Country Code").unwrap();
        assert_eq!(table.heads(), ["Country Name", "Country Code", "1960", ""]);
        assert_eq!(table.stated("Last Updated Date"), Some("2026-07-13"));
        let row = table.next_row().unwrap();
        assert_eq!((row.line, row.text(1), row.text(2), row.beyond(4)), (6, "ABW", "1.0", None));
        assert!(table.next_row().is_none());
    }

    #[test]
    fn comments_count_as_lines_and_may_hold_quotes() {
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
    fn the_separator_is_the_one_that_gives_the_header() {
        let mut table = open("Economies ;Year;Score\nAlbania;2011;28,70\n", "economies").unwrap();
        assert_eq!(table.separator(), b';');
        assert_eq!(table.next_row().unwrap().text(2), "28,70");
        assert_eq!(open("a\tyear\n", "Year").unwrap().separator(), b'\t');
    }

    #[test]
    fn without_its_columns_a_file_is_no_table() {
        assert!(open("a,b\n1,2\n", "rank").is_err());
        assert!(open("", "rank").is_err());
        assert!(open("# only a comment", "rank").is_err());
    }
}
