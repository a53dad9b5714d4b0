//! The connection of a command to the server, and how it prints.

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

pub type Transport = InterceptedService<Channel, BearerToken>;

/// A connection, and how answers are printed.
#[derive(Debug, Clone)]
pub struct Session {
    transport: Transport,
    /// Whether answers are printed as JSON.
    pub json: bool,
    /// Whether standard output is a terminal. Only then tables have borders and progress is shown.
    pub terminal: bool,
    /// Whether text is coloured: on a terminal, unless `NO_COLOR` is set.
    colour: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextStyle {
    /// Green, for what is better: up, entered, added.
    Better,
    /// Red, for what is worse or wrong: down, left, withdrawn, an error.
    Worse,
    Dim,
    Bold,
}

/// Adds the token to every call.
#[derive(Debug, Clone)]
pub struct BearerToken(Option<MetadataValue<Ascii>>);

impl Interceptor for BearerToken {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

impl Session {
    /// Connects to a server; waits at most 5 s.
    pub async fn connect(server: &str, token: Option<&str>, json: bool) -> Result<Self, CliError> {
        let endpoint = Endpoint::from_shared(server.to_owned())
            .map_err(|error| CliError::Usage(format!("--server {server}: {error}")))?
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
        Ok(Self { transport: InterceptedService::new(channel, BearerToken(token)), json, terminal, colour })
    }

    /// The text with the codes of a style, if text is coloured.
    pub fn paint(&self, style: TextStyle, text: &str) -> String {
        let code = match style {
            TextStyle::Better => "32",
            TextStyle::Worse => "31",
            TextStyle::Dim => "2",
            TextStyle::Bold => "1",
        };
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// For calls with a codec of their own.
    pub fn transport(&self) -> Transport {
        self.transport.clone()
    }

    pub fn catalog(&self) -> CatalogServiceClient<Transport> {
        CatalogServiceClient::new(self.transport.clone())
    }

    pub fn statistics(&self) -> StatisticsServiceClient<Transport> {
        StatisticsServiceClient::new(self.transport.clone())
    }

    pub fn rankings(&self) -> RankingServiceClient<Transport> {
        RankingServiceClient::new(self.transport.clone())
    }

    pub fn feed(&self) -> FeedServiceClient<Transport> {
        FeedServiceClient::new(self.transport.clone())
    }

    pub fn admin(&self) -> AdminServiceClient<Transport> {
        AdminServiceClient::new(self.transport.clone())
    }
}
