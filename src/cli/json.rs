//! Messages as proto3 JSON, the same text that any other protobuf tool gives.

use std::{io::Write, sync::OnceLock};

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};

use super::error::CliError;

/// A message as one pretty document on standard output.
pub fn print_message(message: &impl Message, full_name: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    out.write_all(to_text(message, full_name, true)?.as_bytes())?;
    Ok(out.write_all(b"\n")?)
}

/// A message as one line.
pub fn print_line(message: &impl Message, full_name: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    out.write_all(to_text(message, full_name, false)?.as_bytes())?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

fn to_text(message: &impl Message, full_name: &str, pretty: bool) -> Result<String, CliError> {
    static POOL: OnceLock<Option<DescriptorPool>> = OnceLock::new();
    let failed = |what: String| CliError::Io(std::io::Error::other(what));
    let pool = POOL.get_or_init(|| DescriptorPool::decode(crate::proto::DESCRIPTORS).ok());
    let descriptor = pool.as_ref().and_then(|pool| pool.get_message_by_name(full_name));
    let descriptor = descriptor.ok_or_else(|| failed(format!("the contract has no message {full_name}")))?;
    let dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice());
    let dynamic = dynamic.map_err(|error| failed(error.to_string()))?;
    let options = SerializeOptions::new().skip_default_fields(true);
    let mut bytes = Vec::new();
    let written = if pretty {
        dynamic.serialize_with_options(&mut serde_json::Serializer::pretty(&mut bytes), &options)
    } else {
        dynamic.serialize_with_options(&mut serde_json::Serializer::new(&mut bytes), &options)
    };
    written.map_err(|error| failed(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_print_as_proto3_json() {
        let message = crate::proto::AsOf { at: Some(crate::proto::as_of::At::Revision(12)) };
        assert_eq!(to_text(&message, "almanac.v1.AsOf", false).unwrap(), r#"{"revision":"12"}"#);
        assert!(to_text(&message, "almanac.v1.Nothing", false).is_err());
    }
}
