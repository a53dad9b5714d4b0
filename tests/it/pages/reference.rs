//! Pages that list things list all of them, and nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

use almanac::{intake::profile::Profile, rpc::reason::Reason};

use super::markdown::{Page, root};

/// Where the contract says the status of each reason.
const TYPES: &str = "proto/almanac/v1/types.proto";

#[test]
fn errors_has_every_reason_with_its_status() {
    let contract = std::fs::read_to_string(root().join(TYPES)).unwrap();
    let written = statuses_of_the_contract(&contract);
    let raised: BTreeMap<String, String> =
        Reason::ALL.iter().map(|reason| (reason.as_str_name().to_owned(), code_name(*reason))).collect();
    assert_eq!(written, raised, "the contract against the code");

    let page = Page::read("docs/errors.md");
    let rows = page.rows.iter().filter(|row| row.cells.len() == 4);
    let listed: Vec<(String, String)> = rows.map(|row| (plain(&row.cells[0]), plain(&row.cells[1]))).collect();
    let told: BTreeMap<String, String> = listed.iter().cloned().collect();
    assert_eq!(told.len(), listed.len(), "a reason stands twice");
    assert_eq!(told, raised, "the page against the code");
}

/// The status of a reason as the contract and the page write it: `INVALID_ARGUMENT`.
fn code_name(reason: Reason) -> String {
    let mut name = String::new();
    for letter in format!("{:?}", reason.code()).chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

/// `ERROR_REASON_` values and the status that the comment above each begins with.
fn statuses_of_the_contract(contract: &str) -> BTreeMap<String, String> {
    let (_, reasons) = contract.split_once("enum ErrorReason {").unwrap();
    let (reasons, _) = reasons.split_once("\n}").unwrap();
    let mut statuses = BTreeMap::new();
    let mut comment = String::new();
    for line in reasons.lines().map(str::trim) {
        if let Some(more) = line.strip_prefix("//") {
            comment.push_str(more.trim());
            comment.push(' ');
        } else if let Some(value) = line.strip_prefix("ERROR_REASON_") {
            let (name, _) = value.split_once(" = ").unwrap();
            let status = comment.split('`').nth(1).filter(|_| comment.starts_with('`'));
            if let Some(status) = status {
                statuses.insert(name.to_owned(), status.to_owned());
            }
            comment.clear();
        }
    }
    statuses
}

/// A page for developers that names a type or a function must follow when it is renamed.
#[test]
fn pages_for_developers_name_what_there_is() {
    let mut sources = String::new();
    for folder in ["src", "tests/it", "benches"] {
        read_sources(&root().join(folder), &mut sources);
    }
    let known: BTreeSet<&str> = sources.split(|letter: char| !is_word(letter)).collect();
    for page in ["docs/dev/architecture.md", "docs/dev/glossary.md", "docs/dev/testing.md", "CONTRIBUTING.md"] {
        for name in Page::read(page).text.split('`').skip(1).step_by(2).filter(|name| name.contains("::")) {
            let path = name.split(|letter: char| !is_word(letter) && letter != ':').next().unwrap_or_default();
            for part in path.split("::").filter(|part| !part.is_empty()) {
                assert!(known.contains(part), "{page} names {name}, and there is no {part}");
            }
        }
    }
}

fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

#[test]
fn loading_has_every_key_of_a_profile() {
    // A profile with a key that cannot be, in each table.
    const TABLES: &[(&str, &str)] = &[
        ("keys-at-the-top", "no-key = 1"),
        ("keys-of-read", "[read]\nno-key = 1"),
        ("keys-of-edition", "[edition]\nno-key = 1"),
        ("keys-of-components", "[[edition.components]]\nno-key = 1"),
        ("keys-of-figures", "[figures]\nno-key = 1"),
        ("keys-of-source", "[source]\nno-key = 1"),
    ];
    let page = Page::read("docs/loading.md");
    for (section, profile) in TABLES {
        let refusal = Profile::parse("profile", profile).unwrap_err().to_string();
        assert_eq!(codes_of_section(&page, section), expected_keys(&refusal), "{section}");
    }
}

#[test]
fn loading_names_findings_that_there_are() {
    let mut sources = String::new();
    for folder in ["src/intake", "src/ledger"] {
        read_sources(&root().join(folder), &mut sources);
    }
    let page = Page::read("docs/loading.md");
    let codes = codes_of_section(&page, "findings");
    assert!(!codes.is_empty());
    for code in codes {
        assert!(sources.contains(&format!("\"{code}\"")), "nothing finds {code}");
    }
}

#[test]
fn operations_has_every_setting() {
    let page = Page::read("docs/operations.md");
    let rows: Vec<_> = page.rows.iter().filter(|row| row.section == "settings").collect();
    let column = |at: usize| -> BTreeSet<String> {
        rows.iter().map(|row| plain(&row.cells[at])).filter(|cell| !cell.is_empty()).collect()
    };

    let help = almanac(&["serve", "--help"]);
    // Options that every command takes are in the text below the table.
    const COMMON: [&str; 4] = ["--server", "--token", "--json", "--help"];
    let options: BTreeSet<String> = options_of(&help).filter(|word| !COMMON.contains(&word.as_str())).collect();
    assert_eq!(column(0), options);
    for option in &COMMON[..3] {
        assert!(page.text.contains(&format!("`{option}`")), "{option}");
    }

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.toml");
    std::fs::write(&file, "no-key = 1\n").unwrap();
    let refusal = almanac(&["serve", "--config", file.to_str().unwrap()]);
    assert_eq!(column(1), expected_keys(&refusal));

    let variables: BTreeSet<String> = words_of(&help, "ALMANAC_").collect();
    for variable in variables {
        assert!(page.text.contains(&format!("`{variable}`")), "{variable}");
    }
}

/// What a command that starts no server says.
fn almanac(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_almanac")).args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
}

/// The options that a help text explains: the first long one of each line that begins with an option.
fn options_of(help: &str) -> impl Iterator<Item = String> {
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    lines.filter_map(|line| line.split([' ', '=']).find(|word| word.starts_with("--")).map(str::to_owned))
}

/// The words that lines of a help text begin with, or that stand behind a bracket in them.
fn words_of<'a>(help: &'a str, prefix: &'a str) -> impl Iterator<Item = String> + 'a {
    help.split([' ', '[', '=', '\n', ',', ';', ':', ']', '.'])
        .filter(move |word| word.starts_with(prefix) && word.len() > prefix.len())
        .map(str::to_owned)
}

/// The keys that a refusal of a TOML file says it would have taken.
fn expected_keys(refusal: &str) -> BTreeSet<String> {
    let (_, expected) = refusal.split_once("expected ").unwrap_or_else(|| panic!("no key is refused: {refusal}"));
    codes(expected.lines().next().unwrap_or_default())
}

/// Words in backticks.
fn codes(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Words in backticks in the first column of the tables below a heading.
fn codes_of_section(page: &Page, section: &str) -> BTreeSet<String> {
    let rows = page.rows.iter().filter(|row| row.section == section);
    rows.flat_map(|row| codes(&row.cells[0])).collect()
}

fn plain(cell: &str) -> String {
    cell.replace('`', "")
}

fn read_sources(folder: &Path, text: &mut String) {
    for item in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if item.file_type().unwrap().is_dir() {
            read_sources(&item.path(), text);
        } else if item.path().extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&std::fs::read_to_string(item.path()).unwrap());
        }
    }
}
