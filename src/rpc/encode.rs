//! Values of the model → messages of the contract.

use prost::Message;

use crate::{
    feed::{
        filter::{ChangeScope, Filters, Match},
        page::{CommitPage, ConflatedPage},
        page_changes::PageChanges,
        stamps::CommitStamps,
    },
    ledger::log::Header,
    model::{
        catalog::{
            Aggregation, Definition, Direction, Entity, EntityKind, Frequency, Indicator, Methodology, Ranking,
            Redistribution, RelationKind, Source, Timing,
        },
        change::{Absence, Cause, Change, Counts, EntryChange, EntryMove, Movement, ValueChange, ValueMove},
        edition::{Basis, Coverage, CoverageKind, Edition, EditionStatus, Entry, EntryComponent, RankClaim},
        finding::{Finding, Severity},
        series::{Dimensions, FigureVersion, SeriesKey, Statement},
        time::{Date, Instant},
        value::{Figure, MissingReason, Notes, Qualifier, Status, Value},
    },
    proto,
    query::{
        editions::TrajectoryPoint, figures::Observation, policy::Disagreement, series::SeriesSummary, state::StateRow,
    },
};

pub(super) fn timestamp(instant: Instant) -> prost_types::Timestamp {
    let (seconds, micros) = (instant.0.div_euclid(1_000_000), instant.0.rem_euclid(1_000_000));
    prost_types::Timestamp { seconds, nanos: i32::try_from(micros * 1_000).unwrap_or(0) }
}

fn optional_date(date: Option<Date>) -> String {
    date.map_or_else(String::new, |date| date.to_string())
}

pub(super) fn value(value: &Value) -> proto::Value {
    let mut message = proto::Value {
        qualifier: proto::Qualifier::Exact.into(),
        status: proto::ObservationStatus::Normal.into(),
        ..proto::Value::default()
    };
    match &value.figure {
        Figure::Number(number) => {
            message.number = Some(number.to_f64());
            message.decimals = Some(number.decimals());
            message.exact = number.exact().unwrap_or_default();
        }
        Figure::Missing(reason) => {
            message.missing = match reason {
                MissingReason::NotCollected => proto::MissingReason::NotCollected,
                MissingReason::NotApplicable => proto::MissingReason::NotApplicable,
                MissingReason::Suppressed => proto::MissingReason::Suppressed,
                MissingReason::NoMeasurement => proto::MissingReason::NoMeasurement,
            }
            .into();
        }
    }
    if let Some(notes) = value.notes() {
        add_notes(&mut message, notes);
    }
    message
}

fn add_notes(message: &mut proto::Value, notes: &Notes) {
    message.multiplier_pow10 = notes.multiplier.into();
    message.qualifier = match &notes.qualifier {
        Qualifier::Exact => proto::Qualifier::Exact,
        Qualifier::Approximate => proto::Qualifier::Approximate,
        Qualifier::AtLeast => proto::Qualifier::AtLeast,
        Qualifier::AtMost => proto::Qualifier::AtMost,
        Qualifier::RangeTo(upper) => {
            message.upper = Some(upper.to_f64());
            proto::Qualifier::Range
        }
    }
    .into();
    message.status = match notes.status {
        Status::Normal => proto::ObservationStatus::Normal,
        Status::Break => proto::ObservationStatus::Break,
        Status::Estimated => proto::ObservationStatus::Estimated,
        Status::Forecast => proto::ObservationStatus::Forecast,
        Status::Imputed => proto::ObservationStatus::Imputed,
        Status::NotSignificant => proto::ObservationStatus::NotSignificant,
        Status::Provisional => proto::ObservationStatus::Provisional,
    }
    .into();
    message.comment.clone_from(&notes.comment);
}

fn optional_value(given: Option<&Value>) -> Option<proto::Value> {
    given.map(value)
}

pub(super) fn dimensions(dimensions: &Dimensions) -> Vec<proto::Dimension> {
    let pair = |(id, value): (&str, &str)| proto::Dimension { id: id.to_owned(), value: value.to_owned() };
    dimensions.pairs().map(pair).collect()
}

/// A version of a figure, without what its commit says.
fn version(series: &SeriesKey, row: &FigureVersion) -> proto::Observation {
    proto::Observation {
        indicator: series.indicator.to_string(),
        entity: series.entity.to_string(),
        source: series.source.to_string(),
        dimensions: dimensions(&series.dimensions),
        period: row.period.to_string(),
        value: optional_value(row.value()),
        released: row.released.to_string(),
        revision: row.revision.0,
        withdrawn: row.statement == Statement::NoFigure,
        retracted: row.statement == Statement::Retracted,
        ..proto::Observation::default()
    }
}

pub(super) fn observation(figure: &Observation) -> proto::Observation {
    proto::Observation {
        recorded: Some(timestamp(figure.commit.recorded)),
        cause: cause(figure.commit.cause).into(),
        last_released: optional_date(figure.last_released),
        ..version(&figure.series, &figure.row)
    }
}

pub(super) fn series_summary(series: &SeriesSummary) -> proto::SeriesSummary {
    proto::SeriesSummary {
        indicator: series.key.indicator.to_string(),
        entity: series.key.entity.to_string(),
        source: series.key.source.to_string(),
        dimensions: dimensions(&series.key.dimensions),
        first_period: series.first.to_string(),
        latest_period: series.last.to_string(),
        figures: series.figures,
        released: series.newest_release.to_string(),
    }
}

pub(super) fn series_point(row: &FigureVersion) -> proto::SeriesPoint {
    proto::SeriesPoint {
        period: row.period.to_string(),
        value: optional_value(row.value()),
        released: row.released.to_string(),
        revision: row.revision.0,
    }
}

pub(super) fn disagreement(disagreement: &Disagreement) -> proto::Disagreement {
    proto::Disagreement {
        min: disagreement.min,
        max: disagreement.max,
        spread: disagreement.spread(),
        relative_spread: disagreement.relative_spread(),
        compared: disagreement.compared,
        not_comparable: disagreement.not_comparable,
    }
}

pub(super) fn definition(definition: &Definition) -> proto::Definition {
    use proto::definition::Item;
    let item = match definition {
        Definition::Indicator(given) => Item::Indicator(indicator(given)),
        Definition::Entity(given) => Item::Entity(entity(given)),
        Definition::Source(given) => Item::Source(source(given)),
        Definition::Methodology(given) => Item::Methodology(methodology(given)),
        Definition::Ranking(given) => Item::Ranking(ranking(given)),
    };
    proto::Definition { item: Some(item) }
}

fn direction(direction: Direction) -> i32 {
    match direction {
        Direction::NotStated => proto::Direction::Unspecified,
        Direction::HigherIsBetter => proto::Direction::HigherIsBetter,
        Direction::LowerIsBetter => proto::Direction::LowerIsBetter,
    }
    .into()
}

pub(super) fn indicator(indicator: &Indicator) -> proto::Indicator {
    proto::Indicator {
        id: indicator.id.to_string(),
        name: indicator.name.clone(),
        unit: indicator.unit.clone(),
        direction: direction(indicator.direction),
        default_decimals: indicator.default_decimals,
        definition: indicator.definition.clone(),
        frequency: match indicator.frequency {
            Frequency::NotStated => proto::Frequency::Unspecified,
            Frequency::Annual => proto::Frequency::Annual,
            Frequency::HalfYearly => proto::Frequency::HalfYearly,
            Frequency::Quarterly => proto::Frequency::Quarterly,
            Frequency::Monthly => proto::Frequency::Monthly,
            Frequency::Daily => proto::Frequency::Daily,
            Frequency::Irregular => proto::Frequency::Irregular,
        }
        .into(),
        licence: indicator.licence.clone(),
        timing: match indicator.timing {
            Timing::Flow => proto::Timing::Flow,
            Timing::Stock => proto::Timing::Stock,
        }
        .into(),
    }
}

fn entity_kind(kind: EntityKind) -> i32 {
    match kind {
        EntityKind::Economy => proto::EntityKind::Economy,
        EntityKind::Cluster => proto::EntityKind::Cluster,
        EntityKind::Organisation => proto::EntityKind::Organisation,
        EntityKind::RegionGroup => proto::EntityKind::RegionGroup,
        EntityKind::World => proto::EntityKind::World,
    }
    .into()
}

pub(super) fn entity(entity: &Entity) -> proto::Entity {
    let code = |(scheme, value): &(String, String)| proto::EntityCode { scheme: scheme.clone(), value: value.clone() };
    let names = entity.names.iter().map(|name| proto::EntityName {
        text: name.text.clone(),
        language: name.language.clone(),
        valid_from: optional_date(name.valid_from),
        valid_to: optional_date(name.valid_to),
    });
    let relations = entity.relations.iter().map(|relation| proto::EntityRelation {
        kind: match relation.kind {
            RelationKind::LiesIn => proto::RelationKind::LiesIn,
            RelationKind::MemberOf => proto::RelationKind::MemberOf,
            RelationKind::RenamedTo => proto::RelationKind::RenamedTo,
            RelationKind::MergedInto => proto::RelationKind::MergedInto,
            RelationKind::SplitInto => proto::RelationKind::SplitInto,
        }
        .into(),
        entity: relation.entity.to_string(),
        valid_from: optional_date(relation.valid_from),
        valid_to: optional_date(relation.valid_to),
    });
    proto::Entity {
        id: entity.id.to_string(),
        kind: entity_kind(entity.kind),
        name: entity.name.clone(),
        codes: entity.codes.iter().map(code).collect(),
        names: names.collect(),
        relations: relations.collect(),
    }
}

pub(super) fn source(source: &Source) -> proto::Source {
    proto::Source {
        id: source.id.to_string(),
        producer: source.producer.clone(),
        title: source.title.clone(),
        published: optional_date(source.published),
        url: source.url.clone(),
        licence: source.licence.clone(),
        redistribution: match source.redistribution {
            Redistribution::NotStated => proto::Redistribution::Unspecified,
            Redistribution::Allowed => proto::Redistribution::Allowed,
            Redistribution::WithAttribution => proto::Redistribution::WithAttribution,
            Redistribution::Forbidden => proto::Redistribution::Forbidden,
        }
        .into(),
        precedence: source.precedence,
    }
}

pub(super) fn ranking(ranking: &Ranking) -> proto::Ranking {
    proto::Ranking {
        id: ranking.id.to_string(),
        name: ranking.name.clone(),
        subject: entity_kind(ranking.subject),
        source: ranking.source.to_string(),
        description: ranking.description.clone(),
    }
}

fn aggregation(aggregation: Aggregation) -> i32 {
    match aggregation {
        Aggregation::NotPublished => proto::Aggregation::Unspecified,
        Aggregation::Sum => proto::Aggregation::Sum,
        Aggregation::WeightedMean => proto::Aggregation::WeightedMean,
    }
    .into()
}

pub(super) fn methodology(methodology: &Methodology) -> proto::Methodology {
    let components = methodology.components.iter().map(|component| proto::MethodologyComponent {
        id: component.id.clone(),
        name: component.name.clone(),
        weight: component.weight,
        direction: direction(component.direction),
        parent: component.parent.clone(),
        aggregation: aggregation(component.aggregation),
    });
    proto::Methodology {
        id: methodology.id.to_string(),
        description: methodology.description.clone(),
        components: components.collect(),
        aggregation: aggregation(methodology.aggregation),
    }
}

pub(super) fn basis(basis: Basis) -> i32 {
    match basis {
        Basis::AsPublished => proto::EditionBasis::AsPublished,
        Basis::Restated => proto::EditionBasis::Restated,
        Basis::Counterfactual => proto::EditionBasis::Counterfactual,
    }
    .into()
}

pub(super) fn coverage(coverage: Coverage, complete_to: u32) -> proto::Coverage {
    proto::Coverage {
        kind: match coverage.kind {
            CoverageKind::All => proto::CoverageKind::All,
            CoverageKind::Top => proto::CoverageKind::Top,
            CoverageKind::Partial => proto::CoverageKind::Partial,
        }
        .into(),
        listed: coverage.listed,
        universe: coverage.universe,
        complete_to,
    }
}

pub(super) fn edition(edition: &Edition) -> proto::Edition {
    proto::Edition {
        ranking: edition.ranking.to_string(),
        id: edition.edition.to_string(),
        title: edition.title.clone(),
        status: match edition.status {
            EditionStatus::Provisional => proto::EditionStatus::Provisional,
            EditionStatus::Published => proto::EditionStatus::Published,
            EditionStatus::Corrected => proto::EditionStatus::Corrected,
            EditionStatus::Withdrawn => proto::EditionStatus::Withdrawn,
        }
        .into(),
        basis: basis(edition.basis),
        about: edition.about.clone(),
        coverage: Some(coverage(edition.coverage, edition.complete_to)),
        methodology: edition.methodology.clone(),
        released: edition.released.to_string(),
        source: edition.source.as_ref().map_or_else(String::new, ToString::to_string),
        note: edition.note.clone(),
        entry_count: edition.entry_count,
        revision: edition.revision.0,
        recorded: Some(timestamp(edition.recorded)),
        compared_with: edition.compared_with.as_ref().map_or_else(String::new, ToString::to_string),
        withdrawn: optional_date((edition.status == EditionStatus::Withdrawn).then(|| edition.effective_day())),
    }
}

fn component(component: &EntryComponent) -> proto::EntryComponent {
    proto::EntryComponent {
        id: component.id.clone(),
        raw: optional_value(component.raw.as_ref()),
        score: optional_value(component.score.as_ref()),
        rank: component.rank,
        data_year: component.data_year.clone(),
    }
}

pub(super) fn claim(claim: &RankClaim) -> proto::RankClaim {
    proto::RankClaim { rank: claim.rank, edition: claim.edition.clone(), claimed_by: claim.claimed_by.clone() }
}

pub(super) fn entry(entry: &Entry) -> proto::Entry {
    proto::Entry {
        entity: entry.entity.to_string(),
        published_name: entry.published_name.clone(),
        economies: entry.economies.iter().map(ToString::to_string).collect(),
        rank: entry.rank,
        tied: entry.tied,
        score: optional_value(entry.score.as_ref()),
        components: entry.components.iter().map(component).collect(),
        previous: entry.previous.iter().map(claim).collect(),
        disputed: entry.disputed.iter().map(claim).collect(),
        note: entry.note.clone(),
    }
}

pub(super) fn cause(cause: Cause) -> proto::Cause {
    match cause {
        Cause::FirstRelease => proto::Cause::FirstRelease,
        Cause::ScheduledRevision => proto::Cause::ScheduledRevision,
        Cause::Correction => proto::Cause::Correction,
        Cause::MethodChange => proto::Cause::MethodChange,
        Cause::Withdrawal => proto::Cause::Withdrawal,
        Cause::ReloadUnchanged => proto::Cause::ReloadUnchanged,
        Cause::Definition => proto::Cause::Definition,
    }
}

pub(super) fn counts(counts: &Counts) -> proto::ChangeCounts {
    proto::ChangeCounts {
        added: counts.added,
        revised: counts.revised,
        unchanged: counts.unchanged,
        withdrawn: counts.withdrawn,
        backfilled: counts.backfilled,
        definitions_added: counts.definitions_added,
        definitions_revised: counts.definitions_revised,
        definitions_unchanged: counts.definitions_unchanged,
        definitions_removed: counts.definitions_removed,
    }
}

pub(super) fn commit(header: &Header) -> proto::Commit {
    let commit = &header.commit;
    proto::Commit {
        revision: commit.revision.0,
        recorded: Some(timestamp(commit.recorded)),
        author: commit.author.clone(),
        cause: cause(commit.cause).into(),
        note: commit.note.clone(),
        released: optional_date(commit.released),
        document_sha256: commit.document_sha256.clone(),
        counts: Some(counts(&commit.counts)),
        request_id: commit.request_id.as_ref().map_or_else(String::new, ToString::to_string),
        chain: header.chain.to_vec(),
    }
}

pub(super) fn movement(movement: Movement) -> i32 {
    match movement {
        Movement::Entered => proto::Movement::Entered,
        Movement::Left => proto::Movement::Left,
        Movement::Up => proto::Movement::Up,
        Movement::Down => proto::Movement::Down,
        Movement::Tied => proto::Movement::Tied,
        Movement::Unchanged => proto::Movement::Unchanged,
        Movement::Unknown => proto::Movement::Unknown,
        Movement::Withdrawn => proto::Movement::Withdrawn,
    }
    .into()
}

fn absence(absence: Absence) -> proto::Absence {
    let (kind, worse_than) = match absence {
        Absence::Unknown => (proto::AbsenceKind::Unknown, 0),
        Absence::WorseThan(rank) => (proto::AbsenceKind::WorseThan, rank),
        Absence::NotRanked => (proto::AbsenceKind::NotRanked, 0),
    };
    proto::Absence { kind: kind.into(), worse_than }
}

pub(super) fn entry_move(moved: &EntryMove) -> proto::EntryMove {
    proto::EntryMove {
        entity: moved.entity.to_string(),
        movement: movement(moved.movement),
        earlier: moved.earlier.as_ref().map(entry),
        later: moved.later.as_ref().map(entry),
        earlier_absence: moved.earlier_absence.map(absence),
        later_absence: moved.later_absence.map(absence),
        places: moved.places(),
        renamed: moved.renamed(),
    }
}

pub(super) fn trajectory_point(point: &TrajectoryPoint) -> proto::TrajectoryPoint {
    proto::TrajectoryPoint {
        edition: point.edition.edition.to_string(),
        basis: basis(point.edition.basis),
        entry: point.entry.as_ref().map(entry),
        absence: point.absence.map(absence),
        methodology: point.edition.methodology.clone(),
        comparable_to_previous: point.comparable_to_previous,
        coverage: Some(coverage(point.edition.coverage, point.edition.complete_to)),
    }
}

/// A row of a change as readers are shown it.
fn row(series: &SeriesKey, row: &FigureVersion, stamps: &CommitStamps) -> proto::Observation {
    let stamp = stamps.get(row.revision);
    proto::Observation {
        recorded: stamp.map(|stamp| timestamp(stamp.recorded)),
        cause: stamp.map_or(0, |stamp| cause(stamp.cause).into()),
        ..version(series, row)
    }
}

fn value_change(change: &ValueChange, stamps: &CommitStamps) -> proto::ValueChange {
    let row = |of: &FigureVersion| row(&change.series, of, stamps);
    proto::ValueChange {
        r#move: match change.movement {
            ValueMove::Added => proto::ValueMove::Added,
            ValueMove::Revised => proto::ValueMove::Revised,
            ValueMove::Withdrawn => proto::ValueMove::Withdrawn,
            ValueMove::Backfilled => proto::ValueMove::Backfilled,
        }
        .into(),
        before: change.before.as_ref().map(row),
        after: change.after.as_ref().map(row),
        recorded_version: (change.movement == ValueMove::Backfilled).then(|| row(&change.recorded)),
    }
}

fn entry_change(change: &EntryChange) -> proto::EntryChange {
    proto::EntryChange {
        ranking: change.ranking.to_string(),
        edition: change.edition.to_string(),
        entity: change.entity.to_string(),
        before: change.before.as_deref().map(entry),
        after: change.after.as_deref().map(entry),
        compared_with: change.compared_with.as_ref().map_or_else(String::new, ToString::to_string),
        compared: change.compared.as_deref().map(entry),
        movement: movement(change.movement),
        places: change.places(),
        renamed: change.renamed(),
        earlier_absence: change.earlier_absence.map(absence),
        later_absence: change.later_absence.map(absence),
        compared_entry_count: change.entries_before,
        entry_count: change.entries_after,
        comparable: change.comparable,
    }
}

pub(super) fn scope(scope: ChangeScope) -> proto::ChangeScope {
    match scope {
        ChangeScope::Entered => proto::ChangeScope::Entered,
        ChangeScope::Changed => proto::ChangeScope::Changed,
        ChangeScope::Left => proto::ChangeScope::Left,
        ChangeScope::Outside => proto::ChangeScope::Outside,
    }
}

fn detail(change: &Change, stamps: &CommitStamps) -> proto::change::Detail {
    use proto::change::Detail;
    match change {
        Change::Value(change) => Detail::Value(value_change(change, stamps)),
        Change::Entry(change) => Detail::Entry(entry_change(change)),
        Change::Edition { before, after, backfilled } => Detail::Edition(proto::EditionChange {
            before: before.as_deref().map(edition),
            after: Some(edition(after)),
            recorded_version: backfilled.as_deref().map(edition),
        }),
        Change::Definition(change) => Detail::Definition(proto::DefinitionChange {
            before: change.before.as_deref().map(definition),
            after: change.after.as_deref().map(definition),
        }),
    }
}

/// A change as a subscriber to everything is told it: part of the difference of a write that was only checked.
pub(super) fn change(index: u64, change: &Change, stamps: &CommitStamps) -> proto::Change {
    let found = Filters::new(Vec::new()).match_change(change, Cause::ReloadUnchanged);
    let scope = found.map_or(proto::ChangeScope::Unspecified, |found| scope(found.scope));
    proto::Change { index, scope: scope.into(), detail: Some(detail(change, stamps)), ..Default::default() }
}

/// The fields of a change that say what changed, as bytes: the same for every subscriber.
pub(super) fn change_detail(change: &Change, stamps: &CommitStamps) -> Vec<u8> {
    proto::Change { detail: Some(detail(change, stamps)), ..Default::default() }.encode_to_vec()
}

/// The fields of a change that say how it stands to a subscription; `name` gives the name of a filter.
pub(super) fn change_head<'a>(index: u64, found: &Match, name: impl Fn(usize) -> &'a str) -> proto::Change {
    let names = found.filters.iter().map(|at| name(*at)).filter(|name| !name.is_empty()).map(str::to_owned);
    proto::Change { index, scope: scope(found.scope).into(), matched_filters: names.collect(), ..Default::default() }
}

/// Part of a commit without its changes.
pub(super) fn commit_head(part: &CommitPage, token: String) -> proto::CommitPage {
    let header: &Header = &part.header;
    proto::CommitPage {
        revision: header.commit.revision.0,
        prev_matching_revision: part.prev_match.0,
        page: part.page,
        last_page: part.last,
        commit: (part.page == 0).then(|| commit(header)),
        changes: Vec::new(),
        resume_token: token,
        conflated_from: 0,
    }
}

/// Part of a fold without its changes.
pub(super) fn fold_head(page: &ConflatedPage, token: String) -> proto::CommitPage {
    proto::CommitPage {
        revision: page.header.commit.revision.0,
        prev_matching_revision: page.prev_match.0,
        page: page.page,
        last_page: page.last,
        commit: (page.page == 0).then(|| commit(&page.header)),
        changes: Vec::new(),
        resume_token: token,
        conflated_from: page.conflated_from.0,
    }
}

/// Part of a commit, as a list shows it.
pub(super) fn commit_page(part: &CommitPage, token: String, filters: &Filters) -> proto::CommitPage {
    let changes = part.changes.iter().flat_map(PageChanges::iter).map(|(numbered, found)| {
        let disclosed = filters.disclosed(&numbered.change);
        proto::Change {
            detail: Some(detail(disclosed.as_ref().unwrap_or(&numbered.change), &numbered.stamps)),
            ..change_head(numbered.number, found, |at| filters.name(at))
        }
    });
    proto::CommitPage { changes: changes.collect(), ..commit_head(part, token) }
}

pub(super) fn finding(finding: &Finding) -> proto::Finding {
    proto::Finding {
        severity: match finding.severity {
            Severity::Warning => proto::FindingSeverity::Warning,
            Severity::Error => proto::FindingSeverity::Error,
        }
        .into(),
        code: finding.code.clone(),
        message: finding.message.clone(),
        location: finding.location.clone(),
        suggestions: finding.suggestions.clone(),
    }
}

pub(super) fn state_row(row: &StateRow, matched_filters: Vec<String>) -> proto::StateRow {
    use proto::state_row::Item;
    let item = match row {
        StateRow::Definition(given) => Item::Definition(definition(given)),
        StateRow::Edition(given) => Item::Edition(edition(given)),
        StateRow::Entry(of, given) => Item::Entry(proto::StateEntry {
            ranking: of.ranking.to_string(),
            edition: of.edition.to_string(),
            entry: Some(entry(given)),
        }),
        StateRow::Figure(figure) => Item::Figure(observation(figure)),
    };
    proto::StateRow { item: Some(item), matched_filters }
}
