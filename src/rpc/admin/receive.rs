//! What the two streaming writes share: they take messages in order, check their items, and hold the final count against them.
//!
//! A handler only waits for messages. Reading one, checking its items and collecting them is one piece of work for the
//! [`Offload`], because an upload of figures may write to its temporary file. A short upload never does, and going to another
//! thread and back takes longer than to collect it: so it is collected where its messages arrive.
//!
//! Invariants: one message is in memory at a time beside what the receiver collects, which has bounds of its own. The next
//! message is not read before the work for the one before is done, so the order is kept and a client that sends fast waits.

use std::time::Duration;

use prost::Message;
use tonic::{Status, Streaming};

use crate::{
    convert::error::{FieldError, Problem},
    model::{catalog::Definition, edition::Entry},
    proto,
    rpc::{
        content::Content,
        status::{self, BadField},
        store_status,
        violations::Violations,
    },
    store::offload::Offload,
};

/// How long a client has to end its stream after the final message.
const AFTER_END_WAIT: Duration = Duration::from_secs(1);
/// Most components of one entry; with all of them an entry stays a small part of a page.
const COMPONENTS_MAX: usize = 300;

/// Whether an upload goes on after a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    MoreToCome,
    Complete,
}

/// Collects one upload, message by message.
pub(super) trait Receiver: Send + Sized + 'static {
    type Message: Send + 'static;

    /// Most bytes of messages that are taken without the offload. [`Receiver::take`] must not wait for the disk before it
    /// has taken more.
    const SHORT_BYTES_MAX: usize = 16 << 10;

    /// How many bytes a message has on the wire.
    fn bytes(message: &Self::Message) -> usize;

    /// Takes the next message after the header. Runs through the offload, unless the upload is short so far.
    fn take(&mut self, message: Self::Message) -> Result<Progress, Status>;
}

/// The next message of an upload; an error if there is none.
pub(super) async fn next<M>(messages: &mut Streaming<M>) -> Result<M, Status> {
    messages.message().await?.ok_or_else(without_end)
}

/// Takes all messages after the header, up to the end of the upload.
pub(super) async fn receive<R: Receiver>(
    mut receiver: R,
    messages: &mut Streaming<R::Message>,
    offload: &Offload,
) -> Result<R, Status> {
    let mut bytes = 0;
    loop {
        let message = match next(messages).await {
            Ok(message) => message,
            Err(status) => return refuse(receiver, status, offload).await,
        };
        bytes += R::bytes(&message);
        let progress = if bytes <= R::SHORT_BYTES_MAX {
            receiver.take(message)?
        } else {
            let work = offload.run(move || {
                let progress = receiver.take(message)?;
                Ok::<_, Status>((receiver, progress))
            });
            let (returned, progress) = work.await.map_err(store_status)??;
            receiver = returned;
            progress
        };
        if progress == Progress::Complete {
            return match nothing_follows(messages).await {
                Ok(()) => Ok(receiver),
                Err(status) => refuse(receiver, status, offload).await,
            };
        }
    }
}

/// Refuses an upload. What it collected is dropped through the offload: closing a long temporary file waits for the disk.
pub(super) async fn refuse<T>(collected: impl Send + 'static, status: Status, offload: &Offload) -> Result<T, Status> {
    let _ = offload.run(move || drop(collected)).await;
    Err(status)
}

/// An upload is complete with its final message, whatever the transport says after it. Only another message is an error.
async fn nothing_follows<M>(messages: &mut Streaming<M>) -> Result<(), Status> {
    match tokio::time::timeout(AFTER_END_WAIT, messages.message()).await {
        Ok(Ok(Some(_))) => Err(BadField::new("end", "no message may follow it").into()),
        _ => Ok(()),
    }
}

fn without_end() -> Status {
    status::of_incomplete_upload("it has no `end`")
}

pub(super) fn header_first() -> BadField {
    BadField::new("header", "the first message must be the header, and no other")
}

pub(super) fn without_part() -> BadField {
    BadField::new("part", "must be given")
}

/// Counts an upload, to hold the count against that of the client.
#[derive(Debug, Default)]
pub(super) struct UploadCount {
    pub messages: u64,
    pub rows: u64,
}

impl UploadCount {
    /// An error if the client counted otherwise: something was lost on the way.
    pub(super) fn check(&self, end: proto::UploadEnd) -> Result<(), Status> {
        if self.messages == end.messages && self.rows == end.rows {
            return Ok(());
        }
        Err(status::of_incomplete_upload(format!(
            "its end counts {} messages and {} rows, {} and {} arrived",
            end.messages, end.rows, self.messages, self.rows
        )))
    }
}

/// Something that a write has many of.
pub(super) trait WriteItem: TryFrom<Self::Message, Error = FieldError> {
    type Message: Message;

    /// The field of the request that holds them.
    const FIELD: &'static str;
    /// Most items of one write.
    const COUNT_MAX: usize;
    /// Most bytes of all items of one write, encoded.
    const BYTES_MAX: usize;

    /// Checks what only a write demands.
    fn check(message: &Self::Message) -> Result<(), FieldError>;

    fn add_to(&self, content: &mut Content);
}

impl WriteItem for Definition {
    type Message = proto::Definition;

    const FIELD: &'static str = "definitions";
    const COUNT_MAX: usize = 20_000;
    const BYTES_MAX: usize = 64 << 20;

    fn check(_: &proto::Definition) -> Result<(), FieldError> {
        Ok(())
    }

    fn add_to(&self, content: &mut Content) {
        content.definition(self);
    }
}

impl WriteItem for Entry {
    type Message = proto::Entry;

    const FIELD: &'static str = "entries";
    const COUNT_MAX: usize = 100_000;
    const BYTES_MAX: usize = 256 << 20;

    fn check(message: &proto::Entry) -> Result<(), FieldError> {
        if message.components.len() <= COMPONENTS_MAX {
            return Ok(());
        }
        Err(FieldError::new("components", Problem::TooMany { items_max: COMPONENTS_MAX }))
    }

    fn add_to(&self, content: &mut Content) {
        content.row(self);
    }
}

/// The items of a write, checked as they come. An item with a mistake is left out: its write is refused in the end.
#[derive(Debug)]
pub(super) struct CheckedItems<T> {
    pub items: Vec<T>,
    /// How many came, with mistakes or without.
    pub count: usize,
    bytes: usize,
}

impl<T> Default for CheckedItems<T> {
    fn default() -> Self {
        Self { items: Vec::new(), count: 0, bytes: 0 }
    }
}

impl<T: WriteItem> CheckedItems<T> {
    /// Checks more items and adds them. An error if there are too many or they are too long.
    pub(super) fn take(
        &mut self,
        messages: Vec<T::Message>,
        content: &mut Content,
        violations: &mut Violations,
    ) -> Result<(), Status> {
        for message in messages {
            if self.count == T::COUNT_MAX {
                return Err(BadField::new(T::FIELD, format!("more than {}", T::COUNT_MAX)).into());
            }
            self.bytes += message.encoded_len();
            if self.bytes > T::BYTES_MAX {
                return Err(status::of_large_upload(T::FIELD, T::BYTES_MAX));
            }
            let item = T::check(&message).and_then(|()| T::try_from(message));
            let item = item.map_err(|error| error.under(&format!("{}[{}]", T::FIELD, self.count)));
            self.count += 1;
            if let Some(item) = violations.take(item) {
                item.add_to(content);
                self.items.push(item);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tonic::{Code, body::Body};
    use tonic_types::StatusExt;

    use super::*;
    use crate::{proto::UploadEnd, rpc::codec::StrictDecoder};

    /// Notes the counts of the messages that it takes; the message with the count 0 is the last.
    struct Recorder(Vec<u64>);

    impl Receiver for Recorder {
        type Message = UploadEnd;

        const SHORT_BYTES_MAX: usize = 0;

        fn bytes(message: &UploadEnd) -> usize {
            message.encoded_len()
        }

        fn take(&mut self, message: UploadEnd) -> Result<Progress, Status> {
            self.0.push(message.messages);
            Ok(if message.messages == 0 { Progress::Complete } else { Progress::MoreToCome })
        }
    }

    /// A stream of these messages, as a client sends them.
    fn stream(counts: &[u64]) -> Streaming<UploadEnd> {
        let mut bytes = Vec::new();
        for messages in counts {
            let message = UploadEnd { messages: *messages, rows: 0 }.encode_to_vec();
            bytes.push(0);
            bytes.extend((message.len() as u32).to_be_bytes());
            bytes.extend(message);
        }
        // Small numbers are ASCII, and a text can be a body.
        let body = Body::new(String::from_utf8(bytes).unwrap());
        Streaming::new_request(StrictDecoder::default(), body, None, None)
    }

    #[tokio::test(start_paused = true)]
    async fn messages_are_taken_in_order_each_in_one_piece_of_offloaded_work() {
        const LATENCY: Duration = Duration::from_millis(5);
        let offload = Offload::Simulated(Arc::new(|| LATENCY));
        let began = tokio::time::Instant::now();
        let recorder = receive(Recorder(Vec::new()), &mut stream(&[3, 1, 2, 0]), &offload).await.unwrap();
        assert_eq!(recorder.0, [3, 1, 2, 0]);
        assert_eq!(began.elapsed(), 4 * 2 * LATENCY, "each message waits before and after its work");
    }

    #[tokio::test]
    async fn uploads_without_an_end_and_with_more_behind_it_are_refused() {
        for (counts, code) in [(&[1][..], Code::Aborted), (&[], Code::Aborted), (&[1, 0, 1], Code::InvalidArgument)] {
            let received = receive(Recorder(Vec::new()), &mut stream(counts), &Offload::default()).await;
            assert_eq!(received.err().unwrap().code(), code, "{counts:?}");
        }
    }

    const LARGE_BYTES: usize = 1 << 20;

    /// Adds an item again and again until that is refused. Returns how many were taken.
    fn take_until_refused<T: WriteItem>(item: &T::Message) -> usize
    where
        T::Message: Clone,
    {
        let mut items = CheckedItems::<T>::default();
        let mut violations = Violations::default();
        let mut taken = 0;
        loop {
            match items.take(vec![item.clone()], &mut Content::default(), &mut violations) {
                Ok(()) => taken += 1,
                Err(status) => {
                    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
                    assert_eq!(status.get_details_error_info().unwrap().reason, "UPLOAD_TOO_LARGE");
                    return taken;
                }
            }
        }
    }

    #[test]
    fn definitions_of_a_write_are_bounded_by_their_bytes() {
        let indicator = proto::Indicator { definition: "x".repeat(LARGE_BYTES), ..Default::default() };
        let definition = proto::Definition { item: Some(proto::definition::Item::Indicator(indicator)) };
        let taken = take_until_refused::<Definition>(&definition);
        assert_eq!(taken, Definition::BYTES_MAX / LARGE_BYTES - 1, "each is a little longer than its text");
    }

    #[test]
    fn entries_of_an_edition_are_bounded_by_their_bytes() {
        let entry = proto::Entry { published_name: "x".repeat(LARGE_BYTES), ..Default::default() };
        let taken = take_until_refused::<Entry>(&entry);
        assert_eq!(taken, Entry::BYTES_MAX / LARGE_BYTES - 1, "each is a little longer than its text");
    }
}
