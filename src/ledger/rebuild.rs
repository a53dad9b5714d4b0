//! A new folder from commits, one after the other: what repair, restore and migration have in common.
//!
//! Invariant: commits come in order and whole, and go the way that every commit goes: pages, seal, apply.

use std::{path::Path, sync::Arc};

use super::{
    Ledger, apply,
    log::{Draft, Header, Receipt, StoreLedger},
    plan::Sink,
};
use crate::{
    model::id::{HistoryId, Revision},
    store::{Engine, OpenError, StoreError, error::Result, view::View},
};

/// Who a history is.
#[derive(Debug, Clone, Copy)]
pub struct Identity {
    /// Its id.
    pub history: HistoryId,
    /// What its tokens are signed with.
    pub secret: [u8; 32],
}

/// A folder being built.
#[derive(Debug)]
pub struct Rebuild {
    engine: Arc<Engine>,
    ledger: StoreLedger,
    view: View,
    pages: u32,
}

impl Rebuild {
    /// Starts in an empty folder. Without an identity it is a new history: tokens of the old one are refused.
    pub fn start(folder: &Path, identity: Option<Identity>) -> std::result::Result<Self, OpenError> {
        let engine = Arc::new(Engine::open(folder)?);
        if engine.scan(&[], None).next().is_some() {
            return Err(OpenError::Occupied { folder: folder.to_owned() });
        }
        if let Some(identity) = identity {
            StoreLedger::put_identity(&engine, identity.history, identity.secret)?;
        }
        let ledger = StoreLedger::open(engine.clone())?;
        let view = View::open(engine.clone())?;
        Ok(Self { engine, ledger, view, pages: 0 })
    }

    /// The newest commit it has.
    pub fn head(&self) -> Revision {
        self.ledger.head()
    }

    /// Adds the next page of the next commit.
    pub fn page(&mut self, bytes: Vec<u8>) -> Result<()> {
        self.ledger.append(self.pages, bytes)?;
        self.pages += 1;
        Ok(())
    }

    /// Takes the records of the next commit. Say how many pages they were with [`Rebuild::added`].
    pub fn sink(&self) -> Sink<'_> {
        Sink::to_ledger(&self.ledger)
    }

    /// Notes pages that went through [`Rebuild::sink`].
    pub fn added(&mut self, pages: u32) {
        self.pages += pages;
    }

    /// What the commits so far say.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Seals and applies the commit whose pages were added. It must have the hashes of this header.
    pub fn seal(&mut self, header: &Header, receipt: Option<&Receipt>) -> Result<()> {
        if !header.continues(self.ledger.chain(self.head())?)? {
            return Err(StoreError::corrupt(format!(
                "the header of revision {} does not continue the chain of those before",
                header.commit.revision
            )));
        }
        let sealed = self.seal_draft(&header.draft(), receipt)?;
        match sealed.content == header.content {
            true => Ok(()),
            false => Err(StoreError::corrupt("its pages are not those that its header was made for")),
        }
    }

    /// The same for a commit that has no hashes yet.
    pub fn seal_draft(&mut self, draft: &Draft, receipt: Option<&Receipt>) -> Result<Header> {
        let expected = self.head().next();
        if draft.commit.revision != expected || draft.pages != self.pages {
            return Err(StoreError::corrupt(format!(
                "revision {expected} with {} pages was expected, and revision {} with {} came",
                self.pages, draft.commit.revision, draft.pages
            )));
        }
        self.pages = 0;
        let header = self.ledger.seal(draft, receipt)?;
        apply::apply(&self.ledger, &self.view, &header)?;
        Ok(header)
    }

    /// Makes all of it durable. Its engine, to look into.
    pub fn finish(self) -> Result<Arc<Engine>> {
        self.engine.sync()?;
        Ok(self.engine)
    }
}
