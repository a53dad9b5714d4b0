//! Rows of a state that is sent whole.

use crate::{
    proto::{self, state_row::Item},
    query::state::StateRow,
};

/// A row of the state, with the names of the filters that it matches.
pub fn state_row(row: &StateRow, matched_filters: Vec<String>) -> proto::StateRow {
    let item = match row {
        StateRow::Definition(definition) => Item::Definition(definition.as_ref().into()),
        StateRow::Edition(edition) => Item::Edition(edition.as_ref().into()),
        StateRow::Entry(edition, entry) => Item::Entry(proto::StateEntry {
            ranking: edition.ranking.to_string(),
            edition: edition.edition.to_string(),
            entry: Some(entry.as_ref().into()),
        }),
        StateRow::Figure(observation) => Item::Figure(observation.as_ref().into()),
    };
    proto::StateRow { item: Some(item), matched_filters }
}
