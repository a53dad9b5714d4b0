//! The commands that write files, as a user runs them: `define`, `import`, `publish`.

use std::{fs, io::Write, path::Path, process::Command};

use almanac::proto::*;

use crate::support::{TestServer, at_released, text};

/// The outputs of a command, and its exit code.
struct CommandOutput {
    code: Option<i32>,
    out: String,
    err: String,
}

fn utf8(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

fn almanac(server: &TestServer, args: &[&str]) -> CommandOutput {
    let url = format!("http://{}", server.address());
    let output = Command::new(env!("CARGO_BIN_EXE_almanac"))
        .args(args)
        .env("ALMANAC_SERVER", url)
        .env_remove("ALMANAC_TOKEN")
        .current_dir(server.folder())
        .output()
        .unwrap();
    CommandOutput { code: output.status.code(), out: utf8(output.stdout), err: utf8(output.stderr) }
}

fn done(output: CommandOutput) -> String {
    assert_eq!(output.code, Some(0), "{}{}", output.out, output.err);
    output.out
}

fn refused(output: CommandOutput) -> String {
    assert_eq!(output.code, Some(1), "{}{}", output.out, output.err);
    output.err
}

fn write(server: &TestServer, name: &str, content: impl AsRef<[u8]>) {
    let path = server.folder().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn gzip(content: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

const LONG: &str = "Country Name,Country Code,Year,Value\r\n";
const WIDE: &str = "\u{FEFF}\"Data Source\",\"World Development Indicators\",\n\n\"Last Updated Date\",\"2026-07-13\",\n\n\
    \"Country Name\",\"Country Code\",\"Indicator Name\",\"Indicator Code\",\"2014\",\"2015\",\n\
    \"China\",\"CHN\",\"Research and development (% of GDP)\",\"GB.XPD\",\"\",\"2.0\",\n\
    \"World\",\"WLD\",\"Research and development (% of GDP)\",\"GB.XPD\",\"1.79\",\"..\",\n";

async fn figures(server: &TestServer, indicator: &str, as_of: Option<AsOf>) -> Vec<String> {
    let selection = SeriesSelection { indicators: vec![indicator.into()], ..Default::default() };
    let found = server.clients.observations(selection, as_of).await;
    let row = |one: Observation| format!("{} {} {}", one.entity, one.period, text(&one.value.unwrap()));
    let mut rows: Vec<String> = found.into_iter().map(row).collect();
    rows.sort();
    rows
}

#[tokio::test]
async fn a_download_is_imported_as_it_is_and_again_without_a_change() {
    let server = TestServer::empty().await;
    write(&server, "API.csv", WIDE);
    let import = ["import", "API.csv", "--profile", "wdi-wide"];
    let unknown = refused(almanac(&server, &import));
    assert!(unknown.contains("UNKNOWN_ENTITY API.csv:6, column Country Code"), "{unknown}");
    assert!(unknown.contains("--define-missing"), "{unknown}");
    assert_eq!(server.clients.head().await, 0, "nothing was written");

    let defining = [&import[..], &["--define-missing"]].concat();
    let dry = done(almanac(&server, &[&defining[..], &["--dry-run"]].concat()));
    assert!(dry.contains("would be 2 added") && dry.contains("nothing was written"), "{dry}");
    assert_eq!(server.clients.head().await, 0);

    assert!(done(almanac(&server, &defining)).contains("1 file: 2 added, 0 revised, 0 unchanged"));
    assert_eq!(figures(&server, "GB.XPD", None).await, ["CHN 2015 2.0", "WLD 2014 1.79"]);
    assert_eq!(figures(&server, "GB.XPD", at_released("2026-07-12")).await, [""; 0], "released as the file states");
    let reordered: Vec<&str> =
        WIDE.lines().take(5).chain(WIDE.lines().skip(5).collect::<Vec<_>>().into_iter().rev()).collect();
    write(&server, "API.csv", reordered.join("\r\n"));
    assert!(done(almanac(&server, &import)).contains("0 added, 0 revised, 2 unchanged"));
    server.end().await;
}

#[tokio::test]
async fn folders_and_archives_of_vintages_in_any_order() {
    let server = TestServer::empty().await;
    write(&server, "new/gb.xpd.csv.gz", gzip(&format!("{LONG}China,CHN,2015,2.05701\r\n")));
    write(&server, "new/ip.pat/data.csv", format!("{LONG}China,CHN,2020,1344817.0\r\n"));
    write(&server, "new/README.csv", "Detail,This,Is\n");
    let args = ["--profile", "wdi-long", "--define-missing", "--mode", "replace", "--released"];
    let output = almanac(&server, &[&["import", "new"], &args[..], &["2025-12-17"]].concat());
    assert!(output.err.contains("left out") && output.err.contains("README.csv"), "{}", output.err);
    assert!(done(output).contains("2 files: 2 added"));

    let mut archive = tar::Builder::new(Vec::new());
    let old = format!("{LONG}China,CHN,2014,1.9\r\nChina,CHN,2015,2.06558\r\n");
    let mut header = tar::Header::new_gnu();
    header.set_size(old.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, "indicators/gb.xpd/data.csv", old.as_bytes()).unwrap();
    write(&server, "old.tar", archive.into_inner().unwrap());
    done(almanac(&server, &[&["import", "old.tar"], &args[..], &["2018-08-01"]].concat()));
    assert_eq!(figures(&server, "GB.XPD", None).await, ["CHN 2015 2.05701"], "the newer vintage lacks 2014");
    assert_eq!(figures(&server, "GB.XPD", at_released("2020-01-01")).await, ["CHN 2014 1.9", "CHN 2015 2.06558"]);
    assert_eq!(figures(&server, "IP.PAT", None).await, ["CHN 2020 1344817.0"]);
    server.end().await;
}

#[tokio::test]
async fn one_commit_is_all_files_or_none() {
    let server = TestServer::empty().await;
    // Enough files that the upload has begun when the last one turns out bad.
    for number in 0..200 {
        write(&server, &format!("many/x{number:03}.csv"), format!("{LONG}China,CHN,2015,{number}\r\n"));
    }
    write(&server, "many/z.csv", format!("{LONG}China,CHN,2015,n/a\r\n"));
    let import = ["import", "many", "--profile", "wdi-long", "--define-missing", "--one-commit"];
    let err = refused(almanac(&server, &import));
    assert!(err.contains("BAD_NUMBER") && err.contains("z.csv:2, column Value"), "{err}");
    assert_eq!(server.clients.status().await.versions, 0, "no figure was written");

    fs::remove_file(server.folder().join("many/z.csv")).unwrap();

    write(&server, "many/z.csv.gz", &gzip(&format!("{LONG}China,CHN,2015,1\r\n"))[..20]);
    let err = refused(almanac(&server, &import));
    assert!(err.contains("z.csv.gz"), "{err}");
    assert_eq!(server.clients.status().await.versions, 0, "nor of files before one that cannot be read");

    fs::remove_file(server.folder().join("many/z.csv.gz")).unwrap();
    let before = server.clients.head().await;
    assert!(done(almanac(&server, &import)).contains("200 files: 200 added"));
    let commits = server.clients.commits(before, Vec::new()).await;
    let with_figures = commits.iter().filter(|commit| commit.commit.counts.unwrap_or_default().added == 200).count();
    assert_eq!(with_figures, 1);
    server.end().await;
}

#[tokio::test]
async fn commits_are_in_the_order_of_the_files() {
    let server = TestServer::empty().await;
    for number in 0..40 {
        write(&server, &format!("many/x{number:03}.csv"), format!("{LONG}China,CHN,2015,{number}\r\n"));
    }
    let output = done(almanac(&server, &["import", "many", "--profile", "wdi-long", "--define-missing"]));
    let revisions = output.lines().filter(|line| line.starts_with("many")).map(|line| line.split('\t').nth(1).unwrap());
    let revisions: Vec<u64> = revisions.map(|number| number.parse().unwrap()).collect();
    assert_eq!(revisions.len(), 40);
    assert!(revisions.is_sorted_by(|a, b| a < b), "{revisions:?}");
    server.end().await;
}

#[tokio::test]
async fn a_refused_file_in_the_middle_leaves_the_others_and_findings_are_in_the_order_of_the_files() {
    let server = TestServer::empty().await;
    // The first files are the longest, and so the last ones to be parsed.
    for number in 0..60 {
        let mut table = LONG.to_owned();
        for year in 1900..1900 + 100 - number {
            let value = if number % 20 == 10 { "n/a".to_owned() } else { number.to_string() };
            table += &format!("China,CHN,{year},{value}\r\n");
        }
        write(&server, &format!("many/x{number:03}.csv"), table);
    }
    let output = almanac(&server, &["import", "many", "--profile", "wdi-long", "--define-missing"]);
    assert_eq!(output.code, Some(1), "{}", output.err);
    let at = |name: &str| output.err.find(name).unwrap_or_else(|| panic!("{name}: {}", output.err));
    assert!(at("many/x010.csv:2,") < at("many/x030.csv:2,") && at("many/x030.csv:2,") < at("many/x050.csv:2,"));
    assert!(output.err.contains("3 files refused"), "{}", output.err);
    assert!(output.out.contains("57 files"), "{}", output.out);
    assert_eq!(figures(&server, "X009", None).await.len(), 91);
    assert_eq!(figures(&server, "X011", None).await.len(), 89);
    assert_eq!(server.clients.status().await.versions, 4_230 - 90 - 70 - 50);
    server.end().await;
}

#[tokio::test]
async fn an_archive_that_breaks_off_leaves_the_commits_of_the_files_before() {
    let server = TestServer::empty().await;
    let mut archive = tar::Builder::new(Vec::new());
    for number in 0..20 {
        let table = format!("{LONG}China,CHN,2015,{number}\r\n");
        let mut header = tar::Header::new_gnu();
        header.set_size(table.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, format!("x{number:03}.csv"), table.as_bytes()).unwrap();
    }
    let archive = archive.into_inner().unwrap();
    // A file takes two blocks of 512 bytes. The last one is cut in its last number, so that it looks whole.
    let last = format!("{LONG}China,CHN,2015,1").len();
    write(&server, "old.tar", &archive[..19 * 1_024 + 512 + last]);
    let import = ["import", "old.tar", "--profile", "wdi-long", "--define-missing"];
    let err = refused(almanac(&server, &[&import[..], &["--one-commit"]].concat()));
    assert!(err.contains("old.tar"), "{err}");
    assert_eq!(server.clients.status().await.versions, 0, "nothing of one commit");
    let err = refused(almanac(&server, &import));
    assert!(err.contains("19 files were written before the failure") && err.contains("old.tar"), "{err}");
    assert_eq!(server.clients.status().await.versions, 19);
    assert_eq!(figures(&server, "X018", None).await, ["CHN 2015 18"]);
    server.end().await;
}

const CATALOG: &str = r#"{"definitions":[
    {"source":{"id":"wipo","producer":"WIPO"}},
    {"entity":{"id":"JPN","kind":"ENTITY_KIND_ECONOMY","name":"Japan","codes":[{"scheme":"iso3166-1-alpha2","value":"JP"}]}},
    {"entity":{"id":"TWN","kind":"ENTITY_KIND_ECONOMY","name":"Taiwan","codes":[{"scheme":"iso3166-1-alpha2","value":"TW"}]}},
    {"entity":{"id":"cluster:tokyo","kind":"ENTITY_KIND_CLUSTER","name":"Tokyo–Yokohama"}},
    {"methodology":{"id":"two"}},
    {"methodology":{"id":"three"}},
    {"ranking":{"id":"clusters","name":"Clusters","subject":"ENTITY_KIND_CLUSTER","source":"wipo"}}]}"#;
const TABLE: &str = "Rank,Cluster name,Economy,PCT applications,Total,Previous rank,Rank change\r\n\
    1,Tokyo–Yokohama,JP,\"127,418\",11.7,1,0\r\n2,Taipei–Hsinchu,TW*,\"3,907\",1.0,26,−1\r\n3,Nagoya,JP\r\n";

#[tokio::test]
async fn a_printed_table_becomes_an_edition() {
    let server = TestServer::empty().await;
    write(&server, "catalog.json", CATALOG);
    write(&server, "t.csv", TABLE);
    assert!(done(almanac(&server, &["define", "catalog.json"])).contains("7 defined"));
    assert!(done(almanac(&server, &["define", "catalog.json"])).contains("7 definitions unchanged"));

    let publish = |edition: &'static str, more: &[&'static str]| {
        let args = ["publish", "clusters", edition, "t.csv", "--profile", "gii-clusters", "--released", "2023-09-27"];
        almanac(&server, &[&args[..], more].concat())
    };
    let unknown = refused(publish("2023", &[]));
    assert!(unknown.contains("t.csv:3, column Cluster name: `Taipei–Hsinchu`"), "{unknown}");
    assert!(unknown.contains("--add-entities"), "{unknown}");
    let output = done(publish("2023", &["--add-entities", "--methodology", "two"]));
    assert!(output.contains("3 added") && output.contains("no edition before it"), "{output}");
    let head = server.clients.head().await;
    let again = done(publish("2023", &["--add-entities", "--methodology", "two"]));
    assert!(again.contains("NOTHING WAS WRITTEN"), "{again}");
    assert_eq!(server.clients.head().await, head, "a retry writes nothing");
    assert!(refused(publish("2023", &[])).contains("--correct"));

    let entries = server.clients.entries("clusters", "2023", None).await.unwrap();
    let first = &entries[0];
    assert_eq!((first.entity.as_str(), text(first.score.as_ref().unwrap())), ("cluster:tokyo", "11.7".into()));
    assert_eq!(text(first.components[0].raw.as_ref().unwrap()), "127418");
    assert_eq!((entries[1].previous[0].rank, entries[1].previous[0].edition.as_str()), (26, "2022"));
    assert_eq!((entries[2].entity.as_str(), &entries[2].score), ("cluster:nagoya", &None));

    write(&server, "t.csv", TABLE.replace("\r\n2,", "\r\n3,").replace("\r\n3,Nagoya", "\r\n2,Nagoya"));
    let dry = done(publish("2024", &["--methodology", "three", "--dry-run"]));
    assert!(dry.contains("1 up, 1 down, 1 unchanged") && dry.contains("do not mean the same"), "{dry}");
    assert_eq!(server.clients.head().await, head);
    let output = done(publish("2024", &["--methodology", "three"]));
    assert!(
        output.contains("1 up, 1 down, 1 unchanged") && output.contains("two") && output.contains("three"),
        "{output}"
    );
    server.end().await;
}

/// Entities of an edition in rank order.
async fn ranked(server: &TestServer, edition: &str) -> Vec<String> {
    let entries = server.clients.entries("clusters", edition, None).await.unwrap();
    entries.into_iter().map(|entry| entry.published_name).collect()
}

fn names_table(names: [&str; 2]) -> String {
    format!(
        "Rank,Cluster name,Economy,PCT applications,Total\r\n1,{},JP,10,2.0\r\n2,{},JP,5,1.0\r\n",
        names[0], names[1]
    )
}

fn wrote_nothing(output: &str) -> bool {
    output.contains("NOTHING WAS WRITTEN")
}

#[tokio::test]
// Long because each step depends on the commands before it.
async fn a_repeated_command_writes_again_after_other_writes_and_a_retry_reports_that_it_wrote_nothing() {
    let server = TestServer::empty().await;
    write(&server, "catalog.json", CATALOG);
    let a = ["Kyoto", "Nagoya"];
    let b = ["Nagoya", "Kyoto"];
    write(&server, "a.csv", names_table(a));
    write(&server, "b.csv", names_table(b));
    done(almanac(&server, &["define", "catalog.json"]));
    let publish = |file: &'static str, more: &[&'static str]| {
        let args = ["publish", "clusters", "2023", file, "--profile", "gii-clusters", "--released", "2023-09-27"];
        done(almanac(&server, &[&args[..], &["--add-entities"], more].concat()))
    };
    assert!(!wrote_nothing(&publish("a.csv", &[])));
    assert!(wrote_nothing(&publish("a.csv", &[])), "a retry");
    server.clients.withdraw(WriteOptions::default(), "clusters", "2023").await.unwrap();
    let again = publish("a.csv", &[]);
    assert!(!wrote_nothing(&again), "after a withdrawal it is no retry: {again}");
    assert_eq!(ranked(&server, "2023").await, a, "it is published again");
    let head = server.clients.head().await;
    assert!(wrote_nothing(&publish("a.csv", &[])), "a retry of the second one");
    assert_eq!(server.clients.head().await, head);

    for (file, expected) in [("b.csv", b), ("a.csv", a), ("b.csv", b), ("a.csv", a)] {
        let output = publish(file, &["--correct"]);
        assert!(!wrote_nothing(&output), "corrected to {file}: {output}");
        assert_eq!(ranked(&server, "2023").await, expected);
        let head = server.clients.head().await;
        assert!(wrote_nothing(&publish(file, &["--correct"])), "a retry of the correction to {file}");
        assert_eq!(
            (server.clients.head().await, ranked(&server, "2023").await),
            (head, expected.map(str::to_owned).into())
        );
    }

    // A revert is a write too, whether it removes the edition or brings back the version before.
    let revert = async || {
        let revisions = vec![server.clients.head().await];
        server.clients.admin.clone().revert_commit(RevertCommitRequest { options: None, revisions }).await.unwrap()
    };
    revert().await;
    assert_eq!(ranked(&server, "2023").await, b);
    let output = publish("a.csv", &["--correct"]);
    assert!(!wrote_nothing(&output), "corrected again after a revert: {output}");
    assert_eq!(ranked(&server, "2023").await, a);
    server.clients.withdraw(WriteOptions::default(), "clusters", "2023").await.unwrap();
    for round in 0..3 {
        let output = publish("b.csv", &[]);
        assert!(!wrote_nothing(&output), "published again after a revert, {round}: {output}");
        assert!(wrote_nothing(&publish("b.csv", &[])), "a retry, {round}");
        assert_eq!(ranked(&server, "2023").await, b);
        revert().await;
    }

    // The same with a request id of the user; the file uses entities that the command defined itself.
    let args = ["publish", "clusters", "2024", "a.csv", "--profile", "gii-clusters", "--released", "2024-09-27"];
    write(&server, "a.csv", names_table(["Osaka", "Nagoya"]));
    let publish_again = || done(almanac(&server, &[&args[..], &["--add-entities", "--request-id", "mine"]].concat()));
    assert!(!wrote_nothing(&publish_again()));
    assert!(wrote_nothing(&publish_again()));
    server.end().await;
}

fn long_file(value: &str) -> String {
    format!("{LONG}China,CHN,2015,{value}\r\n")
}

#[tokio::test]
async fn figures_that_go_back_and_forth_are_those_imported_last() {
    let server = TestServer::empty().await;
    for number in ["2.1", "2.2", "2.1", "2.2", "2.2"] {
        write(&server, "gb.xpd.csv", long_file(number));
        let args = ["import", "gb.xpd.csv", "--profile", "wdi-long", "--define-missing", "--released", "2025-12-17"];
        done(almanac(&server, &args));
        assert_eq!(figures(&server, "GB.XPD", None).await, [format!("CHN 2015 {number}")]);
    }
    server.end().await;
}

#[tokio::test]
async fn wrong_usage_and_refusal_have_different_exit_codes() {
    let server = TestServer::empty().await;
    write(&server, "bad.json", "{\n\"definitions\":[{\"entiti\":{}}]}");
    let slip = refused(almanac(&server, &["define", "bad.json"]));
    assert!(slip.contains("entiti") && slip.contains("line 2"), "{slip}");
    assert_eq!(almanac(&server, &["import", "bad.json", "--profile", "none"]).code, Some(2));
    assert_eq!(almanac(&server, &["import", "bad.json", "--profile", "gii-clusters"]).code, Some(2));
    assert!(Path::new(&server.folder()).join("bad.json").is_file());
    refused(almanac(&server, &["import", "bad.json", "--profile", "wdi-wide"]));
    refused(almanac(&server, &["import", "nowhere", "--profile", "wdi-wide"]));
    server.end().await;
}
