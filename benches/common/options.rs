//! The command line of a bench: `--quick`, options with a value, and words.

use std::path::PathBuf;

/// What follows the name of the program. cargo adds `--bench`.
#[derive(Debug)]
pub(crate) struct Options(Vec<String>);

impl Options {
    pub(crate) fn read() -> Self {
        Self(std::env::args().skip(1).filter(|argument| argument != "--bench").collect())
    }

    /// Small sizes and few rounds: whether the bench works, not what it measures.
    pub(crate) fn quick(&self) -> bool {
        self.0.iter().any(|argument| argument == "--quick")
    }

    /// The value after an option.
    pub(crate) fn value(&self, option: &str) -> Option<&str> {
        let at = self.0.iter().position(|argument| argument == option)?;
        self.0.get(at + 1).map(String::as_str)
    }

    /// Another build of Almanac, which is measured in turns with this one.
    pub(crate) fn old_binary(&self) -> Option<PathBuf> {
        self.value("--old").map(PathBuf::from)
    }

    /// The first argument that is no option. No bench has both an option with a value and such an argument.
    pub(crate) fn word(&self) -> Option<&str> {
        self.0.iter().find(|argument| !argument.starts_with("--")).map(String::as_str)
    }

    /// Whether a section is asked for: all are, unless some are named.
    pub(crate) fn wants(&self, section: &str, sections: &[&str]) -> bool {
        let named = |name: &str| self.0.iter().any(|argument| argument == name);
        named(section) || !sections.iter().any(|name| named(name))
    }
}
