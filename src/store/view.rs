//! The view: what queries read. Series blocks, editions and the catalog, and the writer that applies a commit to them.
//!
//! Invariants: readers see nothing above [`View::applied`]. A version of a figure has its revision, and so has one of the
//! catalog; so a commit of any size is applied in many batches, and all of it becomes visible at once when the mark moves,
//! which may be later than the last batch. Applying a commit again changes nothing.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    StoreError,
    block_cache::{BlockCache, CACHE_BYTES_DEFAULT, CacheEntry, CacheKey, ChangedFigures, FULL_RELEASES_MAX},
    bytes::{corrupt, frame, unframe},
    catalog::Catalog,
    clock_cache::CacheUse,
    engine::{Batch, Engine},
    error::Result,
    lock::{self, lock},
    records,
    series::{
        self, NewBlock, SeriesIds, SeriesScope,
        blocks::SeriesBlocks,
        figure::{FigureBlocks, FigureReader},
    },
};
use crate::model::{
    catalog::Definition,
    edition::{Edition, Table},
    id::{EntityId, IdError, IndicatorId, Revision, SourceId},
    period::Period,
    series::{Dimensions, FigureVersion, Horizon, SeriesKey},
    time::Date,
};

const NAMES: u8 = b'D';
const FULL_RELEASES: u8 = b'V';
const APPLIED_KEY: &[u8] = b"Mapplied";
const VERSION: u8 = 1;
/// A figure that is not in memory is read with so many of the entities that follow, while the cache has room: they lie in the
/// same page of the store, and who asks for one often asks for others.
const NEIGHBOURS_MAX: usize = 16;
/// So many new series of a commit, or fewer, go to the disk with everything else of it, in one write.
const BATCHED_SERIES_MAX: usize = 100;
/// Most entries of decoded tables in the cache. One table is cached even if it has more.
const CACHED_ENTRIES_MAX: usize = 200_000;

#[derive(Debug)]
pub struct View {
    engine: Arc<Engine>,
    names: RwLock<Names>,
    catalog: RwLock<Arc<Catalog>>,
    applied: AtomicU64,
    tables: Mutex<TableCache>,
    blocks: BlockCache,
}

/// Where a read may look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Only in memory: what is not there is [`StoreError::NotInMemory`]. Such a read does not wait.
    Memory,
    /// Also on the disk.
    Disk,
}

impl View {
    /// Reads the names and the catalog into memory.
    pub fn open(engine: Arc<Engine>) -> Result<Self> {
        Self::with_cache(engine, CACHE_BYTES_DEFAULT)
    }

    /// Like [`View::open`], with at most `cache_bytes` of blocks in memory.
    pub fn with_cache(engine: Arc<Engine>, cache_bytes: usize) -> Result<Self> {
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
            blocks: BlockCache::new(cache_bytes),
        })
    }

    /// The newest revision that readers see.
    pub fn applied(&self) -> Revision {
        Revision(self.applied.load(Ordering::Acquire))
    }

    /// The catalog as of the last commit that was applied, with all versions, also those that readers do not see yet. Later
    /// commits do not change what is returned.
    pub fn catalog(&self) -> Arc<Catalog> {
        lock::read(&self.catalog).clone()
    }

    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The number of a name in the keys of series; `None` if no series has the name.
    pub fn number(&self, kind: NameKind, name: &str) -> Option<u32> {
        lock::read(&self.names).number(kind, name)
    }

    /// The numbers of a series; `None` if one of its names has none, so that the series does not exist. With numbers the
    /// series may still have no versions.
    pub fn series_ids(&self, key: &SeriesKey) -> Option<SeriesIds> {
        Some(SeriesIds {
            indicator: self.number(NameKind::Indicator, key.indicator.as_str())?,
            entity: self.number(NameKind::Entity, key.entity.as_str())?,
            source: self.number(NameKind::Source, key.source.as_str())?,
            dimensions: self.number(NameKind::Dimensions, key.dimensions.as_str())?,
        })
    }

    /// The key of a series. An error if a number has no name: the view is damaged.
    pub fn series_key(&self, ids: SeriesIds) -> Result<SeriesKey> {
        let names = lock::read(&self.names);
        Ok(SeriesKey {
            indicator: IndicatorId::new(names.name(NameKind::Indicator, ids.indicator)?).map_err(not_an_id)?,
            entity: EntityId::new(names.name(NameKind::Entity, ids.entity)?).map_err(not_an_id)?,
            source: SourceId::new(names.name(NameKind::Source, ids.source)?).map_err(not_an_id)?,
            dimensions: Dimensions::from_stored(names.name(NameKind::Dimensions, ids.dimensions)?.to_owned()),
        })
    }

    /// All versions of a series, sorted; none if there is no such series.
    pub fn versions(&self, ids: SeriesIds) -> Result<Vec<FigureVersion>> {
        series::read(&self.engine, ids)
    }

    /// All versions of a series with periods from `first` to `last`, sorted.
    pub fn versions_between(&self, ids: SeriesIds, first: Period, last: Period) -> Result<Vec<FigureVersion>> {
        series::read_between(&self.engine, ids, first, last)
    }

    /// Whether a series has versions. It reads none of them.
    pub fn has_versions(&self, ids: SeriesIds) -> Result<bool> {
        series::exists(&self.engine, ids)
    }

    /// All versions of one period of a series, sorted.
    pub fn versions_of_period(&self, ids: SeriesIds, period: Period) -> Result<Vec<FigureVersion>> {
        series::read_period(&self.engine, ids, period)
    }

    /// A reader of the series of an indicator and an entity.
    pub fn figure(&self, indicator: u32, entity: u32, access: Access) -> Result<FigureReader<'_>> {
        let key = CacheKey::Figure { indicator, entity };
        let entry = self.blocks.get(key);
        let blocks = match (entry, access) {
            (Some(CacheEntry::Figure(None)), Access::Memory) | (None, Access::Memory) => {
                return Err(StoreError::NotInMemory);
            }
            (Some(CacheEntry::Figure(blocks)), _) => blocks,
            _ => {
                let start = self.blocks.start_fill();
                let mut figures =
                    FigureBlocks::read_from(&self.engine, indicator, entity).take(NEIGHBOURS_MAX).peekable();
                let is_there = |found: &Result<_>| !matches!(found, Ok((of, _)) if *of != entity);
                let blocks = match figures.next_if(is_there).transpose()? {
                    Some((_, blocks)) => blocks,
                    None => Some(FigureBlocks::none()),
                };
                self.blocks.fill(key, CacheEntry::Figure(blocks.clone()), start);
                if self.blocks.has_room() {
                    // What is damaged there is an error for whoever asks for it.
                    for (entity, blocks) in figures.map_while(Result::ok) {
                        let key = CacheKey::Figure { indicator, entity };
                        self.blocks.fill(key, CacheEntry::Figure(blocks), start);
                    }
                }
                blocks
            }
        };
        Ok(FigureReader::new(&self.engine, indicator, entity, blocks))
    }

    /// How the cache of blocks is used.
    pub fn cache_use(&self) -> CacheUse {
        self.blocks.usage()
    }

    /// The first series of a scope, or the first after another one; `None` if there is none.
    pub fn next_series(&self, scope: SeriesScope, after: Option<SeriesIds>) -> Result<Option<SeriesIds>> {
        series::next_series(&self.engine, scope, after)
    }

    /// Every series of a scope with all its versions, sorted, in key order; from a series on, which is included.
    pub fn scan_series(
        &self,
        scope: SeriesScope,
        from: Option<SeriesIds>,
    ) -> impl Iterator<Item = Result<(SeriesIds, Vec<FigureVersion>)>> + use<> {
        series::scan(&self.engine, scope, from)
    }

    /// Like [`View::scan_series`], with blocks that are not decoded yet.
    pub fn scan_blocks(
        &self,
        scope: SeriesScope,
        from: Option<SeriesIds>,
    ) -> impl Iterator<Item = Result<SeriesBlocks>> + use<> {
        series::scan_blocks(&self.engine, scope, from)
    }

    /// The table of a version of an edition, from the cache or from the disk.
    pub fn table(&self, edition: &Arc<Edition>) -> Result<Arc<Table>> {
        if let Some(table) = self.cached(edition) {
            return Ok(table);
        }
        let entries = records::entries(&self.engine, edition)?;
        let table = Arc::new(Table { edition: edition.as_ref().clone(), entries });
        lock(&self.tables).put(table.clone());
        Ok(table)
    }

    /// The table of a version of an edition, if the cache has it. It never waits for the disk.
    pub fn cached(&self, edition: &Edition) -> Option<Arc<Table>> {
        lock(&self.tables).get(edition)
    }

    /// The first day after another on which there is a full release of an indicator by a source that is not reverted. `ids`
    /// are the numbers of the two.
    pub fn next_full_release(&self, ids: (u32, u32), after: Date) -> Result<Option<Date>> {
        let catalog = self.catalog();
        let from = full_release_key(ids, after, Revision::MAX);
        for item in self.engine.scan(&full_release_prefix(ids), Some(&from)) {
            let release = FullRelease::of_key(&item?.0)?;
            if release.released > after && !catalog.reverts().is_reverted(release.revision, Revision::MAX) {
                return Ok(Some(release.released));
            }
        }
        Ok(None)
    }

    /// The newest day within a horizon on which there is a full release of an indicator by a source that is not reverted.
    /// `ids` are the numbers of the two.
    pub fn newest_full_release(&self, ids: (u32, u32), horizon: Horizon, access: Access) -> Result<Option<Date>> {
        let catalog = self.catalog();
        let counts = |(released, revision): (Date, Revision)| {
            let admitted = released <= horizon.released && revision <= horizon.revision;
            admitted && !catalog.reverts().is_reverted(revision, horizon.revision)
        };
        let key = CacheKey::FullReleases { indicator: ids.0, source: ids.1 };
        let entry = match self.blocks.get(key) {
            Some(entry) => entry,
            None if access == Access::Memory => return Err(StoreError::NotInMemory),
            None => {
                let start = self.blocks.start_fill();
                let mut days = Vec::new();
                for release in self.full_releases(Some(ids)).take(FULL_RELEASES_MAX + 1) {
                    let release = release?;
                    days.push((release.released, release.revision));
                }
                let entry = CacheEntry::full_releases(days);
                self.blocks.fill(key, entry.clone(), start);
                entry
            }
        };
        match (entry, access) {
            (CacheEntry::FullReleases(Some(days)), _) => {
                let newest = days.iter().rev().find(|release| counts(**release));
                return Ok(newest.map(|(released, _)| *released));
            }
            (_, Access::Memory) => return Err(StoreError::NotInMemory),
            (_, Access::Disk) => {}
        }
        for item in self.engine.scan(&full_release_prefix(ids), None).rev() {
            let FullRelease { released, revision, .. } = FullRelease::of_key(&item?.0)?;
            if counts((released, revision)) {
                return Ok(Some(released));
            }
        }
        Ok(None)
    }

    /// Every full release, reverted ones included: of one indicator by one source, or with `None` of all.
    pub fn full_releases(&self, of: Option<(u32, u32)>) -> impl Iterator<Item = Result<FullRelease>> {
        let prefix = of.map_or_else(|| vec![FULL_RELEASES], full_release_prefix);
        self.engine.scan(&prefix, None).map(|item| FullRelease::of_key(&item?.0))
    }

    /// Makes the commits up to a revision visible to readers. They must be applied, and durable.
    pub fn show(&self, revision: Revision) {
        self.applied.store(revision.0, Ordering::Release);
    }

    /// Starts to apply a commit, by a batch of the view's engine. Only one commit may be applied at a time.
    pub fn write_in<'a>(&'a self, batch: Batch<'a>) -> ViewWriter<'a> {
        ViewWriter {
            view: self,
            batch,
            new_series: Vec::new(),
            definitions: Vec::new(),
            editions: Vec::new(),
            reverts: Vec::new(),
            changed: ChangedFigures::default(),
        }
    }
}

/// Applies one commit to the view.
#[derive(Debug)]
#[must_use = "a commit is invisible until it is finished"]
pub struct ViewWriter<'a> {
    view: &'a View,
    batch: Batch<'a>,
    /// The first blocks of series that have none.
    new_series: Vec<(Vec<u8>, Vec<u8>)>,
    definitions: Vec<(Revision, Definition)>,
    editions: Vec<Edition>,
    reverts: Vec<(Revision, BTreeSet<Revision>)>,
    /// What the cache of blocks must forget.
    changed: ChangedFigures,
}

impl ViewWriter<'_> {
    /// Adds versions, sorted by name, to a series. A commit may name each series once.
    pub fn series(&mut self, key: &SeriesKey, versions: Vec<FigureVersion>) -> Result<()> {
        let ids = self.ids(key)?;
        self.changed.series(ids);
        series::insert(&self.view.engine, &mut self.batch, ids, versions)
    }

    /// Adds a series that has no versions yet, and that the commit names only here. All such blocks of a commit are in memory
    /// until it is finished.
    pub fn new_series(&mut self, key: &SeriesKey, block: NewBlock) -> Result<()> {
        let ids = self.ids(key)?;
        self.changed.series(ids);
        self.new_series.push((ids.key(), block.into_bytes()));
        Ok(())
    }

    /// Records that a commit is a full release of an indicator by a source.
    pub fn full_release(
        &mut self,
        indicator: &IndicatorId,
        source: &SourceId,
        released: Date,
        revision: Revision,
    ) -> Result<()> {
        let indicator = self.number(NameKind::Indicator, indicator.as_str())?;
        let source = self.number(NameKind::Source, source.as_str())?;
        self.changed.full_release(indicator, source);
        self.batch.put(&full_release_key((indicator, source), released, revision), &frame(VERSION, &[]))
    }

    /// Adds a version of a definition.
    pub fn definition(&mut self, revision: Revision, definition: &Definition) -> Result<()> {
        records::put_definition(&mut self.batch, revision, definition)?;
        self.definitions.push((revision, definition.clone()));
        Ok(())
    }

    /// Adds a version of an edition with its entries.
    pub fn table(&mut self, table: &Table) -> Result<()> {
        records::put_table(&mut self.batch, table)?;
        self.editions.push(table.edition.clone());
        Ok(())
    }

    /// From the revision of a revert on, these commits do not count.
    pub fn revert(&mut self, revert: Revision, revisions: BTreeSet<Revision>) -> Result<()> {
        records::put_revert(&mut self.batch, revert, &revisions)?;
        self.reverts.push((revert, revisions));
        Ok(())
    }

    /// Writes what is left. Readers see the commit after [`View::show`].
    pub fn finish(mut self, revision: Revision) -> Result<()> {
        if self.new_series.len() <= BATCHED_SERIES_MAX {
            for (key, block) in &self.new_series {
                self.batch.put(key, block)?;
            }
        } else {
            // The names of these series must be there before the series are.
            self.batch.barrier()?;
            self.new_series.sort_unstable();
            self.view.engine.put_sorted(&self.new_series)?;
        }
        self.batch.put(APPLIED_KEY, &frame(VERSION, &revision.0.to_le_bytes()))?;
        self.batch.write()?;
        self.view.blocks.forget(&self.changed);
        if !(self.definitions.is_empty() && self.editions.is_empty() && self.reverts.is_empty()) {
            let mut catalog = lock::write(&self.view.catalog);
            let next = Arc::make_mut(&mut catalog);
            for (revision, definition) in self.definitions {
                next.define(revision, definition);
            }
            for edition in self.editions {
                next.publish(edition);
            }
            for (revert, revisions) in self.reverts {
                next.revert(revert, revisions);
            }
        }
        Ok(())
    }

    /// The numbers of a series. Names without a number are given one.
    fn ids(&mut self, key: &SeriesKey) -> Result<SeriesIds> {
        Ok(SeriesIds {
            indicator: self.number(NameKind::Indicator, key.indicator.as_str())?,
            entity: self.number(NameKind::Entity, key.entity.as_str())?,
            source: self.number(NameKind::Source, key.source.as_str())?,
            dimensions: self.number(NameKind::Dimensions, key.dimensions.as_str())?,
        })
    }

    /// The number of a name, which is given one if it has none.
    fn number(&mut self, kind: NameKind, name: &str) -> Result<u32> {
        if let Some(number) = self.view.number(kind, name) {
            return Ok(number);
        }
        let number = lock::write(&self.view.names).add(kind, name);
        // The name is written in the same batch as the first block that needs it, or in an earlier one.
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
    key.extend_from_slice(&released.sort_key());
    key.extend_from_slice(&revision.0.to_be_bytes());
    key
}

/// A commit that is a full release: it has all figures of an indicator that a source published on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FullRelease {
    /// Number of the indicator's name.
    pub indicator: u32,
    /// Number of the source's name.
    pub source: u32,
    pub released: Date,
    pub revision: Revision,
}

impl FullRelease {
    /// Reads what [`full_release_key`] made. Bytes after the revision are not looked at.
    fn of_key(key: &[u8]) -> Result<Self> {
        Self::parse_key(key).ok_or_else(|| corrupt("a whole release whose key is too short"))
    }

    fn parse_key(key: &[u8]) -> Option<Self> {
        let (_, rest) = key.split_first()?;
        let (indicator, rest) = rest.split_first_chunk()?;
        let (source, rest) = rest.split_first_chunk()?;
        let (released, rest) = rest.split_first_chunk()?;
        let revision = rest.first_chunk()?;
        Some(Self {
            indicator: u32::from_be_bytes(*indicator),
            source: u32::from_be_bytes(*source),
            released: Date::from_sort_key(*released)?,
            revision: Revision(u64::from_be_bytes(*revision)),
        })
    }
}

fn not_an_id(_: IdError) -> StoreError {
    corrupt("a name that is no id")
}

fn read_mark(value: &[u8]) -> Result<u64> {
    let bytes = unframe(VERSION, value)?.first_chunk().ok_or_else(|| corrupt("a mark that is too short"))?;
    Ok(u64::from_le_bytes(*bytes))
}

/// Kinds of names that have numbers, so that keys are short. The discriminant is the byte on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameKind {
    Indicator = 1,
    Entity = 2,
    Source = 3,
    Dimensions = 4,
}

/// Names and their numbers, both ways. The numbers of a kind are 0, 1, 2, … without gaps. In the arrays, a kind has the
/// position of its discriminant less one.
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

    /// The name of a number in the key of a series.
    fn name(&self, kind: NameKind, number: u32) -> Result<&str> {
        let name = self.names[kind as usize - 1].get(number as usize);
        name.map(AsRef::as_ref).ok_or_else(|| corrupt("a series without a name"))
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

/// Decoded tables, the one that was used last at the end.
#[derive(Debug, Default)]
struct TableCache {
    tables: Vec<Arc<Table>>,
}

impl TableCache {
    fn get(&mut self, edition: &Edition) -> Option<Arc<Table>> {
        let position = self.tables.iter().rposition(|table| is_same_version(&table.edition, edition))?;
        let table = self.tables.remove(position);
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

fn is_same_version(a: &Edition, b: &Edition) -> bool {
    a.revision == b.revision && a.edition == b.edition && a.ranking == b.ranking
}
