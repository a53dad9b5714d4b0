//! Every block that looks as if it could be run is run, or says why not.

use super::markdown::{Block, Page, pages};

/// A block that is not run.
struct NotRun {
    page: &'static str,
    first_line: &'static str,
    reason: &'static str,
}

const BUILDS: &str = "builds in release mode, which takes minutes";
const IS_CARGO: &str = "runs cargo within cargo; .ci/run does the same";
const IS_CI: &str = "installs clients; .ci/run does the same in its step clients";

const NOT_RUN: &[NotRun] = &[
    NotRun { page: "README.md", first_line: "cargo run --release -- serve --sample-data", reason: BUILDS },
    NotRun {
        page: "README.md",
        first_line: "python3 -m venv examples/python/.venv && . examples/python/.venv/bin/activate",
        reason: IS_CI,
    },
    NotRun {
        page: "docs/clients.md",
        first_line: "buf curl --protocol grpc --http2-prior-knowledge \\",
        reason: "needs buf; tests/it has the same call through reflection",
    },
    NotRun {
        page: "docs/clients.md",
        first_line: "python3 -m venv examples/python/.venv && . examples/python/.venv/bin/activate",
        reason: IS_CI,
    },
    NotRun { page: "docs/clients.md", first_line: "python examples/python/query.py", reason: IS_CI },
    NotRun { page: "docs/clients.md", first_line: "npm ci --prefix examples/node", reason: IS_CI },
    NotRun { page: "docs/clients.md", first_line: "examples/go/build", reason: IS_CI },
    NotRun { page: "docs/clients.md", first_line: "npm ci --prefix examples/web", reason: IS_CI },
    NotRun {
        page: "docs/clients.md",
        first_line: "[dependencies]",
        reason: "a part of the manifest of examples/rust, which .ci/run builds",
    },
    NotRun {
        page: "docs/clients.md",
        first_line: "use almanac::client::{FollowEvent, FollowStart, Follower};",
        reason: "the example of almanac::client, which cargo test compiles, as a whole program",
    },
    NotRun {
        page: "docs/dev/architecture.md",
        first_line: "cargo doc --open --no-deps --document-private-items",
        reason: IS_CARGO,
    },
    NotRun { page: "docs/dev/testing.md", first_line: "cargo test", reason: IS_CARGO },
    NotRun {
        page: "docs/dev/testing.md",
        first_line: "ALMANAC_TEST_SEED=4711 cargo test --test it NAME_OF_THE_TEST",
        reason: "names no test",
    },
    NotRun {
        page: "docs/dev/testing.md",
        first_line: "ALMANAC_TEST_LONG=1 cargo test --release --target-dir target/tests --test it simulation::",
        reason: "takes long",
    },
    NotRun {
        page: "docs/dev/testing.md",
        first_line: "ALMANAC_TEST_SEED=578728313680066545 cargo test --test it simulation::",
        reason: IS_CARGO,
    },
    NotRun {
        page: "docs/dev/testing.md",
        first_line: "ALMANAC_PAGES=overwrite cargo test --test it pages::",
        reason: "writes the pages",
    },
    NotRun {
        page: "docs/operations.md",
        first_line: "almanac migrate almanac-data almanac-data-2",
        reason: "needs a folder of 0.1; tests/it/migration.rs migrates one",
    },
];

/// Languages of blocks that nobody runs: output of a block before, pictures.
const PLAIN: &[&str] = &["text", "mermaid"];
/// Languages that tests/clients/pages.py runs.
const OF_CLIENTS: &[&str] = &["python", "js"];

#[test]
fn every_block_is_run_or_says_why_not() {
    let mut wrong = Vec::new();
    let mut used = vec![false; NOT_RUN.len()];
    for page in &pages() {
        for block in &page.blocks {
            let listed = NOT_RUN.iter().position(|not_run| not_run.is(page, block));
            if let Some(at) = listed {
                used[at] = true;
            }
            if is_run(page, block) == listed.is_some() {
                let place = format!("{}:{}", page.path.display(), block.line);
                wrong.push(format!("{place}: `{}`, {}", block.language, block.first_line()));
            }
        }
        wrong.extend(page.indented.iter().map(|line| format!("{}:{line}: only indented", page.path.display())));
    }
    assert_eq!(wrong, [""; 0], "run these, or list them with a reason; fence all blocks");
    for (not_run, used) in NOT_RUN.iter().zip(used) {
        let NotRun { page, first_line, reason } = not_run;
        assert!(used, "{page} has no block that begins with `{first_line}` ({reason})");
    }
}

impl NotRun {
    fn is(&self, page: &Page, block: &Block) -> bool {
        page.path.as_os_str() == self.page && block.first_line() == self.first_line
    }
}

fn is_run(page: &Page, block: &Block) -> bool {
    let language = block.language.as_str();
    match &block.file {
        // A file is true if a command reads it.
        Some(name) => {
            let mut console = page.blocks.iter().filter(|block| block.language == "console");
            console.any(|block| block.text.contains(name.as_str()))
        }
        None => language == "console" || PLAIN.contains(&language) || OF_CLIENTS.contains(&language),
    }
}

#[test]
fn the_readme_stays_short() {
    const LINES_MAX: usize = 150;
    const COLUMNS_MAX: usize = 130;
    let readme = Page::read("README.md");
    assert!(readme.text.lines().count() <= LINES_MAX, "move what is longer to docs/");
    let long: Vec<&str> = readme.text.lines().filter(|line| line.chars().count() > COLUMNS_MAX).collect();
    assert_eq!(long, [""; 0]);
}
