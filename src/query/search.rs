//! Search for definitions by words of their names.

use std::sync::Arc;

use super::Snapshot;
use crate::{
    model::{
        catalog::{Definition, DefinitionKind},
        text::normalized,
    },
    store::suggestions::searchable_texts,
};

#[derive(Debug, Clone)]
pub struct SearchMatch {
    pub definition: Arc<Definition>,
    /// Of the texts of the definition, the one with the best score.
    pub matched: String,
}

/// Of definitions with equal scores, those of the kinds in front come first.
const KINDS: [DefinitionKind; 5] = [
    DefinitionKind::Ranking,
    DefinitionKind::Indicator,
    DefinitionKind::Entity,
    DefinitionKind::Source,
    DefinitionKind::Methodology,
];

const WHOLE_WORD_POINTS: u32 = 300;
const WORD_START_POINTS: u32 = 100;
/// Points of a text without further words; below [`WORD_START_POINTS`], so that they decide only among equals.
const SHORT_TEXT_POINTS: u32 = 99;
const FURTHER_WORD_COST: u32 = 10;

impl Snapshot {
    /// Every definition that has all words of a query in one of its texts, each as a word or the start of one. The best
    /// match comes first. Without words there are no matches.
    pub fn search(&self, query: &str) -> Vec<SearchMatch> {
        let query = normalized(query);
        let words: Vec<&str> = query.split(' ').filter(|word| !word.is_empty()).collect();
        if words.is_empty() {
            return Vec::new();
        }
        let mut matches: Vec<(u32, SearchMatch)> = Vec::new();
        for kind in KINDS {
            for definition in self.catalog.definitions(kind, "", self.revision()) {
                matches.extend(best_match(definition, &words));
            }
        }
        // Stable: among equals the order of kinds and of ids stays.
        matches.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
        matches.into_iter().map(|(_, best)| best).collect()
    }
}

fn best_match(definition: &Arc<Definition>, words: &[&str]) -> Option<(u32, SearchMatch)> {
    let scores = searchable_texts(definition).map(|text| (score(&normalized(text), words), text));
    let (score, text) = scores.max_by_key(|(score, _)| *score)?;
    (score > 0).then(|| (score, SearchMatch { definition: definition.clone(), matched: text.to_owned() }))
}

/// 0 if a word is missing. Else whole words count more than starts of words, and short texts more than long ones.
fn score(text: &str, words: &[&str]) -> u32 {
    let mut score = 0;
    for word in words {
        match text.split(' ').map(|candidate| word_points(candidate, word)).max() {
            None | Some(0) => return 0,
            Some(points) => score += points,
        }
    }
    let further = text.split(' ').count().saturating_sub(words.len());
    let cost = u32::try_from(further).unwrap_or(SHORT_TEXT_POINTS).saturating_mul(FURTHER_WORD_COST);
    score + SHORT_TEXT_POINTS.saturating_sub(cost)
}

fn word_points(candidate: &str, word: &str) -> u32 {
    match candidate.strip_prefix(word) {
        Some("") => WHOLE_WORD_POINTS,
        Some(_) => WORD_START_POINTS,
        None => 0,
    }
}
