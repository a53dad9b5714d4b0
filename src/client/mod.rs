//! Following the feed from Rust.
//!
//! [`Follower`] subscribes, checks what it receives against the feed's promises, and comes back by itself when the
//! connection or the server goes away. A reconnection cannot be seen in what it yields: a commit that was cut goes on where
//! it stopped, and nothing comes twice. [`Follower::conflate`] is for displays: several commits come as one, and one that
//! was cut is not yielded at all before it comes whole.
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
//!     // Stored together with the data, this is where a later run goes on.
//!     let _token = follower.token();
//! }
//! # Ok(()) }
//! ```
//!
//! In reading order: [`follow`] is the loop; [`check`] holds what the promises say a stream may do; [`backoff`] says how long
//! to wait. [`crate::convert::digest`] proves a copy of the state.
//!
//! Invariant: [`Follower::token`] never runs ahead of what was yielded.

mod backoff;
mod check;
mod follow;

pub use check::BrokenPromise;
pub use follow::{FollowError, FollowEvent, FollowStart, Follower, Part};
