//! Pages: `ListCommits`, and the length of messages.

use almanac::proto::{subscribe_response::Body as Message, *};

use crate::support::{Dice, author::Author, fixture::*, join, oracle::CommitLog, subscriptions::*, watch::Watch};

#[tokio::test]
async fn commits_are_listed_page_by_page_with_at_most_as_many_changes_as_asked_for() {
    let dice = Dice::new("listed");
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let mut author = Author::new(dice, "steward", 900);
    for _ in 0..15 {
        author.next().send(clients).await.unwrap();
    }
    let log = CommitLog::read(clients).await;
    let some = Filter { entities: ids(&["CHN", "JPN"]), indicators: ids(&["GB.*"]), ..Default::default() };
    for (page_size, filters) in
        [1, 7, 256, 1_000, 20_000].into_iter().flat_map(|size| [(size, vec![]), (size, vec![some.clone()])])
    {
        let mut request = ListCommitsRequest { page_size, filters: filters.clone(), ..Default::default() };
        let mut pages = Vec::new();
        loop {
            let answer = clients.feed.clone().list_commits(request.clone()).await.unwrap().into_inner();
            let changes: usize = answer.commits.iter().map(|page| page.changes.len()).sum();
            assert!(changes <= page_size as usize, "{changes} changes on a page of {page_size}");
            pages.extend(answer.commits);
            if answer.next_page_token.is_empty() {
                break;
            }
            request.page_token = answer.next_page_token;
        }
        let expected = log.expected(&filters, 0, u64::MAX);
        assert_eq!(join(&pages), expected, "pages of {page_size}, {filters:?}");
    }
    server.end().await;
}

/// Entries with 200 long components each.
fn long_entries(clusters: &[usize]) -> Vec<Entry> {
    let mut all = entries(clusters);
    for entry in &mut all {
        for at in 0..200 {
            entry.components.push(EntryComponent {
                id: format!("component-{at}"),
                raw: Some(Value { comment: "c".repeat(100), ..number(&at.to_string()) }),
                ..Default::default()
            });
        }
    }
    all
}

#[tokio::test]
async fn no_message_is_longer_than_promised() {
    use prost::Message as _;
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let sources = (0..300).map(|number| {
        let Some(definition::Item::Source(given)) = source(&format!("s{number}"), 1).item else { unreachable!() };
        let long = Source { title: "t".repeat(1_000), url: "u".repeat(2_000), ..given };
        Definition { item: Some(definition::Item::Source(long)) }
    });
    clients.define(WriteOptions::default(), sources.collect()).await.unwrap();
    // The longest figures, each revised, so that the row before is as long.
    let years: Vec<String> = (1500..2000).map(|year| year.to_string()).collect();
    for letter in ["a", "b"] {
        let mut sent = batch(PATENTS, "CHN", "bank", &[]);
        for year in &years {
            let value = Value { comment: letter.repeat(500), ..number("1.5") };
            sent.points.push(IngestPoint { period: year.clone(), value: Some(value), withdrawn: false });
        }
        clients.ingest(released("2024-01-01"), vec![sent]).await.unwrap();
    }
    clients.publish(edition("2022"), long_entries(&[1, 2, 3, 4, 5, 6])).await.unwrap();
    clients.publish(edition("2023"), long_entries(&[6, 5, 4, 3, 2, 1])).await.unwrap();
    let head = clients.head().await;
    for start in [range(1, 0), state()] {
        let mut watch = Watch::open(clients, start, Vec::new()).await.unwrap();
        watch.until_covers(head).await;
        for message in watch.leave().await.messages {
            let (what, single) = match &message {
                Message::CommitPage(page) => {
                    (format!("page {} of {}", page.page, page.revision), page.changes.len() == 1)
                }
                Message::SnapshotPage(page) => (format!("state page {}", page.page), page.rows.len() == 1),
                _ => continue,
            };
            let bytes = SubscribeResponse { body: Some(message) }.encoded_len();
            assert!(bytes < 256 << 10 || single, "{what} takes {bytes} bytes");
        }
    }
    server.end().await;
}
