//! Files to import: plain, compressed, in folders and in archives, one after the other.
//!
//! Invariant: one file is in memory at a time, and none above [`FILE_BYTES_MAX`].

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use indicatif::ProgressBar;
use lzma_rust2::XzReader;

/// Largest file, unpacked.
pub const FILE_BYTES_MAX: u64 = 512 << 20;
/// Memory an xz archive may ask for its dictionary.
const XZ_MEMORY_KB: u32 = 256 << 10;

/// A file to read, or an archive of files.
#[derive(Debug, Clone)]
pub struct Input {
    path: PathBuf,
    /// It was named, not found in a folder.
    named: bool,
}

/// A file that was read.
#[derive(Debug)]
pub struct Document {
    /// As findings call it: its path, or that of the archive and the one within.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
    /// It was named, not found in a folder or archive: it must be what the user says it is.
    pub named: bool,
}

/// What paths stand for: files as they are, folders all the files in them that look like tables, by name.
pub fn find(paths: &[PathBuf]) -> io::Result<Vec<Input>> {
    let mut inputs = Vec::new();
    for path in paths {
        if path.is_dir() {
            walk(path, &mut inputs)?;
        } else {
            let said = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
            std::fs::metadata(path).map_err(said)?;
            inputs.push(Input { path: path.clone(), named: true });
        }
    }
    Ok(inputs)
}

fn walk(folder: &Path, inputs: &mut Vec<Input>) -> io::Result<()> {
    let entries = std::fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    let mut paths: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            walk(&path, inputs)?;
        } else if is_table(&path) || is_archive(&path) {
            inputs.push(Input { path, named: false });
        }
    }
    Ok(())
}

fn ends(path: &Path, endings: &[&str]) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    endings.iter().any(|ending| name.ends_with(ending))
}

fn is_table(path: &Path) -> bool {
    ends(path, &[".csv", ".csv.gz", ".tsv", ".tsv.gz"])
}

fn is_archive(path: &Path) -> bool {
    ends(path, &[".tar", ".tar.gz", ".tgz", ".tar.xz"])
}

/// Bytes of all inputs as they lie on the disk.
pub fn total_bytes(inputs: &[Input]) -> u64 {
    inputs.iter().filter_map(|input| std::fs::metadata(&input.path).ok()).map(|metadata| metadata.len()).sum()
}

/// Reads every file and gives it to `take`, until that says stop.
pub fn read_all(inputs: &[Input], progress: &ProgressBar, mut take: impl FnMut(Document) -> bool) -> io::Result<()> {
    for input in inputs {
        let path = input.path.display().to_string();
        let said = |error: io::Error| io::Error::new(error.kind(), format!("{path}: {error}"));
        let raw = BufReader::new(progress.wrap_read(File::open(&input.path).map_err(said)?));
        let go_on = if is_archive(&input.path) {
            let unpacked: Box<dyn Read> = if ends(&input.path, &[".xz"]) {
                Box::new(XzReader::new_mem_limit(raw, true, XZ_MEMORY_KB))
            } else if ends(&input.path, &[".tar"]) {
                Box::new(raw)
            } else {
                Box::new(MultiGzDecoder::new(raw))
            };
            read_archive(&path, unpacked, &mut take).map_err(said)?
        } else {
            let bytes = read_file(&input.path, raw).map_err(said)?;
            take(Document { name: path.clone(), bytes, named: input.named })
        };
        if !go_on {
            break;
        }
    }
    Ok(())
}

fn read_archive(path: &str, unpacked: Box<dyn Read>, take: &mut impl FnMut(Document) -> bool) -> io::Result<bool> {
    let mut archive = tar::Archive::new(unpacked);
    for entry in archive.entries()? {
        let entry = entry?;
        let within = entry.path()?.into_owned();
        if !entry.header().entry_type().is_file() || !is_table(&within) {
            continue;
        }
        let bytes = read_file(&within, entry)?;
        if !take(Document { name: format!("{path}:{}", within.display()), bytes, named: false }) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn read_file(path: &Path, raw: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if ends(path, &[".gz"]) {
        MultiGzDecoder::new(raw).take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    } else {
        raw.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    }
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let message = format!("{} is larger than {} MiB, unpacked", path.display(), FILE_BYTES_MAX >> 20);
        return Err(io::Error::other(message));
    }
    Ok(bytes)
}
