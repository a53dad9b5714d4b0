//! `almanac series` and `almanac versions`.

use std::collections::BTreeSet;

use tonic::Status;
use tonic_types::StatusExt;

use super::{
    as_of::AsOfArg,
    error::CliError,
    json,
    session::Session,
    table::{Rows, note},
    values,
};
use crate::proto;

/// Shows whole series, one row per figure
#[derive(Debug, clap::Args)]
pub struct SeriesArgs {
    /// Indicator
    indicator: String,
    /// Entities; all if none is given
    entities: Vec<String>,
    /// Only this source; may be repeated
    #[arg(long)]
    source: Vec<String>,
    /// First period
    #[arg(long)]
    from: Option<String>,
    /// Last period
    #[arg(long)]
    to: Option<String>,
    #[command(flatten)]
    when: AsOfArg,
}

/// Shows every version of a figure or of a whole series, with its cause
#[derive(Debug, clap::Args)]
pub struct VersionsArgs {
    /// Indicator
    indicator: String,
    /// Entity
    entity: String,
    /// Period; all if not given
    period: Option<String>,
    /// Only this source
    #[arg(long)]
    source: Option<String>,
    #[command(flatten)]
    when: AsOfArg,
}

/// Shows series.
pub async fn run(args: SeriesArgs, session: &Session) -> Result<(), CliError> {
    let selection = proto::SeriesSelection {
        indicators: vec![args.indicator],
        entities: args.entities,
        sources: args.source,
        period_from: args.from.unwrap_or_default(),
        period_to: args.to.unwrap_or_default(),
        ..Default::default()
    };
    let (answer, left_out) = permitted(session, selection, args.when.as_of).await?;
    if !left_out.is_empty() {
        let names: Vec<&str> = left_out.iter().map(String::as_str).collect();
        eprintln!(
            "left out: {}; their licence forbids redistribution, ask for single figures with `almanac figure`",
            names.join(", ")
        );
    }
    if session.json {
        return json::print_message(&answer, "almanac.v1.QueryObservationsResponse");
    }
    let mut rows = Rows::new(&["entity", "period", "#figure", "source", "dimensions", "released", "#revision"]);
    let mut series = BTreeSet::new();
    for figure in &answer.observations {
        let dimensions = dimensions(&figure.dimensions);
        rows.add([
            figure.entity.clone(),
            figure.period.clone(),
            values::value(figure.value.as_ref()),
            figure.source.clone(),
            dimensions.clone(),
            figure.released.clone(),
            figure.revision.to_string(),
        ]);
        series.insert((figure.entity.as_str(), figure.source.as_str(), dimensions));
    }
    rows.print(session)?;
    let count = answer.observations.len();
    note(session, format!("{count} figures in {} series, revision {}", series.len(), answer.revision))
}

/// The figures that may be handed out in bulk, and the sources that were left out. A source that was named and may not be
/// handed out is left out like any other, so that the rest is answered.
async fn permitted(
    session: &Session,
    mut selection: proto::SeriesSelection,
    as_of: Option<proto::AsOf>,
) -> Result<(proto::QueryObservationsResponse, BTreeSet<String>), CliError> {
    let mut left_out = BTreeSet::new();
    let named_any = !selection.sources.is_empty();
    loop {
        if named_any && selection.sources.is_empty() {
            return Ok((proto::QueryObservationsResponse::default(), left_out));
        }
        let error = match observations(session, selection.clone(), as_of.clone()).await {
            Ok(answer) => {
                left_out.extend(answer.left_out_sources.iter().cloned());
                return Ok((answer, left_out));
            }
            Err(error) => error,
        };
        let forbidden = forbidden_source(&error).filter(|source| selection.sources.contains(source));
        let Some(forbidden) = forbidden else { return Err(error.into()) };
        selection.sources.retain(|source| *source != forbidden);
        left_out.insert(forbidden);
    }
}

/// All pages.
async fn observations(
    session: &Session,
    selection: proto::SeriesSelection,
    as_of: Option<proto::AsOf>,
) -> Result<proto::QueryObservationsResponse, Status> {
    let mut request = proto::QueryObservationsRequest { selection: Some(selection), as_of, ..Default::default() };
    let mut answer = session.statistics().query_observations(request.clone()).await?.into_inner();
    while !answer.next_page_token.is_empty() {
        request.page_token = std::mem::take(&mut answer.next_page_token);
        let mut page = session.statistics().query_observations(request.clone()).await?.into_inner();
        answer.observations.append(&mut page.observations);
        answer.next_page_token = page.next_page_token;
    }
    Ok(answer)
}

/// The source whose licence a refusal names.
fn forbidden_source(status: &Status) -> Option<String> {
    let details = status.get_error_details();
    let info = details.error_info().filter(|info| info.reason == "LICENCE")?;
    info.metadata.get("source").cloned()
}

/// Shows versions.
pub async fn versions(args: VersionsArgs, session: &Session) -> Result<(), CliError> {
    let mut request = proto::ListVersionsRequest {
        indicator: args.indicator,
        entity: args.entity,
        period: args.period.unwrap_or_default(),
        source: args.source.unwrap_or_default(),
        as_of: args.when.as_of,
        ..Default::default()
    };
    let mut answer = session.statistics().list_versions(request.clone()).await?.into_inner();
    while !answer.next_page_token.is_empty() {
        request.page_token = std::mem::take(&mut answer.next_page_token);
        let mut page = session.statistics().list_versions(request.clone()).await?.into_inner();
        answer.versions.append(&mut page.versions);
        answer.next_page_token = page.next_page_token;
    }
    if session.json {
        return json::print_message(&answer, "almanac.v1.ListVersionsResponse");
    }
    let mut rows =
        Rows::new(&["period", "released", "#figure", "source", "dimensions", "cause", "#revision", "recorded"]);
    for version in &answer.versions {
        let figure =
            if version.withdrawn { "no longer published".to_owned() } else { values::value(version.value.as_ref()) };
        rows.add([
            version.period.clone(),
            version.released.clone(),
            figure,
            version.source.clone(),
            dimensions(&version.dimensions),
            values::cause(version.cause).to_owned(),
            version.revision.to_string(),
            values::instant(version.recorded.as_ref()),
        ]);
    }
    rows.print(session)?;
    note(session, format!("{} versions, revision {}", answer.versions.len(), answer.revision))
}

/// `SEX=F;AGE=Y15T24`.
fn dimensions(given: &[proto::Dimension]) -> String {
    let pairs: Vec<String> = given.iter().map(|pair| format!("{}={}", pair.id, pair.value)).collect();
    pairs.join(";")
}
