//! Parts of published files, right and wrong.

use super::{super::names::CatalogItem, *};
use crate::model::{
    catalog::EntityKind,
    value::{MissingReason, Qualifier, Status},
};

fn directory() -> Directory {
    let mut directory = Directory::default();
    directory.entities.add(
        CatalogItem { id: "CHN".into(), kind: Some(EntityKind::Economy), lies_in: Vec::new() },
        [("world-bank", "CHN"), ("iso3166-1-alpha2", "CN")],
        ["China"],
    );
    directory.entities.add(
        CatalogItem { id: "ROU".into(), kind: Some(EntityKind::Economy), lies_in: Vec::new() },
        [("world-bank", "ROU"), ("world-bank-2013", "ROM")],
        ["Romania"],
    );
    for id in ["GB.XPD.RSDV.GD.ZS", "patents"] {
        let indicator = CatalogItem { id: id.into(), kind: None, lies_in: Vec::new() };
        directory.indicators.add(indicator, [], [id]);
    }
    directory
}

fn read(profile: &str, name: &str, text: impl AsRef<[u8]>, define_missing: bool) -> FigureFile {
    let profile = Profile::load(profile).unwrap();
    let shape = profile.figures().unwrap();
    let source = SourceId::new("s").unwrap();
    let directory = directory();
    let reader =
        FigureReader { profile: &profile, shape, directory: &directory, source: Some(&source), define_missing };
    reader.read(name, text.as_ref())
}

/// `entity period text` of every figure, in order.
fn figures(file: &FigureFile) -> Vec<String> {
    let mut lines = Vec::new();
    for series in &file.series {
        for point in &series.points {
            lines.push(format!("{} {} {}", series.key.entity, point.period, print(&point.value)));
        }
    }
    lines
}

fn codes(file: &FigureFile) -> Vec<(&str, &str)> {
    file.findings.iter().map(|finding| (finding.code.as_str(), finding.location.as_str())).collect()
}

const WIDE: &str = "\u{FEFF}\"Data Source\",\"World Development Indicators\",\n\n\"Last Updated Date\",\"2026-07-13\",\n\n\
    \"Country Name\",\"Country Code\",\"Indicator Name\",\"Indicator Code\",\"1960\",\"2015\",\"2016 [YR2016]\",\n\
    \"China\",\"CHN\",\"Research and\ndevelopment (% of GDP)\",\"GB.XPD.RSDV.GD.ZS\",\"\",\"2.0\",\"2.05701\",\n\
    \"Romania\",\"ROM\",\"Research and\ndevelopment (% of GDP)\",\"GB.XPD.RSDV.GD.ZS\",\"0.594539921118996\",\"..\",\"\",\n";

#[test]
fn a_download_of_the_world_bank_is_read() {
    let file = read("wdi-wide", "API.csv", WIDE, false);
    assert_eq!(codes(&file), []);
    assert_eq!(figures(&file), ["CHN 2015 2.0", "CHN 2016 2.05701", "ROU 1960 0.594539921118996"]);
    assert_eq!(file.released.as_deref(), Some("2026-07-13"));
    assert_eq!((file.series[0].points[0].line, file.series[1].points[0].line), (6, 8));
}

#[test]
fn carriage_returns_and_footers_change_nothing() {
    let with_footer =
        format!("{WIDE}\n\"Data from database: World Development Indicators\"\n\"Last Updated: 07/13/2026\"\n");
    let unix = read("wdi-wide", "a.csv", WIDE, false);
    for text in [with_footer.clone(), with_footer.replace('\n', "\r\n")] {
        let file = read("wdi-wide", "a.csv", &text, false);
        assert_eq!((codes(&file), figures(&file)), (vec![], figures(&unix)));
        assert_eq!(file.series[1].points[0].line, 8);
    }
}

#[test]
fn a_long_file_is_named_after_its_indicator() {
    let text =
        "Country Name,Country Code,Year,Value\nChina,CHN,2016,2.1\nRomania,ROU,2015,0.49\nChina,CHN,2015,2.05701\n";
    for name in
        ["v/gb.xpd.rsdv.gd.zs.csv.gz", "a.tar.xz:indicators/gb.xpd.rsdv.gd.zs/data.csv", "GB.XPD.RSDV.GD.ZS.csv"]
    {
        let file = read("wdi-long", name, text, false);
        assert_eq!(figures(&file), ["CHN 2015 2.05701", "CHN 2016 2.1", "ROU 2015 0.49"], "{name}");
        assert_eq!(file.series[0].key.indicator.as_str(), "GB.XPD.RSDV.GD.ZS");
    }
    let unknown = read("wdi-long", "gb.xpd.rsdv.csv", text, false);
    assert_eq!(unknown.findings[0].code, "UNKNOWN_INDICATOR");
    assert_eq!(unknown.findings[0].suggestions, ["GB.XPD.RSDV.GD.ZS"]);
}

#[test]
fn an_unknown_name_is_refused_once_or_defined() {
    let text = "Country Name,Country Code,Year,Value\nChina,CNH,2015,1\nChina,CNH,2016,2\nWorld,WLD,2016,3\nArab World,ARB,2016,4\n";
    let refused = read("wdi-long", "GB.XPD.RSDV.GD.ZS.csv", text, false);
    assert_eq!(codes(&refused)[0], ("UNKNOWN_ENTITY", "GB.XPD.RSDV.GD.ZS.csv:2, column Country Code"));
    assert_eq!((refused.errors, refused.points()), (3, 0));
    assert_eq!(refused.findings[0].suggestions, ["CHN"], "the name beside the code says which");
    let defined = read("wdi-long", "NEW.csv", text, true);
    assert_eq!((defined.errors, defined.points()), (0, 4));
    let kinds: Vec<_> = defined.new_entities.iter().map(|new| (new.id.as_str(), new.kind)).collect();
    assert_eq!(kinds, [("ARB", EntityKind::RegionGroup), ("CNH", EntityKind::Economy), ("WLD", EntityKind::World)]);
    assert_eq!(defined.new_indicators[0].id.as_str(), "NEW");
}

#[test]
fn a_repeated_figure_is_a_warning_and_a_contradiction_is_an_error() {
    let head = "Country Name,Country Code,Year,Value\n";
    let twice = read("wdi-long", "patents.csv", format!("{head}China,CHN,2015,1.0\nChina,CHN,2015,1.0\n"), true);
    assert_eq!((twice.errors, twice.findings[0].code.as_str(), twice.points()), (0, "DUPLICATE_ROW", 1));
    let contradiction = format!("{head}China,CHN,2016,5\nChina,CHN,2015,1.0\nChina,CHN,2015,1\n");
    let file = read("wdi-long", "patents.csv", contradiction, true);
    assert_eq!(codes(&file), [("DUPLICATE_KEY", "patents.csv:4")]);
    let message = &file.findings[0].message;
    assert!(message.contains("is 1 here and 1.0 on line 3"), "{message}");
    assert_eq!(file.points(), 0);
}

#[test]
fn what_is_no_period_number_or_name_is_an_error_with_line_and_column() {
    let text = "Country Name,Country Code,Year,Value\nChina,CHN,Change,−1\nChina,CHN,2015,NA\nChina,,2015,1\n";
    let file = read("wdi-long", "GB.XPD.RSDV.GD.ZS.csv", text, false);
    assert_eq!(
        codes(&file),
        [
            ("BAD_PERIOD", "GB.XPD.RSDV.GD.ZS.csv:2, column Year"),
            ("BAD_NUMBER", "GB.XPD.RSDV.GD.ZS.csv:3, column Value"),
            ("NO_KEY", "GB.XPD.RSDV.GD.ZS.csv:4, column Country Code"),
        ]
    );
}

#[test]
fn a_file_without_the_header_of_the_profile_is_foreign() {
    let file = read("wdi-wide", "ind_list.csv", "Indicator_Name,Indicator_Code\nPatents,IP.PAT\n", true);
    assert!(file.foreign);
    assert_eq!(codes(&file), [("NO_HEADER", "ind_list.csv")]);
}

#[test]
fn semicolons_decimal_commas_and_latin_1_are_read() {
    let text = b"indicator;entity;period;value;comment\npatents;CHN;2020;28,70;\xE9tude\npatents;CHN;2019;\"1.234\";\n";
    let file = read("almanac-observations", "a.csv", text, false);
    assert_eq!(codes(&file), [("NOT_UTF8", "a.csv")]);
    assert_eq!(figures(&file), ["CHN 2019 1.234", "CHN 2020 28.70"]);
    assert_eq!(file.series[0].points[1].value.notes().unwrap().comment, "étude");
}

#[test]
fn figures_with_notes_are_read() {
    let text = "# from five articles, \"as printed\n\
        indicator,entity,period,value,multiplier,qualifier,upper,status,missing,source,dim:SEX\n\
        patents,CHN,2024,3.6,trillion,at-least,,,,press,\n\
        patents,CHN,2025-06,5.01,6,,,P,,press,\n\
        patents,CHN,2023,1.0,,range,2.0,,,,F\n\
        patents,CHN,2022,,,,,,Q,press,\n";
    let file = read("almanac-observations", "seed.csv", text, false);
    assert_eq!(codes(&file), []);
    let press = &file.series[0];
    assert_eq!((press.key.source.as_str(), press.points.len()), ("press", 3));
    assert_eq!(press.points[0].value.figure, Figure::Missing(MissingReason::Suppressed));
    let notes = press.points[1].value.notes().unwrap();
    assert_eq!((notes.multiplier, &notes.qualifier), (12, &Qualifier::AtLeast));
    let notes = press.points[2].value.notes().unwrap();
    assert_eq!((notes.multiplier, notes.status), (6, Status::Provisional));
    assert_eq!(file.series[1].key.dimensions.as_str(), "SEX=F");
    assert_eq!(file.series[1].key.source.as_str(), "s");
}

/// A row, and the place and the code of its finding.
const WRONG_NOTES: &[(&str, &str, &str)] = &[
    ("patents,CHN,2024,,,,,,", "NO_REASON", "a.csv:2, column missing"),
    ("patents,CHN,2024,1,,,,,L", "VALUE_AND_REASON", "a.csv:2, column missing"),
    ("patents,CHN,2024,1,many,,,,", "BAD_MULTIPLIER", "a.csv:2, column multiplier"),
    ("patents,CHN,2024,1,,nearly,,,", "BAD_QUALIFIER", "a.csv:2, column qualifier"),
    ("patents,CHN,2024,1,,range,,,", "BAD_QUALIFIER", "a.csv:2, column qualifier"),
    ("patents,CHN,2024,1,,at-least,2,,", "BAD_QUALIFIER", "a.csv:2, column qualifier"),
    ("patents,CHN,2024,2,,range,1,,", "BAD_RANGE", "a.csv:2, column upper"),
    ("patents,CHN,2024,2,,range,3.5,,", "BAD_RANGE", "a.csv:2, column upper"),
    ("patents,CHN,2024,2,,,,X,", "BAD_STATUS", "a.csv:2, column status"),
    ("patents,CHN,2024,2,,,,,,more", "EXTRA_CELL", "a.csv:2"),
];

#[test]
fn a_wrong_note_is_an_error_with_line_and_column() {
    let head = "indicator,entity,period,value,multiplier,qualifier,upper,status,missing\n";
    for (row, code, location) in WRONG_NOTES {
        let file = read("almanac-observations", "a.csv", format!("{head}{row}\n"), false);
        assert_eq!(codes(&file), [(*code, *location)], "{row}");
    }
}

#[test]
fn a_column_without_a_meaning_is_a_warning() {
    let text = "indicator,entity,period,value,qualifer\npatents,CHN,2024,1,\n";
    let file = read("almanac-observations", "a.csv", text, false);
    assert_eq!(codes(&file), [("IGNORED_COLUMN", "a.csv")]);
    assert!(file.findings[0].message.contains("qualifer"));
}

#[test]
fn a_profile_of_a_user_has_names_footnotes_and_dimensions() {
    let text = "name = \"mine\"\nabout = \"\"\n[read]\nmissing = [\"NA\"]\n[figures]\nlayout = \"long\"\n\
        indicator_from_file = \"as-is\"\nentity = \"Economies\"\nentity_names_of = \"economy\"\nfootnote_marks = \"*\"\n\
        period = \"Year\"\nvalue = \"Score\"\nskip_periods = [\"Change\"]\ndimensions = { UNIT = \"unit\" }\n";
    let profile = Profile::parse("mine.toml", text).unwrap();
    let directory = directory();
    let source = SourceId::new("s").unwrap();
    let reader = FigureReader {
        profile: &profile,
        shape: profile.figures().unwrap(),
        directory: &directory,
        source: Some(&source),
        define_missing: false,
    };
    let table =
        "Economies;Year;unit;Score\nRomania*;2011;PC;28,70\nCHINA;2011;PC;NA\nromania;Change;PC;−1\nRomania;2012;;1\n";
    let file = reader.read("patents.csv", table.as_bytes());
    assert_eq!(codes(&file), []);
    assert_eq!(figures(&file), ["ROU 2011 28.70", "ROU 2012 1"]);
    assert_eq!(file.series[0].key.dimensions.as_str(), "UNIT=PC");
    let unknown =
        reader.read("patents.csv", "Economies;Year;unit;Score\nROU;2011;PC;1\nRumania;2011;PC;1\n".as_bytes());
    assert_eq!(codes(&unknown), [("UNKNOWN_ENTITY", "patents.csv:3, column Economies")]);
    assert_eq!(unknown.findings[0].suggestions, ["ROU"]);
    let without = reader.read("patents.csv", b"Economies;Year;Score\nROU;2011;1\n");
    assert_eq!(codes(&without), [("NO_DIMENSION", "patents.csv")]);
}

#[test]
fn the_order_of_rows_does_not_matter() {
    let rows = "China,CHN,2015,1.0\nChina,CHN,2016,2.0\nRomania,ROU,2015,3.0\n";
    let reversed = "Romania,ROU,2015,3.0\nChina,CHN,2016,2.0\nChina,CHN,2015,1.0\n";
    assert_eq!(sorted_figures(rows), sorted_figures(reversed));
}

fn sorted_figures(rows: &str) -> Vec<String> {
    let text = format!("Country Name,Country Code,Year,Value\n{rows}");
    let mut figures = figures(&read("wdi-long", "patents.csv", text, true));
    figures.sort();
    figures
}

proptest::proptest! {
    /// No bytes make a reader panic.
    #[test]
    fn any_bytes_are_refused_or_read(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200), row in "[-0-9A-Z,;\"\r\n.]{0,80}") {
        let _ = read("wdi-wide", "a.csv", &bytes, true);
        let _ = read("wdi-wide", "a.csv", format!("{WIDE}{row}"), true);
        let _ = read("wdi-long", "a.csv", format!("Country Name,Country Code,Year,Value\n{row}"), true);
        let _ = read("almanac-observations", "a.csv", format!("indicator,entity,period,value\n{row}"), true);
    }
}
