//! All fields of a request that can never work, collected, so that a client learns of them at once.
//!
//! Invariant: memory is bounded by [`VIOLATIONS_MAX`], however much of a request is wrong.

use tonic::Status;

use super::status::{self, BadField, VIOLATIONS_MAX};

/// What is wrong with a request so far: the first violations, and how many there are in all.
#[derive(Debug, Default)]
pub(super) struct Violations {
    first: Vec<BadField>,
    total: usize,
}

impl Violations {
    /// Counts a violation; keeps it if it is one of the first.
    pub(super) fn add(&mut self, bad: impl Into<BadField>) {
        self.total += 1;
        if self.first.len() < VIOLATIONS_MAX {
            self.first.push(bad.into());
        }
    }

    /// The value of a result; an error is added.
    pub(super) fn take<T>(&mut self, result: Result<T, impl Into<BadField>>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(bad) => {
                self.add(bad);
                None
            }
        }
    }

    /// Whether nothing is wrong so far.
    pub(super) fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// An error if anything is wrong: the first ones as field violations, the number of all in the message.
    pub(super) fn check(&self) -> Result<(), Status> {
        if self.is_empty() { Ok(()) } else { Err(status::of_bad_fields(&self.first, self.total)) }
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::StatusExt;

    use super::*;

    #[test]
    fn nothing_wrong_is_no_error() {
        let mut violations = Violations::default();
        assert_eq!(violations.take(Ok::<_, BadField>(7)), Some(7));
        violations.check().unwrap();
    }

    #[test]
    fn the_first_are_named_and_the_rest_counted() {
        let mut violations = Violations::default();
        for number in 0..25 {
            let field = format!("points[{number}].period");
            assert_eq!(violations.take(Err::<(), _>(BadField::new(field, "not a period"))), None);
        }
        let status = violations.check().unwrap_err();
        assert_eq!(status.message(), "points[0].period: not a period (and 24 more)");
        let named = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!(named.len(), VIOLATIONS_MAX);
        assert_eq!(named[19].field, "points[19].period");
        assert_eq!(status.get_details_error_info().unwrap().metadata["errors"], "25");
    }

    #[test]
    fn long_ones_stay_below_what_headers_carry() {
        let mut violations = Violations::default();
        for _ in 0..100 {
            violations.add(BadField::new("text", "x".repeat(5_000)));
        }
        let status = violations.check().unwrap_err();
        assert!(status.details().len() < 4_096);
        assert!(!status.get_details_bad_request().unwrap().field_violations.is_empty());
    }
}
