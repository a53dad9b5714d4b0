//! What reads cost, counted in operations of the store, and that the cache of blocks changes no answer.

mod costs;
mod small_cache;
