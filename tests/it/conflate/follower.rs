//! A follower that conflates, on connections that are cut.

use std::{net::SocketAddr, time::Duration};

use almanac::{
    client::{FollowEvent, FollowStart, Follower},
    proto::{feed_service_client::FeedServiceClient, *},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tonic::transport::Endpoint;

use super::hot;
use crate::support::{
    Clients, DEADLINE, Dice,
    author::Author,
    fixture::*,
    oracle::{CommitLog, plain_copy},
    replica::Replica,
};

/// A proxy that cuts each connection after so many bytes from the server.
async fn cutting(to: SocketAddr, budgets: Vec<usize>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut budgets = budgets.into_iter();
        while let Ok((client, _)) = listener.accept().await {
            let budget = budgets.next();
            tokio::spawn(async move {
                let server = TcpStream::connect(to).await.unwrap();
                let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                    (client.into_split(), server.into_split());
                let up = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
                let mut passed = 0;
                let mut buffer = vec![0; 1_024];
                while budget.is_none_or(|budget| passed < budget) {
                    match from_server.read(&mut buffer).await {
                        Ok(0) | Err(_) => break,
                        Ok(read) => {
                            passed += read;
                            if to_client.write_all(&buffer[..read]).await.is_err() {
                                break;
                            }
                        }
                    }
                }
                up.abort();
            });
        }
    });
    address
}

/// How often a connection is cut.
const CUTS: usize = 10;

/// A commit that can be conflated, or a long one that cannot.
async fn write_round(clients: &Clients, dice: &mut Dice, round: usize) {
    // A long commit is cut too, and comes again from its beginning: it must be short enough to come through at all.
    let long = dice.once_in(5);
    let mut sent = hot(round, if long { 900 } else { 1 + dice.below(300) });
    for point in sent[0].points.iter_mut().filter(|_| !long) {
        point.value.as_mut().unwrap().comment = "x".repeat(300);
    }
    clients.ingest(released("2024-01-01"), sent).await.unwrap();
}

/// The connection is cut again and again, also within conflations and long commits, while commits are added: a copy that
/// applies each part of the follower equals the copy of every commit.
#[tokio::test]
async fn a_follower_that_is_cut_within_a_conflation_never_applies_part_of_it() {
    let mut dice = Dice::new("cut conflations");
    let server = server_with_catalog().await;
    let clients = &server.clients;
    // Conflations of long remarks take several pages, a quarter of a megabyte: many cuts fall into one.
    // The follower does not see every cut: some fall between two streams.
    let budgets: Vec<usize> = (0..2 * CUTS).map(|_| 500 + dice.below(250_000)).collect();
    let proxy = cutting(server.address(), budgets).await;
    let channel = Endpoint::from_shared(format!("http://{proxy}")).unwrap().connect_lazy();
    let mut follower = Follower::new(FeedServiceClient::new(channel), FollowStart::Range(1, None), Vec::new())
        .conflate()
        .progress_every(Duration::from_millis(100));
    let (mut copy, mut open): (Replica, Vec<Change>) = Default::default();
    let mut conflations = 0;
    let mut commits = 0;
    let mut cuts = 0;
    let mut author = Author::new(dice.clone(), "steward", 300);
    let mut round = 0;
    let followed = async {
        loop {
            if cuts < CUTS && (follower.position() >= clients.head().await || dice.once_in(6)) {
                for _ in 0..1 + dice.below(3) {
                    round += 1;
                    write_round(clients, &mut dice, round).await;
                    author.next().send(clients).await.unwrap();
                }
            }
            let head = clients.head().await;
            if cuts >= CUTS && follower.position() >= head {
                return head;
            }
            match follower.next().await.unwrap().expect("goes on for ever") {
                FollowEvent::Changes(part) => {
                    assert!(part.conflated_from == 0 || part.last, "a conflation comes whole");
                    assert!(part.commit.is_none() || open.is_empty(), "nothing of another commit is open");
                    open.extend(part.changes);
                    if part.last {
                        let count = if part.conflated_from > 0 { &mut conflations } else { &mut commits };
                        *count += 1;
                        open.drain(..).for_each(|change| copy.apply(&change));
                    }
                }
                FollowEvent::Reconnecting { .. } => cuts += 1,
                _ => {}
            }
        }
    };
    let head = tokio::time::timeout(DEADLINE * 3, followed).await.expect("comes to the end");
    let log = CommitLog::read(clients).await;
    assert_eq!(copy, plain_copy(&log, &[], head));
    println!("{conflations} conflations, {commits} commits, {cuts} cuts, head {head}");
    assert!(conflations > 0 && commits > 0, "{conflations} conflations, {commits} commits");
    server.end().await;
}
