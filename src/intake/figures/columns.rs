//! Which column of a file of figures has which meaning.

use super::super::{
    profile::{EmptyCell, FigureShape, Layout, Profile},
    rows::{ColumnFinder, warn_of_ignored_column},
};
use crate::model::{finding::Findings, period::Period};

/// Indexes of columns; `None` for those that the file does not have.
#[derive(Debug)]
pub(super) struct FigureColumns {
    pub indicator: Option<usize>,
    pub indicator_name: Option<usize>,
    pub entity: usize,
    pub entity_name: Option<usize>,
    pub source: Option<usize>,
    pub period: Option<usize>,
    /// Of the long layout.
    pub value: usize,
    pub upper: Option<usize>,
    pub multiplier: Option<usize>,
    pub qualifier: Option<usize>,
    pub status: Option<usize>,
    pub missing: Option<usize>,
    pub comment: Option<usize>,
    /// Ids of dimensions and the columns of their codes.
    pub dimensions: Vec<(String, usize)>,
    /// Of the wide layout.
    pub periods: Vec<(usize, Period)>,
    /// Whether figures are numbers and have neither notes nor reasons for being missing.
    pub only_numbers: bool,
}

impl FigureColumns {
    pub(super) fn find(
        profile: &Profile,
        shape: &FigureShape,
        file: &str,
        finder: &mut ColumnFinder<'_>,
        findings: &mut Findings,
    ) -> Self {
        let mut columns = Self {
            indicator: finder.find(shape.indicator.as_deref()),
            indicator_name: finder.find(shape.indicator_name.as_deref()),
            // A line without these two is not the header.
            entity: finder.find(Some(&shape.entity)).unwrap_or_default(),
            value: finder.find(shape.value.as_deref()).unwrap_or_default(),
            entity_name: finder.find(shape.entity_name.as_deref()),
            source: finder.find(shape.source.as_deref()),
            period: finder.find(shape.period.as_deref()),
            upper: finder.find(shape.upper.as_deref()),
            multiplier: finder.find(shape.multiplier.as_deref()),
            qualifier: finder.find(shape.qualifier.as_deref()),
            status: finder.find(shape.status.as_deref()),
            missing: finder.find(shape.missing.as_deref()),
            comment: finder.find(shape.comment.as_deref()),
            dimensions: Vec::new(),
            periods: Vec::new(),
            only_numbers: false,
        };
        let notes = [columns.upper, columns.multiplier, columns.qualifier, columns.status, columns.comment];
        columns.only_numbers = notes.iter().all(Option::is_none) && shape.empty == EmptyCell::NoFigure;
        for (id, name) in &shape.dimensions {
            match finder.find(Some(name)) {
                Some(index) => columns.dimensions.push((id.clone(), index)),
                None => findings.error("NO_DIMENSION", file, format!("there is no column `{name}`")),
            }
        }
        for (index, head) in finder.unused() {
            if !columns.take_by_name(shape, index, head) {
                warn_of_ignored_column(findings, file, profile, head);
            }
        }
        if shape.layout == Layout::Wide && columns.periods.is_empty() {
            findings.error("NO_PERIODS", file, "no column is named after a period");
        }
        columns
    }

    /// Takes a column that the profile does not name: its own name says which dimension or period it is for.
    fn take_by_name(&mut self, shape: &FigureShape, index: usize, head: &str) -> bool {
        if let Some(id) = shape.dimension_prefix.as_deref().and_then(|prefix| head.strip_prefix(prefix)) {
            self.dimensions.push((id.to_owned(), index));
            return true;
        }
        // "2015 [YR2015]" is how one site of the World Bank writes 2015.
        let name = head.split(" [").next().unwrap_or(head);
        match Period::parse(name) {
            Ok(period) if shape.layout == Layout::Wide => {
                self.periods.push((index, period));
                true
            }
            _ => false,
        }
    }
}
