//! Messages as proto3 JSON: the same text that other protobuf tools give.
//!
//! `full_name` is the name of the message in the contract, like `almanac.v1.GetFigureResponse`.

use std::{io::Write, sync::OnceLock};

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};

use super::error::CliError;

/// Prints a message to standard output, as an indented document.
pub fn print_message(message: &impl Message, full_name: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    out.write_all(to_text(message, full_name, true)?.as_bytes())?;
    Ok(out.write_all(b"\n")?)
}

/// Prints a message to standard output, as one line.
pub fn print_line(message: &impl Message, full_name: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    out.write_all(to_text(message, full_name, false)?.as_bytes())?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

/// Reads a message. A field that the contract does not have is an error that names the line.
pub fn read_message<M: Message + Default>(text: &str, full_name: &str) -> Result<M, String> {
    let descriptor = descriptor(full_name).map_err(|error| error.to_string())?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let dynamic = DynamicMessage::deserialize(descriptor, &mut reader).map_err(|error| error.to_string())?;
    reader.end().map_err(|error| error.to_string())?;
    dynamic.transcode_to().map_err(|error| error.to_string())
}

fn failure(what: String) -> CliError {
    CliError::Io(std::io::Error::other(what))
}

fn descriptor(full_name: &str) -> Result<MessageDescriptor, CliError> {
    static POOL: OnceLock<Option<DescriptorPool>> = OnceLock::new();
    let pool = POOL.get_or_init(|| DescriptorPool::decode(crate::proto::DESCRIPTORS).ok());
    let found = pool.as_ref().and_then(|pool| pool.get_message_by_name(full_name));
    found.ok_or_else(|| failure(format!("the contract has no message {full_name}")))
}

fn to_text(message: &impl Message, full_name: &str, pretty: bool) -> Result<String, CliError> {
    let descriptor = descriptor(full_name)?;
    let dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice());
    let dynamic = dynamic.map_err(|error| failure(error.to_string()))?;
    let options = SerializeOptions::new().skip_default_fields(true);
    let mut bytes = Vec::new();
    let written = if pretty {
        dynamic.serialize_with_options(&mut serde_json::Serializer::pretty(&mut bytes), &options)
    } else {
        dynamic.serialize_with_options(&mut serde_json::Serializer::new(&mut bytes), &options)
    };
    written.map_err(|error| failure(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| failure(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_printed_and_read_as_proto3_json() {
        let message = crate::proto::AsOf { at: Some(crate::proto::as_of::At::Revision(12)) };
        assert_eq!(to_text(&message, "almanac.v1.AsOf", false).unwrap(), r#"{"revision":"12"}"#);
        assert!(to_text(&message, "almanac.v1.Nothing", false).is_err());
        let read: crate::proto::AsOf = read_message(r#"{"revision":"12"}"#, "almanac.v1.AsOf").unwrap();
        assert_eq!(read, message);
        let slip = read_message::<crate::proto::AsOf>("{\n\"revison\": 12}", "almanac.v1.AsOf").unwrap_err();
        assert!(slip.contains("revison") && slip.contains("line 2"), "{slip}");
    }
}
