//! Services that only send bytes, to compare with. Each is the bench's own program in another process.
//!
//! What the service sends comes in a file: records, each after its length in four bytes. The end of the standard input ends
//! the service, so it does not outlive the bench.

use std::{
    fs::File,
    io::{BufRead, BufReader, BufWriter, Read, Write},
    path::Path,
    process::{Command, Stdio},
};

use bytes::Bytes;
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;

use super::{Outcome, process::Process};

/// An idle service in its process.
#[derive(Debug)]
pub(crate) struct IdleServer {
    pub(crate) process: Process,
    pub(crate) address: String,
}

impl IdleServer {
    /// Starts this program with an argument that makes it the service, and the records that it sends.
    pub(crate) fn start<R: AsRef<[u8]>>(argument: &str, records: &[R], scratch: &Path) -> Outcome<Self> {
        let path = scratch.join(argument.trim_start_matches('-'));
        let mut file = BufWriter::new(File::create(&path)?);
        for record in records {
            let record = record.as_ref();
            file.write_all(&u32::try_from(record.len())?.to_be_bytes())?;
            file.write_all(record)?;
        }
        file.into_inner()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(argument).arg(&path).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let output = child.stdout.take().ok_or("no standard output")?;
        let process = Process(child);
        let mut address = String::new();
        BufReader::new(output).read_line(&mut address)?;
        Ok(Self { process, address: address.trim().to_owned() })
    }
}

/// The records of a file that [`IdleServer::start`] wrote.
pub(crate) fn read_records(path: &str) -> Outcome<Vec<Bytes>> {
    let mut file = BufReader::new(File::open(path)?);
    let mut records = Vec::new();
    let mut length = [0; 4];
    while file.read_exact(&mut length).is_ok() {
        let mut bytes = vec![0; u32::from_be_bytes(length) as usize];
        file.read_exact(&mut bytes)?;
        records.push(Bytes::from(bytes));
    }
    Ok(records)
}

/// Listens on a free port, and tells the bench which one it is.
pub(crate) async fn announce() -> Outcome<TcpIncoming> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    Ok(TcpIncoming::from(listener).with_nodelay(Some(true)))
}

/// Waits for the end of the standard input; calls `line` for each line before.
pub(crate) async fn until_input_ends(mut line: impl FnMut() + Send + 'static) -> Outcome<()> {
    let reading = tokio::task::spawn_blocking(move || std::io::stdin().lines().for_each(|_| line()));
    Ok(reading.await?)
}
