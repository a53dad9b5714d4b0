//! What queries answer.

mod catalog;
mod editions;
mod figures;
