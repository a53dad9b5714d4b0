//! Figures of an upload between the model and their bytes on the wire, without messages in between.
//!
//! An upload has millions of figures. A generated message for each, with its period as a text of its own, costs several
//! times what reading and writing its bytes costs.
//!
//! In reading order: [`writer`] makes messages, [`reader`] reads them, [`recent`] remembers the periods of both.
//!
//! Invariant: what is written decodes to the generated messages. What is read is what they would have given; the reader
//! leaves every message to them that is not of the usual form, so that they alone decide what is wrong with it.

mod reader;
mod recent;
mod writer;

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
}

#[cfg(test)]
mod tests;
