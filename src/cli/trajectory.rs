//! `almanac trajectory`: ranks of entities over the editions of a ranking.

use super::{
    as_of::AsOfArg,
    editions,
    error::CliError,
    json,
    session::Session,
    table::{TextTable, note},
    values, words,
};
use crate::proto;

/// Show the ranks of entities in all editions of a ranking
#[derive(Debug, clap::Args)]
pub struct TrajectoryArgs {
    /// Id of the ranking, for example gii-clusters
    ranking: String,
    /// Ids of entities, for example CHN or cluster:szx
    #[arg(required = true)]
    entities: Vec<String>,
    #[command(flatten)]
    when: AsOfArg,
}

pub async fn run(args: TrajectoryArgs, session: &Session) -> Result<(), CliError> {
    let request = proto::GetTrajectoryRequest {
        ranking: args.ranking,
        entities: args.entities,
        as_of: args.when.as_of,
        ..Default::default()
    };
    let answer = all_pages(session, request).await?;
    if session.json {
        return json::print_message(&answer, "almanac.v1.GetTrajectoryResponse");
    }
    let mut breaks = 0;
    // One table for each entity on a terminal, one table for all in a pipe.
    let entities_per_table = if session.terminal { 1 } else { usize::MAX };
    for trajectories in answer.trajectories.chunks(entities_per_table) {
        if let (true, [one]) = (session.terminal, trajectories) {
            note(session, &one.entity)?;
        }
        let mut table =
            TextTable::new(&["entity", "edition", "#rank", "", "#score", "method", "basis", "name", "others say"]);
        for trajectory in trajectories {
            breaks += add_rows(&mut table, trajectory, !session.terminal);
        }
        table.print(session)?;
    }
    if breaks > 0 {
        note(session, "* ranks do not mean the same as in the edition before: another method or basis")?;
    }
    note(session, "? not known; >N worse than rank N; – not ranked")?;
    note(session, format!("revision {}", answer.revision))
}

/// All pages as one answer.
async fn all_pages(
    session: &Session,
    mut request: proto::GetTrajectoryRequest,
) -> Result<proto::GetTrajectoryResponse, CliError> {
    let mut rankings = session.rankings();
    let mut whole = rankings.get_trajectory(request.clone()).await?.into_inner();
    while !whole.next_page_token.is_empty() {
        request.page_token = std::mem::take(&mut whole.next_page_token);
        let mut page = rankings.get_trajectory(request.clone()).await?.into_inner();
        // The last trajectory of the page before may continue on this page.
        if let (Some(open), Some(more)) = (whole.trajectories.last_mut(), page.trajectories.first_mut())
            && open.entity == more.entity
        {
            open.points.append(&mut more.points);
            page.trajectories.remove(0);
        }
        whole.trajectories.append(&mut page.trajectories);
        whole.next_page_token = page.next_page_token;
    }
    Ok(whole)
}

/// Adds the rows of an entity, with its id in the first column if `with_id`. Returns how many of them cannot be
/// compared with the row before.
fn add_rows(table: &mut TextTable, trajectory: &proto::Trajectory, with_id: bool) -> usize {
    let mut breaks = 0;
    for (index, point) in trajectory.points.iter().enumerate() {
        let entry = point.entry.as_ref();
        let broken = index > 0 && !point.comparable_to_previous;
        breaks += usize::from(broken);
        table.add_row([
            if with_id { trajectory.entity.clone() } else { String::new() },
            point.edition.clone(),
            values::rank(entry, point.absence.as_ref()),
            if broken { "*" } else { "" }.to_owned(),
            values::value(entry.and_then(|entry| entry.score.as_ref())),
            point.methodology.clone(),
            words::edition_basis(point.basis()).to_owned(),
            entry.map_or_else(String::new, |entry| entry.published_name.clone()),
            editions::claims(entry.map_or(&[], |entry| &entry.disputed)),
        ]);
    }
    breaks
}
