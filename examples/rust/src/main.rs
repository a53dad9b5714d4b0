//! Asks who is on top of a ranking, then follows the ranking: prints every rank that changes, and keeps its place in a file.
//!
//!     cargo run --manifest-path examples/rust/Cargo.toml -- [SERVER [STATE_FILE]]
//!
//! Stop it, publish an edition, start it again: it prints exactly what it missed.

use std::{env, error::Error, fs, io, path::Path};

use almanac::{
    client::{FollowEvent, FollowStart, Follower, Part},
    proto::{
        Entry, EntryChange, Filter, ListEntriesRequest, change::Detail, feed_service_client::FeedServiceClient,
        ranking_service_client::RankingServiceClient,
    },
};
use tonic::transport::Channel;

const RANKING: &str = "gii-clusters";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let server = arguments.next().unwrap_or_else(|| "http://127.0.0.1:50051".to_owned());
    let state_file = arguments.next().unwrap_or_else(|| "almanac-watch.state-rust".to_owned());
    let channel = Channel::from_shared(server)?.connect().await?;
    print_top(channel.clone()).await?;
    follow(channel, Path::new(&state_file)).await
}

/// Prints the first ten entries of the newest edition.
async fn print_top(channel: Channel) -> Result<(), Box<dyn Error>> {
    let request = ListEntriesRequest { ranking: RANKING.to_owned(), page_size: 10, ..Default::default() };
    let answer = RankingServiceClient::new(channel).list_entries(request).await?.into_inner();
    for entry in &answer.entries {
        println!("{:>4}  {}", rank(Some(entry)), entry.published_name);
    }
    Ok(())
}

/// Follows the ranking until the server refuses the request or breaks a promise.
async fn follow(channel: Channel, state_file: &Path) -> Result<(), Box<dyn Error>> {
    let filter = Filter { rankings: vec![RANKING.to_owned()], ..Default::default() };
    let start = read_token(state_file)?.map_or(FollowStart::Now, FollowStart::Token);
    let mut follower = Follower::new(FeedServiceClient::new(channel), start, vec![filter]);
    while let Some(event) = follower.next().await? {
        match event {
            FollowEvent::Changes(part) => print_changes(&part),
            FollowEvent::Reconnecting { wait, why } => eprintln!("reconnecting in {wait:?}: {why}"),
            _ => {}
        }
        // A program that stores data stores the token in the same transaction. Here the data is what was printed.
        if let Some(token) = follower.token().filter(|_| !follower.within_commit()) {
            fs::write(state_file, token)?;
        }
    }
    Ok(())
}

/// The token of an earlier run; `None` at the first run.
fn read_token(state_file: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(state_file) {
        Ok(token) => Ok(Some(token)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn print_changes(part: &Part) {
    if let Some(commit) = &part.commit {
        println!("revision {}: {}", part.revision, commit.note);
    }
    for change in &part.changes {
        if let Some(Detail::Entry(entry)) = &change.detail {
            println!("  {}: {} -> {}", entry.entity, rank(earlier(entry)), rank(entry.after.as_ref()));
        }
    }
}

/// The entry before: of the same edition if it is corrected, else of the edition compared with.
fn earlier(change: &EntryChange) -> Option<&Entry> {
    change.before.as_ref().or(change.compared.as_ref())
}

/// The rank as text. An entry may have none: the edition lists the entity, and its rank is unknown.
fn rank(entry: Option<&Entry>) -> String {
    entry.and_then(|entry| entry.rank).map_or_else(|| "?".to_owned(), |rank| rank.to_string())
}
