//! `almanac search`, and how definitions are printed.

use super::{
    as_of::AsOfArg,
    error::CliError,
    json,
    session::Session,
    table::{TextTable, note},
};
use crate::proto::{self, definition::Item};

/// Find indicators, entities, sources, rankings and methodologies by words of their ids, names and codes
#[derive(Debug, clap::Args)]
pub struct SearchArgs {
    /// Words that all occur, in any order
    #[arg(required = true)]
    words: Vec<String>,
    /// Show at most N, from 1 to 100
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(i32).range(1..=100))]
    limit: i32,
    #[command(flatten)]
    when: AsOfArg,
}

pub async fn search(args: SearchArgs, session: &Session) -> Result<(), CliError> {
    let request = proto::SearchCatalogRequest {
        query: args.words.join(" "),
        page_size: args.limit,
        as_of: args.when.as_of,
        ..Default::default()
    };
    let answer = session.catalog().search_catalog(request).await?.into_inner();
    if session.json {
        return json::print_message(&answer, "almanac.v1.SearchCatalogResponse");
    }
    let mut table = TextTable::new(&["kind", "id", "name", "matched"]);
    for hit in &answer.hits {
        let (kind, id, name) = describe(hit.definition.as_ref());
        let matched = if hit.matched == id || hit.matched == name { String::new() } else { hit.matched.clone() };
        table.add_row([kind.to_owned(), id.to_owned(), name.to_owned(), matched]);
    }
    table.print(session)?;
    let more = if answer.next_page_token.is_empty() { "" } else { ", and more: say --limit" };
    note(session, format!("{} found{more}, revision {}", answer.hits.len(), answer.revision))
}

/// Kind, id and name of a definition.
pub fn describe(definition: Option<&proto::Definition>) -> (&'static str, &str, &str) {
    match definition.and_then(|definition| definition.item.as_ref()) {
        Some(Item::Indicator(indicator)) => ("indicator", &indicator.id, &indicator.name),
        Some(Item::Entity(entity)) => ("entity", &entity.id, &entity.name),
        Some(Item::Source(source)) => ("source", &source.id, &source.title),
        Some(Item::Ranking(ranking)) => ("ranking", &ranking.id, &ranking.name),
        Some(Item::Methodology(methodology)) => ("methodology", &methodology.id, first_line(&methodology.description)),
        None => ("", "", ""),
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
