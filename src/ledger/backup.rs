//! Backups: the commits up to a revision in one file, from which a folder can be made again. The format is in
//! `docs/dev/backup-format.md`.
//!
//! A backup is the ledger, not the folder: the view follows from it, and commits never change once they are sealed, so a
//! backup is consistent while writes go on.
//!
//! Invariant: a file that was cut short, changed or put together from parts is refused, and leaves nothing behind.

use std::{
    fs,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    Ledger, LedgerError, bundle,
    log::{Header, Receipt},
    rebuild::Rebuild,
};
use crate::{
    model::{
        id::Revision,
        time::{Instant, now},
    },
    store::{
        OpenError, StoreError,
        error::Result,
        records::{pack, unpack},
    },
};

const MAGIC: &[u8; 15] = b"ALMANAC BACKUP\n";
const VERSION: u8 = 2;
/// Longest part; a header with its receipt and a bundle are far below.
const PART_BYTES_MAX: usize = 64 << 20;

const START: u8 = 1;
const COMMIT: u8 = 2;
const BUNDLE: u8 = 3;
const END: u8 = 4;

#[derive(Debug, Serialize, Deserialize)]
struct BackupHeader {
    created: Instant,
    history: String,
    revision: Revision,
    server: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct BackupTrailer {
    commits: u64,
    digest: [u8; 32],
}

/// Makes a backup, part by part.
#[derive(Debug)]
pub struct BackupWriter {
    ledger: Arc<Ledger>,
    last: Revision,
    digest: Sha256,
    /// The commit being written.
    revision: Revision,
    header: Option<Header>,
    next_page: u32,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    BackupHeader,
    Commits,
    Over,
}

impl BackupWriter {
    /// Backs up everything to a revision that is not above head.
    pub fn new(ledger: Arc<Ledger>, last: Revision) -> Self {
        let revision = Revision::ZERO;
        Self { ledger, last, digest: Sha256::new(), revision, header: None, next_page: 0, state: State::BackupHeader }
    }

    /// The commit that the last part was of.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The next bytes. `None`: that was all.
    pub fn next_part(&mut self) -> std::result::Result<Option<Vec<u8>>, LedgerError> {
        match self.state {
            State::BackupHeader => {
                self.refuse_compacted()?;
                self.state = State::Commits;
                let start = BackupHeader {
                    created: now(),
                    history: self.ledger.history().to_string(),
                    revision: self.last,
                    server: env!("CARGO_PKG_VERSION").to_owned(),
                };
                let mut bytes = [&MAGIC[..], &[VERSION]].concat();
                put_part(&mut bytes, START, &pack(&start)?);
                Ok(Some(self.digested(bytes)))
            }
            State::Commits => {
                let mut bytes = Vec::new();
                if self.header.is_none() && self.revision == self.last {
                    self.state = State::Over;
                    let end = BackupTrailer { commits: self.last.0, digest: self.digest.clone().finalize().into() };
                    put_part(&mut bytes, END, &pack(&end)?);
                    return Ok(Some(bytes));
                }
                self.put_next(&mut bytes)?;
                Ok(Some(self.digested(bytes)))
            }
            State::Over => Ok(None),
        }
    }

    /// A backup is every commit since the first: without the old ones it could not be restored.
    fn refuse_compacted(&self) -> std::result::Result<(), LedgerError> {
        match self.ledger.floor() {
            Revision(..=1) => Ok(()),
            floor => Err(LedgerError::Compacted { floor }),
        }
    }

    fn put_next(&mut self, bytes: &mut Vec<u8>) -> std::result::Result<(), LedgerError> {
        let header = match self.header.take() {
            Some(header) => header,
            None => {
                self.revision = self.revision.next();
                self.next_page = 0;
                self.ledger.header(self.revision)?.ok_or_else(|| missing(self.revision))?
            }
        };
        let mut pages = Vec::new();
        let mut length = 0;
        while self.next_page < header.pages && length < bundle::BUNDLE_BYTES {
            let read = self.ledger.read(self.revision, self.next_page);
            // Compaction may have begun since this backup did; then what was read is no damage.
            if !matches!(read, Ok(Some(_))) {
                self.refuse_compacted()?;
            }
            let page = read?.ok_or_else(|| missing(self.revision))?;
            length += page.len();
            pages.push(page);
            self.next_page += 1;
        }
        if !pages.is_empty() {
            put_part(bytes, BUNDLE, &bundle::pack(&pages)?);
        }
        if self.next_page == header.pages {
            let request = header.commit.request_id.as_ref();
            let receipt = request.map(|request| self.ledger.receipt(request)).transpose()?.flatten();
            put_part(bytes, COMMIT, &pack(&(&header, &receipt))?);
        } else {
            self.header = Some(header);
        }
        Ok(())
    }

    fn digested(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        self.digest.update(&bytes);
        bytes
    }
}

fn missing(revision: Revision) -> StoreError {
    StoreError::corrupt(format!("commit {revision} is not whole in the ledger"))
}

fn put_part(bytes: &mut Vec<u8>, kind: u8, body: &[u8]) {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&[kind]);
    checksum.update(body);
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&checksum.finalize().to_le_bytes());
    bytes.push(kind);
    bytes.extend_from_slice(body);
}

/// Why a backup was not restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// It is something else.
    #[error("{0} is no almanac backup")]
    NoBackup(PathBuf),
    /// A later version made it.
    #[error("{file} has backup format {found}, and this almanac reads format {VERSION}; use the version that made it")]
    NewerFormat {
        /// The file.
        file: PathBuf,
        /// Its format.
        found: u8,
    },
    /// An earlier version made it.
    #[error(
        "{file} has backup format {found} of an earlier almanac, and this one reads format {VERSION}; restore it with the version that made it, then bring the folder over with `almanac migrate OLD NEW`"
    )]
    OlderFormat {
        /// The file.
        file: PathBuf,
        /// Its format.
        found: u8,
    },
    /// It is not what was written.
    #[error("{file} is damaged ({detail}); nothing was restored")]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The folder is in the way, or cannot be made.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The folder cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file cannot be read, or the folder not be written.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// What was restored.
#[derive(Debug, Clone, Copy)]
pub struct RestoreReport {
    /// The newest revision.
    pub revision: Revision,
    /// When the backup was made.
    pub created: Instant,
}

/// Makes a folder from a backup. It must be empty or not there, and holds all of it or is as it was.
pub fn restore(file: &Path, folder: &Path) -> std::result::Result<RestoreReport, RestoreError> {
    let occupied = fs::read_dir(folder).is_ok_and(|mut items| items.next().is_some()) || folder.is_file();
    if occupied {
        return Err(OpenError::Occupied { folder: folder.to_owned() }.into());
    }
    let mut parts = PartReader::open(file)?;
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(".restoring");
    let building = folder.with_file_name(name);
    if building.exists() {
        fs::remove_dir_all(&building)?;
    }
    let built = build(&mut parts, &building);
    match built {
        Ok(restored) => {
            fs::rename(&building, folder)?;
            Ok(restored)
        }
        Err(error) => {
            let _ = fs::remove_dir_all(&building);
            Err(error)
        }
    }
}

fn build(parts: &mut PartReader, folder: &Path) -> std::result::Result<RestoreReport, RestoreError> {
    let first = parts.next()?.filter(|(kind, _)| *kind == START);
    let (_, start) = first.ok_or_else(|| parts.damaged("it does not begin as it should"))?;
    let start: BackupHeader = parts.whole(unpack(&start))?;
    let mut rebuild = Rebuild::start(folder, None)?;
    loop {
        let digest: [u8; 32] = parts.digest.clone().finalize().into();
        let (kind, body) = parts.next()?.ok_or_else(|| parts.damaged("it ends too early"))?;
        match kind {
            BUNDLE => {
                for page in parts.whole(bundle::unpack(&body))? {
                    rebuild.page(page)?;
                }
            }
            COMMIT => {
                let (header, receipt): (Header, Option<Receipt>) = parts.whole(unpack(&body))?;
                let sealed = rebuild.seal(&header, receipt.as_ref());
                parts.whole(sealed)?;
            }
            END => {
                let end: BackupTrailer = parts.whole(unpack(&body))?;
                if end.digest != digest || end.commits != rebuild.head().0 || start.revision != rebuild.head() {
                    return Err(parts.damaged("its parts are not those it was made of"));
                }
                if parts.next()?.is_some() {
                    return Err(parts.damaged("it goes on after its end"));
                }
                rebuild.finish()?;
                return Ok(RestoreReport { revision: start.revision, created: start.created });
            }
            _ => return Err(parts.damaged("a part of an unknown kind")),
        }
    }
}

/// Reads a backup, part by part.
struct PartReader {
    file: PathBuf,
    bytes: BufReader<fs::File>,
    digest: Sha256,
}

impl PartReader {
    fn open(file: &Path) -> std::result::Result<Self, RestoreError> {
        let mut bytes = BufReader::with_capacity(1 << 20, fs::File::open(file)?);
        let mut head = [0; MAGIC.len() + 1];
        if bytes.read_exact(&mut head).is_err() || !head.starts_with(MAGIC) {
            return Err(RestoreError::NoBackup(file.to_owned()));
        }
        match head[MAGIC.len()] {
            VERSION => Ok(Self { file: file.to_owned(), bytes, digest: Sha256::new_with_prefix(head) }),
            found @ ..VERSION => Err(RestoreError::OlderFormat { file: file.to_owned(), found }),
            found => Err(RestoreError::NewerFormat { file: file.to_owned(), found }),
        }
    }

    /// The next part. `None`: the file is over.
    fn next(&mut self) -> std::result::Result<Option<(u8, Vec<u8>)>, RestoreError> {
        let mut head = Vec::with_capacity(9);
        self.bytes.by_ref().take(9).read_to_end(&mut head)?;
        if head.is_empty() {
            return Ok(None);
        }
        let (Some(length), Some(checksum), Some(kind)) =
            (head.first_chunk::<4>(), head.get(4..).and_then(<[u8]>::first_chunk::<4>), head.get(8))
        else {
            return Err(self.damaged("it ends too early"));
        };
        let length = u32::from_le_bytes(*length) as usize;
        if length > PART_BYTES_MAX {
            return Err(self.damaged("a part that is too long"));
        }
        let mut body = Vec::new();
        self.bytes.by_ref().take(length as u64).read_to_end(&mut body)?;
        if body.len() != length {
            return Err(self.damaged("it ends too early"));
        }
        let mut found = crc32fast::Hasher::new();
        found.update(&[*kind]);
        found.update(&body);
        if found.finalize() != u32::from_le_bytes(*checksum) {
            return Err(self.damaged("a checksum does not match"));
        }
        self.digest.update(&head);
        self.digest.update(&body);
        Ok(Some((*kind, body)))
    }

    fn damaged(&self, detail: &str) -> RestoreError {
        RestoreError::Damaged { file: self.file.clone(), detail: detail.to_owned() }
    }

    /// What does not decode is damage of the file, not of the folder.
    fn whole<T>(&self, decoded: Result<T>) -> std::result::Result<T, RestoreError> {
        decoded.map_err(|error| match error {
            StoreError::Corrupt { detail } => self.damaged(&detail),
            error => error.into(),
        })
    }
}
