//! A plain list of uploads of figures: the oracle of what is known at a revision and a release date.

use std::collections::BTreeMap;

/// An upload: `K` names a figure, `V` is its value, `S` is what a whole release replaces.
#[derive(Debug, Clone)]
pub(crate) struct ListedUpload<K, V, S = ()> {
    pub(crate) revision: u64,
    /// The release date.
    pub(crate) day: i32,
    /// `None`: the upload merges, and changes only its own figures.
    pub(crate) replaces: Option<S>,
    /// `None`: the upload withdraws the figure.
    pub(crate) figures: BTreeMap<K, Option<V>>,
}

/// What is known at a revision and a release date: the result of the uploads that both admit, in order of release, then of
/// revision. `is_replaced` says whether a whole release replaces a figure.
pub(crate) fn known_at<K: Ord + Clone, V: Clone, S>(
    uploads: &[ListedUpload<K, V, S>],
    revision: u64,
    day: i32,
    is_replaced: impl Fn(&S, &K) -> bool,
) -> BTreeMap<K, V> {
    let mut admitted: Vec<_> = uploads.iter().filter(|one| one.revision <= revision && one.day <= day).collect();
    admitted.sort_by_key(|one| (one.day, one.revision));
    let mut known = BTreeMap::new();
    for upload in admitted {
        if let Some(scope) = &upload.replaces {
            known.retain(|key, _| !is_replaced(scope, key));
        }
        for (key, value) in &upload.figures {
            match value {
                Some(value) => known.insert(key.clone(), value.clone()),
                None => known.remove(key),
            };
        }
    }
    known
}
