//! The answers of a folder as lines of text, in the form in which Almanac 0.1 wrote down its own.

use super::edition_at;
use crate::{
    model::{
        change::Commit,
        edition::Edition,
        id::{EntityId, IndicatorId, Revision},
        series::{FigureVersion, SeriesKey},
        time::Date,
        value::{Figure, Value},
    },
    query::{
        Snapshot,
        figures::Observation,
        series::Selection,
        snapshot::{AsOf, Reader},
        versions::VersionsQuery,
    },
};

const INDICATORS: [&str; 2] = ["RD", "PAT"];
const ENTITIES: [&str; 4] = ["CHN", "USA", "JPN", "KOR"];
const EDITIONS: [(&str, &str); 6] = [
    ("clusters", "2022"),
    ("clusters", "2023"),
    ("clusters", "2024"),
    ("index", "2023"),
    ("index", "2024"),
    ("index", "2025"),
];

fn figure(value: Option<&Value>) -> String {
    match value.map(|value| &value.figure) {
        None => "none".to_owned(),
        Some(Figure::Missing(_)) => "missing".to_owned(),
        Some(Figure::Number(number)) => number.text(),
    }
}

fn version(key: &SeriesKey, row: &FigureVersion) -> String {
    let dimensions = if key.dimensions.as_str().is_empty() { "-" } else { key.dimensions.as_str() };
    let figure = figure(row.value());
    let FigureVersion { period, released, revision, .. } = row;
    format!("{} {} {} {dimensions} {period} {figure} {released} {revision}", key.indicator, key.entity, key.source)
}

pub(super) fn versions(snapshot: &Snapshot) -> Vec<String> {
    let mut lines = Vec::new();
    for indicator in INDICATORS {
        for entity in ENTITIES {
            let indicator = IndicatorId::new(indicator).unwrap();
            let entity = EntityId::new(entity).unwrap();
            // Not every folder knows them.
            let query = VersionsQuery { indicator, entity, period: None, source: None, dimensions: Vec::new() };
            let mut found = Vec::new();
            let take = |observation: Observation| {
                found.push(format!("version {}", version(&observation.series, &observation.version)));
                true
            };
            if snapshot.versions(&query, None, take).is_ok() {
                lines.extend(found);
            }
        }
    }
    lines
}

pub(super) fn commits(reader: &Reader) -> Vec<String> {
    let mut lines = Vec::new();
    for revision in 1..=reader.head().0 {
        let Commit { recorded, cause, note, request_id, released, .. } = &*reader.commit(Revision(revision)).unwrap();
        let request = request_id.as_ref().map_or("-".to_owned(), ToString::to_string);
        let released = released.map_or("-".to_owned(), |day| day.to_string());
        let line = format!("commit {revision} {} {cause:?} {request} {released} {note}", recorded.0);
        lines.push(line.trim_end().to_owned());
    }
    lines
}

pub(super) fn figures(snapshot: &Snapshot, at: &str) -> Vec<String> {
    let indicators = INDICATORS.map(|id| IndicatorId::new(id).unwrap()).to_vec();
    let selection = Selection { indicators, ..Selection::default() };
    let mut lines = Vec::new();
    for series in snapshot.series(&selection, None).filter_map(|step| step.unwrap().found()) {
        for figure in series.figures {
            lines.push(format!("figure {at} {}", version(&series.key, &figure.version)));
        }
    }
    lines
}

pub(super) fn editions(snapshot: &Snapshot, at: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for (ranking, id) in EDITIONS {
        let Some(edition) = edition_at(snapshot, ranking, id).filter(|edition| edition.stands()) else { continue };
        let Edition { status, methodology, released, revision, .. } = &*edition;
        lines.push(format!("edition {at} {id} {status:?} {methodology} {released} {revision}"));
        for entry in &snapshot.view().table(&edition).unwrap().entries {
            let score = figure(entry.score.as_ref());
            let rank = entry.rank.unwrap();
            lines.push(format!("entry {at} {id} {rank} {} {score} {}", entry.entity, entry.published_name));
        }
    }
    lines
}

/// The point of history that a line names: `rev:REVISION` or a release date.
pub(super) fn point(at: &str) -> AsOf {
    match at.strip_prefix("rev:") {
        Some(revision) => AsOf::Revision(Revision(revision.parse().unwrap())),
        None => AsOf::Released(Date::parse(at).unwrap()),
    }
}
