//! The sample data of the binary, loaded by the same functions as the files of a user.
//!
//! Invariant: every step has its own request id, so that a second start adds no revision.

use std::str::FromStr;

use clap::ValueEnum;
use serde::Deserialize;
use tonic::Code;

use super::{
    define,
    error::CliError,
    files::Document,
    import::ModeArg,
    importer::{CommitQueue, Importer},
    publish::{self, BasisArg, CoverageArg, EditionArgs, EditionRequest, TableFile},
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

/// All request ids begin so. The number changes with the content of the sample data.
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
struct SampleData {
    step: Vec<SampleStep>,
}

/// A step: one write, or with `import` one for each file. Just one of `define`, `publish` and `import` is given.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SampleStep {
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

/// Loads the sample data. Steps that were done before change nothing.
pub async fn load(session: &Session) -> Result<(), CliError> {
    let sample: SampleData = toml::from_str(STEPS).map_err(|error| broken("sample.toml", error))?;
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

impl SampleStep {
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
        let coverage = match &self.coverage {
            Some(text) => CoverageArg::from_str(text).map_err(|error| broken(name, error))?,
            None => CoverageArg::default(),
        };
        let basis = match &self.basis {
            Some(text) => BasisArg::from_str(text, false).map_err(|error| broken(name, error))?,
            None => BasisArg::default(),
        };
        Ok(EditionArgs {
            profile: self.profile.clone().unwrap_or_else(|| "almanac-edition".to_owned()),
            released: Some(self.released(name)?),
            coverage,
            listed: self.listed,
            universe: self.universe,
            methodology: self.methodology.clone(),
            title: self.title.clone(),
            basis,
            about: self.about.clone(),
            source: self.source.clone().unwrap_or_default(),
        })
    }
}

/// Accepts a step that was done before with other content. That happens if a definition that the step depends on has
/// changed since.
fn accept_done_before<T>(name: &str, result: Result<T, CliError>) -> Result<(), CliError> {
    match result {
        Ok(_) => Ok(()),
        Err(CliError::Status(status)) if status.code() == Code::AlreadyExists => {
            tracing::info!("sample data, {name}: was loaded before and changed since");
            Ok(())
        }
        Err(error) => Err(broken(name, error)),
    }
}

/// Fails at the first error in a file. Nobody would see the findings.
fn check(name: &str, findings: &[Finding]) -> Result<(), CliError> {
    match findings.iter().find(|finding| finding.severity == Severity::Error) {
        Some(error) => Err(broken(name, format!("{} {}: {}", error.code, error.location, error.message))),
        None => Ok(()),
    }
}

async fn define(session: &Session, step: &SampleStep, name: &str) -> Result<(), CliError> {
    let bytes = file(name)?;
    let text = std::str::from_utf8(bytes).map_err(|error| broken(name, error))?;
    let result = define::send(session, define::read(name, text)?, step.options(name, bytes)).await;
    accept_done_before(name, result)
}

async fn publish(session: &Session, step: &SampleStep, name: &str) -> Result<(), CliError> {
    let bytes = file(name)?;
    let request = EditionRequest {
        ranking: &step.ranking,
        edition: &step.edition,
        attributes: &step.edition(name)?,
        add_entities: false,
        names_at: None,
    };
    let mut publication = publish::read(session, request, TableFile { name, bytes }).await?;
    check(name, &publication.file.findings)?;
    publication.header.options = Some(step.options(name, bytes));
    accept_done_before(name, publish::send(session, publication).await)
}

async fn import(session: &Session, step: &SampleStep) -> Result<(), CliError> {
    let profile = step.profile.as_deref().unwrap_or("almanac-observations");
    let profile = Profile::load(profile).map_err(|error| broken("sample.toml", error))?;
    let source = step.source.as_deref().map(SourceId::new).transpose();
    let source = source.map_err(|error| broken("sample.toml", error))?;
    let mode = step.mode.as_deref().map(|text| ModeArg::from_str(text, false)).transpose();
    let mut importer = Importer::new(session, profile, source, false).await?;
    importer.replace = mode.map_err(|error| broken("sample.toml", error))? == Some(ModeArg::Replace);
    importer.note.clone_from(&step.note);
    let mut queue = CommitQueue::default();
    for name in &step.import {
        importer.released = Some(step.released(name)?);
        let document = Document { name: name.clone(), bytes: file(name)?.to_vec(), named: true };
        let file = importer.read(&document);
        check(name, &file.figures.findings)?;
        let request_id = format!("{REQUEST_PREFIX}:{name}");
        let result = importer.upload(session, file, Vec::new(), request_id, queue.next_slot()).await;
        accept_done_before(name, result)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_binary_has_just_the_files_that_the_steps_name() {
        let sample: SampleData = toml::from_str(STEPS).unwrap();
        let mut named = BTreeSet::new();
        for step in &sample.step {
            for name in step.define.iter().chain(&step.publish).chain(&step.import) {
                named.insert(name.as_str());
            }
        }
        let embedded: BTreeSet<&str> = FILES.iter().map(|(name, _)| *name).collect();
        assert_eq!(named, embedded);
        for step in &sample.step {
            if let Some(name) = step.publish.as_ref().or(step.import.first()) {
                step.edition(name).unwrap();
            }
        }
    }
}
