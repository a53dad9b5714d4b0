//! Errors of the store: opening a folder is one family of operations, reading and writing what it holds is another.
//!
//! Invariant: every [`OpenError`] names the folder and says what the operator can do about it.

use std::{io, path::PathBuf};

use super::engine::{FORMAT_VERSION, PREVIOUS_FORMAT_VERSION};

/// Result of reading or writing a store.
pub type Result<T> = std::result::Result<T, StoreError>;

/// Why a store that is open cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A value does not have the form in which it was written.
    #[error("damaged data: {detail}")]
    Corrupt {
        /// Which value, and what is wrong with it.
        detail: String,
    },
    /// The value is not in memory, and the read may not wait for the disk. It is repeated where it may.
    #[error("not in memory")]
    NotInMemory,
    /// The system refused to read or write.
    #[error("disk: {source}")]
    Io {
        /// What the system said.
        #[from]
        source: io::Error,
    },
}

impl StoreError {
    /// Damaged data, described in words.
    pub fn corrupt(detail: impl Into<String>) -> Self {
        Self::Corrupt { detail: detail.into() }
    }
}

impl From<sled::Error> for StoreError {
    fn from(error: sled::Error) -> Self {
        match error {
            sled::Error::Io(source) => Self::Io { source },
            other => Self::corrupt(other.to_string()),
        }
    }
}

/// Why a data folder cannot be opened or made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has the folder open.
    #[error("{folder} is in use by another almanac process; stop it, or choose another folder with --data")]
    Locked { folder: PathBuf },
    /// A later version of Almanac wrote the folder.
    #[error(
        "{folder} has format {found}, and this almanac reads format {FORMAT_VERSION}; use the version that wrote it"
    )]
    NewerFormat {
        folder: PathBuf,
        /// The text of its format file.
        found: String,
    },
    /// The folder has the format that `almanac migrate` reads.
    #[error(
        "{folder} has format {PREVIOUS_FORMAT_VERSION}, and this almanac reads format {FORMAT_VERSION}; `almanac migrate {folder} NEW` makes a folder NEW of it and leaves it as it is"
    )]
    PreviousFormat { folder: PathBuf },
    /// The folder has a format that is too old to migrate.
    #[error(
        "{folder} has format {found} of an early almanac, and this one reads format {FORMAT_VERSION}; start with an empty folder and load again"
    )]
    OlderFormat {
        folder: PathBuf,
        /// Its format version.
        found: u32,
    },
    /// A migration was asked for, and the folder does not have the previous format.
    #[error("{folder} is no folder of format {PREVIOUS_FORMAT_VERSION}: there is nothing to migrate")]
    NotPreviousFormat {
        /// The folder that was to be migrated.
        folder: PathBuf,
    },
    /// The folder holds files that Almanac did not make.
    #[error("{folder} is not an almanac folder and not empty; choose another with --data")]
    ForeignFolder { folder: PathBuf },
    /// The disk is full or read-only, or this user may not write there.
    #[error("{folder} cannot be written ({detail}); free some space, or let this user write there")]
    Unwritable {
        folder: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// The database is missing where one should be.
    #[error(
        "{folder} holds no almanac database, or it was moved away; `almanac verify` finishes a repair that was cut off"
    )]
    NoStore { folder: PathBuf },
    /// A folder is to be made where there is data already.
    #[error("{folder} holds data already; choose a folder that is empty or not there")]
    Occupied { folder: PathBuf },
    /// sled cannot open its files.
    #[error(
        "the database in {folder} is damaged ({detail}); its files were left as they are: `almanac verify` says more, `almanac restore` puts a backup into another folder"
    )]
    Damaged {
        folder: PathBuf,
        /// What sled said.
        detail: String,
    },
    /// The folder opened, and what it holds cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<io::Error> for OpenError {
    fn from(source: io::Error) -> Self {
        Self::Store(source.into())
    }
}
