//! README.md and the pages of docs/ are true.
//!
//! In reading order: [`markdown`] reads a page, [`terminal`] runs a command, [`console`] runs the `console` blocks of a page;
//! [`blocks`] accounts for every other block, [`links`] follows links, [`reference`] and
//! [`digest`] hold tables against the code.
//!
//! snapbox compares what commands print, with its elisions and diffs. trycmd, which reads Markdown itself, has no shell, no
//! terminal and no command that goes on in the background.
//!
//! To write pages: leave outputs empty, run `ALMANAC_PAGES=overwrite cargo test --test it pages::`, and cut what is too long.

mod blocks;
mod console;
mod digest;
mod links;
mod markdown;
mod reference;
mod terminal;

/// A test for each page with `console` blocks, so that they run side by side.
macro_rules! pages {
    ($($test:ident: $path:literal,)*) => {
        /// The pages that have a test.
        const RUN: &[&str] = &[$($path,)*];

        $(
            #[test]
            fn $test() {
                console::run(&markdown::Page::read($path));
            }
        )*
    };
}

pages! {
    readme: "README.md",
    errors: "docs/errors.md",
    feed: "docs/feed.md",
    loading: "docs/loading.md",
    model: "docs/model.md",
    operations: "docs/operations.md",
    tour: "docs/tour.md",
}

#[test]
fn every_page_with_a_console_block_is_run() {
    for page in markdown::pages() {
        let has_commands = page.blocks.iter().any(|block| block.language == "console");
        let is_run = RUN.iter().any(|path| page.path == std::path::Path::new(path));
        assert_eq!(has_commands, is_run, "{}: add it to the list of pages, or take it off", page.path.display());
    }
}
