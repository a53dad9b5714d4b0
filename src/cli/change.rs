//! A change, or a row of the state, as one line of text.

use super::{
    catalog, editions,
    session::{Session, TextStyle},
    values,
};
use crate::proto::{self, Movement, ValueMove, change::Detail, state_row::Item};

const NO_FIGURE: &str = "no figure";

/// A change: what it is about, and its data before and after. With `with_scope`, also whether the row entered or left
/// the filter.
pub fn line(session: &Session, change: &proto::Change, with_scope: bool) -> String {
    let text = match &change.detail {
        Some(Detail::Value(figure)) => value_line(session, figure),
        Some(Detail::Entry(entry)) => entry_line(session, entry),
        Some(Detail::Edition(edition)) => edition_line(session, edition),
        Some(Detail::Definition(definition)) => definition_line(session, definition),
        None => String::new(),
    };
    let scope = match change.scope() {
        proto::ChangeScope::Entered if with_scope => "  [enters the filter]",
        proto::ChangeScope::Left if with_scope => "  [leaves the filter]",
        _ => "",
    };
    let names = if change.matched_filters.is_empty() {
        String::new()
    } else {
        format!("  ({})", change.matched_filters.join(", "))
    };
    format!("{text}{scope}{names}")
}

fn definition_line(session: &Session, change: &proto::DefinitionChange) -> String {
    let (kind, id, name) = catalog::describe(change.after.as_ref().or(change.before.as_ref()));
    let word = match (&change.before, &change.after) {
        (_, None) => "taken back",
        (Some(_), Some(_)) => "redefined",
        (None, Some(_)) => "defined",
    };
    format!("{}  {kind} {id}  {name}", session.paint(TextStyle::Dim, word))
}

fn value_line(session: &Session, change: &proto::ValueChange) -> String {
    let before = change.before.as_ref().map_or(NO_FIGURE.to_owned(), |figure| values::value(figure.value.as_ref()));
    let after = change.after.as_ref().map_or(NO_FIGURE.to_owned(), |figure| values::value(figure.value.as_ref()));
    // The version that the commit recorded names the key, the source and the release.
    let unset = proto::Observation::default();
    let figure = change.recorded_version.as_ref().or(change.after.as_ref()).or(change.before.as_ref());
    let figure = figure.unwrap_or(&unset);
    let (style, text) = match change.r#move() {
        ValueMove::Unspecified | ValueMove::Added => (TextStyle::Better, format!("+ {after}")),
        ValueMove::Revised => (TextStyle::Bold, format!("{before} → {after}")),
        ValueMove::Withdrawn => (TextStyle::Worse, format!("- {before} withdrawn")),
        ValueMove::Backfilled => {
            let recorded = figure.value.as_ref().map_or(NO_FIGURE.to_owned(), |value| values::value(Some(value)));
            (TextStyle::Dim, format!("{recorded} filled in; now {after}"))
        }
    };
    let dimensions: Vec<String> = figure.dimensions.iter().map(|pair| format!(" {}={}", pair.id, pair.value)).collect();
    let key = format!("{} {} {}{}", figure.indicator, figure.entity, figure.period, dimensions.concat());
    format!("{key}  {}  {} of {}", session.paint(style, &text), figure.source, figure.released)
}

fn entry_line(session: &Session, change: &proto::EntryChange) -> String {
    let entity = &editions::EntityMove::of_change(change);
    let style = match entity.movement {
        Movement::Entered | Movement::Up => TextStyle::Better,
        Movement::Left | Movement::Down | Movement::Withdrawn => TextStyle::Worse,
        Movement::Unspecified | Movement::Tied | Movement::Unchanged | Movement::Unknown => TextStyle::Dim,
    };
    let ranks = format!("{} → {}", entity.earlier_rank(), entity.later_rank());
    let economies = match entity.economies() {
        [] => String::new(),
        economies => format!(" ({})", economies.join(", ")),
    };
    let arrow = session.paint(style, &format!("{:<9}", entity.arrow()));
    let method = if change.comparable || change.compared_with.is_empty() { "" } else { "  not comparable" };
    format!("{} {}  {arrow} {ranks:<9}  {}{economies}{method}", change.ranking, change.edition, entity.name())
}

fn edition_line(session: &Session, change: &proto::EditionChange) -> String {
    let edition = change.after.clone().unwrap_or_default();
    let word = match (edition.status(), &change.before) {
        _ if change.recorded_version.is_some() => "older release of edition filled in",
        (proto::EditionStatus::Withdrawn, _) => "edition withdrawn",
        (proto::EditionStatus::Corrected, _) => "edition corrected",
        (_, None) => "new edition",
        (_, Some(_)) => "edition changed",
    };
    let against = match edition.compared_with.as_str() {
        "" => String::new(),
        other => format!(", moves against {other}"),
    };
    format!(
        "{}  {}; {}{against}",
        session.paint(TextStyle::Bold, word),
        editions::heading(&edition),
        editions::coverage(&edition)
    )
}

/// A row of the state.
pub fn state_line(row: &proto::StateRow) -> String {
    match &row.item {
        Some(Item::Figure(figure)) => {
            let value = values::value(figure.value.as_ref());
            format!(
                "{} {} {}  {value}  {} of {}",
                figure.indicator, figure.entity, figure.period, figure.source, figure.released
            )
        }
        Some(Item::Edition(edition)) => format!("edition  {}", editions::heading(edition)),
        Some(Item::Entry(row)) => {
            let entry = row.entry.clone().unwrap_or_default();
            let rank = values::rank(Some(&entry), None);
            format!("{} {}  {rank}  {}", row.ranking, row.edition, entry.published_name)
        }
        Some(Item::Definition(definition)) => {
            let (kind, id, name) = catalog::describe(Some(definition));
            format!("{kind} {id}  {name}")
        }
        None => String::new(),
    }
}
