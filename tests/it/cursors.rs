//! Stored cursors: they move forward only, are checked, and survive any end of the server.

use almanac::proto::{subscribe_request::Start, *};
use tonic::{Code, Status};

use crate::support::{
    Clients, assert_refused, fields,
    fixture::*,
    long,
    process::{Process, copy_folder},
    subscriptions::range,
    watch::Watch,
};

async fn put(clients: &Clients, name: &str, token: &str, allow_rewind: bool) -> Result<Option<Cursor>, Status> {
    let request = PutCursorRequest { name: name.into(), resume_token: token.into(), allow_rewind };
    Ok(clients.feed.clone().put_cursor(request).await?.into_inner().cursor)
}

async fn get(clients: &Clients, name: &str) -> Result<Cursor, Status> {
    let request = GetCursorRequest { name: name.into() };
    Ok(clients.feed.clone().get_cursor(request).await?.into_inner().cursor.unwrap())
}

fn china() -> Vec<Filter> {
    vec![Filter { entities: vec!["CHN".into()], ..Default::default() }]
}

async fn commit(clients: &Clients, value: u64) -> u64 {
    let figures = one_figure(&value.to_string());
    clients.ingest(released("2024-01-01"), figures).await.unwrap().revision
}

/// The tokens of a stream from the beginning, by revision.
async fn tokens(clients: &Clients, filters: Vec<Filter>) -> Vec<(u64, String)> {
    let start = range(1, 0);
    let mut watch = Watch::open(clients, start, filters).await.unwrap();
    watch.until_covers(clients.head().await).await;
    watch.leave().await.tokens()
}

fn token_of(tokens: &[(u64, String)], revision: u64) -> &str {
    &tokens.iter().find(|(of, _)| *of == revision).unwrap().1
}

#[tokio::test]
async fn a_cursor_goes_forward_and_is_refused_otherwise() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    for value in 0..4 {
        commit(clients, value).await;
    }
    let all = tokens(clients, Vec::new()).await;
    let chinese = tokens(clients, china()).await;
    assert_refused(get(clients, "display").await, Code::NotFound, "NO_CURSOR");
    let kept = put(clients, "display", token_of(&all, 3), false).await.unwrap().unwrap();
    assert_eq!((kept.name.as_str(), kept.revision, kept.resume_token.as_str()), ("display", 3, token_of(&all, 3)));
    assert!(kept.stored.is_some());
    assert_eq!(get(clients, "display").await.unwrap(), kept);
    assert_eq!(put(clients, "display", token_of(&all, 3), false).await.unwrap().unwrap(), kept, "a retry");

    let back = put(clients, "display", token_of(&all, 2), false).await;
    assert_refused(back, Code::FailedPrecondition, "CURSOR_BACKWARDS");
    let other = put(clients, "display", token_of(&chinese, 5), false).await;
    assert_refused(other, Code::FailedPrecondition, "CURSOR_OTHER_FILTER");
    let mut forged = token_of(&all, 4).to_owned();
    forged.replace_range(30..31, if &forged[30..31] == "A" { "B" } else { "A" });
    for bad in [forged.as_str(), "12"] {
        assert_refused(put(clients, "display", bad, true).await, Code::InvalidArgument, "TOKEN_MALFORMED");
    }
    let elsewhere = crate::support::fixture::server_with_catalog().await;
    let foreign = tokens(&elsewhere.clients, Vec::new()).await;
    let foreign = put(clients, "display", token_of(&foreign, 1), true).await;
    assert_refused(foreign, Code::FailedPrecondition, "TOKEN_OTHER_HISTORY");
    elsewhere.end().await;
    assert_eq!(get(clients, "display").await.unwrap(), kept, "what was refused changed nothing");

    let moved = put(clients, "display", token_of(&all, 5), false).await.unwrap().unwrap();
    assert_eq!(moved.revision, 5);
    assert_eq!(put(clients, "display", token_of(&all, 2), true).await.unwrap().unwrap().revision, 2);
    let forget = assert_refused(put(clients, "display", "", false).await, Code::InvalidArgument, "FIELD");
    assert_eq!(fields(&forget), ["resume_token"]);
    assert_eq!(put(clients, "display", "", true).await.unwrap(), None);
    assert_refused(get(clients, "display").await, Code::NotFound, "NO_CURSOR");
    server.end().await;
}

#[tokio::test]
async fn names_of_cursors_are_short_and_printable() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let token = tokens(clients, Vec::new()).await.remove(0).1;
    let longest = "n".repeat(128);
    for good in ["a", "the-display-in-the-hall,2nd-floor", "~!/", longest.as_str()] {
        put(clients, good, &token, false).await.unwrap();
        assert_eq!(get(clients, good).await.unwrap().name, good);
    }
    for bad in ["", "a b", " a", "ä", "a\tb", "a\0", "a\u{7f}", &"n".repeat(129)] {
        for refused in [put(clients, bad, &token, false).await.map(|_| ()), get(clients, bad).await.map(|_| ())] {
            assert_eq!(fields(&assert_refused(refused, Code::InvalidArgument, "FIELD")), ["name"], "{bad:?}");
        }
    }
    server.end().await;
}

#[tokio::test]
async fn cursors_are_listed_page_by_page_in_name_order() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let token = tokens(clients, Vec::new()).await.remove(0).1;
    let list = async |page_size: i32, page_token: &str| {
        let request = ListCursorsRequest { page_size, page_token: page_token.into() };
        clients.feed.clone().list_cursors(request).await.map(tonic::Response::into_inner)
    };
    let none = list(0, "").await.unwrap();
    assert_eq!((none.cursors.len(), none.next_page_token.as_str()), (0, ""));
    let mut kept = Vec::new();
    for name in ["b", "a", "ab", "B", "~", "c/1", "c"] {
        kept.push(put(clients, name, &token, false).await.unwrap().unwrap());
    }
    kept.sort_by(|one, other| one.name.cmp(&other.name));
    assert!(kept.iter().all(|cursor| cursor.author == "local"), "{kept:?}");
    for page_size in [1, 2, 3, 7, 0, 5_000] {
        let mut listed = Vec::new();
        let mut page_token = String::new();
        loop {
            let page = list(page_size, &page_token).await.unwrap();
            assert!(page_size == 0 || page.cursors.len() <= page_size as usize);
            listed.extend(page.cursors);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(listed, kept, "pages of {page_size}");
    }
    // Cursors move between pages: one that is deleted meanwhile is on no later page.
    let first = list(2, "").await.unwrap();
    put(clients, "ab", "", true).await.unwrap();
    let names: Vec<String> =
        list(100, &first.next_page_token).await.unwrap().cursors.into_iter().map(|cursor| cursor.name).collect();
    assert_eq!(names, ["b", "c", "c/1", "~"]);
    assert_refused(list(-1, "").await, Code::InvalidArgument, "FIELD");
    assert_refused(list(2, "nonsense").await, Code::InvalidArgument, "PAGE_TOKEN");
    server.end().await;
}

#[tokio::test]
async fn many_clients_keep_cursors_while_a_steward_writes() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let token = tokens(clients, Vec::new()).await.remove(1).1;
    let mut putting = Vec::new();
    for number in 0..200 {
        let clients = clients.clone();
        let token = token.clone();
        putting.push(tokio::spawn(async move { put(&clients, &format!("client-{number}"), &token, false).await }));
    }
    for value in 0..10 {
        commit(clients, value).await;
    }
    for put in putting {
        put.await.unwrap().unwrap();
    }
    for number in 0..200 {
        assert_eq!(get(clients, &format!("client-{number}")).await.unwrap().resume_token, token);
    }
    server.end().await;
}

/// A stored cursor is there after SIGTERM and after `kill -9` at any moment, and resumes exactly.
#[tokio::test]
async fn cursors_are_there_after_every_end_of_the_server() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let mut server = Process::start(&data, &[]).unwrap();
    server.clients().await.define(WriteOptions::default(), catalog()).await.unwrap();
    let mut answered = 0;
    for round in 0..if long() { 100 } else { 8 } {
        let clients = server.clients().await;
        let moving = clients.clone();
        let (sender, mut moved) = tokio::sync::watch::channel(answered);
        let client = tokio::spawn(async move {
            for value in 0.. {
                let figures = one_figure(&format!("{round}.{value}"));
                let Ok(written) = moving.ingest(released("2024-01-01"), figures).await else { return };
                let request = ListCommitsRequest { after_revision: written.revision, ..Default::default() };
                let Ok(listed) = moving.feed.clone().list_commits(request).await else { return };
                let token = listed.into_inner().resume_token;
                if put(&moving, "client", &token, false).await.is_err() {
                    return;
                }
                sender.send_replace(written.revision);
            }
        });
        let enough = answered + 3 + round % 4;
        let waited = moved.wait_for(|revision| *revision >= enough);
        tokio::time::timeout(crate::support::DEADLINE, waited).await.expect("cursors move").unwrap();
        match round % 3 {
            0 => server.stop(),
            _ => server.kill(),
        }
        client.await.unwrap();
        answered = *moved.borrow();
        server = Process::start(&data, &[]).unwrap();
        let clients = server.clients().await;
        let found = get(&clients, "client").await.unwrap();
        assert!(found.revision >= answered, "{} was answered, {} is there", answered, found.revision);
        let start = Start::ResumeToken(found.resume_token);
        let resumed = Watch::open(&clients, start, Vec::new()).await.unwrap();
        let head = clients.head().await;
        let mut resumed = resumed;
        resumed.until_covers(head).await;
        let resumed = resumed.leave().await;
        assert_eq!(resumed.opened().start_revision, found.revision);
        let revisions: Vec<u64> = resumed.commits().iter().map(|commit| commit.commit.revision).collect();
        assert_eq!(revisions, (found.revision + 1..=head).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_repair_keeps_cursors_and_a_restored_backup_has_none() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let copy = scratch.path().join("copy");
    let server = Process::start(&data, &[]).unwrap();
    let clients = server.clients().await;
    clients.define(WriteOptions::default(), catalog()).await.unwrap();
    commit(&clients, 1).await;
    let token = token_of(&tokens(&clients, Vec::new()).await, 2).to_owned();
    put(&clients, "client", &token, false).await.unwrap();
    let file = scratch.path().join("backup");
    let almanac = |arguments: &[&str]| {
        let done = std::process::Command::new(env!("CARGO_BIN_EXE_almanac")).args(arguments).output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    };
    let url = format!("http://{}", server.address);
    almanac(&["--server", &url, "backup", file.to_str().unwrap()]);
    server.stop();

    copy_folder(&data, &copy);
    let report = almanac::ledger::verify::verify(&copy, false).unwrap();
    assert_eq!(report.problem_count, 0, "{:?}", report.problems);
    {
        // A version of an indicator that no commit wrote.
        let engine = almanac::store::Engine::open(&copy).unwrap();
        let mut bad = engine.batch();
        bad.put(b"Crubbish", b"rubbish").unwrap();
        bad.write().unwrap();
        engine.sync().unwrap();
    }
    let report = almanac::ledger::verify::verify(&copy, true).unwrap();
    assert!(report.set_aside.is_some(), "{:?}", report.problems);
    let repaired = Process::start(&copy, &[]).unwrap();
    assert_eq!(get(&repaired.clients().await, "client").await.unwrap().resume_token, token);
    repaired.stop();

    let restored = scratch.path().join("restored");
    almanac(&["restore", file.to_str().unwrap(), "--data", restored.to_str().unwrap()]);
    let server = Process::start(&restored, &[]).unwrap();
    let clients = server.clients().await;
    assert_refused(get(&clients, "client").await, Code::NotFound, "NO_CURSOR");
    let stale = put(&clients, "client", &token, false).await;
    assert_refused(stale, Code::FailedPrecondition, "TOKEN_OTHER_HISTORY");
    server.stop();
}

#[tokio::test]
async fn a_cursor_whose_flush_failed_is_not_shown() {
    let scratch = tempfile::tempdir().unwrap();
    let server = Process::start(scratch.path(), &[]).unwrap();
    let clients = server.clients().await;
    clients.define(WriteOptions::default(), catalog()).await.unwrap();
    commit(&clients, 1).await;
    let all = tokens(&clients, Vec::new()).await;
    let first = put(&clients, "client", token_of(&all, 1), false).await.unwrap().unwrap();
    server.stop();

    let server = Process::start(scratch.path(), &[("ALMANAC_FAIL_AT", "sync:2")]).unwrap();
    let clients = server.clients().await;
    for _ in 0..2 {
        let failed = put(&clients, "client", token_of(&all, 2), false).await;
        assert_refused(failed, Code::Unavailable, "WRITES_STOPPED");
        assert_eq!(get(&clients, "client").await.unwrap(), first);
    }
    assert!(!clients.status().await.accepts_writes, "the disk may lack the last write");
    server.kill();

    let server = Process::start(scratch.path(), &[]).unwrap();
    let clients = server.clients().await;
    assert!(get(&clients, "client").await.unwrap().revision >= 1);
    assert_eq!(put(&clients, "client", token_of(&all, 2), false).await.unwrap().unwrap().revision, 2);
    server.stop();
}
