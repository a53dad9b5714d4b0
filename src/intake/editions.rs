//! A file with a published table → the entries of an edition.
//!
//! Invariant: an entry says what the table prints: rank, name, score and components, digit by digit. What the table
//! does not print stays unset.

mod columns;
mod entities;

use std::collections::BTreeMap;

use super::{
    names::{Directory, NewEntity},
    profile::{EditionShape, Profile},
    rows::{ColumnFinder, RowContext, RowVisitor, visit_rows, warn_of_ignored_column},
    table::{RequiredColumns, Table},
};
use crate::model::{
    catalog::EntityKind,
    edition::{Entry, EntryComponent, RankClaim},
    finding::{Finding, Findings},
    id::EntityId,
    value::COMMENT_BYTES_MAX,
};
use columns::{ComponentColumns, EditionColumns};

/// Reads tables of one ranking.
#[derive(Debug, Clone)]
pub struct EditionReader<'a> {
    pub profile: &'a Profile,
    /// The part of the profile that is about editions.
    pub shape: &'a EditionShape,
    pub directory: &'a Directory,
    /// What the ranking ranks.
    pub subject: EntityKind,
    /// The edition that a printed "previous rank" is about; without it such ranks are left out.
    pub previous_edition: Option<String>,
    /// Whether a name that nothing is known by becomes a new entity, and not an error.
    pub add_entities: bool,
}

/// What a file says.
#[derive(Debug, Default)]
pub struct EditionFile {
    /// In the order of the file. Empty if there is an error.
    pub entries: Vec<Entry>,
    /// Entities that have to be defined before the edition is published.
    pub new_entities: Vec<NewEntity>,
    pub findings: Vec<Finding>,
    /// How many errors there are, those included that are not among the findings.
    pub errors: usize,
}

impl EditionReader<'_> {
    /// Reads a file. `name` is what findings call it.
    pub fn read(&self, name: &str, bytes: &[u8]) -> EditionFile {
        let mut builder = EntryBuilder {
            reader: self,
            file: name,
            findings: Findings::default(),
            entries: Vec::new(),
            new_entities: BTreeMap::new(),
        };
        visit_rows(&mut builder, self.profile, name, bytes);
        builder.finish()
    }
}

/// Makes entries of rows.
struct EntryBuilder<'a> {
    reader: &'a EditionReader<'a>,
    file: &'a str,
    findings: Findings,
    entries: Vec<Entry>,
    new_entities: BTreeMap<EntityId, NewEntity>,
}

type Context<'a> = RowContext<'a, EditionColumns>;

/// A rank as it is printed: `12`, or `=12` or `12=` where several share it.
#[derive(Default)]
struct PrintedRank {
    rank: Option<u32>,
    shared: bool,
}

impl RowVisitor for EntryBuilder<'_> {
    type Columns = EditionColumns;

    fn required_columns(&self) -> RequiredColumns {
        let shape = self.reader.shape;
        RequiredColumns::Any([&shape.entity, &shape.name].into_iter().flatten().cloned().collect())
    }

    fn header(&mut self, table: &Table<'_>) -> EditionColumns {
        let mut finder = ColumnFinder::new(table);
        let columns = EditionColumns::find(self.reader.shape, table.heads(), &mut finder);
        for (_, head) in finder.unused() {
            // It repeats what rank and previous rank say.
            if columns.previous.is_some() && head.eq_ignore_ascii_case("rank change") {
                continue;
            }
            warn_of_ignored_column(&mut self.findings, self.file, self.reader.profile, head);
        }
        columns
    }

    fn row(&mut self, context: &Context<'_>) {
        let entry = self.entry(context);
        self.entries.extend(entry);
    }

    fn findings(&mut self) -> &mut Findings {
        &mut self.findings
    }
}

impl EntryBuilder<'_> {
    fn finish(mut self) -> EditionFile {
        if self.entries.is_empty() && self.findings.errors() == 0 {
            self.findings.error("NO_ROWS", self.file, "there is a header and no row below it");
        }
        let errors = self.findings.errors();
        EditionFile {
            entries: if errors > 0 { Vec::new() } else { self.entries },
            new_entities: self.new_entities.into_values().collect(),
            findings: self.findings.into_vec(),
            errors,
        }
    }

    fn entry(&mut self, context: &Context<'_>) -> Option<Entry> {
        let columns = context.columns;
        let economies = self.economies(context);
        let printed = self.rank(context, columns.rank);
        let entity = self.entity(context, economies.as_deref());
        let score = context.number(columns.score, &mut self.findings);
        let mut components = Vec::new();
        for component in &columns.components {
            components.extend(self.component(context, component));
        }
        let previous = self.previous(context);
        let disputed = self.disputed(context);
        let note = context.text(columns.note);
        if note.len() > COMMENT_BYTES_MAX {
            let message = format!("longer than {COMMENT_BYTES_MAX} bytes");
            self.findings.error("LONG_NOTE", context.place(columns.note), message);
        }
        Some(Entry {
            entity: entity?,
            published_name: context.text(columns.name).to_owned(),
            economies: economies?,
            rank: printed.rank,
            tied: printed.shared || is_yes(context.text(columns.tied)),
            score,
            components,
            previous,
            disputed,
            note: note.to_owned(),
        })
    }

    fn rank(&mut self, context: &Context<'_>, column: Option<usize>) -> PrintedRank {
        let text = context.text(column);
        if text == "-" || context.format.is_missing(text) {
            return PrintedRank::default();
        }
        let digits = text.trim_start_matches('=').trim_end_matches('=');
        match digits.parse() {
            Ok(rank) if rank > 0 => PrintedRank { rank: Some(rank), shared: digits.len() < text.len() },
            _ => {
                self.findings.error("BAD_RANK", context.place(column), format!("`{text}` is not a rank"));
                PrintedRank::default()
            }
        }
    }

    /// A component; `None` if all its cells are empty.
    fn component(&mut self, context: &Context<'_>, columns: &ComponentColumns) -> Option<EntryComponent> {
        let component = EntryComponent {
            id: columns.id.clone(),
            raw: context.number(columns.raw, &mut self.findings),
            score: context.number(columns.score, &mut self.findings),
            rank: self.rank(context, columns.rank).rank,
            data_year: context.text(columns.year).to_owned(),
        };
        let is_empty = component.raw.is_none()
            && component.score.is_none()
            && component.rank.is_none()
            && component.data_year.is_empty();
        (!is_empty).then_some(component)
    }

    fn previous(&mut self, context: &Context<'_>) -> Vec<RankClaim> {
        let printed = self.rank(context, context.columns.previous);
        match (printed.rank, &self.reader.previous_edition) {
            (Some(rank), Some(edition)) => {
                vec![RankClaim { rank, edition: edition.clone(), claimed_by: String::new() }]
            }
            _ => Vec::new(),
        }
    }

    /// Ranks that others give: `18 by businessupturn.com; 13 by x`.
    fn disputed(&mut self, context: &Context<'_>) -> Vec<RankClaim> {
        let column = context.columns.disputed;
        let mut claims = Vec::new();
        for part in context.text(column).split(';') {
            let part = part.trim();
            if part.is_empty() {
                continue;
            }
            match claim(part) {
                Some(claim) => claims.push(claim),
                None => {
                    let message = format!("`{part}`: write `18 by example.org`, several with `;` between");
                    self.findings.error("BAD_CLAIM", context.place(column), message);
                }
            }
        }
        claims
    }
}

fn is_yes(text: &str) -> bool {
    matches!(text.to_ascii_lowercase().as_str(), "yes" | "true" | "1")
}

fn claim(text: &str) -> Option<RankClaim> {
    let (rank, claimed_by) = text.split_once(" by ")?;
    let rank = rank.trim().parse().ok()?;
    let claimed_by = claimed_by.trim();
    if rank == 0 || claimed_by.is_empty() {
        return None;
    }
    Some(RankClaim { rank, edition: String::new(), claimed_by: claimed_by.to_owned() })
}

#[cfg(test)]
mod tests;
