//! About how many bytes rows and changes take as sent, without encoding them. Pages are cut by it, and conflations
//! bounded.

use crate::{
    model::{
        catalog::Definition,
        change::Change,
        edition::{Edition, Entry, EntryComponent},
        value::Value,
    },
    query::state::StateRow,
};

/// About how many bytes a page has at most as sent. Pages of changes are closed before they would have more, pages of the
/// state by the row that reaches it.
pub(super) const PAGE_BYTES: usize = 48 * 1024;

pub(super) fn of_row(row: &StateRow) -> usize {
    match row {
        StateRow::Figure(figure) => 160 + of_comment(figure.version.value()),
        StateRow::Edition(edition) => of_edition(edition),
        StateRow::Entry(_, entry) => 160 + of_entry(entry),
        StateRow::Definition(definition) => of_definition(definition),
    }
}

pub(super) fn of_change(change: &Change) -> usize {
    match change {
        Change::Figure(change) => {
            let key = &change.series;
            let names = key.indicator.as_str().len() + key.entity.as_str().len() + key.source.as_str().len();
            let recorded = Some(&change.recorded).filter(|recorded| change.after.as_ref() != Some(*recorded));
            let mut comments = 0;
            for version in [change.before.as_ref(), change.after.as_ref(), recorded].into_iter().flatten() {
                comments += of_comment(version.value());
            }
            120 + names + 2 * key.dimensions.as_str().len() + comments
        }
        Change::Entry(change) => {
            let entries = [&change.before, &change.after, &change.compared];
            160 + entries.into_iter().flatten().map(|entry| of_entry(entry)).sum::<usize>()
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

/// Bytes of the comment, the only long text of a value.
fn of_comment(value: Option<&Value>) -> usize {
    value.and_then(Value::notes).map_or(0, |notes| notes.comment.len())
}

fn of_entry(entry: &Entry) -> usize {
    let texts = entry.published_name.len() + entry.note.len() + of_comment(entry.score.as_ref());
    let mut bytes = 100 + texts + 20 * entry.economies.len() + of_components(&entry.components);
    for claim in entry.previous.iter().chain(&entry.disputed) {
        bytes += 40 + claim.claimed_by.len();
    }
    bytes
}

fn of_components(components: &[EntryComponent]) -> usize {
    components.iter().map(|part| 80 + of_comment(part.raw.as_ref()) + of_comment(part.score.as_ref())).sum()
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
