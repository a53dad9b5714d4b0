//! What queries read: series blocks, editions, the catalog; and the one way to write them.
//!
//! Invariant: nothing above [`View::applied`] is visible. Series rows carry their revision, so a commit of any size is
//! applied in many batches and appears at once when the mark moves. Writing the same commit again changes nothing.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    bytes::{corrupt, frame, unframe},
    catalog::Catalog,
    engine::{Batch, Engine},
    error::Result,
    lock::{self, lock},
    records,
    series::{self, SeriesIds, SeriesScope},
};
use crate::model::{
    catalog::Definition,
    edition::{Edition, Table},
    id::{EntityId, IndicatorId, Revision, SourceId},
    series::{Dimensions, FigureVersion, Horizon, SeriesKey},
    time::Date,
};

const NAMES: u8 = b'D';
const FULL_RELEASES: u8 = b'V';
const APPLIED_KEY: &[u8] = b"Mapplied";
const VERSION: u8 = 1;
/// Entries of editions kept decoded, over all editions.
const CACHED_ENTRIES_MAX: usize = 200_000;

/// The view.
#[derive(Debug)]
pub struct View {
    engine: Arc<Engine>,
    names: RwLock<Names>,
    catalog: RwLock<Arc<Catalog>>,
    applied: AtomicU64,
    tables: Mutex<TableCache>,
}

impl View {
    /// Opens the view in an engine.
    pub fn open(engine: Arc<Engine>) -> Result<Self> {
        let names = Names::load(&engine)?;
        let mut catalog = Catalog::default();
        for item in records::definitions(&engine) {
            let (revision, definition) = item?;
            catalog.define(revision, definition);
        }
        for edition in records::editions(&engine) {
            catalog.publish(edition?);
        }
        for item in records::reverts(&engine) {
            let (revert, revisions) = item?;
            catalog.revert(revert, revisions);
        }
        let applied = match engine.get(APPLIED_KEY)? {
            Some(mark) => read_mark(&mark)?,
            None => 0,
        };
        Ok(Self {
            engine,
            names: RwLock::new(names),
            catalog: RwLock::new(Arc::new(catalog)),
            applied: AtomicU64::new(applied),
            tables: Mutex::default(),
        })
    }

    /// The newest revision that readers see.
    pub fn applied(&self) -> Revision {
        Revision(self.applied.load(Ordering::Acquire))
    }

    /// The catalog as of now, with all its history.
    pub fn catalog(&self) -> Arc<Catalog> {
        lock::read(&self.catalog).clone()
    }

    /// The engine underneath, for its size and for syncing.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The number of an indicator's, entity's or source's name, if any series has it.
    pub fn number(&self, kind: NameKind, name: &str) -> Option<u32> {
        lock::read(&self.names).number(kind, name)
    }

    /// The numbers of a series, if it is there.
    pub fn series_ids(&self, key: &SeriesKey) -> Option<SeriesIds> {
        Some(SeriesIds {
            indicator: self.number(NameKind::Indicator, key.indicator.as_str())?,
            entity: self.number(NameKind::Entity, key.entity.as_str())?,
            source: self.number(NameKind::Source, key.source.as_str())?,
            dimensions: self.number(NameKind::Dimensions, key.dimensions.as_str())?,
        })
    }

    /// The name of a series.
    pub fn series_key(&self, ids: SeriesIds) -> Result<SeriesKey> {
        let names = lock::read(&self.names);
        let name = |kind, number| names.name(kind, number).ok_or_else(|| corrupt("a series without a name"));
        let id = |_| corrupt("a name that is no id");
        Ok(SeriesKey {
            indicator: IndicatorId::new(name(NameKind::Indicator, ids.indicator)?).map_err(id)?,
            entity: EntityId::new(name(NameKind::Entity, ids.entity)?).map_err(id)?,
            source: SourceId::new(name(NameKind::Source, ids.source)?).map_err(id)?,
            dimensions: Dimensions::from_stored(name(NameKind::Dimensions, ids.dimensions)?.to_owned()),
        })
    }

    /// All rows of a series, sorted.
    pub fn versions(&self, ids: SeriesIds) -> Result<Vec<FigureVersion>> {
        series::read(&self.engine, ids)
    }

    /// All rows of one period of a series.
    pub fn versions_of_period(
        &self,
        ids: SeriesIds,
        period: crate::model::period::Period,
    ) -> Result<Vec<FigureVersion>> {
        series::read_period(&self.engine, ids, period)
    }

    /// The first series of a scope after another.
    pub fn next_series(&self, scope: SeriesScope, after: Option<SeriesIds>) -> Result<Option<SeriesIds>> {
        series::next_series(&self.engine, scope, after)
    }

    /// Every series of a scope with its rows, from one on.
    pub fn scan_series(
        &self,
        scope: SeriesScope,
        from: Option<SeriesIds>,
    ) -> impl Iterator<Item = Result<(SeriesIds, Vec<FigureVersion>)>> + use<> {
        series::scan(&self.engine, scope, from)
    }

    /// A version of an edition with its entries.
    pub fn table(&self, edition: &Arc<Edition>) -> Result<Arc<Table>> {
        if let Some(table) = self.cached(edition) {
            return Ok(table);
        }
        let entries = records::entries(&self.engine, edition)?;
        let table = Arc::new(Table { edition: edition.as_ref().clone(), entries });
        lock(&self.tables).put(table.clone());
        Ok(table)
    }

    /// The same, if it is at hand: never waits for the disk.
    pub fn cached(&self, edition: &Edition) -> Option<Arc<Table>> {
        lock(&self.tables).get(edition)
    }

    /// The first day after another on which a source released an indicator whole.
    pub fn next_full_release(&self, ids: (u32, u32), after: Date) -> Result<Option<Date>> {
        let catalog = self.catalog();
        let from = full_release_key(ids, after, Revision::MAX);
        for item in self.engine.scan(&full_release_prefix(ids), Some(&from)) {
            let whole = FullRelease::of(&item?.0)?;
            if whole.released > after && !catalog.reverts().is_reverted(whole.revision, Revision::MAX) {
                return Ok(Some(whole.released));
            }
        }
        Ok(None)
    }

    /// The newest day within a horizon on which a source released an indicator whole.
    pub fn newest_full_release(&self, ids: (u32, u32), horizon: Horizon) -> Result<Option<Date>> {
        let catalog = self.catalog();
        for item in self.engine.scan(&full_release_prefix(ids), None).rev() {
            let whole = FullRelease::of(&item?.0)?;
            let admitted = whole.released <= horizon.released && whole.revision <= horizon.revision;
            if admitted && !catalog.reverts().is_reverted(whole.revision, horizon.revision) {
                return Ok(Some(whole.released));
            }
        }
        Ok(None)
    }

    /// Every whole release: of one indicator by one source, or of all.
    pub fn full_releases(&self, of: Option<(u32, u32)>) -> impl Iterator<Item = Result<FullRelease>> {
        let prefix = of.map_or_else(|| vec![FULL_RELEASES], full_release_prefix);
        self.engine.scan(&prefix, None).map(|item| FullRelease::of(&item?.0))
    }

    /// Starts to apply a commit. There is one writer.
    pub fn write(&self) -> ViewWriter<'_> {
        ViewWriter {
            view: self,
            batch: self.engine.batch(),
            definitions: Vec::new(),
            editions: Vec::new(),
            reverts: Vec::new(),
        }
    }
}

/// Applies one commit.
#[derive(Debug)]
#[must_use = "a commit is invisible until it is finished"]
pub struct ViewWriter<'a> {
    view: &'a View,
    batch: Batch<'a>,
    definitions: Vec<(Revision, Definition)>,
    editions: Vec<Edition>,
    reverts: Vec<(Revision, BTreeSet<Revision>)>,
}

impl ViewWriter<'_> {
    /// Adds rows, sorted by name, to a series. Each series at most once per commit.
    pub fn series(&mut self, key: &SeriesKey, rows: Vec<FigureVersion>) -> Result<()> {
        let ids = SeriesIds {
            indicator: self.name(NameKind::Indicator, key.indicator.as_str())?,
            entity: self.name(NameKind::Entity, key.entity.as_str())?,
            source: self.name(NameKind::Source, key.source.as_str())?,
            dimensions: self.name(NameKind::Dimensions, key.dimensions.as_str())?,
        };
        series::insert(&self.view.engine, &mut self.batch, ids, rows)
    }

    /// Notes that a commit is a source's whole release of an indicator.
    pub fn full_release(
        &mut self,
        indicator: &IndicatorId,
        source: &SourceId,
        released: Date,
        revision: Revision,
    ) -> Result<()> {
        let ids = (self.name(NameKind::Indicator, indicator.as_str())?, self.name(NameKind::Source, source.as_str())?);
        self.batch.put(&full_release_key(ids, released, revision), &frame(VERSION, &[]))
    }

    /// Adds a version of a definition.
    pub fn definition(&mut self, revision: Revision, definition: &Definition) -> Result<()> {
        records::put_definition(&mut self.batch, revision, definition)?;
        self.definitions.push((revision, definition.clone()));
        Ok(())
    }

    /// Adds a version of an edition.
    pub fn table(&mut self, table: &Table) -> Result<()> {
        records::put_table(&mut self.batch, table)?;
        self.editions.push(table.edition.clone());
        Ok(())
    }

    /// From a revision on these commits count as never made.
    pub fn revert(&mut self, revert: Revision, revisions: BTreeSet<Revision>) -> Result<()> {
        records::put_revert(&mut self.batch, revert, &revisions)?;
        self.reverts.push((revert, revisions));
        Ok(())
    }

    /// Makes the commit visible.
    pub fn finish(mut self, revision: Revision) -> Result<()> {
        self.batch.put(APPLIED_KEY, &frame(VERSION, &revision.0.to_le_bytes()))?;
        self.batch.write()?;
        if !(self.definitions.is_empty() && self.editions.is_empty() && self.reverts.is_empty()) {
            let mut catalog = lock::write(&self.view.catalog);
            let next = Arc::make_mut(&mut catalog);
            self.definitions.into_iter().for_each(|(revision, definition)| next.define(revision, definition));
            self.editions.into_iter().for_each(|edition| next.publish(edition));
            self.reverts.into_iter().for_each(|(revert, revisions)| next.revert(revert, revisions));
        }
        self.view.applied.store(revision.0, Ordering::Release);
        Ok(())
    }

    fn name(&mut self, kind: NameKind, name: &str) -> Result<u32> {
        if let Some(number) = self.view.number(kind, name) {
            return Ok(number);
        }
        let number = lock::write(&self.view.names).add(kind, name);
        // In the same or an earlier batch than the first row that uses it.
        self.batch.put(&[&[NAMES, kind as u8], name.as_bytes()].concat(), &frame(VERSION, &number.to_le_bytes()))?;
        Ok(number)
    }
}

fn full_release_prefix(ids: (u32, u32)) -> Vec<u8> {
    let mut prefix = vec![FULL_RELEASES];
    prefix.extend_from_slice(&ids.0.to_be_bytes());
    prefix.extend_from_slice(&ids.1.to_be_bytes());
    prefix
}

fn full_release_key(ids: (u32, u32), released: Date, revision: Revision) -> Vec<u8> {
    let mut key = full_release_prefix(ids);
    key.extend_from_slice(&(released.days() as u32 ^ 0x8000_0000).to_be_bytes());
    key.extend_from_slice(&revision.0.to_be_bytes());
    key
}

/// A commit that is a source's whole release of an indicator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FullRelease {
    /// Number of the indicator's name.
    pub indicator: u32,
    /// Number of the source's name.
    pub source: u32,
    /// The day of the release.
    pub released: Date,
    /// The commit.
    pub revision: Revision,
}

impl FullRelease {
    fn of(key: &[u8]) -> Result<Self> {
        let lacking = || corrupt("a whole release whose key is too short");
        let number = |from: usize| key.get(from..from + 4).and_then(|bytes| bytes.first_chunk().copied());
        let number = |from: usize| number(from).map(u32::from_be_bytes).ok_or_else(lacking);
        let revision = key.get(13..).and_then(|bytes| bytes.first_chunk().copied()).ok_or_else(lacking)?;
        Ok(Self {
            indicator: number(1)?,
            source: number(5)?,
            released: Date::from_days((number(9)? ^ 0x8000_0000) as i32).ok_or_else(lacking)?,
            revision: Revision(u64::from_be_bytes(revision)),
        })
    }
}

fn read_mark(value: &[u8]) -> Result<u64> {
    let bytes = unframe(VERSION, value)?.first_chunk().ok_or_else(|| corrupt("a mark that is too short"))?;
    Ok(u64::from_le_bytes(*bytes))
}

/// What has a number, so that keys are short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameKind {
    Indicator = 1,
    Entity = 2,
    Source = 3,
    Dimensions = 4,
}

/// Names and their numbers, both ways; numbers are dense from 0.
#[derive(Debug, Default)]
struct Names {
    numbers: [HashMap<Arc<str>, u32>; 4],
    names: [Vec<Arc<str>>; 4],
}

impl Names {
    fn load(engine: &Engine) -> Result<Self> {
        let mut names = Self::default();
        for item in engine.scan(&[NAMES], None) {
            let (key, value) = item?;
            let number = unframe(VERSION, &value)?.first_chunk().ok_or_else(|| corrupt("a name without its number"))?;
            let number = u32::from_le_bytes(*number);
            let (kind, name) = key.get(1).zip(key.get(2..)).ok_or_else(|| corrupt("a name key that is too short"))?;
            let slot = usize::from(*kind).wrapping_sub(1);
            let name: Arc<str> = std::str::from_utf8(name).map_err(|_| corrupt("a name that is not text"))?.into();
            let list = names.names.get_mut(slot).ok_or_else(|| corrupt("a name of an unknown kind"))?;
            list.resize_with(list.len().max(number as usize + 1), || "".into());
            list[number as usize] = name.clone();
            names.numbers[slot].insert(name, number);
        }
        Ok(names)
    }

    fn number(&self, kind: NameKind, name: &str) -> Option<u32> {
        self.numbers[kind as usize - 1].get(name).copied()
    }

    fn name(&self, kind: NameKind, number: u32) -> Option<&str> {
        self.names[kind as usize - 1].get(number as usize).map(AsRef::as_ref)
    }

    fn add(&mut self, kind: NameKind, name: &str) -> u32 {
        let list = &mut self.names[kind as usize - 1];
        let number = u32::try_from(list.len()).unwrap_or(u32::MAX);
        let name: Arc<str> = name.into();
        list.push(name.clone());
        self.numbers[kind as usize - 1].insert(name, number);
        number
    }
}

/// Decoded editions, newest use last.
#[derive(Debug, Default)]
struct TableCache {
    tables: Vec<Arc<Table>>,
}

impl TableCache {
    fn get(&mut self, edition: &Edition) -> Option<Arc<Table>> {
        let same = |table: &Arc<Table>| {
            let known = &table.edition;
            known.revision == edition.revision && known.edition == edition.edition && known.ranking == edition.ranking
        };
        let at = self.tables.iter().rposition(same)?;
        let table = self.tables.remove(at);
        self.tables.push(table.clone());
        Some(table)
    }

    fn put(&mut self, table: Arc<Table>) {
        self.tables.push(table);
        let mut entries: usize = self.tables.iter().map(|table| table.entries.len()).sum();
        while entries > CACHED_ENTRIES_MAX && self.tables.len() > 1 {
            entries -= self.tables.remove(0).entries.len();
        }
    }
}
