//! `almanac trajectory`.

use super::{
    as_of::AsOfArg,
    editions,
    error::CliError,
    json,
    session::Session,
    table::{Rows, note},
    values,
};
use crate::proto;

/// Shows where entities stood over all editions of a ranking
#[derive(Debug, clap::Args)]
pub struct TrajectoryArgs {
    /// Ranking
    ranking: String,
    /// Entity ids
    #[arg(required = true)]
    entities: Vec<String>,
    #[command(flatten)]
    when: AsOfArg,
}

/// Shows trajectories.
pub async fn run(args: TrajectoryArgs, session: &Session) -> Result<(), CliError> {
    let (ranking, entities, as_of) = (args.ranking, args.entities, args.when.as_of);
    let request = proto::GetTrajectoryRequest { ranking, entities, as_of, ..Default::default() };
    let answer = all_pages(session, request).await?;
    if session.json {
        return json::print_message(&answer, "almanac.v1.GetTrajectoryResponse");
    }
    let mut breaks = 0;
    // People read one table an entity, programs one in all.
    let together = if session.terminal { 1 } else { usize::MAX };
    for trajectories in answer.trajectories.chunks(together) {
        if let (true, [one]) = (session.terminal, trajectories) {
            note(session, &one.entity)?;
        }
        let mut rows =
            Rows::new(&["entity", "edition", "#rank", "", "#score", "method", "basis", "name", "others say"]);
        for trajectory in trajectories {
            breaks += add(&mut rows, trajectory, !session.terminal);
        }
        rows.print(session)?;
    }
    if breaks > 0 {
        note(session, "* ranks do not mean the same as in the edition before: another method or basis")?;
    }
    note(session, "? not known; >N worse than rank N; – not ranked")?;
    note(session, format!("revision {}", answer.revision))
}

/// The whole trajectories, as one answer.
async fn all_pages(
    session: &Session,
    mut request: proto::GetTrajectoryRequest,
) -> Result<proto::GetTrajectoryResponse, CliError> {
    let mut rankings = session.rankings();
    let mut whole = rankings.get_trajectory(request.clone()).await?.into_inner();
    while !whole.next_page_token.is_empty() {
        request.page_token = std::mem::take(&mut whole.next_page_token);
        let mut page = rankings.get_trajectory(request.clone()).await?.into_inner();
        // The last one may go on here.
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

/// Adds the rows of an entity; says how many of them cannot be compared with the one before.
fn add(rows: &mut Rows, trajectory: &proto::Trajectory, named: bool) -> usize {
    let mut breaks = 0;
    for (index, point) in trajectory.points.iter().enumerate() {
        let entry = point.entry.as_ref();
        let broken = index > 0 && !point.comparable_to_previous;
        breaks += usize::from(broken);
        rows.add([
            if named { trajectory.entity.clone() } else { String::new() },
            point.edition.clone(),
            values::rank(entry, point.absence.as_ref()),
            if broken { "*" } else { "" }.to_owned(),
            values::value(entry.and_then(|entry| entry.score.as_ref())),
            point.methodology.clone(),
            basis(point.basis()).to_owned(),
            entry.map_or_else(String::new, |entry| entry.published_name.clone()),
            editions::claims(entry.map_or(&[], |entry| &entry.disputed)),
        ]);
    }
    breaks
}

fn basis(basis: proto::EditionBasis) -> &'static str {
    match basis {
        proto::EditionBasis::Unspecified | proto::EditionBasis::AsPublished => "",
        proto::EditionBasis::Restated => "restated",
        proto::EditionBasis::Counterfactual => "what-if",
    }
}
