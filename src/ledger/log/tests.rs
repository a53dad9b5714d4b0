//! The contract of a ledger, through restarts of a folder and power cuts of a disk in memory.

use tempfile::TempDir;

use super::*;
use crate::{ledger::testing::commit, model::change::Commit, store::memory::MemoryDisk};

/// Long enough that a commit of forty such pages goes to the store before it is sealed.
const PAGE_BYTES: usize = 10_000;
const LONG_COMMIT_PAGES: u32 = 40;

/// Where a ledger lives. Opening it again is a restart; in memory the power is cut before.
enum Home {
    Folder(TempDir),
    Memory(MemoryDisk),
}

impl Home {
    fn both() -> [Self; 2] {
        [Self::Folder(tempfile::tempdir().unwrap()), Self::Memory(MemoryDisk::default())]
    }

    fn open(&self) -> Ledger {
        let engine = match self {
            Self::Folder(folder) => Engine::open(folder.path()).unwrap(),
            Self::Memory(disk) => {
                disk.cut_power(0);
                Engine::in_memory(disk.clone())
            }
        };
        Ledger::open(Arc::new(engine)).unwrap()
    }

    fn reopen(&self, ledger: Ledger) -> Ledger {
        drop(ledger);
        self.open()
    }
}

fn draft(revision: u64, pages: u32) -> Draft {
    let commit = Commit { request_id: Some(request(revision)), ..commit(revision) };
    Draft { commit, pages, changes: 0, totals: Totals::default() }
}

fn request(revision: u64) -> RequestId {
    RequestId::new(&format!("request-{revision}")).unwrap()
}

fn receipt(revision: u64) -> Receipt {
    Receipt { revision: Revision(revision), content: [revision as u8; 32], findings: Vec::new(), edition: None }
}

fn append(ledger: &Ledger, pages: u32, byte: u8) {
    for page in 0..pages {
        ledger.append(page, vec![byte; PAGE_BYTES]).unwrap();
    }
}

fn content_of(pages: u32, byte: u8) -> [u8; 32] {
    let mut content = ContentHash::default();
    for _ in 0..pages {
        content.add(&vec![byte; PAGE_BYTES]);
    }
    content.finish()
}

/// Seals a commit of pages that hold the number of its revision.
fn seal(ledger: &Ledger, revision: u64, pages: u32) -> Header {
    append(ledger, pages, revision as u8);
    ledger.seal(&draft(revision, pages), Some(&receipt(revision))).unwrap()
}

/// Three commits: of one page, of none, and a long one.
fn seal_three(ledger: &Ledger) {
    seal(ledger, 1, 1);
    seal(ledger, 2, 0);
    seal(ledger, 3, LONG_COMMIT_PAGES);
}

#[test]
fn a_commit_exists_once_it_is_sealed() {
    for home in Home::both() {
        let ledger = home.open();
        assert_eq!(ledger.head(), Revision::ZERO);
        append(&ledger, 1, 1);
        assert_eq!(ledger.head(), Revision::ZERO);
        ledger.seal(&draft(1, 1), None).unwrap();
        assert_eq!(ledger.head(), Revision(1));
    }
}

#[test]
fn a_header_has_the_hash_of_its_pages_and_continues_the_chain() {
    for home in Home::both() {
        let ledger = home.open();
        for (revision, pages) in [(1, 1), (2, 0), (3, LONG_COMMIT_PAGES)] {
            let previous = ledger.chain(ledger.head()).unwrap();
            let header = seal(&ledger, revision, pages);
            assert_eq!(header.draft(), draft(revision, pages));
            assert_eq!(header.content, content_of(pages, revision as u8));
            assert!(header.continues(previous).unwrap());
            assert!(!header.continues([1; 32]).unwrap());
        }
    }
}

#[test]
fn a_restart_finds_all_that_was_sealed() {
    for home in Home::both() {
        let mut ledger = home.open();
        let identity = ledger.identity();
        for (revision, pages) in [(1, 1), (2, 0), (3, LONG_COMMIT_PAGES)] {
            let header = seal(&ledger, revision, pages);
            ledger = home.reopen(ledger);
            assert_eq!(ledger.head(), Revision(revision));
            assert_eq!(ledger.chain(Revision(revision)).unwrap(), header.chain);
            assert_eq!(ledger.header(Revision(revision)).unwrap().unwrap(), header);
            assert_eq!(ledger.receipt(&request(revision)).unwrap(), Some(receipt(revision)));
        }
        assert_eq!(ledger.history(), identity.history);
        assert_eq!(ledger.secret(), identity.secret);
        let last = LONG_COMMIT_PAGES - 1;
        assert_eq!(ledger.read(Revision(3), last).unwrap().unwrap(), vec![3; PAGE_BYTES]);
        assert_eq!(ledger.read(Revision(3), last + 1).unwrap(), None);
        assert_eq!(ledger.header(Revision(4)).unwrap(), None);
    }
}

#[test]
fn pages_that_were_not_sealed_are_gone_when_abandoned_and_after_a_restart() {
    for home in Home::both() {
        let ledger = home.open();
        append(&ledger, LONG_COMMIT_PAGES, 9);
        ledger.abandon().unwrap();
        assert_eq!(ledger.read(Revision(1), 0).unwrap(), None);
        append(&ledger, LONG_COMMIT_PAGES, 9);
        let ledger = home.reopen(ledger);
        assert_eq!(ledger.head(), Revision::ZERO);
        assert_eq!(ledger.read(Revision(1), 0).unwrap(), None);
    }
}

#[test]
fn a_commit_has_none_of_the_pages_that_were_abandoned_before_it() {
    for home in Home::both() {
        let ledger = home.open();
        append(&ledger, LONG_COMMIT_PAGES, 9);
        ledger.abandon().unwrap();
        let header = seal(&ledger, 1, 1);
        assert_eq!(header.content, content_of(1, 1));
        assert!(header.continues(CHAIN_START).unwrap());
        assert_eq!(ledger.read(Revision(1), 0).unwrap().unwrap(), vec![1; PAGE_BYTES]);
        assert_eq!(ledger.read(Revision(1), 1).unwrap(), None);
    }
}

#[test]
fn pages_below_the_floor_are_not_read_whether_they_were_removed_or_not() {
    for home in Home::both() {
        let mut ledger = home.open();
        assert_eq!(ledger.floor(), Revision(1));
        seal_three(&ledger);
        seal(&ledger, 4, 1);
        ledger.raise_floor(Revision(4)).unwrap();
        for removed in [false, true] {
            while removed && ledger.drop_below_floor().unwrap() {}
            ledger = home.reopen(ledger);
            assert_eq!(ledger.floor(), Revision(4), "removed: {removed}");
            assert_eq!(ledger.head(), Revision(4), "removed: {removed}");
            assert_eq!(ledger.read(Revision(3), LONG_COMMIT_PAGES - 1).unwrap(), None, "removed: {removed}");
            assert_eq!(ledger.read(Revision(4), 0).unwrap().unwrap(), vec![4; PAGE_BYTES], "removed: {removed}");
        }
    }
}

#[test]
fn headers_and_receipts_below_the_floor_stay() {
    for home in Home::both() {
        let ledger = home.open();
        seal_three(&ledger);
        ledger.raise_floor(Revision(3)).unwrap();
        while ledger.drop_below_floor().unwrap() {}
        let ledger = home.reopen(ledger);
        assert_eq!(ledger.header(Revision(1)).unwrap().unwrap().draft(), draft(1, 1));
        assert_eq!(ledger.receipt(&request(1)).unwrap(), Some(receipt(1)));
    }
}

#[test]
fn the_floor_only_rises() {
    for home in Home::both() {
        let ledger = home.open();
        seal_three(&ledger);
        ledger.raise_floor(Revision(3)).unwrap();
        ledger.raise_floor(Revision(2)).unwrap();
        assert_eq!(ledger.floor(), Revision(3));
        assert!(ledger.raise_floor(Revision(4)).is_err(), "above head");
    }
}

/// A simulation found this: a commit whose flush failed was seen after a restart, and gone after a power cut.
#[test]
fn a_restart_makes_durable_what_it_finds_before_anybody_sees_it() {
    let disk = MemoryDisk::default();
    let ledger = Ledger::open(Arc::new(Engine::in_memory(disk.clone()))).unwrap();
    append(&ledger, 1, 1);
    disk.fail_after(1);
    assert!(ledger.seal(&draft(1, 1), None).is_err(), "the seal is written, and the flush fails");
    assert_eq!(ledger.head(), Revision::ZERO);
    let opened = Ledger::open(Arc::new(Engine::in_memory(disk.clone())));
    assert!(opened.is_err(), "the flush fails again, so nobody knows what is on this disk");
    disk.fail_after(u32::MAX);
    let opened = Ledger::open(Arc::new(Engine::in_memory(disk.clone()))).unwrap();
    assert_eq!(opened.head(), Revision(1));
    disk.cut_power(0);
    let opened = Ledger::open(Arc::new(Engine::in_memory(disk.clone()))).unwrap();
    assert_eq!(opened.head(), Revision(1));
}
