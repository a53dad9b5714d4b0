//! `PublishEdition`: one edition with its entries, streamed.

use prost::Message;
use tonic::{Status, Streaming};

use super::{
    Admin,
    receive::{self, CheckedItems, Progress, Receiver, UploadCount},
};
use crate::{
    convert::{
        edition::edition_to_publish,
        error::{FieldError, Problem},
    },
    ledger::plan::WriteRequest,
    model::{
        catalog::Definition,
        edition::{CoverageKind, Edition, Entry, Table},
    },
    proto::{self, publish_edition_request::Part},
    query::Reader,
    rpc::{content::Content, violations::Violations},
};

/// Reads a whole publication and writes it.
pub(super) async fn publish(
    admin: &Admin,
    mut messages: Streaming<proto::PublishEditionRequest>,
) -> Result<proto::PublishEditionResponse, Status> {
    let Some(Part::Header(mut header)) = receive::next(&mut messages).await?.part else {
        return Err(receive::header_first().into());
    };
    let options = header.options.take();
    let edition = header.edition.ok_or_else(|| FieldError::new("header.edition", Problem::NotGiven))?;
    let mut edition = edition_to_publish(edition).map_err(|error| error.under("header"))?;
    let received = receive::receive(EditionReceiver::default(), &mut messages, &admin.0.offload).await?;
    received.violations.check()?;
    let EditionReceiver { entries, definitions, mut content, .. } = received;
    set_defaults(&mut edition, entries.items.len(), &definitions.items, &admin.0.reader);
    content.header(&(&edition, header.correction));
    let request = WriteRequest::Publish {
        table: Table { edition, entries: entries.items },
        correction: header.correction,
        definitions: definitions.items,
    };
    let (result, edition) = admin.write(options, content, request).await?;
    Ok(proto::PublishEditionResponse { result: Some(result), edition: edition.as_ref().map(proto::Edition::from) })
}

/// A publication, as far as it came.
#[derive(Debug, Default)]
struct EditionReceiver {
    entries: CheckedItems<Entry>,
    definitions: CheckedItems<Definition>,
    content: Content,
    violations: Violations,
    count: UploadCount,
}

impl Receiver for EditionReceiver {
    type Message = proto::PublishEditionRequest;

    fn bytes(message: &Self::Message) -> usize {
        message.encoded_len()
    }

    fn take(&mut self, message: Self::Message) -> Result<Progress, Status> {
        match message.part.ok_or_else(receive::without_part)? {
            Part::Header(_) => return Err(receive::header_first().into()),
            Part::Definitions(batch) => {
                self.definitions.take(batch.definitions, &mut self.content, &mut self.violations)?;
            }
            Part::Entries(batch) => {
                self.entries.take(batch.entries, &mut self.content, &mut self.violations)?;
                self.count.rows = self.entries.count as u64;
            }
            Part::End(end) => {
                self.count.check(end)?;
                return Ok(Progress::Complete);
            }
        }
        self.count.messages += 1;
        Ok(Progress::MoreToCome)
    }
}

/// Sets what an edition leaves to its defaults. An edition that spells them out is then the same write.
fn set_defaults(edition: &mut Edition, entries: usize, definitions: &[Definition], reader: &Reader) {
    if edition.source.is_none() {
        // A ranking that comes with its edition goes before the catalog: a retry finds it there.
        let sent = definitions.iter().find_map(|definition| match definition {
            Definition::Ranking(ranking) if ranking.id == edition.ranking => Some(ranking.source.clone()),
            _ => None,
        });
        let catalog = reader.view().catalog();
        let defined = catalog.ranking(edition.ranking.as_str(), reader.head());
        edition.source = sent.or_else(|| defined.map(|ranking| ranking.source.clone()));
    }
    if edition.coverage.kind == CoverageKind::Top && edition.coverage.listed == 0 {
        edition.coverage.listed = u32::try_from(entries).unwrap_or(u32::MAX);
    }
}
