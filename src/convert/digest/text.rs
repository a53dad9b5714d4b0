//! The text of a row in version 2: a letter for its kind, then its fields in the order of the contract, each as a
//! netstring.

use std::io::Write as _;

use crate::proto::{self, definition, state_row::Item};

pub(super) fn of_row(item: &Item) -> Vec<u8> {
    let mut text = Text::default();
    match item {
        Item::Figure(figure) => {
            text.0.push(b'F');
            observation(&mut text, figure);
        }
        Item::Edition(of) => {
            text.0.push(b'R');
            edition(&mut text, of);
        }
        Item::Entry(of) => {
            text.0.push(b'E');
            text.string(&of.ranking);
            text.string(&of.edition);
            text.message(of.entry.as_ref(), entry);
        }
        Item::Definition(of) => {
            text.0.push(b'D');
            definition(&mut text, of);
        }
    }
    text.0
}

/// Netstrings, one after the other: length in decimal, colon, bytes.
#[derive(Debug, Default)]
struct Text(Vec<u8>);

impl Text {
    fn field(&mut self, bytes: &[u8]) {
        // Writing to memory does not fail.
        let _ = write!(self.0, "{}:", bytes.len());
        self.0.extend_from_slice(bytes);
    }

    fn string(&mut self, text: &str) {
        self.field(text.as_bytes());
    }

    /// Adds a number without presence: zero is written as nothing.
    fn number(&mut self, number: impl Into<i128>) {
        self.optional(Some(number.into()).filter(|number| *number != 0));
    }

    /// Adds a number with presence: zero is written if it is set.
    fn optional(&mut self, number: Option<impl Into<i128>>) {
        let text = number.map_or_else(String::new, |number| number.into().to_string());
        self.string(&text);
    }

    fn flag(&mut self, flag: bool) {
        self.number(u8::from(flag));
    }

    fn double(&mut self, number: Option<f64>) {
        let text = number.map_or_else(String::new, |number| format!("{:016x}", number.to_bits()));
        self.string(&text);
    }

    fn message<M>(&mut self, message: Option<&M>, fields: impl Fn(&mut Self, &M)) {
        let mut inner = Self::default();
        if let Some(message) = message {
            fields(&mut inner, message);
        }
        self.field(&inner.0);
    }

    fn list<M>(&mut self, items: &[M], fields: impl Fn(&mut Self, &M)) {
        let mut inner = Self::default();
        for item in items {
            inner.message(Some(item), &fields);
        }
        self.field(&inner.0);
    }

    fn strings(&mut self, items: &[String]) {
        let mut inner = Self::default();
        for item in items {
            inner.string(item);
        }
        self.field(&inner.0);
    }
}

fn observation(text: &mut Text, of: &proto::Observation) {
    text.string(&of.indicator);
    text.string(&of.entity);
    text.string(&of.source);
    text.list(&of.dimensions, |text, of| {
        text.string(&of.id);
        text.string(&of.value);
    });
    text.string(&of.period);
    text.message(of.value.as_ref(), value);
    text.string(&of.released);
    text.message(of.recorded.as_ref(), timestamp);
    text.number(of.revision);
    text.number(of.cause);
}

fn value(text: &mut Text, of: &proto::Value) {
    text.double(of.number);
    text.optional(of.decimals);
    text.string(&of.exact);
    text.number(of.multiplier_pow10);
    text.number(of.qualifier);
    text.double(of.upper);
    text.number(of.status);
    text.number(of.missing);
    text.string(&of.comment);
}

fn timestamp(text: &mut Text, of: &prost_types::Timestamp) {
    text.number(of.seconds);
    text.number(of.nanos);
}

fn edition(text: &mut Text, of: &proto::Edition) {
    text.string(&of.ranking);
    text.string(&of.id);
    text.string(&of.title);
    text.number(of.status);
    text.number(of.basis);
    text.string(&of.about);
    text.message(of.coverage.as_ref(), |text, of| {
        text.number(of.kind);
        text.number(of.listed);
        text.number(of.universe);
        text.number(of.complete_to);
    });
    text.string(&of.methodology);
    text.string(&of.released);
    text.string(&of.source);
    text.string(&of.note);
    text.number(of.entry_count);
    text.number(of.revision);
    text.message(of.recorded.as_ref(), timestamp);
    text.string(&of.compared_with);
}

fn entry(text: &mut Text, of: &proto::Entry) {
    text.string(&of.entity);
    text.string(&of.published_name);
    text.strings(&of.economies);
    text.optional(of.rank);
    text.flag(of.tied);
    text.message(of.score.as_ref(), value);
    text.list(&of.components, |text, of| {
        text.string(&of.id);
        text.message(of.raw.as_ref(), value);
        text.message(of.score.as_ref(), value);
        text.optional(of.rank);
        text.string(&of.data_year);
    });
    text.list(&of.previous, claim);
    text.list(&of.disputed, claim);
    text.string(&of.note);
}

fn claim(text: &mut Text, of: &proto::RankClaim) {
    text.number(of.rank);
    text.string(&of.edition);
    text.string(&of.claimed_by);
}

fn definition(text: &mut Text, of: &proto::Definition) {
    use definition::Item as Of;
    let item = of.item.as_ref();
    text.message(item.and_then(|item| if let Of::Indicator(of) = item { Some(of) } else { None }), indicator);
    text.message(item.and_then(|item| if let Of::Entity(of) = item { Some(of) } else { None }), entity);
    text.message(item.and_then(|item| if let Of::Source(of) = item { Some(of) } else { None }), source);
    text.message(item.and_then(|item| if let Of::Ranking(of) = item { Some(of) } else { None }), ranking);
    text.message(item.and_then(|item| if let Of::Methodology(of) = item { Some(of) } else { None }), methodology);
}

fn indicator(text: &mut Text, of: &proto::Indicator) {
    text.string(&of.id);
    text.string(&of.name);
    text.string(&of.unit);
    text.number(of.direction);
    text.number(of.default_decimals);
    text.string(&of.definition);
    text.number(of.frequency);
    text.string(&of.licence);
    text.number(of.timing);
}

fn entity(text: &mut Text, of: &proto::Entity) {
    text.string(&of.id);
    text.number(of.kind);
    text.string(&of.name);
    text.list(&of.codes, |text, of| {
        text.string(&of.scheme);
        text.string(&of.value);
    });
    text.list(&of.names, |text, of| {
        text.string(&of.text);
        text.string(&of.language);
        text.string(&of.valid_from);
        text.string(&of.valid_to);
    });
    text.list(&of.relations, |text, of| {
        text.number(of.kind);
        text.string(&of.entity);
        text.string(&of.valid_from);
        text.string(&of.valid_to);
    });
}

fn source(text: &mut Text, of: &proto::Source) {
    text.string(&of.id);
    text.string(&of.producer);
    text.string(&of.title);
    text.string(&of.published);
    text.string(&of.url);
    text.string(&of.licence);
    text.number(of.redistribution);
    text.number(of.precedence);
}

fn ranking(text: &mut Text, of: &proto::Ranking) {
    text.string(&of.id);
    text.string(&of.name);
    text.number(of.subject);
    text.string(&of.source);
    text.string(&of.description);
}

fn methodology(text: &mut Text, of: &proto::Methodology) {
    text.string(&of.id);
    text.string(&of.description);
    text.list(&of.components, |text, of| {
        text.string(&of.id);
        text.string(&of.name);
        text.double(of.weight);
        text.number(of.direction);
        text.string(&of.parent);
        text.number(of.aggregation);
    });
    text.number(of.aggregation);
}
