//! `almanac series`: whole series. `almanac versions`: every version of figures.

use std::collections::BTreeSet;

use tonic::Status;
use tonic_types::StatusExt;

use super::{
    as_of::AsOfArg,
    error::CliError,
    json,
    session::Session,
    table::{TextTable, note},
    values,
};
use crate::proto;

/// Show whole series, one row per figure
#[derive(Debug, clap::Args)]
pub struct SeriesArgs {
    /// Id of the indicator, for example GB.XPD.RSDV.GD.ZS
    indicator: String,
    /// Ids of entities, for example CHN [default: all]
    entities: Vec<String>,
    /// Show only this source; can be repeated
    #[arg(long, value_name = "ID")]
    source: Vec<String>,
    /// First period, for example 2015 [default: the first with a figure]
    #[arg(long, value_name = "PERIOD")]
    from: Option<String>,
    /// Last period, itself included [default: the last with a figure]
    #[arg(long, value_name = "PERIOD")]
    to: Option<String>,
    #[command(flatten)]
    when: AsOfArg,
}

/// Show every version of a figure, or of all figures of a series, with its cause
#[derive(Debug, clap::Args)]
pub struct VersionsArgs {
    /// Id of the indicator, for example GB.XPD.RSDV.GD.ZS
    indicator: String,
    /// Id of the entity, for example CHN
    entity: String,
    /// Period, for example 2015 [default: all]
    period: Option<String>,
    /// Show only this source
    #[arg(long, value_name = "ID")]
    source: Option<String>,
    #[command(flatten)]
    when: AsOfArg,
}

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
    let mut table = TextTable::new(&["entity", "period", "#figure", "source", "dimensions", "released", "#revision"]);
    let mut series = BTreeSet::new();
    for figure in &answer.observations {
        let dimensions = dimensions(&figure.dimensions);
        table.add_row([
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
    table.print(session)?;
    let count = answer.observations.len();
    note(session, format!("{count} figures in {} series, revision {}", series.len(), answer.revision))
}

/// The figures that the server gives in bulk, and the sources that it leaves out because their licence forbids it. The
/// server refuses a request that names such a source; then the rest is asked for without it.
async fn permitted(
    session: &Session,
    mut selection: proto::SeriesSelection,
    as_of: Option<proto::AsOf>,
) -> Result<(proto::QueryObservationsResponse, BTreeSet<String>), CliError> {
    let mut left_out = BTreeSet::new();
    let sources_given = !selection.sources.is_empty();
    loop {
        if sources_given && selection.sources.is_empty() {
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

/// All pages as one answer.
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

/// The source that the server refuses because of its licence.
fn forbidden_source(status: &Status) -> Option<String> {
    let details = status.get_error_details();
    let info = details.error_info().filter(|info| info.reason == "LICENCE")?;
    info.metadata.get("source").cloned()
}

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
    let mut table =
        TextTable::new(&["period", "released", "#figure", "source", "dimensions", "cause", "#revision", "recorded"]);
    for version in &answer.versions {
        let figure =
            if version.withdrawn { "no longer published".to_owned() } else { values::value(version.value.as_ref()) };
        table.add_row([
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
    table.print(session)?;
    note(session, format!("{} versions, revision {}", answer.versions.len(), answer.revision))
}

/// `SEX=F;AGE=Y15T24`.
fn dimensions(pairs: &[proto::Dimension]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|pair| format!("{}={}", pair.id, pair.value)).collect();
    pairs.join(";")
}
