//! Is everything there, and is it what it was? Works on a folder that no server has open.
//!
//! Every checksum is checked, every commit decoded, its hash and the chain of headers computed again; the view is made again
//! from the ledger in a folder beside and compared. Repair puts that new database in the place of the old one, which is kept.
//!
//! Invariant: nothing is repaired that the ledger does not say. A damaged ledger is not repaired at all.

use std::{
    collections::BTreeMap,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Ledger, apply,
    log::{CHAIN_START, ContentHash, Header},
    page::LedgerPage,
    rebuild::Rebuild,
    record::Record,
};
use crate::{
    model::id::Revision,
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

/// Where the view is made again.
const REBUILD_FOLDER: &str = "rebuild";
/// Where a damaged database goes.
const ASIDE_FOLDER: &str = "store-damaged";
/// Problems spelled out; more are counted.
const PROBLEMS_MAX: usize = 20;
/// Key spaces of the view that are the same byte by byte, however they came about.
const SAME_BYTES: [(u8, &str); 6] = [
    (b'D', "names"),
    (b'C', "definitions"),
    (b'E', "editions"),
    (b'T', "entries"),
    (b'V', "whole releases"),
    (b'R', "reverts"),
];

/// What was found.
#[derive(Debug, Default)]
pub struct VerifyReport {
    /// Values read, by key space.
    pub values: BTreeMap<char, u64>,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// Commits decoded.
    pub commits: u64,
    /// Changes in them.
    pub changes: u64,
    /// Series compared.
    pub series: u64,
    /// What is wrong: in words, as far as spelled out.
    pub problems: Vec<String>,
    /// How many things are wrong.
    pub problem_count: u64,
    /// The ledger was compacted and begins here: the view could not be made again from it.
    pub compacted: Option<Revision>,
    /// The ledger itself is damaged: only a backup helps.
    pub ledger_damaged: bool,
    /// Where the damaged database went when a new one took its place.
    pub set_aside: Option<PathBuf>,
}

impl VerifyReport {
    fn problem(&mut self, what: impl Into<String>) {
        self.problem_count += 1;
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(what.into());
        }
    }
}

/// Checks a folder; with `repair` a view that is not what the ledger says is replaced.
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
        // Not damage of what is inside, but nothing can be said about it.
        Ok(Err(error @ (OpenError::Locked { .. } | OpenError::Unwritable { .. }))) => return Err(error),
        Ok(Err(error)) => report.problem(error.to_string()),
        Err(_) => report.problem("sled panicked while reading its files"),
    }
    if repair && report.compacted.is_none() && report.problem_count > 0 && !report.ledger_damaged && report.commits > 0
    {
        report.set_aside = Some(swap(folder, &rebuilt)?);
    }
    remove(&rebuilt)?;
    Ok(report)
}

fn remove(folder: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Puts the rebuilt database in the place of the old one, which stays beside it.
fn swap(folder: &Path, rebuilt: &Path) -> std::io::Result<PathBuf> {
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
    // No fact, so not in the ledger; the history stays the same, so they still hold.
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

/// Decodes every commit, and makes a new folder of them.
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
    let receipt = header.commit.request_id.as_ref().map(|request| ledger.receipt(request)).transpose()?.flatten();
    rebuild.seal(&header, receipt.as_ref())
}

/// A ledger whose first commits have no pages any more: their headers are checked, the others whole; and the view must
/// hold every figure that those say.
fn check_compacted(engine: &Arc<Engine>, ledger: &Ledger, report: &mut VerifyReport) -> Result<()> {
    let view = View::open(engine.clone())?;
    apply::catch_up(ledger, &view)?;
    let mut series = 0;
    let mut lacking = 0;
    let mut previous = CHAIN_START;
    for revision in (1..=ledger.head().0).map(Revision) {
        let checked = match revision < ledger.floor() {
            true => header_of(ledger, revision),
            false => check_commit(ledger, revision, report, |_, page| {
                for record in page.records {
                    let Record::Series(key, rows) = record else { continue };
                    series += 1;
                    let held = match view.series_ids(&key) {
                        Some(ids) => series::read(engine, ids)?,
                        None => Vec::new(),
                    };
                    lacking += rows.iter().filter(|recorded| !held.contains(&recorded.row)).count();
                }
                Ok(())
            }),
        };
        let header = checked.map_err(|error| in_commit(revision, &error))?;
        let linked = check_link(&header, previous);
        previous = linked.map_err(|error| in_commit(revision, &error))?;
    }
    report.ledger_damaged = false;
    report.series = series;
    if lacking > 0 {
        report.problem(format!("series: {lacking} figures are not what the ledger says"));
    }
    check_values(engine, report)
}

fn missing(what: &str) -> StoreError {
    StoreError::corrupt(format!("{what} is missing"))
}

fn header_of(ledger: &Ledger, revision: Revision) -> Result<Header> {
    let header = ledger.header(revision)?.ok_or_else(|| missing("its header"))?;
    match header.commit.revision == revision {
        true => Ok(header),
        false => Err(StoreError::corrupt(format!("its header is that of revision {}", header.commit.revision))),
    }
}

/// Checks that a header continues the chain; says how the chain goes on.
fn check_link(header: &Header, previous: [u8; 32]) -> Result<[u8; 32]> {
    match header.continues(previous)? {
        true => Ok(header.chain),
        false => Err(StoreError::corrupt("its header does not continue the chain of those before")),
    }
}

/// Decodes a commit; `seen` gets its pages in order.
fn check_commit(
    ledger: &Ledger,
    revision: Revision,
    report: &mut VerifyReport,
    mut seen: impl FnMut(Vec<u8>, LedgerPage) -> Result<()>,
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
        seen(bytes, page)?;
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
    // What was sealed and not applied is no damage.
    apply::catch_up(ledger, &View::open(engine.clone())?)?;
    for (space, name) in SAME_BYTES {
        let differs = compare(engine.scan(&[space], None), fresh.scan(&[space], None), |_| {})?;
        if differs > 0 {
            report.problem(format!("{name}: {differs} differ from what the ledger says"));
        }
    }
    let mut series = 0;
    let differs =
        compare(series::scan(engine, SeriesScope::All, None), series::scan(fresh, SeriesScope::All, None), |_| {
            series += 1
        })?;
    report.series = series;
    if differs > 0 {
        report.problem(format!("series: {differs} differ from what the ledger says"));
    }
    Ok(())
}

/// Walks two sorted sequences side by side; says how many items are not the same in both.
fn compare<K: Ord, V: PartialEq>(
    held: impl Iterator<Item = Result<(K, V)>>,
    right: impl Iterator<Item = Result<(K, V)>>,
    mut seen: impl FnMut(&K),
) -> Result<u64> {
    let (mut held, mut right) = (held, right);
    let (mut next_held, mut next_right) = (held.next().transpose()?, right.next().transpose()?);
    let mut differs = 0;
    loop {
        let order = match (&next_held, &next_right) {
            (None, None) => return Ok(differs),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some((held, _)), Some((right, _))) => held.cmp(right),
        };
        if let Some((key, _)) = next_held.as_ref().filter(|_| order.is_le()) {
            seen(key);
        }
        differs += u64::from(
            order.is_ne() || next_held.as_ref().map(|item| &item.1) != next_right.as_ref().map(|item| &item.1),
        );
        if order.is_le() {
            next_held = held.next().transpose()?;
        }
        if order.is_ge() {
            next_right = right.next().transpose()?;
        }
    }
}

#[cfg(test)]
mod tests;
