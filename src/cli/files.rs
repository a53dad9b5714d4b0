//! Files to import: plain, compressed, in folders and in archives.
//!
//! Invariant: one file is in memory at a time until it is handed on, and none larger than [`FILE_BYTES_MAX`].

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use indicatif::ProgressBar;
use lzma_rust2::XzReader;

/// Largest file, in bytes, once it is unpacked.
pub const FILE_BYTES_MAX: u64 = 512 << 20;
/// Most bytes of memory for a file before they are read: an archive may state any size.
const ALLOCATED_MAX: usize = 16 << 20;
/// Most memory for the dictionary of an xz archive, in KiB.
const XZ_MEMORY_KB: u32 = 256 << 10;

/// A file to read, or an archive of files.
#[derive(Debug, Clone)]
pub struct InputFile {
    path: PathBuf,
    /// Whether the user named it; else it was found in a folder.
    named: bool,
}

/// A table in memory.
#[derive(Debug)]
pub struct Document {
    /// What findings call it: its path, or `ARCHIVE:PATH` for a file of an archive.
    pub name: String,
    pub bytes: Vec<u8>,
    /// Whether the user named it; else it was found in a folder or an archive. A file that the user named must fit the
    /// profile.
    pub named: bool,
}

/// The files to read: those that the user named, and in folders that the user named all that look like tables or
/// archives, sorted by path.
pub fn find(paths: &[PathBuf]) -> io::Result<Vec<InputFile>> {
    let mut inputs = Vec::new();
    for path in paths {
        if path.is_dir() {
            walk(path, &mut inputs)?;
        } else {
            std::fs::metadata(path).map_err(|error| with_name(&path.display().to_string(), error))?;
            inputs.push(InputFile { path: path.clone(), named: true });
        }
    }
    Ok(inputs)
}

fn walk(folder: &Path, inputs: &mut Vec<InputFile>) -> io::Result<()> {
    let entries = std::fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    let mut paths: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            walk(&path, inputs)?;
        } else if is_table(&path) || is_archive(&path) {
            inputs.push(InputFile { path, named: false });
        }
    }
    Ok(())
}

fn with_name(name: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{name}: {error}"))
}

fn has_ending(path: &Path, endings: &[&str]) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    endings.iter().any(|ending| name.ends_with(ending))
}

fn is_table(path: &Path) -> bool {
    has_ending(path, &[".csv", ".csv.gz", ".tsv", ".tsv.gz"])
}

fn is_archive(path: &Path) -> bool {
    has_ending(path, &[".tar", ".tar.gz", ".tgz", ".tar.xz"])
}

/// Bytes of all inputs on the disk, before they are unpacked.
pub fn total_bytes(inputs: &[InputFile]) -> u64 {
    inputs.iter().map(|input| std::fs::metadata(&input.path).map_or(0, |metadata| metadata.len())).sum()
}

/// Reads one file after the other and calls `take` with it, until `take` returns false.
pub fn read_all(
    inputs: &[InputFile],
    progress: &ProgressBar,
    mut take: impl FnMut(Document) -> bool,
) -> io::Result<()> {
    for input in inputs {
        let path = input.path.display().to_string();
        if !read_input(input, &path, progress, &mut take).map_err(|error| with_name(&path, error))? {
            break;
        }
    }
    Ok(())
}

/// Reads a file or the files of an archive. Returns false once `take` does.
fn read_input(
    input: &InputFile,
    name: &str,
    progress: &ProgressBar,
    take: &mut impl FnMut(Document) -> bool,
) -> io::Result<bool> {
    let raw = BufReader::new(progress.wrap_read(File::open(&input.path)?));
    if !is_archive(&input.path) {
        let size = std::fs::metadata(&input.path)?.len();
        let bytes = read_file(&input.path, raw, size)?;
        return Ok(take(Document { name: name.to_owned(), bytes, named: input.named }));
    }
    let unpacked: Box<dyn Read> = if has_ending(&input.path, &[".xz"]) {
        Box::new(XzReader::new_mem_limit(raw, true, XZ_MEMORY_KB))
    } else if has_ending(&input.path, &[".tar"]) {
        Box::new(raw)
    } else {
        Box::new(MultiGzDecoder::new(raw))
    };
    read_archive(name, unpacked, take)
}

fn read_archive(name: &str, unpacked: Box<dyn Read>, take: &mut impl FnMut(Document) -> bool) -> io::Result<bool> {
    let mut archive = tar::Archive::new(unpacked);
    for entry in archive.entries()? {
        let entry = entry?;
        let path = entry.path()?.into_owned();
        if !entry.header().entry_type().is_file() || !is_table(&path) {
            continue;
        }
        let size = entry.size();
        let bytes = read_file(&path, entry, size)?;
        // The archive may end here. What is compressed knows its own end.
        if !has_ending(&path, &[".gz"]) && bytes.len() as u64 != size {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{} breaks off", path.display())));
        }
        if !take(Document { name: format!("{name}:{}", path.display()), bytes, named: false }) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Reads a file, which has about `size` bytes before it is unpacked.
fn read_file(path: &Path, raw: impl Read, size: u64) -> io::Result<Vec<u8>> {
    // One more byte shows the end without another allocation.
    let mut bytes =
        Vec::with_capacity(usize::try_from(size.saturating_add(1)).unwrap_or(ALLOCATED_MAX).min(ALLOCATED_MAX));
    if has_ending(path, &[".gz"]) {
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
