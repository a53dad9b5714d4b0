//! `almanac watch` far behind head: its progress goes to a terminal only.

use std::process::{Command, Output};

use almanac::proto::WriteOptions;

use crate::support::{Dice, TestServer, author::Author, fixture::*};

/// Runs `almanac watch` to head, with both outputs in pipes.
async fn watch(server: &TestServer, arguments: &[&str]) -> Output {
    let server = format!("http://{}", server.address());
    let mut command = Command::new(env!("CARGO_BIN_EXE_almanac"));
    command.args(["--server", &server, "watch", "--until", "head"]).args(arguments);
    // The kind of the output decides, and not the environment.
    command.env("TERM", "xterm-256color").env("CLICOLOR_FORCE", "1").env_remove("NO_COLOR");
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

#[tokio::test]
async fn progress_goes_neither_into_a_pipe_nor_between_lines_of_json() {
    let server = TestServer::empty().await;
    server.clients.define(WriteOptions::default(), catalog()).await.unwrap();
    let mut author = Author::new(Dice::new("catching up"), "steward", 400);
    for _ in 0..40 {
        author.next().send(&server.clients).await.unwrap();
    }
    for from in ["start", "state"] {
        for format in [&[][..], &["--json"]] {
            let output = watch(&server, &[&["--from", from], format].concat()).await;
            let shown = String::from_utf8(output.stdout).unwrap();
            let aside = String::from_utf8(output.stderr).unwrap();
            assert!(output.status.success(), "{aside}");
            for text in [&shown, &aside] {
                assert!(!text.contains(['\r', '\u{1b}']), "--from {from} {format:?}: {text:?}");
                assert!(!text.contains("catching up: ") && !text.contains("receiving the state"), "{text}");
            }
            if format.is_empty() {
                assert!(shown.lines().count() > 40, "{shown}");
                assert!(from == "state" || aside.contains("catching up to revision 41"), "{aside}");
                assert!(from == "start" || aside.contains("is complete"), "{aside}");
            } else {
                let lines = shown.lines().map(serde_json::from_str::<serde_json::Value>);
                assert!(lines.map(Result::unwrap).count() > 2, "{shown}");
            }
        }
    }
    server.end().await;
}
