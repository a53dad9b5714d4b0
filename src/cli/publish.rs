//! `almanac publish`: a table as an edition of a ranking.
//!
//! It reads the file by a profile, sends it as one write, and prints what changed. `sample` publishes through the same
//! functions.
//!
//! Invariant: the same command with the same file is a retry and writes nothing, unless another write to the edition came
//! between: then it is a new write.

use std::{collections::BTreeMap, path::PathBuf, str::FromStr};

use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::{
    directory, editions,
    error::CliError,
    json,
    session::{Session, TextStyle},
    table::note,
    upload, writing,
};
use crate::{
    intake::{
        editions::{EditionFile, EditionReader},
        profile::{Profile, edition_profile_names},
    },
    model::{catalog::EntityKind, finding::Finding, time::Date},
    proto,
};

/// Separates the two parts of a request id that the command makes: the digest of the command, and the head at which it
/// was given.
const HEAD_SEPARATOR: char = '@';

/// Publish or correct an edition of a ranking
#[derive(Debug, Clone, clap::Args)]
pub struct PublishArgs {
    /// Id of the ranking, for example gii-clusters
    pub ranking: String,
    /// Id of the edition, for example 2025
    pub edition: String,
    /// File with the table, for example gii-clusters-2025.csv
    file: PathBuf,
    #[command(flatten)]
    attributes: EditionArgs,
    /// Replace an edition that exists
    #[arg(long)]
    correct: bool,
    /// Define the entities that the catalog does not have
    #[arg(long)]
    add_entities: bool,
    /// Check everything and show what would change; write nothing
    #[arg(long)]
    dry_run: bool,
    /// Id that makes a retry safe: the server writes once for each id [default: made from the command and the head, so
    /// that the same command is a retry until another write to the edition]
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Note that is kept with the commit [default: none]
    #[arg(long, default_value = "", hide_default_value = true)]
    note: String,
}

/// The attributes of an edition that its table does not say.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct EditionArgs {
    #[arg(long, value_name = "NAME|FILE", default_value = "almanac-edition",
        help = format!("What the columns mean: {}, or a file of your own", edition_profile_names().join(", ")))]
    pub profile: String,
    /// Date on which the producer published the edition, for example 2025-09-01 [default: today in UTC]
    #[arg(long, value_name = "DATE", value_parser = writing::date)]
    pub released: Option<Date>,
    /// Ranks that the table has: all, top, top:N, or partial (only some are known)
    #[arg(long, value_name = "RANKS", default_value = "top", value_parser = CoverageArg::from_str)]
    pub coverage: CoverageArg,
    /// Length of the published list [default: N of top:N; for top, the number of entries]
    #[arg(long, value_name = "N")]
    pub listed: Option<u32>,
    /// Number of entities that were ranked in all [default: not stated]
    #[arg(long, value_name = "N")]
    pub universe: Option<u32>,
    /// Id of the methodology [default: none]
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    pub methodology: String,
    /// Title of the edition [default: none]
    #[arg(long, default_value = "", hide_default_value = true)]
    pub title: String,
    /// Ranks as the edition of their own time gives them, or an earlier year's ranks as a later edition restates them
    #[arg(long, value_enum, default_value = "as-published")]
    pub basis: BasisArg,
    /// Year or edition that restated ranks are about, for example 2022
    #[arg(long, default_value = "", hide_default_value = true)]
    pub about: String,
    /// Id of the source [default: that of the ranking]
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    pub source: String,
}

/// The value of `--coverage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CoverageArg {
    kind: proto::CoverageKind,
    /// N of `top:N`.
    listed: Option<u32>,
}

impl FromStr for CoverageArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, listed) = match text {
            "all" => (proto::CoverageKind::All, None),
            "top" => (proto::CoverageKind::Top, None),
            "partial" => (proto::CoverageKind::Partial, None),
            _ => {
                let count = text.strip_prefix("top:").and_then(|count| count.parse().ok()).filter(|count| *count > 0);
                (proto::CoverageKind::Top, Some(count.ok_or("give all, top, top:N or partial")?))
            }
        };
        Ok(Self { kind, listed })
    }
}

/// The value of `--basis`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum BasisArg {
    #[default]
    AsPublished,
    Restated,
}

impl From<BasisArg> for proto::EditionBasis {
    fn from(basis: BasisArg) -> Self {
        match basis {
            BasisArg::AsPublished => Self::AsPublished,
            BasisArg::Restated => Self::Restated,
        }
    }
}

/// A table to read.
#[derive(Debug, Clone, Copy)]
pub struct TableFile<'a> {
    /// What findings call it.
    pub name: &'a str,
    pub bytes: &'a [u8],
}

/// An edition to publish, with its entries.
#[derive(Debug)]
pub struct Publication {
    /// The first message of the upload. The caller sets the options and whether it is a correction.
    pub header: proto::PublishHeader,
    pub file: EditionFile,
}

pub async fn run(args: PublishArgs, session: &Session) -> Result<(), CliError> {
    let name = args.file.display().to_string();
    let bytes = std::fs::read(&args.file).map_err(|error| CliError::Refused(format!("{name}: {error}")))?;
    let RequestIdentity { request_id, names_at } = request_identity(session, &args, &bytes).await?;
    let options = proto::WriteOptions {
        // A dry run writes nothing, so that it needs no protection from a retry.
        request_id: if args.dry_run { String::new() } else { request_id },
        validate_only: args.dry_run,
        note: args.note.clone(),
        document_sha256: writing::digest(&bytes),
        ..Default::default()
    };
    let request = EditionRequest {
        ranking: &args.ranking,
        edition: &args.edition,
        attributes: &args.attributes,
        add_entities: args.add_entities,
        names_at,
    };
    let mut publication = read(session, request, TableFile { name: &name, bytes: &bytes }).await?;
    publication.header.options = Some(options);
    publication.header.correction = args.correct;
    writing::print_findings(session, &publication.file.findings);
    if publication.file.errors > 0 {
        return Err(refusal(&name, &publication.file.findings, args.add_entities));
    }
    let response = send(session, publication).await.map_err(|error| match error {
        CliError::Status(status) if !args.correct && reason(&status) == "EDITION_EXISTS" => {
            CliError::Refused(format!("{} (--correct)", status.message()))
        }
        other => other,
    })?;
    print(session, &args, response).await
}

/// The reason of an error of the server; empty if it gives none.
fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

/// How the server tells a new command from a retry.
struct RequestIdentity {
    request_id: String,
    /// For a retry, the revision before the one that the first attempt wrote: names in the file mean what they meant
    /// then. `None` for a new command: names mean what they mean now.
    names_at: Option<u64>,
}

/// Finds out whether a command is a retry: whether a command with the same options and the same file wrote the current
/// version of the edition.
///
/// A request id that the command makes contains the head at which the command was given. So the same command writes
/// again once another write, or a revert, has changed the edition.
async fn request_identity(session: &Session, args: &PublishArgs, bytes: &[u8]) -> Result<RequestIdentity, CliError> {
    let digest = command_digest(args, bytes);
    if let Some(current) = edition_at(session, args, None).await? {
        let request_id = request_id_of(session, current.revision).await?;
        let is_retry = match &args.request_id {
            Some(given) => request_id == *given,
            None => request_id.split_once(HEAD_SEPARATOR).is_some_and(|(of, _)| of == digest),
        };
        if is_retry {
            return Ok(RequestIdentity { request_id, names_at: Some(current.revision.saturating_sub(1)) });
        }
    }
    let request_id = match &args.request_id {
        Some(given) => given.clone(),
        None => {
            let head = session.feed().get_head(proto::GetHeadRequest::default()).await?.into_inner().head;
            format!("{digest}{HEAD_SEPARATOR}{head}")
        }
    };
    Ok(RequestIdentity { request_id, names_at: None })
}

fn command_digest(args: &PublishArgs, bytes: &[u8]) -> String {
    let options = format!(
        "{} {} {:?} {} {} {}\n",
        args.ranking, args.edition, args.attributes, args.correct, args.add_entities, args.note
    );
    writing::digest(&[options.as_bytes(), bytes].concat())
}

/// The request id of a commit; empty if it has none, or if compaction has dropped the commit.
async fn request_id_of(session: &Session, revision: u64) -> Result<String, CliError> {
    let request =
        proto::ListCommitsRequest { after_revision: revision.saturating_sub(1), page_size: 1, ..Default::default() };
    match session.feed().list_commits(request).await {
        Ok(answer) => {
            let first = answer.into_inner().commits.into_iter().next();
            match first.and_then(|page| page.commit) {
                Some(commit) if commit.revision == revision => Ok(commit.request_id),
                _ => Ok(String::new()),
            }
        }
        Err(status) if status.code() == Code::OutOfRange => Ok(String::new()),
        Err(status) => Err(status.into()),
    }
}

/// An edition as it was at a revision, `None` being now; `None` if there was no such edition.
async fn edition_at(
    session: &Session,
    args: &PublishArgs,
    revision: Option<u64>,
) -> Result<Option<proto::Edition>, CliError> {
    let request = proto::GetEditionRequest {
        ranking: args.ranking.clone(),
        edition: args.edition.clone(),
        as_of: revision.map(|revision| proto::AsOf { at: Some(proto::as_of::At::Revision(revision)) }),
        ..Default::default()
    };
    match session.rankings().get_edition(request).await {
        Ok(answer) => Ok(answer.into_inner().edition),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(status.into()),
    }
}

fn refusal(name: &str, findings: &[Finding], add_entities: bool) -> CliError {
    let unknown = findings.iter().any(|finding| finding.code == "UNKNOWN_ENTITY");
    let hint = if unknown && !add_entities { "; --add-entities defines the names that are not known" } else { "" };
    CliError::Refused(format!("{name} was refused, nothing was written{hint}"))
}

/// The edition that a table becomes.
#[derive(Debug, Clone, Copy)]
pub struct EditionRequest<'a> {
    pub ranking: &'a str,
    pub edition: &'a str,
    pub attributes: &'a EditionArgs,
    /// Whether to define the entities that the catalog does not have.
    pub add_entities: bool,
    /// The revision whose names the table uses; `None` is now.
    pub names_at: Option<u64>,
}

/// Reads a table. What is wrong with it is in the findings of the answer.
pub async fn read(
    session: &Session,
    request: EditionRequest<'_>,
    table: TableFile<'_>,
) -> Result<Publication, CliError> {
    let attributes = request.attributes;
    let profile = Profile::load(&attributes.profile).map_err(|error| CliError::Usage(error.to_string()))?;
    let shape = profile.edition().map_err(|error| CliError::Usage(error.to_string()))?;
    let about = if attributes.about.is_empty() { request.edition } else { &attributes.about };
    let reader = EditionReader {
        profile: &profile,
        shape,
        subject: subject(session, request.ranking).await?,
        directory: &directory::load(session, request.names_at).await?,
        previous_edition: year_before(about),
        add_entities: request.add_entities,
    };
    let file = reader.read(table.name, table.bytes);
    let edition = edition(request.ranking, request.edition, attributes);
    let header = proto::PublishHeader { options: None, edition: Some(edition), correction: false };
    Ok(Publication { header, file })
}

/// What a ranking ranks.
async fn subject(session: &Session, ranking: &str) -> Result<EntityKind, CliError> {
    let request = proto::GetRankingRequest { id: ranking.to_owned(), ..Default::default() };
    let found = session.catalog().get_ranking(request).await?.into_inner().ranking.unwrap_or_default();
    directory::kind(found.subject()).ok_or_else(|| CliError::Refused(format!("{ranking} does not say what it ranks")))
}

fn edition(ranking: &str, id: &str, attributes: &EditionArgs) -> proto::Edition {
    let coverage = proto::Coverage {
        kind: attributes.coverage.kind.into(),
        listed: attributes.listed.or(attributes.coverage.listed).unwrap_or_default(),
        universe: attributes.universe.unwrap_or_default(),
        complete_to: 0,
    };
    proto::Edition {
        ranking: ranking.to_owned(),
        id: id.to_owned(),
        title: attributes.title.clone(),
        basis: proto::EditionBasis::from(attributes.basis).into(),
        about: attributes.about.clone(),
        coverage: Some(coverage),
        methodology: attributes.methodology.clone(),
        released: attributes.released.unwrap_or_else(writing::today).to_string(),
        source: attributes.source.clone(),
        ..Default::default()
    }
}

/// The edition that a printed "previous rank" is about: that of the year before. The id of an edition is a year or
/// begins with one.
fn year_before(edition: &str) -> Option<String> {
    let year: u16 = edition.get(..4)?.parse().ok()?;
    let year_ends = edition[4..].chars().next().is_none_or(|next| !next.is_ascii_digit());
    (year_ends && year > 1900).then(|| (year - 1).to_string())
}

/// Publishes an edition, with the definitions that its file needs.
pub async fn send(session: &Session, publication: Publication) -> Result<proto::PublishEditionResponse, CliError> {
    let Publication { header, file } = publication;
    let definitions = file.new_entities.into_iter().map(upload::define_entity).collect();
    let messages = upload::publication(header, definitions, &file.entries);
    Ok(session.admin().publish_edition(tokio_stream::iter(messages)).await?.into_inner())
}

async fn print(session: &Session, args: &PublishArgs, response: proto::PublishEditionResponse) -> Result<(), CliError> {
    if session.json {
        return json::print_message(&response, "almanac.v1.PublishEditionResponse");
    }
    let result = response.result.unwrap_or_default();
    writing::print_answer_findings(session, &result.findings);
    if writing::has_errors(&result.findings) {
        return Err(CliError::Refused("it would be refused".into()));
    }
    writing::print_replayed(session, &result)?;
    writing::print_difference(session, &result)?;
    let edition = match response.edition {
        Some(edition) => edition,
        // The answer to a retry has the revision and no edition.
        None => edition_at(session, args, Some(result.revision)).await?.unwrap_or_default(),
    };
    note(session, editions::heading(&edition))?;
    note(session, editions::coverage(&edition))?;
    note(session, writing::counts(&result.counts.unwrap_or_default()))?;
    if args.dry_run {
        print_planned_moves(session, &edition.compared_with, &result.difference)?;
        return note(session, format!("checked against revision {}; nothing was written", result.revision));
    }
    if !args.correct {
        print_comparison(session, &edition, result.revision).await?;
    }
    note(session, format!("revision {}", result.revision))
}

/// Prints how entries would move, as far as the difference tells.
fn print_planned_moves(session: &Session, against: &str, difference: &[proto::Change]) -> Result<(), CliError> {
    let mut all_comparable = true;
    let mut counts: BTreeMap<i32, u32> = BTreeMap::new();
    for change in difference {
        if let Some(proto::change::Detail::Entry(entry)) = &change.detail {
            all_comparable &= entry.comparable;
            *counts.entry(entry.movement).or_default() += 1;
        }
    }
    let counts: Vec<_> = counts.into_iter().map(|(movement, count)| proto::MovementCount { movement, count }).collect();
    print_movement_counts(session, against, &counts)?;
    if !all_comparable && !against.is_empty() {
        note(session, session.paint(TextStyle::Bold, "ranks of these two tables do not mean the same"))?;
    }
    Ok(())
}

/// Prints how entries moved, and whether their ranks mean the same as before.
async fn print_comparison(session: &Session, edition: &proto::Edition, revision: u64) -> Result<(), CliError> {
    if edition.compared_with.is_empty() {
        return note(session, "there is no edition before it to compare with");
    }
    let request = proto::CompareEditionsRequest {
        ranking: edition.ranking.clone(),
        earlier_edition: edition.compared_with.clone(),
        later_edition: edition.id.clone(),
        as_of: Some(proto::AsOf { at: Some(proto::as_of::At::Revision(revision)) }),
        // Every page has the counts of all.
        page_size: 1,
        ..Default::default()
    };
    let compared = session.rankings().compare_editions(request).await?.into_inner();
    print_movement_counts(session, &edition.compared_with, &compared.counts)?;
    if !compared.comparable {
        note(session, session.paint(TextStyle::Bold, "ranks of these two tables do not mean the same:"))?;
    }
    for reason in &compared.comparability_notes {
        note(session, format!("  {reason}"))?;
    }
    Ok(())
}

fn print_movement_counts(session: &Session, against: &str, counts: &[proto::MovementCount]) -> Result<(), CliError> {
    if against.is_empty() {
        return Ok(());
    }
    let positive: Vec<_> = counts.iter().filter(|count| count.count > 0).copied().collect();
    note(session, format!("against {against}: {}", editions::movement_counts(&positive)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coverage_is_a_word_or_top_with_a_number() {
        assert_eq!("top:100".parse::<CoverageArg>().unwrap().listed, Some(100));
        assert_eq!("partial".parse::<CoverageArg>().unwrap().kind, proto::CoverageKind::Partial);
        for text in ["", "top:", "top:0", "top:-1", "some"] {
            assert!(text.parse::<CoverageArg>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_previous_rank_is_about_the_year_before() {
        assert_eq!(year_before("2023").as_deref(), Some("2022"));
        assert_eq!(year_before("2022-restated-2023").as_deref(), Some("2021"));
        for edition in ["", "first", "20231", "0000"] {
            assert_eq!(year_before(edition), None, "{edition}");
        }
    }
}
