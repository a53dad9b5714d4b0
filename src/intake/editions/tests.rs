//! Rows of published tables, right and wrong.

use super::{super::names::CatalogItem, *};
use crate::model::value::{Figure, Value};

/// Id, code, name.
const ECONOMIES: &[(&str, &str, &str)] = &[
    ("CHN", "CN", "China"),
    ("HKG", "HK", "Hong Kong, China"),
    ("TWN", "TW", "Taiwan"),
    ("USA", "US", "United States"),
    ("IRN", "IR", "Iran"),
];

/// Id, economies, names.
const CLUSTERS: &[(&str, &[&str], &[&str])] = &[
    ("cluster:szx", &["CHN", "HKG"], &["Shenzhen–Hong Kong–Guangzhou", "Shenzhen–Hong Kong"]),
    ("cluster:taipei", &["TWN"], &["Taipei–Hsinchu"]),
];

fn directory() -> Directory {
    let mut directory = Directory::default();
    for (id, code, name) in ECONOMIES {
        let economy = CatalogItem { id: (*id).into(), kind: Some(EntityKind::Economy), lies_in: Vec::new() };
        directory.entities.add(economy, [("iso3166-1-alpha2", *code)], [*name]);
    }
    for (id, economies, names) in CLUSTERS {
        let lies_in = economies.iter().map(|economy| (*economy).to_owned()).collect();
        let cluster = CatalogItem { id: (*id).into(), kind: Some(EntityKind::Cluster), lies_in };
        directory.entities.add(cluster, [], names.iter().copied());
    }
    directory
}

fn read(profile: &str, text: &str, subject: EntityKind, add_entities: bool) -> EditionFile {
    let profile = Profile::load(profile).unwrap();
    let directory = directory();
    let reader = EditionReader {
        profile: &profile,
        shape: profile.edition().unwrap(),
        directory: &directory,
        subject,
        previous_edition: Some("2022".into()),
        add_entities,
    };
    reader.read("t.csv", text.as_bytes())
}

fn text(value: Option<&Value>) -> String {
    match value.map(|value| &value.figure) {
        Some(Figure::Number(number)) => number.text(),
        _ => String::new(),
    }
}

const TABLE: &str = "Rank,Cluster name,Economy,PCT applications,Scientific publications,Share total PCT filings (%),Share of total pubs (%),Total,Previous rank,Rank change\r\n\
    2,Shenzhen–Hong Kong–Guangzhou,CN/HK,\"113,482\",\"153,180\",9.0,2.1,11.1,2,0\r\n\
    27,Taipei–Hsinchu,TW*,\"3,907\",\"52,752\",0.3,0.7,1.0,26,−1\r\n\
    34,Tehran,IR,249,\"63,113\",0.0,0.8,0.9,33,−1\r\n\
    35,\"Philadelphia, PA\",US,\"5,390\",\"32,309\",,,,,\r\n";

#[test]
fn the_published_table_of_clusters_is_read() {
    let file = read("gii-clusters", TABLE, EntityKind::Cluster, true);
    assert_eq!(file.findings, []);
    let first = &file.entries[0];
    assert_eq!((first.entity.as_str(), first.rank), ("cluster:szx", Some(2)));
    let economies: Vec<&str> = first.economies.iter().map(EntityId::as_str).collect();
    assert_eq!(economies, ["CHN", "HKG"]);
    assert_eq!(text(first.score.as_ref()), "11.1");
    assert_eq!(
        (text(first.components[0].raw.as_ref()), text(first.components[0].score.as_ref())),
        ("113482".into(), "9.0".into())
    );
    assert_eq!(first.previous, [RankClaim { rank: 2, edition: "2022".into(), claimed_by: String::new() }]);
    assert_eq!(file.entries[1].economies[0].as_str(), "TWN");
    assert_eq!(text(file.entries[2].components[0].score.as_ref()), "0.0");
    let last = &file.entries[3];
    assert_eq!((last.published_name.as_str(), &last.score, last.previous.len()), ("Philadelphia, PA", &None, 0));
    assert_eq!(last.components[0].score, None);
    let new: Vec<_> = file.new_entities.iter().map(|new| (new.id.as_str(), new.lies_in[0].as_str())).collect();
    assert_eq!(new, [("cluster:philadelphia-pa", "USA"), ("cluster:tehran", "IRN")]);
}

#[test]
fn one_name_in_two_economies_is_two_entities() {
    let text = TABLE
        .replace("\"Philadelphia, PA\",US", "Tehran,US")
        .replace("Shenzhen–Hong Kong–Guangzhou,CN/HK", "Taipei–Hsinchu,US");
    let file = read("gii-clusters", &text, EntityKind::Cluster, true);
    assert_eq!(file.findings, []);
    let named: Vec<&str> = file.entries.iter().map(|entry| entry.entity.as_str()).collect();
    assert_eq!(named, ["cluster:taipei-hsinchu", "cluster:taipei", "cluster:tehran", "cluster:tehran-usa"]);
    let refused = read("gii-clusters", &text, EntityKind::Cluster, false);
    assert_eq!(refused.findings[0].suggestions, ["cluster:taipei"]);
    assert!(refused.findings[0].message.contains("other economies"), "{:?}", refused.findings[0]);
}

#[test]
fn an_unknown_name_is_an_error_with_line_and_similar_names() {
    let text = TABLE.replace("Taipei–Hsinchu", "Taipei-Hsinchuu").replace("TW*", "TX");
    let file = read("gii-clusters", &text, EntityKind::Cluster, false);
    let codes: Vec<_> =
        file.findings.iter().map(|finding| (finding.code.as_str(), finding.location.as_str())).collect();
    assert_eq!(
        codes,
        [
            ("UNKNOWN_ECONOMY", "t.csv:3, column Economy"),
            ("UNKNOWN_ENTITY", "t.csv:3, column Cluster name"),
            ("UNKNOWN_ENTITY", "t.csv:4, column Cluster name"),
            ("UNKNOWN_ENTITY", "t.csv:5, column Cluster name"),
        ]
    );
    assert_eq!(file.findings[1].suggestions, ["cluster:taipei"]);
    assert!(file.entries.is_empty());
}

#[test]
fn the_profile_of_almanac_has_all_columns() {
    let table = "# GII 2025, CC BY 4.0\nrank,tied,name,economies,score,disputed,note,raw:pct,score:pct,year:pct,rank:pct\n\
        ,,Shenzhen–Hong Kong,CHN/HKG,,18 by businessupturn.com; 13 by x,rank not printed\n\
        3,yes,Taipei–Hsinchu,TW,61,,,1.50,0.10,2023,2\n";
    let file = read("almanac-edition", table, EntityKind::Cluster, false);
    assert_eq!(file.findings, []);
    let first = &file.entries[0];
    let second = &file.entries[1];
    assert_eq!(
        (first.rank, first.tied, first.note.as_str(), first.components.len()),
        (None, false, "rank not printed", 0)
    );
    let claims: Vec<_> = first.disputed.iter().map(|claim| (claim.rank, claim.claimed_by.as_str())).collect();
    assert_eq!(claims, [(18, "businessupturn.com"), (13, "x")]);
    assert_eq!((second.rank, second.tied, text(second.score.as_ref())), (Some(3), true, "61".into()));
    let pct = &second.components[0];
    assert_eq!((text(pct.raw.as_ref()), text(pct.score.as_ref())), ("1.50".into(), "0.10".into()));
    assert_eq!((pct.data_year.as_str(), pct.rank), ("2023", Some(2)));
}

#[test]
fn an_economy_is_never_made_from_a_name() {
    let file = read("almanac-edition", "rank,name,score\n1,Chinna,60\n", EntityKind::Economy, true);
    assert_eq!((file.errors, file.findings[0].code.as_str()), (1, "UNKNOWN_ENTITY"));
    assert_eq!(file.findings[0].suggestions, ["CHN"]);
    let by_id = read("almanac-edition", "rank,entity,name\n=1,XKX,Kosovo\n=1,CHN,\n", EntityKind::Economy, true);
    assert_eq!((by_id.errors, by_id.new_entities[0].id.as_str()), (0, "XKX"));
    assert!(by_id.entries.iter().all(|entry| entry.tied && entry.rank == Some(1)));
}

/// A row, the code of its finding, and the column that the finding names.
const WRONG_ROWS: &[(&str, &str, &str)] = &[
    ("first,Taipei–Hsinchu,1,,", "BAD_RANK", "rank"),
    ("0,Taipei–Hsinchu,1,,", "BAD_RANK", "rank"),
    ("1,Taipei–Hsinchu,high,,", "BAD_NUMBER", "score"),
    ("1,Taipei–Hsinchu,1,18,", "BAD_CLAIM", "disputed"),
];

/// A table and the code of its first finding.
const WRONG_TABLES: &[(&str, &str)] =
    &[("a,b\n1,2\n", "NO_HEADER"), ("rank,name\n", "NO_ROWS"), ("rank,name\n1,\n", "NO_KEY")];

#[test]
fn a_wrong_row_is_an_error_with_line_and_column() {
    for (row, code, column) in WRONG_ROWS {
        let table = format!("rank,name,score,disputed,note\n\n{row}\n");
        let file = read("almanac-edition", &table, EntityKind::Cluster, false);
        assert_eq!(file.findings.len(), 1, "{row}");
        assert_eq!(file.findings[0].code, *code, "{row}");
        assert_eq!(file.findings[0].location, format!("t.csv:3, column {column}"), "{row}");
    }
}

#[test]
fn a_table_without_header_rows_or_names_is_refused() {
    for (table, code) in WRONG_TABLES {
        assert_eq!(read("almanac-edition", table, EntityKind::Cluster, false).findings[0].code, *code, "{table}");
    }
}
