//! About how many bytes things take as sent, without encoding them: where pages are cut, and what a fold may hold.

use crate::{
    model::{
        catalog::Definition,
        change::Change,
        edition::{Edition, Entry, EntryComponent},
        value::Value,
    },
    query::state::StateRow,
};

/// A row of the state.
pub(super) fn of_row(row: &StateRow) -> usize {
    match row {
        StateRow::Figure(figure) => 160 + remarks(figure.version.value()),
        StateRow::Edition(edition) => of_edition(edition),
        StateRow::Entry(_, entry) => 160 + of_entry(entry),
        StateRow::Definition(definition) => of_definition(definition),
    }
}

/// A change.
pub(super) fn of_change(change: &Change) -> usize {
    match change {
        Change::Figure(change) => {
            let key = &change.series;
            let names = key.indicator.as_str().len() + key.entity.as_str().len() + key.source.as_str().len();
            let apart = Some(&change.recorded).filter(|recorded| change.after.as_ref() != Some(*recorded));
            let rows = [change.before.as_ref(), change.after.as_ref(), apart];
            let remarks: usize = rows.into_iter().flatten().map(|row| remarks(row.value())).sum();
            120 + names + 2 * key.dimensions.as_str().len() + remarks
        }
        Change::Entry(change) => {
            let rows = [&change.before, &change.after, &change.compared];
            160 + rows.into_iter().flatten().map(|entry| of_entry(entry)).sum::<usize>()
        }
        Change::Edition { before, after, backfilled } => {
            let others = [before, backfilled].into_iter().flatten().map(|edition| of_edition(edition));
            of_edition(after) + others.sum::<usize>()
        }
        Change::Definition(change) => {
            [&change.before, &change.after].into_iter().flatten().map(|definition| of_definition(definition)).sum()
        }
    }
}

fn remarks(value: Option<&Value>) -> usize {
    value.and_then(Value::notes).map_or(0, |notes| notes.comment.len())
}

fn of_entry(entry: &Entry) -> usize {
    let claims = entry.previous.iter().chain(&entry.disputed).map(|claim| 40 + claim.claimed_by.len());
    let texts = entry.published_name.len() + entry.note.len() + remarks(entry.score.as_ref());
    100 + texts + 20 * entry.economies.len() + of_components(&entry.components) + claims.sum::<usize>()
}

fn of_components(components: &[EntryComponent]) -> usize {
    components.iter().map(|part| 80 + remarks(part.raw.as_ref()) + remarks(part.score.as_ref())).sum()
}

fn of_edition(edition: &Edition) -> usize {
    300 + edition.title.len() + edition.note.len()
}

fn of_definition(definition: &Definition) -> usize {
    match definition {
        Definition::Indicator(indicator) => 200 + indicator.name.len() + indicator.definition.len(),
        Definition::Entity(entity) => {
            let names = entity.names.iter().map(|name| 60 + name.text.len());
            100 + names.sum::<usize>() + 60 * entity.codes.len() + 150 * entity.relations.len()
        }
        Definition::Source(source) => 200 + source.producer.len() + source.title.len() + source.url.len(),
        Definition::Methodology(methodology) => {
            let parts = methodology.components.iter().map(|part| 100 + part.name.len());
            300 + methodology.description.len() + parts.sum::<usize>()
        }
        Definition::Ranking(ranking) => 500 + ranking.description.len(),
    }
}
