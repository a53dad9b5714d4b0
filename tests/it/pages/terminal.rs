//! Commands in a terminal, as a reader of a page runs them: `almanac` shows tables to a terminal and plain columns to a pipe.

use std::{
    fs::File,
    io::Read,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustix::{
    fs::{Mode, OFlags},
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

/// Size of the terminal: pages show lines of up to 120 columns.
const SIZE: Winsize = Winsize { ws_row: 60, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };

/// A command that was started, and what it printed so far. Ends with this value.
pub(super) struct Running {
    child: Child,
    screen: Arc<Screen>,
}

/// What a command printed on standard output and standard error, in order.
#[derive(Default)]
struct Screen {
    printed: Mutex<Printed>,
    changed: Condvar,
}

#[derive(Default)]
struct Printed {
    bytes: Vec<u8>,
    /// Nothing more comes: all that could print has ended.
    ended: bool,
}

impl Running {
    /// Starts a shell command in a folder, with these variables alone.
    pub(super) fn start(command: &str, folder: &Path, environment: &[(String, String)]) -> Self {
        let main = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&main).unwrap();
        unlockpt(&main).unwrap();
        let name = ptsname(&main, Vec::new()).unwrap();
        let terminal = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        tcsetwinsize(&terminal, SIZE).unwrap();
        let terminal = File::from(terminal);
        // Only the child may hold the terminal: its end is what ends the reading.
        let child = Command::new("sh")
            .args(["-c", command])
            .current_dir(folder)
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(terminal.try_clone().unwrap())
            .stderr(terminal)
            .spawn()
            .unwrap();
        let screen = Arc::new(Screen::default());
        let reader = screen.clone();
        std::thread::spawn(move || reader.read(File::from(main)));
        Self { child, screen }
    }

    /// What it printed so far.
    pub(super) fn printed(&self) -> String {
        self.screen.text()
    }

    /// Waits until it printed what is looked for. `None`: it ended without, or the time was over.
    pub(super) fn wait_for(&self, limit: Duration, is_there: impl Fn(&str) -> bool) -> Option<String> {
        let deadline = Instant::now() + limit;
        loop {
            let seen = self.screen.len();
            let text = self.screen.text();
            if is_there(&text) {
                return Some(text);
            }
            if !self.screen.wait_beyond(seen, deadline) {
                return None;
            }
        }
    }

    /// Waits until it ended. `None`: the time was over.
    pub(super) fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        while self.screen.wait_beyond(self.screen.len(), deadline) {}
        // Whoever printed last has closed the terminal; the shell ends with it, or a moment later.
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status);
            }
            if Instant::now() > deadline {
                return None;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Ctrl-C.
    pub(super) fn interrupt(&self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::INT);
    }
}

/// A test that fails must leave nothing running.
impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Screen {
    fn read(&self, mut terminal: File) {
        let mut part = [0; 8192];
        // A terminal that nobody holds any more fails with an error instead of an end.
        while let Ok(read) = terminal.read(&mut part) {
            if read == 0 {
                break;
            }
            self.printed.lock().unwrap_or_else(PoisonError::into_inner).bytes.extend_from_slice(&part[..read]);
            self.changed.notify_all();
        }
        self.printed.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
        self.changed.notify_all();
    }

    fn len(&self) -> usize {
        self.printed.lock().unwrap_or_else(PoisonError::into_inner).bytes.len()
    }

    /// Lines as a page has them: a terminal ends them with two characters, tables fill them with blanks.
    fn text(&self) -> String {
        let printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&printed.bytes).replace("\r\n", "\n");
        let mut lines: String = text.lines().map(|line| format!("{}\n", line.trim_end())).collect();
        if !text.is_empty() && !text.ends_with('\n') {
            lines.pop();
        }
        lines
    }

    /// Waits until there are more bytes than these. `false`: no more come, or the time is over.
    fn wait_beyond(&self, seen: usize, deadline: Instant) -> bool {
        let mut printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if printed.bytes.len() > seen {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if printed.ended || left.is_zero() {
                return false;
            }
            printed = self.changed.wait_timeout(printed, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
