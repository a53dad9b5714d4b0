//! Translates the records of one commit from format 2 to format 3.
//!
//! Facts that format 2 lacks come from the view of the new folder, as it was before the commit.
//!
//! Invariant: what format 2 says of the state before agrees with that view, or the commit counts as damaged.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::format2::{OldDefinition, OldEdition, OldEntryChange, OldRanking, OldRecord, OldRow, OldStanding};
use crate::{
    ledger::{
        page,
        plan::Sink,
        record::{Record, RecordedVersion},
    },
    model::{
        catalog::{Definition, Methodology, Ranking},
        change::{EntryChange, FigureMovement},
        edition::{Edition, EditionStatus, Entry, Table},
        id::{EntityId, ID_BYTES_MAX, MethodologyId, RankingId},
        series::{FigureVersion, Horizon, SeriesKey},
    },
    ranking::compare::{Standing, absence, comparability, movement},
    store::{catalog::Catalog, error::Result, view::View},
};

/// The ids of methodologies. Format 2 names one by a text within its ranking, format 3 by an id for all rankings.
#[derive(Debug, Default)]
pub(super) struct MethodologyIds {
    by_text: HashMap<(RankingId, String), MethodologyId>,
    used: HashSet<MethodologyId>,
}

impl MethodologyIds {
    /// The id of a methodology, the same at every call: `RANKING:TEXT`, where a character that no id may hold becomes `-`, cut
    /// to the length of an id, with `-2`, `-3`, … at its end if another methodology has that id already.
    fn id(&mut self, ranking: &RankingId, text: &str) -> Result<MethodologyId> {
        let key = (ranking.clone(), text.to_owned());
        if let Some(id) = self.by_text.get(&key) {
            return Ok(id.clone());
        }
        let name = format!("{ranking}:{text}").replace(|letter: char| !letter.is_ascii_graphic(), "-");
        let mut number = 1;
        loop {
            let suffix = if number == 1 { String::new() } else { format!("-{number}") };
            let bytes = name.len().min(ID_BYTES_MAX - suffix.len());
            let id = MethodologyId::new(&format!("{}{suffix}", &name[..bytes])).map_err(page::corrupt)?;
            if self.used.insert(id.clone()) {
                self.by_text.insert(key, id.clone());
                return Ok(id);
            }
            number += 1;
        }
    }
}

/// The result of the translation of a commit, beside its records.
#[derive(Debug, Default)]
pub(super) struct CommitSummary {
    pub(super) pages: u32,
    pub(super) changes: u64,
    /// The commit has a record that is no definition.
    pub(super) has_data: bool,
    pub(super) definitions_added: u64,
    pub(super) definitions_revised: u64,
    /// Definitions that came again inside a ranking that changed elsewhere.
    pub(super) definitions_unchanged: u64,
    /// The version that the commit brought.
    pub(super) edition: Option<Edition>,
}

pub(super) struct Translation<'a> {
    /// The view before the commit.
    view: &'a View,
    catalog: Arc<Catalog>,
    methodology_ids: &'a mut MethodologyIds,
    sink: Sink<'a>,
    /// The series whose rows may go on in the next record.
    series: Option<(SeriesKey, Vec<OldRow>)>,
    /// The edition whose entries may come next.
    edition: Option<EditionChange>,
    summary: CommitSummary,
}

/// A change of an edition, with the tables that its entries are compared with.
struct EditionChange {
    after: Edition,
    /// The version that stood.
    standing: Option<TableIndex>,
    /// If none stood: the version of another edition that `after` is compared with.
    compared: Option<TableIndex>,
    /// Entities whose entries have come.
    seen: HashSet<EntityId>,
}

/// A table whose entries are found by entity.
struct TableIndex {
    table: Arc<Table>,
    places: HashMap<EntityId, usize>,
}

impl TableIndex {
    fn new(table: Arc<Table>) -> Self {
        let places = table.entries.iter().enumerate().map(|(at, entry)| (entry.entity.clone(), at)).collect();
        Self { table, places }
    }

    fn entry(&self, entity: &EntityId) -> Option<&Entry> {
        self.table.entries.get(*self.places.get(entity)?)
    }
}

impl EditionChange {
    /// The table that the entries are compared with.
    fn earlier(&self) -> Option<&TableIndex> {
        self.standing.as_ref().or(self.compared.as_ref())
    }
}

impl<'a> Translation<'a> {
    pub(super) fn new(view: &'a View, methodology_ids: &'a mut MethodologyIds, sink: Sink<'a>) -> Self {
        let catalog = view.catalog();
        let summary = CommitSummary::default();
        Self { view, catalog, methodology_ids, sink, series: None, edition: None, summary }
    }

    pub(super) fn add(&mut self, record: OldRecord) -> Result<()> {
        if !matches!(record, OldRecord::Series(..)) {
            self.close_series()?;
        }
        if !matches!(record, OldRecord::Entry { .. }) {
            self.close_edition()?;
        }
        self.summary.has_data |= !matches!(record, OldRecord::Definition(_));
        match record {
            OldRecord::Series(key, rows) => self.add_rows(key, rows),
            OldRecord::FullRelease(indicator, source) => self.sink.add(Record::FullRelease(indicator, source)),
            OldRecord::Definition(definition) => self.add_definition(*definition),
            OldRecord::Edition { before, after } => self.add_edition(before.as_deref(), *after),
            OldRecord::Entry { after, change } => self.add_entry(after, *change),
        }
    }

    pub(super) fn finish(mut self) -> Result<CommitSummary> {
        self.close_series()?;
        self.close_edition()?;
        self.sink.finish()?;
        self.summary.pages = self.sink.pages;
        self.summary.changes = self.sink.changes;
        Ok(self.summary)
    }

    fn add_rows(&mut self, key: SeriesKey, rows: Vec<OldRow>) -> Result<()> {
        match &mut self.series {
            Some((current, earlier)) if *current == key => earlier.extend(rows),
            _ => {
                self.close_series()?;
                self.series = Some((key, rows));
            }
        }
        Ok(())
    }

    fn close_series(&mut self) -> Result<()> {
        let Some((key, rows)) = self.series.take() else { return Ok(()) };
        let stored = match self.view.series_ids(&key) {
            Some(ids) => self.view.versions(ids)?,
            None => Vec::new(),
        };
        let mut recorded = Vec::with_capacity(rows.len());
        for of_period in rows.chunk_by(|a, b| a.row.period == b.row.period) {
            let period = of_period[0].row.period;
            let old_versions: Vec<FigureVersion> = stored.iter().filter(|row| row.period == period).cloned().collect();
            let mut new_versions = old_versions.clone();
            new_versions.extend(of_period.iter().map(|old| old.row.clone()));
            for old in of_period {
                recorded.push(recorded_row(old, &old_versions, &new_versions)?);
            }
        }
        self.sink.add(Record::Series(key, recorded))
    }

    fn add_definition(&mut self, definition: OldDefinition) -> Result<()> {
        match definition {
            OldDefinition::Indicator(indicator) => self.define(Definition::Indicator(indicator)),
            OldDefinition::Entity(entity) => self.define(Definition::Entity(entity)),
            OldDefinition::Source(source) => self.define(Definition::Source(source)),
            OldDefinition::Ranking(ranking) => self.add_ranking(ranking),
        }
    }

    /// Defines the methodologies of a ranking, then the ranking without them.
    fn add_ranking(&mut self, ranking: OldRanking) -> Result<()> {
        let OldRanking { id, name, subject, source, description, methodologies } = ranking;
        let mut seen = HashSet::new();
        for old in methodologies {
            let methodology = Methodology {
                id: self.methodology_ids.id(&id, &old.id)?,
                description: old.description,
                components: old.components,
                aggregation: old.aggregation,
            };
            // Of two methodologies with one id, format 2 answered the first.
            if seen.insert(methodology.id.clone()) {
                self.define(Definition::Methodology(methodology))?;
            }
        }
        self.define(Definition::Ranking(Ranking { id, name, subject, source, description }))
    }

    fn define(&mut self, definition: Definition) -> Result<()> {
        let before = self.catalog.definition(definition.kind(), definition.id(), self.view.applied());
        let before = before.map(|before| Box::new(before.as_ref().clone()));
        match &before {
            Some(before) if **before == definition => {
                self.summary.definitions_unchanged += 1;
                return Ok(());
            }
            Some(_) => self.summary.definitions_revised += 1,
            None => self.summary.definitions_added += 1,
        }
        self.sink.add(Record::Definition { before, after: Box::new(definition) })
    }

    fn add_edition(&mut self, before: Option<&OldEdition>, old: OldEdition) -> Result<()> {
        let now = Horizon::at(self.view.applied());
        let newest = self.catalog.edition(&old.ranking, &old.edition, now).cloned();
        let standing = newest.clone().filter(|newest| newest.stands());
        if standing.as_ref().map(|edition| edition.revision) != before.map(|before| before.revision) {
            let what = format!("edition {} of {}", old.edition, old.ranking);
            return Err(page::corrupt(format!("{what} was not what the commit says it was")));
        }
        let compared = match (&standing, &old.compared_with) {
            (None, Some(other)) => match self.catalog.edition(&old.ranking, other, now) {
                Some(found) if found.stands() => Some(self.table_index(found)?),
                _ => return Err(page::corrupt(format!("it is compared with edition {other}: there is none"))),
            },
            _ => None,
        };
        let after = self.edition(old, newest.as_deref())?;
        let before = standing.as_ref().map(|standing| Box::new(standing.as_ref().clone()));
        self.sink.add(Record::Edition { before, after: Box::new(after.clone()) })?;
        self.summary.edition = Some(after.clone());
        let standing = standing.map(|standing| self.table_index(&standing)).transpose()?;
        self.edition = Some(EditionChange { after, standing, compared, seen: HashSet::new() });
        Ok(())
    }

    fn table_index(&self, edition: &Arc<Edition>) -> Result<TableIndex> {
        Ok(TableIndex::new(self.view.table(edition)?))
    }

    /// A version of an edition; `newest` is the version before it.
    fn edition(&mut self, old: OldEdition, newest: Option<&Edition>) -> Result<Edition> {
        let withdrawn = old.status == EditionStatus::Withdrawn;
        // In format 2 the newest revision is current, whatever its release date. It must stay so.
        let effective = match newest.map(Edition::effective_day) {
            Some(day) if withdrawn => Some(day.max(old.recorded.day())),
            Some(day) => Some(day).filter(|day| *day > old.released),
            None => None,
        };
        let ranking_source = self.catalog.ranking(old.ranking.as_str(), self.view.applied());
        let ranking_source = ranking_source.map(|ranking| ranking.source.clone());
        let source = match newest {
            Some(newest) if withdrawn => newest.source.clone(),
            _ => old.source.or(ranking_source),
        };
        let methodology = match old.methodology.as_str() {
            "" => String::new(),
            text => self.methodology_ids.id(&old.ranking, text)?.into(),
        };
        Ok(Edition {
            ranking: old.ranking,
            edition: old.edition,
            title: old.title,
            status: old.status,
            basis: old.basis,
            about: old.about,
            coverage: old.coverage,
            methodology,
            released: old.released,
            effective,
            source,
            note: old.note,
            entry_count: old.entry_count,
            complete_to: old.complete_to,
            revision: old.revision,
            recorded: old.recorded,
            compared_with: old.compared_with,
        })
    }

    fn add_entry(&mut self, after: Option<Box<Entry>>, old: OldEntryChange) -> Result<()> {
        let Some(change) = &mut self.edition else { return Err(page::corrupt("an entry without its edition")) };
        let entity = old.entry_move.entity;
        let earlier = change.earlier().and_then(|index| index.entry(&entity));
        let is_of_edition = old.ranking == change.after.ranking && old.edition == change.after.edition;
        if !is_of_edition || old.entry_move.before != standing_of(earlier) {
            return Err(page::corrupt(format!("the entry of {entity} was not what the commit says it was")));
        }
        let absent_from = change.earlier().filter(|_| earlier.is_none());
        let earlier_absence = absent_from.map(|index| absence(&index.table.edition));
        let earlier_source = change.earlier().and_then(|index| index.table.edition.source.clone());
        let earlier = earlier.map(|entry| Box::new(entry.clone()));
        let (before, compared) = if change.standing.is_some() { (earlier, None) } else { (None, earlier) };
        let entry_change = EntryChange {
            ranking: old.ranking,
            edition: old.edition,
            source: change.after.source.clone(),
            entity: entity.clone(),
            before,
            later_absence: after.is_none().then(|| absence(&change.after)),
            after,
            compared_with: old.compared_with,
            compared,
            earlier_source,
            movement: old.entry_move.movement,
            earlier_absence,
            entries_before: old.entries_before,
            entries_after: old.entries_after,
            comparable: old.comparable,
        };
        change.seen.insert(entity);
        self.sink.add(Record::Entry(Box::new(entry_change)))
    }

    /// Adds changes of the entries for which format 2 has none, where a correction names another source: that changes every
    /// entry.
    fn close_edition(&mut self) -> Result<()> {
        let Some(EditionChange { after, standing: Some(standing), seen, .. }) = self.edition.take() else {
            return Ok(());
        };
        let table = &standing.table;
        if !after.stands() || after.source == table.edition.source {
            return Ok(());
        }
        let applied = self.view.applied();
        let comparability = comparability(&table.edition, &after, |id| self.catalog.methodology(id, applied));
        let comparable = comparability.comparable;
        for entry in table.entries.iter().filter(|entry| !seen.contains(&entry.entity)) {
            let side = Standing::of(Some(entry), None, true);
            let change = EntryChange {
                ranking: after.ranking.clone(),
                edition: after.edition.clone(),
                source: after.source.clone(),
                entity: entry.entity.clone(),
                before: Some(Box::new(entry.clone())),
                after: Some(Box::new(entry.clone())),
                compared_with: Some(after.edition.clone()),
                compared: None,
                earlier_source: table.edition.source.clone(),
                movement: movement(side, side),
                earlier_absence: None,
                later_absence: None,
                entries_before: table.edition.entry_count,
                entries_after: after.entry_count,
                comparable,
            };
            self.sink.add(Record::Entry(Box::new(change)))?;
        }
        Ok(())
    }
}

/// An entry as format 2 says it, or its absence.
fn standing_of(entry: Option<&Entry>) -> OldStanding {
    OldStanding {
        listed: entry.is_some(),
        rank: entry.and_then(|entry| entry.rank),
        published_name: entry.map_or_else(String::new, |entry| entry.published_name.clone()),
    }
}

/// A row with the versions that answer before and after. They must agree with what format 2 says.
fn recorded_row(
    old: &OldRow,
    old_versions: &[FigureVersion],
    new_versions: &[FigureVersion],
) -> Result<RecordedVersion> {
    let Some(movement) = old.movement else { return Ok(RecordedVersion::silent(old.row.clone())) };
    let recorded = RecordedVersion::visible(old.row.clone(), old_versions, new_versions);
    let value_before = recorded.before.as_ref().and_then(FigureVersion::value);
    let agrees = movement == FigureMovement::Added || value_before == old.before.as_ref();
    if recorded.movement != Some(movement) || !agrees {
        let message = format!("the figure of {} was not what the commit says it was", old.row.period);
        return Err(page::corrupt(message));
    }
    Ok(recorded)
}
