//! The map in `src/lib.rs` against the code: which room uses which, where async code is, who knows sled and tonic.
//!
//! What is only compiled for tests may use more: files of tests, and what stands below `#[cfg(test)]`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Rooms whose code is synchronous, and their files that are not.
const SYNCHRONOUS: [&str; 6] = ["model", "ranking", "store", "ledger", "query", "intake"];
const ASYNC_FILES: [&str; 3] = ["store/offload.rs", "ledger/writer/handle.rs", "ledger/writer/run.rs"];
/// Rooms that may use a crate of which the others must know nothing.
const CRATES: [(&str, &[&str]); 3] =
    [("sled", &["store"]), ("tonic", &["rpc", "server", "client", "cli"]), ("clap", &["cli"])];
/// Files that hold tests or serve them alone.
const TEST_FILES: [&str; 3] = ["tests.rs", "fixture.rs", "testing.rs"];

/// The code of a room that ships, file by file, without comments.
struct Room {
    name: String,
    files: BTreeMap<String, String>,
}

/// What a room may use: in all its files, and in some of them.
#[derive(Default)]
struct Rule {
    everywhere: BTreeSet<String>,
    in_files: BTreeMap<String, BTreeSet<String>>,
}

impl Rule {
    fn allows(&self, file: &str, room: &str) -> bool {
        let stem = file.rsplit('/').next().unwrap_or(file).trim_end_matches(".rs");
        self.everywhere.contains(room) || self.in_files.get(stem).is_some_and(|rooms| rooms.contains(room))
    }
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn rooms() -> Vec<Room> {
    let mut rooms = Vec::new();
    for item in fs::read_dir(source()).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() {
            let mut files = BTreeMap::new();
            read_files(&path, &mut files);
            rooms.push(Room { name: path.file_name().unwrap().to_string_lossy().into_owned(), files });
        }
    }
    assert!(rooms.len() > 10);
    rooms
}

fn read_files(folder: &Path, files: &mut BTreeMap<String, String>) {
    for item in fs::read_dir(folder).unwrap() {
        let path = item.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            read_files(&path, files);
        } else if name.ends_with(".rs")
            && !TEST_FILES.contains(&name.as_str())
            && !path.iter().any(|part| part == "tests")
        {
            let inside = path.strip_prefix(source()).unwrap().to_string_lossy().into_owned();
            files.insert(inside, shipped_code(&fs::read_to_string(&path).unwrap()));
        }
    }
}

/// The lines up to the first module of tests, without comments.
fn shipped_code(text: &str) -> String {
    let mut code = String::new();
    let mut after_test_attribute = false;
    for line in text.lines() {
        if after_test_attribute && line.contains("mod ") && line.ends_with('{') {
            break;
        }
        after_test_attribute = line.trim() == "#[cfg(test)]";
        code.push_str(line.split("//").next().unwrap_or_default());
        code.push('\n');
    }
    code
}

/// Rooms that some code names by a path that begins with `crate::`.
fn used_rooms(code: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for (at, prefix) in code.match_indices("crate::") {
        let path = &code[at + prefix.len()..];
        match path.strip_prefix('{') {
            Some(group) => used.extend(names_in_group(group)),
            None => used.extend(identifier(path)),
        }
    }
    used
}

/// The first names in `{a::…, b::{…}, c}`, of which the opening brace was taken off.
fn names_in_group(group: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut depth = 0;
    let mut at_start = true;
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_start = true,
            letter if at_start && !letter.is_whitespace() => {
                names.extend(identifier(&group[at..]));
                at_start = false;
            }
            _ => {}
        }
    }
    names
}

fn identifier(text: &str) -> Option<String> {
    let end = text.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(text.len());
    (end > 0).then(|| text[..end].to_owned())
}

/// The rules of the table in `src/lib.rs`: its third column, "`a`, `b`; in `file`: `c`".
fn rules() -> BTreeMap<String, Rule> {
    let map = fs::read_to_string(source().join("lib.rs")).unwrap();
    let mut rules = BTreeMap::new();
    for line in map.lines().filter(|line| line.starts_with("//! | [`")) {
        let cells: Vec<&str> = line.trim_start_matches("//! ").split(" | ").collect();
        let [room, _, may_use] = cells[..] else { panic!("a row of the map without three cells: {line}") };
        let mut rule = Rule::default();
        for part in may_use.split(';') {
            match part.split_once(':') {
                None => rule.everywhere.extend(quoted(part)),
                Some((files, used)) => {
                    for file in quoted(files) {
                        rule.in_files.entry(file).or_default().extend(quoted(used));
                    }
                }
            }
        }
        rules.insert(quoted(room).remove(0), rule);
    }
    rules
}

/// The texts in backticks.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_room_uses_what_the_map_lets_it_use() {
    let rules = rules();
    let rooms = rooms();
    let names: BTreeSet<&str> = rooms.iter().map(|room| room.name.as_str()).collect();
    assert_eq!(names, rules.keys().map(String::as_str).collect(), "the rooms of the map");
    for room in &rooms {
        let rule = &rules[&room.name];
        let mut used_by_room = BTreeSet::new();
        for (file, code) in &room.files {
            for used in used_rooms(code) {
                if used != room.name && (names.contains(used.as_str()) || used == "proto") {
                    assert!(rule.allows(file, &used), "src/{file} uses {used}, and the map does not let it");
                    used_by_room.insert(used);
                }
            }
        }
        for allowed in rule.everywhere.iter().chain(rule.in_files.values().flatten()) {
            assert!(used_by_room.contains(allowed), "the map lets {} use {allowed}, and it does not", room.name);
        }
    }
}

#[test]
fn async_code_is_where_the_map_says() {
    for room in rooms().iter().filter(|room| SYNCHRONOUS.contains(&room.name.as_str())) {
        for (file, code) in &room.files {
            let is_async = [".await", "async ", "tokio::"].iter().any(|word| code.contains(word));
            assert_eq!(is_async, ASYNC_FILES.contains(&file.as_str()), "src/{file}");
        }
    }
    let map = fs::read_to_string(source().join("lib.rs")).unwrap();
    for file in ASYNC_FILES {
        assert!(map.contains(&format!("`{file}`")), "the map does not name {file}");
    }
}

#[test]
fn only_their_rooms_know_some_crates() {
    for room in rooms() {
        for (file, code) in &room.files {
            for (name, knowing) in CRATES {
                let known = code.contains(&format!("{name}::"));
                assert!(!known || knowing.contains(&room.name.as_str()), "src/{file} uses {name}");
            }
        }
    }
}

#[test]
fn uses_are_found_in_every_form() {
    const CODE: &str = "use crate::{\n    model::id::{Revision, EntityId},\n    proto,\n    store::Engine,\n};\n\
        use crate::feed;\nfn f(_: crate::query::AsOf) {}\n";
    let used: Vec<String> = used_rooms(CODE).into_iter().collect();
    assert_eq!(used, ["feed", "model", "proto", "query", "store"]);
}
