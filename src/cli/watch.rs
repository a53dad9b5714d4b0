//! `almanac watch`: the feed, one line for each change.
//!
//! Invariant: the token that is printed, or kept in the state file, is never ahead of the changes that were printed.

use std::{
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    as_of, change,
    error::CliError,
    json,
    progress::CatchUpProgress,
    session::{Session, TextStyle, Transport},
    table::line,
    values,
};
use crate::{
    client::{FollowError, FollowEvent, FollowStart, Follower, Part},
    proto::{self, subscribe_response::Body as Message},
};

/// Show every change as it is committed; print at the end how to resume
#[derive(Debug, clap::Args)]
pub struct WatchArgs {
    /// Show only these rankings; can be repeated
    #[arg(long, value_name = "ID")]
    ranking: Vec<String>,
    /// Show only these indicators; `GB.*` is every indicator that begins with `GB.`
    #[arg(long, value_name = "ID")]
    indicator: Vec<String>,
    /// Show only these entities; an economy includes the clusters that lie in it
    #[arg(long, value_name = "ID")]
    entity: Vec<String>,
    /// Show only these sources
    #[arg(long, value_name = "ID")]
    source: Vec<String>,
    /// Show only these kinds of change
    #[arg(long, value_enum)]
    kind: Vec<KindArg>,
    /// Show only commits with these causes
    #[arg(long, value_enum)]
    cause: Vec<CauseArg>,
    /// Show only entries whose rank is N or better, before or after the change
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    top: u32,
    /// Show only entries that moved N places or more, entered or left
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    min_places: u32,
    /// Where to begin: now; start (the first revision); state (all current data, then every change); as-of:WHEN (the
    /// data of that time, then every change; WHEN as in --as-of); a revision, for example 120; or a resume token
    #[arg(long, default_value = "now", value_parser = start, value_name = "WHERE")]
    from: FollowStart,
    /// While the stream is behind, show several commits as one: the data before the first and after the last of them
    #[arg(long)]
    conflate: bool,
    /// End at this revision, or at the revision that is the newest at the start (head) [default: never]
    #[arg(long, value_parser = until, value_name = "REVISION|head")]
    until: Option<Until>,
    /// Keep the resume token in this file and resume from it; --from is used only while the file does not exist
    #[arg(long, value_name = "FILE")]
    state_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum KindArg {
    Value,
    Entry,
    Edition,
    Definition,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum CauseArg {
    FirstRelease,
    ScheduledRevision,
    Correction,
    MethodChange,
    Withdrawal,
    ReloadUnchanged,
    Definition,
}

#[derive(Debug, Clone, Copy)]
enum Until {
    Head,
    Revision(u64),
}

/// Parses the value of `--from`.
fn start(text: &str) -> Result<FollowStart, String> {
    Ok(match text {
        "now" => FollowStart::Now,
        "state" => FollowStart::State,
        "start" => FollowStart::Range(1, None),
        _ => match (text.strip_prefix("as-of:"), text.parse::<u64>()) {
            (Some(when), _) => FollowStart::StateAsKnownAt(as_of::parse(when)?),
            (None, Ok(0)) => return Err("revisions start at 1".to_owned()),
            (None, Ok(revision)) => FollowStart::Range(revision, None),
            (None, Err(_)) => FollowStart::Token(text.to_owned()),
        },
    })
}

/// Parses the value of `--until`.
fn until(text: &str) -> Result<Until, String> {
    match text {
        "head" => Ok(Until::Head),
        text => text.parse().map(Until::Revision).map_err(|_| format!("`{text}` is not a revision")),
    }
}

/// How often the server sends the position while it sends nothing else.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// Watches until the revision of `--until`, or Ctrl-C.
pub async fn run(args: WatchArgs, session: &Session) -> Result<(), CliError> {
    let until = match args.until {
        None => None,
        Some(Until::Revision(revision)) => Some(revision),
        Some(Until::Head) => Some(session.feed().get_head(proto::GetHeadRequest::default()).await?.into_inner().head),
    };
    let stored = args.state_file.as_deref().map(read_token).transpose()?.flatten();
    let start = stored.map_or(args.from.clone(), FollowStart::Token);
    let mut follower = Follower::new(session.feed(), start, filters(&args)).progress_every(PROGRESS_INTERVAL);
    if args.conflate {
        follower = follower.conflate();
    }
    let mut printer = EventPrinter {
        session,
        state_file: args.state_file.as_deref(),
        with_scope: args.top > 0,
        token: None,
        progress: CatchUpProgress::new(session),
    };
    // One future for the whole loop: it also notices a Ctrl-C that comes while an event is printed.
    let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        let reached = until.is_some_and(|until| follower.position() >= until && !follower.within_commit());
        if reached && printer.token.is_some() {
            break;
        }
        let event = tokio::select! {
            event = follower.next() => event,
            _ = &mut interrupt => break,
        };
        match event {
            Ok(Some(event)) => printer.print(event, &follower)?,
            Ok(None) => break,
            Err(FollowError::Refused(status)) => return Err(CliError::Status(status)),
            Err(error) => return Err(CliError::Refused(error.to_string())),
        }
    }
    printer.print_how_to_resume(&follower)
}

impl From<KindArg> for proto::ChangeKind {
    fn from(kind: KindArg) -> Self {
        match kind {
            KindArg::Value => Self::Value,
            KindArg::Entry => Self::Entry,
            KindArg::Edition => Self::Edition,
            KindArg::Definition => Self::Definition,
        }
    }
}

impl From<CauseArg> for proto::Cause {
    fn from(cause: CauseArg) -> Self {
        match cause {
            CauseArg::FirstRelease => Self::FirstRelease,
            CauseArg::ScheduledRevision => Self::ScheduledRevision,
            CauseArg::Correction => Self::Correction,
            CauseArg::MethodChange => Self::MethodChange,
            CauseArg::Withdrawal => Self::Withdrawal,
            CauseArg::ReloadUnchanged => Self::ReloadUnchanged,
            CauseArg::Definition => Self::Definition,
        }
    }
}

/// One filter with all that the options say; none if they say nothing.
fn filters(args: &WatchArgs) -> Vec<proto::Filter> {
    let filter = proto::Filter {
        name: String::new(),
        kinds: args.kind.iter().map(|kind| proto::ChangeKind::from(*kind).into()).collect(),
        rankings: args.ranking.clone(),
        indicators: args.indicator.clone(),
        entities: args.entity.clone(),
        sources: args.source.clone(),
        causes: args.cause.iter().map(|cause| proto::Cause::from(*cause).into()).collect(),
        rank_at_most: args.top,
        min_places: args.min_places,
        ..Default::default()
    };
    if filter == proto::Filter::default() { Vec::new() } else { vec![filter] }
}

/// The token in a state file; `None` if there is no such file, or if it is empty.
fn read_token(file: &Path) -> Result<Option<String>, CliError> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Some(text.trim().to_owned()).filter(|token| !token.is_empty())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CliError::Refused(format!("--state-file {}: {error}", file.display()))),
    }
}

/// Prints events, and stores the token after them.
struct EventPrinter<'a> {
    session: &'a Session,
    state_file: Option<&'a Path>,
    /// Whether the filter has a limit of rank, which rows enter and leave.
    with_scope: bool,
    /// The newest token.
    token: Option<String>,
    progress: CatchUpProgress,
}

impl EventPrinter<'_> {
    fn print(&mut self, event: FollowEvent, follower: &Follower<Transport>) -> Result<(), CliError> {
        self.progress.record(&event, follower.position());
        if self.session.json {
            self.print_json(event, follower.token())?;
        } else {
            self.progress.above(|| self.print_lines(event))?;
        }
        self.store_token(follower.token())
    }

    fn print_lines(&self, event: FollowEvent) -> Result<(), CliError> {
        match event {
            FollowEvent::Opened(opened) => {
                let behind = opened.head.saturating_sub(opened.start_revision);
                let text = match behind {
                    0 => format!("watching from revision {}", opened.start_revision),
                    behind => format!("watching from revision {}, {behind} behind head", opened.start_revision),
                };
                self.print_notice(&text);
            }
            FollowEvent::Rows(rows) => {
                for row in &rows {
                    line(change::state_line(row))?;
                }
            }
            FollowEvent::LicencesChanged { left_out } => {
                self.print_notice(&licences_changed(&left_out));
            }
            FollowEvent::StateDiscarded => {
                self.print_notice(
                    "the connection broke within the state: discard the rows above, the state begins again",
                );
            }
            FollowEvent::StateComplete(end) => {
                self.print_notice(&format!(
                    "the state at revision {} is complete: {} rows, digest checked",
                    end.revision, end.row_count
                ));
            }
            FollowEvent::Changes(part) => self.print_part(&part)?,
            FollowEvent::Progress(_) => {}
            FollowEvent::Lag(lag) => match lag.state() {
                proto::LagState::CatchingUp => self.print_notice(&format!("catching up to revision {}", lag.head)),
                _ => self.print_notice(&format!("live at revision {}", lag.head)),
            },
            FollowEvent::Reconnecting { wait, why } => {
                self.print_notice(&format!("{why}; coming back in {:.1} s", wait.as_secs_f64()));
            }
        }
        Ok(())
    }

    fn print_part(&self, part: &Part) -> Result<(), CliError> {
        if let Some(commit) = &part.commit {
            let counts = commit.counts.unwrap_or_default();
            let mut words = match part.conflated_from {
                0 => vec![format!("revision {}", part.revision)],
                from => vec![format!("revisions {from} to {} in one", part.revision)],
            };
            words.push(values::instant(commit.recorded.as_ref()));
            // Of a conflation they are those of the last commit only.
            if part.conflated_from == 0 {
                words.extend([values::cause(commit.cause).to_owned(), values::counts(&counts), commit.note.clone()]);
            }
            words.retain(|word| !word.is_empty());
            line(self.session.paint(TextStyle::Bold, &words.join(" · ")))?;
        }
        for change in &part.changes {
            line(format!("  {}", change::line(self.session, change, self.with_scope)))?;
        }
        Ok(())
    }

    /// Prints the messages that any client receives. A commit that a broken connection has cut continues where it
    /// stopped.
    fn print_json(&self, event: FollowEvent, token: Option<&str>) -> Result<(), CliError> {
        let token = token.unwrap_or_default().to_owned();
        let message = match event {
            FollowEvent::Opened(opened) => Message::Opened(opened),
            FollowEvent::Rows(rows) => Message::SnapshotPage(proto::SnapshotPage { rows, ..Default::default() }),
            FollowEvent::StateComplete(end) => Message::SnapshotEnd(end),
            FollowEvent::Changes(part) => Message::CommitPage(proto::CommitPage {
                revision: part.revision,
                commit: part.commit,
                changes: part.changes,
                prev_matching_revision: part.prev_matching_revision,
                last_page: part.last,
                resume_token: if part.last { token } else { String::new() },
                page: 0,
                conflated_from: part.conflated_from,
            }),
            FollowEvent::Progress(revision) => Message::Progress(proto::Progress { revision, resume_token: token }),
            FollowEvent::Lag(lag) => Message::Lag(lag),
            FollowEvent::LicencesChanged { left_out } => {
                self.print_notice(&licences_changed(&left_out));
                return Ok(());
            }
            FollowEvent::StateDiscarded => {
                self.print_notice("the connection broke within the state: the state begins again");
                return Ok(());
            }
            FollowEvent::Reconnecting { wait, why } => {
                self.print_notice(&format!("{why}; coming back in {:.1} s", wait.as_secs_f64()));
                return Ok(());
            }
        };
        json::print_line(&proto::SubscribeResponse { body: Some(message) }, "almanac.v1.SubscribeResponse")
    }

    /// Stores a token that is new.
    fn store_token(&mut self, token: Option<&str>) -> Result<(), CliError> {
        if token.is_none() || token == self.token.as_deref() {
            return Ok(());
        }
        self.token = token.map(str::to_owned);
        match (self.state_file, token) {
            (Some(file), Some(token)) => Ok(write_token(file, token)?),
            _ => Ok(()),
        }
    }

    fn print_how_to_resume(&mut self, follower: &Follower<Transport>) -> Result<(), CliError> {
        self.progress.end();
        match (follower.token(), self.state_file) {
            (None, _) => self.print_notice("nothing was received, so there is no token to resume with"),
            (Some(_), Some(file)) => self.print_notice(&format!("resume with --state-file {}", file.display())),
            (Some(token), None) => self.print_notice(&format!("resume with --from {token}")),
        }
        Ok(())
    }

    /// Prints what is not data to standard error.
    fn print_notice(&self, text: &str) {
        eprintln!("{}", self.session.paint(TextStyle::Dim, text));
    }
}

/// Replaces the file as a whole, so that it holds the old or the new token and never a part.
fn write_token(file: &Path, token: &str) -> std::io::Result<()> {
    let mut new_path = file.as_os_str().to_owned();
    new_path.push(".new");
    let mut new_file = std::fs::File::create(&new_path)?;
    new_file.write_all(token.as_bytes())?;
    new_file.write_all(b"\n")?;
    new_file.sync_data()?;
    std::fs::rename(new_path, file)
}

fn licences_changed(left_out: &[String]) -> String {
    match left_out {
        [] => "no source is left out any more; what was shown before lacks the figures of some".to_owned(),
        left_out => format!("left out from now on, because of their licences: {}", left_out.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::as_of::At;

    #[test]
    fn a_start_is_a_word_a_revision_a_time_or_a_token() {
        let released = proto::AsOf { at: Some(At::Released("2018-12-31".into())) };
        let revision = proto::AsOf { at: Some(At::Revision(7)) };
        assert_eq!(start("now").unwrap(), FollowStart::Now);
        assert_eq!(start("12").unwrap(), FollowStart::Range(12, None));
        assert_eq!(start("as-of:2018-12-31").unwrap(), FollowStart::StateAsKnownAt(released));
        assert_eq!(start("as-of:rev:7").unwrap(), FollowStart::StateAsKnownAt(revision));
        assert_eq!(start("AbC").unwrap(), FollowStart::Token("AbC".into()));
        assert!(start("0").is_err() && start("as-of:").is_err() && start("as-of:yesterday").is_err());
    }
}
