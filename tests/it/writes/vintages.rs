//! Vintages of figures, loaded in any order.

use std::collections::BTreeMap;

use almanac::proto::*;

use crate::support::{
    Clients, Dice, TestServer, at_released,
    fixture::*,
    long, text,
    uploads::{ListedUpload, known_at},
};

#[tokio::test]
async fn three_vintages_of_one_figure_answer_by_release_date_in_any_order_of_loading() {
    let vintages = [("2018-08-01", "2.06558"), ("2020-02-01", "2.05701"), ("2025-12-17", "2.01703")];
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let server = server_with_catalog().await;
    let clients = &server.clients;
    // An economy for each order of loading.
    for (order, entity) in orders.iter().zip(ECONOMIES) {
        for vintage in order {
            let (day, value) = vintages[*vintage];
            clients.ingest(released(day), vec![batch(RD, entity, "bank", &[("2015", value)])]).await.unwrap();
        }
        let answer = async |day: &str| {
            let found = figure(clients, RD, entity, "2015", at_released(day)).await.ok()?.selected?;
            Some((text(found.value.as_ref().unwrap()), found.released))
        };
        let expect = |(day, value): (&str, &str)| Some((value.to_owned(), day.to_owned()));
        assert_eq!(answer("2018-07-31").await, None, "{order:?}");
        for (day, vintage) in
            [("2018-08-01", 0), ("2020-01-31", 0), ("2020-02-01", 1), ("2025-12-16", 1), ("2025-12-17", 2)]
        {
            assert_eq!(answer(day).await, expect(vintages[vintage]), "{order:?} as of {day}");
        }
        let now = figure(clients, RD, entity, "2015", None).await.unwrap().selected.unwrap();
        assert_eq!(text(now.value.as_ref().unwrap()), "2.01703", "{order:?}");
    }
    server.end().await;
}

/// A vintage by its number, keyed by entity and year.
type Vintage = ListedUpload<(String, String), String>;

fn day_of(vintage: &Vintage) -> String {
    format!("20{:02}-01-01", 20 + vintage.day)
}

fn draw_vintages(dice: &mut Dice) -> Vec<Vintage> {
    let count = 2 + dice.below(6);
    (0..count as i32).map(|number| draw_vintage(number, dice)).collect()
}

fn draw_vintage(number: i32, dice: &mut Dice) -> Vintage {
    let replaces = dice.once_in(2).then_some(());
    let mut figures = BTreeMap::new();
    for entity in &ECONOMIES[..3] {
        for year in 2018..2022 {
            // Few different values, so that confirmations and returns to an earlier value happen.
            let value = match dice.below(8) {
                0..=2 => continue,
                3 if replaces.is_none() => None,
                other => Some(format!("{}.{}", other % 3, other % 2)),
            };
            figures.insert(((*entity).to_owned(), year.to_string()), value);
        }
    }
    figures.entry(("CHN".into(), "2018".into())).or_insert(Some("0.5".into()));
    Vintage { revision: 0, day: number, replaces, figures }
}

async fn load(clients: &Clients, indicator: &str, vintage: &Vintage) {
    let mut batches: BTreeMap<&str, SeriesBatch> = BTreeMap::new();
    for ((entity, year), value) in &vintage.figures {
        let series = batches.entry(entity).or_insert_with(|| batch(indicator, entity, "bank", &[]));
        series.points.push(match value {
            Some(value) => point(year, value),
            None => IngestPoint { period: year.clone(), value: None, withdrawn: true },
        });
    }
    let mode = if vintage.replaces.is_some() { IngestMode::Replace } else { IngestMode::Merge };
    let header = IngestHeader { mode: mode.into(), ..released(&day_of(vintage)) };
    clients.ingest(header, batches.into_values().collect()).await.unwrap();
}

async fn figures_at(clients: &Clients, indicator: &str, as_of: Option<AsOf>) -> BTreeMap<(String, String), String> {
    let rows = clients.observations(select(&[indicator]), as_of).await.into_iter();
    rows.map(|row| ((row.entity, row.period), text(row.value.as_ref().unwrap()))).collect()
}

#[tokio::test]
async fn generated_vintages_answer_by_release_date_in_any_order_of_loading() {
    let mut dice = Dice::new("generated_vintages");
    let server: TestServer = server_with_catalog().await;
    let clients = &server.clients;
    for round in 0..if long() { 300 } else { 25 } {
        let ids: Vec<String> =
            ["forward", "reverse", "mixed"].iter().map(|order| format!("X{round}.{order}")).collect();
        let defined = ids.iter().map(|id| indicator(id, id)).collect();
        clients.define(WriteOptions::default(), defined).await.unwrap();
        let vintages = draw_vintages(&mut dice);
        let mut order: Vec<usize> = (0..vintages.len()).collect();
        for (id, step) in ids.iter().zip(0..) {
            match step {
                0 => {}
                1 => order.reverse(),
                _ => dice.shuffle(&mut order),
            }
            for at in &order {
                load(clients, id, &vintages[*at]).await;
            }
            // The days differ, so that the order of loading does not matter.
            for vintage in &vintages {
                let found = figures_at(clients, id, at_released(&day_of(vintage))).await;
                let expected = known_at(&vintages, 0, vintage.day, |(), _| true);
                assert_eq!(found, expected, "{id} loaded as {order:?}, as of {}: {vintages:#?}", vintage.day);
            }
            let expected = known_at(&vintages, 0, i32::MAX, |(), _| true);
            assert_eq!(figures_at(clients, id, None).await, expected, "{id} loaded as {order:?}");
        }
    }
    let ids: Vec<String> = clients.catalog_ids(None).await;
    let all: Vec<&str> = ids.iter().map(String::as_str).collect();
    let current = clients.observations(select(&all), None).await.len() as u64;
    assert_eq!(clients.status().await.current_figures, current, "the totals are right");
    server.end().await;
}
