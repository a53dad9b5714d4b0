//! `almanac ranking`: one edition. `almanac editions`: the list of editions.

use super::{
    as_of::AsOfArg,
    editions::{self, EconomyCodes},
    error::CliError,
    json,
    session::Session,
    table::{TextTable, note},
    values,
};
use crate::proto;

/// Show an edition of a ranking
#[derive(Debug, clap::Args)]
pub struct RankingArgs {
    /// Id of the ranking, for example gii-clusters
    ranking: String,
    /// Edition, for example 2025 [default: the newest]
    #[arg(long, value_name = "ID")]
    edition: Option<String>,
    /// Show only ranks 1 to N
    #[arg(long, value_name = "N")]
    top: Option<u32>,
    /// Show only entries that lie in this economy, for example CHN
    #[arg(long, value_name = "ENTITY")]
    economy: Option<String>,
    #[command(flatten)]
    when: AsOfArg,
}

/// List the editions of a ranking
#[derive(Debug, clap::Args)]
pub struct EditionsArgs {
    /// Id of the ranking, for example gii-clusters
    ranking: String,
    #[command(flatten)]
    when: AsOfArg,
}

pub async fn run(args: RankingArgs, session: &Session) -> Result<(), CliError> {
    let answer = entries(&args, session).await?;
    if session.json {
        return json::print_message(&answer, "almanac.v1.ListEntriesResponse");
    }
    let economies = EconomyCodes::load(session).await?;
    let edition = answer.edition.clone().unwrap_or_default();
    note(session, editions::heading(&edition))?;
    let mut table = TextTable::new(&["#rank", "name", "economies", "#score", "id", "#previous", "others say"]);
    for entry in &answer.entries {
        let previous = entry.previous.first().map_or_else(String::new, |claim| claim.rank.to_string());
        table.add_row([
            values::rank(Some(entry), None),
            entry.published_name.clone(),
            economies.text(&entry.economies),
            values::value(entry.score.as_ref()),
            entry.entity.clone(),
            previous,
            editions::claims(&entry.disputed),
        ]);
    }
    table.print(session)?;
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

impl RankingArgs {
    /// Whether `--top` includes an entry. An entry without a rank comes after all others.
    fn includes(&self, entry: &proto::Entry) -> bool {
        match self.top {
            Some(top) => entry.rank.is_some_and(|rank| rank <= top),
            None => true,
        }
    }
}

/// The pages down to the rank asked for, as one answer.
async fn entries(args: &RankingArgs, session: &Session) -> Result<proto::ListEntriesResponse, CliError> {
    let mut request = proto::ListEntriesRequest {
        ranking: args.ranking.clone(),
        edition: args.edition.clone().unwrap_or_default(),
        economy: args.economy.clone().unwrap_or_default(),
        as_of: args.when.as_of.clone(),
        page_size: args.top.map_or(1_000, |top| i32::try_from(top.saturating_add(10)).unwrap_or(1_000)),
        ..Default::default()
    };
    let mut all: Option<proto::ListEntriesResponse> = None;
    loop {
        let mut page = session.rankings().list_entries(request.clone()).await?.into_inner();
        let more = std::mem::take(&mut page.next_page_token);
        let enough = more.is_empty() || page.entries.last().is_some_and(|last| !args.includes(last));
        page.entries.retain(|entry| args.includes(entry));
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
    let mut table =
        TextTable::new(&["edition", "published", "#entries", "coverage", "method", "source", "#revision", "title"]);
    for edition in &answer.editions {
        let restated = if edition.basis() == proto::EditionBasis::Restated { " (restated)" } else { "" };
        let withdrawn = if edition.status() == proto::EditionStatus::Withdrawn { " (withdrawn)" } else { "" };
        table.add_row([
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
    table.print(session)?;
    note(session, format!("revision {}", answer.revision))
}
