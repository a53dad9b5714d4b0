//! Tokens and filters that are refused, and what filters let through.

use almanac::proto::{change::Detail, subscribe_request::Start, *};
use tonic::Code;

use super::{edition_of, sex};
use crate::support::{Clients, TestServer, assert_refused, fixture::*, subscriptions::*, watch::Watch};

async fn token_of(server: &TestServer, filters: &[Filter]) -> String {
    let mut watch = Watch::open(&server.clients, range(1, 0), filters.to_vec()).await.unwrap();
    watch.until_covers(1).await;
    watch.leave().await.tokens().last().unwrap().1.clone()
}

#[tokio::test]
async fn tokens_that_do_not_belong_here_are_refused_with_their_reason() {
    let home = server_with_catalog().await;
    let abroad = server_with_catalog().await;
    let china = vec![of_entities(&["CHN"])];
    let ours = token_of(&home, &china).await;
    let foreign = token_of(&abroad, &china).await;
    let mut forged: Vec<char> = ours.chars().collect();
    // A character of the revision.
    forged[26] = if forged[26] == 'B' { 'C' } else { 'B' };
    let forged: String = forged.into_iter().collect();
    let cases = [
        (foreign.clone(), china.clone(), Code::FailedPrecondition, "TOKEN_OTHER_HISTORY"),
        (forged, china.clone(), Code::InvalidArgument, "TOKEN_MALFORMED"),
        ("12".into(), china.clone(), Code::InvalidArgument, "TOKEN_MALFORMED"),
        (ours[1..].to_owned(), china.clone(), Code::InvalidArgument, "TOKEN_MALFORMED"),
        (format!("{ours}A"), china.clone(), Code::InvalidArgument, "TOKEN_MALFORMED"),
        (ours.clone(), Vec::new(), Code::InvalidArgument, "TOKEN_OTHER_FILTER"),
        (ours.clone(), vec![of_entities(&["CHN", "USA"])], Code::InvalidArgument, "TOKEN_OTHER_FILTER"),
    ];
    for (token, filters, code, why) in cases {
        let start = Start::ResumeToken(token.clone());
        let refused = Watch::open(&home.clients, start, filters.clone()).await.map(|_| ());
        assert_refused(refused, code, why);
        let request = ListCommitsRequest { resume_token: token, filters, ..Default::default() };
        assert_refused(home.clients.feed.clone().list_commits(request).await, code, why);
    }
    let empty = Watch::open(&home.clients, Start::ResumeToken(String::new()), china.clone()).await.map(|_| ());
    assert_refused(empty, Code::InvalidArgument, "TOKEN_MALFORMED");
    // The same filter in another spelling is the same filter.
    let spelled = vec![of_entities(&["CHN", "CHN"])];
    Watch::open(&home.clients, Start::ResumeToken(ours), spelled).await.unwrap().leave().await;
    abroad.end().await;
    home.end().await;
}

#[tokio::test]
async fn filters_of_the_wrong_shape_are_refused() {
    let server = server_with_catalog().await;
    let cases = [
        vec![Filter { kinds: vec![99], ..Default::default() }],
        vec![Filter { kinds: vec![0], ..Default::default() }],
        vec![Filter { causes: vec![99], ..Default::default() }],
        vec![Filter { causes: vec![0], ..Default::default() }],
        vec![Filter { entities: ids(&["a b"]), ..Default::default() }],
        vec![Filter { dimensions: vec![sex("")], ..Default::default() }],
        vec![Filter { dimensions: vec![Dimension { id: "a=b".into(), value: "F".into() }], ..Default::default() }],
        vec![Filter { dimensions: vec![sex("F"); 101], ..Default::default() }],
        vec![Filter { entities: vec!["CHN".into(); 1_001], ..Default::default() }],
        vec![with_name("one", Filter::default()), with_name("one", Filter::default())],
        vec![with_name("one", Filter::default()), Filter::default()],
        (0..33).map(|number| with_name(&number.to_string(), Filter::default())).collect(),
    ];
    for filters in cases {
        let refused = Watch::open(&server.clients, now(), filters).await.map(|_| ());
        assert_refused(refused, Code::InvalidArgument, "FIELD");
    }
    server.end().await;
}

#[tokio::test]
async fn a_rank_window_marks_entries_that_enter_and_leave() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    clients.publish(edition("2022"), entries(&[1, 2, 3, 4, 5])).await.unwrap();
    let top = vec![within_rank(2)];
    let mut watch = Watch::open(clients, now(), top).await.unwrap();
    clients.publish(edition("2023"), entries(&[3, 1, 2, 4, 6])).await.unwrap();
    watch.until_covers(3).await;
    let commits = watch.leave().await.commits();
    let seen: Vec<(String, ChangeScope)> = commits[0]
        .changes
        .iter()
        .map(|change| match change.detail.as_ref().unwrap() {
            Detail::Entry(entry) => (entry.entity.clone(), change.scope()),
            other => panic!("{other:?}"),
        })
        .collect();
    // Rows of 2023; those of 2022 stay as they are.
    let expected =
        [(cluster(3), ChangeScope::Entered), (cluster(1), ChangeScope::Entered), (cluster(2), ChangeScope::Outside)];
    assert_eq!(seen, expected);
    server.end().await;
}

/// The changes of entries that a filter lets through in the newest commit: entities and scopes.
async fn scopes_of_head(clients: &Clients, filter: Filter) -> Vec<(String, ChangeScope)> {
    let head = clients.head().await;
    let filter = Filter { kinds: vec![ChangeKind::Entry.into()], ..filter };
    let watch = Watch::open(clients, range(head, head), vec![filter]).await.unwrap();
    let commits = watch.ended().await.unwrap().commits();
    let changes = commits.into_iter().flat_map(|commit| commit.changes);
    let scopes = changes.map(|change| match change.detail.as_ref().unwrap() {
        Detail::Entry(entry) => (entry.entity.clone(), change.scope()),
        other => panic!("{other:?}"),
    });
    scopes.collect()
}

#[tokio::test]
async fn a_row_that_a_correction_moves_leaves_one_filter_and_enters_the_other() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let in_china = vec![Entry { economies: ids(&["CHN"]), ..entry(1, 1) }];
    let in_japan = vec![Entry { economies: ids(&["JPN"]), ..entry(1, 1) }];
    clients.publish(edition_of("2025", "office"), in_china).await.unwrap();

    clients.publish(correction(edition_of("2025", "office")), in_japan.clone()).await.unwrap();
    assert_eq!(scopes_of_head(clients, of_entities(&["CHN"])).await, [(cluster(1), ChangeScope::Left)]);
    assert_eq!(scopes_of_head(clients, of_entities(&["JPN"])).await, [(cluster(1), ChangeScope::Entered)]);
    assert_eq!(scopes_of_head(clients, of_entities(&[&cluster(1)])).await, [(cluster(1), ChangeScope::Changed)]);

    // The entry does not change, but the source of its edition does.
    let written = clients.publish(correction(edition_of("2025", "press")), in_japan).await.unwrap();
    let counts = written.result.unwrap().counts.unwrap();
    assert_eq!((counts.revised, counts.unchanged), (0, 1));
    assert_eq!(scopes_of_head(clients, of_sources(&["office"])).await, [(cluster(1), ChangeScope::Left)]);
    assert_eq!(scopes_of_head(clients, of_sources(&["press"])).await, [(cluster(1), ChangeScope::Entered)]);
    server.end().await;
}

/// A token of Almanac 0.1: a version, the history, two revisions, a hash and a checksum.
fn outdated_token() -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let mut bytes = vec![1];
    bytes.extend([7; 16]);
    for number in [5_u64, 4, 99] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend([3; 12]);
    URL_SAFE_NO_PAD.encode(bytes)
}

#[tokio::test]
async fn a_token_of_almanac_0_1_is_outdated() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let token = outdated_token();
    let subscribed = Watch::open(clients, Start::ResumeToken(token.clone()), Vec::new()).await.map(|_| ());
    assert_refused(subscribed, Code::FailedPrecondition, "TOKEN_OUTDATED");
    let listing = ListCommitsRequest { resume_token: token.clone(), ..Default::default() };
    assert_refused(clients.feed.clone().list_commits(listing).await, Code::FailedPrecondition, "TOKEN_OUTDATED");
    let cursor = PutCursorRequest { name: "cursor".into(), resume_token: token, ..Default::default() };
    assert_refused(clients.feed.clone().put_cursor(cursor).await, Code::FailedPrecondition, "TOKEN_OUTDATED");
    server.end().await;
}
