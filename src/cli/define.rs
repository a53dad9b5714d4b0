//! `almanac define`: definitions of the catalog, from files.

use std::path::PathBuf;

use prost::Message;

use super::{
    error::CliError,
    json,
    session::Session,
    table::{line, note},
    writing,
};
use crate::proto;

/// Most bytes of definitions in one request; well below the 4 MiB that a server accepts.
const REQUEST_BYTES: usize = 2 << 20;
/// Most definitions in one request.
const REQUEST_DEFINITIONS_MAX: usize = 10_000;

/// Add or replace indicators, entities, sources, rankings and methodologies
#[derive(Debug, clap::Args)]
pub struct DefineArgs {
    /// Catalog files, proto3 JSON of `almanac.v1.DefineCatalogRequest`; each becomes one commit
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Check everything and show what would change; write nothing
    #[arg(long)]
    dry_run: bool,
    /// Note that is kept with the commit [default: none]
    #[arg(long, default_value = "", hide_default_value = true)]
    note: String,
}

pub async fn run(args: DefineArgs, session: &Session) -> Result<(), CliError> {
    for path in &args.files {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| CliError::Refused(format!("{name}: {error}")))?;
        let definitions = read(&name, &text)?;
        let options = proto::WriteOptions {
            validate_only: args.dry_run,
            note: args.note.clone(),
            document_sha256: writing::digest(text.as_bytes()),
            ..Default::default()
        };
        for result in send(session, definitions, options).await? {
            print(session, &name, args.dry_run, result)?;
        }
    }
    Ok(())
}

fn print(session: &Session, name: &str, dry_run: bool, result: proto::WriteResult) -> Result<(), CliError> {
    if session.json {
        let response = proto::DefineCatalogResponse { result: Some(result) };
        return json::print_line(&response, "almanac.v1.DefineCatalogResponse");
    }
    writing::print_answer_findings(session, &result.findings);
    if writing::has_errors(&result.findings) {
        return Err(CliError::Refused(format!("{name} would be refused")));
    }
    writing::print_replayed(session, &result)?;
    writing::print_difference(session, &result)?;
    let counts = writing::counts(&result.counts.unwrap_or_default());
    if dry_run {
        return note(session, format!("{name}: would be {counts}; nothing was written"));
    }
    line(format!("{name}: {counts}, revision {}", result.revision))
}

/// The definitions of a catalog file. `name` is what errors call it.
pub fn read(name: &str, text: &str) -> Result<Vec<proto::Definition>, CliError> {
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let request: proto::DefineCatalogRequest = json::read_message(text, "almanac.v1.DefineCatalogRequest")
        .map_err(|error| CliError::Refused(format!("{name}: {error}")))?;
    if request.options.is_some() {
        return Err(CliError::Refused(format!("{name}: a catalog file has definitions and no options")));
    }
    Ok(request.definitions)
}

/// Sends definitions, in several requests if there are many. Then the request ids of all but the first end in `:1`,
/// `:2` and so on.
pub async fn send(
    session: &Session,
    definitions: Vec<proto::Definition>,
    options: proto::WriteOptions,
) -> Result<Vec<proto::WriteResult>, CliError> {
    let mut parts = Vec::new();
    let mut part = Vec::new();
    let mut bytes = 0;
    for definition in definitions {
        let length = definition.encoded_len();
        let is_full = bytes + length > REQUEST_BYTES || part.len() == REQUEST_DEFINITIONS_MAX;
        if is_full && !part.is_empty() {
            parts.push(std::mem::take(&mut part));
            bytes = 0;
        }
        bytes += length;
        part.push(definition);
    }
    parts.push(part);
    let mut results = Vec::new();
    for (at, definitions) in parts.into_iter().enumerate() {
        let mut options = options.clone();
        if at > 0 && !options.request_id.is_empty() {
            options.request_id = format!("{}:{at}", options.request_id);
        }
        let request = proto::DefineCatalogRequest { options: Some(options), definitions };
        let response = session.admin().define_catalog(request).await?.into_inner();
        results.push(response.result.unwrap_or_default());
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_catalog_file_is_proto3_json() {
        let text = r#"{"definitions":[{"entity":{"id":"CHN","kind":"ENTITY_KIND_ECONOMY","name":"China",
            "names":[{"text":"PRC","validFrom":"1949-10-01"}]}}]}"#;
        assert_eq!(read("c.json", text).unwrap().len(), 1);
        let slip = read("c.json", r#"{"definitions":[{"entiti":{}}]}"#).unwrap_err().to_string();
        assert!(slip.contains("c.json") && slip.contains("entiti"), "{slip}");
        assert!(read("c.json", r#"{"options":{"validateOnly":true},"definitions":[]}"#).is_err());
    }
}
