//! `almanac figure`.

use super::{
    as_of::AsOfArg,
    error::CliError,
    json,
    session::Session,
    table::{Rows, note},
    values,
};
use crate::proto;

/// Shows one figure: the selected value, what other sources say, and how far they disagree
#[derive(Debug, clap::Args)]
pub struct FigureArgs {
    /// Indicator, for example GB.XPD.RSDV.GD.ZS
    indicator: String,
    /// Entity, for example CHN
    entity: String,
    /// Period, for example 2015; the latest with a figure if not given
    period: Option<String>,
    /// Selection policy: default@1 or newest@1
    #[arg(long)]
    policy: Option<String>,
    /// Only this source
    #[arg(long)]
    source: Option<String>,
    /// A further dimension, for example SEX=F
    #[arg(long = "dimension", value_name = "ID=CODE", value_parser = dimension)]
    dimensions: Vec<proto::Dimension>,
    #[command(flatten)]
    when: AsOfArg,
}

fn dimension(text: &str) -> Result<proto::Dimension, String> {
    let (id, value) = text.split_once('=').ok_or("write ID=CODE")?;
    Ok(proto::Dimension { id: id.to_owned(), value: value.to_owned() })
}

/// Shows the figure.
pub async fn run(args: FigureArgs, session: &Session) -> Result<(), CliError> {
    let request = proto::GetFigureRequest {
        indicator: args.indicator,
        entity: args.entity,
        period: args.period.unwrap_or_default(),
        dimensions: args.dimensions,
        policy: args.policy.unwrap_or_default(),
        source: args.source.unwrap_or_default(),
        as_of: args.when.as_of,
        ..Default::default()
    };
    let answer = session.statistics().get_figure(request).await?.into_inner();
    if session.json {
        return json::print_message(&answer, "almanac.v1.GetFigureResponse");
    }
    let selected = answer.selected.clone().unwrap_or_default();
    note(session, format!("{} {} {}, {}", selected.indicator, selected.entity, selected.period, answer.unit))?;
    let mut rows = Rows::new(&["", "#figure", "source", "released", "#revision", "cause", "remark"]);
    for (mark, figure) in
        std::iter::once(("selected", &selected)).chain(answer.alternatives.iter().map(|other| ("other", other)))
    {
        rows.add([
            mark.to_owned(),
            values::value(figure.value.as_ref()),
            figure.source.clone(),
            figure.released.clone(),
            figure.revision.to_string(),
            values::cause(figure.cause).to_owned(),
            figure.value.as_ref().map_or_else(String::new, |value| value.comment.clone()),
        ]);
    }
    rows.print(session)?;
    if let Some(disagreement) = answer.disagreement {
        note(session, disagreement_text(&disagreement))?;
    }
    note(session, format!("policy {}, revision {}", answer.policy, answer.revision))
}

fn disagreement_text(found: &proto::Disagreement) -> String {
    let left_out = match found.not_comparable {
        0 => String::new(),
        count => format!("; {count} more are bounds or missing, and do not count"),
    };
    if found.spread == 0.0 {
        return format!("{} sources agree{left_out}", found.compared);
    }
    let percent = found.relative_spread * 100.0;
    format!("{} sources disagree: {} to {}, {percent:.2} % apart{left_out}", found.compared, found.min, found.max)
}
