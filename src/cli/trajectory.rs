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
    let request =
        proto::GetTrajectoryRequest { ranking: args.ranking, entities: args.entities, as_of: args.when.as_of };
    let answer = session.rankings().get_trajectory(request).await?.into_inner();
    if session.json {
        return json::print_message(&answer, "almanac.v1.GetTrajectoryResponse");
    }
    let mut rows = Rows::new(&["entity", "edition", "#rank", "", "#score", "method", "basis", "name", "others say"]);
    let several = answer.trajectories.len() > 1;
    let mut breaks = 0;
    for trajectory in &answer.trajectories {
        for (index, point) in trajectory.points.iter().enumerate() {
            let standing = point.standing.as_ref();
            let broken = index > 0 && !point.comparable_to_previous;
            breaks += usize::from(broken);
            rows.add([
                if several { trajectory.entity.clone() } else { String::new() },
                point.edition.clone(),
                values::rank(standing),
                if broken { "*" } else { "" }.to_owned(),
                values::value(standing.and_then(|standing| standing.score.as_ref())),
                point.methodology.clone(),
                basis(point.basis()).to_owned(),
                standing.map_or_else(String::new, |standing| standing.published_name.clone()),
                editions::claims(&point.disputed),
            ]);
        }
    }
    rows.print(session)?;
    if breaks > 0 {
        note(session, "* ranks do not mean the same as in the edition before: another method or basis")?;
    }
    note(session, "? not known; >N worse than rank N")?;
    note(session, format!("revision {}", answer.revision))
}

fn basis(basis: proto::EditionBasis) -> &'static str {
    match basis {
        proto::EditionBasis::Unspecified | proto::EditionBasis::AsPublished => "",
        proto::EditionBasis::Restated => "restated",
        proto::EditionBasis::Counterfactual => "what-if",
    }
}
