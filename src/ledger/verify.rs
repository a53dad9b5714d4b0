//! Checks that a data folder is complete and holds what was written. No server may have the folder open.
//!
//! Verify checks every checksum, decodes every commit and computes its hash and the chain of headers again. Then it rebuilds
//! the view from the ledger, in a folder beside, and compares the two. Repair puts the new database in the place of the old
//! one, which is kept.
//!
//! Invariant: repair makes nothing that the ledger does not say. It never repairs a damaged ledger.

use std::{
    cmp::Ordering,
    collections::BTreeMap,
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Ledger, apply,
    log::{CHAIN_START, ContentHash, Header},
    page::LedgerPage,
    rebuild::Rebuild,
    record::{Record, RecordedVersion},
};
use crate::{
    model::{id::Revision, series::SeriesKey},
    store::{
        Engine, OpenError, StoreError,
        bytes::unframe,
        cursors,
        engine::STORE_FOLDER,
        error::Result,
        series::{self, SeriesScope},
        view::View,
    },
};

/// Where the view is rebuilt, within the data folder.
const REBUILD_FOLDER: &str = "rebuild";
/// Where a damaged database goes, within the data folder.
const ASIDE_FOLDER: &str = "store-damaged";
/// Most problems in words. More are only counted.
const PROBLEMS_MAX: usize = 20;
/// Key spaces of the view whose bytes do not depend on how often the view was made.
const SAME_BYTES: [(u8, &str); 6] = [
    (b'D', "names"),
    (b'C', "definitions"),
    (b'E', "editions"),
    (b'T', "entries"),
    (b'V', "whole releases"),
    (b'R', "reverts"),
];

/// The result of a check.
#[derive(Debug, Default)]
pub struct VerifyReport {
    /// Values read, by the first byte of their key.
    pub values: BTreeMap<char, u64>,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// Commits decoded.
    pub commits: u64,
    /// Changes in these commits.
    pub changes: u64,
    /// Series compared.
    pub series: u64,
    /// What is wrong, in words; at most 20 problems.
    pub problems: Vec<String>,
    /// How many things are wrong, in words or not.
    pub problem_count: u64,
    /// The floor of a ledger that was compacted: the view cannot be rebuilt from it.
    pub compacted: Option<Revision>,
    /// The ledger itself is damaged: only a backup helps.
    pub ledger_damaged: bool,
    /// Where repair put the damaged database.
    pub set_aside: Option<PathBuf>,
}

impl VerifyReport {
    fn problem(&mut self, what: impl Into<String>) {
        self.problem_count += 1;
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(what.into());
        }
    }

    /// Notes how many values of a key space differ from what the ledger says.
    fn differences(&mut self, name: &str, comparison: &Comparison) {
        if comparison.differing > 0 {
            self.problem(format!("{name}: {} differ from what the ledger says", comparison.differing));
        }
    }

    /// Whether a database made from the ledger would be whole.
    fn is_repairable(&self) -> bool {
        self.compacted.is_none() && self.problem_count > 0 && !self.ledger_damaged && self.commits > 0
    }
}

/// Checks a folder. With `repair` it replaces a view that is not what the ledger says.
///
/// # Errors
///
/// Only where the check cannot begin: the folder is locked, cannot be written, or has no database. Damage is a problem in
/// the report.
pub fn verify(folder: &Path, repair: bool) -> std::result::Result<VerifyReport, OpenError> {
    let rebuilt = folder.join(REBUILD_FOLDER);
    let store = folder.join(STORE_FOLDER);
    if !store.is_dir() && folder.join(ASIDE_FOLDER).is_dir() && rebuilt.join(STORE_FOLDER).is_dir() {
        // A repair was cut off between its two renames.
        fs::rename(rebuilt.join(STORE_FOLDER), &store)?;
    }
    if !store.is_dir() {
        return Err(OpenError::NoStore { folder: folder.to_owned() });
    }
    remove(&rebuilt)?;
    let mut report = VerifyReport::default();
    let checked = catch_unwind(AssertUnwindSafe(|| check(folder, &rebuilt, &mut report)));
    match checked {
        Ok(Ok(())) => {}
        Ok(Err(error @ (OpenError::Locked { .. } | OpenError::Unwritable { .. }))) => return Err(error),
        Ok(Err(error)) => report.problem(error.to_string()),
        Err(_) => report.problem("sled panicked while reading its files"),
    }
    if repair && report.is_repairable() {
        report.set_aside = Some(put_in_place(folder, &rebuilt)?);
    }
    remove(&rebuilt)?;
    Ok(report)
}

/// Removes a folder, if it is there.
fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Puts the rebuilt database in the place of the old one. Returns where the old one is now.
fn put_in_place(folder: &Path, rebuilt: &Path) -> io::Result<PathBuf> {
    let store = folder.join(STORE_FOLDER);
    let mut aside = folder.join(ASIDE_FOLDER);
    let mut number = 1;
    while aside.exists() {
        number += 1;
        aside = folder.join(format!("{ASIDE_FOLDER}-{number}"));
    }
    fs::rename(&store, &aside)?;
    fs::rename(rebuilt.join(STORE_FOLDER), &store)?;
    fs::File::open(folder)?.sync_all()?;
    Ok(aside)
}

fn check(folder: &Path, rebuilt: &Path, report: &mut VerifyReport) -> std::result::Result<(), OpenError> {
    report.ledger_damaged = true;
    let engine = Arc::new(Engine::open(folder)?);
    let ledger = Ledger::open(engine.clone())?;
    if ledger.floor() > Revision(1) {
        report.compacted = Some(ledger.floor());
        return Ok(check_compacted(&engine, &ledger, report)?);
    }
    let fresh = replay(&ledger, rebuilt, report)?;
    // Cursors are not in the ledger. The rebuilt database has the same history, so they hold in it.
    let carried = cursors::copy_cursors(&engine, &fresh);
    report.ledger_damaged = false;
    if let Err(error) = carried {
        report.problem(format!("reading the cursors: {error}"));
    }
    if let Err(error) = check_values(&engine, report) {
        report.problem(format!("reading all values: {error}"));
    }
    if let Err(error) = check_view(&engine, &ledger, &fresh, report) {
        report.problem(format!("comparing the view: {error}"));
    }
    Ok(())
}

/// Checks every commit and makes a new folder of them.
fn replay(ledger: &Ledger, rebuilt: &Path, report: &mut VerifyReport) -> std::result::Result<Arc<Engine>, OpenError> {
    let mut rebuild = Rebuild::start(rebuilt, Some(ledger.identity()))?;
    while rebuild.head() < ledger.head() {
        let revision = rebuild.head().next();
        replay_commit(ledger, revision, &mut rebuild, report).map_err(|error| in_commit(revision, &error))?;
    }
    Ok(rebuild.finish()?)
}

fn replay_commit(ledger: &Ledger, revision: Revision, rebuild: &mut Rebuild, report: &mut VerifyReport) -> Result<()> {
    let header = check_commit(ledger, revision, report, |bytes, _| rebuild.page(bytes))?;
    let receipt = ledger.receipt_of(&header)?;
    rebuild.seal(&header, receipt.as_ref())
}

/// Checks a ledger whose first commits have no pages: their headers, the later commits whole, and that the view has every
/// figure of those.
fn check_compacted(engine: &Arc<Engine>, ledger: &Ledger, report: &mut VerifyReport) -> Result<()> {
    let view = View::open(engine.clone())?;
    apply::catch_up(ledger, &view)?;
    let mut comparison = Comparison::default();
    let mut previous = CHAIN_START;
    for revision in (1..=ledger.head().0).map(Revision) {
        let checked = match revision < ledger.floor() {
            true => header_of(ledger, revision),
            false => check_commit(ledger, revision, report, |_, page| {
                for record in page.records {
                    if let Record::Series(key, rows) = record {
                        comparison.items += 1;
                        comparison.differing += count_missing(engine, &view, &key, &rows)?;
                    }
                }
                Ok(())
            }),
        };
        let linked = checked.and_then(|header| check_link(&header, previous));
        previous = linked.map_err(|error| in_commit(revision, &error))?;
    }
    report.ledger_damaged = false;
    report.series = comparison.items;
    if comparison.differing > 0 {
        report.problem(format!("series: {} figures are not what the ledger says", comparison.differing));
    }
    check_values(engine, report)
}

/// How many of these rows the view does not have.
fn count_missing(engine: &Engine, view: &View, key: &SeriesKey, rows: &[RecordedVersion]) -> Result<u64> {
    let stored = match view.series_ids(key) {
        Some(ids) => series::read(engine, ids)?,
        None => Vec::new(),
    };
    Ok(rows.iter().filter(|recorded| !stored.contains(&recorded.version)).count() as u64)
}

fn missing(what: &str) -> StoreError {
    StoreError::corrupt(format!("{what} is missing"))
}

fn header_of(ledger: &Ledger, revision: Revision) -> Result<Header> {
    let header = ledger.header(revision)?.ok_or_else(|| missing("its header"))?;
    if header.commit.revision != revision {
        return Err(StoreError::corrupt(format!("its header is that of revision {}", header.commit.revision)));
    }
    Ok(header)
}

/// Checks that a header continues the chain. Returns the chain at the header.
fn check_link(header: &Header, previous: [u8; 32]) -> Result<[u8; 32]> {
    if !header.continues(previous)? {
        return Err(StoreError::corrupt("its header does not continue the chain of those before"));
    }
    Ok(header.chain)
}

/// Decodes a commit and checks it against its header. Calls `visit` with each page in order.
fn check_commit(
    ledger: &Ledger,
    revision: Revision,
    report: &mut VerifyReport,
    mut visit: impl FnMut(Vec<u8>, LedgerPage) -> Result<()>,
) -> Result<Header> {
    let header = header_of(ledger, revision)?;
    let mut changes = 0;
    let mut content = ContentHash::default();
    for number in 0..header.pages {
        let bytes = ledger.read(revision, number)?.ok_or_else(|| missing(&format!("page {number}")))?;
        content.add(&bytes);
        let page = LedgerPage::decode(&bytes)?;
        if page.first_change != changes {
            return Err(StoreError::corrupt(format!("page {number} does not follow the one before")));
        }
        changes += page.records.iter().map(Record::change_count).sum::<u64>();
        visit(bytes, page)?;
    }
    if changes != header.changes {
        return Err(StoreError::corrupt(format!("{changes} changes, and its header says {}", header.changes)));
    }
    if content.finish() != header.content {
        return Err(StoreError::corrupt("its pages are not those that its header was made for"));
    }
    report.commits += 1;
    report.changes += changes;
    Ok(header)
}

fn in_commit(revision: Revision, error: &StoreError) -> StoreError {
    StoreError::corrupt(format!(
        "the ledger is damaged at revision {revision} ({error}); all before it is whole; restore a backup"
    ))
}

/// Checks the checksum and the form of every value.
fn check_values(engine: &Engine, report: &mut VerifyReport) -> Result<()> {
    for item in engine.scan(&[], None) {
        let (key, value) = item?;
        let space = key.first().copied().unwrap_or(0);
        *report.values.entry(char::from(space)).or_default() += 1;
        report.bytes += (key.len() + value.len()) as u64;
        let checked = match space {
            b'S' => series::check(&value),
            b'H' | b'L' | b'Q' | b'M' | b'D' | b'C' | b'E' | b'T' | b'V' | b'R' | b'P' => {
                unframe(1, &value).map(|_| ())
            }
            _ => Err(StoreError::corrupt("a key of an unknown kind")),
        };
        if let Err(error) = checked {
            report.problem(format!("value of {}: {error}", key.escape_ascii()));
        }
    }
    Ok(())
}

/// Compares the view with the one made from the ledger.
fn check_view(engine: &Arc<Engine>, ledger: &Ledger, fresh: &Engine, report: &mut VerifyReport) -> Result<()> {
    // A commit that was sealed and not applied is no damage.
    apply::catch_up(ledger, &View::open(engine.clone())?)?;
    for (space, name) in SAME_BYTES {
        let comparison = compare(engine.scan(&[space], None), fresh.scan(&[space], None))?;
        report.differences(name, &comparison);
    }
    let stored = series::scan(engine, SeriesScope::All, None);
    let expected = series::scan(fresh, SeriesScope::All, None);
    let comparison = compare(stored, expected)?;
    report.series = comparison.items;
    report.differences("series", &comparison);
    Ok(())
}

#[derive(Debug, Default)]
struct Comparison {
    /// Items in the folder that is checked.
    items: u64,
    /// Items that are missing, too many, or different.
    differing: u64,
}

/// Compares two sequences that are sorted by key.
fn compare<K: Ord, V: PartialEq>(
    mut stored: impl Iterator<Item = Result<(K, V)>>,
    mut expected: impl Iterator<Item = Result<(K, V)>>,
) -> Result<Comparison> {
    let mut comparison = Comparison::default();
    let mut next_stored = stored.next().transpose()?;
    let mut next_expected = expected.next().transpose()?;
    loop {
        let order = match (&next_stored, &next_expected) {
            (None, None) => return Ok(comparison),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((key, _)), Some((expected_key, _))) => key.cmp(expected_key),
        };
        // Keys are unique, so at equal keys only the values can differ.
        comparison.differing += u64::from(next_stored != next_expected);
        if order.is_le() {
            comparison.items += 1;
            next_stored = stored.next().transpose()?;
        }
        if order.is_ge() {
            next_expected = expected.next().transpose()?;
        }
    }
}

#[cfg(test)]
mod tests;
