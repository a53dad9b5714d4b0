//! What a subscriber must not see: the licences of some sources forbid to hand on what comes from them.

use super::{Facts, Filters, Kind, Sides};
use crate::model::{
    change::{Change, EntryChange, Movement},
    edition::Edition,
    id::SourceId,
};

impl Filters {
    /// Whether a row with these facts is left out for its source. The definition of a source never is.
    pub(super) fn leaves_out(&self, facts: &Facts<'_>) -> bool {
        facts.kind != Kind::Definition && facts.source.is_some_and(|source| self.left_out.contains(source))
    }

    /// The sides of a change that are not left out.
    pub(in crate::feed) fn visible<'a>(&self, sides: Sides<'a>) -> Sides<'a> {
        if self.left_out.is_empty() {
            return sides;
        }
        Sides {
            before: sides.before.filter(|facts| !self.leaves_out(facts)),
            after: sides.after.filter(|facts| !self.leaves_out(facts)),
            beside: sides.beside.filter(|facts| !self.leaves_out(facts)),
        }
    }

    /// The change without the rows that are left out. `None`: there are none.
    ///
    /// A change has some where an edition is compared with one of a source that is left out, or where the source of an
    /// edition changed.
    pub fn disclosed(&self, change: &Change) -> Option<Change> {
        match change {
            Change::Entry(change) => self.disclosed_entry(change).map(|change| Change::Entry(Box::new(change))),
            Change::Edition { before, after, backfilled } => {
                let hides_before = before.as_deref().is_some_and(|edition| self.hides_edition(edition));
                let hides_backfilled = backfilled.as_deref().is_some_and(|edition| self.hides_edition(edition));
                let hides_after = self.hides_edition(after);
                (hides_before || hides_backfilled || hides_after).then(|| Change::Edition {
                    before: before.clone().filter(|_| !hides_before),
                    after: if hides_after { Box::new(after.name_only()) } else { after.clone() },
                    backfilled: backfilled.clone().filter(|_| !hides_backfilled),
                })
            }
            // A figure has one source on all sides; definitions are never left out.
            Change::Figure(_) | Change::Definition(_) => None,
        }
    }

    fn disclosed_entry(&self, change: &EntryChange) -> Option<EntryChange> {
        let hides_earlier = self.hides(change.earlier_source.as_ref()) && change.earlier().is_some();
        let hides_after = self.hides(change.source.as_ref()) && change.after.is_some();
        if !hides_earlier && !hides_after {
            return None;
        }
        let mut disclosed = change.clone();
        if hides_earlier {
            disclosed.before = None;
            disclosed.compared = None;
            disclosed.earlier_absence = None;
        }
        if hides_after {
            disclosed.after = None;
            disclosed.later_absence = None;
        }
        // The movement would give away what is hidden.
        disclosed.movement = Movement::Unknown;
        Some(disclosed)
    }

    fn hides(&self, source: Option<&SourceId>) -> bool {
        source.is_some_and(|source| self.left_out.contains(source.as_str()))
    }

    fn hides_edition(&self, edition: &Edition) -> bool {
        self.hides(edition.source.as_ref())
    }
}
