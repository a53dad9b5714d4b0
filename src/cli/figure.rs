//! `almanac figure`: one figure, by all sources.

use super::{
    as_of::AsOfArg,
    error::CliError,
    json,
    session::Session,
    table::{TextTable, note},
    values,
};
use crate::proto;

/// Show one figure: the selected value, the values of other sources, and how far they disagree
#[derive(Debug, clap::Args)]
pub struct FigureArgs {
    /// Id of the indicator, for example GB.XPD.RSDV.GD.ZS
    indicator: String,
    /// Id of the entity, for example CHN
    entity: String,
    /// Period, for example 2015 or 2025-06 [default: the latest with a figure]
    period: Option<String>,
    /// Policy that selects one of several sources: default@1 (the default: by precedence of sources) or newest@1
    /// (the newest release)
    #[arg(long, value_name = "ID@VERSION")]
    policy: Option<String>,
    /// Show only this source
    #[arg(long, value_name = "ID")]
    source: Option<String>,
    /// Code of a dimension, for example SEX=F; can be repeated
    #[arg(long = "dimension", value_name = "ID=CODE", value_parser = dimension)]
    dimensions: Vec<proto::Dimension>,
    #[command(flatten)]
    when: AsOfArg,
}

fn dimension(text: &str) -> Result<proto::Dimension, String> {
    let (id, value) = text.split_once('=').ok_or("write ID=CODE")?;
    Ok(proto::Dimension { id: id.to_owned(), value: value.to_owned() })
}

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
    let mut table = TextTable::new(&["", "#figure", "source", "released", "#revision", "cause", "remark"]);
    table.add_row(row("selected", &selected));
    for other in &answer.alternatives {
        table.add_row(row("other", other));
    }
    table.print(session)?;
    if let Some(disagreement) = answer.disagreement {
        note(session, disagreement_text(&disagreement))?;
    }
    note(session, format!("policy {}, revision {}", answer.policy, answer.revision))
}

fn row(mark: &str, figure: &proto::Observation) -> [String; 7] {
    [
        mark.to_owned(),
        values::value(figure.value.as_ref()),
        figure.source.clone(),
        figure.released.clone(),
        figure.revision.to_string(),
        values::cause(figure.cause).to_owned(),
        figure.value.as_ref().map_or_else(String::new, |value| value.comment.clone()),
    ]
}

fn disagreement_text(disagreement: &proto::Disagreement) -> String {
    let left_out = match disagreement.not_comparable {
        0 => String::new(),
        count => format!("; {count} more are bounds or missing, and do not count"),
    };
    if disagreement.spread == 0.0 {
        return format!("{} sources agree{left_out}", disagreement.compared);
    }
    let percent = disagreement.relative_spread * 100.0;
    format!(
        "{} sources disagree: {} to {}, {percent:.2} % apart{left_out}",
        disagreement.compared, disagreement.min, disagreement.max
    )
}
