//! README.md and the pages of docs/ are true: their commands run, their links lead somewhere, their tables are complete.

mod console;
mod markdown;
mod terminal;

#[test]
fn readme() {
    console::run(&markdown::Page::read("README.md"));
}

#[test]
fn tour() {
    console::run(&markdown::Page::read("docs/tour.md"));
}

#[test]
fn model() {
    console::run(&markdown::Page::read("docs/model.md"));
}

#[test]
fn feed() {
    console::run(&markdown::Page::read("docs/feed.md"));
}

#[test]
fn loading() {
    console::run(&markdown::Page::read("docs/loading.md"));
}

#[test]
fn operations() {
    console::run(&markdown::Page::read("docs/operations.md"));
}
