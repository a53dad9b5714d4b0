//! Finding definitions by words.

use std::sync::Arc;

use super::Snapshot;
use crate::{
    model::{
        catalog::{Definition, DefinitionKind},
        text::normalized,
    },
    store::suggestions::searchable_texts,
};

/// One find.
#[derive(Debug, Clone)]
pub struct SearchMatch {
    /// The definition.
    pub definition: Arc<Definition>,
    /// The text that matched best.
    pub matched: String,
}

impl Snapshot {
    /// Definitions of which one text has every word, as a word or the beginning of one; best match first.
    pub fn search(&self, query: &str) -> Vec<SearchMatch> {
        let query = normalized(query);
        let words: Vec<&str> = query.split(' ').filter(|word| !word.is_empty()).collect();
        if words.is_empty() {
            return Vec::new();
        }
        let kinds = [
            DefinitionKind::Ranking,
            DefinitionKind::Indicator,
            DefinitionKind::Entity,
            DefinitionKind::Source,
            DefinitionKind::Methodology,
        ];
        let all = kinds.into_iter().flat_map(|kind| self.catalog.definitions(kind, "", self.revision()));
        let mut found: Vec<(u32, SearchMatch)> = all
            .filter_map(|definition| {
                let scored = searchable_texts(definition).map(|text| (score(&normalized(text), &words), text));
                let (score, text) = scored.max_by_key(|(score, _)| *score)?;
                (score > 0).then(|| (score, SearchMatch { definition: definition.clone(), matched: text.to_owned() }))
            })
            .collect();
        // Stable: among equals, rankings before indicators before entities, each in id order.
        found.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
        found.into_iter().map(|(_, hit)| hit).collect()
    }
}

/// 0: a word is missing. Else whole words count more than beginnings, and short texts more than long ones.
fn score(text: &str, words: &[&str]) -> u32 {
    let mut score = 0;
    for wanted in words {
        let best =
            text.split(' ').map(|word| if word == *wanted { 3 } else { u32::from(word.starts_with(wanted)) }).max();
        match best.unwrap_or(0) {
            0 => return 0,
            points => score += points * 100,
        }
    }
    let extra = text.split(' ').count().saturating_sub(words.len());
    score + 99u32.saturating_sub(u32::try_from(extra).unwrap_or(99) * 10)
}
