//! Typed answers, at any point of history.

use almanac::proto::*;
use prost::Message;
use tonic::Code;
use tonic_types::StatusExt;

use crate::support::{
    Clients, TestServer, assert_refused, at_recorded, at_released, at_revision, fields, fixture::*, reason, text,
};

/// Editions 2022 to 2024 (2024 by another method), and 2021 of which only some ranks are known.
async fn with_editions() -> TestServer {
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
    // What is written between the pages does not show.
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

/// Entries with all the components that one may have, each with a long remark: about 150 kB an entry.
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
    // The harness takes 4 MiB a message, as a client does unless told otherwise.
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
    let told: Vec<(String, Option<u32>)> =
        moves.iter().map(|one| (one.entity.clone(), one.later.as_ref().unwrap().rank)).collect();
    let expected = (1..=CLUSTERS).map(|rank| (cluster(rank % CLUSTERS + 1), Some(rank as u32)));
    assert_eq!(told, expected.collect::<Vec<_>>());
    assert!(moves.iter().all(|one| one.earlier.as_ref().unwrap().components.len() == 300));

    let mut request = GetTrajectoryRequest {
        ranking: RANKING.into(),
        entities: (1..=CLUSTERS).map(cluster).collect(),
        ..Default::default()
    };
    let mut points: Vec<(String, String)> = Vec::new();
    let (mut pages, mut cut) = (0, 0);
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
        // One after the other from here on: trajectories are cut as well.
        request.page_size = 1;
    }
    let expected = (1..=CLUSTERS).flat_map(|number| years.map(|year| (cluster(number), year.to_owned())));
    assert_eq!(points, expected.collect::<Vec<_>>());
    assert!(pages > 10 && cut > 5, "{pages} pages, {cut} begin within a trajectory");
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

#[tokio::test]
async fn a_trajectory_goes_through_every_edition_that_stands() {
    let server = with_editions().await;
    server.clients.withdraw(WriteOptions::default(), RANKING, "2022").await.unwrap();
    let request = |entities: &[String]| GetTrajectoryRequest {
        ranking: RANKING.into(),
        entities: entities.to_vec(),
        ..Default::default()
    };
    let mut rankings = server.clients.rankings.clone();
    let found = rankings.get_trajectory(request(&[cluster(4), cluster(1)])).await.unwrap().into_inner().trajectories;
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
    assert_refused(rankings.get_trajectory(request(&[])).await, Code::InvalidArgument, "FIELD");
    let near = rankings.get_trajectory(request(&["cluster:0l".to_owned()])).await;
    let status = assert_refused(near, Code::NotFound, "UNKNOWN_ENTITY");
    assert!(status.message().contains("cluster:01"), "{}", status.message());
    server.end().await;
}

#[tokio::test]
async fn who_cannot_be_in_a_table_is_not_worse_than_it() {
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
    let told: Vec<Vec<(bool, Option<Absence>)>> =
        found.iter().map(|one| one.points.iter().map(listed_or_why).collect()).collect();
    assert_eq!(told[0], [(false, worse_than(2)), (true, None)]);
    assert_eq!(told[1], [(false, worse_than(2)), (false, not_ranked())], "of all that were ranked it is none");
    assert_eq!(told[2], [(false, not_ranked()), (false, not_ranked())], "an economy has no rank among clusters");
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
    assert_eq!(newest.len(), 5, "2023 is the newest that stands");
    let listed = ListEditionsRequest { ranking: RANKING.into(), ..Default::default() };
    let listed = server.clients.rankings.clone().list_editions(listed).await.unwrap().into_inner().editions;
    assert_eq!((listed[0].id.as_str(), listed[0].status()), ("2024", EditionStatus::Withdrawn));
    server.end().await;
}

/// Three sources for one figure, in three commits.
async fn with_figures() -> TestServer {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let years = &[("2019", "2.24"), ("2020", "2.41"), ("2021", "2.43")];
    clients.ingest(released("2022-03-01"), vec![batch(RD, "CHN", "office", years)]).await.unwrap();
    let years = &[("2020", "2.40"), ("2021", "2.44")];
    clients.ingest(released("2023-03-01"), vec![batch(RD, "CHN", "bank", years)]).await.unwrap();
    let mut about = batch(RD, "CHN", "press", &[("2021", "2.5")]);
    about.points[0].value.as_mut().unwrap().qualifier = Qualifier::AtLeast.into();
    clients.ingest(released("2024-03-01"), vec![about, batch(RD, "CHN", "closed", &[("2021", "2.9")])]).await.unwrap();
    server
}

#[tokio::test]
async fn a_figure_names_who_answers_and_what_the_others_say() {
    let server = with_figures().await;
    let clients = &server.clients;
    let found = figure(clients, RD, "CHN", "2021", None).await.unwrap();
    let source = |figure: &Observation| (figure.source.clone(), text(figure.value.as_ref().unwrap()));
    let expect = |source: &str, text: &str| (source.to_owned(), text.to_owned());
    assert_eq!(source(found.selected.as_ref().unwrap()), expect("bank", "2.44"));
    let others: Vec<_> = found.alternatives.iter().map(source).collect();
    assert_eq!(others, [expect("office", "2.43"), expect("press", "2.5"), expect("closed", "2.9")]);
    assert_eq!((found.policy.as_str(), found.unit.as_str(), found.revision), ("default@1", "% of GDP", 4));
    let disagreement = found.disagreement.unwrap();
    assert_eq!((disagreement.min, disagreement.max), (2.43, 2.9));
    assert_eq!((disagreement.compared, disagreement.not_comparable), (3, 1), "a bound is not compared");
    assert!((disagreement.relative_spread - 0.47 / 2.9).abs() < 1e-9);

    let request = GetFigureRequest {
        indicator: RD.into(),
        entity: "CHN".into(),
        period: "2021".into(),
        policy: "newest@1".into(),
        ..Default::default()
    };
    let mut statistics = clients.statistics.clone();
    let newest = statistics.get_figure(request.clone()).await.unwrap().into_inner();
    assert_eq!(newest.selected.unwrap().source, "press");
    let only = GetFigureRequest { source: "office".into(), policy: String::new(), ..request.clone() };
    let only = statistics.get_figure(only).await.unwrap().into_inner();
    assert_eq!((only.selected.unwrap().source.as_str(), only.alternatives.len()), ("office", 0));
    assert_eq!(only.disagreement, None);
    let policy = GetFigureRequest { policy: "best@7".into(), ..request.clone() };
    assert_refused(statistics.get_figure(policy).await, Code::InvalidArgument, "POLICY");
    let latest = GetFigureRequest { period: String::new(), source: "bank".into(), ..request.clone() };
    assert_eq!(statistics.get_figure(latest).await.unwrap().into_inner().selected.unwrap().period, "2021");
    let none = GetFigureRequest { period: "1960".into(), ..request };
    let status = assert_refused(statistics.get_figure(none).await, Code::NotFound, "NO_FIGURE");
    assert!(status.message().contains("2019") && status.message().contains("2021"), "{}", status.message());
    server.end().await;
}

#[tokio::test]
async fn as_of_answers_by_revision_by_our_clock_and_by_release_date() {
    let server = with_figures().await;
    let clients = &server.clients;
    let answer = async |as_of| {
        let found = figure(clients, RD, "CHN", "2020", as_of).await?;
        Ok::<_, tonic::Status>((text(found.selected.unwrap().value.as_ref().unwrap()), found.revision))
    };
    assert_eq!(answer(at_revision(2)).await.unwrap(), ("2.41".to_owned(), 2));
    assert_eq!(answer(at_revision(3)).await.unwrap(), ("2.40".to_owned(), 3));
    assert_refused(answer(at_revision(1)).await, Code::NotFound, "NO_FIGURE");
    assert_refused(answer(at_revision(0)).await, Code::NotFound, "UNKNOWN_INDICATOR");
    assert_refused(answer(at_revision(99)).await, Code::OutOfRange, "ABOVE_HEAD");
    assert_eq!(answer(at_released("2022-12-31")).await.unwrap(), ("2.41".to_owned(), 4));
    assert_eq!(answer(at_released("2023-03-01")).await.unwrap(), ("2.40".to_owned(), 4));
    assert_refused(answer(at_released("2022-02-28")).await, Code::NotFound, "NO_FIGURE");

    let commits = clients.commits(0, Vec::new()).await;
    for commit in &commits[1..] {
        let recorded = commit.commit.recorded.unwrap();
        let (_, revision) = answer(at_recorded(recorded)).await.unwrap();
        assert!(revision >= commit.commit.revision);
        let mut feed = clients.feed.clone();
        let at = resolve_revision_request::At::Recorded(recorded);
        let resolved = feed
            .resolve_revision(ResolveRevisionRequest { at: Some(at), ..Default::default() })
            .await
            .unwrap()
            .into_inner();
        assert_eq!(resolved.revision, revision);
        assert_eq!(resolved.commit.unwrap().recorded, Some(recorded));
    }
    let long_ago = prost_types::Timestamp { seconds: 1_000_000, nanos: 0 };
    assert_refused(answer(at_recorded(long_ago)).await, Code::NotFound, "UNKNOWN_INDICATOR");
    server.end().await;
}

#[tokio::test]
async fn a_date_resolves_to_a_revision() {
    let server = with_figures().await;
    let resolve = async |day: &str| {
        let at = resolve_revision_request::At::Released(day.into());
        let request = ResolveRevisionRequest { at: Some(at), ..Default::default() };
        server.clients.feed.clone().resolve_revision(request).await.map(|found| found.into_inner().revision)
    };
    assert_eq!(resolve("2022-01-01").await.unwrap(), 0);
    assert_eq!(resolve("2022-03-01").await.unwrap(), 2);
    assert_eq!(resolve("2023-12-31").await.unwrap(), 3);
    assert_eq!(resolve("2030-01-01").await.unwrap(), 4);
    assert_refused(resolve("2030-13-01").await, Code::InvalidArgument, "FIELD");
    let nothing = server.clients.feed.clone().resolve_revision(ResolveRevisionRequest::default()).await;
    assert_refused(nothing, Code::InvalidArgument, "FIELD");
    server.end().await;
}

#[tokio::test]
async fn observations_are_a_panel_and_whole_series_stream_the_same() {
    let server = with_figures().await;
    let clients = &server.clients;
    let more = vec![
        batch(RD, "USA", "bank", &[("2020", "3.47"), ("2021", "3.48")]),
        batch(PATENTS, "CHN", "office", &[("2020", "1344817"), ("2021-Q1", "400000")]),
    ];
    clients.ingest(released("2024-04-01"), more).await.unwrap();
    let all = clients.observations(select(&[RD, PATENTS]), None).await;
    assert!(all.iter().all(|row| row.source != "closed"), "its licence forbids bulk");
    assert_eq!(all.len(), 3 + 2 + 1 + 2 + 2);
    let narrow = SeriesSelection {
        entities: vec!["CHN".into()],
        sources: vec!["bank".into(), "office".into()],
        period_from: "2020".into(),
        period_to: "2020".into(),
        ..select(&[RD])
    };
    let found = clients.observations(narrow.clone(), None).await;
    let plain: Vec<_> = found.iter().map(|row| (row.source.as_str(), row.period.as_str())).collect();
    assert_eq!(plain, [("office", "2020"), ("bank", "2020")], "by when each was first defined");
    assert_eq!(clients.observations(narrow, at_revision(2)).await.len(), 1);

    let request = StreamSeriesRequest { selection: Some(select(&[RD, PATENTS])), ..Default::default() };
    let mut stream = clients.statistics.clone().stream_series(request).await.unwrap().into_inner();
    let (mut streamed, mut left_out) = (Vec::new(), Vec::new());
    while let Some(message) = stream.message().await.unwrap() {
        assert_eq!(message.revision, 5);
        left_out.extend(message.left_out_sources);
        for series in message.series {
            for point in series.points {
                let value = point.value.unwrap();
                streamed.push((
                    series.indicator.clone(),
                    series.entity.clone(),
                    series.source.clone(),
                    point.period,
                    value,
                ));
            }
        }
    }
    assert_eq!(left_out, ["closed"]);
    let rows = all.into_iter().map(|row| (row.indicator, row.entity, row.source, row.period, row.value.unwrap()));
    assert_eq!(streamed, rows.collect::<Vec<_>>());

    let mut statistics = clients.statistics.clone();
    let query = |selection| QueryObservationsRequest { selection: Some(selection), ..Default::default() };
    let closed = SeriesSelection { sources: vec!["closed".into()], ..select(&[RD]) };
    let refused = statistics.query_observations(query(closed)).await;
    assert_refused(refused, Code::PermissionDenied, "LICENCE");
    assert_refused(statistics.query_observations(query(select(&[]))).await, Code::InvalidArgument, "FIELD");
    let unknown = statistics.query_observations(query(select(&["IP.PAT.RESF"]))).await;
    let status = assert_refused(unknown, Code::NotFound, "UNKNOWN_INDICATOR");
    assert!(status.message().contains(PATENTS), "{}", status.message());
    let bad = SeriesSelection { period_from: "2020-13".into(), ..select(&[RD]) };
    let bad = statistics.query_observations(query(bad)).await;
    assert_eq!(fields(&assert_refused(bad, Code::InvalidArgument, "FIELD")), ["selection.period_from"]);
    server.end().await;
}

#[tokio::test]
async fn names_that_have_no_figures_yet_answer_nothing() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    clients.ingest(released("2022-03-01"), vec![batch(RD, "CHN", "bank", &[("2020", "1")])]).await.unwrap();
    let source = SeriesSelection { sources: vec!["press".into()], ..select(&[RD]) };
    let entity = SeriesSelection { entities: vec!["TUR".into()], ..select(&[RD]) };
    for selection in [source, entity, select(&[VENTURE])] {
        assert_eq!(clients.observations(selection.clone(), None).await, []);
        let request = StreamSeriesRequest { selection: Some(selection), ..Default::default() };
        let mut stream = clients.statistics.clone().stream_series(request).await.unwrap().into_inner();
        while let Some(message) = stream.message().await.unwrap() {
            assert_eq!((message.series, message.left_out_sources), (vec![], vec![]));
        }
    }
    let request = ListVersionsRequest {
        indicator: RD.into(),
        entity: "CHN".into(),
        source: "press".into(),
        ..Default::default()
    };
    let versions = clients.statistics.clone().list_versions(request).await.unwrap().into_inner().versions;
    assert_eq!(versions, []);
    server.end().await;
}

#[tokio::test]
async fn other_dimensions_are_named() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let dimension = |id: &str, value: &str| Dimension { id: id.into(), value: value.into() };
    let mut by_sex = batch(RD, "CHN", "bank", &[("2020", "1")]);
    by_sex.dimensions = vec![dimension("SEX", "F")];
    let mut by_age = batch(RD, "CHN", "office", &[("2020", "1")]);
    by_age.dimensions = vec![dimension("SEX", "F"), dimension("AGE", "Y")];
    clients.ingest(released("2022-03-01"), vec![by_sex, by_age]).await.unwrap();
    let status = figure(clients, RD, "CHN", "2020", None).await;
    let status = assert_refused(status, Code::NotFound, "NO_FIGURE");
    assert_eq!(status.get_details_error_info().unwrap().metadata["near"], "AGE=Y;SEX=F SEX=F");
    assert!(
        status.message().contains("without dimensions; there are figures with AGE=Y;SEX=F, with SEX=F"),
        "{status}"
    );
    let before = figure(clients, RD, "CHN", "2020", at_revision(1)).await;
    assert_eq!(
        assert_refused(before, Code::NotFound, "NO_FIGURE").get_details_error_info().unwrap().metadata["near"],
        ""
    );
    server.end().await;
}

#[tokio::test]
async fn a_misspelt_name_is_told_what_there_is() {
    let server = with_editions().await;
    let clients = &server.clients;
    let near = |status: &tonic::Status| status.get_details_error_info().unwrap().metadata["near"].clone();
    let request = GetRankingRequest { id: "economies-of-the-server".into(), ..Default::default() };
    let ranking = assert_refused(clients.catalog.clone().get_ranking(request).await, Code::NotFound, "UNKNOWN_RANKING");
    assert_eq!(near(&ranking), RANKING, "all there are, however far");
    assert!(ranking.message().contains("; there are: clusters"), "{ranking}");
    let request = GetIndicatorRequest { id: "IP.PAT.RESF".into(), ..Default::default() };
    let status =
        assert_refused(clients.catalog.clone().get_indicator(request).await, Code::NotFound, "UNKNOWN_INDICATOR");
    assert_eq!(near(&status), format!("{PATENTS} {RD} {VENTURE}"), "the nearest first");
    let request = GetEditionRequest { ranking: RANKING.into(), edition: "1999".into(), ..Default::default() };
    let status = assert_refused(clients.rankings.clone().get_edition(request).await, Code::NotFound, "NO_EDITION");
    assert_eq!(near(&status), "2024 2023 2022 2021");
    let more = (0..21).map(|number| indicator(&format!("MORE.{number}"), "More")).collect();
    clients.define(WriteOptions::default(), more).await.unwrap();
    let request = GetIndicatorRequest { id: "IP.PAT.RESF".into(), ..Default::default() };
    let status =
        assert_refused(clients.catalog.clone().get_indicator(request).await, Code::NotFound, "UNKNOWN_INDICATOR");
    assert_eq!(near(&status), PATENTS, "of many only what is near");
    server.end().await;
}

#[tokio::test]
async fn series_on_the_command_line_name_the_sources_left_out() {
    let server = with_figures().await;
    let run = |arguments: Vec<&'static str>| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_almanac"));
        command.arg("--server").arg(format!("http://{}", server.address())).args(["series", RD, "CHN"]).args(arguments);
        tokio::task::spawn_blocking(move || command.output().unwrap())
    };
    for (arguments, rows) in [
        (vec![], 6),
        (vec!["--source", "closed"], 0),
        (vec!["--source", "closed", "--source", "bank"], 2),
        (vec!["--source", "bank"], 2),
    ] {
        let done = run(arguments.clone()).await.unwrap();
        let (out, said) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "{arguments:?}: {said}");
        assert_eq!(out.lines().filter(|line| line.starts_with("CHN")).count(), rows, "{arguments:?}: {out}");
        assert_eq!(said.contains("left out: closed"), arguments != ["--source", "bank"], "{arguments:?}: {said}");
    }
    server.end().await;
}

#[tokio::test]
async fn every_version_of_a_figure_is_listed_with_its_cause_and_commit() {
    let server = with_figures().await;
    let clients = &server.clients;
    let header = IngestHeader {
        options: Some(WriteOptions { cause: Cause::Correction.into(), ..Default::default() }),
        ..released("2023-06-01")
    };
    clients.ingest(header, vec![batch(RD, "CHN", "bank", &[("2020", "2.39")])]).await.unwrap();
    let mut withdrawal = batch(RD, "CHN", "bank", &[]);
    withdrawal.points = vec![IngestPoint { period: "2020".into(), value: None, withdrawn: true }];
    clients.ingest(released("2023-07-01"), vec![withdrawal]).await.unwrap();

    let mut request = ListVersionsRequest {
        indicator: RD.into(),
        entity: "CHN".into(),
        period: "2020".into(),
        source: "bank".into(),
        page_size: 2,
        ..Default::default()
    };
    let mut statistics = clients.statistics.clone();
    let mut found = Vec::new();
    loop {
        let page = statistics.list_versions(request.clone()).await.unwrap().into_inner();
        found.extend(page.versions);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    let plain: Vec<_> = found
        .iter()
        .map(|row| (row.released.as_str(), row.revision, row.value.as_ref().map(text), row.cause(), row.withdrawn))
        .collect();
    assert_eq!(
        plain,
        [
            ("2023-03-01", 3, Some("2.40".into()), Cause::FirstRelease, false),
            ("2023-06-01", 5, Some("2.39".into()), Cause::Correction, false),
            ("2023-07-01", 6, None, Cause::Withdrawal, true),
        ]
    );
    request.page_token = String::new();
    request.as_of = at_revision(5);
    assert_eq!(statistics.list_versions(request).await.unwrap().into_inner().versions.len(), 2);
    let now = figure(clients, RD, "CHN", "2020", None).await.unwrap();
    assert_eq!(now.selected.unwrap().source, "office", "a withdrawn figure does not answer");
    let status = figure(clients, RD, "CHN", "1990", None).await.unwrap_err();
    assert_eq!(reason(&status), "NO_FIGURE");
    server.end().await;
}

#[tokio::test]
async fn the_catalog_is_found_by_id_by_code_and_by_words() {
    let server = server_with_catalog().await;
    let mut catalog = server.clients.catalog.clone();
    let search = |query: &str| SearchCatalogRequest { query: query.into(), ..Default::default() };
    let hits = catalog.search_catalog(search("TURKIYE")).await.unwrap().into_inner().hits;
    assert_eq!(hits[0].matched, "Türkiye");
    let hits = catalog.search_catalog(search("innovation clus")).await.unwrap().into_inner().hits;
    assert!(matches!(hits[0].definition.as_ref().unwrap().item, Some(definition::Item::Ranking(_))));
    assert!(catalog.search_catalog(search("zebra")).await.unwrap().into_inner().hits.is_empty());
    let too_long = catalog.search_catalog(search(&"x".repeat(201))).await;
    assert_refused(too_long, Code::InvalidArgument, "FIELD");

    let by_code = GetEntityRequest { id: "DEU".into(), code_scheme: "iso3166-1-alpha3".into(), ..Default::default() };
    let found = catalog.get_entity(by_code).await.unwrap().into_inner().entity.unwrap();
    assert_eq!(found.name, "Germany");
    let near = catalog.get_entity(GetEntityRequest { id: "Deutschland".into(), ..Default::default() }).await;
    assert_refused(near, Code::NotFound, "UNKNOWN_ENTITY");
    let in_china = ListEntitiesRequest { lies_in: "CHN".into(), page_size: 1, ..Default::default() };
    let page = catalog.list_entities(in_china.clone()).await.unwrap().into_inner();
    assert_eq!((page.entities.len(), page.entities[0].kind()), (1, EntityKind::Cluster));
    assert!(!page.next_page_token.is_empty(), "clusters 5, 6 and 12 lie in CHN");

    // A definition of long ago is still known.
    server.clients.define(WriteOptions::default(), vec![economy("DEU", "Federal Republic")]).await.unwrap();
    let get = |as_of| GetEntityRequest { id: "DEU".into(), as_of, ..Default::default() };
    let name = |found: tonic::Response<GetEntityResponse>| found.into_inner().entity.unwrap().name;
    assert_eq!(name(catalog.get_entity(get(None)).await.unwrap()), "Federal Republic");
    assert_eq!(name(catalog.get_entity(get(at_revision(1))).await.unwrap()), "Germany");
    for bad in ["", "a b", &"x".repeat(129)] {
        let request = GetIndicatorRequest { id: bad.into(), ..Default::default() };
        assert_refused(catalog.get_indicator(request).await, Code::InvalidArgument, "FIELD");
    }
    server.end().await;
}

#[tokio::test]
async fn what_is_not_supported_says_so() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let request = GetIndicatorRequest { id: RD.into(), as_of: at_released("2024-01-01"), ..Default::default() };
    let released = clients.catalog.clone().get_indicator(request).await;
    assert_refused(released, Code::Unimplemented, "NOT_SUPPORTED");
    let request =
        SearchCatalogRequest { query: "china".into(), as_of: at_released("2024-01-01"), ..Default::default() };
    assert_refused(clients.catalog.clone().search_catalog(request).await, Code::Unimplemented, "NOT_SUPPORTED");
    server.end().await;
}
