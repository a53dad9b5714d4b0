//! Moves between two tables.

use std::collections::HashMap;

use crate::model::{
    catalog::{EntityKind, Methodology},
    change::{Absence, EntryMove, Movement},
    edition::{CoverageKind, Edition, EditionStatus, Entry, Table},
    id::EntityId,
};

/// Whether ranks of two tables mean the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparability {
    /// One method, one basis.
    pub comparable: bool,
    /// What differs, in words.
    pub notes: Vec<String>,
}

/// Says whether ranks of two editions mean the same, and what to keep in mind. `methodology` looks one up by its id.
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
        notes.push(method_change(&before.methodology, &after.methodology, methodology));
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
            notes.push(partial(edition));
        }
    }
    Comparability { comparable, notes }
}

fn partial(edition: &Edition) -> String {
    let known = match edition.entry_count {
        1 => "1 entry is known".to_owned(),
        count => format!("{count} entries are known"),
    };
    let whole = match edition.complete_to {
        0 => String::new(),
        1 => ", rank 1 among them".to_owned(),
        rank => format!(", ranks 1 to {rank} are complete"),
    };
    format!("edition {} is partial: {known}{whole}; what it does not list is unknown", edition.edition)
}

fn method_change<'a>(before: &str, after: &str, methodology: impl Fn(&str) -> Option<&'a Methodology>) -> String {
    let components = |id: &str| -> Vec<&str> {
        let parts = methodology(id).map_or(&[][..], |methodology| &methodology.components);
        parts.iter().map(|part| part.id.as_str()).collect()
    };
    let (old, new) = (components(before), components(after));
    let listed = |what: &str, from: &[&str], without: &[&str]| {
        let found: Vec<&str> = from.iter().copied().filter(|part| !without.contains(part)).collect();
        if found.is_empty() { String::new() } else { format!("; {what}: {}", found.join(", ")) }
    };
    format!(
        "the method changed from {before} to {after}{}{}",
        listed("added", &new, &old),
        listed("dropped", &old, &new)
    )
}

/// An entity listed in one or both of two tables, by its place in each, and how it moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    before: Option<usize>,
    after: Option<usize>,
    /// How it moved.
    pub movement: Movement,
}

/// Every entity listed in one or both tables: in order of the later one, then those that left, then the unknown.
///
/// Places and not copies: of a long comparison a page is told at a time.
pub fn pairs(before: Option<&Table>, after: &Table) -> Vec<Pair> {
    let edition = before.map(|table| &table.edition);
    let before = before.map_or(&[][..], |table| &table.entries);
    let (old, new) = (by_entity(before), by_entity(&after.entries));
    let pair = |old: Option<usize>, new: Option<usize>| {
        let was = Standing::in_edition(edition, old.and_then(|at| before.get(at)));
        let is = Standing::in_edition(Some(&after.edition), new.and_then(|at| after.entries.get(at)));
        Pair { before: old, after: new, movement: movement(was, is) }
    };
    let listed = after.entries.iter().enumerate();
    let mut pairs: Vec<Pair> = listed.map(|(at, entry)| pair(old.get(&entry.entity).copied(), Some(at))).collect();
    let gone = before.iter().enumerate().filter(|(_, entry)| !new.contains_key(&entry.entity));
    let mut gone: Vec<Pair> = gone.map(|(at, _)| pair(Some(at), None)).collect();
    gone.sort_by_key(|pair| pair.movement != Movement::Left);
    pairs.append(&mut gone);
    pairs
}

fn by_entity(entries: &[Entry]) -> HashMap<&EntityId, usize> {
    entries.iter().enumerate().map(|(at, entry)| (&entry.entity, at)).collect()
}

/// The move of a pair of these two tables; `None` for one of others.
pub fn entry_move(pair: Pair, before: Option<&Table>, after: &Table) -> Option<EntryMove> {
    let old = before.and_then(|table| table.entries.get(pair.before?));
    let new = pair.after.and_then(|at| after.entries.get(at));
    let named = new.or(old)?;
    let absent_from = before.filter(|_| old.is_none());
    Some(EntryMove {
        entity: named.entity.clone(),
        movement: pair.movement,
        earlier_absence: absent_from.map(|table| absence(&table.edition)),
        later_absence: new.is_none().then(|| absence(&after.edition)),
        earlier: old.cloned(),
        later: new.cloned(),
    })
}

/// The moves of all pairs.
pub fn moves(before: Option<&Table>, after: &Table) -> Vec<EntryMove> {
    pairs(before, after).into_iter().filter_map(|pair| entry_move(pair, before, after)).collect()
}

/// What an edition tells of an entity that its table does not list, if the entity could be ranked in it.
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

/// The same for an entity of any kind: one that is not of the ranking's subject has no rank in any table.
pub fn absence_of_kind(edition: &Edition, subject: EntityKind, kind: EntityKind) -> Absence {
    if subject == kind { absence(edition) } else { Absence::NotRanked }
}

/// As much of where an entity stands in a table as its movement depends on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Standing {
    listed: bool,
    rank: Option<u32>,
    tied: bool,
    /// Ranks down to this one are listed; 0 if that is not known.
    worse_than: u32,
    /// The table is not partial: what it does not list is not in it.
    whole: bool,
}

impl Standing {
    /// Of an entry, or of what is known without one, in a table that is whole, or is not.
    pub fn of(entry: Option<&Entry>, absence: Option<Absence>, whole: bool) -> Self {
        if let Some(entry) = entry {
            return Self { listed: true, rank: entry.rank, tied: entry.tied, worse_than: 0, whole };
        }
        let worse_than = match absence {
            Some(Absence::WorseThan(rank)) => rank,
            Some(Absence::NotRanked | Absence::Unknown) | None => 0,
        };
        Self { worse_than, whole, ..Self::default() }
    }

    /// Of an entry, or of none, of an edition. Without an edition nothing is known.
    fn in_edition(edition: Option<&Edition>, entry: Option<&Entry>) -> Self {
        let Some(edition) = edition else { return Self::default() };
        let whole = edition.coverage.kind != CoverageKind::Partial;
        Self::of(entry, Some(absence(edition)), whole)
    }
}

/// How an entity moved between two tables, by where it stands in each.
pub fn movement(before: Standing, after: Standing) -> Movement {
    match (before.listed, after.listed) {
        (true, true) => match (before.rank, after.rank) {
            (Some(from), Some(to)) if to < from => Movement::Up,
            (Some(from), Some(to)) if to > from => Movement::Down,
            (Some(_), Some(_)) if after.tied && !before.tied => Movement::Tied,
            (Some(_), Some(_)) => Movement::Unchanged,
            _ => Movement::Unknown,
        },
        (false, true) if before.whole => Movement::Entered,
        (true, false) if after.whole => Movement::Left,
        // A partial table that is complete down to the other rank still tells the direction.
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

    fn table(id: &str, kind: CoverageKind, ranks: &[(&str, Option<u32>, bool)]) -> Table {
        let mut entries: Vec<Entry> = ranks
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
    fn whole_tables_say_entered_and_left() {
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
    fn why_ranks_differ_is_said_in_words() {
        let one = table("2019", CoverageKind::Partial, &[("a", Some(52), false)]);
        let mut two = table("2018", CoverageKind::Partial, &[("a", Some(1), false), ("b", Some(2), false)]);
        two.edition.basis = Basis::Restated;
        let said = comparability(&one.edition, &two.edition, |_| None);
        assert!(!said.comparable);
        assert_eq!(
            said.notes,
            [
                "edition 2019 is as published, edition 2018 is restated",
                "edition 2019 is partial: 1 entry is known; what it does not list is unknown",
                "edition 2018 is partial: 2 entries are known, ranks 1 to 2 are complete; what it does not list is unknown",
            ]
        );
    }

    #[test]
    fn partial_tables_never_turn_unknown_into_entered_or_left() {
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
        type Row = (&'static str, Option<u32>, bool);
        const CASES: [(CoverageKind, &[Row], Absence); 4] = [
            (CoverageKind::All, &[("a", Some(1), false), ("b", Some(2), false)], Absence::NotRanked),
            (CoverageKind::Top, &[("a", Some(1), false), ("b", Some(2), false)], Absence::WorseThan(2)),
            (CoverageKind::Partial, &[("a", Some(1), false), ("b", Some(7), false)], Absence::WorseThan(1)),
            (CoverageKind::Partial, &[("b", Some(7), false)], Absence::Unknown),
        ];
        let later = table("2", CoverageKind::Partial, &[("z", Some(9), false)]);
        for (kind, ranks, expected) in CASES {
            let one = table("1", kind, ranks);
            assert_eq!(absence(&one.edition), expected, "{kind:?}");
            assert_eq!(absence_of_kind(&one.edition, EntityKind::Economy, EntityKind::Economy), expected, "{kind:?}");
            let other_kind = absence_of_kind(&one.edition, EntityKind::Economy, EntityKind::Cluster);
            assert_eq!(other_kind, Absence::NotRanked, "{kind:?}");
            let moves = moves(Some(&one), &later);
            let newcomer = moves.iter().find(|moved| moved.entity.as_str() == "z").unwrap();
            assert_eq!((newcomer.earlier_absence, newcomer.later_absence), (Some(expected), None), "{kind:?}");
        }
        let mut withdrawn = table("1", CoverageKind::All, &[("a", Some(1), false)]).edition;
        withdrawn.status = EditionStatus::Withdrawn;
        assert_eq!(absence(&withdrawn), Absence::Unknown);
    }

    #[test]
    fn a_table_of_all_says_entered_and_left() {
        let before = table("1", CoverageKind::All, &[("a", Some(1), false), ("b", Some(2), false)]);
        let after = table("2", CoverageKind::All, &[("a", Some(1), false), ("c", Some(2), false)]);
        let moves = moves(Some(&before), &after);
        assert_eq!(movement_of(&moves, "b"), Movement::Left);
        assert_eq!(movement_of(&moves, "c"), Movement::Entered);
    }

    #[test]
    fn a_first_table_claims_no_moves() {
        let after = table("1", CoverageKind::All, &[("a", Some(1), false)]);
        let moved = moves(None, &after);
        assert_eq!(movement_of(&moved, "a"), Movement::Unknown);
        assert_eq!(moved[0].earlier_absence, None, "there is no table that it could be absent from");
    }

    #[test]
    fn ties_take_places() {
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
