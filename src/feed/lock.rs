//! The one place that decides what a poisoned lock means for the feed: nothing. Every structure behind a lock here is valid after
//! each statement, so the next one goes on with it.

use std::sync::{Mutex, MutexGuard, PoisonError};

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
