//! Locks of the feed. They ignore poisoning, in this one place: every structure behind them is valid after each statement,
//! so the next owner goes on with it.

use std::sync::{Mutex, MutexGuard, PoisonError};

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
