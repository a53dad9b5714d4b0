//! Following the feed from Rust.
//!
//! A [`Follower`] subscribes, checks what it receives against the promises of the feed, and reconnects when the connection
//! breaks or the server restarts. What it yields does not show reconnections: after one, a commit continues where it
//! stopped, and nothing comes twice. With [`Follower::conflate`] several commits may come as one, for displays; the
//! follower yields such a commit only when it is complete.
//!
//! ```no_run
//! # async fn follow() -> Result<(), Box<dyn std::error::Error>> {
//! use almanac::client::{FollowEvent, Follower, FollowStart};
//! use almanac::proto::feed_service_client::FeedServiceClient;
//!
//! let feed = FeedServiceClient::connect("http://127.0.0.1:50051").await?;
//! let mut follower = Follower::new(feed, FollowStart::State, Vec::new());
//! while let Some(event) = follower.next().await? {
//!     match event {
//!         FollowEvent::Rows(rows) => println!("{} rows of the state", rows.len()),
//!         FollowEvent::Changes(part) => println!("revision {}: {} changes", part.revision, part.changes.len()),
//!         _ => {}
//!     }
//!     // Store the token with the data, in one transaction: a later run resumes with it.
//!     let _token = follower.token();
//! }
//! # Ok(()) }
//! ```
//!
//! In reading order: [`event`] has the types that callers see; [`follow`] is the loop; [`check`] checks messages against the
//! promises; [`backoff`] computes waits. [`crate::convert::digest`] computes the digest of a copy.
//!
//! Invariant: [`Follower::token`] is never ahead of what was yielded.

mod backoff;
mod check;
mod event;
mod follow;

pub use check::BrokenPromise;
pub use event::{FollowError, FollowEvent, FollowStart, Part};
pub use follow::Follower;
