//! One change, and one row of the state, in one line.

use super::{
    catalog, editions,
    session::{Session, Tone},
    values,
};
use crate::proto::{self, Movement, ValueMove, change::Detail, state_row::Item};

/// A change in a line: what it is about, what it was, what it is. With `scoped`, how it stands to the filter.
pub fn line(session: &Session, change: &proto::Change, scoped: bool) -> String {
    let text = match &change.detail {
        Some(Detail::Value(figure)) => value(session, figure),
        Some(Detail::Entry(entry)) => entry_line(session, entry),
        Some(Detail::Edition(edition)) => edition_line(session, edition),
        Some(Detail::Definition(definition)) => {
            let (kind, id, name) = catalog::describe(definition.after.as_ref().or(definition.before.as_ref()));
            let word = match (&definition.before, &definition.after) {
                (_, None) => "taken back",
                (Some(_), Some(_)) => "redefined",
                (None, Some(_)) => "defined",
            };
            format!("{}  {kind} {id}  {name}", session.paint(Tone::Quiet, word))
        }
        None => String::new(),
    };
    let scope = match change.scope() {
        proto::ChangeScope::Entered if scoped => "  [enters the filter]",
        proto::ChangeScope::Left if scoped => "  [leaves the filter]",
        _ => "",
    };
    let names = if change.matched_filters.is_empty() {
        String::new()
    } else {
        format!("  ({})", change.matched_filters.join(", "))
    };
    format!("{text}{scope}{names}")
}

fn value(session: &Session, change: &proto::ValueChange) -> String {
    let figure_of = |row: &Option<proto::Observation>| {
        row.as_ref().map_or_else(|| "no figure".to_owned(), |row| values::value(row.value.as_ref()))
    };
    let before = figure_of(&change.before);
    let after = figure_of(&change.after);
    // The version that the commit recorded: it names the key, the source and the release.
    let unset = proto::Observation::default();
    let figure = change.recorded_version.as_ref().or(change.after.as_ref()).or(change.before.as_ref());
    let figure = figure.unwrap_or(&unset);
    let (tone, what) = match change.r#move() {
        ValueMove::Unspecified | ValueMove::Added => (Tone::Good, format!("+ {after}")),
        ValueMove::Revised => (Tone::Strong, format!("{before} → {after}")),
        ValueMove::Withdrawn => (Tone::Bad, format!("- {before} withdrawn")),
        ValueMove::Backfilled => {
            let said = figure.value.as_ref().map_or_else(|| "no figure".to_owned(), |value| values::value(Some(value)));
            (Tone::Quiet, format!("{said} filled in; now {after}"))
        }
    };
    let dimensions: Vec<String> = figure.dimensions.iter().map(|pair| format!(" {}={}", pair.id, pair.value)).collect();
    let subject = format!("{} {} {}{}", figure.indicator, figure.entity, figure.period, dimensions.concat());
    format!("{subject}  {}  {} of {}", session.paint(tone, &what), figure.source, figure.released)
}

fn entry_line(session: &Session, change: &proto::EntryChange) -> String {
    let entity = &editions::Move::of_change(change);
    let tone = match entity.movement {
        Movement::Entered | Movement::Up => Tone::Good,
        Movement::Left | Movement::Down | Movement::Withdrawn => Tone::Bad,
        Movement::Unspecified | Movement::Tied | Movement::Unchanged | Movement::Unknown => Tone::Quiet,
    };
    let ranks = format!("{} → {}", entity.earlier_rank(), entity.later_rank());
    let economies = match entity.economies() {
        [] => String::new(),
        economies => format!(" ({})", economies.join(", ")),
    };
    let arrow = session.paint(tone, &format!("{:<9}", entity.arrow()));
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
        session.paint(Tone::Strong, word),
        editions::heading(&edition),
        editions::coverage(&edition)
    )
}

/// A row of the state in a line.
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
        Some(Item::Entry(held)) => {
            let entry = held.entry.clone().unwrap_or_default();
            let rank = values::rank(Some(&entry), None);
            format!("{} {}  {rank}  {}", held.ranking, held.edition, entry.published_name)
        }
        Some(Item::Definition(definition)) => {
            let (kind, id, name) = catalog::describe(Some(definition));
            format!("{kind} {id}  {name}")
        }
        None => String::new(),
    }
}
