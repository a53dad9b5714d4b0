//! Runs the `console` blocks of one page, in order, in a folder and against a server of its own.
//!
//! What a page may do:
//! - `$ COMMAND`, with lines `> MORE` below it, is run by `sh` in a terminal; what follows is what it prints. A line `...` stands
//!   for any lines, `[..]` for anything within a line (snapbox compares).
//! - `almanac serve` and `almanac watch` without `--until` go on in the background. A later block that begins without `$` is what
//!   the last of them prints next; a line `^C` ends it.
//! - A block of another language with a name behind the fence (`json catalog.json`) is a file in the page's folder.
//! - `http://127.0.0.1:50051` is the page's server with the sample data in the folder `almanac-data`, unless the page's first
//!   command starts one. Port 50052 is free for a second one.
//! - A command fails if the page shows its error (a line that begins with `almanac: `), and succeeds otherwise.

use std::{net::TcpListener, time::Duration};

use snapbox::{Assert, IntoData};
use tempfile::TempDir;

use super::{
    markdown::{Block, Page},
    terminal::Running,
};
use crate::support::process::Process;

/// How long a command may take, or what it should print may take to come.
const LIMIT: Duration = Duration::from_secs(30);
/// The same for a page that is being written: what it shows is not true yet.
const WRITING_LIMIT: Duration = Duration::from_secs(10);
/// Set to `overwrite`, pages get what their commands print.
const MODE_VARIABLE: &str = "ALMANAC_PAGES";
/// Addresses as pages show them.
const SERVER: &str = "127.0.0.1:50051";
const SECOND_SERVER: &str = "127.0.0.1:50052";
/// Ports that no outgoing connection of another test takes by itself.
const PORTS: std::ops::Range<u16> = 20_000..30_000;
/// A command that goes on.
const SERVE: &str = "almanac serve";
/// A line that stands for Ctrl-C.
const INTERRUPT: &str = "^C\n";

/// A command of a block and what it prints; without a command what the one in the background prints next.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    line: usize,
    command: Option<String>,
    output: String,
}

/// Runs all blocks of a page; says what does not hold.
pub(super) fn run(page: &Page) {
    let mut session = Session::start(page);
    let mut text = page.text.clone();
    let mut wrong = Vec::new();
    // Places in the page stay true while it is rewritten from its end.
    let mut rewritten = Vec::new();
    for block in &page.blocks {
        if let Some(name) = &block.file {
            session.write(name, &block.text);
        } else if block.language == "console" {
            let mut fresh = String::new();
            for step in steps_of(block) {
                let printed = session.take(&step);
                if let Err(why) = &printed {
                    let command = step.command.as_deref().unwrap_or("(more of the command in the background)");
                    wrong.push(format!("{}:{}: $ {command}\n{}", page.path.display(), step.line, why.said));
                }
                fresh.push_str(&step.prompt());
                fresh.push_str(&printed.unwrap_or_else(|why| why.printed));
            }
            rewritten.push((block.range.clone(), fresh));
        }
    }
    drop(session);
    if wrong.is_empty() {
        return;
    }
    if overwrites() {
        for (range, fresh) in rewritten.into_iter().rev() {
            text.replace_range(range, &fresh);
        }
        std::fs::write(super::markdown::root().join(&page.path), text).unwrap();
    }
    panic!("{}\n{MODE_VARIABLE}=overwrite writes what commands print into the page", wrong.join("\n"));
}

/// Pages are to be written, not only checked.
fn overwrites() -> bool {
    std::env::var(MODE_VARIABLE).is_ok_and(|mode| mode == "overwrite")
}

fn first_command(page: &Page) -> Option<String> {
    page.blocks.iter().filter(|block| block.language == "console").flat_map(steps_of).find_map(|step| step.command)
}

/// The commands of a block.
fn steps_of(block: &Block) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut within_command = false;
    for (at, line) in block.text.lines().enumerate() {
        let number = block.line + at;
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { line: number, command: Some(command.to_owned()), output: String::new() });
            within_command = true;
            continue;
        }
        if steps.is_empty() {
            steps.push(Step { line: number, command: None, output: String::new() });
        }
        let Some(Step { command, output, .. }) = steps.last_mut() else { continue };
        match (line.strip_prefix("> "), command) {
            (Some(more), Some(command)) if within_command => command.push_str(&format!("\n{more}")),
            _ => {
                within_command = false;
                output.push_str(&format!("{line}\n"));
            }
        }
    }
    steps
}

impl Step {
    /// The command as the page shows it.
    fn prompt(&self) -> String {
        match &self.command {
            Some(command) => format!("$ {}\n", command.replace('\n', "\n> ")),
            None => String::new(),
        }
    }

    /// It runs until it is stopped.
    fn goes_on(&self) -> bool {
        let command = self.command.as_deref().unwrap_or_default();
        let watches = command.starts_with("almanac watch") && !command.contains("--until");
        (watches || command.starts_with(SERVE)) && !self.fails()
    }

    /// The page shows its error.
    fn fails(&self) -> bool {
        self.output.lines().any(|line| line.starts_with("almanac: "))
    }
}

/// Why a step does not hold.
struct Wrong {
    said: String,
    /// What the page should show instead, with its elisions where they hold.
    printed: String,
}

/// The folder of a page, its server, and what runs in the background.
struct Session {
    folder: TempDir,
    /// Of the page's server and of a second one.
    addresses: [Address; 2],
    background: Vec<Background>,
    /// Ends with the session; `None` where the page starts one.
    server: Option<Process>,
}

/// An address as pages show it, and as it is.
type Address = (&'static str, String);

/// A command in the background, and how much of what it printed the page has shown.
struct Background {
    running: Running,
    shown: usize,
}

impl Session {
    fn start(page: &Page) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let starts_its_own = first_command(page).is_some_and(|command| command.starts_with(SERVE));
        let server = if starts_its_own {
            None
        } else {
            Some(Process::start_with(&folder.path().join("almanac-data"), &["--sample-data"], &[]).unwrap())
        };
        let own = server.as_ref().map_or_else(free_address, |server| server.address.to_string());
        let addresses = [(SERVER, own), (SECOND_SERVER, free_address())];
        Self { folder, addresses, background: Vec::new(), server }
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), self.as_meant(text)).unwrap();
    }

    /// Runs a step, or waits for what the page shows next of the background.
    fn take(&mut self, step: &Step) -> Result<String, Wrong> {
        if step.command.is_none() {
            return self.show_more(step);
        }
        let mut running = self.launch(step);
        if step.goes_on() {
            self.background.push(Background { running, shown: 0 });
            return self.show_more(step);
        }
        let status = running.wait(LIMIT);
        let printed = self.as_shown(&running.printed());
        let compared = compare(&printed, &step.output);
        match status {
            None => Err(Wrong { said: format!("did not end within {LIMIT:?}"), printed }),
            Some(status) if status.success() == step.fails() => {
                Err(Wrong { said: format!("ended with {status}, having printed:\n{printed}"), printed })
            }
            Some(_) => compared,
        }
    }

    fn launch(&self, step: &Step) -> Running {
        let mut command = self.as_meant(step.command.as_deref().unwrap_or_default());
        if step.goes_on() {
            // Its process id is then that of the command itself.
            command.insert_str(0, "exec ");
        }
        Running::start(&command, self.folder.path(), &self.environment())
    }

    fn environment(&self) -> Vec<(String, String)> {
        let binary = std::path::Path::new(env!("CARGO_BIN_EXE_almanac"));
        let mut path = binary.parent().unwrap().as_os_str().to_owned();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let mut environment = vec![
            ("PATH".to_owned(), path.into_string().unwrap()),
            ("ALMANAC_SERVER".to_owned(), format!("http://{}", self.addresses[0].1)),
            ("LC_ALL".to_owned(), "C.UTF-8".to_owned()),
            ("RUST_LOG".to_owned(), "warn".to_owned()),
        ];
        if self.server.is_none() {
            environment.push(("ALMANAC_LISTEN".to_owned(), self.addresses[0].1.clone()));
        }
        // Neither colours nor lines that are drawn over again.
        environment.push(("NO_COLOR".to_owned(), "1".to_owned()));
        environment.push(("TERM".to_owned(), "dumb".to_owned()));
        environment
    }

    /// Waits until the last command in the background has printed what the step shows, and ends it at `^C`.
    fn show_more(&mut self, step: &Step) -> Result<String, Wrong> {
        let Some(background) = self.background.last_mut() else {
            return Err(Wrong { said: "no command runs in the background".into(), printed: step.output.clone() });
        };
        match step.output.split_once(INTERRUPT) {
            None if step.output.is_empty() => {
                // Later commands rely on it: a watch that shows nothing yet may not be there yet.
                let printed = background.wait_to_write(&self.addresses);
                Err(Wrong { said: format!("show what it prints first:\n{printed}"), printed })
            }
            None => background.wait_for(&step.output, &self.addresses),
            Some((before, after)) => {
                let before = background.wait_for(before, &self.addresses);
                let after = background.interrupt(after, &self.addresses);
                self.background.pop();
                joined(before, after)
            }
        }
    }

    /// Text of the page with addresses as they are.
    fn as_meant(&self, text: &str) -> String {
        self.addresses.iter().fold(text.to_owned(), |text, (shown, real)| text.replace(shown, real))
    }

    /// Text with addresses as pages show them.
    fn as_shown(&self, text: &str) -> String {
        show(&self.addresses, text)
    }
}

fn show(addresses: &[Address], text: &str) -> String {
    addresses.iter().fold(text.to_owned(), |text, (shown, real)| text.replace(real.as_str(), shown))
}

impl Background {
    /// What it printed and the page has not shown yet.
    fn unseen(&self, printed: &str, addresses: &[Address]) -> String {
        show(addresses, &printed[self.shown.min(printed.len())..])
    }

    /// Waits until it printed this and nothing else.
    fn wait_for(&mut self, expected: &str, addresses: &[Address]) -> Result<String, Wrong> {
        let limit = if overwrites() { WRITING_LIMIT } else { LIMIT };
        let reached = self.running.wait_for(limit, |all| compare(&self.unseen(all, addresses), expected).is_ok());
        let all = reached.unwrap_or_else(|| self.running.printed());
        let compared = compare(&self.unseen(&all, addresses), expected);
        self.shown = all.len();
        compared
    }

    /// What it printed, for a page that does not say yet what that is.
    fn wait_to_write(&mut self, addresses: &[Address]) -> String {
        self.running.wait_for(WRITING_LIMIT, |_| false);
        let all = self.running.printed();
        let printed = self.unseen(&all, addresses);
        self.shown = all.len();
        printed
    }

    /// Ends it by Ctrl-C.
    fn interrupt(&mut self, expected: &str, addresses: &[Address]) -> Result<String, Wrong> {
        self.running.interrupt();
        let ended = self.running.wait(LIMIT);
        let printed = self.unseen(&self.running.printed(), addresses);
        match ended {
            Some(status) if status.success() => compare(&printed, expected),
            _ => Err(Wrong { said: format!("did not end well at Ctrl-C: {ended:?}"), printed }),
        }
    }
}

/// What came before `^C` and what came after it, as one.
fn joined(before: Result<String, Wrong>, after: Result<String, Wrong>) -> Result<String, Wrong> {
    let said: Vec<String> =
        [&before, &after].into_iter().filter_map(|part| Some(part.as_ref().err()?.said.clone())).collect();
    let before = before.unwrap_or_else(|wrong| wrong.printed);
    let after = after.unwrap_or_else(|wrong| wrong.printed);
    let printed = format!("{before}{INTERRUPT}{after}");
    if said.is_empty() { Ok(printed) } else { Err(Wrong { said: said.join("\n"), printed }) }
}

/// Whether a command printed what the page shows. The text is that of the page where they are the same.
fn compare(printed: &str, expected: &str) -> Result<String, Wrong> {
    let check = Assert::new().normalize_paths(false);
    let (normal, _) = check.normalize(printed.into_data(), expected.into_data());
    let compared = check.try_eq(Some(&"printed"), printed.into_data(), expected.into_data());
    match compared {
        Ok(()) => Ok(expected.to_owned()),
        Err(difference) => Err(Wrong { said: difference.to_string(), printed: normal.to_string() }),
    }
}

/// An address that nobody listens on.
fn free_address() -> String {
    let count = u32::from(PORTS.end - PORTS.start);
    let mut offset = std::process::id().wrapping_mul(61) % count;
    loop {
        let address = format!("127.0.0.1:{}", u32::from(PORTS.start) + offset);
        let taken = TAKEN.lock().unwrap().contains(&address);
        if !taken && TcpListener::bind(&address).is_ok() {
            TAKEN.lock().unwrap().push(address.clone());
            return address;
        }
        offset = (offset + 1) % count;
    }
}

/// Addresses that pages of this process have.
static TAKEN: std::sync::Mutex<Vec<String>> = std::sync::Mutex::new(Vec::new());

#[test]
fn a_block_is_read_as_commands_and_what_they_print() {
    let text = "more\n$ cat > a <<E\n> b\n> E\n$ ls\na\n> no command\n";
    let page = Page::parse("page.md".as_ref(), format!("```console\n{text}```\n"));
    let steps = steps_of(&page.blocks[0]);
    let step = |line, command: Option<&str>, output: &str| Step {
        line,
        command: command.map(str::to_owned),
        output: output.to_owned(),
    };
    assert_eq!(
        steps,
        [step(2, None, "more\n"), step(3, Some("cat > a <<E\nb\nE"), ""), step(6, Some("ls"), "a\n> no command\n"),]
    );
    let again: String = steps.iter().map(|step| step.prompt() + &step.output).collect();
    assert_eq!(again, text);
}

#[test]
fn what_a_command_prints_is_compared_line_by_line_but_for_what_is_left_out() {
    assert!(compare("a\nb\nc 12:30\n", "a\n...\nc [..]\n").is_ok());
    assert!(compare("a\nb\n", "a\n").is_err());
    let wrong = compare("a 12:30\nb\nc\n", "a [..]\nx\n...\n").err().unwrap();
    assert_eq!(wrong.printed, "a [..]\nb\n...\n", "what is left out stays left out");
}

#[test]
#[should_panic(expected = "page.md:4: $ echo one")]
fn a_page_that_shows_what_is_not_printed_fails() {
    let page = Page::parse("page.md".as_ref(), "# A\n\n```console\n$ echo one\ntwo\n```\n".to_owned());
    run(&page);
}
