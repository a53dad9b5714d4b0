//! Figures of uploads and of `StreamSeries` between the model and their bytes on the wire, without messages in between.
//!
//! There are millions of figures in them. A generated message for each, with its period as a text of its own, costs several
//! times what reading and writing its bytes costs.
//!
//! In reading order: [`writer`] makes messages of uploads, [`reader`] reads them, [`answer`] makes those of `StreamSeries`,
//! [`recent`] remembers the periods of all.
//!
//! Invariant: what is written decodes to the generated messages. What is read is what they would have given; the reader
//! leaves every message to them that is not of the usual form, so that they alone decide what is wrong with it.

mod answer;
mod reader;
mod recent;
mod writer;

pub use answer::SeriesWriter;
pub use reader::{BatchReader, SeriesFigures};
pub use writer::{BatchWriter, EncodedBatch};

/// Numbers of the fields in the contract: a test holds them against it.
mod fields {
    /// `IngestObservationsRequest.observations`
    pub(super) const OBSERVATIONS: u32 = 3;
    /// `ObservationBatch.series`
    pub(super) const SERIES: u32 = 1;
    /// `SeriesBatch.indicator`
    pub(super) const INDICATOR: u32 = 1;
    /// `SeriesBatch.entity`
    pub(super) const ENTITY: u32 = 2;
    /// `SeriesBatch.source`
    pub(super) const SOURCE: u32 = 3;
    /// `SeriesBatch.dimensions`
    pub(super) const DIMENSIONS: u32 = 4;
    /// `SeriesBatch.points`
    pub(super) const POINTS: u32 = 5;
    /// `Dimension.id`
    pub(super) const DIMENSION_ID: u32 = 1;
    /// `Dimension.value`
    pub(super) const DIMENSION_VALUE: u32 = 2;
    /// `IngestPoint.period`
    pub(super) const PERIOD: u32 = 1;
    /// `IngestPoint.value`
    pub(super) const VALUE: u32 = 2;
    /// `Value.number`
    pub(super) const NUMBER: u32 = 1;
    /// `Value.decimals`
    pub(super) const DECIMALS: u32 = 2;
    /// `Value.exact`
    pub(super) const EXACT: u32 = 3;

    /// Those of answers.
    pub(super) mod answer {
        /// `StreamSeriesResponse.series`
        pub(in super::super) const SERIES: u32 = 1;
        /// `StreamSeriesResponse.revision`
        pub(in super::super) const REVISION: u32 = 2;
        /// `Series.points`
        pub(in super::super) const POINTS: u32 = 5;
        /// `SeriesPoint.period`
        pub(in super::super) const PERIOD: u32 = 1;
        /// `SeriesPoint.value`
        pub(in super::super) const VALUE: u32 = 2;
        /// `SeriesPoint.released`
        pub(in super::super) const RELEASED: u32 = 3;
        /// `SeriesPoint.revision`
        pub(in super::super) const POINT_REVISION: u32 = 4;
        /// `Value.qualifier`
        pub(in super::super) const QUALIFIER: u32 = 5;
        /// `Value.status`
        pub(in super::super) const STATUS: u32 = 7;
    }
}

#[cfg(test)]
mod tests;
