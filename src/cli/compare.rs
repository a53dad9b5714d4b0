//! `almanac compare`.

use super::{
    as_of::AsOfArg,
    editions::{self, Economies},
    error::CliError,
    json,
    session::{Session, Tone},
    table::{Rows, note},
    values,
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
        from_edition: args.from,
        to_edition: args.to,
        as_of: args.when.as_of,
        ..Default::default()
    };
    let answer = all_pages(session, request).await?;
    if session.json {
        return json::print_message(&answer, "almanac.v1.CompareEditionsResponse");
    }
    let economies = Economies::load(session).await?;
    let (from, to) = (answer.from.clone().unwrap_or_default(), answer.to.clone().unwrap_or_default());
    note(session, format!("from {}", editions::heading(&from)))?;
    note(session, format!("to   {}", editions::heading(&to)))?;
    if !answer.comparable {
        note(session, session.paint(Tone::Strong, "Ranks of these two tables do not mean the same:"))?;
    }
    for reason in &answer.comparability_notes {
        note(session, format!("  {reason}"))?;
    }
    let mut rows = Rows::new(&["move", "#before", "#after", "name", "economies", "renamed from"]);
    for entity in &answer.moves {
        let renamed = entity.before.as_ref().filter(|_| entity.renamed).map_or("", |before| &before.published_name);
        rows.add([
            editions::arrow(entity),
            values::rank(entity.before.as_ref()),
            values::rank(entity.after.as_ref()),
            editions::name(entity).to_owned(),
            economies.text(&entity.economies),
            renamed.to_owned(),
        ]);
    }
    rows.print(session)?;
    let counts: Vec<String> =
        answer.counts.iter().map(|count| format!("{} {}", count.count, editions::movement(count.movement()))).collect();
    note(session, counts.join(", "))?;
    note(session, format!("{}: {}", from.edition, editions::coverage(&from)))?;
    note(session, format!("{}: {}", to.edition, editions::coverage(&to)))?;
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
