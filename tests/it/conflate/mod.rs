//! Streams that conflate: a copy kept from them equals the copy kept from every commit, in fewer messages.

mod copies;
mod follower;
mod streams;

use almanac::proto::*;

use crate::support::fixture::*;

/// So many figures of one series, with another value in each round.
fn hot(round: usize, figures: usize) -> Vec<SeriesBatch> {
    let value = format!("{round}.5");
    let years: Vec<String> = (0..figures).map(|year| (1500 + year).to_string()).collect();
    let points: Vec<(&str, &str)> = years.iter().map(|year| (year.as_str(), value.as_str())).collect();
    vec![batch(PATENTS, "CHN", "bank", &points)]
}
