//! Shared by the feed's tests: headers of commits, tables, and the changes of commits that publish, correct and
//! withdraw tables.

use std::sync::Arc;

use crate::{
    ledger::log::{CHAIN_START, Draft, Header, Totals},
    model::{
        change::{Absence, Cause, Change, Commit, Counts, EntryChange, FigureChange, FigureMovement, Movement},
        edition::{Basis, Coverage, CoverageKind, Edition, EditionStatus, Entry, Table, complete_to, sort_entries},
        id::{EditionId, EntityId, IndicatorId, RankingId, Revision, SourceId},
        period::Period,
        series::{Dimensions, FigureVersion, SeriesKey, Statement},
        time::{Date, Instant},
        value::{Number, Value},
    },
    ranking::compare::moves,
};

/// The header of a commit with one page.
pub(super) fn header(revision: u64) -> Arc<Header> {
    let commit = Commit {
        revision: Revision(revision),
        recorded: Instant(0),
        author: String::new(),
        cause: Cause::FirstRelease,
        note: String::new(),
        released: None,
        document_sha256: String::new(),
        counts: Counts::default(),
        request_id: None,
    };
    let draft = Draft { commit, pages: 1, changes: 0, totals: Totals::default() };
    Arc::new(draft.sealed(CHAIN_START, [0; 32]).unwrap())
}

/// An entry without a name, a score and remarks.
pub(super) fn entry(entity: &str, economies: &[&str], rank: Option<u32>) -> Entry {
    Entry {
        entity: EntityId::new(entity).unwrap(),
        published_name: String::new(),
        economies: economies.iter().map(|economy| EntityId::new(economy).unwrap()).collect(),
        rank,
        tied: false,
        score: None,
        components: Vec::new(),
        previous: Vec::new(),
        disputed: Vec::new(),
        note: String::new(),
    }
}

/// An edition as published.
pub(super) fn table(ranking: &str, id: &str, kind: CoverageKind, mut entries: Vec<Entry>) -> Table {
    sort_entries(&mut entries);
    let edition = Edition {
        ranking: RankingId::new(ranking).unwrap(),
        edition: EditionId::new(id).unwrap(),
        title: String::new(),
        status: EditionStatus::Published,
        basis: Basis::AsPublished,
        about: String::new(),
        coverage: Coverage { kind, listed: 0, universe: 0 },
        methodology: "m".into(),
        released: Date::EPOCH,
        source: Some(SourceId::new("s").unwrap()),
        note: String::new(),
        entry_count: entries.len() as u32,
        complete_to: complete_to(&entries),
        effective: None,
        revision: Revision(1),
        recorded: Instant(0),
        compared_with: None,
    };
    Table { edition, entries }
}

/// The changes of the commit that publishes a table, compared with another edition.
pub(super) fn published(compared: Option<&Table>, after: &Table) -> Vec<Change> {
    let mut changes = vec![edition_change(None, &after.edition)];
    changes.extend(entry_changes(compared, after).map(|change| Change::Entry(Box::new(change))));
    changes
}

/// The changes of the commit that replaces a table of an edition by another.
pub(super) fn corrected(before: &Table, after: &Table) -> Vec<Change> {
    let one_source = before.edition.source == after.edition.source;
    let mut changes = vec![edition_change(Some(&before.edition), &after.edition)];
    for change in entry_changes(Some(before), after) {
        if !one_source || change.before != change.after {
            changes.push(Change::Entry(Box::new(change)));
        }
    }
    changes
}

/// The changes of the commit that withdraws a table.
pub(super) fn withdrawn(table: &Table) -> Vec<Change> {
    let mut edition = table.edition.clone();
    edition.status = EditionStatus::Withdrawn;
    edition.entry_count = 0;
    edition.complete_to = 0;
    let after = Table { edition, entries: Vec::new() };
    let mut changes = vec![edition_change(Some(&table.edition), &after.edition)];
    for change in entry_changes(Some(table), &after) {
        let change = EntryChange { movement: Movement::Withdrawn, later_absence: Some(Absence::Unknown), ..change };
        changes.push(Change::Entry(Box::new(change)));
    }
    changes
}

fn edition_change(before: Option<&Edition>, after: &Edition) -> Change {
    let before = before.map(|edition| Box::new(edition.clone()));
    Change::Edition { before, after: Box::new(after.clone()), backfilled: None }
}

/// A change of a figure of the series `I` of `E` from `S`; without figures on both sides it is filled in behind "no
/// figure".
pub(super) fn figure(dimensions: &str, before: bool, after: bool) -> FigureChange {
    let period = Period::parse("2020").unwrap();
    let movement = match (before, after) {
        (false, true) => FigureMovement::Added,
        (true, true) => FigureMovement::Revised,
        (true, false) => FigureMovement::Withdrawn,
        (false, false) => FigureMovement::Backfilled,
    };
    FigureChange {
        series: SeriesKey {
            indicator: IndicatorId::new("I").unwrap(),
            entity: EntityId::new("E").unwrap(),
            source: SourceId::new("S").unwrap(),
            dimensions: Dimensions::from_stored(dimensions.to_owned()),
        },
        period,
        movement,
        before: before.then(|| version(period, 1)),
        after: after.then(|| version(period, 2)),
        recorded: version(period, 2),
    }
}

fn version(period: Period, revision: u64) -> FigureVersion {
    FigureVersion {
        period,
        revision: Revision(revision),
        released: Date::EPOCH,
        statement: Statement::Figure(Value::number(Number::parse("1.5").unwrap())),
    }
}

fn entry_changes(compared: Option<&Table>, after: &Table) -> impl Iterator<Item = EntryChange> {
    let compared_with = compared.map(|table| table.edition.edition.clone());
    let one_edition = compared_with.as_ref() == Some(&after.edition.edition);
    moves(compared, after).into_iter().map(move |moved| {
        let earlier = moved.earlier.map(Box::new);
        let (before, other) = if one_edition { (earlier, None) } else { (None, earlier) };
        EntryChange {
            ranking: after.edition.ranking.clone(),
            edition: after.edition.edition.clone(),
            source: after.edition.source.clone(),
            entity: moved.entity,
            before,
            after: moved.later.map(Box::new),
            compared_with: compared_with.clone(),
            compared: other,
            earlier_source: compared.and_then(|table| table.edition.source.clone()),
            movement: moved.movement,
            earlier_absence: moved.earlier_absence,
            later_absence: moved.later_absence,
            entries_before: compared.map_or(0, |table| table.edition.entry_count),
            entries_after: after.edition.entry_count,
            comparable: true,
        }
    })
}
