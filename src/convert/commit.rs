//! Commits, and the parts that the feed sends of them.

use super::{
    change::{change_head, detail},
    enums::ContractEnum,
    field::optional_text,
};
use crate::{
    feed::{conflate::FoldPage, filter::Filters, history::CommitPart, page::Matched},
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

/// Part of a commit without its changes. Only the first part carries the commit.
pub fn commit_head(part: &CommitPart, token: String) -> proto::CommitPage {
    let header: &Header = &part.header;
    proto::CommitPage {
        revision: header.commit.revision.0,
        prev_matching_revision: part.prev_match.0,
        page: part.page,
        last_page: part.last,
        commit: (part.page == 0).then(|| header.into()),
        changes: Vec::new(),
        resume_token: token,
        conflated_from: 0,
    }
}

/// Part of a conflation without its changes. Only the first part carries the newest commit in it.
pub fn fold_head(page: &FoldPage, token: String) -> proto::CommitPage {
    let header: &Header = &page.header;
    proto::CommitPage {
        revision: header.commit.revision.0,
        prev_matching_revision: page.prev_match.0,
        page: page.page,
        last_page: page.last,
        commit: (page.page == 0).then(|| header.into()),
        changes: Vec::new(),
        resume_token: token,
        conflated_from: page.folded_from.0,
    }
}

/// Part of a commit with its changes, as a list of commits shows it.
pub fn commit_page(part: &CommitPart, token: String, filters: &Filters) -> proto::CommitPage {
    let mut page = commit_head(part, token);
    for (numbered, matched) in part.changes.iter().flat_map(Matched::iter) {
        let disclosed = filters.disclosed(&numbered.change);
        let change = disclosed.as_ref().unwrap_or(&numbered.change);
        page.changes.push(proto::Change {
            detail: Some(detail(change, &numbered.stamps)),
            ..change_head(numbered.number, matched, |at| filters.name(at))
        });
    }
    page
}
