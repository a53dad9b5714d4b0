//! Point reads: a figure or ten entries for each call.
//!
//! In a round each server is asked each kind of call for a short time, one server after the other. The ratios are medians
//! of the ratios of rounds.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use almanac::proto::{
    self, ranking_service_client::RankingServiceClient, statistics_service_client::StatisticsServiceClient,
};
use prost::Message;
use tonic::{Status, transport::Channel};

use crate::{
    Scale,
    common::{
        Outcome,
        idle::IdleServer,
        random::Random,
        server::{AlmanacServer, connect},
        statistics::{Budget, median, median_ratio},
    },
    data::{self, Contents, ENTITIES, FIRST_YEAR, RANKING, REVISED, REVISED_SERIES, YEARS},
    nothing,
};

const CONNECTIONS: usize = 8;
const IN_FLIGHT: [usize; 2] = [1, 64];
/// Point reads against the idle service.
const OF_IDLE: Budget = Budget::AtLeast(0.85);
/// The rate with few series or versions against that with many.
const FLAT: Budget = Budget::AtMost(1.2);

/// What a call asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Read {
    /// The figure of a year.
    Figure,
    /// The figure of the latest year, which the request does not name.
    Latest,
    Entries,
}

const READS: [(Read, &str); 3] = [
    (Read::Figure, "GetFigure of a period"),
    (Read::Latest, "GetFigure of the latest"),
    (Read::Entries, "ListEntries (10)"),
];

/// Which series are asked.
#[derive(Debug, Clone, Copy)]
enum Asked {
    /// Any of the store, which have one version of each figure.
    All(Contents),
    /// Those with many versions of the figure that is asked for.
    Revised,
}

/// A server, and what it is asked.
struct Subject {
    name: String,
    asked: Asked,
    channels: Vec<Channel>,
    /// Calls a second, by position in [`READS`] and [`IN_FLIGHT`], a figure for each round.
    rates: [[Vec<f64>; IN_FLIGHT.len()]; READS.len()],
}

impl Subject {
    async fn new(name: String, address: &str, asked: Asked) -> Outcome<Self> {
        let mut channels = Vec::new();
        for _ in 0..CONNECTIONS {
            channels.push(connect(address).await?);
        }
        Ok(Self { name, asked, channels, rates: Default::default() })
    }

    async fn measure_round(&mut self, window: Duration) -> Outcome<()> {
        for (read, (kind, _)) in READS.into_iter().enumerate() {
            for (flight, in_flight) in IN_FLIGHT.into_iter().enumerate() {
                let rate = self.rate(kind, in_flight, window).await?;
                self.rates[read][flight].push(rate);
            }
        }
        Ok(())
    }

    /// Answers a second, with so many calls at a time.
    async fn rate(&self, kind: Read, in_flight: usize, window: Duration) -> Outcome<f64> {
        let started = Instant::now();
        let callers = (0..in_flight).map(|caller| {
            let channel = self.channels[caller % self.channels.len()].clone();
            repeat(channel, kind, self.asked, Random::new(caller as u64), started + window)
        });
        let answers: u64 = futures_util::future::try_join_all(callers).await?.into_iter().sum();
        Ok(answers as f64 / started.elapsed().as_secs_f64())
    }
}

/// Calls one after the other until a time; returns how many.
async fn repeat(channel: Channel, kind: Read, asked: Asked, mut random: Random, until: Instant) -> Result<u64, Status> {
    let mut answers = 0;
    while Instant::now() < until {
        match kind {
            Read::Entries => {
                let request = entries_request(&mut random);
                RankingServiceClient::new(channel.clone()).list_entries(request).await?;
            }
            Read::Figure | Read::Latest => {
                let request = figure_request(kind, asked, &mut random);
                StatisticsServiceClient::new(channel.clone()).get_figure(request).await?;
            }
        }
        answers += 1;
    }
    Ok(answers)
}

fn figure_request(kind: Read, asked: Asked, random: &mut Random) -> proto::GetFigureRequest {
    let (indicator, entity, year) = match asked {
        Asked::All(contents) => {
            (data::indicator(random.below(contents.indicators)), random.below(ENTITIES), random.below(YEARS))
        }
        Asked::Revised => (REVISED.to_owned(), random.below(REVISED_SERIES), YEARS - 1),
    };
    let period = if kind == Read::Latest { String::new() } else { (FIRST_YEAR + year).to_string() };
    proto::GetFigureRequest { indicator, entity: data::entity(entity), period, ..Default::default() }
}

fn entries_request(random: &mut Random) -> proto::ListEntriesRequest {
    let edition = data::edition(random.below(data::EDITIONS));
    proto::ListEntriesRequest { ranking: RANKING.into(), edition, page_size: 10, ..Default::default() }
}

/// Small and large store, series with one and with many versions, against the idle service.
pub(crate) async fn measure(scale: Scale, small: &AlmanacServer, large: &AlmanacServer, scratch: &Path) -> Outcome<()> {
    let idle = start_idle(&large.address, scale, scratch).await?;
    let few = scale.small.series();
    let many = scale.large.series();
    let versions = scale.large.versions;
    let mut subjects = [
        Subject::new(format!("{few} series"), &small.address, Asked::All(scale.small)).await?,
        Subject::new(format!("{many} series"), &large.address, Asked::All(scale.large)).await?,
        Subject::new(format!("{versions} versions"), &large.address, Asked::Revised).await?,
        Subject::new("doing nothing".into(), &idle.address, Asked::All(scale.large)).await?,
    ];
    measure_rounds(&mut subjects, scale).await?;
    let [small, large, revised, idle] = &subjects;
    print_rates(&[small, large, revised], idle);
    for (read, (_, name)) in READS.into_iter().enumerate() {
        for (flight, in_flight) in IN_FLIGHT.into_iter().enumerate() {
            let many_series = median_ratio(&small.rates[read][flight], &large.rates[read][flight]);
            let many_versions = median_ratio(&large.rates[read][flight], &revised.rates[read][flight]);
            println!(
                "  {name}, {in_flight} in flight: time with {many} series of that with {few}: {}",
                FLAT.judge(many_series)
            );
            if READS[read].0 != Read::Entries {
                println!("    time with {versions} versions of that with 1: {}", FLAT.judge(many_versions));
            }
        }
    }
    Ok(())
}

/// The large store with a cache that is too small for it, against the idle service and another build.
pub(crate) async fn measure_small_cache(
    scale: Scale,
    large: &AlmanacServer,
    old: Option<&AlmanacServer>,
    scratch: &Path,
) -> Outcome<()> {
    let idle = start_idle(&large.address, scale, scratch).await?;
    let asked = Asked::All(scale.large);
    let mut subjects = vec![
        Subject::new("small cache".into(), &large.address, asked).await?,
        Subject::new("doing nothing".into(), &idle.address, asked).await?,
    ];
    if let Some(old) = old {
        subjects.push(Subject::new("old build".into(), &old.address, asked).await?);
    }
    measure_rounds(&mut subjects, scale).await?;
    println!("{} series, the cache too small for them", scale.large.series());
    let shown: Vec<&Subject> = subjects.iter().filter(|subject| subject.name != "doing nothing").collect();
    print_rates(&shown, &subjects[1]);
    if let Some(old) = subjects.get(2) {
        for (read, (_, name)) in READS.into_iter().enumerate() {
            let ratio = median_ratio(&subjects[0].rates[read][1], &old.rates[read][1]);
            println!(
                "  {name}, {} in flight: rate of the old build's {}",
                IN_FLIGHT[1],
                Budget::AtLeast(1.0).judge(ratio)
            );
        }
    }
    Ok(())
}

async fn measure_rounds(subjects: &mut [Subject], scale: Scale) -> Outcome<()> {
    let window = Duration::from_millis(scale.window_ms);
    for _ in 0..scale.rounds {
        for subject in subjects.iter_mut() {
            subject.measure_round(window).await?;
        }
    }
    Ok(())
}

fn print_rates(subjects: &[&Subject], idle: &Subject) {
    for (read, (_, name)) in READS.into_iter().enumerate() {
        for (flight, in_flight) in IN_FLIGHT.into_iter().enumerate() {
            println!("{name}, {in_flight} in flight; doing nothing {:.0}/s", median(&idle.rates[read][flight]));
            for subject in subjects {
                let rates = &subject.rates[read][flight];
                let ratio = median_ratio(rates, &idle.rates[read][flight]);
                // With one call at a time the budget does not count.
                let judged = if in_flight == 1 { format!("{ratio:.2}") } else { OF_IDLE.judge(ratio) };
                println!("  {:<16} {:>8.0}/s, of the idle service's {judged}", subject.name, median(rates));
            }
        }
    }
}

/// The idle service with the answers of a server.
async fn start_idle(address: &str, scale: Scale, scratch: &Path) -> Outcome<IdleServer> {
    let channel = connect(address).await?;
    let mut random = Random::new(0);
    let request = figure_request(Read::Figure, Asked::All(scale.large), &mut random);
    let figure = StatisticsServiceClient::new(channel.clone()).get_figure(request).await?.into_inner();
    let entries = RankingServiceClient::new(channel).list_entries(entries_request(&mut random)).await?.into_inner();
    let records = [figure.encode_to_vec(), entries.encode_to_vec()];
    println!("a figure is answered in {} bytes, ten entries in {}", records[0].len(), records[1].len());
    IdleServer::start(nothing::POINTS, &records, scratch)
}
