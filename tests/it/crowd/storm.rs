//! All clients connect again at once, after SIGTERM and after `kill -9`.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use almanac::proto::{subscribe_request::Start, *};
use tokio::{
    sync::{Barrier, watch},
    task::JoinHandle,
};

use super::{
    CROWD_DEADLINE, ReadRecord, commit, next, on_own_thread, peak_memory, reconnect, sizes,
    slow::{check_readers, percentile},
    start,
};
use crate::support::{Clients, DEADLINE, fixture::*, long, process::Process, subscriptions::*};

const EACH: u64 = 10;
const ROUNDS: u64 = 3;

/// Follows through ends of the server: resumes by its last token, at the address that it is given.
async fn follow_through_restarts(
    mut address: watch::Receiver<SocketAddr>,
    first: u64,
    until: u64,
    all_connected: Arc<Barrier>,
) -> ReadRecord {
    let mut record = ReadRecord::default();
    let mut start = range(first, 0);
    let mut connected = false;
    while record.position < until {
        let mut stream = reconnect(&mut address, &start).await;
        if !connected {
            connected = true;
            record.take(&next(&mut stream).await.expect("opened"));
            all_connected.wait().await;
        }
        while record.position < until {
            match next(&mut stream).await {
                Some(message) => record.take(&message),
                None => break,
            }
        }
        start = Start::ResumeToken(record.token.clone());
        record.drop_incomplete();
        let server = *address.borrow();
        // If only this connection failed, the server is still there, under the same address.
        if record.position < until && tokio::net::TcpStream::connect(server).await.is_err() {
            address.changed().await.unwrap();
        }
    }
    record
}

/// Asks for figures until it is stopped, and returns how long each answer took, sorted.
async fn query(clients: Clients, stop: watch::Receiver<bool>) -> Vec<Duration> {
    let mut took = Vec::new();
    while !*stop.borrow() {
        let begun = Instant::now();
        let answer = tokio::time::timeout(DEADLINE, figure(&clients, RD, "CHN", "1910", None));
        answer.await.expect("queries are answered in a storm").unwrap();
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    took
}

async fn write_round(clients: &Clients, round: u64) {
    for number in 0..EACH {
        commit(clients, (round * EACH + number) as usize).await;
    }
}

/// Waits until all clients are connected again or done.
async fn all_reconnected(clients: &Clients, followers: &[JoinHandle<ReadRecord>]) {
    let waiting = async {
        loop {
            let status = clients.admin.clone().get_store_status(GetStoreStatusRequest {}).await.unwrap().into_inner();
            if status.subscribers >= followers.len() as u64 || followers.iter().all(JoinHandle::is_finished) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(CROWD_DEADLINE, waiting).await.expect("all connect again");
}

async fn all_done(followers: &[JoinHandle<ReadRecord>]) {
    let waiting = async {
        while !followers.iter().all(JoinHandle::is_finished) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(CROWD_DEADLINE, waiting).await.expect("all catch up");
}

async fn storm(how: &str, end: impl Fn(Process)) {
    let subscribers = if long() { 5_000 } else { 120 };
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let (mut server, mut clients) = start(&data).await;
    clients.define(WriteOptions::default(), catalog()).await.unwrap();
    let until = 1 + EACH * ROUNDS;
    let (announce, address) = watch::channel(server.address);
    let all_connected = Arc::new(Barrier::new(subscribers + 1));
    let mut followers = Vec::new();
    for _ in 0..subscribers {
        let following = follow_through_restarts(address.clone(), 2, until, all_connected.clone());
        followers.push(tokio::spawn(following));
    }
    tokio::time::timeout(CROWD_DEADLINE, all_connected.wait()).await.expect("all connect");
    write_round(&clients, 0).await;
    for round in 1..ROUNDS {
        end(server);
        (server, clients) = start(&data).await;
        write_round(&clients, round).await;
        // Another restart empties the ring: what the clients missed is read from the ledger.
        server.stop();
        (server, clients) = start(&data).await;
        assert_eq!(clients.head().await, 1 + EACH * (round + 1));
        let (stop, stopped) = watch::channel(false);
        let querying = tokio::spawn(on_own_thread(server.address, move |clients| query(clients, stopped)));
        let begun = Instant::now();
        announce.send_replace(server.address);
        all_reconnected(&clients, &followers).await;
        println!("{subscribers} clients connected again after {how} in {:?}", begun.elapsed());
        if round == ROUNDS - 1 {
            all_done(&followers).await;
        }
        stop.send_replace(true);
        let took = querying.await.unwrap();
        let median = percentile(&took, 50);
        let longest = percentile(&took, 100);
        println!("{} queries meanwhile: {median:?} at the median, {longest:?} at the most", took.len());
        println!("peak memory {} MiB", peak_memory(server.pid()) / 1024);
    }
    let expected = sizes(&clients.commits(1, Vec::new()).await);
    assert_eq!(expected.len() as u64, EACH * ROUNDS);
    check_readers(followers, until, &expected).await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_clients_reconnect_after_sigterm() {
    storm("SIGTERM", Process::stop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_clients_reconnect_after_kill_9() {
    storm("kill -9", Process::kill).await;
}
