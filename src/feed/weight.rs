//! About how many bytes things take as sent: where pages are cut. Room is left for what is not counted.

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
        StateRow::Figure(figure) => 160 + of_remark(figure.row.value.as_ref()),
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
            let values = [&change.before, &change.after, &change.backfilled];
            140 + values.into_iter().map(|value| of_remark(value.as_ref())).sum::<usize>()
        }
        Change::Entry(change) => {
            let entry = &change.entry_move;
            200 + of_standing(&entry.before) + of_standing(&entry.after) + 20 * entry.economies.len()
        }
        Change::Edition(before, after) => before.as_deref().map_or(0, of_edition) + of_edition(after),
        Change::Definition(before, after) => before.as_deref().map_or(0, of_definition) + of_definition(after),
    }
}

fn of_remark(value: Option<&Value>) -> usize {
    value.and_then(Value::notes).map_or(0, |notes| notes.comment.len())
}

fn of_components(components: &[EntryComponent]) -> usize {
    components.iter().map(|part| 80 + of_remark(part.raw.as_ref()) + of_remark(part.score.as_ref())).sum()
}

fn of_standing(standing: &Standing) -> usize {
    let own = 60 + standing.published_name.len() + of_remark(standing.score.as_ref());
    own + of_components(&standing.components)
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
