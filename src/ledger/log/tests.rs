//! One suite for every ledger, and what only the one in the engine does.

use super::*;
use crate::{
    model::{
        change::{Cause, Counts},
        time::Instant,
    },
    store::memory::MemoryDisk,
};

fn draft(revision: u64, pages: u32) -> Draft {
    let commit = Commit {
        revision: Revision(revision),
        recorded: Instant(revision as i64),
        author: "test".into(),
        cause: Cause::FirstRelease,
        note: String::new(),
        released: None,
        document_sha256: String::new(),
        counts: Counts::default(),
        request_id: Some(RequestId::new(&format!("request-{revision}")).unwrap()),
    };
    Draft { commit, pages, changes: 0, totals: Totals::default() }
}

/// One suite for every ledger; `reopen` gives the same ledger as a restart would.
fn suite(mut ledger: Box<dyn Ledger>, mut reopen: impl FnMut(Box<dyn Ledger>) -> Box<dyn Ledger>) {
    assert_eq!(ledger.head(), Revision::ZERO);
    // The third commit is long enough to be written before it is sealed.
    for (revision, pages) in [(1, 1), (2, 0), (3, 40)] {
        (0..pages).for_each(|page| ledger.append(page, vec![revision as u8; 10_000]).unwrap());
        assert_eq!(ledger.head(), Revision(revision - 1), "appended is not sealed");
        let receipt = Receipt {
            revision: Revision(revision),
            content: [revision as u8; 32],
            findings: Vec::new(),
            edition: None,
        };
        let previous = ledger.chain(Revision(revision - 1)).unwrap();
        let header = ledger.seal(&draft(revision, pages), Some(&receipt)).unwrap();
        assert_eq!(ledger.head(), Revision(revision));
        assert_eq!(header.draft(), draft(revision, pages));
        assert!(header.continues(previous).unwrap() && !header.continues([1; 32]).unwrap());
        let mut content = ContentHash::default();
        (0..pages).for_each(|_| content.add(&[revision as u8; 10_000]));
        assert_eq!(header.content, content.finish());
        ledger = reopen(ledger);
        assert_eq!(ledger.chain(Revision(revision)).unwrap(), header.chain);
        assert_eq!(ledger.header(Revision(revision)).unwrap().unwrap(), header);
        assert_eq!(ledger.receipt(&RequestId::new(&format!("request-{revision}")).unwrap()).unwrap(), Some(receipt));
    }
    assert_eq!(ledger.read(Revision(3), 39).unwrap().unwrap(), vec![3; 10_000]);
    assert_eq!(ledger.read(Revision(3), 40).unwrap(), None);
    assert_eq!(ledger.header(Revision(4)).unwrap(), None);

    // What is not sealed is gone, by choice or by a crash.
    (0..40).for_each(|page| ledger.append(page, vec![9; 10_000]).unwrap());
    ledger.abandon().unwrap();
    assert_eq!(ledger.read(Revision(4), 0).unwrap(), None);
    (0..40).for_each(|page| ledger.append(page, vec![9; 10_000]).unwrap());
    ledger = reopen(ledger);
    assert_eq!(ledger.head(), Revision(3));
    assert_eq!(ledger.wait(Revision(3), Duration::ZERO), Revision(3));
    assert_eq!(ledger.wait(Revision(2), Duration::from_secs(9)), Revision(3));
    ledger.abandon().unwrap();
    ledger.append(0, vec![4; 10]).unwrap();
    let header = ledger.seal(&draft(4, 1), None).unwrap();
    let mut content = ContentHash::default();
    content.add(&[4; 10]);
    assert_eq!(header.content, content.finish(), "pages of the abandoned commit are not part of it");
    assert!(header.continues(ledger.chain(Revision(3)).unwrap()).unwrap());
    assert_eq!(ledger.read(Revision(4), 0).unwrap().unwrap(), vec![4; 10]);
    assert_eq!(ledger.read(Revision(4), 1).unwrap(), None, "a page of the abandoned commit showed through");

    // Below the floor headers and receipts stay, pages go: from when it is raised, removed or not.
    assert_eq!(ledger.floor(), Revision(1));
    ledger.raise_floor(Revision(4)).unwrap();
    for dropped in [false, true] {
        if dropped {
            while ledger.drop_below_floor().unwrap() {}
        }
        ledger = reopen(ledger);
        assert_eq!((ledger.floor(), ledger.head()), (Revision(4), Revision(4)));
        assert_eq!(ledger.read(Revision(3), 39).unwrap(), None);
        assert_eq!(ledger.header(Revision(3)).unwrap().unwrap().draft(), draft(3, 40));
        assert!(ledger.receipt(&RequestId::new("request-3").unwrap()).unwrap().is_some());
        assert_eq!(ledger.read(Revision(4), 0).unwrap().unwrap(), vec![4; 10]);
    }
    ledger.raise_floor(Revision(2)).unwrap();
    assert_eq!(ledger.floor(), Revision(4), "the floor only rises");
}

#[test]
fn the_ledger_in_memory_keeps_the_contract() {
    suite(Box::new(MemoryLedger::default()), |ledger| ledger);
}

#[test]
fn the_ledger_keeps_the_contract_through_power_cuts() {
    let disk = MemoryDisk::default();
    let open = || StoreLedger::open(Arc::new(Engine::in_memory(disk.clone()))).unwrap();
    suite(Box::new(open()), |ledger| {
        drop(ledger);
        disk.cut_power(0);
        Box::new(open())
    });
}

/// Found by a simulated world: a commit whose flush failed was seen after a restart, and gone after a power cut.
#[test]
fn what_a_restart_finds_is_durable_before_it_is_told() {
    let disk = MemoryDisk::default();
    let open = || StoreLedger::open(Arc::new(Engine::in_memory(disk.clone())));
    let ledger = open().unwrap();
    ledger.append(0, vec![1; 10]).unwrap();
    disk.fail_after(1);
    assert!(ledger.seal(&draft(1, 1), None).is_err(), "written, not flushed");
    assert_eq!(ledger.head(), Revision::ZERO);
    assert!(open().is_err(), "nobody knows what is on this disk");
    disk.fail_after(u32::MAX);
    assert_eq!(open().unwrap().head(), Revision(1));
    disk.cut_power(0);
    assert_eq!(open().unwrap().head(), Revision(1));
}

#[test]
fn the_ledger_in_the_engine_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let open = || StoreLedger::open(Arc::new(Engine::open(folder.path()).unwrap())).unwrap();
    let history = open().history();
    suite(Box::new(open()), |ledger| {
        drop(ledger);
        let again = open();
        assert_eq!(again.history(), history);
        Box::new(again)
    });
}
