//! `almanac series` and `almanac versions`.

use std::collections::BTreeSet;

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
    let mut request =
        proto::QueryObservationsRequest { selection: Some(selection), as_of: args.when.as_of, ..Default::default() };
    let mut answer = session.statistics().query_observations(request.clone()).await?.into_inner();
    while !answer.next_page_token.is_empty() {
        request.page_token = std::mem::take(&mut answer.next_page_token);
        let mut page = session.statistics().query_observations(request.clone()).await?.into_inner();
        answer.observations.append(&mut page.observations);
        answer.next_page_token = page.next_page_token;
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
