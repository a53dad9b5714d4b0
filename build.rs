//! Compiles the contract without an installed protoc, and keeps its descriptors for reflection.

use std::{env, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true);
    for service in ["catalog", "statistics", "ranking", "feed", "admin"] {
        compiler.open_file(format!("almanac/v1/{service}_service.proto"))?;
    }
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("almanac_descriptors.bin"), compiler.encode_file_descriptor_set())?;
    let mut config = tonic_prost_build::Config::new();
    // The strict codec finds the fields of a message by the message's name.
    config.enable_type_names();
    let mut generator = tonic_prost_build::configure();
    let server = env::var_os("CARGO_FEATURE_SERVER").is_some();
    // A server refuses requests with fields that it does not know; for a client alone prost's own codec will do.
    if server {
        generator = generator.codec_path("crate::rpc::codec::StrictCodec");
    }
    generator
        .build_client(env::var_os("CARGO_FEATURE_CLIENT").is_some())
        .build_server(server)
        // The two variants differ a lot in size; boxing them would cost an allocation per message instead.
        .type_attribute(".", "#[allow(clippy::large_enum_variant)]")
        .compile_fds_with_config(compiler.file_descriptor_set(), config)?;
    Ok(())
}
