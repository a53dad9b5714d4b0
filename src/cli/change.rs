//! One change, and one row of the state, in one line.

use super::{
    catalog, editions,
    session::{Session, Tone},
    values,
};
use crate::proto::{self, Movement, ValueMove, change::What, state_row::Row};

/// A change in a line: what it is about, what it was, what it is. With `scoped`, how it stands to the filter.
pub fn line(session: &Session, change: &proto::Change, scoped: bool) -> String {
    let text = match &change.what {
        Some(What::Value(figure)) => value(session, figure),
        Some(What::Entry(entry)) => entry_line(session, entry),
        Some(What::Edition(edition)) => edition_line(session, edition),
        Some(What::Definition(definition)) => {
            let (kind, id, name) = catalog::describe(definition.after.as_ref());
            let word = if definition.before.is_some() { "redefined" } else { "defined" };
            format!("{}  {kind} {id}  {name}", session.paint(Tone::Quiet, word))
        }
        None => String::new(),
    };
    let scope = match change.scope() {
        proto::Scope::Entered if scoped => "  [enters the filter]",
        proto::Scope::Left if scoped => "  [leaves the filter]",
        _ => "",
    };
    let names = if change.matched_filters.is_empty() {
        String::new()
    } else {
        format!("  ({})", change.matched_filters.join(", "))
    };
    format!("{text}{scope}{names}")
}

fn value(session: &Session, figure: &proto::ValueChange) -> String {
    let (before, after) = (values::value(figure.before.as_ref()), values::value(figure.after.as_ref()));
    let (tone, what) = match figure.r#move() {
        ValueMove::Unspecified | ValueMove::Added => (Tone::Good, format!("+ {after}")),
        ValueMove::Revised => (Tone::Strong, format!("{before} → {after}")),
        ValueMove::Withdrawn => (Tone::Bad, format!("- {before} withdrawn")),
        ValueMove::Backfilled => {
            let recorded = figure.recorded_version.as_ref();
            let said = recorded.map_or_else(|| "no figure".to_owned(), |value| values::value(Some(value)));
            (Tone::Quiet, format!("{said} filled in; now {after}"))
        }
    };
    let dimensions: Vec<String> = figure.dimensions.iter().map(|pair| format!(" {}={}", pair.id, pair.value)).collect();
    let subject = format!("{} {} {}{}", figure.indicator, figure.entity, figure.period, dimensions.concat());
    format!("{subject}  {}  {} of {}", session.paint(tone, &what), figure.source, figure.released)
}

fn entry_line(session: &Session, change: &proto::EntryChange) -> String {
    let unknown = proto::EntryMove::default();
    let entity = change.r#move.as_ref().unwrap_or(&unknown);
    let tone = match entity.movement() {
        Movement::Entered | Movement::Up => Tone::Good,
        Movement::Left | Movement::Down | Movement::Withdrawn => Tone::Bad,
        Movement::Unspecified | Movement::Tied | Movement::Unchanged | Movement::Unknown => Tone::Quiet,
    };
    let ranks = format!("{} → {}", values::rank(entity.before.as_ref()), values::rank(entity.after.as_ref()));
    let economies =
        if entity.economies.is_empty() { String::new() } else { format!(" ({})", entity.economies.join(", ")) };
    let arrow = session.paint(tone, &format!("{:<9}", editions::arrow(entity)));
    let method = if change.comparable || change.compared_with.is_empty() { "" } else { "  not comparable" };
    format!("{} {}  {arrow} {ranks:<9}  {}{economies}{method}", change.ranking, change.edition, editions::name(entity))
}

fn edition_line(session: &Session, change: &proto::EditionChange) -> String {
    let edition = change.after.clone().unwrap_or_default();
    let word = match (edition.status(), &change.before) {
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
    match &row.row {
        Some(Row::Figure(figure)) => {
            let value = values::value(figure.value.as_ref());
            format!(
                "{} {} {}  {value}  {} of {}",
                figure.indicator, figure.entity, figure.period, figure.source, figure.released
            )
        }
        Some(Row::Edition(edition)) => format!("edition  {}", editions::heading(edition)),
        Some(Row::Entry(held)) => {
            let entry = held.entry.clone().unwrap_or_default();
            let standing = proto::Standing { rank: entry.rank, tied: entry.tied, listed: true, ..Default::default() };
            format!("{} {}  {}  {}", held.ranking, held.edition, values::rank(Some(&standing)), entry.published_name)
        }
        Some(Row::Definition(definition)) => {
            let (kind, id, name) = catalog::describe(Some(definition));
            format!("{kind} {id}  {name}")
        }
        None => String::new(),
    }
}
