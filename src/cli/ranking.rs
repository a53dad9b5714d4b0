//! `almanac ranking` and `almanac editions`.

use super::{
    as_of::AsOfArg,
    editions::{self, Economies},
    error::CliError,
    json,
    session::Session,
    table::{Rows, note},
    values,
};
use crate::proto;

/// Shows an edition of a ranking
#[derive(Debug, clap::Args)]
pub struct RankingArgs {
    /// Ranking, for example gii-clusters
    ranking: String,
    /// Edition; the newest if not given
    #[arg(long)]
    edition: Option<String>,
    /// Ranks 1 to N only
    #[arg(long, value_name = "N")]
    top: Option<u32>,
    /// Only entries that lie in this economy
    #[arg(long, value_name = "ENTITY")]
    economy: Option<String>,
    #[command(flatten)]
    when: AsOfArg,
}

/// Lists the editions of a ranking
#[derive(Debug, clap::Args)]
pub struct EditionsArgs {
    /// Ranking
    ranking: String,
    #[command(flatten)]
    when: AsOfArg,
}

/// Shows an edition.
pub async fn run(args: RankingArgs, session: &Session) -> Result<(), CliError> {
    let answer = entries(&args, session).await?;
    if session.json {
        return json::print_message(&answer, "almanac.v1.ListEntriesResponse");
    }
    let economies = Economies::load(session).await?;
    let edition = answer.edition.clone().unwrap_or_default();
    note(session, editions::heading(&edition))?;
    let mut rows = Rows::new(&["#rank", "name", "economies", "#score", "id", "#previous", "others say"]);
    for entry in &answer.entries {
        let previous = entry.previous.first().map_or_else(String::new, |claim| claim.rank.to_string());
        rows.add([
            values::rank(Some(entry), None),
            entry.published_name.clone(),
            economies.text(&entry.economies),
            values::value(entry.score.as_ref()),
            entry.entity.clone(),
            previous,
            editions::claims(&entry.disputed),
        ]);
    }
    rows.print(session)?;
    note(session, editions::coverage(&edition))?;
    if !edition.methodology.is_empty() {
        note(session, format!("method {}", edition.methodology))?;
    }
    if !edition.note.is_empty() {
        note(session, &edition.note)?;
    }
    if !edition.source.is_empty() {
        note(session, format!("source {}", edition.source))?;
    }
    note(session, format!("revision {}; remarks on single ranks: --json", answer.revision))
}

/// All pages, to the rank asked for, as one answer.
async fn entries(args: &RankingArgs, session: &Session) -> Result<proto::ListEntriesResponse, CliError> {
    let mut request = proto::ListEntriesRequest {
        ranking: args.ranking.clone(),
        edition: args.edition.clone().unwrap_or_default(),
        economy: args.economy.clone().unwrap_or_default(),
        as_of: args.when.as_of.clone(),
        page_size: args.top.map_or(1_000, |top| i32::try_from(top.saturating_add(10)).unwrap_or(1_000)),
        ..Default::default()
    };
    let beyond = |entry: &proto::Entry| args.top.is_some_and(|top| entry.rank.is_none_or(|rank| rank > top));
    let mut all: Option<proto::ListEntriesResponse> = None;
    loop {
        let mut page = session.rankings().list_entries(request.clone()).await?.into_inner();
        let more = std::mem::take(&mut page.next_page_token);
        let enough = more.is_empty() || page.entries.last().is_some_and(beyond);
        page.entries.retain(|entry| !beyond(entry));
        match &mut all {
            Some(all) => all.entries.append(&mut page.entries),
            None => all = Some(page),
        }
        if enough {
            return Ok(all.unwrap_or_default());
        }
        request.page_token = more;
    }
}

/// Lists editions.
pub async fn editions(args: EditionsArgs, session: &Session) -> Result<(), CliError> {
    let mut request =
        proto::ListEditionsRequest { ranking: args.ranking, as_of: args.when.as_of, ..Default::default() };
    let mut answer = session.rankings().list_editions(request.clone()).await?.into_inner();
    while !answer.next_page_token.is_empty() {
        request.page_token = std::mem::take(&mut answer.next_page_token);
        let mut page = session.rankings().list_editions(request.clone()).await?.into_inner();
        answer.editions.append(&mut page.editions);
        answer.next_page_token = page.next_page_token;
    }
    if session.json {
        return json::print_message(&answer, "almanac.v1.ListEditionsResponse");
    }
    let mut rows =
        Rows::new(&["edition", "published", "#entries", "coverage", "method", "source", "#revision", "title"]);
    for edition in &answer.editions {
        let restated = if edition.basis() == proto::EditionBasis::Restated { " (restated)" } else { "" };
        let withdrawn = if edition.status() == proto::EditionStatus::Withdrawn { " (withdrawn)" } else { "" };
        rows.add([
            format!("{}{restated}{withdrawn}", edition.id),
            edition.released.clone(),
            edition.entry_count.to_string(),
            editions::coverage_kind(edition),
            edition.methodology.clone(),
            edition.source.clone(),
            edition.revision.to_string(),
            edition.title.clone(),
        ]);
    }
    rows.print(session)?;
    note(session, format!("revision {}", answer.revision))
}
