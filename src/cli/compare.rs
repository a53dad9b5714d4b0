//! `almanac compare`: two editions of a ranking, side by side.

use super::{
    as_of::AsOfArg,
    editions::{self, EconomyCodes, EntityMove},
    error::CliError,
    json,
    session::{Session, TextStyle},
    table::{TextTable, note},
};
use crate::proto;

/// Compare two editions of a ranking: what moved, and whether their ranks mean the same
#[derive(Debug, clap::Args)]
pub struct CompareArgs {
    /// Id of the ranking, for example gii-clusters
    ranking: String,
    /// Earlier edition, for example 2023
    from: String,
    /// Later edition, for example 2025
    to: String,
    #[command(flatten)]
    when: AsOfArg,
}

pub async fn run(args: CompareArgs, session: &Session) -> Result<(), CliError> {
    let request = proto::CompareEditionsRequest {
        ranking: args.ranking,
        earlier_edition: args.from,
        later_edition: args.to,
        as_of: args.when.as_of,
        ..Default::default()
    };
    let answer = all_pages(session, request).await?;
    if session.json {
        return json::print_message(&answer, "almanac.v1.CompareEditionsResponse");
    }
    let economies = EconomyCodes::load(session).await?;
    let earlier = answer.earlier.clone().unwrap_or_default();
    let later = answer.later.clone().unwrap_or_default();
    note(session, format!("from {}", editions::heading(&earlier)))?;
    note(session, format!("to   {}", editions::heading(&later)))?;
    if !answer.comparable {
        note(session, session.paint(TextStyle::Bold, "Ranks of these two tables do not mean the same:"))?;
    }
    for reason in &answer.comparability_notes {
        note(session, format!("  {reason}"))?;
    }
    let mut table = TextTable::new(&["move", "#before", "#after", "name", "economies", "renamed from"]);
    for entity in answer.moves.iter().map(EntityMove::of_comparison) {
        table.add_row([
            entity.arrow(),
            entity.earlier_rank(),
            entity.later_rank(),
            entity.name().to_owned(),
            economies.text(entity.economies()),
            entity.renamed_from().to_owned(),
        ]);
    }
    table.print(session)?;
    note(session, editions::movement_counts(&answer.counts))?;
    note(session, format!("{}: {}", earlier.id, editions::coverage(&earlier)))?;
    note(session, format!("{}: {}", later.id, editions::coverage(&later)))?;
    note(session, format!("revision {}", answer.revision))
}

/// All pages as one answer.
async fn all_pages(
    session: &Session,
    mut request: proto::CompareEditionsRequest,
) -> Result<proto::CompareEditionsResponse, CliError> {
    let mut rankings = session.rankings();
    let mut whole = rankings.compare_editions(request.clone()).await?.into_inner();
    while !whole.next_page_token.is_empty() {
        request.page_token = std::mem::take(&mut whole.next_page_token);
        let page = rankings.compare_editions(request.clone()).await?.into_inner();
        whole.moves.extend(page.moves);
        whole.next_page_token = page.next_page_token;
    }
    Ok(whole)
}
