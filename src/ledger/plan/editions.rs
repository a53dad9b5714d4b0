//! Editions: publishing, correcting and withdrawing one, and the changes of its entries.
//!
//! Invariant: what is current follows the order of effective days. A correction that is older than the edition that stands
//! answers for its own days only; it never becomes current.

use std::sync::Arc;

use super::{PlanError, Planner};
use crate::{
    ledger::record::Record,
    model::{
        catalog::{DefinitionKind, Ranking},
        change::{Absence, EntryChange, Movement},
        edition::{Basis, CoverageKind, Edition, EditionStatus, Table, complete_to, sort_entries},
        id::{EditionId, RankingId, Revision},
        series::Horizon,
        time::{Date, Instant},
    },
    ranking::compare::{comparability, moves},
    store::{
        catalog::Catalog,
        suggestions::{Suggestions, nearest_ids},
    },
};

impl Planner<'_> {
    pub(super) fn publish(&mut self, mut table: Table, correction: bool) -> Result<(), PlanError> {
        let ranking = self.known_ranking(&table.edition.ranking)?;
        let standing = self.standing_edition(&table.edition.ranking, &table.edition.edition);
        match (&standing, correction) {
            (Some(_), false) => {
                let Edition { ranking, edition, .. } = table.edition;
                return Err(PlanError::EditionExists { ranking, edition });
            }
            (None, true) => return Err(self.no_edition(&table.edition.ranking, &table.edition.edition)),
            _ => {}
        }
        table.edition.source.get_or_insert_with(|| ranking.source.clone());
        sort_entries(&mut table.entries);
        self.check_edition(&table.edition);
        self.check_entries(&table);
        if self.outcome.findings.refuse() {
            return Ok(());
        }
        match standing {
            Some(standing) if table.edition.released < standing.released => self.fill_in_behind(table, &standing),
            standing => self.publish_newest(table, standing),
        }
    }

    /// Plans an edition that becomes current. `standing`: the version that it corrects.
    fn publish_newest(&mut self, mut table: Table, standing: Option<Arc<Edition>>) -> Result<(), PlanError> {
        let correction = standing.is_some();
        let compared = match &standing {
            Some(standing) => Some(standing.clone()),
            None => self.previous_edition(&table.edition, self.now()),
        };
        let compared = compared.map(|edition| self.view.table(&edition)).transpose()?;
        self.complete_edition(&mut table, correction, compared.as_deref());
        table.edition.effective = self.effective_day(&table.edition);
        if let (Some(standing), Some(before)) = (&standing, &compared)
            && same_edition(&before.edition, &table.edition)
            && before.entries == table.entries
        {
            self.outcome.counts.unchanged = table.entries.len() as u64;
            self.outcome.edition = Some(standing.as_ref().clone());
            return Ok(());
        }
        self.outcome.released = Some(table.edition.released);
        self.outcome.edition = Some(table.edition.clone());
        self.outcome.corrects = correction;
        let before = standing.as_deref().map(boxed);
        self.emit(Record::Edition { before, after: boxed(&table.edition) })?;
        self.emit_entries(&table, compared.as_deref(), correction)
    }

    /// Plans a correction that is older than the edition that stands. It answers for its own days; what is current stays.
    fn fill_in_behind(&mut self, mut table: Table, standing: &Edition) -> Result<(), PlanError> {
        self.complete_edition(&mut table, true, None);
        self.outcome.edition = Some(standing.clone());
        if self.answers_already(&table)? {
            self.outcome.counts.unchanged = table.entries.len() as u64;
            return Ok(());
        }
        let message = format!(
            "edition {} as released on {} stands; the release of {} is older and is filled in behind it",
            standing.edition, standing.released, table.edition.released
        );
        self.outcome.findings.warning("OLDER_RELEASE", "header.edition.released", message);
        self.outcome.released = Some(table.edition.released);
        self.outcome.corrects = true;
        self.outcome.counts.backfilled = table.entries.len() as u64;
        self.emit(Record::OlderEdition { standing: boxed(standing), older: Box::new(table.edition) })?;
        for entry in table.entries {
            self.emit(Record::OlderEntry(Box::new(entry)))?;
        }
        Ok(())
    }

    /// Whether the same table answers on its release date already.
    fn answers_already(&self, table: &Table) -> Result<bool, PlanError> {
        let day = Horizon { revision: self.head, released: table.edition.released };
        match self.catalog.edition(&table.edition.ranking, &table.edition.edition, day) {
            Some(found) if found.stands() && same_edition(found, &table.edition) => {
                Ok(self.view.table(found)?.entries == table.entries)
            }
            _ => Ok(false),
        }
    }

    /// The effective day of a version that becomes current: the day of the version that it follows, if that is after its
    /// release date. `None`: the release date.
    fn effective_day(&self, edition: &Edition) -> Option<Date> {
        let followed = self.catalog.edition(&edition.ranking, &edition.edition, self.now())?;
        Some(followed.effective_day()).filter(|day| *day > edition.released)
    }

    pub(super) fn withdraw(
        &mut self,
        ranking: &RankingId,
        edition: &EditionId,
        released: Option<Date>,
    ) -> Result<(), PlanError> {
        self.known_ranking(ranking)?;
        let standing = self.standing_edition(ranking, edition).ok_or_else(|| self.no_edition(ranking, edition))?;
        let day = released.unwrap_or(self.recorded.day()).max(standing.effective_day());
        if let Some(released) = released {
            self.check_release(released, "withdrawn");
            self.check_withdrawal(released, &standing);
        }
        let table = self.view.table(&standing)?;
        let after = Edition { effective: Some(day), ..self.withdrawn(&standing) };
        self.outcome.released = Some(day);
        self.outcome.edition = Some(after.clone());
        self.emit(Record::Edition { before: Some(boxed(&standing)), after: Box::new(after) })?;
        self.emit_withdrawn(&table)
    }

    /// An edition as the commit being planned withdraws it.
    pub(super) fn withdrawn(&self, standing: &Edition) -> Edition {
        Edition {
            status: EditionStatus::Withdrawn,
            entry_count: 0,
            complete_to: 0,
            revision: self.revision,
            recorded: self.recorded,
            ..standing.clone()
        }
    }

    /// Records for subscribers that every entry of an edition is gone.
    pub(super) fn emit_withdrawn(&mut self, table: &Table) -> Result<(), PlanError> {
        let standing = &table.edition;
        for entry in &table.entries {
            self.outcome.counts.withdrawn += 1;
            let change = EntryChange {
                ranking: standing.ranking.clone(),
                edition: standing.edition.clone(),
                source: standing.source.clone(),
                entity: entry.entity.clone(),
                before: Some(Box::new(entry.clone())),
                after: None,
                compared_with: Some(standing.edition.clone()),
                compared: None,
                earlier_source: standing.source.clone(),
                movement: Movement::Withdrawn,
                earlier_absence: None,
                later_absence: Some(Absence::Unknown),
                entries_before: standing.entry_count,
                entries_after: 0,
                comparable: true,
            };
            self.emit(Record::Entry(Box::new(change)))?;
        }
        Ok(())
    }

    fn known_ranking(&self, id: &RankingId) -> Result<Ranking, PlanError> {
        self.catalog.ranking(id.as_str(), self.revision).cloned().ok_or_else(|| PlanError::Unknown {
            kind: DefinitionKind::Ranking,
            id: id.to_string(),
            near: nearest_ids(&self.catalog, DefinitionKind::Ranking, id.as_str(), self.revision),
        })
    }

    fn standing_edition(&self, ranking: &RankingId, edition: &EditionId) -> Option<Arc<Edition>> {
        let found = self.catalog.edition(ranking, edition, self.now())?;
        found.stands().then(|| found.clone())
    }

    /// Why no edition of this id stands.
    fn no_edition(&self, ranking: &RankingId, edition: &EditionId) -> PlanError {
        if let Some(withdrawn) = self.catalog.edition(ranking, edition, self.now()) {
            return PlanError::EditionWithdrawn {
                ranking: ranking.clone(),
                edition: edition.clone(),
                revision: withdrawn.revision,
            };
        }
        let editions = self.catalog.editions(ranking, self.now());
        let near = Suggestions::newest(editions.iter().map(|edition| &edition.edition)).ids;
        PlanError::NoEdition { ranking: ranking.clone(), edition: edition.clone(), near }
    }

    pub(super) fn previous_edition(&self, edition: &Edition, at: Horizon) -> Option<Arc<Edition>> {
        previous_edition(&self.catalog, edition, at)
    }

    fn check_withdrawal(&mut self, released: Date, standing: &Edition) {
        let since = standing.effective_day();
        if released < since {
            let message = format!("{released} is before {since}, from which on the edition stands");
            self.outcome.findings.error("WITHDRAWN_BEFORE_RELEASE", "withdrawn", message);
        }
    }

    /// Fills in the fields of an edition that the server works out.
    fn complete_edition(&self, table: &mut Table, correction: bool, compared: Option<&Table>) {
        let edition = &mut table.edition;
        if correction {
            edition.status = EditionStatus::Corrected;
        }
        edition.entry_count = u32::try_from(table.entries.len()).unwrap_or(u32::MAX);
        edition.complete_to = complete_to(&table.entries);
        if edition.coverage.kind == CoverageKind::Top {
            edition.coverage.listed = edition.entry_count;
        }
        edition.revision = self.revision;
        edition.recorded = self.recorded;
        edition.compared_with = compared.map(|table| table.edition.edition.clone());
    }

    /// Counts and records the changes of all entries against the table that they are compared with: for a correction the
    /// version that it replaces, else another edition.
    pub(super) fn emit_entries(
        &mut self,
        table: &Table,
        compared: Option<&Table>,
        correction: bool,
    ) -> Result<(), PlanError> {
        let comparable = compared.is_some_and(|old| {
            comparability(&old.edition, &table.edition, |id| self.catalog.methodology(id, self.revision)).comparable
        });
        let earlier_source = compared.and_then(|old| old.edition.source.clone());
        // An entry also has the source of its edition: subscribers to a source hear of every entry when that changes.
        let one_source = earlier_source == table.edition.source;
        for moved in moves(compared, table) {
            let counts = &mut self.outcome.counts;
            match (&moved.earlier, &moved.later) {
                (earlier, later) if correction && earlier == later => {
                    counts.unchanged += 1;
                    if one_source {
                        continue;
                    }
                }
                (Some(_), Some(_)) if correction => counts.revised += 1,
                (_, Some(_)) => counts.added += 1,
                (_, None) if correction => counts.withdrawn += 1,
                (_, None) => {}
            }
            let earlier = moved.earlier.map(Box::new);
            let (before, other) = if correction { (earlier, None) } else { (None, earlier) };
            let change = EntryChange {
                ranking: table.edition.ranking.clone(),
                edition: table.edition.edition.clone(),
                source: table.edition.source.clone(),
                entity: moved.entity,
                before,
                after: moved.later.map(Box::new),
                compared_with: table.edition.compared_with.clone(),
                compared: other,
                earlier_source: earlier_source.clone(),
                movement: moved.movement,
                earlier_absence: moved.earlier_absence,
                later_absence: moved.later_absence,
                entries_before: compared.map_or(0, |table| table.edition.entry_count),
                entries_after: table.edition.entry_count,
                comparable,
            };
            self.emit(Record::Entry(Box::new(change)))?;
        }
        Ok(())
    }
}

/// The edition that a new one is compared with. As published: the newest as published that was first released before it; the
/// natural order of ids decides between editions of one day. A restatement: the edition that it restates.
pub(super) fn previous_edition(catalog: &Catalog, edition: &Edition, at: Horizon) -> Option<Arc<Edition>> {
    if edition.basis == Basis::AsPublished {
        return catalog.previous_edition(&edition.ranking, &edition.edition, edition.released, at).cloned();
    }
    let about = EditionId::new(&edition.about).ok()?;
    let restated = catalog.edition(&edition.ranking, &about, at).filter(|restated| restated.stands())?.clone();
    (restated.basis == Basis::AsPublished && about != edition.edition).then_some(restated)
}

/// Whether two editions are the same, apart from the fields that the server works out.
fn same_edition(before: &Edition, after: &Edition) -> bool {
    as_sent(before) == as_sent(after)
}

fn as_sent(edition: &Edition) -> Edition {
    Edition {
        status: EditionStatus::Published,
        revision: Revision::ZERO,
        recorded: Instant(0),
        compared_with: None,
        effective: None,
        ..edition.clone()
    }
}

pub(super) fn boxed(edition: &Edition) -> Box<Edition> {
    Box::new(edition.clone())
}
