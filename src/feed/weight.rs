//! About how many bytes things take as sent, without encoding them: where pages are cut, and what a fold may hold.

use crate::{
    model::{
        catalog::Definition,
        change::{Change, Standing},
        edition::{Edition, EntryComponent},
        value::Value,
    },
    query::state::StateRow,
};

/// A row of the state.
pub(super) fn of_row(row: &StateRow) -> usize {
    match row {
        StateRow::Figure(figure) => 160 + remarks(figure.row.value()),
        StateRow::Edition(edition) => of_edition(edition),
        StateRow::Entry(_, entry) => {
            let claims = entry.previous.iter().chain(&entry.disputed).map(|claim| 40 + claim.claimed_by.len());
            300 + entry.note.len() + of_components(&entry.components) + claims.sum::<usize>()
        }
        StateRow::Definition(definition) => of_definition(definition),
    }
}

/// A change.
pub(super) fn of_change(change: &Change) -> usize {
    match change {
        Change::Value(change) => {
            let key = &change.series;
            let names = key.indicator.as_str().len() + key.entity.as_str().len() + key.source.as_str().len();
            let apart = Some(&change.recorded).filter(|recorded| change.after.as_ref() != Some(*recorded));
            let rows = [change.before.as_ref(), change.after.as_ref(), apart];
            let remarks: usize = rows.into_iter().flatten().map(|row| remarks(row.value())).sum();
            120 + names + 2 * key.dimensions.as_str().len() + remarks
        }
        Change::Entry(change) => {
            let side = |standing: &Standing| {
                60 + standing.published_name.len()
                    + remarks(standing.score.as_ref())
                    + of_components(&standing.components)
            };
            let economies = 20 * change.entry_move.economies.len();
            160 + economies + side(&change.entry_move.before) + side(&change.entry_move.after)
        }
        Change::Edition(before, after) => before.as_deref().map_or(0, of_edition) + of_edition(after),
        Change::Definition(before, after) => before.as_deref().map_or(0, of_definition) + of_definition(after),
    }
}

fn remarks(value: Option<&Value>) -> usize {
    value.and_then(Value::notes).map_or(0, |notes| notes.comment.len())
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
        Definition::Ranking(ranking) => {
            let components = ranking.methodologies.iter().map(|methodology| {
                let parts = methodology.components.iter().map(|part| 100 + part.name.len());
                300 + methodology.description.len() + parts.sum::<usize>()
            });
            500 + ranking.description.len() + components.sum::<usize>()
        }
    }
}
