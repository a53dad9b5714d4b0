//! A folder of format 3 that an earlier build of version 0.2 wrote: it opens, answers as before, and its tokens resume.
//! `tests/data/README.md` says what is in it.

use std::{collections::BTreeMap, fs, path::Path};

use almanac::proto::{subscribe_request::Start, *};

use crate::{
    migration::unpacked,
    support::{
        Clients, join,
        process::Process,
        replica::{Replica, read_state},
        watch::Watch,
    },
};

const HEAD: u64 = 40;
/// The stored cursor `all` is at this revision.
const CURSOR_REVISION: u64 = 20;
const FILTERS: [&str; 3] = ["all", "china", "top-3"];

fn filters(name: &str) -> Vec<Filter> {
    match name {
        "china" => vec![Filter { entities: vec!["CHN".into()], ..Default::default() }],
        "top-3" => vec![Filter { rank_at_most: 3, ..Default::default() }],
        _ => Vec::new(),
    }
}

/// What the earlier build answered for one set of filters.
#[derive(Debug, Default)]
struct Answers {
    /// Rows and digest of the state at each revision.
    states: BTreeMap<u64, (usize, String)>,
    /// The token that each revision ended with.
    tokens: BTreeMap<u64, String>,
}

fn answers(name: &str) -> Answers {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/format-3.txt");
    let mut answers = Answers::default();
    for line in fs::read_to_string(file).unwrap().lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["state", of, revision, rows, digest] if of == name => {
                answers.states.insert(revision.parse().unwrap(), (rows.parse().unwrap(), digest.to_owned()));
            }
            ["token", of, revision, token] if of == name => {
                answers.tokens.insert(revision.parse().unwrap(), token.to_owned());
            }
            _ => {}
        }
    }
    assert!(answers.states.len() as u64 == HEAD && answers.tokens.len() > 10, "{name}");
    answers
}

fn digest(state: &Replica) -> String {
    format!("{:016x}", state.digest())
}

/// Resumes after `revision` and applies what comes to the state of that revision.
async fn resumed(clients: &Clients, name: &str, revision: u64, token: String) -> Replica {
    let mut watch = Watch::open(clients, Start::ResumeToken(token), filters(name)).await.unwrap();
    watch.until_covers(HEAD).await;
    let recording = watch.leave().await;
    let mut copy = match revision {
        0 => Replica::default(),
        _ => read_state(clients, revision, &filters(name)).await,
    };
    for commit in join(&recording.pages()) {
        assert!(commit.commit.revision > revision, "{name}: {} after {revision}", commit.commit.revision);
        copy.apply_commit(&commit);
    }
    copy
}

/// An update loses nothing that was stored or sent.
#[tokio::test]
async fn a_folder_of_an_earlier_build_answers_as_before_and_its_tokens_resume() {
    let scratch = tempfile::tempdir().unwrap();
    let server = Process::start(&unpacked("format-3", scratch.path()), &[]).unwrap();
    let clients = server.clients().await;
    assert_eq!(clients.head().await, HEAD);
    for name in FILTERS {
        let answers = answers(name);
        for (revision, (rows, state_digest)) in &answers.states {
            let state = read_state(&clients, *revision, &filters(name)).await;
            assert_eq!((state.rows().len(), &digest(&state)), (*rows, state_digest), "{name} at {revision}");
        }
        for (revision, token) in &answers.tokens {
            let copy = resumed(&clients, name, *revision, token.clone()).await;
            assert_eq!(digest(&copy), answers.states[&HEAD].1, "{name} resumed after {revision}");
        }
    }
    let request = GetCursorRequest { name: "all".into() };
    let cursor = clients.feed.clone().get_cursor(request).await.unwrap().into_inner().cursor.unwrap();
    let token = answers("all").tokens.remove(&CURSOR_REVISION).unwrap();
    assert_eq!((cursor.revision, cursor.resume_token), (CURSOR_REVISION, token));
    server.stop();
}
