//! Editions: their entries, comparisons and trajectories.

use almanac::proto::*;
use prost::Message;
use tonic::Code;

use crate::support::{Clients, TestServer, assert_refused, at_released, at_revision, fields, fixture::*, text};

/// Editions 2022 to 2024 (2024 with another methodology), and 2021, of which only some ranks are known.
pub(super) async fn with_editions() -> TestServer {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let some = vec![entry(1, 1), entry(2, 2), entry(9, 9)];
    clients.publish(partial(edition("2021")), some).await.unwrap();
    clients.publish(edition("2022"), entries(&[1, 2, 3, 4, 5])).await.unwrap();
    clients.publish(edition("2023"), entries(&[2, 1, 3, 6, 4])).await.unwrap();
    let mut header = edition("2024");
    header.edition.as_mut().unwrap().methodology = "three".into();
    clients.publish(header, entries(&[2, 3, 1, 4])).await.unwrap();
    server
}

async fn compare(clients: &Clients, from: &str, to: &str) -> CompareEditionsResponse {
    let request = CompareEditionsRequest {
        ranking: RANKING.into(),
        earlier_edition: from.into(),
        later_edition: to.into(),
        ..Default::default()
    };
    clients.rankings.clone().compare_editions(request).await.unwrap().into_inner()
}

fn absence(kind: AbsenceKind, worse_than: u32) -> Option<Absence> {
    Some(Absence { kind: kind.into(), worse_than })
}

fn worse_than(rank: u32) -> Option<Absence> {
    absence(AbsenceKind::WorseThan, rank)
}

fn not_ranked() -> Option<Absence> {
    absence(AbsenceKind::NotRanked, 0)
}

fn movements(moves: &[EntryMove]) -> Vec<(&str, Movement, Option<i32>)> {
    moves.iter().map(|one| (one.entity.as_str(), one.movement(), one.places)).collect()
}

#[tokio::test]
async fn editions_are_listed_newest_first_and_the_newest_answers_without_a_name() {
    let server = with_editions().await;
    let mut rankings = server.clients.rankings.clone();
    let mut found = Vec::new();
    let mut request = ListEditionsRequest { ranking: RANKING.into(), page_size: 3, ..Default::default() };
    loop {
        let page = rankings.list_editions(request.clone()).await.unwrap().into_inner();
        assert!(page.editions.len() <= 3);
        assert_eq!(page.revision, 5);
        found.extend(page.editions);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    let ids: Vec<&str> = found.iter().map(|edition| edition.id.as_str()).collect();
    assert_eq!(ids, ["2024", "2023", "2022", "2021"]);
    assert_eq!(found[0].compared_with, "2023");
    assert_eq!((found[0].entry_count, found[0].status()), (4, EditionStatus::Published));
    assert_eq!(found[0].coverage.as_ref().unwrap().complete_to, 4);
    assert_eq!(found[3].coverage.as_ref().unwrap().complete_to, 2);

    let request = GetEditionRequest { ranking: RANKING.into(), ..Default::default() };
    let newest = rankings.get_edition(request.clone()).await.unwrap().into_inner().edition.unwrap();
    assert_eq!(newest, found[0]);
    let then = GetEditionRequest { as_of: at_revision(4), ..request.clone() };
    assert_eq!(rankings.get_edition(then).await.unwrap().into_inner().edition.unwrap().id, "2023");
    let by_release = GetEditionRequest { as_of: at_released("2022-12-31"), ..request.clone() };
    assert_eq!(rankings.get_edition(by_release).await.unwrap().into_inner().edition.unwrap().id, "2022");
    let nothing_yet = GetEditionRequest { as_of: at_revision(1), ..request.clone() };
    assert_refused(rankings.get_edition(nothing_yet).await, Code::NotFound, "NO_EDITION");
    let unknown = GetEditionRequest { edition: "1999".into(), ..request };
    let status = assert_refused(rankings.get_edition(unknown).await, Code::NotFound, "NO_EDITION");
    assert!(status.message().contains("2023"), "names what there is: {}", status.message());
    server.end().await;
}

#[tokio::test]
async fn entries_come_in_rank_order_page_by_page_at_one_revision() {
    let server = with_editions().await;
    let mut rankings = server.clients.rankings.clone();
    let mut request =
        ListEntriesRequest { ranking: RANKING.into(), edition: "2022".into(), page_size: 2, ..Default::default() };
    let first = rankings.list_entries(request.clone()).await.unwrap().into_inner();
    // A correction between two pages must not show on the second.
    server.clients.publish(correction(edition("2022")), entries(&[5, 4, 3, 2, 1])).await.unwrap();
    request.page_token = first.next_page_token.clone();
    let second = rankings.list_entries(request.clone()).await.unwrap().into_inner();
    request.page_token = second.next_page_token.clone();
    let third = rankings.list_entries(request.clone()).await.unwrap().into_inner();
    assert!(third.next_page_token.is_empty());
    assert_eq!([first.revision, second.revision, third.revision], [5; 3]);
    let all: Vec<Entry> = [first.entries, second.entries, third.entries].concat();
    let expected = entries(&[1, 2, 3, 4, 5]);
    let plain = |entries: &[Entry]| -> Vec<(String, Option<u32>, String, Vec<String>)> {
        let row = |entry: &Entry| {
            (entry.entity.clone(), entry.rank, text(entry.score.as_ref().unwrap()), entry.economies.clone())
        };
        entries.iter().map(row).collect()
    };
    assert_eq!(plain(&all), plain(&expected));
    let now = server.clients.entries(RANKING, "2022", None).await.unwrap();
    assert_eq!(plain(&now), plain(&entries(&[5, 4, 3, 2, 1])));

    let of_economy = ListEntriesRequest {
        ranking: RANKING.into(),
        edition: "2022".into(),
        economy: economies_of(5)[1].clone(),
        ..Default::default()
    };
    let found = rankings.list_entries(of_economy).await.unwrap().into_inner().entries;
    assert!(found.iter().any(|entry| entry.entity == cluster(5)), "a cross-border cluster lies in both");
    assert!(found.iter().all(|entry| entry.economies.contains(&economies_of(5)[1])));

    request.page_token = second.next_page_token;
    request.edition = "2023".into();
    let other = rankings.list_entries(request.clone()).await;
    assert_eq!(fields(&assert_refused(other, Code::InvalidArgument, "PAGE_TOKEN")), ["page_token"]);
    request.page_token = "forged".into();
    let forged = rankings.list_entries(request.clone()).await;
    assert_eq!(fields(&assert_refused(forged, Code::InvalidArgument, "PAGE_TOKEN")), ["page_token"]);
    let negative = ListEntriesRequest { page_size: -1, page_token: String::new(), ..request };
    assert_refused(rankings.list_entries(negative).await, Code::InvalidArgument, "FIELD");
    server.end().await;
}

#[tokio::test]
async fn a_comparison_says_who_entered_left_and_moved() {
    let server = with_editions().await;
    let found = compare(&server.clients, "2022", "2023").await;
    assert!(found.comparable, "{:?}", found.comparability_notes);
    let expected = [
        (cluster(2), Movement::Up, Some(1)),
        (cluster(1), Movement::Down, Some(-1)),
        (cluster(3), Movement::Unchanged, Some(0)),
        (cluster(6), Movement::Entered, None),
        (cluster(4), Movement::Down, Some(-1)),
        (cluster(5), Movement::Left, None),
    ];
    let expected: Vec<(&str, Movement, Option<i32>)> =
        expected.iter().map(|(id, movement, places)| (id.as_str(), *movement, *places)).collect();
    assert_eq!(movements(&found.moves), expected);
    let left = found.moves.last().unwrap();
    assert_eq!(left.later_absence, worse_than(5), "below the five listed");
    assert_eq!(left.earlier.as_ref().unwrap().rank, Some(5));
    let count = |movement: Movement| found.counts.iter().find(|count| count.movement() == movement).unwrap().count;
    assert_eq!((count(Movement::Down), count(Movement::Entered), count(Movement::Left)), (2, 1, 1));
    server.end().await;
}

#[tokio::test]
async fn a_method_change_makes_ranks_incomparable_and_says_why() {
    let server = with_editions().await;
    let found = compare(&server.clients, "2023", "2024").await;
    assert!(!found.comparable);
    let notes = found.comparability_notes.join(" ");
    assert!(notes.contains("vc"), "names the component that was added: {notes}");
    server.end().await;
}

#[tokio::test]
async fn partial_coverage_is_never_turned_into_left() {
    let server = with_editions().await;
    let to_partial = compare(&server.clients, "2022", "2021").await;
    assert!(to_partial.moves.iter().all(|one| one.movement() != Movement::Left));
    for unknown in [3, 4, 5] {
        let one = to_partial.moves.iter().find(|one| one.entity == cluster(unknown)).unwrap();
        assert_eq!(one.movement(), Movement::Unknown);
        assert_eq!((&one.later, one.later_absence), (&None, worse_than(2)));
    }
    let from_partial = compare(&server.clients, "2021", "2022").await;
    assert!(from_partial.moves.iter().all(|one| one.movement() != Movement::Entered));
    let ninth = from_partial.moves.iter().find(|one| one.entity == cluster(9)).unwrap();
    assert_eq!(ninth.movement(), Movement::Left, "2022 is whole, so what it does not list left it");
    assert!(from_partial.comparability_notes.iter().any(|note| note.contains("partial")));
    server.end().await;
}

fn trajectory_request(entities: &[String]) -> GetTrajectoryRequest {
    GetTrajectoryRequest { ranking: RANKING.into(), entities: entities.to_vec(), ..Default::default() }
}

#[tokio::test]
async fn a_trajectory_goes_through_every_edition_that_stands() {
    let server = with_editions().await;
    server.clients.withdraw(WriteOptions::default(), RANKING, "2022").await.unwrap();
    let mut rankings = server.clients.rankings.clone();
    let found =
        rankings.get_trajectory(trajectory_request(&[cluster(4), cluster(1)])).await.unwrap().into_inner().trajectories;
    assert_eq!([&found[0].entity, &found[1].entity], [&cluster(4), &cluster(1)], "in the order asked");
    let points = |trajectory: &Trajectory| -> Vec<(String, Option<u32>, Option<Absence>, bool)> {
        let point = |point: &TrajectoryPoint| {
            let rank = point.entry.as_ref().and_then(|entry| entry.rank);
            assert_eq!(point.entry.is_some(), point.absence.is_none(), "either the entry or why there is none");
            (point.edition.clone(), rank, point.absence, point.comparable_to_previous)
        };
        trajectory.points.iter().map(point).collect()
    };
    let at = |edition: &str, rank, absence, comparable| (edition.to_owned(), rank, absence, comparable);
    assert_eq!(
        points(&found[0]),
        [at("2021", None, worse_than(2), false), at("2023", Some(5), None, true), at("2024", Some(4), None, false)]
    );
    assert_eq!(
        points(&found[1]),
        [at("2021", Some(1), None, false), at("2023", Some(2), None, true), at("2024", Some(3), None, false)]
    );
    assert_refused(rankings.get_trajectory(trajectory_request(&[])).await, Code::InvalidArgument, "FIELD");
    let near = rankings.get_trajectory(trajectory_request(&["cluster:0l".to_owned()])).await;
    let status = assert_refused(near, Code::NotFound, "UNKNOWN_ENTITY");
    assert!(status.message().contains("cluster:01"), "{}", status.message());
    server.end().await;
}

#[tokio::test]
async fn an_entity_that_cannot_be_in_a_table_is_not_worse_than_it() {
    let server = server_with_catalog().await;
    server.clients.publish(edition("2023"), entries(&[1, 2])).await.unwrap();
    let mut all = edition("2024");
    all.edition.as_mut().unwrap().coverage.as_mut().unwrap().kind = CoverageKind::All.into();
    server.clients.publish(all, entries(&[1, 2, 3])).await.unwrap();
    let request = GetTrajectoryRequest {
        ranking: RANKING.into(),
        entities: vec![cluster(3), cluster(4), "CHN".to_owned()],
        ..Default::default()
    };
    let found = server.clients.rankings.clone().get_trajectory(request).await.unwrap().into_inner().trajectories;
    let listed_or_why = |point: &TrajectoryPoint| (point.entry.is_some(), point.absence);
    let found: Vec<Vec<(bool, Option<Absence>)>> =
        found.iter().map(|one| one.points.iter().map(listed_or_why).collect()).collect();
    assert_eq!(found[0], [(false, worse_than(2)), (true, None)]);
    assert_eq!(found[1], [(false, worse_than(2)), (false, not_ranked())], "of all that were ranked it is none");
    assert_eq!(found[2], [(false, not_ranked()), (false, not_ranked())], "an economy has no rank among clusters");
    let compared = compare(&server.clients, "2024", "2023").await;
    let left = compared.moves.iter().find(|one| one.entity == cluster(3)).unwrap();
    assert_eq!((left.movement(), left.later_absence), (Movement::Left, worse_than(2)));
    let compared = compare(&server.clients, "2023", "2024").await;
    let entered = compared.moves.iter().find(|one| one.entity == cluster(3)).unwrap();
    assert_eq!((entered.movement(), entered.earlier_absence), (Movement::Entered, worse_than(2)));
    server.end().await;
}

#[tokio::test]
async fn a_withdrawn_edition_stands_as_of_before_and_not_after() {
    let server = with_editions().await;
    let withdrawn = server.clients.withdraw(WriteOptions::default(), RANKING, "2024").await.unwrap();
    let revision = withdrawn.result.unwrap().revision;
    assert_eq!(withdrawn.edition.unwrap().status(), EditionStatus::Withdrawn);
    let now = server.clients.entries(RANKING, "2024", None).await;
    let status = assert_refused(now, Code::FailedPrecondition, "EDITION_WITHDRAWN");
    assert!(status.message().contains(&revision.to_string()));
    let before = server.clients.entries(RANKING, "2024", at_revision(revision - 1)).await.unwrap();
    assert_eq!(before.len(), 4);
    let newest = server.clients.entries(RANKING, "", None).await.unwrap();
    assert_eq!(newest.len(), 5, "2023 is the newest published one");
    let listed = ListEditionsRequest { ranking: RANKING.into(), ..Default::default() };
    let listed = server.clients.rankings.clone().list_editions(listed).await.unwrap().into_inner().editions;
    assert_eq!((listed[0].id.as_str(), listed[0].status()), ("2024", EditionStatus::Withdrawn));
    server.end().await;
}

/// All pages of a comparison.
async fn compare_pages(clients: &Clients, mut request: CompareEditionsRequest) -> Vec<CompareEditionsResponse> {
    let mut pages: Vec<CompareEditionsResponse> = Vec::new();
    loop {
        assert!(pages.len() < 100, "it does not end");
        pages.push(clients.rankings.clone().compare_editions(request.clone()).await.unwrap().into_inner());
        request.page_token = pages.last().unwrap().next_page_token.clone();
        if request.page_token.is_empty() {
            return pages;
        }
    }
}

#[tokio::test]
async fn a_comparison_comes_in_pages_of_one_revision_that_each_tell_of_all() {
    let server = with_editions().await;
    let whole = compare(&server.clients, "2022", "2023").await;
    assert_eq!((whole.moves.len(), whole.next_page_token.as_str()), (6, ""), "a short comparison is one page");
    let request = CompareEditionsRequest {
        ranking: RANKING.into(),
        earlier_edition: "2022".into(),
        later_edition: "2023".into(),
        page_size: 4,
        ..Default::default()
    };
    let first = server.clients.rankings.clone().compare_editions(request.clone()).await.unwrap().into_inner();
    // Writes between pages have no effect.
    let head = server.clients.head().await;
    server.clients.publish(correction(edition("2023")), entries(&[5, 4, 3, 2])).await.unwrap();
    let rest = CompareEditionsRequest { page_token: first.next_page_token.clone(), page_size: 1, ..request.clone() };
    let mut pages = vec![first];
    pages.extend(compare_pages(&server.clients, rest.clone()).await);
    assert_eq!(pages.iter().map(|page| page.moves.len()).collect::<Vec<_>>(), [4, 1, 1]);
    assert_eq!(pages.iter().flat_map(|page| page.moves.clone()).collect::<Vec<_>>(), whole.moves);
    for page in &pages {
        assert_eq!((page.revision, &page.earlier, &page.later), (head, &whole.earlier, &whole.later));
        assert_eq!((&page.counts, page.comparable), (&whole.counts, whole.comparable));
    }
    let mut rankings = server.clients.rankings.clone();
    let other = CompareEditionsRequest { later_edition: "2024".into(), ..rest };
    let status = assert_refused(rankings.compare_editions(other).await, Code::InvalidArgument, "PAGE_TOKEN");
    assert_eq!(fields(&status), ["page_token"]);
    let negative = CompareEditionsRequest { page_size: -1, ..request };
    assert_refused(rankings.compare_editions(negative).await, Code::InvalidArgument, "FIELD");
    server.end().await;
}

/// Entries with as many components as allowed, each with a long remark: about 150 kB an entry.
fn long_entries(clusters: &[usize], remark: &str) -> Vec<Entry> {
    let component = |number: usize| EntryComponent {
        id: format!("part-{number:03}"),
        raw: Some(Value { comment: remark.repeat(25), ..number_value(number) }),
        ..Default::default()
    };
    let long = |entry: Entry| Entry { components: (0..300).map(component).collect(), ..entry };
    entries(clusters).into_iter().map(long).collect()
}

fn number_value(of: usize) -> Value {
    number(&format!("{of}.5"))
}

#[tokio::test]
async fn long_comparisons_and_trajectories_are_cut_before_a_client_of_default_limits_breaks() {
    let server = server_with_catalog().await;
    let clusters: Vec<usize> = (1..=CLUSTERS).collect();
    let years = ["2021", "2022", "2023"];
    for (at, year) in years.iter().enumerate() {
        let mut clusters = clusters.clone();
        clusters.rotate_left(at);
        server.clients.publish(edition(year), long_entries(&clusters, "as printed in annex ")).await.unwrap();
    }
    // The clients of the tests accept 4 MiB a message, which is the default of most clients.
    let request = CompareEditionsRequest {
        ranking: RANKING.into(),
        earlier_edition: "2021".into(),
        later_edition: "2022".into(),
        ..Default::default()
    };
    let pages = compare_pages(&server.clients, request).await;
    let bytes: usize = pages.iter().map(Message::encoded_len).sum();
    assert!(pages.len() > 2 && bytes > 3_500_000, "{} pages, {bytes} bytes", pages.len());
    assert!(pages.iter().all(|page| page.encoded_len() < 3 << 19), "an entry more than 1 MiB at most");
    let moves: Vec<EntryMove> = pages.into_iter().flat_map(|page| page.moves).collect();
    let found: Vec<(String, Option<u32>)> =
        moves.iter().map(|one| (one.entity.clone(), one.later.as_ref().unwrap().rank)).collect();
    let expected = (1..=CLUSTERS).map(|rank| (cluster(rank % CLUSTERS + 1), Some(rank as u32)));
    assert_eq!(found, expected.collect::<Vec<_>>());
    assert!(moves.iter().all(|one| one.earlier.as_ref().unwrap().components.len() == 300));

    let mut request = GetTrajectoryRequest {
        ranking: RANKING.into(),
        entities: (1..=CLUSTERS).map(cluster).collect(),
        ..Default::default()
    };
    let mut points: Vec<(String, String)> = Vec::new();
    let mut pages = 0;
    let mut cut = 0;
    loop {
        let page = server.clients.rankings.clone().get_trajectory(request.clone()).await.unwrap().into_inner();
        assert!(page.encoded_len() < 3 << 19, "{} bytes", page.encoded_len());
        assert_eq!(page.revision, 4);
        pages += 1;
        let goes_on = page.trajectories.first().map(|one| &one.entity) == points.last().map(|(entity, _)| entity);
        cut += usize::from(goes_on);
        for trajectory in page.trajectories {
            points.extend(trajectory.points.into_iter().map(|point| (trajectory.entity.clone(), point.edition)));
        }
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
        // One page after the other: trajectories are cut as well.
        request.page_size = 1;
    }
    let expected = (1..=CLUSTERS).flat_map(|number| years.map(|year| (cluster(number), year.to_owned())));
    assert_eq!(points, expected.collect::<Vec<_>>());
    assert!(pages > 10 && cut > 5, "{pages} pages, {cut} begin within a trajectory");
    server.end().await;
}
