//! `almanac compare`.

use super::{
    as_of::AsOfArg,
    editions::{self, Economies},
    error::CliError,
    json,
    session::{Session, Tone},
    table::{Rows, note},
};
use crate::proto;

/// Shows what moved between two editions, and whether their ranks mean the same
#[derive(Debug, clap::Args)]
pub struct CompareArgs {
    /// Ranking
    ranking: String,
    /// The earlier edition
    from: String,
    /// The later edition
    to: String,
    #[command(flatten)]
    when: AsOfArg,
}

/// Compares.
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
    let economies = Economies::load(session).await?;
    let earlier = answer.earlier.clone().unwrap_or_default();
    let later = answer.later.clone().unwrap_or_default();
    note(session, format!("from {}", editions::heading(&earlier)))?;
    note(session, format!("to   {}", editions::heading(&later)))?;
    if !answer.comparable {
        note(session, session.paint(Tone::Strong, "Ranks of these two tables do not mean the same:"))?;
    }
    for reason in &answer.comparability_notes {
        note(session, format!("  {reason}"))?;
    }
    let mut rows = Rows::new(&["move", "#before", "#after", "name", "economies", "renamed from"]);
    for entity in answer.moves.iter().map(editions::Move::of_comparison) {
        rows.add([
            entity.arrow(),
            entity.earlier_rank(),
            entity.later_rank(),
            entity.name().to_owned(),
            economies.text(entity.economies()),
            entity.renamed_from().to_owned(),
        ]);
    }
    rows.print(session)?;
    let counts: Vec<String> =
        answer.counts.iter().map(|count| format!("{} {}", count.count, editions::movement(count.movement()))).collect();
    note(session, counts.join(", "))?;
    note(session, format!("{}: {}", earlier.id, editions::coverage(&earlier)))?;
    note(session, format!("{}: {}", later.id, editions::coverage(&later)))?;
    note(session, format!("revision {}", answer.revision))
}

/// The whole comparison, as one answer.
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
