//! A file with a published table → the entries of an edition.
//!
//! Invariant: an entry says what the table prints: rank, name, score and components, digit by digit. What the table does
//! not print stays unset.

use std::collections::{BTreeMap, HashSet};

use super::{
    encoding::decode,
    names::{Directory, NewEntity, NoMatch, entity_id},
    number::Style,
    profile::{ComponentShape, EditionShape, Profile},
    table::{Row, Table, find},
};
use crate::model::{
    catalog::EntityKind,
    edition::{Entry, EntryComponent, RankClaim},
    finding::{Finding, Findings},
    id::EntityId,
    value::{COMMENT_BYTES_MAX, Value},
};

/// Schemes that economies of a table may be given in, if its profile names none.
const ECONOMY_SCHEMES: [&str; 4] = ["iso3166-1-alpha2", "iso3166-1-alpha3", "wipo-st3", "world-bank"];

/// What a file is read with.
#[derive(Debug, Clone)]
pub struct EditionReader<'a> {
    /// How it maps to facts.
    pub profile: &'a Profile,
    /// Where the table is in it.
    pub shape: &'a EditionShape,
    /// What is known.
    pub directory: &'a Directory,
    /// What the ranking ranks.
    pub subject: EntityKind,
    /// The edition that a printed "previous rank" is about.
    pub previous_edition: Option<String>,
    /// Names that nothing is known by are to be defined.
    pub add_entities: bool,
}

/// A table as it was read.
#[derive(Debug, Default)]
pub struct EditionFile {
    /// Rows in the order of the file.
    pub entries: Vec<Entry>,
    /// Entities that have to be defined first.
    pub new_entities: Vec<NewEntity>,
    /// What was noticed.
    pub findings: Vec<Finding>,
    /// How many errors; with one there is nothing to write.
    pub errors: usize,
}

/// Where the columns are.
#[derive(Debug, Default)]
struct Columns {
    heads: Vec<String>,
    rank: Option<usize>,
    tied: Option<usize>,
    entity: Option<usize>,
    name: Option<usize>,
    economies: Option<usize>,
    score: Option<usize>,
    previous: Option<usize>,
    disputed: Option<usize>,
    note: Option<usize>,
    components: Vec<Component>,
}

#[derive(Debug, Default)]
struct Component {
    id: String,
    raw: Option<usize>,
    score: Option<usize>,
    rank: Option<usize>,
    year: Option<usize>,
}

impl EditionReader<'_> {
    /// Reads a file. `name` is what it is called in findings.
    pub fn read(&self, name: &str, bytes: &[u8]) -> EditionFile {
        let mut gather = Gather { reader: self, file: name, findings: Findings::default(), new: BTreeMap::new() };
        let entries = gather.read(bytes);
        let errors = gather.findings.errors();
        EditionFile {
            entries: if errors > 0 { Vec::new() } else { entries },
            new_entities: gather.new.into_values().collect(),
            findings: gather.findings.into_vec(),
            errors,
        }
    }
}

struct Gather<'a> {
    reader: &'a EditionReader<'a>,
    file: &'a str,
    findings: Findings,
    new: BTreeMap<EntityId, NewEntity>,
}

impl Gather<'_> {
    fn read(&mut self, bytes: &[u8]) -> Vec<Entry> {
        let decoded = decode(bytes);
        if let Some(encoding) = decoded.foreign {
            self.findings.warning("NOT_UTF8", self.file, format!("not UTF-8; read as {encoding}"));
        }
        let (shape, reading) = (self.reader.shape, &self.reader.profile.read);
        let keys: Vec<&str> = [&shape.entity, &shape.name].into_iter().filter_map(Option::as_deref).collect();
        let needed = format!("the column {}", keys.join(" or "));
        let is_header = |heads: &[String]| keys.iter().any(|key| find(heads, key).is_some());
        let mut table = match Table::open(&decoded.text, &reading.separators(), &needed, is_header) {
            Ok(table) => table,
            Err(error) => {
                self.findings.error("NO_HEADER", self.file, error.to_string());
                return Vec::new();
            }
        };
        let columns = self.columns(&table);
        let style = reading.style(table.separator());
        let mut entries = Vec::new();
        while let Some(row) = table.next_row() {
            if reading.footers.iter().any(|footer| row.text(0).starts_with(footer.as_str())) {
                break;
            }
            if let Some(cell) = row.beyond(columns.heads.len()) {
                let message = format!("`{cell}` stands beyond the last column");
                self.findings.error("EXTRA_CELL", format!("{}:{}", self.file, row.line), message);
            }
            entries.extend(self.entry(row, &columns, &style));
        }
        if entries.is_empty() && !self.findings.refuse() {
            self.findings.error("NO_ROWS", self.file, "there is a header and no row below it");
        }
        entries
    }

    fn columns(&mut self, table: &Table<'_>) -> Columns {
        let shape = self.reader.shape;
        let mut used = HashSet::new();
        let mut column = |name: &Option<String>| -> Option<usize> {
            let found = table.column(name.as_deref()?)?;
            used.insert(found);
            Some(found)
        };
        let mut columns = Columns {
            heads: table.heads().to_vec(),
            rank: column(&shape.rank),
            tied: column(&shape.tied),
            entity: column(&shape.entity),
            name: column(&shape.name),
            economies: column(&shape.economies),
            score: column(&shape.score),
            previous: column(&shape.previous),
            disputed: column(&shape.disputed),
            note: column(&shape.note),
            components: Vec::new(),
        };
        let prefixed = if shape.component_prefixes { prefixed(table.heads()) } else { Vec::new() };
        for component in shape.components.iter().chain(&prefixed) {
            let found = Component {
                id: component.id.clone(),
                raw: column(&component.raw),
                score: column(&component.score),
                rank: column(&component.rank),
                year: column(&component.year),
            };
            if found.raw.or(found.score).or(found.rank).or(found.year).is_some() {
                columns.components.push(found);
            }
        }
        // "Rank change" repeats what rank and previous rank say.
        let derived = |head: &str| columns.previous.is_some() && head.eq_ignore_ascii_case("rank change");
        for (at, head) in table.heads().iter().enumerate() {
            if !head.is_empty() && !used.contains(&at) && !derived(head) {
                let message = format!("column `{head}` means nothing in profile {}", self.reader.profile.name);
                self.findings.warning("IGNORED_COLUMN", self.file, message);
            }
        }
        columns
    }

    fn entry(&mut self, row: Row<'_>, columns: &Columns, style: &Style) -> Option<Entry> {
        let economies = self.economies(row, columns);
        let (rank, shared) = self.rank(row, columns.rank, columns);
        let entity = self.entity(row, columns, &economies);
        let score = self.value(row, columns.score, columns, style);
        let components = columns.components.iter().filter_map(|component| {
            let found = EntryComponent {
                id: component.id.clone(),
                raw: self.value(row, component.raw, columns, style),
                score: self.value(row, component.score, columns, style),
                rank: self.rank(row, component.rank, columns).0,
                data_year: row.optional(component.year).to_owned(),
            };
            let says_nothing =
                found.raw.is_none() && found.score.is_none() && found.rank.is_none() && found.data_year.is_empty();
            (!says_nothing).then_some(found)
        });
        let components = components.collect();
        let previous = self.previous(row, columns);
        let disputed = self.disputed(row, columns);
        let note = row.optional(columns.note);
        if note.len() > COMMENT_BYTES_MAX {
            let message = format!("longer than {COMMENT_BYTES_MAX} bytes");
            self.findings.error("LONG_NOTE", self.place(row, columns.note, columns), message);
        }
        let tied = shared || matches!(row.optional(columns.tied).to_ascii_lowercase().as_str(), "yes" | "true" | "1");
        Some(Entry {
            entity: entity?,
            published_name: row.optional(columns.name).to_owned(),
            economies: economies?,
            rank,
            tied,
            score,
            components,
            previous,
            disputed,
            note: note.to_owned(),
        })
    }

    /// A rank; `=12` and `12=` say that it is shared.
    fn rank(&mut self, row: Row<'_>, column: Option<usize>, columns: &Columns) -> (Option<u32>, bool) {
        let text = row.optional(column);
        if text == "-" || self.reader.profile.read.is_missing(text) {
            return (None, false);
        }
        let digits = text.trim_start_matches('=').trim_end_matches('=');
        match digits.parse() {
            Ok(rank) if rank > 0 => (Some(rank), digits.len() < text.len()),
            _ => {
                let message = format!("`{text}` is not a rank");
                self.findings.error("BAD_RANK", self.place(row, column, columns), message);
                (None, false)
            }
        }
    }

    fn value(&mut self, row: Row<'_>, column: Option<usize>, columns: &Columns, style: &Style) -> Option<Value> {
        let text = row.optional(column);
        if self.reader.profile.read.is_missing(text) {
            return None;
        }
        match style.parse(text) {
            Ok(number) => Some(Value::number(number)),
            Err(error) => {
                self.findings.error("BAD_NUMBER", self.place(row, column, columns), error.to_string());
                None
            }
        }
    }

    /// Economies of a row: `CN/HK` are two. Nothing if one of them is not known.
    fn economies(&mut self, row: Row<'_>, columns: &Columns) -> Option<Vec<EntityId>> {
        let shape = self.reader.shape;
        let defaults = ECONOMY_SCHEMES.map(str::to_owned);
        let schemes = if shape.economy_schemes.is_empty() { &defaults[..] } else { &shape.economy_schemes };
        let entities = &self.reader.directory.entities;
        let mut found = Vec::new();
        let mut all = true;
        for part in row.optional(columns.economies).split('/') {
            let text = self.without_marks(part);
            if text.is_empty() {
                continue;
            }
            let known =
                entities.code(text, schemes).map_or_else(|| entities.find(text, &[EntityKind::Economy], &[]), Ok);
            match known.map(|known| EntityId::new(&known.id)) {
                Ok(Ok(id)) => found.push(id),
                Ok(Err(_)) => all = false,
                Err(no_match) => {
                    all = false;
                    self.no_match("UNKNOWN_ECONOMY", text, no_match, self.place(row, columns.economies, columns));
                }
            }
        }
        all.then_some(found)
    }

    fn entity(&mut self, row: Row<'_>, columns: &Columns, economies: &Option<Vec<EntityId>>) -> Option<EntityId> {
        let entities = &self.reader.directory.entities;
        let (id, name) = (row.optional(columns.entity), row.optional(columns.name));
        if !id.is_empty() {
            if let Some(known) = entities.id(id) {
                return EntityId::new(&known.id).ok();
            }
            if self.reader.add_entities {
                let new = EntityId::new(id);
                return match new {
                    Ok(new) => self.add(new, if name.is_empty() { id } else { name }, economies.as_deref()),
                    Err(error) => {
                        self.findings.error("BAD_ID", self.place(row, columns.entity, columns), error.to_string());
                        None
                    }
                };
            }
            let no_match = entities.find(id, &[self.reader.subject], &[]);
            let near = no_match.map_or_else(|no_match| no_match, |known| NoMatch::Unknown(vec![known.id.clone()]));
            self.no_match("UNKNOWN_ENTITY", id, near, self.place(row, columns.entity, columns));
            return None;
        }
        let plain = self.without_marks(name);
        if plain.is_empty() {
            self.findings.error("NO_KEY", format!("{}:{}", self.file, row.line), "the row names nothing");
            return None;
        }
        let place = self.place(row, columns.name, columns);
        match entities.find(plain, &[self.reader.subject], economies.as_deref().unwrap_or_default()) {
            Ok(known) => EntityId::new(&known.id).ok(),
            Err(NoMatch::Unknown(near) | NoMatch::Elsewhere(near)) if self.reader.add_entities => {
                match self.free_id(plain, economies.as_deref().unwrap_or_default()) {
                    Some(new) if self.reader.subject == EntityKind::Economy => {
                        let message = format!(
                            "`{plain}` is no economy that is known, and an economy is not made from a name (`{new}`); define it, or give its id in a column `entity`"
                        );
                        self.findings.unknown("UNKNOWN_ENTITY", place, message, near);
                        None
                    }
                    Some(new) => self.add(new, plain, economies.as_deref()),
                    None => {
                        let message = format!(
                            "no free id can be made of `{plain}`; define it, or give its id in a column `entity`"
                        );
                        self.findings.unknown("UNKNOWN_ENTITY", place, message, near);
                        None
                    }
                }
            }
            Err(no_match) => {
                self.no_match("UNKNOWN_ENTITY", plain, no_match, place);
                None
            }
        }
    }

    /// An id for a new entity: made of its name, or of that and its economies where another one in other economies has it.
    fn free_id(&self, name: &str, economies: &[EntityId]) -> Option<EntityId> {
        let short = entity_id(prefix(self.reader.subject), name)?;
        let there: Vec<&str> = economies.iter().map(EntityId::as_str).collect();
        let long = EntityId::new(&format!("{short}-{}", there.join("-").to_lowercase())).ok();
        let free = |id: &EntityId| {
            let same = |new: &NewEntity| new.lies_in == economies;
            self.reader.directory.entities.id(id.as_str()).is_none() && self.new.get(id).is_none_or(same)
        };
        [Some(short), long.filter(|_| !there.is_empty())].into_iter().flatten().find(free)
    }

    fn add(&mut self, id: EntityId, name: &str, economies: Option<&[EntityId]>) -> Option<EntityId> {
        let lies_in = economies.unwrap_or_default().to_vec();
        let new =
            NewEntity { id: id.clone(), kind: self.reader.subject, name: name.to_owned(), codes: Vec::new(), lies_in };
        self.new.insert(id.clone(), new);
        Some(id)
    }

    fn no_match(&mut self, code: &str, text: &str, no_match: NoMatch, place: String) {
        match no_match {
            NoMatch::Unknown(near) => {
                self.findings.unknown(code, place, format!("`{text}` is not known by that name"), near);
            }
            NoMatch::Elsewhere(ids) => {
                let message = format!("`{text}` is known in other economies only; give the id in a column `entity`");
                self.findings.unknown(code, place, message, ids);
            }
            NoMatch::Ambiguous(ids) => {
                let message = format!("`{text}` is the name of several; give the id in a column `entity`");
                self.findings.unknown("AMBIGUOUS_NAME", place, message, ids);
            }
        }
    }

    fn previous(&mut self, row: Row<'_>, columns: &Columns) -> Vec<RankClaim> {
        let (Some(rank), _) = self.rank(row, columns.previous, columns) else { return Vec::new() };
        let claim = |edition: &String| RankClaim { rank, edition: edition.clone(), claimed_by: String::new() };
        self.reader.previous_edition.iter().map(claim).collect()
    }

    /// `18 by businessupturn.com; 13 by x`.
    fn disputed(&mut self, row: Row<'_>, columns: &Columns) -> Vec<RankClaim> {
        let mut claims = Vec::new();
        for part in row.optional(columns.disputed).split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let claim = part.split_once(" by ").and_then(|(rank, by)| Some((rank.trim().parse().ok()?, by.trim())));
            match claim {
                Some((rank, by)) if rank > 0 && !by.is_empty() => {
                    claims.push(RankClaim { rank, edition: String::new(), claimed_by: by.to_owned() });
                }
                _ => {
                    let message = format!("`{part}`: write `18 by who-says-so`, several with `;` between");
                    self.findings.error("BAD_CLAIM", self.place(row, columns.disputed, columns), message);
                }
            }
        }
        claims
    }

    fn without_marks<'t>(&self, text: &'t str) -> &'t str {
        let marks = &self.reader.shape.footnote_marks;
        text.trim().trim_end_matches(|letter| marks.contains(letter)).trim_end()
    }

    fn place(&self, row: Row<'_>, column: Option<usize>, columns: &Columns) -> String {
        let head = column.map_or("", |at| columns.heads[at].as_str());
        format!("{}:{}, column {head}", self.file, row.line)
    }
}

fn prefix(kind: EntityKind) -> &'static str {
    match kind {
        EntityKind::Cluster => "cluster:",
        EntityKind::Organisation => "organisation:",
        EntityKind::RegionGroup => "group:",
        EntityKind::Economy | EntityKind::World => "",
    }
}

/// Components by the prefixes of their columns, in the order of the first of each.
fn prefixed(heads: &[String]) -> Vec<ComponentShape> {
    let mut found: Vec<ComponentShape> = Vec::new();
    for head in heads {
        let Some((part, id)) = head.split_once(':') else { continue };
        let part = part.to_ascii_lowercase();
        if id.is_empty() || !matches!(part.as_str(), "raw" | "score" | "rank" | "year") {
            continue;
        }
        if !found.iter().any(|component| component.id == id) {
            found.push(ComponentShape { id: id.to_owned(), ..ComponentShape::default() });
        }
        for component in found.iter_mut().filter(|component| component.id == id) {
            let column = match part.as_str() {
                "raw" => &mut component.raw,
                "score" => &mut component.score,
                "rank" => &mut component.rank,
                _ => &mut component.year,
            };
            *column = Some(head.clone());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{super::names::Named, *};

    fn directory() -> Directory {
        let mut directory = Directory::default();
        let mut add =
            |id: &str, kind, lies_in: &[&str], codes: &[(&'static str, &'static str)], names: &[&'static str]| {
                let lies_in = lies_in.iter().map(|id| (*id).to_owned()).collect();
                let thing = Named { id: id.into(), kind: Some(kind), lies_in };
                directory.entities.add(thing, codes.iter().copied(), names.iter().copied());
            };
        for (id, code, name) in [
            ("CHN", "CN", "China"),
            ("HKG", "HK", "Hong Kong, China"),
            ("TWN", "TW", "Taiwan"),
            ("USA", "US", "United States"),
            ("IRN", "IR", "Iran"),
        ] {
            add(id, EntityKind::Economy, &[], &[("iso3166-1-alpha2", code)], &[name]);
        }
        add(
            "cluster:szx",
            EntityKind::Cluster,
            &["CHN", "HKG"],
            &[],
            &["Shenzhen–Hong Kong–Guangzhou", "Shenzhen–Hong Kong"],
        );
        add("cluster:taipei", EntityKind::Cluster, &["TWN"], &[], &["Taipei–Hsinchu"]);
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
            Some(crate::model::value::Figure::Number(number)) => number.text(),
            _ => String::new(),
        }
    }

    const CLUSTERS: &str = "Rank,Cluster name,Economy,PCT applications,Scientific publications,Share total PCT filings (%),Share of total pubs (%),Total,Previous rank,Rank change\r\n\
        2,Shenzhen–Hong Kong–Guangzhou,CN/HK,\"113,482\",\"153,180\",9.0,2.1,11.1,2,0\r\n\
        27,Taipei–Hsinchu,TW*,\"3,907\",\"52,752\",0.3,0.7,1.0,26,−1\r\n\
        34,Tehran,IR,249,\"63,113\",0.0,0.8,0.9,33,−1\r\n\
        35,\"Philadelphia, PA\",US,\"5,390\",\"32,309\",,,,,\r\n";

    #[test]
    fn the_published_table_of_clusters() {
        let file = read("gii-clusters", CLUSTERS, EntityKind::Cluster, true);
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
        let text = CLUSTERS
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
    fn unknown_names_stand_on_their_lines_with_what_is_near() {
        let text = CLUSTERS.replace("Taipei–Hsinchu", "Taipei-Hsinchuu").replace("TW*", "TX");
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
    fn our_own_columns() {
        let table = "# GII 2025, CC BY 4.0\nrank,tied,name,economies,score,disputed,note,raw:pct,score:pct,year:pct,rank:pct\n\
            ,,Shenzhen–Hong Kong,CHN/HKG,,18 by businessupturn.com; 13 by x,rank not printed\n\
            3,yes,Taipei–Hsinchu,TW,61,,,1.50,0.10,2023,2\n";
        let file = read("almanac-edition", table, EntityKind::Cluster, false);
        assert_eq!(file.findings, []);
        let (first, second) = (&file.entries[0], &file.entries[1]);
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
    fn an_economy_is_never_made_of_a_name() {
        let file = read("almanac-edition", "rank,name,score\n1,Chinna,60\n", EntityKind::Economy, true);
        assert_eq!((file.errors, file.findings[0].code.as_str()), (1, "UNKNOWN_ENTITY"));
        assert_eq!(file.findings[0].suggestions, ["CHN"]);
        let by_id = read("almanac-edition", "rank,entity,name\n=1,XKX,Kosovo\n=1,CHN,\n", EntityKind::Economy, true);
        assert_eq!((by_id.errors, by_id.new_entities[0].id.as_str()), (0, "XKX"));
        assert!(by_id.entries.iter().all(|entry| entry.tied && entry.rank == Some(1)));
    }

    #[test]
    fn slips_name_line_and_column() {
        for (row, code, column) in [
            ("first,Taipei–Hsinchu,1,,", "BAD_RANK", "rank"),
            ("0,Taipei–Hsinchu,1,,", "BAD_RANK", "rank"),
            ("1,Taipei–Hsinchu,high,,", "BAD_NUMBER", "score"),
            ("1,Taipei–Hsinchu,1,18,", "BAD_CLAIM", "disputed"),
        ] {
            let file = read(
                "almanac-edition",
                &format!("rank,name,score,disputed,note\n\n{row}\n"),
                EntityKind::Cluster,
                false,
            );
            let found: Vec<_> =
                file.findings.iter().map(|finding| (finding.code.as_str(), finding.location.clone())).collect();
            assert_eq!(found, [(code, format!("t.csv:3, column {column}"))], "{row}");
        }
        for (table, code) in [("a,b\n1,2\n", "NO_HEADER"), ("rank,name\n", "NO_ROWS"), ("rank,name\n1,\n", "NO_KEY")] {
            assert_eq!(read("almanac-edition", table, EntityKind::Cluster, false).findings[0].code, code, "{table}");
        }
    }
}
