//! `StreamSeries` of a whole store, against a stream of the same bytes that does nothing.
//!
//! The client takes the bytes of each message and does not look into them.

use std::{path::Path, time::Instant};

use almanac::proto;
use bytes::Bytes;
use prost::Message;
use tonic::{Request, Status, Streaming, client::Grpc};

use crate::{
    Scale,
    common::{
        Outcome,
        idle::IdleServer,
        server::{AlmanacServer, connect},
        statistics::{Budget, median, median_ratio},
    },
    data::{self, YEARS},
    nothing::{self, RawCodec, STREAM_PATH},
};

const OF_IDLE: Budget = Budget::AtLeast(0.7);

pub(crate) async fn measure(scale: Scale, large: &AlmanacServer, scratch: &Path) -> Outcome<()> {
    let mut stream = open(&large.address, scale).await?;
    let mut messages = Vec::new();
    while let Some(message) = stream.message().await? {
        messages.push(message);
    }
    let bytes: usize = messages.iter().map(Bytes::len).sum();
    let idle = IdleServer::start(nothing::STREAM, &messages, scratch)?;
    let count = messages.len();
    drop(messages);

    // Megabytes a second.
    let mut ours = Vec::new();
    let mut nothing = Vec::new();
    for _ in 0..scale.rounds {
        ours.push(rate(&large.address, scale, bytes).await?);
        nothing.push(rate(&idle.address, scale, bytes).await?);
    }
    println!(
        "StreamSeries of everything: {} series, {} figures, {:.1} MB in {count} messages",
        scale.large.series(),
        scale.large.series() * YEARS,
        bytes as f64 / 1e6
    );
    println!(
        "  {:.1} MB/s, doing nothing {:.1} MB/s: {}",
        median(&ours),
        median(&nothing),
        OF_IDLE.judge(median_ratio(&ours, &nothing))
    );
    Ok(())
}

/// Megabytes a second of one stream, which must have so many bytes.
async fn rate(address: &str, scale: Scale, expected: usize) -> Outcome<f64> {
    let started = Instant::now();
    let mut stream = open(address, scale).await?;
    let mut bytes = 0;
    while let Some(message) = stream.message().await? {
        bytes += message.len();
    }
    if bytes != expected {
        return Err(format!("a stream of {bytes} bytes instead of {expected}").into());
    }
    Ok(bytes as f64 / 1e6 / started.elapsed().as_secs_f64())
}

async fn open(address: &str, scale: Scale) -> Outcome<Streaming<Bytes>> {
    let mut grpc = Grpc::new(connect(address).await?);
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let indicators = (0..scale.large.indicators).map(data::indicator).collect();
    let selection = proto::SeriesSelection { indicators, ..Default::default() };
    let request = proto::StreamSeriesRequest { selection: Some(selection), ..Default::default() };
    let path = http::uri::PathAndQuery::from_static(STREAM_PATH);
    let request = Request::new(Bytes::from(request.encode_to_vec()));
    Ok(grpc.server_streaming(request, path, RawCodec).await?.into_inner())
}
