//! Everybody comes back at once, after a polite end of the server and after a rude one.

use super::*;

/// A client that lives through ends of the server: goes on by its last token, at the address it is told.
async fn live_through(
    mut address: watch::Receiver<SocketAddr>,
    first: u64,
    until: u64,
    everywhere: Arc<Barrier>,
) -> Seen {
    let mut seen = Seen::default();
    let mut start = Start::Range(StartRange { first_revision: first, last_revision: 0 });
    let mut connected = false;
    while seen.place < until {
        let mut stream = come_back(&mut address, &start).await;
        if !connected {
            connected = true;
            seen.take(&next(&mut stream).await.expect("opened"));
            everywhere.wait().await;
        }
        while seen.place < until {
            match next(&mut stream).await {
                Some(message) => seen.take(&message),
                None => break,
            }
        }
        start = Start::ResumeToken(seen.token.clone());
        seen.forget_half();
        let server = *address.borrow();
        // Either the server is gone, or only this connection: then it is still there, under the same address.
        if seen.place < until && tokio::net::TcpStream::connect(server).await.is_err() {
            address.changed().await.unwrap();
        }
    }
    seen
}

/// Asks for figures until told to stop; how long each answer took.
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

async fn storm(how: &str, end: impl Fn(Process)) {
    let subscribers = if long() { 5_000 } else { 200 };
    let (each, rounds) = (10, 3);
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let (mut server, mut clients) = start(&data).await;
    clients.define(WriteOptions::default(), catalog()).await.unwrap();
    let until = 1 + each * rounds;
    let (tell, address) = watch::channel(server.address);
    let everywhere = Arc::new(Barrier::new(subscribers + 1));
    let living: Vec<_> =
        (0..subscribers).map(|_| tokio::spawn(live_through(address.clone(), 2, until, everywhere.clone()))).collect();
    tokio::time::timeout(CROWD_DEADLINE, everywhere.wait()).await.expect("all are there");
    for number in 0..each {
        commit(&clients, number as usize).await;
    }
    for round in 1..rounds {
        end(server);
        (server, clients) = start(&data).await;
        for number in 0..each {
            commit(&clients, (round * each + number) as usize).await;
        }
        // Another start empties the ring: all that was missed is read from the ledger.
        server.stop();
        (server, clients) = start(&data).await;
        assert_eq!(clients.head().await, 1 + each * (round + 1));
        let (stop, stopped) = watch::channel(false);
        let querying = tokio::spawn(apart(server.address, move |clients| query(clients, stopped)));
        let begun = Instant::now();
        tell.send_replace(server.address);
        let caught_up = async {
            while clients
                .admin
                .clone()
                .get_store_status(GetStoreStatusRequest {})
                .await
                .unwrap()
                .into_inner()
                .subscribers
                < subscribers as u64
                && !living.iter().all(JoinHandle::is_finished)
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(CROWD_DEADLINE, caught_up).await.expect("all come back");
        let back = begun.elapsed();
        if round == rounds - 1 {
            let all_read = async {
                while !living.iter().all(JoinHandle::is_finished) {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            tokio::time::timeout(CROWD_DEADLINE, all_read).await.expect("all catch up");
        }
        stop.send_replace(true);
        let took = querying.await.unwrap();
        println!(
            "{subscribers} clients came back after {how} in {back:?}; {} queries meanwhile: {:?} at the median, {:?} at \
             the most; peak memory {} MiB",
            took.len(),
            at(&took, 50),
            at(&took, 100),
            peak_memory(server.pid()) / 1024,
        );
    }
    let expected = sizes(&clients.commits(1, Vec::new()).await);
    assert_eq!(expected.len() as u64, each * rounds);
    for seen in living {
        let seen = seen.await.unwrap();
        assert_eq!((seen.place, &seen.commits, seen.whole), (until, &expected, expected.len()));
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_come_back_after_a_polite_end() {
    storm("SIGTERM", Process::stop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_come_back_after_kill_9() {
    storm("kill -9", Process::kill).await;
}
