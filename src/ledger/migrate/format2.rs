//! Format 2, which Almanac 0.1 wrote: headers, receipts and pages. Nothing else decodes it.
//!
//! Types that did not change since are those of the model. The others have a type here, with the fields that are needed.

use serde::{Deserialize, de::IgnoredAny};

use crate::{
    ledger::{
        log::Totals,
        page::{self, DEFINITION, EDITION, ENTRY, FULL_RELEASE, PAGE_CHANGES_MAX, SERIES},
    },
    model::{
        catalog::{Aggregation, Entity, EntityKind, Indicator, MethodologyComponent, Source},
        change::{Cause, FigureMovement, Movement},
        edition::{Basis, Coverage, EditionStatus, Entry},
        finding::Finding,
        id::{EditionId, EntityId, IndicatorId, RankingId, RequestId, Revision, SourceId},
        series::{FigureVersion, SeriesKey},
        time::{Date, Instant},
        value::Value,
    },
    store::{bytes::Reader, error::Result, records::unpack, versions::decode_versions_up_to},
};

const PAGE_VERSION: u8 = 2;

#[derive(Debug, Deserialize)]
pub(super) struct OldHeader {
    pub(super) commit: OldCommit,
    pub(super) pages: u32,
    pub(super) totals: Totals,
}

#[derive(Debug, Deserialize)]
pub(super) struct OldCommit {
    pub(super) revision: Revision,
    pub(super) recorded: Instant,
    pub(super) author: String,
    pub(super) cause: Cause,
    pub(super) note: String,
    pub(super) released: Option<Date>,
    pub(super) document_sha256: String,
    pub(super) counts: OldCounts,
    pub(super) request_id: Option<RequestId>,
}

/// Counts of figures, entries and definitions together.
#[derive(Debug, Deserialize)]
pub(super) struct OldCounts {
    pub(super) added: u64,
    pub(super) revised: u64,
    pub(super) unchanged: u64,
    pub(super) withdrawn: u64,
    pub(super) backfilled: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct OldReceipt {
    pub(super) revision: Revision,
    pub(super) content: [u8; 32],
    pub(super) findings: Vec<Finding>,
    #[serde(default)]
    pub(super) edition: Option<OldEdition>,
}

/// A part of a commit.
#[derive(Debug)]
pub(super) enum OldRecord {
    Series(SeriesKey, Vec<OldRow>),
    FullRelease(IndicatorId, SourceId),
    Definition(Box<OldDefinition>),
    Edition {
        /// The version that stood.
        before: Option<Box<OldEdition>>,
        after: Box<OldEdition>,
    },
    Entry {
        after: Option<Box<Entry>>,
        change: Box<OldEntryChange>,
    },
}

/// A version of a figure. Of the version before, format 2 has only the value.
#[derive(Debug)]
pub(super) struct OldRow {
    pub(super) row: FigureVersion,
    pub(super) movement: Option<FigureMovement>,
    pub(super) before: Option<Value>,
}

#[derive(Debug, Deserialize)]
pub(super) enum OldDefinition {
    Indicator(Indicator),
    Entity(Entity),
    Source(Source),
    Ranking(OldRanking),
}

/// A ranking with its methodologies.
#[derive(Debug, Deserialize)]
pub(super) struct OldRanking {
    pub(super) id: RankingId,
    pub(super) name: String,
    pub(super) subject: EntityKind,
    pub(super) source: SourceId,
    pub(super) description: String,
    pub(super) methodologies: Vec<OldMethodology>,
}

#[derive(Debug, Deserialize)]
pub(super) struct OldMethodology {
    /// Any text. It is unique within the ranking.
    pub(super) id: String,
    pub(super) description: String,
    pub(super) components: Vec<MethodologyComponent>,
    pub(super) aggregation: Aggregation,
}

/// A version of an edition. It has no effective day: the newest revision answers.
#[derive(Debug, Deserialize)]
pub(super) struct OldEdition {
    pub(super) ranking: RankingId,
    pub(super) edition: EditionId,
    pub(super) title: String,
    pub(super) status: EditionStatus,
    pub(super) basis: Basis,
    pub(super) about: String,
    pub(super) coverage: Coverage,
    /// The id of a methodology of the ranking; empty if not known.
    pub(super) methodology: String,
    pub(super) released: Date,
    /// `None`: the source of the ranking.
    pub(super) source: Option<SourceId>,
    pub(super) note: String,
    pub(super) entry_count: u32,
    pub(super) complete_to: u32,
    pub(super) revision: Revision,
    pub(super) recorded: Instant,
    pub(super) compared_with: Option<EditionId>,
}

#[derive(Debug, Deserialize)]
pub(super) struct OldEntryChange {
    pub(super) ranking: RankingId,
    pub(super) edition: EditionId,
    pub(super) compared_with: Option<EditionId>,
    pub(super) entry_move: OldEntryMove,
    pub(super) entries_before: u32,
    pub(super) entries_after: u32,
    pub(super) comparable: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct OldEntryMove {
    pub(super) entity: EntityId,
    pub(super) movement: Movement,
    pub(super) before: OldStanding,
}

/// One side of a move: the fields by which it is compared with the view.
#[derive(Debug, PartialEq, Deserialize)]
pub(super) struct OldStanding {
    pub(super) listed: bool,
    pub(super) rank: Option<u32>,
    pub(super) published_name: String,
}

pub(super) fn read_page(bytes: &[u8]) -> Result<Vec<OldRecord>> {
    let mut reader = Reader::new(bytes);
    let version = reader.byte()?;
    if version != PAGE_VERSION {
        return Err(page::corrupt(format!("version {version}")));
    }
    let _first_change = reader.varint()?;
    let mut names = Vec::new();
    let mut records = Vec::new();
    while !reader.is_empty() {
        records.push(read_record(&mut reader, &mut names)?);
    }
    Ok(records)
}

fn read_record<'a>(reader: &mut Reader<'a>, names: &mut Vec<&'a str>) -> Result<OldRecord> {
    Ok(match reader.byte()? {
        SERIES => {
            let key = page::read_key(reader, names)?;
            OldRecord::Series(key, read_rows(reader)?)
        }
        FULL_RELEASE => {
            let (indicator, source) = page::read_release(reader, names)?;
            OldRecord::FullRelease(indicator, source)
        }
        DEFINITION => {
            let (_before, after): (IgnoredAny, Box<OldDefinition>) = unpack(reader.bytes()?)?;
            OldRecord::Definition(after)
        }
        EDITION => {
            let (before, after) = unpack(reader.bytes()?)?;
            OldRecord::Edition { before, after }
        }
        ENTRY => {
            let (after, change) = unpack(reader.bytes()?)?;
            OldRecord::Entry { after, change }
        }
        kind => return Err(page::corrupt(format!("a record of unknown kind {kind}"))),
    })
}

fn read_rows(reader: &mut Reader<'_>) -> Result<Vec<OldRow>> {
    let rows = decode_versions_up_to(reader, PAGE_CHANGES_MAX)?;
    let movements = reader.runs(rows.len(), |reader| page::movement_of(reader.byte()?))?;
    let mut befores = decode_versions_up_to(reader, rows.len())?.into_iter();
    let mut old = Vec::with_capacity(rows.len());
    for (row, movement) in rows.into_iter().zip(movements) {
        let before = match movement {
            None | Some(FigureMovement::Added) => None,
            Some(_) => {
                let row = befores.next().ok_or_else(|| page::corrupt("a change without its before-value"))?;
                row.value().cloned()
            }
        };
        old.push(OldRow { row, movement, before });
    }
    Ok(old)
}
