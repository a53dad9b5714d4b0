//! A filter of our own, written from the contract and not from the server.

use almanac::proto::{change::Detail, state_row::Item, *};

/// What a filter looks at in a row.
#[derive(Debug, Default)]
pub(super) struct Facts {
    kind: i32,
    ranking: Option<String>,
    indicator: Option<String>,
    entities: Vec<String>,
    source: Option<String>,
    rank: Option<u32>,
    dimensions: Option<Vec<Dimension>>,
}

impl Facts {
    /// The facts of a row. An entry has no source of its own: `edition_source` is that of its edition.
    pub(super) fn of(row: &Item, edition_source: Option<String>) -> Self {
        match row {
            Item::Figure(row) => Self {
                kind: ChangeKind::Value.into(),
                indicator: Some(row.indicator.clone()),
                entities: vec![row.entity.clone()],
                source: Some(row.source.clone()),
                dimensions: Some(row.dimensions.clone()),
                ..Self::default()
            },
            Item::Entry(row) => {
                let entry = row.entry.as_ref().unwrap();
                Self {
                    kind: ChangeKind::Entry.into(),
                    ranking: Some(row.ranking.clone()),
                    entities: [entry.economies.clone(), vec![entry.entity.clone()]].concat(),
                    source: edition_source,
                    rank: entry.rank,
                    ..Self::default()
                }
            }
            Item::Edition(row) => Self {
                kind: ChangeKind::Edition.into(),
                ranking: Some(row.ranking.clone()),
                source: Some(row.source.clone()),
                ..Self::default()
            },
            Item::Definition(row) => Self::of_definition(row),
        }
    }

    fn of_definition(definition: &Definition) -> Self {
        use definition::Item;
        let facts = Self { kind: ChangeKind::Definition.into(), ..Self::default() };
        match definition.item.as_ref().unwrap() {
            Item::Indicator(of) => Self { indicator: Some(of.id.clone()), ..facts },
            Item::Entity(of) => Self { entities: vec![of.id.clone()], ..facts },
            Item::Source(of) => Self { source: Some(of.id.clone()), ..facts },
            Item::Ranking(of) => Self { ranking: Some(of.id.clone()), ..facts },
            Item::Methodology(_) => facts,
        }
    }
}

/// What a filter looks at in a change: its rows before and after, and a row of another key.
#[derive(Debug)]
pub(super) struct Sides {
    pub(super) before: Option<Facts>,
    pub(super) after: Option<Facts>,
    /// The recorded version of a figure that is not current, or the entry that an entry is compared with.
    pub(super) beside: Option<Facts>,
}

/// Whether a filter lets a row of a change through.
pub(super) fn accepts(filter: &Filter, facts: &Facts, what: &Detail, commit: &Commit) -> bool {
    (filter.kinds.is_empty() || filter.kinds.contains(&facts.kind))
        && is_one_of(&filter.rankings, facts.ranking.as_ref())
        && is_one_of(&filter.sources, facts.source.as_ref())
        && accepts_indicator(filter, facts)
        && (filter.entities.is_empty() || facts.entities.iter().any(|id| filter.entities.contains(id)))
        && accepts_dimensions(filter, facts)
        && (filter.causes.is_empty() || filter.causes.contains(&commit.cause))
        && (filter.rank_at_most == 0 || facts.rank.is_some_and(|rank| rank <= filter.rank_at_most))
        && accepts_places(filter, what)
}

fn is_one_of(ids: &[String], id: Option<&String>) -> bool {
    ids.is_empty() || id.is_some_and(|id| ids.contains(id))
}

fn accepts_indicator(filter: &Filter, facts: &Facts) -> bool {
    let Some(id) = &facts.indicator else { return filter.indicators.is_empty() };
    filter.indicators.is_empty()
        || filter.indicators.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => id.starts_with(prefix),
            None => pattern == id,
        })
}

/// Each dimension that the filter names must have one of the values that it names.
fn accepts_dimensions(filter: &Filter, facts: &Facts) -> bool {
    let Some(dimensions) = &facts.dimensions else { return filter.dimensions.is_empty() };
    for asked in &filter.dimensions {
        if !filter.dimensions.iter().any(|one| one.id == asked.id && dimensions.contains(one)) {
            return false;
        }
    }
    true
}

fn accepts_places(filter: &Filter, what: &Detail) -> bool {
    match what {
        _ if filter.min_places == 0 => true,
        Detail::Entry(change) => {
            matches!(change.movement(), Movement::Entered | Movement::Left | Movement::Withdrawn)
                || change.places.is_some_and(|places| places.unsigned_abs() >= filter.min_places)
        }
        _ => false,
    }
}

/// A commit without changes is sent if no filter is set, or if a filter asks for nothing but causes and accepts its cause.
pub(super) fn wants_empty(filters: &[Filter], commit: &Commit) -> bool {
    for filter in filters {
        let rest = Filter { name: String::new(), causes: Vec::new(), ..filter.clone() };
        if rest == Filter::default() && (filter.causes.is_empty() || filter.causes.contains(&commit.cause)) {
            return true;
        }
    }
    filters.is_empty()
}
