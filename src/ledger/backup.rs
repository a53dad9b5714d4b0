//! Backups: all commits up to a revision in one file, from which a folder can be rebuilt.
//! `docs/dev/backup-format.md` has the format.
//!
//! A backup holds the ledger, not the folder: the view follows from the ledger. Sealed commits never change, so a backup is
//! consistent while writes go on.
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
    log::{Header, Receipt, incomplete_commit},
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
/// Longest part. A header with its receipt, and a bundle, are far below.
const PART_BYTES_MAX: usize = 64 << 20;
/// Length, checksum and kind of a part.
const PART_HEAD_BYTES: u64 = 9;

const START: u8 = 1;
const COMMIT: u8 = 2;
const BUNDLE: u8 = 3;
const END: u8 = 4;

/// The first part of a backup.
#[derive(Debug, Serialize, Deserialize)]
struct BackupHeader {
    created: Instant,
    history: String,
    /// The last commit of the backup.
    revision: Revision,
    /// Version of the server that made the backup.
    server: String,
}

/// The last part of a backup.
#[derive(Debug, Serialize, Deserialize)]
struct BackupTrailer {
    commits: u64,
    /// SHA-256 of all bytes before this part.
    digest: [u8; 32],
}

/// Makes a backup, part by part.
#[derive(Debug)]
pub struct BackupWriter {
    ledger: Arc<Ledger>,
    /// The last commit of the backup.
    last: Revision,
    digest: Sha256,
    /// The commit that is being written.
    revision: Revision,
    /// Header of that commit while pages of it are left.
    header: Option<Header>,
    next_page: u32,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Header,
    Commits,
    End,
}

impl BackupWriter {
    /// A backup of everything up to a revision that is not above head.
    pub fn new(ledger: Arc<Ledger>, last: Revision) -> Self {
        let revision = Revision::ZERO;
        Self { ledger, last, digest: Sha256::new(), revision, header: None, next_page: 0, state: State::Header }
    }

    /// The commit that the last part belongs to.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The next bytes. `None`: the backup is complete.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Compacted`], also in the middle of a backup: compaction may begin while one is made.
    pub fn next_part(&mut self) -> std::result::Result<Option<Vec<u8>>, LedgerError> {
        match self.state {
            State::Header => {
                self.refuse_compacted()?;
                self.state = State::Commits;
                let header = BackupHeader {
                    created: now(),
                    history: self.ledger.history().to_string(),
                    revision: self.last,
                    server: env!("CARGO_PKG_VERSION").to_owned(),
                };
                let mut bytes = [&MAGIC[..], &[VERSION]].concat();
                put_part(&mut bytes, START, &pack(&header)?);
                self.digest.update(&bytes);
                Ok(Some(bytes))
            }
            State::Commits if self.header.is_none() && self.revision == self.last => {
                self.state = State::End;
                let trailer = BackupTrailer { commits: self.last.0, digest: self.digest.clone().finalize().into() };
                let mut bytes = Vec::new();
                put_part(&mut bytes, END, &pack(&trailer)?);
                Ok(Some(bytes))
            }
            State::Commits => {
                let bytes = self.next_pages()?;
                self.digest.update(&bytes);
                Ok(Some(bytes))
            }
            State::End => Ok(None),
        }
    }

    /// A backup holds every commit since the first. Without the old ones it could not be restored.
    fn refuse_compacted(&self) -> std::result::Result<(), LedgerError> {
        match self.ledger.floor() {
            Revision(..=1) => Ok(()),
            floor => Err(LedgerError::Compacted { floor }),
        }
    }

    /// A bundle of pages, and behind the last page of a commit its header and receipt.
    fn next_pages(&mut self) -> std::result::Result<Vec<u8>, LedgerError> {
        let header = match self.header.take() {
            Some(header) => header,
            None => {
                self.revision = self.revision.next();
                self.next_page = 0;
                self.ledger.header(self.revision)?.ok_or_else(|| incomplete_commit(self.revision))?
            }
        };
        let mut pages = Vec::new();
        let mut length = 0;
        while self.next_page < header.pages && length < bundle::BUNDLE_BYTES {
            let read = self.ledger.read(self.revision, self.next_page);
            // If compaction began since this backup did, a page that is missing is no damage.
            if !matches!(read, Ok(Some(_))) {
                self.refuse_compacted()?;
            }
            let page = read?.ok_or_else(|| incomplete_commit(self.revision))?;
            length += page.len();
            pages.push(page);
            self.next_page += 1;
        }
        let mut bytes = Vec::new();
        if !pages.is_empty() {
            put_part(&mut bytes, BUNDLE, &bundle::pack(&pages)?);
        }
        if self.next_page == header.pages {
            let receipt = self.ledger.receipt_of(&header)?;
            put_part(&mut bytes, COMMIT, &pack(&(&header, &receipt))?);
        } else {
            self.header = Some(header);
        }
        Ok(bytes)
    }
}

fn put_part(bytes: &mut Vec<u8>, kind: u8, body: &[u8]) {
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&checksum(kind, body).to_le_bytes());
    bytes.push(kind);
    bytes.extend_from_slice(body);
}

fn checksum(kind: u8, body: &[u8]) -> u32 {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&[kind]);
    checksum.update(body);
    checksum.finalize()
}

/// Why a backup was not restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The file is something else.
    #[error("{file} is no almanac backup")]
    NoBackup { file: PathBuf },
    /// A later version of Almanac made the file.
    #[error("{file} has backup format {found}, and this almanac reads format {VERSION}; use the version that made it")]
    NewerFormat { file: PathBuf, found: u8 },
    /// An earlier version of Almanac made the file.
    #[error(
        "{file} has backup format {found} of an earlier almanac, and this one reads format {VERSION}; restore it with the version that made it, then bring the folder over with `almanac migrate OLD NEW`"
    )]
    OlderFormat { file: PathBuf, found: u8 },
    /// The file is not what was written.
    #[error("{file} is damaged ({detail}); nothing was restored")]
    Damaged { file: PathBuf, detail: String },
    /// The folder is in the way, or cannot be made.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The folder cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file cannot be read, or the folder cannot get its name.
    #[error("{source}")]
    Io {
        #[from]
        source: io::Error,
    },
}

/// The result of a restore.
#[derive(Debug, Clone, Copy)]
pub struct RestoreReport {
    /// Head of the new folder.
    pub revision: Revision,
    /// When the backup was made.
    pub created: Instant,
}

/// Makes a folder from a backup. The folder must be empty or not there. Afterwards it holds the whole backup, or is as it
/// was.
pub fn restore(file: &Path, folder: &Path) -> std::result::Result<RestoreReport, RestoreError> {
    if is_occupied(folder) {
        return Err(OpenError::Occupied { folder: folder.to_owned() }.into());
    }
    let mut parts = PartReader::open(file)?;
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(".restoring");
    let building = folder.with_file_name(name);
    if building.exists() {
        fs::remove_dir_all(&building)?;
    }
    match build(&mut parts, &building) {
        Ok(report) => {
            fs::rename(&building, folder)?;
            Ok(report)
        }
        Err(error) => {
            let _ = fs::remove_dir_all(&building);
            Err(error)
        }
    }
}

/// Whether something is in the way of a new folder.
pub(super) fn is_occupied(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut items| items.next().is_some()) || folder.is_file()
}

fn build(parts: &mut PartReader, folder: &Path) -> std::result::Result<RestoreReport, RestoreError> {
    let first = parts.next()?.filter(|part| part.kind == START);
    let first = first.ok_or_else(|| parts.damaged("it does not begin as it should"))?;
    let header: BackupHeader = parts.decoded(unpack(&first.body))?;
    let mut rebuild = Rebuild::start(folder, None)?;
    loop {
        let digest: [u8; 32] = parts.digest.clone().finalize().into();
        let part = parts.next()?.ok_or_else(|| parts.damaged("it ends too early"))?;
        match part.kind {
            BUNDLE => {
                for page in parts.decoded(bundle::unpack(&part.body))? {
                    rebuild.page(page)?;
                }
            }
            COMMIT => {
                let (header, receipt): (Header, Option<Receipt>) = parts.decoded(unpack(&part.body))?;
                let sealed = rebuild.seal(&header, receipt.as_ref());
                parts.decoded(sealed)?;
            }
            END => {
                let trailer: BackupTrailer = parts.decoded(unpack(&part.body))?;
                let commits = rebuild.head();
                if trailer.digest != digest || trailer.commits != commits.0 || header.revision != commits {
                    return Err(parts.damaged("its parts are not those it was made of"));
                }
                if parts.next()?.is_some() {
                    return Err(parts.damaged("it goes on after its end"));
                }
                rebuild.finish()?;
                return Ok(RestoreReport { revision: header.revision, created: header.created });
            }
            _ => return Err(parts.damaged("a part of an unknown kind")),
        }
    }
}

struct Part {
    kind: u8,
    body: Vec<u8>,
}

/// Reads a backup, part by part.
struct PartReader {
    file: PathBuf,
    bytes: BufReader<fs::File>,
    /// Hash of all bytes read.
    digest: Sha256,
}

impl PartReader {
    fn open(file: &Path) -> std::result::Result<Self, RestoreError> {
        let mut bytes = BufReader::with_capacity(1 << 20, fs::File::open(file)?);
        let mut head = [0; MAGIC.len() + 1];
        if bytes.read_exact(&mut head).is_err() || !head.starts_with(MAGIC) {
            return Err(RestoreError::NoBackup { file: file.to_owned() });
        }
        match head[MAGIC.len()] {
            VERSION => Ok(Self { file: file.to_owned(), bytes, digest: Sha256::new_with_prefix(head) }),
            found @ ..VERSION => Err(RestoreError::OlderFormat { file: file.to_owned(), found }),
            found => Err(RestoreError::NewerFormat { file: file.to_owned(), found }),
        }
    }

    /// The next part. `None`: the file ends here.
    fn next(&mut self) -> std::result::Result<Option<Part>, RestoreError> {
        let mut head = Vec::with_capacity(PART_HEAD_BYTES as usize);
        self.bytes.by_ref().take(PART_HEAD_BYTES).read_to_end(&mut head)?;
        if head.is_empty() {
            return Ok(None);
        }
        let [l0, l1, l2, l3, c0, c1, c2, c3, kind] = head[..] else {
            return Err(self.damaged("it ends too early"));
        };
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        if length > PART_BYTES_MAX {
            return Err(self.damaged("a part that is too long"));
        }
        let mut body = Vec::new();
        self.bytes.by_ref().take(length as u64).read_to_end(&mut body)?;
        if body.len() != length {
            return Err(self.damaged("it ends too early"));
        }
        if checksum(kind, &body) != u32::from_le_bytes([c0, c1, c2, c3]) {
            return Err(self.damaged("a checksum does not match"));
        }
        self.digest.update(&head);
        self.digest.update(&body);
        Ok(Some(Part { kind, body }))
    }

    fn damaged(&self, detail: &str) -> RestoreError {
        RestoreError::Damaged { file: self.file.clone(), detail: detail.to_owned() }
    }

    /// A part that does not decode is damage of the file, not of the folder.
    fn decoded<T>(&self, decoded: Result<T>) -> std::result::Result<T, RestoreError> {
        decoded.map_err(|error| match error {
            StoreError::Corrupt { detail } => self.damaged(&detail),
            error => error.into(),
        })
    }
}
