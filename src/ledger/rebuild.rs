//! A new folder from commits, one after the other. Repair, restore and migration use it.
//!
//! Invariant: commits come in order and whole, and take the path of every commit: pages, seal, apply.

use std::{path::Path, sync::Arc};

use super::{
    Ledger, apply,
    log::{Draft, Header, Identity, Receipt},
    plan::Sink,
    staged::StagedPages,
};
use crate::{
    model::id::Revision,
    store::{Engine, OpenError, StoreError, error::Result, view::View},
};

/// A folder that is being built.
#[derive(Debug)]
pub struct Rebuild {
    engine: Arc<Engine>,
    ledger: Ledger,
    view: View,
    /// Pages of the next commit so far.
    pages: u32,
}

impl Rebuild {
    /// Starts in an empty folder. Without an identity the folder is a new history, and tokens of the old one are refused.
    pub fn start(folder: &Path, identity: Option<Identity>) -> std::result::Result<Self, OpenError> {
        let engine = Arc::new(Engine::open(folder)?);
        if engine.scan(&[], None).next().is_some() {
            return Err(OpenError::Occupied { folder: folder.to_owned() });
        }
        if let Some(identity) = identity {
            Ledger::put_identity(&engine, identity)?;
        }
        let ledger = Ledger::open(engine.clone())?;
        let view = View::open(engine.clone())?;
        Ok(Self { engine, ledger, view, pages: 0 })
    }

    /// The newest commit of the folder.
    pub fn head(&self) -> Revision {
        self.ledger.head()
    }

    /// Adds the next page of the next commit.
    pub fn page(&mut self, bytes: Vec<u8>) -> Result<()> {
        self.ledger.append(self.pages, bytes)?;
        self.pages += 1;
        Ok(())
    }

    /// A sink for the records of the next commit. Call [`Rebuild::added`] with the number of pages it made.
    pub fn sink(&self) -> Sink<'_> {
        Sink::to_ledger(&self.ledger)
    }

    /// Counts pages that went through [`Rebuild::sink`].
    pub fn added(&mut self, pages: u32) {
        self.pages += pages;
    }

    /// The view of the commits so far.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Seals and applies the commit whose pages were added. The new header must be this one.
    pub fn seal(&mut self, header: &Header, receipt: Option<&Receipt>) -> Result<()> {
        if !header.continues(self.ledger.chain(self.head())?)? {
            return Err(StoreError::corrupt(format!(
                "the header of revision {} does not continue the chain of those before",
                header.commit.revision
            )));
        }
        let sealed = self.seal_draft(&header.draft(), receipt)?;
        if sealed.content != header.content {
            return Err(StoreError::corrupt("its pages are not those that its header was made for"));
        }
        Ok(())
    }

    /// Seals and applies the commit whose pages were added, and gives it its hashes.
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
        apply::apply(&self.ledger, &self.view, &header, StagedPages::default())?;
        self.view.show(header.commit.revision);
        Ok(header)
    }

    /// Makes the folder durable. Returns its engine, for a look at the contents.
    pub fn finish(self) -> Result<Arc<Engine>> {
        self.engine.sync()?;
        Ok(self.engine)
    }
}
