//! `almanac watch`: the feed, one line per change.
//!
//! Invariant: the token that is printed, or kept in the state file, never runs ahead of what was printed.

use std::{
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    as_of,
    catching_up::CatchingUp,
    change,
    error::CliError,
    json,
    session::{Session, Tone, Transport},
    table::line,
    values,
};
use crate::{
    client::{FollowError, FollowEvent, FollowStart, Follower, Part},
    proto::{self, subscribe_response::Body as Message},
};

/// Shows every change as it comes, and says at the end how to go on from there
#[derive(Debug, clap::Args)]
pub struct WatchArgs {
    /// Only these rankings
    #[arg(long, value_name = "ID")]
    ranking: Vec<String>,
    /// Only these indicators; `GB.*` for all that begin so
    #[arg(long, value_name = "ID")]
    indicator: Vec<String>,
    /// Only these entities; for clusters their economies too
    #[arg(long, value_name = "ID")]
    entity: Vec<String>,
    /// Only these sources
    #[arg(long, value_name = "ID")]
    source: Vec<String>,
    /// Only these kinds of change
    #[arg(long, value_enum)]
    kind: Vec<Kind>,
    /// Only commits made for these reasons
    #[arg(long, value_enum)]
    cause: Vec<Cause>,
    /// Only entries whose rank is N or better, before or after
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    top: u32,
    /// Only entries that moved N places or more, entered or left
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    min_places: u32,
    /// now; start: everything since the first revision; state: what is held, then every change; as-of:WHEN: what was held
    /// then, and every change since (WHEN as in --as-of); a revision; or a token
    #[arg(long, default_value = "now", value_parser = start, value_name = "WHERE")]
    from: FollowStart,
    /// Where the stream is behind, show what several commits changed in the end instead of each of them
    #[arg(long)]
    conflate: bool,
    /// End once this revision, or the head of now (`head`), was reached
    #[arg(long, value_parser = until, value_name = "REVISION|head")]
    until: Option<Until>,
    /// Keep the token in this file and resume from it; --from counts only for the first time
    #[arg(long, value_name = "FILE")]
    state_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Kind {
    Value,
    Entry,
    Edition,
    Definition,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Cause {
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

fn until(text: &str) -> Result<Until, String> {
    match text {
        "head" => Ok(Until::Head),
        text => text.parse().map(Until::Revision).map_err(|_| format!("`{text}` is not a revision")),
    }
}

/// How often the server says where the stream is.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// Watches until the end asked for, or Ctrl-C.
pub async fn run(args: WatchArgs, session: &Session) -> Result<(), CliError> {
    let until = match args.until {
        None => None,
        Some(Until::Revision(revision)) => Some(revision),
        Some(Until::Head) => Some(session.feed().get_head(proto::GetHeadRequest::default()).await?.into_inner().head),
    };
    let kept = args.state_file.as_deref().map(kept_token).transpose()?.flatten();
    let start = kept.map_or(args.from.clone(), FollowStart::Token);
    let mut follower = Follower::new(session.feed(), start, filters(&args)).progress_every(PROGRESS_INTERVAL);
    if args.conflate {
        follower = follower.conflate();
    }
    let mut screen = Screen {
        session,
        state_file: args.state_file.as_deref(),
        scoped: args.top > 0,
        kept: None,
        catching_up: CatchingUp::new(session),
    };
    loop {
        let reached = until.is_some_and(|until| follower.position() >= until && !follower.within_commit());
        if reached && screen.kept.is_some() {
            break;
        }
        let event = tokio::select! {
            event = follower.next() => event,
            _ = tokio::signal::ctrl_c() => break,
        };
        match event {
            Ok(Some(event)) => screen.show(event, &follower)?,
            Ok(None) => break,
            Err(FollowError::Refused(status)) => return Err(CliError::Status(status)),
            Err(error) => return Err(CliError::Refused(error.to_string())),
        }
    }
    screen.farewell(&follower)
}

fn filters(args: &WatchArgs) -> Vec<proto::Filter> {
    let kind = |kind: &Kind| match kind {
        Kind::Value => proto::ChangeKind::Value.into(),
        Kind::Entry => proto::ChangeKind::Entry.into(),
        Kind::Edition => proto::ChangeKind::Edition.into(),
        Kind::Definition => proto::ChangeKind::Definition.into(),
    };
    let cause = |cause: &Cause| match cause {
        Cause::FirstRelease => proto::Cause::FirstRelease.into(),
        Cause::ScheduledRevision => proto::Cause::ScheduledRevision.into(),
        Cause::Correction => proto::Cause::Correction.into(),
        Cause::MethodChange => proto::Cause::MethodChange.into(),
        Cause::Withdrawal => proto::Cause::Withdrawal.into(),
        Cause::ReloadUnchanged => proto::Cause::ReloadUnchanged.into(),
        Cause::Definition => proto::Cause::Definition.into(),
    };
    let filter = proto::Filter {
        name: String::new(),
        kinds: args.kind.iter().map(kind).collect(),
        rankings: args.ranking.clone(),
        indicators: args.indicator.clone(),
        entities: args.entity.clone(),
        sources: args.source.clone(),
        causes: args.cause.iter().map(cause).collect(),
        rank_at_most: args.top,
        min_places: args.min_places,
        ..Default::default()
    };
    if filter == proto::Filter::default() { Vec::new() } else { vec![filter] }
}

fn kept_token(file: &Path) -> Result<Option<String>, CliError> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Some(text.trim().to_owned()).filter(|token| !token.is_empty())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CliError::Refused(format!("--state-file {}: {error}", file.display()))),
    }
}

/// Shows events, and keeps the token behind them.
struct Screen<'a> {
    session: &'a Session,
    state_file: Option<&'a Path>,
    /// A rank window was asked for: rows enter and leave it.
    scoped: bool,
    /// The token last kept.
    kept: Option<String>,
    catching_up: CatchingUp,
}

impl Screen<'_> {
    fn show(&mut self, event: FollowEvent, follower: &Follower<Transport>) -> Result<(), CliError> {
        self.catching_up.saw(&event, follower.position());
        if self.session.json {
            self.show_json(event, follower.token())?;
        } else {
            self.catching_up.above(|| self.show_lines(event))?;
        }
        self.keep(follower.token())
    }

    fn show_lines(&self, event: FollowEvent) -> Result<(), CliError> {
        match event {
            FollowEvent::Opened(opened) => {
                let behind = opened.head.saturating_sub(opened.start_revision);
                let text = match behind {
                    0 => format!("watching from revision {}", opened.start_revision),
                    behind => format!("watching from revision {}, {behind} behind head", opened.start_revision),
                };
                self.aside(&text);
            }
            FollowEvent::Rows(rows) => rows.iter().try_for_each(|row| line(change::state_line(row)))?,
            FollowEvent::LicencesChanged { left_out } => {
                self.aside(&licences_changed(&left_out));
                return Ok(());
            }
            FollowEvent::StateDiscarded => {
                self.aside("the connection broke within the state: what came of it does not count, here it is again");
            }
            FollowEvent::StateComplete(end) => {
                self.aside(&format!(
                    "the state at revision {} is complete: {} rows, digest checked",
                    end.revision, end.row_count
                ));
            }
            FollowEvent::Changes(part) => self.show_part(&part)?,
            FollowEvent::Progress(_) => {}
            FollowEvent::Lag(lag) => match lag.state() {
                proto::LagState::CatchingUp => self.aside(&format!("catching up to revision {}", lag.head)),
                _ => self.aside(&format!("live at revision {}", lag.head)),
            },
            FollowEvent::Reconnecting { wait, why } => {
                self.aside(&format!("{why}; coming back in {:.1} s", wait.as_secs_f64()));
            }
        }
        Ok(())
    }

    fn show_part(&self, part: &Part) -> Result<(), CliError> {
        if let Some(commit) = &part.commit {
            let counts = commit.counts.unwrap_or_default();
            let mut said = match part.conflated_from {
                0 => vec![format!("revision {}", part.revision)],
                from => vec![format!("revisions {from} to {} in one", part.revision)],
            };
            said.push(values::instant(commit.recorded.as_ref()));
            // Of a fold they are those of its last commit only.
            if part.conflated_from == 0 {
                said.extend([values::cause(commit.cause).to_owned(), values::counts(&counts), commit.note.clone()]);
            }
            said.retain(|word| !word.is_empty());
            line(self.session.paint(Tone::Strong, &said.join(" · ")))?;
        }
        part.changes
            .iter()
            .try_for_each(|change| line(format!("  {}", change::line(self.session, change, self.scoped))))
    }

    /// The same messages as any client receives, but a commit that was cut goes on where it stopped.
    fn show_json(&self, event: FollowEvent, token: Option<&str>) -> Result<(), CliError> {
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
                self.aside(&licences_changed(&left_out));
                return Ok(());
            }
            FollowEvent::StateDiscarded => {
                self.aside("the connection broke within the state: it begins again");
                return Ok(());
            }
            FollowEvent::Reconnecting { wait, why } => {
                self.aside(&format!("{why}; coming back in {:.1} s", wait.as_secs_f64()));
                return Ok(());
            }
        };
        json::print_line(&proto::SubscribeResponse { body: Some(message) }, "almanac.v1.SubscribeResponse")
    }

    /// Keeps a token that is new.
    fn keep(&mut self, token: Option<&str>) -> Result<(), CliError> {
        if token.is_none() || token == self.kept.as_deref() {
            return Ok(());
        }
        self.kept = token.map(str::to_owned);
        match (self.state_file, token) {
            (Some(file), Some(token)) => Ok(write_whole(file, token)?),
            _ => Ok(()),
        }
    }

    /// Says how to go on.
    fn farewell(&mut self, follower: &Follower<Transport>) -> Result<(), CliError> {
        self.catching_up.end();
        match (follower.token(), self.state_file) {
            (None, _) => self.aside("nothing came; there is no token"),
            (Some(_), Some(file)) => self.aside(&format!("resume with --state-file {}", file.display())),
            (Some(token), None) => self.aside(&format!("resume with --from {token}")),
        }
        Ok(())
    }

    /// What is not a change goes to standard error.
    fn aside(&self, text: &str) {
        eprintln!("{}", self.session.paint(Tone::Quiet, text));
    }
}

/// Old or new, never half: a new file takes the place of the old one.
fn write_whole(file: &Path, token: &str) -> std::io::Result<()> {
    let mut fresh = file.as_os_str().to_owned();
    fresh.push(".new");
    let mut written = std::fs::File::create(&fresh)?;
    written.write_all(token.as_bytes())?;
    written.write_all(b"\n")?;
    written.sync_data()?;
    std::fs::rename(fresh, file)
}

fn licences_changed(left_out: &[String]) -> String {
    match left_out {
        [] => "every source may be handed on again: what was shown before lacks some".to_owned(),
        left_out => format!("left out from here on, for their licences: {}", left_out.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_to_start_are_told_apart() {
        let at = |at| FollowStart::StateAsKnownAt(proto::AsOf { at: Some(at) });
        assert_eq!(start("now").unwrap(), FollowStart::Now);
        assert_eq!(start("12").unwrap(), FollowStart::Range(12, None));
        assert_eq!(start("as-of:2018-12-31").unwrap(), at(proto::as_of::At::Released("2018-12-31".into())));
        assert_eq!(start("as-of:rev:7").unwrap(), at(proto::as_of::At::Revision(7)));
        assert_eq!(start("AbC").unwrap(), FollowStart::Token("AbC".into()));
        assert!(start("0").is_err() && start("as-of:").is_err() && start("as-of:yesterday").is_err());
    }
}
