//! Any bytes from the disk are decoded or refused: the corpus of the fuzz targets, and random changes of it.

use std::{fs, path::PathBuf};

use almanac::{
    ledger::{
        Ledger,
        backup::BackupWriter,
        page::{LedgerPage, PAGE_CHANGES_MAX, PageEncoder},
        record::{Record, RecordedVersion},
    },
    model::{
        id::{EntityId, IndicatorId, Revision, SourceId},
        period::Period,
        series::{Dimensions, FigureVersion, SeriesKey, Statement},
        time::Date,
    },
    proto::*,
    store::{Engine, bytes::unframe},
};

use crate::support::{Dice, fixture::*, long, process::Process};

#[path = "../fuzz/targets.rs"]
mod targets;

fn folder(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target)
}

/// The samples of a fuzz target, by name.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let files = fs::read_dir(folder(target)).unwrap().map(Result::unwrap);
    let mut samples: Vec<_> =
        files.map(|file| (file.file_name().to_string_lossy().into_owned(), fs::read(file.path()).unwrap())).collect();
    samples.sort();
    assert!(!samples.is_empty(), "no corpus of {target}");
    samples
}

/// Changes bytes as damage or an attacker would: flips, numbers at their bounds, cuts, repeats.
fn change(bytes: &mut Vec<u8>, dice: &mut Dice) {
    for _ in 0..=dice.below(4) {
        if bytes.is_empty() {
            bytes.push(dice.next() as u8);
        }
        let at = dice.below(bytes.len());
        match dice.below(8) {
            0 | 1 => bytes[at] ^= 1 << dice.below(8),
            2 => bytes[at] = dice.next() as u8,
            3 => bytes[at] = *dice.pick(&[0, 1, 0x7f, 0x80, 0xfe, 0xff]),
            4 => bytes.truncate(at),
            5 => bytes.insert(at, dice.next() as u8),
            6 => {
                // The largest varint or length.
                let end = bytes.len().min(at + 1 + dice.below(9));
                bytes[at..end].fill(0xff);
            }
            _ => {
                let from = dice.below(bytes.len());
                let copied = bytes[from..bytes.len().min(from + 1 + dice.below(24))].to_vec();
                bytes.splice(at..at, copied);
            }
        }
    }
}

fn changed(samples: &[(String, Vec<u8>)], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = dice.pick(samples).1.clone();
    change(&mut bytes, dice);
    bytes
}

#[test]
fn series_blocks_are_decoded_or_refused() {
    let mut dice = Dice::new("fuzzed blocks");
    let samples = corpus("block");
    for (name, bytes) in &samples {
        targets::check_block(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    for _ in 0..if long() { 200_000 } else { 4_000 } {
        targets::block(&changed(&samples, &mut dice));
    }
}

#[test]
fn ledger_pages_are_decoded_or_refused() {
    let mut dice = Dice::new("fuzzed pages");
    let samples = corpus("page");
    for (name, bytes) in &samples {
        targets::read_page(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    for _ in 0..if long() { 200_000 } else { 4_000 } {
        targets::page(&changed(&samples, &mut dice));
    }
    // The same after the header of a bundle.
    for _ in 0..1_000 {
        let bytes = changed(&samples, &mut dice);
        let mut bundle = almanac::ledger::bundle::pack(&[bytes]).unwrap();
        targets::page(&bundle);
        change(&mut bundle, &mut dice);
        targets::page(&bundle);
    }
}

#[test]
fn a_short_page_cannot_claim_more_rows_than_a_page_has() {
    let key = SeriesKey {
        indicator: IndicatorId::new(RD).unwrap(),
        entity: EntityId::new("CHN").unwrap(),
        source: SourceId::new("bank").unwrap(),
        dimensions: Dimensions::default(),
    };
    let row = FigureVersion {
        period: Period::parse("2020").unwrap(),
        revision: Revision(1),
        released: Date::EPOCH,
        statement: Statement::NoFigure,
    };
    for (rows, whole) in
        [(&[PAGE_CHANGES_MAX][..], true), (&[PAGE_CHANGES_MAX + 1], false), (&[1 << 20], false), (&[256, 1], false)]
    {
        let mut encoder = PageEncoder::default();
        for count in rows {
            let recorded = RecordedVersion::silent(row.clone());
            encoder.add(&Record::Series(key.clone(), vec![recorded; *count])).unwrap();
        }
        let bytes = encoder.finish();
        assert!(bytes.len() < 200);
        assert_eq!(LedgerPage::decode(&bytes).is_ok(), whole, "{rows:?}");
    }
}

#[test]
fn backups_are_restored_or_refused() {
    let mut dice = Dice::new("fuzzed backups");
    let samples = corpus("backup");
    for (name, bytes) in &samples {
        targets::restore_bytes(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(targets::mend(bytes), *bytes, "what is whole is not mended");
    }
    for _ in 0..if long() { 20_000 } else { 400 } {
        let _ = targets::restore_bytes(&changed(&samples, &mut dice));
    }
    // Changes inside a part, with right checksums: they reach the ledger and the view.
    for _ in 0..if long() { 5_000 } else { 120 } {
        let (_, bytes) = dice.pick(&samples).clone();
        let inside = dice.pick(&targets::bodies(&bytes)).clone();
        let mut body = bytes[inside.clone()].to_vec();
        change(&mut body, &mut dice);
        let mut file = bytes[..inside.start - 9].to_vec();
        targets::put_part(&mut file, bytes[inside.start - 1], &body);
        file.extend_from_slice(&bytes[inside.end..]);
        let _ = targets::restore_bytes(&targets::mend(&file));
    }
}

/// Samples of a target in the corpus, at the most.
const SAMPLES_MAX: usize = 12;

/// Writes samples of many kinds and lengths, chosen evenly by length.
fn keep(target: &str, mut samples: Vec<Vec<u8>>) {
    let folder = folder(target);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    samples.sort_by_key(Vec::len);
    samples.dedup();
    let step = samples.len().div_ceil(SAMPLES_MAX).max(1);
    for (number, sample) in samples.iter().step_by(step).enumerate() {
        fs::write(folder.join(format!("{number:02}")), sample).unwrap();
    }
}

#[tokio::test]
#[ignore = "writes the corpus of the fuzz targets"]
async fn the_corpus_is_made_anew() {
    let sample = tempfile::tempdir().unwrap();
    Process::start_with(sample.path(), &["--sample-data"], &[]).unwrap().stop();
    let small = tempfile::tempdir().unwrap();
    let server = Process::start(small.path(), &[]).unwrap();
    let clients = server.clients().await;
    clients.define(WriteOptions::default(), catalog()).await.unwrap();
    for (day, value) in [("2024-01-01", "2.10"), ("2024-02-01", "3.6e-7")] {
        let batches = ECONOMIES.iter().map(|economy| batch(RD, economy, "bank", &[("2020", value), ("2021-06", "1")]));
        clients.ingest(released(day), batches.collect()).await.unwrap();
    }
    clients.publish(partial(edition("2024")), entries(&[1, 2, 3])).await.unwrap();
    clients.publish(correction(partial(edition("2024"))), entries(&[2, 1, 3])).await.unwrap();
    server.stop();

    let mut blocks = Vec::new();

    let mut pages = Vec::new();
    for data in [sample.path(), small.path()] {
        let engine = std::sync::Arc::new(Engine::open(data).unwrap());
        let stored = engine.scan(b"S", None).map(|item| item.unwrap().1);
        blocks.extend(stored.map(|block| unframe(targets::BLOCK_VERSION, &block).unwrap().to_vec()));
        let ledger = std::sync::Arc::new(Ledger::open(engine).unwrap());
        for revision in (1..=ledger.head().0).map(Revision) {
            let count = ledger.header(revision).unwrap().unwrap().pages;
            pages.extend((0..count).map(|page| ledger.read(revision, page).unwrap().unwrap()));
        }
        if data == small.path() {
            let mut writer = BackupWriter::new(ledger.clone(), ledger.head());
            let mut backup = Vec::new();
            while let Some(part) = writer.next_part().unwrap() {
                backup.extend(part);
            }
            keep("backup", vec![backup]);
        }
    }
    blocks.retain(|block| block.len() <= 1_500);
    pages.retain(|page| page.len() <= 4_000);
    keep("block", blocks);
    keep("page", pages);
}
