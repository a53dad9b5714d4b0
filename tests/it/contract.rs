//! The contract and the code agree.

use std::collections::BTreeSet;

use almanac::{
    proto::{DESCRIPTORS, ErrorReason},
    rpc::reason::Reason,
};
use prost_reflect::DescriptorPool;

const PREFIX: &str = "ERROR_REASON_";

#[test]
fn every_reason_of_the_contract_is_one_of_the_server_and_the_other_way_round() {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let reasons = pool.get_enum_by_name("almanac.v1.ErrorReason").unwrap();
    let written: BTreeSet<String> = reasons
        .values()
        .filter(|value| value.number() != ErrorReason::Unspecified as i32)
        .map(|value| value.name().strip_prefix(PREFIX).unwrap().to_owned())
        .collect();
    let raised: BTreeSet<String> = Reason::ALL.iter().map(|reason| reason.as_str_name().to_owned()).collect();
    assert_eq!(written, raised);
}

/// The source files that answer calls.
fn answering_files() -> Vec<std::path::PathBuf> {
    let mut folders = vec!["src/rpc", "src/server"].into_iter().map(std::path::PathBuf::from).collect::<Vec<_>>();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(&folder);
        for item in std::fs::read_dir(root).unwrap().map(Result::unwrap) {
            let path = folder.join(item.file_name());
            if item.file_type().unwrap().is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files
}

/// Statuses are made in one place, which gives each a reason.
#[test]
fn no_status_is_made_without_a_reason() {
    const MAKERS: [&str; 17] = [
        "new",
        "cancelled",
        "unknown",
        "invalid_argument",
        "deadline_exceeded",
        "not_found",
        "already_exists",
        "permission_denied",
        "resource_exhausted",
        "failed_precondition",
        "aborted",
        "out_of_range",
        "unimplemented",
        "internal",
        "unavailable",
        "data_loss",
        "unauthenticated",
    ];
    let mut found = Vec::new();
    for file in answering_files() {
        let source = std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(&file)).unwrap();
        let code = source.split("#[cfg(test)]").next().unwrap();
        for maker in MAKERS {
            if code.contains(&format!("Status::{maker}(")) {
                found.push(format!("{} Status::{maker}", file.display()));
            }
        }
    }
    // Clients read answers here: those errors come from their own library.
    found.retain(|place| place != "src/rpc/codec.rs Status::internal");
    assert_eq!(found, [""; 0], "use the functions of rpc::status");
}

/// A client need not handle a reason that is never raised.
#[test]
fn every_reason_is_raised_somewhere() {
    let source = include_str!("../../src/rpc/status.rs");
    let code = source.split("#[cfg(test)]").next().unwrap();
    let unused: Vec<String> = Reason::ALL
        .iter()
        .map(|reason| format!("Reason::{reason:?}"))
        .filter(|name| {
            !code
                .match_indices(name.as_str())
                .any(|(at, _)| !code[at + name.len()..].starts_with(|next: char| next.is_alphanumeric()))
        })
        .collect();
    assert_eq!(unused, [""; 0]);
}
