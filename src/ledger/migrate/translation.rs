//! The records of one commit of format 2 become those of format 3.
//!
//! What format 2 does not say is looked up in the view of the new folder, as it was before the commit. What format 2 says
//! of the state before must agree with that view, or the commit counts as damaged.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::format2::{OldDefinition, OldEdition, OldEntryChange, OldRanking, OldRecord, OldRow, OldStanding};
use crate::{
    ledger::{
        page,
        plan::Sink,
        record::{Record, RecordedRow},
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

/// The ids of methodologies. Format 2 named them by a text within their ranking, format 3 by an id for all rankings.
#[derive(Debug, Default)]
pub(super) struct MethodologyIds {
    known: HashMap<(RankingId, String), MethodologyId>,
    taken: HashSet<MethodologyId>,
}

impl MethodologyIds {
    /// `RANKING:TEXT`, where a character that no id may hold becomes `-`, cut to the length of an id; with `-2`, `-3`, … at
    /// its end if another methodology has that id already. The same at every call.
    fn id(&mut self, ranking: &RankingId, text: &str) -> Result<MethodologyId> {
        let key = (ranking.clone(), text.to_owned());
        if let Some(known) = self.known.get(&key) {
            return Ok(known.clone());
        }
        let allowed = |letter: char| if letter.is_ascii_graphic() { letter } else { '-' };
        let wanted: String = format!("{ranking}:{text}").chars().map(allowed).collect();
        let mut number = 1;
        loop {
            let suffix = if number == 1 { String::new() } else { format!("-{number}") };
            let kept = wanted.len().min(ID_BYTES_MAX - suffix.len());
            let id = MethodologyId::new(&format!("{}{suffix}", &wanted[..kept]));
            let id = id.map_err(|error| page::corrupt(error.to_string()))?;
            if self.taken.insert(id.clone()) {
                self.known.insert(key, id.clone());
                return Ok(id);
            }
            number += 1;
        }
    }
}

/// What became of the records of a commit.
#[derive(Debug, Default)]
pub(super) struct Translated {
    pub(super) pages: u32,
    pub(super) changes: u64,
    /// Whether there was a record that is no definition.
    pub(super) has_data: bool,
    pub(super) definitions_added: u64,
    pub(super) definitions_revised: u64,
    /// Came again inside a ranking that changed elsewhere.
    pub(super) definitions_unchanged: u64,
    /// The version that the commit brought.
    pub(super) edition: Option<Edition>,
}

/// Translates one commit.
pub(super) struct Translation<'a> {
    /// As it was before the commit.
    view: &'a View,
    catalog: Arc<Catalog>,
    methodology_ids: &'a mut MethodologyIds,
    sink: Sink<'a>,
    /// The series whose rows may go on in the next record.
    series: Option<(SeriesKey, Vec<OldRow>)>,
    /// The edition whose entries come.
    edition: Option<EditionChange>,
    done: Translated,
}

/// An edition with the tables that its entries are compared with.
struct EditionChange {
    after: Edition,
    /// The version that stood.
    standing: Option<Lookup>,
    /// Without one: the version of another edition that it is compared with.
    compared: Option<Lookup>,
    /// Entities whose entries came.
    seen: HashSet<EntityId>,
}

/// A table, to look entities up in.
struct Lookup {
    table: Arc<Table>,
    places: HashMap<EntityId, usize>,
}

impl Lookup {
    fn new(table: Arc<Table>) -> Self {
        let places = table.entries.iter().enumerate().map(|(at, entry)| (entry.entity.clone(), at)).collect();
        Self { table, places }
    }

    fn entry(&self, entity: &EntityId) -> Option<&Entry> {
        self.table.entries.get(*self.places.get(entity)?)
    }
}

impl EditionChange {
    /// What its entries are compared with.
    fn earlier(&self) -> Option<&Lookup> {
        self.standing.as_ref().or(self.compared.as_ref())
    }
}

impl<'a> Translation<'a> {
    pub(super) fn new(view: &'a View, methodology_ids: &'a mut MethodologyIds, sink: Sink<'a>) -> Self {
        let catalog = view.catalog();
        let done = Translated::default();
        Self { view, catalog, methodology_ids, sink, series: None, edition: None, done }
    }

    pub(super) fn add(&mut self, record: OldRecord) -> Result<()> {
        if !matches!(record, OldRecord::Series(..)) {
            self.close_series()?;
        }
        if !matches!(record, OldRecord::Entry { .. }) {
            self.close_edition()?;
        }
        self.done.has_data |= !matches!(record, OldRecord::Definition(_));
        match record {
            OldRecord::Series(key, rows) => self.add_rows(key, rows),
            OldRecord::FullRelease(indicator, source) => self.sink.add(Record::FullRelease(indicator, source)),
            OldRecord::Definition(definition) => self.add_definition(*definition),
            OldRecord::Edition { before, after } => self.add_edition(before.as_deref(), *after),
            OldRecord::Entry { after, change } => self.add_entry(after, *change),
        }
    }

    pub(super) fn finish(mut self) -> Result<Translated> {
        self.close_series()?;
        self.close_edition()?;
        self.sink.finish()?;
        (self.done.pages, self.done.changes) = (self.sink.pages, self.sink.changes);
        Ok(self.done)
    }

    fn add_rows(&mut self, key: SeriesKey, rows: Vec<OldRow>) -> Result<()> {
        match &mut self.series {
            Some((open, known)) if *open == key => known.extend(rows),
            _ => {
                self.close_series()?;
                self.series = Some((key, rows));
            }
        }
        Ok(())
    }

    fn close_series(&mut self) -> Result<()> {
        let Some((key, rows)) = self.series.take() else { return Ok(()) };
        let known = self.view.series_ids(&key).map_or(Ok(Vec::new()), |ids| self.view.versions(ids))?;
        let mut recorded = Vec::with_capacity(rows.len());
        for of_period in rows.chunk_by(|a, b| a.row.period == b.row.period) {
            let period = of_period[0].row.period;
            let known: Vec<FigureVersion> = known.iter().filter(|row| row.period == period).cloned().collect();
            let added = of_period.iter().map(|old| old.row.clone());
            let with: Vec<FigureVersion> = known.iter().cloned().chain(added).collect();
            for old in of_period {
                recorded.push(answered(old, &known, &with)?);
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

    /// Its methodologies, then the ranking without them.
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
            // Of two with one id, format 2 answered the first.
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
                self.done.definitions_unchanged += 1;
                return Ok(());
            }
            Some(_) => self.done.definitions_revised += 1,
            None => self.done.definitions_added += 1,
        }
        self.sink.add(Record::Definition(before, Box::new(definition)))
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
            (None, Some(other)) => {
                let known = self.catalog.edition(&old.ranking, other, now).filter(|known| known.stands()).cloned();
                Some(
                    known
                        .ok_or_else(|| page::corrupt(format!("it is compared with edition {other}: there is none")))?,
                )
            }
            _ => None,
        };
        let after = self.edition(old, newest.as_deref())?;
        let before = standing.as_ref().map(|standing| Box::new(standing.as_ref().clone()));
        self.sink.add(Record::Edition(before, Box::new(after.clone())))?;
        self.done.edition = Some(after.clone());
        let lookup = |edition: Arc<Edition>| self.view.table(&edition).map(Lookup::new);
        let standing = standing.map(lookup).transpose()?;
        let compared = compared.map(lookup).transpose()?;
        self.edition = Some(EditionChange { after, standing, compared, seen: HashSet::new() });
        Ok(())
    }

    /// A version of an edition, after the newest one that is known of it.
    fn edition(&mut self, old: OldEdition, newest: Option<&Edition>) -> Result<Edition> {
        let withdrawn = old.status == EditionStatus::Withdrawn;
        // In format 2 the newest revision was current, whatever its release date. It must stay so.
        let not_before = newest.map(Edition::effective_day);
        let effective = match not_before {
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
        let Some(open) = &mut self.edition else { return Err(page::corrupt("an entry without its edition")) };
        let entity = old.entry_move.entity;
        let earlier = open.earlier().and_then(|lookup| lookup.entry(&entity));
        let same_edition = (&old.ranking, &old.edition) == (&open.after.ranking, &open.after.edition);
        if !same_edition || old.entry_move.before != standing_of(earlier) {
            return Err(page::corrupt(format!("the entry of {entity} was not what the commit says it was")));
        }
        let absent_from = open.earlier().filter(|_| earlier.is_none());
        let earlier_absence = absent_from.map(|lookup| absence(&lookup.table.edition));
        let earlier_source = open.earlier().and_then(|lookup| lookup.table.edition.source.clone());
        let earlier = earlier.map(|entry| Box::new(entry.clone()));
        let (before, compared) = if open.standing.is_some() { (earlier, None) } else { (None, earlier) };
        let change = EntryChange {
            ranking: old.ranking,
            edition: old.edition,
            source: open.after.source.clone(),
            entity: entity.clone(),
            before,
            later_absence: after.is_none().then(|| absence(&open.after)),
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
        open.seen.insert(entity);
        self.sink.add(Record::Entry(Box::new(change)))
    }

    /// A correction that names another source changes every row, also those of which format 2 says nothing.
    fn close_edition(&mut self) -> Result<()> {
        let Some(EditionChange { after, standing: Some(standing), seen, .. }) = self.edition.take() else {
            return Ok(());
        };
        let table = &standing.table;
        if !after.stands() || after.source == table.edition.source {
            return Ok(());
        }
        let methodology = |id: &str| self.catalog.methodology(id, self.view.applied());
        let comparable = comparability(&table.edition, &after, methodology).comparable;
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

/// What format 2 says of an entry, or of none.
fn standing_of(entry: Option<&Entry>) -> OldStanding {
    OldStanding {
        listed: entry.is_some(),
        rank: entry.and_then(|entry| entry.rank),
        published_name: entry.map_or_else(String::new, |entry| entry.published_name.clone()),
    }
}

/// A row with the versions that answer before and after. What format 2 says of them must agree.
fn answered(old: &OldRow, known: &[FigureVersion], with: &[FigureVersion]) -> Result<RecordedRow> {
    let Some(movement) = old.movement else { return Ok(RecordedRow::silent(old.row.clone())) };
    let told = RecordedRow::told(old.row.clone(), known, with);
    let same_before =
        movement == FigureMovement::Added || told.before.as_ref().and_then(FigureVersion::value) == old.before.as_ref();
    match told.movement == Some(movement) && same_before {
        true => Ok(told),
        false => Err(page::corrupt(format!("the figure of {} was not what the commit says it was", old.row.period))),
    }
}
