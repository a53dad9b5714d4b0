//! Commits, and the pages that the feed sends of them.
//!
//! Invariant: only the first page of a commit carries the commit.

use super::{
    change::{change_head, detail},
    enums::ContractEnum,
    field::optional_text,
};
use crate::{
    feed::{
        filter::Filters,
        page::{CommitPage, ConflatedPage},
        page_changes::PageChanges,
    },
    ledger::log::Header,
    model::change::Counts,
    proto,
};

impl From<&Header> for proto::Commit {
    fn from(header: &Header) -> Self {
        let commit = &header.commit;
        Self {
            revision: commit.revision.0,
            recorded: Some(commit.recorded.into()),
            author: commit.author.clone(),
            cause: commit.cause.number(),
            note: commit.note.clone(),
            released: optional_text(commit.released),
            document_sha256: commit.document_sha256.clone(),
            counts: Some((&commit.counts).into()),
            request_id: optional_text(commit.request_id.as_ref()),
            chain: header.chain.to_vec(),
        }
    }
}

impl From<&Counts> for proto::ChangeCounts {
    fn from(counts: &Counts) -> Self {
        Self {
            added: counts.added,
            revised: counts.revised,
            unchanged: counts.unchanged,
            withdrawn: counts.withdrawn,
            backfilled: counts.backfilled,
            definitions_added: counts.definitions_added,
            definitions_revised: counts.definitions_revised,
            definitions_unchanged: counts.definitions_unchanged,
            definitions_removed: counts.definitions_removed,
        }
    }
}

/// A page of a commit without its changes. Only the first page carries the commit.
pub fn commit_head(page: &CommitPage, token: String) -> proto::CommitPage {
    proto::CommitPage {
        prev_matching_revision: page.prev_match.0,
        last_page: page.last,
        resume_token: token,
        ..numbered_page(&page.header, page.page)
    }
}

/// A conflated page without its changes. Only the first page carries the newest commit in it.
pub fn conflated_head(page: &ConflatedPage, token: String) -> proto::CommitPage {
    proto::CommitPage {
        prev_matching_revision: page.prev_match.0,
        last_page: page.last,
        resume_token: token,
        conflated_from: page.conflated_from.0,
        ..numbered_page(&page.header, page.page)
    }
}

fn numbered_page(header: &Header, page: u32) -> proto::CommitPage {
    let commit = (page == 0).then(|| header.into());
    proto::CommitPage { revision: header.commit.revision.0, page, commit, ..Default::default() }
}

/// A page of a commit with its changes, as a list of commits shows it.
pub fn commit_page(page: &CommitPage, token: String, filters: &Filters) -> proto::CommitPage {
    let mut message = commit_head(page, token);
    for (numbered, filter_match) in page.changes.iter().flat_map(PageChanges::iter) {
        let disclosed = filters.disclosed(&numbered.change);
        let change = disclosed.as_ref().unwrap_or(&numbered.change);
        message.changes.push(proto::Change {
            detail: Some(detail(change, &numbered.stamps)),
            ..change_head(numbered.number, filter_match, |at| filters.name(at))
        });
    }
    message
}
