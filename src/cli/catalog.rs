//! `almanac search`.

use super::{
    as_of::AsOfArg,
    error::CliError,
    json,
    session::Session,
    table::{Rows, note},
};
use crate::proto::{self, definition::Item};

/// Finds indicators, entities, sources and rankings by words of their ids, names and codes
#[derive(Debug, clap::Args)]
pub struct SearchArgs {
    /// Words, in any order
    #[arg(required = true)]
    words: Vec<String>,
    /// At most so many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i32).range(1..=100))]
    limit: i32,
    #[command(flatten)]
    when: AsOfArg,
}

/// Searches.
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
    let mut rows = Rows::new(&["kind", "id", "name", "matched"]);
    for hit in &answer.hits {
        let (kind, id, name) = describe(hit.definition.as_ref());
        let matched = if hit.matched == id || hit.matched == name { String::new() } else { hit.matched.clone() };
        rows.add([kind.to_owned(), id.to_owned(), name.to_owned(), matched]);
    }
    rows.print(session)?;
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

/// The first line of a description.
fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
