use proptest::prelude::*;

use super::{
    super::{Engine, insert},
    *,
};
use crate::{
    model::{
        series::Statement,
        value::{Number, Value},
    },
    store::memory::MemoryDisk,
};

const IDS: SeriesIds = SeriesIds { indicator: 1, entity: 2, source: 3, dimensions: 0 };

fn year(year: i16) -> Period {
    Period::year(year).unwrap()
}

/// Versions of one year: of a few values, so that releases repeat figures, and some retracted.
fn any_versions(most: usize) -> impl Strategy<Value = Vec<FigureVersion>> {
    let statement = prop_oneof![
        8 => (0i64..3).prop_map(|value| {
            Statement::Figure(Value::number(Number::Decimal { mantissa: value * 1_000_000_007, decimals: 3 }))
        }),
        1 => Just(Statement::NoFigure),
        2 => Just(Statement::Retracted),
    ];
    let version = (1u64..400, 0i32..60, statement).prop_map(|(revision, day, statement)| FigureVersion {
        period: year(2_000),
        revision: Revision(revision),
        released: Date::from_days(15_000 + day).unwrap(),
        statement,
    });
    proptest::collection::vec(version, 0..most)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    /// Model: the answer from all versions of the period.
    #[test]
    fn what_is_read_answers_as_all_versions_do(
        short in any_versions(12),
        long in any_versions(2_500),
        is_long in any::<bool>(),
        horizons in proptest::collection::vec((0u64..420, 0i32..65), 1..12),
    ) {
        let mut versions = if is_long { long } else { short };
        versions.sort_by_key(FigureVersion::name);
        versions.dedup_by_key(|version| version.name());
        let engine = Engine::in_memory(MemoryDisk::default());
        // Other periods before it and after it in the same blocks.
        let mut all = versions.clone();
        for other in [year(1_999), year(2_001)] {
            all.extend(versions.iter().take(20).cloned().map(|version| FigureVersion { period: other, ..version }));
        }
        all.sort_by_key(FigureVersion::name);
        let mut batch = engine.batch();
        insert(&engine, &mut batch, IDS, all.clone()).unwrap();
        batch.write().unwrap();
        let found = FigureBlocks::read_from(&engine, IDS.indicator, IDS.entity).next();
        prop_assume!(found.is_some());
        let (entity, blocks) = found.unwrap().unwrap();
        prop_assert!(entity == IDS.entity && blocks.is_some());
        let reader = FigureReader::new(&engine, IDS.indicator, IDS.entity, blocks);
        let latest = all.last().map(|version| (version.period.end(), version.period.start()));
        prop_assert_eq!(reader.latest_period(IDS).unwrap(), latest);
        for (revision, day) in horizons {
            let horizon = Horizon { revision: Revision(revision), released: Date::from_days(15_000 + day).unwrap() };
            let found = reader.answering(IDS, year(2_000), horizon).unwrap();
            prop_assert_eq!(state_at(&found, horizon), state_at(&versions, horizon));
            prop_assert_eq!(newest_at(&found, horizon), newest_at(&versions, horizon));
        }
        let found = reader.answering(IDS, year(2_000), Horizon::at(Revision::MAX)).unwrap();
        prop_assert!(found.len() <= 2 || versions.len() < 100, "{} of {} versions", found.len(), versions.len());
    }
}
