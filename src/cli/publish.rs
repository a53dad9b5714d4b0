//! `almanac publish`: a table as an edition.

use std::{collections::BTreeMap, path::PathBuf, str::FromStr};

use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::{
    directory, editions,
    error::CliError,
    json,
    session::{Session, Tone},
    table::note,
    upload, writing,
};
use crate::{
    intake::{
        editions::{EditionFile, EditionReader},
        profile::{Profile, names},
    },
    model::{finding::Finding, time::Date},
    proto,
};

/// Between what was asked and the revision at which it was asked, in a request id that nobody named.
const GIVEN_AT: char = '@';

/// Publishes or corrects an edition of a ranking
#[derive(Debug, Clone, clap::Args)]
pub struct PublishArgs {
    /// Ranking
    pub ranking: String,
    /// Id of the edition, for example 2025
    pub edition: String,
    /// File with the table
    file: PathBuf,
    #[command(flatten)]
    about: EditionArgs,
    /// Replace an edition that exists
    #[arg(long)]
    correct: bool,
    /// Define the entities whose names are not known
    #[arg(long)]
    add_entities: bool,
    /// Check everything and show the difference; write nothing
    #[arg(long)]
    dry_run: bool,
    /// Makes a retry safe; default: one that tells a retry from the same command given again after another act
    #[arg(long)]
    request_id: Option<String>,
    /// Note kept with the commit
    #[arg(long, default_value = "")]
    note: String,
}

/// What is said about an edition beside its table.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct EditionArgs {
    /// How the file maps to entries
    #[arg(long, default_value = "almanac-edition",
        help = format!("How the file maps to entries: {}, or a TOML file of your own", names().join(", ")))]
    pub profile: String,
    /// When the producer published it; default: today
    #[arg(long, value_name = "DATE", value_parser = writing::date)]
    pub released: Option<Date>,
    /// Which ranks the table has: all, top, top:N or partial (only some ranks are known)
    #[arg(long, default_value = "top", value_parser = CoverageArg::from_str)]
    pub coverage: CoverageArg,
    /// How long the published list is
    #[arg(long, value_name = "N")]
    pub listed: Option<u32>,
    /// How many were ranked in all
    #[arg(long, value_name = "N")]
    pub universe: Option<u32>,
    /// Methodology of the ranking
    #[arg(long, default_value = "")]
    pub methodology: String,
    /// Title
    #[arg(long, default_value = "")]
    pub title: String,
    /// as-published: the table of its own time; restated: an earlier year's ranks as a later edition gives them
    #[arg(long, value_enum, default_value = "as-published")]
    pub basis: BasisArg,
    /// The year or edition that restated ranks are about
    #[arg(long, default_value = "")]
    pub about: String,
    /// Source; default: that of the ranking
    #[arg(long, default_value = "")]
    pub source: String,
}

/// Which ranks a table has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CoverageArg {
    kind: proto::CoverageKind,
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

/// What kind of table it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
#[allow(missing_docs)]
pub enum BasisArg {
    #[default]
    AsPublished,
    Restated,
}

/// An edition to publish, read from its file.
#[derive(Debug)]
pub struct Publication {
    /// What is sent first; its options are the caller's.
    pub header: proto::PublishHeader,
    /// What the file says.
    pub file: EditionFile,
}

/// Publishes.
pub async fn run(args: PublishArgs, session: &Session) -> Result<(), CliError> {
    let name = args.file.display().to_string();
    let bytes = std::fs::read(&args.file).map_err(|error| CliError::Refused(format!("{name}: {error}")))?;
    let Attempt { request_id, names_at } = attempt(session, &args, &bytes).await?;
    let options = proto::WriteOptions {
        // What is only checked has no retry to protect.
        request_id: if args.dry_run { String::new() } else { request_id },
        validate_only: args.dry_run,
        note: args.note.clone(),
        document_sha256: writing::digest(&bytes),
        ..Default::default()
    };
    let (ranking, edition) = (args.ranking.as_str(), args.edition.as_str());
    let mut read = read(session, (ranking, edition), &args.about, args.add_entities, (&name, &bytes), names_at).await?;
    read.header.options = Some(options);
    read.header.correction = args.correct;
    writing::print_findings(session, &read.file.findings);
    if read.file.errors > 0 {
        return Err(refusal(&name, &read.file.findings, args.add_entities));
    }
    let response = send(session, read).await.map_err(|error| match error {
        CliError::Status(status) if !args.correct && reason(&status) == "EDITION_EXISTS" => {
            CliError::Refused(format!("{} (--correct)", status.message()))
        }
        other => other,
    })?;
    print(session, &args, response).await
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

/// Under which request id a command writes.
struct Attempt {
    request_id: String,
    /// It is a retry: the revision before the one that it wrote. The names in its file mean what they meant there.
    names_at: Option<u64>,
}

/// Finds out whether a command is a retry: whether the version that is there was written by a command with the same options and the
/// same file. A request id that nobody names says which command it is and at which revision it was given, so that the same
/// command writes again once another act came between, a revert too.
async fn attempt(session: &Session, args: &PublishArgs, bytes: &[u8]) -> Result<Attempt, CliError> {
    let command = command_digest(args, bytes);
    if let Some(known) = edition_at(session, args, None).await? {
        let wrote = request_id_of(session, known.revision).await?;
        let retried = match &args.request_id {
            Some(given) => wrote == *given,
            None => wrote.split_once(GIVEN_AT).is_some_and(|(by, _)| by == command),
        };
        if retried {
            return Ok(Attempt { request_id: wrote, names_at: Some(known.revision.saturating_sub(1)) });
        }
    }
    let request_id = match &args.request_id {
        Some(given) => given.clone(),
        None => {
            let head = session.feed().get_head(proto::GetHeadRequest::default()).await?.into_inner().head;
            format!("{command}{GIVEN_AT}{head}")
        }
    };
    Ok(Attempt { request_id, names_at: None })
}

fn command_digest(args: &PublishArgs, bytes: &[u8]) -> String {
    let options = format!(
        "{} {} {:?} {} {} {}\n",
        args.ranking, args.edition, args.about, args.correct, args.add_entities, args.note
    );
    writing::digest(&[options.as_bytes(), bytes].concat())
}

/// The request id that a commit was made under; empty if it had none, or if the commit was dropped by compaction.
async fn request_id_of(session: &Session, revision: u64) -> Result<String, CliError> {
    let request =
        proto::ListCommitsRequest { after_revision: revision.saturating_sub(1), page_size: 1, ..Default::default() };
    match session.feed().list_commits(request).await {
        Ok(answer) => {
            let first = answer.into_inner().commits.into_iter().next().and_then(|page| page.commit);
            Ok(first.filter(|commit| commit.revision == revision).map(|commit| commit.request_id).unwrap_or_default())
        }
        Err(status) if status.code() == Code::OutOfRange => Ok(String::new()),
        Err(status) => Err(status.into()),
    }
}

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

/// Reads a table with the names that the server knows, or knew at a revision.
pub async fn read(
    session: &Session,
    (ranking, edition): (&str, &str),
    about: &EditionArgs,
    add_entities: bool,
    (name, bytes): (&str, &[u8]),
    names_at: Option<u64>,
) -> Result<Publication, CliError> {
    let profile = Profile::load(&about.profile).map_err(|error| CliError::Usage(error.to_string()))?;
    let shape = profile.edition().map_err(|error| CliError::Usage(error.to_string()))?;
    let request = proto::GetRankingRequest { id: ranking.to_owned(), ..Default::default() };
    let known = session.catalog().get_ranking(request).await?.into_inner().ranking.unwrap_or_default();
    let subject = directory::kind(known.subject())
        .ok_or_else(|| CliError::Refused(format!("{ranking} does not say what it ranks")))?;
    let directory = directory::load(session, names_at).await?;
    let reader = EditionReader {
        profile: &profile,
        shape,
        directory: &directory,
        subject,
        previous_edition: year_before(if about.about.is_empty() { edition } else { &about.about }),
        add_entities,
    };
    let file = reader.read(name, bytes);
    let coverage = proto::Coverage {
        kind: about.coverage.kind.into(),
        listed: about.listed.or(about.coverage.listed).unwrap_or_default(),
        universe: about.universe.unwrap_or_default(),
        complete_to: 0,
    };
    let edition = proto::Edition {
        ranking: ranking.to_owned(),
        id: edition.to_owned(),
        title: about.title.clone(),
        basis: match about.basis {
            BasisArg::AsPublished => proto::EditionBasis::AsPublished,
            BasisArg::Restated => proto::EditionBasis::Restated,
        }
        .into(),
        about: about.about.clone(),
        coverage: Some(coverage),
        methodology: about.methodology.clone(),
        released: about.released.unwrap_or_else(writing::today).to_string(),
        source: about.source.clone(),
        ..Default::default()
    };
    let header = proto::PublishHeader { options: None, edition: Some(edition), correction: false };
    Ok(Publication { header, file })
}

/// The edition that a printed "previous rank" is about. Editions are called by their year, or begin with it.
fn year_before(edition: &str) -> Option<String> {
    let year: u16 = edition.get(..4)?.parse().ok()?;
    let ends = edition[4..].chars().next().is_none_or(|next| !next.is_ascii_digit());
    (ends && year > 1900).then(|| (year - 1).to_string())
}

/// Publishes, with the definitions that the file needs.
pub async fn send(session: &Session, read: Publication) -> Result<proto::PublishEditionResponse, CliError> {
    let Publication { header, file } = read;
    let definitions = file.new_entities.into_iter().map(upload::define_entity).collect();
    let messages = upload::publication(header, definitions, &file.entries);
    Ok(session.admin().publish_edition(tokio_stream::iter(messages)).await?.into_inner())
}

async fn print(session: &Session, args: &PublishArgs, response: proto::PublishEditionResponse) -> Result<(), CliError> {
    if session.json {
        return json::print_message(&response, "almanac.v1.PublishEditionResponse");
    }
    let result = response.result.unwrap_or_default();
    writing::print_answered(session, &result.findings);
    if writing::refused(&result.findings) {
        return Err(CliError::Refused("it would be refused".into()));
    }
    writing::print_replayed(session, &result)?;
    writing::print_difference(session, &result)?;
    let edition = match response.edition {
        Some(edition) => edition,
        // An answer given again names the revision and leaves the rest to be looked up.
        None => edition_at(session, args, Some(result.revision)).await?.unwrap_or_default(),
    };
    note(session, editions::heading(&edition))?;
    note(session, editions::coverage(&edition))?;
    note(session, writing::counts(&result.counts.unwrap_or_default()))?;
    if args.dry_run {
        let entries = result.difference.iter().filter_map(|change| match &change.detail {
            Some(proto::change::Detail::Entry(entry)) => Some(entry),
            _ => None,
        });
        let comparable = entries.clone().all(|entry| entry.comparable);
        let mut counts: BTreeMap<i32, u32> = BTreeMap::new();
        entries.for_each(|entry| *counts.entry(entry.movement).or_default() += 1);
        let counts: Vec<_> =
            counts.into_iter().map(|(movement, count)| proto::MovementCount { movement, count }).collect();
        print_moves(session, &edition.compared_with, &counts)?;
        if !comparable && !edition.compared_with.is_empty() {
            note(session, session.paint(Tone::Strong, "ranks of these two tables do not mean the same"))?;
        }
        return note(session, format!("checked against revision {}; nothing was written", result.revision));
    }
    if !args.correct {
        compare(session, &edition, result.revision).await?;
    }
    note(session, format!("revision {}", result.revision))
}

/// Says how entries moved, and whether their ranks mean the same as before.
async fn compare(session: &Session, edition: &proto::Edition, revision: u64) -> Result<(), CliError> {
    if edition.compared_with.is_empty() {
        return note(session, "there is no edition before it to compare with");
    }
    let request = proto::CompareEditionsRequest {
        ranking: edition.ranking.clone(),
        earlier_edition: edition.compared_with.clone(),
        later_edition: edition.id.clone(),
        as_of: Some(proto::AsOf { at: Some(proto::as_of::At::Revision(revision)) }),
        // The counts are those of all pages.
        page_size: 1,
        ..Default::default()
    };
    let compared = session.rankings().compare_editions(request).await?.into_inner();
    print_moves(session, &edition.compared_with, &compared.counts)?;
    if !compared.comparable {
        note(session, session.paint(Tone::Strong, "ranks of these two tables do not mean the same:"))?;
    }
    compared.comparability_notes.iter().try_for_each(|reason| note(session, format!("  {reason}")))
}

fn print_moves(session: &Session, against: &str, counts: &[proto::MovementCount]) -> Result<(), CliError> {
    if against.is_empty() {
        return Ok(());
    }
    let said = |count: &proto::MovementCount| format!("{} {}", count.count, editions::movement(count.movement()));
    let counts: Vec<String> = counts.iter().filter(|count| count.count > 0).map(said).collect();
    note(session, format!("against {against}: {}", counts.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coverage_is_said_in_a_word() {
        let coverage = |text: &str| text.parse::<CoverageArg>();
        assert_eq!(coverage("top:100").unwrap().listed, Some(100));
        assert_eq!(coverage("partial").unwrap().kind, proto::CoverageKind::Partial);
        for bad in ["", "top:", "top:0", "top:-1", "some"] {
            assert!(coverage(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_rank_before_is_that_of_the_year_before() {
        assert_eq!(year_before("2023").as_deref(), Some("2022"));
        assert_eq!(year_before("2022-restated-2023").as_deref(), Some("2021"));
        for none in ["", "first", "20231", "0000"] {
            assert_eq!(year_before(none), None, "{none}");
        }
    }
}
