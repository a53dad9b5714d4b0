//! Selections, the latest period, policies and confirmed figures, against a plain model: random uploads of several
//! sources, of which some have no figures, with periods that overlap and further dimensions.

mod store;

use std::collections::{BTreeMap, BTreeSet};

use almanac::{
    ledger::plan::WriteRequest,
    model::{
        id::{EntityId, IndicatorId, Revision, SourceId},
        period::Period,
        series::{Dimensions, Horizon, SeriesKey},
        time::Date,
    },
    query::{
        AsOf, QueryError, Snapshot,
        chosen::FigurePosition,
        figures::{FigureQuery, Observation},
        policy::Policy,
        series::{Selection, SeriesPosition, Step},
    },
};
use store::{Store, definitions};

use crate::support::{
    Dice, long,
    uploads::{self, ListedUpload},
};

const INDICATORS: [&str; 2] = ["I.ONE", "I.TWO"];

/// The last one never has figures.
const ENTITIES: [&str; 4] = ["AAA", "BBB", "CCC", "EMPTY"];

const GROUP: &str = "GROUP";

/// In order of precedence, but for the first two; the last one never has figures.
const SOURCES: [&str; 4] = ["first", "second", "third", "silent"];

const PERIODS: [&str; 7] = ["2019/2023", "2020", "2023", "2023-Q4", "2022/2023", "2024", "2023-12-31"];

const DIMENSIONS: [&[(&str, &str)]; 4] = [&[], &[("SEX", "F")], &[("SEX", "M")], &[("AGE", "Y"), ("SEX", "F")]];

const DAYS: usize = 6;

/// (indicator, entity, source, dimensions, period), by index.
type Key = (usize, usize, usize, usize, usize);

/// A figure of the model: its value and the newest day that published it.
type Known = BTreeMap<Key, (u32, usize)>;

/// A whole release replaces an indicator of a source.
type RandomUpload = ListedUpload<Key, (u32, usize), (usize, usize)>;

fn known_at(uploads: &[RandomUpload], revision: u64, day: usize) -> Known {
    uploads::known_at(uploads, revision, day as i32, |pair, key| (key.0, key.2) == *pair)
}

fn indicator(at: usize) -> IndicatorId {
    IndicatorId::new(INDICATORS[at]).unwrap()
}

fn entity(at: usize) -> EntityId {
    EntityId::new(ENTITIES[at]).unwrap()
}

fn source(at: usize) -> SourceId {
    SourceId::new(SOURCES[at]).unwrap()
}

fn dimensions(at: usize) -> Dimensions {
    Dimensions::new(DIMENSIONS[at].iter().copied()).unwrap()
}

fn period(at: usize) -> Period {
    Period::parse(PERIODS[at]).unwrap()
}

fn day(number: usize) -> Date {
    Date::from_days(20_000 + number as i32).unwrap()
}

fn series(key: Key) -> SeriesKey {
    SeriesKey {
        indicator: indicator(key.0),
        entity: entity(key.1),
        source: source(key.2),
        dimensions: dimensions(key.3),
    }
}

/// The last day on which an entity is a member of the group: BBB has no end, CCC is no member.
fn member_until(entity: usize) -> Option<usize> {
    [Some(2), Some(DAYS), None, Some(DAYS)][entity]
}

fn some_of(dice: &mut Dice, below: usize) -> Vec<usize> {
    if dice.once_in(2) {
        return Vec::new();
    }
    let chosen: BTreeSet<usize> = (0..1 + dice.below(2)).map(|_| dice.below(below)).collect();
    chosen.into_iter().collect()
}

/// A random selection, and whether it admits a key of the model.
fn selection(dice: &mut Dice, today: usize) -> (Selection, impl Fn(&Key) -> bool + use<>) {
    let indicators = [vec![0], vec![1], vec![0, 1]][dice.below(3)].clone();
    let entities = some_of(dice, ENTITIES.len());
    let sources = some_of(dice, SOURCES.len());
    let member_day = [None, Some(None), Some(Some(dice.below(DAYS)))][dice.below(3)];
    let wanted: Vec<(String, String)> =
        [vec![], vec![("SEX", "F")], vec![("SEX", "F"), ("SEX", "M")], vec![("SEX", "F"), ("AGE", "Y")]][dice.below(4)]
            .iter()
            .map(|(id, code)| ((*id).to_owned(), (*code).to_owned()))
            .collect();
    let from = dice.once_in(3).then(|| period(1));
    let given = Selection {
        indicators: indicators.iter().map(|at| indicator(*at)).collect(),
        entities: entities.iter().map(|at| entity(*at)).collect(),
        members_of: member_day.map(|given| (EntityId::new(GROUP).unwrap(), given.map(day))),
        sources: sources.iter().map(|at| source(*at)).collect(),
        dimensions: wanted.clone(),
        from,
        latest_periods: [None, Some(1), Some(2)][dice.below(3)],
        ..Selection::default()
    };
    let admits = move |key: &Key| {
        let has: BTreeMap<&str, &str> = DIMENSIONS[key.3].iter().copied().collect();
        let dimensions = wanted.iter().all(|(id, _)| {
            wanted.iter().any(|(other, code)| other == id && has.get(id.as_str()) == Some(&code.as_str()))
        });
        let member =
            member_day.is_none_or(|given| member_until(key.1).is_some_and(|last| given.unwrap_or(today) <= last));
        indicators.contains(&key.0)
            && (entities.is_empty() || entities.contains(&key.1))
            && (sources.is_empty() || sources.contains(&key.2))
            && dimensions
            && member
            && from.is_none_or(|from| period(key.4).start() >= from.start())
    };
    (given, admits)
}

fn recency(at: usize) -> (Date, Date) {
    (period(at).end(), period(at).start())
}

/// Keeps the latest periods in each group.
fn keep_latest<G: Ord>(known: &mut Known, latest: Option<u32>, group: impl Fn(&Key) -> G) {
    let Some(latest) = latest else { return };
    let mut periods: BTreeMap<G, BTreeSet<(Date, Date)>> = BTreeMap::new();
    for key in known.keys() {
        periods.entry(group(key)).or_default().insert(recency(key.4));
    }
    known.retain(|key, _| periods[&group(key)].iter().rev().take(latest as usize).any(|kept| *kept == recency(key.4)));
}

/// A figure, in a form for both the store and the model.
fn as_text(key: Key, (value, last): (u32, usize)) -> (SeriesKey, Period, String, Date) {
    (series(key), period(key.4), value.to_string(), day(last))
}

fn number(row: &almanac::model::series::FigureVersion) -> String {
    match &row.value().unwrap().figure {
        almanac::model::value::Figure::Number(number) => number.text(),
        other => panic!("{other:?}"),
    }
}

fn of_observation(figure: &Observation) -> (SeriesKey, Period, String, Date) {
    (figure.series.clone(), figure.version.period, number(&figure.version), figure.last_released.unwrap())
}

fn sorted<T: Ord>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.into_iter().collect();
    items.sort();
    items
}

fn precedence(key: &Key) -> u32 {
    [5, 1, 9, 0][key.2]
}

/// The figure that a policy puts first, of one key.
fn best(policy: Policy, figures: &[(Key, (u32, usize))]) -> (Key, (u32, usize)) {
    let order = |(key, (_, last)): &(Key, (u32, usize))| match policy {
        Policy::Default1 => (precedence(key), DAYS - last),
        Policy::Newest1 => ((DAYS - last) as u32, precedence(key) as usize),
    };
    *figures.iter().min_by_key(|figure| order(figure)).unwrap()
}

/// Whole series, in small pages.
fn check_series(dice: &mut Dice, snapshot: &Snapshot, given: &Selection, known: &Known) {
    let mut expected = known.clone();
    keep_latest(&mut expected, given.latest_periods, |key| (key.0, key.1, key.2, key.3));
    let size = 1 + dice.below(4);
    let mut found = Vec::new();
    let mut after: Option<SeriesPosition> = None;
    loop {
        let mut page = Vec::new();
        'page: for current in snapshot.series(given, after).filter_map(|step| step.unwrap().found()) {
            for figure in current.figures {
                after = Some((current.ids, Some(figure.version.period)));
                page.push((current.key.clone(), figure.version.period, number(&figure.version), figure.last_released));
                if page.len() == size {
                    break 'page;
                }
            }
        }
        if page.is_empty() {
            break;
        }
        found.extend(page);
        assert!(found.len() <= expected.len(), "pages repeat figures, or tell of others");
    }
    assert_eq!(sorted(found), sorted(expected.iter().map(|(key, known)| as_text(*key, *known))), "{given:?}");

    let mut summaries = Vec::new();
    let mut after = None;
    while let Some(summary) = snapshot.list_series(given, after).find_map(|step| step.unwrap().found()) {
        after = Some(summary.ids);
        summaries.push((summary.key, summary.first, summary.last, summary.figures, summary.newest_release));
    }
    let mut by_series: BTreeMap<SeriesKey, Vec<(usize, usize)>> = BTreeMap::new();
    for (key, (_, last)) in &expected {
        by_series.entry(series(*key)).or_default().push((key.4, *last));
    }
    let expected = by_series.into_iter().map(|(key, figures)| {
        let first = figures.iter().map(|(at, _)| period(*at)).min().unwrap();
        let last = figures.iter().map(|(at, _)| *at).max_by_key(|at| recency(*at)).unwrap();
        let newest = figures.iter().map(|(_, last)| day(*last)).max().unwrap();
        (key, first, period(last), figures.len() as u64, newest)
    });
    assert_eq!(sorted(summaries), sorted(expected), "{given:?}");
}

/// One row a figure, in small pages.
fn check_selected(dice: &mut Dice, snapshot: &Snapshot, given: &Selection, known: &Known, policy: Policy) {
    let mut expected = known.clone();
    keep_latest(&mut expected, given.latest_periods, |key| (key.0, key.1, key.3));
    let mut by_key: BTreeMap<_, Vec<(Key, (u32, usize))>> = BTreeMap::new();
    for (key, known) in &expected {
        by_key.entry((key.0, key.1, key.3, key.4)).or_default().push((*key, *known));
    }
    let size = 1 + dice.below(4);
    let mut found = Vec::new();
    let mut after: Option<FigurePosition> = None;
    loop {
        let steps = snapshot.selected_figures(given, policy, after).map(Result::unwrap);
        let page: Vec<_> = steps.filter_map(Step::found).take(size).collect();
        let Some((last, _)) = page.last() else { break };
        assert!(page.iter().all(|(position, _)| after.is_none_or(|after| after < *position)));
        after = Some(*last);
        found.extend(page.iter().map(|(_, figure)| of_observation(figure)));
    }
    let expected = by_key.values().map(|figures| best(policy, figures)).map(|(key, known)| as_text(key, known));
    assert_eq!(sorted(found), sorted(expected), "{given:?} {policy:?}");
}

/// A single figure, of the latest period or of a given one. Returns whether a confirmation decides the answer.
fn check_figure(dice: &mut Dice, snapshot: &Snapshot, known: &Known, policy: Policy) -> bool {
    let mut of = dice.below(2);
    let mut at = dice.below(3);
    let mut with = if dice.once_in(2) { 0 } else { dice.below(4) };
    let only = dice.once_in(3).then(|| dice.below(SOURCES.len()));
    let mut wanted = dice.once_in(3).then(|| dice.below(PERIODS.len()));
    // Half of the figures exist.
    let there: Vec<&Key> = known.keys().collect();
    if !there.is_empty() && dice.once_in(2) {
        let key = *dice.pick(&there);
        (of, at, with) = (key.0, key.1, key.3);
        wanted = wanted.map(|_| key.4);
    }
    let admitted = |key: &Key| (key.0, key.1) == (of, at) && only.is_none_or(|only| key.2 == only);
    let candidates: Vec<_> =
        known.iter().map(|(key, known)| (*key, *known)).filter(|(key, _)| admitted(key) && key.3 == with).collect();
    let latest = candidates.iter().map(|(key, _)| key.4).max_by_key(|at| recency(*at));
    let asked = wanted.or(latest);
    let figures: Vec<_> = candidates.iter().copied().filter(|(key, _)| Some(key.4) == asked).collect();
    let query = FigureQuery {
        indicator: indicator(of),
        entity: entity(at),
        period: wanted.map(period),
        dimensions: dimensions(with),
        policy,
        source: only.map(source),
    };
    match snapshot.figure(&query) {
        Ok(found) => {
            let (key, best) = best(policy, &figures);
            assert_eq!(of_observation(&found.selected), as_text(key, best), "{query:?}");
            let all = found.alternatives.iter().chain([&found.selected]).map(of_observation);
            assert_eq!(sorted(all), sorted(figures.iter().map(|(key, known)| as_text(*key, *known))), "{query:?}");
            let newer = |other: &Observation| other.version.released > found.selected.version.released;
            return policy == Policy::Newest1 && found.alternatives.iter().any(newer);
        }
        Err(QueryError::OtherDimensions { known: listed, .. }) => {
            assert!(candidates.is_empty());
            let others = known.keys().filter(|key| admitted(key)).map(|key| dimensions(key.3));
            assert_eq!(listed, others.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>());
        }
        Err(QueryError::NoFigure { .. }) => {
            assert!(figures.is_empty(), "{query:?}");
            assert!(!candidates.is_empty() || !known.keys().any(admitted), "other dimensions are named");
        }
        Err(other) => panic!("{other}"),
    }
    false
}

#[test]
fn any_selection_answers_as_a_plain_model_does() {
    let mut dice = Dice::new("selections");
    let mut published_again = 0;
    for _ in 0..if long() { 200 } else { 20 } {
        let store = Store::new();
        store.write(WriteRequest::Define(definitions()));
        let mut uploads: Vec<RandomUpload> = Vec::new();
        for _ in 0..1 + dice.below(20) {
            uploads.push(store.upload(&mut dice, &uploads));
        }
        for _ in 0..40 {
            // Most figures are known at the last revision and the last day.
            let late = |dice: &mut Dice, count| if dice.once_in(2) { count - 1 } else { dice.below(count) };
            let revision = uploads[late(&mut dice, uploads.len())].revision;
            let today = late(&mut dice, DAYS);
            let horizon = Horizon { revision: Revision(revision), released: day(today) };
            let snapshot = store.reader.at(AsOf::Pinned(horizon)).unwrap();
            let known = known_at(&uploads, revision, today);
            let policy = *dice.pick(&[Policy::Default1, Policy::Newest1]);
            let (given, admits) = selection(&mut dice, today);
            let admitted: Known =
                known.iter().filter(|(key, _)| admits(key)).map(|(key, known)| (*key, *known)).collect();
            check_series(&mut dice, &snapshot, &given, &admitted);
            check_selected(&mut dice, &snapshot, &given, &admitted, policy);
            for _ in 0..5 {
                published_again += usize::from(check_figure(&mut dice, &snapshot, &known, policy));
            }
        }
        store.writer.stop();
    }
    println!("{published_again} figures answered because they were published again");
    assert!(published_again > 0, "the dice left something out");
}
