//! The sample data that comes with the binary, loaded through the same functions as a user's files.
//!
//! Invariant: every step has a request id of its own, so a second start adds no revision.

use std::str::FromStr;

use clap::ValueEnum;
use serde::Deserialize;
use tonic::Code;

use super::{
    define,
    error::CliError,
    files::Document,
    import::Mode,
    order::{Order, Turns},
    publish::{self, BasisArg, CoverageArg, EditionArgs},
    session::Session,
    writing,
};
use crate::{
    intake::profile::Profile,
    model::{
        finding::{Finding, Severity},
        id::SourceId,
        time::Date,
    },
    proto,
};

/// Begins the request ids; a new number goes with new content.
const REQUEST_PREFIX: &str = "sample:1";

const STEPS: &str = include_str!("../../data/sample.toml");

macro_rules! files {
    ($($name:literal,)*) => {
        [$(($name, include_bytes!(concat!("../../data/", $name)).as_slice()),)*]
    };
}

/// Every file that `data/sample.toml` names.
const FILES: &[(&str, &[u8])] = &files![
    "catalog/clusters.json",
    "catalog/economies.json",
    "catalog/indicators.json",
    "catalog/rankings.json",
    "catalog/sources.json",
    "editions/gii-clusters-2017.csv",
    "editions/gii-clusters-2018.csv",
    "editions/gii-clusters-2019.csv",
    "editions/gii-clusters-2020.csv",
    "editions/gii-clusters-2021.csv",
    "editions/gii-clusters-2022-restated-2023.csv",
    "editions/gii-clusters-2022.csv",
    "editions/gii-clusters-2023.csv",
    "editions/gii-clusters-2025.csv",
    "editions/gii-economies-2022.csv",
    "observations/press-000.csv",
    "observations/press-001.csv",
    "observations/press-002.csv",
    "observations/press-003.csv",
    "observations/press-004.csv",
    "observations/wdi-2018-08-01.csv",
    "observations/wdi-2025-12-17.csv",
    "observations/wdi-2026-04-01.csv",
];

/// `data/sample.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sample {
    step: Vec<Step>,
}

/// One write, or with `import` one a file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Step {
    define: Option<String>,
    publish: Option<String>,
    import: Vec<String>,
    profile: Option<String>,
    ranking: String,
    edition: String,
    released: String,
    coverage: Option<String>,
    listed: Option<u32>,
    universe: Option<u32>,
    methodology: String,
    title: String,
    basis: Option<String>,
    about: String,
    source: Option<String>,
    mode: Option<String>,
    note: String,
}

/// Loads it. What was loaded before stays as it is.
pub async fn load(session: &Session) -> Result<(), CliError> {
    let sample: Sample = toml::from_str(STEPS).map_err(|error| broken("sample.toml", error))?;
    for step in &sample.step {
        match (&step.define, &step.publish, step.import.as_slice()) {
            (Some(file), None, []) => define(session, step, file).await?,
            (None, Some(file), []) => publish(session, step, file).await?,
            (None, None, [_, ..]) => import(session, step).await?,
            _ => return Err(broken("sample.toml", "a step is one of define, publish, import")),
        }
    }
    Ok(())
}

fn broken(name: &str, error: impl std::fmt::Display) -> CliError {
    CliError::Refused(format!("sample data, {name}: {error}"))
}

fn file(name: &str) -> Result<&'static [u8], CliError> {
    let found = FILES.iter().find(|(known, _)| *known == name);
    found.map(|(_, bytes)| *bytes).ok_or_else(|| broken(name, "is not part of the binary"))
}

impl Step {
    fn options(&self, name: &str, bytes: &[u8]) -> proto::WriteOptions {
        proto::WriteOptions {
            request_id: format!("{REQUEST_PREFIX}:{name}"),
            note: self.note.clone(),
            document_sha256: writing::digest(bytes),
            ..Default::default()
        }
    }

    fn released(&self, name: &str) -> Result<Date, CliError> {
        Date::parse(&self.released).map_err(|error| broken(name, error))
    }

    fn edition(&self, name: &str) -> Result<EditionArgs, CliError> {
        let coverage = self.coverage.as_deref().map(CoverageArg::from_str).transpose();
        let basis = self.basis.as_deref().map(|text| BasisArg::from_str(text, false)).transpose();
        Ok(EditionArgs {
            profile: self.profile.clone().unwrap_or_else(|| "almanac-edition".to_owned()),
            released: Some(self.released(name)?),
            coverage: coverage.map_err(|error| broken(name, error))?.unwrap_or_default(),
            listed: self.listed,
            universe: self.universe,
            methodology: self.methodology.clone(),
            title: self.title.clone(),
            basis: basis.map_err(|error| broken(name, error))?.unwrap_or_default(),
            about: self.about.clone(),
            source: self.source.clone().unwrap_or_default(),
        })
    }
}

/// A step that somebody has gone beyond since (the definition it leans on reads otherwise now) is a step done before.
fn unless_done<T>(name: &str, result: Result<T, CliError>) -> Result<(), CliError> {
    match result {
        Ok(_) => Ok(()),
        Err(CliError::Status(status)) if status.code() == Code::AlreadyExists => {
            tracing::info!("sample data, {name}: was loaded before and changed since");
            Ok(())
        }
        Err(error) => Err(broken(name, error)),
    }
}

/// The sample is whole: what is an error in it would otherwise be lost.
fn check(name: &str, findings: &[Finding]) -> Result<(), CliError> {
    let error = findings.iter().find(|finding| finding.severity == Severity::Error);
    error.map_or(Ok(()), |finding| {
        Err(broken(name, format!("{} {}: {}", finding.code, finding.location, finding.message)))
    })
}

async fn define(session: &Session, step: &Step, name: &str) -> Result<(), CliError> {
    let bytes = file(name)?;
    let text = std::str::from_utf8(bytes).map_err(|error| broken(name, error))?;
    let sent = define::send(session, define::read(name, text)?, step.options(name, bytes)).await;
    unless_done(name, sent)
}

async fn publish(session: &Session, step: &Step, name: &str) -> Result<(), CliError> {
    let bytes = file(name)?;
    let about = step.edition(name)?;
    let mut read = publish::read(session, (&step.ranking, &step.edition), &about, false, (name, bytes), None).await?;
    check(name, &read.file.findings)?;
    read.header.options = Some(step.options(name, bytes));
    unless_done(name, publish::send(session, read).await)
}

async fn import(session: &Session, step: &Step) -> Result<(), CliError> {
    let profile = step.profile.as_deref().unwrap_or("almanac-observations");
    let profile = Profile::load(profile).map_err(|error| broken("sample.toml", error))?;
    let source = step.source.as_deref().map(SourceId::new).transpose();
    let source = source.map_err(|error| broken("sample.toml", error))?;
    let mode = step.mode.as_deref().map(|text| Mode::from_str(text, false)).transpose();
    let mut order = Order::new(session, profile, source, false).await?;
    order.replace = mode.map_err(|error| broken("sample.toml", error))? == Some(Mode::Replace);
    order.note.clone_from(&step.note);
    let mut turns = Turns::default();
    for name in &step.import {
        order.released = Some(step.released(name)?);
        let document = Document { name: name.clone(), bytes: file(name)?.to_vec(), named: true };
        let read = order.read(&document);
        check(name, &read.figures.findings)?;
        let sent = order.upload(session, read, Vec::new(), format!("{REQUEST_PREFIX}:{name}"), turns.next_turn()).await;
        unless_done(name, sent)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_file_of_the_sample_is_in_the_binary_and_none_beside() {
        let sample: Sample = toml::from_str(STEPS).unwrap();
        let named = sample.step.iter().flat_map(|step| step.define.iter().chain(&step.publish).chain(&step.import));
        let named: BTreeSet<&str> = named.map(String::as_str).collect();
        let embedded: BTreeSet<&str> = FILES.iter().map(|(name, _)| *name).collect();
        assert_eq!(named, embedded);
        for step in &sample.step {
            if let Some(name) = step.publish.as_ref().or(step.import.first()) {
                step.edition(name).unwrap();
            }
        }
    }
}
