//! An ordered map of bytes on disk: sled 0.34.7 with the few operations that Almanac needs. In simulations the same map
//! is in memory, under the same rules.
//!
//! Invariants, each from a measurement or from sled's source:
//!
//! - A value has at most 4 KiB: sled may put a longer one into a blob file that it never syncs.
//! - A batch has at most 200 operations: 1,000 took 1.2 GB of memory, 200 took 135 MB, at the same speed.
//! - After `flush` the log is synced through a handle of our own: sled's `flush` ends with `sync_file_range`, which does not
//!   make data durable.
//! - Opening and flushing are guarded with `catch_unwind`: sled may panic on damaged files.

use std::{
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

#[cfg(feature = "fault-injection")]
use super::memory::MemoryDisk;
use super::{
    disk::{Disk, Item, Items, Op, SledDisk},
    error::{OpenError, Result, StoreError},
    faults::{self, CrashPoint, FailPoint},
};

/// Longest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 4096;
/// Most operations of a batch.
pub const BATCH_OPS_MAX: usize = 200;
/// Most bytes of keys and values in a batch.
pub const BATCH_BYTES_MAX: usize = 256 * 1024;
/// Sorted keys are set stretch by stretch, and in a stretch with steps of so many keys. sled splits a leaf of 17 keys in half;
/// so set, leaves fill up from both sides. Strictly ascending keys would leave each half empty, and take 20 % more space.
const STRETCH_KEYS: usize = 512;
const STRIDE_KEYS: usize = 16;
/// Version of the format of a data folder. Folders of another version are refused.
pub const FORMAT_VERSION: u32 = 3;
/// The version before, which `almanac migrate` reads.
pub const PREVIOUS_FORMAT_VERSION: u32 = 2;
/// Size of sled's page cache. sled uses about twice as much memory.
const CACHE_BYTES: u64 = 64 << 20;
/// How often sled's own thread flushes and reclaims space. Without that thread sled never reclaims space.
const FLUSH_EVERY_MS: u64 = 400;
/// How long opening waits for a folder that another process, which is about to end, still locks.
const LOCK_WAIT: Duration = Duration::from_secs(1);

const FORMAT_FILE: &str = "FORMAT";
/// The format file while it is written.
const FORMAT_FILE_NEW: &str = "FORMAT.new";
/// The folder of sled's files in the data folder.
pub const STORE_FOLDER: &str = "store";

/// The ordered map of a data folder. One process opens it at a time.
#[derive(Debug)]
pub struct Engine {
    disk: Box<dyn Disk>,
    folder: PathBuf,
    /// Bytes of keys and values since the last sync.
    unsynced: AtomicUsize,
}

impl Engine {
    /// Opens a data folder; makes it if there is none, or if it is empty.
    pub fn open(folder: &Path) -> std::result::Result<Self, OpenError> {
        faults::arm()?;
        prepare_folder(folder)?;
        Self::open_prepared(folder)
    }

    /// Opens a folder of [`PREVIOUS_FORMAT_VERSION`], to read it. Folders of any other version are refused.
    pub fn open_previous(folder: &Path) -> std::result::Result<Self, OpenError> {
        match prepare_folder(folder) {
            Err(OpenError::PreviousFormat { .. }) if folder.join(STORE_FOLDER).is_dir() => Self::open_prepared(folder),
            Err(OpenError::PreviousFormat { folder }) => Err(OpenError::NoStore { folder }),
            Err(error) => Err(error),
            Ok(()) => Err(OpenError::NotPreviousFormat { folder: folder.to_owned() }),
        }
    }

    fn open_prepared(folder: &Path) -> std::result::Result<Self, OpenError> {
        let path = folder.join(STORE_FOLDER);
        let mut opened = open_sled(&path);
        let started = std::time::Instant::now();
        while opened.as_ref().is_err_and(|failure| failure.locked) && started.elapsed() < LOCK_WAIT {
            std::thread::sleep(Duration::from_millis(20));
            opened = open_sled(&path);
        }
        let db = match opened {
            Err(detail) if detail.locked => return Err(OpenError::Locked { folder: folder.to_owned() }),
            Err(detail) if detail.unwritable => {
                return Err(OpenError::Unwritable { folder: folder.to_owned(), detail: detail.text });
            }
            Err(detail) => {
                // Without a snapshot sled reads its log instead, so a broken one is moved away. It is never deleted.
                let moved = set_snapshots_aside(&path)?;
                tracing::warn!(detail = detail.text, moved, "the database did not open");
                if moved == 0 {
                    return Err(OpenError::Damaged { folder: folder.to_owned(), detail: detail.text });
                }
                open_sled(&path)
                    .map_err(|second| OpenError::Damaged { folder: folder.to_owned(), detail: second.text })?
            }
            Ok(db) => db,
        };
        let log = fs::File::open(path.join("db"))?;
        mark_format(folder).map_err(|error| of_folder(folder, error))?;
        Ok(Self::on(Box::new(SledDisk { db, log }), folder.to_owned()))
    }

    /// A map on a disk in memory. Its [`Engine::folder`] is the system's folder for temporary files.
    #[cfg(feature = "fault-injection")]
    pub fn in_memory(disk: MemoryDisk) -> Self {
        Self::on(Box::new(disk), std::env::temp_dir())
    }

    fn on(disk: Box<dyn Disk>, folder: PathBuf) -> Self {
        Self { disk, folder, unsynced: AtomicUsize::new(0) }
    }

    /// The data folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The value of a key; `None` if there is none.
    pub fn get(&self, key: &[u8]) -> Result<Option<sled::IVec>> {
        self.disk.get(key)
    }

    /// The largest key that is not above this one, with its value; `None` if there is none.
    pub fn last_at_or_before(&self, key: &[u8]) -> Result<Option<Item>> {
        self.disk.last_at_or_before(key)
    }

    /// The smallest key above this one, with its value; `None` if there is none.
    pub fn first_after(&self, key: &[u8]) -> Result<Option<Item>> {
        self.disk.first_after(key)
    }

    /// All keys with a prefix and their values, in key order. `from`, which must have the prefix, is the first key; `None`:
    /// all keys. On disk, writes that come meanwhile may be seen.
    pub fn scan(&self, prefix: &[u8], from: Option<&[u8]>) -> Items {
        self.disk.range(from.unwrap_or(prefix).to_vec(), prefix_end(prefix))
    }

    pub fn batch(&self) -> Batch<'_> {
        Batch { engine: self, ops: Vec::new(), bytes: 0 }
    }

    /// How many threads may write at one time to be faster than one. 1: the order of writes must be the same in each run.
    pub fn threads(&self) -> usize {
        self.disk.threads()
    }

    /// Sets many keys, which must be sorted. It takes a third of the time of batches. Each key is set atomically, all are not:
    /// after a crash some may be there without others, in any order. Fails if a value is longer than [`VALUE_BYTES_MAX`].
    pub fn put_sorted(&self, items: &[(Vec<u8>, Vec<u8>)]) -> Result<()> {
        let part = items.len().div_ceil(self.threads()).max(1);
        let mut parts = items.chunks(part);
        let own = parts.next().unwrap_or_default();
        std::thread::scope(|scope| {
            let others: Vec<_> = parts.map(|part| scope.spawn(|| self.put_part(part))).collect();
            let mut result = self.put_part(own);
            for other in others {
                result = result.and(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            result
        })
    }

    fn put_part(&self, items: &[(Vec<u8>, Vec<u8>)]) -> Result<()> {
        for stretch in items.chunks(STRETCH_KEYS) {
            faults::fail_at(FailPoint::Write)?;
            for start in 0..STRIDE_KEYS {
                for (key, value) in stretch.iter().skip(start).step_by(STRIDE_KEYS) {
                    check_length(value)?;
                    self.disk.put(key, value)?;
                }
            }
            faults::crash_at(CrashPoint::SeriesPut);
        }
        Ok(())
    }

    /// Makes everything that was written so far durable. After an error it is not known what is on disk.
    pub fn sync(&self) -> Result<()> {
        faults::fail_at(FailPoint::Sync)?;
        self.disk.sync()?;
        self.unsynced.store(0, Ordering::Relaxed);
        Ok(())
    }

    /// Bytes of keys and values that were written since the last sync. The disk may take more: sled also writes pages anew.
    pub fn unsynced_bytes(&self) -> usize {
        self.unsynced.load(Ordering::Relaxed)
    }

    fn apply(&self, ops: Vec<Op>) -> Result<()> {
        faults::fail_at(FailPoint::Write)?;
        let bytes: usize =
            ops.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, |value| value.len())).sum();
        self.unsynced.fetch_add(bytes, Ordering::Relaxed);
        self.disk.apply(ops)
    }

    /// Size on disk; 0 if the system does not tell.
    pub fn disk_bytes(&self) -> u64 {
        self.disk.bytes()
    }
}

/// Operations that become visible together if they stay within [`BATCH_OPS_MAX`] and [`BATCH_BYTES_MAX`].
///
/// A longer batch is written in parts: each part is atomic, the whole is not. Its writer keeps readers from the parts with
/// a mark that moves at the end, as the view does.
#[derive(Debug)]
#[must_use = "a batch does nothing until it is written"]
pub struct Batch<'a> {
    engine: &'a Engine,
    ops: Vec<Op>,
    bytes: usize,
}

impl Batch<'_> {
    /// Sets a key. Fails if the value is longer than [`VALUE_BYTES_MAX`], or if a full batch cannot be written.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        check_length(value)?;
        self.make_room(key.len() + value.len())?;
        self.ops.push((key.into(), Some(value.into())));
        Ok(())
    }

    /// Removes a key, if it is there. Fails if a full batch cannot be written.
    pub fn remove(&mut self, key: &[u8]) -> Result<()> {
        self.make_room(key.len())?;
        self.ops.push((key.into(), None));
        Ok(())
    }

    /// Orders the batch: operations after the barrier are never visible without those before it.
    pub fn barrier(&mut self) -> Result<()> {
        self.write_part()
    }

    /// Writes the rest of the batch. It is visible afterwards, and durable after [`Engine::sync`].
    pub fn write(mut self) -> Result<()> {
        self.write_part()
    }

    fn make_room(&mut self, bytes: usize) -> Result<()> {
        if self.ops.len() == BATCH_OPS_MAX || self.bytes + bytes > BATCH_BYTES_MAX {
            self.write_part()?;
        }
        self.bytes += bytes;
        Ok(())
    }

    fn write_part(&mut self) -> Result<()> {
        if self.ops.is_empty() {
            return Ok(());
        }
        self.bytes = 0;
        self.engine.apply(std::mem::take(&mut self.ops))
    }
}

fn check_length(value: &[u8]) -> Result<()> {
    match value.len() {
        0..=VALUE_BYTES_MAX => Ok(()),
        bytes => Err(StoreError::corrupt(format!("a value of {bytes} bytes is above {VALUE_BYTES_MAX}"))),
    }
}

/// The first key above all keys with a prefix; `None` if there is none.
fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

/// Writes the format file if there is none. It gets its name only when it is whole: a file that a crash left empty would
/// make the folder one of an unknown format.
fn mark_format(folder: &Path) -> io::Result<()> {
    let file = folder.join(FORMAT_FILE);
    let new = folder.join(FORMAT_FILE_NEW);
    if file.exists() {
        return Ok(());
    }
    fs::write(&new, format!("almanac {FORMAT_VERSION}\n"))?;
    fs::File::open(&new)?.sync_all()?;
    fs::rename(&new, &file)?;
    fs::File::open(folder)?.sync_all()
}

/// Makes the folder, or checks that it is empty or of this format.
fn prepare_folder(folder: &Path) -> std::result::Result<(), OpenError> {
    fs::create_dir_all(folder).map_err(|error| of_folder(folder, error))?;
    match fs::read_to_string(folder.join(FORMAT_FILE)) {
        Ok(text) => {
            let version = text.trim().strip_prefix("almanac ").and_then(|version| version.parse::<u32>().ok());
            match version {
                Some(FORMAT_VERSION) if folder.join(STORE_FOLDER).is_dir() => Ok(()),
                // A new, empty database would hide that the old one is missing.
                Some(FORMAT_VERSION) => Err(OpenError::NoStore { folder: folder.to_owned() }),
                Some(PREVIOUS_FORMAT_VERSION) => Err(OpenError::PreviousFormat { folder: folder.to_owned() }),
                Some(found @ ..FORMAT_VERSION) => Err(OpenError::OlderFormat { folder: folder.to_owned(), found }),
                _ => Err(OpenError::NewerFormat { folder: folder.to_owned(), found: text.trim().to_owned() }),
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // These two may be there if a process was killed before it had written the format file.
            let mut names = fs::read_dir(folder)?.flatten().map(|item| item.file_name());
            let foreign = names.any(|name| name != STORE_FOLDER && name != FORMAT_FILE_NEW);
            if foreign { Err(OpenError::ForeignFolder { folder: folder.to_owned() }) } else { Ok(()) }
        }
        Err(error) => Err(error.into()),
    }
}

struct OpenFailure {
    locked: bool,
    unwritable: bool,
    text: String,
}

fn open_sled(path: &Path) -> std::result::Result<sled::Db, OpenFailure> {
    let config = sled::Config::new().path(path).cache_capacity(CACHE_BYTES).flush_every_ms(Some(FLUSH_EVERY_MS));
    match catch_unwind(AssertUnwindSafe(|| config.open())) {
        Ok(Ok(db)) => Ok(db),
        Ok(Err(error)) => {
            let text = error.to_string();
            // sled reports a failed lock as an error of kind `Other`, so only its text tells.
            let unwritable = matches!(&error, sled::Error::Io(error) if is_unwritable(error.kind()));
            Err(OpenFailure { locked: text.contains("could not acquire lock"), unwritable, text })
        }
        Err(_) => Err(OpenFailure { locked: false, unwritable: false, text: "sled panicked while opening".into() }),
    }
}

fn of_folder(folder: &Path, error: io::Error) -> OpenError {
    match is_unwritable(error.kind()) {
        true => OpenError::Unwritable { folder: folder.to_owned(), detail: error.to_string() },
        false => error.into(),
    }
}

/// Whether an error means that the disk cannot be written, and nothing about the data on it.
fn is_unwritable(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{FileTooLarge, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(kind, FileTooLarge | PermissionDenied | QuotaExceeded | ReadOnlyFilesystem | StorageFull)
}

/// Renames sled's snapshots, so that sled does not find them. Returns how many there were.
fn set_snapshots_aside(path: &Path) -> io::Result<usize> {
    let mut moved = 0;
    for item in fs::read_dir(path)?.flatten() {
        let name = item.file_name();
        if name.to_string_lossy().starts_with("snap.") {
            let mut aside = std::ffi::OsString::from("broken-");
            aside.push(&name);
            fs::rename(item.path(), path.join(aside))?;
            moved += 1;
        }
    }
    Ok(moved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_written_in_parts_at_its_bounds_and_long_values_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::open(folder.path()).unwrap();
        let mut batch = engine.batch();
        for number in 0..1_000u32 {
            batch.put(&number.to_be_bytes(), &[7; 100]).unwrap();
            assert!(batch.ops.len() <= BATCH_OPS_MAX);
        }
        assert!(batch.put(b"long", &[0; VALUE_BYTES_MAX + 1]).is_err());
        batch.write().unwrap();
        assert_eq!(engine.scan(&[0, 0], None).count(), 1_000);
        assert_eq!(engine.last_at_or_before(&[0, 0, 3, 255]).unwrap().unwrap().0.as_ref(), 999u32.to_be_bytes());
        engine.sync().unwrap();
    }

    #[test]
    fn a_locked_folder_another_format_and_a_foreign_folder_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::open(folder.path()).unwrap();
        assert!(matches!(Engine::open(folder.path()), Err(OpenError::Locked { .. })));
        drop(engine);
        fs::write(folder.path().join(FORMAT_FILE), "almanac 4\n").unwrap();
        assert!(matches!(Engine::open(folder.path()), Err(OpenError::NewerFormat { .. })));
        fs::write(folder.path().join(FORMAT_FILE), "almanac 2\n").unwrap();
        let before = Engine::open(folder.path()).unwrap_err();
        assert!(before.to_string().contains("`almanac migrate "), "{before}");
        fs::write(folder.path().join(FORMAT_FILE), "almanac 1\n").unwrap();
        assert!(matches!(Engine::open(folder.path()), Err(OpenError::OlderFormat { found: 1, .. })));
        let foreign = tempfile::tempdir().unwrap();
        fs::write(foreign.path().join("thesis.doc"), "x").unwrap();
        assert!(matches!(Engine::open(foreign.path()), Err(OpenError::ForeignFolder { .. })));
    }

    #[test]
    fn broken_snapshots_are_moved_away_and_the_data_is_there() {
        let folder = tempfile::tempdir().unwrap();
        for round in 0..3u8 {
            let engine = Engine::open(folder.path()).unwrap();
            let mut batch = engine.batch();
            (0..100u8).for_each(|key| batch.put(&[key], &[round; 50]).unwrap());
            batch.write().unwrap();
            engine.sync().unwrap();
        }
        let snapshots = fs::read_dir(folder.path().join("store")).unwrap().flatten();
        let broken = snapshots.filter(|item| item.file_name().to_string_lossy().starts_with("snap."));
        broken.for_each(|item| fs::write(item.path(), b"").unwrap());
        let engine = Engine::open(folder.path()).unwrap();
        assert_eq!(engine.scan(&[], None).filter(|item| item.as_ref().unwrap().1.as_ref() == [2; 50]).count(), 100);
    }
}
