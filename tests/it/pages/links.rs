//! Links between the pages, and from them into the repository, lead somewhere.

use std::path::{Component, Path, PathBuf};

use super::markdown::{Page, pages, root};

/// Pages beside README.md and docs/.
const OTHERS: &[&str] = &["CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"];

#[test]
fn every_link_leads_somewhere() {
    let mut all = pages();
    let mut broken = Vec::new();
    for path in OTHERS.iter().map(Path::new) {
        match exists(path) {
            Ok(()) => all.push(Page::read(path)),
            Err(why) => broken.push(why),
        }
    }
    for page in &all {
        for (line, target) in &page.links {
            if let Err(why) = follow(page, target) {
                broken.push(format!("{}:{line}: {target}: {why}", page.path.display()));
            }
        }
    }
    assert_eq!(broken, [""; 0]);
}

fn follow(page: &Page, target: &str) -> Result<(), String> {
    if target.contains("://") {
        return Ok(());
    }
    let (path, anchor) = match target.split_once('#') {
        Some((path, anchor)) => (path, Some(anchor)),
        None => (target, None),
    };
    let Some(anchor) = anchor else { return exists(&resolve(&page.path, path)) };
    if path.is_empty() {
        return has(page, anchor);
    }
    let path = resolve(&page.path, path);
    exists(&path)?;
    if path.extension().is_none_or(|extension| extension != "md") {
        return Err("only a page has anchors".to_owned());
    }
    has(&Page::read(&path), anchor)
}

fn has(page: &Page, anchor: &str) -> Result<(), String> {
    if page.anchors.contains(anchor) { Ok(()) } else { Err("no heading has this anchor".to_owned()) }
}

/// A path relative to a page, from the top folder.
fn resolve(page: &Path, target: &str) -> PathBuf {
    let mut path = page.parent().unwrap_or(Path::new("")).to_owned();
    for part in Path::new(target).components() {
        match part {
            Component::ParentDir => {
                path.pop();
            }
            Component::CurDir => {}
            part => path.push(part),
        }
    }
    path
}

fn exists(path: &Path) -> Result<(), String> {
    if root().join(path).exists() { Ok(()) } else { Err(format!("there is no {}", path.display())) }
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let page = Page::parse(Path::new("docs/a.md"), "# One\n".to_owned());
    for good in ["#one", "../README.md", "../src", "https://example.org/x#y", "../docs/errors.md#wait"] {
        assert_eq!(follow(&page, good), Ok(()), "{good}");
    }
    for bad in ["#two", "missing.md", "../docs/errors.md#nothing", "../Cargo.toml#one"] {
        assert!(follow(&page, bad).is_err(), "{bad}");
    }
}
