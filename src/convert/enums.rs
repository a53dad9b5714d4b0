//! The enums that model and contract share, one table each for both directions.
//!
//! Both sides give a value the same name. The tables differ in what the contract's `UNSPECIFIED` stands for: nothing, a value
//! that the model names otherwise (`is`), or a value that has a number of its own too (`reads`: it is never written).

use super::error::{FieldError, Problem};
use crate::{
    feed::filter::{ChangeScope, Kind},
    ledger::upload::Mode,
    model::{
        catalog::{Aggregation, Direction, EntityKind, Frequency, Redistribution, RelationKind, Timing},
        change::{Cause, FigureMovement, Movement},
        edition::{Basis, CoverageKind, EditionStatus},
        finding::Severity,
        value::{MissingReason, Status},
    },
    proto,
};

/// An enum of the model that has numbers in the contract.
pub trait ContractEnum: Copy {
    /// The same enum in the contract.
    type Contract: From<Self> + Into<Option<Self>> + Into<i32> + TryFrom<i32>;

    /// The number in the contract.
    fn number(self) -> i32 {
        Self::Contract::from(self).into()
    }

    /// The value with this number; `None` for `UNSPECIFIED`, if that stands for nothing.
    fn from_number(number: i32) -> Result<Option<Self>, Problem> {
        match Self::Contract::try_from(number) {
            Ok(value) => Ok(value.into()),
            Err(_) => Err(Problem::UnknownEnumValue { number }),
        }
    }
}

/// The value of a field. Where `UNSPECIFIED` stands for nothing, it is an error.
pub fn required<E: ContractEnum>(field: &str, number: i32) -> Result<E, FieldError> {
    optional(field, number)?.ok_or_else(|| FieldError::new(field, Problem::NotGiven))
}

/// The value of a field; `None` for `UNSPECIFIED`, if that stands for nothing.
pub fn optional<E: ContractEnum>(field: &str, number: i32) -> Result<Option<E>, FieldError> {
    E::from_number(number).map_err(|problem| FieldError::new(field, problem))
}

/// One table: the model's enum, the contract's, the values of both, and what `UNSPECIFIED` stands for.
macro_rules! table {
    ($model:ident = $contract:ident { $($value:ident),+ } unspecified is nothing) => {
        table!(@both $model $contract { $($value),+ } { } None);
    };
    ($model:ident = $contract:ident { $($value:ident),+ } unspecified is $meaning:ident) => {
        table!(@both $model $contract { $($value),+ } { $meaning } Some($model::$meaning));
    };
    ($model:ident = $contract:ident { $($value:ident),+ } unspecified reads $meaning:ident) => {
        table!(@both $model $contract { $($value),+ } { } Some($model::$meaning));
    };
    (@both $model:ident $contract:ident { $($value:ident),+ } { $($unspecified:ident)? } $meaning:expr) => {
        impl ContractEnum for $model {
            type Contract = proto::$contract;
        }

        impl From<$model> for proto::$contract {
            fn from(value: $model) -> Self {
                match value {
                    $($model::$value => Self::$value,)+
                    $($model::$unspecified => Self::Unspecified,)?
                }
            }
        }

        impl From<proto::$contract> for Option<$model> {
            fn from(value: proto::$contract) -> Self {
                match value {
                    $(proto::$contract::$value => Some($model::$value),)+
                    proto::$contract::Unspecified => $meaning,
                }
            }
        }
    };
}

// Figures. `Qualifier` is in `figure`: a range carries its upper end.
table!(MissingReason = MissingReason { NotCollected, NotApplicable, Suppressed, NoMeasurement } unspecified is nothing);
table!(Status = ObservationStatus {
    Normal, Break, Estimated, Forecast, Imputed, NotSignificant, Provisional
} unspecified reads Normal);

// The catalog.
table!(Direction = Direction { HigherIsBetter, LowerIsBetter } unspecified is NotStated);
table!(Frequency = Frequency { Annual, HalfYearly, Quarterly, Monthly, Daily, Irregular } unspecified is NotStated);
table!(Timing = Timing { Flow, Stock } unspecified reads Flow);
table!(EntityKind = EntityKind { Economy, Cluster, Organisation, RegionGroup, World } unspecified is nothing);
table!(RelationKind = RelationKind { LiesIn, MemberOf, RenamedTo, MergedInto, SplitInto } unspecified is nothing);
table!(Redistribution = Redistribution { Allowed, WithAttribution, Forbidden } unspecified is NotStated);
table!(Aggregation = Aggregation { Sum, WeightedMean } unspecified is NotPublished);

// Editions.
table!(EditionStatus = EditionStatus { Provisional, Published, Corrected, Withdrawn } unspecified reads Published);
table!(Basis = EditionBasis { AsPublished, Restated, Counterfactual } unspecified reads AsPublished);
table!(CoverageKind = CoverageKind { All, Top, Partial } unspecified reads Top);

// Commits and changes. `Absence` is in `comparison`: one of its values carries a rank.
table!(Cause = Cause {
    FirstRelease, ScheduledRevision, Correction, MethodChange, Withdrawal, ReloadUnchanged, Definition
} unspecified is nothing);
table!(FigureMovement = ValueMove { Added, Revised, Withdrawn, Backfilled } unspecified is nothing);
table!(Movement = Movement {
    Entered, Left, Up, Down, Tied, Unchanged, Unknown, Withdrawn
} unspecified is nothing);

// Writes.
table!(Mode = IngestMode { Merge, Replace } unspecified reads Merge);
table!(Severity = FindingSeverity { Warning, Error } unspecified is nothing);

// The feed.
table!(Kind = ChangeKind { Value, Entry, Edition, Definition } unspecified is nothing);
table!(ChangeScope = ChangeScope { Entered, Changed, Left, Outside } unspecified is nothing);

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads every number of the contract's enum and writes it again: only `UNSPECIFIED` may come back otherwise.
    fn check<E: ContractEnum>(unspecified: Option<i32>) {
        let mut number = 1;
        while let Ok(value) = E::from_number(number) {
            assert_eq!(value.map(E::number), Some(number), "{}", std::any::type_name::<E>());
            number += 1;
        }
        assert!(number > 2, "{} has values", std::any::type_name::<E>());
        let read: Option<E> = optional("field", 0).unwrap();
        assert_eq!(read.map(E::number), unspecified, "UNSPECIFIED of {}", std::any::type_name::<E>());
    }

    #[test]
    fn every_value_comes_back_and_unspecified_has_its_meaning() {
        check::<MissingReason>(None);
        check::<Status>(Some(1));
        check::<Direction>(Some(0));
        check::<Frequency>(Some(0));
        check::<Timing>(Some(1));
        check::<EntityKind>(None);
        check::<RelationKind>(None);
        check::<Redistribution>(Some(0));
        check::<Aggregation>(Some(0));
        check::<EditionStatus>(Some(2));
        check::<Basis>(Some(1));
        check::<CoverageKind>(Some(2));
        check::<Cause>(None);
        check::<FigureMovement>(None);
        check::<Movement>(None);
        check::<Mode>(Some(1));
        check::<Severity>(None);
        check::<Kind>(None);
        check::<ChangeScope>(None);
    }

    #[test]
    fn what_is_no_value_names_its_field() {
        let unknown = required::<EntityKind>("kind", 99).unwrap_err();
        assert_eq!(unknown, FieldError::new("kind", Problem::UnknownEnumValue { number: 99 }));
        let missing = required::<EntityKind>("kind", 0).unwrap_err();
        assert_eq!(missing, FieldError::new("kind", Problem::NotGiven));
    }
}
