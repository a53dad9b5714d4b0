//! The connection that a command works on.

use std::{io::IsTerminal, time::Duration};

use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

use super::error::CliError;
use crate::proto::{
    admin_service_client::AdminServiceClient, catalog_service_client::CatalogServiceClient,
    feed_service_client::FeedServiceClient, ranking_service_client::RankingServiceClient,
    statistics_service_client::StatisticsServiceClient,
};

/// The transport of all clients.
pub type Transport = InterceptedService<Channel, Bearer>;

/// A connected server, and how to show answers.
#[derive(Debug, Clone)]
pub struct Session {
    transport: Transport,
    /// Answers as JSON.
    pub json: bool,
    /// Standard output is a terminal: tables may have borders, progress may be shown.
    pub terminal: bool,
    /// Colours: on a terminal, unless `NO_COLOR` is set.
    colour: bool,
}

/// How a word stands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Good: up, entered, added.
    Good,
    /// Bad: down, left, withdrawn.
    Bad,
    /// Less important.
    Quiet,
    /// More important.
    Strong,
}

/// Adds the token to every call.
#[derive(Debug, Clone)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

impl Session {
    /// Connects to a server.
    pub async fn connect(server: &str, token: Option<&str>, json: bool) -> Result<Self, CliError> {
        let unusable = |error: &dyn std::fmt::Display| CliError::Usage(format!("--server {server}: {error}"));
        let endpoint = Endpoint::from_shared(server.to_owned()).map_err(|error| unusable(&error))?;
        let endpoint = endpoint
            .connect_timeout(Duration::from_secs(5))
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(10));
        let channel =
            endpoint.connect().await.map_err(|error| CliError::Unreachable { server: server.to_owned(), error })?;
        let token = token.map(|token| format!("Bearer {token}").parse()).transpose();
        let token = token.map_err(|_| CliError::Usage("--token holds characters that a header cannot carry".into()))?;
        let terminal = std::io::stdout().is_terminal();
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
        Ok(Self { transport: InterceptedService::new(channel, Bearer(token)), json, terminal, colour })
    }

    /// A word in a tone, where colours are wanted.
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Quiet => "2",
            Tone::Strong => "1",
        };
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Definitions.
    pub fn catalog(&self) -> CatalogServiceClient<Transport> {
        CatalogServiceClient::new(self.transport.clone())
    }

    /// Figures.
    pub fn statistics(&self) -> StatisticsServiceClient<Transport> {
        StatisticsServiceClient::new(self.transport.clone())
    }

    /// Editions.
    pub fn rankings(&self) -> RankingServiceClient<Transport> {
        RankingServiceClient::new(self.transport.clone())
    }

    /// Changes.
    pub fn feed(&self) -> FeedServiceClient<Transport> {
        FeedServiceClient::new(self.transport.clone())
    }

    /// Writes.
    pub fn admin(&self) -> AdminServiceClient<Transport> {
        AdminServiceClient::new(self.transport.clone())
    }
}
