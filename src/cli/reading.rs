//! Files of an import, read and parsed on several threads while those before them are sent.
//!
//! One thread reads and unpacks one file after the other. Others parse them, and encode their figures.
//!
//! Invariants:
//! - Files come out in the order in which they were read; an error of reading comes after all files before it.
//! - The files that were read and not yet dropped have at most [`BYTES_MAX`] bytes together, unpacked, or are one larger
//!   file. The thread that reads holds one more. Encoded, figures take about as many bytes as in their file.

use std::{future::Future, io, sync::Arc};

use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::JoinHandle,
};

use super::files::Document;

/// Most bytes of files in memory, unpacked.
const BYTES_MAX: usize = 32 << 20;
/// Bytes are counted in units of this size, and at least one unit a file.
const UNIT_BYTES: usize = 4 << 10;
/// Most files in memory.
const FILES_MAX: usize = 256;
/// Most files that are parsed at the same time; fewer on a machine with fewer cores.
const PARSERS_MAX: usize = 8;

/// Files in their order, parsed.
#[derive(Debug)]
pub struct ParsedFiles<T> {
    order: mpsc::Receiver<io::Result<JoinHandle<T>>>,
    /// `None` once it is known to have ended well.
    reading: Option<JoinHandle<()>>,
}

/// A part of the memory for files. It is free again once this is dropped.
#[derive(Debug)]
pub struct MemoryPermit {
    _units: OwnedSemaphorePermit,
}

/// Reads files with `read`, which calls its argument with one after the other until that returns false, and parses them
/// with `parse`.
pub fn start<T, R, P>(read: R, parse: P) -> ParsedFiles<T>
where
    T: Send + 'static,
    R: FnOnce(&mut dyn FnMut(Document) -> bool) -> io::Result<()> + Send + 'static,
    P: Fn(Document, MemoryPermit) -> T + Send + Sync + 'static,
{
    let parsers = std::thread::available_parallelism().map_or(1, usize::from).min(PARSERS_MAX);
    start_with(Bounds { bytes: BYTES_MAX, parsers }, read, parse)
}

#[derive(Debug, Clone, Copy)]
struct Bounds {
    bytes: usize,
    parsers: usize,
}

fn start_with<T, R, P>(bounds: Bounds, read: R, parse: P) -> ParsedFiles<T>
where
    T: Send + 'static,
    R: FnOnce(&mut dyn FnMut(Document) -> bool) -> io::Result<()> + Send + 'static,
    P: Fn(Document, MemoryPermit) -> T + Send + Sync + 'static,
{
    let (sender, order) = mpsc::channel(FILES_MAX);
    let all = bounds.bytes.div_ceil(UNIT_BYTES);
    let memory = Arc::new(Semaphore::new(all));
    let parsers = Arc::new(Semaphore::new(bounds.parsers));
    let parse = Arc::new(parse);
    let handle = Handle::current();
    let reading = tokio::task::spawn_blocking(move || {
        let mut take = |document: Document| {
            let own = document.bytes.len().div_ceil(UNIT_BYTES).clamp(1, all);
            let Some(units) = wait(&handle, memory.clone().acquire_many_owned(own as u32)) else { return false };
            let Some(parser) = wait(&handle, parsers.clone().acquire_owned()) else { return false };
            let parse = parse.clone();
            let parsing = handle.spawn_blocking(move || {
                let parsed = parse(document, MemoryPermit { _units: units });
                drop(parser);
                parsed
            });
            sender.blocking_send(Ok(parsing)).is_ok()
        };
        if let Err(error) = read(&mut take) {
            // If the receiver is gone, it has an error of its own to report.
            let _ = sender.blocking_send(Err(error));
        }
    });
    ParsedFiles { order, reading: Some(reading) }
}

/// Waits on a thread that may block. `None` if there is nothing to wait for any more.
fn wait<T, E>(handle: &Handle, future: impl Future<Output = Result<T, E>>) -> Option<T> {
    handle.block_on(future).ok()
}

impl<T> ParsedFiles<T> {
    /// The next file; `None` after the last one.
    pub async fn next(&mut self) -> io::Result<Option<T>> {
        if let Some(parsing) = self.order.recv().await {
            return parsing?.await.map(Some).map_err(io::Error::other);
        }
        // The order ends too if the thread that reads panicked.
        if let Some(reading) = self.reading.take() {
            reading.await.map_err(io::Error::other)?;
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const BOUNDS: Bounds = Bounds { bytes: 16 * UNIT_BYTES, parsers: 3 };

    fn document(number: usize, bytes: usize) -> Document {
        Document { name: number.to_string(), bytes: vec![0; bytes], named: false }
    }

    #[tokio::test]
    async fn files_come_in_their_order_and_an_error_after_those_before_it() {
        let read = |take: &mut dyn FnMut(Document) -> bool| {
            for number in 0..100 {
                // Parsing takes longer the longer a file is.
                assert!(take(document(number, (100 - number) * 1_000)));
            }
            Err(io::Error::other("broken"))
        };
        let parse = |document: Document, permit: MemoryPermit| {
            let sum: usize = document.bytes.iter().map(|byte| usize::from(*byte)).sum();
            (document.name.parse::<usize>().unwrap() + sum, permit)
        };
        let mut files = start_with(BOUNDS, read, parse);
        for number in 0..100 {
            assert_eq!(files.next().await.unwrap().unwrap().0, number);
        }
        assert_eq!(files.next().await.unwrap_err().to_string(), "broken");
        assert!(files.next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn memory_is_bounded_by_bytes_and_a_larger_file_goes_alone() {
        let in_memory = Arc::new(AtomicUsize::new(0));
        let most = Arc::new(AtomicUsize::new(0));
        let read = |take: &mut dyn FnMut(Document) -> bool| {
            for number in 0..200 {
                let units = if number % 50 == 7 { 40 } else { 1 + number % 5 };
                assert!(take(document(number, units * UNIT_BYTES)));
            }
            Ok(())
        };
        let counted = in_memory.clone();
        let counted_most = most.clone();
        let parse = move |document: Document, permit: MemoryPermit| {
            let units = (document.bytes.len() / UNIT_BYTES).min(16);
            let now = counted.fetch_add(units, Ordering::SeqCst) + units;
            counted_most.fetch_max(now, Ordering::SeqCst);
            (units, permit)
        };
        let mut files = start_with(BOUNDS, read, parse);
        let mut count = 0;
        while let Some((units, permit)) = files.next().await.unwrap() {
            in_memory.fetch_sub(units, Ordering::SeqCst);
            drop(permit);
            count += 1;
        }
        assert_eq!(count, 200);
        assert!(most.load(Ordering::SeqCst) <= 16, "{most:?} of 16 units");
    }

    #[tokio::test]
    async fn files_that_were_not_all_read_are_an_error() {
        let read = |take: &mut dyn FnMut(Document) -> bool| -> io::Result<()> {
            take(document(0, 1));
            panic!("a reader of archives gave up");
        };
        let mut files = start_with(BOUNDS, read, |document, _| document.name);
        assert_eq!(files.next().await.unwrap().as_deref(), Some("0"));
        assert!(files.next().await.is_err());
    }

    #[tokio::test]
    async fn reading_ends_when_nobody_takes_the_files() {
        let (ended, end) = tokio::sync::oneshot::channel();
        let read = |take: &mut dyn FnMut(Document) -> bool| {
            while take(document(0, 4 * UNIT_BYTES)) {}
            let _ = ended.send(());
            Ok(())
        };
        let mut files = start_with(BOUNDS, read, |document, permit| (document, permit));
        drop(files.next().await.unwrap());
        drop(files);
        end.await.unwrap();
    }
}
