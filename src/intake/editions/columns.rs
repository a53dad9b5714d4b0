//! Which column of a published table has which meaning.

use super::super::{
    profile::{ComponentShape, EditionShape},
    rows::ColumnFinder,
};

/// Indexes of columns; `None` for those that the file does not have.
#[derive(Debug)]
pub(super) struct EditionColumns {
    pub rank: Option<usize>,
    pub tied: Option<usize>,
    pub entity: Option<usize>,
    pub name: Option<usize>,
    pub economies: Option<usize>,
    pub score: Option<usize>,
    pub previous: Option<usize>,
    pub disputed: Option<usize>,
    pub note: Option<usize>,
    /// Those of which the file has at least one column.
    pub components: Vec<ComponentColumns>,
}

#[derive(Debug)]
pub(super) struct ComponentColumns {
    pub id: String,
    pub raw: Option<usize>,
    pub score: Option<usize>,
    pub rank: Option<usize>,
    pub year: Option<usize>,
}

impl EditionColumns {
    pub(super) fn find(shape: &EditionShape, heads: &[String], finder: &mut ColumnFinder<'_>) -> Self {
        let prefixed = if shape.component_prefixes { prefixed_components(heads) } else { Vec::new() };
        let mut columns = Self {
            rank: finder.find(shape.rank.as_deref()),
            tied: finder.find(shape.tied.as_deref()),
            entity: finder.find(shape.entity.as_deref()),
            name: finder.find(shape.name.as_deref()),
            economies: finder.find(shape.economies.as_deref()),
            score: finder.find(shape.score.as_deref()),
            previous: finder.find(shape.previous.as_deref()),
            disputed: finder.find(shape.disputed.as_deref()),
            note: finder.find(shape.note.as_deref()),
            components: Vec::new(),
        };
        for component in shape.components.iter().chain(&prefixed) {
            columns.components.extend(ComponentColumns::find(component, finder));
        }
        columns
    }
}

impl ComponentColumns {
    /// The columns of a component; `None` if the file has none of them.
    fn find(shape: &ComponentShape, finder: &mut ColumnFinder<'_>) -> Option<Self> {
        let columns = Self {
            id: shape.id.clone(),
            raw: finder.find(shape.raw.as_deref()),
            score: finder.find(shape.score.as_deref()),
            rank: finder.find(shape.rank.as_deref()),
            year: finder.find(shape.year.as_deref()),
        };
        columns.raw.or(columns.score).or(columns.rank).or(columns.year)?;
        Some(columns)
    }
}

/// The components of columns like `raw:pct` and `year:pct`, in the order of the first column of each.
fn prefixed_components(heads: &[String]) -> Vec<ComponentShape> {
    let mut components: Vec<ComponentShape> = Vec::new();
    for head in heads {
        let Some((prefix, id)) = head.split_once(':') else { continue };
        let prefix = prefix.to_ascii_lowercase();
        if id.is_empty() || !matches!(prefix.as_str(), "raw" | "score" | "rank" | "year") {
            continue;
        }
        let index = components.iter().position(|component| component.id == id).unwrap_or_else(|| {
            components.push(ComponentShape { id: id.to_owned(), ..ComponentShape::default() });
            components.len() - 1
        });
        let component = &mut components[index];
        let column = match prefix.as_str() {
            "raw" => &mut component.raw,
            "score" => &mut component.score,
            "rank" => &mut component.rank,
            _ => &mut component.year,
        };
        *column = Some(head.clone());
    }
    components
}
