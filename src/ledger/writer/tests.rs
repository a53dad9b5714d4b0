//! Writes that come at one time, on a disk in memory: they do what the same writes do one after the other, and what was told to anybody
//! survives whatever a failing disk and a power cut leave.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use proptest::prelude::*;

use super::*;
use crate::{
    ledger::{
        Ledger,
        apply::catch_up,
        plan::WriteRequest,
        testing::{NOW, day, entity, indicator, source},
        upload::{Mode, Upload},
    },
    model::{
        catalog::{Definition, EntityKind},
        id::{EntityId, IndicatorId, SourceId},
        period::Period,
        series::{Dimensions, SeriesKey},
        value::{Figure, Notes, Number, Value},
    },
    store::{Engine, memory::MemoryDisk, view::View},
};

/// One write of a test.
#[derive(Debug, Clone)]
enum Step {
    /// A figure of an entity, of 0 or 1; entity 2 is not defined, unless [`Step::Define`] came before.
    Figure {
        entity: u8,
        value: u8,
        validate_only: bool,
        request: Option<u8>,
    },
    /// The same, expecting that head is so far above that before all steps.
    Expecting {
        above: u64,
        value: u8,
    },
    Define {
        entity: u8,
    },
    /// So many bytes of pages that it takes a sync of its own.
    Long,
    /// Takes back the commit that many before the one that it would be.
    Revert {
        back: u64,
    },
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0u8..3, 0u8..3, any::<bool>(), proptest::option::of(0u8..3)).prop_map(|(entity, value, dry, request)| {
            Step::Figure { entity, value, validate_only: dry && value == 0, request }
        }),
        3 => (0u64..4, 0u8..3).prop_map(|(above, value)| Step::Expecting { above, value }),
        2 => (0u8..4).prop_map(|entity| Step::Define { entity }),
        1 => Just(Step::Long),
        1 => (1u64..3).prop_map(|back| Step::Revert { back }),
    ]
}

fn name(entity: u8) -> String {
    format!("E{entity}")
}

fn upload(entity: u8, points: Vec<(Period, Option<Value>)>) -> WriteRequest {
    let key = SeriesKey {
        indicator: IndicatorId::new("I").unwrap(),
        entity: EntityId::new(&name(entity)).unwrap(),
        source: SourceId::new("s").unwrap(),
        dimensions: Dimensions::default(),
    };
    let mut upload = Upload::new(day(1), Mode::Merge, BTreeSet::new(), &std::env::temp_dir());
    upload.add(key, &points).unwrap();
    WriteRequest::Ingest { upload, definitions: Vec::new() }
}

fn figure(value: u8) -> Vec<(Period, Option<Value>)> {
    vec![(Period::year(2_000).unwrap(), Some(Value::number(Number::Decimal { mantissa: value.into(), decimals: 0 })))]
}

fn long_figures() -> Vec<(Period, Option<Value>)> {
    let mut points = Vec::new();
    for at in 0..100 {
        let number = Figure::Number(Number::Decimal { mantissa: at, decimals: 0 });
        let notes = Notes { comment: "x".repeat(2_000), ..Notes::default() };
        points.push((Period::year(1_900 + at as i16).unwrap(), Some(Value::new(number, notes))));
    }
    points
}

impl Step {
    /// The write of this step; `head` is that before all steps.
    fn write(&self, head: Revision) -> (WriteOptions, WriteRequest) {
        let content = |text: String| {
            let mut content = [0; 32];
            content[..text.len()].copy_from_slice(text.as_bytes());
            content
        };
        match self {
            Self::Figure { entity, value, validate_only, request } => {
                let request_id = request.map(|number| RequestId::new(&format!("r{number}")).unwrap());
                // Another value under the same request id is other content.
                let content = content(format!("{entity} {value}"));
                let options =
                    WriteOptions { request_id, validate_only: *validate_only, content, ..WriteOptions::default() };
                (options, upload(*entity, figure(*value)))
            }
            Self::Expecting { above, value } => {
                let expected_head = Some(Revision(head.0 + above));
                (WriteOptions { expected_head, ..WriteOptions::default() }, upload(0, figure(*value)))
            }
            Self::Define { entity: number } => {
                let definition = Definition::Entity(entity(&name(*number), EntityKind::Economy, "an entity"));
                (WriteOptions::default(), WriteRequest::Define(vec![definition]))
            }
            Self::Long => (WriteOptions::default(), upload(1, long_figures())),
            Self::Revert { back } => {
                let revisions = BTreeSet::from([Revision((head.0 + 2).saturating_sub(*back).max(1))]);
                (WriteOptions::default(), WriteRequest::Revert(revisions))
            }
        }
    }
}

/// Checks, whenever the writer publishes, that the commit is durable and visible.
struct Witness {
    disk: MemoryDisk,
    ledger: Arc<Ledger>,
    view: Arc<View>,
    published: Arc<Mutex<Vec<Revision>>>,
    /// How often the writer said that clients are answered.
    woken: Arc<Mutex<usize>>,
}

impl Publisher for Witness {
    fn publish(&self, commit: AppliedCommit) {
        let revision = commit.header.commit.revision;
        let is_long = commit.header.pages > 10;
        assert!(is_long || self.disk.unsynced() == 0, "{revision} was published and is not on disk");
        assert_eq!(self.view.applied(), revision, "it is visible, and nothing after it");
        assert!(self.ledger.head() >= revision);
        lock(&self.published).push(revision);
    }

    fn wake(&self) {
        *lock(&self.woken) += 1;
    }
}

/// A writer on a disk in memory.
struct Store {
    disk: MemoryDisk,
    ledger: Arc<Ledger>,
    view: Arc<View>,
    writer: Arc<Writer>,
    published: Arc<Mutex<Vec<Revision>>>,
    woken: Arc<Mutex<usize>>,
}

/// What a write was answered, in words.
type Answers = Vec<String>;

impl Store {
    fn open(disk: &MemoryDisk) -> Self {
        let engine = Arc::new(Engine::in_memory(disk.clone()));
        let ledger = Arc::new(Ledger::open(engine.clone()).unwrap());
        let view = Arc::new(View::open(engine).unwrap());
        catch_up(&ledger, &view).unwrap();
        let published: Arc<Mutex<Vec<Revision>>> = Arc::default();
        let woken: Arc<Mutex<usize>> = Arc::default();
        let witness = Witness {
            disk: disk.clone(),
            ledger: ledger.clone(),
            view: view.clone(),
            published: published.clone(),
            woken: woken.clone(),
        };
        let setup = Setup {
            clock: Clock::from_fn(|| NOW),
            offload: Offload::Simulated(Arc::new(|| Duration::from_millis(1))),
            ..Setup::default()
        };
        let writer = Arc::new(Writer::start(ledger.clone(), view.clone(), setup, witness).unwrap());
        Self { disk: disk.clone(), ledger, view, writer, published, woken }
    }

    /// A store with an indicator, a source and two entities.
    async fn new() -> Self {
        let store = Self::open(&MemoryDisk::default());
        let mut definitions = vec![indicator("I"), source("s")];
        definitions.extend((0..2).map(|at| Definition::Entity(entity(&name(at), EntityKind::Economy, "an entity"))));
        store.writer.write(WriteOptions::default(), WriteRequest::Define(definitions)).await.unwrap();
        store
    }

    /// Sends all writes at one time, or each after the answer to the one before.
    async fn run(&self, steps: &[Step], at_once: bool) -> Vec<Result<WriteAnswer, WriteError>> {
        let head = self.ledger.head();
        let writes = steps.iter().map(|step| {
            let (options, request) = step.write(head);
            self.writer.write(options, request)
        });
        if at_once {
            return futures_util::future::join_all(writes).await;
        }
        let mut answers = Vec::new();
        for write in writes {
            answers.push(write.await);
        }
        answers
    }

    /// The chain at every revision up to head.
    fn chains(&self) -> Vec<[u8; 32]> {
        (1..=self.ledger.head().0).map(|revision| self.ledger.chain(Revision(revision)).unwrap()).collect()
    }

    /// Everything on the disk but the history id.
    fn contents(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let items = self.view.engine().scan(&[], None).map(|item| item.unwrap());
        let items = items.map(|(key, value)| (key.to_vec(), value.to_vec()));
        items.filter(|(key, _)| !key.starts_with(b"Mhistory")).collect()
    }

    fn end(&self) {
        self.writer.stop();
    }
}

fn words(answers: &[Result<WriteAnswer, WriteError>]) -> Answers {
    answers.iter().map(|answer| format!("{answer:?}")).collect()
}

fn simulate<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(test)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn writes_at_one_time_do_what_they_do_one_after_the_other(steps in proptest::collection::vec(any_step(), 1..14)) {
        simulate(async {
            let alone = Store::new().await;
            let expected = words(&alone.run(&steps, false).await);
            let together = Store::new().await;
            let found = words(&together.run(&steps, true).await);
            assert_eq!(found, expected);
            assert_eq!(together.chains(), alone.chains());
            assert_eq!(together.contents(), alone.contents());
            assert_eq!(*lock(&together.published), *lock(&alone.published));
            alone.end();
            together.end();
        });
    }

    /// When the disk fails, nobody was told what may be lost, and what is left is a beginning of what was written.
    #[test]
    fn a_failing_disk_and_a_power_cut_leave_a_beginning_and_all_that_was_told(
        steps in proptest::collection::vec(any_step(), 1..10),
        operations in 0u32..30,
        kept in any::<proptest::sample::Index>(),
    ) {
        simulate(async {
            let whole = Store::new().await;
            whole.run(&steps, true).await;
            let chains = whole.chains();
            whole.end();

            let store = Store::new().await;
            store.disk.fail_after(operations);
            let answers = store.run(&steps, true).await;
            let head_told = *lock(&store.published).last().unwrap();
            let failed = store.disk.fails();
            for answer in &answers {
                match answer {
                    Ok(answer) => assert!(answer.revision <= head_told, "{answer:?} was answered, head is {head_told}"),
                    Err(WriteError::HeadMoved { head: seen, .. }) => assert!(*seen <= head_told),
                    Err(WriteError::RequestReused { revision, .. }) => assert!(*revision <= head_told),
                    Err(_) => {}
                }
            }
            assert_eq!(store.view.applied(), head_told, "readers see what subscribers were told");
            if failed && store.writer.refusal().is_some() {
                let dry = WriteOptions { validate_only: true, ..WriteOptions::default() };
                let unseen = store.writer.write(dry, upload(0, figure(9))).await;
                let has_unshown = store.ledger.newest() != head_told;
                assert_eq!(matches!(unseen, Err(WriteError::Stopped { .. })), has_unshown, "{unseen:?}");
            }
            store.end();

            store.disk.cut_power(kept.index(store.disk.unsynced() + 1));
            let after = Store::open(&store.disk);
            assert!(after.ledger.head() >= head_told, "what was told is there");
            assert_eq!(after.view.applied(), after.ledger.head());
            let left = after.chains();
            assert_eq!(left[..], chains[..left.len()], "the first commits, and no others");
            after.end();
        });
    }
}

#[test]
fn writes_that_wait_share_one_sync_and_hear_of_it_together() {
    simulate(async {
        let store = Store::new().await;
        let before = *lock(&store.woken);
        let steps: Vec<Step> = (0..20)
            .map(|value| Step::Figure { entity: value % 2, value, validate_only: false, request: None })
            .collect();
        let answers = store.run(&steps, true).await;
        let revisions: Vec<u64> = answers.iter().map(|answer| answer.as_ref().unwrap().revision.0).collect();
        assert_eq!(revisions, (2..=21).collect::<Vec<_>>(), "each has a revision of its own");
        assert_eq!(*lock(&store.woken) - before, 1, "they share one sync");
        store.end();
    });
}

#[test]
fn when_the_shared_sync_fails_all_writes_that_share_it_are_refused_and_none_is_seen() {
    simulate(async {
        let store = Store::new().await;
        let steps: Vec<Step> = (0..5)
            .map(|value| Step::Figure { entity: 0, value, validate_only: value == 4, request: Some(value % 2) })
            .collect();
        // A batch for each of the writes, but for those under a request id that is taken; then the sync.
        store.disk.fail_after(2);
        let answers = store.run(&steps, true).await;
        assert!(answers.iter().all(|answer| matches!(answer, Err(WriteError::Stopped { .. }))), "{answers:?}");
        assert_eq!((store.ledger.head(), store.view.applied()), (Revision(1), Revision(1)));
        assert_eq!(*lock(&store.published), [Revision(1)]);
        assert_eq!(store.ledger.newest(), Revision(3), "the writes before the sync went well");
        store.end();
    });
}
