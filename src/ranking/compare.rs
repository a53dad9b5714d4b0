//! How entities moved between two tables.

use std::collections::HashMap;

use crate::model::{
    catalog::{EntityKind, Methodology},
    change::{Absence, EntryMove, Movement},
    edition::{CoverageKind, Edition, EditionStatus, Entry, Table},
    id::EntityId,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparability {
    /// Whether ranks of the two tables can be compared: both have one known method and one basis.
    pub comparable: bool,
    /// Sentences for people: what differs, and which table is partial.
    pub notes: Vec<String>,
}

/// Finds whether ranks of two editions can be compared. `methodology` looks one up by its id; of one that it does not find
/// no components are named.
pub fn comparability<'a>(
    before: &Edition,
    after: &Edition,
    methodology: impl Fn(&str) -> Option<&'a Methodology>,
) -> Comparability {
    let mut notes = Vec::new();
    if before.methodology.is_empty() || after.methodology.is_empty() {
        let unknown = if before.methodology.is_empty() { before } else { after };
        notes.push(format!("the method of edition {} is not known", unknown.edition));
    } else if before.methodology != after.methodology {
        notes.push(method_change_note(&before.methodology, &after.methodology, methodology));
    }
    if before.basis != after.basis {
        notes.push(format!(
            "edition {} is {}, edition {} is {}",
            before.edition,
            before.basis.name(),
            after.edition,
            after.basis.name()
        ));
    }
    let comparable = notes.is_empty();
    for edition in [before, after] {
        if edition.coverage.kind == CoverageKind::Partial {
            notes.push(partial_note(edition));
        }
    }
    Comparability { comparable, notes }
}

fn partial_note(edition: &Edition) -> String {
    let known = match edition.entry_count {
        1 => "1 entry is known".to_owned(),
        count => format!("{count} entries are known"),
    };
    let complete = match edition.complete_to {
        0 => String::new(),
        1 => ", rank 1 among them".to_owned(),
        rank => format!(", ranks 1 to {rank} are complete"),
    };
    format!("edition {} is partial: {known}{complete}; what it does not list is unknown", edition.edition)
}

fn method_change_note<'a>(before: &str, after: &str, methodology: impl Fn(&str) -> Option<&'a Methodology>) -> String {
    let old = component_ids(methodology(before));
    let new = component_ids(methodology(after));
    let added = difference_clause("added", &new, &old);
    let dropped = difference_clause("dropped", &old, &new);
    format!("the method changed from {before} to {after}{added}{dropped}")
}

fn component_ids(methodology: Option<&Methodology>) -> Vec<&str> {
    let Some(methodology) = methodology else { return Vec::new() };
    methodology.components.iter().map(|component| component.id.as_str()).collect()
}

/// `; added: a, b` for the ids that only the first list has; empty if it has none.
fn difference_clause(verb: &str, ids: &[&str], other_ids: &[&str]) -> String {
    let difference: Vec<&str> = ids.iter().copied().filter(|id| !other_ids.contains(id)).collect();
    if difference.is_empty() { String::new() } else { format!("; {verb}: {}", difference.join(", ")) }
}

/// An entity that one or both of two tables list: its positions in their entries, and how it moved.
///
/// It holds positions instead of entries, because a long comparison is answered page by page and most pairs are skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntityPair {
    before: Option<usize>,
    after: Option<usize>,
    pub movement: Movement,
}

/// Every entity that one or both tables list, each once. First come those of the later table in its order; then those that
/// left; last those that the later table does not list and that did not leave.
pub fn pairs(before: Option<&Table>, after: &Table) -> Vec<EntityPair> {
    let before_entries = before.map_or(&[][..], |table| &table.entries);
    let before_positions = positions_by_entity(before_entries);
    let after_positions = positions_by_entity(&after.entries);
    let mut pairs = Vec::with_capacity(after.entries.len());
    for (position, entry) in after.entries.iter().enumerate() {
        let earlier = before_positions.get(&entry.entity).copied();
        pairs.push(pair(before, after, earlier, Some(position)));
    }
    let mut not_in_after = Vec::new();
    for (position, entry) in before_entries.iter().enumerate() {
        if !after_positions.contains_key(&entry.entity) {
            not_in_after.push(pair(before, after, Some(position), None));
        }
    }
    not_in_after.sort_by_key(|pair| pair.movement != Movement::Left);
    pairs.append(&mut not_in_after);
    pairs
}

fn positions_by_entity(entries: &[Entry]) -> HashMap<&EntityId, usize> {
    entries.iter().enumerate().map(|(position, entry)| (&entry.entity, position)).collect()
}

fn pair(
    before: Option<&Table>,
    after: &Table,
    before_position: Option<usize>,
    after_position: Option<usize>,
) -> EntityPair {
    let earlier = match before {
        Some(table) => Standing::in_table(table, before_position),
        None => Standing::default(),
    };
    let later = Standing::in_table(after, after_position);
    EntityPair { before: before_position, after: after_position, movement: movement(earlier, later) }
}

/// The move of a pair that [`pairs`] made of the same two tables; `None` if neither table has its entry.
pub fn entry_move(pair: EntityPair, before: Option<&Table>, after: &Table) -> Option<EntryMove> {
    let earlier = before.and_then(|table| table.entries.get(pair.before?));
    let later = pair.after.and_then(|position| after.entries.get(position));
    let entity = later.or(earlier)?.entity.clone();
    let absent_from = before.filter(|_| earlier.is_none());
    Some(EntryMove {
        entity,
        movement: pair.movement,
        earlier_absence: absent_from.map(|table| absence(&table.edition)),
        later_absence: later.is_none().then(|| absence(&after.edition)),
        earlier: earlier.cloned(),
        later: later.cloned(),
    })
}

/// The moves of all [`pairs`], in their order.
pub fn moves(before: Option<&Table>, after: &Table) -> Vec<EntryMove> {
    pairs(before, after).into_iter().filter_map(|pair| entry_move(pair, before, after)).collect()
}

/// What an edition says about an entity of the ranking's subject that its table does not list.
pub fn absence(edition: &Edition) -> Absence {
    if edition.status == EditionStatus::Withdrawn {
        return Absence::Unknown;
    }
    match edition.coverage.kind {
        CoverageKind::All => Absence::NotRanked,
        CoverageKind::Top | CoverageKind::Partial if edition.complete_to > 0 => Absence::WorseThan(edition.complete_to),
        CoverageKind::Top | CoverageKind::Partial => Absence::Unknown,
    }
}

/// What an edition says about an entity of any kind that its table does not list. An entity of another kind than the
/// ranking's subject has no rank in any table.
pub fn absence_of_kind(edition: &Edition, subject: EntityKind, kind: EntityKind) -> Absence {
    if subject == kind { absence(edition) } else { Absence::NotRanked }
}

/// What a table says about one entity, as far as its movement depends on it. The default is that of no table: nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Standing {
    listed: bool,
    rank: Option<u32>,
    tied: bool,
    /// The table lists all ranks down to this one; 0: not known, or the entity is listed.
    worse_than: u32,
    /// The table is not partial, so an entity that it does not list is not in it.
    complete: bool,
}

impl Standing {
    /// The standing of an entry, or without one, of an absence. `complete` means that the table is not partial.
    pub fn of(entry: Option<&Entry>, absence: Option<Absence>, complete: bool) -> Self {
        if let Some(entry) = entry {
            return Self { listed: true, rank: entry.rank, tied: entry.tied, worse_than: 0, complete };
        }
        let worse_than = match absence {
            Some(Absence::WorseThan(rank)) => rank,
            Some(Absence::NotRanked | Absence::Unknown) | None => 0,
        };
        Self { worse_than, complete, ..Self::default() }
    }

    /// The standing of the entry at a position of a table, or with `None`, of an entity that the table does not list.
    fn in_table(table: &Table, position: Option<usize>) -> Self {
        let entry = position.and_then(|position| table.entries.get(position));
        let complete = table.edition.coverage.kind != CoverageKind::Partial;
        Self::of(entry, Some(absence(&table.edition)), complete)
    }
}

/// How an entity moved between two tables, by its standing in each.
pub fn movement(before: Standing, after: Standing) -> Movement {
    match (before.listed, after.listed) {
        (true, true) => match (before.rank, after.rank) {
            (Some(from), Some(to)) if to < from => Movement::Up,
            (Some(from), Some(to)) if to > from => Movement::Down,
            (Some(_), Some(_)) if after.tied && !before.tied => Movement::Tied,
            (Some(_), Some(_)) => Movement::Unchanged,
            _ => Movement::Unknown,
        },
        (false, true) if before.complete => Movement::Entered,
        (true, false) if after.complete => Movement::Left,
        // A partial table that lists all ranks down to the other rank still tells the direction.
        (false, true) if after.rank.is_some_and(|rank| rank <= before.worse_than) => Movement::Up,
        (true, false) if before.rank.is_some_and(|rank| rank <= after.worse_than) => Movement::Down,
        _ => Movement::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        edition::{Basis, Coverage, complete_to, sort_entries},
        id::{EditionId, RankingId, Revision},
        time::{Date, Instant},
    };

    /// (entity, rank, tied)
    type Line = (&'static str, Option<u32>, bool);

    fn table(id: &str, kind: CoverageKind, lines: &[Line]) -> Table {
        let mut entries: Vec<Entry> = lines
            .iter()
            .map(|(entity, rank, tied)| Entry {
                entity: EntityId::new(entity).unwrap(),
                published_name: (*entity).to_owned(),
                economies: Vec::new(),
                rank: *rank,
                tied: *tied,
                score: None,
                components: Vec::new(),
                previous: Vec::new(),
                disputed: Vec::new(),
                note: String::new(),
            })
            .collect();
        sort_entries(&mut entries);
        let edition = Edition {
            ranking: RankingId::new("r").unwrap(),
            edition: EditionId::new(id).unwrap(),
            title: String::new(),
            status: EditionStatus::Published,
            basis: Basis::AsPublished,
            about: String::new(),
            coverage: Coverage { kind, listed: 0, universe: 0 },
            methodology: "m".into(),
            released: Date::parse("2025-09-01").unwrap(),
            effective: None,
            source: None,
            note: String::new(),
            entry_count: entries.len() as u32,
            complete_to: complete_to(&entries),
            revision: Revision(1),
            recorded: Instant(0),
            compared_with: None,
        };
        Table { edition, entries }
    }

    fn movement_of(moves: &[EntryMove], entity: &str) -> Movement {
        moves.iter().find(|entry| entry.entity.as_str() == entity).unwrap().movement
    }

    #[test]
    fn between_complete_tables_entities_enter_and_leave() {
        let before =
            table("1", CoverageKind::Top, &[("a", Some(1), false), ("b", Some(2), false), ("c", Some(3), false)]);
        let after = table("2", CoverageKind::Top, &[("b", Some(1), false), ("a", Some(2), true), ("d", Some(2), true)]);
        let moves = moves(Some(&before), &after);
        let all: Vec<_> = moves.iter().map(|entry| (entry.entity.as_str(), entry.movement, entry.places())).collect();
        assert_eq!(
            all,
            [
                ("b", Movement::Up, Some(1)),
                ("a", Movement::Down, Some(-1)),
                ("d", Movement::Entered, None),
                ("c", Movement::Left, None)
            ]
        );
    }

    #[test]
    fn notes_name_what_makes_two_tables_incomparable() {
        let one = table("2019", CoverageKind::Partial, &[("a", Some(52), false)]);
        let mut two = table("2018", CoverageKind::Partial, &[("a", Some(1), false), ("b", Some(2), false)]);
        two.edition.basis = Basis::Restated;
        let comparability = comparability(&one.edition, &two.edition, |_| None);
        assert!(!comparability.comparable);
        assert_eq!(
            comparability.notes,
            [
                "edition 2019 is as published, edition 2018 is restated",
                "edition 2019 is partial: 1 entry is known; what it does not list is unknown",
                "edition 2018 is partial: 2 entries are known, ranks 1 to 2 are complete; what it does not list is unknown",
            ]
        );
    }

    #[test]
    fn between_partial_tables_no_entity_enters_or_leaves() {
        let before =
            table("1", CoverageKind::Partial, &[("a", Some(1), false), ("b", Some(2), false), ("z", Some(60), false)]);
        let after =
            table("2", CoverageKind::Partial, &[("c", Some(1), false), ("y", Some(71), false), ("w", None, false)]);
        let moves = moves(Some(&before), &after);
        assert_eq!(movement_of(&moves, "c"), Movement::Up, "ranks 1 and 2 were known, so it stood below");
        assert_eq!(movement_of(&moves, "a"), Movement::Down, "rank 1 is taken, so it stands below");
        for entity in ["b", "z", "y", "w"] {
            assert_eq!(movement_of(&moves, entity), Movement::Unknown, "{entity}");
        }
    }

    #[test]
    fn an_absent_entity_is_below_what_is_listed_or_has_no_rank() {
        const CASES: [(CoverageKind, &[Line], Absence); 4] = [
            (CoverageKind::All, &[("a", Some(1), false), ("b", Some(2), false)], Absence::NotRanked),
            (CoverageKind::Top, &[("a", Some(1), false), ("b", Some(2), false)], Absence::WorseThan(2)),
            (CoverageKind::Partial, &[("a", Some(1), false), ("b", Some(7), false)], Absence::WorseThan(1)),
            (CoverageKind::Partial, &[("b", Some(7), false)], Absence::Unknown),
        ];
        let later = table("2", CoverageKind::Partial, &[("z", Some(9), false)]);
        for (kind, lines, expected) in CASES {
            let one = table("1", kind, lines);
            assert_eq!(absence(&one.edition), expected, "{kind:?}");
            assert_eq!(absence_of_kind(&one.edition, EntityKind::Economy, EntityKind::Economy), expected, "{kind:?}");
            let other_kind = absence_of_kind(&one.edition, EntityKind::Economy, EntityKind::Cluster);
            assert_eq!(other_kind, Absence::NotRanked, "{kind:?}");
            let moves = moves(Some(&one), &later);
            let newcomer = moves.iter().find(|entry| entry.entity.as_str() == "z").unwrap();
            assert_eq!((newcomer.earlier_absence, newcomer.later_absence), (Some(expected), None), "{kind:?}");
        }
        let mut withdrawn = table("1", CoverageKind::All, &[("a", Some(1), false)]).edition;
        withdrawn.status = EditionStatus::Withdrawn;
        assert_eq!(absence(&withdrawn), Absence::Unknown);
    }

    #[test]
    fn between_tables_of_all_entities_enter_and_leave() {
        let before = table("1", CoverageKind::All, &[("a", Some(1), false), ("b", Some(2), false)]);
        let after = table("2", CoverageKind::All, &[("a", Some(1), false), ("c", Some(2), false)]);
        let moves = moves(Some(&before), &after);
        assert_eq!(movement_of(&moves, "b"), Movement::Left);
        assert_eq!(movement_of(&moves, "c"), Movement::Entered);
    }

    #[test]
    fn in_a_first_table_no_movement_is_known() {
        let after = table("1", CoverageKind::All, &[("a", Some(1), false)]);
        let moves = moves(None, &after);
        assert_eq!(movement_of(&moves, "a"), Movement::Unknown);
        assert_eq!(moves[0].earlier_absence, None, "there is no table that it could be absent from");
    }

    #[test]
    fn a_table_stays_complete_where_ties_take_places() {
        let tied = table(
            "1",
            CoverageKind::All,
            &[
                ("a", Some(1), false),
                ("b", Some(2), true),
                ("c", Some(2), true),
                ("d", Some(4), false),
                ("e", Some(6), false),
            ],
        );
        assert_eq!(tied.edition.complete_to, 4);
    }
}
