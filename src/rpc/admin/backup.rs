//! `Backup`: the store as a stream of parts.

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::Admin;
use crate::{
    ledger::backup::BackupWriter,
    model::id::Revision,
    proto,
    query::AsOf,
    rpc::{BACKUPS_MAX, status},
};

/// Most parts that wait for the client.
const BACKUP_PARTS_MAX: usize = 4;

pub(super) type BackupStream = ReceiverStream<Result<proto::BackupResponse, Status>>;

/// Starts a backup. It ends early when its client is gone.
pub(super) async fn start(admin: &Admin, request: proto::BackupRequest) -> Result<BackupStream, Status> {
    let as_of = request.revision.map_or(AsOf::Head, |revision| AsOf::Revision(Revision(revision)));
    let last = admin.0.read(as_of, |snapshot| Ok(snapshot.revision())).await?;
    let permit = admin.0.backups.clone().try_acquire_owned().map_err(|_| status::of_many_backups(BACKUPS_MAX))?;
    let backup = BackupWriter::new(admin.0.reader.ledger().clone(), last);
    let (parts, stream) = mpsc::channel(BACKUP_PARTS_MAX);
    // A thread of its own: it reads, and waits for the client.
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        send_parts(backup, last, &parts);
    });
    Ok(ReceiverStream::new(stream))
}

fn send_parts(mut backup: BackupWriter, last: Revision, parts: &mpsc::Sender<Result<proto::BackupResponse, Status>>) {
    loop {
        match backup.next_part() {
            Ok(Some(data)) => {
                let part = proto::BackupResponse { data, revision: backup.revision().0, last_revision: last.0 };
                if parts.blocking_send(Ok(part)).is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => {
                let _ = parts.blocking_send(Err(status::of_ledger(&error))); // Nobody may be listening any more.
                return;
            }
        }
    }
}
