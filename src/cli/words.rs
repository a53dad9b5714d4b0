//! The words for the enums of the contract: one table for each enum, used by every command.

use crate::proto::{Cause, EditionBasis, EditionStatus, MissingReason, Movement, ObservationStatus};

/// Why a figure has no number.
pub fn missing_reason(reason: MissingReason) -> &'static str {
    match reason {
        MissingReason::Unspecified => "missing",
        MissingReason::NotCollected => "missing: not collected",
        MissingReason::NotApplicable => "missing: does not apply",
        MissingReason::Suppressed => "missing: suppressed",
        MissingReason::NoMeasurement => "missing: no measurement",
    }
}

/// Empty for a normal figure.
pub fn observation_status(status: ObservationStatus) -> &'static str {
    match status {
        ObservationStatus::Unspecified | ObservationStatus::Normal => "",
        ObservationStatus::Provisional => "provisional",
        ObservationStatus::Estimated => "estimated",
        ObservationStatus::Forecast => "forecast",
        ObservationStatus::Break => "break in series",
        ObservationStatus::Imputed => "imputed",
        ObservationStatus::NotSignificant => "not significant",
    }
}

/// Empty if the cause is not known.
pub fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::Unspecified => "",
        Cause::FirstRelease => "first release",
        Cause::ScheduledRevision => "scheduled revision",
        Cause::Correction => "correction",
        Cause::MethodChange => "method change",
        Cause::Withdrawal => "withdrawal",
        Cause::ReloadUnchanged => "checked, unchanged",
        Cause::Definition => "definition",
    }
}

pub fn movement(movement: Movement) -> &'static str {
    match movement {
        Movement::Unspecified | Movement::Unknown => "unknown",
        Movement::Entered => "entered",
        Movement::Left => "left",
        Movement::Up => "up",
        Movement::Down => "down",
        Movement::Tied => "tied",
        Movement::Unchanged => "unchanged",
        Movement::Withdrawn => "withdrawn",
    }
}

/// Empty for ranks as they were published.
pub fn edition_basis(basis: EditionBasis) -> &'static str {
    match basis {
        EditionBasis::Unspecified | EditionBasis::AsPublished => "",
        EditionBasis::Restated => "restated",
        EditionBasis::Counterfactual => "what-if",
    }
}

/// Empty for an edition that is published and was not corrected.
pub fn edition_status(status: EditionStatus) -> &'static str {
    match status {
        EditionStatus::Unspecified | EditionStatus::Published => "",
        EditionStatus::Provisional => "provisional",
        EditionStatus::Corrected => "corrected",
        EditionStatus::Withdrawn => "withdrawn",
    }
}
