//! What somebody may have meant by an id that is not known.

use crate::{
    model::{
        catalog::{Definition, DefinitionKind},
        id::Revision,
    },
    store::catalog::Catalog,
};

/// How many are named.
const NEAREST_MAX: usize = 3;
/// Likeness, from 0 to 1, below which a name is no help.
const LIKENESS_MIN: f64 = 0.55;

/// The nearest known ids, best first: by code, by name, by spelling.
pub fn nearest(catalog: &Catalog, kind: DefinitionKind, id: &str, at: Revision) -> Vec<String> {
    let wanted = fold(id);
    let mut found: Vec<(f64, &str)> = catalog
        .definitions(kind, "", at)
        .map(|definition| (likeness(definition, &wanted), definition.id()))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .collect();
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    found.into_iter().take(NEAREST_MAX).map(|(_, id)| id.to_owned()).collect()
}

fn likeness(definition: &Definition, wanted: &str) -> f64 {
    texts(definition)
        .map(|text| {
            let text = fold(text);
            if text == wanted { 1.0 } else { strsim::normalized_damerau_levenshtein(&text, wanted) }
        })
        .fold(0.0, f64::max)
}

/// The texts by which a definition may be known.
pub fn texts(definition: &Definition) -> Box<dyn Iterator<Item = &str> + '_> {
    match definition {
        Definition::Indicator(indicator) => Box::new([indicator.id.as_str(), indicator.name.as_str()].into_iter()),
        Definition::Source(source) => {
            Box::new([source.id.as_str(), source.producer.as_str(), source.title.as_str()].into_iter())
        }
        Definition::Ranking(ranking) => Box::new([ranking.id.as_str(), ranking.name.as_str()].into_iter()),
        Definition::Entity(entity) => Box::new(
            [entity.id.as_str(), entity.name.as_str()]
                .into_iter()
                .chain(entity.codes.iter().map(|(_, code)| code.as_str()))
                .chain(entity.names.iter().map(|name| name.text.as_str())),
        ),
    }
}

/// Case, accents, dashes and punctuation do not matter.
pub fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for letter in text.chars().flat_map(char::to_lowercase) {
        match plain(letter) {
            Some(plain) => folded.push_str(plain),
            None if letter.is_alphanumeric() => folded.push(letter),
            None if !folded.ends_with(' ') => folded.push(' '),
            None => {}
        }
    }
    folded.trim().to_owned()
}

/// Latin letters with marks, as typed without them.
fn plain(letter: char) -> Option<&'static str> {
    Some(match letter {
        'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' | 'ā' | 'ă' | 'ą' => "a",
        'ç' | 'ć' | 'č' => "c",
        'ď' | 'đ' => "d",
        'è' | 'é' | 'ê' | 'ë' | 'ē' | 'ę' | 'ě' => "e",
        'ğ' | 'ģ' => "g",
        'ì' | 'í' | 'î' | 'ï' | 'ī' | 'ı' => "i",
        'ł' | 'ļ' | 'ľ' => "l",
        'ñ' | 'ń' | 'ņ' | 'ň' => "n",
        'ò' | 'ó' | 'ô' | 'õ' | 'ö' | 'ø' | 'ō' | 'ő' => "o",
        'ř' => "r",
        'ś' | 'š' | 'ş' | 'ș' => "s",
        'ß' => "ss",
        'ť' | 'ţ' | 'ț' => "t",
        'ù' | 'ú' | 'û' | 'ü' | 'ū' | 'ů' | 'ű' => "u",
        'ý' | 'ÿ' => "y",
        'ź' | 'ż' | 'ž' => "z",
        'æ' => "ae",
        'œ' => "oe",
        '\u{300}'..='\u{36f}' | '\'' | '’' => "",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn names_fold_to_what_one_types() {
        assert_eq!(fold("São Paulo"), "sao paulo");
        assert_eq!(fold("Shenzhen–Hong Kong–Guangzhou"), "shenzhen hong kong guangzhou");
        assert_eq!(fold("Türkiye"), "turkiye");
        assert_eq!(fold("Xi'an"), "xian");
        assert_eq!(fold("GB.XPD.RSDV.GD.ZS"), "gb xpd rsdv gd zs");
    }
}
