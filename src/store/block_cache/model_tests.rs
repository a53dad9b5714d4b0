//! Reads through the cache against a plain model: random commits, one after the other, and readers at random revisions
//! beside the writer. Series grow long, so blocks split while they are read; the cache is small, so entries come and go.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use proptest::prelude::*;

use crate::{
    model::{
        id::{EntityId, IndicatorId, Revision, SourceId},
        period::Period,
        series::{Dimensions, FigureVersion, SeriesKey},
    },
    store::{
        Engine, StoreError,
        memory::MemoryDisk,
        series::SeriesIds,
        versions::tests::any_version,
        view::{Access, View},
    },
};

/// Each of two entities has as many series.
const SOURCES: usize = 3;
const SERIES: usize = 2 * SOURCES;
/// A cache of so many bytes: none, one that holds little, and one that holds everything.
const CACHE_BYTES: [usize; 3] = [0, 32 << 10, 16 << 20];
const READERS: u64 = 2;
const READS_MIN: usize = 20;

/// The versions that a commit adds to some series.
type Commit = BTreeMap<usize, Vec<FigureVersion>>;

fn any_commit() -> impl Strategy<Value = Commit> {
    let versions = prop_oneof![
        4 => proptest::collection::vec(any_version(), 1..8),
        1 => proptest::collection::vec(any_version(), 1..250),
    ];
    proptest::collection::btree_map(0..SERIES, versions, 1..4)
}

fn key(series: usize) -> SeriesKey {
    SeriesKey {
        indicator: IndicatorId::new("I").unwrap(),
        entity: EntityId::new(&format!("E{}", series / SOURCES)).unwrap(),
        source: SourceId::new(&format!("S{}", series % SOURCES)).unwrap(),
        dimensions: Dimensions::default(),
    }
}

/// The commits with their revisions, from 1 on. Within one, a name comes once.
fn numbered(commits: Vec<Commit>) -> Vec<Commit> {
    let mut numbered = Vec::new();
    for (mut commit, revision) in commits.into_iter().zip(1..) {
        for versions in commit.values_mut() {
            versions.iter_mut().for_each(|version| version.revision = Revision(revision));
            versions.sort_by_key(FigureVersion::name);
            versions.dedup_by_key(|version| version.name());
        }
        numbered.push(commit);
    }
    numbered
}

/// All versions of a series up to a revision.
fn expected(commits: &[Commit], series: usize, at: Revision) -> Vec<FigureVersion> {
    let commits = &commits[..at.0 as usize];
    let mut all: Vec<FigureVersion> =
        commits.iter().filter_map(|commit| commit.get(&series)).flatten().cloned().collect();
    all.sort_by_key(FigureVersion::name);
    all
}

fn up_to(mut versions: Vec<FigureVersion>, at: Revision) -> Vec<FigureVersion> {
    versions.retain(|version| version.revision <= at);
    versions
}

fn of_period(mut versions: Vec<FigureVersion>, period: Period) -> Vec<FigureVersion> {
    versions.retain(|version| version.period == period);
    versions
}

/// Reads a series in every way, as of a revision that is applied.
fn check(view: &View, ids: SeriesIds, expected: &[FigureVersion], at: Revision, period: Period) {
    let expected = expected.to_vec();
    for access in [Access::Memory, Access::Disk, Access::Memory] {
        let reader = match view.figure(ids.indicator, ids.entity, access) {
            Err(StoreError::NotInMemory) if access == Access::Memory => continue,
            reader => reader.unwrap(),
        };
        assert!(expected.is_empty() || reader.series().unwrap().contains(&ids));
        assert_eq!(up_to(reader.versions(ids).unwrap(), at), expected);
        let found = up_to(reader.versions_of_period(ids, period).unwrap(), at);
        assert_eq!(found, of_period(expected.clone(), period));
        let mut from: Vec<FigureVersion> = Vec::new();
        for part in reader.versions_from(ids, Some(period)).unwrap() {
            from.extend(part.unwrap());
        }
        let later = expected.iter().filter(|version| version.period >= period).cloned().collect::<Vec<_>>();
        assert_eq!(up_to(from, at), later);
        let mut latest: Vec<FigureVersion> = Vec::new();
        let mut best = None;
        reader
            .read_latest(ids, |versions| {
                let versions = up_to(versions.to_vec(), at);
                best = versions.iter().map(|version| (version.period.end(), version.period.start())).max().max(best);
                latest.extend(versions);
                Ok(best)
            })
            .unwrap();
        let newest = expected.iter().map(|version| version.period).max_by_key(|period| (period.end(), period.start()));
        assert_eq!(best, newest.map(|period| (period.end(), period.start())));
        if let Some(newest) = newest {
            let mut found = of_period(latest, newest);
            found.sort_by_key(FigureVersion::name);
            assert_eq!(found, of_period(expected.clone(), newest));
        }
    }
}

/// Reads random series at random applied revisions until the writer is done.
fn read(view: &View, commits: &[Commit], done: &AtomicBool, seed: u64) {
    let mut random = seed;
    let mut draw = |bound: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % bound
    };
    let mut reads = 0;
    while reads < READS_MIN || !done.load(Ordering::Acquire) {
        reads += 1;
        let applied = view.applied();
        let at = if draw(2) == 0 { applied } else { Revision(draw(applied.0 + 1)) };
        let series = draw(SERIES as u64) as usize;
        let Some(ids) = view.series_ids(&key(series)) else { continue };
        let expected = expected(commits, series, at);
        let period = match expected.len() {
            0 => Period::year(2000).unwrap(),
            count => expected[draw(count as u64) as usize].period,
        };
        check(view, ids, &expected, at, period);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn readers_beside_the_writer_find_what_a_plain_list_has(
        commits in proptest::collection::vec(any_commit(), 1..10),
        cache in 0..CACHE_BYTES.len(),
    ) {
        let commits = numbered(commits);
        let engine = Arc::new(Engine::in_memory(MemoryDisk::default()));
        let view = View::with_cache(engine, CACHE_BYTES[cache]).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for seed in 0..READERS {
                let view = &view;
                let commits = &commits;
                let done = &done;
                scope.spawn(move || read(view, commits, done, seed));
            }
            for (commit, revision) in commits.iter().zip(1..) {
                let mut writer = view.write_in(view.engine().batch());
                for (series, versions) in commit {
                    writer.series(&key(*series), versions.clone()).unwrap();
                }
                writer.finish(Revision(revision)).unwrap();
                view.show(Revision(revision));
            }
            done.store(true, Ordering::Release);
        });
    }
}
